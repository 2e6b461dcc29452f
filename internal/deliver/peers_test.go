package deliver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
)

// fakePeers is one node's view of the others.
type fakePeers struct {
	pace *fakePace

	mu          sync.Mutex // guards all below
	nodes, rank int
	hold        func(*carom.Delivery) carom.Hold // nil: all is held for sure
	due         func() []int                     // nil: none is
}

func alone() *fakePeers { return &fakePeers{pace: &fakePace{}, nodes: 1} }

func (p *fakePeers) set(nodes, rank int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes, p.rank = nodes, rank
}

func (p *fakePeers) holdAs(hold func(*carom.Delivery) carom.Hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = hold
}

func (p *fakePeers) Holds(d *carom.Delivery) carom.Hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold == nil {
		return carom.HoldSure
	}
	return p.hold(d)
}

func (p *fakePeers) Share() (nodes, rank int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nodes, p.rank
}

func (p *fakePeers) Pace(ctx context.Context, endpoint int, rate float64, n int) (time.Duration, error) {
	return p.pace.take(ctx, endpoint, rate, n)
}

func (p *fakePeers) DueEndpoints(context.Context) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due == nil {
		return nil, nil
	}
	return p.due(), nil
}

// fakePace gives out the turns of all nodes.
type fakePace struct {
	took time.Duration // what asking takes, half of it before the turns are given out

	mu    sync.Mutex // guards all below
	err   error
	next  map[int]time.Time
	asked int
	turns int // given out
}

func (p *fakePace) take(ctx context.Context, endpoint int, rate float64, n int) (time.Duration, error) {
	if p.took > 0 {
		<-time.After(p.took / 2)
		defer func() { <-time.After(p.took / 2) }()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.err != nil || ctx.Err() != nil {
		return 0, p.err
	}
	if p.next == nil {
		p.next = map[int]time.Time{}
	}
	now := time.Now()
	first := now
	if p.next[endpoint].After(now) {
		first = p.next[endpoint]
	}
	p.next[endpoint] = first.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	p.turns += n
	return first.Sub(now), nil
}

func (p *fakePace) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func TestSharesAddUpToTheConcurrency(t *testing.T) {
	for _, concurrency := range []int{1, 2, 3, 5, 16} {
		for nodes := 1; nodes <= 7; nodes++ {
			held := make([]int, nodes) // places of a node over all endpoints
			for endpoint := range nodes * 3 {
				sum := 0
				for rank := range nodes {
					width := shareOf(concurrency, endpoint, nodes, rank)
					sum += width
					held[rank] += width
				}
				if sum != concurrency {
					t.Errorf("concurrency %d of endpoint %d is %d over %d nodes", concurrency, endpoint, sum, nodes)
				}
			}
			if slices.Min(held) != slices.Max(held) {
				t.Errorf("concurrency %d of many endpoints is spread as %v", concurrency, held)
			}
		}
	}
	if got := shareOf(10, 1, 3, -1); got != 0 {
		t.Errorf("a node without a rank has a share of %d", got)
	}
}

func TestConcurrencyIsSharedBetweenNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		store := newFakeStore()
		ids := store.backlog(1, 100, time.Minute)
		r := newRig(t, always(answer{took: time.Second}), options{store: store, Options: Options{Peers: peers}},
			endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 7 }))
		for _, step := range []struct{ nodes, rank, want int }{{1, 0, 7}, {2, 0, 3}, {2, 1, 4}, {3, 0, 2}, {3, 2, 3}, {1, 0, 7}} {
			peers.set(step.nodes, step.rank)
			r.pass(1500 * time.Millisecond) // what was under way ends
			if got := r.lane(1).InFlight; got != step.want {
				t.Errorf("%d attempts at the same time at rank %d of %d, want %d", got, step.rank, step.nodes, step.want)
			}
		}
		r.pass(20 * time.Second)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestNodeWithoutAShareLeavesTheEndpointToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		store := newFakeStore()
		old := store.backlog(1, 20, time.Minute)
		r := newRig(t, always(answer{took: 2 * time.Second}), options{store: store, Options: Options{Peers: peers}},
			endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
		ids := r.send(1, 5)
		peers.set(2, 0) // the other one has endpoint 1's only place
		if r.e.Reserve(1) {
			t.Error("a place was promised without a share")
		}
		r.pass(3 * time.Second)
		if got := store.tally(); len(r.times(1)) != 1 || got.memory != 0 || got.held != 0 {
			t.Errorf("%d attempts, %+v; want the one that was under way, and nothing in memory or claimed", len(r.times(1)), got)
		}
		claims := store.tally().claims
		peers.mu.Lock()
		peers.due = func() []int { return []int{1} }
		peers.mu.Unlock()
		r.pass(time.Minute)
		if got := store.tally().claims; got != claims {
			t.Errorf("%d claims without a share", got-claims)
		}
		peers.set(1, 0)
		r.pass(time.Minute)
		r.wantStates(append(ids, old...), carom.Delivered)
	})
}

func TestNothingBeginsWhileTheLeaseIsInDoubt(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprintf("once=%v", once), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peers := alone()
				store := newFakeStore()
				ids := store.backlog(1, 20, time.Minute)
				r := newRig(t, always(answer{took: time.Second}), options{store: store, Options: Options{Peers: peers}},
					endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 2; e.Once = once }))
				ids = append(ids, r.send(1, 4)...)
				peers.holdAs(func(*carom.Delivery) carom.Hold { return carom.HoldUnsure })
				r.pass(time.Minute)
				if got := len(r.times(1)); got != 2 {
					t.Errorf("%d attempts began, want the two that began before", got)
				}
				peers.holdAs(nil)
				r.pass(time.Minute)
				r.wantStates(ids, carom.Delivered)
			})
		})
	}
}

func TestWhatWasLostIsForgotten(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*carom.Endpoint)
	}{
		{"when its turn comes", func(e *carom.Endpoint) { e.Concurrency = 4 }},
		{"when the lane gives up what it has in memory", func(e *carom.Endpoint) { e.Concurrency, e.Paused = 2, true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { forgetLost(t, tt.change) })
		})
	}
}

func forgetLost(t *testing.T, change func(*carom.Endpoint)) {
	peers := alone()
	store := newFakeStore()
	old := store.backlog(1, 300, time.Minute)
	first := func(e *carom.Endpoint) { e.Concurrency = 2 }
	r := newRig(t, always(answer{took: time.Second}), options{store: store, Options: Options{Peers: peers}}, endpoint(t, 1, first))
	queued := r.send(1, 10)

	// Others have it all, as after a restart; the node's lease is a new one.
	lost := map[carom.DeliveryID]bool{}
	for _, id := range append(slices.Clone(old), queued...) {
		lost[id] = true
	}
	peers.holdAs(func(d *carom.Delivery) carom.Hold {
		if lost[d.ID] {
			return carom.HoldLost
		}
		return carom.HoldSure
	})
	store.mu.Lock()
	clear(store.memory)
	clear(store.claimed)
	clear(store.rows)
	under := slices.Clone(r.client.seen(host(1)))
	for _, x := range under { // their outcomes are for the store to ignore
		_, ref, _, err := x.id.Place()
		if err != nil {
			t.Fatal(err)
		}
		store.memory[rowKey{1, ref.Uint64(), 0}] = true
	}
	store.mu.Unlock()
	fresh := r.send(1, 3)
	for _, change := range []func(*carom.Endpoint){change, first} {
		r.pass(500 * time.Millisecond)
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, change)})
	}
	r.pass(20 * time.Second)
	r.wantStates(fresh, carom.Delivered)
	if got := len(r.client.seen(host(1))); got != len(under)+3 {
		t.Errorf("%d attempts, want the %d that were under way and 3", got, len(under))
	}
	for _, id := range append(old, queued...) {
		if h := store.history(id); len(h) > 0 && !slices.ContainsFunc(under, func(x exchange) bool { return x.id == id }) {
			t.Fatalf("an outcome of what was lost was recorded: %+v", h)
		}
	}
}

func TestLostWhileItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		store := newFakeStore()
		r := newRig(t, ok, options{store: store, Options: Options{Peers: peers}}, endpoint(t, 1, func(e *carom.Endpoint) { e.Once = true }))
		peers.holdAs(func(d *carom.Delivery) carom.Hold { // until it has begun
			store.mu.Lock()
			defer store.mu.Unlock()
			if store.rows[keyOf(d)].sending {
				return carom.HoldLost
			}
			return carom.HoldSure
		})
		r.send(1, 3)
		r.pass(time.Minute)
		if got := len(r.times(1)); got != 0 {
			t.Errorf("%d were sent after they were lost", got)
		}
	})
}

// most is how many of the moments lie within one second, at most.
func most(times []time.Duration) (n int) {
	slices.Sort(times)
	first := 0
	for i, at := range times {
		for at-times[first] >= time.Second {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}

func TestRateIsSharedBetweenNodes(t *testing.T) {
	for _, tt := range []struct {
		rate float64
		most int
	}{{0.5, 1}, {1, 1}, {3, 3}, {10, 10}, {100, 105}, {1000, 1050}} {
		t.Run(fmt.Sprint(tt.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pace := &fakePace{took: 4 * time.Millisecond}
				var rigs []*rig
				for rank := range 3 {
					store := newFakeStore()
					store.backlog(1, int(10*tt.rate)+20, time.Minute)
					o := options{store: store, lag: 5 * time.Millisecond, slow: 3 * time.Millisecond, Options: Options{Peers: &fakePeers{pace: pace, nodes: 3, rank: rank}}}
					rigs = append(rigs, newRig(t, always(answer{took: 20 * time.Millisecond}), o, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = tt.rate })))
				}
				begin := time.Now()
				rigs[0].pass(10 * time.Second)
				var times []time.Duration
				for _, r := range rigs {
					for _, x := range r.client.seen(host(1)) {
						times = append(times, x.at.Sub(begin))
					}
				}
				if got := most(times); got > tt.most+1 {
					t.Errorf("%d attempts within a second, want at most %d", got, tt.most+1)
				}
				if got := float64(len(times)); got < 0.98*10*tt.rate-1 {
					t.Errorf("%v attempts in 10 s, want about %v", got, 10*tt.rate)
				}
			})
		})
	}
}

func TestTurnsAreNotReservedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		r := newRig(t, ok, options{Options: Options{Peers: peers}}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = 1000 }))
		for range 20 {
			r.send(1, 2)
			r.pass(time.Second)
		}
		if got := len(r.times(1)); got != 40 {
			t.Errorf("%d attempts, want 40", got)
		}
		if peers.pace.turns > 44 {
			t.Errorf("%d turns were reserved for 40 attempts", peers.pace.turns)
		}
	})
}

func TestTurnsThatPassedAreLetGoOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		r := newRig(t, ok, options{Options: Options{Peers: peers}}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = 10 }))
		ids := r.send(1, 20)
		r.pass(250 * time.Millisecond)
		peers.holdAs(func(*carom.Delivery) carom.Hold { return carom.HoldUnsure })
		r.pass(3 * time.Second)
		before := len(r.times(1))
		peers.holdAs(nil)
		r.pass(time.Second)
		if got := len(r.times(1)) - before; got < 7 || got > 11 {
			t.Errorf("%d attempts in the second after a pause, want about 10: turns that passed are not made up for", got)
		}
		r.pass(time.Minute)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestTurnsThatCannotBeReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		peers.pace.fail(carom.ErrUnavailable)
		r := newRig(t, ok, options{Options: Options{Peers: peers}}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = 10 }))
		ids := r.send(1, 5)
		r.pass(10 * time.Second)
		if got := peers.pace.asked; len(r.times(1)) != 0 || got < 5 || got > 15 {
			t.Errorf("%d attempts, asked %d times in 10 s; want none, and once a second", len(r.times(1)), got)
		}
		peers.pace.fail(nil)
		r.pass(10 * time.Second)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestWhatOthersPutIntoTheDueTableIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := alone()
		store := newFakeStore()
		r := newRig(t, ok, options{store: store, Options: Options{Peers: peers}}, endpoint(t, 1, nil))
		r.pass(time.Hour) // the lane looks once a minute by itself
		ids := store.backlog(1, 5, 0)
		peers.mu.Lock()
		peers.due = func() []int {
			if store.waiting(1) > 0 {
				return []int{1, 77} // one that is not known here yet
			}
			return nil
		}
		peers.mu.Unlock()
		r.pass(1100 * time.Millisecond)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestEndpointsThatAreNotKnownYetAreNotBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		recent, deleted := store.backlog(1, 3, time.Second), store.backlog(2, 3, time.Hour)
		r := newRig(t, ok, options{store: store, Options: Options{Peers: alone()}}) // another node knows of 1 already
		r.pass(2 * time.Second)
		r.wantStates(append(recent, deleted...), carom.Pending)
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, nil)})
		r.pass(2 * time.Minute)
		r.wantStates(recent, carom.Delivered)
		r.wantStates(deleted, carom.Dead)
	})
}

func TestBreakersFollowOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peers := &fakePeers{pace: &fakePace{}, nodes: 2, rank: 1}
		store := newFakeStore()
		r := newRig(t, until(time.Minute, 0), options{store: store, Options: Options{Peers: peers}}, endpoint(t, 1, nil))
		r.pass(1500 * time.Millisecond)
		opened := time.Now()
		if err := store.SetBreaker(t.Context(), 1, opened); err != nil { // by another node
			t.Fatal(err)
		}
		ids := r.store.backlog(1, 50, time.Minute)
		r.pass(time.Second)
		if l := r.lane(1); l.Breaker != "open" || !l.Since.Equal(opened) || r.e.Reserve(1) {
			t.Errorf("lane %+v: want it open since %v", l, opened)
		}
		r.pass(6900 * time.Millisecond)
		if got := len(r.times(1)); got != 0 {
			t.Errorf("%d attempts, want none before its own first probe: 5 s, and half of that by its rank", got)
		}
		r.pass(200 * time.Millisecond)
		if got := len(r.times(1)); got != 1 {
			t.Errorf("%d attempts, want one probe", got)
		}
		if err := store.SetBreaker(t.Context(), 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.pass(2 * time.Second)
		if l := r.lane(1); l.Breaker != "open" || len(r.times(1)) < 11 || len(store.breakers) != 1 {
			t.Errorf("lane %+v after %d attempts, the store remembers %v: want it closed by the other node, and opened again by ten failures", l, len(r.times(1)), store.breakers)
		}
		r.pass(5 * time.Minute) // it is well after a minute
		r.wantStates(ids, carom.Delivered)
		if l := r.lane(1); l.Breaker != "closed" || len(store.breakers) != 0 {
			t.Errorf("lane %+v, the store remembers %v: want it closed", l, store.breakers)
		}
	})
}

// What a lane has changed itself and not told the store yet is not undone by what the store said before.
func TestBreakersOwnChangesStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		r := newRig(t, until(4*time.Second, 0), options{store: store, Options: Options{Peers: alone()}}, endpoint(t, 1, nil))
		ids := r.send(1, 30)
		var states []string
		for range 100 {
			r.pass(100 * time.Millisecond)
			if s := r.lane(1).Breaker; len(states) == 0 || states[len(states)-1] != s {
				states = append(states, s)
			}
		}
		if diff := cmp.Diff([]string{"open", "closed"}, states); diff != "" {
			t.Errorf("states of the breaker (-want +got):\n%s", diff)
		}
		r.wantStates(ids, carom.Delivered)
	})
}

// What was asked before the lane told the store of its breaker says nothing.
func TestOldNewsOfABreakerIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, until(time.Hour, 0), options{Options: Options{Peers: alone()}}, endpoint(t, 1, nil))
		r.send(1, 30)
		r.pass(1500 * time.Millisecond) // told after a second
		r.e.lane(1).followBreaker(r.begin.Add(900*time.Millisecond), time.Time{})
		if got := r.lane(1).Breaker; got != "open" {
			t.Errorf("the breaker is %s by what was known before it opened", got)
		}
		r.e.lane(1).followBreaker(time.Now(), time.Time{})
		synctest.Wait()
		if l := r.lane(1); l.Breaker == "open" && l.Since.Equal(r.begin) {
			t.Error("the breaker stays open though another node has closed it")
		}
	})
}

func TestProbeThatEndsAfterAnotherNodeClosedTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		begin := time.Now()
		r := newRig(t, func(x exchange) answer {
			if at := x.at.Sub(begin); at > 5*time.Second && at < 9*time.Second {
				return answer{status: 503, took: 3 * time.Second}
			}
			return answer{}
		}, options{store: store, Options: Options{Peers: alone()}}, endpoint(t, 1, nil))
		r.pass(500 * time.Millisecond)
		if err := store.SetBreaker(t.Context(), 1, time.Now()); err != nil {
			t.Fatal(err)
		}
		ids := store.backlog(1, 3, time.Minute)
		r.pass(6 * time.Second) // the probe is under way
		if err := store.SetBreaker(t.Context(), 1, time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.pass(5 * time.Second)
		if l := r.lane(1); l.Breaker != "closed" {
			t.Errorf("the breaker is %s, want it closed as the other node says", l.Breaker)
		}
		r.pass(time.Minute)
		r.wantStates(ids, carom.Delivered)
	})
}

// TestStressWithPeers is TestStress while nodes come and go and the lease is in doubt now and then.
func TestStressWithPeers(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 2))
				peers := alone()
				stress(t, seed, peers, func() {
					switch rnd.IntN(20) {
					case 0:
						nodes := 1 + rnd.IntN(4)
						peers.set(nodes, rnd.IntN(nodes+1)-1)
					case 1:
						peers.holdAs(func(*carom.Delivery) carom.Hold { return carom.HoldUnsure })
					case 2, 3, 4:
						peers.holdAs(nil)
					}
				})
			})
		})
	}
}
