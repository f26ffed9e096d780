package files

import (
	"errors"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/stream"
)

// defaultFileMode is that of a new file when the caller names none.
const defaultFileMode = 0o644

// Put replaces the content of the file at path with what body holds, all at once: the bytes are
// written beside the target, synced and renamed over it. Missing parents are made. A symbolic link
// is followed and what it leads to is replaced. mode nil keeps an existing file's permission bits.
//
// If anything fails, body included, path and its directory are left as they were. Errors are
// *fault.Error, or body's own.
func Put(user accounts.User, path string, mode *uint32, body io.Reader) (entry Entry, err error) {
	upload, err := begin(user, path, mode)
	if err != nil {
		return Entry{}, err
	}
	if err := upload.receive(body); err != nil {
		upload.abort()
		return Entry{}, err
	}
	if entry, err = upload.commit(); err != nil {
		upload.abort()
	}
	return entry, err
}

// upload is a file that is being written beside its target.
type upload struct {
	user      accounts.User
	asked     string // the path of the request
	target    string // where it leads to
	mode      uint32
	owner     *unix.Stat_t // of the file that is replaced
	made      []string     // parents that were missing
	dir       int          // directory of target, open
	temporary string
	file      *os.File
}

func begin(user accounts.User, asked string, mode *uint32) (*upload, error) {
	u := &upload{user: user, asked: asked, dir: -1}
	err := user.Do(func() error { return u.open(mode) })
	if err != nil {
		u.abort()
		return nil, explain(err, asked)
	}
	return u, nil
}

func (u *upload) open(mode *uint32) (err error) {
	if u.target, err = followLinks(u.asked); err != nil {
		return err
	}
	if u.target == "/" {
		return isDirectory(u.asked)
	}
	if u.made, err = makeParents(path.Dir(u.target)); err != nil {
		return err
	}
	u.dir, err = unix.Open(path.Dir(u.target), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	u.mode = defaultFileMode
	var info unix.Stat_t
	switch err := unix.Fstatat(u.dir, path.Base(u.target), &info, unix.AT_SYMLINK_NOFOLLOW); err {
	case nil:
		if err := mustBeRegular(&info, u.asked); err != nil {
			return err
		}
		u.owner = &info
		u.mode = info.Mode & 0o777
	case unix.ENOENT:
	default:
		return err
	}
	if mode != nil {
		u.mode = *mode
	}
	name, err := temporaryName()
	if err != nil {
		return err
	}
	if u.file, err = createTemporary(u.dir, name); err != nil {
		return err
	}
	u.temporary = name
	return nil
}

// receive copies body into the temporary file.
func (u *upload) receive(body io.Reader) error {
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	fromBody, err := stream.Copy(u.file, body, *pooled)
	if fromBody {
		return err
	}
	return explain(err, u.asked)
}

// commit makes the bytes durable and puts them in place.
func (u *upload) commit() (entry Entry, err error) {
	fd := int(u.file.Fd())
	if u.user.IsRoot() && u.owner != nil {
		// Root replaces a file of somebody else's as a shell redirection would: it stays theirs.
		err = unix.Fchown(fd, int(u.owner.Uid), int(u.owner.Gid))
	}
	if err == nil {
		err = unix.Fchmod(fd, u.mode)
	}
	if err == nil {
		err = unix.Fdatasync(fd)
	}
	if closeErr := u.file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		base := path.Base(u.target)
		err = u.user.Do(func() error {
			if err := unix.Renameat(u.dir, u.temporary, u.dir, base); err != nil {
				return err
			}
			u.temporary = ""
			entry, err = entryAt(u.dir, base, u.target)
			return err
		})
	}
	if err != nil {
		return Entry{}, explain(err, u.asked)
	}
	unix.Close(u.dir)
	u.dir = -1
	return entry, nil
}

// abort removes whatever there is so far.
func (u *upload) abort() {
	if u.file != nil {
		u.file.Close()
	}
	_ = u.user.Do(func() error {
		if u.temporary != "" {
			_ = unix.Unlinkat(u.dir, u.temporary, 0)
		}
		undo(u.made)
		return nil
	})
	if u.dir >= 0 {
		unix.Close(u.dir)
		u.dir = -1
	}
}

// followLinks returns the path of what a write to path would reach: links at its end are resolved
// whether or not there is something at their far end yet.
func followLinks(at string) (string, error) {
	for range 40 { // as many as the kernel follows
		link, err := readlinkAt(unix.AT_FDCWD, at)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return at, nil // no link
		}
		if err != nil {
			return "", err
		}
		// Let the kernel judge first whether this user may follow it (protected_symlinks).
		probe, err := unix.Open(at, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(probe)
		} else if err != unix.ENOENT {
			return "", err
		}
		if !path.IsAbs(link) {
			dir, err := canonicalDir(path.Dir(at))
			if err != nil {
				return "", err
			}
			link = path.Join(dir, link)
		}
		at = path.Clean(link)
	}
	return "", unix.ELOOP
}

// canonicalDir returns a path without links to dir, for ".." in a link to be taken from.
func canonicalDir(dir string) (string, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return readlinkAt(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd))
}
