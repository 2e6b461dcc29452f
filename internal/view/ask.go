package view

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"carom"
)

// standing is how a view stands, as it is answered.
type standing struct {
	ViewID    carom.ViewID        `json:"view_id"`
	State     carom.ViewState     `json:"state"`
	Unpaid    bool                `json:"unpaid"` // an event came that the network does not pay for, and none that it pays for
	Reward    *reward             `json:"reward,omitempty"`
	Reason    carom.DeclineReason `json:"reason,omitempty"` // when declined
	ExpiresAt time.Time           `json:"expires_at"`
	Late      bool                `json:"late,omitempty"` // the reward was decided after the view had expired
}

// reward is what the holder of a view's token may know of its reward.
type reward struct {
	ID       carom.RewardID    `json:"id"`
	Rule     string            `json:"rule"`
	Amount   string            `json:"amount"`
	Currency string            `json:"currency"`
	State    carom.RewardState `json:"state"`
	Until    time.Time         `json:"until,omitzero"` // when a held one is credited
}

func newStanding(v *carom.View, o carom.ViewOutcome) *standing {
	s := &standing{ViewID: v.ID, State: o.State, Unpaid: o.Unpaid && o.State != carom.ViewConfirmed, Reason: o.Reason, ExpiresAt: v.ExpiresAt.UTC()}
	if r := o.Reward; r != nil {
		s.Reward = &reward{r.ID, r.Rule, r.Amount.String(), r.Currency, r.State, r.Until}
		s.Late = r.At.After(v.ExpiresAt)
	}
	return s
}

// question is what somebody wants to know of a view.
type question struct {
	wait   time.Duration
	unpaid bool // the caller knows that it is unpaid so far
}

// settledBy says whether an outcome is worth answering before the wait has ended.
func (q question) settledBy(o carom.ViewOutcome) bool {
	return o.State != carom.ViewOpen || o.Unpaid && !q.unpaid
}

func parseQuestion(query url.Values) (question, error) {
	var q question
	if text := query.Get("wait"); text != "" {
		var err error
		if q.wait, err = carom.ParseDuration(text); err != nil || q.wait < 0 || q.wait > MaxWait {
			return q, carom.Invalid("wait", "it is not a duration from 0s to %s: write it as 25s", carom.FormatDuration(MaxWait))
		}
	}
	switch query.Get("unpaid") {
	case "1", "true":
		q.unpaid = true
	case "", "0", "false":
	default:
		return q, carom.Invalid("unpaid", "it is neither 0 nor 1: send 1 if you know that the view is unpaid so far")
	}
	return q, nil
}

// ask answers how a view stands, at once or when that changes.
func (d *Door) ask(w http.ResponseWriter, r *http.Request) {
	c := d.apps.Load()
	c.greet(w, r)
	id := carom.ViewID(r.PathValue("view_id"))
	who, p := d.asker(r, id)
	if p != nil {
		p.write(w)
		return
	}
	q, err := parseQuestion(r.URL.Query())
	if err != nil {
		invalid(err).write(w)
		return
	}
	// Whoever joins before the store is read misses nothing.
	var news chan carom.ViewOutcome
	full := hasRoom
	if q.wait > 0 {
		news, full = d.waiting.join(id)
		defer d.waiting.leave(id, news)
	}
	var v *carom.View
	var outcome carom.ViewOutcome
	aside(func() { v, outcome, p = d.read(w, r, c, id, who) })
	if p == nil && q.wait > 0 && !q.settledBy(outcome) {
		if p = full.problem(); p == nil {
			// The server's limit on the time of a request would end the wait.
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a server without deadlines has none to lift
			outcome = d.hold(r.Context(), v, outcome, news, q)
		}
	}
	if p != nil {
		p.write(w)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", newStanding(v, outcome))
}

// aside runs f on a stack of its own, which is given back: a database needs a deep one, and whoever waits keeps the stack that it
// has grown to. A panic of f is the caller's.
func aside(f func()) {
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		f()
	}()
	if v := <-panicked; v != nil {
		panic(v)
	}
}

// problem says why somebody cannot wait; nil if there is room.
func (full room) problem() *problem {
	switch full {
	case viewFull:
		return later(http.StatusTooManyRequests, retryAfter, "too many requests wait for this view already: wait with one at a time")
	case allFull:
		return later(http.StatusServiceUnavailable, retryAfter, "too many requests wait for views: ask without wait, or try again in some seconds")
	}
	return nil
}

// asker is who asks about a view: the holder of its token, or of an API key.
type asker struct {
	token bool
	app   string // of the key; empty: all
}

// asker finds out who asks. One who presents a token or a key that does not count learns no more than one who asks for a
// view that is not there.
func (d *Door) asker(r *http.Request, id carom.ViewID) (asker, *problem) {
	if d.opts.Local(r) {
		return asker{}, nil
	}
	scheme, text := credentials(r)
	if scheme != "bearer" || text == "" {
		return asker{}, unauthorized("", "a token is missing: send the header Authorization: Bearer TOKEN, with the token that came with the view, or an API key")
	}
	if d.opts.Store.ViewSeal().IsToken(id, text) {
		return asker{token: true}, nil
	}
	if key, known := d.opts.Store.KeyBySum(sha256.Sum256([]byte(text))); known && key.Publisher == "" { // every other key may read
		return asker{app: key.App}, nil
	}
	return asker{}, noView()
}

// noView is the one answer for a view that is not there and for one that is not the asker's.
func noView() *problem {
	return newProblem(http.StatusNotFound, "", "there is no such view for this token: ask with the id and the token that came with one view, or with an API key of its app")
}

// read finds out how the view stands at the moment.
func (d *Door) read(w http.ResponseWriter, r *http.Request, c *catalog, id carom.ViewID, who asker) (*carom.View, carom.ViewOutcome, *problem) {
	var none carom.ViewOutcome
	if _, opened, _, err := id.Place(); err != nil || opened == 0 {
		return nil, none, noView()
	}
	v, err := d.opts.Store.View(r.Context(), id)
	switch {
	case errors.Is(err, carom.ErrNotFound):
		return nil, none, noView()
	case err != nil:
		return nil, none, d.storeProblem(r.Context(), err, slog.String("view_id", string(id)))
	case who.app != "" && who.app != v.App:
		return nil, none, noView()
	}
	a := c.apps[v.App]
	if a == nil {
		a = &app{name: v.App} // it is configured no more: its views can still be asked about, but not by pages
	}
	if p := a.shut(w, r); p != nil {
		return nil, none, p
	}
	now := d.opts.Clock()
	if who.token && now.After(v.ExpiresAt.Add(TokenGrace)) {
		return nil, none, newProblem(http.StatusGone, "", "the token of a view counts until a day after the view has expired, and that was before: open a new view")
	}
	outcome, err := d.opts.Store.ViewOutcome(r.Context(), v)
	if err != nil {
		return nil, none, d.storeProblem(r.Context(), err, slog.String("view_id", string(id)))
	}
	if outcome.State == carom.ViewOpen && !now.Before(v.ExpiresAt) {
		outcome.State = carom.ViewExpired
	}
	return v, outcome, nil
}

// hold waits until there is an outcome that settles the question, the view expires, the wait ends, the caller goes or the
// server stops. It returns the latest outcome.
func (d *Door) hold(ctx context.Context, v *carom.View, o carom.ViewOutcome, news <-chan carom.ViewOutcome, q question) carom.ViewOutcome {
	wait, expires := q.wait, false
	if left := v.ExpiresAt.Sub(d.opts.Clock()); left <= wait {
		wait, expires = left, true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for !q.settledBy(o) {
		select {
		case n := <-news:
			o = after(o, n)
		case <-timer.C:
			select {
			case n := <-news: // it came at the same moment
				o = after(o, n)
			default:
			}
			if expires && o.State == carom.ViewOpen {
				o.State = carom.ViewExpired
			}
			return o
		case <-ctx.Done():
			return o
		case <-d.opts.Done:
			return o
		}
	}
	return o
}
