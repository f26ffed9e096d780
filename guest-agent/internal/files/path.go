package files

import (
	"path"
	"strconv"
	"strings"

	"scaibunker/guest-agent/internal/fault"
)

const (
	maxPath = 4095
	maxName = 255
)

// CheckPath returns a path of a request in its shortest form. It must be absolute and must not
// climb; field names the part of the request that it came in.
func CheckPath(field, text string) (string, error) {
	switch {
	case text == "":
		return "", fault.Invalid(field, "%s is missing", field)
	case !strings.HasPrefix(text, "/"):
		return "", fault.Invalid(field, "%s must be absolute", field)
	case len(text) > maxPath:
		return "", fault.Invalid(field, "%s must not be longer than %d bytes", field, maxPath)
	case strings.IndexByte(text, 0) >= 0:
		return "", fault.Invalid(field, "%s must not contain a NUL byte", field)
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == ".." {
			return "", fault.Invalid(field, "%s must not contain \"..\"", field)
		}
		if len(part) > maxName {
			return "", fault.Invalid(field, "%s has a name of more than %d bytes", field, maxName)
		}
	}
	return path.Clean(text), nil
}

// CheckMode reads permission bits in octal, such as 0644.
func CheckMode(field, text string) (uint32, error) {
	mode, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mode > 0o7777 {
		return 0, fault.Invalid(field, "%s must be octal permission bits such as 0644", field)
	}
	return uint32(mode), nil
}
