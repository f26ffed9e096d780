package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func put(path, text string) (Entry, error) {
	return Put(self, path, nil, strings.NewReader(text))
}

func TestPutAndGet(t *testing.T) {
	dir := openDir(t)
	path := filepath.Join(dir, "a/b/file")
	entry, err := put(path, "content")
	must(t, err)
	if entry.Path != path || entry.Name != "file" || entry.Size != 7 || entry.Mode != "0644" || entry.Type != "file" || entry.Target != nil {
		t.Errorf("entry %+v", entry)
	}
	content, err := Get(self, path)
	must(t, err)
	defer content.Close()
	text, err := io.ReadAll(content)
	must(t, err)
	if string(text) != "content" || !content.Sized || content.Entry != entry {
		t.Errorf("%q, %+v", text, content.Entry)
	}
	if got := names(t, filepath.Dir(path)); !reflect.DeepEqual(got, []string{"file"}) {
		t.Errorf("directory: %v", got)
	}
}

func TestPutKeepsAndSetsModes(t *testing.T) {
	path := filepath.Join(openDir(t), "file")
	write(t, path, "old")
	must(t, os.Chmod(path, 0o751))
	entry, err := put(path, "new")
	must(t, err)
	if entry.Mode != "0751" || read(t, path) != "new" {
		t.Errorf("entry %+v", entry)
	}
	mode := uint32(0o600)
	entry, err = Put(self, path, &mode, strings.NewReader("newer"))
	must(t, err)
	if entry.Mode != "0600" {
		t.Errorf("entry %+v", entry)
	}
}

func TestPutReplacesAtOnce(t *testing.T) {
	path := filepath.Join(openDir(t), "file")
	write(t, path, "old")
	reader, err := os.Open(path)
	must(t, err)
	defer reader.Close()
	feed, body := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := Put(self, path, nil, feed)
		done <- err
	}()
	_, err = body.Write([]byte("ne"))
	must(t, err)
	if got := read(t, path); got != "old" {
		t.Errorf("half written: %q", got)
	}
	_, err = body.Write([]byte("w"))
	must(t, err, body.Close(), <-done)
	if got := read(t, path); got != "new" {
		t.Errorf("afterwards: %q", got)
	}
	if text, _ := io.ReadAll(reader); string(text) != "old" {
		t.Errorf("who had it open reads %q", text)
	}
}

func TestBrokenPutLeavesNothing(t *testing.T) {
	dir := openDir(t)
	lost := errors.New("connection lost")
	for _, path := range []string{"new/deep/file", "existing/file"} {
		write(t, filepath.Join(dir, "existing/file"), "old")
		body := io.MultiReader(strings.NewReader("half"), failing{lost})
		if _, err := Put(self, filepath.Join(dir, path), nil, body); !errors.Is(err, lost) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	if got := names(t, dir); !reflect.DeepEqual(got, []string{"existing"}) {
		t.Errorf("left behind: %v", got)
	}
	if got := names(t, filepath.Join(dir, "existing")); !reflect.DeepEqual(got, []string{"file"}) {
		t.Errorf("left behind: %v", got)
	}
	if got := read(t, filepath.Join(dir, "existing/file")); got != "old" {
		t.Errorf("content %q", got)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPutFollowsLinks(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "real/target"), "old")
	must(t,
		os.Symlink("real/target", filepath.Join(dir, "link")),
		os.Symlink("link", filepath.Join(dir, "link2")),
		os.Symlink(filepath.Join(dir, "real/new"), filepath.Join(dir, "dangling")),
		os.Symlink("loop", filepath.Join(dir, "loop")),
		os.Symlink("real", filepath.Join(dir, "dirlink")),
		os.Symlink("../real/up", filepath.Join(dir, "real/climbing")),
		os.Symlink(".", filepath.Join(dir, "dot")),
	)
	for path, target := range map[string]string{
		"link2": "real/target", "dangling": "real/new", "dirlink/inside": "real/inside", "dirlink/climbing": "real/up",
	} {
		entry, err := put(filepath.Join(dir, path), "via "+path)
		must(t, err)
		if got := read(t, filepath.Join(dir, target)); got != "via "+path {
			t.Errorf("%s: %s holds %q", path, target, got)
		}
		if entry.Type != "file" {
			t.Errorf("%s: %+v", path, entry)
		}
	}
	for _, link := range []string{"link", "link2", "dangling"} {
		if _, err := os.Readlink(filepath.Join(dir, link)); err != nil {
			t.Errorf("%s is no link any more", link)
		}
	}
	_, err := put(filepath.Join(dir, "loop"), "x")
	expect(t, err, 422, "VALIDATION_ERROR")
	_, err = put(filepath.Join(dir, "dot"), "x")
	expect(t, err, 409, "FILE_IS_DIRECTORY")
}

func TestWhatCannotBePut(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "file"), "x")
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o755), syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		dir + "/dir":        {409, "FILE_IS_DIRECTORY"},
		"/":                 {409, "FILE_IS_DIRECTORY"},
		dir + "/fifo":       {422, "VALIDATION_ERROR"},
		"/dev/null":         {422, "VALIDATION_ERROR"},
		dir + "/file/below": {404, "FILE_NOT_FOUND"},
	} {
		_, err := put(path, "x")
		expect(t, err, want.status, want.code)
	}
	if got := names(t, dir); len(got) != 3 {
		t.Errorf("left behind: %v", got)
	}
}

func TestWhatCannotBeGot(t *testing.T) {
	dir := openDir(t)
	write(t, filepath.Join(dir, "file"), "x")
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644), os.Symlink("fifo", filepath.Join(dir, "link")))
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		dir:                 {409, "FILE_IS_DIRECTORY"},
		dir + "/fifo":       {422, "VALIDATION_ERROR"},
		dir + "/link":       {422, "VALIDATION_ERROR"},
		"/dev/zero":         {422, "VALIDATION_ERROR"},
		dir + "/missing":    {404, "FILE_NOT_FOUND"},
		dir + "/file/below": {404, "FILE_NOT_FOUND"},
	} {
		done := make(chan error, 1)
		go func() {
			_, err := Get(self, path)
			done <- err
		}()
		select {
		case err := <-done:
			expect(t, err, want.status, want.code)
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: hangs", path)
		}
	}
}

func TestGetGivesNoPipeThatTakesTheFilesPlace(t *testing.T) {
	dir := openDir(t)
	path, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	write(t, path, "x")
	must(t, syscall.Mkfifo(pipe, 0o644))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, pipe, unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 5000 {
		content, err := Get(self, path)
		if err != nil {
			expect(t, err, 422, "VALIDATION_ERROR")
			continue
		}
		content.Close()
		if content.Entry.Type != "file" {
			t.Errorf("got a %s", content.Entry.Type)
			break
		}
	}
	close(stop)
	<-stopped
}

func TestFilesOfTheKernelHaveNoSize(t *testing.T) {
	content, err := Get(self, "/proc/self/status")
	must(t, err)
	defer content.Close()
	text, err := io.ReadAll(content)
	if err != nil || content.Sized || !strings.Contains(string(text), "Name:") {
		t.Errorf("%q, sized %v, %v", text, content.Sized, err)
	}
}

func TestUsersAreKeptApart(t *testing.T) {
	user := bunker(t)
	dir := openDir(t)
	write(t, filepath.Join(dir, "secret"), "x")
	must(t, os.Chmod(filepath.Join(dir, "secret"), 0o600), os.Mkdir(filepath.Join(dir, "closed"), 0o755))
	_, err := Get(user, filepath.Join(dir, "secret"))
	expect(t, err, 403, "FILE_PERMISSION_DENIED")
	_, err = Put(user, filepath.Join(dir, "closed/new"), nil, strings.NewReader("x"))
	expect(t, err, 403, "FILE_PERMISSION_DENIED")
	_, err = Get(user, "/proc/self/environ") // the agent's own: no capability may help
	expect(t, err, 403, "FILE_PERMISSION_DENIED")
	entry, err := Put(user, filepath.Join(dir, "mine/file"), nil, strings.NewReader("x"))
	must(t, err)
	if entry.UID != 1000 || entry.GID != 1000 {
		t.Errorf("entry %+v", entry)
	}
	if parent, err := Stat(self, filepath.Join(dir, "mine")); err != nil || parent.UID != 1000 || parent.Mode != "0755" {
		t.Errorf("parent %+v, %v", parent, err)
	}
	// Root writes to the user's file: it stays the user's.
	entry, err = put(filepath.Join(dir, "mine/file"), "y")
	must(t, err)
	if entry.UID != 1000 {
		t.Errorf("entry %+v", entry)
	}
}
