package main

import (
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"carom"
	"carom/bench/pgbooks"
)

// The endpoints, by the paths that they have at the sink.
const (
	healthy  = "/healthy"
	slow     = "/slow"
	unsteady = "/unsteady"
	paced    = "/paced"
	once     = "/once"
	bank     = "/bank"
)

// How the sink answers: slow takes a while, unsteady fails for some of a hundred.
const (
	slowTakes    = 400 * time.Millisecond
	percentFail  = 4
	percentSever = 2
)

// delivery names one: its event's place as the database has it, and its ordinal.
type delivery struct {
	place   int64
	ordinal int
}

// arrival is what the sink knows of a delivery.
type arrival struct {
	path     string
	key      string // what it is about: a ymid with the event's type and value, or a reward's id with its state
	requests []time.Time
	accepted []time.Time // arrivals of those that were answered 200
}

// sink is all endpoints. It answers by their paths and remembers everything.
type sink struct {
	addr string
	srv  *http.Server
	done chan struct{} // closed once the server has ended

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	arrivals map[delivery]*arrival
	strange  int64 // requests without a delivery's id
	total    int64
	order    []acceptance // of all
	paced    []time.Time  // of the endpoint with a rate
}

type acceptance struct {
	at time.Time
	delivery
}

func startSink(host string, rng *rand.Rand) (*sink, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), done: make(chan struct{}), rng: rng, arrivals: map[delivery]*arrival{}}
	s.srv = &http.Server{Handler: s}
	go func() {
		_ = s.srv.Serve(l) // ends when the sink is closed
		close(s.done)
	}()
	return s, nil
}

func (s *sink) close() {
	_ = s.srv.Close() // nothing under way matters any more
	<-s.done
}

// ServeHTTP answers by the path.
func (s *sink) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	_, ref, ordinal, err := carom.DeliveryID(q.Get("d")).Place()
	d := delivery{pgbooks.PlaceOf(ref), ordinal}
	arrived := time.Now()
	chance := s.take(d, err == nil, req.URL.Path, q.Get("k"), arrived)
	switch {
	case req.URL.Path == unsteady && chance < percentFail:
		http.Error(w, "failed at random", http.StatusInternalServerError)
		return
	case req.URL.Path == unsteady && chance < percentFail+percentSever:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			sever(c)
		}
		return
	case req.URL.Path == slow:
		t := time.NewTimer(slowTakes)
		defer t.Stop()
		<-t.C
	}
	if err == nil {
		s.accept(d, arrived)
	}
	_, _ = w.Write([]byte("OK")) // a sender that was killed gets no answer
}

// take notes a request, and draws a number below 100.
func (s *sink) take(d delivery, known bool, path, key string, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if !known {
		s.strange++
		return 100
	}
	a := s.arrivals[d]
	if a == nil {
		a = &arrival{path: path, key: key}
		s.arrivals[d] = a
	}
	a.requests = append(a.requests, now)
	if path == paced {
		s.paced = append(s.paced, now)
	}
	return s.rng.IntN(100)
}

func (s *sink) accept(d delivery, arrived time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arrivals[d]
	a.accepted = append(a.accepted, arrived)
	s.order = append(s.order, acceptance{time.Now(), d})
}

// since returns the deliveries accepted since a moment.
func (s *sink) since(from time.Time) []delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []delivery
	for i := len(s.order) - 1; i >= 0 && s.order[i].at.After(from); i-- {
		out = append(out, s.order[i].delivery)
	}
	return out
}

// requests is how many there were.
func (s *sink) requests() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// firstAfter returns when the first request for each of the deliveries came after a moment, zero for those without one.
func (s *sink) firstAfter(list []delivery, from time.Time) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]time.Time, len(list))
	for i, d := range list {
		a := s.arrivals[d]
		if a == nil {
			continue
		}
		for _, at := range a.requests {
			if at.After(from) {
				out[i] = at
				break
			}
		}
	}
	return out
}
