package boot

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/channel"
)

// tokenParameter is the kernel parameter that holds the token.
const tokenParameter = "scaibunker.token"

// takeToken reads the token from the kernel command line and hides it from the machine's programs:
// one that knew it could have it uploaded, and so break a session.
func takeToken() ([]byte, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	token, rest, err := parseToken(string(line))
	if err != nil {
		return nil, err
	}
	const shown = "/run/.cmdline"
	if os.WriteFile(shown, []byte(rest), 0o444) == nil {
		_ = unix.Mount(shown, "/proc/cmdline", "", unix.MS_BIND, "")
		_ = os.Remove(shown)
	}
	return token, nil
}

// parseToken returns the token, and the command line without it.
func parseToken(line string) (token []byte, rest string, err error) {
	var kept []string
	for parameter := range strings.FieldsSeq(line) {
		text, ok := strings.CutPrefix(parameter, tokenParameter+"=")
		if !ok {
			kept = append(kept, parameter)
			continue
		}
		token, err = hex.DecodeString(text)
		if err != nil || len(token) != channel.TokenBytes {
			return nil, "", fmt.Errorf("kernel parameter %s must be %d bytes in hexadecimal", tokenParameter, channel.TokenBytes)
		}
	}
	if token == nil {
		return nil, "", errors.New("kernel parameter " + tokenParameter + " is missing")
	}
	return token, strings.Join(kept, " ") + "\n", nil
}
