package carom

import (
	"errors"
	"fmt"
)

// The kinds of error that programs test with errors.Is.
var (
	ErrNotFound     = errors.New("not found")
	ErrConflict     = errors.New("conflict")
	ErrInvalid      = errors.New("invalid")
	ErrUnauthorized = errors.New("unauthorized")
	ErrUnavailable  = errors.New("try later") // the fault is ours, or passes
)

// FieldError is one fault in what a caller gave: the field, what is wrong with it, and what to do. It is ErrInvalid.
//
// Field is a path such as `endpoints.backend.url`. Line and Column are set when the input was a file, else zero.
type FieldError struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Field   string `json:"field"`
	Message string `json:"message"` // what is wrong, and the fix
}

func (e *FieldError) Error() string {
	text := e.Message
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	if e.Line > 0 {
		text = fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, text)
	}
	return text
}

// Unwrap makes a FieldError an ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Invalid makes a FieldError for field, with a message that says what is wrong and how to fix it.
func Invalid(field, format string, args ...any) *FieldError {
	return &FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
}
