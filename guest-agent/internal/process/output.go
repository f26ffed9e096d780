package process

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/frames"
)

// readSize is what one read of a pipe takes: a pipe's usual capacity, so that one read empties it.
const readSize = frames.MaxPayload

const (
	// graceBytes is how much of what a dead process left in a pipe is taken although no reader
	// has room for it.
	graceBytes = readSize
	// graceTime and graceRead bound what is taken from a pipe that a background child keeps
	// filling: both must be exceeded, for a pipe can hold at most graceRead.
	graceTime = 100 * time.Millisecond
	graceRead = 1 << 20
)

// output is our end of a command's stdout or stderr.
//
// It is read in three ways: by the one who handles the exit (drain), which is all that a quick
// command needs; by a goroutine of its own (pump), once the command has proved not to be quick;
// and, when a background child outlives the command, by a goroutine that throws away what it
// reads, so that the child is not killed by SIGPIPE.
type output struct {
	log  *frames.Log
	kind frames.Kind

	mu     sync.Mutex // guards all below, and orders reading and appending
	fd     int        // -1 when closed
	file   *os.File   // owns fd once the poller is needed
	raw    syscall.RawConn
	muted  bool // EXIT has been sent: throw away
	atEnd  bool // end of file seen
	pumped bool // a goroutine reads

	leftovers *atomic.Int32 // set when this is one of them
}

var buffers = sync.Pool{New: func() any {
	b := make([]byte, frames.HeaderSize+readSize)
	return &b
}}

// readOnce takes what is in the pipe now, up to readSize, and makes a frame of it. Caller holds mu.
func (o *output) readOnce(fd int) (n int, again bool) {
	pooled := buffers.Get().(*[]byte)
	buffer := *pooled
	var err error
	for {
		n, err = unix.Read(fd, buffer[frames.HeaderSize:])
		if err != unix.EINTR {
			break
		}
	}
	switch {
	case err == unix.EAGAIN:
		buffers.Put(pooled)
		return 0, true
	case err != nil || n <= 0:
		o.atEnd = true
		buffers.Put(pooled)
		return 0, false
	case o.muted:
		buffers.Put(pooled)
		return n, false
	}
	frames.PutHeader(buffer, o.kind, n)
	frame := buffer[:frames.HeaderSize+n]
	if n < readSize/2 {
		frame = append([]byte(nil), frame...)
		buffers.Put(pooled)
	}
	o.log.Append(frame)
	return n, false
}

// pump starts the goroutine that reads from here on. Does nothing if one does or none need to.
func (o *output) pump() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pumped || o.fd < 0 || o.atEnd {
		return
	}
	file := os.NewFile(uintptr(o.fd), "pipe")
	raw, err := file.SyscallConn()
	if err != nil {
		return
	}
	o.file, o.raw, o.pumped = file, raw, true
	go o.run()
}

func (o *output) run() {
	for !o.waitRoom() {
		ended := false
		err := o.raw.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			_, again := o.readOnce(int(fd))
			ended = o.atEnd
			return !again
		})
		if err != nil || ended {
			break
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release()
}

// waitRoom waits until a reader of the log has caught up.
func (o *output) waitRoom() (over bool) {
	for {
		room := o.log.Room(0)
		if room == nil {
			return false
		}
		<-room
	}
}

// drain takes what the dead process left in the pipe. It returns false if the log has no room for
// the rest; call it again when there is.
func (o *output) drain(since time.Time, total *int) (done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.fd >= 0 && !o.atEnd {
		if o.log.Room(2*graceBytes) != nil {
			return false
		}
		n, again := o.readOnce(o.fd)
		*total += n
		if again || (*total > graceRead && time.Since(since) > graceTime) {
			return true
		}
	}
	return true
}

// finish stops recording. If somebody still holds the pipe, what they write goes nowhere; leftovers
// counts such pipes of all commands.
func (o *output) finish(leftovers *atomic.Int32) {
	o.mu.Lock()
	o.muted = true
	held := o.fd >= 0 && !o.atEnd
	refused := held && leftovers.Add(1) > maxLeftovers
	switch {
	case refused:
		leftovers.Add(-1)
	case held:
		o.leftovers = leftovers
	}
	pumped := o.pumped
	if !pumped && (!held || refused) {
		o.release()
	}
	o.mu.Unlock()
	switch {
	case pumped && refused:
		// Without the lock: closing waits for the goroutine to let go of the file, and it may be
		// waiting for the lock. It releases the rest.
		o.file.Close()
	case held && !refused:
		o.pump()
	}
}

// release gives up the descriptor. Caller holds mu and, if there is a goroutine, is it.
func (o *output) release() {
	switch {
	case o.fd < 0:
		return
	case o.file != nil:
		o.file.Close()
	default:
		unix.Close(o.fd)
	}
	o.fd = -1
	if o.leftovers != nil {
		o.leftovers.Add(-1)
	}
}
