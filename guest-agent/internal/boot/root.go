package boot

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	imageDisk = "/dev/vda"
	upperDisk = "/dev/vdb"

	// diskTime is how long the disks may take to appear.
	diskTime = 15 * time.Second
)

// enterRoot makes the overlay of the two disks the root directory. It returns an open directory on
// the writable disk, which is not reachable by a path any more.
func enterRoot() (disk int, err error) {
	if err := errors.Join(awaitDevice(imageDisk), awaitDevice(upperDisk)); err != nil {
		return -1, err
	}
	if err := mountAt(imageDisk, "/image", "ext4", unix.MS_RDONLY, ""); err != nil {
		return -1, err
	}
	if err := mountAt(upperDisk, "/disk", "ext4", unix.MS_NOATIME, "noinit_itable"); err != nil {
		return -1, err
	}
	growDisk()
	disk, err = unix.Open("/disk", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /disk: %w", err)
	}
	for _, dir := range []string{"/disk/upper", "/disk/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return -1, err
		}
	}
	// redirect_dir lets directories of the image be renamed, as on an ordinary disk.
	const layers = "lowerdir=/image,upperdir=/disk/upper,workdir=/disk/work,redirect_dir=on"
	if err := mountAt("overlay", "/machine", "overlay", 0, layers); err != nil {
		return -1, err
	}
	return disk, switchRoot("/machine")
}

// switchRoot makes dir the root directory and frees the initramfs. The two layers stay mounted
// below, out of reach.
func switchRoot(dir string) error {
	_ = os.Remove("/init")
	_ = os.RemoveAll("/modules")
	if err := unix.Unmount("/dev", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount /dev: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("enter %s: %w", dir, err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", dir, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	return nil
}

// awaitDevice waits for a device file that may take a moment to appear.
func awaitDevice(path string) error {
	return await(diskTime, path, func() bool {
		return unix.Access(path, unix.F_OK) == nil
	})
}

// await asks again and again, more and more slowly, until ready says yes.
func await(limit time.Duration, what string, ready func() bool) error {
	pause := 200 * time.Microsecond
	for deadline := time.Now().Add(limit); !ready(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has not appeared within %s", what, limit)
		}
		time.Sleep(pause)
		pause = min(2*pause, 20*time.Millisecond)
	}
	return nil
}
