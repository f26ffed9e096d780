package files

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/stream"
)

// Move renames source to destination, or copies it if that is on another file system and source
// is a regular file or a link. Links are moved, not followed. Without overwrite an existing
// destination is an error. Errors are *fault.Error.
func Move(user accounts.User, source, destination string, overwrite bool) (entry Entry, err error) {
	if source == "/" || destination == "/" {
		return Entry{}, fault.Invalid("source", "the root directory cannot be moved or replaced")
	}
	if strings.HasPrefix(destination, source+"/") {
		return Entry{}, fault.Invalid("destination", "a directory cannot be moved into itself")
	}
	err = user.Do(func() error {
		if err := rename(source, destination, overwrite); err != nil {
			return err
		}
		entry, err = entryAt(unix.AT_FDCWD, destination, destination)
		return err
	})
	return entry, err
}

func rename(source, destination string, overwrite bool) error {
	var from, to unix.Stat_t
	if err := unix.Lstat(source, &from); err != nil {
		return explain(err, source)
	}
	err := renameAt(unix.AT_FDCWD, source, destination, overwrite)
	switch err {
	case nil:
		return nil
	case unix.EXDEV:
		return explain(moveAcross(source, destination, &from, overwrite), destination)
	case unix.EBUSY:
		return fault.Invalid("source", "%s or %s is a mount point", source, destination)
	case unix.EINVAL:
		return fault.Invalid("destination", "%s cannot be moved to %s", source, destination)
	}
	if unix.Lstat(destination, &to) == nil && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
		switch {
		case !overwrite:
			return explain(unix.EEXIST, destination)
		case to.Mode&unix.S_IFMT == unix.S_IFDIR:
			return isDirectory(destination)
		case from.Mode&unix.S_IFMT == unix.S_IFDIR:
			return fault.Conflict("FILE_EXISTS", "%s exists and is not a directory", destination)
		}
	}
	return explain(err, destination)
}

// renameAt renames below an open directory. Without overwrite an existing destination is EEXIST.
func renameAt(dir int, from, to string, overwrite bool) error {
	flags := uint(0)
	if !overwrite {
		flags = unix.RENAME_NOREPLACE
	}
	return unix.Renameat2(dir, from, dir, to, flags)
}

// moveAcross moves to another file system: copy beside the destination, rename, remove the source.
func moveAcross(source, destination string, from *unix.Stat_t, overwrite bool) error {
	var to unix.Stat_t
	exists := unix.Lstat(destination, &to) == nil
	if exists && !overwrite {
		return unix.EEXIST
	}
	if exists && to.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	dir, err := unix.Open(path.Dir(destination), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	temporary, err := temporaryName()
	if err != nil {
		return err
	}
	switch from.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = copyRegular(source, dir, temporary, from)
	case unix.S_IFLNK:
		var target string
		if target, err = readlinkAt(unix.AT_FDCWD, source); err == nil {
			err = unix.Symlinkat(target, dir, temporary)
		}
	default:
		return fault.Invalid("destination", "%s is on another file system; only regular files and links can be moved there", destination)
	}
	if err == nil {
		err = renameAt(dir, temporary, path.Base(destination), overwrite)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temporary, 0)
		return err
	}
	return unix.Unlink(source)
}

func copyRegular(source string, dir int, name string, from *unix.Stat_t) error {
	content, err := open(source)
	if err != nil {
		return err
	}
	defer content.Close()
	file, err := createTemporary(dir, name)
	if err != nil {
		return err
	}
	defer file.Close()
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	if _, err := stream.Copy(file, content, *pooled); err != nil {
		return err
	}
	fd := int(file.Fd())
	// The owner can be kept by root only; the rest by anyone.
	_ = unix.Fchown(fd, int(from.Uid), int(from.Gid))
	if err := unix.Fchmod(fd, from.Mode&0o777); err != nil {
		return err
	}
	times := []unix.Timeval{unix.NsecToTimeval(from.Atim.Nano()), unix.NsecToTimeval(from.Mtim.Nano())}
	if err := unix.Futimes(fd, times); err != nil {
		return err
	}
	return unix.Fdatasync(fd)
}
