package textfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readInTime fails the test if Read hangs.
func readInTime(t *testing.T, path string) (string, error) {
	t.Helper()
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := Read(path)
		done <- answer{text, err}
	}()
	select {
	case a := <-done:
		return a.text, a.err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: hangs", path)
		return "", nil
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	long := strings.Repeat("line\n", 100_000)
	must(t,
		os.WriteFile(at("empty"), nil, 0o644),
		os.WriteFile(at("long"), []byte(long), 0o644),
		os.WriteFile(at("huge"), nil, 0o644), os.Truncate(at("huge"), 1<<40),
		os.Symlink("long", at("link")),
		os.Symlink("/dev/zero", at("zero")),
		os.Symlink("/dev/ptmx", at("terminal")),
		os.Symlink("loop", at("loop")),
		os.Mkdir(at("dir"), 0o755),
		syscall.Mkfifo(at("fifo"), 0o644),
	)
	for name, want := range map[string]string{"empty": "", "long": long, "link": long} {
		if got, err := readInTime(t, at(name)); err != nil || got != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := readInTime(t, "/proc/self/status"); err != nil || !strings.Contains(got, "Pid:") {
		t.Errorf("a file without a size: %q, %v", got, err)
	}
	for _, name := range []string{"huge", "zero", "dir", "fifo"} {
		if _, err := readInTime(t, at(name)); !errors.Is(err, ErrNotText) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"missing", "loop", "terminal"} {
		if _, err := readInTime(t, at(name)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// Waits for the kernel to say something, if it is let.
	_, _ = readInTime(t, "/proc/kmsg")
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must(t, os.WriteFile(path+".scaibunker", []byte("left over"), 0))
	for _, text := range []string{"new", "newer"} {
		must(t, Replace(path, text, 0o640))
		if got, err := Read(path); err != nil || got != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	must(t, os.MkdirAll(filepath.Join(dir, "dir/x"), 0o755))
	if Replace(filepath.Join(dir, "dir"), "x", 0o644) == nil || Replace(filepath.Join(dir, "no/file"), "x", 0o644) == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}
