// Package process runs commands: it starts them, keeps their output as frames, delivers signals
// and time-outs, and reaps every child that PID 1 inherits.
//
// One file per verb: start, exit, signal, stdin; table lists and forgets. The HTTP side is package
// api.
package process

import (
	"errors"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNoChild says that a process is not a child that runs.
var errNoChild = errors.New("no such child")

// Reaper owns all waiting for children of this process. Nothing else may wait for any, os/exec
// included, and children are started by Spawn only.
type Reaper struct {
	mu       sync.Mutex
	children map[int]func(unix.WaitStatus)
	spawning int                     // calls of Spawn that are forking
	early    map[int]unix.WaitStatus // what ended meanwhile without being in children yet
	started  chan struct{}           // there may be a child again
}

// NewReaper makes a reaper; Run must be called on a goroutine of its own.
func NewReaper() *Reaper {
	return &Reaper{
		children: map[int]func(unix.WaitStatus){},
		early:    map[int]unix.WaitStatus{},
		started:  make(chan struct{}, 1),
	}
}

// Spawn calls fork, then born with the child's id, and has exited called with its status when it
// ends, however soon that is; never before born has returned.
//
// Forking can be made to take long by the programs of the user that the child becomes, so nothing
// is locked meanwhile.
func (r *Reaper) Spawn(fork func() (int, error), born func(pid int), exited func(unix.WaitStatus)) error {
	r.mu.Lock()
	r.spawning++
	r.mu.Unlock()
	pid, err := fork()
	select {
	case r.started <- struct{}{}:
	default:
	}
	if err == nil {
		born(pid)
	}
	r.mu.Lock()
	status, over := r.early[pid]
	if r.spawning--; r.spawning == 0 {
		clear(r.early)
	}
	if err == nil && !over {
		r.children[pid] = exited
	}
	r.mu.Unlock()
	if err == nil && over {
		exited(status)
	}
	return err
}

// SignalGroup sends a signal to the process group that a child leads. It cannot hit a stranger: a
// pid is free for reuse only when its child has been removed here.
func (r *Reaper) SignalGroup(pid int, signal unix.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.children[pid]; !ok {
		return errNoChild
	}
	return unix.Kill(-pid, signal)
}

// Run reaps for ever. It waits in the kernel rather than for SIGCHLD: a child's end wakes this
// goroutine directly.
func (r *Reaper) Run() {
	for {
		pid, err := peekExited()
		switch err {
		case nil:
			r.reap(pid)
			// Let what the exit has set going run before this goroutine takes the processor into
			// the kernel again.
			runtime.Gosched()
		case unix.EINTR:
		default: // ECHILD: nothing below us lives, so only Spawn can change that
			<-r.started
		}
	}
}

func (r *Reaper) reap(pid int) {
	r.mu.Lock()
	var status unix.WaitStatus
	got, err := unix.Wait4(pid, &status, unix.WNOHANG|unix.WALL, nil)
	if err != nil || got != pid {
		// A child whose exec failed may have been collected by the one who forked.
		r.mu.Unlock()
		return
	}
	exited := r.children[pid]
	delete(r.children, pid)
	if exited == nil && r.spawning > 0 {
		r.early[pid] = status
	}
	r.mu.Unlock()
	if exited != nil {
		exited(status)
	}
}

// siginfo is the part of siginfo_t that waitid fills in.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	_                  [108]byte
}

// peekExited waits for a child that has ended and leaves it to be reaped.
func peekExited() (int, error) {
	var info siginfo
	const flags = unix.WEXITED | unix.WNOWAIT | unix.WALL
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(info.pid), nil
}
