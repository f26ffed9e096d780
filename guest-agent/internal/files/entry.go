package files

import (
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Entry describes one file, as the wire contract's FileEntry. Names that are not UTF-8 have their
// stray bytes replaced.
type Entry struct {
	Name   string  `json:"name"`
	Path   string  `json:"path"`
	Type   string  `json:"type"`
	Size   int64   `json:"size"`
	Mode   string  `json:"mode"`
	UID    uint32  `json:"uid"`
	GID    uint32  `json:"gid"`
	Mtime  string  `json:"mtime"`
	Target *string `json:"target"`
}

func newEntry(full string, info *unix.Stat_t, target *string) Entry {
	if target != nil {
		text := displayed(*target)
		target = &text
	}
	return Entry{
		Name:   displayed(path.Base(full)),
		Path:   displayed(full),
		Type:   typeOf(info.Mode),
		Size:   info.Size,
		Mode:   fmt.Sprintf("%04o", info.Mode&0o7777),
		UID:    info.Uid,
		GID:    info.Gid,
		Mtime:  timestamp(info.Mtim),
		Target: target,
	}
}

func displayed(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

func typeOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR:
		return "char_device"
	default:
		return "block_device"
	}
}

// timestamp is ISO 8601 in UTC. A file may claim any time: years that the format cannot carry
// become the nearest that it can.
func timestamp(at unix.Timespec) string {
	moment := time.Unix(at.Sec, at.Nsec).UTC()
	earliest := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	if moment.Before(earliest) {
		moment = earliest
	}
	if moment.After(latest) {
		moment = latest
	}
	return moment.Format("2006-01-02T15:04:05.000000Z")
}

// entryAt describes a name in an open directory, not following it if it is a link.
func entryAt(dirfd int, name, full string) (Entry, error) {
	var info unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &info, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Entry{}, err
	}
	var target *string
	if info.Mode&unix.S_IFMT == unix.S_IFLNK {
		if text, err := readlinkAt(dirfd, name); err == nil {
			target = &text
		}
	}
	return newEntry(full, &info, target), nil
}

func readlinkAt(dirfd int, name string) (string, error) {
	buffer := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(dirfd, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}
