package confirm

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Code is a word for what is wrong with a request, which the SDK tells apart.
type Code string

// The codes.
const (
	CodeInvalid      Code = "invalid"
	CodeUnknownZone  Code = "unknown_zone"
	CodeSubZone      Code = "sub_zone"
	CodeFormat       Code = "format"
	CodeYMIDRequired Code = "ymid_required"
	CodeOrigin       Code = "origin"
	CodeTooMany      Code = "too_many"
	CodeLater        Code = "later"
	CodeToken        Code = "token"
	CodeExpired      Code = "expired"
	CodeOrder        Code = "order"
	CodeZone         Code = "zone"
)

var statuses = map[Code]int{
	CodeInvalid: http.StatusBadRequest, CodeUnknownZone: http.StatusNotFound, CodeSubZone: http.StatusBadRequest,
	CodeFormat: http.StatusBadRequest, CodeYMIDRequired: http.StatusBadRequest, CodeOrigin: http.StatusForbidden,
	CodeTooMany: http.StatusTooManyRequests, CodeLater: http.StatusServiceUnavailable, CodeToken: http.StatusUnauthorized,
	CodeExpired: http.StatusGone, CodeOrder: http.StatusConflict, CodeZone: http.StatusNotFound,
}

// retryAfter is what "try later" says.
const retryAfter = 2 * time.Second

// problem is what is wrong with a request, as it is answered.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"` // what is wrong, and what to do
	Field  string `json:"field,omitempty"`
	Code   Code   `json:"code"`
}

func newProblem(code Code, field, detail string) *problem {
	return &problem{http.StatusText(statuses[code]), statuses[code], detail, field, code}
}

func later() *problem {
	return newProblem(CodeLater, "", "the server cannot take this now: send it again in some seconds")
}

func (p *problem) write(w http.ResponseWriter) {
	if p.Code == CodeLater || p.Code == CodeTooMany {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(retryAfter.Seconds()))))
	}
	if p.Code == CodeToken {
		w.Header().Set("WWW-Authenticate", `Bearer realm="carom"`)
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a page that is gone sends it again, or nobody waits
}

var (
	noStore     = []string{"no-store"}
	anyPage     = []string{"*"}
	retryHeader = []string{"Retry-After"}
)

// greet sets the headers that every answer has. Any page may read it: a page whose origin is not listed has to see that, there
// are no cookies, and nothing in an answer is secret from who asked.
func greet(w http.ResponseWriter) {
	h := w.Header()
	h["Cache-Control"] = noStore
	h["Access-Control-Allow-Origin"] = anyPage
	h["Access-Control-Expose-Headers"] = retryHeader
}

// preflight answers a browser that asks before it sends a body of another type than plain text.
func preflight(w http.ResponseWriter, _ *http.Request) {
	greet(w)
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "content-type")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}
