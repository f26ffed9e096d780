// Package clock sets the machine's wall clock, which stands still while the machine is saved.
package clock

import (
	"time"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/fault"
)

// Set makes it now and returns how far the clock was off: positive if it was ahead.
func Set(now time.Time) (offset time.Duration, err error) {
	before := time.Now()
	value := unix.NsecToTimeval(now.UnixNano())
	if err := unix.Settimeofday(&value); err != nil {
		return 0, err
	}
	return before.Sub(now), nil
}

// Check says whether a time can be set: within what the kernel and the fields of file systems
// carry. Errors are *fault.Error.
func Check(unixNS int64) error {
	if unixNS < 0 || time.Unix(0, unixNS).Year() > 2250 {
		return fault.Invalid("time_unix_ns", "time_unix_ns must be between the years 1970 and 2250")
	}
	return nil
}
