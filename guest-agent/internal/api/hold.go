package api

import (
	"net/http"
	"time"

	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/hold"
)

// holdStill stops the machine's programs, and its disk if that is asked for, until the host ends it or
// the limit does.
func (s *Server) holdStill(w http.ResponseWriter, r *http.Request) error {
	var request struct {
		FreezeDisk bool    `json:"freeze_disk"`
		LimitS     float64 `json:"limit_s"`
	}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	if !(request.LimitS > 0) || request.LimitS > hold.MaxLimit.Seconds() {
		return fault.Invalid("limit_s", "limit_s must be more than 0 and at most %.0f", hold.MaxLimit.Seconds())
	}
	still, err := s.Hold.Hold(request.FreezeDisk, time.Duration(request.LimitS*float64(time.Second)))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		Still bool `json:"still"`
	}{still})
}

func (s *Server) release(w http.ResponseWriter, _ *http.Request) error {
	s.Hold.Release()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
