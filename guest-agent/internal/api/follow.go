package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/frames"
	"scaibunker/guest-agent/internal/process"
)

const (
	// quickTime is how long a command has to end before anything is sent: a quick one is answered
	// with a single write.
	quickTime = 25 * time.Millisecond
	// silence is how long a stream may be without a frame.
	silence = 15 * time.Second
	// batchSize is about what is written between two flushes.
	batchSize = 128 * 1024
	// flushPause is the least time between two flushes of little output, and smallFlush what
	// counts as little: each costs the machine and the host more than the bytes do.
	flushPause = 20 * time.Millisecond
	smallFlush = 16 * 1024
)

// awaitQuick waits for a command that ends at once. One that does not has its output read on
// goroutines from then on.
func awaitQuick(ctx context.Context, exec *process.Exec) {
	timer := time.NewTimer(quickTime)
	defer timer.Stop()
	select {
	case <-exec.Log.Done():
		return
	case <-timer.C:
	case <-ctx.Done():
	}
	exec.Settle()
}

func (s *Server) followExec(w http.ResponseWriter, r *http.Request) error {
	exec, err := s.Execs.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	reader := exec.Log.ReadOldest()
	if text := r.URL.Query().Get("offset"); text != "" {
		offset, err := strconv.ParseInt(text, 10, 64)
		if err != nil || offset < 0 {
			return fault.Invalid("offset", "offset must be a number of bytes")
		}
		reader, err = exec.Log.ReadFrom(offset)
		if errors.Is(err, frames.ErrNotKept) {
			start, end, _ := exec.Log.Span()
			return fault.New(http.StatusGone, "EXEC_NOT_FOUND",
				"offset %d of command %s is not kept; bytes %d to %d are", offset, exec.ID, start, end)
		}
	}
	send(w, r, reader)
	return nil
}

// send writes a stream of frames to its end and returns true, or false if the request was
// cancelled before.
func send(w http.ResponseWriter, r *http.Request, reader *frames.Reader) (complete bool) {
	w.Header().Set("Content-Type", frames.ContentType)
	flusher := w.(http.Flusher)
	var quiet *time.Timer
	var flushed time.Time
	for {
		batch := reader.Next(batchSize)
		if batch.Gap > 0 {
			gap := frames.EncodeJSON(frames.Gap, struct {
				Bytes int64 `json:"bytes"`
			}{batch.Gap})
			if _, err := w.Write(gap); err != nil {
				return false
			}
		}
		for _, frame := range batch.Frames {
			if _, err := w.Write(frame); err != nil {
				return false
			}
		}
		if batch.Final {
			return true
		}
		if batch.More == nil {
			flusher.Flush()
			reader.Sent()
			if batch.Bytes < smallFlush && time.Since(flushed) < 2*flushPause {
				pause(r.Context(), reader)
			}
			flushed = time.Now()
			continue
		}
		if quiet == nil {
			flusher.Flush() // the answer's head, if nothing else has
			quiet = time.NewTimer(silence)
			defer quiet.Stop()
		} else {
			quiet.Reset(silence)
		}
		select {
		case <-batch.More:
		case <-r.Context().Done():
			return false
		case <-quiet.C:
			if _, err := w.Write(frames.Encode(frames.Keepalive, nil)); err != nil {
				return false
			}
		}
	}
}

// pause lets output gather, but does not keep the end of it waiting.
func pause(ctx context.Context, reader *frames.Reader) {
	timer := time.NewTimer(flushPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-reader.Complete():
	case <-ctx.Done():
	}
}
