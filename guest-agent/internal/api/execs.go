package api

import (
	"net/http"

	"scaibunker/guest-agent/internal/process"
)

// guestExec is the wire contract's GuestExec.
type guestExec struct {
	ExecID      string              `json:"exec_id"`
	Running     bool                `json:"running"`
	Pid         int                 `json:"pid"`
	FramesStart int64               `json:"frames_start"`
	FramesEnd   int64               `json:"frames_end"`
	Exit        *process.ExitStatus `json:"exit"`
}

func (s *Server) listExecs(w http.ResponseWriter, _ *http.Request) error {
	list := []guestExec{}
	for _, exec := range s.Execs.List() {
		status := exec.Status()
		start, end, _ := exec.Log.Span()
		list = append(list, guestExec{
			ExecID: exec.ID, Running: status == nil, Pid: exec.Pid(),
			FramesStart: start, FramesEnd: end, Exit: status,
		})
	}
	return writeJSON(w, http.StatusOK, struct {
		Execs []guestExec `json:"execs"`
	}{list})
}

func (s *Server) forgetExec(w http.ResponseWriter, r *http.Request) error {
	if err := s.Execs.Forget(r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) signalExec(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		Signal string `json:"signal"`
	}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	exec, err := s.Execs.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := exec.Signal(request.Signal); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) writeStdin(w http.ResponseWriter, r *http.Request) error {
	exec, err := s.Execs.Get(r.PathValue("id"))
	if err != nil {
		return err
	}
	eof, err := flag(r.URL.Query(), "eof")
	if err != nil {
		return err
	}
	if err := exec.WriteStdin(r.Context(), r.Body, eof); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
