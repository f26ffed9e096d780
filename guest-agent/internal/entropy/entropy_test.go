package entropy

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestRequestIsAsTheKernelReadsIt(t *testing.T) {
	data := []byte("0123456789abcdef")
	request := poolInfo(data)
	if bits := binary.NativeEndian.Uint32(request); bits != 128 {
		t.Errorf("credits %d bits", bits)
	}
	if size := binary.NativeEndian.Uint32(request[4:]); size != 16 || !bytes.Equal(request[8:], data) {
		t.Errorf("%d bytes: %q", size, request[8:])
	}
}
