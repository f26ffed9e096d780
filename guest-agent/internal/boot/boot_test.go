package boot

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseToken(t *testing.T) {
	token := bytes.Repeat([]byte{0xab}, 32)
	text := hex.EncodeToString(token)
	got, rest, err := parseToken("console=ttyS0 scaibunker.token=" + text + " quiet\n")
	if err != nil || !bytes.Equal(got, token) || rest != "console=ttyS0 quiet\n" {
		t.Fatalf("% x, %q, %v", got, rest, err)
	}
	for _, line := range []string{
		"", "quiet", "scaibunker.token=", "scaibunker.token=" + text[:62], "scaibunker.token=" + text + "00",
		"scaibunker.token=" + strings.Repeat("zz", 32), "xscaibunker.token=" + text,
	} {
		if _, _, err := parseToken(line); err == nil {
			t.Errorf("%q is accepted", line)
		} else if strings.Contains(err.Error(), "ab") && strings.Contains(err.Error(), text[:60]) {
			t.Errorf("the error tells the token: %v", err)
		}
	}
}

func TestLoadModulesWithoutAny(t *testing.T) {
	if err := loadModules(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error(err)
	}
}

func TestLoadModulesNamesTheCulprit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "order"), []byte("\n00-missing.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := loadModules(dir); err == nil || !strings.Contains(err.Error(), "00-missing.ko") {
		t.Errorf("error %v", err)
	}
}

func TestAwait(t *testing.T) {
	asked := 0
	if err := await(time.Minute, "x", func() bool { asked++; return asked == 4 }); err != nil || asked != 4 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if err := await(0, "the disk", func() bool { return false }); err == nil || !strings.Contains(err.Error(), "the disk") {
		t.Errorf("error %v", err)
	}
}

func TestMountAtSaysWhatFailed(t *testing.T) {
	target := filepath.Join(t.TempDir(), "a", "b")
	err := mountAt("none", target, "no-such-file-system", 0, "")
	if err == nil || !strings.Contains(err.Error(), "no-such-file-system") || !strings.Contains(err.Error(), target) {
		t.Errorf("error %v", err)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Error("the mount point was not made")
	}
}

func TestParseMemory(t *testing.T) {
	total, available, err := parseMemory("MemTotal:  223608 kB\nMemFree: 1 kB\nMemAvailable:\t188504 kB\nOdd\n")
	if err != nil || total != 223608<<10 || available != 188504<<10 {
		t.Errorf("%d, %d, %v", total, available, err)
	}
	if _, _, err := parseMemory("MemTotal: many kB\n"); err == nil {
		t.Error("no error")
	}
}
