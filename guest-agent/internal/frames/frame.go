// Package frames encodes command output for the wire and keeps it for a host that comes back.
//
// A frame is one byte of kind, four bytes of payload length (big endian), the payload; the
// contract is src/scaibunker/wire/guest/frames.py. Log is the memory of one command's frames.
package frames

import (
	"encoding/binary"
	"encoding/json"
)

// Kind says what a frame carries.
type Kind byte

// The kinds of the wire contract.
const (
	Stdout Kind = iota + 1
	Stderr
	Exit
	Error
	Started
	Gap
	Keepalive
)

const (
	// HeaderSize is the number of bytes before a payload.
	HeaderSize = 5
	// MaxPayload is the number of bytes that one frame may carry.
	MaxPayload = 64 * 1024
	// ContentType is the media type of a stream of frames.
	ContentType = "application/vnd.scaibunker.frames"
)

// PutHeader writes the header of a frame with n bytes of payload into the first HeaderSize bytes
// of buffer.
func PutHeader(buffer []byte, kind Kind, n int) {
	buffer[0] = byte(kind)
	binary.BigEndian.PutUint32(buffer[1:HeaderSize], uint32(n))
}

// Encode returns one frame. The payload is copied.
func Encode(kind Kind, payload []byte) []byte {
	frame := make([]byte, HeaderSize+len(payload))
	PutHeader(frame, kind, len(payload))
	copy(frame[HeaderSize:], payload)
	return frame
}

// EncodeJSON returns one frame with value as JSON. It panics if value cannot be encoded, which
// for the fixed types that are sent is a bug.
func EncodeJSON(kind Kind, value any) []byte {
	payload, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return Encode(kind, payload)
}
