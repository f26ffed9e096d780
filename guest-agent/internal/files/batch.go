package files

import (
	"container/heap"
	"context"
	"io"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// item is one step of a sorted walk through a directory: a name, or what is below it. A directory
// gives two items, for between "a" and "a/x" there may be "a-b".
type item struct {
	key     string // name, or name + "/" for what is below; sorts as the paths do
	name    string
	subtree bool
}

// items is a heap with the greatest key on top.
type items []item

func (h items) Len() int           { return len(h) }
func (h items) Less(i, j int) bool { return h[i].key > h[j].key }
func (h items) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *items) Push(x any)        { *h = append(*h, x.(item)) }
func (h *items) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// nextBatch returns the first size items of the directory whose keys sort after the key after and
// that can hold paths after options.After, and whether there are more.
func nextBatch(ctx context.Context, fd int, prefix, after string, options ListOptions, size int) (items, bool, error) {
	listing, err := openAgain(fd)
	if err != nil {
		return nil, false, err
	}
	defer listing.Close()
	var batch items
	more := false
	consider := func(candidate item) {
		if candidate.key <= after {
			return
		}
		if len(batch) < size {
			heap.Push(&batch, candidate)
			return
		}
		more = true
		if candidate.key < batch[0].key {
			batch[0] = candidate
			heap.Fix(&batch, 0)
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		entries, err := listing.ReadDir(256)
		for _, entry := range entries {
			name := entry.Name()
			full := displayed(prefix + name)
			if full > options.After {
				consider(item{key: name, name: name})
			}
			if options.Recursive && entry.IsDir() && mayHoldAfter(full+"/", options.After) {
				consider(item{key: name + "/", name: name, subtree: true})
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	sort.Sort(sort.Reverse(batch))
	return batch, more, nil
}

// mayHoldAfter says whether any path with this prefix can sort after the path after.
func mayHoldAfter(prefix, after string) bool {
	return prefix > after || strings.HasPrefix(after, prefix)
}

// openAgain returns a second handle on an open directory, at its beginning.
func openAgain(fd int) (*os.File, error) {
	again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// ReadDir looks names up below the file's name on file systems that do not tell types.
	listing := os.NewFile(uintptr(again), "/proc/self/fd/"+itoa(again))
	if _, err := listing.Seek(0, io.SeekStart); err != nil {
		listing.Close()
		return nil, err
	}
	return listing, nil
}
