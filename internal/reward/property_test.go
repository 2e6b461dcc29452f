package reward

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"carom"
)

// books does what a store does around Decide, with maps: it finds the facts and notes what came of them.
type books struct {
	counters map[carom.CounterKey]carom.Counter
	earned   map[string][]carom.Candidate // by view or transaction
	last     map[string]time.Time         // by rule and user
	granted  []grant
}

type grant struct {
	view, user string
	carom.Candidate
	carom.Decision
}

func newBooks() *books {
	return &books{counters: map[carom.CounterKey]carom.Counter{}, earned: map[string][]carom.Candidate{}, last: map[string]time.Time{}}
}

func (b *books) accept(book *Book, view, user string, ev *carom.Event, at time.Time) {
	for _, c := range book.Candidates(nil, ev, at) {
		f := &carom.RewardFacts{User: user, View: b.of(view, &c), LastGrant: b.last[c.Rule+" "+user]}
		if ev.ExternalID != "" {
			f.Transaction = b.of("transaction "+ev.ExternalID, &c)
		}
		for i := range c.Caps {
			f.Counters = append(f.Counters, b.counters[c.Counter(i, user)])
		}
		d := Decide(&c, f)
		if d.State == carom.RewardDeclined {
			continue
		}
		for i := range d.Raise {
			key := c.Counter(i, user)
			b.counters[key] = b.counters[key].Raised(&d.Raise[i], d.Amount)
		}
		b.earned[view] = append(b.earned[view], c)
		if ev.ExternalID != "" {
			b.earned["transaction "+ev.ExternalID] = append(b.earned["transaction "+ev.ExternalID], c)
		}
		b.last[c.Rule+" "+user] = at
		b.granted = append(b.granted, grant{view, user, c, d})
	}
}

func (b *books) of(what string, c *carom.Candidate) (e carom.Earned) {
	for _, was := range b.earned[what] {
		e.ByRule = e.ByRule || was.Rule == c.Rule
		e.ByOther = e.ByOther || was.Rule != c.Rule && !was.Additional
	}
	return e
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// TestOneRewardInEveryOrder: whatever comes of one view, in whatever order and how often, it earns once, and the same.
func TestOneRewardInEveryOrder(t *testing.T) {
	book := compile(t,
		fixed("watched", filter(carom.RuleFilter{EventTypes: []carom.EventType{carom.Impression, carom.Click}})),
		fixed("thanks", additional, priced(func(p *carom.PriceRule) { p.Fixed = amount("1") })),
	)
	var kinds []*carom.Event
	for _, typ := range []carom.EventType{carom.Impression, carom.Click} {
		for _, value := range []carom.RewardEventType{carom.Valued, carom.NotValued, carom.ValueEmpty, carom.ValueUnknown} {
			kinds = append(kinds, impression(func(e *carom.Event) { e.Type, e.Value = typ, value }))
		}
	}
	for seed := range uint64(2000) {
		r := random(seed)
		var order []*carom.Event
		for _, ev := range kinds {
			for range 1 + r.IntN(3) {
				order = append(order, ev)
			}
		}
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		b := newBooks()
		for _, ev := range order {
			b.accept(book, "view", "u", ev, noon())
		}
		var got []string
		for _, g := range b.granted {
			got = append(got, g.Rule+" "+g.Decision.Amount.String())
		}
		if fmt.Sprint(got) != "[game/watched 5 game/thanks 1]" {
			t.Fatalf("seed %d: granted %v, want 5 of game/watched and 1 of game/thanks", seed, got)
		}
	}
}

// TestOneRewardPerTransaction: a callback that comes again in another view, as one does that was recorded, earns nothing.
func TestOneRewardPerTransaction(t *testing.T) {
	book := compile(t, fixed("r"), fixed("s", additional))
	b := newBooks()
	for i := range 10 {
		b.accept(book, fmt.Sprint("view", i), "u", impression(func(e *carom.Event) { e.ExternalID = "tx" }), noon())
	}
	if len(b.granted) != 2 || b.granted[0].view != "view0" || b.granted[1].view != "view0" {
		t.Errorf("granted %+v, want two for the first view", b.granted)
	}
}

// TestCapsHoldInEveryOrder: no order of views, users, amounts and days exceeds a cap, and what a cap lets through is granted.
func TestCapsHoldInEveryOrder(t *testing.T) {
	userDay := []string{carom.CapUser, carom.CapDay}
	shared := carom.Cap{Name: "budget", Per: []string{carom.CapDay}, Rewards: 30, Amount: amount("90")}
	book := compile(t,
		derived(func(r *carom.Rule) { r.Price.TrustSecret = true }, caps(carom.Cap{Per: userDay, Rewards: 4, Amount: amount("101")}, shared)),
		fixed("x", additional, caps(shared, carom.Cap{Per: []string{carom.CapUser}, Rewards: 7})),
	)
	for seed := range uint64(200) {
		r := random(seed)
		b := newBooks()
		for view := range 200 {
			ev := impression(func(e *carom.Event) {
				e.Fields = []carom.Field{{Name: carom.PriceReward, Value: fmt.Sprint(1 + r.IntN(40))}}
			})
			b.accept(book, fmt.Sprint(view), string(rune('a'+r.IntN(5))), ev, noon().Add(time.Duration(r.IntN(72))*time.Hour))
		}
		checkCaps(t, b, seed)
	}
}

// checkCaps counts anew what was granted, and compares it with every cap and with the counters.
func checkCaps(t *testing.T, b *books, seed uint64) {
	t.Helper()
	counted := map[carom.CounterKey]carom.Counter{}
	bounds := map[carom.CounterKey]carom.CapAt{}
	for _, g := range b.granted {
		for i := range g.Caps {
			key := g.Candidate.Counter(i, g.user)
			n := counted[key]
			n.Rewards++
			if g.Caps[i].Amount.Set {
				n.Amount += g.Decision.Amount
			}
			counted[key], bounds[key] = n, g.Caps[i]
		}
	}
	reached := 0
	for key, n := range counted {
		bound := bounds[key]
		if bound.Rewards > 0 && n.Rewards > int64(bound.Rewards) || bound.Amount.Set && n.Amount > bound.Amount.Nanos {
			t.Errorf("seed %d: %+v has %+v, above %+v", seed, key, n, bound)
		}
		if n != b.counters[key] {
			t.Errorf("seed %d: the counter %+v says %+v, granted was %+v", seed, key, b.counters[key], n)
		}
		if bound.Rewards > 0 && n.Rewards == int64(bound.Rewards) || n.Amount == bound.Amount.Nanos {
			reached++
		}
	}
	if len(counted) != len(b.counters) || reached == 0 {
		t.Errorf("seed %d: %d counters of %d, %d of them at their bound: the test tests nothing", seed, len(b.counters), len(counted), reached)
	}
}

// TestCooldownInEveryOrder: two rewards of a rule for one user are never nearer than its cooldown.
func TestCooldownInEveryOrder(t *testing.T) {
	book := compile(t, fixed("r", func(r *carom.Rule) { r.Cooldown = 10 * time.Minute }))
	for seed := range uint64(200) {
		r := random(seed)
		b := newBooks()
		for view := range 100 {
			b.accept(book, fmt.Sprint(view), "u", impression(), noon().Add(time.Duration(r.IntN(600))*time.Minute))
		}
		for i, x := range b.granted {
			for _, y := range b.granted[:i] {
				if x.At.Sub(y.At).Abs() < 10*time.Minute {
					t.Fatalf("seed %d: granted at %s and at %s", seed, x.At, y.At)
				}
			}
		}
	}
}

// TestSumsAreExact: the counter of a cap and the sum of what was granted agree to the last billionth, at both ends of the scale.
func TestSumsAreExact(t *testing.T) {
	for _, rate := range []string{"0.000000001", "1000"} {
		most := carom.Price{Nanos: 9_000_000_000 * 1_000_000_000, Set: true}
		rule := derived(priced(func(p *carom.PriceRule) {
			n, _, _ := carom.ParseNanos(rate)
			p.Currency, p.From, p.Rate, p.Share, p.Max, p.TrustSecret = "dust", carom.PriceEstimate, n, 999_999_999, most, true
		}), caps(carom.Cap{Per: []string{carom.CapRule}, Amount: most}))
		book, b := compile(t, rule), newBooks()
		sum := new(big.Int)
		for view := range 1000 {
			b.accept(book, fmt.Sprint(view), "u", impression(func(e *carom.Event) { e.Price = carom.Price{Nanos: carom.MaxPrice - carom.Nanos(view), Set: true} }), noon())
		}
		for _, g := range b.granted {
			sum.Add(sum, big.NewInt(int64(g.Decision.Amount)))
		}
		counter := b.counters[carom.CounterKey{Scope: "game/r in all in dust"}]
		if !sum.IsInt64() || sum.Int64() != int64(counter.Amount) || counter.Rewards != int64(len(b.granted)) || len(b.granted) == 0 {
			t.Errorf("rate %s: the sum of %d rewards is %s, the counter says %+v", rate, len(b.granted), sum, counter)
		}
		if rate == "1000" && len(b.granted) != 9 {
			t.Errorf("rate %s: %d rewards of almost 10^9 each fit under 9 × 10^9, want 9", rate, len(b.granted))
		}
	}
}
