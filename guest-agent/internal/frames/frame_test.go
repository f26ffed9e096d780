package frames

import (
	"bytes"
	"testing"
)

// The bytes are those that src/scaibunker/wire/guest/frames.py makes.
func TestFramesOnTheWire(t *testing.T) {
	for name, c := range map[string]struct{ got, want []byte }{
		"stdout":    {Encode(Stdout, []byte("hi")), []byte("\x01\x00\x00\x00\x02hi")},
		"keepalive": {Encode(Keepalive, nil), []byte("\x07\x00\x00\x00\x00")},
		"json": {EncodeJSON(Started, struct {
			Pid int `json:"pid"`
		}{300}), []byte("\x05\x00\x00\x00\x0b{\"pid\":300}")},
		"long": {Encode(Stderr, make([]byte, 258))[:5], []byte("\x02\x00\x00\x01\x02")},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: % x, want % x", name, c.got, c.want)
		}
	}
}
