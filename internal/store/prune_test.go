package store

import (
	"fmt"
	"testing"

	"carom"
	"carom/internal/reward"
	"carom/internal/tables"
)

// Counters of days go, in slices, and the ones that count for ever stay.
func TestTidyDropsCountersInSlices(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	opts := Options{Clock: c.now, Decide: reward.Decide, Retention: 400 * day}
	s, stop := open(t, dir, opts)
	for range 2 {
		sub := earning(c.now().String())
		at := c.now()
		sub.Event.Received.At = at
		can := &sub.Candidates[0]
		can.At, can.Day = at, int32(at.Year()*10_000+int(at.Month())*100+at.Day())
		can.Caps = []carom.CapAt{{Scope: "a day", PerUser: true, PerDay: true, Rewards: 1}, {Scope: "ever", PerUser: true, Rewards: 3}}
		accept(t, s, sub)
		c.advance(41 * day)
	}
	stop() // by which all counters are in their table
	s, _ = open(t, dir, opts)
	prune(t, s)
	var days, all int
	if err := s.r.QueryRow(`SELECT count(*) FILTER (WHERE day > 0), count(*) FROM counters`).Scan(&days, &all); err != nil {
		t.Fatal(err)
	}
	if days != 0 || all != 1 {
		t.Errorf("%d counters of days and %d in all are left, want 0 and 1", days, all)
	}
	// Many counters are gone through in slices.
	if err := s.control(t.Context(), func(w *writer) error {
		for i := range 3 * tables.PruneSlice {
			if err := w.exec(`INSERT INTO counters (scope, user, day, rewards, amount) VALUES ('many', ?, 20200101, 1, 0)`, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c.advance(day)
	prune(t, s)
	if err := s.r.QueryRow(`SELECT count(*) FROM counters WHERE day = 20200101`).Scan(&days); err != nil || days != 0 {
		t.Errorf("%d old counters are left, %v", days, err)
	}
}
