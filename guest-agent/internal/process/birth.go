package process

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// birthGlance is after how long a fork is looked at for the first time, and birthPause how
	// often then. An ordinary one is over before.
	birthGlance = 100 * time.Millisecond
	birthPause  = 20 * time.Millisecond
	// birthTime is how long a fork may take. Just after a machine was restored, on an emulated
	// processor of a busy host, some take several seconds.
	birthTime = 15 * time.Second
)

const stillbornMessage = "scaibunker: the command was killed before it ran: " +
	"another program of the user stopped it, or kept it from the processor\n"

// birthGuard watches one fork. Between taking the user's id and running the command the child can
// be stopped by any program of that user, and the thread that forks waits in the kernel until the
// child runs something else. Without the guard one such program would hold up every
// command from then on.
type birthGuard struct {
	timer *time.Timer
	over  chan struct{}

	mu     sync.Mutex
	ended  bool
	killed []int // children, which may be those of forks that are under way beside this one
}

func guardBirth() *birthGuard {
	g := &birthGuard{over: make(chan struct{})}
	g.timer = time.AfterFunc(birthGlance, g.run)
	return g
}

// release ends the watch and says whether the child, pid, had to be killed.
func (g *birthGuard) release(pid int) (killed bool) {
	g.timer.Stop()
	close(g.over)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	return slices.Contains(g.killed, pid)
}

func (g *birthGuard) run() {
	seen := map[int]time.Time{} // when each was first found unborn
	for {
		g.glance(seen)
		select {
		case <-g.over:
			return
		case <-time.After(birthPause):
		}
	}
}

func (g *birthGuard) glance(seen map[int]time.Time) {
	now := time.Now()
	for _, pid := range unborn() {
		first, known := seen[pid]
		if !known {
			first, seen[pid] = now, now
		}
		if now.Sub(first) <= birthTime-birthGlance && !isStopped(pid) {
			continue
		}
		g.mu.Lock()
		if !g.ended && unix.Kill(pid, unix.SIGKILL) == nil {
			g.killed = append(g.killed, pid)
		}
		g.mu.Unlock()
	}
}

// unborn lists the children of this process that still are what it is: they have not run a
// program of their own. There is one at most for each fork that is under way.
func unborn() []int {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	var found []int
	for _, thread := range threads {
		text, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/children")
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if link, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && link == self {
				found = append(found, pid)
			}
		}
	}
	return found
}

// isStopped says whether a process is held by a signal or a tracer.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := bytes.LastIndex(stat, []byte(") "))
	return after >= 0 && after+2 < len(stat) && (stat[after+2] == 'T' || stat[after+2] == 't')
}
