package ingest

import (
	"errors"
	"sync"
	"time"
)

// errPaced says why an event is not taken now.
var errPaced = errors.New("the source brings more events a second than its rate allows; nothing of this one was kept: send it again later, or raise `rate`")

// pace is the rate of a source: how many events it may bring, with a second's worth at once. A nil pace allows everything.
type pace struct {
	rate float64

	mu   sync.Mutex // guards both below
	left float64
	at   time.Time // when left was counted
}

func newPace(rate float64) *pace { return &pace{rate: rate, left: max(rate, 1)} }

// take says whether the source may bring an event at now, and counts it. A clock that goes back gives nothing.
func (p *pace) take(now time.Time) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if passed := now.Sub(p.at); passed > 0 {
		p.left = min(p.left+passed.Seconds()*p.rate, max(p.rate, 1))
	}
	p.at = now
	if p.left < 1 {
		return false
	}
	p.left--
	return true
}
