package boot

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// portName is the wire contract's PORT_NAME.
	portName = "scaibunker.agent"
	portTime = 15 * time.Second
	portsDir = "/sys/class/virtio-ports"
)

// findPort waits for the virtio-serial port of a name and returns its device file. Ports and their
// names arrive in messages of the host, some time after the driver.
func findPort(name string) (device string, err error) {
	err = await(portTime, "virtio-serial port "+name, func() bool {
		entries, _ := os.ReadDir(portsDir)
		for _, entry := range entries {
			text, err := os.ReadFile(filepath.Join(portsDir, entry.Name(), "name"))
			if err == nil && strings.TrimSpace(string(text)) == name {
				device = "/dev/" + entry.Name()
				return true
			}
		}
		return false
	})
	return device, err
}
