package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"carom"
	"carom/internal/reward"
)

// coin is one unit of the currency that the rules of these tests pay in.
const coin = carom.Nanos(1_000_000_000)

// rewarding makes the options of a store that decides as the server does.
func rewarding(opts Options) Options {
	opts.Decide = reward.Decide
	return opts
}

// pays is what a rule of the app would pay for an event.
func pays(rule string, coins int, change ...func(*carom.Candidate)) carom.Candidate {
	c := carom.Candidate{Rule: "app/" + rule, Currency: "coins", Amount: carom.Nanos(coins) * coin}
	for _, f := range change {
		f(&c)
	}
	return c
}

func additional(c *carom.Candidate) { c.Additional = true }

func holds(d time.Duration) func(*carom.Candidate) {
	return func(c *carom.Candidate) { c.Hold = d }
}

func capped(caps ...carom.CapAt) func(*carom.Candidate) {
	return func(c *carom.Candidate) { c.Caps = caps }
}

// paid makes an event of the view (source, zone, ymid) that rules count.
func paid(ymid, user string, eventType carom.EventType, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	sub := submission(ymid, at)
	sub.Event.Type, sub.Event.TelegramID = eventType, user
	sub.Key.Sum = carom.SumOf(ymid, user, string(eventType))
	sub.View = carom.ViewClaim{Sum: sub.Event.RepeatSum(), User: user}
	for _, c := range candidates {
		c.At, c.Day = at, int32(at.Year()*10_000+int(at.Month())*100+at.Day())
		sub.Candidates = append(sub.Candidates, c)
	}
	return sub
}

// unpaid makes an event that the network does not pay for, so that no rule counts it.
func unpaid(ymid, user string, eventType carom.EventType, at time.Time) *carom.Submission {
	sub := paid(ymid, user, eventType, at)
	sub.Event.Value = carom.NotValued
	sub.Key.Sum = carom.SumOf(ymid, user, string(eventType), "unpaid")
	return sub
}

func transaction(tx string) [16]byte { return carom.SumOf("transaction", "app/monetag", tx) }

// within puts an event into a transaction of the network.
func within(tx string, sub *carom.Submission) *carom.Submission {
	sub.Transaction, sub.Event.ExternalID = transaction(tx), tx
	return sub
}

// takesBack makes the network's event that reverses what the sum has earned. Its key makes it another one.
func takesBack(sum [16]byte, key string, at time.Time) *carom.Submission {
	sub := submission("reversal "+key, at)
	sub.Event.Type, sub.Event.TelegramID = carom.Reversal, ""
	sub.Change = carom.RewardChange{Reverse: sum, Why: "the network took it back"}
	return sub
}

// byCarom makes an event of carom's own about rewards.
func byCarom(eventType carom.EventType, key string, at time.Time, change carom.RewardChange) *carom.Submission {
	sub := submission("own "+key, at)
	sub.Event.Source, sub.Event.Network, sub.Event.Type, sub.Event.TelegramID = carom.SourceCarom, "carom", eventType, ""
	sub.Change = change
	return sub
}

// acceptAll stores subs in one commit, as new events.
func acceptAll(t testing.TB, s *Store, subs ...*carom.Submission) {
	t.Helper()
	s.Accept(subs...)
	for _, sub := range subs {
		if sub.Err != nil || sub.Receipt.Duplicate {
			t.Fatalf("Accept(%s): err %v, receipt %+v, want a new event", sub.Event.YMID, sub.Err, sub.Receipt)
		}
	}
}

// decided says in short what became of rules: "watch granted, extra declined rewarded".
func decided(sub *carom.Submission) string {
	var words []string
	for _, d := range sub.Receipt.Decided {
		words = append(words, strings.TrimSpace(d.Rule+" "+string(d.State)+" "+string(d.Reason)))
	}
	return strings.Join(words, ", ")
}

func wantDecided(t testing.TB, sub *carom.Submission, want string) {
	t.Helper()
	if got := decided(sub); got != want {
		t.Errorf("%s of %s: %q, want %q", sub.Event.Type, sub.Event.YMID, got, want)
	}
}

// balance is what a user of the app has: "5 coins".
func balance(t testing.TB, s *Store, user string) string {
	t.Helper()
	list, err := s.Balances(t.Context(), "app", user)
	if err != nil {
		t.Fatalf("Balances: %v", err)
	}
	var words []string
	for _, b := range list {
		words = append(words, b.Amount+" "+b.Currency)
	}
	return strings.Join(words, ", ")
}

func wantBalance(t testing.TB, s *Store, user, want string) {
	t.Helper()
	if got := balance(t, s, user); got != want {
		t.Errorf("the balance of %s is %q, want %q", user, got, want)
	}
}

func rewardsOf(t testing.TB, s *Store, user string) []*carom.Reward {
	t.Helper()
	list, err := s.Rewards(t.Context(), carom.RewardFilter{App: "app", User: user, Limit: 1000})
	if err != nil {
		t.Fatalf("Rewards: %v", err)
	}
	return list
}

// permutations calls f with every order of the numbers below n.
func permutations(n int, f func([]int)) {
	var walk func(order []int)
	walk = func(order []int) {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !strings.Contains(fmt.Sprint(order), fmt.Sprint(i)) {
				walk(append(order[:len(order):len(order)], i))
			}
		}
	}
	walk(nil)
}

func TestOneRewardInEveryOrderOfEvents(t *testing.T) {
	dir := t.TempDir()
	opts := rewarding(Options{Clock: newClock().now, BucketEvents: 100, SegmentRewards: 7})
	s, stop := open(t, dir, opts)
	events := func(user string) []*carom.Submission {
		return []*carom.Submission{
			paid("view of "+user, user, carom.Impression, noon, pays("watch", 5)), paid("view of "+user, user, carom.Click, noon, pays("watch", 5)),
			unpaid("view of "+user, user, carom.Impression, noon), unpaid("view of "+user, user, carom.Click, noon),
		}
	}
	var users []string
	for _, batches := range []string{"one", "several", "parallel"} {
		for _, copies := range []string{"at once", "afterwards"} {
			permutations(4, func(order []int) {
				user := fmt.Sprintf("%s %s %v", batches, copies, order)
				users = append(users, user)
				var subs, after []*carom.Submission
				for _, i := range order {
					subs = append(subs, events(user)[i])
					if copies == "at once" {
						subs = append(subs, events(user)[i])
					} else {
						after = append(after, events(user)[i])
					}
				}
				subs = append(subs, after...)
				acceptAs(s, batches, subs)
				granted := 0
				for i, sub := range subs {
					if sub.Err != nil || batches != "parallel" && sub.Receipt.Duplicate != (copies == "at once" && i%2 == 1 || copies == "afterwards" && i >= 4) {
						t.Errorf("%s: event %d: err %v, receipt %+v", user, i, sub.Err, sub.Receipt)
					}
					switch d := decided(sub); {
					case d == "watch granted":
						granted++
					case d != "" && d != "watch declined rewarded", d == "watch declined rewarded" && granted == 0 && batches != "parallel":
						t.Errorf("%s: event %d: %q", user, i, d)
					}
				}
				if granted != 1 {
					t.Errorf("%s: granted %d times, want once", user, granted)
				}
			})
		}
	}
	check := func(when string) {
		t.Helper()
		for _, user := range users {
			list := rewardsOf(t, s, user)
			if len(list) != 1 || list[0].Amount != 5*coin || list[0].State != carom.RewardGranted || list[0].YMID != "view of "+user {
				t.Errorf("%s, %s: rewards %+v, want one of 5 coins", when, user, list)
			}
			wantBalance(t, s, user, "5 coins")
		}
	}
	check("at first")
	stop()
	s, _ = open(t, dir, opts)
	for _, user := range users {
		for _, sub := range events(user) {
			if s.Accept(sub); sub.Err != nil || !sub.Receipt.Duplicate {
				t.Errorf("%s after a restart: err %v, receipt %+v, want a copy", user, sub.Err, sub.Receipt)
			}
		}
		late := paid("view of "+user, user, carom.Completion, noon, pays("watch", 5))
		acceptAll(t, s, late)
		wantDecided(t, late, "watch declined rewarded")
	}
	check("after a restart")
}

// acceptAs hands in subs in one commit, in one commit each, or all at the same time.
func acceptAs(s *Store, batches string, subs []*carom.Submission) {
	var wg sync.WaitGroup
	switch batches {
	case "one":
		s.Accept(subs...)
	case "several":
		for _, sub := range subs {
			s.Accept(sub)
		}
	case "parallel":
		for _, sub := range subs {
			wg.Go(func() { s.Accept(sub) })
		}
	}
	wg.Wait()
}

// step is an event of a table of cases, and what becomes of it.
type step struct {
	sub  *carom.Submission
	want string
}

// What a sequence of events earns does not depend on how they are put into commits, nor on restarts between them.
func TestWhatEventsEarn(t *testing.T) {
	perDay := carom.CapAt{Scope: "app/watch", PerUser: true, PerDay: true, Rewards: 2}
	budget := carom.CapAt{Scope: "budget", Amount: carom.Price{Nanos: 12 * coin, Set: true}}
	cooled := func(c *carom.Candidate) { c.Cooldown = 10 * time.Minute }
	view := func(ymid string) [16]byte { return paid(ymid, "", carom.Impression, noon).View.Sum }
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	opened := &carom.View{ID: carom.NewOpenedViewID(1, 1), App: "app", User: "u", YMID: "v", Placement: "spot", Fixed: true, Sources: []string{"other"}}
	inOpened := func(change func(*carom.View), sub *carom.Submission) *carom.Submission {
		v := *opened
		change(&v)
		sub.View = carom.ViewClaim{Sum: v.Sum(), View: &v, User: v.User}
		return sub
	}
	for name, tt := range map[string]struct {
		steps   func() []step
		balance string
	}{
		"additional rules pay beside, each once": {func() []step {
			both := []carom.Candidate{pays("watch", 5), pays("extra", 1, additional), pays("more", 2, additional)}
			return []step{
				{paid("v", "u", carom.Impression, noon, both...), "watch granted, extra granted, more granted"},
				{paid("v", "u", carom.Click, noon, both...), "watch declined rewarded, extra declined rewarded, more declined rewarded"},
				{paid("w", "u", carom.Click, noon, both...), "watch granted, extra granted, more granted"},
			}
		}, "16 coins"},
		"an additional rule does not stand in the way of another": {func() []step {
			return []step{
				{within("1", paid("v", "u", carom.Impression, noon, pays("extra", 1, additional))), "extra granted"},
				{within("1", paid("v", "u", carom.Click, noon, pays("watch", 5))), "watch granted"},
				{within("1", paid("v", "u", carom.Completion, noon, pays("other", 9))), "other declined transaction"},
			}
		}, "6 coins"},
		"of two rules the first that comes pays": {func() []step {
			return []step{
				{paid("v", "u", carom.Impression, noon, pays("watch", 5)), "watch granted"},
				{paid("v", "u", carom.Click, noon, pays("click", 9)), "click declined rewarded"},
			}
		}, "5 coins"},
		"a transaction earns once, whatever its key and view": {func() []step {
			both := []carom.Candidate{pays("watch", 5), pays("extra", 1, additional)}
			return []step{
				{within("1", paid("v", "u", carom.Completion, noon, both...)), "watch granted, extra granted"},
				{within("1", paid("w", "u", carom.Completion, in(40*24*time.Hour), both...)), "watch declined transaction, extra declined transaction"},
				{within("1", paid("x", "thief", carom.Completion, in(40*24*time.Hour), pays("other", 5))), "other declined transaction"},
				{within("2", paid("y", "u", carom.Completion, noon, both...)), "watch granted, extra granted"},
			}
		}, "12 coins"},
		"a rule that becomes additional, and no longer is": {func() []step {
			return []step{
				{paid("v", "u", carom.Impression, noon, pays("watch", 5)), "watch granted"},
				{paid("v", "u", carom.Click, noon, pays("watch", 5, additional)), "watch declined rewarded"},
				{paid("w", "u", carom.Impression, noon, pays("watch", 5, additional)), "watch granted"},
				{paid("w", "u", carom.Click, noon, pays("watch", 5)), "watch declined rewarded"},
				{paid("w", "u", carom.Completion, noon, pays("other", 1)), "other granted"},
				{paid("w", "u", "lead", noon, pays("watch", 5), pays("watch", 5, additional)), "watch declined rewarded, watch declined rewarded"},
			}
		}, "11 coins"},
		"nobody, another source and another placement earn nothing, and stand in nobody's way": {func() []step {
			placed := pays("watch", 5, func(c *carom.Candidate) { c.RequestVars = []string{"spot"} })
			return []step{
				{paid("w", "", carom.Impression, noon, pays("watch", 5)), "watch declined no_user"},
				{paid("w", "u", carom.Click, noon, pays("watch", 5)), "watch granted"},
				{inOpened(func(*carom.View) {}, paid("v", "x", carom.Impression, noon, placed)), "watch declined other_source"},
				{inOpened(func(v *carom.View) { v.Sources, v.Fixed = nil, false }, paid("v", "x", carom.Click, noon, placed)), "watch declined placement"},
				{inOpened(func(v *carom.View) { v.Sources = nil }, paid("v", "x", carom.Completion, noon, placed)), "watch granted"},
			}
		}, "10 coins"},
		"a cap per user and day": {func() []step {
			c := pays("watch", 5, capped(perDay))
			return []step{
				{paid("a", "u", carom.Impression, noon, c), "watch granted"}, {paid("b", "u", carom.Impression, noon, c), "watch granted"},
				{paid("c", "u", carom.Impression, noon, c), "watch declined capped"}, {paid("d", "x", carom.Impression, noon, c), "watch granted"},
				{takesBack(view("a"), "1", noon), "watch reversed"},
				{paid("c", "u", carom.Click, noon, c), "watch declined capped"}, {paid("c", "u", carom.Completion, in(12*time.Hour), c), "watch granted"},
			}
		}, "10 coins"},
		"a cap of an amount that rules share": {func() []step {
			c, d := pays("watch", 5, capped(budget)), pays("click", 2, capped(perDay, budget))
			return []step{
				{paid("a", "u", carom.Impression, noon, c), "watch granted"}, {paid("b", "x", carom.Impression, noon, c), "watch granted"},
				{paid("c", "u", carom.Impression, noon, c), "watch declined capped"}, {paid("c", "u", carom.Click, noon, d), "click granted"},
				{paid("d", "u", carom.Click, noon, d), "click declined capped"},
			}
		}, "7 coins"},
		"a cooldown, also when the clock goes back": {func() []step {
			c := pays("watch", 5, cooled)
			return []step{
				{paid("a", "u", carom.Impression, noon, c), "watch granted"}, {paid("b", "u", carom.Impression, in(10*time.Minute-1), c), "watch declined cooldown"},
				{paid("b", "x", carom.Impression, in(time.Minute), c), "watch granted"}, {paid("c", "u", carom.Impression, in(10*time.Minute), c), "watch granted"},
				{paid("d", "u", carom.Impression, in(-time.Hour), c), "watch declined cooldown"}, {paid("e", "u", carom.Click, in(20*time.Minute), c), "watch granted"},
			}
		}, "15 coins"},
		"a held reward is credited when its hold ends, once": {func() []step {
			return []step{
				{paid("a", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))), "watch held"},
				{paid("a", "u", carom.Click, noon, pays("watch", 5, holds(time.Hour))), "watch declined rewarded"},
				{byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: "1"}), "watch granted"},
				{byCarom(carom.HoldEnded, "2", noon, carom.RewardChange{Mature: "1"}), ""},
			}
		}, "5 coins"},
		"a held reward that is taken back is canceled for ever": {func() []step {
			return []step{
				{paid("a", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))), "watch held"},
				{takesBack(view("a"), "1", noon), "watch canceled"},
				{byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: "1"}), ""},
				{paid("a", "u", carom.Click, noon, pays("watch", 5)), "watch declined reversed"},
			}
		}, ""},
		"what is credited is taken back once, by whoever": {func() []step {
			return []step{
				{within("1", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional, holds(time.Hour)))), "watch granted, extra held"},
				{byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: "2"}), "extra granted"},
				{takesBack(transaction("1"), "1", in(60*24*time.Hour)), "watch reversed, extra reversed"},
				{takesBack(transaction("1"), "2", noon), ""}, {takesBack(view("a"), "3", noon), ""},
				{byCarom(carom.Reversal, "4", noon, carom.RewardChange{Void: "1"}), ""},
			}
		}, "0 coins"},
		"voids by hand": {func() []step {
			return []step{
				{paid("a", "u", carom.Impression, noon, pays("watch", 5)), "watch granted"}, {paid("b", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))), "watch held"},
				{byCarom(carom.Reversal, "1", noon, carom.RewardChange{Void: "1"}), "watch reversed"}, {byCarom(carom.Reversal, "2", noon, carom.RewardChange{Void: "1"}), ""},
				{byCarom(carom.Reversal, "3", noon, carom.RewardChange{Void: "2"}), "watch canceled"}, {byCarom(carom.Reversal, "4", noon, carom.RewardChange{Void: "2"}), ""},
				{byCarom(carom.Reversal, "5", noon, carom.RewardChange{Void: "77"}), ""}, {takesBack(view("a"), "6", noon), ""},
				{paid("b", "u", carom.Click, noon, pays("extra", 1, additional)), "extra granted"},
			}
		}, "1 coins"},
		"grants by hand are as many as are asked for": {func() []step {
			grant := carom.RewardChange{Grant: &carom.Reward{App: "app", User: "u", Currency: "coins", Amount: 3 * coin}, Why: "sorry"}
			return []step{
				{byCarom(carom.Completion, "1", noon, grant), "- granted"}, {byCarom(carom.Completion, "2", noon, grant), "- granted"},
				{byCarom(carom.Reversal, "3", noon, carom.RewardChange{Void: "1"}), "- reversed"},
			}
		}, "3 coins"},
		"a transaction that was taken back before it came": {func() []step {
			return []step{
				{takesBack(transaction("1"), "1", noon), ""}, {takesBack(transaction("1"), "2", noon), ""},
				{within("1", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 1, additional))), "watch declined reversed, extra declined reversed"},
				{within("2", paid("b", "u", carom.Impression, noon, pays("watch", 5))), "watch granted"},
			}
		}, "5 coins"},
		"a view that was taken back before it came": {func() []step {
			return []step{
				{takesBack(view("a"), "1", noon), ""}, {paid("a", "u", carom.Impression, noon, pays("watch", 5)), "watch declined reversed"},
				{paid("b", "u", carom.Impression, noon, pays("watch", 5)), "watch granted"},
			}
		}, "5 coins"},
		"what was taken back earns nothing by another rule either": {func() []step {
			return []step{
				{within("1", paid("a", "u", carom.Impression, noon, pays("extra", 1, additional))), "extra granted"},
				{takesBack(transaction("1"), "1", noon), "extra reversed"},
				{within("1", paid("a", "u", carom.Click, noon, pays("watch", 5), pays("more", 1, additional))), "watch declined reversed, more declined reversed"},
			}
		}, "0 coins"},
	} {
		for _, batches := range []string{"one commit", "several", "several, each after a restart"} {
			t.Run(name+"/"+batches, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				opts := rewarding(Options{Clock: newClock().now, BucketEvents: 2, SegmentRewards: 1, foldAt: 2, foldSlice: 1})
				s, stop := open(t, dir, opts)
				var subs []*carom.Submission
				steps := tt.steps()
				for _, one := range steps {
					ch := &one.sub.Change
					ch.Void, ch.Mature = rewardID(s, ch.Void), rewardID(s, ch.Mature)
					subs = append(subs, one.sub)
				}
				if batches == "one commit" {
					acceptAll(t, s, subs...)
				}
				for i, one := range steps {
					if batches != "one commit" {
						acceptAll(t, s, one.sub)
					}
					if got := decided(one.sub); got != one.want {
						t.Errorf("event %d: %q, want %q", i+1, got, one.want)
					}
					if batches == "several, each after a restart" {
						stop()
						s, stop = open(t, dir, opts)
					}
				}
				wantBalance(t, s, "u", tt.balance)
			})
		}
	}
}

// rewardID is the id of the reward of that number, for tables that cannot know the folder.
func rewardID(s *Store, number carom.RewardID) carom.RewardID {
	var no int64
	if _, err := fmt.Sscan(string(number), &no); err != nil {
		return ""
	}
	return carom.NewRewardID(s.inc, no)
}
