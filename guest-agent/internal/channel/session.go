package channel

import (
	"io"
	"net"
	"sync"
	"time"
)

// ignoredRepeats is how many repetitions of a hello that was answered are passed over at the
// beginning of its session: they were on their way when the answer was. A host that still repeats
// it has not got the answer.
const ignoredRepeats = 2

// Session is one connection of the host. It implements net.Conn.
type Session struct {
	listener *Listener
	nonce    [NonceBytes]byte

	// Guarded by listener.reading.
	begun   bool // the host has said something
	repeats int

	endOnce sync.Once
	ended   chan struct{}
}

func newSession(l *Listener, nonce [NonceBytes]byte) *Session {
	return &Session{listener: l, nonce: nonce, ended: make(chan struct{})}
}

// Ended is closed when the session is over, for whatever reason and before any of its requests
// is cancelled by that.
func (s *Session) Ended() <-chan struct{} { return s.ended }

func (s *Session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// end makes this session's reads and writes fail, those that wait included. Writes are interrupted
// before the end is told, so that it can never hit the next session's.
func (s *Session) end() {
	s.endOnce.Do(func() {
		s.listener.port.InterruptWrites()
		close(s.ended)
	})
}

// answer sends the echo, which opens the session.
func (s *Session) answer() error {
	s.listener.writing.Lock()
	s.listener.port.ResumeWrites()
	s.listener.writing.Unlock()
	_, err := s.Write(append([]byte(EchoMagic), s.nonce[:]...))
	return err
}

// Read implements net.Conn. It ends with io.EOF on a hang-up and when another hello arrives.
func (s *Session) Read(p []byte) (int, error) {
	l := s.listener
	l.reading.Lock()
	defer l.reading.Unlock()
	for !s.over() {
		got, data, err := l.intake.next(true)
		if err != nil {
			s.end()
			return 0, err
		}
		switch got {
		case gotData:
			if !s.begun && l.intake.isHelloPrefix(data) {
				// Perhaps a repeated hello, split on its way.
				got, err := l.intake.more()
				if err != nil || got == gotHangup {
					s.end()
				}
				continue
			}
			s.begun = true
			n := copy(p, data)
			l.intake.take(n)
			return n, nil
		case gotToken:
			if s.begun {
				s.end()
			}
		case gotNonce:
			if l.intake.nonce == s.nonce && s.repeats < ignoredRepeats && !s.over() {
				s.repeats++
				continue
			}
			nonce := l.intake.nonce
			l.hello = &nonce
			s.end()
		case gotHangup:
			s.end()
		}
	}
	return 0, io.EOF
}

// Write implements net.Conn.
func (s *Session) Write(p []byte) (int, error) {
	l := s.listener
	l.writing.Lock()
	defer l.writing.Unlock()
	written := 0
	for written < len(p) {
		if s.over() {
			return written, net.ErrClosed
		}
		n, err := l.port.Write(p[written:])
		written += n
		if err != nil {
			s.end()
			return written, err
		}
	}
	return written, nil
}

// Close implements net.Conn.
func (s *Session) Close() error {
	s.end()
	return nil
}

// LocalAddr implements net.Conn.
func (s *Session) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (s *Session) RemoteAddr() net.Addr { return address{} }

// SetDeadline implements net.Conn; a session has none, it ends with the host.
func (s *Session) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (s *Session) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (s *Session) SetWriteDeadline(time.Time) error { return nil }
