// Package files does file operations in the machine with the rights of a given user.
//
// One verb per file: get, put, remove, stat, list, mkdir, move. Paths are those of the machine, as
// its kernel resolves them; what keeps a user from what is not theirs is the kernel too, because
// every operation runs with the user's ids and without capabilities (accounts.User.Do). The HTTP
// side is package api.
package files

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/fault"
)

// explain turns a system error about path into an error for the caller.
func explain(err error, path string) error {
	var known *fault.Error
	var errno unix.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &errno):
		return explainErrno(errno, path)
	case errors.Is(err, fs.ErrNotExist):
		return explainErrno(unix.ENOENT, path)
	}
	return fault.Internal(err)
}

func explainErrno(errno unix.Errno, path string) error {
	switch errno {
	case unix.ENOENT:
		return fault.NotFound("FILE_NOT_FOUND", "%s does not exist", path)
	case unix.ENOTDIR:
		return fault.NotFound("FILE_NOT_FOUND", "%s does not exist: a part of the path is not a directory", path)
	case unix.EISDIR:
		return isDirectory(path)
	case unix.ENOTEMPTY:
		return fault.Conflict("FILE_IS_DIRECTORY", "%s is a directory that is not empty", path)
	case unix.EEXIST:
		return fault.Conflict("FILE_EXISTS", "%s exists", path)
	case unix.EACCES, unix.EPERM:
		return fault.New(http.StatusForbidden, "FILE_PERMISSION_DENIED", "%s: permission denied", path)
	case unix.EROFS:
		return fault.New(http.StatusForbidden, "FILE_PERMISSION_DENIED", "%s is on a read-only file system", path)
	case unix.ENOSPC, unix.EDQUOT:
		return fault.New(http.StatusInsufficientStorage, "FILE_NO_SPACE", "no space left for %s", path)
	case unix.ENAMETOOLONG:
		return fault.Invalid("path", "%s is too long", abbreviate(path))
	case unix.ELOOP:
		return fault.Invalid("path", "%s has too many symbolic links", path)
	case unix.EBUSY:
		return fault.Invalid("path", "%s is in use, as a mount point is", path)
	case unix.EFBIG:
		return fault.New(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE", "%s: larger than the file system allows", path)
	}
	return fault.New(http.StatusInternalServerError, "INTERNAL_ERROR", "%s: %v", path, errno)
}

func isDirectory(path string) error {
	return fault.Conflict("FILE_IS_DIRECTORY", "%s is a directory", path)
}

func abbreviate(path string) string {
	const most = 200
	if len(path) > most {
		return path[:most] + "..."
	}
	return path
}
