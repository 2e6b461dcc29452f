package deliver

import (
	"context"
	"errors"
	"time"

	"carom"
)

// Peers is how the engines of several nodes that share a store behave as one. Holds and Share look into memory only: they are called
// under locks.
type Peers interface {
	// Holds says whether the node may act for a delivery now. An engine asks right before each attempt.
	Holds(d *carom.Delivery) carom.Hold
	// Share says how many nodes there are and which of them this one is, from 0 on; below zero while it has no share yet.
	Share() (nodes, rank int)
	// Pace reserves n consecutive turns of an endpoint's rate, which is that of all nodes together. The first may be used that long
	// from now.
	Pace(ctx context.Context, endpoint int, rate float64, n int) (first time.Duration, err error)
	// DueEndpoints returns the endpoints for which something waits that is due, whichever node put it there.
	DueEndpoints(ctx context.Context) ([]int, error)
}

// unsurePause is how long a lane waits before it asks again whether it still has what it was handed.
const unsurePause = 200 * time.Millisecond

var errNotHeld = errors.New("the node is not sure to have the delivery any more")

// hold says whether the node may act for a delivery. Without peers it always may.
func (e *Engine) hold(d *carom.Delivery) carom.Hold {
	if e.opts.Peers == nil {
		return carom.HoldSure
	}
	return e.opts.Peers.Holds(d)
}

// share is the lane's part of what the endpoint takes from all nodes: how many attempts it may have under way, and about how many a
// second it may begin; a rate of 0 is no limit. The caller holds mu and knows that the endpoint is there.
func (l *lane) share() (width int, rate float64) {
	if l.e.opts.Peers == nil {
		return l.ep.Concurrency, l.ep.Rate
	}
	nodes, rank := l.e.opts.Peers.Share()
	return shareOf(l.ep.Concurrency, l.no, nodes, rank), max(l.ep.Rate, 0) / float64(max(nodes, 1))
}

// shareOf splits an endpoint's concurrency evenly. What remains goes to other nodes for other endpoints, so that many endpoints with
// a small concurrency are spread over the nodes.
func shareOf(concurrency, endpoint, nodes, rank int) int {
	switch {
	case rank < 0:
		return 0
	case nodes <= 1:
		return concurrency
	}
	width := concurrency / nodes
	if (rank+endpoint)%nodes < concurrency%nodes {
		width++
	}
	return width
}

// dropLost forgets what belongs to others, until what is next is the node's, and says how sure that is. The caller holds mu.
func (l *lane) dropLost() carom.Hold {
	for l.queue.len()+l.ready.len() > 0 {
		from := &l.queue
		if l.nextFromDue() {
			from = &l.ready
		}
		if hold := l.e.hold(from.front()); hold != carom.HoldLost {
			return hold
		}
		l.pick()
		l.noteChange()
	}
	return carom.HoldSure
}

// How turns of a shared rate are used.
const (
	turnsAhead = 200 * time.Millisecond // how many a lane reserves at once: those of so long
	turnLapse  = 50 * time.Millisecond  // one that was not used for so long is let go of
)

// pace is what a lane has reserved of the rate that all nodes share: turns, moments at which it may begin an attempt. The lane's mu
// guards it.
//
// A turn is used at its time or up to turnLapse later, so that in any second there are at most rate × 1.05 attempts, and one.
type pace struct {
	at      []time.Time // in order
	block   int         // how many were last reserved
	asking  bool        // more are being reserved
	resting bool        // the store failed: it is left alone until the next tend
	failing bool        // it failed the last time: this has been logged
}

// mayTakeTurn says whether the first of l.pace.at may be used now. If not, the lane is woken when it may. The caller holds mu, has
// seen the engine running, and something waits for an attempt.
func (l *lane) mayTakeTurn(now time.Time) bool {
	t := &l.pace
	for len(t.at) > 0 && now.Sub(t.at[0]) > turnLapse {
		t.at = t.at[1:]
	}
	if len(t.at) <= t.block/2 {
		l.reserveTurns()
	}
	if len(t.at) == 0 {
		return false
	}
	if t.at[0].After(now) {
		l.wakeAt(now, t.at[0])
		return false
	}
	return true
}

// reserveTurns begins to reserve turns, no more than there is to send: what one node reserves and does not use, no other can. The
// caller holds mu and has seen the engine running.
func (l *lane) reserveTurns() {
	t, rate := &l.pace, l.ep.Rate
	n := min(max(1, int(rate*turnsAhead.Seconds())), l.queue.len()+l.ready.len()-len(t.at))
	if n <= 0 || t.asking || t.resting {
		return
	}
	t.asking = true
	l.e.start(func() {
		first, err := l.e.opts.Peers.Pace(l.e.claims, l.no, rate, n)
		l.mu.Lock()
		defer l.mu.Unlock()
		t.asking, t.resting = false, err != nil
		if err != nil && !t.failing && l.e.claims.Err() == nil {
			l.e.opts.Log.Warn("cannot reserve turns of an endpoint's rate, will try again", "endpoint_id", l.name(), "error", err)
		}
		t.failing = err != nil
		if err == nil && l.ep.Rate == rate {
			at := l.e.opts.Clock().Add(first)
			for i := range n {
				t.at = append(t.at, at.Add(time.Duration(float64(i)/rate*float64(time.Second))))
			}
			t.block = n
		}
		l.pump()
	})
}

// follow takes up what other nodes have done: what they left in the due table (a resend, a retry, what a dead one held), and which
// breakers they have opened or closed.
func (e *Engine) follow() {
	defer e.following.Store(false)
	due, err := e.opts.Peers.DueEndpoints(e.claims)
	if err != nil {
		e.opts.Log.Debug("cannot look for what other nodes left", "error", err)
	}
	for _, no := range due {
		if l := e.lane(no); l != nil {
			l.noteBacklog()
		}
	}
	began := e.opts.Clock()
	opened, err := e.opts.Store.Breakers(e.claims)
	if err != nil {
		e.opts.Log.Debug("cannot tell which breakers other nodes have open", "error", err)
		return
	}
	for no, l := range *e.lanes.Load() {
		l.followBreaker(began, opened[no])
	}
}

// followBreaker takes up what the store has said since began of the lane's breaker: when it was opened, zero for a closed one. Only a
// change counts that the lane has not made itself: one that differs from what it last told the store.
//
// Every node probes by a schedule of its own, so while a breaker is open there are at most as many probes under way as there are
// nodes; and it takes a second or two until all have followed the first.
func (l *lane) followBreaker(began, openedAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, open := &l.memo, !openedAt.IsZero()
	if l.removed || m.writing || !m.written.Before(began) || open == m.open || !l.e.running.Load() {
		return
	}
	m.open = open
	if l.breaker.open == open {
		return
	}
	now := l.e.opts.Clock()
	nodes, rank := l.e.opts.Peers.Share()
	l.breaker.follow(openedAt, now, firstProbe*time.Duration(max(rank, 0))/time.Duration(max(nodes, 1)), l.e.opts.Random())
	if open {
		l.e.opts.Log.Warn("endpoint does not answer another node well: no attempts but probes until it does", "endpoint_id", l.name())
		l.giveUpMemory()
	} else {
		l.e.opts.Log.Info("endpoint answers another node again", "endpoint_id", l.name())
		l.catchUp(now)
	}
	l.pump()
}
