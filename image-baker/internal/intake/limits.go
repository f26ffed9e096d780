// Package intake reads a hostile root file system tarball and passes on a harmless one.
//
// It owns what is accepted and how entries are normalised; it knows nothing of ext4. What comes
// out of Clean holds only relative, clean names, each at most once (directories may be restated),
// every parent before its children, hard links only to files already there, and the extended
// attributes that the image may carry.
package intake

import "fmt"

// Limits bound what one tarball may cost.
type Limits struct {
	Bytes   int64 // file content in total, with sparse files counted at their full length
	Entries int   // entries of any kind, parents that are only implied included
}

// streamSlack is what headers and padding may add to Limits.Bytes in the decompressed stream.
const streamSlack = 1 << 30

// Summary says what went into the image.
type Summary struct {
	Entries       int   `json:"entries"`
	Bytes         int64 `json:"bytes"`
	DroppedXattrs int   `json:"dropped_xattrs"`
}

// RefusedError means that the tarball, not the baker, is at fault.
type RefusedError struct {
	Entry string // name as found; empty when no single entry is to blame
	Rule  string
}

// Error names the entry and the rule it broke.
func (e *RefusedError) Error() string {
	if e.Entry == "" {
		return "tarball refused: " + e.Rule
	}
	name := e.Entry
	if len(name) > 200 {
		name = name[:200] + "..."
	}
	return fmt.Sprintf("tarball refused: entry %q: %s", name, e.Rule)
}

func refuse(entry, rule string, args ...any) error {
	return &RefusedError{Entry: entry, Rule: fmt.Sprintf(rule, args...)}
}
