package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"carom"
)

// Each way to break a ledger is told; gaps in the numbers are none.
func TestCheckLedgerFindsFaults(t *testing.T) {
	c := openNodes(t, 2, Options{})
	for i := range 4 {
		for _, n := range c.nodes { // whose rewards have numbers far apart
			n.accept(t, earns(n.Store, fmt.Sprint(n.opts.Name, " view ", i), "user"))
		}
	}
	n := c.nodes[0]
	if report, err := n.CheckLedger(t.Context()); err != nil || len(report.Faults) > 0 || report.Rewards != 8 || report.Lines != 8 || report.Balances != 1 {
		t.Fatalf("CheckLedger = %+v, %v, want 8 rewards in order", report, err)
	}
	for _, tt := range []struct {
		name, breaks, mends string
		want                []string // a part of each fault
	}{
		{"a balance that is too high", `UPDATE balances SET units = units + 7`, `UPDATE balances SET units = units - 7`,
			[]string{"the balance of app user coins differs from the sum of its lines by 7 units and 0 billionths"}},
		{"a balance that is gone", `CREATE TABLE kept AS SELECT * FROM balances; DELETE FROM balances`, `INSERT INTO balances SELECT * FROM kept; DROP TABLE kept`,
			[]string{"the balance of app user coins differs from the sum of its lines by -40 units"}},
		{"a reward that is gone", `CREATE TABLE kept AS SELECT * FROM rewards ORDER BY no LIMIT 1; DELETE FROM rewards WHERE no IN (SELECT no FROM kept)`,
			`INSERT INTO rewards SELECT * FROM kept; DROP TABLE kept`, []string{"it has no cause"}},
		{"a line that is gone", `CREATE TABLE kept AS SELECT * FROM ledger ORDER BY reward LIMIT 1; DELETE FROM ledger WHERE reward IN (SELECT reward FROM kept)`,
			`INSERT INTO ledger SELECT * FROM kept; DROP TABLE kept`, []string{"the balance of", "contradict its state: they sum up to 0 billionths in 0 lines"}},
		{"a line of somebody else", `UPDATE ledger SET "user" = 'else' WHERE reward = (SELECT min(reward) FROM ledger)`, `UPDATE ledger SET "user" = 'user'`,
			[]string{"differs", "differs", "it has no cause"}},
		{"a state without a line", `UPDATE rewards SET state = 'reversed' WHERE no = (SELECT max(no) FROM rewards)`, `UPDATE rewards SET state = 'granted'`,
			[]string{"they sum up to 5000000000 billionths in 1 lines"}},
		{"a view that earned twice", `CREATE TABLE kept AS SELECT no, view FROM rewards; UPDATE rewards SET view = (SELECT view FROM rewards ORDER BY no LIMIT 1)
			WHERE no = (SELECT max(no) FROM rewards)`, `UPDATE rewards r SET view = k.view FROM kept k WHERE k.no = r.no; DROP TABLE kept`,
			[]string{"the rule app/watch rewarded one view 2 times", "one view of the app app was rewarded 2 times"}},
	} {
		run(t, c.url, strings.Split(tt.breaks, ";")...)
		report, err := n.CheckLedger(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		rest := slices.Clone(report.Faults)
		for _, want := range tt.want {
			i := slices.IndexFunc(rest, func(fault string) bool { return strings.Contains(fault, want) })
			if i < 0 {
				t.Errorf("%s: %q is not among %q", tt.name, want, rest)
				continue
			}
			rest = slices.Delete(rest, i, i+1)
		}
		if len(rest) > 0 {
			t.Errorf("%s: there is also %q", tt.name, rest)
		}
		run(t, c.url, strings.Split(tt.mends, ";")...)
		if report, err := n.CheckLedger(t.Context()); err != nil || len(report.Faults) > 0 {
			t.Fatalf("%s, mended: %+v, %v", tt.name, report, err)
		}
	}
}

// Nothing that users earn while one of them is renamed is torn apart: lines, rewards and balances stay together.
func TestEraseBesideCommits(t *testing.T) {
	c := openNodes(t, 2, Options{})
	cap := carom.CapAt{Scope: "app/watch per user in all", PerUser: true, Rewards: 1_000_000}
	const rounds, each = 12, 6
	erasures := 0
	for round := range rounds {
		var wg sync.WaitGroup
		for _, n := range c.nodes {
			wg.Go(func() {
				for i := range each {
					sub := earns(n.Store, fmt.Sprint(n.opts.Name, " round ", round, " view ", i), "person")
					sub.Candidates[0].Caps = []carom.CapAt{cap}
					if n.Accept(sub); sub.Err != nil || sub.Receipt.Decided[0].State != carom.RewardGranted {
						t.Errorf("accept beside an erasure: %v, %+v, want a reward", sub.Err, sub.Receipt.Decided)
					}
				}
			})
		}
		for range 4 {
			switch out, err := c.nodes[0].Erase(t.Context(), "app", "person"); {
			case err == nil && out.Rewards > 0:
				erasures++
			case err != nil && !errors.Is(err, carom.ErrConflict):
				t.Errorf("Erase: %v, want carom.ErrConflict when the user earned something meanwhile", err)
			}
			if report, err := c.nodes[1].CheckLedger(t.Context()); err != nil || len(report.Faults) > 0 {
				t.Errorf("the ledger beside an erasure: %q, %v", report.Faults, err)
			}
		}
		wg.Wait()
	}
	out, err := c.nodes[1].Erase(t.Context(), "app", "person")
	if err != nil || erasures == 0 && out.Rewards == 0 {
		t.Errorf("Erase in the end = %+v, %v, after %d that found something", out, err, erasures)
	}
	if p, err := c.nodes[0].Person(t.Context(), "app", "person"); err != nil || len(p.Rewards)+len(p.Lines)+len(p.Stories)+len(p.Balances) > 0 {
		t.Errorf("left of the person: %+v, %v", p, err)
	}
	want := carom.LedgerReport{Rewards: rounds * each * 2, Lines: rounds * each * 2, Faults: []string{}}
	report, err := c.nodes[0].CheckLedger(t.Context())
	if report.Balances = 0; err != nil || cmp.Diff(want, report) != "" {
		t.Errorf("the ledger in the end: %+v, %v, want %+v", report, err, want)
	}
}

// When the account cannot be renamed, what is left is found again.
func TestEraseGoesOn(t *testing.T) {
	c := openNodes(t, 1, Options{})
	n := c.nodes[0]
	for i := range 3 {
		sub := earns(n.Store, fmt.Sprint("view ", i), "person")
		sub.Candidates[0].Cooldown = time.Hour
		sub.Candidates[0].At = n.Now().Add(time.Duration(i) * 24 * time.Hour)
		sub.Candidates[0].Caps = []carom.CapAt{{Scope: "app/watch per user in all", PerUser: true, Rewards: 10}, {Scope: "app budget per user in all", PerUser: true, Rewards: 10},
			{Scope: "apple per user in all", PerUser: true, Rewards: 10}}
		n.accept(t, sub)
	}
	conn, err := pgx.Connect(t.Context(), c.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }() // it only held up others
	for _, statement := range []string{`BEGIN`, `LOCK TABLE rewards IN SHARE ROW EXCLUSIVE MODE`} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := n.Erase(t.Context(), "app", "person"); !errors.Is(err, carom.ErrUnavailable) || out.Events != 3 || out.Rewards != 0 {
		t.Errorf("Erase with the rewards locked = %+v, %v, want carom.ErrUnavailable behind three events", out, err)
	}
	if p, err := n.Person(t.Context(), "app", "person"); err != nil || len(p.Rewards) != 3 || len(p.Stories) != 3 || len(p.Balances) != 1 {
		t.Errorf("of the person are left %d rewards, %d stories, %d balances, %v, want all by which they are found", len(p.Rewards), len(p.Stories), len(p.Balances), err)
	}
	if _, err := conn.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	out, err := n.Erase(t.Context(), "app", "person")
	if err != nil || out.Rewards != 3 || out.Events != 3 {
		t.Errorf("Erase again = %+v, %v, want three rewards and their events", out, err)
	}
	want := []string{"app budget per user in all: " + out.As, "app/watch per user in all: " + out.As, "app/watch: " + out.As, "apple per user in all: person"}
	got := look(t, c.url, `SELECT scope || ': ' || "user" FROM counters UNION ALL SELECT rule || ': ' || "user" FROM last_grants ORDER BY 1`)
	if !slices.Equal(got, want) {
		t.Errorf("counters and last grants are %q, want %q: the scope that only begins alike is of another app", got, want)
	}
}
