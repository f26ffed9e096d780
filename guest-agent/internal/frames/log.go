package frames

import "sync"

const (
	// ReplayWindow is the number of sent bytes that are kept for a host that comes back: as many
	// as it can have granted by flow control without having seen them.
	ReplayWindow = 256 * 1024
	// unsentLimit is where a command's pipes are no longer read until a reader catches up.
	unsentLimit = 128 * 1024
	// Under memory pressure a log keeps less of both.
	tightReplay = 16 * 1024
	tightUnsent = 8 * 1024
	// frameOverhead is about what a frame costs beside its bytes.
	frameOverhead = 48
)

// Log is the stream of frames of one command: what has not been sent yet, and the last part of
// what has. Offsets count bytes of the stream from its beginning. GAP and KEEPALIVE frames are
// made for one reader and are no part of it.
//
// Any number of goroutines may append and read.
type Log struct {
	budget *Budget
	done   chan struct{} // closed when the stream is complete

	mu      sync.Mutex
	frames  [][]byte // the kept ones, in order
	dropped int      // how many frames came before them
	start   int64    // offset of the first byte kept; always the beginning of a frame
	end     int64    // offset after the last byte
	sent    int64    // the furthest that any reader has sent
	tight   bool     // the budget was overdrawn at the last append
	closed  bool     // EXIT or ERROR is in
	freed   bool

	changed chan struct{} // closed at the next append; nil while nobody waits
	room    chan struct{} // closed when a reader has moved on; nil while nobody waits
}

// NewLog makes an empty log.
func NewLog(budget *Budget) *Log { return &Log{budget: budget, done: make(chan struct{})} }

// Append adds a frame, which the log owns from here on. After the final one (EXIT or ERROR)
// nothing more is taken.
func (l *Log) Append(frame []byte) {
	kind := Kind(frame[0])
	final := kind == Exit || kind == Error
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.frames = append(l.frames, frame)
	l.end += int64(len(frame))
	l.closed = final
	over := l.budget.charge(int64(len(frame) + frameOverhead))
	if over {
		// Not under this log's lock, for it takes those of others.
		l.mu.Unlock()
		over = l.budget.relieve()
		l.mu.Lock()
	}
	l.tight = over
	l.trim()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if final {
		close(l.done)
		if !l.freed {
			l.budget.retire(l)
		}
	}
	l.mu.Unlock()
}

// trim forgets sent frames that the replay window no longer covers.
func (l *Log) trim() {
	keep := int64(ReplayWindow)
	if l.tight {
		keep = tightReplay
	}
	drop := 0
	for drop < len(l.frames) && l.start+int64(len(l.frames[drop])) <= l.sent-keep {
		l.start += int64(len(l.frames[drop]))
		drop++
	}
	l.discard(drop)
}

// discard gives up the first n frames; l.start has been moved already.
func (l *Log) discard(n int) {
	if n == 0 {
		return
	}
	var bytes int64
	for i := range n {
		bytes += int64(len(l.frames[i]) + frameOverhead)
		l.frames[i] = nil
	}
	l.frames = l.frames[n:]
	l.dropped += n
	l.budget.charge(-bytes)
}

// dropHistory keeps the final frame only.
func (l *Log) dropHistory() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.frames) - 1; n > 0 {
		l.start = l.end - int64(len(l.frames[n]))
		l.discard(n)
	}
}

// Free gives everything back; readers that are still there find a closed, empty log.
func (l *Log) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.freed = true
	l.budget.forget(l)
	l.start = l.end
	l.discard(len(l.frames))
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

// Room returns nil if a command's pipes may be read, or else a channel that is closed when it is
// worth asking again. extra raises the limit, for what is left in the pipes of a dead process.
func (l *Log) Room(extra int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := int64(unsentLimit)
	if l.tight {
		limit = tightUnsent
	}
	if l.closed || l.end-l.sent < limit+extra {
		return nil
	}
	if l.room == nil {
		l.room = make(chan struct{})
	}
	return l.room
}

// Done is closed when the stream is complete.
func (l *Log) Done() <-chan struct{} { return l.done }

// Span returns the offsets of the bytes that can still be asked for, and whether the stream is
// complete.
func (l *Log) Span() (start, end int64, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start, l.end, l.closed
}
