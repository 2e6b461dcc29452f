package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"carom"
	"carom/internal/network"
)

// Result is what became of one reported event.
type Result struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // accepted, duplicate, invalid, try_later
	EventID string `json:"event_id,omitempty"`
	Field   string `json:"field,omitempty"`  // what is wrong, when invalid
	Reason  string `json:"reason,omitempty"` // why, and the fix
}

// The states of a Result.
const (
	statusAccepted  = "accepted"
	statusDuplicate = "duplicate"
	statusInvalid   = "invalid"
	statusTryLater  = "try_later"
)

// events takes reports from trusted servers: one event, an array, or one a line. Items are independent.
func (d *Door) events(w http.ResponseWriter, r *http.Request) {
	key, status, fault := d.authorize(r)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="carom"`)
	}
	if status != http.StatusOK {
		d.problem(w, status, fault)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		d.problem(w, http.StatusRequestEntityTooLarge, "the request is larger than 8 MiB: send fewer events at once; none of these was accepted")
		return
	case err != nil:
		d.problem(w, http.StatusBadRequest, "the body ended early; none of these events was accepted")
		return
	}
	items, err := splitItems(r.Header.Get("Content-Type"), body)
	if err != nil {
		d.problem(w, http.StatusBadRequest, err.Error()+"; none of these events was accepted")
		return
	}
	results := d.report(d.catalog.Load(), r, key, items)
	for i := range results {
		if results[i].Status == statusTryLater {
			status = http.StatusServiceUnavailable
			w.Header()["Retry-After"] = retryAfterValue
		}
	}
	writeJSON(w, status, "application/json", map[string]any{"results": results})
}

// authorize finds the API key of the request. A status other than 200 is the answer, with a sentence that says why.
func (d *Door) authorize(r *http.Request) (key carom.APIKey, status int, fault string) {
	if d.opts.Local(r) {
		return carom.APIKey{Scope: carom.ScopeAdmin}, http.StatusOK, ""
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return key, http.StatusUnauthorized, "an API key is missing: send the header Authorization: Bearer KEY; carom keys create makes one"
	}
	key, known := d.opts.Store.KeyBySum(sha256.Sum256([]byte(token)))
	switch {
	case !known:
		return key, http.StatusUnauthorized, "this API key is not known: make one with carom keys create --scope events"
	case key.Scope != carom.ScopeEvents && key.Scope != carom.ScopeAdmin:
		return key, http.StatusForbidden, "this API key may not report events: make one with carom keys create --scope events"
	}
	return key, http.StatusOK, ""
}

var errTooManyItems = fmt.Errorf("there are more than %d events in it: send fewer at once", MaxItems)

// splitItems takes the body apart into JSON texts: the elements of an array, the lines of NDJSON, or the one object. A line
// that is too large or no JSON is its own fault and found later; an array that is broken has no items.
func splitItems(contentType string, body []byte) ([]json.RawMessage, error) {
	media, _, _ := mime.ParseMediaType(contentType) // an unreadable one counts as absent
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return nil, errors.New("the body is empty: send one event, an array of events, or one event a line")
	case media == "application/x-ndjson" || media == "application/jsonl" || media == "application/x-jsonlines":
		return splitLines(trimmed)
	case trimmed[0] == '[':
		return splitArray(trimmed)
	case trimmed[0] == '{':
		if json.Valid(trimmed) {
			return []json.RawMessage{trimmed}, nil
		}
		if line, _, more := bytes.Cut(trimmed, []byte("\n")); more && json.Valid(line) {
			return splitLines(trimmed) // NDJSON by another name
		}
		return nil, errors.New("the body is not valid JSON")
	}
	return nil, errors.New("the body is neither a JSON object nor an array: send one event, an array of events, or one event a line")
}

func splitArray(body []byte) ([]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	_, err := dec.Token() // the opening bracket
	var items []json.RawMessage
	for err == nil && dec.More() {
		if len(items) == MaxItems {
			return nil, errTooManyItems
		}
		var item json.RawMessage
		if err = dec.Decode(&item); err == nil {
			items = append(items, item)
		}
	}
	if err == nil {
		_, err = dec.Token() // the closing one
	}
	if err != nil {
		return nil, fmt.Errorf("the body is not a JSON array: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body goes on behind the JSON array: send one array")
	}
	return items, nil
}

func splitLines(body []byte) ([]json.RawMessage, error) {
	var items []json.RawMessage
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(items) == MaxItems {
			return nil, errTooManyItems
		}
		items = append(items, bytes.Clone(line)) // so that one kept event does not keep all of them
	}
	return items, nil
}

// report judges the items, has the good ones stored together, and says what became of each.
func (d *Door) report(c *Catalog, r *http.Request, key carom.APIKey, items []json.RawMessage) []Result {
	results := make([]Result, len(items))
	var subs []*carom.Submission
	var places []int
	base := carom.Received{At: d.opts.Clock().UTC(), Method: r.Method, Path: "/v1/events", ContentType: "application/json", Client: d.Client(r)}
	for i, raw := range items {
		base.Body = raw
		sub, err := c.reported(raw, key, base, &results[i])
		if err != nil {
			results[i].Status = statusInvalid
			var fault *carom.FieldError
			if errors.As(err, &fault) {
				results[i].Field, results[i].Reason = fault.Field, fault.Message
			} else {
				results[i].Reason = err.Error()
			}
			d.invalid.Inc()
			continue
		}
		subs, places = append(subs, sub), append(places, i)
	}
	d.acceptReported(r.Context(), c, subs)
	for i, sub := range subs {
		res := &results[places[i]]
		switch {
		case errors.Is(sub.Err, errPaced):
			res.Status, res.Reason = statusTryLater, errPaced.Error()
		case sub.Err != nil:
			res.Status, res.Reason = statusTryLater, "the event could not be stored now; nothing of it was kept"
		case sub.Receipt.Duplicate:
			res.Status, res.EventID = statusDuplicate, string(sub.Receipt.ID)
			if sub.Receipt.Conflict {
				res.Reason = "the first event with this id differs in price or user; the first one counts"
			}
		default:
			res.Status, res.EventID = statusAccepted, string(sub.Receipt.ID)
		}
	}
	return results
}

// acceptReported accepts those of subs whose views can be read; the others are told to try later.
func (d *Door) acceptReported(ctx context.Context, c *Catalog, subs []*carom.Submission) {
	var readable []*carom.Submission
	for _, sub := range subs {
		_, src := c.source(sub.Event.App, sub.Event.Source)
		if !src.pace.take(sub.Event.Received.At) {
			sub.Err = errPaced
			d.paced.Inc()
			d.counts[network.TryLater].Inc()
			continue
		}
		if sub.Err = d.earn(ctx, c, src, sub, sub.Event.Received.At); sub.Err == nil {
			readable = append(readable, sub)
		} else {
			d.counts[network.TryLater].Inc()
		}
	}
	d.accept(c, readable...)
}

// reported turns one item into a submission. It notes the item's id in res as soon as it is known.
func (c *Catalog) reported(raw json.RawMessage, key carom.APIKey, rc carom.Received, res *Result) (*carom.Submission, error) {
	if len(raw) > MaxItemBytes {
		return nil, carom.Invalid("", "the event is larger than 256 KiB: send fewer or shorter fields")
	}
	item, err := parseItem(raw)
	res.ID = string(item.ID)
	if err != nil {
		return nil, err
	}
	src, err := c.reportSource(string(item.App), string(item.Source), key)
	if err != nil {
		return nil, err
	}
	ev, err := item.event(src)
	if err != nil {
		return nil, err
	}
	ev.Received = rc
	return &carom.Submission{Event: ev, Key: network.ReportedKey(&src.Source, ev)}, nil
}

// reportSource finds the source that an item belongs to: the one it names, or its app's only one of profile api.
func (c *Catalog) reportSource(appName, name string, key carom.APIKey) (*source, error) {
	if appName == "" {
		appName = key.App
	}
	if appName == "" {
		return nil, carom.Invalid("app", "the app is missing: name it, or use an API key that belongs to one app")
	}
	a := c.apps[appName]
	if a == nil || key.App != "" && key.App != appName {
		return nil, carom.Invalid("app", "there is no app of that name for this API key")
	}
	if name == "" {
		switch len(a.api) {
		case 1:
			return a.api[0], nil
		case 0:
			return nil, carom.Invalid("source", "the app has no source for reported events: add one with profile: api")
		}
		return nil, carom.Invalid("source", "the app has several sources for reported events: name one")
	}
	if src := a.sources[name]; src != nil && src.Profile == carom.ProfileAPI {
		return src, nil
	}
	return nil, carom.Invalid("source", "the app has no source of that name with profile: api")
}

func (d *Door) problem(w http.ResponseWriter, status int, detail string) {
	d.invalid.Inc()
	writeJSON(w, status, "application/problem+json", map[string]any{
		"title": http.StatusText(status), "status": status, "detail": detail,
	})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller that has hung up repeats and is told what it repeats
}
