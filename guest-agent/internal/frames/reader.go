package frames

import "errors"

// ErrNotKept says that the bytes at an offset have been forgotten, or have never been.
var ErrNotKept = errors.New("offset is not kept")

// Reader sends a log's frames to one listener. Not for use by several goroutines.
type Reader struct {
	log   *Log
	next  int64 // offset of the next byte to hand out
	frame int   // number of the frame that it lies in, counted from the stream's beginning
	skip  int   // bytes of that frame to leave out
}

// ReadFrom begins at an offset, which may lie within a frame.
func (l *Log) ReadFrom(offset int64) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.start || offset > l.end {
		return nil, ErrNotKept
	}
	reader := &Reader{log: l, next: offset, frame: l.dropped}
	begin := l.start
	for _, frame := range l.frames {
		if begin+int64(len(frame)) > offset {
			break
		}
		begin += int64(len(frame))
		reader.frame++
	}
	reader.skip = int(offset - begin)
	return reader, nil
}

// ReadOldest begins with the stream's first byte; what of it is no longer kept is reported as a
// gap by the first Next.
func (l *Log) ReadOldest() *Reader { return &Reader{log: l} }

// Complete is closed when nothing more will be appended.
func (r *Reader) Complete() <-chan struct{} { return r.log.done }

// Batch is what a reader gets at a time.
type Batch struct {
	// Gap is the number of bytes lost before this batch.
	Gap int64
	// Frames are whole frames, except that the first may be the rest of one after ReadFrom. They
	// are not to be changed.
	Frames [][]byte
	// Bytes is the length of Frames.
	Bytes int
	// Final says that nothing follows.
	Final bool
	// More is closed when there is more; nil if Frames is not empty or Final is set.
	More <-chan struct{}
}

// Next returns frames of about limit bytes, at least one if there is one.
func (r *Reader) Next(limit int) Batch {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch Batch
	if r.frame < l.dropped {
		batch.Gap = l.start - r.next
		r.next, r.frame, r.skip = l.start, l.dropped, 0
	}
	for _, frame := range l.frames[r.frame-l.dropped:] {
		if batch.Bytes >= limit {
			break
		}
		piece := frame[r.skip:]
		batch.Frames = append(batch.Frames, piece)
		batch.Bytes += len(piece)
		r.next += int64(len(piece))
		r.frame++
		r.skip = 0
	}
	batch.Final = l.closed && r.next == l.end
	if len(batch.Frames) == 0 && !batch.Final {
		batch.More = l.waitChanged()
	}
	return batch
}

func (l *Log) waitChanged() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Sent notes that all that Next returned has been handed to the transport.
func (r *Reader) Sent() {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.next <= l.sent {
		return
	}
	l.sent = r.next
	l.trim()
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}
