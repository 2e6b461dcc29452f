package view

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"carom"
)

// retryAfter is what "try later" says: long enough for a disk to come back.
const retryAfter = 5 * time.Second

// problem is an error as it is answered: problem details, with the field that is at fault.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"` // what is wrong, and what to do
	Field  string `json:"field,omitempty"`

	again     time.Duration // when to come again; 0 is not said
	challenge string        // what may be presented instead, with 401
}

func newProblem(status int, field, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, Field: field}
}

// invalid makes a problem of what is wrong with a request.
func invalid(err error) *problem {
	var fault *carom.FieldError
	if errors.As(err, &fault) {
		return newProblem(http.StatusBadRequest, fault.Field, fault.Message)
	}
	return newProblem(http.StatusBadRequest, "", err.Error())
}

// unauthorized makes a problem of a request that presents nothing, or what counts nowhere.
func unauthorized(field, detail string) *problem {
	p := newProblem(http.StatusUnauthorized, field, detail)
	p.challenge = `Bearer realm="carom"`
	return p
}

// later makes a problem that passes.
func later(status int, again time.Duration, detail string) *problem {
	p := newProblem(status, "", detail)
	p.again = again
	return p
}

// storeProblem turns an error of the store into what the caller sees. The causes that need a look are logged here.
func (d *Door) storeProblem(ctx context.Context, err error, attrs ...slog.Attr) *problem {
	var fault *carom.FieldError
	switch {
	case errors.Is(err, carom.ErrConflict):
		return newProblem(http.StatusConflict, "ymid", "the app has opened a view with this ymid before: give each view one of its own, or leave it out")
	case errors.As(err, &fault):
		return invalid(fault)
	case ctx.Err() != nil:
	case errors.Is(err, carom.ErrUnavailable):
		d.opts.Log.LogAttrs(ctx, slog.LevelWarn, "view not served", append(attrs, slog.Any("error", err))...)
	default:
		d.opts.Log.LogAttrs(ctx, slog.LevelError, "view not served", append(attrs, slog.Any("error", err))...)
	}
	return later(http.StatusServiceUnavailable, retryAfter, "the server cannot do this now: try again in some seconds")
}

func (p *problem) write(w http.ResponseWriter) {
	if p.challenge != "" {
		w.Header().Set("WWW-Authenticate", p.challenge)
	}
	if p.again > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.again.Seconds()))))
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that has hung up asks again
}

// greet sets the headers that every answer has, and lets a page read it whose origin any app lists: a page has to see what
// is wrong before its app is known.
func (c *catalog) greet(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); c.origins[origin] {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
}

// shut refuses a page whose origin the app does not list, or returns nil. Another app may list it, so what greet allowed is
// taken back.
func (a *app) shut(w http.ResponseWriter, r *http.Request) *problem {
	if a.admits(r.Header.Get("Origin")) {
		return nil
	}
	w.Header().Del("Access-Control-Allow-Origin")
	return newProblem(http.StatusForbidden, "apps."+a.name+".origins",
		"pages of this origin may not use views of this app: list the origin under origins of the app in the objects file")
}

// preflight answers the question that a browser asks before it sends a request of another site's page. It has no body, so
// the app is not known yet.
func (d *Door) preflight(w http.ResponseWriter, r *http.Request) {
	c := d.apps.Load()
	c.greet(w, r)
	if !c.origins[r.Header.Get("Origin")] {
		newProblem(http.StatusForbidden, "origins",
			"no app lists the origin of this page: list it under origins of the app in the objects file").write(w)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "authorization, content-type")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
