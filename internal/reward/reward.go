// Package reward decides which rules an event meets and what it earns.
//
// [Compile] checks the rules of all apps and makes a [Book] of them. Before the commit, [Book.Candidates] says what each
// matching rule would pay for an event; in the commit, [Decide] says from the facts that only the store knows whether that is
// granted, held or declined. Amounts are exact: no float, no rounding but the one that the rule asks for.
//
// Everything is pure, and a Book is immutable and safe for concurrent use: the time is an argument, counters and views are the
// store's, nothing is stored or sent. Only Compile looks outside, for the rules of time zones. Ledgers, holds that end and
// reversals are not decided here.
package reward

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"carom"
)

// Book holds the rules in force. The zero value and nil have none.
type Book struct {
	bySource map[sourceKey][]*rule // those without additional first, then by name
}

// sourceKey names a source. Rules are found by it, so that an event meets few that it does not match.
type sourceKey struct{ app, source string }

// rule is a rule that was checked.
type rule struct {
	common   carom.Candidate // what all candidates of the rule share
	loc      *time.Location
	networks []string // empty: all
	zones    []string // sorted; empty: all
	types    []carom.EventType
	values   []carom.RewardEventType // never empty
	price    price
	covered  []string // profiles whose signature covers the field that the price comes from
}

// Warning is something in a rule that is no fault and probably not meant: what it leads to, and what to do.
type Warning struct {
	App     string
	Rule    string
	Field   string // its path, as in a fault
	Message string
}

// Compile checks the rules of o, with the currencies and time zones of their apps, and makes them ready. covers says which of
// carom.PriceEstimate and carom.PriceReward the signature of a profile covers; nil stands for none.
//
// When something is wrong it returns no book, and all faults joined (errors.Join), each a *carom.FieldError whose field is the
// path in the objects: "apps.game.rules.bonus.price.max". Warnings come with or without faults, in a
// fixed order.
func Compile(o carom.Objects, covers func(profile string) []string) (*Book, []Warning, error) {
	c := &checker{covers: covers, apps: make(map[string]*app, len(o.Apps))}
	for i := range o.Apps {
		c.app(&o.Apps[i])
	}
	for i := range o.Sources {
		if a := c.apps[o.Sources[i].App]; a != nil {
			a.sources = append(a.sources, &o.Sources[i])
		}
	}
	for i := range o.Rules {
		c.rule(o.Rules[i].WithDefaults())
	}
	for _, a := range c.order {
		c.together(a)
	}
	if len(c.faults) > 0 {
		return nil, c.warnings, errors.Join(c.faults...)
	}
	return c.book(), c.warnings, nil
}

// book compiles what was found to be right.
func (c *checker) book() *Book {
	b := &Book{bySource: make(map[sourceKey][]*rule)}
	for _, a := range c.order {
		for _, r := range a.rules {
			compiled := c.compile(a, r)
			for _, s := range a.sources {
				if from(r, s) {
					key := sourceKey{s.App, s.Name}
					b.bySource[key] = append(b.bySource[key], compiled)
				}
			}
		}
	}
	for _, list := range b.bySource {
		slices.SortFunc(list, func(x, y *rule) int {
			if x.common.Additional != y.common.Additional {
				if y.common.Additional {
					return -1
				}
				return 1
			}
			return cmp.Compare(x.common.Rule, y.common.Rule)
		})
	}
	return b
}

func (c *checker) compile(a *app, r *carom.Rule) *rule {
	out := &rule{
		common: carom.Candidate{
			Rule: r.ID(), RequestVars: r.Filter.RequestVars, Currency: r.Price.Currency, Additional: r.Additional,
			Hold: r.Hold, Cooldown: r.Cooldown, Caps: make([]carom.CapAt, len(r.Caps)),
		},
		loc:      a.loc,
		networks: r.Filter.Networks,
		zones:    r.Filter.Zones,
		types:    r.Filter.EventTypes,
		values:   r.Filter.Values,
		price:    compilePrice(&r.Price, a.unit(r.Price.Currency)),
	}
	for i := range r.Caps {
		cp := &r.Caps[i]
		out.common.Caps[i] = carom.CapAt{
			Scope: scope(r, cp), PerUser: slices.Contains(cp.Per, carom.CapUser), PerDay: slices.Contains(cp.Per, carom.CapDay),
			Rewards: cp.Rewards, Amount: cp.Amount,
		}
	}
	for _, s := range a.sources {
		if from(r, s) && c.isCovered(s.Profile, r.Price.From) && !slices.Contains(out.covered, s.Profile) {
			out.covered = append(out.covered, s.Profile)
		}
	}
	return out
}

// Candidates appends to dst what each rule that counts the event would pay for it, and returns the longer slice. Rules that are
// not additional come first, then the others, each by name: so they are to be decided, one after another.
//
// at is the moment for which the event counts: when it was received, or when it is judged again. ev.ID and ev.At need not be set
// yet. Held events, tests, reversals and events of unknown value meet no rule; to release one, hand in a copy that says what it
// is released as. Nothing is allocated when no rule matches.
func (b *Book) Candidates(dst []carom.Candidate, ev *carom.Event, at time.Time) []carom.Candidate {
	if b == nil || ev.Held != "" || ev.Flags&(carom.FlagTest|carom.FlagHeld) != 0 || ev.Type == carom.Reversal {
		return dst
	}
	for _, r := range b.bySource[sourceKey{ev.App, ev.Source}] {
		if !r.counts(ev) {
			continue
		}
		c := r.common
		c.At = at
		year, month, day := at.In(r.loc).Date()
		c.Day = int32(year*10_000 + int(month)*100 + day)
		c.Amount, c.Declined = r.worth(ev)
		dst = append(dst, c)
	}
	return dst
}

// counts says whether an event of one of the rule's sources passes its filter. The placement is left to [Decide].
func (r *rule) counts(ev *carom.Event) bool {
	if len(r.networks) > 0 && !slices.Contains(r.networks, ev.Network) ||
		len(r.types) > 0 && !slices.Contains(r.types, ev.Type) ||
		!slices.Contains(r.values, ev.Value) {
		return false
	}
	if len(r.zones) == 0 {
		return true
	}
	_, found := slices.BinarySearch(r.zones, ev.ZoneID)
	return found
}

// worth is what the rule pays for an event that it counts, or why nothing can be paid for it.
func (r *rule) worth(ev *carom.Event) (carom.Nanos, carom.DeclineReason) {
	if r.price.from == "" {
		return r.price.fixed, ""
	}
	signed := ev.Strength == carom.Signed && slices.Contains(r.covered, ev.Network)
	if !signed && (!r.price.trustSecret || ev.Strength != carom.Signed && ev.Strength != carom.Secret) {
		return 0, carom.DeclineUntrusted
	}
	said := ev.Price
	if r.price.from == carom.PriceReward {
		said = rewardAmount(ev)
	}
	if !said.Set || said.Nanos < 0 {
		return 0, carom.DeclineNoPrice
	}
	amount := r.price.of(said.Nanos)
	if amount == 0 {
		return 0, carom.DeclineZero
	}
	return amount, ""
}

// rewardAmount reads the further field that carries what the network was told to give.
func rewardAmount(ev *carom.Event) carom.Price {
	for i := range ev.Fields {
		if ev.Fields[i].Name != carom.PriceReward {
			continue
		}
		n, _, err := carom.ParseNanos(ev.Fields[i].Value) // beyond nine decimals it is cut: never to the user's favour
		return carom.Price{Nanos: n, Set: err == nil}
	}
	return carom.Price{}
}
