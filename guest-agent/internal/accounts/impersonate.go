package accounts

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// IsRoot says whether this is the super-user.
func (u User) IsRoot() bool { return u.UID == 0 }

// Credential is what a process of this user is forked with.
func (u User) Credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// Do calls work with the user's rights and none of the agent's. Only the calling goroutine's
// thread changes: its effective ids and groups become the user's, and with the effective user id
// the kernel takes all capabilities from it, so that neither file modes nor /proc are bypassed.
//
// work must not start goroutines that need those rights, and must not be long: it holds a thread.
func (u User) Do(work func() error) error {
	if u.IsRoot() || unix.Geteuid() != 0 {
		return work()
	}
	runtime.LockOSThread()
	if err := u.assume(); err != nil {
		// The thread may be half changed: leaving it locked makes the runtime end it with this
		// goroutine, but the goroutine belongs to the caller. Go back if possible.
		if restore() == nil {
			runtime.UnlockOSThread()
		}
		return err
	}
	defer func() {
		if err := restore(); err != nil {
			// Never hand a thread with wrong rights back to the runtime. Cannot happen: the real
			// and saved user ids are still root's.
			panic("cannot regain the agent's rights: " + err.Error())
		}
		runtime.UnlockOSThread()
	}()
	return work()
}

const unchanged = ^uintptr(0)

func (u User) assume() error {
	if err := setGroups(u.Groups); err != nil {
		return err
	}
	if err := setEffective(unix.SYS_SETRESGID, u.GID); err != nil {
		return err
	}
	return setEffective(unix.SYS_SETRESUID, u.UID)
}

func restore() error {
	if err := setEffective(unix.SYS_SETRESUID, 0); err != nil {
		return err
	}
	if err := setEffective(unix.SYS_SETRESGID, 0); err != nil {
		return err
	}
	return setGroups(nil)
}

// The raw system calls change one thread; the wrappers of package syscall would change all.

func setEffective(call uintptr, id uint32) error {
	if _, _, errno := unix.RawSyscall(call, unchanged, uintptr(id), unchanged); errno != 0 {
		return errno
	}
	return nil
}

func setGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
