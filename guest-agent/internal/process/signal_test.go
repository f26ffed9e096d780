package process

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]unix.Signal{
		"SIGTERM": 15, "SIGKILL": 9, "SIGINT": 2, "SIGHUP": 1, "SIGSTOP": 19, "SIGRTMIN": 34, "SIGRTMIN+3": 37,
		"SIGRTMAX": 64, "SIGRTMAX-1": 63,
	} {
		if got, err := parseSignal(name); err != nil || got != want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "TERM", "9", "sigterm", "SIGNOPE", "SIGRTMIN+31", "SIGRTMIN+-1", "SIGRTMAX-40", "SIGRTMIN+999"} {
		_, err := parseSignal(name)
		expectFault(t, err, 422, "VALIDATION_ERROR", "signal")
	}
	for signal := unix.Signal(1); signal <= 64; signal++ {
		if signal == 32 || signal == 33 {
			continue
		}
		if back, err := parseSignal(signalName(signal)); err != nil || back != signal {
			t.Errorf("%d is called %s, which is %d", signal, signalName(signal), back)
		}
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	exec := startWith(t, newTable(t), StdinNone, "trap 'echo got it; exit 5' USR1; sleep 1000 & wait")
	eventually(t, "the signal to be handled", func() bool {
		_ = exec.Signal("SIGUSR1")
		return exec.Status() != nil
	})
	got := follow(t, exec.Log.ReadOldest())
	// The first one may have come before the trap was set, and several before the end.
	if code := got.exit.ExitCode; code != nil && (*code != 5 || !strings.HasPrefix(got.stdout, "got it\n")) {
		t.Errorf("exit %+v, stdout %q", got.exit, got.stdout)
	}
	expectFault(t, exec.Signal("SIGUSR1"), 409, "EXEC_NOT_RUNNING", "")
	expectFault(t, exec.Signal("SIGWHAT"), 422, "VALIDATION_ERROR", "signal")
}
