package boot

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// memory returns how many bytes the machine has, and how many of them programs could get.
func memory() (total, available uint64, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	return parseMemory(string(text))
}

func parseMemory(text string) (total, available uint64, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib * 1024
		case "MemAvailable:":
			available = kib * 1024
		}
	}
	if total == 0 || available == 0 {
		return 0, 0, errors.New("/proc/meminfo tells no sizes")
	}
	return total, available, nil
}
