package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"carom"
	"carom/internal/reward"
	"carom/internal/tables"
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
		for i := range 3 * tables.PruneSlice {
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

// Retention drops the event. What it earned stays: it is taken back sixty days later, and the same postback, whose key counts no
// more, earns nothing again.
func TestRewardsOutliveTheirEvents(t *testing.T) {
	c := newClock()
	opts := Options{Clock: c.now, Decide: reward.Decide, BucketEvents: 1, SegmentRewards: 2}
	dir := t.TempDir()
	s, stop := open(t, dir, opts)
	again := func(ymid string) *carom.Submission {
		sub := earning(ymid)
		sub.Event.Received.At, sub.Candidates[0].At = c.now(), c.now()
		sub.Transaction = carom.SumOf("transaction", ymid)
		return sub
	}
	first := accept(t, s, again("a"))
	accept(t, s, again("b"))
	accept(t, s, again("c"))
	c.advance(59 * 24 * time.Hour)
	accept(t, s, again("later")) // closes the buckets before
	s.seal()
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Story(t.Context(), first.Receipt.ID); !errors.Is(err, carom.ErrNotFound) {
		t.Fatalf("the event is still there: %v", err)
	}
	stop()
	s, _ = open(t, dir, opts)
	if d := accept(t, s, again("a")).Receipt.Decided[0]; d.Reason != carom.DeclineTransaction {
		t.Errorf("the same postback after two months: %+v, want its transaction to have earned before", d)
	}
	reversal := submission("a is taken back", c.now())
	reversal.Event.Type = carom.Reversal
	reversal.Change = carom.RewardChange{Reverse: carom.SumOf("transaction", "a"), Why: "the network took it back"}
	if got := accept(t, s, reversal).Receipt.Decided; len(got) != 1 || got[0].State != carom.RewardReversed || got[0].Reward.ID != first.Receipt.Decided[0].Reward.ID {
		t.Errorf("taken back: %+v, want the reward of the first event", got)
	}
	balances, err := s.Balances(t.Context(), "app", "42")
	if err != nil || len(balances) != 1 || balances[0].Amount != "15" {
		t.Errorf("balances %+v, %v, want 15: four were credited and one was taken back", balances, err)
	}
}

// A grant by hand is made once for its key, also when the event of the first is forgotten.
func TestGrantIsMadeOnceForEver(t *testing.T) {
	c := newClock()
	opts := Options{Clock: c.now, Decide: reward.Decide, BucketEvents: 1, SegmentRewards: 1}
	dir := t.TempDir()
	s, stop := open(t, dir, opts)
	grant := func() carom.Decided {
		t.Helper()
		sub := submission(fmt.Sprint("grant at ", c.now().Unix()), c.now())
		sub.Event.Source, sub.Event.Type = carom.SourceCarom, carom.Completion
		sub.Transaction = carom.SumOf("grant", "ticket")
		sub.Change = carom.RewardChange{Grant: &carom.Reward{App: "app", User: "42", Currency: "coins", Amount: 5_000_000_000}, Why: "lost"}
		return accept(t, s, sub).Receipt.Decided[0]
	}
	first := grant()
	c.advance(100 * 24 * time.Hour)
	accept(t, s, submission("another", c.now()))
	s.seal()
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	s, _ = open(t, dir, opts)
	if d := grant(); d.State != carom.RewardDeclined || d.Reward == nil || d.Reward.ID != first.Reward.ID {
		t.Errorf("the same grant again: %+v, want the first one named", d)
	}
	if got, err := s.Balances(t.Context(), "app", "42"); err != nil || len(got) != 1 || got[0].Amount != "5" {
		t.Errorf("balances %+v, %v, want 5", got, err)
	}
}
