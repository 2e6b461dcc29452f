package confirm

import (
	"hash/maphash"
	"sync"
	"time"

	"carom"
)

// rates count what was valued of each user, device and address in windows that slide, without storing each event: a window
// is a fixed one with a share of the one before it, which errs by a few percent and forgets by itself.
//
// They live in memory: a restart begins anew, and each node counts by itself.
type rates struct {
	seed   maphash.Seed
	shards [rateShards]rateShard
}

const (
	rateShards = 64
	// maxRates bounds what a shard remembers, at some 100 bytes each: 200 MB in all is never reached by honest traffic of one server.
	maxRates = 30_000
)

type rateShard struct {
	mu    sync.Mutex
	seen  map[uint64]*window
	swept time.Time
	_     [64]byte // shards are locked by different cores
}

// window is the count of the current span and of the one before it.
type window struct {
	began  time.Time
	span   time.Duration
	now    int
	before int
}

func newRates() *rates {
	r := &rates{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].seen = map[uint64]*window{}
	}
	return r
}

// count is one thing that was counted, so that it can be taken back.
type count struct {
	key uint64
	at  time.Time
}

// take counts one more of what kind and name stand for, if the limit allows it.
func (r *rates) take(limit carom.ViewLimit, now time.Time, kind, scope, name string) (c count, ok bool) {
	if limit.Views < 0 {
		return count{}, true
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, s := range []string{kind, "\x00", scope, "\x00", name} {
		h.WriteString(s)
	}
	key := h.Sum64()
	s := &r.shards[key%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.seen[key]
	if w == nil {
		if len(s.seen) >= maxRates && !s.sweep(now) {
			return count{}, true // more at once than can be told apart: nobody honest is declined for that
		}
		w = &window{began: now, span: limit.Within}
		s.seen[key] = w
	}
	w.slide(now, limit.Within)
	if w.used(now) >= limit.Views {
		return count{}, false
	}
	w.now++
	return count{key, now}, true
}

// undo takes back what take counted.
func (r *rates) undo(c count) {
	if c.at.IsZero() {
		return
	}
	s := &r.shards[c.key%rateShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.seen[c.key]; w != nil && w.now > 0 && !c.at.Before(w.began) {
		w.now--
	}
}

// slide moves the window to the span that now lies in.
func (w *window) slide(now time.Time, span time.Duration) {
	if span != w.span { // the limit was changed
		*w = window{began: now, span: span}
	}
	switch passed := now.Sub(w.began); {
	case passed < 0: // the clock went back
		w.began = now
	case passed >= 2*span:
		w.began, w.before, w.now = now, 0, 0
	case passed >= span:
		w.began, w.before, w.now = w.began.Add(span), w.now, 0
	}
}

// used is the count of the last span, as near as two numbers tell.
func (w *window) used(now time.Time) int {
	left := w.span - now.Sub(w.began)
	return w.now + int(int64(w.before)*int64(left/time.Millisecond)/int64(max(w.span/time.Millisecond, 1)))
}

// sweep forgets what is over, once a second at most, and says whether there is room.
func (s *rateShard) sweep(now time.Time) bool {
	if since := now.Sub(s.swept); since >= 0 && since < time.Second {
		return false
	}
	s.swept = now
	for key, w := range s.seen {
		if now.Sub(w.began) >= 2*w.span {
			delete(s.seen, key)
		}
	}
	return len(s.seen) < maxRates
}
