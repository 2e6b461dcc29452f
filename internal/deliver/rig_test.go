package deliver

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"carom"
	"carom/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
