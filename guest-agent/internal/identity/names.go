package identity

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ownAddress is the loopback address that the machine's own name stands for.
const ownAddress = "127.0.1.1"

// maxHosts bounds what is read of a hosts file that the image brought.
const maxHosts = 1 << 20

// writeNames puts the host name into the files that hold it, as far as that is possible: what an
// image has in their place may not allow it, and the kernel's name counts.
func writeNames(etc, name string) {
	replace(filepath.Join(etc, "hostname"), name+"\n")
	path := filepath.Join(etc, "hosts")
	old, err := readSmall(path)
	if err != nil && !os.IsNotExist(err) {
		return
	}
	if updated := withHost(old, name); updated != old {
		replace(path, updated)
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

func readSmall(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxHosts {
		return "", os.ErrInvalid
	}
	text, err := io.ReadAll(io.LimitReader(file, maxHosts))
	return string(text), err
}

// replace puts text at path in one step; nothing is left behind if that fails.
func replace(path, text string) {
	temporary := path + ".scaibunker"
	_ = os.Remove(temporary)
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return
	}
	_, err = file.WriteString(text)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
}
