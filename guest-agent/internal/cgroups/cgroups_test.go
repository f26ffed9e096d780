package cgroups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLimitsFor(t *testing.T) {
	for _, c := range []struct {
		total, free, memory uint64
		processes           int
	}{
		{48 * mib, 25 * mib, 13 * mib, 256},
		{48 * mib, 10 * mib, 8 * mib, 256}, // never nothing at all
		{220 * mib, 180 * mib, 158 * mib, 880},
		{4096 * mib, 4000 * mib, 3952 * mib, 8192},
	} {
		got := LimitsFor(c.total, c.free)
		if got.MemoryBytes != c.memory || got.Processes != c.processes {
			t.Errorf("%d of %d MiB: %d MiB, %d processes", c.free/mib, c.total/mib, got.MemoryBytes/mib, got.Processes)
		}
	}
}

func TestCreateSaysWhatFailed(t *testing.T) {
	_, err := Create(t.TempDir(), Limits{MemoryBytes: 1, Processes: 1})
	if err == nil || !strings.Contains(err.Error(), "cgroup.subtree_control") {
		t.Errorf("error %v", err)
	}
}

func TestFreezing(t *testing.T) {
	dir := t.TempDir()
	groups := &Groups{path: dir}
	if groups.Frozen() || groups.Freeze(true) == nil {
		t.Error("frozen without any files")
	}
	for file, text := range map[string]string{"cgroup.freeze": "", "cgroup.events": "populated 1\nfrozen 1\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := groups.Freeze(true); err != nil || !groups.Frozen() {
		t.Error(err, groups.Frozen())
	}
	if err := groups.Freeze(false); err != nil {
		t.Error(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "cgroup.freeze")); string(text) != "0" {
		t.Errorf("wrote %q", text)
	}
}

func TestKillWritesToTheTopGroup(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cgroup.kill")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (&Groups{path: dir}).Kill(); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); string(text) != "1" {
		t.Errorf("wrote %q", text)
	}
	if err := (&Groups{path: dir + "/missing"}).Kill(); err == nil {
		t.Error("no error without the file")
	}
}
