package ingest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/network"
)

// Limits of passing requests of a source in shadow on to today's receiver.
const (
	shadowTimeout     = 10 * time.Second // for its whole answer
	shadowAtOnce      = 64               // requests of one source that are passed on at the same time
	shadowAnswerBytes = 64 << 10         // of its answer's body that are relayed
)

// trial is one request of a source in shadow while carom judges it, beside today's receiver if there is one. All methods but
// those of http.ResponseWriter may be called on nil, for a source that is not in shadow, and do nothing then.
//
// As a ResponseWriter it takes carom's own answer and drops it: the network gets the receiver's.
type trial struct {
	door     *Door
	src      *source
	r        *http.Request
	body     []byte
	secret   string
	passes   bool // there is a receiver to ask
	header   http.Header
	answered chan answer // capacity 1: of the receiver. nil: it was not asked
	seen     judged
}

// answer is what today's receiver answered. Its status is 0 when it did not.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// Header implements http.ResponseWriter.
func (t *trial) Header() http.Header { return t.header }

// Write implements http.ResponseWriter.
func (t *trial) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (t *trial) WriteHeader(int) {}

// watch takes a request of a source in shadow. Whatever carom makes of it, the network gets the answer of today's receiver, or
// is told to try later when that gives none.
func (d *Door) watch(w http.ResponseWriter, r *http.Request, at arrival) {
	src := at.src
	t := &trial{door: d, src: src, r: r, secret: at.secret, header: http.Header{}}
	at.trial = t
	if src.receiver == nil || d.opts.PassOn == nil {
		d.take(w, r, at)
		d.trials.add(t, answer{})
		return
	}
	later := func() {
		d.counts[network.TryLater].Inc()
		write(w, src.binding.Profile.Answer(network.TryLater, network.Verdict{}))
	}
	var err error
	if t.body, err = io.ReadAll(io.LimitReader(r.Body, MaxBodyBytes+1)); err != nil {
		later() // it did not arrive whole
		return
	}
	if r.Body = http.NoBody; len(t.body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(t.body))
	}
	if len(t.body) > MaxBodyBytes { // no network sends it
		d.take(w, r, at)
		d.trials.add(t, answer{})
		return
	}
	slot := d.trials.slot(src.ID())
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	default:
		d.trials.tooMany(src)
		later()
		return
	}
	t.passes = true
	d.take(t, r, at)
	a := <-t.answered
	d.trials.add(t, a)
	if a.status == 0 {
		d.warnSilent(src, t.hide(a.err.Error()))
		later()
		return
	}
	a.relay(w)
}

// proved begins to pass the request on, beside carom's own work. Only a verified request is given the parameters of the
// source's shadow_url: one of them may be the receiver's secret, which a stranger must not be lent.
func (t *trial) proved(p network.Proof) {
	if t == nil || !t.passes {
		return
	}
	t.answered = make(chan answer, 1)
	out := t.request(p.Verified)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.r.Context()), shadowTimeout) // also when the network hangs up
	go func() {
		defer cancel()
		t.answered <- ask(t.door.opts.PassOn, out.WithContext(ctx))
	}()
}

// request makes the request to pass on: method, query and body byte for byte, and the headers but for those that concern one
// connection alone. No part of it is the path that the secret stands in.
func (t *trial) request(verified bool) *http.Request {
	target := *t.src.receiver
	if !verified {
		target.RawQuery = ""
	}
	if target.RawQuery != "" && t.r.URL.RawQuery != "" {
		target.RawQuery += "&"
	}
	target.RawQuery += t.r.URL.RawQuery
	out := &http.Request{
		Method: t.r.Method, URL: &target, Host: target.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: passedHeader(t.r.Header, t.secret),
		Body: http.NoBody, ContentLength: int64(len(t.body)),
	}
	if len(t.body) > 0 {
		out.Body = io.NopCloser(bytes.NewReader(t.body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(t.body)), nil }
	}
	if peer, err := netip.ParseAddrPort(t.r.RemoteAddr); err == nil { // as every proxy does: receivers look at addresses
		hops := append(slices.Clip(t.r.Header.Values("X-Forwarded-For")), peer.Addr().Unmap().String())
		out.Header["X-Forwarded-For"] = []string{strings.Join(hops, ", ")}
	}
	return out
}

// passedHeader is in without the fields that belong to one connection, and without those that a proxy copied the secret into.
func passedHeader(in http.Header, secret string) http.Header {
	drop := []string{"Connection", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
	for _, value := range in["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			drop = append(drop, textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)))
		}
	}
	out := make(http.Header, len(in)+2)
	for name, values := range in {
		holds := func(value string) bool { return len(secret) >= minSecretChars && strings.Contains(value, secret) }
		if !slices.Contains(drop, name) && !slices.ContainsFunc(values, holds) {
			out[name] = values
		}
	}
	if _, sent := out["User-Agent"]; !sent {
		out["User-Agent"] = []string{""} // so that net/http adds none of its own
	}
	return out
}

// ask sends the request and reads the answer, as much of it as is relayed.
func ask(rt http.RoundTripper, r *http.Request) answer {
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }() // what counts of it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, shadowAnswerBytes))
	if err == nil && resp.StatusCode < http.StatusOK {
		err = errors.New("its status is an interim one")
	}
	if err != nil {
		return answer{err: err}
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

// relay answers as today's receiver did.
func (a *answer) relay(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = nil // none rather than one that net/http guesses
	for _, name := range []string{"Content-Type", "Content-Encoding", "Cache-Control", "Location", "Retry-After", "Allow"} {
		if values := a.header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a network that has hung up repeats
}

// silentWarnings is how often the log says of one source that its receiver gives no answer.
const silentWarnings = time.Minute

func (d *Door) warnSilent(src *source, why string) {
	now, key := d.opts.Clock(), "shadow "+src.ID()
	if last, known := d.warned.Load(key); known && now.Sub(last.(time.Time)) < silentWarnings {
		return
	}
	d.warned.Store(key, now)
	d.opts.Log.Warn("today's receiver does not answer: the network is told to try later", "source_id", src.ID(), "error", why)
}

// hide masks the source's secrets in what the receiver said.
func (t *trial) hide(text string) string {
	text = maskText(text, t.secret)
	mask := func(secret string, least int) {
		for _, s := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if len(s) >= least {
				text = strings.ReplaceAll(text, s, maskedSecret)
			}
		}
	}
	for _, s := range t.src.NetworkSecrets {
		mask(string(s.Key), 4)
	}
	if t.src.receiver == nil {
		return text
	}
	for _, values := range t.src.receiver.Query() {
		for _, v := range values {
			mask(v, 4)
		}
	}
	for part := range strings.SplitSeq(t.src.receiver.Path, "/") {
		mask(part, 12)
	}
	return text
}

// unverified, refused, later and event note what carom made of the request.
func (t *trial) unverified(reason carom.Reason) {
	if t != nil {
		t.seen.outcome, t.seen.reason = network.Unverified, reason
	}
}

func (t *trial) refused(id carom.ReceivedID, reason carom.Reason) {
	if t != nil {
		t.seen.outcome, t.seen.reason, t.seen.id = network.RefusedOutcome, reason, string(id)
	}
}

func (t *trial) later() {
	if t != nil {
		t.seen.outcome = network.TryLater
	}
}

// event also works out what the event would have earned if the source were live, but for what only the store knows.
func (t *trial) event(ctx context.Context, c *Catalog, sub *carom.Submission) {
	if t == nil {
		return
	}
	ev, s := sub.Event, &t.seen
	s.outcome, s.id, s.kind, s.value = network.Accepted, string(ev.ID), ev.Type, ev.Value
	if sub.Receipt.Duplicate {
		s.outcome, s.id = network.Duplicate, string(sub.Receipt.ID)
	}
	s.held = ev.Value == carom.ValueUnknown
	live, _ := c.release(ev, carom.ValueUnknown, ev.Received.At)
	if live == nil {
		return
	}
	if err := t.door.earn(ctx, c, t.src, live, ev.Received.At); err != nil {
		t.door.opts.Log.Debug("a view cannot be read: not compared with its earlier events", "source_id", t.src.ID(), "error", err)
		return
	}
	if s.claim = live.View; s.claim.Sum == [16]byte{} {
		s.claim = claim(t.src, live.Event, nil, sub.Key.Sum)
	}
	s.candidates = live.Candidates
	s.unusual = unusual(t.src, ev)
	s.excessive = excessive(c, ev, live.Candidates)
}
