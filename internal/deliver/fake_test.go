package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	if err := cmp.Or(s.err, s.readErr, ctx.Err()); err != nil {
		return nil, c.Cursor, err
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
	return out, cursor, nil
}

// matching lists the rows that a claim selects, in its order. The caller holds mu.
func (s *fakeStore) matching(c carom.Claim) []rowKey {
	var keys []rowKey
	for key, row := range s.rows {
		switch {
		case key.endpoint != c.Endpoint:
		case c.InOrder && (key.event <= c.Cursor || !c.ScheduledBefore.IsZero() && !row.scheduled.Before(c.ScheduledBefore) ||
			!c.SinceBefore.IsZero() && !row.since.Before(c.SinceBefore)):
		case !c.InOrder && row.due.After(c.DueBy):
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

// answer is how the fake receiver behaves once.
type answer struct {
	status     int
	body       string
	retryAfter string
	took       time.Duration // longer than the timeout: it hangs
	err        error
	phase      egress.Phase
	notSent    bool
	panics     bool
}

// exchange is one request as the fake client saw it.
type exchange struct {
	at       time.Time
	endpoint string // host of the URL
	id       carom.DeliveryID
	path     string
}

// fakeClient answers by a script and keeps what it was asked.
type fakeClient struct {
	script func(x exchange) answer
	store  *fakeStore

	mu     sync.Mutex // guards all below
	log    []exchange
	now    map[string]int // under way, by host
	peaks  map[string]int
	total  int
	peak   int
	under  map[carom.DeliveryID]bool
	shut   chan struct{}
	closed bool
}

func (c *fakeClient) Do(_ context.Context, _ egress.Policy, r egress.Request, o egress.Options) egress.Result {
	u, err := url.Parse(r.URL)
	if err != nil {
		panic(err)
	}
	x := exchange{at: time.Now(), endpoint: u.Host, id: carom.DeliveryID(u.Query().Get("d")), path: u.Path}
	c.begin(x)
	defer c.end(x)
	a := c.script(x)
	if a.panics {
		panic("the script says so")
	}
	if a.took > 0 {
		select {
		case <-time.After(min(a.took, o.Timeout)):
		case <-c.shut:
			return egress.Result{Err: egress.ErrClosed, Phase: egress.PhaseCanceled, Sent: true}
		}
	}
	switch {
	case a.took > o.Timeout:
		return egress.Result{Err: errors.New("not done in time"), Phase: egress.PhaseTimeout, Sent: true}
	case a.err != nil:
		return egress.Result{Err: a.err, Phase: a.phase, Sent: !a.notSent}
	}
	return egress.Result{Status: cmp.Or(a.status, http.StatusOK), Body: []byte(a.body), RetryAfter: a.retryAfter, Sent: true}
}

func (c *fakeClient) begin(x exchange) {
	ended := c.store.state(x.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ended != carom.Pending {
		c.store.mu.Lock()
		c.store.breach("%s: attempted after it ended as %s", x.id, ended)
		c.store.mu.Unlock()
	}
	if c.under[x.id] {
		c.store.mu.Lock()
		c.store.breach("%s: attempted twice at the same time", x.id)
		c.store.mu.Unlock()
	}
	c.under[x.id] = true
	c.log = append(c.log, x)
	c.now[x.endpoint]++
	c.peaks[x.endpoint] = max(c.peaks[x.endpoint], c.now[x.endpoint])
	c.total++
	c.peak = max(c.peak, c.total)
}

func (c *fakeClient) end(x exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.under, x.id)
	c.now[x.endpoint]--
	c.total--
}

func (c *fakeClient) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.shut)
	}
}

// most is how many exchanges with a host there were at the same time; "" means all together.
func (c *fakeClient) most(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if host == "" {
		return c.peak
	}
	return c.peaks[host]
}

// seen returns the exchanges with one host so far; "" means all.
func (c *fakeClient) seen(host string) []exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []exchange
	for _, x := range c.log {
		if host == "" || x.endpoint == host {
			out = append(out, x)
		}
	}
	return out
}

// rig is an engine that runs between the fakes.
type rig struct {
	t      testing.TB
	store  *fakeStore
	client *fakeClient
	e      *Engine
	cancel context.CancelFunc
	done   chan error
	begin  time.Time
}

// endpoint compiles an endpoint whose host is "e" and its number.
func endpoint(t testing.TB, no int, change func(*carom.Endpoint)) *route.Endpoint {
	t.Helper()
	e := carom.Endpoint{No: no, App: "app", Name: "e" + strconv.Itoa(no), URL: "http://e" + strconv.Itoa(no) + ".example/?d={delivery_id}"}
	if change != nil {
		change(&e)
	}
	ep, err := route.Compile(e)
	if err != nil {
		t.Fatalf("compile endpoint %d: %v", no, err)
	}
	return ep
}

func host(no int) string { return "e" + strconv.Itoa(no) + ".example" }

// options change what a rig is made of.
type options struct {
	Options
	store     *fakeStore
	lag, slow time.Duration
	unset     bool // without a call of SetEndpoints
}

// newRig runs an engine with jitter off (random 0.5 leaves every wait as it is) until the test ends.
func newRig(t testing.TB, script func(exchange) answer, o options, endpoints ...*route.Endpoint) *rig {
	t.Helper()
	if o.store == nil {
		o.store = newFakeStore()
	}
	o.store.lag, o.store.slow = o.lag, o.slow
	client := &fakeClient{
		script: script, store: o.store, now: map[string]int{}, peaks: map[string]int{}, under: map[carom.DeliveryID]bool{}, shut: make(chan struct{}),
	}
	o.Options.Store, o.Options.Client = o.store, client
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	r := &rig{t: t, store: o.store, client: client, e: New(o.Options), done: make(chan error, 1), begin: time.Now()}
	if !o.unset {
		r.e.SetEndpoints(endpoints)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.e.Run(ctx) }()
	t.Cleanup(r.stop)
	synctest.Wait()
	return r
}

// stop ends the engine and reports every breach of a contract that it saw.
func (r *rig) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.done; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if len(r.store.breaches) > 0 {
		r.t.Errorf("breaches of contract:\n%s", strings.Join(r.store.breaches[:min(len(r.store.breaches), 10)], "\n"))
	}
	if n := r.e.queued.Load(); n != 0 {
		r.t.Errorf("%d places in memory are still counted after the end", n)
	}
	for no, l := range *r.e.lanes.Load() {
		l.mu.Lock()
		if l.queue.len()+l.ready.len()+l.inFlight+l.reserved+len(l.leaving) != 0 || l.draining || l.table.filling {
			r.t.Errorf("lane %d still holds something: queue %d, ready %d, in flight %d, reserved %d, leaving %d, draining %v, filling %v",
				no, l.queue.len(), l.ready.len(), l.inFlight, l.reserved, len(l.leaving), l.draining, l.table.filling)
		}
		l.mu.Unlock()
	}
	if n := r.e.InFlight(); n != 0 {
		r.t.Errorf("%d attempts are still counted after the end", n)
	}
}

// event accepts an event for the endpoints, as ingest does, and returns the ids of its deliveries.
func (r *rig) event(endpoints ...int) []carom.DeliveryID {
	targets := make([]carom.Target, len(endpoints))
	for i, no := range endpoints {
		targets[i] = carom.Target{Endpoint: no, Direct: r.e.Reserve(no)}
	}
	s := r.store.accept(time.Now(), targets...)
	r.e.Offer(s)
	ids := make([]carom.DeliveryID, len(endpoints))
	for i := range ids {
		ids[i] = s.Receipt.ID.Delivery(i)
	}
	return ids
}

// send accepts n events for one endpoint.
func (r *rig) send(no, n int) (ids []carom.DeliveryID) {
	for range n {
		ids = append(ids, r.event(no)...)
	}
	synctest.Wait()
	return ids
}

// backlog puts n deliveries into the due table, accepted and due a while ago, before the lane knows of them.
func (s *fakeStore) backlog(no, n int, age time.Duration) (ids []carom.DeliveryID) {
	for range n {
		sub := s.accept(time.Now().Add(-age), carom.Target{Endpoint: no})
		ids = append(ids, sub.Receipt.ID.Delivery(0))
	}
	return ids
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) lane(no int) carom.LaneState {
	r.t.Helper()
	for _, s := range r.e.Lanes() {
		if s.Endpoint == "app/e"+strconv.Itoa(no) {
			return s
		}
	}
	r.t.Fatalf("no lane for endpoint %d", no)
	return carom.LaneState{}
}

// times are the moments of the exchanges with an endpoint, since the rig began.
func (r *rig) times(no int) (out []time.Duration) {
	for _, x := range r.client.seen(host(no)) {
		out = append(out, x.at.Sub(r.begin))
	}
	return out
}

// wantStates fails the test unless every delivery is in that state.
func (r *rig) wantStates(ids []carom.DeliveryID, want carom.DeliveryState) {
	r.t.Helper()
	wrong := 0
	for i, id := range ids {
		if got := r.store.state(id); got != want {
			if wrong++; wrong <= 3 {
				r.t.Errorf("delivery %d of %d is %s, want %s", i, len(ids), got, want)
			}
		}
	}
	if wrong > 3 {
		r.t.Errorf("%d of %d deliveries are not %s", wrong, len(ids), want)
	}
}

func ok(exchange) answer { return answer{status: 200} }

func always(a answer) func(exchange) answer { return func(exchange) answer { return a } }
