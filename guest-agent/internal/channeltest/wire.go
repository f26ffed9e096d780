// Package channeltest is a guest channel in memory, for tests: one end is a channel.Port, the other
// is what a host connects to. Like the real one it keeps bytes that nobody has read when the host
// changes, and takes only so many from the guest.
package channeltest

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Capacity is how many bytes the guest can write before the host reads.
const Capacity = 64 * 1024

// Wire is the port. Its zero value is not usable; see New.
type Wire struct {
	mu          sync.Mutex
	moved       *sync.Cond
	toGuest     bytes.Buffer
	toHost      bytes.Buffer
	host        *Host
	hungUp      bool // not told to the reader yet
	interrupted bool
	closed      bool
}

// New makes a wire without a host.
func New() *Wire {
	w := &Wire{}
	w.moved = sync.NewCond(&w.mu)
	return w
}

// Connect makes a new host; the one before is cut off.
func (w *Wire) Connect() *Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hangUp()
	w.host = &Host{wire: w}
	w.moved.Broadcast()
	return w.host
}

func (w *Wire) hangUp() {
	if w.host != nil {
		w.host.gone = true
		w.host = nil
		w.hungUp = true
		w.toHost.Reset()
		w.moved.Broadcast()
	}
}

// Read implements channel.Port.
func (w *Wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if n, err := w.tryRead(p); n > 0 || err != nil {
			return n, err
		}
		w.moved.Wait()
	}
}

// TryRead implements channel.Port.
func (w *Wire) TryRead(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tryRead(p)
}

func (w *Wire) tryRead(p []byte) (int, error) {
	switch {
	case w.closed:
		return 0, os.ErrClosed
	case w.toGuest.Len() > 0:
		return w.toGuest.Read(p)
	case w.hungUp:
		w.hungUp = false
		return 0, io.EOF
	}
	return 0, nil
}

// Write implements channel.Port.
func (w *Wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		room := Capacity - w.toHost.Len()
		switch {
		case w.closed:
			return 0, os.ErrClosed
		case w.interrupted:
			return 0, os.ErrDeadlineExceeded
		case w.host != nil && room > 0:
			n, _ := w.toHost.Write(p[:min(room, len(p))])
			w.moved.Broadcast()
			return n, nil
		}
		w.moved.Wait()
	}
}

// InterruptWrites implements channel.Port.
func (w *Wire) InterruptWrites() { w.interrupt(true) }

// ResumeWrites implements channel.Port.
func (w *Wire) ResumeWrites() { w.interrupt(false) }

func (w *Wire) interrupt(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupted = on
	w.moved.Broadcast()
}

// Close implements channel.Port.
func (w *Wire) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.moved.Broadcast()
	return nil
}

// Host is one host's end. It implements net.Conn.
type Host struct {
	wire *Wire
	gone bool
}

// Read implements net.Conn.
func (h *Host) Read(p []byte) (int, error) {
	w := h.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	for !h.gone {
		if w.toHost.Len() > 0 {
			n, err := w.toHost.Read(p)
			w.moved.Broadcast()
			return n, err
		}
		if w.closed {
			return 0, io.EOF
		}
		w.moved.Wait()
	}
	return 0, io.EOF
}

// Write implements net.Conn.
func (h *Host) Write(p []byte) (int, error) {
	w := h.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if h.gone {
		return 0, net.ErrClosed
	}
	n, err := w.toGuest.Write(p)
	w.moved.Broadcast()
	return n, err
}

// Close implements net.Conn: the guest sees a hang-up.
func (h *Host) Close() error {
	w := h.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.host == h {
		w.hangUp()
	}
	return nil
}

// Unread returns how many bytes of the guest's wait to be read.
func (h *Host) Unread() int {
	h.wire.mu.Lock()
	defer h.wire.mu.Unlock()
	return h.wire.toHost.Len()
}

// Undelivered returns how many bytes of the host's the guest has not read.
func (h *Host) Undelivered() int {
	h.wire.mu.Lock()
	defer h.wire.mu.Unlock()
	return h.wire.toGuest.Len()
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "guest" }

// LocalAddr implements net.Conn.
func (h *Host) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (h *Host) RemoteAddr() net.Addr { return address{} }

// SetDeadline implements net.Conn; there are none.
func (h *Host) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (h *Host) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (h *Host) SetWriteDeadline(time.Time) error { return nil }
