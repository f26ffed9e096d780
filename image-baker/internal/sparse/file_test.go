package sparse

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func create(t *testing.T) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// The same writes to a File and to plain memory must read the same, however they are cut.
func TestReadsAsWhatWasWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	file := create(t)
	sparse, err := NewFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var model []byte
	for range 300 {
		chunk := make([]byte, random.IntN(3*blockSize))
		for start := 0; start < len(chunk); start += 1 + random.IntN(2*blockSize) {
			if random.IntN(2) == 0 {
				chunk[start] = byte(1 + random.IntN(255))
			}
		}
		at := len(model)
		if random.IntN(4) == 0 && at > 0 {
			at = random.IntN(at)
		}
		if _, err := sparse.Seek(int64(at), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if n, err := sparse.Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
		if end := at + len(chunk); end > len(model) {
			model = append(model, make([]byte, end-len(model))...)
		}
		copy(model[at:], chunk)
	}
	if _, err := sparse.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if before, err := io.ReadAll(sparse); err != nil || !bytes.Equal(before, model) {
		t.Errorf("before Finish: %d bytes, want %d, %v", len(before), len(model), err)
	}
	if err := sparse.Finish(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(file.Name())
	if err != nil || !bytes.Equal(after, model) {
		t.Errorf("after Finish: %d bytes, want %d, %v", len(after), len(model), err)
	}
}

func TestZerosTakeNoRoom(t *testing.T) {
	file := create(t)
	sparse, err := NewFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Finish(); err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 64<<20 || info.Sys().(*syscall.Stat_t).Blocks*512 > 1<<20 {
		t.Errorf("%d bytes in %d blocks", info.Size(), info.Sys().(*syscall.Stat_t).Blocks)
	}
}

func TestOnlyAnEmptyFileWillDo(t *testing.T) {
	file := create(t)
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFile(file); err == nil {
		t.Error("a file with content was accepted")
	}
}
