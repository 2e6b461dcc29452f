package confirm

import (
	"sync"
	"time"

	"carom"
)

// Bounds of what is remembered of showings.
const (
	maxShowings = 300_000          // in some 150 MB; more are told to try later, once no outcome can be forgotten for them
	echoes      = 30 * time.Second // how long the outcome of one is answered from memory; the store knows it longer
	settleAgain = 10 * time.Second // after which what is over and could not be stored is tried again
)

// showings remember the ads that began and are not settled, and for a moment those that are. The zero value is not usable.
type showings struct {
	mu      sync.Mutex // guards all below
	byID    map[[16]byte]*entry
	begun   fifo // by when they began
	again   fifo // those whose time was over when they could not be stored, by when that was
	settled fifo // by when they were settled
}

// entry is one showing. It is pending from its start until somebody settles it.
type entry struct {
	token   string // of one that began here; else, and when it is settled, empty
	pending bool
	begun   bool   // it is in the fifo of that name
	claim   *claim // of whoever settles it, or has; nil while it is pending
}

// claim is the settling of one showing. Its fields are guarded by the lock of the showings; what it came to stands for ever
// when it has ended.
type claim struct {
	done    chan struct{} // closed when it has ended; nil until somebody waits
	outcome outcome
	ended   bool
	failed  bool // nothing was stored: whoever asks next claims it anew
}

// outcome is what has become of an impression.
type outcome struct {
	value    carom.RewardEventType
	price    carom.Price
	repeated bool // it was stored before
}

// fifo holds entries in the order of their times, with those that have left it as holes.
type fifo struct {
	items []queued
	head  int
}

type queued struct {
	id [16]byte
	at int64 // Unix nanoseconds: there are many of these, and they hold nothing that a collector has to look at
}

func (q *fifo) push(id [16]byte, at time.Time) { q.items = append(q.items, queued{id, at.UnixNano()}) }

// pop takes the first one if it is from before the time.
func (q *fifo) pop(before time.Time) (id [16]byte, ok bool) {
	if q.head == len(q.items) || q.items[q.head].at >= before.UnixNano() {
		return id, false
	}
	id = q.items[q.head].id
	if q.head++; q.head > 1024 && q.head > len(q.items)/2 {
		q.items = append(q.items[:0:0], q.items[q.head:]...)
		q.head = 0
	}
	return id, true
}

func newShowings() *showings { return &showings{byID: map[[16]byte]*entry{}} }

func (s *showings) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byID)
}

// begin remembers that an ad began, whose beacons present the token. ok is false when there is no room. One that is known stays
// as it is.
func (s *showings) begin(id [16]byte, token string, now time.Time) (ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	if s.byID[id] != nil {
		return true
	}
	if len(s.byID) >= maxShowings {
		oldest, known := s.settled.pop(now.Add(time.Second))
		if !known {
			return false
		}
		delete(s.byID, oldest) // the store knows what it came to
	}
	s.byID[id] = &entry{token: token, pending: true, begun: true}
	s.begun.push(id, now)
	return true
}

// claim makes the caller the one who settles the showing, if first says so: then it ends in settle or drop. Else c is somebody
// else's, and has ended when done is closed or nil.
func (s *showings) claim(id [16]byte) (c *claim, first bool, done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e != nil && !e.pending {
		if c = e.claim; !c.ended && c.done == nil {
			c.done = make(chan struct{})
		}
		return c, false, c.done
	}
	if e == nil { // it began before a restart, or on another node
		e = &entry{}
		s.byID[id] = e
	}
	e.pending, e.claim = false, &claim{}
	return e.claim, true, nil
}

// end ends a claim. The caller holds mu.
func (c *claim) end() {
	if c.ended = true; c.done != nil {
		close(c.done)
	}
}

// settle says what the claimed showing came to.
func (s *showings) settle(id [16]byte, c *claim, o outcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil {
		e.token = ""
	}
	s.settled.push(id, now)
	c.outcome = o
	c.end()
}

// drop gives a claim up. What began here is pending again, if another try may help; else it is forgotten.
func (s *showings) drop(id [16]byte, c *claim, now time.Time, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; again && e != nil && e.token != "" {
		e.pending, e.claim = true, nil
		if !e.begun {
			s.again.push(id, now)
		}
	} else {
		delete(s.byID, id)
	}
	c.failed = true
	c.end()
}

// forget drops outcomes that were answered long enough. The caller holds mu.
func (s *showings) forget(now time.Time) {
	for {
		id, ok := s.settled.pop(now.Add(-echoes))
		if !ok {
			return
		}
		delete(s.byID, id)
	}
}

// expired returns the tokens of showings that began too long ago and are not settled. They stay until they are claimed.
func (s *showings) expired(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	var out []string
	take := func(q *fifo, before time.Time) {
		for {
			id, ok := q.pop(before)
			if !ok {
				return
			}
			if e := s.byID[id]; e != nil && e.pending {
				e.begun = false
				out = append(out, e.token)
			}
		}
	}
	take(&s.begun, now.Add(-ShowLife))
	take(&s.again, now.Add(-settleAgain))
	return out
}
