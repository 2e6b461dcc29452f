package deliver

import (
	"context"
	"time"

	"carom"
)

const (
	// fillAhead is how many claimed deliveries a lane keeps ready beyond its concurrency, so that reading overlaps sending.
	// A claim of this size takes about 10 ms and begins when half are left: enough for 12,000 attempts per second.
	fillAhead = 256

	// Looks at the due table. What is written to it shows up after a commit, which takes milliseconds on a good disk and as
	// long as it takes on a full one. So a lane looks settleTime after a write, then at growing intervals, and never stops
	// looking altogether. When it knows of something that is due it looks then, but no more often than lookPace: one look
	// that finds a hundred costs little more than one that finds one.
	settleTime = 100 * time.Millisecond
	lookPace   = 100 * time.Millisecond
	firstLook  = time.Second
	lastLook   = time.Minute

	// tableEvery is how often the engine looks for deliveries whose deadline passed while no attempt was due.
	tableEvery = time.Minute

	// endBatch is how many deliveries are claimed at once to be ended.
	endBatch = 500
)

// table is what a lane knows of its part of the due table. The lane's mu guards it.
type table struct {
	backlog bool   // it may hold something that is due
	changes uint64 // counts the reasons for backlog, so that one which comes while a claim runs is not lost
	filling bool   // a fill or a burial runs
	resting bool   // the store failed: it is left alone until the next tend
	failing bool   // it failed the last time: this has been logged

	lookAt   alarm
	lookedAt time.Time     // when a look last found no more that was due
	patience time.Duration // until the next look, if nothing is known to be due before
	unseen   time.Time     // when the soonest of what was written is due; zero when a look has begun since then

	// Catching up, what waited before a moment goes out in order of acceptance, the oldest first: after a start what was due
	// then, after the breaker has closed everything. What failed or came since is attempted meanwhile as it falls due.
	releasedAt time.Time // zero: nothing to catch up
	dueOnly    bool      // only what was due then
	cursor     uint64

	probeCursor uint64 // probes take turns: one delivery that the receiver cannot take must not keep the breaker open

	expiryAt time.Time // no deadline passes before
}

// noteBacklog says that the due table may hold something that is due.
func (l *lane) noteBacklog() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteChange()
	l.pump()
}

func (l *lane) noteChange() {
	l.table.backlog = true
	l.table.changes++
}

// noteWrite says that something was written to the due table which is due at a moment. The caller holds mu.
func (l *lane) noteWrite(now, due time.Time) {
	t := &l.table
	t.patience = firstLook
	if visible := now.Add(settleTime); l.removed || due.Before(visible) {
		due = visible
	}
	if t.unseen.IsZero() || due.Before(t.unseen) {
		t.unseen = due
	}
	l.lookBy(now, due)
}

// lookBy sees to it that the lane looks at the due table at a moment. The caller holds mu.
func (l *lane) lookBy(now, at time.Time) {
	t := &l.table
	if pace := t.lookedAt.Add(lookPace); at.Before(pace) {
		at = pace
	}
	if !l.e.running.Load() || !t.lookAt.at.IsZero() && !at.Before(t.lookAt.at) {
		return
	}
	t.lookAt.set(at, max(at.Sub(now), 0), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		t.lookAt.at = time.Time{}
		l.noteChange()
		l.pump()
	})
}

// lookLater is for a look that began a while ago and left nothing due. The caller holds mu.
func (l *lane) lookLater(began time.Time, changes uint64, found bool) {
	t := &l.table
	now := l.e.opts.Clock()
	t.backlog = changes != t.changes
	t.lookedAt = began
	l.lookBy(now, now.Add(t.patience))
	if !found {
		t.patience = min(2*t.patience, lastLook)
	}
	if t.unseen.After(began) {
		l.lookBy(now, t.unseen)
	} else {
		t.unseen = time.Time{}
	}
}

// noteStore remembers whether the store answered. The caller holds mu.
func (l *lane) noteStore(err error) {
	t := &l.table
	t.resting = err != nil
	if err != nil && !t.failing && l.e.claims.Err() == nil {
		l.e.opts.Log.Warn("cannot claim deliveries, will try again", "endpoint_id", l.name(), "error", err)
	}
	t.failing = err != nil
}

// claim is Store.Claim, once at a time for each endpoint.
func (l *lane) claim(c carom.Claim) ([]*carom.Delivery, uint64, error) {
	l.claiming <- struct{}{}
	defer func() { <-l.claiming }()
	c.Endpoint = l.no
	return l.e.opts.Store.Claim(l.e.claims, c)
}

// fillIfNeeded begins to claim from the due table when the lane is about to run out. The caller holds mu and has seen the
// engine running.
func (l *lane) fillIfNeeded(probe bool) {
	if t := &l.table; !t.backlog || t.filling || t.resting {
		return
	}
	width, rate := l.share()
	full, low := width+fillAhead, fillAhead/2
	if rate > 0 { // a slow lane does not hold for minutes what it has claimed
		full = min(full, 1+int(2*rate))
		low = min(low, full/2)
	}
	if probe {
		full, low = 1, 0
	}
	if l.ready.len() > low {
		return
	}
	want := full - l.ready.len()
	l.table.filling = true
	l.e.start(func() { l.fill(want, probe) })
}

// fill claims deliveries that are due and pumps the lane.
func (l *lane) fill(want int, probe bool) {
	t := &l.table
	l.mu.Lock()
	began, changes := l.e.opts.Clock(), t.changes
	catchUp := !probe && !t.releasedAt.IsZero()
	c := carom.Claim{Limit: want, DueBy: began}
	switch {
	case probe: // whenever it is due: the breaker's schedule counts, not its own
		c = carom.Claim{Limit: want, InOrder: true, Cursor: t.probeCursor}
	case catchUp:
		c = carom.Claim{Limit: want, InOrder: true, Cursor: t.cursor, ScheduledBefore: t.releasedAt}
		if t.dueOnly {
			c.DueBy = t.releasedAt
		}
	}
	since := carom.Claim{Limit: max(1, want/4), DueAfter: t.releasedAt, DueBy: began}
	l.mu.Unlock()

	deliveries, cursor, err := l.claim(c)
	if probe && err == nil && len(deliveries) == 0 && c.Cursor != 0 {
		c.Cursor = 0 // past the last: from the oldest again
		deliveries, cursor, err = l.claim(c)
	}
	exhausted := err == nil && len(deliveries) < want
	caughtUp := catchUp && err == nil && len(deliveries) == 0
	if catchUp && err == nil {
		var fallenDue []*carom.Delivery
		fallenDue, _, err = l.claim(since)
		deliveries = append(deliveries, fallenDue...)
	}
	var next time.Time
	if exhausted && !probe && !catchUp {
		next, err = l.e.opts.Store.NextDue(l.e.claims, l.no, began)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	t.filling = false
	l.noteStore(err)
	l.ready.push(deliveries...) // those that come with an error are claimed like the others
	switch {
	case err != nil:
	case probe:
		t.probeCursor = cursor
		if exhausted { // the next event will be the probe
			l.lookLater(began, changes, false)
		}
	case catchUp && t.cursor != c.Cursor: // older ones were given back meanwhile: they go first
		l.giveBack()
	case caughtUp:
		t.releasedAt, t.cursor = time.Time{}, 0
	case catchUp:
		t.cursor = cursor
	case exhausted && !catchUp:
		l.lookLater(began, changes, len(deliveries) > 0)
		if !next.IsZero() {
			l.lookBy(l.e.opts.Clock(), next)
		}
	}
	if l.shut() || l.breaker.open != probe {
		l.giveBack()
	}
	l.pump()
}

// buryIfNeeded begins to end what waits in the due table for a deleted endpoint. The caller holds mu.
func (l *lane) buryIfNeeded() {
	t := &l.table
	if !t.backlog || t.filling || t.resting || !l.e.running.Load() {
		return
	}
	t.filling = true
	began, changes := l.e.opts.Clock(), t.changes
	l.e.start(func() {
		err := l.endAll(carom.Claim{}, carom.Dead, reasonDeleted)
		l.mu.Lock()
		defer l.mu.Unlock()
		t.filling = false
		l.noteStore(err)
		if err == nil {
			l.lookLater(began, changes, false)
		}
		l.pump()
	})
}

// Reasons of deliveries that end without an attempt.
const (
	reasonDeleted = "endpoint deleted"
	reasonExpired = "its deadline passed"
)

// endAll ends every waiting delivery of the endpoint that the claim selects.
func (l *lane) endAll(c carom.Claim, state carom.DeliveryState, reason string) error {
	c.InOrder, c.Limit = true, endBatch
	for {
		deliveries, cursor, err := l.claim(c)
		for _, d := range deliveries {
			l.e.end(d, state, reason)
		}
		if err == nil {
			err = context.Cause(l.e.claims)
		}
		if err != nil || len(deliveries) == 0 {
			return err
		}
		c.Cursor = cursor
	}
}

// end records the end of a delivery for which no exchange was made.
func (e *Engine) end(d *carom.Delivery, state carom.DeliveryState, reason string) {
	e.record(d, &carom.Attempt{Delivery: d.ID, Number: d.Attempts + 1, At: e.opts.Clock().UTC(), State: state, Reason: reason})
}

func (e *Engine) record(d *carom.Delivery, a *carom.Attempt) {
	if err := e.opts.Store.Record(d, a); err != nil {
		e.opts.Log.Debug("outcome not recorded; the next start takes the delivery up again", "delivery_id", d.ID, "error", err)
	}
}

// tendTable looks after deliveries in the due table that no lane would come across: those whose deadline passes while their
// lane is shut, its breaker open, or its backlog long, and, the first time, those of endpoints that were deleted before the
// engine began. Asking for the backlogs reads the whole table, so it is done only when something may be found.
//
// An endpoint that another node was told of just now looks like a deleted one here. So with peers only those that are still unknown at a
// second look count as deleted.
//
// Only one runs at a time: it alone uses e.foundOrphans and e.strangers.
func (e *Engine) tendTable() {
	defer e.tending.Store(false)
	now := e.opts.Clock()
	deadlines := map[*lane]time.Duration{}
	for _, l := range *e.lanes.Load() {
		l.mu.Lock()
		if !l.removed && !now.Before(l.table.expiryAt) {
			if width, _ := l.share(); width > 0 { // else other nodes look after it
				deadlines[l] = l.ep.Deadline
			}
		}
		l.mu.Unlock()
	}
	if len(deadlines) == 0 && e.foundOrphans {
		return
	}
	backlogs, err := e.opts.Store.Backlogs(e.claims)
	if err != nil {
		if e.claims.Err() == nil {
			e.opts.Log.Warn("cannot look for deliveries that have to end, will try again", "error", err)
		}
		return
	}
	oldest := make(map[int]time.Time, len(backlogs))
	strangers := map[int]bool{}
	for _, b := range backlogs {
		oldest[b.Endpoint] = b.Oldest
		switch {
		case e.foundOrphans || e.lane(b.Endpoint) != nil:
		case e.opts.Peers == nil || e.strangers[b.Endpoint]:
			e.bury(b.Endpoint)
		default:
			strangers[b.Endpoint] = true
		}
	}
	e.foundOrphans = len(strangers) == 0
	e.strangers = strangers
	for l, deadline := range deadlines {
		l.expireOld(now, deadline, oldest[l.no])
	}
}

// bury makes a lane that ends what waits for an endpoint which is not known.
func (e *Engine) bury(endpoint int) {
	e.names.Lock()
	defer e.names.Unlock()
	if e.lane(endpoint) != nil {
		return
	}
	l := newLane(e, endpoint)
	e.addLane(l)
	l.noteBacklog()
}

// expireOld ends what waits for longer than the deadline, if anything does. oldest is when the oldest of what waits was
// accepted; zero when nothing waits. What comes later was accepted later, or lives in memory until its attempt ends.
func (l *lane) expireOld(now time.Time, deadline time.Duration, oldest time.Time) {
	before := now.Add(-deadline)
	next := now.Add(deadline)
	switch {
	case oldest.IsZero():
	case oldest.After(before):
		next = oldest.Add(deadline)
	case l.endAll(carom.Claim{SinceBefore: before.Add(time.Millisecond)}, carom.Expired, reasonExpired) == nil:
		next = now // others may follow soon
	default:
		return // the store failed: the next time
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ep.Deadline == deadline {
		l.table.expiryAt = next
	}
}
