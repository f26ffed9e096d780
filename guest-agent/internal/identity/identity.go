// Package identity makes a machine one particular bunker: host name, clock, random numbers,
// environment. It is applied after a boot and after a restore alike, before the first command.
package identity

import (
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/clock"
	"scaibunker/guest-agent/internal/entropy"
	"scaibunker/guest-agent/internal/fault"
)

// Identity is the wire contract's GuestIdentity.
type Identity struct {
	Hostname      string            `json:"hostname"`
	TimeUnixNS    int64             `json:"time_unix_ns"`
	EntropyBase64 string            `json:"entropy_base64"`
	Env           map[string]string `json:"env"`
}

// Holder applies identities and remembers the current one's environment.
type Holder struct {
	mu  sync.Mutex
	env map[string]string
}

// Env is part of the environment of every command. It is not to be changed.
func (h *Holder) Env() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.env
}

// Apply makes the machine this bunker. Everything is checked before anything is changed. Errors
// are *fault.Error.
func (h *Holder) Apply(identity Identity) error {
	random, err := check(identity)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(random) > 0 {
		if err := entropy.Mix(random); err != nil {
			return fault.Internal(errors.Join(errors.New("cannot mix in entropy"), err))
		}
	}
	if _, err := clock.Set(time.Unix(0, identity.TimeUnixNS)); err != nil {
		return fault.Internal(errors.Join(errors.New("cannot set the clock"), err))
	}
	if err := unix.Sethostname([]byte(identity.Hostname)); err != nil {
		return fault.Internal(errors.Join(errors.New("cannot set the host name"), err))
	}
	writeNames("/etc", identity.Hostname)
	h.env = identity.Env
	return nil
}

func check(identity Identity) (random []byte, err error) {
	if !isHostname(identity.Hostname) {
		return nil, fault.Invalid("hostname", "hostname must be 1 to 64 letters, digits, dots and hyphens")
	}
	if err := clock.Check(identity.TimeUnixNS); err != nil {
		return nil, err
	}
	random, err = base64.StdEncoding.DecodeString(identity.EntropyBase64)
	if err != nil {
		return nil, fault.Invalid("entropy_base64", "entropy_base64 is not base64")
	}
	if len(random) > entropy.MaxBytes {
		return nil, fault.Invalid("entropy_base64", "entropy_base64 must not hold more than %d bytes", entropy.MaxBytes)
	}
	return random, CheckEnv("env", identity.Env)
}

// isHostname says whether the kernel and the files that hold it can take name as host name.
func isHostname(name string) bool {
	if len(name) == 0 || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		inner := i > 0 && i < len(name)-1
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case inner && (c == '-' || c == '.'):
		default:
			return false
		}
	}
	return true
}

// CheckEnv says whether names and values can be those of environment variables.
func CheckEnv(field string, env map[string]string) error {
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return fault.Invalid(field, "%s: %q cannot be the name of a variable", field, name)
		}
		if strings.IndexByte(value, 0) >= 0 {
			return fault.Invalid(field, "%s: the value of %s contains a NUL byte", field, name)
		}
	}
	return nil
}
