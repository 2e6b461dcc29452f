package deliver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"carom"
)

// fakeStore keeps deliveries in memory by the contract of the store: what Record and Defer write shows after lag, a claim
// lasts until then. It notes every breach of the contract by its caller.
type fakeStore struct {
	mu       sync.Mutex    // guards all below
	lag      time.Duration // until what is written shows
	slow     time.Duration // what a claim takes
	err      error         // of all methods
	readErr  error         // of Claim, NextDue and Backlogs
	seq      uint32
	events   map[uint64]*carom.Event
	rows     map[rowKey]dueRow
	claimed  map[rowKey]bool
	memory   map[rowKey]bool // deliveries that have a ticket and no outcome yet
	attempts map[carom.DeliveryID][]carom.Attempt
	ended    map[carom.DeliveryID]carom.DeliveryState
	claims   int // calls
	scans    int // calls of Backlogs
	breakers map[int]time.Time
	claiming map[int]bool
	breaches []string
}

type rowKey struct {
	endpoint int
	event    uint64
	ordinal  int
}

type dueRow struct {
	due, scheduled, since time.Time
	attempts, step        int
	sending               bool
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		events: map[uint64]*carom.Event{}, rows: map[rowKey]dueRow{}, claimed: map[rowKey]bool{}, memory: map[rowKey]bool{},
		attempts: map[carom.DeliveryID][]carom.Attempt{}, ended: map[carom.DeliveryID]carom.DeliveryState{}, claiming: map[int]bool{},
		breakers: map[int]time.Time{},
	}
}

func keyOf(d *carom.Delivery) rowKey {
	_, ref, _, err := d.ID.Place()
	if err != nil {
		panic(err)
	}
	return rowKey{d.Endpoint, ref.Uint64(), d.Ordinal}
}

func (s *fakeStore) breach(format string, args ...any) {
	s.breaches = append(s.breaches, fmt.Sprintf(format, args...))
}

// accept stores an event that is owed to the targets.
func (s *fakeStore) accept(at time.Time, targets ...carom.Target) *carom.Submission {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	ref := carom.Ref{Bucket: 1, Seq: s.seq}
	ev := &carom.Event{ID: carom.NewEventID(1, ref), At: at.UTC(), App: "app", Source: "src", Type: carom.Click, YMID: strconv.Itoa(int(s.seq))}
	s.events[ref.Uint64()] = ev
	for i, t := range targets {
		key := rowKey{t.Endpoint, ref.Uint64(), i}
		if t.Direct {
			s.memory[key] = true
		} else {
			s.rows[key] = dueRow{due: at, scheduled: at, since: at}
		}
	}
	return &carom.Submission{Event: ev, Targets: targets, Receipt: carom.Receipt{ID: ev.ID, Ticket: uint64(s.seq)}}
}

// backlog puts n deliveries into the due table, accepted and due a while ago, before the lane knows of them.
func (s *fakeStore) backlog(no, n int, age time.Duration) (ids []carom.DeliveryID) {
	for range n {
		sub := s.accept(time.Now().Add(-age), carom.Target{Endpoint: no})
		ids = append(ids, sub.Receipt.ID.Delivery(0))
	}
	return ids
}

// commit runs apply when what was written shows. The caller holds mu.
func (s *fakeStore) commit(apply func()) {
	if s.lag == 0 {
		apply()
		return
	}
	time.AfterFunc(s.lag, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		apply()
	})
}

func (s *fakeStore) Record(d *carom.Delivery, a *carom.Attempt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	key, copied, outcome := keyOf(d), *d, *a
	if state := s.ended[d.ID]; state != "" {
		s.breach("%s: %s recorded after it ended as %s", d.ID, a.State, state)
	}
	if !s.claimed[key] && !s.memory[key] {
		s.breach("%s: recorded by somebody who does not have it", d.ID)
	}
	if a.Delivery != d.ID || a.Number != d.Attempts+1 {
		s.breach("%s: attempt %d of %s recorded after %d", d.ID, a.Number, a.Delivery, d.Attempts)
	}
	s.attempts[d.ID] = append(s.attempts[d.ID], outcome)
	if outcome.State != carom.Pending {
		s.ended[d.ID] = outcome.State
	}
	now := time.Now()
	s.commit(func() {
		if outcome.State == carom.Pending {
			s.rows[key] = dueRow{due: outcome.Due, scheduled: now, since: copied.Since, attempts: outcome.Number, step: copied.Step}
		} else {
			delete(s.rows, key)
		}
		delete(s.memory, key)
		delete(s.claimed, key)
	})
	return nil
}

func (s *fakeStore) Defer(d *carom.Delivery, due time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	key, copied, now := keyOf(d), *d, time.Now()
	if !s.memory[key] {
		s.breach("%s: deferred without being in memory", d.ID)
	}
	s.commit(func() {
		s.rows[key] = dueRow{due: due, scheduled: now, since: copied.Since, attempts: copied.Attempts, step: copied.Step}
		delete(s.memory, key)
	})
	return nil
}

func (s *fakeStore) Begin(_ context.Context, d *carom.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	key := keyOf(d)
	now := time.Now()
	s.rows[key] = dueRow{due: now, scheduled: now, since: d.Since, attempts: d.Attempts, step: d.Step, sending: true}
	s.claimed[key] = true
	delete(s.memory, key)
	d.Ticket = 0
	return nil
}

func (s *fakeStore) Release(d *carom.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.claimed[keyOf(d)] {
		s.breach("%s: released without a claim", d.ID)
	}
	delete(s.claimed, keyOf(d))
}

func (s *fakeStore) Claim(ctx context.Context, c carom.Claim) ([]*carom.Delivery, uint64, error) {
	s.mu.Lock()
	if s.claiming[c.Endpoint] {
		s.breach("endpoint %d: two claims at the same time", c.Endpoint)
	}
	s.claims++
	s.claiming[c.Endpoint] = true
	slow := s.slow
	s.mu.Unlock()
	if slow > 0 {
		<-time.After(slow)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claiming[c.Endpoint] = false
	if err := cmp.Or(s.err, ctx.Err()); err != nil {
		return nil, c.Cursor, err
	}
	if s.readErr != nil {
		c.Limit = min(c.Limit, 3)
	}
	var out []*carom.Delivery
	cursor := c.Cursor
	for _, key := range s.matching(c) {
		if len(out) == c.Limit {
			break
		}
		cursor = key.event
		if s.claimed[key] {
			continue
		}
		s.claimed[key] = true
		row := s.rows[key]
		out = append(out, &carom.Delivery{
			ID: carom.NewDeliveryID(1, carom.RefOf(key.event), key.ordinal), Event: s.events[key.event], Endpoint: c.Endpoint,
			Ordinal: key.ordinal, Attempts: row.attempts, Step: row.step, Since: row.since,
		})
	}
	return out, cursor, s.readErr
}

// matching lists the rows that a claim selects, in its order. The caller holds mu.
func (s *fakeStore) matching(c carom.Claim) []rowKey {
	var keys []rowKey
	for key, row := range s.rows {
		switch {
		case key.endpoint != c.Endpoint:
		case c.InOrder && (key.event <= c.Cursor || !c.ScheduledBefore.IsZero() && !row.scheduled.Before(c.ScheduledBefore) ||
			!c.SinceBefore.IsZero() && !row.since.Before(c.SinceBefore)):
		case !c.DueBy.IsZero() && row.due.After(c.DueBy):
		case !c.InOrder && !row.due.After(c.DueAfter):
		default:
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b rowKey) int {
		byEvent := cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.ordinal, b.ordinal))
		if c.InOrder {
			return byEvent
		}
		return cmp.Or(s.rows[a].due.Compare(s.rows[b].due), byEvent)
	})
	return keys
}

func (s *fakeStore) NextDue(ctx context.Context, endpoint int, now time.Time) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmp.Or(s.err, s.readErr, ctx.Err()); err != nil {
		return time.Time{}, err
	}
	var next time.Time
	for key, row := range s.rows {
		if key.endpoint == endpoint && row.due.After(now) && (next.IsZero() || row.due.Before(next)) {
			next = row.due
		}
	}
	return next, nil
}

func (s *fakeStore) Backlogs(context.Context) ([]carom.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	if err := cmp.Or(s.err, s.readErr); err != nil {
		return nil, err
	}
	by := map[int]*carom.Backlog{}
	for key, row := range s.rows {
		b := by[key.endpoint]
		if b == nil {
			b = &carom.Backlog{Endpoint: key.endpoint, Oldest: row.since}
			by[key.endpoint] = b
		}
		b.Waiting++
		if row.since.Before(b.Oldest) {
			b.Oldest = row.since
		}
	}
	var out []carom.Backlog
	for _, b := range by {
		out = append(out, *b)
	}
	return out, nil
}

func (s *fakeStore) SetBreaker(_ context.Context, endpoint int, openedAt time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
	case openedAt.IsZero():
		delete(s.breakers, endpoint)
	default:
		s.breakers[endpoint] = openedAt
	}
	return s.err
}

func (s *fakeStore) Breakers(context.Context) (map[int]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.breakers), cmp.Or(s.err, s.readErr)
}

// fail makes the store return err from now on; nil ends that.
func (s *fakeStore) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// failReads is fail for what only reads.
func (s *fakeStore) failReads(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readErr = err
}

// restart does what the store does when a process has died: claims are gone, memory is recovered into the table, and what
// may have been sent and must not be repeated ends.
func (s *fakeStore) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.claimed)
	now := time.Now()
	for key := range s.memory {
		s.rows[key] = dueRow{due: now, scheduled: now, since: s.events[key.event].At}
		delete(s.memory, key)
	}
	for key, row := range s.rows {
		if row.sending {
			s.ended[carom.NewDeliveryID(1, carom.RefOf(key.event), key.ordinal)] = carom.Dead
			delete(s.rows, key)
		}
	}
}

// tally is what a test may want to count.
type tally struct{ claims, scans, rows, held, memory, breaches int }

func (s *fakeStore) tally() tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tally{s.claims, s.scans, len(s.rows), len(s.claimed), len(s.memory), len(s.breaches)}
}

func (s *fakeStore) waiting(endpoint int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.rows {
		if key.endpoint == endpoint {
			n++
		}
	}
	return n
}

func (s *fakeStore) state(id carom.DeliveryID) carom.DeliveryState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.ended[id], carom.Pending)
}

func (s *fakeStore) history(id carom.DeliveryID) []carom.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts[id])
}
