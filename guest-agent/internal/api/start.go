package api

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/identity"
	"scaibunker/guest-agent/internal/process"
)

const (
	// maxStartLine is the wire contract's MAX_START_LINE.
	maxStartLine = 4 << 20
	maxTimeout   = 7 * 24 * time.Hour
	maxExecID    = 128
)

// execStart is the wire contract's ExecStart.
type execStart struct {
	Argv     []string          `json:"argv"`
	Shell    *string           `json:"shell"`
	Env      map[string]string `json:"env"`
	Cwd      *string           `json:"cwd"`
	User     *string           `json:"user"`
	TimeoutS float64           `json:"timeout_s"`
	Stdin    *string           `json:"stdin"`
}

func (s *Server) startExec(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := checkExecID(id); err != nil {
		return err
	}
	line, rest, err := readLine(r.Body)
	if err != nil {
		return err
	}
	var start execStart
	if err := decodeJSON(bytes.NewReader(line), &start); err != nil {
		return err
	}
	command, err := s.command(start)
	if err != nil {
		return err
	}
	exec, err := s.Execs.Start(id, command)
	if err != nil {
		return err
	}
	if command.Stdin == process.StdinBody && exec.Pid() != 0 {
		go exec.FeedBody(io.MultiReader(bytes.NewReader(rest), r.Body))
	}
	awaitQuick(r.Context(), exec)
	if send(w, r, exec.Log.ReadOldest()) || sessionLost(r.Context()) {
		return nil
	}
	exec.Abandon()
	return nil
}

// readLine reads up to the first newline or the end of the body. rest is what came with it.
func readLine(body io.Reader) (line, rest []byte, err error) {
	buffer := make([]byte, 0, 2048)
	for {
		if len(buffer) == cap(buffer) {
			buffer = append(buffer, 0)[:len(buffer)]
		}
		n, err := body.Read(buffer[len(buffer):cap(buffer)])
		seen := len(buffer)
		buffer = buffer[:seen+n]
		if at := bytes.IndexByte(buffer[seen:], '\n'); at >= 0 {
			return buffer[:seen+at], buffer[seen+at+1:], nil
		}
		if len(buffer) > maxStartLine {
			return nil, nil, fault.New(http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE",
				"the line that starts a command must not be longer than %d bytes", maxStartLine)
		}
		if err == io.EOF {
			return buffer, nil, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func checkExecID(id string) error {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return fault.Invalid("exec_id", "exec_id must consist of letters, digits, _ and -")
		}
	}
	if len(id) > maxExecID {
		return fault.Invalid("exec_id", "exec_id must not be longer than %d characters", maxExecID)
	}
	return nil
}

// command checks a start line and makes a command of it.
func (s *Server) command(start execStart) (process.Command, error) {
	command := process.Command{Argv: start.Argv}
	switch {
	case start.Shell != nil && start.Argv != nil:
		return command, fault.Invalid("argv", "give either argv or shell, not both")
	case start.Shell != nil:
		command.Argv = []string{"/bin/sh", "-c", *start.Shell}
	case len(start.Argv) == 0:
		return command, fault.Invalid("argv", "give argv, with at least one element, or shell")
	}
	for _, argument := range command.Argv {
		if strings.IndexByte(argument, 0) >= 0 {
			field := "argv"
			if start.Shell != nil {
				field = "shell"
			}
			return command, fault.Invalid(field, "%s must not contain a NUL byte", field)
		}
	}
	if start.Cwd != nil {
		if !strings.HasPrefix(*start.Cwd, "/") || strings.IndexByte(*start.Cwd, 0) >= 0 {
			return command, fault.Invalid("cwd", "cwd must be an absolute path without NUL bytes")
		}
		command.Dir = *start.Cwd
	}
	if err := identity.CheckEnv("env", start.Env); err != nil {
		return command, err
	}
	if !(start.TimeoutS > 0) || start.TimeoutS > maxTimeout.Seconds() {
		return command, fault.Invalid("timeout_s", "timeout_s must be more than 0 and at most %.0f", maxTimeout.Seconds())
	}
	command.Timeout = time.Duration(math.Ceil(start.TimeoutS * float64(time.Second)))
	name := accounts.BunkerName
	if start.User != nil {
		name = *start.User
	}
	user, err := s.user(name)
	if err != nil {
		return command, err
	}
	command.User = user
	command.Env = process.Environment(user, s.Identity.Env(), start.Env)
	command.Stdin = process.StdinNone
	if start.Stdin != nil {
		command.Stdin = process.StdinMode(*start.Stdin)
	}
	switch command.Stdin {
	case process.StdinNone, process.StdinBody, process.StdinOpen:
	default:
		return command, fault.Invalid("stdin", "stdin must be \"none\", \"body\" or \"open\"")
	}
	return command, nil
}
