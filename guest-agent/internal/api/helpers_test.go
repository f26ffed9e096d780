package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/channel"
	"scaibunker/guest-agent/internal/channeltest"
	"scaibunker/guest-agent/internal/frames"
	"scaibunker/guest-agent/internal/hold"
	"scaibunker/guest-agent/internal/identity"
	"scaibunker/guest-agent/internal/process"
)

const patience = 30 * time.Second

var reaper = process.NewReaper()

func TestMain(m *testing.M) {
	go reaper.Run()
	os.Exit(m.Run())
}

// machine is an agent that serves on a wire.
type machine struct {
	*testing.T
	wire  *channeltest.Wire
	token []byte
	off   chan struct{}
	disk  fakeDisk

	execs    *process.Table
	listener *channel.Listener
}

// fakeDisk says what was done to it last.
type fakeDisk struct {
	mu   sync.Mutex
	last string
}

func (d *fakeDisk) note(what string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = what
	return nil
}

func (d *fakeDisk) state() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

func (d *fakeDisk) Sync() error   { return d.note("synced") }
func (d *fakeDisk) Freeze() error { return d.note("frozen") }
func (d *fakeDisk) Thaw() error   { return d.note("thawed") }

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{T: t, wire: channeltest.New(), token: channeltest.Token(), off: make(chan struct{})}
	execs, err := process.NewTable(process.Options{
		Budget: frames.NewBudget(64 << 20), MaxLive: 50, MaxFinished: 100, Remember: time.Hour, KeepUser: true,
	}, reaper)
	if err != nil {
		t.Fatal(err)
	}
	server := &Server{
		Version:  "test",
		Execs:    execs,
		Users:    &accounts.Directory{GroupFile: filepath.Join(t.TempDir(), "group")},
		Identity: &identity.Holder{},
		Hold:     &hold.Holder{Disk: &m.disk},
		PowerOff: func() { close(m.off) },
	}
	listener := channel.NewListener(m.wire, m.token)
	server.ReplaceToken = listener.ReplaceToken
	m.execs, m.listener = execs, listener
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener, Windows{Connection: 8 << 20})
	}()
	t.Cleanup(func() {
		for _, e := range execs.List() {
			_ = execs.Forget(e.ID)
		}
		listener.Close()
		<-served
	})
	return m
}

// client is a host with an open session.
type client struct {
	*machine
	host *channeltest.Host
	http *http.Client
}

func (m *machine) connect() *client {
	m.Helper()
	host, err := m.wire.Open(m.token)
	if err != nil {
		m.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	var dialled atomic.Bool
	transport := &http.Transport{
		Protocols: &protocols,
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerStream: frames.ReplayWindow},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if !dialled.Swap(true) {
				return host, nil
			}
			// There is but this one: the request gets it when the transport has seen that it is idle.
			select {
			case <-ctx.Done():
			case <-time.After(patience):
			}
			return nil, errors.New("a session has one connection")
		},
	}
	m.Cleanup(transport.CloseIdleConnections)
	return &client{m, host, &http.Client{Transport: transport}}
}

func (c *client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://guest"+path, body)
	if err != nil {
		return nil, err
	}
	return c.http.Do(request)
}

// call sends a request and returns the whole answer.
func (c *client) call(method, path, body string) (status int, answer string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	response, err := c.send(ctx, method, path, strings.NewReader(body))
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	return response.StatusCode, string(text)
}

// expect sends a request and checks status and code of its refusal.
func (c *client) expect(method, path, body string, status int, code string) {
	c.Helper()
	got, answer := c.call(method, path, body)
	var problem struct{ Code, Message string }
	if got != status || json.Unmarshal([]byte(answer), &problem) != nil || problem.Code != code || problem.Message == "" {
		c.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, code)
	}
}

// start starts a command and returns the stream of its frames.
func (c *client) start(ctx context.Context, id, start string, stdin io.Reader) *http.Response {
	c.Helper()
	var body io.Reader = strings.NewReader(start + "\n")
	if stdin != nil {
		body = io.MultiReader(body, stdin)
	}
	response, err := c.send(ctx, "POST", "/v1/execs/"+id, body)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != frames.ContentType {
		text, _ := io.ReadAll(response.Body)
		c.Fatalf("start %s: %d %s", id, response.StatusCode, text)
	}
	return response
}

// outcome is a stream of frames that has been read.
type outcome struct {
	stdout, stderr string
	kinds          []frames.Kind
	gap, bytes     int64
	exit           struct {
		ExitCode *int    `json:"exit_code"`
		Signal   *string `json:"signal"`
		TimedOut bool    `json:"timed_out"`
	}
}

// collect reads frames until the end, or until enough says so.
func (c *client) collect(from io.Reader, enough func(*outcome) bool) (all outcome, err error) {
	c.Helper()
	header := make([]byte, frames.HeaderSize)
	for {
		if _, err := io.ReadFull(from, header); err != nil {
			if err == io.EOF {
				err = nil
			}
			return all, err
		}
		payload := make([]byte, binary.BigEndian.Uint32(header[1:]))
		if _, err := io.ReadFull(from, payload); err != nil {
			return all, err
		}
		kind := frames.Kind(header[0])
		all.kinds = append(all.kinds, kind)
		switch kind {
		case frames.Stdout:
			all.stdout += string(payload)
		case frames.Stderr:
			all.stderr += string(payload)
		case frames.Exit:
			if err := json.Unmarshal(payload, &all.exit); err != nil {
				return all, err
			}
		case frames.Gap:
			var gap struct{ Bytes int64 }
			if err := json.Unmarshal(payload, &gap); err != nil {
				return all, err
			}
			all.gap += gap.Bytes
		}
		if kind != frames.Gap && kind != frames.Keepalive {
			all.bytes += int64(len(header) + len(payload))
		}
		if enough != nil && enough(&all) {
			return all, nil
		}
	}
}

func (c *client) run(id, start string, stdin io.Reader) outcome {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	all, err := c.collect(c.start(ctx, id, start, stdin).Body, nil)
	if err != nil {
		c.Fatalf("%s: %v after %+v", id, err, all)
	}
	if len(all.kinds) == 0 || all.kinds[len(all.kinds)-1] != frames.Exit {
		c.Fatalf("%s: frames %v", id, all.kinds)
	}
	return all
}

// execState is a command as the list tells.
func (c *client) execState(id string) (state guestExec, listed bool) {
	c.Helper()
	_, text := c.call("GET", "/v1/execs", "")
	var list struct{ Execs []guestExec }
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		c.Fatal(err)
	}
	for _, exec := range list.Execs {
		if exec.ExecID == id {
			return exec, true
		}
	}
	return guestExec{}, false
}

func (m *machine) eventually(what string, holds func() bool) {
	m.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.Fatalf("waited in vain for %s", what)
		}
	}
}

func quote(text string) string {
	var buffer bytes.Buffer
	_ = json.NewEncoder(&buffer).Encode(text)
	return strings.TrimSpace(buffer.String())
}

// sh is the start line of a shell command that root would run, so that the test's user does.
func sh(script, more string) string {
	return fmt.Sprintf(`{"shell": %s, "user": "root", "cwd": "/", "timeout_s": 60%s}`, quote(script), more)
}

func processExists(pid int) bool {
	return unix.Kill(pid, 0) == nil
}
