// Package boot makes a running system of an initramfs and two disks: it loads the kernel modules,
// stacks the bunker's writable disk over the image, moves into the result and mounts what programs
// expect to find.
//
// It starts no program and does nothing that is not needed, for under software emulation every
// step is paid for tenfold. What serves the host afterwards is assembled in cmd/guest-agent.
package boot

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/cgroups"
	"scaibunker/guest-agent/internal/console"
)

// Machine is what a successful boot leaves.
type Machine struct {
	// Token is what a host that may talk to us knows.
	Token []byte
	// Port is the device file of the guest channel.
	Port string
	// Groups are where commands live; nil if the kernel cannot do it.
	Groups *cgroups.Groups
	// Disk is an open directory on the writable disk.
	Disk int
	// MemoryBytes is how much the machine has.
	MemoryBytes uint64
}

// Run boots. An error means that there is no machine to be had.
func Run() (*Machine, error) {
	unix.Umask(0o022)
	if err := mountAt("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return nil, err
	}
	if err := loadModules("/modules"); err != nil {
		return nil, err
	}
	disk, err := enterRoot()
	if err != nil {
		return nil, err
	}
	if err := mountSystem(); err != nil {
		return nil, err
	}
	machine := &Machine{Disk: disk}
	if machine.Token, err = takeToken(); err != nil {
		return nil, err
	}
	tune()
	loopbackUp()
	total, available, err := memory()
	if err != nil {
		return nil, err
	}
	machine.MemoryBytes = total
	limits := cgroups.LimitsFor(total, available)
	if machine.Groups, err = cgroups.Create("/sys/fs/cgroup", limits); err != nil {
		// Better a machine without limits than none: its owner is the one who would suffer.
		console.Print("no control groups: %v", err)
	}
	if err := accounts.Ensure("/"); err != nil {
		console.Print("user bunker: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	machine.Port, err = findPort(portName)
	return machine, err
}

// mountAt mounts at a path that is made a real directory first, whatever an image has put there: a
// link in its place would lead the mount astray.
func mountAt(source, target, kind string, flags uintptr, data string) error {
	var info unix.Stat_t
	if err := unix.Lstat(target, &info); err != nil || info.Mode&unix.S_IFMT != unix.S_IFDIR {
		_ = os.Remove(target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("mount point %s: %w", target, err)
		}
	}
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, target, err)
	}
	return nil
}
