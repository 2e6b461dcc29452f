package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"carom"
	"carom/internal/network"
)

// maskedSecret stands where a secret was.
const maskedSecret = "***"

// postback takes one received postback.
func (d *Door) postback(w http.ResponseWriter, r *http.Request) {
	c := d.catalog.Load()
	secret := r.PathValue("secret")
	a, src := c.source(r.PathValue("app"), r.PathValue("source"))
	now := d.opts.Clock().UTC()
	if src == nil || src.binding == nil {
		sum := sha256.Sum256([]byte(secret))
		subtle.ConstantTimeCompare(sum[:], d.decoy[:]) // takes as long as a wrong secret does
		reason, appName := carom.ReasonUnknownApp, ""
		if a != nil {
			reason, appName = carom.ReasonUnknownSource, r.PathValue("app")
		}
		d.unverified(w, r, carom.Unverified{App: appName, Reason: reason}, secret)
		return
	}
	if !src.binding.Verify(secret, now) {
		d.unverified(w, r, carom.Unverified{App: src.App, Source: src.Name, Reason: carom.ReasonWrongSecret}, secret)
		return
	}
	rc := carom.Received{
		At: now, Method: r.Method, Path: "/in/" + src.App + "/" + src.Name + "/" + maskedSecret, RawQuery: r.URL.RawQuery,
		ContentType: r.Header.Get("Content-Type"), Client: d.client(r),
	}
	verdict, done := d.read(w, r, src, &rc)
	if done {
		return
	}
	if verdict.Event == nil {
		d.refuse(w, src, rc, verdict, secret)
		return
	}
	mask(&verdict.Event.Received, secret)
	sub := carom.Submission{Event: verdict.Event, Key: verdict.Key}
	d.accept(c, &sub)
	outcome := network.Accepted
	switch {
	case sub.Err != nil:
		outcome = network.TryLater
	case sub.Receipt.Duplicate:
		outcome = network.Duplicate
	}
	write(w, src.binding.Profile.Answer(outcome, verdict))
}

// read takes in the body and judges the request. done means that it is answered: the caller has hung up.
func (d *Door) read(w http.ResponseWriter, r *http.Request, src *source, rc *carom.Received) (v network.Verdict, done bool) {
	switch {
	case !slices.Contains(src.binding.Profile.Methods, r.Method):
		w.Header().Set("Allow", strings.Join(src.binding.Profile.Methods, ", "))
		return network.Verdict{Refused: carom.ReasonBadMethod,
			Detail: fmt.Sprintf("the method %.20q is not used by this network: use %s", r.Method, strings.Join(src.binding.Profile.Methods, " or "))}, false
	case len(r.RequestURI) > MaxURLBytes:
		return network.Verdict{Refused: carom.ReasonTooLarge, Detail: "the URL is longer than 16 KiB: send fewer or shorter parameters"}, false
	}
	if r.Body != http.NoBody {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			rc.Body = body
			return network.Verdict{Refused: carom.ReasonTooLarge, Detail: "the body is larger than 256 KiB: send fewer or shorter parameters"}, false
		case err != nil:
			write(w, network.Answer{Status: http.StatusBadRequest, ContentType: "text/plain; charset=utf-8", Body: "the body ended early"})
			return network.Verdict{}, true
		case len(body) > 0:
			rc.Body = body
		}
	}
	return src.binding.Judge(rc), false
}

// refuse journals what was verified and can never be used, then answers. If it cannot be journaled the caller tries later.
func (d *Door) refuse(w http.ResponseWriter, src *source, rc carom.Received, v network.Verdict, secret string) {
	const keptBytes = 16 << 10
	mask(&rc, secret)
	rc.RawQuery = rc.RawQuery[:min(len(rc.RawQuery), keptBytes)]
	if len(rc.Body) > keptBytes && v.Refused == carom.ReasonTooLarge {
		rc.Body = rc.Body[:keptBytes]
	}
	refused := &carom.Refused{App: src.App, Source: src.Name, Network: src.Profile, Reason: v.Refused, Detail: v.Detail, Received: rc}
	profile := src.binding.Profile
	if err := d.opts.Store.Refuse(refused); err != nil {
		d.counts[network.TryLater].Inc()
		write(w, profile.Answer(network.TryLater, v))
		return
	}
	d.counts[network.RefusedOutcome].Inc()
	d.opts.Log.Debug("postback refused", "source", src.ID(), "reason", v.Refused, "received_id", refused.ID)
	answer := profile.Answer(network.RefusedOutcome, v)
	if v.Refused == carom.ReasonBadMethod {
		answer.Status = http.StatusMethodNotAllowed // no network sends it: a person is trying something out
	}
	write(w, answer)
}

// mask hides the secret where else than in the path it was sent.
func mask(rc *carom.Received, secret string) {
	if strings.Contains(rc.RawQuery, secret) {
		rc.RawQuery = strings.ReplaceAll(rc.RawQuery, secret, maskedSecret)
	}
}

// unverified counts a request that proved nothing, and answers as to every other such request.
func (d *Door) unverified(w http.ResponseWriter, r *http.Request, v carom.Unverified, secret string) {
	path := r.URL.Path
	if secret != "" {
		path = strings.ReplaceAll(path, secret, maskedSecret)
	}
	v.Received = carom.Received{
		At: d.opts.Clock().UTC(), Method: r.Method, Path: path, RawQuery: r.URL.RawQuery, ContentType: r.Header.Get("Content-Type"), Client: d.client(r),
	}
	d.opts.Store.Unverified(v)
	d.counts[network.Unverified].Inc()
	write(w, network.Forbidden())
}

// unknownPath answers what lies under /in/ without naming an app, a source and a secret.
func (d *Door) unknownPath(w http.ResponseWriter, r *http.Request) {
	d.unverified(w, r, carom.Unverified{Reason: carom.ReasonUnknownApp}, "")
}
