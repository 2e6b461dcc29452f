package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// TrafficReport is what happened in a stretch of time, by one dimension.
type TrafficReport struct {
	By       string       `json:"by"`
	From     time.Time    `json:"from" doc:"Rounded down to the quarter of an hour"`
	To       time.Time    `json:"to" doc:"Not included"`
	TimeZone string       `json:"time_zone"`
	Rows     []TrafficRow `json:"rows" nullable:"false" doc:"By day and hour in order of time, also those in which nothing happened; else those with the most received first, at most 1,000, and one of all others"`
	Totals   TrafficRow   `json:"totals"`
}

// TrafficRow is one row of a report.
type TrafficRow struct {
	Key   string    `json:"key" doc:"The value of the dimension, as filters take it. Of a day or an hour: its start. (other): all that have no row of their own"`
	Label string    `json:"label" doc:"What people call it"`
	App   string    `json:"app,omitempty" doc:"Of a zone, sub-zone, source or request_var"`
	Zone  string    `json:"zone,omitempty" doc:"Of a sub-zone"`
	At    time.Time `json:"at,omitzero" required:"false" doc:"Of a day or an hour: its start"`

	Received      int64          `json:"received"`
	Accepted      int64          `json:"accepted"`
	Duplicates    int64          `json:"duplicates"`
	Refused       int64          `json:"refused" doc:"Nobody knows the zone of those, nor of unverified ones: 0 by zone, sub-zone and request_var"`
	Unverified    int64          `json:"unverified"`
	Held          int64          `json:"held"`
	Valued        int64          `json:"valued" doc:"Accepted events that the network pays for, or of which it does not say"`
	Rewarded      int64          `json:"rewarded" doc:"Rewards that were credited"`
	Declined      int64          `json:"declined" doc:"Accepted events that the network does not pay for, and decisions of rules that paid nothing"`
	RewardAmounts []RewardAmount `json:"reward_amounts" nullable:"false"`
	Revenue       string         `json:"revenue" doc:"The sum of the estimated prices of valued events, decimal"`
	Delivered     int64          `json:"delivered"`
	Dead          int64          `json:"dead" doc:"Deliveries that ended without success, expired ones among them"`
}

// ReportSpan is the stretch of time of a report, and what it is limited to. It is exported because huma reads only exported fields.
type ReportSpan struct {
	Selection
	Span
}

// Bounds of reports.
const (
	reportRows  = 1000
	reportDays  = 400 // as long as counts are kept
	reportHours = 31  // days of a report by the hour
)

// resolve checks the span against what the caller may see, and completes it: without ends, the days up to now.
func (in *ReportSpan) resolve(ctx context.Context, now time.Time, days int) (carom.ReportFilter, error) {
	app, source, err := in.Selection.resolve(callerOf(ctx))
	if err != nil {
		return carom.ReportFilter{}, err
	}
	if err := in.check(); err != nil {
		return carom.ReportFilter{}, err
	}
	f := carom.ReportFilter{App: app, Source: source, From: in.From, To: in.To}
	if f.To.IsZero() {
		f.To = now.Add(carom.QuarterMinutes * time.Minute) // with the quarter that is under way
	}
	if f.From.IsZero() {
		f.From = f.To.Add(-time.Duration(days) * 24 * time.Hour)
	}
	f.From = f.From.UTC().Truncate(carom.QuarterMinutes * time.Minute)
	if f.To.Sub(f.From) > reportDays*24*time.Hour {
		return f, carom.Invalid("from", "a report spans %d days at most: counts are kept no longer", reportDays)
	}
	return f, nil
}

type reportIn struct {
	ReportSpan
	By       string `query:"by" enum:"day,hour,zone,sub_zone,request_var,network,source,event_type" default:"day"`
	TimeZone string `query:"time_zone" doc:"Of days and hours, by its IANA name. Without it: the app's, else UTC"`
}

type reportOut struct{ Body TrafficReport }

// getReport reports by one dimension.
func (s *service) getReport(ctx context.Context, in *reportIn) (*reportOut, error) {
	days := 7
	if in.By == "hour" {
		days = 2
	}
	f, err := in.ReportSpan.resolve(ctx, s.now(), days)
	if err != nil {
		return nil, err
	}
	zone, err := s.zone(in.TimeZone, f.App)
	if err != nil {
		return nil, err
	}
	if in.By == "hour" && f.To.Sub(f.From) > reportHours*24*time.Hour {
		return nil, carom.Invalid("from", "a report by the hour spans %d days at most: report by the day", reportHours)
	}
	out := &reportOut{TrafficReport{By: in.By, From: f.From, To: f.To.UTC(), TimeZone: zone.String()}}
	r := &trafficRows{by: in.By, zone: zone, rows: map[string]*trafficSums{}}
	o := s.Objects.Objects()
	r.objects = &o
	if r.inTime() {
		f.Cuts = r.periods(f.From, f.To)
	}
	f.By = map[string][]string{"zone": {"app", "zone"}, "sub_zone": {"app", "zone", "sub_zone"},
		"request_var": {"app", "request_var"}, "network": {"app", "source"}, "source": {"app", "source"}, "event_type": {"event_type"}}[in.By]
	counts, err := s.Store.ReportCounts(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("report by %s: %w", in.By, err)
	}
	for i := range counts {
		r.add(&counts[i])
	}
	out.Body.Rows, out.Body.Totals = r.list()
	return out, nil
}

// trafficSums is a row as it is added up.
type trafficSums struct {
	TrafficRow
	measured
}

// row is the row with its sums.
func (t *trafficSums) row() TrafficRow {
	r := t.TrafficRow
	r.Received, r.Accepted, r.Duplicates, r.Refused, r.Unverified, r.Held = t.measured.Received(), t.measured.Accepted, t.measured.Duplicates, t.measured.Refused,
		t.measured.Unverified, t.measured.Held
	r.Valued, r.Rewarded, r.Declined, r.RewardAmounts, r.Revenue = t.measured.Valued, t.rewarded, t.NotValued+t.measured.Declined, t.rewards(), t.revenue()
	r.Delivered, r.Dead = t.measured.Delivered, t.measured.Dead+t.Expired
	return r
}

// trafficRows adds counts up to rows.
type trafficRows struct {
	by      string
	zone    *time.Location
	objects *carom.Objects
	rows    map[string]*trafficSums
	total   measured
}

func (r *trafficRows) inTime() bool { return r.by == "day" || r.by == "hour" }

// period is the start of the day or hour of a moment.
func (r *trafficRows) period(at time.Time) time.Time {
	local := at.In(r.zone)
	if r.by == "hour" { // by steps of time, since an hour comes twice when clocks go back
		return local.Add(-time.Duration(local.Minute()) * time.Minute)
	}
	return time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, r.zone)
}

// periods makes a row for each day or hour of a span, and returns where they begin, with the span's end.
func (r *trafficRows) periods(from, to time.Time) (cuts []time.Time) {
	for at := r.period(from); at.Before(to); {
		r.of(&carom.ReportCount{At: at})
		if cuts = append(cuts, at); len(cuts) == 1 {
			cuts[0] = from
		}
		if next := at.Add(time.Hour); r.by == "hour" {
			at = next
		} else {
			at = time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, r.zone)
		}
	}
	return append(cuts, to)
}

// of is the row that a count belongs to.
func (r *trafficRows) of(c *carom.ReportCount) *trafficSums {
	var row TrafficRow
	switch r.by {
	case "day", "hour":
		at := r.period(c.At)
		row.At = at.UTC()
		row.Key, row.Label = at.UTC().Format(time.RFC3339), at.Format("2006-01-02 15:04")
		if r.by == "day" {
			row.Key, row.Label = at.Format(time.DateOnly), at.Format(time.DateOnly)
		}
	case "zone":
		row.Key, row.App, row.Label = c.Zone, c.App, r.zoneTitle(c.App, c.Zone)
	case "sub_zone":
		row.Key, row.App, row.Zone, row.Label = c.SubZone, c.App, c.Zone, c.SubZone
	case "request_var":
		row.Key, row.App, row.Label = c.RequestVar, c.App, c.RequestVar
	case "network":
		row.Key = r.network(c)
		row.Label = row.Key
	case "source":
		row.Key, row.App, row.Label = c.Source, c.App, c.App+"/"+c.Source
		if c.Source == carom.SourceCarom {
			row.Label = "by hand, and holds that ended"
		}
	case "event_type":
		row.Key, row.Label = c.EventType, c.EventType
	}
	if row.Label == "" {
		row.Label = "none"
	}
	id := row.App + "\x00" + row.Zone + "\x00" + row.Key
	if r.rows[id] == nil {
		r.rows[id] = &trafficSums{TrafficRow: row}
	}
	return r.rows[id]
}

func (r *trafficRows) add(c *carom.ReportCount) {
	r.of(c).add(c)
	r.total.add(c)
}

func (r *trafficRows) zoneTitle(app, id string) string {
	for i := range r.objects.Zones {
		if z := &r.objects.Zones[i]; z.App == app && z.ID == id && z.Title != "" {
			return z.Title + " (" + id + ")"
		}
	}
	return id
}

// network is the profile of the source that something was counted for.
func (r *trafficRows) network(c *carom.ReportCount) string {
	if c.Source == carom.SourceCarom {
		return "carom"
	}
	return cmp.Or(profileOf(r.objects, c.App, c.Source), "unknown")
}

// list returns the rows in their order, and the totals.
func (r *trafficRows) list() ([]TrafficRow, TrafficRow) {
	var all []*trafficSums
	for _, row := range r.rows {
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b *trafficSums) int {
		if r.inTime() {
			return a.At.Compare(b.At)
		}
		return cmp.Or(cmp.Compare(b.measured.Received(), a.measured.Received()), cmp.Compare(b.rewarded, a.rewarded), strings.Compare(a.App, b.App),
			strings.Compare(a.TrafficRow.Zone, b.TrafficRow.Zone), strings.Compare(a.Key, b.Key))
	})
	if !r.inTime() && len(all) > reportRows {
		others := &trafficSums{TrafficRow: TrafficRow{Key: "(other)", Label: "all others"}}
		for _, row := range all[reportRows:] {
			others.merge(&row.measured)
		}
		all = append(all[:reportRows], others)
	}
	out := []TrafficRow{}
	for _, row := range all {
		out = append(out, row.row())
	}
	totals := trafficSums{TrafficRow: TrafficRow{Key: "total", Label: "total"}, measured: r.total}
	return out, totals.row()
}

// merge adds what was measured elsewhere.
func (m *measured) merge(o *measured) {
	m.add(&carom.ReportCount{Measures: o.Measures})
	for currency, sum := range o.amounts {
		m.add(&carom.ReportCount{Currency: currency, Measures: sum})
	}
}

// Funnel is how many got how far.
type Funnel struct {
	From  time.Time    `json:"from"`
	To    time.Time    `json:"to"`
	Steps []FunnelStep `json:"steps" nullable:"false"`
}

// FunnelStep is one step of a funnel. Steps count different things: a view may have several events, and an event several deliveries.
type FunnelStep struct {
	Step string `json:"step" enum:"opened,received,verified,valued,rewarded,delivered"`
	N    int64  `json:"n"`
}

type funnelIn struct{ ReportSpan }

type funnelOut struct{ Body Funnel }

// getFunnel counts how many got how far.
func (s *service) getFunnel(ctx context.Context, in *funnelIn) (*funnelOut, error) {
	f, err := in.ReportSpan.resolve(ctx, s.now(), 7)
	if err != nil {
		return nil, err
	}
	counts, err := s.Store.ReportCounts(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("funnel: %w", err)
	}
	var sum measured
	for i := range counts {
		sum.add(&counts[i])
	}
	opened := sum.Shown
	if f.Source == "" { // nobody says of which source a view will be
		list, err := s.Store.OpenedViews(ctx, f.App, []time.Time{f.From, f.To})
		if err != nil {
			return nil, fmt.Errorf("funnel: %w", err)
		}
		for _, n := range list[0] {
			opened += n
		}
	}
	received := sum.Received()
	return &funnelOut{Funnel{From: f.From, To: f.To.UTC(), Steps: []FunnelStep{
		{"opened", opened}, {"received", received}, {"verified", received - sum.Unverified}, {"valued", sum.Valued}, {"rewarded", sum.rewarded}, {"delivered", sum.Delivered},
	}}}, nil
}

// ConfirmTimes is how long it took from a view's opening, or from when the SDK's ad began, to the event that confirms it.
type ConfirmTimes struct {
	From    time.Time    `json:"from"`
	To      time.Time    `json:"to"`
	Buckets []TimeBucket `json:"buckets" nullable:"false" doc:"In order; from the first to the last in which there are any"`
	P50     int64        `json:"p50" doc:"In milliseconds: half of them took at most so long"`
	P95     int64        `json:"p95"`
	P99     int64        `json:"p99"`
	N       int64        `json:"n"`
}

// TimeBucket is how many took longer than the bucket before says, and at most so long.
type TimeBucket struct {
	UpToMS int64 `json:"up_to_ms" doc:"0: longer than the bucket before, without a limit"`
	N      int64 `json:"n"`
}

type timesOut struct{ Body ConfirmTimes }

// getTimes says how long views took to be confirmed.
func (s *service) getTimes(ctx context.Context, in *funnelIn) (*timesOut, error) {
	f, err := in.ReportSpan.resolve(ctx, s.now(), 7)
	if err != nil {
		return nil, err
	}
	list, err := s.Store.DetailCounts(ctx, f, carom.DetailConfirm)
	if err != nil {
		return nil, fmt.Errorf("times to confirm: %w", err)
	}
	var steps [36]int64
	for i := range list {
		addStep(&steps, &list[i])
	}
	out := &timesOut{ConfirmTimes{From: f.From, To: f.To.UTC(), Buckets: []TimeBucket{}, P50: quantile(&steps, 0.5), P95: quantile(&steps, 0.95),
		P99: quantile(&steps, 0.99), N: total(&steps)}}
	first := slices.IndexFunc(steps[:], func(n int64) bool { return n > 0 })
	for i := max(first, 0); i < len(steps); i++ {
		if slices.ContainsFunc(steps[i:], func(n int64) bool { return n > 0 }) {
			out.Body.Buckets = append(out.Body.Buckets, TimeBucket{carom.ConfirmLimit(i).Milliseconds(), steps[i]})
		}
	}
	return out, nil
}
