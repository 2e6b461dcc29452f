package deliver

import (
	"slices"
	"sync"
)

// gate bounds the attempts under way over all lanes. Anybody may take a place while less than half of them are taken. The
// other half is for lanes that hold less than an even share of it, so that lanes whose receivers hang cannot take the
// places of the others.
type gate struct {
	mu      sync.Mutex // guards all below, and waits and hungry of the lanes; taken last, after a lane's
	max     int
	lanes   int
	inUse   int
	waiting []*lane // lanes that were turned away, in turn; each at most once
}

func (g *gate) setLanes(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lanes = n
}

func (g *gate) total() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inUse
}

// enter takes a place for a lane that holds own places already. A lane that is turned away waits for a turn.
func (g *gate) enter(l *lane, own int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	hungry := own < max(1, g.max/2/max(g.lanes, 1))
	if g.inUse < g.max/2 || hungry && g.inUse < g.max {
		g.inUse++
		return true
	}
	l.hungry = hungry
	if !l.waits {
		l.waits = true
		g.waiting = append(g.waiting, l)
	}
	return false
}

// leave gives a place back. It returns the lane whose turn it is, which the caller hands to passOn before it looks for more to
// do in its own lane, so that a busy lane queues like the others; nil when none waits.
func (g *gate) leave() *lane {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inUse--
	return g.turn()
}

// passOn lets l use its turn. A lane that cannot (it was paused, say) leaves it to the next. The caller holds no lane's mu.
func (g *gate) passOn(l *lane) {
	for l != nil {
		l.mu.Lock()
		l.pump()
		l.mu.Unlock()
		g.mu.Lock()
		l = g.turn()
		g.mu.Unlock()
	}
}

// turn takes the first lane that may enter now out of the queue; nil when there is none. The caller holds mu.
func (g *gate) turn() *lane {
	if g.inUse >= g.max {
		return nil
	}
	for i, l := range g.waiting {
		if g.inUse < g.max/2 || l.hungry {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			l.waits = false
			return l
		}
	}
	return nil
}
