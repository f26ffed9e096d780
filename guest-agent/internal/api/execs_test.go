package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"scaibunker/guest-agent/internal/frames"
)

func TestExec(t *testing.T) {
	c := newMachine(t).connect()
	got := c.run("e1", sh("echo out; echo err >&2; exit 3", ""), nil)
	if got.stdout != "out\n" || got.stderr != "err\n" || *got.exit.ExitCode != 3 || got.kinds[0] != frames.Started {
		t.Errorf("%+v", got)
	}
	got = c.run("e2", `{"argv": ["no-such-program"], "user": "root", "timeout_s": 5}`, nil)
	if *got.exit.ExitCode != 127 || !strings.Contains(got.stderr, "no-such-program") {
		t.Errorf("%+v", got)
	}
	if state, _ := c.execState("e1"); state.Running || state.Pid == 0 || state.FramesStart != 0 || *state.Exit.ExitCode != 3 {
		t.Errorf("%+v", state)
	}
	c.expect("POST", "/v1/execs/e1", sh("true", ""), 409, "NAME_CONFLICT")
	if status, _ := c.call("DELETE", "/v1/execs/e1", ""); status != 204 {
		t.Errorf("forget: %d", status)
	}
	c.expect("DELETE", "/v1/execs/e1", "", 404, "EXEC_NOT_FOUND")
	c.expect("GET", "/v1/execs/e1/frames", "", 404, "EXEC_NOT_FOUND")
}

func TestExecStreams(t *testing.T) {
	c := newMachine(t).connect()
	input, feed := io.Pipe()
	response := c.start(t.Context(), "e", sh("while read line; do echo got $line; done", `, "stdin": "body"`), input)
	for _, word := range []string{"one", "two"} {
		if _, err := fmt.Fprintln(feed, word); err != nil {
			t.Fatal(err)
		}
		got, err := c.collect(response.Body, func(o *outcome) bool { return strings.HasSuffix(o.stdout, "\n") })
		if err != nil || got.stdout != "got "+word+"\n" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	feed.Close()
	if got, err := c.collect(response.Body, nil); err != nil || *got.exit.ExitCode != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLargeInputAndOutput(t *testing.T) {
	c := newMachine(t).connect()
	const size = 10 << 20
	got := c.run("e", sh("cat; exit 4", `, "stdin": "body"`), io.LimitReader(strings.NewReader(strings.Repeat("0123456789abcdef", size/16)), size))
	if len(got.stdout) != size || *got.exit.ExitCode != 4 || got.gap != 0 {
		t.Errorf("%d bytes, exit %+v", len(got.stdout), got.exit)
	}
}

func TestManyAtOnce(t *testing.T) {
	c := newMachine(t).connect()
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			response, err := c.send(ctx, "POST", fmt.Sprint("/v1/execs/e", i), strings.NewReader(sh(fmt.Sprintf("head -c 200000 /dev/zero; sleep 0.05; exit %d", i), "")))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if got, err := c.collect(response.Body, nil); err != nil || len(got.stdout) != 200000 || *got.exit.ExitCode != i {
				t.Errorf("%d: %d bytes, %+v, %v", i, len(got.stdout), got.exit, err)
			}
		})
	}
	wait.Wait()
}

func TestResetKillsTheGroup(t *testing.T) {
	c := newMachine(t).connect()
	ctx, reset := context.WithCancel(t.Context())
	c.start(ctx, "e", sh("sleep 1000 & sleep 1000", ""), nil)
	reset()
	c.eventually("the command's death", func() bool { s, _ := c.execState("e"); return !s.Running })
	if s, _ := c.execState("e"); s.Exit.Signal == nil || *s.Exit.Signal != "SIGKILL" || s.Exit.TimedOut {
		t.Errorf("exit %+v", s.Exit)
	}
}

func TestResetWhileInputAndOutputAreBlockedKills(t *testing.T) {
	c := newMachine(t).connect()
	ctx, reset := context.WithCancel(t.Context())
	input, feed := io.Pipe()
	go func() { // fills every window
		for buffer := make([]byte, 32*1024); ; {
			if _, err := feed.Write(buffer); err != nil {
				return
			}
		}
	}()
	c.start(ctx, "e", sh("exec yes", `, "stdin": "body"`), input)
	c.eventually("the output to be held up", func() bool { s, _ := c.execState("e"); return s.FramesEnd > 150_000 })
	reset()
	input.Close()
	c.eventually("the command's death", func() bool { s, _ := c.execState("e"); return !s.Running })
}

func TestLostSessionLeavesTheCommand(t *testing.T) {
	for name, lose := range map[string]func(*machine, *client) *client{
		"hang-up":   func(m *machine, c *client) *client { c.host.Close(); return m.connect() },
		"new host":  func(m *machine, c *client) *client { return m.connect() },
		"bad frame": func(m *machine, c *client) *client { _, _ = c.host.Write(make([]byte, 64)); return m.connect() },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			c := m.connect()
			input, feed := io.Pipe()
			t.Cleanup(func() { feed.Close() })
			response := c.start(t.Context(), "e", sh("echo one; until [ -e /tmp/never ]; do sleep 0.01; echo more; done", `, "stdin": "body"`), input)
			got, err := c.collect(response.Body, func(o *outcome) bool { return strings.HasPrefix(o.stdout, "one\n") })
			if err != nil {
				t.Fatal(err)
			}
			c = lose(m, c)
			time.Sleep(3 * lostGrace) // a command that is going to be killed is dead by then
			state, _ := c.execState("e")
			if !state.Running || !processExists(state.Pid) {
				t.Fatalf("the command has not survived: %+v", state)
			}
			// The host picks up exactly where it stopped.
			again, err := c.send(t.Context(), "GET", fmt.Sprint("/v1/execs/e/frames?offset=", got.bytes), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Body.Close()
			if status, _ := c.call("POST", "/v1/execs/e/signal", `{"signal": "SIGTERM"}`); status != 204 {
				t.Errorf("signal: %d", status)
			}
			rest, err := c.collect(again.Body, nil)
			if err != nil || rest.gap != 0 || rest.exit.Signal == nil || *rest.exit.Signal != "SIGTERM" {
				t.Errorf("%+v, %v", rest.exit, err)
			}
			if whole := got.stdout + rest.stdout; strings.Trim(strings.TrimPrefix(whole, "one\n"), "more\n") != "" {
				t.Errorf("stdout %q", whole)
			}
		})
	}
}

func TestFollowing(t *testing.T) {
	m := newMachine(t)
	c := m.connect()
	want := c.run("e", sh("head -c 900000 /dev/zero; echo end", ""), nil)
	state, _ := c.execState("e")
	if state.FramesEnd != want.bytes || state.FramesStart == 0 {
		t.Fatalf("%d bytes were sent, the list says %d to %d", want.bytes, state.FramesStart, state.FramesEnd)
	}
	follow := func(query string) outcome {
		response, err := c.send(t.Context(), "GET", "/v1/execs/e/frames"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 200 {
			t.Fatalf("%s: %d", query, response.StatusCode)
		}
		got, err := c.collect(response.Body, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	oldest := follow("")
	if oldest.kinds[0] != frames.Gap || oldest.gap != state.FramesStart || oldest.gap+oldest.bytes != state.FramesEnd || !strings.HasSuffix(oldest.stdout, "end\n") {
		t.Errorf("gap %d and %d bytes, kept are %d to %d", oldest.gap, oldest.bytes, state.FramesStart, state.FramesEnd)
	}
	if exact := follow(fmt.Sprint("?offset=", state.FramesStart)); exact.gap != 0 || exact.bytes != oldest.bytes {
		t.Errorf("gap %d and %d bytes", exact.gap, exact.bytes)
	}
	if nothing := follow(fmt.Sprint("?offset=", state.FramesEnd)); len(nothing.kinds) != 0 {
		t.Errorf("after the end: %v", nothing.kinds)
	}
	for _, gone := range []int64{state.FramesStart - 1, state.FramesEnd + 1} {
		if status, _ := c.call("GET", fmt.Sprint("/v1/execs/e/frames?offset=", gone), ""); status != 410 {
			t.Errorf("offset %d: %d", gone, status)
		}
	}
	c.expect("GET", "/v1/execs/e/frames?offset=x", "", 422, "VALIDATION_ERROR")
}

func TestResettingAFollowerDoesNotKill(t *testing.T) {
	c := newMachine(t).connect()
	c.start(t.Context(), "e", sh("sleep 1000", ""), nil)
	ctx, reset := context.WithCancel(t.Context())
	response, err := c.send(ctx, "GET", "/v1/execs/e/frames", nil)
	if err != nil {
		t.Fatal(err)
	}
	reset()
	response.Body.Close()
	time.Sleep(3 * lostGrace)
	if state, _ := c.execState("e"); !state.Running {
		t.Errorf("%+v", state)
	}
	if status, _ := c.call("DELETE", "/v1/execs/e", ""); status != 204 {
		t.Errorf("forget: %d", status)
	}
}

func TestStdinRequests(t *testing.T) {
	c := newMachine(t).connect()
	response := c.start(t.Context(), "e", sh("cat; echo end", `, "stdin": "open"`), nil)
	for _, request := range []struct{ query, body string }{{"", "one "}, {"?eof=false", "two "}, {"?eof=true", "three "}} {
		if status, answer := c.call("POST", "/v1/execs/e/stdin"+request.query, request.body); status != 204 {
			t.Errorf("stdin: %d %s", status, answer)
		}
	}
	got, err := c.collect(response.Body, nil)
	if err != nil || got.stdout != "one two three end\n" {
		t.Errorf("%+v, %v", got, err)
	}
	c.expect("POST", "/v1/execs/e/stdin", "late", 409, "EXEC_NOT_RUNNING")
	c.expect("POST", "/v1/execs/e/stdin?eof=perhaps", "", 422, "VALIDATION_ERROR")
	c.expect("POST", "/v1/execs/none/stdin", "", 404, "EXEC_NOT_FOUND")
	c.expect("POST", "/v1/execs/e/signal", `{"signal": "SIGTERM"}`, 409, "EXEC_NOT_RUNNING")
}

func TestBadStarts(t *testing.T) {
	c := newMachine(t).connect()
	for name, start := range map[string]string{
		"nothing":        ``,
		"no JSON":        `argv`,
		"not an object":  `[]`,
		"neither":        `{"timeout_s": 5}`,
		"empty argv":     `{"argv": [], "timeout_s": 5}`,
		"both":           `{"argv": ["true"], "shell": "true", "timeout_s": 5}`,
		"no timeout":     `{"argv": ["true"]}`,
		"zero timeout":   `{"argv": ["true"], "timeout_s": 0}`,
		"endless":        `{"argv": ["true"], "timeout_s": 1e300}`,
		"negative":       `{"argv": ["true"], "timeout_s": -1}`,
		"unknown field":  `{"argv": ["true"], "timeout_s": 5, "tty": true}`,
		"unknown user":   `{"argv": ["true"], "timeout_s": 5, "user": "daemon"}`,
		"unknown stdin":  `{"argv": ["true"], "timeout_s": 5, "stdin": "tty"}`,
		"relative cwd":   `{"argv": ["true"], "timeout_s": 5, "cwd": "tmp"}`,
		"missing cwd":    `{"argv": ["true"], "timeout_s": 5, "cwd": "/no/such"}`,
		"NUL in argv":    `{"argv": ["a\u0000b"], "timeout_s": 5}`,
		"NUL in shell":   `{"shell": "a\u0000b", "timeout_s": 5}`,
		"NUL in cwd":     `{"argv": ["true"], "timeout_s": 5, "cwd": "/a\u0000b"}`,
		"bad variable":   `{"argv": ["true"], "timeout_s": 5, "env": {"A=B": "c"}}`,
		"empty variable": `{"argv": ["true"], "timeout_s": 5, "env": {"": "c"}}`,
		"wrong type":     `{"argv": "true", "timeout_s": 5}`,
		"two values":     `{"argv": ["true"], "timeout_s": 5} {}`,
	} {
		t.Run(name, func(t *testing.T) { c.expect("POST", "/v1/execs/e", start, 422, "VALIDATION_ERROR") })
	}
	c.expect("POST", "/v1/execs/e", `{"shell": "`+strings.Repeat("x", 5<<20)+`"}`, 413, "PAYLOAD_TOO_LARGE")
	c.expect("POST", "/v1/execs/"+strings.Repeat("x", 200), sh("true", ""), 422, "VALIDATION_ERROR")
	c.expect("POST", "/v1/execs/a.b", sh("true", ""), 422, "VALIDATION_ERROR")
	if _, text := c.call("GET", "/v1/execs", ""); text != `{"execs":[]}` {
		t.Errorf("listed: %s", text)
	}
}
