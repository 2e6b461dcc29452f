package postgres

import (
	"sync/atomic"
	"time"
)

// clock follows the database's clock: whatever the clock of this machine says, all nodes store the same time. Between readings
// it goes on by the machine's steady clock. The committer alone notes readings.
type clock struct {
	machine func() time.Time // this machine's; tests have it go wrong
	last    atomic.Pointer[reading]
	told    atomic.Int64 // the latest time that was told, in nanoseconds since 1970
}

// reading is what the database's clock said.
type reading struct {
	database time.Time
	here     time.Time     // at the same moment, with the steady clock
	off      time.Duration // how far it may be off: half the time that asking took
}

// drift is by how much two clocks may drift apart, as a part of the time that passes.
const drift = 1e-4

// note takes up what the database said between two moments. A reading that is less certain than what is known is left.
func (c *clock) note(database time.Time, asked, answered time.Time) {
	off := answered.Sub(asked) / 2
	if r := c.last.Load(); r != nil && off > r.off+time.Duration(drift*float64(answered.Sub(r.here))) {
		return
	}
	c.last.Store(&reading{database: database.Add(off), here: answered, off: off})
}

// now is the database's time; this machine's before the first reading.
func (c *clock) now() time.Time {
	r := c.last.Load()
	if r == nil {
		return c.machine().UTC()
	}
	return c.onwards(r.database.Add(time.Since(r.here)))
}

// setBack is by how much the time may be before what was told last without being told: a surer reading differs by less. When it is
// further back, the database's clock was set.
const setBack = time.Second

// onwards keeps the time from running backwards when a surer reading takes the place of another: it stands still instead.
func (c *clock) onwards(t time.Time) time.Time {
	for {
		told := c.told.Load()
		if behind := told - t.UnixNano(); behind > 0 && behind < int64(setBack) {
			return time.Unix(0, told).UTC()
		}
		if c.told.CompareAndSwap(told, t.UnixNano()) {
			return t
		}
	}
}

// ahead is how far this machine's clock is ahead of the database's; below zero when it is behind.
func (c *clock) ahead() time.Duration { return c.machine().Round(0).Sub(c.now()) }
