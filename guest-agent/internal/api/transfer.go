package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/files"
	"scaibunker/guest-agent/internal/stream"
)

func (s *Server) getFile(w http.ResponseWriter, r *http.Request) error {
	query, err := s.fileQuery(r)
	if err != nil {
		return err
	}
	content, err := files.Get(query.user, query.path)
	if err != nil {
		return err
	}
	defer content.Close()
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("X-File-Entry", asciiJSON(content.Entry))
	if !content.Sized {
		// Some of these wait for an event; the host's going away must end that.
		stop := context.AfterFunc(r.Context(), func() { content.Close() })
		defer stop()
		return copyOut(w, content)
	}
	header.Set("Accept-Ranges", "bytes")
	size := content.Entry.Size
	span, ranged, err := parseRange(r.Header.Get("Range"), size)
	if err != nil {
		header.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return err
	}
	if ranged {
		if _, err := content.Seek(span.begin, io.SeekStart); err != nil {
			return err
		}
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", span.begin, span.begin+span.length-1, size))
	}
	header.Set("Content-Length", strconv.FormatInt(span.length, 10))
	if ranged {
		w.WriteHeader(http.StatusPartialContent)
	}
	return copyExactly(w, content, span.length)
}

// copyOut sends what can be read until the end of the file.
func copyOut(w io.Writer, content io.Reader) error {
	fromFile, err := stream.Copy(w, content, make([]byte, files.CopySize))
	if fromFile {
		return fault.Internal(err)
	}
	return err
}

// copyExactly sends length bytes; a file that has become shorter meanwhile breaks the answer.
func copyExactly(w io.Writer, content io.Reader, length int64) error {
	buffer := make([]byte, min(files.CopySize, length))
	for length > 0 {
		n, err := io.ReadFull(content, buffer[:min(int64(len(buffer)), length)])
		if err != nil {
			return fault.Internal(fmt.Errorf("the file became shorter while it was read: %w", err))
		}
		if _, err := w.Write(buffer[:n]); err != nil {
			return err
		}
		length -= int64(n)
	}
	return nil
}

// byteRange is a part of a file.
type byteRange struct{ begin, length int64 }

// parseRange reads a Range header. As HTTP has it, one that is malformed or asks for several
// parts is passed over, and the whole file is the answer.
func parseRange(header string, size int64) (span byteRange, ranged bool, err error) {
	whole := byteRange{0, size}
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return whole, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return whole, false, nil
	}
	unsatisfiable := fault.New(http.StatusRequestedRangeNotSatisfiable, "RANGE_NOT_SATISFIABLE",
		"range %q is outside the file's %d bytes", spec, size)
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return whole, false, nil
		}
		if n == 0 || size == 0 {
			return whole, false, unsatisfiable
		}
		n = min(n, size)
		return byteRange{size - n, n}, true, nil
	}
	begin, err := strconv.ParseInt(first, 10, 64)
	if err != nil || begin < 0 {
		return whole, false, nil
	}
	end := size - 1
	if last != "" {
		stated, err := strconv.ParseInt(last, 10, 64)
		if err != nil || stated < begin {
			return whole, false, nil
		}
		end = min(stated, end)
	}
	if begin >= size {
		return whole, false, unsatisfiable
	}
	return byteRange{begin, end - begin + 1}, true, nil
}

func (s *Server) putFile(w http.ResponseWriter, r *http.Request) error {
	query, err := s.fileQuery(r)
	if err != nil {
		return err
	}
	var mode *uint32
	if text := query.Get("mode"); text != "" {
		value, err := files.CheckMode("mode", text)
		if err != nil {
			return err
		}
		mode = &value
	}
	entry, err := files.Put(query.user, query.path, mode, r.Body)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, entry)
}

// asciiJSON encodes a value for a header: JSON with everything outside printable ASCII escaped.
func asciiJSON(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return "{}"
	}
	var text strings.Builder
	for _, c := range string(encoded) {
		switch {
		case c >= 0x20 && c < 0x7f:
			text.WriteRune(c)
		case c > 0xffff:
			c -= 0x10000
			fmt.Fprintf(&text, `\u%04x\u%04x`, 0xd800+c>>10, 0xdc00+c&0x3ff)
		default:
			fmt.Fprintf(&text, `\u%04x`, c)
		}
	}
	return text.String()
}
