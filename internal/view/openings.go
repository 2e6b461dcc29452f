package view

import (
	"sync"
	"time"
)

// Bounds of what browsers open. A person who watches ads one after the other opens a view every ten seconds or so.
const (
	openingEvery  = 2 * time.Second // one more is allowed
	openingsAhead = 30              // may be opened at once
	maxOpeners    = 50_000          // who opened a view less than a minute ago, in some 6 MB
)

// openings bounds how many views each user opens from browsers: 30 at once, and one more every two seconds. The zero value
// is ready.
//
// It keeps one moment per user: when the allowance is whole again. A user whose moment has passed is like one who never
// came, and is forgotten when room is needed.
type openings struct {
	mu    sync.Mutex // guards all below
	whole map[opener]time.Time
	swept time.Time
}

type opener struct{ app, user string }

// take counts one opening of a user's. It returns zero if that is allowed, else how long to wait; a refused one does not
// count. When more users are at it than it can hold, newcomers are refused.
func (o *openings) take(app, user string, now time.Time) (again time.Duration) {
	const window = openingsAhead * openingEvery
	o.mu.Lock()
	defer o.mu.Unlock()
	who := opener{app, user}
	at, known := o.whole[who]
	switch {
	case !known && len(o.whole) >= maxOpeners && !o.sweep(now):
		return openingEvery
	case at.Before(now):
		at = now
	case at.Sub(now) > window: // the clock went back
		at = now.Add(window)
	}
	if again = at.Sub(now) - (window - openingEvery); again > 0 {
		return again
	}
	if o.whole == nil {
		o.whole = map[opener]time.Time{}
	}
	o.whole[who] = at.Add(openingEvery)
	return 0
}

// sweep forgets whose moment has passed, once a second at most, and says whether there is room.
func (o *openings) sweep(now time.Time) bool {
	if since := now.Sub(o.swept); since >= 0 && since < time.Second {
		return false
	}
	o.swept = now
	for who, at := range o.whole {
		if !at.After(now) {
			delete(o.whole, who)
		}
	}
	return len(o.whole) < maxOpeners
}
