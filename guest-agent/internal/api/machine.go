package api

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/clock"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/identity"
)

// protocolVersion is that of the wire contract.
const protocolVersion = 2

var kernelRelease = sync.OnceValue(func() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
})

var bootID = sync.OnceValue(func() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
})

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	var uptime unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &uptime); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Protocol     int     `json:"protocol"`
		AgentVersion string  `json:"agent_version"`
		BootID       string  `json:"boot_id"`
		Kernel       string  `json:"kernel"`
		UptimeS      float64 `json:"uptime_s"`
		TimeUnixNS   int64   `json:"time_unix_ns"`
	}{protocolVersion, s.Version, bootID(), kernelRelease(), time.Duration(uptime.Nano()).Seconds(), time.Now().UnixNano()})
}

func (s *Server) putIdentity(w http.ResponseWriter, r *http.Request) error {
	var request identity.Identity
	if err := readJSON(r, &request); err != nil {
		return err
	}
	// A copy of a machine that was held wakes up so. Names are written to the disk, and the programs of
	// its former life go on only when everything is right.
	s.Hold.Write()
	if err := s.Identity.Apply(request); err != nil {
		return err
	}
	if request.DisownExecs {
		s.Execs.Disown()
	}
	if token := request.Token(); token != nil {
		s.ReplaceToken(token)
	}
	s.Hold.Release()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) putClock(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		TimeUnixNS int64 `json:"time_unix_ns"`
	}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	if err := clock.Check(request.TimeUnixNS); err != nil {
		return err
	}
	offset, err := clock.Set(time.Unix(0, request.TimeUnixNS))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		OffsetNS int64 `json:"offset_ns"`
	}{offset.Nanoseconds()})
}

// answerTime is what the answer to a power request gets to reach the host.
const answerTime = 30 * time.Millisecond

func (s *Server) power(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		Action string `json:"action"`
	}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	if request.Action != "off" {
		return fault.Invalid("action", "action must be \"off\"")
	}
	w.WriteHeader(http.StatusAccepted)
	time.AfterFunc(answerTime, s.PowerOff)
	return nil
}
