package store

import (
	"fmt"
	"testing"
	"time"

	"carom"
	"carom/internal/reward"
)

// What rewards add up to is the same at every moment of a fold: for readers, for the next decision, after a crash and after a
// clean stop.
func TestFoldChangesNoSum(t *testing.T) {
	c := newClock()
	opts := Options{Clock: c.now, Decide: reward.Decide, foldAt: 12, foldSlice: 5}
	s, _ := open(t, t.TempDir(), opts)
	const users, limit = 7, 4
	credited := map[string]int{}
	pay := func(s *Store, i int) carom.Decided {
		t.Helper()
		sub := earning(fmt.Sprint("view ", i))
		sub.View.User = fmt.Sprint("user ", i%users)
		can := &sub.Candidates[0]
		can.Day, can.Cooldown, can.At = 20260301, time.Second, noon.Add(time.Duration(i)*time.Minute)
		can.Caps = []carom.CapAt{
			{Scope: "a user's day", PerUser: true, PerDay: true, Rewards: limit},
			{Scope: "all", Amount: carom.Price{Nanos: users * limit * 5_000_000_000, Set: true}},
		}
		return accept(t, s, sub).Receipt.Decided[0]
	}
	check := func(name string, s *Store) {
		t.Helper()
		for u := range users {
			user := fmt.Sprint("user ", u)
			got, err := s.Balances(t.Context(), "app", user)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprint(5 * credited[user])
			if len(got) == 0 && credited[user] > 0 || len(got) > 0 && got[0].Amount != want {
				t.Errorf("%s: %s has %+v, want %s", name, user, got, want)
			}
		}
		report, err := s.CheckLedger(t.Context())
		if err != nil || len(report.Faults) > 0 || report.Balances != int64(len(credited)) {
			t.Errorf("%s: the ledger %+v, %v, want %d balances and no fault", name, report, err, len(credited))
		}
	}
	folds, under := 0, 0
	for i := range users * limit {
		if d := pay(s, i); d.State != carom.RewardGranted {
			t.Fatalf("reward %d: %+v", i, d)
		}
		credited[fmt.Sprint("user ", i%users)]++
		check(fmt.Sprint("after ", i), s)
		if err := s.control(t.Context(), func(*writer) error { // the committer's own
			if s.tallies.older != nil {
				under++
			} else if s.tallies.folded > 0 {
				folds++
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		crashed, stop := open(t, crash(t, s), opts)
		check(fmt.Sprint("after a crash behind ", i), crashed)
		if i >= users*(limit-1) { // each user's day is full, or becomes so now
			next := pay(crashed, users*limit+i%users)
			if next.State != carom.RewardDeclined || next.Cap != "a user's day" {
				t.Errorf("after a crash behind %d, one more: %+v, want the cap of the user's day", i, next)
			}
		}
		stop()
		stopped, _ := open(t, crashed.dir, opts)
		check(fmt.Sprint("after a clean stop behind ", i), stopped)
	}
	if folds == 0 || under == 0 {
		t.Errorf("looked %d times after a fold and %d times while one was under way, want both", folds, under)
	}
	for i := range users {
		if d := pay(s, users*limit+i); d.Reason != carom.DeclineCapped {
			t.Errorf("beyond the caps: %+v", d)
		}
	}
	early := earning("too soon")
	early.View.User = "user 0"
	early.Candidates[0].Cooldown, early.Candidates[0].At = time.Hour, noon.Add(users*limit*time.Minute)
	if d := accept(t, s, early).Receipt.Decided[0]; d.Reason != carom.DeclineCooldown {
		t.Errorf("within the cooldown: %+v", d)
	}
}
