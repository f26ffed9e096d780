package channel

import (
	"bytes"
	"io"
)

// intakeBytes is one read from the port. The virtio driver hands out 4 KiB at a time.
const intakeBytes = 16 * 1024

// event is what the intake came upon.
type event int

const (
	gotData   event = iota // bytes of a session
	gotToken               // a hello has begun: what came before it is void
	gotNonce               // a hello is complete
	gotHangup              // the host is gone
	gotNone                // nothing there (without waiting only)
)

// intake cuts what the port delivers into session bytes and hellos. One goroutine at a time.
type intake struct {
	port    Port
	scanner *scanner

	buffer        []byte
	begin, end    int // bytes not handed out yet
	scanned       int // up to where the scanner has looked
	inNonce       bool
	nonce         [NonceBytes]byte
	nonceReceived int
}

func newIntake(port Port, token []byte) *intake {
	return &intake{port: port, scanner: newScanner(token), buffer: make([]byte, intakeBytes)}
}

// next returns the next event, and for gotData the bytes, which are valid until the next call and
// which the caller takes with take.
func (in *intake) next(wait bool) (event, []byte, error) {
	for {
		// The nonce's bytes are scanned too: after a hello that broke off they are another one's.
		if in.scanned < in.end {
			if after := in.scanner.find(in.buffer[in.scanned:in.end]); after >= 0 {
				in.scanned += after
				in.begin = in.scanned
				in.inNonce, in.nonceReceived = true, 0
				return gotToken, nil, nil
			}
			in.scanned = in.end
		}
		if in.inNonce && in.begin < in.end {
			n := copy(in.nonce[in.nonceReceived:], in.buffer[in.begin:in.end])
			in.nonceReceived += n
			in.begin += n
			if in.nonceReceived == NonceBytes {
				in.inNonce = false
				return gotNonce, nil, nil
			}
		}
		if in.begin < in.end {
			return gotData, in.buffer[in.begin:in.end], nil
		}
		if got, err := in.fill(wait); err != nil || got != gotData {
			return got, nil, err
		}
	}
}

// take notes that the first n bytes of what next returned are used up.
func (in *intake) take(n int) { in.begin += n }

// more reads behind the bytes that next returned, for a caller that cannot use them yet.
func (in *intake) more() (event, error) {
	if in.begin > 0 {
		in.end = copy(in.buffer, in.buffer[in.begin:in.end])
		in.scanned -= in.begin
		in.begin = 0
	}
	return in.fill(true)
}

func (in *intake) fill(wait bool) (event, error) {
	if in.begin == in.end {
		in.begin, in.end, in.scanned = 0, 0, 0
	}
	read := in.port.Read
	if !wait {
		read = in.port.TryRead
	}
	n, err := read(in.buffer[in.end:])
	switch {
	case err == io.EOF:
		// Nothing is forgotten: bytes of the next host may already have been read (see Listener).
		return gotHangup, nil
	case err != nil:
		return gotNone, err
	case n == 0:
		return gotNone, nil
	}
	in.end += n
	return gotData, nil
}

// isHelloPrefix says whether data may be the beginning of a hello that is still arriving.
func (in *intake) isHelloPrefix(data []byte) bool {
	return len(data) < len(in.scanner.token) && bytes.HasPrefix(in.scanner.token, data)
}
