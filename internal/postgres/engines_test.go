package postgres

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"
	"carom/internal/deliver"
	"carom/internal/egress"
	"carom/internal/route"
)

// receiver keeps when it was sent what.
type receiver struct {
	server *httptest.Server
	answer func() int // the status of an answer

	mu  sync.Mutex // guards all below
	at  []time.Time
	ids map[string]int // how often a delivery was sent

	now, most int // requests at the same time
}

func newReceiver(t *testing.T, answer func() int) *receiver {
	r := &receiver{answer: answer, ids: map[string]int{}}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.at = append(r.at, time.Now())
		r.ids[req.URL.Query().Get("d")]++
		r.now++
		r.most = max(r.most, r.now)
		r.mu.Unlock()
		status := r.answer()
		r.mu.Lock()
		r.now--
		r.mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(r.server.Close)
	return r
}

// seen returns the moments at which something came, in order.
func (r *receiver) seen() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(slices.Values(r.at), time.Time.Compare)
}

// deliver runs an engine on the node, which shares its endpoints with those of the other nodes.
func (n *node) deliver(t *testing.T, e carom.Endpoint) *deliver.Engine {
	t.Helper()
	ep, err := route.Compile(e)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	engine := deliver.New(deliver.Options{Store: n.Store, Peers: n.Store, Client: egress.New(egress.Config{}), Clock: n.Now})
	engine.SetEndpoints([]*route.Endpoint{ep})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	stop := n.stop
	n.stop = func() { // the engine first: it records what came of its last attempts
		n.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run the engine: %v", err)
		}
		stop()
	}
	return engine
}

// send has the node accept events for endpoint 1, as ingest does.
func (n *node) send(t *testing.T, e *deliver.Engine, prefix string, count int) {
	t.Helper()
	subs := make([]*carom.Submission, count)
	for i := range subs {
		subs[i] = event(n.Store, fmt.Sprint(prefix, i), carom.Target{Endpoint: 1, Direct: e.Reserve(1)})
	}
	n.accept(t, subs...)
	for _, sub := range subs {
		e.Offer(sub)
	}
}

func TestThreeNodesKeepOneRate(t *testing.T) {
	url := database(t)
	r := newReceiver(t, func() int { return http.StatusNoContent })
	endpoint := carom.Endpoint{No: 1, App: "app", Name: "e", URL: r.server.URL + "/?d={delivery_id}", Rate: 100, Concurrency: 32, AllowPrivate: true}
	var nodes []*node
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, join(t, url, name, time.Minute).start(t))
	}
	eventually(t, "each has its share", func() bool {
		return nodes[0].hasShare(3, 0)() && nodes[1].hasShare(3, 1)() && nodes[2].hasShare(3, 2)()
	})
	for i, n := range nodes {
		n.send(t, n.deliver(t, endpoint), n.opts.Name, 60+90*i) // unevenly: what one cannot take at once waits for all
	}
	eventually(t, "all 450 are sent", func() bool { return len(r.seen()) >= 450 })
	for _, n := range nodes {
		n.stop()
	}

	at := r.seen()
	const within = 360 // while all have something to send
	most, first := 0, 0
	for i := range at {
		for at[i].Sub(at[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	average := float64(within-1) / at[within-1].Sub(at[0]).Seconds()
	t.Logf("%.1f a second on average, %d at most", average, most)
	if most > 110 {
		t.Errorf("%d attempts within a second, want 110 at most", most)
	}
	switch {
	case race:
		t.Log("the average is not looked at: nothing keeps up with a rate under the race detector")
	case average < 95:
		t.Errorf("%.1f attempts a second on average, want 95 at least", average)
	}
	for id, n := range r.ids {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(r.ids) != 450 {
		t.Errorf("%d deliveries were sent, want 450", len(r.ids))
	}
}

func TestThreeNodesKeepOneConcurrency(t *testing.T) {
	t.Parallel()
	url := database(t)
	var together sync.WaitGroup // the first four requests wait for one another
	together.Add(4)
	var n atomic.Int64
	r := newReceiver(t, func() int {
		if n.Add(1) <= 4 {
			together.Done()
			together.Wait()
		}
		return http.StatusNoContent
	})
	endpoint := carom.Endpoint{No: 1, App: "app", Name: "e", URL: r.server.URL + "/?d={delivery_id}", Concurrency: 4, AllowPrivate: true}
	var nodes []*node
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, join(t, url, name, time.Minute).start(t))
	}
	eventually(t, "each has its share", func() bool {
		return nodes[0].hasShare(3, 0)() && nodes[1].hasShare(3, 1)() && nodes[2].hasShare(3, 2)()
	})
	for _, n := range nodes {
		n.send(t, n.deliver(t, endpoint), n.opts.Name, 100)
	}
	eventually(t, "all 300 are sent", func() bool { return len(r.seen()) >= 300 })
	for _, n := range nodes {
		n.stop()
	}
	if r.most != 4 || len(r.ids) != 300 {
		t.Errorf("%d requests at the same time, %d deliveries; want 4 and 300", r.most, len(r.ids))
	}
}

// What a node leaves to others, here what failed and what it had no time for, they deliver; and they follow its breaker.
func TestNodesTakeUpWhatOthersLeave(t *testing.T) {
	t.Parallel()
	url := database(t)
	var well atomic.Bool
	r := newReceiver(t, func() int {
		if !well.Load() {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	endpoint := carom.Endpoint{No: 1, App: "app", Name: "e", URL: r.server.URL + "/?d={delivery_id}", Concurrency: 8, AllowPrivate: true}
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	eventually(t, "each has its share", func() bool { return a.hasShare(2, 0)() && b.hasShare(2, 1)() })
	engineA, engineB := a.deliver(t, endpoint), b.deliver(t, endpoint)
	a.send(t, engineA, "a", 300)
	is := func(e *deliver.Engine, state string) func() bool {
		return func() bool { return e.Lanes()[0].Breaker == state }
	}
	eventually(t, "a's breaker is open", is(engineA, "open"))
	eventually(t, "b's breaker follows", is(engineB, "open"))
	well.Store(true)
	a.stop()
	eventually(t, "b's breaker is closed", is(engineB, "closed"))
	db := connect(t, url)
	eventually(t, "nothing waits", func() bool { return numberOf(t, db, `SELECT count(*) FROM due`) == 0 })
	if n := numberOf(t, db, `SELECT count(DISTINCT (place, ordinal)) FROM outcomes WHERE state = 'delivered'`); n != 300 {
		t.Errorf("%d deliveries are delivered, want 300", n)
	}
}
