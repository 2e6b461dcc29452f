package store

import (
	"fmt"
	"strings"
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

// Ids of rewards are foreseeable here: what is done to a reward in the commit that makes it is done.
func TestChangesInTheCommitOfTheirReward(t *testing.T) {
	for name, tt := range map[string]struct {
		hold    time.Duration
		change  carom.RewardChange // Void and Mature name the first reward
		want    string
		balance string
	}{
		"a hold that ends":       {time.Hour, carom.RewardChange{Mature: "1"}, "watch granted", "5 coins"},
		"a void":                 {0, carom.RewardChange{Void: "1"}, "watch reversed", "0 coins"},
		"a void of what is held": {time.Hour, carom.RewardChange{Void: "1"}, "watch canceled", ""},
		"a void of nothing":      {0, carom.RewardChange{Void: "77"}, "", "5 coins"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t, t.TempDir(), rewarding(Options{Clock: newClock().now, foldAt: 2, foldSlice: 1}))
			ch := tt.change
			ch.Void, ch.Mature = rewardID(s, ch.Void), rewardID(s, ch.Mature)
			eventType := carom.Reversal
			if ch.Mature != "" {
				eventType = carom.HoldEnded
			}
			first, second := byCarom(eventType, "1", noon, ch), byCarom(eventType, "2", noon, ch)
			acceptAll(t, s, paid("a", "u", carom.Impression, noon, pays("watch", 5, holds(tt.hold))), first, second)
			wantDecided(t, first, tt.want)
			wantDecided(t, second, "")
			wantBalance(t, s, "u", tt.balance)
		})
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
