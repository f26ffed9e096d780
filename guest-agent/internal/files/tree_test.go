package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"scaibunker/guest-agent/internal/accounts"
)

func remove(t *testing.T, user accounts.User, path string, recursive bool) error {
	t.Helper()
	return Remove(t.Context(), user, path, recursive)
}

func TestRemove(t *testing.T) {
	dir := openDir(t)
	outside := openDir(t)
	write(t, filepath.Join(outside, "kept"), "x")
	for i := range 300 { // more than one batch
		write(t, filepath.Join(dir, "tree", fmt.Sprint("d", i%7), fmt.Sprint("f", i)), "x")
	}
	must(t,
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
		os.Symlink(outside, filepath.Join(dir, "tree/link")),
		os.Symlink(outside, filepath.Join(dir, "link")),
	)
	expect(t, remove(t, self, filepath.Join(dir, "missing"), true), 404, "FILE_NOT_FOUND")
	expect(t, remove(t, self, filepath.Join(dir, "tree"), false), 409, "FILE_IS_DIRECTORY")
	expect(t, remove(t, self, "/", true), 422, "VALIDATION_ERROR")
	if os.Getuid() == 0 {
		expect(t, remove(t, self, "/proc", true), 422, "VALIDATION_ERROR")
	}
	for _, path := range []string{"empty", "link", "tree/d0/f0"} {
		must(t, remove(t, self, filepath.Join(dir, path), false))
	}
	must(t, remove(t, self, filepath.Join(dir, "tree"), true))
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if read(t, filepath.Join(outside, "kept")) != "x" {
		t.Error("a link was followed")
	}
}

func TestRemoveVeryDeepTree(t *testing.T) {
	dir := openDir(t)
	must(t, os.Mkdir(filepath.Join(dir, "top"), 0o755))
	fd, err := unix.Open(filepath.Join(dir, "top"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	for range 3000 { // far deeper than a path can name
		must(t, unix.Mkdirat(fd, "down", 0o755))
		next, err := unix.Openat(fd, "down", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		must(t, err, unix.Close(fd))
		fd = next
	}
	must(t, unix.Close(fd), remove(t, self, filepath.Join(dir, "top"), true))
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestRemoveCanBeCancelled(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "tree/file"), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, self, filepath.Join(dir, "tree"), true); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if read(t, filepath.Join(dir, "tree/file")) != "x" {
		t.Error("it was removed all the same")
	}
}

func TestRemoveStaysOutOfMounts(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "a/b/file"), "x")
	if err := unix.Mount("none", filepath.Join(dir, "a/b"), "tmpfs", 0, ""); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "a/b"), unix.MNT_DETACH) })
	write(t, filepath.Join(dir, "a/b/precious"), "x")
	expect(t, remove(t, self, filepath.Join(dir, "a"), true), 422, "VALIDATION_ERROR")
	expect(t, remove(t, self, filepath.Join(dir, "a/b"), true), 422, "VALIDATION_ERROR")
	if read(t, filepath.Join(dir, "a/b/precious")) != "x" {
		t.Error("a mounted file system was emptied")
	}
}

func TestRemoveWithTheUsersRights(t *testing.T) {
	user := bunker(t)
	dir := openDir(t)
	write(t, filepath.Join(dir, "tree/file"), "x")
	expect(t, remove(t, user, filepath.Join(dir, "tree"), true), 403, "FILE_PERMISSION_DENIED")
}

func TestMkdir(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "file"), "x")
	must(t, os.Symlink(".", filepath.Join(dir, "link")), os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	entry, err := Mkdir(self, filepath.Join(dir, "a/b/c"), 0o2770)
	must(t, err)
	if entry.Mode != "2770" || entry.Type != "directory" {
		t.Errorf("entry %+v", entry)
	}
	if parent, _ := Stat(self, filepath.Join(dir, "a/b")); parent.Mode != "0755" {
		t.Errorf("parent %+v", parent)
	}
	if entry, err = Mkdir(self, filepath.Join(dir, "a/b/c"), 0o755); err != nil || entry.Mode != "2770" {
		t.Errorf("again: %+v, %v", entry, err)
	}
	_, err = Mkdir(self, filepath.Join(dir, "link"), 0o755)
	must(t, err)
	_, err = Mkdir(self, filepath.Join(dir, "file"), 0o755)
	expect(t, err, 409, "FILE_EXISTS")
	_, err = Mkdir(self, filepath.Join(dir, "dangling"), 0o755)
	expect(t, err, 409, "FILE_EXISTS")
	_, err = Mkdir(self, filepath.Join(dir, "file/below"), 0o755)
	expect(t, err, 404, "FILE_NOT_FOUND")
}

func TestMove(t *testing.T) {
	dir := openDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	reset := func() {
		must(t, os.RemoveAll(at("")), os.Mkdir(dir, 0o777))
		write(t, at("file"), "file")
		write(t, at("other"), "other")
		write(t, at("dir/x"), "x")
		must(t, os.Mkdir(at("empty"), 0o755), os.Symlink("file", at("link")))
	}
	for name, c := range map[string]struct {
		from, to  string
		overwrite bool
		status    int
		code      string
	}{
		"rename":                   {"file", "new", false, 0, ""},
		"replace":                  {"file", "other", true, 0, ""},
		"do not replace":           {"file", "other", false, 409, "FILE_EXISTS"},
		"file onto directory":      {"file", "dir", true, 409, "FILE_IS_DIRECTORY"},
		"file onto empty":          {"file", "empty", true, 409, "FILE_IS_DIRECTORY"},
		"directory":                {"dir", "newdir", false, 0, ""},
		"directory onto file":      {"dir", "file", true, 409, "FILE_EXISTS"},
		"directory onto empty":     {"dir", "empty", true, 0, ""},
		"directory onto directory": {"empty", "dir", true, 409, "FILE_IS_DIRECTORY"},
		"into itself":              {"dir", "dir/below", true, 422, "VALIDATION_ERROR"},
		"link itself":              {"link", "newlink", true, 0, ""},
		"missing":                  {"missing", "new", true, 404, "FILE_NOT_FOUND"},
		"missing parent":           {"file", "no/new", true, 404, "FILE_NOT_FOUND"},
		"below a file":             {"file", "other/new", true, 404, "FILE_NOT_FOUND"},
	} {
		reset()
		entry, err := Move(self, at(c.from), at(c.to), c.overwrite)
		if c.code != "" {
			expect(t, err, c.status, c.code)
			continue
		}
		if err != nil || entry.Path != at(c.to) {
			t.Errorf("%s: %+v, %v", name, entry, err)
		}
		if _, err := os.Lstat(at(c.from)); !os.IsNotExist(err) {
			t.Errorf("%s: the source is still there", name)
		}
	}
	_, err := Move(self, "/", at("x"), true)
	expect(t, err, 422, "VALIDATION_ERROR")
}

func TestMoveAcrossFileSystems(t *testing.T) {
	var here, there unix.Stat_t
	dir := openDir(t)
	must(t, unix.Stat(dir, &here))
	if unix.Stat("/dev/shm", &there) != nil || here.Dev == there.Dev {
		t.Skip("no second file system")
	}
	other, err := os.MkdirTemp("/dev/shm", "files-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })
	big := strings.Repeat("0123456789", 100_000)
	write(t, filepath.Join(dir, "file"), big)
	must(t, os.Chmod(filepath.Join(dir, "file"), 0o640))
	write(t, filepath.Join(other, "taken"), "taken")
	must(t, os.Mkdir(filepath.Join(other, "dir"), 0o755), os.Mkdir(filepath.Join(dir, "dir"), 0o755))
	_, err = Move(self, filepath.Join(dir, "file"), filepath.Join(other, "taken"), false)
	expect(t, err, 409, "FILE_EXISTS")
	_, err = Move(self, filepath.Join(dir, "file"), filepath.Join(other, "dir"), true)
	expect(t, err, 409, "FILE_IS_DIRECTORY")
	_, err = Move(self, filepath.Join(dir, "dir"), filepath.Join(other, "newdir"), true)
	expect(t, err, 422, "VALIDATION_ERROR")
	entry, err := Move(self, filepath.Join(dir, "file"), filepath.Join(other, "taken"), true)
	must(t, err)
	if entry.Mode != "0640" || read(t, filepath.Join(other, "taken")) != big {
		t.Errorf("entry %+v", entry)
	}
	if got := names(t, other); !reflect.DeepEqual(got, []string{"dir", "taken"}) {
		t.Errorf("there: %v", got)
	}
	if got := names(t, dir); !reflect.DeepEqual(got, []string{"dir"}) {
		t.Errorf("here: %v", got)
	}
}

// listAll lists page by page.
func listAll(t *testing.T, dir string, recursive bool, limit int) []string {
	t.Helper()
	var paths []string
	after := ""
	for {
		page, err := List(t.Context(), self, dir, ListOptions{Recursive: recursive, Limit: limit, After: after})
		must(t, err)
		if len(page.Entries) > limit {
			t.Fatalf("a page of %d", len(page.Entries))
		}
		for _, entry := range page.Entries {
			paths = append(paths, entry.Path)
		}
		if page.HasMore != (page.NextAfter != nil) {
			t.Fatalf("page says %v and %v", page.HasMore, page.NextAfter)
		}
		if !page.HasMore {
			return paths
		}
		after = *page.NextAfter
	}
}

func TestListIsSortedByPathWhateverThePageSize(t *testing.T) {
	dir := openDir(t)
	for _, name := range []string{"a", "a-b", "a.txt", "a0", "b/c", "b-", "b0/x", "z/y/x/w", "A", "ä", "b/c2/d"} {
		path := filepath.Join(dir, name)
		if name == "a" || name == "A" {
			write(t, filepath.Join(path, "inner"), "x")
			continue
		}
		write(t, path, "x")
	}
	must(t, os.Symlink("..", filepath.Join(dir, "loop")))
	var want []string
	must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			want = append(want, path)
		}
		return err
	}))
	sort.Strings(want)
	for limit := 1; limit <= len(want)+1; limit++ {
		if got := listAll(t, dir, true, limit); !reflect.DeepEqual(got, want) {
			t.Fatalf("pages of %d:\n%q\nwant\n%q", limit, got, want)
		}
	}
	var flat []string
	for _, name := range names(t, dir) {
		flat = append(flat, filepath.Join(dir, name))
	}
	for limit := 1; limit <= len(flat)+1; limit++ {
		if got := listAll(t, dir, false, limit); !reflect.DeepEqual(got, flat) {
			t.Fatalf("pages of %d:\n%q\nwant\n%q", limit, got, flat)
		}
	}
}

func TestListOfALargeDirectory(t *testing.T) {
	dir := openDir(t)
	for i := range 3000 {
		write(t, filepath.Join(dir, "many", fmt.Sprintf("%d", i*7919%3000)), "")
	}
	if got := listAll(t, dir, true, 700); len(got) != 3001 || !sort.StringsAreSorted(got) {
		t.Errorf("%d entries", len(got))
	}
}

func TestListRefusals(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "file"), "x")
	options := ListOptions{Limit: 10}
	_, err := List(t.Context(), self, filepath.Join(dir, "file"), options)
	expect(t, err, 409, "FILE_NOT_DIRECTORY")
	_, err = List(t.Context(), self, filepath.Join(dir, "file/below"), options)
	expect(t, err, 404, "FILE_NOT_FOUND")
	_, err = List(t.Context(), self, filepath.Join(dir, "missing"), options)
	expect(t, err, 404, "FILE_NOT_FOUND")
	deep := filepath.Join(dir, strings.Repeat("d/", maxDepth+5))
	must(t, os.MkdirAll(deep, 0o755))
	_, err = List(t.Context(), self, dir, ListOptions{Limit: 10000, Recursive: true})
	expect(t, err, 422, "VALIDATION_ERROR")
}

func TestListStaysOutOfTheKernel(t *testing.T) {
	page, err := List(t.Context(), self, "/proc/self", ListOptions{Limit: 5, Recursive: true})
	if err != nil || len(page.Entries) != 5 {
		t.Errorf("asked for directly: %d entries, %v", len(page.Entries), err)
	}
	page, err = List(t.Context(), self, "/", ListOptions{Limit: 1, Recursive: true, After: "/proc"})
	must(t, err)
	for _, entry := range page.Entries {
		if strings.HasPrefix(entry.Path, "/proc/") {
			t.Errorf("listed %s", entry.Path)
		}
	}
}

func TestListWithTheUsersRights(t *testing.T) {
	user := bunker(t)
	dir := openDir(t)
	write(t, filepath.Join(dir, "closed/secret"), "x")
	write(t, filepath.Join(dir, "open/file"), "x")
	must(t, os.Chmod(filepath.Join(dir, "closed"), 0o700))
	page, err := List(t.Context(), user, dir, ListOptions{Limit: 10, Recursive: true})
	must(t, err)
	var got []string
	for _, entry := range page.Entries {
		got = append(got, strings.TrimPrefix(entry.Path, dir))
	}
	if !reflect.DeepEqual(got, []string{"/closed", "/open", "/open/file"}) {
		t.Errorf("listed %q", got)
	}
	_, err = List(t.Context(), user, filepath.Join(dir, "closed"), ListOptions{Limit: 10})
	expect(t, err, 403, "FILE_PERMISSION_DENIED")
}

func TestStat(t *testing.T) {
	dir := openDir(t)
	must(t, os.Symlink("to\xffnowhere", filepath.Join(dir, "link")), unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	entry, err := Stat(self, filepath.Join(dir, "link"))
	must(t, err)
	if entry.Type != "symlink" || entry.Target == nil || *entry.Target != "to\uFFFDnowhere" {
		t.Errorf("link: %+v", entry)
	}
	for path, kind := range map[string]string{dir: "directory", dir + "/fifo": "fifo", "/dev/null": "char_device", "/": "directory"} {
		if entry, err := Stat(self, path); err != nil || entry.Type != kind || entry.Path != path {
			t.Errorf("%s: %+v, %v", path, entry, err)
		}
	}
	_, err = Stat(self, filepath.Join(dir, "missing"))
	expect(t, err, 404, "FILE_NOT_FOUND")
}
