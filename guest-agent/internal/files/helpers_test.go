package files

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
)

// self is the user of the test process: with it no rights are changed.
var self = accounts.User{Name: "root"}

// bunker is another user than the test's, where that is possible.
func bunker(t *testing.T) accounts.User {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	return accounts.User{Name: "bunker", UID: 1000, GID: 1000}
}

// openDir returns a directory that every user can reach and write to.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "files-test-")
	must(t, err, os.Chmod(dir, 0o777))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// names lists a directory, so that what is left behind shows.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	list := []string{}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func expect(t *testing.T, err error, status int, code string) {
	t.Helper()
	var problem *fault.Error
	if !errors.As(err, &problem) || problem.Status != status || problem.Code != code {
		t.Errorf("error %v, want %d %s", err, status, code)
	}
}
