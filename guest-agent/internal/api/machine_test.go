package api

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/channeltest"
)

func TestHealth(t *testing.T) {
	c := newMachine(t).connect()
	status, text := c.call("GET", "/v1/health", "")
	var health struct {
		Protocol     int     `json:"protocol"`
		AgentVersion string  `json:"agent_version"`
		BootID       string  `json:"boot_id"`
		Kernel       string  `json:"kernel"`
		UptimeS      float64 `json:"uptime_s"`
		TimeUnixNS   int64   `json:"time_unix_ns"`
	}
	if err := json.Unmarshal([]byte(text), &health); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if health.Protocol != 2 || health.AgentVersion != "test" || health.BootID == "" || health.Kernel == "" || health.UptimeS <= 0 {
		t.Errorf("%s", text)
	}
	if off := time.Since(time.Unix(0, health.TimeUnixNS)); off < 0 || off > patience {
		t.Errorf("the time is %s off", off)
	}
}

func TestPowerAnswersFirst(t *testing.T) {
	m := newMachine(t)
	c := m.connect()
	c.expect("POST", "/v1/power", `{"action": "reboot"}`, 422, "VALIDATION_ERROR")
	if status, _ := c.call("POST", "/v1/power", `{"action": "off"}`); status != 202 {
		t.Errorf("status %d", status)
	}
	select {
	case <-m.off:
	case <-time.After(patience):
		t.Error("nothing happens")
	}
}

func TestHold(t *testing.T) {
	c := newMachine(t).connect()
	for _, body := range []string{`{}`, `{"limit_s": 0}`, `{"limit_s": 601}`, `{"limit_s": "x"}`} {
		c.expect("PUT", "/v1/hold", body, 422, "VALIDATION_ERROR")
	}
	if status, text := c.call("PUT", "/v1/hold", `{"limit_s": 60}`); status != 200 || text != `{"still":false}` || c.disk.state() != "synced" {
		t.Errorf("%d %s, the disk is %s", status, text, c.disk.state())
	}
	if status, _ := c.call("PUT", "/v1/hold", `{"freeze_disk": true, "limit_s": 60}`); status != 200 || c.disk.state() != "frozen" {
		t.Errorf("%d, the disk is %s", status, c.disk.state())
	}
	for range 2 {
		if status, _ := c.call("DELETE", "/v1/hold", ""); status != 204 || c.disk.state() != "thawed" {
			t.Errorf("%d, the disk is %s", status, c.disk.state())
		}
	}
}

func TestReplacedTokenOpensTheNextSession(t *testing.T) {
	m := newMachine(t)
	c := m.connect()
	former := m.token
	m.token = channeltest.Token()
	c.listener.ReplaceToken(m.token)
	if status, _ := c.call("GET", "/v1/health", ""); status != 200 {
		t.Errorf("the open session: %d", status)
	}
	// The former token is like any other bytes: they end the session, but nobody answers them.
	host := m.wire.Connect()
	if err := host.Hello(former, channeltest.Nonce()); err != nil {
		t.Fatal(err)
	}
	if status, _ := m.connect().call("GET", "/v1/health", ""); status != 200 {
		t.Errorf("a new session: %d", status)
	}
}

func TestDisownedCommandsRunOn(t *testing.T) {
	m := newMachine(t)
	c := m.connect()
	path := filepath.Join(t.TempDir(), "done")
	// More output than is kept without a reader, and then a sign of life.
	c.start(t.Context(), "e", sh("read x; head -c 3000000 /dev/zero; echo $$ > "+path+"; sleep 1000", `, "stdin": "open"`), nil)
	state, _ := c.execState("e")
	t.Cleanup(func() { _ = unix.Kill(-state.Pid, unix.SIGKILL) })
	if status, _ := c.call("POST", "/v1/execs/e/stdin", "go\n"); status != 204 {
		t.Fatal(status)
	}
	c.execs.Disown()
	c.eventually("the command to get past its output", func() bool { _, err := os.Stat(path); return err == nil })
	if _, listed := c.execState("e"); listed || !processExists(state.Pid) {
		t.Errorf("listed %v, there %v", listed, processExists(state.Pid))
	}
}

func TestRefusals(t *testing.T) {
	c := newMachine(t).connect()
	c.expect("GET", "/v1/nothing", "", 404, "NOT_FOUND")
	c.expect("PATCH", "/v1/files", "", 404, "NOT_FOUND")
	c.expect("PUT", "/v1/clock", `{"time_unix_ns": -5}`, 422, "VALIDATION_ERROR")
	c.expect("PUT", "/v1/clock", `{"time_unix_ns": "now"}`, 422, "VALIDATION_ERROR")
	c.expect("PUT", "/v1/identity", `{"hostname": "-", "time_unix_ns": 1, "entropy_base64": ""}`, 422, "VALIDATION_ERROR")
	c.expect("PUT", "/v1/identity", `{"hostname": "a", "time_unix_ns": 1700000000000000000, "entropy_base64": "", "disk_mb": -1}`, 422, "VALIDATION_ERROR")
}
