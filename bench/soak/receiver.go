package main

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"carom"
	"carom/bench/mark"
	"carom/bench/stat"
)

// mode is how the receiver answers.
type mode int32

const (
	modeOK    mode = iota
	modeFails      // 503
	modeHangs      // no answer, until the mode changes or the sender gives up
)

// receiver is the endpoint. It remembers of each event under which place its delivery came: the same event stored twice would
// have two.
type receiver struct {
	run  uint32 // others' deliveries are answered and not counted
	mode atomic.Int32

	mu       sync.Mutex // guards all below
	places   []uint64   // by number; 0: not accepted yet
	accepted stat.Set
	repeated int64 // accepted more than once, with the same id
	doubled  int64 // accepted with another id
}

func (r *receiver) set(m mode) { r.mode.Store(int32(m)) }

// ServeHTTP answers by the mode.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch mode(r.mode.Load()) {
	case modeFails:
		http.Error(w, "failed as planned", http.StatusServiceUnavailable)
		return
	case modeHangs:
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for mode(r.mode.Load()) == modeHangs {
			select {
			case <-req.Context().Done():
				return
			case <-tick.C:
			}
		}
	}
	q := req.URL.Query()
	m, ok := mark.Parse(q.Get("ymid"))
	_, ref, _, err := carom.DeliveryID(q.Get("d")).Place()
	if ok && err == nil && m.Run == r.run {
		r.accept(m.Seq, ref.Uint64())
	}
	_, _ = io.WriteString(w, "OK") // a sender that was killed gets no answer
}

func (r *receiver) accept(seq, place uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uint64(len(r.places)) <= seq {
		r.places = append(r.places, make([]uint64, max(1<<16, len(r.places)/2))...)
	}
	switch {
	case r.accepted.Add(seq):
		r.places[seq] = place
	case r.places[seq] == place:
		r.repeated++
	default:
		r.doubled++
	}
}

// missing says how many of the acknowledged events were not accepted yet.
func (r *receiver) missing(acked *stat.Set) (int64, []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted.Missing(acked)
}

// counts are how many events were accepted, how many repeatedly, and how many as two.
func (r *receiver) counts() (accepted, repeated, doubled int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted.Len(), r.repeated, r.doubled
}
