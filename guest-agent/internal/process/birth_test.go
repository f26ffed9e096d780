package process

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spawnSelf starts a child that runs the test's own program, and so looks like one that has not run
// anything yet. TestMain does what it is told to be.
func spawnSelf(t *testing.T, be string) (pid int, exited chan unix.WaitStatus) {
	t.Helper()
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip(err)
	}
	exited = make(chan unix.WaitStatus, 1)
	fork := func() (int, error) {
		return syscall.ForkExec("/proc/self/exe", []string{"child"}, &syscall.ProcAttr{Env: []string{be + "=1"}})
	}
	must(t, reaper.Spawn(fork, func(p int) { pid = p }, func(s unix.WaitStatus) { exited <- s }))
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid, exited
}

func TestStoppedChildIsKilledBeforeItRuns(t *testing.T) {
	pid, exited := spawnSelf(t, "BE_STOPPED")
	eventually(t, "the child to be stopped", func() bool { return isStopped(pid) })
	if !slices.Contains(unborn(), pid) {
		t.Skip("the kernel does not list children")
	}
	guard := guardBirth()
	if status := <-exited; !status.Signaled() || status.Signal() != unix.SIGKILL {
		t.Errorf("status %x", status)
	}
	if !guard.release(pid) {
		t.Error("the guard does not say that it killed")
	}
	guard = guardBirth()
	if guard.release(pid) {
		t.Error("a guard that saw nothing says that it killed")
	}
	guard = guardBirth()
	guard.killed = []int{pid}
	if guard.release(pid + 1) {
		t.Error("a guard takes the child of another fork for its own")
	}
}

func TestGuardGivesEveryChildItsTime(t *testing.T) {
	pid, exited := spawnSelf(t, "BE_SLOW")
	if !slices.Contains(unborn(), pid) {
		t.Skip("the kernel does not list children")
	}
	guard := &birthGuard{}
	seen := map[int]time.Time{pid + 1: time.Now().Add(-time.Hour)} // of a fork that takes long
	guard.glance(seen)
	if len(guard.killed) != 0 {
		t.Fatal("a child was killed for another's taking long")
	}
	seen[pid] = time.Now().Add(-birthTime)
	guard.glance(seen)
	if status := <-exited; !status.Signaled() || !slices.Equal(guard.killed, []int{pid}) {
		t.Errorf("status %x, killed %v", status, guard.killed)
	}
}

func TestChildrenThatRunAreLeftAlone(t *testing.T) {
	exec := startWith(t, newTable(t), StdinNone, "kill -STOP $$; echo went on")
	pid := exec.Pid()
	eventually(t, "the command to stop", func() bool { return isStopped(pid) })
	if slices.Contains(unborn(), pid) {
		t.Error("a command that runs counts as unborn")
	}
	must(t, exec.Signal("SIGCONT"))
	if got := follow(t, exec.Log.ReadOldest()); got.stdout != "went on\n" {
		t.Errorf("stdout %q", got.stdout)
	}
}

// Exits that come before the parent has noted the child must not be lost.
func TestExitBeforeTheParentKnows(t *testing.T) {
	startWith(t, newTable(t), StdinNone, "exec sleep 1000") // so that the reaper waits in the kernel
	for range 50 {
		exited := make(chan unix.WaitStatus, 2)
		born := false
		fork := func() (int, error) {
			pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 9"}, &syscall.ProcAttr{})
			eventually(t, "the child to be reaped", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
			return pid, err
		}
		must(t, reaper.Spawn(fork, func(int) { born = true }, func(s unix.WaitStatus) { exited <- s }))
		if status := <-exited; status.ExitStatus() != 9 || !born {
			t.Fatalf("status %x, born %v", status, born)
		}
		reaper.mu.Lock()
		left := len(exited) + len(reaper.early)
		reaper.mu.Unlock()
		if left != 0 {
			t.Fatal("something is left over")
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
