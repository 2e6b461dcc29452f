package deliver

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
)

// until answers 503 before a moment since the beginning, and 200 from then on, each after took.
func until(end, took time.Duration) func(exchange) answer {
	begin := time.Now()
	return func(x exchange) answer {
		if x.at.Sub(begin) < end {
			return answer{status: http.StatusServiceUnavailable, took: took}
		}
		return answer{took: took}
	}
}

func TestOpenBreakerAllowsSingleProbesOnly(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		synctest.Test(t, func(t *testing.T) {
			o := options{Options: Options{Random: func() float64 { return random }}}
			r := newRig(t, until(time.Hour, time.Second), o, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 10 }))
			r.send(1, 30)
			r.pass(4 * time.Minute)
			var probes []time.Duration
			for _, at := range r.times(1) {
				if at > time.Second { // what began by then was under way when the tenth failed, after a second
					probes = append(probes, at)
				}
			}
			before := time.Second
			for i, wait := range []time.Duration{5, 10, 20, 40, 60} {
				want := jitter(wait*time.Second, random)
				if got := probes[i] - before; got != want {
					t.Errorf("random %v: probe %d begins %v after the last failure, want %v", random, i+1, got, want)
				}
				before = probes[i] + time.Second
			}
			if r.client.most(host(1)) != 10 {
				t.Errorf("%d attempts at the same time, want 10", r.client.most(host(1)))
			}
			if l := r.lane(1); l.Breaker != "open" || l.Queued != 0 || r.e.Reserve(1) {
				t.Errorf("lane %+v: want it open, with nothing in memory and no places to promise", l)
			}
		})
	}
}

func TestProbesDoNotMoveTheScheduleAndTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, until(time.Hour, 0), options{}, endpoint(t, 1, nil))
		ids := r.send(1, 10)
		r.pass(80 * time.Second) // probes at 5, 15, 35, 75 s
		var got []int
		for _, x := range r.client.seen("")[10:] {
			got = append(got, slices.Index(ids, x.id))
		}
		if diff := cmp.Diff([]int{0, 1, 2, 3}, got); diff != "" {
			t.Errorf("probed deliveries (-want +got):\n%s", diff)
		}
		h := r.store.history(ids[0])
		if len(h) != 2 || h[1].Flags&carom.AttemptProbe == 0 || h[1].Number != 2 {
			t.Errorf("history of a probed delivery %+v: want a second attempt, flagged as a probe", h)
		}
		_, ref, _, _ := ids[0].Place()
		r.store.mu.Lock()
		row := r.store.rows[rowKey{1, ref.Uint64(), 0}]
		r.store.mu.Unlock()
		if row.step != 1 || row.attempts != 2 {
			t.Errorf("after a first attempt and a probe the delivery is at step %d with %d attempts, want 1 and 2", row.step, row.attempts)
		}
	})
}

func TestOneDeliveryDoesNotKeepTheBreakerOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, poison := time.Now(), carom.NewDeliveryID(1, carom.Ref{Bucket: 1, Seq: 1}, 0)
		r := newRig(t, func(x exchange) answer {
			if x.id == poison || x.at.Sub(begin) < time.Second {
				return answer{status: 500}
			}
			return answer{}
		}, options{}, endpoint(t, 1, nil))
		ids := r.send(1, 12)
		r.pass(20 * time.Second) // the probe at 5 s is the oldest and fails; the one at 15 s is another
		r.wantStates(ids[1:], carom.Delivered)
		if got := r.lane(1).Breaker; got != "closed" {
			t.Errorf("the breaker is %s", got)
		}
	})
}

func TestClosedBreakerCatchesUpOldestFirstWhileNewOnesFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, 1000, time.Hour)
		r := newRig(t, until(4*time.Second, 10*time.Millisecond), options{store: store, lag: 3 * time.Millisecond, slow: 10 * time.Millisecond},
			endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 4; e.Rate = 200 }))
		r.pass(5*time.Second + 100*time.Millisecond) // ten failed, the first probe has just closed it again
		if got := r.lane(1).Breaker; got != "closed" {
			t.Fatalf("the breaker is %s", got)
		}
		begin := time.Now()
		var fresh []carom.DeliveryID
		for range 20 { // for two seconds
			fresh = append(fresh, r.send(1, 4)...)
			r.pass(100 * time.Millisecond)
		}
		r.wantStates(fresh[:len(fresh)-4], carom.Delivered)
		r.pass(10 * time.Second)
		r.wantStates(append(fresh, old...), carom.Delivered)

		newest, last := -1, begin // which of the backlog left before the moment last
		var sameTime []int
		for _, x := range r.client.seen("") {
			i := slices.Index(old, x.id)
			if i < 0 || x.at.Before(begin) {
				continue
			}
			if x.at.After(last) {
				newest, last, sameTime = max(newest, slices.Max(append(sameTime, -1))), x.at, nil
			}
			if sameTime = append(sameTime, i); i < newest {
				t.Errorf("number %d of the backlog left after number %d", i, newest)
			}
		}
		// About 1,070 attempts at 200 per second, without a pause while the next ones are claimed.
		if took := last.Sub(begin); took > 5700*time.Millisecond {
			t.Errorf("catching up took %v", took)
		}
	})
}

func TestOpenBreakerIsStillOpenAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, 200, time.Hour)
		begin := time.Now()
		r := newRig(t, until(time.Hour, 0), options{store: store}, endpoint(t, 1, nil), endpoint(t, 2, nil))
		r.pass(2 * time.Second)
		if diff := cmp.Diff(map[int]time.Time{1: begin}, store.breakers); diff != "" {
			t.Fatalf("breakers that the store remembers (-want +got):\n%s", diff)
		}
		store.fail(carom.ErrUnavailable) // what changes while the disk is full is stored later
		r.pass(time.Minute)
		r.stop()
		store.fail(nil)
		store.restart()

		r = newRig(t, until(time.Minute, 0), options{store: store}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }), endpoint(t, 2, nil))
		if l := r.lane(1); l.Breaker != "open" || !l.Since.Equal(begin) || len(r.times(1)) != 1 || r.lane(2).Breaker != "closed" {
			t.Errorf("lane %+v after %d attempts: want one probe", l, len(r.times(1)))
		}
		r.pass(3 * time.Minute)
		r.wantStates(old, carom.Delivered)
		if len(store.breakers) != 0 {
			t.Errorf("the store still remembers %v", store.breakers)
		}
		var order []int
		for _, x := range r.client.seen(host(1))[5:] { // after the probes that failed and the one that did not
			order = append(order, slices.Index(old, x.id))
		}
		if len(order) < 199 || !slices.IsSorted(order) {
			t.Errorf("left in this order: %v", order)
		}
	})
}

func TestBreakerOfADeletedEndpointIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.breakers[1], store.breakers[2] = time.Now(), time.Now()
		r := newRig(t, until(time.Hour, 0), options{store: store}, endpoint(t, 1, nil))
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 2, nil)}) // known later than Run began
		r.pass(2 * time.Second)
		if len(store.breakers) != 1 || r.lane(2).Breaker != "open" {
			t.Errorf("the store remembers %v, lane 2 is %s", store.breakers, r.lane(2).Breaker)
		}
	})
}

func TestDeadlinesRunWhileTheBreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, until(time.Hour, 0), options{}, endpoint(t, 1, func(e *carom.Endpoint) { e.Deadline = 10 * time.Minute }))
		ids := r.send(1, 100)
		r.pass(12 * time.Minute)
		r.wantStates(ids, carom.Expired)
		for _, id := range ids {
			h := r.store.history(id)
			if late := h[len(h)-1].At.Sub(r.begin) - 10*time.Minute; late != 0 { // the engine looks every minute
				t.Fatalf("expiry was recorded %v after the deadline", late)
			}
		}
		fresh := r.send(1, 1)
		r.pass(time.Minute)
		if n := len(r.store.history(fresh[0])); n == 0 {
			t.Error("the next event is not used as a probe")
		}
	})
}

func TestFirstEventAfterAQuietTimeIsTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, until(time.Minute, 0), options{}, endpoint(t, 1, func(e *carom.Endpoint) { e.Deadline = time.Minute }))
		r.send(1, 10)
		r.pass(time.Hour) // all have expired, nothing is left to probe with
		claims := r.store.tally().claims
		r.pass(time.Hour)
		if n := r.store.tally().claims - claims; n > 130 {
			t.Errorf("%d claims in an hour in which nothing happened", n)
		}
		ids := r.send(1, 5)
		r.pass(time.Second)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestWakeProbesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ill := true
		r := newRig(t, func(exchange) answer {
			if ill {
				return answer{status: 500}
			}
			return answer{}
		}, options{}, endpoint(t, 1, nil))
		ids := r.send(1, 20)
		r.pass(6 * time.Second)
		ill = false
		r.e.Wake(1)
		synctest.Wait()
		r.wantStates(ids, carom.Delivered)
	})
}

func TestChangedURLIsProbedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := func(x exchange) answer {
			if x.path == "/right" {
				return answer{}
			}
			return answer{status: 500}
		}
		r := newRig(t, script, options{}, endpoint(t, 1, nil))
		ids := r.send(1, 20)
		r.pass(6 * time.Second)
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, func(e *carom.Endpoint) { e.URL = "http://e1.example/right?d={delivery_id}" })})
		synctest.Wait()
		r.wantStates(ids, carom.Delivered)
	})
}

func TestPausingWhileCatchingUpForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, 1000, time.Hour)
		n, late := 0, map[carom.DeliveryID]bool{}
		dead := until(time.Second, 20*time.Millisecond)
		r := newRig(t, func(x exchange) answer {
			store.mu.Lock()
			defer store.mu.Unlock()
			if n++; n%50 == 0 {
				late[x.id] = true
				return answer{status: 404} // comes back later, when it is due
			}
			return dead(x)
		}, options{store: store, slow: 300 * time.Millisecond}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
		r.pass(8 * time.Second) // since 5 s it catches up
		pause := func(between time.Duration) {
			for _, paused := range []bool{true, false} {
				r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1; e.Paused = paused })})
				r.pass(between)
			}
		}
		for range 3 {
			pause(515 * time.Millisecond)
		}
		for range 3 { // while the next ones are claimed and others are ready
			for claiming := false; !claiming; r.pass(20 * time.Millisecond) {
				l := r.e.lane(1)
				l.mu.Lock()
				claiming = l.table.filling && l.ready.len() > 0
				l.mu.Unlock()
			}
			pause(time.Millisecond)
		}
		r.pass(5 * time.Minute)
		r.wantStates(old, carom.Delivered)
		newest := 0
		for _, x := range r.client.seen("") {
			i := slices.Index(old, x.id)
			if x.at.Sub(r.begin) < 6*time.Second || late[x.id] { // failures, the probe, and repeats
				continue
			}
			if i < newest {
				t.Fatalf("number %d of the backlog left after number %d", i, newest)
			}
			newest = i
		}
	})
}

func TestWhatFallsDueMeanwhileDoesNotWaitForTheCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, 3000, time.Hour)
		failed := map[carom.DeliveryID]bool{}
		r := newRig(t, func(x exchange) answer {
			store.mu.Lock()
			defer store.mu.Unlock()
			if slices.Contains(old, x.id) || failed[x.id] {
				return answer{took: 10 * time.Millisecond}
			}
			failed[x.id] = true
			return answer{status: 404}
		}, options{store: store, slow: 10 * time.Millisecond}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = 100 }))
		fresh := r.send(1, 5)
		r.pass(9 * time.Second) // the schedule says 5 s; 201 that were claimed before go first
		r.wantStates(fresh, carom.Delivered)
		r.pass(time.Minute)
		r.wantStates(old, carom.Delivered)
	})
}

func TestProbeUnderWayIsNotPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		clock := func() time.Time { calls.Add(1); return time.Now() }
		begin := time.Now()
		r := newRig(t, func(x exchange) answer {
			if x.at.Equal(begin) {
				return answer{status: 500}
			}
			return answer{took: time.Minute}
		}, options{Options: Options{Clock: clock}}, endpoint(t, 1, nil))
		r.send(1, 10)
		r.pass(6 * time.Second) // the probe began after 5 s
		calls.Store(0)
		r.pass(8 * time.Second)
		if n := calls.Load(); n > 100 {
			t.Errorf("the engine looked at the clock %d times in 8 s in which nothing happened", n)
		}
	})
}

func TestWhatWasDeferredIsTakenUpSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{took: 15 * time.Millisecond}), options{lag: 50 * time.Millisecond}, endpoint(t, 1, nil))
		settings := func(paused bool) []*route.Endpoint {
			return []*route.Endpoint{endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1; e.Paused = paused })}
		}
		r.e.SetEndpoints(settings(false))
		for i := range 100 { // at many distances from the moments at which the lane looks by itself
			r.pass(time.Duration(i) * 13 * time.Millisecond)
			ids := r.send(1, 2)
			r.e.SetEndpoints(settings(true)) // the second one has to leave memory
			r.e.SetEndpoints(settings(false))
			r.pass(2*settleTime + 30*time.Millisecond)
			r.wantStates(ids, carom.Delivered)
		}
	})
}

// What the store writes shows only after its commit. However late that is, nothing may be forgotten.
func TestLateCommitsStrandNothing(t *testing.T) {
	for _, lag := range []time.Duration{0, time.Millisecond, 90 * time.Millisecond, 150 * time.Millisecond, 3 * time.Second, 20 * time.Minute} {
		t.Run(fmt.Sprint(lag), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, until(time.Second, 100*time.Millisecond), options{lag: lag}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
				ids := r.send(1, 120)
				r.pass(time.Hour)
				r.wantStates(ids, carom.Delivered)
			})
		})
	}
}

func TestStoreErrorsNeitherLoseNorStickALane(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprintf("once=%v", once), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFakeStore()
				old := store.backlog(1, 1000, time.Minute)
				ep := func() *route.Endpoint { return endpoint(t, 1, func(e *carom.Endpoint) { e.Once = once }) }
				r := newRig(t, always(answer{took: 50 * time.Millisecond}), options{store: store, lag: time.Millisecond}, ep())
				fresh := r.send(1, 100)
				r.pass(75 * time.Millisecond)
				store.fail(carom.ErrUnavailable)
				claims := store.tally().claims
				r.pass(10 * time.Second)
				if n := store.tally().claims - claims; n > 40 {
					t.Errorf("%d claims in 10 s on a store that fails", n)
				}
				store.fail(nil)
				r.pass(time.Minute)
				r.stop()
				pending := 0
				for _, id := range append(fresh, old...) {
					if store.state(id) == carom.Pending {
						pending++
					}
				}
				if pending > 500 { // those whose outcome the store did not take, and nobody else
					t.Errorf("%d are still pending after the store recovered", pending)
				}
				if once {
					return // what had begun ends as interrupted with the next start
				}
				store.restart()
				again := newRig(t, ok, options{store: store}, ep())
				again.pass(time.Second)
				again.wantStates(append(fresh, old...), carom.Delivered)
			})
		})
	}
}

func TestDeadBacklogOfManyCostsNoMemoryAndNoScans(t *testing.T) {
	const n = 8000 // the fake's claims are slow; the engine's part does not depend on it
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, n, time.Hour)
		back := 5 * time.Minute
		dead := until(back, 0)
		r := newRig(t, func(x exchange) answer {
			if x.endpoint == host(2) {
				return answer{}
			}
			return dead(x)
		}, options{store: store}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = 2000 }), endpoint(t, 2, nil))
		r.pass(back - time.Second)
		if held := store.tally().held; held > 1 {
			t.Errorf("%d deliveries are held while the breaker is open", held)
		}
		if store.tally().scans > 1 || store.tally().claims > 40 {
			t.Errorf("%d scans of the whole table and %d claims in 5 min with the breaker open", store.tally().scans, store.tally().claims)
		}
		healthy := r.send(2, 10)
		r.wantStates(healthy, carom.Delivered)
		for r.lane(1).Breaker == "open" {
			r.pass(100 * time.Millisecond)
		}
		r.pass(n/2000*time.Second + 100*time.Millisecond)
		r.wantStates(old, carom.Delivered)
	})
}
