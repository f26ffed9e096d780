package boot

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/console"
)

// resizeFS is EXT4_IOC_RESIZE_FS: _IOW('f', 16, __u64).
const resizeFS = 0x40086610

// growDisk has the writable file system fill its disk, which may be larger than the one that it was
// made on. The kernel does it while it is in use, and nothing if there is nothing to do.
func growDisk() {
	if err := fill("/disk", upperDisk); err != nil {
		console.Print("the disk stays as small as it was: %v", err)
	}
}

func fill(mountPoint, device string) error {
	disk, err := os.Open(device)
	if err != nil {
		return err
	}
	defer disk.Close()
	var bytes uint64
	if err := control(disk, unix.BLKGETSIZE64, unsafe.Pointer(&bytes)); err != nil {
		return fmt.Errorf("size of %s: %w", device, err)
	}
	var info unix.Statfs_t
	if err := unix.Statfs(mountPoint, &info); err != nil {
		return err
	}
	root, err := os.Open(mountPoint)
	if err != nil {
		return err
	}
	defer root.Close()
	blocks := bytes / uint64(info.Bsize)
	return control(root, resizeFS, unsafe.Pointer(&blocks))
}

func control(file *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
