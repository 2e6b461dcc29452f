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
//
// There may be hundreds of thousands. What is kept of each holds no pointer, and their tokens lie in a few large pieces, so that
// the collector has nothing to look at: it took a tenth of the processor otherwise.
type showings struct {
	mu      sync.Mutex // guards all below
	byID    map[[16]byte]entry
	claims  map[[16]byte]*claim // of those that are being settled
	tokens  pile                // of those that began here and are not settled
	begun   fifo                // by when they began
	again   fifo                // those whose time was over when they could not be stored, by when that was
	settled fifo                // by when they were settled
}

// entry is one showing.
type entry struct {
	token place // of one that began here and is not settled; else zero
	state entryState
	begun bool // it is in the fifo of that name

	valued bool // what a settled one came to
	price  carom.Nanos
}

type entryState uint8

const (
	pending  entryState = iota // it began, and nobody has settled it
	claimed                    // somebody settles it
	finished                   // it is settled
)

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

func newShowings() *showings {
	return &showings{byID: map[[16]byte]entry{}, claims: map[[16]byte]*claim{}}
}

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
	if _, known := s.byID[id]; known {
		return true
	}
	if len(s.byID) >= maxShowings {
		oldest, known := s.settled.pop(now.Add(time.Second))
		if !known {
			return false
		}
		delete(s.byID, oldest) // the store knows what it came to
	}
	s.byID[id] = entry{token: s.tokens.put(token), begun: true}
	s.begun.push(id, now)
	return true
}

// claim makes the caller the one who settles the showing, if first says so: then it ends in settle or drop. Else c is somebody
// else's, and has ended when done is closed or nil.
func (s *showings) claim(id [16]byte) (c *claim, first bool, done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, known := s.byID[id]
	switch {
	case known && e.state == finished:
		return &claim{ended: true, outcome: e.outcome()}, false, nil
	case known && e.state == claimed:
		if c = s.claims[id]; c.done == nil {
			c.done = make(chan struct{})
		}
		return c, false, c.done
	}
	e.state, c = claimed, &claim{} // one that is not known began before a restart, or on another node
	s.byID[id], s.claims[id] = e, c
	return c, true, nil
}

func (e *entry) outcome() outcome {
	o := outcome{value: carom.NotValued, price: carom.Price{Nanos: e.price, Set: true}}
	if e.valued {
		o.value = carom.Valued
	}
	return o
}

// end ends a claim. The caller holds mu.
func (s *showings) end(id [16]byte, c *claim) {
	delete(s.claims, id)
	if c.ended = true; c.done != nil {
		close(c.done)
	}
}

// settle says what the claimed showing came to.
func (s *showings) settle(id [16]byte, c *claim, o outcome, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	s.tokens.take(e.token)
	s.byID[id] = entry{state: finished, valued: o.value == carom.Valued, price: o.price.Nanos}
	s.settled.push(id, now)
	c.outcome = o
	s.end(id, c)
}

// drop gives a claim up. What began here is pending again, if another try may help; else it is forgotten.
func (s *showings) drop(id [16]byte, c *claim, now time.Time, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; again && e.token != (place{}) {
		if e.state = pending; !e.begun {
			s.again.push(id, now)
		}
		s.byID[id] = e
	} else {
		s.tokens.take(e.token)
		delete(s.byID, id)
	}
	c.failed = true
	s.end(id, c)
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
			if e, known := s.byID[id]; known && e.token != (place{}) {
				if e.begun = false; e.state == pending {
					out = append(out, s.tokens.text(e.token))
				}
				s.byID[id] = e
			}
		}
	}
	take(&s.begun, now.Add(-ShowLife))
	take(&s.again, now.Add(-settleAgain))
	return out
}

// pile keeps texts in large pieces. A piece goes when all of its texts were taken. The zero value is empty.
type pile struct {
	pieces map[uint32]*piece
	last   uint32 // the number of the piece that is filled
}

type piece struct {
	b    []byte
	live int // texts in it that were not taken
}

// place is where a text lies. The zero place is nowhere.
type place struct{ piece, at, size uint32 }

const pieceBytes = 256 << 10

func (s *pile) put(text string) place {
	p := s.pieces[s.last]
	if p == nil || len(p.b)+len(text) > cap(p.b) {
		if s.pieces == nil {
			s.pieces = map[uint32]*piece{}
		}
		if p != nil && p.live == 0 {
			delete(s.pieces, s.last)
		}
		if s.last++; s.last == 0 {
			s.last++ // after four billion pieces the numbers begin anew
		}
		p = &piece{b: make([]byte, 0, max(pieceBytes, len(text)))}
		s.pieces[s.last] = p
	}
	at := place{s.last, uint32(len(p.b)), uint32(len(text))}
	p.b = append(p.b, text...)
	p.live++
	return at
}

func (s *pile) text(at place) string { return string(s.pieces[at.piece].b[at.at : at.at+at.size]) }

// take removes a text. To take what lies nowhere does nothing.
func (s *pile) take(at place) {
	p := s.pieces[at.piece]
	if p == nil {
		return
	}
	if p.live--; p.live == 0 && at.piece != s.last {
		delete(s.pieces, at.piece)
	}
}
