package process

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/frames"
)

// Options are the limits and surroundings of all commands.
type Options struct {
	Budget *frames.Budget
	// MaxLive is how many commands may run at a time.
	MaxLive int
	// MaxFinished is how many that have ended are remembered; the oldest go first.
	MaxFinished int
	// Remember is how long one that has ended is remembered.
	Remember time.Duration
	// BunkerCgroup and RootCgroup are open directories of the control groups that commands are
	// born in; 0 for none.
	BunkerCgroup, RootCgroup int
	// KeepUser runs every command as the agent's own user, for tests without root.
	KeepUser bool
}

// maxLeftovers is how many pipes that background children hold after their command has ended are
// kept open; beyond that, writing to one is an error for the child.
const maxLeftovers = 256

// Table holds the commands by id.
type Table struct {
	options   Options
	reaper    *Reaper
	poller    *poller
	leftovers atomic.Int32
	forking   sync.Mutex // held while a process of the unprivileged user is being made

	mu    sync.Mutex
	execs map[string]*Exec
	done  []*Exec // those that have ended, oldest first
	live  int
}

// NewTable makes an empty table whose commands are reaped by reaper.
func NewTable(options Options, reaper *Reaper) (*Table, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &Table{options: options, reaper: reaper, poller: poller, execs: map[string]*Exec{}}, nil
}

// Get returns the command of an id. Errors are *fault.Error.
func (t *Table) Get(id string) (*Exec, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.execs[id]
	if e == nil {
		return nil, fault.NotFound("EXEC_NOT_FOUND", "command %s is not known", truncate(id))
	}
	return e, nil
}

// List returns all commands, ordered by id.
func (t *Table) List() []*Exec {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*Exec, 0, len(t.execs))
	for _, e := range t.execs {
		list = append(list, e)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list
}

// Forget removes a command, which is killed first if it runs. Errors are *fault.Error.
func (t *Table) Forget(id string) error {
	e, err := t.Get(id)
	if err != nil {
		return err
	}
	e.Abandon()
	t.remove(e)
	return nil
}

// Disown forgets all commands without ending any: their processes go on, to their time-outs at most.
func (t *Table) Disown() {
	for _, e := range t.List() {
		e.orphan()
		t.remove(e)
	}
}

func (t *Table) add(e *Exec) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.execs[e.ID] != nil {
		return fault.Conflict("NAME_CONFLICT", "command %s exists", e.ID)
	}
	if t.live >= t.options.MaxLive {
		return fault.New(429, "RATE_LIMITED", "%d commands run already; that is the limit of this machine", t.live)
	}
	t.execs[e.ID] = e
	t.live++
	return nil
}

// abandon takes back add.
func (t *Table) abandon(e *Exec) {
	t.mu.Lock()
	delete(t.execs, e.ID)
	t.live--
	t.mu.Unlock()
	e.Log.Free()
}

// finished notes that a command has ended, and makes room for it among those remembered.
func (t *Table) finished(e *Exec) {
	t.mu.Lock()
	t.live--
	known := t.execs[e.ID] == e
	var surplus *Exec
	if known {
		t.done = append(t.done, e)
		if len(t.done) > t.options.MaxFinished {
			surplus = t.done[0]
		}
	}
	t.mu.Unlock()
	if surplus != nil {
		t.remove(surplus)
	}
	if known {
		e.mu.Lock()
		e.expiry = time.AfterFunc(t.options.Remember, func() { t.remove(e) })
		e.mu.Unlock()
	}
}

// remove takes a command out of the table. One that still runs counts as live until it has ended.
func (t *Table) remove(e *Exec) {
	t.mu.Lock()
	known := t.execs[e.ID] == e
	if known {
		delete(t.execs, e.ID)
		for i, other := range t.done {
			if other == e {
				t.done = append(t.done[:i], t.done[i+1:]...)
				break
			}
		}
	}
	t.mu.Unlock()
	if !known {
		return
	}
	e.mu.Lock()
	if e.expiry != nil {
		e.expiry.Stop()
	}
	e.mu.Unlock()
	e.Log.Free()
}
