package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carom"
)

// Report is what carom saw, by app, network, source, zone and day.
type Report struct {
	DayZone string   `json:"day_zone" doc:"The time zone of the days"`
	From    string   `json:"from" doc:"The first day"`
	To      string   `json:"to" doc:"The last day, included"`
	Rows    []DayRow `json:"rows" nullable:"false" doc:"By day, app, source and zone. What has no zone (refused and unverified postbacks) stands in a row without one"`
	Apps    []AppDay `json:"apps" nullable:"false" doc:"By day and app: what is not known by source"`
	Notes   []string `json:"notes" nullable:"false"`
}

// DayRow is one day of one zone.
type DayRow struct {
	Day     string `json:"day"`
	App     string `json:"app"`
	Network string `json:"network" doc:"The profile of the source; empty when the source is gone"`
	Source  string `json:"source"`
	Zone    string `json:"zone,omitempty"`

	Received   int64            `json:"received" doc:"Everything that came in"`
	Verified   int64            `json:"verified" doc:"Of which had the right secret or signature"`
	Accepted   int64            `json:"accepted" doc:"Of which became events that count"`
	Unmatched  int64            `json:"unmatched" doc:"Accepted events that no endpoint wanted"`
	Valued     int64            `json:"valued" doc:"Accepted events that the network pays for, or of which it does not say"`
	NotValued  int64            `json:"not_valued" doc:"Accepted events that the network does not pay for"`
	Types      map[string]int64 `json:"types,omitempty" doc:"Accepted events by type and value: impression valued, click not_valued"`
	Duplicates int64            `json:"duplicates" doc:"Copies, which count once"`
	Late       int64            `json:"duplicates_late" doc:"Of which came more than an hour after the first: the ymid repeats"`
	Conflicts  int64            `json:"conflicts" doc:"Of which disagree in amount or user"`
	Held       int64            `json:"held" doc:"Events that wait for somebody"`
	Refused    int64            `json:"refused" doc:"Had the right secret and are of no use"`
	RefusedBy  map[string]int64 `json:"refused_by,omitempty" doc:"By reason"`

	Unverified   int64            `json:"unverified" doc:"Proved nothing"`
	UnverifiedBy map[string]int64 `json:"unverified_by,omitempty" doc:"By reason"`

	Confirmed   int64            `json:"confirmed" doc:"Views whose reward was credited"`
	Granted     int64            `json:"granted" doc:"Rewards that were credited"`
	GrantedSum  []CurrencySum    `json:"granted_sum,omitempty" nullable:"false"`
	HeldRewards int64            `json:"held_rewards" doc:"Rewards that were held back"`
	Declined    int64            `json:"declined" doc:"What rules declined"`
	DeclinedBy  map[string]int64 `json:"declined_by,omitempty" doc:"By reason"`
	Reversed    int64            `json:"reversed" doc:"Rewards that were taken back on this day, whenever they were granted"`
	ReversedSum []CurrencySum    `json:"reversed_sum,omitempty" nullable:"false"`
	Canceled    int64            `json:"canceled" doc:"Held rewards that were taken back"`

	Revenue string `json:"revenue" doc:"The sum of the prices of valued events, exact. A network's price is an estimate"`
}

// CurrencySum is an exact amount of one currency.
type CurrencySum struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// AppDay is what is known of a day by app alone.
type AppDay struct {
	Day       string `json:"day"`
	App       string `json:"app"`
	Opened    *int64 `json:"opened,omitempty" doc:"Views that the app opened; absent when they are no longer kept"`
	Delivered int64  `json:"delivered"`
	Dead      int64  `json:"dead"`
	Expired   int64  `json:"expired"`
	Retries   int64  `json:"retries" doc:"Attempts that failed and were repeated"`
}

// Known is what a report has to know of the configuration.
type Known struct {
	Network    func(app, source string) string // the profile of a source
	Additional func(app, rule string) bool     // whether the rule pays beside others, so that its rewards confirm no view of their own
}

// Tally adds counts up to a report. It is for one goroutine.
type Tally struct {
	days  *Days
	known Known
	rows  map[rowKey]*rowSums
}

type rowKey struct {
	day               int
	app, source, zone string
}

type rowSums struct {
	DayRow
	revenue  Money
	granted  map[string]Money
	reversed map[string]Money
}

// NewTally begins a report of the given days.
func NewTally(days *Days, known Known) *Tally {
	return &Tally{days: days, known: known, rows: map[rowKey]*rowSums{}}
}

// Add counts what came in a quarter of an hour. What lies outside the days is left out.
func (t *Tally) Add(c *carom.QuarterCount) {
	day := t.days.At(c.At)
	reward, isReward := strings.CutPrefix(c.Outcome, carom.OutcomeReward)
	if day < 0 || c.Source == carom.SourceCarom && !isReward {
		return // what carom makes itself was received by nobody
	}
	key := rowKey{day, c.App, c.Source, c.Zone}
	r := t.rows[key]
	if r == nil {
		r = &rowSums{granted: map[string]Money{}, reversed: map[string]Money{}}
		r.Day, r.App, r.Source, r.Zone = t.days.Name(day), c.App, c.Source, c.Zone
		r.Network = t.known.Network(c.App, c.Source)
		t.rows[key] = r
	}
	if isReward {
		t.reward(r, c, reward)
		return
	}
	r.Received += c.N
	outcome, reason, _ := strings.Cut(c.Outcome, ":")
	if outcome != carom.OutcomeUnverified {
		r.Verified += c.N
	}
	switch outcome {
	case carom.OutcomeUnmatched, carom.OutcomeAccepted:
		r.accept(c)
	case carom.OutcomeHeld:
		r.Held += c.N
	case carom.OutcomeDuplicate, carom.OutcomeDuplicateLate, carom.OutcomeConflict:
		r.Duplicates += c.N
		switch outcome {
		case carom.OutcomeDuplicateLate:
			r.Late += c.N
		case carom.OutcomeConflict:
			r.Conflicts += c.N
		}
	case carom.OutcomeRefused:
		r.Refused += c.N
		by(&r.RefusedBy, reason, c.N)
	case carom.OutcomeUnverified:
		r.Unverified += c.N
		by(&r.UnverifiedBy, reason, c.N)
	}
}

func (r *rowSums) accept(c *carom.QuarterCount) {
	r.Accepted += c.N
	if c.Outcome == carom.OutcomeUnmatched {
		r.Unmatched += c.N
	}
	by(&r.Types, strings.TrimSuffix(c.EventType+" "+c.Value, " empty"), c.N)
	switch {
	case c.EventType == string(carom.Reversal):
	case paid(c.Value):
		r.Valued += c.N
		r.revenue = r.revenue.plus(MoneyOf(c.Units, c.Nanos))
	case c.Value == string(carom.NotValued):
		r.NotValued += c.N
	}
}

// paid says whether the network pays for events of a value, as counts spell it, or does not say.
func paid(value string) bool { return value == string(carom.Valued) || value == "empty" }

// reward counts what became of a rule: "granted:watch", "declined:capped:watch", "uncounted".
func (t *Tally) reward(r *rowSums, c *carom.QuarterCount, what string) {
	state, rest, _ := strings.Cut(what, ":")
	confirms := func() {
		if rest != carom.RuleByHand && !t.known.Additional(c.App, rest) {
			r.Confirmed += c.N
		}
	}
	sum := MoneyOf(c.Units, c.Nanos)
	switch carom.RewardState(state) {
	case carom.RewardGranted:
		r.Granted += c.N
		r.granted[c.Value] = r.granted[c.Value].plus(sum)
		confirms()
	case carom.RewardHeld:
		r.HeldRewards += c.N
	case carom.RewardReversed:
		r.Reversed += c.N
		r.reversed[c.Value] = r.reversed[c.Value].plus(sum)
	case carom.RewardCanceled:
		r.Canceled += c.N
	case carom.RewardDeclined:
		r.Declined += c.N
		reason, _, _ := strings.Cut(rest, ":")
		by(&r.DeclinedBy, reason, c.N)
	}
}

func by(m *map[string]int64, key string, n int64) {
	if *m == nil {
		*m = map[string]int64{}
	}
	(*m)[key] += n
}

// Report returns the report, sorted by day, app, source and zone. apps is what is known by app alone.
func (t *Tally) Report(apps []AppDay) Report {
	out := Report{DayZone: t.days.Zone.String(), From: t.days.Name(0), To: t.days.Name(t.days.Len() - 1), Rows: []DayRow{}, Apps: []AppDay{}}
	for _, r := range t.rows {
		r.GrantedSum, r.ReversedSum, r.Revenue = sums(r.granted), sums(r.reversed), r.revenue.String()
		out.Rows = append(out.Rows, r.DayRow)
	}
	slices.SortFunc(out.Rows, func(a, b DayRow) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.App, b.App), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Zone, b.Zone))
	})
	out.Apps = append(out.Apps, apps...)
	slices.SortFunc(out.Apps, func(a, b AppDay) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.App, b.App)) })
	out.Notes = []string{
		"Refused and unverified postbacks have no zone: nobody read it out of them.",
		"Opened views, deliveries and their ends are known by app, not by source or zone.",
		"A hold that ends counts as granted on the day on which it ends.",
	}
	return out
}

// sums are amounts by currency, those that are nothing left out.
func sums(m map[string]Money) []CurrencySum {
	var out []CurrencySum
	for _, currency := range slices.Sorted(maps.Keys(m)) {
		if m[currency].sign() != 0 {
			out = append(out, CurrencySum{currency, m[currency].String()})
		}
	}
	return out
}

// Table is the report's rows as lines of texts, the names of the columns first.
func (r Report) Table() [][]string {
	out := [][]string{{
		"day", "app", "network", "source", "zone", "received", "verified", "accepted", "unmatched", "valued", "not_valued", "duplicates",
		"duplicates_late", "conflicts", "held", "refused", "refused_by", "unverified", "unverified_by", "confirmed", "granted", "granted_sum",
		"held_rewards", "declined", "declined_by", "reversed", "reversed_sum", "canceled", "revenue", "opened", "delivered", "dead", "expired",
	}}
	for i := range r.Rows {
		w := &r.Rows[i]
		out = append(out, []string{
			w.Day, w.App, w.Network, w.Source, w.Zone, text(w.Received), text(w.Verified), text(w.Accepted), text(w.Unmatched), text(w.Valued),
			text(w.NotValued), text(w.Duplicates), text(w.Late), text(w.Conflicts), text(w.Held), text(w.Refused), reasons(w.RefusedBy),
			text(w.Unverified), reasons(w.UnverifiedBy), text(w.Confirmed), text(w.Granted), sumsText(w.GrantedSum), text(w.HeldRewards),
			text(w.Declined), reasons(w.DeclinedBy), text(w.Reversed), sumsText(w.ReversedSum), text(w.Canceled), w.Revenue, "", "", "", "",
		})
	}
	for _, a := range r.Apps {
		line := make([]string, len(out[0]))
		line[0], line[1] = a.Day, a.App
		if a.Opened != nil {
			line[len(line)-4] = text(*a.Opened)
		}
		line[len(line)-3], line[len(line)-2], line[len(line)-1] = text(a.Delivered), text(a.Dead), text(a.Expired)
		out = append(out, line)
	}
	return out
}

func text(n int64) string { return fmt.Sprint(n) }

// reasons writes counts by reason: "no_identity 3, too_large 1".
func reasons(m map[string]int64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, m[reason]))
	}
	return strings.Join(parts, ", ")
}

func sumsText(list []CurrencySum) string {
	var parts []string
	for _, s := range list {
		parts = append(parts, strings.TrimSpace(s.Amount+" "+s.Currency))
	}
	return strings.Join(parts, ", ")
}

// Table is the comparison as lines of texts: each day's explanations below its difference, the total last.
func (c Comparison) Table() [][]string {
	out := [][]string{{
		"day", "zone", "kind", "reason", "theirs", "ours", "difference", "percent", "their_money", "our_money", "money_difference", "currency", "estimated", "next",
	}}
	add := func(b *DayBalance, day string) {
		out = append(out, []string{day, "", "difference", "", text(b.Theirs), text(b.Ours), text(b.Difference), b.Percent, b.TheirMoney, b.OurMoney, b.MoneyDifference, c.Currency, "", ""})
		for _, e := range b.Explained {
			estimated := ""
			if e.Estimated {
				estimated = "yes"
			}
			out = append(out, []string{day, "", string(e.Cause), e.Reason, "", "", text(e.N), "", "", "", e.Money, c.Currency, estimated, e.Next})
		}
		out = append(out, []string{day, "", "unexplained", "", "", "", text(b.Unexplained), "", "", "", b.UnexplainedMoney, c.Currency, "", ""})
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		out = append(out, []string{z.Day, z.Zone, "zone", "", text(z.Theirs), text(z.Ours), text(z.Difference), z.Percent, z.TheirMoney, z.OurMoney, z.MoneyDifference, c.Currency, "", ""})
	}
	for i := range c.Days {
		add(&c.Days[i], c.Days[i].Day)
	}
	add(&c.Total, "total")
	return out
}
