package api

import (
	"sync"
	"time"
)

// tries bounds how often each of many may do something: so many times at once, then once in a while. Its memory is bounded too: when
// too many are known, some are forgotten. It is safe for concurrent use.
type tries struct {
	burst int
	every time.Duration // until one is forgiven
	now   func() time.Time

	mu   sync.Mutex // guards owed
	owed map[string]debt
}

// debt is what somebody had used up at a moment.
type debt struct {
	n  float64
	at time.Time
}

const maxTries = 10_000 // keys that are remembered

func newTries(burst int, every time.Duration, now func() time.Time) *tries {
	return &tries{burst: burst, every: every, now: now, owed: map[string]debt{}}
}

// left is what is not forgiven yet. A clock that goes back forgives nothing.
func (t *tries) left(d debt, now time.Time) float64 {
	return max(d.n-max(float64(now.Sub(d.at))/float64(t.every), 0), 0)
}

// take counts one more of key, or says how long to wait until there may be one.
func (t *tries) take(key string) (wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	n := t.left(t.owed[key], now)
	if over := n + 1 - float64(t.burst); over > 0 {
		return max(time.Duration(over*float64(t.every)), time.Second)
	}
	if len(t.owed) >= maxTries {
		t.forget(now)
	}
	t.owed[key] = debt{n + 1, now}
	return 0
}

// forget makes room. The caller holds mu. The order of a map is random.
func (t *tries) forget(now time.Time) {
	for key, d := range t.owed {
		if t.left(d, now) == 0 {
			delete(t.owed, key)
		}
	}
	for key := range t.owed {
		if len(t.owed) < maxTries {
			return
		}
		delete(t.owed, key)
	}
}

// forgive gives back what take counted.
func (t *tries) forgive(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if n := t.left(t.owed[key], now) - 1; n > 0 {
		t.owed[key] = debt{n, now}
	} else {
		delete(t.owed, key)
	}
}
