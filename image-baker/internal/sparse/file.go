// Package sparse writes a file without storing its runs of zeros.
package sparse

import (
	"errors"
	"io"
	"os"
)

const blockSize = 4096

var zeros [blockSize]byte

// File is an io.ReadWriteSeeker over an empty regular file. Blocks of zeros that lie beyond
// everything written so far become holes; what was written once is always overwritten for real.
// Finish must be called last: it gives the file its full length.
type File struct {
	file   *os.File
	pos    int64
	length int64 // of what was written, holes included
}

// NewFile wraps file, which must be regular and empty.
func NewFile(file *os.File) (*File, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != 0 {
		return nil, errors.New("not an empty regular file")
	}
	return &File{file: file}, nil
}

// Write puts p at the current position.
func (f *File) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		chunk := p[written:]
		if n := blockSize - int(f.pos%blockSize); len(chunk) > n {
			chunk = chunk[:n]
		}
		if f.pos < f.length || !isZero(chunk) {
			// Take everything up to the next block that could be a hole in one system call.
			chunk = p[written:f.solidEnd(p, written+len(chunk))]
			if n, err := f.file.WriteAt(chunk, f.pos); err != nil {
				f.advance(n)
				return written + n, err
			}
		}
		f.advance(len(chunk))
		written += len(chunk)
	}
	return written, nil
}

// solidEnd returns how far p can be written without storing a whole block of zeros; from is a
// block boundary of the file or the end of p.
func (f *File) solidEnd(p []byte, from int) int {
	end := from
	for end < len(p) {
		next := min(end+blockSize, len(p))
		if isZero(p[end:next]) {
			break
		}
		end = next
	}
	return end
}

func (f *File) advance(n int) {
	f.pos += int64(n)
	f.length = max(f.length, f.pos)
}

// Read reads at the current position; a hole at the end reads as zeros.
func (f *File) Read(p []byte) (int, error) {
	if f.pos >= f.length {
		return 0, io.EOF
	}
	if rest := f.length - f.pos; int64(len(p)) > rest {
		p = p[:rest]
	}
	n, err := f.file.ReadAt(p, f.pos)
	if errors.Is(err, io.EOF) { // a hole that Finish has not made yet
		clear(p[n:])
		n, err = len(p), nil
	}
	f.pos += int64(n)
	return n, err
}

// Seek sets the current position; seeking beyond the end makes a hole there when written.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.length
	}
	if offset < 0 {
		return 0, errors.New("seek before the start")
	}
	f.pos = offset
	return offset, nil
}

// Finish gives the file its length and puts it on the disk.
func (f *File) Finish() error {
	if err := f.file.Truncate(f.length); err != nil {
		return err
	}
	return f.file.Sync()
}

func isZero(p []byte) bool {
	return string(p) == string(zeros[:len(p)])
}
