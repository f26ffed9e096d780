package files

import (
	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
)

// Stat describes the file at path itself, not what it links to. Errors are *fault.Error.
func Stat(user accounts.User, path string) (entry Entry, err error) {
	err = user.Do(func() error {
		entry, err = entryAt(unix.AT_FDCWD, path, path)
		return err
	})
	return entry, explain(err, path)
}
