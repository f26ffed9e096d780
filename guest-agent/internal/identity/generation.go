package identity

import (
	"fmt"
	"os"
	"path/filepath"

	"scaibunker/guest-agent/internal/textfile"
)

const (
	// runDir is where the agent tells the machine's programs things.
	runDir = "/run/scaibunker"
	// generationFile names the life of the machine's memory. A program that keeps random state of its
	// own, as most cryptographic libraries do, takes fresh one when it changes.
	generationFile = "generation"
	maxGeneration  = 64
)

// writeGeneration puts the name where programs look for it, in one step, so that a watch on the
// directory tells of it.
func writeGeneration(dir, generation string) error {
	if generation == "" {
		return nil
	}
	path := filepath.Join(dir, generationFile)
	if old, err := textfile.Read(path); err == nil && old == generation+"\n" {
		return nil // the same life, greeted again
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot tell programs of the generation: %w", err)
	}
	if err := textfile.Replace(path, generation+"\n", 0o644); err != nil {
		return fmt.Errorf("cannot tell programs of the generation: %w", err)
	}
	return nil
}

func isGeneration(text string) bool {
	for i := range len(text) {
		c := text[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return len(text) <= maxGeneration
}
