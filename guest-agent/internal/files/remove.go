package files

import (
	"context"
	"errors"
	"io"
	"path"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
)

// Remove deletes the file at target itself, not what it links to; a directory with all that is in
// it if recursive is set, else only an empty one. It follows no link and enters no mount point.
// Errors are *fault.Error, or ctx's.
func Remove(ctx context.Context, user accounts.User, target string, recursive bool) error {
	if target == "/" {
		return fault.Invalid("path", "the root directory cannot be deleted")
	}
	return explain(user.Do(func() error {
		dir, err := unix.Open(path.Dir(target), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		name := path.Base(target)
		err = unlink(dir, name)
		if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		if !recursive {
			return unix.ENOTEMPTY
		}
		return removeTree(ctx, dir, name, target)
	}), target)
}

// unlink removes one file or empty directory.
func unlink(dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if err == unix.EISDIR {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	return err
}

// level is a directory on the way down to the one being emptied.
type level struct {
	name     string
	dev, ino uint64
}

// removeTree empties and removes the directory name in dir. It holds one descriptor however deep
// the tree is: on the way up it takes ".." and makes sure that this is where it came from.
func removeTree(ctx context.Context, dir int, name, full string) error {
	current, here, err := enter(dir, name, full)
	if err != nil {
		return err
	}
	levels := []level{here}
	defer func() { unix.Close(current) }()
	for {
		child, err := emptyFiles(ctx, current)
		if err != nil {
			return err
		}
		if child != "" {
			full = path.Join(full, child)
			next, here, err := enter(current, child, full)
			if err != nil {
				return err
			}
			unix.Close(current)
			current = next
			levels = append(levels, here)
			continue
		}
		done := levels[len(levels)-1]
		levels = levels[:len(levels)-1]
		if len(levels) == 0 {
			return unix.Unlinkat(dir, done.name, unix.AT_REMOVEDIR)
		}
		above, err := leave(current, levels[len(levels)-1])
		if err != nil {
			return err
		}
		unix.Close(current)
		current = above
		full = path.Dir(full)
		if err := unix.Unlinkat(current, done.name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
			return err
		}
	}
}

// enter opens a directory to be emptied.
func enter(dir int, name, full string) (int, level, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, level{}, err
	}
	var info unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO, &info)
	if err == nil && info.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		err = fault.Invalid("path", "%s is a mount point", full)
	}
	if err != nil {
		unix.Close(fd)
		return -1, level{}, err
	}
	return fd, level{name, unix.Mkdev(info.Dev_major, info.Dev_minor), info.Ino}, nil
}

// leave opens the directory above, which must be the one that was left.
func leave(dir int, expected level) (int, error) {
	fd, err := unix.Openat(dir, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var info unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO, &info)
	if err == nil && (info.Ino != expected.ino || unix.Mkdev(info.Dev_major, info.Dev_minor) != expected.dev) {
		err = fault.Conflict("FILE_EXISTS", "the tree was moved while it was being deleted")
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// emptyFiles removes what can be removed at once, and returns the name of a directory that has to
// be emptied first, or "" if nothing is left.
func emptyFiles(ctx context.Context, fd int) (string, error) {
	listing, err := openAgain(fd)
	if err != nil {
		return "", err
	}
	defer listing.Close()
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		names, err := listing.Readdirnames(256)
		for _, name := range names {
			err := unlink(fd, name)
			switch err {
			case nil, unix.ENOENT:
			case unix.ENOTEMPTY, unix.EEXIST:
				return name, nil
			default:
				return "", err
			}
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}
