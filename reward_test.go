package carom_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// TestRuleIsKeptWhole: a rule with every field survives being stored as JSON, and so does an absent amount.
func TestRuleIsKeptWhole(t *testing.T) {
	price := func(n carom.Nanos) carom.Price { return carom.Price{Nanos: n, Set: true} }
	for _, want := range []carom.Rule{{
		App: "game", Name: "share",
		Filter: carom.RuleFilter{
			Networks: []string{"admob"}, Sources: []string{"a"}, Zones: []string{"007"}, EventTypes: []carom.EventType{carom.Completion},
			Values: []carom.RewardEventType{carom.Valued, carom.ValueEmpty}, RequestVars: []string{"bonus"},
		},
		Price: carom.PriceRule{
			Currency: "coins", From: carom.PriceReward, Rate: math.MaxInt64, Share: 1, Min: price(1), Max: price(math.MaxInt64), Step: 1,
			Round: carom.RoundUp, TrustSecret: true,
		},
		Additional: true,
		Caps:       []carom.Cap{{Name: "daily", Per: []string{carom.CapUser, carom.CapDay}, Rewards: 3, Amount: price(7)}, {Per: []string{carom.CapRule}}},
		Cooldown:   time.Second, Hold: time.Hour,
	}, {
		App: "game", Name: "fixed", Price: carom.PriceRule{Currency: "coins", Fixed: price(0)},
	}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got carom.Rule
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("Unmarshal(%s): %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestRuleWithDefaults(t *testing.T) {
	const one = 1_000_000_000
	given := carom.Rule{Price: carom.PriceRule{From: carom.PriceEstimate}}
	want := carom.Rule{
		Filter: carom.RuleFilter{Values: []carom.RewardEventType{carom.Valued}},
		Price:  carom.PriceRule{From: carom.PriceEstimate, Rate: one, Share: one, Round: carom.RoundDown},
	}
	if diff := cmp.Diff(want, given.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults (-want +got):\n%s", diff)
	}
	full := carom.Rule{
		Filter: carom.RuleFilter{Values: []carom.RewardEventType{carom.ValueEmpty}},
		Price:  carom.PriceRule{From: carom.PriceEstimate, Rate: 2, Share: 3, Round: carom.RoundUp},
	}
	if diff := cmp.Diff(full, full.WithDefaults()); diff != "" {
		t.Errorf("WithDefaults changes what was given (-want +got):\n%s", diff)
	}
}

func TestCounterOfACap(t *testing.T) {
	c := carom.Candidate{Day: 20261122, Caps: []carom.CapAt{
		{Scope: "a"}, {Scope: "b", PerUser: true}, {Scope: "c", PerDay: true}, {Scope: "d", PerUser: true, PerDay: true},
	}}
	want := []carom.CounterKey{
		{Scope: "a"}, {Scope: "b", User: "u"}, {Scope: "c", Day: 20261122}, {Scope: "d", User: "u", Day: 20261122},
	}
	for i := range c.Caps {
		if got := c.Counter(i, "u"); got != want[i] {
			t.Errorf("Counter(%d) = %+v, want %+v", i, got, want[i])
		}
	}
}

func TestCounterRaised(t *testing.T) {
	byNumber := &carom.CapAt{Rewards: 3}
	byAmount := &carom.CapAt{Amount: carom.Price{Nanos: 100, Set: true}}
	if got, want := (carom.Counter{Rewards: 1, Amount: 5}).Raised(byAmount, 7), (carom.Counter{Rewards: 2, Amount: 12}); got != want {
		t.Errorf("Raised under a cap of amounts = %+v, want %+v", got, want)
	}
	if got, want := (carom.Counter{Rewards: 1}).Raised(byNumber, math.MaxInt64), (carom.Counter{Rewards: 2}); got != want {
		t.Errorf("Raised under a cap of numbers = %+v, want %+v: amounts that nothing bounds are not summed up", got, want)
	}
}
