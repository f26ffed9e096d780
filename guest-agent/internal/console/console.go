// Package console writes to the machine's console, which the host keeps for when things go wrong.
// It is to say little: what a guest makes the agent print is bounded.
package console

import (
	"fmt"
	"os"
	"sync/atomic"
)

// maxLines is how much is printed in a machine's life.
const maxLines = 200

var lines atomic.Int32

// Print writes one line.
func Print(format string, args ...any) {
	if lines.Add(1) > maxLines {
		return
	}
	fmt.Fprintf(os.Stderr, "scaibunker-agent: %s\n", fmt.Sprintf(format, args...))
}
