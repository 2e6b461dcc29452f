package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"carom"
	"carom/internal/reward"
)

func TestTidyKeepsWhatStillCounts(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now, Decide: reward.Decide, Retention: 400 * 24 * time.Hour})
	capped := func(ymid string) carom.Decision {
		t.Helper()
		sub := earning(ymid)
		at := c.now()
		sub.Event.Received.At = at
		can := &sub.Candidates[0]
		can.At, can.Day = at, int32(at.Year()*10_000+int(at.Month())*100+at.Day())
		can.Caps = []carom.CapAt{{Scope: "a day", PerUser: true, PerDay: true, Rewards: 1}, {Scope: "ever", PerUser: true, Rewards: 3}}
		d := accept(t, s, sub).Receipt.Decided[0]
		return carom.Decision{State: d.State, Cap: d.Cap}
	}
	var views []*carom.View
	open := func(ymid string) {
		t.Helper()
		v := &carom.View{App: "app", User: "42", YMID: ymid, OpenedAt: c.now(), ExpiresAt: c.now().Add(time.Minute)}
		if err := s.OpenView(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	capped("day 1")
	open("")
	open("an own one")
	c.advance(41 * 24 * time.Hour)
	capped("day 42")
	c.advance(50 * 24 * time.Hour)
	open("")
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{carom.ErrNotFound, nil, nil} {
		if _, err := s.View(t.Context(), views[i].ID); !errors.Is(err, want) {
			t.Errorf("view %d: %v, want %v", i, err, want)
		}
	}
	var days, all int
	if err := s.r.QueryRow(`SELECT count(*) FILTER (WHERE day > 0), count(*) FROM counters`).Scan(&days, &all); err != nil {
		t.Fatal(err)
	}
	if days != 0 || all != 1 {
		t.Errorf("%d counters of days and %d in all are left, want 0 and 1", days, all)
	}
	if d := capped("day 92"); d.State != carom.RewardGranted {
		t.Errorf("the third reward: %+v, want it granted", d)
	}
	c.advance(24 * time.Hour)
	if d := capped("day 93"); d.Cap != "ever" {
		t.Errorf("the fourth reward: %+v, want the cap for ever", d)
	}
	// Many counters are gone through in slices.
	if err := s.control(t.Context(), func(w *writer) error {
		for i := range 3 * pruneSlice {
			if err := w.exec(`INSERT INTO counters (scope, user, day, rewards, amount) VALUES ('many', ?, 20200101, 1, 0)`, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	c.advance(24 * time.Hour)
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.r.QueryRow(`SELECT count(*) FROM counters WHERE day = 20200101`).Scan(&days); err != nil || days != 0 {
		t.Errorf("%d old counters are left, %v", days, err)
	}
}
