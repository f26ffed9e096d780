package files

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
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

// createTemporary makes the file of such a name in an open directory.
func createTemporary(dir int, name string) (*os.File, error) {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
