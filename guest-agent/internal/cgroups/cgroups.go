// Package cgroups keeps commands from taking the machine away from its owner: they live in control
// groups with a limit on processes, less memory than there is, and less weight on the processor
// than the agent.
//
//	/sys/fs/cgroup          the agent and the kernel
//	└── bunker              memory.max, cpu.weight
//	    ├── user            pids.max: commands of the user bunker
//	    └── root            pids.max: commands of root, so that a fork bomb can be dealt with
package cgroups

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// Limits are what the commands of a machine may use.
type Limits struct {
	// MemoryBytes is for all of them together.
	MemoryBytes uint64
	// Processes is for each of the two users.
	Processes int
}

// LimitsFor shares out a machine that has this much memory, of which this much is available now
// that only the agent runs. What is set aside is for the agent at work and for the kernel; with less
// the machine would run out of memory as a whole before the commands reach their limit.
func LimitsFor(total, available uint64) Limits {
	const least = 8 * mib
	reserve := min(max(12*mib, total/10), 48*mib)
	memory := uint64(least)
	if available > reserve+least {
		memory = available - reserve
	}
	processes := min(max(total/mib*4, 256), 8192)
	return Limits{MemoryBytes: memory, Processes: int(processes)}
}

// Groups are the control groups of the commands, as open directories that a process can be born
// in.
type Groups struct {
	User, Root int
	path       string
}

// Create makes the groups in a mounted cgroup2 file system.
func Create(mount string, limits Limits) (*Groups, error) {
	top := filepath.Join(mount, "bunker")
	groups := &Groups{path: top}
	err := errors.Join(
		write(mount, "cgroup.subtree_control", "+memory +pids +cpu"),
		os.Mkdir(top, 0o755),
		write(top, "cgroup.subtree_control", "+pids +cpu"),
		write(top, "memory.max", strconv.FormatUint(limits.MemoryBytes, 10)),
		write(top, "cpu.weight", "25"),
	)
	if err != nil {
		return nil, err
	}
	processes := strconv.Itoa(limits.Processes)
	if groups.User, err = leaf(top, "user", "20", processes); err != nil {
		return nil, err
	}
	groups.Root, err = leaf(top, "root", "100", processes)
	return groups, err
}

func leaf(top, name, weight, processes string) (int, error) {
	path := filepath.Join(top, name)
	err := errors.Join(
		os.Mkdir(path, 0o755),
		write(path, "pids.max", processes),
		write(path, "cpu.weight", weight),
	)
	if err != nil {
		return 0, err
	}
	return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Kill ends every process of every command at once, including those that are just being forked.
func (g *Groups) Kill() error { return write(g.path, "cgroup.kill", "1") }

// Freeze stops every process of every command where it is, or lets them all go on.
func (g *Groups) Freeze(frozen bool) error {
	text := "0"
	if frozen {
		text = "1"
	}
	return write(g.path, "cgroup.freeze", text)
}

// Frozen says whether all of them stand.
func (g *Groups) Frozen() bool {
	text, err := os.ReadFile(filepath.Join(g.path, "cgroup.events"))
	return err == nil && strings.Contains(string(text), "frozen 1\n")
}

func write(dir, file, text string) error {
	path := filepath.Join(dir, file)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(text))
		unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "write " + text + " to", Path: path, Err: err}
	}
	return nil
}
