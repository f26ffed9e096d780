package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scaibunker/guest-agent/internal/fault"
)

func TestWithHost(t *testing.T) {
	fresh := "127.0.0.1\tlocalhost\n127.0.1.1\tbnk\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	for name, c := range map[string]struct{ before, after string }{
		"empty":          {"", fresh},
		"applied again":  {fresh, "127.0.1.1\tbnk\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
		"another name":   {"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 old older\n", "127.0.1.1\tbnk\n127.0.0.1 localhost\n::1 localhost\n"},
		"user's entries": {"# mine\n10.0.0.1 db\n127.0.0.1 localhost\n::1 localhost", "127.0.1.1\tbnk\n# mine\n10.0.0.1 db\n127.0.0.1 localhost\n::1 localhost\n"},
	} {
		after := withHost(c.before, "bnk")
		if after != c.after {
			t.Errorf("%s: %q, want %q", name, after, c.after)
		}
		if again := withHost(after, "bnk"); withHost(again, "bnk") != again {
			t.Errorf("%s: does not settle: %q", name, again)
		}
	}
}

func TestWriteNames(t *testing.T) {
	etc := t.TempDir()
	writeNames(etc, "bnk-1")
	for file, want := range map[string]string{"hostname": "bnk-1\n", "hosts": "127.0.1.1\tbnk-1"} {
		text, err := os.ReadFile(filepath.Join(etc, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
	// What cannot be written is left alone, and nothing hangs.
	hostile := t.TempDir()
	for _, file := range []string{"hostname", "hosts"} {
		if err := os.MkdirAll(filepath.Join(hostile, file, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeNames(hostile, "bnk-1")
	writeNames(filepath.Join(hostile, "missing"), "bnk-1")
	entries, _ := os.ReadDir(hostile)
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestCheck(t *testing.T) {
	good := Identity{Hostname: "bnk-1", TimeUnixNS: 1_800_000_000_000_000_000, EntropyBase64: "QUJD", Env: map[string]string{"A": "b=c"}}
	if random, err := check(good); err != nil || string(random) != "ABC" {
		t.Fatalf("%q, %v", random, err)
	}
	for field, spoil := range map[string]func(*Identity){
		"hostname":       func(i *Identity) { i.Hostname = "-bad" },
		"time_unix_ns":   func(i *Identity) { i.TimeUnixNS = -1 },
		"entropy_base64": func(i *Identity) { i.EntropyBase64 = "?" },
		"env":            func(i *Identity) { i.Env = map[string]string{"A=B": ""} },
		"generation":     func(i *Identity) { i.Generation = "../x" },
		"token_hex":      func(i *Identity) { i.TokenHex = "abcd" },
	} {
		bad := good
		spoil(&bad)
		_, err := check(bad)
		var problem *fault.Error
		if !errors.As(err, &problem) || problem.Field != field || problem.Status != 422 {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestIsHostname(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "bnk-1": true, "a.b": true, strings.Repeat("x", 64): true,
		"": false, "-a": false, "a-": false, ".a": false, "a b": false, "a/b": false, "a\n": false, "ä": false, strings.Repeat("x", 65): false,
	} {
		if isHostname(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
