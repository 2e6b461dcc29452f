package deliver

import (
	"math"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"carom"
	"carom/internal/route"
)

// First attempts wait in a lane's memory only as long as it takes to send them. They hold back the store's low-water mark,
// so there are few of them, and none waits for long before it goes to the due table.
const (
	queueBase = 1024 // how many, beyond the lane's concurrency
	queueAge  = 5 * time.Second
)

// lane is one endpoint's way out. It lives as long as the engine, also when its endpoint is deleted.
//
// At any time it runs at most as many workers as its width allows, one fill (or burial), one drain and one that reserves turns.
type lane struct {
	e  *Engine
	no int

	claiming      chan struct{} // capacity 1, full during a claim for this endpoint: only one may run at a time
	waits, hungry bool          // guarded by the gate: it waits there for a turn, holding less than its share

	mu       sync.Mutex      // guards all below; nothing is waited for under it
	ep       *route.Endpoint // the last one known; nil when its endpoint was deleted before this engine began
	limiter  *rate.Limiter   // nil: no limit, or one that is shared with other nodes
	pace     pace            // of a limit that is shared
	breaker  breaker
	memo     memo
	removed  bool // its endpoint is deleted, or not known yet
	queue    fifo // first attempts, in memory only
	reserved int  // places promised in queue
	ready    fifo // claimed from the due table
	inFlight int
	fromDue  bool  // the last attempt came from ready: the next comes from queue if both wait
	wake     alarm // pumps when the rate allows or a probe is due

	leaving  []*carom.Delivery // on their way out of memory
	draining bool              // a drain runs

	table table // what the lane knows of its part of the due table

	lastFailure string
	lastFailed  time.Time
	lastSuccess time.Time
}

// newLane makes a lane without an endpoint: as long as it has none, what waits for it is ended. The caller holds e.names.
func newLane(e *Engine, no int) *lane {
	l := &lane{e: e, no: no, removed: true, claiming: make(chan struct{}, 1), table: table{backlog: true, patience: firstLook}}
	l.breaker.since = e.opts.Clock()
	l.recallBreaker(e.opened[no])
	return l
}

// configure takes up new settings.
func (l *lane) configure(ep *route.Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.ep
	l.ep, l.removed = ep, false
	switch {
	case ep.Rate <= 0 || l.e.opts.Peers != nil:
		l.limiter = nil
	case old == nil || old.Rate != ep.Rate:
		// A burst of a twentieth of a second keeps any sliding second within 105 % of the rate.
		l.limiter = rate.NewLimiter(rate.Limit(ep.Rate), max(1, int(ep.Rate/20)))
	}
	if old != nil && old.Rate != ep.Rate {
		l.pace.at = nil
	}
	if old != nil && old.Deadline != ep.Deadline {
		l.table.expiryAt = time.Time{}
	}
	if l.breaker.open && old != nil && old.URL != ep.URL {
		l.breaker.probeSoon(l.e.opts.Clock())
	}
	if ep.Paused {
		l.giveUpMemory()
	}
	l.pump()
}

// remove ends the lane: nothing new begins, and what waits ends as dead.
func (l *lane) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return
	}
	l.removed = true
	l.giveUpMemory()
	l.noteChange()
	l.pump()
}

// stop gives up what the lane holds in memory. The engine has stopped running: nothing else begins.
func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake.stop()
	l.table.lookAt.stop()
	l.giveUpMemory()
}

// shut says whether no attempts may begin at all. The caller holds mu.
func (l *lane) shut() bool { return l.removed || l.ep.Paused || !l.e.running.Load() }

// reserve promises a place in the queue.
func (l *lane) reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut() || l.breaker.open {
		return false
	}
	width, rate := l.share()
	if width == 0 {
		return false
	}
	limit := width + queueBase
	if rate > 0 {
		limit = min(limit, width+int(2*rate))
	}
	if l.reserved+l.queue.len() >= limit {
		return false
	}
	if l.e.queued.Add(1) > int64(l.e.opts.MaxQueued) {
		l.e.queued.Add(-1)
		return false
	}
	l.reserved++
	return true
}

func (l *lane) unreserve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved--
	l.e.queued.Add(-1)
}

// enqueue takes a delivery whose place was reserved.
func (l *lane) enqueue(d *carom.Delivery) {
	l.mu.Lock()
	l.reserved--
	if !l.e.running.Load() {
		l.mu.Unlock()
		l.e.queued.Add(-1)
		l.leave(d, false)
		return
	}
	l.queue.push(d)
	if l.shut() || l.breaker.open {
		l.emptyQueue()
	} else {
		l.pump()
	}
	l.mu.Unlock()
}

// giveUpMemory sends back everything that waits in memory for an attempt. The caller holds mu.
func (l *lane) giveUpMemory() {
	l.emptyQueue()
	l.giveBack()
}

// giveBack releases what was claimed and not attempted. The caller holds mu.
func (l *lane) giveBack() {
	for l.ready.len() > 0 {
		if d := l.ready.pop(); l.e.hold(d) != carom.HoldLost {
			l.e.opts.Store.Release(d)
		}
		l.table.backlog = true
		l.table.cursor = 0 // what is given back may lie before it
	}
}

// emptyQueue sends the whole queue on its way out of memory. The caller holds mu.
func (l *lane) emptyQueue() {
	queued := l.queue.takeAll()
	l.e.queued.Add(-int64(len(queued)))
	l.sendAway(queued...)
}

// sendAway sees to it that deliveries which live in memory leave it: to the due table, or to their end when the endpoint is
// deleted. The store may make that wait, so a goroutine does it. The caller holds mu; the engine runs or is about to wait
// for what was started.
func (l *lane) sendAway(deliveries ...*carom.Delivery) {
	l.leaving = append(l.leaving, deliveries...)
	if len(l.leaving) > 0 && !l.draining {
		l.draining = true
		l.e.start(l.drain)
	}
}

func (l *lane) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.leaving) > 0 {
		leaving, removed := l.leaving, l.removed
		l.leaving = nil
		l.mu.Unlock()
		for _, d := range leaving {
			l.leave(d, removed)
		}
		l.mu.Lock()
		now := l.e.opts.Clock()
		l.noteWrite(now, now)
	}
	l.draining = false
}

// leave moves one delivery that lives in memory out of it. The caller does not hold mu.
func (l *lane) leave(d *carom.Delivery, removed bool) {
	if l.e.hold(d) == carom.HoldLost {
		return
	}
	if removed {
		l.e.end(d, carom.Dead, reasonDeleted)
		return
	}
	if err := l.e.opts.Store.Defer(d, l.e.opts.Clock()); err != nil {
		l.e.opts.Log.Debug("delivery not deferred; the next start takes it up again", "delivery_id", d.ID, "error", err)
	}
}

// tend looks after what no event triggers. The engine calls it every second.
func (l *lane) tend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.e.opts.Clock()
	for l.queue.len() > 0 && now.Sub(l.queue.front().Since) > queueAge {
		l.e.queued.Add(-1)
		l.sendAway(l.queue.pop())
	}
	l.table.resting, l.pace.resting = false, false
	if at := l.table.lookAt.at; !at.IsZero() && now.Sub(at) >= tendEvery {
		l.noteChange() // the clock was set forward: the alarm rings too late
	}
	l.rememberBreaker()
	l.pump()
}

// pump begins as many attempts as the lane's limits allow, and whatever else is to be done. The caller holds mu.
func (l *lane) pump() {
	if l.removed {
		l.buryIfNeeded()
		return
	}
	for now := l.e.opts.Clock(); ; {
		t, ok := l.next(now)
		if !ok {
			return
		}
		l.e.work.Add(1)
		go l.work(t)
	}
}

// turn is an attempt to make, with the settings to make it by.
type turn struct {
	d     *carom.Delivery
	ep    *route.Endpoint
	probe bool // the breaker is open
}

// next picks the delivery to attempt now and takes its places; ok is false when none may begin. The caller holds mu.
func (l *lane) next(now time.Time) (t turn, ok bool) {
	if l.shut() {
		return turn{}, false
	}
	width, _ := l.share()
	if width == 0 {
		l.giveUpMemory()
	}
	if l.inFlight >= width {
		return turn{}, false
	}
	probe := l.breaker.open
	if probe && !l.breaker.mayProbe(now) {
		if !l.breaker.probing {
			l.wakeAt(now, l.breaker.probeAt)
		}
		return turn{}, false
	}
	hold := l.dropLost()
	l.fillIfNeeded(probe)
	if l.queue.len() == 0 && l.ready.len() == 0 {
		return turn{}, false
	}
	if hold == carom.HoldUnsure {
		l.wakeAt(now, now.Add(unsurePause))
		return turn{}, false
	}
	if l.limiter != nil {
		if lack := 1 - l.limiter.TokensAt(now); lack > 0 {
			l.wakeAt(now, now.Add(time.Duration(math.Ceil(lack/l.ep.Rate*float64(time.Second)))))
			return turn{}, false
		}
	}
	paced := l.ep.Rate > 0 && l.e.opts.Peers != nil
	if paced && !l.mayTakeTurn(now) {
		return turn{}, false
	}
	if !l.e.gate.enter(l, l.inFlight) {
		return turn{}, false
	}
	if l.limiter != nil {
		l.limiter.AllowN(now, 1)
	}
	if paced {
		l.pace.at = l.pace.at[1:]
	}
	l.inFlight++
	if probe {
		l.breaker.probing = true
	}
	return turn{d: l.pick(), ep: l.ep, probe: probe}, true
}

// pick alternates between new work and backlog when both wait. The caller holds mu and knows that one does.
func (l *lane) pick() *carom.Delivery {
	l.fromDue = l.nextFromDue()
	if l.fromDue {
		return l.ready.pop()
	}
	l.e.queued.Add(-1)
	return l.queue.pop()
}

func (l *lane) nextFromDue() bool { return l.ready.len() > 0 && (l.queue.len() == 0 || !l.fromDue) }

// minWait keeps a lane with a high rate from being woken for each token.
const minWait = time.Millisecond

// wakeAt pumps the lane at a moment. The caller holds mu.
func (l *lane) wakeAt(now, at time.Time) {
	l.wake.set(at, max(at.Sub(now), minWait), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wake.at = time.Time{}
		l.pump()
	})
}

// name is the endpoint's, for the log. The caller holds mu.
func (l *lane) name() string {
	if l.ep == nil {
		return "#" + strconv.Itoa(l.no)
	}
	return l.ep.ID()
}

// state describes the lane for people and metrics; ok is false when its endpoint is deleted.
func (l *lane) state() (s carom.LaneState, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.removed {
		return carom.LaneState{}, false
	}
	s = carom.LaneState{
		Endpoint: l.ep.ID(), Paused: l.ep.Paused, Breaker: "closed", Since: l.breaker.since, InFlight: l.inFlight,
		Queued: l.queue.len() + l.ready.len(), LastFailure: l.lastFailure, LastFailed: l.lastFailed, LastSuccess: l.lastSuccess,
	}
	if l.breaker.open {
		s.Breaker, s.NextProbe = "open", l.breaker.probeAt
	}
	return s, true
}
