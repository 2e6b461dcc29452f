package reward

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// candidate has one of everything that can speak against it.
func candidate() *carom.Candidate {
	return &carom.Candidate{
		Rule: "game/r", At: noon(), RequestVars: []string{"a", "b"}, Currency: "coins", Amount: 5, Cooldown: time.Minute,
		Caps: []carom.CapAt{{Scope: "number", Rewards: 3}, {Scope: "sum", Amount: carom.Price{Nanos: 20, Set: true}}},
	}
}

// granting are facts that nothing in candidate speaks against.
func granting() *carom.RewardFacts {
	return &carom.RewardFacts{
		User: "u", Placement: "b", PlacementFixed: true, LastGrant: noon().Add(-time.Minute), Counters: []carom.Counter{{Rewards: 2}, {Amount: 15}},
	}
}

func TestDecide(t *testing.T) {
	declined := func(reason carom.DeclineReason, scope string) carom.Decision {
		return carom.Decision{State: carom.RewardDeclined, Reason: reason, Cap: scope}
	}
	granted := carom.Decision{State: carom.RewardGranted, Amount: 5, Raise: candidate().Caps}
	type (
		c = *carom.Candidate
		f = *carom.RewardFacts
	)
	tests := []struct {
		name   string
		change func(c, f)
		want   carom.Decision
	}{
		{"nothing speaks against it", func(c, f) {}, granted},
		{"a hold counts from the event", func(c c, _ f) { c.Hold = time.Hour },
			carom.Decision{State: carom.RewardHeld, Amount: 5, Until: noon().Add(time.Hour), Raise: candidate().Caps}},
		{"opened elsewhere", func(_ c, f f) { f.Placement = "c" }, declined(carom.DeclinePlacement, "")},
		{"only the browser says where", func(_ c, f f) { f.PlacementFixed = false }, declined(carom.DeclinePlacement, "")},
		{"anywhere", func(c c, f f) { c.RequestVars, f.Placement, f.PlacementFixed = nil, "", false }, granted},
		{"for other networks", func(_ c, f f) { f.OtherSource = true }, declined(carom.DeclineOtherSource, "")},
		{"taken back", func(_ c, f f) { f.Reversed = true }, declined(carom.DeclineReversed, "")},
		{"the transaction has earned", func(_ c, f f) { f.Transaction.ByRule = true }, declined(carom.DeclineTransaction, "")},
		{"the transaction has earned otherwise", func(_ c, f f) { f.Transaction.ByOther = true }, declined(carom.DeclineTransaction, "")},
		{"the view has earned", func(_ c, f f) { f.View.ByRule = true }, declined(carom.DeclineRewarded, "")},
		{"the view has earned otherwise", func(_ c, f f) { f.View.ByOther = true }, declined(carom.DeclineRewarded, "")},
		{"additional beside another", func(c c, f f) { c.Additional, f.View.ByOther, f.Transaction.ByOther = true, true, true }, granted},
		{"additional for the second time", func(c c, f f) { c.Additional, f.View.ByRule = true, true }, declined(carom.DeclineRewarded, "")},
		{"nobody", func(_ c, f f) { f.User = "" }, declined(carom.DeclineNoUser, "")},
		{"no price", func(c c, _ f) { c.Declined = carom.DeclineNoPrice }, declined(carom.DeclineNoPrice, "")},
		{"an amount that no rule makes", func(c c, _ f) { c.Amount = -5 }, declined(carom.DeclineZero, "")},
		{"too soon", func(_ c, f f) { f.LastGrant = noon().Add(1 - time.Minute) }, declined(carom.DeclineCooldown, "")},
		{"the clock was set back", func(_ c, f f) { f.LastGrant = noon().Add(time.Hour) }, declined(carom.DeclineCooldown, "")},
		{"judged again, and the part before was of later ones", func(c c, f f) { c.Again, f.LastGrant = true, noon().Add(time.Hour) }, granted},
		{"judged again, too soon before", func(c c, f f) { c.Again, f.LastGrant = true, noon().Add(time.Second) }, declined(carom.DeclineCooldown, "")},
		{"judged again, too soon behind", func(c c, f f) { c.Again, f.LastGrant = true, noon().Add(-time.Second) }, declined(carom.DeclineCooldown, "")},
		{"the first", func(_ c, f f) { f.LastGrant = time.Time{} }, granted},
		{"no cooldown", func(c c, f f) { c.Cooldown, f.LastGrant = 0, noon() }, granted},
		{"the number is reached", func(_ c, f f) { f.Counters[0].Rewards = 3 }, declined(carom.DeclineCapped, "number")},
		{"the number was lowered", func(_ c, f f) { f.Counters[0].Rewards = 7 }, declined(carom.DeclineCapped, "number")},
		{"the sum would be exceeded", func(_ c, f f) { f.Counters[1].Amount = 16 }, declined(carom.DeclineCapped, "sum")},
		{"the sum was lowered", func(_ c, f f) { f.Counters[1].Amount = math.MaxInt64 }, declined(carom.DeclineCapped, "sum")},
		{"an amount beyond everything", func(c c, _ f) { c.Amount = math.MaxInt64 }, declined(carom.DeclineCapped, "sum")},
		{"a counter is missing", func(_ c, f f) { f.Counters = f.Counters[:1] }, declined(carom.DeclineCapped, "sum")},
		{"no caps", func(c c, f f) { c.Caps, f.Counters = nil, nil }, carom.Decision{State: carom.RewardGranted, Amount: 5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, f := candidate(), granting()
			tt.change(c, f)
			if diff := cmp.Diff(tt.want, Decide(c, f)); diff != "" {
				t.Errorf("Decide(%+v, %+v) (-want +got):\n%s", c, f, diff)
			}
		})
	}
}

// TestReasonsHaveAnOrder: with everything against it, reasons come in the documented order as one after another is removed.
func TestReasonsHaveAnOrder(t *testing.T) {
	c, f := candidate(), granting()
	c.Declined = carom.DeclineUntrusted
	f.PlacementFixed, f.OtherSource, f.Reversed, f.User, f.LastGrant = false, true, true, "", noon()
	f.Transaction, f.View = carom.Earned{ByOther: true}, carom.Earned{ByRule: true}
	f.Counters = []carom.Counter{{Rewards: 3}, {Amount: 20}}
	steps := []struct {
		want   carom.DeclineReason
		remove func()
	}{
		{carom.DeclinePlacement, func() { f.PlacementFixed = true }},
		{carom.DeclineOtherSource, func() { f.OtherSource = false }},
		{carom.DeclineReversed, func() { f.Reversed = false }},
		{carom.DeclineTransaction, func() { f.Transaction = carom.Earned{} }},
		{carom.DeclineRewarded, func() { f.View = carom.Earned{} }},
		{carom.DeclineNoUser, func() { f.User = "u" }},
		{carom.DeclineUntrusted, func() { c.Declined = "" }},
		{carom.DeclineCooldown, func() { f.LastGrant = time.Time{} }},
		{carom.DeclineCapped, func() { f.Counters[0].Rewards = 0 }},
		{carom.DeclineCapped, func() { f.Counters[1].Amount = 0 }},
		{"", func() {}},
	}
	for i, step := range steps {
		if got := Decide(c, f); got.Reason != step.want {
			t.Errorf("step %d: the reason is %q, want %q", i, got.Reason, step.want)
		}
		step.remove()
	}
}
