package process

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func startWith(t *testing.T, table *Table, mode StdinMode, script string) *Exec {
	t.Helper()
	command := shell(script)
	command.Stdin = mode
	exec, err := table.Start("e", command)
	if err != nil {
		t.Fatal(err)
	}
	exec.Settle()
	return exec
}

func TestNoStdinIsEndOfFile(t *testing.T) {
	if got := run(t, newTable(t), "e", shell("cat; echo end")); got.stdout != "end\n" {
		t.Errorf("stdout %q", got.stdout)
	}
}

func TestBodyIsStdin(t *testing.T) {
	exec := startWith(t, newTable(t), StdinBody, "wc -c; echo end")
	go exec.FeedBody(io.LimitReader(endless{}, 10<<20))
	if got := follow(t, exec.Log.ReadOldest()); got.stdout != "10485760\nend\n" {
		t.Errorf("stdout %q", got.stdout)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRestOfTheBodyIsDropped(t *testing.T) {
	exec := startWith(t, newTable(t), StdinBody, "exec 0<&-; sleep 0.3; echo end")
	fed := make(chan struct{})
	body := io.LimitReader(endless{}, 5<<20)
	go func() {
		exec.FeedBody(body)
		close(fed)
	}()
	follow(t, exec.Log.ReadOldest()).expectExit(t, 0)
	select {
	case <-fed:
	case <-time.After(patience):
		t.Fatal("the body still waits for a reader")
	}
	if n, _ := body.Read(make([]byte, 1)); n != 0 {
		t.Error("the body was not read to its end")
	}
}

func TestBrokenBodyIsNoEndOfFile(t *testing.T) {
	table := newTable(t)
	exec := startWith(t, table, StdinBody, "cat; echo the input was whole")
	exec.FeedBody(io.MultiReader(strings.NewReader("half"), failing{}))
	select {
	case <-exec.Log.Done():
		t.Fatal("the command took a truncated input for a whole one")
	case <-time.After(200 * time.Millisecond):
	}
	exec.Kill()
	if got := follow(t, exec.Log.ReadOldest()); got.stdout != "half" {
		t.Errorf("stdout %q", got.stdout)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection lost") }

func TestOpenStdin(t *testing.T) {
	exec := startWith(t, newTable(t), StdinOpen, "cat; echo end")
	for _, part := range []string{"one ", "two ", ""} {
		if err := exec.WriteStdin(t.Context(), strings.NewReader(part), part == ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := follow(t, exec.Log.ReadOldest()); got.stdout != "one two end\n" {
		t.Errorf("stdout %q", got.stdout)
	}
	expectFault(t, exec.WriteStdin(t.Context(), strings.NewReader("x"), false), 409, "EXEC_NOT_RUNNING", "")
}

func TestStdinThatTheCommandClosed(t *testing.T) {
	exec := startWith(t, newTable(t), StdinOpen, "exec 0<&-; echo closed; exec sleep 1000")
	eventually(t, "stdin to be closed", func() bool {
		return len(exec.Log.ReadOldest().Next(1<<20).Frames) == 2 // STARTED and the line
	})
	expectFault(t, exec.WriteStdin(t.Context(), strings.NewReader("x"), false), 409, "EXEC_NOT_RUNNING", "")
}

func TestStdinOfOtherModes(t *testing.T) {
	exec := startWith(t, newTable(t), StdinNone, "exec sleep 1000")
	expectFault(t, exec.WriteStdin(t.Context(), strings.NewReader("x"), false), 422, "VALIDATION_ERROR", "stdin")
}

func TestStdinWriteCanBeGivenUp(t *testing.T) {
	exec := startWith(t, newTable(t), StdinOpen, "sleep 1; exec wc -c")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := exec.WriteStdin(ctx, io.LimitReader(endless{}, 1<<20), false); err == nil {
		t.Fatal("a megabyte went into a pipe that nobody reads")
	}
	if err := exec.WriteStdin(t.Context(), strings.NewReader(""), true); err != nil {
		t.Fatal(err)
	}
	follow(t, exec.Log.ReadOldest()).expectExit(t, 0)
}
