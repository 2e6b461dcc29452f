package deliver

import (
	"context"
	"runtime/debug"
	"time"

	"carom"
	"carom/internal/egress"
)

// result is what a turn came to.
type result struct {
	made     bool // an attempt was
	outcome  Outcome
	due      time.Time // when the next attempt is due, if the delivery is still pending
	storeErr error     // the attempt could not begin
}

// work makes attempts one after another for as long as there are some to make: under load a goroutine is not started for
// each.
func (l *lane) work(t turn) {
	defer l.e.work.Done()
	for ok := true; ok; {
		r := l.attempt(t)
		l.mu.Lock()
		now := l.e.opts.Clock()
		l.inFlight--
		l.settle(now, t, &r)
		if other := l.e.gate.leave(); other != nil {
			l.mu.Unlock()
			l.e.gate.passOn(other)
			l.mu.Lock()
		}
		t, ok = l.next(now)
		l.mu.Unlock()
	}
}

// attempt makes one attempt and records it.
func (l *lane) attempt(t turn) result {
	if l.e.hold(t.d) != carom.HoldSure {
		return result{storeErr: errNotHeld}
	}
	begun := l.e.opts.Clock()
	deadline := t.d.Since.Add(t.ep.Deadline)
	if !begun.Before(deadline) {
		l.e.end(t.d, carom.Expired, reasonExpired)
		return result{}
	}
	if t.ep.Once {
		if err := l.e.opts.Store.Begin(l.e.calls, t.d); err != nil {
			// Nothing is sent. If what Begin stored survives a crash, the next start ends the delivery: better unsent than
			// sent twice.
			return result{storeErr: err}
		}
		if l.e.hold(t.d) != carom.HoldSure { // the process was halted meanwhile, say
			return result{storeErr: errNotHeld}
		}
	}
	a := &carom.Attempt{Delivery: t.d.ID, Number: t.d.Attempts + 1, At: begun.UTC()}
	o := l.exchange(t, a, begun)
	a.State, a.Reason, a.Flags = o.State, o.Reason, o.Flags
	if t.probe {
		a.Flags |= carom.AttemptProbe
	}
	if o.State == carom.Pending {
		a.Due = begun.Add(a.Took + max(backoff(t.ep.Schedule, t.d.Step, l.e.opts.Random()), o.Wait)).UTC()
		if a.Due.After(deadline) {
			a.Due = deadline // it expires then
		}
		if !t.probe { // while the breaker is open schedules stand still
			t.d.Step++
		}
	}
	l.e.opts.Observe(o, a.Took)
	if w := l.e.opts.Watch; w != nil && w.Watched() {
		w.Put(carom.Watched{Sent: &carom.SentAttempt{Attempt: *a, Endpoint: t.ep.ID()}, For: t.d.Event})
	}
	l.e.record(t.d, a)
	return result{made: true, outcome: o, due: a.Due}
}

// exchange renders and sends the request, and notes in a what was sent and what came back.
func (l *lane) exchange(t turn, a *carom.Attempt, begun time.Time) (o Outcome) {
	sent := false
	defer func() {
		if r := recover(); r != nil { // one attempt's fault must not end the others
			l.e.opts.Log.Error("attempt panicked", "delivery_id", t.d.ID, "panic", r, "stack", string(debug.Stack()))
			o = once(&t.ep.Endpoint, &egress.Result{Sent: sent}, Outcome{State: carom.Pending, NoNews: true, Reason: "internal error of carom"})
		}
	}()
	req, err := t.ep.Render(t.d, a.Number, a.At)
	if err != nil {
		return Outcome{State: carom.Pending, NoNews: true, Reason: "cannot render the request: " + err.Error()}
	}
	a.Method, a.URL, a.Sent = req.Method, req.ShownURL, req.ShownBody
	sent = true
	// A context that cannot be cancelled costs less; Close ends what is under way when the grace has passed.
	res := l.e.opts.Client.Do(context.Background(), egress.Policy{AllowPrivate: t.ep.AllowPrivate},
		egress.Request{Method: req.Method, URL: req.URL, Header: req.Header, Body: req.Body},
		egress.Options{Timeout: t.ep.Timeout, Once: t.ep.Once})
	ended := l.e.opts.Clock()
	a.Took, a.Status, a.Answer = ended.Sub(begun), res.Status, string(res.Body)
	return classify(ended, &t.ep.Endpoint, &res)
}

// settle takes up what a turn says about the receiver and the delivery. The caller holds mu.
func (l *lane) settle(now time.Time, t turn, r *result) {
	if t.probe {
		l.breaker.probing = false
	}
	if !r.made {
		if r.storeErr != nil {
			l.unbegun(t.d, r.storeErr)
		}
		return
	}
	o := &r.outcome
	switch o.State {
	case carom.Delivered:
		l.lastSuccess = now
	case carom.Pending:
		l.noteWrite(now, r.due)
		fallthrough
	default:
		l.lastFailure, l.lastFailed = o.Reason, now
	}
	switch {
	case t.probe && l.breaker.open: // another node may have closed it meanwhile
		if l.breaker.noteProbe(now, o, l.e.opts.Random()) {
			l.e.opts.Log.Info("endpoint answers again", "endpoint_id", l.name())
			l.catchUp(now)
		}
	case l.breaker.open: // it was under way when the breaker opened: no news
	case l.breaker.note(now, o, l.e.opts.Random()):
		l.e.opts.Log.Warn("endpoint does not answer well: no attempts but probes until it does", "endpoint_id", l.name(), "reason", o.Reason)
		l.giveUpMemory()
	}
}

// catchUp makes what waited while the breaker was open go out in order. The caller holds mu.
func (l *lane) catchUp(now time.Time) {
	l.table.releasedAt, l.table.dueOnly, l.table.cursor = now, false, 0
	l.noteChange()
}

// unbegun puts back a delivery whose attempt could not begin because of the store. The caller holds mu.
func (l *lane) unbegun(d *carom.Delivery, err error) {
	if l.e.hold(d) == carom.HoldLost {
		l.noteChange()
		return
	}
	l.noteStore(err)
	if d.Ticket != 0 {
		l.sendAway(d)
		return
	}
	l.e.opts.Store.Release(d)
	l.noteChange()
}
