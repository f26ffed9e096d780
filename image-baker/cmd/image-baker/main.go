// Command image-baker turns a root file system tarball into one ext4 file.
//
//	image-baker --max-bytes N --max-entries N --output-fd 3 < rootfs.tar 3<> image.ext4
//
// The tarball comes on standard input (plain, gzip, bzip2 or zstd), the image goes to a file
// descriptor, which must be an empty regular file open for reading and writing. So the process
// needs no right to any path and its caller can run it as a user that has none. One line of JSON
// on standard output says what was baked. Exit status: 0 baked, 2 the tarball was refused (the
// reason is the last line of standard error), 1 anything else.
//
// It never unpacks the tarball and never mounts the image. Which entries are accepted is decided
// in internal/intake; the layout of the image is the business of tar2ext4.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"

	"scaibunker.dev/image-baker/internal/ext4"
	"scaibunker.dev/image-baker/internal/intake"
	"scaibunker.dev/image-baker/internal/sparse"
)

const (
	exitRefused = 2
	// The descriptor table is sized for this, so it is part of the image's bytes: a constant, not
	// the caller's limit, or one tarball would give two images.
	layoutBytes = 16 << 30
)

func main() {
	limits := intake.Limits{}
	flag.Int64Var(&limits.Bytes, "max-bytes", 4<<30, "most bytes of file content, sparse holes included")
	flag.IntVar(&limits.Entries, "max-entries", 1_000_000, "most entries")
	output := flag.Uint("output-fd", 3, "descriptor of the empty file that becomes the image")
	flag.Parse()
	summary, err := bake(os.Stdin, os.NewFile(uintptr(*output), "output"), limits)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var refused *intake.RefusedError
		if errors.As(err, &refused) {
			os.Exit(exitRefused)
		}
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(summary); err != nil {
		os.Exit(1)
	}
}

// bake streams the tarball through the checks into the image; nothing is held but metadata.
func bake(source io.Reader, target *os.File, limits intake.Limits) (intake.Summary, error) {
	if err := restrict(limits); err != nil {
		return intake.Summary{}, fmt.Errorf("limits: %w", err)
	}
	if limits.Bytes <= 0 || limits.Bytes >= layoutBytes || limits.Entries <= 0 {
		return intake.Summary{}, fmt.Errorf("--max-bytes must be between 1 and %d, --max-entries positive", int64(layoutBytes)-1)
	}
	image, err := sparse.NewFile(target)
	if err != nil {
		return intake.Summary{}, fmt.Errorf("output: %w", err)
	}
	clean, toWriter := io.Pipe()
	type outcome struct {
		summary intake.Summary
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		summary, err := intake.Clean(source, toWriter, limits)
		toWriter.CloseWithError(err)
		done <- outcome{summary, err}
	}()
	writeErr := tar2ext4.ConvertTarToExt4(clean, image, tar2ext4.MaximumDiskSize(layoutBytes))
	clean.CloseWithError(writeErr)
	result := <-done
	// The intake's verdict is the cause; the writer then only saw its pipe break.
	var refused *intake.RefusedError
	if errors.As(result.err, &refused) || writeErr == nil {
		writeErr = result.err
	}
	if writeErr != nil {
		return intake.Summary{}, writeErr
	}
	if err := ext4.PadInodeBitmaps(image); err != nil {
		return intake.Summary{}, err
	}
	return result.summary, image.Finish()
}

// restrict is the last line of defence, should a fault here make the image grow without end.
func restrict(limits intake.Limits) error {
	const metadata = 1 << 30 // what directories and inodes may add to the content
	largest := uint64(limits.Bytes) + metadata
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: largest, Max: largest}); err != nil {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
}
