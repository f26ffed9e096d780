package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scaibunker/guest-agent/internal/files"
)

// file returns the address of a file operation of root's, which the test's own user does.
func file(operation, path, more string) string {
	return "/v1/files" + operation + "?user=root&path=" + url.QueryEscape(path) + more
}

func (c *client) get(path, span string) (*http.Response, string) {
	c.Helper()
	request, err := http.NewRequestWithContext(c.Context(), "GET", "http://guest"+file("", path, ""), nil)
	if err != nil {
		c.Fatal(err)
	}
	if span != "" {
		request.Header.Set("Range", span)
	}
	response, err := c.http.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response, string(text)
}

func TestFilesRoundTrip(t *testing.T) {
	c := newMachine(t).connect()
	path := filepath.Join(t.TempDir(), "new dir", "ä \"file\"")
	big := strings.Repeat("0123456789", 1_000_000)
	status, answer := c.call("PUT", file("", path, "&mode=0640"), big)
	var entry files.Entry
	if status != 200 || json.Unmarshal([]byte(answer), &entry) != nil || entry.Path != path || entry.Size != int64(len(big)) || entry.Mode != "0640" {
		t.Fatalf("put: %d %s", status, answer)
	}
	response, text := c.get(path, "")
	if response.StatusCode != 200 || text != big || response.ContentLength != int64(len(big)) {
		t.Errorf("get: %d, %d bytes of %d", response.StatusCode, len(text), response.ContentLength)
	}
	var described files.Entry
	if err := json.Unmarshal([]byte(response.Header.Get("X-File-Entry")), &described); err != nil || described != entry {
		t.Errorf("X-File-Entry: %q", response.Header.Get("X-File-Entry"))
	}
	if _, answer := c.call("GET", file("/stat", path, ""), ""); !strings.Contains(answer, `"size":10000000`) {
		t.Errorf("stat: %s", answer)
	}
	if _, answer := c.call("GET", file("/list", filepath.Dir(path), "&recursive=true&limit=5"), ""); !strings.Contains(answer, `"has_more":false,"next_after":null`) {
		t.Errorf("list: %s", answer)
	}
	moved := path + " moved"
	body, _ := json.Marshal(map[string]any{"source": path, "destination": moved, "user": "root"})
	if status, answer := c.call("POST", "/v1/files/move", string(body)); status != 200 || !strings.Contains(answer, "moved") {
		t.Errorf("move: %d %s", status, answer)
	}
	if status, _ := c.call("DELETE", file("", filepath.Dir(path), "&recursive=true"), ""); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Error("it is still there")
	}
	body, _ = json.Marshal(map[string]any{"path": path, "user": "root", "mode": "0711"})
	if status, answer := c.call("POST", "/v1/files/mkdir", string(body)); status != 200 || !strings.Contains(answer, `"mode":"0711"`) {
		t.Errorf("mkdir: %d %s", status, answer)
	}
}

func TestRanges(t *testing.T) {
	c := newMachine(t).connect()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	for span, want := range map[string]struct {
		status        int
		text, content string
	}{
		"bytes=0-3":     {206, "0123", "bytes 0-3/10"},
		"bytes=4-":      {206, "456789", "bytes 4-9/10"},
		"bytes=8-99":    {206, "89", "bytes 8-9/10"},
		"bytes=-3":      {206, "789", "bytes 7-9/10"},
		"bytes=-99":     {206, "0123456789", "bytes 0-9/10"},
		"bytes=9-9":     {206, "9", "bytes 9-9/10"},
		"bytes=10-":     {416, "", "bytes */10"},
		"bytes=-0":      {416, "", "bytes */10"},
		"bytes=5-2":     {200, "0123456789", ""},
		"bytes=0-1,3-4": {200, "0123456789", ""},
		"bytes=x":       {200, "0123456789", ""},
		"lines=1-2":     {200, "0123456789", ""},
	} {
		response, text := c.get(path, span)
		if response.StatusCode != want.status || response.Header.Get("Content-Range") != want.content {
			t.Errorf("%s: %d, Content-Range %q", span, response.StatusCode, response.Header.Get("Content-Range"))
		}
		if want.status == 416 {
			if !strings.Contains(text, "RANGE_NOT_SATISFIABLE") {
				t.Errorf("%s: %s", span, text)
			}
		} else if text != want.text || response.ContentLength != int64(len(want.text)) {
			t.Errorf("%s: %q of %d bytes", span, text, response.ContentLength)
		}
	}
}

func TestKernelFilesStream(t *testing.T) {
	c := newMachine(t).connect()
	response, text := c.get("/proc/kallsyms", "") // long, and of size 0
	if response.StatusCode != 200 || response.ContentLength != -1 || len(text) < 10_000 {
		t.Errorf("%d, length %d, %d bytes", response.StatusCode, response.ContentLength, len(text))
	}
	if response, text := c.get("/proc/version", ""); response.StatusCode != 200 || !strings.Contains(text, "Linux") {
		t.Errorf("%d, %q", response.StatusCode, text)
	}
}

func TestCutUploadLeavesNothing(t *testing.T) {
	m := newMachine(t)
	for name, cut := range map[string]func(*client, context.CancelFunc){
		"reset":        func(_ *client, cancel context.CancelFunc) { cancel() },
		"lost session": func(c *client, _ context.CancelFunc) { c.host.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := m.connect()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body, feed := io.Pipe()
			go func() {
				if response, err := c.send(ctx, "PUT", file("", filepath.Join(dir, "made/file"), ""), body); err == nil {
					response.Body.Close()
				}
			}()
			if _, err := feed.Write(make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
			m.eventually("the upload to begin", func() bool {
				entries, _ := os.ReadDir(filepath.Join(dir, "made"))
				return len(entries) == 1
			})
			cut(c, cancel)
			m.eventually("the leftovers to be removed", func() bool {
				entries, err := os.ReadDir(dir)
				return err == nil && len(entries) == 0
			})
			feed.Close()
		})
	}
}

func TestBadFileRequests(t *testing.T) {
	c := newMachine(t).connect()
	dir := t.TempDir()
	for _, bad := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/v1/files", "", 422, "VALIDATION_ERROR"},
		{"GET", file("", "relative", ""), "", 422, "VALIDATION_ERROR"},
		{"GET", file("", "/a/../b", ""), "", 422, "VALIDATION_ERROR"},
		{"GET", "/v1/files?path=%zz", "", 422, "VALIDATION_ERROR"},
		{"GET", "/v1/files?path=/etc&user=nobody", "", 422, "VALIDATION_ERROR"},
		{"GET", file("", dir, ""), "", 409, "FILE_IS_DIRECTORY"},
		{"GET", file("", dir+"/missing", ""), "", 404, "FILE_NOT_FOUND"},
		{"PUT", file("", dir+"/x", "&mode=9"), "x", 422, "VALIDATION_ERROR"},
		{"PUT", file("", dir, ""), "x", 409, "FILE_IS_DIRECTORY"},
		{"DELETE", file("", dir, "&recursive=maybe"), "", 422, "VALIDATION_ERROR"},
		{"GET", file("/list", dir, "&limit=0"), "", 422, "VALIDATION_ERROR"},
		{"GET", file("/list", dir, "&limit=10001"), "", 422, "VALIDATION_ERROR"},
		{"POST", "/v1/files/mkdir", `{"path": "x"}`, 422, "VALIDATION_ERROR"},
		{"POST", "/v1/files/mkdir", `{"path": "/x", "mode": "rwx"}`, 422, "VALIDATION_ERROR"},
		{"POST", "/v1/files/mkdir", `{"path": "/x", "colour": 1}`, 422, "VALIDATION_ERROR"},
		{"POST", "/v1/files/move", `{"source": "/x"}`, 422, "VALIDATION_ERROR"},
	} {
		c.expect(bad.method, bad.path, bad.body, bad.status, bad.code)
	}
}
