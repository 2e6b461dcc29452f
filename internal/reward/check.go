package reward

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"carom"
)

// Bounds of the work on one event: each of an app's rules may count it, and each cap is a counter that the commit writes.
const (
	maxRules = 256
	maxCaps  = 16
	maxWait  = 400 * 24 * time.Hour // beyond it a cooldown or a hold is a slip of the pen
)

// maxDecimals is what an amount can have at all.
const maxDecimals = 9

// checker collects what is wrong with the rules of all apps.
type checker struct {
	covers   func(profile string) []string
	apps     map[string]*app
	order    []*app // as given
	faults   []error
	warnings []Warning
}

// app is an app with what its rules rest on.
type app struct {
	*carom.App
	loc     *time.Location
	sources []*carom.Source
	rules   []*carom.Rule // those without faults, with their defaults and with the lists of their filters sorted
	names   map[string]bool
}

// unit is the smallest amount of a currency, or of any if the app does not have it.
func (a *app) unit(currency string) carom.Nanos {
	unit := carom.Nanos(1)
	if decimals, ok := a.Currencies[currency]; ok {
		for range maxDecimals - min(max(decimals, 0), maxDecimals) {
			unit *= 10
		}
	}
	return unit
}

// app checks an app's time zone and currencies.
func (c *checker) app(given *carom.App) {
	a := &app{App: given, loc: time.UTC, names: make(map[string]bool)}
	path := "apps." + clip(given.Name)
	if given.TimeZone != "" {
		// "Local" is whatever the machine is set to, and would move the app's day with it.
		loc, err := time.LoadLocation(given.TimeZone)
		if err != nil || given.TimeZone == "Local" {
			c.fault(path+".time_zone", "there is no time zone %s: write a name such as Europe/Berlin or UTC", quote(given.TimeZone))
		} else {
			a.loc = loc
		}
	}
	for _, name := range sortedKeys(given.Currencies) {
		field := path + ".currencies." + clip(name)
		if !isCurrency(name) {
			c.fault(field, "%s is no name for a currency: use 1 to 32 letters, digits, - and _, a letter first", quote(name))
		}
		if d := given.Currencies[name]; d < 0 || d > maxDecimals {
			c.fault(field, "%d is not how many decimals an amount can have: write 0 for whole ones, 2 for cents, 9 at most", d)
		}
	}
	if c.apps[given.Name] == nil {
		c.apps[given.Name] = a
		c.order = append(c.order, a)
	}
}

func isCurrency(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return name != "" && len(name) <= 32 && strings.Trim(name, letters+"0123456789-_") == "" && strings.Contains(letters, name[:1])
}

func (c *checker) fault(field, format string, args ...any) {
	c.faults = append(c.faults, carom.Invalid(field, format, args...))
}

// isCovered says whether the signature of a profile covers a field.
func (c *checker) isCovered(profile, field string) bool {
	return field != "" && c.covers != nil && slices.Contains(c.covers(profile), field)
}

// subject is the rule under check.
type subject struct {
	*carom.Rule
	c    *checker
	app  *app
	path string // of the rule, with a point behind it
	unit carom.Nanos
}

func (s *subject) fault(field, format string, args ...any) { s.c.fault(s.path+field, format, args...) }

func (s *subject) warn(field, message string) {
	s.c.warnings = append(s.c.warnings, Warning{App: s.App, Rule: s.Name, Field: s.path + field, Message: message})
}

// rule checks a rule by itself, and keeps it for the comparison with others if it has no fault. r has its defaults.
func (c *checker) rule(r carom.Rule) {
	a := c.apps[r.App]
	path := "apps." + clip(r.App) + ".rules." + clip(r.Name)
	if a == nil {
		c.fault(path, "there is no app %s: add it, or remove the rule", quote(r.App))
		return
	}
	before := len(c.faults)
	if err := carom.CheckName(path, r.Name); err != nil {
		c.faults = append(c.faults, err)
	} else if a.names[r.Name] {
		c.fault(path, "the app has two rules of this name: rename one")
	}
	a.names[r.Name] = true
	s := &subject{Rule: &r, c: c, app: a, path: path + ".", unit: a.unit(r.Price.Currency)}
	s.checkFilter()
	f := &r.Filter
	f.Networks, f.Sources, f.Zones = sorted(f.Networks), sorted(f.Sources), sorted(f.Zones)
	f.EventTypes, f.Values, f.RequestVars = sorted(f.EventTypes), sorted(f.Values), sorted(f.RequestVars)
	s.checkPrice()
	s.checkCaps()
	for _, wait := range []struct {
		field string
		d     time.Duration
	}{{"cooldown", r.Cooldown}, {"hold", r.Hold}} {
		if wait.d < 0 || wait.d > maxWait {
			s.fault(wait.field, "%s is not from 0 to %s: choose one in between", carom.FormatDuration(wait.d), carom.FormatDuration(maxWait))
		}
	}
	s.warnAlone()
	if len(c.faults) == before {
		a.rules = append(a.rules, &r)
	}
}

func (s *subject) checkFilter() {
	for i, t := range s.Filter.EventTypes {
		if t == carom.Reversal {
			s.fault(indexed("filter.event_types", i), "a reversal takes back and earns nothing: remove it, carom debits by itself what was credited")
		}
	}
	for i, v := range s.Filter.Values {
		at := indexed("filter.values", i)
		switch v {
		case carom.Valued, carom.ValueEmpty:
		case carom.NotValued:
			s.fault(at, "the network pays nothing for not_valued events: remove it; an endpoint can tell your backend of them")
		case carom.ValueUnknown:
			s.fault(at, "events of an unknown value are held and never counted: remove it; an operator can release them")
		default:
			s.fault(at, "%s is no value that a rule can count: write valued, or empty for events whose network did not say", quote(string(v)))
		}
	}
}

func (s *subject) checkPrice() {
	p := &s.Price
	if *p == (carom.PriceRule{}) {
		s.fault("price", "the rule says no price: write one such as `5 coins`, or `from` with a `max`")
		return
	}
	_, known := s.app.Currencies[p.Currency]
	switch {
	case p.Currency == "":
		s.fault("price.currency", "the currency is missing: add one of those that the app declares under `currencies`")
	case !known:
		s.fault("price.currency", "the app declares no currency %s: add it under its `currencies`, such as { coins: 0, USD: 2 }", quote(p.Currency))
	}
	s.checkAmount("price.fixed", p.Fixed)
	switch {
	case p.From == "" && !p.Fixed.Set:
		s.fault("price.fixed", "the amount is missing: add it, or take it from a field with `from` and a `max`")
	case p.From == "":
		s.checkFixedAlone()
	case p.From != carom.PriceEstimate && p.From != carom.PriceReward:
		s.fault("price.from", "no price can come from %s: write %s or %s", quote(p.From), carom.PriceEstimate, carom.PriceReward)
	case p.Fixed.Set:
		s.fault("price.from", "the price is fixed already: keep one of `fixed` and `from`")
	default:
		s.checkDerived()
	}
}

// checkFixedAlone reports what has no meaning beside a fixed price: whoever writes a bound relies on it.
func (s *subject) checkFixedAlone() {
	p := &s.Price
	for _, f := range []struct {
		field string
		given bool
	}{
		{"rate", p.Rate != 0}, {"share", p.Share != 0}, {"min", p.Min.Set}, {"max", p.Max.Set}, {"step", p.Step != 0},
		{"round", p.Round != ""}, {"trust", p.TrustSecret},
	} {
		if f.given {
			s.fault("price."+f.field, "a fixed price has none: remove it, or take the price from a field with `from`")
		}
	}
}

// checkDerived checks a price that is worked out from a field.
func (s *subject) checkDerived() {
	const one = 1_000_000_000
	p := &s.Price
	if p.Rate < 0 {
		s.fault("price.rate", "%s is negative: write how much of the currency one unit of the field is worth", p.Rate)
	}
	if p.Share < 0 || p.Share > one {
		s.fault("price.share", "%s is not from 0 to 1: write the user's part, such as 0.5 or 50%%", p.Share)
	}
	step := s.unit
	switch {
	case p.Step < 0:
		s.fault("price.step", "%s is not above zero: write the amount that all rewards are multiples of", p.Step)
	case p.Step%s.unit != 0:
		s.fault("price.step", "%s is finer than the currency: write a multiple of %s, or give the currency more decimals", p.Step, s.unit)
	case p.Step > 0:
		step = p.Step
	}
	s.checkAmount("price.min", p.Min)
	s.checkAmount("price.max", p.Max)
	for _, bound := range []struct {
		field string
		carom.Price
	}{{"price.min", p.Min}, {"price.max", p.Max}} {
		if bound.Nanos%s.unit == 0 && bound.Nanos%step != 0 {
			s.fault(bound.field, "%s is no multiple of the step %s: change one of them", bound.Nanos, step)
		}
	}
	switch {
	case !p.Max.Set:
		s.fault("price.max", "it is missing: say how much one reward may be at most, whatever the network sends")
	case p.Min.Nanos > p.Max.Nanos:
		s.fault("price.min", "%s is above the max %s: exchange them", p.Min, p.Max)
	}
	switch p.Round {
	case carom.RoundDown, carom.RoundNearest, carom.RoundUp:
	default:
		s.fault("price.round", "%s is no way to round: write down, nearest or up", quote(p.Round))
	}
}

// checkAmount checks an amount of the rule's currency that is given or absent.
func (s *subject) checkAmount(field string, p carom.Price) {
	switch {
	case !p.Set:
	case p.Nanos <= 0:
		s.fault(field, "%s is not above zero: write a positive amount", p)
	case p.Nanos%s.unit != 0:
		s.fault(field, "%s has more decimals than %s may have: round it, or give the currency more decimals", p, s.Price.Currency)
	}
}

func (s *subject) checkCaps() {
	if len(s.Caps) > maxCaps {
		s.fault("caps", "there are %d of them: at most %d are kept count of", len(s.Caps), maxCaps)
		return
	}
	scopes := make(map[string]int, len(s.Caps))
	for i := range s.Caps {
		cp, path := &s.Caps[i], indexed("caps", i)+"."
		if cp.Name != "" {
			if err := carom.CheckName(s.path+path+"name", cp.Name); err != nil {
				s.c.faults = append(s.c.faults, err)
			}
		}
		if len(cp.Per) == 0 {
			s.fault(path+"per", "it does not say for what it counts: write any of user, day and rule, such as [user, day]")
		}
		for j, word := range cp.Per {
			if word != carom.CapUser && word != carom.CapDay && word != carom.CapRule {
				s.fault(indexed(path+"per", j), "a cap cannot count per %s: write any of user, day and rule", quote(word))
			}
		}
		if cp.Rewards < 0 {
			s.fault(path+"rewards", "%d is not above zero: write how many rewards there may be", cp.Rewards)
		}
		s.checkAmount(path+"amount", cp.Amount)
		least := max(s.Price.Fixed.Nanos, s.Price.Min.Nanos)
		switch {
		case cp.Rewards == 0 && !cp.Amount.Set:
			s.fault(strings.TrimSuffix(path, "."), "it bounds nothing: add `rewards` or `amount`")
		case cp.Amount.Set && cp.Amount.Nanos > 0 && least > cp.Amount.Nanos:
			s.fault(path+"amount", "every reward is %s or more, so that nothing would ever be granted: raise it to that at least", least)
		}
		where, fix := counted(s.Rule, cp), "it counts the same as caps[%d]: make one of the two, with the lower bounds"
		if !isOwn(cp) {
			where, fix = cp.Name, "its name is that of caps[%d], and names what is counted: rename one"
		}
		if first, twice := scopes[where]; twice {
			s.fault(strings.TrimSuffix(path, "."), fix, first)
			continue
		}
		scopes[where] = i
	}
}

// indexed is the path of an item of a list.
func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// isOwn says whether a cap counts the rewards of its rule alone.
func isOwn(cp *carom.Cap) bool { return cp.Name == "" || slices.Contains(cp.Per, carom.CapRule) }

// counted says in words what a cap counts. Names hold neither spaces nor slashes, so that no two texts are alike.
func counted(r *carom.Rule, cp *carom.Cap) string {
	what := r.ID()
	if !isOwn(cp) {
		what = r.App + " " + cp.Name
	}
	per := " in all"
	for _, word := range []string{carom.CapUser, carom.CapDay} {
		if slices.Contains(cp.Per, word) {
			what += " per " + word
			per = ""
		}
	}
	return what + per
}

// scope is the text that the counters of a cap are kept under. Where amounts are summed up the currency belongs to it.
func scope(r *carom.Rule, cp *carom.Cap) string {
	text := counted(r, cp)
	if cp.Amount.Set {
		text += " in " + r.Price.Currency
	}
	return text
}

// quote shows a text from outside in an error.
func quote(s string) string { return strconv.Quote(clip(s)) }

// clip shortens text from outside for an error, and keeps it in one line.
func clip(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, s)
}
