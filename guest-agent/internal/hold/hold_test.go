package hold

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fake is processes and a disk; it remembers what was done to it.
type fake struct {
	mu        sync.Mutex
	done      []string
	restless  bool
	syncError error
	syncs     chan struct{} // if set, Sync waits for it
}

func (f *fake) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, what)
}

func (f *fake) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.done...)
}

func (f *fake) expect(t *testing.T, want ...string) {
	t.Helper()
	got := f.all()
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

type processes struct{ *fake }

func (p processes) Freeze(frozen bool) error {
	p.note(map[bool]string{true: "stop", false: "go"}[frozen])
	return nil
}

func (p processes) Frozen() bool { return !p.restless }

type disk struct{ *fake }

func (d disk) Sync() error {
	if d.syncs != nil {
		<-d.syncs
	}
	d.note("sync")
	return d.syncError
}
func (d disk) Freeze() error { d.note("freeze"); return nil }
func (d disk) Thaw() error   { d.note("thaw"); return nil }

func newFake() (*fake, *Holder) {
	f := &fake{}
	return f, &Holder{Processes: processes{f}, Disk: disk{f}}
}

func TestEverythingStandsUntilItIsReleased(t *testing.T) {
	f, h := newFake()
	if still, err := h.Hold(true, time.Hour); !still || err != nil {
		t.Fatal(still, err)
	}
	f.expect(t, "stop", "sync", "freeze")
	h.Release()
	f.expect(t, "stop", "sync", "freeze", "thaw", "go")
	h.Release()
	f.expect(t, "stop", "sync", "freeze", "thaw", "go")
}

func TestTheDiskCanBeGivenBackFirst(t *testing.T) {
	f, h := newFake()
	if _, err := h.Hold(true, time.Hour); err != nil {
		t.Fatal(err)
	}
	h.Write()
	f.expect(t, "stop", "sync", "freeze", "thaw")
	h.Release()
	f.expect(t, "stop", "sync", "freeze", "thaw", "go")
}

func TestAHostThatGoesAwayIsNotWaitedFor(t *testing.T) {
	f, h := newFake()
	if _, err := h.Hold(true, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); len(f.all()) < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("held for ever: %q", f.all())
		}
	}
	f.expect(t, "stop", "sync", "freeze", "thaw", "go")
}

func TestALimitBeginsAnew(t *testing.T) {
	f, h := newFake()
	for range 3 {
		if _, err := h.Hold(false, time.Hour); err != nil {
			t.Fatal(err)
		}
		h.expire(h.number - 1) // the timer of the one before, too late to be stopped
	}
	f.expect(t, "stop", "sync", "stop", "sync", "stop", "sync")
	h.expire(h.number)
	f.expect(t, "stop", "sync", "stop", "sync", "stop", "sync", "go")
}

func TestProcessesThatDoNotStandAreTold(t *testing.T) {
	f, h := newFake()
	f.restless = true
	if still, err := h.Hold(false, time.Hour); still || err != nil {
		t.Error(still, err)
	}
	h.Release()
	alone := &Holder{Disk: disk{f}}
	if still, err := alone.Hold(false, time.Hour); still || err != nil {
		t.Error(still, err)
	}
	alone.Release()
}

func TestADiskThatFailsHoldsNothing(t *testing.T) {
	f, h := newFake()
	f.syncError = unix.EIO
	if _, err := h.Hold(true, time.Hour); !errors.Is(err, unix.EIO) {
		t.Error(err)
	}
	f.expect(t, "stop", "sync", "go")
}

func TestARealFileSystem(t *testing.T) {
	fd, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := (FileSystem{fd}).Sync(); err != nil {
		t.Error(err)
	}
	if os.Geteuid() != 0 {
		if err := (FileSystem{fd}).Freeze(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP) {
			t.Error(err)
		}
	}
	if err := (FileSystem{-1}).Sync(); err == nil {
		t.Error("no error without a directory")
	}
}
