// Package deliver makes the attempts: it takes what is owed to each endpoint, from memory or from the due table, sends it,
// and records what came of it.
//
// Each endpoint has a lane of its own, with its queue, rate, concurrency and breaker, so that one endpoint never slows
// another; what waits for a network (DNS, connect, body) holds nothing that others need. A first attempt leaves from memory
// the moment its event is committed; what a lane cannot take at once waits in the store's due table, and so does what failed.
//
// Where several nodes share a store, their engines act as one: see [Peers]. Each endpoint's concurrency is split between the nodes, its
// rate is that of all together, and a node makes no attempt for what it is not sure to have.
//
// The package promises that every delivery it is given is attempted until it is delivered, dead with a reason, or expired,
// and that a delivery's id stays the same over all of it. At least once, not exactly: see docs/decisions/0001-engine.md.
package deliver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"
)

// Store is what the engine needs of the store.
//
// What Record and Defer write may be seen by Claim, NextDue and Backlogs only a while later. They may make the caller wait
// until the store has room; the engine never calls them while it holds a lock. After an error of theirs the delivery comes
// back with the next start. Claim may return deliveries together with an error: they are claimed.
type Store interface {
	Record(d *carom.Delivery, a *carom.Attempt) error
	Defer(d *carom.Delivery, due time.Time) error
	Begin(ctx context.Context, d *carom.Delivery) error
	Claim(ctx context.Context, c carom.Claim) ([]*carom.Delivery, uint64, error)
	Release(d *carom.Delivery)
	NextDue(ctx context.Context, endpoint int, now time.Time) (time.Time, error)
	Backlogs(ctx context.Context) ([]carom.Backlog, error)
	SetBreaker(ctx context.Context, endpoint int, openedAt time.Time) error
	Breakers(ctx context.Context) (map[int]time.Time, error)
}

// Client makes HTTP exchanges, and ends those under way when it is closed; *egress.Client is one.
type Client interface {
	Do(ctx context.Context, policy egress.Policy, r egress.Request, o egress.Options) egress.Result
	Close()
}

// Watch is who watches what is sent.
type Watch interface {
	Watched() bool // whether anybody does
	Put(w carom.Watched)
}

// Options are what an engine is made of. Zero fields mean their defaults.
type Options struct {
	Store       Store
	Peers       Peers                        // nil: no other process makes attempts to the same endpoints
	Client      Client                       // closed when the engine stops
	MaxInFlight int                          // attempts under way over all lanes; 4,096
	MaxQueued   int                          // first attempts that wait in memory over all lanes; 65,536
	Grace       time.Duration                // for attempts under way when the engine stops; 10 s
	Clock       func() time.Time             // nil: the system's. With Peers it has to be one that all nodes share
	Random      func() float64               // in [0, 1); nil: math/rand
	Observe     func(Outcome, time.Duration) // told of every attempt; nil: nobody is
	Watch       Watch                        // shown every attempt; nil: nobody watches
	Log         *slog.Logger
}

// Engine runs the lanes. Make it with New, give it endpoints, and Run it. All methods are safe for concurrent use.
type Engine struct {
	opts    Options
	names   sync.Mutex                    // held while lanes is replaced
	opened  map[int]time.Time             // breakers that were open when the engine began; names guards it
	lanes   atomic.Pointer[map[int]*lane] // by endpoint number; the map itself never changes. Lanes of deleted endpoints stay
	queued  atomic.Int64                  // places for first attempts that are promised or taken, over all lanes
	gate    gate
	started atomic.Bool
	running atomic.Bool    // between the beginning of Run and its end; a lane starts something only if it sees this under its mu
	work    sync.WaitGroup // everything that was started

	knowsAll  atomic.Bool // SetEndpoints has been called: whoever is not among lanes has been deleted
	tending   atomic.Bool // tendTable runs
	following atomic.Bool // follow runs

	foundOrphans bool         // by tendTable
	strangers    map[int]bool // endpoints that were not known at the last look, though something waits for them

	claims, calls       context.Context // end when the engine stops, and when the grace is over
	endClaims, endCalls context.CancelFunc
}

// New makes an engine without lanes. It starts nothing: until Run, nothing is attempted.
func New(o Options) *Engine {
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 4096)
	o.MaxQueued = cmp.Or(o.MaxQueued, 65_536)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Observe == nil {
		o.Observe = func(Outcome, time.Duration) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{opts: o}
	e.gate.max = o.MaxInFlight
	e.claims, e.endClaims = context.WithCancel(context.Background())
	e.calls, e.endCalls = context.WithCancel(context.Background())
	e.lanes.Store(&map[int]*lane{})
	return e
}

// SetEndpoints makes the lanes follow what is configured: new endpoints get one, changed ones use their new settings from
// the next attempt on, and what waits for a deleted one ends as dead. The first call must give all endpoints: once the
// engine runs, whatever waits in the store for others ends as dead too.
func (e *Engine) SetEndpoints(endpoints []*route.Endpoint) {
	e.names.Lock()
	defer e.names.Unlock()
	lanes := maps.Clone(*e.lanes.Load())
	configured := make(map[int]bool, len(endpoints))
	for _, ep := range endpoints {
		configured[ep.No] = true
		if lanes[ep.No] == nil {
			lanes[ep.No] = newLane(e, ep.No)
		}
		lanes[ep.No].configure(ep)
	}
	e.gate.setLanes(len(endpoints))
	e.lanes.Store(&lanes)
	for no, l := range lanes {
		if !configured[no] {
			l.remove()
		}
	}
	e.knowsAll.Store(true)
}

// addLane adds a lane. The caller holds names.
func (e *Engine) addLane(l *lane) {
	lanes := maps.Clone(*e.lanes.Load())
	lanes[l.no] = l
	e.lanes.Store(&lanes)
}

func (e *Engine) lane(endpoint int) *lane { return (*e.lanes.Load())[endpoint] }

// Reserve asks for a place in memory for one first attempt. When it returns false the delivery has to begin in the due
// table. What was reserved is used by Offer or given back with Unreserve.
func (e *Engine) Reserve(endpoint int) bool {
	l := e.lane(endpoint)
	return l != nil && l.reserve()
}

// Unreserve gives a reserved place back.
func (e *Engine) Unreserve(endpoint int) {
	if l := e.lane(endpoint); l != nil { // as it was when the place was reserved: lanes stay
		l.unreserve()
	}
}

// Offer hands over the deliveries of an event that was accepted just now. It does not wait, but for the store while the
// engine stops.
func (e *Engine) Offer(s *carom.Submission) {
	for i, t := range s.Targets {
		if t.Unowed {
			continue
		}
		var reward *carom.Reward
		if t.Candidate > 0 {
			reward = s.Receipt.Decided[t.Candidate-1].Reward
		}
		l := e.lane(t.Endpoint)
		switch {
		case l == nil: // not known yet: the delivery waits in the due table, where a new lane looks first
		case t.Direct:
			l.enqueue(&carom.Delivery{
				ID: s.Receipt.ID.Delivery(i), Event: s.Event, Reward: reward, Endpoint: t.Endpoint, Ordinal: i, Since: s.Event.At, Ticket: s.Receipt.Ticket,
			})
		default:
			l.noteBacklog()
		}
	}
}

// Wake makes the endpoint's lane look at the due table at once, and probe at once if its breaker is open: a person has
// resumed it or asked for a resend.
func (e *Engine) Wake(endpoint int) {
	l := e.lane(endpoint)
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.breaker.open {
		l.breaker.probeSoon(e.opts.Clock())
	}
	l.noteChange()
	l.pump()
}

// Lanes says how each lane stands, in the order of the endpoints' numbers.
func (e *Engine) Lanes() []carom.LaneState {
	lanes := *e.lanes.Load()
	states := make([]carom.LaneState, 0, len(lanes))
	for _, no := range slices.Sorted(maps.Keys(lanes)) {
		if s, ok := lanes[no].state(); ok {
			states = append(states, s)
		}
	}
	return states
}

// InFlight is how many attempts are under way.
func (e *Engine) InFlight() int { return e.gate.total() }

// start runs f in a goroutine that Run waits for. The caller is Run, or holds the mu of a lane under which it saw the engine
// running, or was started like this itself: so nothing begins after Run has begun to wait.
func (e *Engine) start(f func()) { e.work.Go(f) }

// tendEvery is how often the engine looks after what no event triggers.
const tendEvery = time.Second

// Run makes attempts until ctx ends. Then no new ones begin; those under way get the grace period and are cancelled after
// it; what only waited in memory goes to the due table. It returns when everything it started has ended, and has closed the
// client. A store that takes no outcomes keeps it waiting until the store is closed. An engine runs once: a second call
// returns an error.
func (e *Engine) Run(ctx context.Context) error {
	if !e.started.CompareAndSwap(false, true) {
		return errors.New("run deliveries: this engine has run before; make a new one")
	}
	e.recall(ctx)
	e.running.Store(true)
	tend := time.NewTicker(tendEvery)
	defer tend.Stop()
	var tended time.Time // when tendTable was last called
	for ctx.Err() == nil {
		for _, l := range *e.lanes.Load() {
			l.tend()
		}
		now := e.opts.Clock()
		if now.Sub(tended) >= tableEvery && e.knowsAll.Load() && e.tending.CompareAndSwap(false, true) {
			tended = now
			e.start(e.tendTable)
		}
		if e.opts.Peers != nil && e.following.CompareAndSwap(false, true) {
			e.start(e.follow)
		}
		select {
		case <-tend.C:
		case <-ctx.Done():
		}
	}
	e.stop()
	return nil
}

// recall makes the lanes begin as they ended: with their breakers open, and what is due by now going out in order.
func (e *Engine) recall(ctx context.Context) {
	opened, err := e.opts.Store.Breakers(ctx)
	if err != nil && ctx.Err() == nil {
		e.opts.Log.Warn("cannot tell which breakers were open: they begin closed", "error", err)
	}
	e.names.Lock()
	defer e.names.Unlock()
	e.opened = opened
	for no, l := range *e.lanes.Load() {
		l.mu.Lock()
		l.table.releasedAt, l.table.dueOnly = e.opts.Clock(), true
		l.recallBreaker(opened[no])
		l.mu.Unlock()
	}
}

func (e *Engine) stop() {
	e.names.Lock() // no lane is added meanwhile
	e.running.Store(false)
	lanes := *e.lanes.Load()
	e.names.Unlock()
	e.endClaims()
	for _, l := range lanes {
		l.stop()
	}
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	grace := time.NewTimer(e.opts.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
	}
	e.endCalls()
	e.opts.Client.Close()
	<-done
}
