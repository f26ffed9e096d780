// Package textfile reads and replaces the small files below /etc that the agent has a say in. What
// an image has put in their place may be anything: a pipe that never speaks, a link to
// a device, a directory. Nothing here hangs or takes much memory for it.
package textfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// MaxBytes is how long a file may be.
const MaxBytes = 4 << 20

// ErrNotText says that a path holds something else than a regular file of a sensible size.
var ErrNotText = errors.New("not a regular file of a sensible size")

// Read returns what a file holds. It never waits: package os would, for files that can be polled.
func Read(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if info.Mode&unix.S_IFMT != unix.S_IFREG || info.Size > MaxBytes {
		return "", &os.PathError{Op: "read", Path: path, Err: ErrNotText}
	}
	text := make([]byte, 0, info.Size+512)
	for {
		if len(text) > MaxBytes {
			return "", &os.PathError{Op: "read", Path: path, Err: ErrNotText}
		}
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return string(text), nil
		}
		text = text[:len(text)+n]
	}
}

// Replace puts text at path in one step, whatever was there before, unless that was a directory. If
// it fails nothing has changed and nothing is left behind.
func Replace(path, text string, mode os.FileMode) error {
	temporary := path + ".scaibunker"
	_ = os.Remove(temporary)
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}
