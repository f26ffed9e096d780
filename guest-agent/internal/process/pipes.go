package process

import (
	"sync"

	"golang.org/x/sys/unix"
)

// pipes are the three standard streams of a command: our ends and the command's.
type pipes struct {
	ours   [3]int // -1 where there is none
	theirs [3]int
	null   bool // theirs[0] is the shared /dev/null, not to be closed
}

var openNull = sync.OnceValues(func() (int, error) {
	return unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
})

func openPipes(mode StdinMode) (*pipes, error) {
	p := &pipes{ours: [3]int{-1, -1, -1}, theirs: [3]int{-1, -1, -1}}
	if mode == StdinNone {
		fd, err := openNull()
		if err != nil {
			return nil, err
		}
		p.theirs[0], p.null = fd, true
	}
	for i := range 3 {
		if i == 0 && p.null {
			continue
		}
		var ends [2]int
		if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			p.closeTheirs()
			p.closeOurs()
			return nil, err
		}
		ours, theirs := 0, 1 // we read
		if i == 0 {
			ours, theirs = 1, 0
		}
		p.ours[i], p.theirs[i] = ends[ours], ends[theirs]
		// Only our end: the command expects ordinary, blocking streams.
		if err := unix.SetNonblock(p.ours[i], true); err != nil {
			p.closeTheirs()
			p.closeOurs()
			return nil, err
		}
	}
	return p, nil
}

func (p *pipes) closeTheirs() {
	for i, fd := range p.theirs {
		if fd >= 0 && !(i == 0 && p.null) {
			unix.Close(fd)
		}
	}
}

func (p *pipes) closeOurs() {
	for _, fd := range p.ours {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
