package ingest

import (
	"net/http"

	"carom"
	"carom/internal/network"
)

// Tested is what the door made of a test postback.
type Tested struct {
	Outcome  network.Outcome
	Event    carom.EventID    // accepted, or the one that it is a copy of
	Received carom.ReceivedID // refused
	Reason   carom.Reason     // why it was refused, or is not verified
}

// Test takes a postback to a source as [Door.Postback] does, in every step, but that its event is marked as a test: it is stored and
// sent, and never rewarded. Today's receiver of a source in shadow hears nothing of it. ok is false when there is no such source,
// or it is no network's; nothing is answered then.
func (d *Door) Test(w http.ResponseWriter, r *http.Request) (_ Tested, ok bool) {
	c := d.catalog.Load()
	path := cutPath(r.URL.EscapedPath())
	_, src := c.source(path.app, path.source)
	if src == nil || src.binding == nil || path.rest != "" {
		return Tested{}, false
	}
	t := &trial{door: d, src: src, r: r, secret: path.secret}
	d.take(w, r, arrival{c: c, src: src, secret: path.secret, trial: t, test: true})
	out := Tested{Outcome: t.seen.outcome, Reason: t.seen.reason}
	switch t.seen.outcome {
	case network.Accepted, network.Duplicate:
		out.Event = carom.EventID(t.seen.id)
	case network.RefusedOutcome:
		out.Received = carom.ReceivedID(t.seen.id)
	default:
	}
	return out, true
}
