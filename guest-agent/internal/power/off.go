// Package power ends the machine.
package power

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// politeTime is what processes get to end by themselves.
const politeTime = 300 * time.Millisecond

// killTime bounds the wait for killed processes; what hangs in the kernel is left behind.
const killTime = 2 * time.Second

// syncTime bounds the writing back of data. The disk is the host's: if it does not take the data
// in this time, waiting longer does not help.
const syncTime = 20 * time.Second

var once sync.Once

// Off ends all processes, writes everything to disk, and switches the machine off. killAll ends the
// commands for certain; disk is an open directory at the root of the file system with the upper layer,
// or -1. It does not return.
func Off(killAll func() error, disk int) {
	once.Do(func() {
		stopProcesses(killAll)
		within(syncTime, func() {
			unix.Sync()
			detach(disk)
		})
		Now()
	})
	select {}
}

// Now switches the machine off without any ado.
func Now() {
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	// Without a way to switch off, a reboot ends the machine too: the host starts it but once.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

func stopProcesses(killAll func() error) {
	if noChildren() {
		return
	}
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGCONT)
	if gone(politeTime) {
		return
	}
	_ = killAll()
	_ = unix.Kill(-1, unix.SIGKILL)
	gone(killTime)
}

// gone waits until no process is left.
func gone(patience time.Duration) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if noChildren() {
			return true
		}
	}
	return false
}

// noChildren says whether process 1 has no child, which means that there is no process but those
// of the kernel.
func noChildren() bool {
	return unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil) == unix.ECHILD
}

// detach leaves the disk in a clean state: the overlay is made read-only, then the file system that
// holds its upper layer, which disk keeps reachable. Best effort: everything is synced already.
func detach(disk int) {
	_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	if disk >= 0 && unix.Fchdir(disk) == nil {
		_ = unix.Mount("", ".", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
}

func within(limit time.Duration, work func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	select {
	case <-done:
	case <-time.After(limit):
	}
}
