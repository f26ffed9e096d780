package channeltest

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"scaibunker/guest-agent/internal/channel"
)

// Token returns a token for a test.
func Token() []byte { return random(channel.TokenBytes) }

// Nonce returns a nonce for a session.
func Nonce() []byte { return random(channel.NonceBytes) }

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
	return b
}

// Hello says hello with a nonce.
func (h *Host) Hello(token, nonce []byte) error {
	_, err := h.Write(append(bytes.Clone(token), nonce...))
	return err
}

// AwaitEcho discards what it reads up to the answer to a hello.
func (h *Host) AwaitEcho(nonce []byte) error {
	want := append([]byte(channel.EchoMagic), nonce...)
	var seen []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(seen, want) {
		if _, err := h.Read(one); err != nil {
			return fmt.Errorf("no echo after %d bytes: %w", len(seen), err)
		}
		seen = append(seen, one[0])
	}
	return nil
}

// Open connects a new host and opens a session.
func (w *Wire) Open(token []byte) (*Host, error) {
	host, nonce := w.Connect(), Nonce()
	if err := host.Hello(token, nonce); err != nil {
		return nil, err
	}
	return host, host.AwaitEcho(nonce)
}
