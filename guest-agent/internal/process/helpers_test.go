package process

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/frames"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// reaper is the only one in the test binary: two would take each other's children.
var reaper = NewReaper()

func TestMain(m *testing.M) {
	if os.Getenv("BE_STOPPED") != "" { // see TestStoppedChildIsKilledBeforeItRuns
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
		os.Exit(0)
	}
	if os.Getenv("BE_SLOW") != "" { // see TestGuardGivesEveryChildItsTime
		time.Sleep(patience)
		os.Exit(0)
	}
	go reaper.Run()
	os.Exit(m.Run())
}

func newTable(t *testing.T, change ...func(*Options)) *Table {
	t.Helper()
	options := Options{
		Budget:      frames.NewBudget(64 << 20),
		MaxLive:     16,
		MaxFinished: 8,
		Remember:    time.Hour,
		KeepUser:    true,
	}
	for _, c := range change {
		c(&options)
	}
	table, err := NewTable(options, reaper)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, e := range table.List() {
			_ = table.Forget(e.ID)
		}
	})
	return table
}

func shell(script string) Command { return program("/bin/sh", "-c", script) }

func program(argv ...string) Command {
	user := accounts.User{Name: "bunker", UID: uint32(os.Getuid()), Home: "/"}
	return Command{Argv: argv, Env: Environment(user), User: user, Timeout: patience, Stdin: StdinNone}
}

// outcome is what a reader of all frames gets.
type outcome struct {
	stdout, stderr string
	started        int
	gap            int64
	exit           *ExitStatus
	kinds          []frames.Kind
}

// follow reads frames to the end.
func follow(t *testing.T, reader *frames.Reader) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all outcome
	for {
		batch := reader.Next(1 << 20)
		all.gap += batch.Gap
		for _, frame := range batch.Frames {
			all.add(t, frame)
		}
		reader.Sent()
		if batch.Final {
			return all
		}
		if batch.More == nil {
			continue
		}
		select {
		case <-batch.More:
		case <-ctx.Done():
			t.Fatalf("no end of frames; so far %+v", all)
		}
	}
}

func (o *outcome) add(t *testing.T, frame []byte) {
	t.Helper()
	kind, payload := frames.Kind(frame[0]), frame[frames.HeaderSize:]
	o.kinds = append(o.kinds, kind)
	switch kind {
	case frames.Stdout:
		o.stdout += string(payload)
	case frames.Stderr:
		o.stderr += string(payload)
	case frames.Started:
		o.started++
	case frames.Exit:
		if o.exit != nil {
			t.Fatal("two EXIT frames")
		}
		o.exit = new(ExitStatus)
		if err := json.Unmarshal(payload, o.exit); err != nil {
			t.Fatal(err)
		}
	}
}

func run(t *testing.T, table *Table, id string, command Command) outcome {
	t.Helper()
	exec, err := table.Start(id, command)
	if err != nil {
		t.Fatal(err)
	}
	exec.Settle()
	return follow(t, exec.Log.ReadOldest())
}

func (o outcome) expectExit(t *testing.T, code int) {
	t.Helper()
	if o.exit == nil || o.exit.ExitCode == nil || *o.exit.ExitCode != code {
		t.Fatalf("exit %+v, want code %d; stderr %q", o.exit, code, o.stderr)
	}
}
