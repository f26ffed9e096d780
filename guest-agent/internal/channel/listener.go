package channel

import (
	"net"
	"sync"
)

// Listener opens one session at a time on a port. It implements net.Listener.
type Listener struct {
	port Port

	reading sync.Mutex // held by the one who uses intake: Accept or the live session
	intake  *intake
	hello   *[NonceBytes]byte // a complete hello that nobody has answered yet

	writing sync.Mutex

	accepting sync.Mutex
	session   *Session // the last one that was opened
	closeOnce sync.Once
	closed    chan struct{}
}

// NewListener makes sessions on port for hosts that know the token.
func NewListener(port Port, token []byte) *Listener {
	return &Listener{port: port, intake: newIntake(port, token), closed: make(chan struct{})}
}

// ReplaceToken has hosts known by another token from now on; a session that is open goes on.
func (l *Listener) ReplaceToken(token []byte) { l.intake.scanner.replace(token) }

// Accept waits for the current session to end and for a hello, answers it and returns the new
// session as a *Session. It fails only when the port does.
func (l *Listener) Accept() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if l.session != nil {
		select {
		case <-l.session.Ended():
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
	for {
		nonce, err := l.awaitHello()
		if err != nil {
			select {
			case <-l.closed:
				return nil, net.ErrClosed
			default:
				return nil, err
			}
		}
		session := newSession(l, nonce)
		if session.answer() == nil {
			l.session = session
			return session, nil
		}
	}
}

// awaitHello reads until a hello is complete and nothing more is waiting: a host that was
// impatient has sent several, and only the last is worth an answer.
//
// Hang-ups mean nothing here. The driver learns from one queue that the host has connected and gets
// its bytes from another, so a hello can be followed by a hang-up that is older than it. The
// answer to a host that is really gone goes to the next one, which discards it.
func (l *Listener) awaitHello() ([NonceBytes]byte, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	for {
		got, data, err := l.intake.next(l.hello == nil)
		if err != nil {
			return [NonceBytes]byte{}, err
		}
		switch got {
		case gotData:
			if l.hello != nil {
				// Not another hello, or only the beginning of one: the new session's business.
				return l.takeHello(), nil
			}
			l.intake.take(len(data))
		case gotToken:
			l.hello = nil
		case gotHangup:
		case gotNonce:
			nonce := l.intake.nonce
			l.hello = &nonce
		case gotNone:
			if l.hello != nil {
				return l.takeHello(), nil
			}
		}
	}
}

func (l *Listener) takeHello() [NonceBytes]byte {
	nonce := *l.hello
	l.hello = nil
	return nonce
}

// Close ends the session and the port.
func (l *Listener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.port.Close()
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "virtio-serial" }
func (address) String() string  { return "host" }
