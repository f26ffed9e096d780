package process

import (
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/frames"
)

// exited is called by the reaper when the process has ended.
func (e *Exec) exited(status unix.WaitStatus) {
	now := time.Now()
	e.mu.Lock()
	e.ended = true
	if e.deadline != nil {
		e.deadline.Stop()
	}
	e.mu.Unlock()
	if e.stillborn {
		e.Log.Append(frames.Encode(frames.Stderr, []byte(stillbornMessage)))
	}
	if e.stdin != nil {
		e.stdin.close()
	}
	var totals [2]int
	if e.drain(now, &totals) {
		e.finish(status, now)
		return
	}
	// Rare: more is left than may be kept, and nobody reads. Not on the reaper's time.
	go func() {
		e.drainSlowly(now, &totals)
		e.finish(status, now)
	}()
}

// drainSlowly waits for a reader to make room, but not for ever: whoever has not come in the time
// for which an ended command is remembered will not come.
func (e *Exec) drainSlowly(since time.Time, totals *[2]int) {
	patience := time.NewTimer(e.table.options.Remember)
	defer patience.Stop()
	for !e.drain(since, totals) {
		room := e.Log.Room(2 * graceBytes)
		if room == nil {
			continue
		}
		select {
		case <-room:
		case <-e.unwanted:
			e.mute()
		case <-patience.C:
			e.mute()
		}
	}
}

// mute has the rest of the output thrown away.
func (e *Exec) mute() {
	for _, output := range e.outputs {
		output.mu.Lock()
		output.muted = true
		output.mu.Unlock()
	}
}

func (e *Exec) drain(since time.Time, totals *[2]int) bool {
	done := true
	for i, output := range e.outputs {
		done = output.drain(since, &totals[i]) && done
	}
	return done
}

// finish writes the EXIT frame.
func (e *Exec) finish(status unix.WaitStatus, at time.Time) {
	exit := &ExitStatus{DurationMS: at.Sub(e.begun).Milliseconds()}
	if status.Signaled() {
		name := signalName(status.Signal())
		exit.Signal = &name
	} else {
		code := status.ExitStatus()
		exit.ExitCode = &code
	}
	e.mu.Lock()
	// A process that ended by itself just as its time ran out was not killed by that.
	exit.TimedOut = e.timedOut && status.Signaled() && status.Signal() == unix.SIGKILL
	e.mu.Unlock()
	e.complete(exit)
	for _, output := range e.outputs {
		output.finish(&e.table.leftovers)
	}
}

// finishUnborn ends a command that never became a process: a line on stderr, and an exit code as a
// shell would give.
func (e *Exec) finishUnborn(code int, message string) {
	e.Log.Append(frames.Encode(frames.Stderr, []byte("scaibunker: "+truncate(message)+"\n")))
	e.complete(&ExitStatus{ExitCode: &code, DurationMS: time.Since(e.begun).Milliseconds()})
}

func truncate(message string) string {
	const most = 1024
	if len(message) > most {
		return message[:most] + "..."
	}
	return message
}

func (e *Exec) complete(exit *ExitStatus) {
	e.mu.Lock()
	e.status = exit
	e.mu.Unlock()
	e.table.finished(e)
	e.Log.Append(frames.EncodeJSON(frames.Exit, exit))
}

// closeOurs gives up the pipes of a command that never became a process.
func (e *Exec) closeOurs() {
	if e.stdin != nil {
		e.stdin.close()
	}
	for _, output := range e.outputs {
		output.mu.Lock()
		output.release()
		output.mu.Unlock()
	}
}
