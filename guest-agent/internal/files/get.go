package files

import (
	"os"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
)

// Content is a regular file that is open for reading. Close it.
type Content struct {
	*os.File
	Entry Entry
	// Sized says that Entry.Size is the number of bytes to expect. The files of proc, sysfs and
	// their like know theirs only when they are read.
	Sized bool
}

// Get opens the regular file that path leads to; links are followed. Errors are *fault.Error.
func Get(user accounts.User, path string) (content *Content, err error) {
	err = user.Do(func() error {
		content, err = open(path)
		return err
	})
	return content, explain(err, path)
}

func open(path string) (*Content, error) {
	var info unix.Stat_t
	// Looked at first, because opening a device can have effects.
	if err := unix.Stat(path, &info); err != nil {
		return nil, err
	}
	if err := mustBeRegular(&info, path); err != nil {
		return nil, err
	}
	// O_NONBLOCK because what is there may have become a pipe meanwhile.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Fstat(fd, &info); err == nil {
		err = mustBeRegular(&info, path)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &Content{
		File:  os.NewFile(uintptr(fd), path),
		Entry: newEntry(path, &info, nil),
		Sized: !isVirtual(fd),
	}, nil
}

func mustBeRegular(info *unix.Stat_t, path string) error {
	switch info.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return nil
	case unix.S_IFDIR:
		return isDirectory(path)
	}
	return fault.Invalid("path", "%s is a %s, not a regular file", path, typeOf(info.Mode))
}

// isVirtual says whether a file's content is made by the kernel as it is read.
func isVirtual(fd int) bool {
	var system unix.Statfs_t
	if unix.Fstatfs(fd, &system) != nil {
		return false
	}
	switch system.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.PSTOREFS_MAGIC:
		return true
	}
	return false
}
