package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// A request that carries an Idempotency-Key is carried out once: a copy is answered as the first one was. The header is that of
// draft-ietf-httpapi-idempotency-key-header; its value may stand in quotes, as the draft has it, or without.
const (
	onceHeader     = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"

	maxKeptByOne = 10_000           // answers of one caller that are kept at a time
	onceBodyTime = 10 * time.Second // that a caller gets to send the body of such a request
	onceKeepTime = 10 * time.Second // that it may take to keep an answer when nobody waits for it any more
)

// Answers is what the API asks of the store to carry requests out once.
type Answers interface {
	// BeginRequest returns nil for a request that is new, else what is known of the earlier one. It returns carom.ErrConflict when most
	// answers are kept of the caller already.
	BeginRequest(ctx context.Context, r carom.KeptRequest, most int) (*carom.KeptAnswer, error)
	EndRequest(ctx context.Context, id [16]byte, a carom.KeptAnswer) error
	ForgetRequest(ctx context.Context, id [16]byte) error
}

// repeatable says whether an operation heeds an Idempotency-Key. Those that change nothing need none, those that begin a session are
// nobody's yet, what is a stream is not kept, and events have ids of their own.
func repeatable(op *huma.Operation) bool {
	switch op.OperationID {
	case "make-backup", "report-events", "open-view":
		return false
	}
	return op.Method != http.MethodGet && classOf(op.OperationID)&(asks|anybody) == 0
}

// once carries a request with an Idempotency-Key out once.
func (s *service) once(ctx huma.Context, next func(huma.Context)) {
	given := ctx.Header(onceHeader)
	c := callerOf(ctx.Context())
	if given == "" || !repeatable(ctx.Operation()) || !c.known() {
		next(ctx)
		return
	}
	key, ok := onceKey(given)
	if !ok {
		s.refuse(ctx, carom.Invalid(onceHeader, "the key has to have 1 to %d printable characters: send a UUID, for example", carom.MaxRequestKey))
		return
	}
	body, err := s.wholeBody(ctx)
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	r := ctx.URL()
	req := carom.KeptRequest{
		ID: carom.SumOf(c.key(""), key), Caller: carom.SumOf(c.key("")),
		Asked: carom.SumOf(ctx.Method(), r.EscapedPath(), r.RawQuery, ctx.Header("If-Match"), ctx.Header("If-None-Match"), string(body)),
	}
	kept, err := s.Store.BeginRequest(ctx.Context(), req, maxKeptByOne)
	switch {
	case errors.Is(err, carom.ErrConflict):
		ctx.SetHeader("Retry-After", "3600")
		s.refuse(ctx, newProblem(http.StatusTooManyRequests, "10,000 answers of yours are kept, of the last 24 hours: repeat without an "+onceHeader+", or later"))
	case err != nil:
		s.refuse(ctx, err)
	case kept != nil:
		s.replay(ctx, req, kept)
	default:
		s.carryOut(ctx, req, body, next)
	}
}

// onceKey reads the key of a header.
func onceKey(given string) (string, bool) {
	key := given
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	ok := key != "" && len(key) <= carom.MaxRequestKey && !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
	return key, ok
}

// wholeBody reads what the request sends.
func (s *service) wholeBody(ctx huma.Context) ([]byte, error) {
	_ = ctx.SetReadDeadline(time.Now().Add(onceBodyTime)) // a server without deadlines has none to set
	limit := ctx.Operation().MaxBodyBytes
	body, err := io.ReadAll(io.LimitReader(ctx.BodyReader(), limit+1))
	switch {
	case err != nil:
		return nil, newProblem(http.StatusRequestTimeout, "the body did not come whole: send it again")
	case int64(len(body)) > limit:
		return nil, newProblem(http.StatusRequestEntityTooLarge, "the body is too large: send it in parts")
	}
	return body, nil
}

// refuse answers with an error where no handler has been asked.
func (s *service) refuse(ctx huma.Context, err error) {
	err = s.problem(ctx.Context(), err)
	var withHeaders huma.HeadersError
	if errors.As(err, &withHeaders) {
		for name := range withHeaders.GetHeaders() {
			ctx.SetHeader(name, withHeaders.GetHeaders().Get(name))
		}
	}
	var p *Problem
	if !errors.As(err, &p) {
		p = newProblem(http.StatusInternalServerError, err.Error())
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) // the caller hung up: there is nobody to tell
}

// replay answers a copy.
func (s *service) replay(ctx huma.Context, req carom.KeptRequest, kept *carom.KeptAnswer) {
	const because = "a request with this " + onceHeader + " "
	switch {
	case kept.Asked != req.Asked:
		s.refuse(ctx, newProblem(http.StatusUnprocessableEntity, because+"asked for something else, within the last 24 hours: use a new key for each request"))
		return
	case kept.Status == 0:
		ctx.SetHeader("Retry-After", "2")
		s.refuse(ctx, newProblem(http.StatusConflict, because+"is under way: ask again in some seconds. If this stays so, "+
			"the server stopped meanwhile: look whether it was carried out, and send it with a new key if not"))
		return
	}
	ctx.SetHeader(replayedHeader, "true")
	traceOf(ctx.Context()).stored = true // with the first, which is what changed something
	done := because + "was carried out at " + stamp(kept.At) + ", and was answered with " + http.StatusText(kept.Status)
	switch kept.Withheld {
	case "":
		for _, h := range kept.Header {
			ctx.SetHeader(h.Name, h.Value)
		}
		ctx.SetStatus(kept.Status)
		_, _ = ctx.BodyWriter().Write(kept.Body) // the caller hung up: there is nobody to tell
	case carom.WithheldSecret:
		s.refuse(ctx, newProblem(http.StatusConflict, done+". That held a secret, which is shown once and not kept. If you do not have it, send the "+
			"request with a new key, which makes another, and delete what this one made"))
	case carom.WithheldLong:
		s.refuse(ctx, newProblem(http.StatusConflict, done+", which is too long to be kept: ask for what it made"))
	default:
		s.refuse(ctx, newProblem(http.StatusConflict, done+", which is not kept, since it named a person who was erased"))
	}
}

// carryOut has a request answered, and keeps the answer: but for those that say that it was not carried out, since it failed for
// a reason of the server's, or since it came too soon.
func (s *service) carryOut(ctx huma.Context, req carom.KeptRequest, body []byte, next func(huma.Context)) {
	a := &answering{inner: ctx, body: bytes.NewReader(body)}
	ended := false
	defer func() { // also when the handler panics
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx.Context()), onceKeepTime)
		defer cancel()
		var err error
		if kept, keep := a.kept(req); ended && keep {
			err = s.Store.EndRequest(wait, req.ID, kept)
		} else {
			err = s.Store.ForgetRequest(wait, req.ID)
		}
		if err != nil {
			s.Log.WarnContext(wait, "answer of a request with a key not kept: its copies are told that it is under way", "error", err)
		}
	}()
	next(huma.WithValue(a, answeringKey{}, a))
	ended = true
}

// answeringKey finds the answering of a request in its context.
type answeringKey struct{}

// answering notes an answer as it is given.
type answering struct {
	inner
	body   io.Reader
	status int
	secret bool // it holds something that is shown once
	long   bool
	text   bytes.Buffer
}

// Unwrap lets the adapter find its own context.
func (a *answering) Unwrap() huma.Context { return a.inner }

// BodyReader gives the body, which was read already.
func (a *answering) BodyReader() io.Reader { return a.body }

// SetStatus notes the status.
func (a *answering) SetStatus(status int) {
	a.status = status
	a.inner.SetStatus(status)
}

// BodyWriter lets what is written pass, and notes it.
func (a *answering) BodyWriter() io.Writer { return io.MultiWriter(&noting{a}, a.inner.BodyWriter()) }

type noting struct{ a *answering }

func (n *noting) Write(p []byte) (int, error) {
	if n.a.long = n.a.long || n.a.text.Len()+len(p) > carom.MaxKeptBody; !n.a.long {
		n.a.text.Write(p)
	}
	return len(p), nil
}

// kept is what is kept of the answer, if it is.
func (a *answering) kept(req carom.KeptRequest) (carom.KeptAnswer, bool) {
	if a.status == 0 || a.status >= http.StatusInternalServerError || slices.Contains([]int{
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests}, a.status) {
		return carom.KeptAnswer{}, false
	}
	out := carom.KeptAnswer{Asked: req.Asked, Status: a.status}
	_, w := humago.Unwrap(a)
	switch {
	case a.secret || w.Header().Get("Set-Cookie") != "":
		out.Withheld = carom.WithheldSecret
		return out, true
	case a.long:
		out.Withheld = carom.WithheldLong
		return out, true
	}
	for _, name := range []string{"Content-Type", "ETag", "Location"} {
		if value := w.Header().Get(name); value != "" {
			out.Header = append(out.Header, carom.Field{Name: name, Value: value})
		}
	}
	out.Body = a.text.Bytes()
	return out, true
}

// noteSecrets notes of an answer that is about to be written whether it shows something that is shown once.
func noteSecrets(ctx huma.Context, _ string, v any) (any, error) {
	if a, ok := ctx.Context().Value(answeringKey{}).(*answering); ok && showsOnce(reflect.ValueOf(v)) {
		a.secret = true
	}
	return v, nil
}

// showsOnce says whether a value has a field in it that is tagged shown:"once" and is not empty.
func showsOnce(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && showsOnce(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if showsOnce(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if showsOnce(v.MapIndex(key)) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.IsExported() && (field.Tag.Get("shown") == "once" && !v.Field(i).IsZero() || showsOnce(v.Field(i))) {
				return true
			}
		}
	}
	return false
}

// describeOnce adds the header to the operations that heed it.
func describeOnce(doc *huma.OpenAPI) {
	longest := carom.MaxRequestKey
	key := &huma.Param{
		Name: onceHeader, In: "header", Example: "8e03978e-40d5-43e8-bc93-6894a57f9324",
		Description: "A key of yours for this request, such as a UUID: it is carried out once, and a copy within 24 hours is answered as the first one was",
		Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: &longest},
	}
	for _, op := range operationsOf(doc) {
		if repeatable(op) {
			op.Parameters = append(op.Parameters, key)
		}
	}
}
