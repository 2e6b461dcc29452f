package reward

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// covers: admob signs the reward, ayet both amounts, monetag nothing.
func covers(profile string) []string {
	return map[string][]string{"admob": {carom.PriceReward}, "ayet": {carom.PriceReward, carom.PriceEstimate}}[profile]
}

func amount(text string) carom.Price {
	n, truncated, err := carom.ParseNanos(text)
	if err != nil || truncated {
		panic(text)
	}
	return carom.Price{Nanos: n, Set: true}
}

// game is an app with a source of each kind of profile, and the given rules.
func game(rules ...carom.Rule) carom.Objects {
	o := carom.Objects{
		Apps: []carom.App{
			{Name: "game", TimeZone: "Asia/Tokyo", Currencies: map[string]int{"coins": 0, "USD": 2, "dust": 9}},
			{Name: "other"},
		},
		Sources: []carom.Source{
			{App: "game", Name: "m1", Profile: "monetag"}, {App: "game", Name: "m2", Profile: "monetag"},
			{App: "game", Name: "a1", Profile: "admob"}, {App: "other", Name: "x", Profile: "monetag"},
		},
		Rules: rules,
	}
	for i := range o.Rules {
		if o.Rules[i].App == "" {
			o.Rules[i].App = "game"
		}
	}
	return o
}

// fixed is a rule that pays five coins.
func fixed(name string, change ...func(*carom.Rule)) carom.Rule {
	r := carom.Rule{Name: name, Price: carom.PriceRule{Currency: "coins", Fixed: amount("5")}}
	for _, f := range change {
		f(&r)
	}
	return r
}

// derived is a rule that pays the reward amount, up to 100 coins.
func derived(change ...func(*carom.Rule)) carom.Rule {
	r := carom.Rule{Name: "r", Price: carom.PriceRule{Currency: "coins", From: carom.PriceReward, Max: amount("100")}}
	for _, f := range change {
		f(&r)
	}
	return r
}

func additional(r *carom.Rule) { r.Additional = true }

func caps(list ...carom.Cap) func(*carom.Rule) { return func(r *carom.Rule) { r.Caps = list } }

func filter(f carom.RuleFilter) func(*carom.Rule) { return func(r *carom.Rule) { r.Filter = f } }

func priced(change func(*carom.PriceRule)) func(*carom.Rule) {
	return func(r *carom.Rule) { change(&r.Price) }
}

// fields returns the fields of all faults in err, and checks that each is a whole one.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("Compile returned %T, want joined errors", err)
	}
	var out []string
	for _, err := range joined.Unwrap() {
		var fault *carom.FieldError
		if !errors.As(err, &fault) || fault.Message == "" || !errors.Is(err, carom.ErrInvalid) {
			t.Fatalf("Compile returned %#v, want field errors", err)
		}
		out = append(out, strings.TrimPrefix(fault.Field, "apps.game."))
	}
	return out
}

func TestCompileFindsFaults(t *testing.T) {
	userDay := []string{carom.CapUser, carom.CapDay}
	tests := []struct {
		name  string
		rules []carom.Rule
		want  []string // fields
	}{
		{"nothing wrong", []carom.Rule{fixed("r")}, nil},
		{"every kind of price", []carom.Rule{
			derived(priced(func(p *carom.PriceRule) {
				p.Rate, p.Share, p.Min, p.Step, p.Round, p.TrustSecret = 1, 1, amount("2"), amount("2").Nanos, carom.RoundUp, true
			})),
		}, nil},
		{"no such app", []carom.Rule{{App: "nowhere", Name: "r"}}, []string{"apps.nowhere.rules.r"}},
		{"bad name", []carom.Rule{fixed("R")}, []string{"rules.R"}},
		{"one name twice", []carom.Rule{fixed("r"), fixed("r", additional)}, []string{"rules.r"}},

		{"no price", []carom.Rule{{Name: "r"}}, []string{"rules.r.price"}},
		{"no amount", []carom.Rule{{Name: "r", Price: carom.PriceRule{Currency: "coins"}}}, []string{"rules.r.price.fixed"}},
		{"no currency", []carom.Rule{{Name: "r", Price: carom.PriceRule{Fixed: amount("5")}}}, []string{"rules.r.price.currency"}},
		{"unknown currency", []carom.Rule{fixed("r", priced(func(p *carom.PriceRule) { p.Currency = "gems" }))}, []string{"rules.r.price.currency"}},
		{"negative price", []carom.Rule{fixed("r", priced(func(p *carom.PriceRule) { p.Fixed = amount("-5") }))}, []string{"rules.r.price.fixed"}},
		{"price of nothing", []carom.Rule{fixed("r", priced(func(p *carom.PriceRule) { p.Fixed = amount("0") }))}, []string{"rules.r.price.fixed"}},
		{"price finer than the currency", []carom.Rule{fixed("r", priced(func(p *carom.PriceRule) { p.Fixed = amount("0.5") }))}, []string{"rules.r.price.fixed"}},
		{"fixed and derived", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Fixed = amount("5") }))}, []string{"rules.r.price.from"}},
		{"unknown field", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.From = "payout" }))}, []string{"rules.r.price.from"}},
		{"bounds of a fixed price", []carom.Rule{fixed("r", priced(func(p *carom.PriceRule) {
			p.Rate, p.Share, p.Min, p.Max, p.Step, p.Round, p.TrustSecret = 1, 1, amount("1"), amount("9"), 1, carom.RoundUp, true
		}))}, []string{
			"rules.r.price.rate", "rules.r.price.share", "rules.r.price.min", "rules.r.price.max", "rules.r.price.step", "rules.r.price.round",
			"rules.r.price.trust",
		}},
		{"negative rate", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Rate = -1 }))}, []string{"rules.r.price.rate"}},
		{"negative share", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Share = -1 }))}, []string{"rules.r.price.share"}},
		{"share above one", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Share = amount("1").Nanos + 1 }))}, []string{"rules.r.price.share"}},
		{"no max", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Max = carom.Price{} }))}, []string{"rules.r.price.max"}},
		{"min above max", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Min = amount("101") }))}, []string{"rules.r.price.min"}},
		{"negative min", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Min = amount("-1") }))}, []string{"rules.r.price.min"}},
		{"negative step", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Step = -amount("1").Nanos }))}, []string{"rules.r.price.step"}},
		{"step finer than the currency", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Step = amount("0.5").Nanos }))}, []string{"rules.r.price.step"}},
		{"step across the currency", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Step = amount("1.5").Nanos }))}, []string{"rules.r.price.step"}},
		{"max between steps", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Step = amount("3").Nanos }))}, []string{"rules.r.price.max"}},
		{"unknown rounding", []carom.Rule{derived(priced(func(p *carom.PriceRule) { p.Round = "bankers" }))}, []string{"rules.r.price.round"}},

		{"what never counts", []carom.Rule{fixed("r", filter(carom.RuleFilter{
			EventTypes: []carom.EventType{carom.Click, carom.Reversal},
			Values:     []carom.RewardEventType{carom.Valued, carom.NotValued, carom.ValueUnknown, "paid"},
		}))}, []string{"rules.r.filter.event_types[1]", "rules.r.filter.values[1]", "rules.r.filter.values[2]", "rules.r.filter.values[3]"}},

		{"caps that bound nothing", []carom.Rule{fixed("r", caps(carom.Cap{Per: userDay}, carom.Cap{Rewards: 1}))}, []string{"rules.r.caps[0]", "rules.r.caps[1].per"}},
		{"caps per anything", []carom.Rule{fixed("r", caps(carom.Cap{Per: []string{"user", "week"}, Rewards: 1}))}, []string{"rules.r.caps[0].per[1]"}},
		{"negative caps", []carom.Rule{fixed("r", caps(
			carom.Cap{Per: userDay, Rewards: -1}, carom.Cap{Per: []string{"day"}, Amount: amount("-1")}, carom.Cap{Per: []string{"rule"}, Amount: amount("0")},
		))}, []string{"rules.r.caps[0].rewards", "rules.r.caps[1].amount", "rules.r.caps[2].amount"}},
		{"cap below the price", []carom.Rule{fixed("r", caps(carom.Cap{Per: userDay, Amount: amount("4")}))}, []string{"rules.r.caps[0].amount"}},
		{"cap at the price", []carom.Rule{fixed("r", caps(carom.Cap{Per: userDay, Amount: amount("5")}))}, nil},
		{"bad name of a cap", []carom.Rule{fixed("r", caps(carom.Cap{Name: "a b", Per: userDay, Rewards: 1}))}, []string{"rules.r.caps[0].name"}},
		{"two caps that count the same", []carom.Rule{fixed("r", caps(
			carom.Cap{Per: userDay, Rewards: 1}, carom.Cap{Per: []string{carom.CapDay, carom.CapRule, carom.CapUser}, Amount: amount("50")},
		))}, []string{"rules.r.caps[1]"}},
		{"two shared caps of one name", []carom.Rule{fixed("r", caps(
			carom.Cap{Name: "all", Per: userDay, Rewards: 1}, carom.Cap{Name: "all", Per: []string{"day"}, Rewards: 1},
		))}, []string{"rules.r.caps[1]"}},
		{"caps that count different things", []carom.Rule{fixed("r", caps(
			carom.Cap{Per: userDay, Rewards: 1}, carom.Cap{Per: []string{"day"}, Rewards: 9}, carom.Cap{Name: "all", Per: userDay, Rewards: 3},
			carom.Cap{Name: "more", Per: userDay, Rewards: 3},
		))}, nil},
		{"a shared cap written otherwise", []carom.Rule{
			fixed("r", caps(carom.Cap{Name: "all", Per: userDay, Rewards: 1})),
			fixed("s", additional, caps(carom.Cap{Name: "all", Per: userDay, Rewards: 2})),
			fixed("t", additional, caps(carom.Cap{Name: "all", Per: []string{"day"}, Rewards: 1})),
		}, []string{"rules.s.caps[0]", "rules.t.caps[0]"}},
		{"a shared sum of two currencies", []carom.Rule{
			fixed("r", caps(carom.Cap{Name: "all", Per: userDay, Amount: amount("9")})),
			fixed("s", additional, priced(func(p *carom.PriceRule) { p.Currency = "USD" }), caps(carom.Cap{Name: "all", Per: userDay, Amount: amount("9")})),
		}, []string{"rules.s.caps[0].amount"}},
		{"a shared number of two currencies", []carom.Rule{
			fixed("r", caps(carom.Cap{Name: "all", Per: userDay, Rewards: 9})),
			fixed("s", additional, priced(func(p *carom.PriceRule) { p.Currency = "USD" }), caps(carom.Cap{Name: "all", Per: userDay, Rewards: 9})),
		}, nil},
		{"too many caps", []carom.Rule{fixed("r", caps(make([]carom.Cap, 17)...))}, []string{"rules.r.caps"}},
		{"negative waits", []carom.Rule{fixed("r", func(r *carom.Rule) { r.Cooldown, r.Hold = -1, 401*24*time.Hour })},
			[]string{"rules.r.cooldown", "rules.r.hold"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			book, _, err := Compile(game(tt.rules...), covers)
			if diff := cmp.Diff(tt.want, fields(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s\n%v", diff, err)
			}
			if (book == nil) != (err != nil) {
				t.Errorf("Compile returned the book %v and the error %v", book, err)
			}
		})
	}
}

func TestCompileFindsFaultsOfApps(t *testing.T) {
	o := carom.Objects{Apps: []carom.App{
		{Name: "game", TimeZone: "Europe/Berlim", Currencies: map[string]int{"coins": -1, "USD": 10, "a b": 0, "": 0, strings.Repeat("x", 33): 0, "9c": 0}},
		{Name: "local", TimeZone: "Local"}, {Name: "fine", TimeZone: "UTC"}, {Name: "path", TimeZone: "../etc/passwd"},
	}}
	_, _, err := Compile(o, nil)
	want := []string{
		"time_zone", "currencies.", "currencies.9c", "currencies.USD", "currencies.a b", "currencies.coins", "currencies." + strings.Repeat("x", 33),
		"apps.local.time_zone", "apps.path.time_zone",
	}
	if diff := cmp.Diff(want, fields(t, err)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// TestOverlap: two rules may not pay for one event unless one of them says so.
func TestOverlap(t *testing.T) {
	type f = carom.RuleFilter
	tests := []struct {
		name     string
		a, b     f
		overlap  bool
		byOrder  bool // no overlap, but the order of events decides what a view earns
		otherApp bool
	}{
		{name: "no filter", overlap: true},
		{name: "another app", otherApp: true},
		{name: "one narrower", b: f{Zones: []string{"1"}}, overlap: true},
		{name: "other zones", a: f{Zones: []string{"1", "3"}}, b: f{Zones: []string{"4", "2"}}},
		{name: "a common zone", a: f{Zones: []string{"1", "3"}}, b: f{Zones: []string{"3", "2"}}, overlap: true},
		{name: "other types", a: f{EventTypes: []carom.EventType{"impression"}}, b: f{EventTypes: []carom.EventType{"click"}}, byOrder: true},
		{name: "other values", a: f{Values: []carom.RewardEventType{""}}, byOrder: true},
		{name: "valued, said and meant", a: f{Values: []carom.RewardEventType{"", "valued"}}, overlap: true},
		{name: "other placements", a: f{RequestVars: []string{"a"}}, b: f{RequestVars: []string{"b"}}},
		{name: "a placement and any", a: f{RequestVars: []string{"a"}}, overlap: true},
		{name: "other networks", a: f{Networks: []string{"monetag"}}, b: f{Networks: []string{"admob"}}},
		{name: "other sources of one network", a: f{Sources: []string{"m1"}}, b: f{Sources: []string{"m2"}}},
		{name: "a network and its source", a: f{Networks: []string{"monetag"}}, b: f{Sources: []string{"m2"}}, overlap: true},
		{name: "a network and a source of another", a: f{Networks: []string{"monetag"}}, b: f{Sources: []string{"a1"}}},
		{name: "a network to come", a: f{Networks: []string{"ayet"}}, b: f{Networks: []string{"ayet"}}, overlap: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := fixed("a", filter(tt.a)), fixed("b", filter(tt.b), priced(func(p *carom.PriceRule) { p.Fixed = amount("6") }))
			if tt.otherApp {
				b.App, b.Price.Currency = "other", "points"
			}
			o := game(a, b)
			o.Apps[1].Currencies = map[string]int{"points": 0}
			_, warnings, err := Compile(o, covers)
			var want []string
			if tt.overlap {
				want = []string{"rules.b.filter"}
			}
			if diff := cmp.Diff(want, fields(t, err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			byOrder := slices.ContainsFunc(warnings, func(w Warning) bool { return w.Field == "apps.game.rules.b.price" })
			if byOrder != tt.byOrder {
				t.Errorf("warnings %+v; want one about the order of events: %t", warnings, tt.byOrder)
			}
			for i := range 2 {
				o.Rules[i].Additional = true
				if _, warnings, err := Compile(o, covers); err != nil || slices.ContainsFunc(warnings, func(w Warning) bool { return strings.HasSuffix(w.Field, ".price") }) {
					t.Errorf("with rule %d additional: %v, %v, want nothing", i, warnings, err)
				}
				o.Rules[i].Additional = false
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	from := func(r *carom.Rule) { r.Price.From = carom.PriceEstimate }
	tests := []struct {
		name string
		rule carom.Rule
		want []Warning
	}{
		{"nothing odd", fixed("r"), nil},
		{"the browser's word", fixed("r", filter(carom.RuleFilter{RequestVars: []string{"bonus"}})), []Warning{
			{"game", "r", "apps.game.rules.r.filter.request_vars", "only in views that your backend opened"}}},
		{"no such source", fixed("r", filter(carom.RuleFilter{Sources: []string{"gone"}})), []Warning{
			{"game", "r", "apps.game.rules.r.filter", "no source whose events it could count"}}},
		{"no source of that network", fixed("r", filter(carom.RuleFilter{Networks: []string{"admob"}, Sources: []string{"m1"}})), []Warning{
			{"game", "r", "apps.game.rules.r.filter", "no source whose events it could count"}}},
		{"an amount that is covered", derived(filter(carom.RuleFilter{Networks: []string{"admob"}})), nil},
		{"an amount that is covered by some", derived(), []Warning{
			{"game", "r", "apps.game.rules.r.price.from", "covers reward_amount in what comes through m1, m2,"}}},
		{"an amount that is covered by none", derived(from), []Warning{
			{"game", "r", "apps.game.rules.r.price.from", "covers estimated_price in what comes through m1, m2, a1, so that every event of it would be declined"}}},
		{"trust said aloud", derived(func(r *carom.Rule) { r.Price.TrustSecret = true }), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got, err := Compile(game(tt.rule), covers)
			if err != nil {
				t.Fatal(err)
			}
			part := cmp.Comparer(func(want, got string) bool {
				return want == got || strings.Contains(got, want) || strings.Contains(want, got)
			})
			if diff := cmp.Diff(tt.want, got, part); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTooManyRules(t *testing.T) {
	o := game()
	for i := range maxRules + 1 {
		o.Rules = append(o.Rules, carom.Rule{
			App: "game", Name: "r" + strings.Repeat("x", i%50) + string(rune('a'+i/50)), Price: carom.PriceRule{Currency: "coins", Fixed: amount("5")},
			Additional: true,
		})
	}
	_, _, err := Compile(o, nil)
	if diff := cmp.Diff([]string{"rules"}, fields(t, err)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
