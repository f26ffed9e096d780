package process

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/fault"
)

const (
	rtMin = 34 // as the C library counts: it keeps 32 and 33
	rtMax = 64
)

// Signal sends a signal to the command's process group. Errors are *fault.Error.
func (e *Exec) Signal(name string) error {
	signal, err := parseSignal(name)
	if err != nil {
		return err
	}
	if err := e.table.reaper.SignalGroup(e.Pid(), signal); err != nil {
		return notRunning(e.ID)
	}
	return nil
}

// parseSignal reads a name such as SIGTERM or SIGRTMIN+3.
func parseSignal(name string) (unix.Signal, error) {
	if signal := unix.SignalNum(name); signal != 0 {
		return signal, nil
	}
	number := 0
	switch {
	case name == "SIGRTMIN":
		number = rtMin
	case name == "SIGRTMAX":
		number = rtMax
	case strings.HasPrefix(name, "SIGRTMIN+"):
		if n, err := strconv.ParseUint(name[len("SIGRTMIN+"):], 10, 8); err == nil {
			number = rtMin + int(n)
		}
	case strings.HasPrefix(name, "SIGRTMAX-"):
		if n, err := strconv.ParseUint(name[len("SIGRTMAX-"):], 10, 8); err == nil {
			number = rtMax - int(n)
		}
	}
	if number < rtMin || number > rtMax {
		return 0, fault.Invalid("signal", "signal %q is not known; give a name such as SIGTERM", truncate(name))
	}
	return unix.Signal(number), nil
}

// signalName is the inverse of parseSignal.
func signalName(signal syscall.Signal) string {
	if name := unix.SignalName(signal); name != "" {
		return name
	}
	if signal >= rtMin && signal <= rtMax {
		return "SIGRTMIN+" + strconv.Itoa(int(signal)-rtMin)
	}
	return fmt.Sprintf("SIG%d", int(signal))
}
