package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/network"
)

// Postback takes one received postback: a request whose path begins with /in/. It wants the path as it was sent: a mux that
// cleans paths answers unclean ones itself, and with that tells a stranger more than the door does.
func (d *Door) Postback(w http.ResponseWriter, r *http.Request) {
	c := d.catalog.Load()
	path := cutPath(r.URL.EscapedPath())
	a, src := c.source(path.app, path.source)
	if src == nil || src.binding == nil || path.rest != "" {
		sum := sha256.Sum256([]byte(path.secret))
		subtle.ConstantTimeCompare(sum[:], d.decoy[:]) // takes as long as a wrong secret does
		v, known := carom.Unverified{Reason: carom.ReasonUnknownApp}, 0
		if a != nil {
			v, known = carom.Unverified{App: path.app, Reason: carom.ReasonUnknownSource}, 1
		}
		v.Received = d.received(r, path.shown(known), path.secret, d.opts.Clock().UTC())
		if d.spent(v.Received.Client) {
			d.turnAway(w)
			return
		}
		d.unverified(w, v)
		return
	}
	if src.Mode == carom.SourceShadow {
		d.watch(w, r, arrival{c: c, src: src, secret: path.secret})
		return
	}
	d.take(w, r, arrival{c: c, src: src, secret: path.secret})
}

// arrival is where a request came in: a source of the catalog, with what stands in the path where its secret belongs.
type arrival struct {
	c      *Catalog
	src    *source
	secret string
	trial  *trial // of a source in shadow, and of a test, else nil; told what becomes of the request
	test   bool   // its event is marked as one
}

// take verifies and judges what came for a source, stores it and answers.
func (d *Door) take(w http.ResponseWriter, r *http.Request, at arrival) {
	src, t := at.src, at.trial
	now, shown := d.opts.Clock().UTC(), src.path
	if at.secret == "" {
		shown = src.bare
	}
	rc := d.received(r, shown, at.secret, now)
	if t == nil && d.spent(rc.Client) && !src.binding.KnowsPath(at.secret, now) { // in shadow the receiver of today judges
		d.turnAway(w)
		return
	}
	body, cut, refusal := d.body(w, r, src)
	proof := src.binding.Verify(r.Context(), &network.Request{
		Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Secret: at.secret,
		Header: r.Header, Body: body, Client: rc.Client,
	}, now, d.opts.Keys)
	t.proved(proof)
	switch {
	case proof.TryLater, proof.Verified && cut: // the same postback can succeed when it is sent again
		t.later()
		d.counts[network.TryLater].Inc()
		write(w, src.binding.Profile.Answer(network.TryLater, network.Verdict{}))
		return
	case !proof.Verified:
		t.unverified(proof.Reason)
		src.binding.Hide(&rc)
		d.unverified(w, carom.Unverified{App: src.App, Source: src.Name, Reason: proof.Reason, Received: rc})
		return
	}
	if !src.pace.take(now) {
		t.later()
		d.paced.Inc()
		d.counts[network.TryLater].Inc()
		write(w, src.binding.Profile.Answer(network.TryLater, network.Verdict{}))
		return
	}
	d.keep(&rc, r, src, body, at.secret)
	verdict := refusal
	if verdict.Refused == "" {
		verdict = src.binding.Judge(&rc, proof)
	}
	if verdict.Event == nil {
		t.refused(d.refuse(w, src, rc, verdict), verdict.Refused)
		return
	}
	if at.test {
		verdict.Event.Flags |= carom.FlagTest
	}
	sub := carom.Submission{Event: verdict.Event, Key: verdict.Key}
	// A network that has sent its postback may hang up: it counts all the same.
	if sub.Err = d.earn(context.WithoutCancel(r.Context()), at.c, src, &sub, rc.At); sub.Err != nil {
		t.later()
		d.opts.Log.Warn("postback not accepted", "source_id", src.ID(), "error", sub.Err)
		d.counts[network.TryLater].Inc()
		write(w, src.binding.Profile.Answer(network.TryLater, verdict))
		return
	}
	d.accept(at.c, &sub)
	outcome := network.Accepted
	switch {
	case sub.Err != nil:
		t.later()
		outcome = network.TryLater
	case sub.Receipt.Duplicate:
		outcome, sub.Event.ID = network.Duplicate, sub.Receipt.ID
		if sub.Receipt.Late {
			d.warnLate(src, now)
		}
	}
	if sub.Err == nil {
		t.event(r.Context(), at.c, &sub)
	}
	write(w, src.binding.Profile.Answer(outcome, verdict))
}

// received notes what came, but for the body. shown is the path without its secret. The secret is hidden before anybody judges it, so that it cannot become a
// field of an event either.
func (d *Door) received(r *http.Request, shown, secret string, now time.Time) carom.Received {
	const maxMethodBytes, maxTypeBytes = 32, 256 // longer ones mean nothing to anybody
	method, contentType := r.Method, r.Header.Get("Content-Type")
	return carom.Received{
		At: now, Method: method[:min(len(method), maxMethodBytes)], Path: shown,
		RawQuery:    maskText(r.URL.RawQuery, secret),
		ContentType: contentType[:min(len(contentType), maxTypeBytes)], Client: d.Client(r),
	}
}

// lateWarnings is how often the log says of one source that its ymids repeat.
const lateWarnings = time.Hour

// warnLate says in the log that ymids repeat which the source calls unique, so that paid views are taken for copies.
func (d *Door) warnLate(src *source, now time.Time) {
	last, known := d.warned.Load(src.ID())
	if known && now.Sub(last.(time.Time)) < lateWarnings {
		return
	}
	if d.warned.Store(src.ID(), now); src.YMID == carom.YMIDView {
		d.opts.Log.Warn("ymids repeat: views that may be paid are taken for copies of earlier ones; if the ymid is the user's id set `ymid: user` "+
			"on the source, else make the app send a new ymid for each showing", "source_id", src.ID())
	}
}

// body reads the request's body before anything is believed, since a network may sign it. cut says that it did not arrive
// whole. A request of a form that no postback has is refused, once it is verified.
func (d *Door) body(w http.ResponseWriter, r *http.Request, src *source) (body []byte, cut bool, refusal network.Verdict) {
	methods := src.binding.Profile.Methods
	switch {
	case !slices.Contains(methods, r.Method):
		return nil, false, network.Verdict{Refused: carom.ReasonBadMethod,
			Detail: fmt.Sprintf("the method %.20q is not used by this network: use %s", r.Method, strings.Join(methods, " or "))}
	case len(r.RequestURI) > MaxURLBytes:
		return nil, false, network.Verdict{Refused: carom.ReasonTooLarge, Detail: "the URL is longer than 16 KiB: send fewer or shorter parameters"}
	case r.Body == http.NoBody:
		return nil, false, network.Verdict{}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return body, false, network.Verdict{Refused: carom.ReasonTooLarge, Detail: "the body is larger than 256 KiB: send fewer or shorter parameters"}
	}
	return body, err != nil, network.Verdict{}
}

// keep adds to rc what of a verified request is judged and journaled: its body and the headers that the profile reads, with
// no secret in them.
func (d *Door) keep(rc *carom.Received, r *http.Request, src *source, body []byte, secret string) {
	if len(secret) >= minSecretChars && bytes.Contains(body, []byte(secret)) {
		body = bytes.ReplaceAll(body, []byte(secret), []byte(maskedSecret))
	}
	if len(body) > 0 {
		rc.Body = body
	}
	for _, name := range src.headers {
		for _, value := range r.Header[name] {
			rc.Header = append(rc.Header, carom.Field{Name: name, Value: value})
		}
	}
	src.binding.Hide(rc)
}

// refuse journals what was verified and can never be used, then answers. If it cannot be journaled the caller tries later, and
// there is no id.
func (d *Door) refuse(w http.ResponseWriter, src *source, rc carom.Received, v network.Verdict) carom.ReceivedID {
	const keptBytes = 16 << 10
	rc.RawQuery = rc.RawQuery[:min(len(rc.RawQuery), keptBytes)]
	if len(rc.Body) > keptBytes && v.Refused == carom.ReasonTooLarge {
		rc.Body = rc.Body[:keptBytes]
	}
	refused := &carom.Refused{App: src.App, Source: src.Name, Network: src.Profile, Reason: v.Refused, Detail: v.Detail, Received: rc}
	profile := src.binding.Profile
	if err := d.opts.Store.Refuse(refused); err != nil {
		d.counts[network.TryLater].Inc()
		write(w, profile.Answer(network.TryLater, v))
		return ""
	}
	d.counts[network.RefusedOutcome].Inc()
	if d.isWatched() {
		d.opts.Watch.Put(carom.Watched{Refused: refused})
	}
	d.opts.Log.Debug("postback refused", "source_id", src.ID(), "reason", v.Refused, "received_id", refused.ID)
	answer := profile.Answer(network.RefusedOutcome, v)
	if v.Refused == carom.ReasonBadMethod {
		w.Header().Set("Allow", strings.Join(profile.Methods, ", "))
		answer.Status = http.StatusMethodNotAllowed // no network sends it: a person is trying something out
	}
	write(w, answer)
	return refused.ID
}

// spent says whether the client has failed too often for anything to be spent on a request that does not even know a path.
func (d *Door) spent(client netip.Addr) bool {
	return d.opts.Failures != nil && d.opts.Failures.Spent(client)
}

// turnAway answers what is not looked at. An honest network may share the address, so it is asked to come again; the answer is the
// same whether or not the path names a source.
func (d *Door) turnAway(w http.ResponseWriter) {
	d.shed.Inc()
	write(w, network.Answer{Status: http.StatusServiceUnavailable, ContentType: "text/plain; charset=utf-8", Body: "try later"})
}

// unverified counts a request that proved nothing, and answers as to every other such request.
func (d *Door) unverified(w http.ResponseWriter, v carom.Unverified) {
	if d.opts.Failures != nil && !d.trusted(v.Received.Client) { // a proxy that names nobody stands for too many
		d.opts.Failures.Failed(v.Received.Client)
	}
	d.opts.Store.Unverified(v)
	if d.isWatched() {
		shown := v
		shown.Received.Body, shown.Received.Header = nil, nil // which may be large, and are of no use to who watches
		d.opts.Watch.Put(carom.Watched{Unverified: &shown})
	}
	d.counts[network.Unverified].Inc()
	write(w, network.Forbidden())
}
