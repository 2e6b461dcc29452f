package tables

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Reports read three tables of sums by the quarter of an hour: source_counts by source and event type, spot_counts by zone, sub-zone
// and request_var, which both hold carom.Measures, and detail_counts, which holds reasons and times. They are written with the events
// that they count.

// MeasureColumns are the columns of carom.Measures, in the order of [MeasureValues].
func MeasureColumns() []string {
	return []string{"accepted", "held", "duplicates", "refused", "unverified", "valued", "not_valued", "shown", "rewarded", "declined",
		"delivered", "failed", "dead", "expired", "units", "nanos"}
}

// MeasureValues are the values of MeasureColumns.
func MeasureValues(m *carom.Measures) [16]int64 {
	return [...]int64{m.Accepted, m.Held, m.Duplicates, m.Refused, m.Unverified, m.Valued, m.NotValued, m.Shown, m.Rewarded, m.Declined,
		m.Delivered, m.Failed, m.Dead, m.Expired, m.Units, m.Nanos}
}

// measurePointers are where a row of MeasureColumns is read to.
func measurePointers(m *carom.Measures) []any {
	return []any{&m.Accepted, &m.Held, &m.Duplicates, &m.Refused, &m.Unverified, &m.Valued, &m.NotValued, &m.Shown, &m.Rewarded, &m.Declined,
		&m.Delivered, &m.Failed, &m.Dead, &m.Expired, &m.Units, &m.Nanos}
}

// SourceKey is the dimensions of a row of the table source_counts.
type SourceKey struct {
	Quarter                          int64 // since 1970 UTC
	App, Source, EventType, Currency string
}

// Texts are the dimensions but for the quarter, in the order of the table's key.
func (k SourceKey) Texts() [4]string { return [...]string{k.App, k.Source, k.EventType, k.Currency} }

func (k SourceKey) compare(o SourceKey) int {
	a, b := k.Texts(), o.Texts()
	return cmp.Or(cmp.Compare(k.Quarter, o.Quarter), slices.Compare(a[:], b[:]))
}

// SpotKey is the dimensions of a row of the table spot_counts.
type SpotKey struct {
	Quarter                                  int64 // since 1970 UTC
	App, Zone, SubZone, RequestVar, Currency string
}

// Texts are the dimensions but for the quarter, in the order of the table's key.
func (k SpotKey) Texts() [5]string {
	return [...]string{k.App, k.Zone, k.SubZone, k.RequestVar, k.Currency}
}

func (k SpotKey) compare(o SpotKey) int {
	a, b := k.Texts(), o.Texts()
	return cmp.Or(cmp.Compare(k.Quarter, o.Quarter), slices.Compare(a[:], b[:]))
}

// DetailKey is the dimensions of a row of the table detail_counts.
type DetailKey struct {
	Quarter                   int64 // since 1970 UTC
	App, Source, Kind, Detail string
}

// Texts are the dimensions but for the quarter, in the order of the table's key.
func (k DetailKey) Texts() [4]string { return [...]string{k.App, k.Source, k.Kind, k.Detail} }

func (k DetailKey) compare(o DetailKey) int {
	a, b := k.Texts(), o.Texts()
	return cmp.Or(cmp.Compare(k.Quarter, o.Quarter), slices.Compare(a[:], b[:]))
}

// MaxSubZones bounds the different sub-zones that are counted by themselves per app, zone and day, and MaxSpots the different pairs of
// sub-zone and request_var. Further ones count together.
const (
	MaxSubZones = 200
	MaxSpots    = 2000
)

// SpotsEvery is how many commits may pass before the measures by spot are written again. Every commit touches many spots, and writing
// all of them in each costs a tenth of it: they wait for so many commits, or a second. A process that dies loses what waits of them, and
// of nothing else.
const SpotsEvery = 16

// reports gathers one batch's measures and details.
type reports struct {
	sources sums[SourceKey]
	spots   sums[SpotKey]
	details map[DetailKey]int64
	waiting sums[SpotKey] // of commits before, which none of them has written
	kept    int           // how many commits those are
}

func newReports() reports {
	return reports{sources: newSums[SourceKey](), spots: newSums[SpotKey](), details: map[DetailKey]int64{}, waiting: newSums[SpotKey]()}
}

func (r *reports) reset() {
	r.sources.reset()
	r.spots.reset()
	clear(r.details)
}

// sums are measures by a key. To add to one of them costs one look into the map.
type sums[K comparable] struct {
	at   map[K]int // where each is in the list
	list []carom.Measures
}

func newSums[K comparable]() sums[K] { return sums[K]{at: map[K]int{}} }

func (s *sums[K]) reset() {
	clear(s.at)
	s.list = s.list[:0]
}

func (s *sums[K]) add(key K, m *carom.Measures) {
	i, known := s.at[key]
	if !known {
		i = len(s.list)
		s.at[key], s.list = i, append(s.list, carom.Measures{})
	}
	s.list[i].Add(m)
}

// addAll adds all of o.
func (s *sums[K]) addAll(o *sums[K]) {
	for key, i := range o.at {
		s.add(key, &o.list[i])
	}
}

// inOrder are the measures in the order of their keys.
func (s *sums[K]) inOrder(compare func(x, y K) int) iter.Seq2[K, carom.Measures] {
	return func(yield func(K, carom.Measures) bool) {
		for key, i := range inOrder(s.at, compare) {
			if !yield(key, s.list[i]) {
				return
			}
		}
	}
}

func (r *reports) detail(quarter int64, app, source string, kind carom.DetailKind, detail string, n int64) {
	r.details[DetailKey{quarter, app, source, string(kind), detail}] += n
}

// spotOf is where something is counted, with its sub-zone within bounds. zone and requestVar are within theirs.
func (c *Counts) spotOf(app, zone, subZone, requestVar string, quarter int64) SpotKey {
	k := SpotKey{Quarter: quarter, App: app, Zone: zone, RequestVar: requestVar}
	if subZone == "" {
		return k
	}
	k.SubZone = c.labels.bound(labelKey{app: app, zone: zone, of: ofSubZone}, subZone, MaxSubZones)
	if requestVar != "" && !c.labels.spot(spotLabel{app, zone, k.SubZone, requestVar}) {
		k.SubZone, k.RequestVar = OtherLabel, OtherLabel
	}
	return k
}

// measure adds to the sums of an event's source and spot.
func (c *Counts) measure(source string, eventType carom.EventType, spot SpotKey, m *carom.Measures) {
	c.reports.sources.add(SourceKey{Quarter: spot.Quarter, App: spot.App, Source: source, EventType: string(eventType), Currency: spot.Currency}, m)
	c.reports.spots.add(spot, m)
}

// reportEvent counts an event for reports.
func (c *Counts) reportEvent(ev *carom.Event, outcome, zone, requestVar string, now time.Time) {
	if ev.Source == carom.SourceCarom {
		return
	}
	spot, m := c.spotOf(ev.App, zone, ev.SubZoneID, requestVar, quarterOf(now)), carom.Measures{}
	switch outcome {
	case carom.OutcomeAccepted, carom.OutcomeUnmatched:
		m.Accepted = 1
		switch {
		case ev.Type == carom.Reversal:
		case ev.Value == carom.Valued || ev.Value == carom.ValueEmpty:
			m.Valued = 1
			if ev.Price.Set {
				m.Units, m.Nanos = int64(ev.Price.Nanos/unit), int64(ev.Price.Nanos%unit)
			}
		case ev.Value == carom.NotValued:
			m.NotValued = 1
		}
		if ev.Network == carom.ProfileSDK && ev.Type == carom.Impression {
			m.Shown = 1
		}
		if ev.Network == carom.ProfileSDK && ev.Value == carom.NotValued {
			c.reportDeclined(ev, spot.Quarter)
		}
	case carom.OutcomeHeld:
		m.Held = 1
		c.reports.detail(spot.Quarter, ev.App, ev.Source, carom.DetailHeld, ev.Held, 1)
	default:
		m.Duplicates = 1
	}
	c.measure(ev.Source, ev.Type, spot, &m)
}

// reportDeclined counts for what carom's SDK did not confirm a view.
func (c *Counts) reportDeclined(ev *carom.Event, quarter int64) {
	for _, f := range ev.Fields {
		if f.Name != carom.FieldDeclined {
			continue
		}
		for reason := range strings.SplitSeq(f.Value, ",") {
			c.reports.detail(quarter, ev.App, ev.Source, carom.DetailDeclined, strings.TrimSpace(reason), 1)
		}
	}
}

// reportOther counts what is no event for reports: what was refused, and what proved nothing.
func (c *Counts) reportOther(app, source, outcome string, now time.Time, n int64) {
	kind, reason, _ := strings.Cut(outcome, ":")
	k, m := SourceKey{Quarter: quarterOf(now), App: app, Source: source}, carom.Measures{}
	switch kind {
	case carom.OutcomeRefused:
		m.Refused = n
	case carom.OutcomeUnverified:
		m.Unverified = n
	default:
		return
	}
	c.reports.sources.add(k, &m)
	c.reports.detail(k.Quarter, app, source, carom.DetailKind(kind), reason, n)
}

// reportReward counts what became of a rule for reports. Of rewards that somebody or the end of a hold changed, the sub-zone is not known.
func (c *Counts) reportReward(ev *carom.Event, d *carom.Decided, zone string) {
	source, subZone, requestVar := ev.Source, ev.SubZoneID, ev.RequestVar
	if r := d.Reward; r != nil && ev.Source == carom.SourceCarom && r.Source != "" {
		source, subZone, requestVar = r.Source, "", r.RequestVar
	}
	requestVar = c.labels.bound(labelKey{app: ev.App, zone: zone, of: ofRequestVar}, requestVar, MaxRequestVars)
	spot, m := c.spotOf(ev.App, zone, subZone, requestVar, quarterOf(ev.At)), carom.Measures{}
	switch {
	case d.State == carom.RewardGranted && d.Reward != nil:
		spot.Currency = d.Reward.Currency
		m.Rewarded, m.Units, m.Nanos = 1, int64(d.Reward.Amount/unit), int64(d.Reward.Amount%unit)
	case d.State != carom.RewardDeclined, d.Reason == carom.DeclineOtherSource, d.Reason == carom.DeclinePlacement, d.Reason == carom.DeclineRewarded:
		return // that rule is not about this view, or it has paid
	default:
		m.Declined = 1
		c.reports.detail(spot.Quarter, ev.App, source, carom.DetailDeclined, string(d.Reason), 1)
	}
	c.measure(source, ev.Type, spot, &m)
}

// reportDelivery counts what became of a delivery for reports; of one whose event is gone, nothing is known but the endpoint.
func (c *Counts) reportDelivery(ev *carom.Event, outcome string, now time.Time) {
	if ev == nil {
		return
	}
	c.labels.day(now)
	zone := c.labels.bound(labelKey{app: ev.App}, ev.ZoneID, MaxZones)
	requestVar := c.labels.bound(labelKey{app: ev.App, zone: zone, of: ofRequestVar}, ev.RequestVar, MaxRequestVars)
	spot, m := c.spotOf(ev.App, zone, ev.SubZoneID, requestVar, quarterOf(now)), carom.Measures{}
	switch carom.DeliveryState(outcome) {
	case carom.Delivered:
		m.Delivered = 1
	case carom.Dead:
		m.Dead = 1
	case carom.Expired:
		m.Expired = 1
	default:
		m.Failed = 1
	}
	c.measure(ev.Source, ev.Type, spot, &m)
}

// Confirmed counts how long it took to confirm the view of an event that was accepted and settled, if it does so and somebody knows
// when the view began.
func (c *Counts) Confirmed(sub *carom.Submission) {
	ev, began := sub.Event, sub.Began
	switch {
	case !began.IsZero():
		if ev.Value != carom.Valued || ev.Type != carom.Impression {
			return
		}
	case sub.View.View == nil || !slices.ContainsFunc(sub.Receipt.Decided, func(d carom.Decided) bool {
		return d.State == carom.RewardGranted || d.State == carom.RewardHeld
	}):
		return
	default:
		for i := range min(len(sub.Candidates), len(sub.Receipt.Decided)) { // one that pays beside others confirms nothing
			if d := &sub.Receipt.Decided[i]; !sub.Candidates[i].Additional && (d.State == carom.RewardGranted || d.State == carom.RewardHeld) {
				began = sub.View.View.OpenedAt
			}
		}
	}
	if !began.IsZero() {
		step := carom.ConfirmStep(ev.At.Sub(began))
		c.reports.detail(quarterOf(ev.At), ev.App, ev.Source, carom.DetailConfirm, stepText(step), 1)
	}
}

// stepText is how a step is stored: two digits, which sort.
func stepText(step int) string {
	return string([]byte{byte('0' + step/10), byte('0' + step%10)})
}

// Sources are the measures by source, in the order of the table's key; so are the two below for theirs.
func (c *Counts) Sources() iter.Seq2[SourceKey, carom.Measures] {
	return c.reports.sources.inOrder(SourceKey.compare)
}

// Spots are the measures by zone, sub-zone and request_var, with those that wait from commits before.
func (c *Counts) Spots() iter.Seq2[SpotKey, carom.Measures] {
	r := &c.reports
	r.spots.addAll(&r.waiting)
	return r.spots.inOrder(SpotKey.compare)
}

// SpotsDue says whether spots have waited for so many commits that the one under way is to write them.
func (c *Counts) SpotsDue() bool { return c.reports.kept+1 >= SpotsEvery }

// SpotsWait says whether spots of commits before wait to be written.
func (c *Counts) SpotsWait() bool { return c.reports.kept > 0 }

// Committed takes up that the batch is stored, or that it may be: with its spots, or without them, which then wait.
func (c *Counts) Committed(spots bool) {
	r := &c.reports
	if spots {
		r.waiting.reset()
		r.kept = 0
		return
	}
	if r.waiting.addAll(&r.spots); len(r.waiting.at) > 0 {
		r.kept++
	}
}

// Details are the counts of reasons and times.
func (c *Counts) Details() iter.Seq2[DetailKey, int64] {
	return inOrder(c.reports.details, DetailKey.compare)
}

// reportColumns are the dimensions that reports group by, with their columns in the tables of sources and of spots; empty: not there.
var reportColumns = map[string][2]string{
	"app": {"app", "app"}, "source": {"source", ""}, "event_type": {"event_type", ""}, "zone": {"", "zone_id"}, "sub_zone": {"", "sub_zone_id"},
	"request_var": {"", "request_var"},
}

// reportDimensions are the places of the dimensions in a row that is read.
var reportDimensions = []string{"app", "source", "event_type", "zone", "sub_zone", "request_var"}

// ReportCounts returns what was counted for reports, by the dimensions asked for and by currency, and in the order of both. It returns
// carom.ErrInvalid for dimensions that are not known, or not kept together.
func (t *Tables) ReportCounts(ctx context.Context, f carom.ReportFilter) ([]carom.ReportCount, error) {
	table := 0
	if slices.ContainsFunc(f.By, func(name string) bool { return name == "zone" || name == "sub_zone" || name == "request_var" }) {
		table = 1
	}
	columns := []string{"''", "''", "''", "''", "''", "''"}
	groups := []string{"currency"}
	for _, name := range f.By {
		column := reportColumns[name][table]
		if column == "" || table == 1 && f.Source != "" {
			return nil, fmt.Errorf("report: %w", carom.Invalid("by", "%q is not counted together with the other dimensions, or not known", name))
		}
		columns[slices.Index(reportDimensions, name)] = "c." + column
		groups = append(groups, "c."+column)
	}
	sums := make([]string, 0, 16)
	for _, column := range MeasureColumns() {
		sums = append(sums, "CAST(sum("+column+") AS bigint)")
	}
	found := map[carom.ReportCount]*carom.Measures{} // by all but the measures
	if err := t.eachSegment(ctx, [...]string{"source_counts", "spot_counts"}[table], f, func(g *segment) error {
		return t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			var c carom.ReportCount
			var m carom.Measures
			var quarter int64
			to := append([]any{&quarter, &c.App, &c.Source, &c.EventType, &c.Zone, &c.SubZone, &c.RequestVar, &c.Currency}, measurePointers(&m)...)
			if err := scan(to...); err != nil {
				return err
			}
			c.At = g.cut(quarter)
			if found[c] == nil {
				found[c] = &carom.Measures{}
			}
			found[c].Add(&m)
			return nil
		}, `SELECT `+g.quarter+`, `+strings.Join(columns, ", ")+`, currency, `+strings.Join(sums, ", ")+g.from+` GROUP BY 1, `+strings.Join(groups, ", "), g.args...)
	}); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	out := make([]carom.ReportCount, 0, len(found))
	for c, m := range found {
		c.Measures = *m
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b carom.ReportCount) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.App, b.App), strings.Compare(a.Source, b.Source), strings.Compare(a.EventType, b.EventType),
			strings.Compare(a.Zone, b.Zone), strings.Compare(a.SubZone, b.SubZone), strings.Compare(a.RequestVar, b.RequestVar), strings.Compare(a.Currency, b.Currency))
	})
	return out, nil
}

// DetailCounts returns the counts of reasons and times of the kinds, in their order. The filter groups by no dimension.
func (t *Tables) DetailCounts(ctx context.Context, f carom.ReportFilter, kinds ...carom.DetailKind) ([]carom.DetailCount, error) {
	found := map[carom.DetailCount]int64{}
	if err := t.eachSegment(ctx, "detail_counts", f, func(g *segment) error {
		args := g.args
		for _, kind := range kinds {
			args = append(args, string(kind))
		}
		return t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			var c carom.DetailCount
			var quarter, n int64
			if err := scan(&quarter, &c.Kind, &c.Detail, &n); err != nil {
				return err
			}
			c.At = g.cut(quarter)
			found[c] += n
			return nil
		}, `SELECT `+g.quarter+`, kind, detail, CAST(sum(n) AS bigint)`+g.from+` AND kind IN `+marks(len(kinds))+` GROUP BY 1, 2, 3`, args...)
	}); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	out := make([]carom.DetailCount, 0, len(found))
	for c, n := range found {
		c.N = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b carom.DetailCount) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Detail, b.Detail))
	})
	return out, nil
}

// segment is a part of what a report reads: rows of one span.
type segment struct {
	span, first, end int64

	quarter string // the expression by which rows are told apart in time
	from    string // the query's part from FROM on, with its arguments
	args    []any
	cuts    []int64 // quarters; empty: rows are not told apart
}

// cut is the cut that a row of a quarter lies behind.
func (g *segment) cut(quarter int64) time.Time {
	if len(g.cuts) == 0 {
		return time.Time{}
	}
	i, exact := slices.BinarySearch(g.cuts, quarter)
	if !exact {
		i--
	}
	return time.Unix(g.cuts[i]*carom.QuarterMinutes*60, 0).UTC()
}

// eachSegment calls read for each part of what f selects of a table.
func (t *Tables) eachSegment(ctx context.Context, table string, f carom.ReportFilter, read func(*segment) error) error {
	var cuts []int64
	for _, at := range f.Cuts {
		cuts = append(cuts, quarterOf(at))
	}
	bounds := cuts
	if len(cuts) == 0 {
		bounds = []int64{0, 1 << 40}
		if !f.From.IsZero() {
			bounds[0] = quarterOf(f.From)
		}
		if !f.To.IsZero() {
			bounds[1] = quarterOf(f.To)
		}
	}
	var oldest, newest int64
	if err := t.o.Read.QueryRowContext(ctx, `SELECT coalesce(min(quarter), 0) FROM `+table+` WHERE span = 1`).Scan(&oldest); err != nil {
		return t.o.Translate(err)
	}
	if err := t.o.Read.QueryRowContext(ctx, `SELECT coalesce(max(quarter), -1) + 1 FROM `+table+` WHERE span = 1`).Scan(&newest); err != nil {
		return t.o.Translate(err)
	}
	rolled, err := t.rolled(ctx)
	if err != nil {
		return err
	}
	var list []segment
	for i := range len(bounds) - 1 {
		list = addSegments(list, max(bounds[i], oldest), min(bounds[i+1], newest), rolled)
	}
	for i := range list {
		g := &list[i]
		g.cuts, g.quarter = cuts, "0"
		if len(cuts) > 0 {
			g.quarter = "c.quarter"
		}
		if f.App == "" {
			g.from, g.args = ` FROM `+table+` c WHERE c.span = ? AND c.quarter >= ? AND c.quarter < ?`, []any{g.span, g.first, g.end}
		} else {
			// One look into the key for each row of time, however many other apps there are: CROSS JOIN keeps SQLite to this order. Numbers stand
			// in the text: their types are known then.
			g.from = fmt.Sprintf(` FROM (WITH RECURSIVE q(at) AS (SELECT CAST(%[2]d AS bigint) UNION ALL SELECT at + %[1]d FROM q WHERE at + %[1]d < %[3]d)
				SELECT at FROM q) q CROSS JOIN %[4]s c WHERE c.span = %[1]d AND c.quarter = q.at AND c.app = ?`, g.span, g.first, g.end, table)
			g.args = []any{f.App}
		}
		if f.Source != "" {
			g.from, g.args = g.from+` AND c.source = ?`, append(g.args, f.Source)
		}
		if err := read(g); err != nil {
			return err
		}
	}
	return nil
}

// The spans of rows, in quarters of an hour. Rows of a quarter are written with what they count. Once an hour, a day (UTC) or a week (from
// Thursday to Wednesday, as 1970 began) is over, its rows are added up to rows of that span, so that reports over months read few.
const (
	spanHour = 4
	spanDay  = 96
	spanWeek = 7 * spanDay
)

// longerSpans are the spans of rows that are added up, each with that of the rows it is made of.
func longerSpans() [3]struct{ span, of int64 } {
	return [...]struct{ span, of int64 }{{spanHour, 1}, {spanDay, spanHour}, {spanWeek, spanDay}}
}

// settled is how long after the end of an hour it is added up: longer than a commit can be under way.
const settled = carom.QuarterMinutes * time.Minute

// addSegments adds what lies from one quarter on and before another, by the longest rows that there are. rolled says up to where there
// are rows of hours, of days and of weeks.
func addSegments(list []segment, from, to int64, rolled map[int64]int64) []segment {
	for q := from; q < to; {
		span := int64(1)
		for _, s := range longerSpans() {
			if q%s.span == 0 && q+s.span <= min(to, rolled[s.span]) {
				span = s.span
			}
		}
		if n := len(list) - 1; n >= 0 && list[n].span == span && list[n].end == q {
			list[n].end += span
		} else {
			list = append(list, segment{span: span, first: q, end: q + span})
		}
		q += span
	}
	return list
}

// rolled says, by span, before which quarter all that was counted is in rows of that span.
func (t *Tables) rolled(ctx context.Context) (map[int64]int64, error) {
	out := map[int64]int64{}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var span, quarter int64
		err := scan(&span, &quarter)
		out[span] = quarter
		return err
	}, `SELECT span, quarter FROM rolled`)
	return out, err
}

// rollSlice is how many rows one transaction writes: about 2 ms of SQLite's committer, so that accepts hardly notice.
const rollSlice = 200

// rolledTables are the tables whose rows are added up, with their texts and their sums.
func rolledTables() []struct{ name, texts, sums string } {
	measures := strings.Join(MeasureColumns(), " ")
	return []struct{ name, texts, sums string }{
		{"source_counts", "app source event_type currency", measures}, {"spot_counts", "app zone_id sub_zone_id request_var currency", measures},
		{"detail_counts", "app source kind detail", "n"},
	}
}

// RollUp adds up the counts of hours, days and weeks that are over. One node does it at a time; interrupted anywhere, it goes on when it is
// called again.
func (t *Tables) RollUp(ctx context.Context, now time.Time) error {
	rolled, err := t.rolled(ctx)
	if err != nil {
		return err
	}
	over := quarterOf(now.Add(-settled))
	for _, s := range longerSpans() {
		for {
			next, err := t.nextToRoll(ctx, rolled[s.span], s.of)
			if err != nil {
				return err
			}
			first := next - next%s.span
			if next == 0 || first+s.span > over || s.of > 1 && first+s.span > rolled[s.of] {
				break
			}
			if err := t.roll(ctx, s.span, s.of, first); err != nil {
				return fmt.Errorf("add up the counts of %s: %w", time.Unix(first*carom.QuarterMinutes*60, 0).UTC().Format("2006-01-02 15:04"), err)
			}
			rolled[s.span] = first + s.span
		}
	}
	return nil
}

// nextToRoll is the quarter of the first rows of a span from one on; 0 when there are none.
func (t *Tables) nextToRoll(ctx context.Context, from, span int64) (next int64, err error) {
	for _, table := range rolledTables() {
		var at int64
		if err := t.o.Read.QueryRowContext(ctx, `SELECT coalesce((SELECT quarter FROM `+table.name+` WHERE span = `+strconv.FormatInt(span, 10)+` AND quarter >= `+
			strconv.FormatInt(from, 10)+` ORDER BY quarter LIMIT 1), 0)`).Scan(&at); err != nil {
			return 0, t.o.Translate(err)
		}
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next, nil
}

// roll adds up the rows of a span that begins with a quarter.
func (t *Tables) roll(ctx context.Context, span, of, first int64) error {
	for _, table := range rolledTables() {
		texts, sums := strings.Fields(table.texts), strings.Fields(table.sums)
		added := make([]string, len(sums))
		for i, column := range sums {
			added[i] = "CAST(sum(" + column + ") AS bigint)"
		}
		key := append([]string{"span", "quarter"}, texts...)
		if !t.o.Alone {
			key = append(key, "node")
		}
		columns := append(slices.Clone(key), sums...)
		var rows [][]any
		if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			names, numbers, to := make([]string, len(texts)), make([]int64, len(sums)), []any{}
			for i := range names {
				to = append(to, &names[i])
			}
			for i := range numbers {
				to = append(to, &numbers[i])
			}
			if err := scan(to...); err != nil {
				return err
			}
			row := []any{span, first}
			for _, name := range names {
				row = append(row, name)
			}
			if !t.o.Alone {
				row = append(row, int64(0))
			}
			for _, n := range numbers {
				row = append(row, n)
			}
			rows = append(rows, row)
			return nil
		}, `SELECT `+strings.Join(append(slices.Clone(texts), added...), ", ")+` FROM `+table.name+` WHERE span = ? AND quarter >= ? AND quarter < ?
			GROUP BY `+strings.Join(texts, ", ")+` ORDER BY `+strings.Join(texts, ", "), of, first, first+span); err != nil {
			return err
		}
		for i, column := range sums {
			added[i] = column + " = excluded." + column
		}
		query := `INSERT INTO ` + table.name + ` (` + strings.Join(columns, ", ") + `) VALUES ` + marks(len(columns)) + ` ON CONFLICT (` + strings.Join(key, ", ") +
			`) DO UPDATE SET ` + strings.Join(added, ", ")
		for slice := range slices.Chunk(rows, rollSlice) {
			if err := t.o.Write(ctx, func(tx Tx) error {
				for _, row := range slice {
					if err := tx.Exec(query, row...); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return t.o.Write(ctx, func(tx Tx) error {
		return tx.Exec(`INSERT INTO rolled (span, quarter) VALUES (?, ?) ON CONFLICT (span) DO UPDATE SET quarter = excluded.quarter`, span, first+span)
	})
}
