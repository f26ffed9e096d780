package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/frames"
)

func TestKilledBySignal(t *testing.T) {
	for name, want := range map[string]string{"KILL": "SIGKILL", "TERM": "SIGTERM", "34": "SIGRTMIN+0", "40": "SIGRTMIN+6"} {
		got := run(t, newTable(t), "e", shell("kill -"+name+" $$; sleep 100"))
		if got.exit.ExitCode != nil || got.exit.Signal == nil || *got.exit.Signal != want || got.exit.TimedOut {
			t.Errorf("%s: exit %+v", name, got.exit)
		}
	}
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	command := shell("echo before; trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000")
	command.Timeout = 2 * time.Second
	got := run(t, newTable(t), "e", command)
	if got.exit.ExitCode != nil || *got.exit.Signal != "SIGKILL" || !got.exit.TimedOut {
		t.Errorf("exit %+v", got.exit)
	}
	if got.exit.DurationMS < 2000 {
		t.Errorf("took %d ms", got.exit.DurationMS)
	}
	lines := strings.Fields(got.stdout)
	if len(lines) != 2 || lines[0] != "before" {
		t.Fatalf("stdout %q", got.stdout)
	}
	child, _ := strconv.Atoi(lines[1])
	eventually(t, "the child's death", func() bool { return !alive(child) })
}

func TestExitByItselfIsNoTimeout(t *testing.T) {
	command := shell("exit 0")
	command.Timeout = 20 * time.Millisecond
	got := run(t, newTable(t), "e", command)
	if got.exit.TimedOut && got.exit.ExitCode != nil {
		t.Errorf("exit %+v", got.exit)
	}
}

func TestBackgroundChildDoesNotDelayTheExit(t *testing.T) {
	table := newTable(t)
	begun := time.Now()
	got := run(t, table, "e", shell("sleep 1000 & echo $!"))
	got.expectExit(t, 0)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	child, err := strconv.Atoi(strings.TrimSpace(got.stdout))
	if err != nil {
		t.Fatalf("stdout %q", got.stdout)
	}
	if !alive(child) {
		t.Error("the background child is dead")
	}
	_ = unix.Kill(child, unix.SIGKILL)
	eventually(t, "the pipes to be closed", func() bool { return table.leftovers.Load() == 0 })
}

func TestBackgroundChildMayGoOnPrinting(t *testing.T) {
	table := newTable(t)
	dir := t.TempDir()
	script := fmt.Sprintf("(trap 'echo yes > %[1]s/pipe' PIPE; until [ -e %[1]s/stop ]; do echo noise; sleep 0.01; done; echo yes > %[1]s/done) & echo", dir)
	got := run(t, table, "e", shell(script))
	got.expectExit(t, 0)
	time.Sleep(50 * time.Millisecond) // the longer, the surer to catch a SIGPIPE
	if err := os.WriteFile(dir+"/stop", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child's end", func() bool { _, err := os.Stat(dir + "/done"); return err == nil })
	if _, err := os.Stat(dir + "/pipe"); err == nil {
		t.Error("the child got SIGPIPE")
	}
	eventually(t, "the pipes to be closed", func() bool { return table.leftovers.Load() == 0 })
}

func TestLeftoverPipesAreBounded(t *testing.T) {
	table := newTable(t)
	table.leftovers.Store(maxLeftovers)
	got := run(t, table, "e", shell("(sleep 0.2; while echo noise; do sleep 0.01; done) & echo $!"))
	child, _ := strconv.Atoi(strings.TrimSpace(got.stdout))
	eventually(t, "the end of a child whose pipe is closed", func() bool { return !alive(child) })
	if n := table.leftovers.Load(); n != maxLeftovers {
		t.Errorf("%d leftovers", n)
	}
}

func TestBackgroundChildThatFloodsThePipe(t *testing.T) {
	begun := time.Now()
	table := newTable(t)
	exec, err := table.Start("e", shell("yes & echo $! >&2"))
	if err != nil {
		t.Fatal(err)
	}
	exec.Settle()
	got := follow(t, exec.Log.ReadOldest())
	got.expectExit(t, 0)
	child, _ := strconv.Atoi(strings.TrimSpace(got.stderr))
	_ = unix.Kill(child, unix.SIGKILL)
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	script := "(sh -c 'echo $$; : > %[1]s; sleep 0.05' &); until [ -e %[1]s ]; do sleep 0.01; done"
	got := run(t, newTable(t), "e", shell(fmt.Sprintf(script, t.TempDir()+"/told")))
	orphan, err := strconv.Atoi(strings.TrimSpace(got.stdout))
	if err != nil {
		t.Fatalf("stdout %q", got.stdout)
	}
	eventually(t, "the orphan to be reaped", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", orphan))
		return os.IsNotExist(err)
	})
}

func TestOutputThatNobodyReadsDoesNotKeepTheCommandForEver(t *testing.T) {
	full := func(table *Table) *Exec {
		exec, err := table.Start("e", shell("exec yes"))
		if err != nil {
			t.Fatal(err)
		}
		exec.Settle()
		eventually(t, "the output to be held up", func() bool { return exec.Log.Room(0) != nil })
		return exec
	}
	// The one who would read it has gone away for good.
	exec := full(newTable(t))
	exec.Abandon()
	eventually(t, "the abandoned command's end", func() bool { return exec.Status() != nil })
	// A session was lost and nobody came back.
	exec = full(newTable(t, func(o *Options) { o.Remember = 50 * time.Millisecond }))
	exec.Kill()
	eventually(t, "the forgotten command's end", func() bool { return exec.Status() != nil })
	// Somebody did come back.
	exec = full(newTable(t))
	exec.Kill()
	got := follow(t, exec.Log.ReadOldest())
	if *got.exit.Signal != "SIGKILL" || len(got.stdout) < 128*1024 || strings.Trim(got.stdout, "y\n") != "" {
		t.Errorf("%d bytes, exit %+v", len(got.stdout), got.exit)
	}
}

func TestFinishedCommandsAreForgotten(t *testing.T) {
	table := newTable(t, func(o *Options) { o.MaxFinished = 3 })
	for i := range 6 {
		run(t, table, fmt.Sprint("e", i), program("/bin/true"))
	}
	var ids []string
	for _, e := range table.List() {
		ids = append(ids, e.ID)
	}
	if strings.Join(ids, " ") != "e3 e4 e5" {
		t.Errorf("remembered: %v", ids)
	}
	table = newTable(t, func(o *Options) { o.Remember = 10 * time.Millisecond })
	run(t, table, "e", program("/bin/true"))
	eventually(t, "it to be forgotten", func() bool { return len(table.List()) == 0 })
}

func TestForgetKills(t *testing.T) {
	table := newTable(t)
	exec, err := table.Start("e", shell("exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	pid := exec.Pid()
	reader := exec.Log.ReadOldest()
	if err := table.Forget("e"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process to be gone", func() bool { return !alive(pid) })
	for batch := reader.Next(1); !batch.Final; batch = reader.Next(1) {
		if batch.More != nil {
			<-batch.More
		}
	}
	expectFault(t, table.Forget("e"), 404, "EXEC_NOT_FOUND", "")
}

func TestStatusAfterTheExit(t *testing.T) {
	table := newTable(t)
	run(t, table, "e", shell("exit 4"))
	exec, err := table.Get("e")
	if err != nil {
		t.Fatal(err)
	}
	if status := exec.Status(); status == nil || *status.ExitCode != 4 || exec.Pid() == 0 {
		t.Errorf("status %+v, pid %d", status, exec.Pid())
	}
	var last []byte
	reader := exec.Log.ReadOldest()
	for _, frame := range reader.Next(1 << 20).Frames {
		last = frame
	}
	if frames.Kind(last[0]) != frames.Exit {
		t.Error("the frames cannot be read again")
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0] != "Z" && fields[0] != "X"
}
