package boot

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resizeTime is how long the kernel may take to notice that its disk has become larger.
const resizeTime = 5 * time.Second

// Fill waits until the writable disk has so many MiB, then has its file system fill it, while it is in
// use. A disk that is as large as it was costs nothing. `disk` is Machine.Disk.
func Fill(disk int, mib int) error {
	root, err := unix.Openat(disk, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the disk: %w", err)
	}
	file := os.NewFile(uintptr(root), "disk")
	defer file.Close()
	var info unix.Stat_t
	if err := unix.Fstat(root, &info); err != nil {
		return err
	}
	// Not the device's file: the machine's owner may have put another one in its place.
	size := fmt.Sprintf("/sys/dev/block/%d:%d/size", unix.Major(info.Dev), unix.Minor(info.Dev))
	wanted := uint64(mib) << 20
	err = await(resizeTime, fmt.Sprintf("a disk of %d MiB", mib), func() bool {
		text, err := os.ReadFile(size)
		if err != nil {
			return false
		}
		sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 54)
		return err == nil && sectors*512 == wanted
	})
	if err != nil {
		return err
	}
	var system unix.Statfs_t
	if err := unix.Fstatfs(root, &system); err != nil {
		return err
	}
	blocks := wanted / uint64(system.Bsize)
	return control(file, resizeFS, unsafe.Pointer(&blocks))
}
