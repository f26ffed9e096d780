package channel

import (
	"bytes"
	"sync/atomic"
)

// TokenBytes and NonceBytes are the parts of a hello; EchoMagic comes before the nonce in its
// answer.
const (
	TokenBytes = 32
	NonceBytes = 16
	EchoMagic  = "SBGUEST1"
)

// scanner finds the token in a stream that arrives in pieces of any size.
type scanner struct {
	token []byte
	next  atomic.Pointer[[]byte] // takes token's place at the next piece
	tail  []byte                 // the last bytes seen, fewer than a token
}

func newScanner(token []byte) *scanner {
	return &scanner{token: token, tail: make([]byte, 0, 2*len(token))}
}

// replace has another token of the same length looked for from the next piece on. Any goroutine.
func (s *scanner) replace(token []byte) { s.next.Store(&token) }

// find returns the index in piece of the first byte after the token's first occurrence, or -1. What
// it has passed is remembered: after a match go on with the rest of the piece.
func (s *scanner) find(piece []byte) int {
	if next := s.next.Swap(nil); next != nil {
		s.token, s.tail = *next, s.tail[:0]
	}
	keep := len(s.token) - 1
	if tail := len(s.tail); tail > 0 {
		seam := append(s.tail, piece[:min(keep, len(piece))]...)
		if at := bytes.Index(seam, s.token); at >= 0 {
			s.tail = s.tail[:0]
			return at + len(s.token) - tail
		}
	}
	if at := bytes.Index(piece, s.token); at >= 0 {
		s.tail = s.tail[:0]
		return at + len(s.token)
	}
	if len(piece) >= keep {
		s.tail = append(s.tail[:0], piece[len(piece)-keep:]...)
		return -1
	}
	s.tail = append(s.tail, piece...)
	if surplus := len(s.tail) - keep; surplus > 0 {
		s.tail = s.tail[:copy(s.tail, s.tail[surplus:])]
	}
	return -1
}
