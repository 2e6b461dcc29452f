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

// Endpoints of rewards are told what is credited, when it is, and what is taken back; nobody else is told of it, and what
// was not credited is not told. It stays so after a crash.
func TestWhoIsToldOfRewards(t *testing.T) {
	opts := rewarding(Options{Clock: newClock().now, BucketEvents: 2})
	s, _ := open(t, t.TempDir(), opts)
	first := within("tx", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 1, additional, holds(time.Hour)), pays("other", 3)))
	first.Targets = []carom.Target{later(1), owedFor(0, later(2)), owedFor(1, later(3)), owedFor(2, direct(4)), owedFor(0, direct(5)), direct(6)}
	again := paid("a", "u", carom.Click, noon, pays("watch", 5))
	again.Targets = []carom.Target{owedFor(0, direct(2))}
	acceptAll(t, s, first, again)
	wantDecided(t, first, "watch granted, extra held, other declined transaction")
	for i, unowed := range []bool{false, false, true, true, false, false} {
		if first.Targets[i].Unowed != unowed {
			t.Errorf("target %d: Unowed %v, want %v", i, first.Targets[i].Unowed, unowed)
		}
	}
	if first.Receipt.Ticket == 0 || again.Receipt.Ticket != 0 {
		t.Errorf("tickets %d and %d, want one for what is owed and none for what is not", first.Receipt.Ticket, again.Receipt.Ticket)
	}
	held := first.Receipt.Decided[1].Reward.ID
	ended := sendsTo(byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: held}), 3, 2)
	reversal := sendsTo(takesBack(transaction("tx"), "1", noon), 2)
	nothing := sendsTo(takesBack(transaction("tx"), "2", noon), 2)
	nobody := byCarom(carom.Completion, "2", noon, carom.RewardChange{Grant: &carom.Reward{App: "app", User: "u", Currency: "coins", Amount: coin}})
	grant := sendsTo(byCarom(carom.Completion, "3", noon, nobody.Change), 7)
	canceled := paid("b", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour)))
	acceptAll(t, s, ended, reversal, nothing, nobody, grant, canceled)
	end := sendsTo(byCarom(carom.Reversal, "4", noon, carom.RewardChange{Void: canceled.Receipt.Decided[0].Reward.ID}), 2)
	acceptAll(t, s, end)
	wantDecided(t, end, "watch canceled")
	check := func(when string, s *Store) {
		t.Helper()
		for sub, want := range map[*carom.Submission]string{first: "1 2:1 - - 5:1 6", again: "-", ended: "3:2 2:2", reversal: "2:1 2:2", nothing: "", nobody: "",
			grant: "7:4", canceled: "", end: ""} {
			if got := endpointsOf(t, s, sub); got != want {
				t.Errorf("%s: %s of %s is owed to %q, want %q", when, sub.Event.Type, sub.Event.YMID, got, want)
			}
		}
		for endpoint, want := range map[int][]string{1: {"event"}, 2: {"1 granted", "2 granted", "1 reversed", "2 reversed"}, 3: {"2 granted"}, 4: nil, 7: {"4 granted"}} {
			if diff := cmp.Diff(want, told(t, s, endpoint)); diff != "" {
				t.Errorf("%s: endpoint %d is told (-want +got):\n%s", when, endpoint, diff)
			}
		}
	}
	check("at first", s)
	crashed, _ := open(t, crash(t, s), opts)
	check("after a crash", crashed)
	if got := crashed.Recovered().Pending; got != 2 { // those whose first attempts were in memory
		t.Errorf("Recovered.Pending = %d, want 2", got)
	}
	if diff := cmp.Diff([][]string{{"1 granted"}, {"event"}}, [][]string{told(t, crashed, 5), told(t, crashed, 6)}); diff != "" {
		t.Errorf("what lived in memory, after a crash (-want +got):\n%s", diff)
	}
	story, err := crashed.Story(t.Context(), first.Receipt.ID)
	if err != nil || len(story.Deliveries) != 4 || story.Deliveries[1].Reward != first.Receipt.Decided[0].Reward.ID || story.Deliveries[0].Reward != "" {
		t.Errorf("the story after a crash: %+v, %v, want four deliveries, the second about the first reward", story, err)
	}
}

// What a reward goes to is bounded as all that is owed is.
func TestRewardsGoToAsManyEndpointsAsEventsDo(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
	many := make([]int, carom.MaxFanOut+3)
	for i := range many {
		many[i] = i + 1
	}
	grant := sendsTo(byCarom(carom.Completion, "1", noon, carom.RewardChange{Grant: &carom.Reward{App: "app", User: "u", Currency: "coins", Amount: coin}}), many...)
	acceptAll(t, s, grant)
	if len(grant.Targets) != carom.MaxFanOut {
		t.Errorf("owed to %d endpoints, want %d", len(grant.Targets), carom.MaxFanOut)
	}
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

// A reward and its lines say all that is known, and what has become of it.
func TestRewardTellsItsStory(t *testing.T) {
	s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now}))
	sub := within("tx", paid("a", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))))
	sub.Event.RequestVar = "spot"
	acceptAll(t, s, sub)
	id := carom.NewRewardID(s.inc, 1)
	want := &carom.Reward{ID: id, At: noon, App: "app", Rule: "watch", User: "u", Currency: "coins", Amount: 5 * coin, State: carom.RewardHeld,
		Until: noon.Add(time.Hour), Changed: noon, Event: sub.Receipt.ID, Source: "monetag", Network: "monetag", YMID: "a", ZoneID: "1",
		RequestVar: "spot", Transaction: "tx"}
	check := func(lines ...carom.LedgerLine) {
		t.Helper()
		r, got, err := s.Reward(t.Context(), id)
		if diff := cmp.Diff(want, r); err != nil || diff != "" {
			t.Errorf("the reward (-want +got), %v:\n%s", err, diff)
		}
		if diff := cmp.Diff(lines, got); diff != "" {
			t.Errorf("its lines (-want +got):\n%s", diff)
		}
	}
	check()
	if diff := cmp.Diff(want, sub.Receipt.Decided[0].Reward); diff != "" {
		t.Errorf("in the receipt (-want +got):\n%s", diff)
	}
	due, err := s.HeldDue(t.Context(), noon.Add(time.Hour-time.Millisecond), 10)
	if err != nil || len(due) != 0 {
		t.Errorf("due before the hold ends: %v, %v", due, err)
	}
	if due, err = s.HeldDue(t.Context(), noon.Add(time.Hour), 10); err != nil || len(due) != 1 || due[0].ID != id {
		t.Errorf("due when the hold ends: %v, %v, want %s", due, err, id)
	}
	later := noon.Add(2 * time.Hour)
	mature := byCarom(carom.HoldEnded, "1", later, carom.RewardChange{Mature: id, Why: "the hold has ended"})
	acceptAll(t, s, mature)
	want.State, want.Until, want.Changed, want.Why = carom.RewardGranted, time.Time{}, later, "the hold has ended"
	credit := carom.LedgerLine{Reward: id, N: 1, At: later, App: "app", User: "u", Currency: "coins", Amount: 5 * coin, Event: mature.Receipt.ID, Why: "the hold has ended"}
	check(credit)
	end := noon.Add(60 * 24 * time.Hour)
	reversal := takesBack(sub.Transaction, "1", end)
	acceptAll(t, s, reversal)
	want.State, want.Changed, want.Why = carom.RewardReversed, end, "the network took it back"
	debit := credit
	debit.N, debit.At, debit.Amount, debit.Event, debit.Why = 2, end, -5*coin, reversal.Receipt.ID, want.Why
	check(credit, debit)
	if sub.Receipt.Decided[0].Reward.State != carom.RewardHeld {
		t.Errorf("the first receipt changed: %+v", sub.Receipt.Decided)
	}
	story, err := s.Story(t.Context(), sub.Receipt.ID)
	if err != nil || len(story.Event.Decided) != 1 || cmp.Diff(want, story.Event.Decided[0].Reward) != "" {
		t.Errorf("the story of its event: %+v, %v", story, err)
	}
}
