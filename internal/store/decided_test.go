package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// owedFor is a target to which the reward of the candidate at that place is owed.
func owedFor(candidate int, target carom.Target) carom.Target {
	target.Candidate = candidate + 1
	return target
}

// sendsTo makes rewards that the submission brings up go to the endpoints.
func sendsTo(sub *carom.Submission, endpoints ...int) *carom.Submission {
	sub.RewardTargets = func(app, rule, source string) []int {
		if app != "app" || source == "" || rule == "" {
			return nil
		}
		return endpoints
	}
	return sub
}

// endpointsOf is the stored list of whom an event is owed to.
func endpointsOf(t testing.TB, s *Store, sub *carom.Submission) (text string) {
	t.Helper()
	ref := place(t, sub.Receipt.ID)
	if err := s.r.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT endpoints FROM events_%d WHERE seq = ?`, ref.Bucket), ref.Seq).Scan(&text); err != nil {
		t.Fatalf("endpoints of %s: %v", sub.Receipt.ID, err)
	}
	return text
}

// told says what the waiting deliveries of an endpoint are about, in order of their events: "1 granted", or "event".
func told(t testing.TB, s *Store, endpoint int) []string {
	t.Helper()
	var out []string
	list, _ := claim(t, s, carom.Claim{Endpoint: endpoint, Limit: 1000, InOrder: true})
	for _, d := range list {
		word := "event"
		if d.Reward != nil {
			_, no, err := d.Reward.ID.Number()
			if err != nil || d.Reward.Amount == 0 || d.Reward.User == "" {
				t.Errorf("delivery %s is about %+v, %v", d.ID, d.Reward, err)
			}
			word = fmt.Sprint(no, " ", d.Reward.State)
		}
		out = append(out, word)
		s.Release(d)
	}
	return out
}

// leave lets the database grow by no more than n pages.
func (r *rig) leave(t testing.TB, s *Store, n int64) {
	t.Helper()
	r.run(t, s, func() {
		pages, err := s.w.int64("PRAGMA page_count")
		if err == nil {
			err = s.w.exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages+n))
		}
		if err != nil {
			t.Errorf("limit the size of the database: %v", err)
		}
	})
}

// undoable is a batch that makes use of everything that a commit changes in memory.
func undoable(s *Store) []*carom.Submission {
	cap1 := carom.CapAt{Scope: "app/watch", PerUser: true, Rewards: 3, Amount: carom.Price{Nanos: 11 * coin, Set: true}}
	watch := pays("watch", 5, capped(cap1), func(c *carom.Candidate) { c.Cooldown = time.Minute })
	extra := pays("extra", 1, additional)
	owed := within("5", paid("e", "u", carom.Impression, noon.Add(time.Hour), watch, extra))
	owed.Targets = []carom.Target{owedFor(0, later(1)), owedFor(1, direct(2)), later(3)}
	subs := []*carom.Submission{
		owed, paid("e", "u", carom.Click, noon, watch, extra), paid("f", "u", carom.Click, noon.Add(time.Hour+time.Second), watch, extra),
		shown("repeats", "click", carom.Click, noon, watch), shown("repeats", "again", carom.Impression, noon, pays("watch", 2)),
		shown("repeats", "lead", "lead", noon, pays("watch", 2)), shown("another", "new", carom.Impression, noon, watch),
		sendsTo(takesBack(transaction("1"), "granted", noon), 1, 2), sendsTo(takesBack(transaction("9"), "too soon", noon), 1),
		within("9", paid("g", "u", carom.Impression, noon, watch)), sendsTo(takesBack(transaction("5"), "of the batch", noon), 1),
		sendsTo(byCarom(carom.HoldEnded, "held", noon, carom.RewardChange{Mature: carom.NewRewardID(s.inc, 2)}), 3),
		sendsTo(byCarom(carom.Completion, "by hand", noon, carom.RewardChange{Grant: &carom.Reward{App: "app", User: "x", Currency: "coins", Amount: coin}}), 4),
	}
	subs[len(subs)-1].Event.Received.Body = make([]byte, 4<<20) // when the disk is nearly full, the commit fails at its end
	return subs
}

// A commit that fails leaves nothing behind: what it held earns afterwards as if nothing had been.
func TestFailedCommitEarnsNothing(t *testing.T) {
	dir := t.TempDir()
	clk := newClock()
	opts := Options{Clock: clk.now, SegmentRewards: 2}
	s, stop := openRepeating(t, dir, opts)
	acceptAll(t, s, within("1", paid("a", "u", carom.Impression, noon, pays("watch", 5))), within("2", paid("b", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour)))),
		shown("repeats", "first", carom.Impression, noon, pays("watch", 5)))
	stop()
	// outcome is all that came of the batch, and of an event after it that finds what it left behind.
	type outcome struct {
		Decided, Endpoints, Told []string
		Views                    []carom.ViewID
		Rewards                  []*carom.Reward
		Balances                 []string
		Tables                   []string
	}
	run := func(failures int) (out outcome) {
		t.Helper()
		r, copied := newRig(), t.TempDir()
		if err := copyFolder(copied, dir); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, copied, rewarding(Options{Clock: r.now, SegmentRewards: 2}))
		subs := undoable(s)
		if failures > 0 {
			r.leave(t, s, 200)
		}
		for range failures {
			s.Accept(subs...)
			for _, sub := range subs {
				wantUnavailable(t, "Accept", sub.Err)
			}
		}
		r.free(t, s)
		acceptAll(t, s, subs...)
		after := []*carom.Submission{shown("repeats", "after", "lead", noon, pays("watch", 5)), within("9", paid("h", "x", carom.Impression, noon, pays("watch", 5))),
			paid("f", "u", carom.Impression, noon.Add(2*time.Hour), undoable(s)[0].Candidates...)}
		acceptAll(t, s, after...)
		for _, sub := range append(subs, after...) {
			out.Decided = append(out.Decided, decided(sub))
			out.Endpoints = append(out.Endpoints, endpointsOf(t, s, sub))
			out.Views = append(out.Views, sub.Event.View)
		}
		for _, user := range []string{"u", "x", "repeats", "another"} {
			out.Rewards = append(out.Rewards, rewardsOf(t, s, user)...)
			out.Balances = append(out.Balances, balance(t, s, user))
		}
		for endpoint := range 5 {
			out.Told = append(out.Told, told(t, s, endpoint)...)
		}
		for _, query := range []string{`SELECT hex(sum) FROM reversals ORDER BY 1`, `SELECT scope || ' ' || user || ' ' || rewards || ' ' || amount FROM counters ORDER BY 1`,
			`SELECT rule || ' ' || user || ' ' || at FROM last_grants ORDER BY 1`, `SELECT reward || ' ' || n || ' ' || amount || ' ' || event FROM ledger ORDER BY 1`} {
			rows, err := s.r.QueryContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				out.Tables = append(out.Tables, text)
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	want := run(0)
	if len(want.Rewards) < 9 {
		t.Errorf("%d rewards: the batch tests little", len(want.Rewards))
	}
	for _, failures := range []int{1, 3} {
		if diff := cmp.Diff(want, run(failures)); diff != "" {
			t.Errorf("after %d failed commits (-without +with):\n%s", failures, diff)
		}
	}
}
