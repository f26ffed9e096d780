package accounts

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const bunkerLine = "bunker:x:1000:1000::/home/bunker:/bin/sh"

func TestWithLine(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		changed       bool
	}{
		"added":             {"root:x:0:0::/root:/bin/sh\n", "root:x:0:0::/root:/bin/sh\n" + bunkerLine + "\n", true},
		"empty":             {"", bunkerLine + "\n", true},
		"no newline at end": {"root:x:0:0::/root:/bin/sh", "root:x:0:0::/root:/bin/sh\n" + bunkerLine + "\n", true},
		"already there":     {"bunker:x:1000:1000:Name:/home/bunker:/bin/zsh\n", "bunker:x:1000:1000:Name:/home/bunker:/bin/zsh\n", false},
		"other id":          {"bunker:x:1001:1001::/home/bunker:/bin/sh\nx:x:5:5::/:/\n", "x:x:5:5::/:/\n" + bunkerLine + "\n", true},
		"other home":        {"bunker:x:1000:1000::/opt:/bin/sh\n", bunkerLine + "\n", true},
		"id is taken":       {"a:x:1:1::/:/\nnode:x:1000:1000::/home/node:/bin/sh\nz:x:9:9::/:/\n", "a:x:1:1::/:/\n" + bunkerLine + "\nnode:x:1000:1000::/home/node:/bin/sh\nz:x:9:9::/:/\n", true},
		"garbage":           {":::\nbunker\n\x00\xff\n", ":::\n\x00\xff\n" + bunkerLine + "\n", true},
	} {
		after, changed := withLine(c.before, bunkerLine, isBunkerPasswd)
		if after != c.after || changed != c.changed {
			t.Errorf("%s: %q (changed %v), want %q", name, after, changed, c.after)
		}
	}
}

// ensure runs Ensure on a fresh root directory that prepare has filled.
func ensure(t *testing.T, prepare func(root string)) (root string, err error) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	root = t.TempDir()
	if prepare != nil {
		prepare(root)
	}
	return root, Ensure(root)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func content(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	must(t, err)
	return string(text)
}

func TestEnsureInAnEmptyImage(t *testing.T) {
	root, err := ensure(t, nil)
	must(t, err)
	if got := content(t, root, "etc/passwd"); got != "root:x:0:0:root:/root:/bin/sh\n"+bunkerLine+"\n" {
		t.Errorf("passwd: %q", got)
	}
	if got := content(t, root, "etc/group"); got != "root:x:0:\nbunker:x:1000:\n" {
		t.Errorf("group: %q", got)
	}
	info, err := os.Stat(filepath.Join(root, "home/bunker"))
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t); !info.IsDir() || owner.Uid != 1000 || owner.Gid != 1000 {
		t.Errorf("home: %v, owner %d:%d", info.Mode(), owner.Uid, owner.Gid)
	}
	if _, err := os.Stat(filepath.Join(root, "etc/shadow")); !os.IsNotExist(err) {
		t.Error("a shadow file was made up")
	}
}

func TestEnsureKeepsWhatIsRight(t *testing.T) {
	root, err := ensure(t, func(root string) {
		must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755),
			os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(bunkerLine+"\n"), 0o644),
			os.WriteFile(filepath.Join(root, "etc/group"), []byte("bunker:x:1000:\n"), 0o644),
			os.WriteFile(filepath.Join(root, "etc/shadow"), []byte("root:*:1::::::"), 0o640),
			os.Chown(filepath.Join(root, "etc/shadow"), 0, 42))
	})
	must(t, err)
	before, err := os.Stat(filepath.Join(root, "etc/passwd"))
	must(t, err, Ensure(root))
	after, err := os.Stat(filepath.Join(root, "etc/passwd"))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("a right file was written again")
	}
	if got := content(t, root, "etc/shadow"); got != "root:*:1::::::\nbunker:*:19000:0:99999:7:::\n" {
		t.Errorf("shadow: %q", got)
	}
	info, err := os.Stat(filepath.Join(root, "etc/shadow"))
	must(t, err)
	if info.Mode() != 0o640 || info.Sys().(*syscall.Stat_t).Gid != 42 {
		t.Errorf("shadow is %v, group %d", info.Mode(), info.Sys().(*syscall.Stat_t).Gid)
	}
}

func TestEnsureWithBash(t *testing.T) {
	root, err := ensure(t, func(root string) {
		must(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755), os.WriteFile(filepath.Join(root, "bin/bash"), nil, 0o755))
	})
	must(t, err)
	if got := content(t, root, "etc/passwd"); !strings.HasSuffix(got, "/home/bunker:/bin/bash\n") {
		t.Errorf("passwd: %q", got)
	}
}

func TestEnsureInHostileImages(t *testing.T) {
	etc := func(root, name string) string {
		must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
		return filepath.Join(root, "etc", name)
	}
	for name, prepare := range map[string]func(root string){
		"passwd is a fifo":     func(root string) { must(t, syscall.Mkfifo(etc(root, "passwd"), 0o644)) },
		"passwd is a device":   func(root string) { must(t, os.Symlink("/dev/zero", etc(root, "passwd"))) },
		"passwd leads nowhere": func(root string) { must(t, os.Symlink("nowhere", etc(root, "passwd"))) },
		"passwd leads to self": func(root string) { must(t, os.Symlink("passwd", etc(root, "passwd"))) },
		"passwd is huge": func(root string) {
			must(t, os.WriteFile(etc(root, "passwd"), nil, 0o644), os.Truncate(etc(root, "passwd"), 1<<40))
		},
		"leftover in the way": func(root string) { must(t, os.WriteFile(etc(root, "passwd.scaibunker"), nil, 0)) },
		"passwd is unreadable": func(root string) {
			must(t, os.WriteFile(etc(root, "passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0))
		},
		"home is a broken link": func(root string) {
			must(t, os.MkdirAll(filepath.Join(root, "home"), 0o755), os.Symlink("x", filepath.Join(root, "home/bunker")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := ensure(t, prepare)
			must(t, err)
			if got := content(t, root, "etc/passwd"); got != "root:x:0:0:root:/root:/bin/sh\n"+bunkerLine+"\n" {
				t.Errorf("passwd: %q", got)
			}
		})
	}
	for name, prepare := range map[string]func(root string){
		"passwd is a directory": func(root string) { must(t, os.MkdirAll(etc(root, "passwd/x"), 0o755)) },
		"etc is a file":         func(root string) { must(t, os.WriteFile(filepath.Join(root, "etc"), nil, 0o644)) },
		"home is a file":        func(root string) { must(t, os.WriteFile(filepath.Join(root, "home"), nil, 0o644)) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ensure(t, prepare); err == nil {
				t.Error("no error")
			}
		})
	}
}
