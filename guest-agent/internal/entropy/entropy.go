// Package entropy feeds the kernel's random number generator. A machine that was restored from a
// snapshot has the generator's state in common with every other one restored from it, until it is
// given something of its own.
package entropy

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxBytes is how much is taken at a time.
const MaxBytes = 4096

// Mix adds data to the pool, credits it, and makes the generator use it from the next byte on.
func Mix(data []byte) error {
	device, err := os.OpenFile("/dev/urandom", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer device.Close()
	request := poolInfo(data)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&request[0]))); errno != 0 {
		return errno
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, device.Fd(), rndReseedCRNG, 0); errno != 0 {
		return errno
	}
	return nil
}

// poolInfo is a struct rand_pool_info: bits credited, bytes that follow, the bytes.
func poolInfo(data []byte) []byte {
	request := make([]byte, 8, 8+len(data))
	binary.NativeEndian.PutUint32(request[0:], uint32(8*len(data)))
	binary.NativeEndian.PutUint32(request[4:], uint32(len(data)))
	return append(request, data...)
}

const rndReseedCRNG = 0x5207 // _IO('R', 0x07)
