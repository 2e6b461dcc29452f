package deliver

import "time"

// When a breaker opens: this many failures in a row, or this share of at least so many attempts within a window.
const (
	breakerRow    = 10
	breakerShare  = 0.8
	breakerMin    = 50
	breakerWindow = 30 * time.Second
)

// How long an open breaker waits between probes: it doubles from the first to the last.
const (
	firstProbe = 5 * time.Second
	lastProbe  = time.Minute
)

// breaker stops attempts to a receiver that is not well. While it is open no attempts are spent; single real deliveries
// probe. It is a value of its lane, which guards it.
type breaker struct {
	row         int // failures since the last success
	windowStart time.Time
	ok, ill     int // in this window

	open    bool
	since   time.Time // when it opened or closed
	probeAt time.Time
	wait    time.Duration // before the probe after the next
	probing bool          // one is under way
}

// reopen makes a breaker open since a moment, with a probe due at once.
func (b *breaker) reopen(since, now time.Time) {
	*b = breaker{open: true, since: since}
	b.probeSoon(now)
}

// mayProbe says whether a probe may begin now. Only an open breaker is asked.
func (b *breaker) mayProbe(now time.Time) bool { return !b.probing && !now.Before(b.probeAt) }

// note takes up the outcome of an attempt that was made while the breaker was closed, and says whether that opens it.
func (b *breaker) note(now time.Time, o *Outcome, random float64) (opened bool) {
	if o.NoNews {
		return false
	}
	if now.Sub(b.windowStart) > breakerWindow {
		b.windowStart, b.ok, b.ill = now, 0, 0
	}
	if !o.Ill {
		b.row = 0
		b.ok++
		return false
	}
	b.row++
	b.ill++
	n := b.ok + b.ill
	if b.row < breakerRow && (n < breakerMin || float64(b.ill) < breakerShare*float64(n)) {
		return false
	}
	b.open, b.since, b.wait = true, now, firstProbe
	b.scheduleProbe(now, random)
	return true
}

// noteProbe takes up the outcome of a probe and says whether that closes the breaker.
func (b *breaker) noteProbe(now time.Time, o *Outcome, random float64) (closed bool) {
	if o.Ill || o.NoNews {
		b.scheduleProbe(now, random)
		return false
	}
	*b = breaker{since: now, windowStart: now}
	return true
}

// probeSoon makes the next probe due now, because what is sent has changed.
func (b *breaker) probeSoon(now time.Time) { b.probeAt, b.wait = now, firstProbe }

func (b *breaker) scheduleProbe(now time.Time, random float64) {
	b.probeAt = now.Add(jitter(b.wait, random))
	b.wait = min(2*b.wait, lastProbe)
}

// follow opens a breaker that another node has opened, or closes one that another has closed. A probe that is under way here still
// counts as one. after is how much later than by its own schedule the first probe is due.
func (b *breaker) follow(since, now time.Time, after time.Duration, random float64) {
	*b = breaker{open: !since.IsZero(), since: since, probing: b.probing}
	if !b.open {
		b.since, b.windowStart = now, now
		return
	}
	b.wait = firstProbe
	b.scheduleProbe(now.Add(after), random)
}

// memo is what the store knows of a lane's breaker. The lane's mu guards it.
type memo struct {
	open    bool
	writing bool
	written time.Time // when it was last told
}

// recallBreaker opens the breaker if it was open when the engine last ended, so that a receiver which is down is not shown
// ten more failures, and what waits for it still goes out in order. A zero moment leaves it closed. The caller holds mu.
func (l *lane) recallBreaker(openedAt time.Time) {
	if openedAt.IsZero() {
		return
	}
	l.breaker.reopen(openedAt, l.e.opts.Clock())
	l.memo.open = true
}

// rememberBreaker has the store remember what has changed, if anything has. Called by tend, it costs a breaker that
// flutters one write a second; a crash forgets what is younger. The caller holds mu.
func (l *lane) rememberBreaker() {
	open, openedAt := l.breaker.open && !l.removed, l.breaker.since
	if open == l.memo.open || l.memo.writing || !l.e.running.Load() {
		return
	}
	if !open {
		openedAt = time.Time{}
	}
	l.memo.writing = true
	l.e.start(func() {
		err := l.e.opts.Store.SetBreaker(l.e.claims, l.no, openedAt)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.memo.writing, l.memo.written = false, l.e.opts.Clock()
		if err == nil {
			l.memo.open = open
		} // else the next tend tries again
	})
}
