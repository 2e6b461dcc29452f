package main

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"carom"
)

// arrival is what the endpoint knows of one delivery.
type arrival struct {
	key      key
	requests int
	accepted []time.Time // arrivals of the requests that were answered 200
}

// receiver is the endpoint: it answers well most of the time, and remembers everything.
type receiver struct {
	addr string
	srv  *http.Server
	done chan struct{} // closed once the server has ended

	mu       sync.Mutex // guards what follows
	rng      *rand.Rand
	arrivals map[carom.DeliveryID]*arrival
	good     map[key]bool // keys of which a delivery was answered 200
	total    int64
	answers  map[string]int64
	bank     bank
}

// received is the endpoint's account.
type received struct {
	arrivals map[carom.DeliveryID]*arrival
	answers  map[string]int64
	bank     bank
}

// The ways to answer, and how many of a hundred requests get each.
const (
	answerOK    = "200"
	answerSlow  = "200 after a while"
	answerFail  = "500"
	answerLater = "503"
	answerReset = "connection reset"

	percentFail  = 4
	percentLater = 1
	percentReset = 2
	percentSlow  = 4
)

func startReceiver(seed uint64) (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{
		addr: l.Addr().String(), done: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, 3)),
		arrivals: map[carom.DeliveryID]*arrival{}, good: map[key]bool{}, answers: map[string]int64{}, bank: bank{},
	}
	r.srv = &http.Server{Handler: r}
	go func() {
		_ = r.srv.Serve(l) // ends when the receiver is closed
		close(r.done)
	}()
	return r, nil
}

func (r *receiver) close() {
	_ = r.srv.Close() // nothing under way matters any more
	<-r.done
}

// ServeHTTP answers at random. A reset comes after the request was read, as when a backend dies with the work done.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/reward" {
		r.serveReward(w, req)
		return
	}
	q := req.URL.Query()
	k := key{q.Get("ymid"), q.Get("zone"), q.Get("event"), q.Get("value")}
	arrived := time.Now()
	answer, wait := r.take(carom.DeliveryID(q.Get("d")), k)
	switch answer {
	case answerFail:
		http.Error(w, "failed at random", http.StatusInternalServerError)
	case answerLater:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "later, at random", http.StatusServiceUnavailable)
	case answerReset:
		reset(w)
	default:
		t := time.NewTimer(wait)
		defer t.Stop()
		<-t.C
		r.accept(carom.DeliveryID(q.Get("d")), arrived)
		_, _ = io.WriteString(w, "OK") // a sender that was killed gets no answer
	}
}

// take notes the request and chooses its answer.
func (r *receiver) take(id carom.DeliveryID, k key) (answer string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrivals[id]
	if a == nil {
		a = &arrival{key: k}
		r.arrivals[id] = a
	}
	a.requests++
	r.total++
	switch x := r.rng.IntN(100); {
	case x < percentFail:
		answer = answerFail
	case x < percentFail+percentLater:
		answer = answerLater
	case x < percentFail+percentLater+percentReset:
		answer = answerReset
	case x < percentFail+percentLater+percentReset+percentSlow:
		answer, wait = answerSlow, time.Duration(5+r.rng.IntN(100))*time.Millisecond
	default:
		answer = answerOK
	}
	r.answers[answer]++
	return answer, wait
}

// accept notes that the request of a delivery which arrived then is answered 200.
func (r *receiver) accept(id carom.DeliveryID, arrived time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrivals[id]
	a.accepted = append(a.accepted, arrived)
	r.good[a.key] = true
}

// reset drops the connection so that the sender sees a reset, not an end.
func reset(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	c, _, err := h.Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the close is merely a close
	}
	_ = c.Close()
}

func (r *receiver) requests() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// holds reports whether a delivery of each key was answered 200.
func (r *receiver) holds(keys []key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		if !r.good[k] {
			return false
		}
	}
	return true
}

// account returns the endpoint's account. Call it once nothing is sent any more.
func (r *receiver) account() received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return received{arrivals: r.arrivals, answers: r.answers, bank: r.bank}
}
