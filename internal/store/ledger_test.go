package store

import (
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
