package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/reconcile"
)

// Books is what the API asks of the store to reconcile.
type Books interface {
	// QuarterCounts calls each for every count that f selects, the oldest first.
	QuarterCounts(ctx context.Context, f carom.QuarterFilter, each func(*carom.QuarterCount) error) error
	// OpenedViews counts by app the views that were opened from every bound up to the next.
	OpenedViews(ctx context.Context, app string, bounds []time.Time) ([]map[string]int64, error)
	// AddStatement keeps a statement, unless the same file was read likewise before.
	AddStatement(ctx context.Context, st carom.Statement, rows []carom.StatementRow) (made carom.Statement, again bool, err error)
	Statements(ctx context.Context, f carom.StatementFilter) ([]carom.Statement, error)
	// Statement returns carom.ErrNotFound when there is none.
	Statement(ctx context.Context, id carom.StatementID) (carom.Statement, []carom.StatementRow, error)
	// StatedDays returns for each day the rows of the latest statement that names it, and those statements.
	StatedDays(ctx context.Context, app, source, first, last string) ([]carom.Statement, map[string][]carom.StatementRow, error)
}

// keptViews is for how long opened views are surely still there to be counted.
const keptViews = 90 * 24 * time.Hour

// daysBack is how many days a report spans when nobody says.
const daysBack = 7

// DaySpan is the days that a report is about.
type DaySpan struct {
	From    string `query:"from" doc:"The first day, 2026-03-29"`
	To      string `query:"to" doc:"The last day, included"`
	DayZone string `query:"day_zone" doc:"The time zone of the days by its IANA name"`
}

// days are the days that are asked for; those from first to last when nobody says, and those of fallback without a zone.
func (in *DaySpan) days(fallback string, first, last func(*time.Location) string) (*reconcile.Days, error) {
	zone, err := reconcile.LoadZone("day_zone", cmp.Or(in.DayZone, fallback))
	if err != nil {
		return nil, err
	}
	to := cmp.Or(in.To, last(zone))
	return reconcile.NewDays(cmp.Or(in.From, first(zone)), to, zone)
}

type reconcileIn struct {
	Selection
	DaySpan
}

type reconcileOut struct{ Body reconcile.Report }

// getReconcile reports what carom saw by app, network, source, zone and day.
func (s *service) getReconcile(ctx context.Context, in *reconcileIn) (*reconcileOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	o := s.Objects.Objects()
	today := func(back int) func(*time.Location) string {
		return func(zone *time.Location) string {
			if in.To != "" && back > 0 {
				if day, err := time.Parse(time.DateOnly, in.To); err == nil {
					return day.AddDate(0, 0, -back).Format(time.DateOnly)
				}
			}
			return s.Now().In(zone).AddDate(0, 0, -back).Format(time.DateOnly)
		}
	}
	days, err := in.days(zoneOf(&o, app), today(daysBack-1), today(0))
	if err != nil {
		return nil, err
	}
	additional := map[string]bool{}
	for i := range o.Rules {
		additional[o.Rules[i].App+"/"+o.Rules[i].Name] = o.Rules[i].Additional
	}
	tally := reconcile.NewTally(days, reconcile.Known{
		Network:    func(app, name string) string { return profileOf(&o, app, name) },
		Additional: func(app, rule string) bool { return additional[app+"/"+rule] },
	})
	bounds := days.Bounds()
	if err := s.Store.QuarterCounts(ctx, carom.QuarterFilter{App: app, Source: source, From: bounds[0], To: bounds[len(bounds)-1]},
		func(c *carom.QuarterCount) error { tally.Add(c); return nil }); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	apps, err := s.appDays(ctx, app, days)
	if err != nil {
		return nil, err
	}
	return &reconcileOut{tally.Report(apps)}, nil
}

// zoneOf is the time zone of an app's days; empty when there is no such app.
func zoneOf(o *carom.Objects, app string) string {
	for i := range o.Apps {
		if o.Apps[i].Name == app {
			return o.Apps[i].TimeZone
		}
	}
	return ""
}

// profileOf is the profile of a source, empty when there is no such source.
func profileOf(o *carom.Objects, app, name string) string {
	for i := range o.Sources {
		if o.Sources[i].App == app && o.Sources[i].Name == name {
			return o.Sources[i].Profile
		}
	}
	return ""
}

// appDays is what is known of days by app alone: views that were opened, and what became of deliveries.
func (s *service) appDays(ctx context.Context, app string, days *reconcile.Days) ([]reconcile.AppDay, error) {
	bounds := days.Bounds()
	opened, err := s.Store.OpenedViews(ctx, app, bounds)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var out []reconcile.AppDay
	for i := range days.Len() {
		ended, err := s.Store.DeliveryCounts(ctx, carom.CountFilter{From: bounds[i], To: bounds[i+1], App: app})
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		by := map[string]*reconcile.AppDay{}
		of := func(app string) *reconcile.AppDay {
			if by[app] == nil {
				by[app] = &reconcile.AppDay{Day: days.Name(i), App: app}
				if s.now().Sub(bounds[i]) < keptViews {
					by[app].Opened = new(int64)
				}
			}
			return by[app]
		}
		for _, n := range ended {
			name, _, known := strings.Cut(n.Endpoint, "/")
			if !known {
				name = "" // its endpoint is deleted, and with it the app that it was of is forgotten
			}
			switch n.Outcome {
			case string(carom.Delivered):
				of(name).Delivered += n.N
			case string(carom.Dead):
				of(name).Dead += n.N
			case string(carom.Expired):
				of(name).Expired += n.N
			default:
				of(name).Retries += n.N
			}
		}
		for name, n := range opened[i] {
			if day := of(name); day.Opened != nil {
				*day.Opened = n
			}
		}
		for _, name := range slices.Sorted(maps.Keys(by)) {
			out = append(out, *by[name])
		}
	}
	return out, nil
}

type comparisonIn struct {
	Selection
	DaySpan
	Measure string `query:"measure" enum:"valued,impressions,clicks" doc:"What is compared. Without it: the first that the statements have"`
	Rate    string `query:"rate" doc:"How many units of the prices' currency one unit of the statement's is, such as 1.0842"`
	Prices  string `query:"price_currency" doc:"The currency of the source's estimated prices. Without it: USD, in which networks estimate"`
}

type comparisonOut struct{ Body reconcile.Comparison }

// compareStatements explains where what a network states of a source and what carom counted differ.
func (s *service) compareStatements(ctx context.Context, in *comparisonIn) (*comparisonOut, error) {
	app, source, err := s.oneSource(ctx, in.Selection)
	if err != nil {
		return nil, err
	}
	used, stated, days, err := s.statedDays(ctx, in, app, source)
	if err != nil {
		return nil, err
	}
	c := &reconcile.Case{
		App: app, Source: source, Days: days, Stated: stated, Measure: reconcile.Measure(in.Measure), Prices: strings.ToUpper(cmp.Or(in.Prices, "USD")), Now: s.now(),
	}
	for i := range used {
		if st := &used[i]; st.Currency != "" {
			if c.Currency != "" && c.Currency != st.Currency {
				return nil, carom.Invalid("from", "the statements of these days are in %s and %s: ask for days of one of them", c.Currency, st.Currency)
			}
			c.Currency = st.Currency
		}
	}
	if in.Rate != "" {
		rate, err := reconcile.ParseRate(in.Rate)
		if err != nil {
			return nil, err
		}
		c.Rate = &rate
	}
	bounds := days.Bounds()
	if err := s.Store.QuarterCounts(ctx, carom.QuarterFilter{
		App: app, Source: source, From: bounds[0].Add(-24 * time.Hour), To: bounds[len(bounds)-1].Add(24 * time.Hour),
	}, func(q *carom.QuarterCount) error { c.Counts = append(c.Counts, *q); return nil }); err != nil {
		return nil, fmt.Errorf("compare statements: %w", err)
	}
	out, err := reconcile.Compare(c)
	if err != nil {
		return nil, err
	}
	for i := range used {
		out.Statements = append(out.Statements, used[i].ID)
	}
	if in.DayZone == "" && !slices.ContainsFunc(used, func(st carom.Statement) bool { return st.DayZone != "" }) {
		out.Notes = append(out.Notes, "Nobody says in which time zone the network's days are: they are taken for days of "+out.DayZone+". Say it with --day-zone.")
	}
	return &comparisonOut{out}, nil
}

// statedDays finds what the network states of the days that are asked for; without any, of those of the newest statement.
func (s *service) statedDays(ctx context.Context, in *comparisonIn, app, source string) ([]carom.Statement, map[string][]carom.StatementRow, *reconcile.Days, error) {
	newest, err := s.Store.Statements(ctx, carom.StatementFilter{App: app, Source: source, Limit: 1})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("compare statements: %w", err)
	}
	if len(newest) == 0 {
		return nil, nil, nil, failf(carom.ErrNotFound, "no statement of %s/%s was imported: carom reconcile --source %s/%s --network-csv FILE", app, source, app, source)
	}
	o := s.Objects.Objects()
	span := in.DaySpan
	if span.From == "" && span.To == "" {
		span.From, span.To = newest[0].From, newest[0].To
	}
	last := func(*time.Location) string { return max(newest[0].To, span.From) }
	first := func(*time.Location) string { return min(newest[0].From, span.To) }
	days, err := span.days(cmp.Or(newest[0].DayZone, zoneOf(&o, app)), first, last)
	if err != nil {
		return nil, nil, nil, err
	}
	used, stated, err := s.Store.StatedDays(ctx, app, source, days.Name(0), days.Name(days.Len()-1))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("compare statements: %w", err)
	}
	return used, stated, days, nil
}

// oneSource resolves a selection that has to name one source that there is.
func (s *service) oneSource(ctx context.Context, sel Selection) (app, source string, err error) {
	if app, source, err = sel.resolve(callerOf(ctx)); err != nil {
		return "", "", err
	}
	if app == "" || source == "" {
		return "", "", carom.Invalid("source", "name the source that the statement is about: app/source")
	}
	o := s.Objects.Objects()
	if profileOf(&o, app, source) == "" {
		return "", "", failf(carom.ErrNotFound, "there is no source %s/%s; GET /v1/objects lists them", app, source)
	}
	return app, source, nil
}
