package identity

import (
	"path/filepath"
	"strings"

	"scaibunker/guest-agent/internal/textfile"
)

// ownAddress is the loopback address that the machine's own name stands for.
const ownAddress = "127.0.1.1"

// writeNames puts the host name into the files that hold it, as far as that is possible: what an
// image has in their place may not allow it, and the kernel's name counts.
func writeNames(etc, name string) {
	_ = textfile.Replace(filepath.Join(etc, "hostname"), name+"\n", 0o644)
	path := filepath.Join(etc, "hosts")
	old, err := textfile.Read(path)
	if updated := withHost(old, name); err != nil || updated != old {
		_ = textfile.Replace(path, updated, 0o644)
	}
}

// withHost returns a hosts file in which the loopback addresses and the machine's own name are
// right and all else is as it was.
func withHost(hosts, name string) string {
	var kept []string
	have := map[string]bool{}
	for line := range strings.Lines(hosts) {
		line = strings.TrimRight(line, "\n")
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == ownAddress {
			continue
		}
		if len(fields) > 1 {
			have[fields[0]] = true
		}
		kept = append(kept, line)
	}
	var head []string
	if !have["127.0.0.1"] {
		head = append(head, "127.0.0.1\tlocalhost")
	}
	head = append(head, ownAddress+"\t"+name)
	if !have["::1"] {
		head = append(head, "::1\tlocalhost ip6-localhost ip6-loopback")
	}
	return strings.Join(append(head, kept...), "\n") + "\n"
}
