// Package hold keeps a machine still while the host copies it: the processes of commands stop where
// they are, and what programs have written is on the disk, which takes nothing more.
//
// The agent itself goes on, so that a copy which wakes up elsewhere can be given its own clock, random
// numbers and name before any program of its runs again. A host that goes away must not leave the machine
// standing: every hold has a limit.
package hold

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/console"
)

const (
	// MaxLimit is how long a hold may last.
	MaxLimit = 10 * time.Minute
	// freezeTime is how long processes get to stop. One that waits in the kernel stops when it comes out.
	freezeTime = time.Second
	// syncTime is how long everything gets to reach the disk.
	syncTime = 20 * time.Second
)

const (
	fiFreeze = 0xc0045877 // _IOWR('X', 119, int)
	fiThaw   = 0xc0045878 // _IOWR('X', 120, int)
)

// ErrBusy says that an earlier hold is still writing to the disk, past its time.
var ErrBusy = errors.New("the disk has not taken what an earlier hold wrote")

// Processes are those of all commands.
type Processes interface {
	// Freeze stops them, or lets them go on.
	Freeze(frozen bool) error
	// Frozen says whether all of them stand.
	Frozen() bool
}

// Disk is the writable file system.
type Disk interface {
	// Sync has everything written.
	Sync() error
	// Freeze has everything written and refuses more; writers wait. Thaw ends that. Both may be asked
	// for twice.
	Freeze() error
	Thaw() error
}

// Holder holds one machine. Processes may be nil.
type Holder struct {
	Processes Processes
	Disk      Disk

	mu     sync.Mutex
	number int         // of the hold that is in force; changes with each
	still  bool        // the processes stand, or were told to
	timer  *time.Timer // ends it
	frozen bool        // the disk is
	busy   bool        // a goroutine works on the disk
}

// Hold stops everything for at most limit and says whether all processes stand. With freezeDisk the
// disk takes nothing more; without, all is written that was there before. Asked for again, the limit
// begins anew. If it fails the machine goes on as before.
func (h *Holder) Hold(freezeDisk bool, limit time.Duration) (still bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy {
		return false, ErrBusy
	}
	h.number++
	still = h.stop()
	if err := h.settle(freezeDisk); err != nil {
		h.release()
		return false, err
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	number := h.number
	h.timer = time.AfterFunc(limit, func() { h.expire(number) })
	return still, nil
}

// Release lets everything go on. Harmless if nothing is held.
func (h *Holder) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release()
}

// Write is for what must be written while the processes stand still: it ends the hold of the disk
// only.
func (h *Holder) Write() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.thaw()
}

func (h *Holder) expire(number int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.number == number && h.timer != nil {
		console.Print("the host has not ended its hold of the machine in time")
		h.release()
	}
}

// stop freezes the processes and waits until they stand.
func (h *Holder) stop() bool {
	if h.Processes == nil {
		return false
	}
	h.still = true
	if h.Processes.Freeze(true) != nil {
		return false
	}
	pause := time.Millisecond
	for deadline := time.Now().Add(freezeTime); !h.Processes.Frozen(); {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
		pause = min(2*pause, 20*time.Millisecond)
	}
	return true
}

// settle has everything written, and the disk frozen if that is asked for. A disk that takes too long
// must not keep the machine: what is late is undone when it comes.
func (h *Holder) settle(freeze bool) error {
	done := make(chan error, 1)
	h.busy = true
	go func() {
		err := h.Disk.Sync() // first, so that the disk is frozen for a moment only
		if err == nil && freeze {
			err = h.Disk.Freeze()
		}
		done <- err
	}()
	select {
	case err := <-done:
		h.busy = false
		h.frozen = h.frozen || freeze && err == nil
		return err
	case <-time.After(syncTime):
		go func() {
			err := <-done
			if freeze && err == nil {
				_ = h.Disk.Thaw()
			}
			h.mu.Lock()
			h.busy = false
			h.mu.Unlock()
		}()
		return fmt.Errorf("the disk has not taken everything within %s", syncTime)
	}
}

func (h *Holder) release() {
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.thaw()
	if h.still { // most identities end no hold, and this takes a while under emulation
		h.still = h.Processes.Freeze(false) != nil
	}
}

func (h *Holder) thaw() {
	if h.frozen {
		h.frozen = false
		if err := h.Disk.Thaw(); err != nil {
			console.Print("thaw the disk: %v", err)
		}
	}
}

// FileSystem is the Disk of a mounted file system.
type FileSystem struct {
	// Directory is an open directory on it; it may be one that can only be passed through.
	Directory int
}

// Sync implements Disk.
func (f FileSystem) Sync() error {
	return f.do("sync", func(fd int) error { return unix.Syncfs(fd) })
}

// Freeze implements Disk.
func (f FileSystem) Freeze() error {
	return f.ioctl("freeze", fiFreeze, unix.EBUSY)
}

// Thaw implements Disk.
func (f FileSystem) Thaw() error {
	return f.ioctl("thaw", fiThaw, unix.EINVAL)
}

// ioctl does one that has no argument; already is the error of one that was done before.
func (f FileSystem) ioctl(what string, request uint, already error) error {
	return f.do(what, func(fd int) error {
		err := unix.IoctlSetInt(fd, request, 0)
		if err == already {
			return nil
		}
		return err
	})
}

func (f FileSystem) do(what string, work func(fd int) error) error {
	fd, err := unix.Openat(f.Directory, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = work(fd)
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("%s the disk: %w", what, err)
	}
	return nil
}
