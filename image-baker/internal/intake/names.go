package intake

import (
	"path"
	"strings"
)

const (
	maxPath      = 4095
	maxComponent = 255
)

// cleanName gives the name an entry has inside the image, relative and without "." parts; the
// root itself is "". A leading slash is dropped as tar does; ".." is refused, never resolved.
func cleanName(raw string) (string, error) {
	if strings.IndexByte(raw, 0) >= 0 {
		return "", refuse(raw, "its name holds a NUL byte")
	}
	if len(raw) > maxPath {
		return "", refuse(raw, "its name is longer than %d bytes", maxPath)
	}
	for part := range strings.SplitSeq(raw, "/") {
		if part == ".." {
			return "", refuse(raw, "its name leaves the image by \"..\"")
		}
		if len(part) > maxComponent {
			return "", refuse(raw, "a part of its name is longer than %d bytes", maxComponent)
		}
	}
	return path.Clean("/" + raw)[1:], nil
}

// parentOf returns the directory that name lies in; "" is the root.
func parentOf(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}
