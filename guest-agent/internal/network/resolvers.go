package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"scaibunker/guest-agent/internal/textfile"
)

const resolvConf = "/etc/resolv.conf"

// writeResolvers puts them where programs look for them, in one step. What an image has in the file's place, most
// often a link to what some service would write, is replaced and never followed.
func writeResolvers(path string, resolvers []netip.Addr) error {
	var text strings.Builder
	for _, address := range resolvers {
		text.WriteString("nameserver " + address.String() + "\n")
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
		if old, err := textfile.Read(path); err == nil && old == text.String() {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return textfile.Replace(path, text.String(), 0o644)
}
