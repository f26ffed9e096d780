package files

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync"
)

// CopySize is how much of a file is in memory at a time.
const CopySize = 64 * 1024

var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, CopySize)
	return &b
}}

func itoa(n int) string { return strconv.Itoa(n) }

// temporaryName is one that nobody else has: the bytes come from the kernel, so that two machines
// restored from one snapshot differ too.
func temporaryName() (string, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	return ".scaibunker-" + hex.EncodeToString(random), nil
}
