package process

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/frames"
)

// Exec is one command, from its start until it is forgotten. What it was started with it does not
// keep: arguments and environment may be megabytes.
type Exec struct {
	ID  string
	Log *frames.Log

	table     *Table
	begun     time.Time
	outputs   [2]*output // stdout, stderr
	stdin     *stdin     // nil if the command reads /dev/null
	stdinMode StdinMode

	unwanted chan struct{} // closed when nobody will read the output
	abandon  sync.Once

	stillborn bool // killed before it ran; written before the reaper knows it

	mu       sync.Mutex
	pid      int
	deadline *time.Timer // the time-out
	expiry   *time.Timer // the forgetting
	timedOut bool
	ended    bool        // the process is gone
	status   *ExitStatus // set once the EXIT frame is in the log
}

// Pid is 0 if no process came to be.
func (e *Exec) Pid() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.pid
}

// Status returns how the command ended, or nil while it runs.
func (e *Exec) Status() *ExitStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Settle starts reading the command's output on goroutines of its own. Call it when the command
// has not ended within a few milliseconds: one that is quicker has its output read at its end,
// which costs much less.
func (e *Exec) Settle() {
	for _, output := range e.outputs {
		if output != nil {
			output.pump()
		}
	}
}

// Kill ends the command's whole process group at once. Harmless if it has ended.
func (e *Exec) Kill() { _ = e.table.reaper.SignalGroup(e.Pid(), unix.SIGKILL) }

// Abandon ends the command like Kill, and its output need not be kept for anybody.
func (e *Exec) Abandon() {
	e.abandon.Do(func() { close(e.unwanted) })
	e.Kill()
}

// orphan leaves the command running with nobody to read its output, which is thrown away.
func (e *Exec) orphan() {
	e.abandon.Do(func() { close(e.unwanted) })
	e.mute()
	e.Settle()
}

func (e *Exec) onTimeout() {
	e.mu.Lock()
	e.timedOut = true // before the kill, so that the exit finds it
	e.mu.Unlock()
	e.Kill()
}
