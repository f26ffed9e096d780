package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"scaibunker/guest-agent/internal/accounts"
	"scaibunker/guest-agent/internal/fault"
	"scaibunker/guest-agent/internal/files"
)

// fileQuery is what the requests for one file have in common.
type fileQuery struct {
	url.Values
	path string
	user accounts.User
}

func (s *Server) fileQuery(r *http.Request) (fileQuery, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fileQuery{}, fault.Invalid("query", "the query is malformed: %v", err)
	}
	query := fileQuery{Values: values}
	if query.path, err = files.CheckPath("path", values.Get("path")); err != nil {
		return query, err
	}
	query.user, err = s.userOrDefault(values.Get("user"))
	return query, err
}

// userOrDefault is user, where a request that names none means the unprivileged one.
func (s *Server) userOrDefault(name string) (accounts.User, error) {
	if name == "" {
		name = accounts.BunkerName
	}
	return s.user(name)
}

func (s *Server) user(name string) (accounts.User, error) {
	user, ok := s.Users.Lookup(name)
	if !ok {
		return user, fault.Invalid("user", "user must be \"bunker\" or \"root\"")
	}
	return user, nil
}

// flag reads a query's parameter that is true or false; it is false if it is missing.
func flag(values url.Values, name string) (bool, error) {
	switch values.Get(name) {
	case "true", "1":
		return true, nil
	case "", "false", "0":
		return false, nil
	}
	return false, fault.Invalid(name, "%s must be true or false", name)
}

// slot waits for the right to hold a thread; call the result to give it back.
func (s *Server) slot(ctx context.Context) (func(), error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Server) statFile(w http.ResponseWriter, r *http.Request) error {
	query, err := s.fileQuery(r)
	if err != nil {
		return err
	}
	entry, err := files.Stat(query.user, query.path)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, entry)
}

func (s *Server) listFiles(w http.ResponseWriter, r *http.Request) error {
	query, err := s.fileQuery(r)
	if err != nil {
		return err
	}
	options := files.ListOptions{Limit: files.DefaultLimit, After: query.Get("after")}
	if options.Recursive, err = flag(query.Values, "recursive"); err != nil {
		return err
	}
	if text := query.Get("limit"); text != "" {
		options.Limit, err = strconv.Atoi(text)
		if err != nil || options.Limit < 1 || options.Limit > files.MaxLimit {
			return fault.Invalid("limit", "limit must be between 1 and %d", files.MaxLimit)
		}
	}
	release, err := s.slot(r.Context())
	if err != nil {
		return err
	}
	defer release()
	page, err := files.List(r.Context(), query.user, query.path, options)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page)
}

func (s *Server) removeFile(w http.ResponseWriter, r *http.Request) error {
	query, err := s.fileQuery(r)
	if err != nil {
		return err
	}
	recursive, err := flag(query.Values, "recursive")
	if err != nil {
		return err
	}
	release, err := s.slot(r.Context())
	if err != nil {
		return err
	}
	defer release()
	if err := files.Remove(r.Context(), query.user, query.path, recursive); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) makeDirectory(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		User string `json:"user"`
	}{Mode: "0755"}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	path, err := files.CheckPath("path", request.Path)
	if err != nil {
		return err
	}
	mode, err := files.CheckMode("mode", request.Mode)
	if err != nil {
		return err
	}
	user, err := s.userOrDefault(request.User)
	if err != nil {
		return err
	}
	entry, err := files.Mkdir(user, path, mode)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, entry)
}

func (s *Server) moveFile(w http.ResponseWriter, r *http.Request) error {
	request := struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
		Overwrite   bool   `json:"overwrite"`
		User        string `json:"user"`
	}{Overwrite: true}
	if err := readJSON(r, &request); err != nil {
		return err
	}
	source, err := files.CheckPath("source", request.Source)
	if err != nil {
		return err
	}
	destination, err := files.CheckPath("destination", request.Destination)
	if err != nil {
		return err
	}
	user, err := s.userOrDefault(request.User)
	if err != nil {
		return err
	}
	release, err := s.slot(r.Context())
	if err != nil {
		return err
	}
	defer release()
	entry, err := files.Move(user, source, destination, request.Overwrite)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, entry)
}
