package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// coin is one unit of the currency that the rules of these tests pay in.
const coin = carom.Nanos(1_000_000_000)

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
func balance(t testing.TB, s *world, user string) string {
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

func wantBalance(t testing.TB, s *world, user, want string) {
	t.Helper()
	if got := balance(t, s, user); got != want {
		t.Errorf("the balance of %s is %q, want %q", user, got, want)
	}
}

func rewardsOf(t testing.TB, s *world, user string) []*carom.Reward {
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

func oneRewardInEveryOrder(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 100, SegmentRewards: 7})
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
	s.restart(t)
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

// acceptAs hands in subs in one call, in one call each, or all at the same time.
func acceptAs(s *world, batches string, subs []*carom.Submission) {
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

// What a sequence of events earns does not depend on how they are put into calls, nor on restarts between them.
func whatEventsEarn(t *testing.T, open Opener) {
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
		"what is judged again has a cooldown of its own": {func() []step {
			c := pays("watch", 5, cooled)
			again := pays("watch", 5, cooled, func(c *carom.Candidate) { c.Again = true })
			return []step{
				{paid("a", "u", carom.Impression, noon, c), "watch granted"}, {paid("b", "u", carom.Impression, in(time.Minute), again), "watch granted"},
				{paid("c", "u", carom.Impression, in(2*time.Minute), again), "watch declined cooldown"}, {paid("d", "u", carom.Impression, in(2*time.Minute), c), "watch declined cooldown"},
			}
		}, "10 coins"},
		"what a view has earned before it was opened": {func() []step {
			late := func(sub *carom.Submission) *carom.Submission {
				sub = inOpened(func(v *carom.View) { v.Sources = nil }, sub)
				sub.View.Plain = view(sub.Event.YMID)
				return sub
			}
			return []step{
				{paid("v", "u", carom.Impression, noon, pays("watch", 5)), "watch granted"},
				{late(paid("v", "u", carom.Click, noon, pays("watch", 5))), "watch declined rewarded"},
				{late(paid("v", "u", carom.Completion, noon, pays("other", 5))), "other declined rewarded"},
				{late(paid("w", "u", carom.Click, noon, pays("other", 5))), "other granted"},
			}
		}, "10 coins"},
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
		for _, batches := range []string{"one call", "several", "several, each after a restart"} {
			t.Run(name+"/"+batches, func(t *testing.T) {
				t.Parallel()
				s := begin(t, open, Options{BucketEvents: 2, SegmentRewards: 1})
				var made []carom.RewardID
				var waiting []*carom.Submission // for their call
				flush := func() {
					t.Helper()
					acceptAll(t, s, waiting...)
					for _, sub := range waiting {
						made = makes(made, sub)
					}
					waiting = nil
				}
				steps := tt.steps()
				for _, one := range steps {
					ch := &one.sub.Change
					if ch.Void != "" || ch.Mature != "" || batches != "one call" { // nobody names a reward before they were told of it
						flush()
						ch.Void, ch.Mature = named(t, ch.Void, made), named(t, ch.Mature, made)
					}
					if batches == "several, each after a restart" {
						s.restart(t)
					}
					waiting = append(waiting, one.sub)
				}
				flush()
				for i, one := range steps {
					if got := decided(one.sub); got != one.want {
						t.Errorf("event %d: %q, want %q", i+1, got, one.want)
					}
				}
				wantBalance(t, s, "u", tt.balance)
			})
		}
	}
}

// named says which reward a table means by a number: the so manyth that its events have made. An id that nobody has is given to
// one that is not there yet.
func named(t testing.TB, number carom.RewardID, made []carom.RewardID) carom.RewardID {
	t.Helper()
	n, err := strconv.Atoi(string(number))
	if err != nil {
		return "" // the table means none
	}
	if n <= len(made) {
		return made[n-1]
	}
	life, no, err := made[len(made)-1].Number()
	if err != nil {
		t.Fatalf("Number(%s): %v", made[len(made)-1], err)
	}
	return carom.NewRewardID(life, no+1000)
}

// makes adds the rewards that sub has made to those that were made before.
func makes(made []carom.RewardID, sub *carom.Submission) []carom.RewardID {
	for _, d := range sub.Receipt.Decided {
		if d.Reward != nil && !slices.Contains(made, d.Reward.ID) {
			made = append(made, d.Reward.ID)
		}
	}
	return made
}

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

// owedTo says to whom an event is owed, by ordinal: "1" for endpoint 1, "2:watch" if it is owed a reward, "-" for nobody.
func owedTo(t testing.TB, s *world, sub *carom.Submission, names map[carom.RewardID]string) string {
	t.Helper()
	story, err := s.Story(t.Context(), sub.Receipt.ID)
	if err != nil {
		t.Fatalf("Story(%s): %v", sub.Receipt.ID, err)
	}
	var words []string
	for _, d := range story.Deliveries {
		_, _, ordinal, err := d.ID.Place()
		if err != nil {
			t.Fatalf("Place(%s): %v", d.ID, err)
		}
		for len(words) < ordinal {
			words = append(words, "-")
		}
		word := strings.TrimPrefix(d.Endpoint, "#")
		if d.Reward != "" {
			word += ":" + names[d.Reward]
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// tale is what a waiting delivery is about: "ID granted", or "event".
type tale struct {
	at   time.Time // of the event
	text string
}

// told says what the waiting deliveries of an endpoint are about, in order of their events.
func told(t testing.TB, s *world, endpoint int) (out []tale) {
	t.Helper()
	list, _ := claim(t, s, carom.Claim{Endpoint: endpoint, Limit: 1000, InOrder: true})
	for _, d := range list {
		text := "event"
		if d.Reward != nil {
			if d.Reward.Amount == 0 || d.Reward.User == "" {
				t.Errorf("delivery %s is about %+v", d.ID, d.Reward)
			}
			text = fmt.Sprint(d.Reward.ID, " ", d.Reward.State)
		}
		out = append(out, tale{d.Event.At, text})
	}
	release(s, list)
	return out
}

// Endpoints of rewards are told what is credited, when it is, and what is taken back; nobody else is told of it, and what
// was not credited is not told. It stays so after a restart and after a crash.
func whoIsToldOfRewards(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 2})
	first := within("tx", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 1, additional, holds(time.Hour)), pays("other", 3)))
	first.Targets = []carom.Target{later(1), owedFor(0, later(2)), owedFor(1, later(3)), owedFor(2, direct(4)), owedFor(0, direct(5)), direct(6)}
	accept(t, s, first)
	again := paid("a", "u", carom.Click, s.tick(), pays("watch", 5))
	again.Targets = []carom.Target{owedFor(0, direct(2))}
	accept(t, s, again)
	wantDecided(t, first, "watch granted, extra held, other declined transaction")
	for i, unowed := range []bool{false, false, true, true, false, false} {
		if first.Targets[i].Unowed != unowed {
			t.Errorf("target %d: Unowed %v, want %v", i, first.Targets[i].Unowed, unowed)
		}
	}
	if first.Receipt.Ticket == 0 || again.Receipt.Ticket != 0 {
		t.Errorf("tickets %d and %d, want one for what is owed and none for what is not", first.Receipt.Ticket, again.Receipt.Ticket)
	}
	watch, extra := first.Receipt.Decided[0].Reward.ID, first.Receipt.Decided[1].Reward.ID
	ended := accept(t, s, sendsTo(byCarom(carom.HoldEnded, "1", s.tick(), carom.RewardChange{Mature: extra}), 3, 2))
	reversal := accept(t, s, sendsTo(takesBack(transaction("tx"), "1", s.tick()), 2))
	nothing := accept(t, s, sendsTo(takesBack(transaction("tx"), "2", s.tick()), 2))
	hand := carom.RewardChange{Grant: &carom.Reward{App: "app", User: "u", Currency: "coins", Amount: coin}}
	nobody := accept(t, s, byCarom(carom.Completion, "2", s.tick(), hand))
	grant := accept(t, s, sendsTo(byCarom(carom.Completion, "3", s.tick(), hand), 7))
	canceled := accept(t, s, paid("b", "u", carom.Impression, s.tick(), pays("watch", 5, holds(time.Hour))))
	end := accept(t, s, sendsTo(byCarom(carom.Reversal, "4", s.tick(), carom.RewardChange{Void: canceled.Receipt.Decided[0].Reward.ID}), 2))
	wantDecided(t, end, "watch canceled")

	names := map[carom.RewardID]string{watch: "watch", extra: "extra", grant.Receipt.Decided[0].Reward.ID: "grant"}
	tells := func(when string, endpoint int, want ...string) {
		t.Helper()
		var got []string
		for _, one := range told(t, s, endpoint) {
			id, state, about := strings.Cut(one.text, " ")
			if about {
				one.text = names[carom.RewardID(id)] + " " + state
			}
			got = append(got, one.text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: endpoint %d is told (-want +got):\n%s", when, endpoint, diff)
		}
	}
	for _, how := range []string{"at once", "after a crash", "after a restart"} {
		move(t, s, how)
		for sub, want := range map[*carom.Submission]string{first: "1 2:watch - - 5:watch 6", again: "", ended: "3:extra 2:extra",
			reversal: "2:watch 2:extra", nothing: "", nobody: "", grant: "7:grant", canceled: "", end: ""} {
			if got := owedTo(t, s, sub, names); got != want {
				t.Errorf("%s: %s of %s is owed to %q, want %q", how, sub.Event.Type, sub.Event.YMID, got, want)
			}
		}
		tells(how, 1, "event")
		tells(how, 2, "watch granted", "extra granted", "watch reversed", "extra reversed")
		tells(how, 3, "extra granted")
		tells(how, 4)
		tells(how, 7, "grant granted")
		if how != "at once" { // before, the first attempts were in somebody's hands
			tells(how, 5, "watch granted")
			tells(how, 6, "event")
		}
	}
}

// Each event's endpoints are told what that event has made of a reward, also when another changes it again in the same commit.
func receiptsKeepTheirState(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	first := paid("a", "u", carom.Impression, noon, pays("watch", 5))
	reversal := takesBack(first.View.Sum, "1", noon)
	acceptAll(t, s, first, reversal)
	for _, x := range []struct {
		what string
		sub  *carom.Submission
		want carom.RewardState
	}{{"the event that earned it", first, carom.RewardGranted}, {"the one that took it back", reversal, carom.RewardReversed}} {
		if d := x.sub.Receipt.Decided; len(d) != 1 || d[0].State != x.want || d[0].Reward.State != x.want {
			t.Errorf("receipt of %s: %+v, want one reward that is %s", x.what, d, x.want)
		}
	}
}

// What a reward goes to is bounded as all that is owed is.
func rewardsGoToAsManyEndpoints(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
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

// A reward and its lines say all that is known, and what has become of it.
func rewardTellsItsStory(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := within("tx", paid("a", "u", carom.Impression, noon, pays("watch", 5, holds(time.Hour))))
	sub.Event.RequestVar = "spot"
	acceptAll(t, s, sub)
	id := sub.Receipt.Decided[0].Reward.ID
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
	end := noon.Add(60 * day)
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
