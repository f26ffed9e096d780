package intake

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdMemory is the largest window a zstd stream may ask for; `zstd --ultra -22` needs this much.
const zstdMemory = 128 << 20

var (
	gzipMagic  = []byte{0x1f, 0x8b}
	bzip2Magic = []byte("BZh")
	xzMagic    = []byte("\xfd7zXZ\x00")
	zstdMagic  = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decompress looks at the first bytes and returns the plain tar stream. xz is refused here: its
// streams name the memory they need, and the standard library has no reader that bounds it, so
// the caller feeds them through one that does.
func decompress(source io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(source, 1<<20)
	head, err := buffered.Peek(6)
	if len(head) == 0 {
		return nil, nil, refuse("", "it is empty")
	}
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	nothing := func() {}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		r, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, refuse("", "bad gzip stream: %v", err)
		}
		return r, nothing, nil
	case bytes.HasPrefix(head, bzip2Magic):
		return bzip2.NewReader(buffered), nothing, nil
	case bytes.HasPrefix(head, zstdMagic):
		r, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(zstdMemory), zstd.WithDecoderMaxWindow(zstdMemory))
		if err != nil {
			return nil, nil, refuse("", "bad zstd stream: %v", err)
		}
		return r, r.Close, nil
	case bytes.HasPrefix(head, xzMagic):
		return nil, nil, refuse("", "xz must be unpacked by the caller")
	}
	return buffered, nothing, nil
}

// boundedReader fails once more than left bytes came out of it: a bomb ends here.
type boundedReader struct {
	source io.Reader
	left   int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, refuse("", "it unpacks to more than the limit")
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.source.Read(p)
	b.left -= int64(n)
	return n, err
}
