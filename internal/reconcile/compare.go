package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"carom"
)

// Measure is which of a network's numbers is compared with which events.
type Measure string

// The measures.
const (
	MeasureValued      Measure = "valued"      // events that the network pays for
	MeasureImpressions Measure = "impressions" // impressions, or completions where the source has no impressions
	MeasureClicks      Measure = "clicks"
)

// Case is what is to be compared: what a network states of a source, and what carom counted.
type Case struct {
	App, Source string
	Days        *Days                           // those that are asked for
	Stated      map[string][]carom.StatementRow // by day; a day that the network does not state is not compared
	Counts      []carom.QuarterCount            // of the source, from a day before the first to a day after the last
	Measure     Measure                         // empty: the first that the statements have
	Currency    string                          // of the statements' revenue; empty when they have none
	Prices      string                          // the currency of the source's prices
	Rate        *Rate                           // needed to compare money when the two differ
	Now         time.Time
}

// Comparison is where a network's statement and carom's counts differ, and why.
//
// Of the totals and of each day, what is explained and what is not add up to the difference, in numbers and in money.
type Comparison struct {
	Source   string       `json:"source" doc:"app/source"`
	Measure  Measure      `json:"measure" doc:"What is compared: valued events, impressions or clicks"`
	DayZone  string       `json:"day_zone" doc:"The time zone of the days"`
	From     string       `json:"from" doc:"The first day that is compared"`
	To       string       `json:"to" doc:"The last one"`
	Currency string       `json:"currency,omitempty" doc:"Of all amounts; absent when no money is compared"`
	Rate     string       `json:"rate,omitempty" doc:"By which the network's amounts were multiplied"`
	Total    DayBalance   `json:"total"`
	Days     []DayBalance `json:"days" nullable:"false"`
	Zones    []ZoneDay    `json:"zones" nullable:"false" doc:"By day and zone, before what is known by day alone"`
	Propose  string       `json:"propose_day_zone,omitempty" doc:"A time zone in which the two agree better"`
	Notes    []string     `json:"notes" nullable:"false"`

	// Statements are those that the days were taken from. Who hands in the case fills it.
	Statements []carom.StatementID `json:"statements" nullable:"false"`
}

// DayBalance is the difference of one day, or of all, and its explanations.
type DayBalance struct {
	Day         string        `json:"day,omitempty"`
	Theirs      int64         `json:"theirs"`
	Ours        int64         `json:"ours"`
	Difference  int64         `json:"difference" doc:"Theirs less ours"`
	Percent     string        `json:"percent,omitempty" doc:"Of theirs"`
	Explained   []Explanation `json:"explained" nullable:"false"`
	Unexplained int64         `json:"unexplained"`

	TheirMoney       string `json:"their_money,omitempty"`
	OurMoney         string `json:"our_money,omitempty"`
	MoneyDifference  string `json:"money_difference,omitempty"`
	UnexplainedMoney string `json:"unexplained_money,omitempty"`
}

// Explanation is a part of a difference that carom's own counts explain.
type Explanation struct {
	Cause     Cause  `json:"cause"`
	Reason    string `json:"reason,omitempty" doc:"Of refused and unverified postbacks"`
	N         int64  `json:"n"`
	Money     string `json:"money,omitempty"`
	Counted   int64  `json:"counted" doc:"How many there were: more than n when the difference is smaller"`
	Estimated bool   `json:"estimated,omitempty" doc:"The number, or of postbacks that became no event the money, is an estimate"`
	What      string `json:"what"`
	Next      string `json:"next" doc:"What to type to see them"`
}

// ZoneDay is one zone on one day. Explained is what counts of the zone explain.
type ZoneDay struct {
	Day        string `json:"day"`
	Zone       string `json:"zone,omitempty"`
	Theirs     int64  `json:"theirs"`
	Ours       int64  `json:"ours"`
	Difference int64  `json:"difference"`
	Percent    string `json:"percent,omitempty"`
	Explained  int64  `json:"explained"`

	TheirMoney      string `json:"their_money,omitempty"`
	OurMoney        string `json:"our_money,omitempty"`
	MoneyDifference string `json:"money_difference,omitempty"`
}

// amount is a number with the money that belongs to it.
type amount struct {
	n int64
	m Money
}

func (a amount) plus(b amount) amount  { return amount{a.n + b.n, a.m.plus(b.m)} }
func (a amount) minus(b amount) amount { return amount{a.n - b.n, a.m.minus(b.m)} }

// toward is as much of a as brings rest nearer to nothing and not beyond it, in number and in money by themselves.
func (a amount) toward(rest amount) amount {
	var out amount
	switch {
	case a.n > 0 && rest.n > 0:
		out.n = min(a.n, rest.n)
	case a.n < 0 && rest.n < 0:
		out.n = max(a.n, rest.n)
	}
	switch s := a.m.sign(); {
	case s != rest.m.sign():
	case s > 0 == (a.m.compare(rest.m) < 0):
		out.m = a.m
	default:
		out.m = rest.m
	}
	return out
}

// comparison holds the work on one case.
type comparison struct {
	*Case
	stated  []int // indexes of the days that are compared, in order
	byZone  bool  // the zones of both are the same
	money   bool
	alone   bool                // there are no numbers to compare, only money
	theirs  []map[string]amount // by day of Days and zone
	entries []entry
	zones   []string
	causes  []cause // of entries, by their number
	traffic map[int64]int64
	notes   []string
}

// entry is a number of events of one zone that came in a quarter of an hour, and what they can explain: cause 0 are those that
// count for us.
type entry struct {
	at    time.Time
	zone  int
	cause int
	amount
}

// Compare explains where c's statement and counts differ. It returns a carom.FieldError when there is nothing to compare.
func Compare(c *Case) (Comparison, error) {
	w := &comparison{Case: c, traffic: map[int64]int64{}}
	for i := range c.Days.Len() {
		if len(c.Stated[c.Days.Name(i)]) > 0 {
			w.stated = append(w.stated, i)
		}
	}
	if len(w.stated) == 0 {
		return Comparison{}, carom.Invalid("from", "no statement of %s/%s names a day from %s to %s: import one with --network-csv, or ask for other days",
			c.App, c.Source, c.Days.Name(0), c.Days.Name(c.Days.Len()-1))
	}
	if err := w.chooseMeasure(); err != nil {
		return Comparison{}, err
	}
	if err := w.readTheirs(); err != nil {
		return Comparison{}, err
	}
	w.sort()
	w.matchZones()
	results := w.results(c.Days.Bounds())
	proposed := w.shift(results)
	w.midnight(results)
	w.outages(results)
	return w.told(results, proposed), nil
}

// chooseMeasure takes the first number that the statements give, if none was asked for.
func (w *comparison) chooseMeasure() error {
	have := map[Measure]bool{}
	for _, i := range w.stated {
		for _, r := range w.Stated[w.Days.Name(i)] {
			have[MeasureValued] = have[MeasureValued] || r.Valued != nil
			have[MeasureImpressions] = have[MeasureImpressions] || r.Impressions != nil
			have[MeasureClicks] = have[MeasureClicks] || r.Clicks != nil
			w.money = w.money || r.Revenue.Set
		}
	}
	if w.Measure == "" {
		for _, m := range []Measure{MeasureValued, MeasureImpressions, MeasureClicks} {
			if have[m] {
				w.Measure = m
				break
			}
		}
	}
	switch {
	case w.Measure != "" && have[w.Measure]:
		return nil
	case w.Measure != "":
		return carom.Invalid("measure", "no statement of these days has %s", w.Measure)
	}
	w.Measure, w.alone = MeasureValued, true
	w.notes = append(w.notes, "The statement has revenue and no numbers: money alone is compared.")
	return nil
}

// readTheirs adds up what the network states, in our currency.
func (w *comparison) readTheirs() error {
	if w.money && w.Currency != "" && w.Currency != w.Prices && w.Rate == nil {
		w.money = false
		w.notes = append(w.notes, fmt.Sprintf("The statement is in %s and the prices of the source in %s: money is compared only with a rate (--rate, how many %s are one %s).",
			w.Currency, w.Prices, w.Prices, w.Currency))
	}
	if w.money && w.Currency == "" {
		w.notes = append(w.notes, "The statement does not say its currency: it is taken for "+w.Prices+".")
	}
	w.theirs = make([]map[string]amount, w.Days.Len())
	for _, i := range w.stated {
		w.theirs[i] = map[string]amount{}
		for _, r := range w.Stated[w.Days.Name(i)] {
			n := map[Measure]*int64{MeasureValued: r.Valued, MeasureImpressions: r.Impressions, MeasureClicks: r.Clicks}[w.Measure]
			var a amount
			if n != nil {
				a.n = *n
			}
			if w.money && r.Revenue.Set {
				a.m = moneyOf(r.Revenue.Nanos)
				if w.Rate != nil && w.Currency != w.Prices {
					var ok bool
					if a.m, ok = w.Rate.convert(a.m); !ok {
						return carom.Invalid("rate", "the amounts are too large with this rate")
					}
				}
			}
			w.theirs[i][r.Zone] = w.theirs[i][r.Zone].plus(a)
		}
	}
	return nil
}

// matchZones compares by zone if the statement has zones that we have, too.
func (w *comparison) matchZones() {
	named, common := false, false
	for _, i := range w.stated {
		for zone := range w.theirs[i] {
			named = named || zone != ""
			common = common || zone != "" && slices.Contains(w.zones, zone)
		}
	}
	if w.byZone = common; named && !common && len(w.zones) > 0 {
		w.notes = append(w.notes, "No zone of the statement is one of ours, so zones are compared as one: the file may have names where we have ids.")
	}
	if w.byZone {
		return
	}
	for _, i := range w.stated {
		var all amount
		for _, a := range w.theirs[i] {
			all = all.plus(a)
		}
		w.theirs[i] = map[string]amount{"": all}
	}
	for i := range w.entries {
		w.entries[i].zone = 0
	}
	w.zones = []string{""}
}

// result is one day's books.
type result struct {
	day          int
	theirs, ours amount
	explained    map[cause]amount // of the difference
	of           map[cause]amount // how much there was of what explains
	rest         amount
	cells        []cellResult
}

type cellResult struct {
	zone                    string
	theirs, ours, explained amount
}

// explain takes as much of a cause as fits off the rest of the day.
func (r *result) explain(c cause, counted amount) {
	used := counted.toward(r.rest)
	r.explained[c] = r.explained[c].plus(used)
	r.of[c] = r.of[c].plus(counted)
	r.rest = r.rest.minus(used)
}

// results compares day by day, with days that begin at bounds. What is known by zone explains its zone; what is not, the day.
func (w *comparison) results(bounds []time.Time) []result {
	sums := make([]map[int][]amount, w.Days.Len()) // by day and zone, then by cause
	for i := range w.entries {
		e := &w.entries[i]
		day := dayAt(bounds, e.at)
		if day < 0 || w.theirs[day] == nil {
			continue
		}
		if sums[day] == nil {
			sums[day] = map[int][]amount{}
		}
		if sums[day][e.zone] == nil {
			sums[day][e.zone] = make([]amount, len(w.causes))
		}
		sums[day][e.zone][e.cause] = sums[day][e.zone][e.cause].plus(e.amount)
	}
	out := make([]result, 0, len(w.stated))
	for _, day := range w.stated {
		out = append(out, w.oneDay(day, sums[day]))
	}
	return out
}

func (w *comparison) oneDay(day int, sums map[int][]amount) result {
	r := result{day: day, explained: map[cause]amount{}, of: map[cause]amount{}}
	ours := map[string][]amount{}
	for zone, list := range sums {
		ours[w.zones[zone]] = list
	}
	names := slices.Collect(maps.Keys(w.theirs[day]))
	for zone := range ours {
		if _, stated := w.theirs[day][zone]; !stated {
			names = append(names, zone)
		}
	}
	slices.Sort(names)
	whole := make([]amount, len(w.causes)) // what is known by day alone
	for _, zone := range names {
		cell := cellResult{zone: zone, theirs: w.theirs[day][zone]}
		known := ours[zone]
		if known != nil {
			cell.ours = known[0]
		}
		rest := cell.theirs.minus(cell.ours)
		for i := 1; i < len(known); i++ {
			if w.causes[i].zoneless() {
				whole[i] = whole[i].plus(known[i])
				continue
			}
			used := known[i].toward(rest)
			rest, cell.explained = rest.minus(used), cell.explained.plus(used)
			r.explained[w.causes[i]] = r.explained[w.causes[i]].plus(used)
			r.of[w.causes[i]] = r.of[w.causes[i]].plus(known[i])
		}
		r.theirs, r.ours, r.rest = r.theirs.plus(cell.theirs), r.ours.plus(cell.ours), r.rest.plus(rest)
		if cell.theirs != (amount{}) || cell.ours != (amount{}) || cell.explained != (amount{}) {
			r.cells = append(r.cells, cell)
		}
	}
	for i := 1; i < len(whole); i++ {
		if whole[i].n != 0 {
			whole[i].m = r.ours.m.share(min(whole[i].n, max(r.rest.n, 0)), r.ours.n) // by the day's mean price
			r.explain(w.causes[i], whole[i])
		}
	}
	return r
}

// told puts the results into words.
func (w *comparison) told(results []result, proposed string) Comparison {
	out := Comparison{
		Source: w.App + "/" + w.Source, Measure: w.Measure, DayZone: w.Days.Zone.String(), Propose: proposed,
		From: w.Days.Name(w.stated[0]), To: w.Days.Name(w.stated[len(w.stated)-1]), Days: []DayBalance{}, Zones: []ZoneDay{}, Notes: w.notes, Statements: []carom.StatementID{},
	}
	if w.money {
		out.Currency = w.Prices
		if w.Rate != nil && w.Currency != w.Prices {
			out.Rate = w.Rate.text
		}
	}
	total := result{day: -1, explained: map[cause]amount{}, of: map[cause]amount{}}
	for i := range results {
		r := &results[i]
		total.theirs, total.ours, total.rest = total.theirs.plus(r.theirs), total.ours.plus(r.ours), total.rest.plus(r.rest)
		for c, a := range r.explained {
			total.explained[c] = total.explained[c].plus(a)
		}
		for c, a := range r.of {
			total.of[c] = total.of[c].plus(a)
		}
		out.Days = append(out.Days, w.balance(r, proposed))
		for _, cell := range r.cells {
			out.Zones = append(out.Zones, w.cell(w.Days.Name(r.day), &cell))
		}
	}
	out.Total = w.balance(&total, proposed)
	if missing := w.Days.Len() - len(w.stated); missing > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d of the %d days that were asked for stand in no statement, and are not compared.", missing, w.Days.Len()))
	}
	if out.Notes == nil {
		out.Notes = []string{}
	}
	return out
}

func (w *comparison) balance(r *result, proposed string) DayBalance {
	d := r.theirs.minus(r.ours)
	b := DayBalance{
		Theirs: r.theirs.n, Ours: r.ours.n, Difference: d.n, Percent: percent(d.n, r.theirs.n), Unexplained: r.rest.n, Explained: []Explanation{},
	}
	if r.day >= 0 {
		b.Day = w.Days.Name(r.day)
	}
	if w.money {
		b.TheirMoney, b.OurMoney, b.MoneyDifference, b.UnexplainedMoney = r.theirs.m.String(), r.ours.m.String(), d.m.String(), r.rest.m.String()
	}
	list := slices.SortedFunc(maps.Keys(r.explained), func(a, b cause) int {
		return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.reason, b.reason))
	})
	for _, c := range list {
		a := r.explained[c]
		if !w.money {
			a.m = Money{}
		}
		if a == (amount{}) {
			continue
		}
		e := Explanation{Cause: c.kind, Reason: c.reason, N: a.n, Counted: r.of[c].n, Estimated: c.estimated()}
		if w.money {
			e.Money = a.m.String()
		}
		e.What, e.Next = w.words(c, proposed)
		b.Explained = append(b.Explained, e)
	}
	return b
}

func (w *comparison) cell(day string, c *cellResult) ZoneDay {
	d := c.theirs.minus(c.ours)
	out := ZoneDay{Day: day, Zone: c.zone, Theirs: c.theirs.n, Ours: c.ours.n, Difference: d.n, Percent: percent(d.n, c.theirs.n), Explained: c.explained.n}
	if w.money {
		out.TheirMoney, out.OurMoney, out.MoneyDifference = c.theirs.m.String(), c.ours.m.String(), d.m.String()
	}
	return out
}

// percent is n of whole with one decimal, "-13.0"; nothing of nothing.
func percent(n, whole int64) string {
	if whole == 0 {
		return ""
	}
	m := MoneyOf(n, 0).share(1000, whole) // thousandths: exact enough, and no float
	sign, units := "", m.units
	if m.sign() < 0 {
		m, sign = m.negative(), "-"
		units = m.units
	}
	if m.nanos >= unit/2 {
		units++
	}
	return fmt.Sprintf("%s%d.%d", sign, units/10, units%10)
}
