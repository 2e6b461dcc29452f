package store

import (
	"database/sql/driver"
	"strings"
	"time"

	"carom"
)

// dims are the dimensions that received postbacks are counted by.
type dims struct {
	minute                                                   int64
	app, source, zone, requestVar, eventType, value, outcome string
}

type tally struct {
	n                      int64
	priceUnits, priceNanos int64 // sums of whole units and of the nanos beyond them: neither can overflow
}

// quarterDims are the dimensions of counts by the quarter of an hour.
type quarterDims struct {
	quarter                                      int64
	app, source, zone, eventType, value, outcome string
}

type deliveryDims struct {
	minute   int64
	endpoint int
	outcome  string
}

// maxLabels bounds the values of a dimension that a browser controls: per app, zone and day. Further ones count together.
const (
	maxRequestVars = 1000
	maxZones       = 10000
	otherLabel     = "(other)"
)

// counts gathers one batch's counts, which are written as sums in its commit. The committer owns it.
type counts struct {
	received   map[dims]tally
	quarters   map[quarterDims]tally // made of received when it is written
	deliveries map[deliveryDims]int64
	labels     labels
}

func newCounts() *counts {
	return &counts{received: map[dims]tally{}, quarters: map[quarterDims]tally{}, deliveries: map[deliveryDims]int64{}, labels: newLabels()}
}

func (c *counts) event(ev *carom.Event, outcome string, now time.Time) {
	c.labels.day(now)
	zone := c.labels.bound(labelKey{app: ev.App}, ev.ZoneID, maxZones)
	d := dims{
		minute: now.Unix() / 60, app: ev.App, source: ev.Source, zone: zone,
		requestVar: c.labels.bound(labelKey{app: ev.App, zone: zone, inZone: true}, ev.RequestVar, maxRequestVars),
		eventType:  string(ev.Type), value: valueLabel(ev.Value), outcome: outcome,
	}
	t := c.received[d]
	t.n++
	if ev.Price.Set {
		t.priceUnits += int64(ev.Price.Nanos / 1_000_000_000)
		t.priceNanos += int64(ev.Price.Nanos % 1_000_000_000)
	}
	c.received[d] = t
}

func (c *counts) other(app, source, outcome string, now time.Time, n int64) {
	d := dims{minute: now.Unix() / 60, app: app, source: source, outcome: outcome}
	t := c.received[d]
	t.n += n
	c.received[d] = t
}

// reward counts what became of a rule. What somebody did to a reward, or a hold that ended, counts for the source and the zone
// that the reward came from.
func (c *counts) reward(ev *carom.Event, d *carom.Decided) {
	outcome := carom.OutcomeReward + string(d.State) + ":"
	if d.Reason != "" {
		outcome += string(d.Reason) + ":"
	}
	c.labels.day(ev.At)
	k := dims{minute: ev.At.Unix() / 60, app: ev.App, source: ev.Source, zone: ev.ZoneID, outcome: outcome + d.Rule}
	var amount carom.Nanos
	if r := d.Reward; r != nil {
		k.value, amount = r.Currency, r.Amount
		if r.Source != "" {
			k.source, k.zone = r.Source, r.ZoneID
		}
	}
	k.zone = c.labels.bound(labelKey{app: ev.App}, k.zone, maxZones)
	t := c.received[k]
	t.n++
	t.priceUnits += int64(amount / 1_000_000_000)
	t.priceNanos += int64(amount % 1_000_000_000)
	c.received[k] = t
}

func (c *counts) delivery(endpoint int, outcome string, now time.Time) {
	c.deliveries[deliveryDims{minute: now.Unix() / 60, endpoint: endpoint, outcome: outcome}]++
}

func (c *counts) reset() {
	clear(c.received)
	clear(c.quarters)
	clear(c.deliveries)
}

const (
	upsertCount = `INSERT INTO counts (minute, app, source, zone_id, request_var, event_type, value, outcome, n, price_units, price_nanos)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
		ON CONFLICT (minute, app, source, zone_id, request_var, event_type, value, outcome)
		DO UPDATE SET n = n + ?9, price_units = price_units + ?10, price_nanos = price_nanos + ?11`
	upsertQuarterCount = `INSERT INTO quarter_counts (quarter, app, source, zone_id, event_type, value, outcome, n, price_units, price_nanos)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
		ON CONFLICT (quarter, app, source, zone_id, event_type, value, outcome)
		DO UPDATE SET n = n + ?8, price_units = price_units + ?9, price_nanos = price_nanos + ?10`
	upsertDeliveryCount = `INSERT INTO delivery_counts (minute, endpoint, outcome, n) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (minute, endpoint, outcome) DO UPDATE SET n = n + ?4`
)

// write puts the batch's sums into the open transaction.
func (c *counts) write(st *statements) error {
	clear(c.quarters)
	for d, t := range c.received {
		if err := st.count.exec(d.minute, d.app, d.source, d.zone, d.requestVar, d.eventType, d.value, d.outcome,
			t.n, t.priceUnits, t.priceNanos); err != nil {
			return err
		}
		q := quarterDims{d.minute / carom.QuarterMinutes, d.app, d.source, d.zone, d.eventType, d.value, d.outcome}
		sum := c.quarters[q]
		sum.n, sum.priceUnits, sum.priceNanos = sum.n+t.n, sum.priceUnits+t.priceUnits, sum.priceNanos+t.priceNanos
		c.quarters[q] = sum
	}
	for d, t := range c.quarters {
		if err := st.quarterCount.exec(d.quarter, d.app, d.source, d.zone, d.eventType, d.value, d.outcome,
			t.n, t.priceUnits, t.priceNanos); err != nil {
			return err
		}
	}
	for d, n := range c.deliveries {
		if err := st.deliveryCount.exec(d.minute, int64(d.endpoint), d.outcome, n); err != nil {
			return err
		}
	}
	return nil
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
}

type labelKey struct {
	app, zone string
	inZone    bool
}

func newLabels() labels { return labels{seen: map[labelKey]map[string]struct{}{}} }

// day begins a new day's labels. The end of yesterday, which still comes in just after midnight, does not.
func (l *labels) day(now time.Time) {
	if today := now.Unix() / 86400; today > l.today || today < l.today-1 {
		l.today = today
		clear(l.seen)
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
		return otherLabel
	}
	if values == nil {
		values = map[string]struct{}{}
		l.seen[key] = values
	}
	values[strings.Clone(value)] = struct{}{} // without the request that it is a part of
	return value
}

// load takes up the day's labels after a start, so that a restart does not open the bound again.
func (l *labels) load(w *writer, now time.Time) error {
	l.day(now)
	return w.query(`SELECT DISTINCT app, zone_id, request_var FROM counts WHERE minute >= ?`, func(v []driver.Value) error {
		app, zone, requestVar := v[0].(string), v[1].(string), v[2].(string)
		if zone != otherLabel {
			l.bound(labelKey{app: app}, zone, maxZones)
		}
		if requestVar != otherLabel {
			l.bound(labelKey{app: app, zone: zone, inZone: true}, requestVar, maxRequestVars)
		}
		return nil
	}, l.today*24*60)
}
