package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/frames"
)

// Start runs a command under an id that is not in use. A command that cannot be run is not an
// error: it is an Exec that has ended with 126 or 127. Errors are *fault.Error.
func (t *Table) Start(id string, command Command) (*Exec, error) {
	e := &Exec{
		ID: id, Log: frames.NewLog(t.options.Budget), table: t, stdinMode: command.Stdin, begun: time.Now(),
		unwanted: make(chan struct{}),
	}
	if err := t.add(e); err != nil {
		return nil, err
	}
	if err := e.launch(command); err != nil {
		t.abandon(e)
		return nil, err
	}
	return e, nil
}

func (e *Exec) launch(command Command) error {
	dir, err := command.workingDir()
	if err != nil {
		return err
	}
	pipes, err := openPipes(command.Stdin)
	if err != nil {
		e.finishUnborn(exitCannotRun, "cannot make pipes: "+err.Error())
		return nil
	}
	defer pipes.closeTheirs()
	files, denied := candidates(command.Argv[0], command.Env["PATH"], dir)
	e.outputs[0] = &output{log: e.Log, poller: e.table.poller, kind: frames.Stdout, fd: pipes.ours[1]}
	e.outputs[1] = &output{log: e.Log, poller: e.table.poller, kind: frames.Stderr, fd: pipes.ours[2]}
	if command.Stdin != StdinNone {
		e.stdin = newStdin(pipes.ours[0])
	}
	environment := command.environment(dir)
	failure := error(unix.ENOENT)
	if denied {
		failure = unix.EACCES
	}
	for _, file := range files {
		err := e.spawn(command, file, dir, environment, pipes)
		if err == nil {
			e.setDeadline(command.Timeout)
			select {
			case <-e.unwanted: // forgotten while it was not known yet
				e.Kill()
			default:
			}
			return nil
		}
		if failure = err; !worthAnother(err) {
			break
		}
	}
	e.closeOurs()
	return e.explain(command, dir, files, failure)
}

// worthAnother says whether the next file along PATH may be tried, as execvp does.
func worthAnother(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EACCES)
}

func (e *Exec) spawn(command Command, file, dir string, environment []string, pipes *pipes) error {
	attributes := &syscall.ProcAttr{
		Dir:   dir,
		Env:   environment,
		Files: []uintptr{uintptr(pipes.theirs[0]), uintptr(pipes.theirs[1]), uintptr(pipes.theirs[2])},
		Sys:   e.table.attributes(command.User),
	}
	fork := func() (int, error) {
		// The unprivileged user's commands start one at a time: where that takes long, root's wait
		// for one of them at most.
		if !command.User.IsRoot() {
			e.table.forking.Lock()
			defer e.table.forking.Unlock()
		}
		guard := guardBirth()
		pid, err := syscall.ForkExec(file, command.Argv, attributes)
		e.stillborn = guard.release(pid)
		return pid, err
	}
	return e.table.reaper.Spawn(fork, e.born, e.exited)
}

// born is called when the process exists.
func (e *Exec) born(pid int) {
	e.mu.Lock()
	e.pid = pid
	e.mu.Unlock()
	e.Log.Append(frames.EncodeJSON(frames.Started, struct {
		Pid int `json:"pid"`
	}{pid}))
}

// setDeadline starts the time-out's clock; the process must be known to the reaper.
func (e *Exec) setDeadline(timeout time.Duration) {
	left := timeout - time.Since(e.begun)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.deadline = time.AfterFunc(left, e.onTimeout)
	}
}

// attributes is how every command of a user is forked: a session of its own, the user's rights,
// the user's control group.
func (t *Table) attributes(user accounts.User) *syscall.SysProcAttr {
	sys := &syscall.SysProcAttr{Setsid: true}
	if !t.options.KeepUser {
		sys.Credential = user.Credential()
	}
	group := t.options.BunkerCgroup
	if user.IsRoot() {
		group = t.options.RootCgroup
	}
	if group > 0 {
		sys.UseCgroupFD, sys.CgroupFD = true, group
	}
	return sys
}

// workingDir is where the command starts. A directory that was asked for must exist.
func (c Command) workingDir() (string, error) {
	var info unix.Stat_t
	if dir := c.Dir; dir != "" {
		if err := unix.Stat(dir, &info); err != nil {
			return "", fault.Invalid("cwd", "cwd %q: %v", dir, err)
		}
		if info.Mode&unix.S_IFMT != unix.S_IFDIR {
			return "", fault.Invalid("cwd", "cwd %q is not a directory", dir)
		}
		return dir, nil
	}
	home := c.User.Home
	if unix.Stat(home, &info) == nil && info.Mode&unix.S_IFMT == unix.S_IFDIR {
		return home, nil
	}
	return "/", nil
}

// environment is the command's, with PWD so that programs show the path that was asked for.
func (c Command) environment(dir string) []string {
	list := make([]string, 0, len(c.Env)+1)
	for name, value := range c.Env {
		list = append(list, name+"="+value)
	}
	if _, given := c.Env["PWD"]; !given {
		list = append(list, "PWD="+filepath.Clean(dir))
	}
	return list
}

// explain turns a failed start into the exit status that a shell would give, or into an error if
// the working directory was the reason.
func (e *Exec) explain(command Command, dir string, files []string, failure error) error {
	name := command.Argv[0]
	var errno syscall.Errno
	if !errors.As(failure, &errno) {
		return fault.Internal(failure)
	}
	switch errno {
	case unix.ENOENT, unix.ENOTDIR:
		message := name + ": not found"
		if len(files) > 0 && fileExists(files[0], dir) {
			message = name + ": cannot run: its interpreter does not exist"
		}
		e.finishUnborn(exitNotFound, message)
	case unix.EAGAIN:
		e.finishUnborn(exitCannotRun, name+": cannot start: process limit reached")
	case unix.ENOMEM:
		e.finishUnborn(exitCannotRun, name+": cannot start: out of memory")
	case unix.EACCES:
		if command.Dir != "" && !mayEnter(command.User, dir) {
			return fault.Invalid("cwd", "cwd %q: %s may not enter it", dir, command.User.Name)
		}
		e.finishUnborn(exitCannotRun, name+": permission denied")
	default:
		e.finishUnborn(exitCannotRun, fmt.Sprintf("%s: cannot run: %v", name, errno))
	}
	return nil
}

func fileExists(file, dir string) bool {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	_, err := os.Stat(file)
	return err == nil
}

// mayEnter says whether the user may have dir as working directory.
func mayEnter(user accounts.User, dir string) bool {
	return user.Do(func() error {
		fd, err := unix.Open(filepath.Join(dir, "/")+"/.", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}) == nil
}
