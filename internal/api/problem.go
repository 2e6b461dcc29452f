package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"carom"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is an error as RFC 9457 has it. Errors lists every fault when there can be several.
type Problem struct {
	Type     string             `json:"type" doc:"Always about:blank: the status says what kind it is"`
	Title    string             `json:"title" doc:"The status in words"`
	Status   int                `json:"status"`
	Detail   string             `json:"detail" doc:"What is wrong, and what to do"`
	Instance string             `json:"instance,omitempty" doc:"Names this one occurrence in the server's log"`
	Errors   []carom.FieldError `json:"errors,omitempty" nullable:"false" doc:"Every fault, with its field"`
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status, which is how huma learns it.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType makes JSON into problem JSON.
func (p *Problem) ContentType(ct string) string {
	if ct == "application/json" || ct == csvType {
		return "application/problem+json"
	}
	return ct
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

func forbidden(detail string) *Problem { return newProblem(http.StatusForbidden, detail) }

// failure is an error with a text for the caller apart from its kind.
type failure struct {
	kind   error
	detail string
}

func (f *failure) Error() string { return f.detail }
func (f *failure) Unwrap() error { return f.kind }

// failf makes an error of one of carom's kinds with a text for the caller.
func failf(kind error, format string, args ...any) error {
	return &failure{kind: kind, detail: fmt.Sprintf(format, args...)}
}

// kinds is which status each kind of error gets, and what is said when nothing better is known.
func kinds() []struct {
	kind   error
	status int
	detail string
} {
	return []struct {
		kind   error
		status int
		detail string
	}{
		{carom.ErrNotFound, http.StatusNotFound, "this does not exist, or the key may not see it"},
		{carom.ErrConflict, http.StatusConflict, ""},
		{carom.ErrInvalid, http.StatusUnprocessableEntity, ""},
		{carom.ErrUnauthorized, http.StatusUnauthorized, ""},
		{carom.ErrUnavailable, http.StatusServiceUnavailable, "the server cannot answer this now: try again in some seconds"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "this took too long: ask for less, or try again"},
	}
}

// problem turns an error into what the caller sees. An error of no known kind is logged here, and the caller sees only
// the id it is logged under.
func (s *service) problem(ctx context.Context, err error) error {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range kinds() {
		if !errors.Is(err, k.kind) {
			continue
		}
		p := newProblem(k.status, k.detail)
		var f *failure
		switch {
		case errors.As(err, &f):
			p.Detail = f.detail
		case p.Detail == "":
			p.Detail = err.Error()
		}
		if p.Status == http.StatusUnprocessableEntity {
			p.Errors = fieldErrors(err, nil)
		}
		if len(p.Errors) > 1 {
			p.Detail = fmt.Sprintf("%d faults, the first: %s", len(p.Errors), p.Errors[0].Error())
		}
		if p.Status == http.StatusServiceUnavailable {
			s.Log.WarnContext(ctx, "request not answered", "error", err)
			return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {"5"}})
		}
		return p
	}
	if ctx.Err() != nil {
		return newProblem(http.StatusServiceUnavailable, "the request was given up")
	}
	id := "urn:carom:error:" + rand.Text()
	s.Log.ErrorContext(ctx, "request failed", "request_id", id, "error", err)
	p = newProblem(http.StatusInternalServerError, "the fault is ours: the server's log has it under "+id)
	p.Instance = id
	return p
}

// fieldErrors collects every fault that err holds, in order.
func fieldErrors(err error, found []carom.FieldError) []carom.FieldError {
	//lint:ignore errorlint the tree is walked here, node by node
	if fe, ok := err.(*carom.FieldError); ok {
		return append(found, *fe)
	}
	//lint:ignore errorlint as above
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			found = fieldErrors(inner, found)
		}
	case interface{ Unwrap() error }:
		found = fieldErrors(e.Unwrap(), found)
	}
	return found
}

// fixes say what to do about errors that huma finds before a handler is asked, where its texts do not.
var fixes = map[int]string{
	http.StatusBadRequest:            ": send what docs/reference.md says of this route, whole",
	http.StatusRequestEntityTooLarge: ": send less at a time",
	http.StatusUnsupportedMediaType:  ": send application/json, and say so in Content-Type",
}

// asProblem gives huma's own errors the shape of all others. It drops the values that huma would echo, since one of them
// may be a secret.
func asProblem(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(model.Status, model.Detail)
	for _, d := range model.Errors {
		if d != nil {
			p.Errors = append(p.Errors, carom.FieldError{Field: d.Location, Message: d.Message})
		}
	}
	if len(p.Errors) > 0 {
		p.Detail = p.Errors[0].Error()
	}
	p.Detail += fixes[model.Status]
	return p, nil
}

// writeProblem answers with p where huma is not in charge.
func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller hung up: there is nobody to tell
}

// Failed answers a request whose handler broke down. What is wrong stands in the log.
func Failed(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "5")
	writeProblem(w, newProblem(http.StatusServiceUnavailable, "the fault is ours, and the server's log has it: try again in some seconds"))
}
