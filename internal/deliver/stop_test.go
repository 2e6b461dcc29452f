package deliver

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"
)

func TestStopLetsAttemptsEndWithinTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := func(x exchange) answer {
			if x.endpoint == host(1) {
				return answer{took: 3 * time.Second}
			}
			return answer{took: 9 * time.Second}
		}
		narrow := func(e *carom.Endpoint) { e.Concurrency = 2 }
		r := newRig(t, script, options{lag: time.Millisecond, Options: Options{Grace: 5 * time.Second}}, endpoint(t, 1, narrow), endpoint(t, 2, narrow))
		short, long := r.send(1, 4), r.send(2, 4)
		begin := time.Now()
		r.cancel()
		synctest.Wait()
		if r.e.Reserve(1) {
			t.Error("a place was promised while the engine stops")
		}
		r.stop()
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("stopping took %v, want the grace of 5s", took)
		}
		r.wantStates(short[:2], carom.Delivered)
		r.wantStates(append(short[2:], long...), carom.Pending)
		if h := r.store.history(long[0]); len(h) != 1 || h[0].Reason != "cancelled: carom was stopping" {
			t.Errorf("history of an attempt that outlived the grace: %+v", h)
		}
		r.pass(time.Millisecond)
		if n, m := r.store.waiting(1), r.store.waiting(2); n != 2 || m != 4 || r.store.tally().memory != 0 {
			t.Errorf("after the stop %d and %d wait in the due table and %d in memory, want 2, 4 and 0", n, m, r.store.tally().memory)
		}
		if !r.client.closed {
			t.Error("the client was not closed")
		}
		if err := r.e.Run(context.Background()); err == nil {
			t.Error("a second Run returned no error")
		}
		r.e.SetEndpoints([]*route.Endpoint{endpoint(t, 3, nil)})
		r.e.Wake(1)
	})
}

func TestStopWithoutWorkDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ok, options{lag: 10 * time.Millisecond}, endpoint(t, 1, nil))
		r.send(1, 5)
		begin := time.Now()
		r.stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopping took %v", took)
		}
	})
}

func TestWhatWasPromisedBeforeTheStopIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ok, options{}, endpoint(t, 1, nil))
		if !r.e.Reserve(1) {
			t.Fatal("no place")
		}
		r.cancel()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		sub := r.store.accept(time.Now(), carom.Target{Endpoint: 1, Direct: true})
		r.e.Offer(sub)
		if r.store.waiting(1) != 1 || len(r.store.breaches) > 0 {
			t.Errorf("%d deliveries were deferred, want 1; breaches %v", r.store.waiting(1), r.store.breaches)
		}
		r.cancel = nil
	})
}

// TestStress lets everything happen at once, at random, and then checks that every delivery ended exactly once. The fakes
// report attempts after the end, two at the same time, wrong numbers, and claims that overlap.
func TestStress(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stress(t, seed) })
		})
	}
}

func stress(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	const lanes = 8
	var ill [lanes + 1]atomic.Bool
	var salt atomic.Uint64
	script := func(x exchange) answer {
		n := rand.New(rand.NewPCG(seed, salt.Add(1))).IntN(100)
		var no int
		if _, err := fmt.Sscanf(x.endpoint, "e%d.", &no); err != nil {
			panic(err)
		}
		took := time.Duration(n) * time.Millisecond
		switch {
		case ill[no].Load() && n < 95:
			return answer{status: 503, took: took}
		case n < 5:
			return answer{status: 404, took: took, retryAfter: "7"}
		case n < 7:
			return answer{took: time.Hour}
		case n < 8:
			return answer{panics: true}
		case n < 9:
			return answer{status: 410}
		}
		return answer{took: took}
	}
	settings := func(no int) *route.Endpoint {
		return endpoint(t, no, func(e *carom.Endpoint) {
			e.Concurrency = 1 + rnd.IntN(40)
			e.Rate = float64(rnd.IntN(3) * 150)
			e.Paused = rnd.IntN(8) == 0
			e.Once = no == 7
			e.Deadline = time.Hour
		})
	}
	store := newFakeStore()
	var ids []carom.DeliveryID
	for no := 1; no <= lanes+2; no++ { // two of them are unknown
		ids = append(ids, store.backlog(no, 200, time.Minute)...)
	}
	var endpoints []*route.Endpoint
	for no := 1; no <= lanes; no++ {
		endpoints = append(endpoints, settings(no))
	}
	o := options{store: store, lag: 7 * time.Millisecond, slow: 3 * time.Millisecond,
		Options: Options{MaxInFlight: 60, MaxQueued: 400, Random: rand.Float64}}
	r := newRig(t, script, o, endpoints...)
	var all []int
	for no := 1; no <= lanes; no++ {
		all = append(all, no)
	}
	for range 600 {
		for range rnd.IntN(8) {
			ids = append(ids, r.event(all[rnd.IntN(len(all)):]...)...)
		}
		switch i := rnd.IntN(len(endpoints)); rnd.IntN(30) {
		case 0:
			endpoints[i] = settings(endpoints[i].No)
			r.e.SetEndpoints(endpoints)
		case 1:
			if len(endpoints) > 5 && rnd.IntN(4) == 0 {
				endpoints = append(endpoints[:i:i], endpoints[i+1:]...)
				r.e.SetEndpoints(endpoints)
			}
		case 2, 3:
			ill[endpoints[i].No].Store(rnd.IntN(2) == 0)
		case 4:
			store.failReads(carom.ErrUnavailable)
			time.AfterFunc(2*time.Second, func() { store.failReads(nil) })
		case 5:
			r.e.Wake(endpoints[i].No)
		}
		<-time.After(time.Duration(rnd.IntN(60)) * time.Millisecond)
	}
	for i := range endpoints {
		ill[endpoints[i].No].Store(false)
		endpoints[i] = endpoint(t, endpoints[i].No, func(e *carom.Endpoint) { e.Deadline = time.Hour })
	}
	r.e.SetEndpoints(endpoints)
	r.pass(70 * time.Minute)
	ended := map[carom.DeliveryState]int{}
	for _, id := range ids {
		ended[store.state(id)]++
	}
	if ended[carom.Pending] > 0 || ended[carom.Delivered] < len(ids)/2 {
		t.Errorf("seed %d: of %d deliveries %v", seed, len(ids), ended)
	}
	if store.tally().rows+store.tally().memory+store.tally().held > 0 {
		t.Errorf("seed %d: the store still holds %d due rows, %d in memory, %d claims", seed, store.tally().rows, store.tally().memory, store.tally().held)
	}
	if r.client.most("") > 60 {
		t.Errorf("seed %d: %d attempts at the same time, want at most 60", seed, r.client.most(""))
	}
	if n := r.e.queued.Load(); n != 0 {
		t.Errorf("seed %d: %d places in memory are still counted", seed, n)
	}
}

// TestOverHTTP runs the engine with the real client against servers on loopback.
func TestOverHTTP(t *testing.T) {
	var tries atomic.Int32
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if tries.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("thanks for " + req.URL.Query().Get("y"))) // the test reads what arrived
	}))
	defer flaky.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<!doctype html><title>Welcome</title>")) // as above
	}))
	defer page.Close()

	done := make(chan carom.DeliveryID, 8)
	store := &tellingStore{fakeStore: newFakeStore(), done: done}
	e := New(Options{Store: store, Client: egress.New(egress.Config{Resolver: loopback{}}), Random: func() float64 { return 0 }})
	local := func(no int, url string, private bool) *route.Endpoint {
		return endpoint(t, no, func(ep *carom.Endpoint) {
			ep.URL, ep.AllowPrivate, ep.Schedule = url+"/?y={ymid}", private, []time.Duration{time.Second}
			if !private {
				ep.URL, ep.Schedule = "http://receiver.example.com/?y={ymid}", nil
			}
		})
	}
	e.SetEndpoints([]*route.Endpoint{local(1, flaky.URL, true), local(2, page.URL, true), local(3, flaky.URL, false)})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- e.Run(ctx) }()

	sub := store.accept(time.Now(), carom.Target{Endpoint: 1}, carom.Target{Endpoint: 2}, carom.Target{Endpoint: 3})
	e.Offer(sub)
	seen := map[carom.DeliveryID]int{}
	for len(seen) < 3 || seen[sub.Receipt.ID.Delivery(0)] < 2 {
		seen[<-done]++
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
	first := store.history(sub.Receipt.ID.Delivery(0))
	if first[0].Status != 503 || first[1].State != carom.Delivered || first[1].Answer != "thanks for 1" {
		t.Errorf("the flaky receiver's history: %+v", first)
	}
	if a := store.history(sub.Receipt.ID.Delivery(1))[0]; a.State != carom.Delivered || a.Flags != carom.AttemptHTML {
		t.Errorf("the page's attempt: %+v, want it delivered and flagged", a)
	}
	if a := store.history(sub.Receipt.ID.Delivery(2))[0]; a.State != carom.Pending || a.Status != 0 {
		t.Errorf("the attempt to a private address: %+v, want it refused", a)
	}
	for range store.breaches {
		t.Errorf("breaches of contract: %v", store.breaches)
	}
}

// loopback resolves every name to this machine.
type loopback struct{}

func (loopback) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// tellingStore says when an outcome was recorded.
type tellingStore struct {
	*fakeStore
	done chan carom.DeliveryID
}

func (s *tellingStore) Record(d *carom.Delivery, a *carom.Attempt) error {
	err := s.fakeStore.Record(d, a)
	s.done <- d.ID
	return err
}
