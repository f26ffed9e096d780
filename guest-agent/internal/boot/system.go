package boot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/console"
)

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mountSystem mounts what every Linux system has.
func mountSystem() error {
	for _, m := range []struct {
		kind, target string
		flags        uintptr
		data         string
	}{
		{"proc", "/proc", quiet, ""},
		{"sysfs", "/sys", quiet, ""},
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	} {
		if err := mountAt(m.kind, m.target, m.kind, m.flags, m.data); err != nil {
			return err
		}
	}
	if err := mountAt("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, "nsdelegate"); err != nil {
		console.Print("%v", err)
	}
	for link, target := range map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2",
	} {
		_ = os.Symlink(target, link)
	}
	sharedDir("/run/lock")
	sharedDir("/tmp")
	return nil
}

// sharedDir makes a directory that everybody may write to exist.
func sharedDir(path string) {
	err := os.Mkdir(path, 0o777)
	if err == nil || errors.Is(err, os.ErrExist) {
		var info unix.Stat_t
		if unix.Lstat(path, &info) == nil && info.Mode != unix.S_IFDIR|0o1777 && info.Mode&unix.S_IFMT == unix.S_IFDIR {
			_ = unix.Chmod(path, 0o1777)
		}
	}
}

// loopbackUp switches the loopback interface on, which gives it its addresses.
func loopbackUp() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		console.Print("loopback: %v", err)
	}
}
