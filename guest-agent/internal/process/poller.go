package process

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller waits for pipes to have something to read. It is used in place of the runtime's because
// that one is woken by every single write to a pipe it watches, whether or not anybody waits,
// while a one-shot watch is silent from its first event until it is armed again. A command that
// prints line by line is several times faster for it.
//
// The runtime's poller watches this one, so no thread is spent on it.
type poller struct {
	file *os.File
	raw  syscall.RawConn

	mu      sync.Mutex
	last    int32
	watched map[int32]chan struct{}
}

// newPoller starts a poller that runs for as long as the program.
func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "pipes")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	p := &poller{file: file, raw: raw, watched: map[int32]chan struct{}{}}
	go p.run()
	return p, nil
}

func (p *poller) run() {
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := p.raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		for _, event := range events[:n] {
			select {
			case p.watched[event.Fd] <- struct{}{}:
			default: // no longer watched, or told already
			}
		}
		p.mu.Unlock()
	}
}

// watch is one pipe that a poller knows.
type watch struct {
	poller *poller
	id     int32 // not the descriptor, which may be another pipe's by the time an event is seen
	fd     int
	added  bool
	// Ready receives when there is something to read, or the end.
	Ready chan struct{}
}

func (p *poller) watch(fd int) *watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.last++; p.watched[p.last] != nil; p.last++ {
	}
	w := &watch{poller: p, id: p.last, fd: fd, Ready: make(chan struct{}, 1)}
	p.watched[w.id] = w.Ready
	return w
}

// arm asks for one word on Ready.
func (w *watch) arm() error {
	operation := unix.EPOLL_CTL_MOD
	if !w.added {
		operation = unix.EPOLL_CTL_ADD
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: w.id}
	var err error
	if controlErr := w.poller.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), operation, w.fd, &event)
	}); controlErr != nil {
		return controlErr
	}
	w.added = w.added || err == nil
	return err
}

// stop forgets the pipe; call it before closing it.
func (w *watch) stop() {
	w.poller.mu.Lock()
	delete(w.poller.watched, w.id)
	w.poller.mu.Unlock()
	if w.added {
		_ = w.poller.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(int(fd), unix.EPOLL_CTL_DEL, w.fd, nil) })
	}
}
