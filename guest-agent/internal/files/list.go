package files

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
)

// Limits of one page of a listing.
const (
	DefaultLimit = 1000
	MaxLimit     = 10000
)

// maxDepth bounds how far a recursive listing goes down; what is deeper can be listed by itself.
const maxDepth = 200

// Page is a part of a listing, as the wire contract's FilePage.
type Page struct {
	Entries   []Entry `json:"entries"`
	HasMore   bool    `json:"has_more"`
	NextAfter *string `json:"next_after"`
}

// ListOptions say what to list.
type ListOptions struct {
	Recursive bool
	Limit     int    // entries at most
	After     string // only paths that sort after this one
}

// List describes what is in a directory, sorted by path as bytes. It follows no links, and a
// recursive listing does not enter kernel file systems such as /proc unless it begins in one.
// Directories that the user may not read are listed without their content. Errors are
// *fault.Error, or ctx's.
func List(ctx context.Context, user accounts.User, dir string, options ListOptions) (page Page, err error) {
	w := &walk{ctx: ctx, options: options, page: Page{Entries: []Entry{}}}
	err = user.Do(func() error {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == unix.ENOTDIR {
			var info unix.Stat_t
			if unix.Stat(dir, &info) == nil {
				return fault.Conflict("FILE_NOT_DIRECTORY", "%s is not a directory", dir)
			}
		}
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		w.startVirtual = isVirtual(fd)
		err = w.directory(fd, dir, 0)
		if errors.Is(err, errPageFull) {
			return nil
		}
		return err
	})
	if err != nil {
		return Page{}, explain(err, dir)
	}
	return w.page, nil
}

var errPageFull = errors.New("page is full")

// walk is one listing in the making.
type walk struct {
	ctx          context.Context
	options      ListOptions
	page         Page
	startVirtual bool
}

// directory lists fd. It reads names in batches that are small and sorted, and reads the directory
// again for the next one, so that memory stays bounded however much there is in it.
func (w *walk) directory(fd int, dir string, depth int) error {
	size := 1024
	if depth > 8 {
		size = 64
	}
	after := ""
	for {
		batch, more, err := nextBatch(w.ctx, fd, prefixOf(dir), after, w.options, size)
		if err != nil {
			return err
		}
		for _, item := range batch {
			after = item.key
			full := prefixOf(dir) + item.name
			if item.subtree {
				err = w.descend(fd, item.name, full, depth+1)
			} else {
				err = w.emit(fd, item.name, full)
			}
			if err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

func (w *walk) emit(fd int, name, full string) error {
	entry, err := entryAt(fd, name, full)
	if err == unix.ENOENT {
		return nil // gone meanwhile
	}
	if err != nil {
		return err
	}
	if len(w.page.Entries) == w.options.Limit {
		w.page.HasMore = true
		w.page.NextAfter = &w.page.Entries[len(w.page.Entries)-1].Path
		return errPageFull
	}
	w.page.Entries = append(w.page.Entries, entry)
	return nil
}

func (w *walk) descend(parent int, name, full string, depth int) error {
	if depth > maxDepth {
		return fault.Invalid("recursive", "%s is more than %d levels down: list it by itself", abbreviate(full), maxDepth)
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.EACCES, unix.EPERM, unix.ENOENT, unix.ENOTDIR, unix.ELOOP:
		return nil
	default:
		return err
	}
	defer unix.Close(fd)
	if !w.startVirtual && isKernelTree(fd) {
		return nil
	}
	if err := w.directory(fd, full, depth); !errors.Is(err, unix.EACCES) {
		return err
	}
	return nil // names may be read, but nothing else
}

// isKernelTree says whether fd lies in a file system that shows the kernel rather than files.
func isKernelTree(fd int) bool {
	if isVirtual(fd) {
		return true
	}
	link, err := readlinkAt(unix.AT_FDCWD, "/proc/self/fd/"+itoa(fd))
	return err == nil && (link == "/dev" || strings.HasPrefix(link, "/dev/"))
}

func prefixOf(dir string) string {
	if dir == "/" {
		return "/"
	}
	return path.Clean(dir) + "/"
}
