package deliver

import (
	"context"
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
