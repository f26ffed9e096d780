package api

import (
	"encoding/json"
	"testing"
	"time"
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
	if health.Protocol != 1 || health.AgentVersion != "test" || health.BootID == "" || health.Kernel == "" || health.UptimeS <= 0 {
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

func TestRefusals(t *testing.T) {
	c := newMachine(t).connect()
	c.expect("GET", "/v1/nothing", "", 404, "NOT_FOUND")
	c.expect("PATCH", "/v1/files", "", 404, "NOT_FOUND")
	c.expect("PUT", "/v1/clock", `{"time_unix_ns": -5}`, 422, "VALIDATION_ERROR")
	c.expect("PUT", "/v1/clock", `{"time_unix_ns": "now"}`, 422, "VALIDATION_ERROR")
	c.expect("PUT", "/v1/identity", `{"hostname": "-", "time_unix_ns": 1, "entropy_base64": ""}`, 422, "VALIDATION_ERROR")
}
