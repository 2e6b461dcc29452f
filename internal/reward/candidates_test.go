package reward

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// noon of the 22nd in UTC is the evening of that day in Tokyo.
func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func compile(t testing.TB, rules ...carom.Rule) *Book {
	t.Helper()
	book, _, err := Compile(game(rules...), covers)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// impression is a paid event of the source m1.
func impression(change ...func(*carom.Event)) *carom.Event {
	ev := &carom.Event{
		App: "game", Source: "m1", Network: "monetag", Type: carom.Impression, Value: carom.Valued, ZoneID: "1", Strength: carom.Secret,
	}
	for _, f := range change {
		f(ev)
	}
	return ev
}

func names(candidates []carom.Candidate) []string {
	var out []string
	for _, c := range candidates {
		out = append(out, c.Rule)
	}
	return out
}

func TestCandidatesHoldTheWholeRule(t *testing.T) {
	at := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC) // midnight in Tokyo
	book := compile(t, fixed("bonus", func(r *carom.Rule) {
		r.Filter.RequestVars = []string{"b", "a"}
		r.Additional, r.Hold, r.Cooldown = true, time.Hour, time.Minute
		r.Caps = []carom.Cap{
			{Per: []string{carom.CapDay, carom.CapUser}, Rewards: 20}, {Name: "budget", Per: []string{carom.CapDay}, Amount: amount("1000")},
			{Name: "life", Per: []string{carom.CapRule, carom.CapUser}, Rewards: 3, Amount: amount("10")}, {Per: []string{carom.CapRule}, Rewards: 99},
		}
	}))
	want := []carom.Candidate{{
		Rule: "game/bonus", At: at, Day: 20261123, RequestVars: []string{"a", "b"}, Currency: "coins", Amount: amount("5").Nanos, Additional: true,
		Hold: time.Hour, Cooldown: time.Minute,
		Caps: []carom.CapAt{
			{Scope: "game/bonus per user per day", PerUser: true, PerDay: true, Rewards: 20},
			{Scope: "game budget per day in coins", PerDay: true, Amount: amount("1000")},
			{Scope: "game/bonus per user in coins", PerUser: true, Rewards: 3, Amount: amount("10")},
			{Scope: "game/bonus in all", Rewards: 99},
		},
	}}
	if diff := cmp.Diff(want, book.Candidates(nil, impression(), at)); diff != "" {
		t.Errorf("Candidates (-want +got):\n%s", diff)
	}
}

func TestCandidatesOfAnEvent(t *testing.T) {
	book := compile(t,
		fixed("z-extra", additional),
		fixed("click", filter(carom.RuleFilter{EventTypes: []carom.EventType{carom.Click}, Networks: []string{"monetag"}})),
		fixed("a-extra", additional, filter(carom.RuleFilter{Sources: []string{"m2"}})),
		fixed("zones", filter(carom.RuleFilter{EventTypes: []carom.EventType{carom.Impression}, Zones: []string{"9", "1", "5"}})),
		fixed("silent", filter(carom.RuleFilter{Values: []carom.RewardEventType{carom.ValueEmpty}})),
	)
	tests := []struct {
		name   string
		change func(*carom.Event)
		want   []string
	}{
		{"rules that are not additional come first", func(*carom.Event) {}, []string{"game/zones", "game/z-extra"}},
		{"another zone", func(e *carom.Event) { e.ZoneID = "2" }, []string{"game/z-extra"}},
		{"another type", func(e *carom.Event) { e.Type = carom.Click }, []string{"game/click", "game/z-extra"}},
		{"a type of the operator's own", func(e *carom.Event) { e.Type = "lead" }, []string{"game/z-extra"}},
		{"another source", func(e *carom.Event) { e.Source = "m2" }, []string{"game/zones", "game/a-extra", "game/z-extra"}},
		{"another network in the source", func(e *carom.Event) { e.Type, e.Network = carom.Click, "admob" }, []string{"game/z-extra"}},
		{"the network did not say", func(e *carom.Event) { e.Value = carom.ValueEmpty }, []string{"game/silent"}},
		{"unpaid", func(e *carom.Event) { e.Value = carom.NotValued }, nil},
		{"an unknown value", func(e *carom.Event) { e.Value = carom.ValueUnknown }, nil},
		{"a reversal", func(e *carom.Event) { e.Type = carom.Reversal }, nil},
		{"a test", func(e *carom.Event) { e.Flags = carom.FlagTest }, nil},
		{"held", func(e *carom.Event) { e.Flags = carom.FlagHeld }, nil},
		{"held for a reason", func(e *carom.Event) { e.Held = "unknown value" }, nil},
		{"a source that is gone", func(e *carom.Event) { e.Source = "gone" }, nil},
		{"another app", func(e *carom.Event) { e.App = "other" }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, names(book.Candidates(nil, impression(tt.change), noon()))); diff != "" {
				t.Errorf("Candidates (-want +got):\n%s", diff)
			}
		})
	}
	for _, empty := range []*Book{nil, {}} {
		if got := empty.Candidates(nil, impression(), noon()); got != nil {
			t.Errorf("a book without rules has the candidates %+v", got)
		}
	}
}

func TestCandidatesFromAField(t *testing.T) {
	reward := func(text string) func(*carom.Event) {
		return func(e *carom.Event) {
			e.Fields = []carom.Field{{Name: "reward_item", Value: "7"}, {Name: "reward_amount", Value: text}, {Name: "reward_amount", Value: "99"}}
		}
	}
	signed := func(e *carom.Event) { e.Source, e.Network, e.Strength = "a1", "admob", carom.Signed }
	estimate := func(p *carom.PriceRule) {
		p.From, p.Rate, p.TrustSecret, p.Round = carom.PriceEstimate, amount("1000").Nanos, true, carom.RoundNearest
	}
	tests := []struct {
		name   string
		rule   carom.Rule
		events []func(*carom.Event)
		want   string
		why    carom.DeclineReason
	}{
		{"signed and covered", derived(), []func(*carom.Event){signed, reward("12")}, "12", ""},
		{"above the maximum", derived(), []func(*carom.Event){signed, reward("1000000000")}, "100", ""},
		{"only the whole part is paid", derived(), []func(*carom.Event){signed, reward("2.99999999999")}, "2", ""},
		{"missing", derived(), []func(*carom.Event){signed}, "0", carom.DeclineNoPrice},
		{"no number", derived(), []func(*carom.Event){signed, reward("1,000")}, "0", carom.DeclineNoPrice},
		{"too large to be one", derived(), []func(*carom.Event){signed, reward("1e30")}, "0", carom.DeclineNoPrice},
		{"negative", derived(), []func(*carom.Event){signed, reward("-5")}, "0", carom.DeclineNoPrice},
		{"nothing", derived(), []func(*carom.Event){signed, reward("0")}, "0", carom.DeclineZero},
		{"less than a coin", derived(), []func(*carom.Event){signed, reward("0.9")}, "0", carom.DeclineZero},
		{"less than the minimum", derived(priced(func(p *carom.PriceRule) { p.Min = amount("3") })), []func(*carom.Event){signed, reward("0.9")}, "3", ""},
		{"covered, but proved by a secret", derived(), []func(*carom.Event){signed, reward("5"), func(e *carom.Event) { e.Strength = carom.Secret }},
			"0", carom.DeclineUntrusted},
		{"not covered", derived(), []func(*carom.Event){reward("5")}, "0", carom.DeclineUntrusted},
		{"signed, and another field is covered", derived(priced(func(p *carom.PriceRule) { p.From = carom.PriceEstimate })),
			[]func(*carom.Event){signed, func(e *carom.Event) { e.Price = amount("5") }}, "0", carom.DeclineUntrusted},
		{"not covered, trusted", derived(func(r *carom.Rule) { r.Price.TrustSecret = true }), []func(*carom.Event){reward("5")}, "5", ""},
		{"an address is no secret", derived(func(r *carom.Rule) { r.Price.TrustSecret = true }),
			[]func(*carom.Event){reward("5"), func(e *carom.Event) { e.Strength = carom.Address }}, "0", carom.DeclineUntrusted},
		{"an estimate", derived(priced(estimate)), []func(*carom.Event){func(e *carom.Event) { e.Price = amount("0.0025") }}, "3", ""},
		{"no estimate", derived(priced(estimate)), []func(*carom.Event){reward("5")}, "0", carom.DeclineNoPrice},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := compile(t, tt.rule).Candidates(nil, impression(tt.events...), noon())
			if len(got) != 1 {
				t.Fatalf("%d candidates, want 1", len(got))
			}
			if got[0].Amount.String() != tt.want || got[0].Declined != tt.why {
				t.Errorf("amount %s, declined %q; want %s, %q", got[0].Amount, got[0].Declined, tt.want, tt.why)
			}
		})
	}
}

func TestCandidatesDoNotAllocate(t *testing.T) {
	book := compile(t, fixed("r", filter(carom.RuleFilter{Zones: []string{"2"}}),
		caps(carom.Cap{Per: []string{carom.CapUser, carom.CapDay}, Rewards: 20})))
	dst := make([]carom.Candidate, 0, 4)
	for name, ev := range map[string]*carom.Event{
		"no rule matches": impression(), "a rule matches": impression(func(e *carom.Event) { e.ZoneID = "2" }),
	} {
		at := noon()
		if n := testing.AllocsPerRun(100, func() { dst = book.Candidates(dst[:0], ev, at) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkCandidates(b *testing.B) {
	book := compile(b, derived(func(r *carom.Rule) { r.Price.TrustSecret = true }, caps(carom.Cap{Per: []string{carom.CapUser, carom.CapDay}, Rewards: 20})))
	ev := impression(func(e *carom.Event) { e.Fields = []carom.Field{{Name: carom.PriceReward, Value: "5"}} })
	dst := make([]carom.Candidate, 0, 4)
	at := noon()
	b.ReportAllocs()
	for b.Loop() {
		dst = book.Candidates(dst[:0], ev, at)
	}
}
