package intake

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

var generous = Limits{Bytes: 1 << 20, Entries: 1000}

// tarOf writes the headers as they are; Size is taken from content, which is keyed by name.
func tarOf(t *testing.T, content map[string]string, headers ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content[h.Name]))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content[h.Name]); h.Typeflag == tar.TypeReg && err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func file(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
}

func dir(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

func link(name, to string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

func symlink(name, to string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}

func clean(source []byte, limits Limits) ([]*tar.Header, Summary, error) {
	var out bytes.Buffer
	summary, err := Clean(bytes.NewReader(source), &out, limits)
	if err != nil {
		return nil, summary, err
	}
	var headers []*tar.Header
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return headers, summary, nil
		}
		if err != nil {
			return nil, summary, err
		}
		headers = append(headers, h)
	}
}

func names(headers []*tar.Header) string {
	var all []string
	for _, h := range headers {
		all = append(all, strings.TrimSuffix(h.Name, "/"))
	}
	return strings.Join(all, " ")
}

func TestEntriesComeOutCleanAndWithTheirParents(t *testing.T) {
	source := tarOf(t, map[string]string{"/a/b/c": "x"}, file("/a/b/c"), dir("./a/b"), link("d", "./a//b/c"))
	headers, summary, err := clean(source, generous)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(headers); got != "a a/b a/b/c a/b d" {
		t.Errorf("entries: %s", got)
	}
	if headers[4].Linkname != "a/b/c" {
		t.Errorf("link to %q", headers[4].Linkname)
	}
	if summary != (Summary{Entries: 4, Bytes: 1}) {
		t.Errorf("summary: %+v", summary)
	}
}

func TestHostileEntriesAreRefusedByName(t *testing.T) {
	long := strings.Repeat("n", 256)
	deep := strings.Repeat(strings.Repeat("p", 200)+"/", 21) + "x"
	cases := map[string]struct {
		rule    string
		headers []*tar.Header
	}{
		"dot dot":             {"leaves the image", []*tar.Header{file("a/../../etc/passwd")}},
		"dot dot only":        {"leaves the image", []*tar.Header{dir("..")}},
		"long component":      {"longer than 255", []*tar.Header{file(long)}},
		"long path":           {"longer than 4095", []*tar.Header{file(deep)}},
		"root as a file":      {"root must be a directory", []*tar.Header{symlink("./", "/etc")}},
		"file twice":          {"taken", []*tar.Header{file("a"), file("./a")}},
		"file over directory": {"taken", []*tar.Header{dir("a"), file("a")}},
		"directory over file": {"taken", []*tar.Header{file("a"), dir("a")}},
		"link over file":      {"taken", []*tar.Header{file("a"), file("b"), link("b", "a")}},
		"below a file":        {"not a directory", []*tar.Header{file("a"), file("a/b")}},
		"below a symlink":     {"not a directory", []*tar.Header{symlink("a", "/etc"), file("a/passwd")}},
		"link outside":        {"leaves the image", []*tar.Header{link("a", "../../etc/shadow")}},
		"link to the future":  {"no file before it", []*tar.Header{link("a", "b"), file("b")}},
		"link to a directory": {"no file before it", []*tar.Header{dir("d"), link("a", "d")}},
		"link to itself":      {"no file before it", []*tar.Header{link("a", "a")}},
		"target too long":     {"4095 bytes", []*tar.Header{symlink("a", strings.Repeat("t", 4096))}},
		"device out of range": {"device number", []*tar.Header{{Typeflag: tar.TypeChar, Name: "d", Devmajor: 5000}}},
		"minor out of range":  {"device number", []*tar.Header{{Typeflag: tar.TypeBlock, Name: "d", Devminor: 1 << 20}}},
		"owner out of range":  {"owner", []*tar.Header{{Typeflag: tar.TypeReg, Name: "f", Uid: 1<<32 - 1}}},
		"unknown type":        {"type", []*tar.Header{{Typeflag: 'V', Name: "volume"}}},
		"nothing in it":       {"no entries", nil},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := clean(tarOf(t, nil, test.headers...), generous)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.rule) {
				t.Errorf("got %v, want a refusal with %q", err, test.rule)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	content := map[string]string{"a": strings.Repeat("a", 600), "b": strings.Repeat("b", 424)}
	exact := tarOf(t, content, file("a"), file("b"))
	if _, _, err := clean(exact, Limits{Bytes: 1024, Entries: 2}); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	if _, _, err := clean(exact, Limits{Bytes: 1023, Entries: 2}); err == nil || !strings.Contains(err.Error(), "1023 bytes") {
		t.Errorf("one byte too many: %v", err)
	}
	if _, _, err := clean(exact, Limits{Bytes: 1024, Entries: 1}); err == nil || !strings.Contains(err.Error(), "1 entries") {
		t.Errorf("one entry too many: %v", err)
	}
	implied := tarOf(t, nil, file("1/2/3/4/5"))
	if _, _, err := clean(implied, Limits{Bytes: 1, Entries: 4}); err == nil {
		t.Error("implied directories were not counted")
	}
}

func TestSparseClaimsCountInFull(t *testing.T) {
	// A sparse file of 1 TiB in a tarball of 2 KiB, as PAX 1.0 writes it.
	records := map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "huge",
		"GNU.sparse.realsize": fmt.Sprint(1 << 40)}
	var out bytes.Buffer
	pax := ""
	for key, value := range records {
		for size := len(key) + len(value) + 3; ; size++ {
			if record := fmt.Sprintf("%d %s=%s\n", size, key, value); len(record) == size {
				pax += record
				break
			}
		}
	}
	out.Write(rawHeader(t, 'x', "pax", pax))
	out.Write(rawHeader(t, '0', "GNUSparseFile.0/huge", "1\n0\n0\n"+strings.Repeat("\x00", 506)))
	out.Write(make([]byte, 1024))
	_, _, err := clean(out.Bytes(), generous)
	if err == nil || !strings.Contains(err.Error(), "content is larger") {
		t.Errorf("got %v", err)
	}
}

// rawHeader writes one header and its content without the checks of tar.Writer.
func rawHeader(t *testing.T, typeflag byte, name, content string) []byte {
	t.Helper()
	block := make([]byte, 512)
	copy(block, name)
	copy(block[100:], "0000644\x000000000\x000000000\x00")
	copy(block[124:], fmt.Sprintf("%011o\x00%011o\x00", len(content), 0))
	block[156] = typeflag
	copy(block[257:], "ustar\x0000")
	copy(block[148:], "        ")
	sum := 0
	for _, b := range block {
		sum += int(b)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
	padded := append([]byte(content), make([]byte, (512-len(content)%512)%512)...)
	return append(block, padded...)
}

func TestCompressedStreams(t *testing.T) {
	plain := tarOf(t, map[string]string{"a": "hello"}, file("a"))
	var zipped, zstandard bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(plain)
	_ = z.Close()
	e, _ := zstd.NewWriter(&zstandard)
	_, _ = e.Write(plain)
	_ = e.Close()
	for name, source := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes(), "zstd": zstandard.Bytes()} {
		if headers, _, err := clean(source, generous); err != nil || names(headers) != "a" {
			t.Errorf("%s: %v %v", name, names(headers), err)
		}
		if _, _, err := clean(source[:len(source)/2], generous); err == nil && name != "plain" {
			t.Errorf("%s: half of it was accepted", name)
		}
	}
	for name, source := range map[string][]byte{"nothing": {}, "no tar": []byte(strings.Repeat("no tar", 200)), "xz": []byte("\xfd7zXZ\x00...")} {
		var refused *RefusedError
		if _, _, err := clean(source, generous); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBombIsStopped(t *testing.T) {
	bounded := &boundedReader{source: endless{}, left: 1 << 20}
	n, err := io.Copy(io.Discard, bounded)
	var refused *RefusedError
	if n != 1<<20 || !errors.As(err, &refused) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestTimesAreClamped(t *testing.T) {
	old, late := file("old"), file("late")
	old.ModTime, late.ModTime = time.Unix(-5, 0), time.Unix(1<<40, 0)
	old.Format, late.Format = tar.FormatPAX, tar.FormatPAX
	headers, _, err := clean(tarOf(t, nil, old, late), generous)
	if err != nil {
		t.Fatal(err)
	}
	if headers[0].ModTime.Unix() != 0 || headers[1].ModTime.Unix() != maxTime {
		t.Errorf("times: %v %v", headers[0].ModTime, headers[1].ModTime)
	}
}
