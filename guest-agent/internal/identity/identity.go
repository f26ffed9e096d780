// Package identity makes a machine one particular bunker: host name, clock, random numbers,
// environment. It is applied after a boot and after a restore alike, before the first command.
package identity

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/channel"
	"scaibunker/guest-agent/internal/clock"
	"scaibunker/guest-agent/internal/entropy"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/network"
)

// Identity is the wire contract's GuestIdentity.
type Identity struct {
	Hostname      string            `json:"hostname"`
	TimeUnixNS    int64             `json:"time_unix_ns"`
	EntropyBase64 string            `json:"entropy_base64"`
	Env           map[string]string `json:"env"`
	// Generation names this life of the machine's memory; empty leaves the name as it is.
	Generation string `json:"generation"`
	// TokenHex takes the place of the token that the host is known by; empty leaves that.
	TokenHex string `json:"token_hex"`
	// DisownExecs says that commands from before are another bunker's.
	DisownExecs bool `json:"disown_execs"`
	// DiskMB is the size that the writable disk has from now on, in MiB; 0 leaves it as it is.
	DiskMB int `json:"disk_mb"`
	// Network is what its interfaces are to be; nil in a machine without any.
	Network *network.Config `json:"network"`
}

// maxDiskMB is 1 PiB.
const maxDiskMB = 1 << 30

// Token returns the token of a checked identity, or nil.
func (i Identity) Token() []byte {
	token, err := hex.DecodeString(i.TokenHex)
	if err != nil || len(token) == 0 {
		return nil
	}
	return token
}

// Holder applies identities and remembers the current one's environment.
type Holder struct {
	// FillDisk has the writable file system fill a disk of so many MiB.
	FillDisk func(mib int) error
	// SetNetwork makes the interfaces what they are to be.
	SetNetwork func(*network.Config) error

	mu  sync.Mutex
	env map[string]string
	// connected is the life of the machine, and what was set up in it.
	connected *connection
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
	if identity.DiskMB > 0 {
		if err := h.FillDisk(identity.DiskMB); err != nil {
			return fault.Internal(errors.Join(errors.New("cannot make the disk larger"), err))
		}
	}
	if err := unix.Sethostname([]byte(identity.Hostname)); err != nil {
		return fault.Internal(errors.Join(errors.New("cannot set the host name"), err))
	}
	writeNames("/etc", identity.Hostname)
	if err := writeGeneration(runDir, identity.Generation); err != nil {
		return fault.Internal(err)
	}
	if err := h.connect(identity); err != nil {
		return err
	}
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
	if identity.DiskMB < 0 || identity.DiskMB > maxDiskMB {
		return nil, fault.Invalid("disk_mb", "disk_mb must be 0 to %d", maxDiskMB)
	}
	if !isGeneration(identity.Generation) {
		return nil, fault.Invalid("generation", "generation must be up to %d letters, digits and hyphens", maxGeneration)
	}
	if identity.Network != nil {
		if err := identity.Network.Check(); err != nil {
			return nil, err
		}
	}
	token, err := hex.DecodeString(identity.TokenHex)
	if err != nil || (len(token) != 0 && len(token) != channel.TokenBytes) {
		return nil, fault.Invalid("token_hex", "token_hex must be %d bytes in hexadecimal", channel.TokenBytes)
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
