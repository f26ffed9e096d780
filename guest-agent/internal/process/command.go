package process

import (
	"time"

	"scaibunker/guest-agent/internal/accounts"
)

// StdinMode says where a command's standard input comes from.
type StdinMode string

// The modes of the wire contract.
const (
	StdinNone StdinMode = "none" // /dev/null
	StdinBody StdinMode = "body" // the request's body, then end of file
	StdinOpen StdinMode = "open" // later requests
)

// Command is what to run. It has been checked: no string holds a NUL byte.
type Command struct {
	Argv    []string // not empty
	Env     map[string]string
	Dir     string // empty: the user's home, or "/" if that does not exist
	User    accounts.User
	Timeout time.Duration
	Stdin   StdinMode
}

// ExitStatus is how a command ended, as the wire contract's ExecExit.
type ExitStatus struct {
	ExitCode   *int    `json:"exit_code"`
	Signal     *string `json:"signal"`
	TimedOut   bool    `json:"timed_out"`
	DurationMS int64   `json:"duration_ms"`
}

// Exit codes of a command that never ran, as shells have them.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)
