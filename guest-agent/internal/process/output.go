package process

import (
	"sync"
	"sync/atomic"
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
	// A command that keeps writing is let fill its pipe between two reads, for each wake-up costs
	// more than a little piece is worth. It counts as such after busyReads reads with less than
	// busyGap between them, and gets a larger pipe.
	busyReads = 4
	busyGap   = 50 * time.Millisecond
	busyPause = 5 * time.Millisecond
	busyPipe  = 256 * 1024
)

// output is our end of a command's stdout or stderr.
//
// It is read in three ways: by the one who handles the exit (drain), which is all that a quick
// command needs; by a goroutine of its own (pump), once the command has proved not to be quick;
// and, when a background child outlives the command, by a goroutine that throws away what it
// reads, so that the child is not killed by SIGPIPE.
type output struct {
	log    *frames.Log
	poller *poller
	kind   frames.Kind

	mu        sync.Mutex // guards all below, and orders reading and appending
	fd        int        // -1 when closed
	watch     *watch     // set when a goroutine reads
	muted     bool       // nobody wants it any more: throw away
	atEnd     bool       // end of file seen
	abandoned bool       // close instead of throwing away

	leftovers *atomic.Int32 // set when this is one of them
}

var buffers = sync.Pool{New: func() any {
	b := make([]byte, frames.HeaderSize+readSize)
	return &b
}}

// readOnce takes what is in the pipe now, up to readSize, and makes a frame of it. Caller holds mu.
func (o *output) readOnce() (n int, again bool) {
	pooled := buffers.Get().(*[]byte)
	buffer := *pooled
	var err error
	for {
		n, err = unix.Read(o.fd, buffer[frames.HeaderSize:])
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
	if o.watch != nil || o.fd < 0 || o.atEnd {
		return
	}
	o.watch = o.poller.watch(o.fd)
	go o.run()
}

func (o *output) run() {
	reads := 0
	var last time.Time
	for {
		o.waitRoom()
		n, over := o.await()
		if over {
			break
		}
		now := time.Now()
		if now.Sub(last) > busyGap {
			reads = 0
		}
		last = now
		if reads++; reads == busyReads {
			_, _ = unix.FcntlInt(uintptr(o.watch.fd), unix.F_SETPIPE_SZ, busyPipe)
		}
		if reads > busyReads && n < readSize/2 {
			time.Sleep(busyPause)
			last = last.Add(busyPause)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release()
}

// await reads once, waiting for there to be something.
func (o *output) await() (n int, over bool) {
	for {
		o.mu.Lock()
		n, again := 0, false
		if !o.abandoned {
			n, again = o.readOnce()
		}
		over := o.atEnd || o.abandoned
		o.mu.Unlock()
		if !again {
			return n, over
		}
		if o.watch.arm() != nil {
			return 0, true
		}
		<-o.watch.Ready
	}
}

// waitRoom waits until a reader of the log has caught up.
func (o *output) waitRoom() {
	for room := o.log.Room(0); room != nil; room = o.log.Room(0) {
		<-room
	}
}

// drain takes what the dead process left in the pipe. It returns false if the log has no room for
// the rest; call it again when there is.
func (o *output) drain(since time.Time, total *int) (done bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.fd >= 0 && !o.atEnd {
		if !o.muted && o.log.Room(2*graceBytes) != nil {
			return false
		}
		n, again := o.readOnce()
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
	if held && leftovers.Add(1) > maxLeftovers {
		leftovers.Add(-1)
		o.abandoned, held = true, false
	}
	if held {
		o.leftovers = leftovers
	}
	pumped := o.watch != nil
	if !pumped && !held {
		o.release()
	}
	if pumped && o.abandoned {
		select {
		case o.watch.Ready <- struct{}{}:
		default:
		}
	}
	o.mu.Unlock()
	if held {
		o.pump()
	}
}

// release gives up the descriptor. Caller holds mu and, if there is a goroutine, is it.
func (o *output) release() {
	if o.fd < 0 {
		return
	}
	if o.watch != nil {
		o.watch.stop()
	}
	unix.Close(o.fd)
	o.fd = -1
	if o.leftovers != nil {
		o.leftovers.Add(-1)
	}
}
