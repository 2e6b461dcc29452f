package objects

import (
	"slices"
	"strconv"
	"strings"

	"carom"
)

// currencies reads names with how many decimals their amounts have.
func (r *reader) currencies(to *map[string]int) read {
	return func(path string, n *node) {
		if !r.is(path, n, object, "names with their decimals, such as { coins: 0, USD: 2 }") {
			return
		}
		for i := range n.entries {
			e := &n.entries[i]
			below := join(path, e.key)
			if !r.visit(below, e.place) {
				return
			}
			var decimals int
			scan(r, &decimals, "how many decimals its amounts have, such as 2", func(s string) (int, string) {
				value, err := strconv.ParseInt(s, 10, 16)
				if err != nil {
					return 0, quote(s) + " is not a whole number: write how many decimals its amounts have, such as 0 or 2"
				}
				return int(value), ""
			})(below, e.value)
			if *to == nil {
				*to = make(map[string]int, len(n.entries))
			}
			(*to)[e.key] = decimals
		}
	}
}

// faultyBelow says whether the object at path, or one of its keys, has a fault.
func (r *reader) faultyBelow(path string, keys map[string]int) bool {
	if r.faulty[path] {
		return true
	}
	for key := range keys {
		if r.faulty[join(path, key)] {
			return true
		}
	}
	return false
}

func (r *reader) rule(path, app, name string, n *node) carom.Rule {
	rule := carom.Rule{App: app, Name: name}
	r.object(path, n, fields{
		"filter":     r.ruleFilter(&rule.Filter),
		"price":      r.price(&rule.Price),
		"additional": r.flag(&rule.Additional),
		"caps":       r.list("a list such as [{ per: [user, day], rewards: 20 }]", r.cap(&rule.Caps)),
		"cooldown":   r.duration(&rule.Cooldown),
		"hold":       r.duration(&rule.Hold),
	})
	return rule
}

func (r *reader) ruleFilter(to *carom.RuleFilter) read {
	return func(path string, n *node) {
		r.object(path, n, fields{
			"networks":    texts(r, &to.Networks),
			"sources":     texts(r, &to.Sources),
			"zones":       texts(r, &to.Zones),
			"event_types": texts(r, &to.EventTypes),
			"values": r.list("a list such as [valued, empty]", func(path string, n *node) {
				// What a rule can count is known to internal/reward. It stands there for what the file calls empty.
				var word carom.RewardEventType
				if text(r, &word)(path, n); word == "empty" {
					word = carom.ValueEmpty
				} else if word == "" && !r.faulty[path] {
					r.fault(path, `"" is no value: write valued, or empty for events whose network did not say`)
				}
				to.Values = append(to.Values, word)
			}),
			"request_vars": texts(r, &to.RequestVars),
		})
		r.checkEventTypes(path+".event_types", to.EventTypes)
		for i, name := range to.Networks {
			if at := indexed(path+".networks", i); !slices.Contains(r.rules.profiles, name) && !r.faulty[at] {
				r.fault(at, "there is no network %s: %s", quote(name), suggest(name, slices.Clone(r.rules.profiles)))
			}
		}
	}
}

// price reads what a rule pays: "5 coins", or keys.
func (r *reader) price(to *carom.PriceRule) read {
	return func(path string, n *node) {
		if n.kind != object {
			scan(r, to, "an amount and a currency such as 5 coins", fixedPrice)(path, n)
			return
		}
		r.object(path, n, fields{
			"fixed":    r.amount(&to.Fixed),
			"currency": text(r, &to.Currency),
			"from":     text(r, &to.From),
			"rate":     r.factor(&to.Rate),
			"share":    r.share(&to.Share),
			"min":      r.amount(&to.Min),
			"max":      r.amount(&to.Max),
			"step":     r.factor(&to.Step),
			"round":    text(r, &to.Round),
			"trust": scan(r, &to.TrustSecret, "the word secret", func(s string) (bool, string) {
				if s != string(carom.Secret) {
					return false, quote(s) + " is nothing that an amount can rest on: write secret, or remove the line"
				}
				return true, ""
			}),
		})
	}
}

// fixedPrice reads an amount with its currency.
func fixedPrice(s string) (carom.PriceRule, string) {
	number, currency, ok := strings.Cut(s, " ")
	currency = strings.TrimSpace(currency)
	if !ok || currency == "" || strings.Contains(currency, " ") {
		return carom.PriceRule{}, quote(s) + " is no price: write an amount and a currency such as 5 coins"
	}
	n, fault := exactNanos(number)
	return carom.PriceRule{Currency: currency, Fixed: carom.Price{Nanos: n, Set: true}}, fault
}

// exactNanos reads a number of which nothing may be lost.
func exactNanos(s string) (carom.Nanos, string) {
	n, truncated, err := carom.ParseNanos(s)
	switch {
	case err != nil:
		return 0, quote(s) + " is not an amount: write a plain number such as 5 or 0.25"
	case truncated:
		return 0, quote(s) + " has more than nine decimals: round it"
	}
	return n, ""
}

func (r *reader) amount(to *carom.Price) read {
	return scan(r, to, "an amount such as 5 or 0.25", func(s string) (carom.Price, string) {
		n, fault := exactNanos(s)
		return carom.Price{Nanos: n, Set: true}, fault
	})
}

// factor reads a number above zero. Zero would mean the default, which nobody who writes 0 expects.
func (r *reader) factor(to *carom.Nanos) read {
	return scan(r, to, "a number such as 1000 or 0.5", positive)
}

func positive(s string) (carom.Nanos, string) {
	n, fault := exactNanos(s)
	if fault == "" && n <= 0 {
		fault = quote(s) + " is not above zero: write a positive number, or remove the line for the default"
	}
	return n, fault
}

// share reads a part of a whole: "50%" or 0.5.
func (r *reader) share(to *carom.Nanos) read {
	return scan(r, to, "a part such as 50% or 0.5", func(s string) (carom.Nanos, string) {
		number, percent := strings.CutSuffix(s, "%")
		n, fault := positive(strings.TrimSpace(number))
		if fault == "" && percent {
			if n%100 != 0 {
				return 0, quote(s) + " has more than seven decimals: round it"
			}
			n /= 100
		}
		return n, fault
	})
}

func (r *reader) cap(to *[]carom.Cap) read {
	return func(path string, n *node) {
		var c carom.Cap
		r.object(path, n, fields{
			"name":    text(r, &c.Name),
			"per":     texts(r, &c.Per),
			"rewards": r.count(&c.Rewards),
			"amount":  r.amount(&c.Amount),
		})
		*to = append(*to, c)
	}
}

// checkRewards has the rules compiled, those of them that could be read. It reports their faults and notes the warnings.
func (r *reader) checkRewards(o carom.Objects) {
	warnings, err := r.rules.rewards(o)
	r.faultsOf("apps", err, func(field string) string { return strings.TrimPrefix(field, "apps.") })
	for _, w := range warnings {
		r.warn(w.Field, "%s", w.Message)
	}
}
