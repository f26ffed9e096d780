package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime/debug"

	"scaibunker/guest-agent/internal/console"
	"scaibunker/guest-agent/internal/fault"
)

// maxJSON bounds the JSON body of every request but the start of a command.
const maxJSON = 1 << 20

// handler answers a request or returns why it could not; an error after the first byte of an
// answer breaks the stream.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]handler{
		"GET /v1/health":             s.health,
		"PUT /v1/identity":           s.putIdentity,
		"PUT /v1/clock":              s.putClock,
		"POST /v1/power":             s.power,
		"PUT /v1/hold":               s.holdStill,
		"DELETE /v1/hold":            s.release,
		"GET /v1/execs":              s.listExecs,
		"POST /v1/execs/{id}":        s.startExec,
		"DELETE /v1/execs/{id}":      s.forgetExec,
		"GET /v1/execs/{id}/frames":  s.followExec,
		"POST /v1/execs/{id}/signal": s.signalExec,
		"POST /v1/execs/{id}/stdin":  s.writeStdin,
		"GET /v1/files":              s.getFile,
		"PUT /v1/files":              s.putFile,
		"DELETE /v1/files":           s.removeFile,
		"GET /v1/files/stat":         s.statFile,
		"GET /v1/files/list":         s.listFiles,
		"POST /v1/files/mkdir":       s.makeDirectory,
		"POST /v1/files/move":        s.moveFile,
		"/":                          noRoute,
	} {
		mux.Handle(pattern, answering(serve))
	}
	return mux
}

func noRoute(_ http.ResponseWriter, r *http.Request) error {
	return fault.NotFound("NOT_FOUND", "no such route: %s %s", r.Method, r.URL.Path)
}

// answering turns what a handler returns into an answer. A panic becomes one too: the agent is
// process 1, and the machine would end with it.
func answering(serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &trackedWriter{ResponseWriter: w}
		defer func() {
			switch problem := recover(); problem {
			case nil:
			case http.ErrAbortHandler:
				panic(problem)
			default:
				console.Print("bug in %s %s: %v\n%s", r.Method, r.URL.Path, problem, debug.Stack())
				writeError(tracked, fault.New(http.StatusInternalServerError, "INTERNAL_ERROR", "the agent failed: %v", problem))
			}
		}()
		// No clock is right before the identity is applied, and nobody reads it.
		w.Header()["Date"] = nil
		if err := serve(tracked, r); err != nil {
			writeError(tracked, err)
		}
	})
}

// trackedWriter knows whether an answer has begun.
type trackedWriter struct {
	http.ResponseWriter
	begun bool
}

func (w *trackedWriter) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *trackedWriter) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

func (w *trackedWriter) Flush() {
	w.begun = true
	w.ResponseWriter.(http.Flusher).Flush()
}

func writeError(w *trackedWriter, err error) {
	if w.begun {
		// Half an answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
	problem := fault.From(err)
	_ = writeJSON(w, problem.Status, problem)
}

func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// readJSON reads a request's body, which must hold one value and nothing else.
func readJSON(r *http.Request, into any) error {
	return decodeJSON(io.LimitReader(r.Body, maxJSON+1), into)
}

func decodeJSON(source io.Reader, into any) error {
	decoder := json.NewDecoder(source)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("something follows the JSON value")
		}
	}
	if err == nil {
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return fault.Invalid(wrongType.Field, "%s must not be a %s", wrongType.Field, wrongType.Value)
	}
	return fault.Invalid("body", "body: %v", err)
}
