// Package stream moves bytes between a request and a file.
package stream

import "io"

// Copy writes all of source to target, by way of buffer. An error is the source's or the target's,
// as fromSource says.
func Copy(target io.Writer, source io.Reader, buffer []byte) (fromSource bool, err error) {
	for {
		n, readErr := source.Read(buffer)
		if n > 0 {
			if _, err := target.Write(buffer[:n]); err != nil {
				return false, err
			}
		}
		if readErr == io.EOF {
			return false, nil
		}
		if readErr != nil {
			return true, readErr
		}
	}
}
