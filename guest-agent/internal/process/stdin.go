package process

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/stream"
)

// stdin is our end of a command's standard input.
type stdin struct {
	file    *os.File
	writing sync.Mutex // one writer at a time, so that requests do not mix
}

func newStdin(fd int) *stdin { return &stdin{file: os.NewFile(uintptr(fd), "stdin")} }

// close gives end of file to the command and makes a writer that waits fail.
func (s *stdin) close() { s.file.Close() }

var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, 32*1024)
	return &b
}}

// copyFrom writes all of source. fromSource says whose the error is.
func (s *stdin) copyFrom(source io.Reader) (fromSource bool, err error) {
	pooled := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(pooled)
	return stream.Copy(s.file, source, *pooled)
}

// FeedBody gives body to a command of mode StdinBody and then end of file. It returns when body
// ends. If the command closes its input early, the rest is read and dropped, so that it does not
// clog the channel. If body breaks, the input stays open without an end: a command must not take a
// truncated input for a whole one.
func (e *Exec) FeedBody(body io.Reader) {
	s := e.stdin
	s.writing.Lock()
	defer s.writing.Unlock()
	fromSource, err := s.copyFrom(body)
	if fromSource {
		return
	}
	s.close()
	if err != nil {
		_, _ = io.Copy(io.Discard, body)
	}
}

// WriteStdin gives bytes to a command of mode StdinOpen, and end of file if eof is set. It waits
// until the command has room for them. Errors are *fault.Error.
func (e *Exec) WriteStdin(ctx context.Context, body io.Reader, eof bool) error {
	if e.stdinMode != StdinOpen {
		return fault.Invalid("stdin", "the command was not started with stdin \"open\"")
	}
	if e.stdin == nil || e.Status() != nil {
		return notRunning(e.ID)
	}
	s := e.stdin
	s.writing.Lock()
	defer s.writing.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = s.file.SetWriteDeadline(time.Unix(1, 0)) })
	_, err := s.copyFrom(body)
	if !stop() {
		_ = s.file.SetWriteDeadline(time.Time{})
	}
	switch {
	case errors.Is(err, unix.EPIPE), errors.Is(err, os.ErrClosed):
		return fault.Conflict("EXEC_NOT_RUNNING", "the command's standard input is closed")
	case err != nil:
		return fault.Internal(err)
	}
	if eof {
		s.close()
	}
	return nil
}

func notRunning(id string) error {
	return fault.Conflict("EXEC_NOT_RUNNING", "command %s is not running", id)
}
