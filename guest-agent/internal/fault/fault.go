// Package fault holds the errors that travel to the host: a code that the caller can branch on, a
// message for people, and the HTTP status that carries both.
//
// The codes are those of src/scaibunker/wire/codes.py. What a system error means for a file
// operation is decided in package files, for a command in package process.
package fault

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is a failure with a code of the wire contract. Field names the part of the request that
// is at fault, if one is.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// New makes an error with any code and status.
func New(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid says that one field of the request breaks a rule.
func Invalid(field, format string, args ...any) *Error {
	e := New(http.StatusUnprocessableEntity, "VALIDATION_ERROR", format, args...)
	e.Field = field
	return e
}

// Conflict says that the request does not fit the state of things.
func Conflict(code, format string, args ...any) *Error {
	return New(http.StatusConflict, code, format, args...)
}

// NotFound says that the thing named does not exist.
func NotFound(code, format string, args ...any) *Error {
	return New(http.StatusNotFound, code, format, args...)
}

// Internal says that the agent itself failed; err goes into the message, for inside the guest
// there are no secrets of the host.
func Internal(err error) *Error {
	return New(http.StatusInternalServerError, "INTERNAL_ERROR", "%v", err)
}

// From makes any error presentable: an *Error stays what it is, all else is INTERNAL_ERROR.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Internal(err)
}
