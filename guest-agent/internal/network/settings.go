package network

import (
	"golang.org/x/sys/unix"
)

// quieten has the kernel take an interface's addresses from nobody but us, and use them at once.
func quieten(name string) {
	for _, setting := range []struct{ name, value string }{
		{"accept_ra", "0"},
		{"autoconf", "0"},
		{"accept_dad", "0"},
		{"dad_transmits", "0"},
		{"use_tempaddr", "0"},
	} {
		path := "/proc/sys/net/ipv6/conf/" + name + "/" + setting.name
		// The guest's root may have put something else there: a pipe must not hold us up.
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		_, _ = unix.Write(fd, []byte(setting.value))
		unix.Close(fd)
	}
}
