package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scaibunker.dev/image-baker/internal/intake"
)

// rootfs is a tarball with one of everything, enough directories to need several blocks, and
// files of sizes around the block's.
func rootfs(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	add := func(h tar.Header, content string) {
		h.Size, h.ModTime, h.Format = int64(len(content)), time.Unix(1700000000, 5), tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755}, "")
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
		add(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("size/%d", size), Mode: 0o4755}, strings.Repeat("x", size))
	}
	for i := range 2000 {
		add(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("many/a-name-of-some-length-%d", i)}, "")
	}
	add(tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "size/1"}, "")
	add(tar.Header{Typeflag: tar.TypeSymlink, Name: "soft", Linkname: strings.Repeat("l", 100)}, "")
	add(tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Devmajor: 1, Devminor: 3}, "")
	add(tar.Header{Typeflag: tar.TypeReg, Name: "cap", PAXRecords: map[string]string{
		"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00",
		"SCHILY.xattr.user.note":           strings.Repeat("n", 500),
	}}, "x")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func bakeInto(t *testing.T, source []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	target, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	_, err = bake(bytes.NewReader(source), target, intake.Limits{Bytes: 64 << 20, Entries: 10_000})
	return path, err
}

func TestEqualTarballsGiveEqualImages(t *testing.T) {
	source := rootfs(t)
	var images [2][]byte
	for i := range images {
		path, err := bakeInto(t, source)
		if err != nil {
			t.Fatal(err)
		}
		if images[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("the images differ")
	}
}

func TestTheCheckerFindsNothing(t *testing.T) {
	checker, err := exec.LookPath("e2fsck")
	if err != nil {
		if checker, err = exec.LookPath("/usr/sbin/e2fsck"); err != nil {
			t.Skip("e2fsck is not installed (package e2fsprogs)")
		}
	}
	path, err := bakeInto(t, rootfs(t))
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(checker, "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

func TestAHostileTarballIsRefusedNotBroken(t *testing.T) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range []string{"fine", "../evil"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := bakeInto(t, out.Bytes())
	var refused *intake.RefusedError
	if !errors.As(err, &refused) || refused.Entry != "../evil" {
		t.Errorf("got %v", err)
	}
}
