package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// grants makes the event by which a person grants an amount.
func grants(user, currency string, amount carom.Nanos, key string, at time.Time) *carom.Submission {
	return byCarom(carom.Completion, key, at, carom.RewardChange{Why: "sorry", Grant: &carom.Reward{App: "app", User: user, Currency: currency, Amount: amount}})
}

// voids makes the event by which a person takes back what another granted.
func voids(granted *carom.Submission, key string, at time.Time) *carom.Submission {
	return byCarom(carom.Reversal, key, at, carom.RewardChange{Void: granted.Receipt.Decided[0].Reward.ID, Why: "mistaken"})
}

// Balances are exact and plainly written at both ends of the scale.
func balancesAreExact(t *testing.T, open Opener) {
	const most = carom.Nanos(9_223_372_036_854_775_807)
	for _, tt := range []struct {
		amounts []carom.Nanos
		void    int // how many of them, from the first
		want    string
	}{
		{[]carom.Nanos{1}, 0, "0.000000001 coins"},
		{[]carom.Nanos{1}, 1, "0 coins"},
		{[]carom.Nanos{1_500_000_000, 1_500_000_000}, 0, "3 coins"},
		{[]carom.Nanos{1_500_000_000, 700_000_000, 900_000_000}, 1, "1.6 coins"},
		{[]carom.Nanos{most, most, most}, 0, "27670116110.564327421 coins"},
		{[]carom.Nanos{most, most, 1}, 2, "0.000000001 coins"},
	} {
		s := begin(t, open, Options{})
		var given []*carom.Submission
		for i, amount := range tt.amounts {
			given = append(given, grants("u", "coins", amount, fmt.Sprint(i), noon))
		}
		acceptAll(t, s, given...)
		s.restart(t)
		for i := range tt.void {
			acceptAll(t, s, voids(given[i], fmt.Sprint("void ", i), noon))
		}
		if got := balance(t, s, "u"); got != tt.want {
			t.Errorf("%v without the first %d are %q, want %q", tt.amounts, tt.void, got, tt.want)
		}
	}
}

// Lines come newest first, by currency if that is asked for, with those that came long after their reward in their place.
func linesNewestFirst(t *testing.T, open Opener) {
	s := begin(t, open, Options{SegmentRewards: 3})
	var want []string // newest first
	note := func(sub *carom.Submission, amount carom.Nanos, currency string) {
		want = slices.Insert(want, 0, fmt.Sprint(amount, currency, sub.Receipt.ID, sub.Change.Why))
	}
	minute := func(n int) time.Time {
		s.set(noon.Add(time.Duration(n) * time.Minute))
		return s.now()
	}
	var given []*carom.Submission
	for i := range 40 {
		sub := grants("u", []string{"coins", "gems"}[i%2], carom.Nanos(i+1), fmt.Sprint(i), minute(2*i))
		acceptAll(t, s, sub, grants("other", "coins", 1, fmt.Sprint("other ", i), minute(2*i)))
		note(sub, carom.Nanos(i+1), sub.Change.Grant.Currency)
		if given = append(given, sub); i%3 == 2 {
			back := voids(given[i/2], fmt.Sprint("void ", i), minute(2*i+1))
			if acceptAll(t, s, back); len(back.Receipt.Decided) > 0 {
				note(back, -carom.Nanos(i/2+1), given[i/2].Change.Grant.Currency)
			}
		}
	}
	list := func(f carom.LedgerFilter) (out []string) {
		t.Helper()
		lines, err := s.Ledger(t.Context(), f)
		if err != nil {
			t.Fatalf("Ledger(%+v): %v", f, err)
		}
		for _, l := range lines {
			out = append(out, fmt.Sprint(l.Amount, l.Currency, l.Event, l.Why))
		}
		return out
	}
	for _, limit := range []int{1, 2, 7, 50, 1000} {
		if diff := cmp.Diff(want[:min(limit, len(want))], list(carom.LedgerFilter{App: "app", User: "u", Limit: limit})); diff != "" {
			t.Errorf("the newest %d lines (-want +got):\n%s", limit, diff)
		}
	}
	var cursor carom.LedgerCursor
	for _, currency := range []string{"", "gems"} {
		wanted := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return !strings.Contains(line, currency) })
		for _, limit := range []int{1, 7} {
			var paged []string
			for f := (carom.LedgerFilter{App: "app", User: "u", Currency: currency, Limit: limit}); len(paged) <= len(wanted); {
				lines, err := s.Ledger(t.Context(), f)
				if err != nil {
					t.Fatalf("Ledger(%+v): %v", f, err)
				}
				if len(lines) == 0 {
					break
				}
				paged = append(paged, list(f)...)
				cursor = carom.LedgerCursor{Reward: lines[len(lines)-1].Reward, N: lines[len(lines)-1].N}
				f.Before = cursor
			}
			if diff := cmp.Diff(wanted, paged); diff != "" {
				t.Errorf("lines of %q, %d on a page (-want +got):\n%s", currency, limit, diff)
			}
		}
	}
	for _, f := range []carom.LedgerFilter{
		{App: "app", User: "other", Before: cursor}, {App: "app", User: "u", Before: carom.LedgerCursor{Reward: cursor.Reward, N: 9}},
		{App: "app", User: "u", Before: carom.LedgerCursor{Reward: "rwd_x", N: 1}},
	} {
		if _, err := s.Ledger(t.Context(), f); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("lines behind %+v of %s: %v, want carom.ErrInvalid", f.Before, f.User, err)
		}
	}
	gems := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return !strings.Contains(line, "gems") })
	if diff := cmp.Diff(gems[:9], list(carom.LedgerFilter{App: "app", User: "u", Currency: "gems", Limit: 9})); diff != "" {
		t.Errorf("lines of one currency (-want +got):\n%s", diff)
	}
	if got := list(carom.LedgerFilter{App: "app", User: "nobody"}); got != nil {
		t.Errorf("lines of nobody: %v", got)
	}
	if _, err := s.Ledger(t.Context(), carom.LedgerFilter{App: "app"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("lines without a user: %v, want carom.ErrInvalid", err)
	}
}

// Rewards are found by each field of a filter, page by page, the newest first.
func rewardsPageByPage(t *testing.T, open Opener) {
	s := begin(t, open, Options{SegmentRewards: 100})
	var all []*carom.Reward // newest first
	fill := func(n int) {
		t.Helper()
		for range n {
			i := len(all)
			s.set(noon.Add(time.Duration(i) * time.Second))
			sub := paid(fmt.Sprint("view ", i), fmt.Sprint("user ", i%3), carom.Impression, s.now(),
				pays([]string{"watch", "extra"}[i%2], 5, holds(time.Duration(i%5/4)*time.Hour)))
			if i%7 == 0 {
				sub.Event.Source = "other"
			}
			accept(t, s, sub)
			all = slices.Insert(all, 0, sub.Receipt.Decided[0].Reward)
		}
	}
	check := func(when string) {
		t.Helper()
		for _, f := range []carom.RewardFilter{
			{}, {App: "app"}, {App: "nothing"}, {App: "app", User: "user 1"}, {App: "app", User: "user 9"}, {App: "app", User: "user 2", Rule: "extra"},
			{App: "app", User: "user 0", State: carom.RewardHeld, Source: "other"}, {App: "app", Rule: "watch"}, {State: carom.RewardHeld},
			{App: "app", User: "user 0", From: noon.Add(100 * time.Second), To: noon.Add(300 * time.Second)}, {From: noon.Add(150 * time.Second)},
		} {
			var want, got []carom.RewardID
			for _, r := range all {
				if (f.App == "" || f.App == r.App) && (f.User == "" || f.User == r.User) && (f.Rule == "" || f.Rule == r.Rule) && (f.State == "" || f.State == r.State) &&
					(f.Source == "" || f.Source == r.Source) && (f.From.IsZero() || !r.At.Before(f.From)) && (f.To.IsZero() || r.At.Before(f.To)) {
					want = append(want, r.ID)
				}
			}
			for _, f.Limit = range []int{7, 1000} {
				got, f.Before = nil, ""
				for {
					list, err := s.Rewards(t.Context(), f)
					if err != nil || len(list) > f.Limit {
						t.Fatalf("Rewards(%+v): %d, %v", f, len(list), err)
					}
					if len(list) == 0 {
						break
					}
					for _, r := range list {
						got = append(got, r.ID)
					}
					if len(got) > len(all) {
						t.Fatalf("%s: Rewards(%+v) repeats some", when, f)
					}
					f.Before = got[len(got)-1]
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: Rewards(%+v) (-want +got):\n%s", when, f, diff)
				}
			}
		}
	}
	fill(60)
	check("one segment")
	fill(350)
	check("several")
	s.restart(t)
	check("after a restart")
	if _, err := s.Rewards(t.Context(), carom.RewardFilter{Before: "evt_1"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("Rewards before something else: %v, want carom.ErrInvalid", err)
	}
	life, no, err := all[0].ID.Number()
	if err != nil {
		t.Fatalf("Number(%s): %v", all[0].ID, err)
	}
	for id, want := range map[carom.RewardID]error{"nonsense": carom.ErrInvalid, carom.NewRewardID(life, no+100_000): carom.ErrNotFound, carom.NewRewardID(life+1, no): carom.ErrNotFound} {
		if _, _, err := s.Reward(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Reward(%s): %v, want %v", id, err, want)
		}
	}
}

// A check of the ledger looks at everything, and finds no fault where there is none.
func ledgerCheckCounts(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	given := grants("x", "gems", 7, "1", noon)
	acceptAll(t, s, given)
	acceptAll(t, s,
		within("1", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional))),
		within("2", paid("b", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional))),
		paid("c", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))),
		voids(given, "2", noon), paid("d", "z", carom.Impression, noon, pays("watch", 1)))
	for _, how := range places {
		move(t, s, how)
		report, err := s.CheckLedger(t.Context())
		if want := (carom.LedgerReport{Rewards: 7, Lines: 7, Balances: 3, Faults: []string{}}); err != nil || cmp.Diff(want, report) != "" {
			t.Errorf("%s: CheckLedger = %+v, %v, want %+v", how, report, err, want)
		}
	}
}

// What rewards add up to is the same at every moment: for readers, for the next decision, after a crash and after a clean stop.
func sumsAtEveryMoment(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	const users, limit = 5, 4
	credited := map[string]int{}
	pay := func(i int) carom.Decided {
		t.Helper()
		sub := earning(fmt.Sprint("view ", i), noon)
		sub.View.User = fmt.Sprint("user ", i%users)
		can := &sub.Candidates[0]
		can.Day, can.Cooldown, can.At = 20260301, time.Second, noon.Add(time.Duration(i)*time.Minute)
		can.Caps = []carom.CapAt{
			{Scope: "a user's day", PerUser: true, PerDay: true, Rewards: limit},
			{Scope: "all", Amount: carom.Price{Nanos: users * limit * 5_000_000_000, Set: true}},
		}
		return accept(t, s, sub).Receipt.Decided[0]
	}
	check := func(when string) {
		t.Helper()
		for u := range users {
			user := fmt.Sprint("user ", u)
			want := ""
			if credited[user] > 0 {
				want = fmt.Sprint(5*credited[user], " coins")
			}
			if got := balance(t, s, user); got != want {
				t.Errorf("%s: %s has %q, want %q", when, user, got, want)
			}
		}
		report, err := s.CheckLedger(t.Context())
		if err != nil || len(report.Faults) > 0 || report.Balances != int64(len(credited)) {
			t.Errorf("%s: the ledger %+v, %v, want %d balances and no fault", when, report, err, len(credited))
		}
	}
	for i := range users * limit {
		if d := pay(i); d.State != carom.RewardGranted {
			t.Fatalf("reward %d: %+v", i, d)
		}
		credited[fmt.Sprint("user ", i%users)]++
		check(fmt.Sprint("after ", i))
		s.crash(t)
		check(fmt.Sprint("after a crash behind ", i))
		s.restart(t)
		check(fmt.Sprint("after a clean stop behind ", i))
	}
	for i := range users {
		if d := pay(users*limit + i); d.State != carom.RewardDeclined || d.Cap != "a user's day" {
			t.Errorf("beyond the caps: %+v, want the cap of the user's day", d)
		}
	}
	early := earning("too soon", noon)
	early.View.User = "user 0"
	early.Candidates[0].Cooldown, early.Candidates[0].At = time.Hour, noon.Add(users*limit*time.Minute)
	if d := accept(t, s, early).Receipt.Decided[0]; d.Reason != carom.DeclineCooldown {
		t.Errorf("within the cooldown: %+v", d)
	}
}
