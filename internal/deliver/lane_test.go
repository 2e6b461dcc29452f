package deliver

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"
)

func TestFirstAttemptLeavesAtOnceFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ok, options{}, endpoint(t, 1, nil))
		claims := r.store.tally().claims
		ids := r.send(1, 1)
		if diff := cmp.Diff([]time.Duration{0}, r.times(1)); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		r.wantStates(ids, carom.Delivered)
		if r.store.tally().claims != claims {
			t.Errorf("the due table was asked %d times for a delivery that lives in memory", r.store.tally().claims-claims)
		}
	})
}

func TestRetriesFollowTheScheduleAndExpireAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{status: 404}), options{lag: 10 * time.Millisecond},
			endpoint(t, 1, func(e *carom.Endpoint) { e.Deadline = 10 * time.Minute }))
		ids := r.send(1, 1)
		r.pass(11 * time.Minute)
		want := []time.Duration{0, 5 * time.Second, 35 * time.Second, 155 * time.Second}
		if diff := cmp.Diff(want, r.times(1)); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		history := r.store.history(ids[0])
		last := history[len(history)-1]
		if last.State != carom.Expired || !last.At.Equal(r.begin.Add(10*time.Minute)) || last.Reason != reasonExpired {
			t.Errorf("ended as %s at %v (%s), want expired at exactly 10m", last.State, last.At.Sub(r.begin), last.Reason)
		}
		if len(history) != 5 || history[1].Number != 2 || history[0].Flags != carom.AttemptClientError {
			t.Errorf("history %+v: want four flagged attempts and the end", history)
		}
	})
}

func TestRetryAfterOnlyLengthens(t *testing.T) {
	for _, tt := range []struct {
		name, after string
		want        time.Duration
	}{{"longer than the schedule", "90", 90 * time.Second}, {"shorter", "1", 5 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, always(answer{status: 429, retryAfter: tt.after}), options{}, endpoint(t, 1, nil))
				r.send(1, 1)
				r.pass(100 * time.Second)
				if got := r.times(1)[1]; got != tt.want {
					t.Errorf("second attempt after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestRetriesCountFromTheEndOfTheAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{took: time.Minute}), options{}, endpoint(t, 1, nil))
		r.send(1, 1)
		r.pass(16 * time.Second)
		if diff := cmp.Diff([]time.Duration{0, 15 * time.Second}, r.times(1)); diff != "" {
			t.Errorf("attempts, each timing out after 10 s (-want +got):\n%s", diff)
		}
	})
}

func TestQueueOverflowGoesToTheDueTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{took: time.Second}), options{}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 2; e.Rate = 10 }))
		ids := r.send(1, 100)
		if got := r.store.waiting(1); got != 100-1-22 { // one under way by the rate, 2+2*10 in the queue
			t.Errorf("%d begin in the due table, want 77", got)
		}
		r.pass(5 * time.Minute)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestPlacesInMemoryAreBoundedOverAllLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{took: time.Second}), options{Options: Options{MaxQueued: 5}}, endpoint(t, 1, nil), endpoint(t, 2, nil))
		var got []bool
		for i := range 6 {
			got = append(got, r.e.Reserve(1+i%2))
		}
		r.e.Unreserve(1)
		got = append(got, r.e.Reserve(2))
		if diff := cmp.Diff([]bool{true, true, true, true, true, false, true}, got); diff != "" {
			t.Errorf("Reserve (-want +got):\n%s", diff)
		}
		for range 2 {
			r.e.Unreserve(1)
		}
		for range 3 {
			r.e.Unreserve(2)
		}
		if r.e.Reserve(7) {
			t.Error("a place was promised for an endpoint that nobody knows")
		}
	})
}

func TestWhatWaitsTooLongInMemoryGoesToTheDueTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, always(answer{took: 9 * time.Second}), options{lag: 5 * time.Millisecond, slow: time.Millisecond}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
		ids := r.send(1, 4)
		r.pass(5 * time.Second)
		if l := r.lane(1); l.Queued != 3 {
			t.Errorf("%d wait in memory after 5 s, want 3", l.Queued)
		}
		r.pass(2 * time.Second)
		if got := r.store.waiting(1); got != 3 {
			t.Errorf("%d wait in the due table after 7 s, want 3", got)
		}
		r.pass(time.Minute)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestNewWorkAndBacklogAlternate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		old := store.backlog(1, 10, time.Hour)
		r := newRig(t, always(answer{took: time.Second / 2}), options{store: store}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
		fresh := r.send(1, 4)
		r.pass(time.Minute)
		r.wantStates(append(fresh, old...), carom.Delivered)
		var got []int // -n: the nth of the backlog; n: of the new ones
		for _, x := range r.client.seen("") {
			if i := slices.Index(old, x.id); i >= 0 {
				got = append(got, -1-i)
			} else {
				got = append(got, 1+slices.Index(fresh, x.id))
			}
		}
		if diff := cmp.Diff([]int{-1, 1, -2, 2, -3, 3, -4, 4, -5, -6, -7, -8, -9, -10}, got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestConcurrencyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ep := endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 3 })
		store := newFakeStore()
		ids := store.backlog(1, 50, time.Minute)
		r := newRig(t, always(answer{took: time.Second}), options{store: store}, ep)
		ids = append(ids, r.send(1, 50)...)
		if r.client.most(host(1)) != 3 || r.lane(1).InFlight != 3 {
			t.Errorf("%d attempts at the same time, want 3", r.client.most(host(1)))
		}
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 20 })})
		synctest.Wait()
		if got := r.lane(1).InFlight; got != 20 {
			t.Errorf("%d attempts at once after the concurrency was raised to 20", got)
		}
		r.pass(10 * time.Second)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestRateIsKeptInEverySecond(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 10, 200, 2000} {
		synctest.Test(t, func(t *testing.T) {
			store := newFakeStore()
			store.backlog(1, int(rate*5)+10, time.Minute)
			r := newRig(t, ok, options{store: store}, endpoint(t, 1, func(e *carom.Endpoint) { e.Rate = rate }))
			r.send(1, int(rate))
			r.pass(5 * time.Second)
			times := r.times(1)
			for i, at := range times {
				n := 0
				for n < len(times)-i && times[i+n]-at < time.Second {
					n++
				}
				if float64(n) > rate*1.05+1 {
					t.Fatalf("rate %v: %d attempts in the second from %v", rate, n, at)
				}
			}
			if float64(len(times)) < rate*5*0.98-1 {
				t.Errorf("rate %v: only %d attempts in 5 s", rate, len(times))
			}
		})
	}
}

func TestPausedKeepsItsDeliveriesWhileDeadlinesRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paused := func(p bool, no int) *route.Endpoint {
			return endpoint(t, no, func(e *carom.Endpoint) { e.Paused = p; e.Deadline = 10 * time.Minute; e.Concurrency = 1 })
		}
		r := newRig(t, always(answer{took: time.Second}), options{lag: 5 * time.Millisecond, slow: time.Millisecond}, paused(false, 1))
		early := r.send(1, 3) // one under way, two in the queue
		r.e.SetEndpoints([]*route.Endpoint{paused(true, 1)})
		early = append(early, r.send(1, 2)...)
		r.pass(8 * time.Minute)
		late := r.send(1, 3)
		if l := r.lane(1); len(r.times(1)) != 1 || !l.Paused || l.Queued != 0 {
			t.Errorf("paused: %d attempts, lane %+v; want only the one that was under way, and nothing in memory", len(r.times(1)), l)
		}
		r.pass(3*time.Minute + time.Second)
		r.wantStates(early[:1], carom.Delivered)
		r.wantStates(early[1:], carom.Expired)
		r.wantStates(late, carom.Pending)
		r.e.SetEndpoints([]*route.Endpoint{paused(false, 1)})
		r.pass(4 * time.Second)
		r.wantStates(late, carom.Delivered)
	})
}

func TestPausingGivesBackWhatWasClaimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		ids := store.backlog(1, 600, time.Minute)
		r := newRig(t, always(answer{took: time.Second}), options{store: store}, endpoint(t, 1, nil))
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, func(e *carom.Endpoint) { e.Paused = true })})
		r.pass(2 * time.Second)
		if n := store.tally().held; n != 0 {
			t.Errorf("a paused lane keeps %d deliveries claimed", n)
		}
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, nil)})
		r.pass(20 * time.Second)
		r.wantStates(ids, carom.Delivered)
	})
}

func TestDeletedEndpointsDeliveriesAreDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		orphans := store.backlog(9, 1200, time.Hour) // of an endpoint deleted before the start
		failing := always(answer{status: 404, took: 2 * time.Second})
		r := newRig(t, failing, options{store: store, lag: 5 * time.Millisecond, slow: time.Millisecond}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 2 }), endpoint(t, 2, nil))
		waiting := store.backlog(1, 700, time.Minute)
		queued := r.send(1, 20)
		reserved := r.e.Reserve(1)
		r.pass(time.Second)
		r.wantStates(orphans, carom.Dead)

		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 2, nil)})
		if !reserved || r.e.Reserve(1) {
			t.Errorf("Reserve before %v and after the deletion %v, want true and false", reserved, r.e.Reserve(1))
		}
		direct := store.accept(time.Now(), carom.Target{Endpoint: 1, Direct: true}) // was on its way meanwhile
		r.e.Offer(direct)
		due := store.accept(time.Now(), carom.Target{Endpoint: 1})
		r.e.Offer(due)
		r.pass(3 * time.Second) // the two that were under way fail, and have no endpoint to wait for
		ids := append(slices.Concat(waiting, queued), direct.Receipt.ID.Delivery(0), due.Receipt.ID.Delivery(0))
		r.wantStates(ids, carom.Dead)
		if a := store.history(waiting[699]); len(a) != 1 || a[0].Reason != "endpoint deleted" {
			t.Errorf("history %+v, want one end with its reason", a)
		}
		if n := len(r.e.Lanes()); n != 1 || store.waiting(1) != 0 {
			t.Errorf("%d lanes are shown, want 1; %d deliveries wait for the deleted endpoint", n, store.waiting(1))
		}
	})
}

func TestNothingIsBuriedBeforeTheEndpointsAreKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		known, orphans := store.backlog(1, 3, time.Minute), store.backlog(2, 3, time.Minute)
		r := newRig(t, ok, options{store: store, unset: true})
		r.pass(time.Hour)
		r.wantStates(append(known, orphans...), carom.Pending)
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, nil)})
		r.pass(time.Second)
		r.wantStates(known, carom.Delivered)
		r.wantStates(orphans, carom.Dead)
	})
}

func TestNothingIsPromisedOrAttemptedBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		store.backlog(1, 3, time.Minute)
		e := New(Options{Store: store}) // without a client: an attempt would panic
		e.SetEndpoints([]*route.Endpoint{endpoint(t, 1, nil)})
		if e.Reserve(1) {
			t.Error("a place was promised before Run")
		}
		e.Wake(1)
		e.SetEndpoints(nil)
		synctest.Wait()
		if store.tally().claims != 0 {
			t.Errorf("the store was asked %d times before Run", store.tally().claims)
		}
	})
}

func TestChangedURLHealsWhatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := func(x exchange) answer {
			if x.path == "/right" {
				return answer{}
			}
			return answer{status: 404}
		}
		at := func(path string) *route.Endpoint {
			return endpoint(t, 1, func(e *carom.Endpoint) { e.URL = "http://e1.example" + path + "?d={delivery_id}" })
		}
		r := newRig(t, script, options{}, at("/wrong"))
		ids := r.send(1, 3)
		r.e.SetEndpoints([]*route.Endpoint{at("/right")})
		r.pass(5 * time.Second)
		r.wantStates(ids, carom.Delivered)
		if got := r.store.history(ids[0])[1].URL; got != "http://e1.example/right?d="+string(ids[0]) {
			t.Errorf("the attempt shows the URL %q", got)
		}
	})
}

func TestOnceBeginsBeforeItSendsAndIsNotRepeated(t *testing.T) {
	once := func(e *carom.Endpoint) { e.Once = true }
	synctest.Test(t, func(t *testing.T) {
		answers := []answer{{}, {status: 500}, {err: errors.New("no route"), phase: egress.PhaseConnect, notSent: true}, {panics: true}, {took: time.Minute}}
		n := 0
		var store *fakeStore
		r := newRig(t, func(x exchange) answer {
			store.mu.Lock()
			defer store.mu.Unlock()
			for key, row := range store.rows {
				if carom.NewDeliveryID(1, carom.RefOf(key.event), 0) == x.id && row.sending {
					n++
					return answers[(n-1)%len(answers)]
				}
			}
			store.breach("%s was sent before Begin", x.id)
			return answer{}
		}, options{}, endpoint(t, 1, once))
		store = r.store
		var ids []carom.DeliveryID
		for range answers {
			ids = append(ids, r.send(1, 1)...)
		}
		r.pass(11 * time.Second)
		r.wantStates(ids[:1], carom.Delivered)
		r.wantStates(ids[1:2], carom.Dead)
		r.wantStates(ids[2:3], carom.Delivered) // not sent at first: tried again after 5 s, which the script lets pass
		r.wantStates(ids[3:], carom.Dead)
		if got := len(r.times(1)); got != len(answers)+1 {
			t.Errorf("%d exchanges, want %d", got, len(answers)+1)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the process dies while one is under way
		r := newRig(t, always(answer{took: 5 * time.Second}), options{}, endpoint(t, 1, once))
		ids := r.send(1, 1)
		store := newFakeStore()
		store.events, store.seq = r.store.events, r.store.seq
		r.store.mu.Lock()
		store.rows = maps.Clone(r.store.rows)
		r.store.mu.Unlock()
		r.stop()
		store.restart()
		again := newRig(t, ok, options{store: store}, endpoint(t, 1, once))
		again.pass(time.Minute)
		again.wantStates(ids, carom.Dead)
		if n := len(again.times(1)); n != 0 {
			t.Errorf("it was sent %d times more", n)
		}
	})
}

func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ok, options{}, endpoint(t, 1, nil))
		ids := r.send(1, 1)
		r.pass(time.Hour)
		r.store.mu.Lock()
		delete(r.store.ended, ids[0])
		_, ref, _, _ := ids[0].Place()
		now := time.Now()
		r.store.rows[rowKey{1, ref.Uint64(), 0}] = dueRow{due: now, scheduled: now, since: now, attempts: 1}
		r.store.mu.Unlock()
		r.e.Wake(1)
		r.e.Wake(77) // unknown: nothing to do
		synctest.Wait()
		if diff := cmp.Diff([]time.Duration{0, time.Hour}, r.times(1)); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		if h := r.store.history(ids[0]); h[1].Number != 2 {
			t.Errorf("the resend is attempt %d, want 2", h[1].Number)
		}
	})
}

func TestPanicIsContained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		r := newRig(t, func(exchange) answer {
			defer func() { first = false }()
			return answer{panics: first}
		}, options{}, endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 1 }))
		ids := r.send(1, 3)
		r.wantStates(ids[1:], carom.Delivered)
		sub := r.store.accept(time.Now(), carom.Target{Endpoint: 1})
		r.store.mu.Lock()
		_, ref, _ := sub.Receipt.ID.Place()
		r.store.events[ref.Uint64()] = nil // cannot be rendered
		r.store.mu.Unlock()
		r.e.Wake(1)
		r.pass(5 * time.Second)
		r.wantStates(ids, carom.Delivered)
		if h := r.store.history(ids[0]); h[0].State != carom.Pending || h[0].Reason != "internal error of carom" {
			t.Errorf("the attempt that panicked is recorded as %+v", h[0])
		}
		h := r.store.history(sub.Receipt.ID.Delivery(0))
		if len(h) == 0 || h[0].State != carom.Pending {
			t.Errorf("what cannot be rendered has the history %+v, want a pending attempt", h)
		}
	})
}

func TestLaneState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := func(x exchange) answer {
			if x.endpoint == host(1) {
				return answer{took: 2 * time.Second}
			}
			return answer{status: http.StatusServiceUnavailable}
		}
		r := newRig(t, script, options{}, endpoint(t, 2, nil), endpoint(t, 1, func(e *carom.Endpoint) { e.Concurrency = 2 }))
		r.send(1, 5)
		r.send(2, 10)
		want := []carom.LaneState{
			{Endpoint: "app/e1", Breaker: "closed", Since: r.begin, InFlight: 2, Queued: 3},
			{Endpoint: "app/e2", Breaker: "open", Since: r.begin, LastFailure: "status 503", LastFailed: r.begin, NextProbe: r.begin.Add(5 * time.Second)},
		}
		if diff := cmp.Diff(want, r.e.Lanes()); diff != "" {
			t.Errorf("lanes (-want +got):\n%s", diff)
		}
		if got := r.e.InFlight(); got != 2 {
			t.Errorf("in flight %d, want 2", got)
		}
		r.pass(2 * time.Second)
		if got := r.lane(1).LastSuccess; !got.Equal(r.begin.Add(2 * time.Second)) {
			t.Errorf("last success %v", got)
		}
	})
}
