package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/tables"
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
func TestBalancesAreExact(t *testing.T) {
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
		s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
		var given []*carom.Submission
		for i, amount := range tt.amounts {
			given = append(given, grants("u", "coins", amount, fmt.Sprint(i), noon))
		}
		acceptAll(t, s, given...)
		for i := range tt.void {
			acceptAll(t, s, voids(given[i], fmt.Sprint("void ", i), noon))
		}
		if got := balance(t, s, "u"); got != tt.want {
			t.Errorf("%v without the first %d are %q, want %q", tt.amounts, tt.void, got, tt.want)
		}
	}
}

// Lines come newest first, by currency if that is asked for, with those that came long after their reward in their place.
func TestLedgerListsLinesNewestFirst(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now, SegmentRewards: 3}))
	var want []string // newest first
	note := func(sub *carom.Submission, amount carom.Nanos, currency string) {
		want = slices.Insert(want, 0, fmt.Sprint(amount, currency, sub.Receipt.ID, sub.Change.Why))
	}
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
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

// Rewards are found by each field of a filter, page by page, in segments that are open, full and sealed.
func TestRewardsAreFoundPageByPage(t *testing.T) {
	dir := t.TempDir()
	opts := rewarding(Options{Clock: newClock().now, SegmentRewards: 100})
	s, stop := open(t, dir, opts)
	var all []*carom.Reward // newest first
	fill := func(n int) {
		t.Helper()
		for range n / 10 {
			var subs []*carom.Submission
			for range 10 {
				i := len(all) + len(subs)
				sub := paid(fmt.Sprint("view ", i), fmt.Sprint("user ", i%3), carom.Impression, noon.Add(time.Duration(i)*time.Second),
					pays([]string{"watch", "extra"}[i%2], 5, holds(time.Duration(i%5/4)*time.Hour)))
				if i%7 == 0 {
					sub.Event.Source = "other"
				}
				subs = append(subs, sub)
			}
			acceptAll(t, s, subs...)
			for _, sub := range subs {
				all = slices.Insert(all, 0, sub.Receipt.Decided[0].Reward)
			}
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
	fill(750)
	check("several")
	s.seal()
	check("sealed")
	stop()
	s, _ = open(t, dir, opts)
	check("after a restart")
	if _, err := s.Rewards(t.Context(), carom.RewardFilter{Before: "evt_1"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("Rewards before something else: %v, want carom.ErrInvalid", err)
	}
	for id, want := range map[carom.RewardID]error{"nonsense": carom.ErrInvalid, carom.NewRewardID(s.inc, 100_000): carom.ErrNotFound, carom.NewRewardID(s.inc+1, 1): carom.ErrNotFound} {
		if _, _, err := s.Reward(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Reward(%s): %v, want %v", id, err, want)
		}
	}
}

// A check of the ledger names each kind of fault, and nothing else.
func TestCheckLedgerNamesFaults(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
	given := grants("x", "gems", 7, "1", noon)
	acceptAll(t, s, given)
	acceptAll(t, s,
		within("1", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional))), // 2, 3
		within("2", paid("b", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional))), // 4, 5
		paid("c", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))),                          // 6
		voids(given, "2", noon), paid("d", "z", carom.Impression, noon, pays("watch", 1))) // 7
	report, err := s.CheckLedger(t.Context())
	if want := (carom.LedgerReport{Rewards: 7, Lines: 7, Balances: 3, Faults: []string{}}); err != nil || cmp.Diff(want, report) != "" {
		t.Errorf("CheckLedger = %+v, %v, want %+v", report, err, want)
	}
	folder := crash(t, s)
	for name, tt := range map[string]struct {
		sql  string
		want []string // parts of the faults, in their order
	}{
		"a balance with a unit too many":      {`UPDATE balances SET units = units + 1 WHERE user = 'u'`, []string{"the balance of app u coins differs from the sum of its lines by 1 units and 0 billionths"}},
		"a balance with a billionth too few":  {`UPDATE balances SET nanos = nanos - 1 WHERE user = 'x'`, []string{"the balance of app x gems differs from the sum of its lines by 0 units and -1 billionths"}},
		"a balance that is gone":              {`DELETE FROM balances WHERE user = 'x' OR user = 'u'`, []string{"the balance of app u coins"}},
		"a balance of nothing":                {`INSERT INTO balances VALUES ('app', 'y', 'coins', 0, 5, 0)`, []string{"the balance of app y coins"}},
		"a balance of another user":           {`UPDATE balances SET user = 'y' WHERE user = 'u'`, []string{"the balance of app u coins", "the balance of app y coins"}},
		"a line without a reward":             {`INSERT INTO ledger VALUES (99, 1, 0, 'app', 'u', 'coins', 0, 'evt', '', 0)`, []string{"reward 99, line 1"}},
		"a line without an event":             {`UPDATE ledger SET event = '' WHERE reward = 2`, []string{"reward 2, line 1"}},
		"a line of another amount":            {`UPDATE ledger SET amount = amount + 1 WHERE reward = 2`, []string{"the balance of app u coins", "reward 2, line 1", "the lines of reward 2 (granted)"}},
		"a line of another user":              {`UPDATE ledger SET user = 'y' WHERE reward = 2`, []string{"the balance of app u coins", "the balance of app y coins", "reward 2, line 1"}},
		"a line of another currency":          {`UPDATE ledger SET currency = 'gems' WHERE reward = 2`, []string{"the balance of app u coins", "the balance of app u gems", "reward 2, line 1"}},
		"a line that is gone":                 {`DELETE FROM ledger WHERE reward = 2`, []string{"the balance of app u coins", "the lines of reward 2 (granted)"}},
		"a debit that is gone":                {`DELETE FROM ledger WHERE reward = 1 AND n = 2`, []string{"the balance of app x gems", "the lines of reward 1 (reversed)"}},
		"a credit with its sign turned":       {`UPDATE ledger SET amount = -amount WHERE reward = 2`, []string{"the balance of app u coins", "the lines of reward 2 (granted)"}},
		"a credit in the place of a debit":    {`UPDATE ledger SET n = 2 WHERE reward = 2`, []string{"the lines of reward 2 (granted)"}},
		"a credit and its debit in turn":      {`UPDATE ledger SET amount = -amount WHERE reward = 1`, []string{"the lines of reward 1 (reversed)"}},
		"a reward of another amount":          {`UPDATE rewards SET amount = amount - 1 WHERE no = 2`, []string{"reward 2, line 1", "the lines of reward 2 (granted)"}},
		"a reward of another user":            {`UPDATE rewards SET user = 'y' WHERE no = 2`, []string{"reward 2, line 1"}},
		"a held reward as if it was granted":  {`UPDATE rewards SET state = 'granted' WHERE no = 6`, []string{"the lines of reward 6 (granted)"}},
		"a granted reward as if it was held":  {`UPDATE rewards SET state = 'held' WHERE no = 2`, []string{"the lines of reward 2 (held)"}},
		"a reversed reward as if it was not":  {`UPDATE rewards SET state = 'granted' WHERE no = 1`, []string{"the lines of reward 1 (granted)"}},
		"a reward of a state that is none":    {`UPDATE rewards SET state = 'nonsense' WHERE no = 6`, []string{"reward 6 (nonsense)"}},
		"a held reward that is gone":          {`DELETE FROM rewards WHERE no = 6`, []string{"of the rewards there are 6, and the newest is number 7"}},
		"a reward that is gone":               {`DELETE FROM rewards WHERE no = 2`, []string{"reward 2, line 1", "of the rewards there are 6"}},
		"a view that a rule rewarded twice":   {`UPDATE rewards SET view = (SELECT view FROM rewards WHERE no = 3) WHERE no = 5`, []string{"the rule app/extra rewarded one view 2 times, first with reward 3"}},
		"a transaction that a rule rewarded":  {`UPDATE rewards SET tx = (SELECT tx FROM rewards WHERE no = 3) WHERE no = 5`, []string{"the rule app/extra rewarded one transaction 2 times, first with reward 3"}},
		"a view that two rules rewarded":      {`UPDATE rewards SET view = (SELECT view FROM rewards WHERE no = 2), rule = 'other' WHERE no = 4`, []string{"one view of the app app was rewarded 2 times by rules that are not additional, first with reward 2"}},
		"a transaction that two rules earned": {`UPDATE rewards SET tx = (SELECT tx FROM rewards WHERE no = 2), rule = 'other' WHERE no = 4`, []string{"one transaction of the app app was rewarded 2 times by rules that are not additional, first with reward 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := copyFolder(dir, folder); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.foldAll(); err != nil {
				t.Fatal(err)
			}
			if err := s.w.exec(tt.sql); err != nil {
				t.Fatal(err)
			}
			report, err := s.CheckLedger(t.Context())
			if err != nil {
				t.Fatalf("CheckLedger: %v", err)
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(report.Faults, func(fault string) bool { return strings.Contains(fault, want) }) {
					t.Errorf("CheckLedger finds %q, want %q among them", report.Faults, want)
				}
			}
			if len(report.Faults) == 0 || len(report.Faults) > len(tt.want)+1 {
				t.Errorf("CheckLedger finds %q, want %d faults", report.Faults, len(tt.want))
			}
		})
	}
}

// A check lists no more faults than somebody can read.
func TestCheckLedgerListsAHundredFaults(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
	var subs []*carom.Submission
	for i := range 150 {
		subs = append(subs, grants(fmt.Sprint(i), "coins", 5, fmt.Sprint(i), noon))
	}
	acceptAll(t, s, subs...)
	damaged, err := Open(crash(t, s), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer damaged.Close()
	if err := damaged.w.exec(`UPDATE rewards SET amount = 6, state = 'held'`); err != nil {
		t.Fatal(err)
	}
	if report, err := damaged.CheckLedger(t.Context()); err != nil || len(report.Faults) != tables.MaxFaults || report.Rewards != 150 {
		t.Errorf("CheckLedger finds %d faults in %d rewards, %v, want %d in 150", len(report.Faults), report.Rewards, err, tables.MaxFaults)
	}
}
