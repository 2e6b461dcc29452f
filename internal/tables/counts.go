package tables

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"carom"
)

// ReceivedKey is the dimensions that received postbacks are counted by, a row of the table counts.
type ReceivedKey struct {
	Minute                                                   int64 // since 1970 UTC
	App, Source, Zone, RequestVar, EventType, Value, Outcome string
}

// compare orders as the table's key does.
func (k ReceivedKey) compare(o ReceivedKey) int {
	return cmp.Or(cmp.Compare(k.Minute, o.Minute), strings.Compare(k.App, o.App), strings.Compare(k.Source, o.Source), strings.Compare(k.Zone, o.Zone),
		strings.Compare(k.RequestVar, o.RequestVar), strings.Compare(k.EventType, o.EventType), strings.Compare(k.Value, o.Value),
		strings.Compare(k.Outcome, o.Outcome))
}

// QuarterKey is the dimensions of counts by the quarter of an hour, a row of the table quarter_counts.
type QuarterKey struct {
	Quarter                                      int64 // since 1970 UTC
	App, Source, Zone, EventType, Value, Outcome string
}

func (k QuarterKey) compare(o QuarterKey) int {
	return cmp.Or(cmp.Compare(k.Quarter, o.Quarter), strings.Compare(k.App, o.App), strings.Compare(k.Source, o.Source), strings.Compare(k.Zone, o.Zone),
		strings.Compare(k.EventType, o.EventType), strings.Compare(k.Value, o.Value), strings.Compare(k.Outcome, o.Outcome))
}

// DeliveryKey is the dimensions that outcomes of deliveries are counted by, a row of the table delivery_counts.
type DeliveryKey struct {
	Minute   int64 // since 1970 UTC
	Endpoint int
	Outcome  string
}

func (k DeliveryKey) compare(o DeliveryKey) int {
	return cmp.Or(cmp.Compare(k.Minute, o.Minute), cmp.Compare(k.Endpoint, o.Endpoint), strings.Compare(k.Outcome, o.Outcome))
}

// Tally is how many there were, and the sum of their prices or amounts: of whole units and of the billionths beyond them, so that
// neither can overflow.
type Tally struct{ N, Units, Nanos int64 }

// plus adds n, each with an amount.
func (t Tally) plus(n int64, amount carom.Nanos) Tally {
	return Tally{t.N + n, t.Units + int64(amount/unit), t.Nanos + int64(amount%unit)}
}

// Bounds of the dimensions that a browser controls: how many values are counted by themselves per app and day, those of request_var
// per app, zone and day. Further ones count together.
const (
	MaxRequestVars = 1000
	MaxZones       = 10000
	OtherLabel     = "(other)"
)

// Counts gathers one batch's counts, for its transaction to add to the tables. One goroutine uses it.
type Counts struct {
	received   map[ReceivedKey]Tally
	quarters   map[QuarterKey]Tally // made of received when they are asked for
	deliveries map[DeliveryKey]int64
	reports    reports
	labels     labels
}

// NewCounts makes counts of nothing. [Tables.LoadLabels] then reads what was counted today.
func NewCounts() *Counts {
	return &Counts{received: map[ReceivedKey]Tally{}, quarters: map[QuarterKey]Tally{}, deliveries: map[DeliveryKey]int64{},
		reports: newReports(), labels: labels{seen: map[labelKey]map[string]struct{}{}, spots: map[spotLabel]struct{}{}, pairs: map[labelKey]int{}}}
}

// Event counts an event of the moment now, with its price.
func (c *Counts) Event(ev *carom.Event, outcome string, now time.Time) {
	c.labels.day(now)
	zone := c.labels.bound(labelKey{app: ev.App}, ev.ZoneID, MaxZones)
	requestVar := c.labels.bound(labelKey{app: ev.App, zone: zone, of: ofRequestVar}, ev.RequestVar, MaxRequestVars)
	c.reportEvent(ev, outcome, zone, requestVar, now)
	k := ReceivedKey{
		Minute: now.Unix() / 60, App: ev.App, Source: ev.Source, Zone: zone,
		RequestVar: requestVar,
		EventType:  string(ev.Type), Value: valueLabel(ev.Value), Outcome: outcome,
	}
	var price carom.Nanos
	if ev.Price.Set {
		price = ev.Price.Nanos
	}
	c.received[k] = c.received[k].plus(1, price)
}

// Other counts n of what is no event.
func (c *Counts) Other(app, source, outcome string, now time.Time, n int64) {
	k := ReceivedKey{Minute: now.Unix() / 60, App: app, Source: source, Outcome: outcome}
	c.received[k] = c.received[k].plus(n, 0)
	c.reportOther(app, source, outcome, now, n)
}

// Reward counts what became of a rule. What somebody did to a reward, or a hold that ended, counts for the source and the zone
// that the reward came from.
func (c *Counts) Reward(ev *carom.Event, d *carom.Decided) {
	outcome := carom.OutcomeReward + string(d.State) + ":"
	if d.Reason != "" {
		outcome += string(d.Reason) + ":"
	}
	c.labels.day(ev.At)
	k := ReceivedKey{Minute: ev.At.Unix() / 60, App: ev.App, Source: ev.Source, Zone: ev.ZoneID, Outcome: outcome + d.Rule}
	var amount carom.Nanos
	if r := d.Reward; r != nil {
		k.Value, amount = r.Currency, r.Amount
		if r.Source != "" {
			k.Source, k.Zone = r.Source, r.ZoneID
		}
	}
	k.Zone = c.labels.bound(labelKey{app: ev.App}, k.Zone, MaxZones)
	c.reportReward(ev, d, k.Zone)
	c.received[k] = c.received[k].plus(1, amount)
}

// Delivery counts the end of a delivery of an event, nil when that is gone, or a failed attempt; see carom.DeliveryCount for the outcomes.
func (c *Counts) Delivery(endpoint int, ev *carom.Event, outcome string, now time.Time) {
	c.reportDelivery(ev, outcome, now)
	c.deliveries[DeliveryKey{Minute: now.Unix() / 60, Endpoint: endpoint, Outcome: outcome}]++
}

// Reset forgets what was counted, but not which labels there were today.
func (c *Counts) Reset() {
	clear(c.received)
	clear(c.deliveries)
	c.reports.reset()
}

// Received are the counts by the minute, in the order of the table's key: who adds them in this order never waits in a circle for
// somebody who does so too.
func (c *Counts) Received() iter.Seq2[ReceivedKey, Tally] {
	return inOrder(c.received, ReceivedKey.compare)
}

// Quarters are the same counts by the quarter of an hour and without the request_var, in the order of that table's key.
func (c *Counts) Quarters() iter.Seq2[QuarterKey, Tally] {
	clear(c.quarters)
	for k, n := range c.received {
		q := QuarterKey{k.Minute / carom.QuarterMinutes, k.App, k.Source, k.Zone, k.EventType, k.Value, k.Outcome}
		sum := c.quarters[q]
		c.quarters[q] = Tally{sum.N + n.N, sum.Units + n.Units, sum.Nanos + n.Nanos}
	}
	return inOrder(c.quarters, QuarterKey.compare)
}

// Deliveries are the counts of deliveries, in the order of the table's key.
func (c *Counts) Deliveries() iter.Seq2[DeliveryKey, int64] {
	return inOrder(c.deliveries, DeliveryKey.compare)
}

func inOrder[K comparable, V any](m map[K]V, compare func(x, y K) int) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.SortedFunc(maps.Keys(m), compare) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// valueLabel is how a value is spelled in counts, where an empty text would be no answer.
func valueLabel(v carom.RewardEventType) string {
	if v == carom.ValueEmpty {
		return "empty"
	}
	return string(v)
}

// labels remembers which values of an unbounded dimension were counted today, to bound them.
type labels struct {
	today int64 // days since 1970 UTC
	seen  map[labelKey]map[string]struct{}
	spots map[spotLabel]struct{}
	pairs map[labelKey]int // how many spots, by zone
}

type labelKey struct {
	app, zone string
	of        labelKind
}

// labelKind tells the dimensions apart whose values are bounded.
type labelKind uint8

const (
	ofZone labelKind = iota
	ofRequestVar
	ofSubZone
)

// spotLabel is a sub-zone with a request_var.
type spotLabel struct{ app, zone, subZone, requestVar string }

// spot says whether a pair is counted by itself: the first so many of a zone are.
func (l *labels) spot(s spotLabel) bool {
	if _, ok := l.spots[s]; ok {
		return true
	}
	zone := labelKey{app: s.app, zone: s.zone}
	if l.pairs[zone] >= MaxSpots {
		return false
	}
	zone = labelKey{app: strings.Clone(s.app), zone: strings.Clone(s.zone)}
	l.pairs[zone]++
	l.spots[spotLabel{zone.app, zone.zone, strings.Clone(s.subZone), strings.Clone(s.requestVar)}] = struct{}{}
	return true
}

// day begins a new day's labels. The end of yesterday, which still comes in just after midnight, does not.
func (l *labels) day(now time.Time) {
	if today := now.Unix() / 86400; today > l.today || today < l.today-1 {
		l.today = today
		clear(l.seen)
		clear(l.spots)
		clear(l.pairs)
	}
}

// bound returns value, or "(other)" once there are limit different ones under key.
func (l *labels) bound(key labelKey, value string, limit int) string {
	if value == "" {
		return ""
	}
	values := l.seen[key]
	if _, ok := values[value]; ok {
		return value
	}
	if len(values) >= limit {
		return OtherLabel
	}
	if values == nil {
		values = map[string]struct{}{}
		l.seen[key] = values
	}
	values[strings.Clone(value)] = struct{}{} // without the request that it is a part of
	return value
}

// LoadLabels lets c know which labels were counted today, so that a restart does not open their bound again.
func (t *Tables) LoadLabels(ctx context.Context, c *Counts) error {
	c.labels.day(t.o.Clock())
	if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var app, zone, requestVar string
		if err := scan(&app, &zone, &requestVar); err != nil {
			return err
		}
		if zone != OtherLabel {
			c.labels.bound(labelKey{app: app}, zone, MaxZones)
		}
		if requestVar != OtherLabel {
			c.labels.bound(labelKey{app: app, zone: zone, of: ofRequestVar}, requestVar, MaxRequestVars)
		}
		return nil
	}, `SELECT DISTINCT app, zone_id, request_var FROM counts WHERE minute >= ?`, c.labels.today*24*60); err != nil {
		return err
	}
	return t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var app, zone, subZone, requestVar string
		if err := scan(&app, &zone, &subZone, &requestVar); err != nil {
			return err
		}
		if subZone != OtherLabel && subZone != "" {
			c.labels.bound(labelKey{app: app, zone: zone, of: ofSubZone}, subZone, MaxSubZones)
			if requestVar != "" {
				c.labels.spot(spotLabel{app, zone, subZone, requestVar})
			}
		}
		return nil
	}, `SELECT DISTINCT app, zone_id, sub_zone_id, request_var FROM spot_counts WHERE span = 1 AND quarter >= ?`, c.labels.today*24*60/carom.QuarterMinutes)
}

// groupColumns are the dimensions that counts can be grouped by, with how each is computed.
var groupColumns = map[string]string{
	"minute": "minute", "hour": "minute / 60 * 60", "day": "minute / 1440 * 1440",
	"app": "app", "source": "source", "zone": "zone_id", "request_var": "request_var", "event_type": "event_type", "value": "value",
	"outcome": "outcome",
}

// Counts returns how many received postbacks there were, by the dimensions asked for and by outcome, in that order. It
// returns carom.ErrInvalid for an unknown dimension.
func (t *Tables) Counts(ctx context.Context, f carom.CountFilter) ([]carom.Count, error) {
	is := "<>"
	if f.Rewards {
		is = "="
	}
	from, to := minutes(f)
	table, at, minute := "counts", "minute", "minute"
	if !slices.Contains(f.GroupBy, "minute") && !slices.Contains(f.GroupBy, "request_var") && from%carom.QuarterMinutes == 0 && (f.To.IsZero() || to%carom.QuarterMinutes == 0) {
		// The same counts, in a tenth of the rows.
		table, at, minute = "quarter_counts", "quarter", fmt.Sprintf("quarter * %d", carom.QuarterMinutes)
		from, to = from/carom.QuarterMinutes, to/carom.QuarterMinutes
	}
	// Columns that are not grouped by are constant, so that every row has the same shape.
	columns := []string{"0", "''", "''", "''", "''", "''", "''", "outcome"}
	place := map[string]int{"minute": 0, "hour": 0, "day": 0, "app": 1, "source": 2, "zone": 3, "request_var": 4, "event_type": 5, "value": 6, "outcome": 7}
	groups := []string{"outcome"}
	for _, name := range f.GroupBy {
		column, ok := groupColumns[name]
		column = strings.Replace(column, "minute", minute, 1)
		if ok && place[name] == 0 && columns[0] != "0" && columns[0] != column {
			return nil, fmt.Errorf("counts: %w", carom.Invalid("group_by", "group by one of minute, hour and day, not by several"))
		}
		if !ok {
			return nil, fmt.Errorf("counts: %w", carom.Invalid("group_by", "%q is no dimension: use minute, hour, day, app, source, zone, request_var, event_type, value or outcome", name))
		}
		columns[place[name]] = column
		groups = append(groups, column)
	}
	var out []carom.Count
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var c carom.Count
		var minute, units, nanos int64
		if err := scan(&minute, &c.App, &c.Source, &c.Zone, &c.RequestVar, &c.EventType, &c.Value, &c.Outcome, &c.N, &units, &nanos); err != nil {
			return err
		}
		if minute != 0 {
			c.At = time.Unix(minute*60, 0).UTC()
		}
		c.Price = SumText(units, nanos)
		out = append(out, c)
		return nil
	}, `SELECT `+strings.Join(columns, ", ")+`, CAST(sum(n) AS bigint), CAST(sum(price_units) AS bigint), CAST(sum(price_nanos) AS bigint) FROM `+table+`
		WHERE `+at+` >= ?1 AND `+at+` < ?2 AND (?3 = '' OR app = ?3) AND (?4 = '' OR source = ?4) AND substr(outcome, 1, 7) `+is+` 'reward:'
		GROUP BY `+strings.Join(groups, ", ")+` ORDER BY 1, 2, 3, 4, 5, 6, 7, 8`, from, to, f.App, f.Source)
	return out, err
}

func minutes(f carom.CountFilter) (from, to int64) {
	to = math.MaxInt64
	if !f.From.IsZero() {
		from = f.From.Unix() / 60
	}
	if !f.To.IsZero() {
		to = (f.To.Unix() + 59) / 60
	}
	return from, to
}

// DeliveryCounts returns how many deliveries ended, and attempts failed, by endpoint and outcome, and by minute, hour or day
// if f groups by one.
func (t *Tables) DeliveryCounts(ctx context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error) {
	at := "0"
	for _, name := range f.GroupBy {
		if name == "minute" || name == "hour" || name == "day" {
			at = groupColumns[name]
		}
	}
	names, err := t.EndpointNames(ctx)
	if err != nil {
		return nil, err
	}
	from, to := minutes(f)
	var out []carom.DeliveryCount
	err = t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var c carom.DeliveryCount
		var minute int64
		var endpoint int
		if err := scan(&minute, &endpoint, &c.Outcome, &c.N); err != nil {
			return err
		}
		c.Endpoint = NameOf(names, endpoint)
		if f.App != "" && !strings.HasPrefix(c.Endpoint, f.App+"/") {
			return nil
		}
		if minute != 0 {
			c.At = time.Unix(minute*60, 0).UTC()
		}
		out = append(out, c)
		return nil
	}, `SELECT `+at+`, endpoint, outcome, CAST(sum(n) AS bigint) FROM delivery_counts WHERE minute >= ? AND minute < ?
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, from, to)
	return out, err
}

// PruneCounts drops the counts of what came in before a moment, and of the sample of unverified requests what came in before another.
func (t *Tables) PruneCounts(ctx context.Context, counts, unverified time.Time) error {
	return t.o.Write(ctx, func(tx Tx) error {
		minute := counts.Unix() / 60
		for _, table := range []string{"counts", "delivery_counts"} {
			if err := tx.Exec(`DELETE FROM `+table+` WHERE minute < ?`, minute); err != nil {
				return err
			}
		}
		if err := tx.Exec(`DELETE FROM quarter_counts WHERE quarter < ?`, minute/carom.QuarterMinutes); err != nil {
			return err
		}
		for _, table := range rolledTables() {
			if err := tx.Exec(`DELETE FROM `+table.name+` WHERE span IN (1, 4, 96, 672) AND quarter < ?`, minute/carom.QuarterMinutes); err != nil {
				return err
			}
		}
		return tx.Exec(`DELETE FROM unverified WHERE at < ?`, unverified.UnixMilli())
	})
}
