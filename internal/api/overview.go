package api

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/internal/reconcile"
)

// Reports is what the API asks of the store for reports: sums, which no event is read for.
type Reports interface {
	// ReportCounts returns carom.ErrInvalid for dimensions that are not kept together.
	ReportCounts(ctx context.Context, f carom.ReportFilter) ([]carom.ReportCount, error)
	// DetailCounts returns reasons and times of the kinds, by quarter if f groups by it.
	DetailCounts(ctx context.Context, f carom.ReportFilter, kinds ...carom.DetailKind) ([]carom.DetailCount, error)
}

// Overview is today and yesterday, hour by hour.
type Overview struct {
	At        time.Time    `json:"at"`
	TimeZone  string       `json:"time_zone" doc:"Of the days, by its IANA name"`
	Today     OverviewDay  `json:"today" doc:"Up to now"`
	Yesterday YesterdayDay `json:"yesterday"`
}

// OverviewDay is one day.
type OverviewDay struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to" doc:"Not included. Of today: now"`
	Totals Point     `json:"totals"`
	Hours  []Point   `json:"hours" nullable:"false" doc:"From the start of the day on; 23 to 25 of them when it is over"`
}

// YesterdayDay is yesterday, with its sums up to this time of day.
type YesterdayDay struct {
	OverviewDay
	TotalsUntilNow Point `json:"totals_until_now" doc:"Up to this time of day, to the last quarter of an hour"`
}

// Point is what happened in a stretch of time.
type Point struct {
	At            time.Time      `json:"at" doc:"Its start"`
	Received      int64          `json:"received" doc:"Received postbacks and reported events, whatever became of them"`
	Views         int64          `json:"views" doc:"Views that were opened, and ads that carom's SDK showed"`
	Confirmed     int64          `json:"confirmed" doc:"Accepted events that the network pays for, or of which it does not say"`
	Declined      int64          `json:"declined" doc:"Accepted events that the network does not pay for, and decisions of rules that paid nothing"`
	Rewarded      int64          `json:"rewarded" doc:"Rewards that were credited"`
	RewardAmounts []RewardAmount `json:"reward_amounts" nullable:"false"`
	Revenue       string         `json:"revenue" doc:"The sum of the estimated prices of confirmed events, decimal"`
	Delivered     int64          `json:"delivered" doc:"Deliveries"`
	Failed        int64          `json:"failed" doc:"Attempts that are repeated"`
	Dead          int64          `json:"dead" doc:"Deliveries that ended without success, expired ones among them"`
	TimeToConfirm TimeToConfirm  `json:"time_to_confirm_ms"`
}

// RewardAmount is what was credited in one currency.
type RewardAmount struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount" doc:"A decimal"`
}

// TimeToConfirm is how long it took from a view's opening, or from when the SDK's ad began, to the event that confirms it.
type TimeToConfirm struct {
	P50 int64 `json:"p50" doc:"In milliseconds: half of them took at most so long"`
	P95 int64 `json:"p95"`
	N   int64 `json:"n" doc:"Views of which it is known. 0: the other numbers mean nothing"`
}

type overviewIn struct {
	App      string `query:"app" doc:"Only this app"`
	TimeZone string `query:"time_zone" doc:"Of the days, by its IANA name. Without it: the app's, else UTC"`
}

type overviewOut struct{ Body Overview }

// getOverview sums up today and yesterday.
func (s *service) getOverview(ctx context.Context, in *overviewIn) (*overviewOut, error) {
	app, err := callerOf(ctx).narrow(in.App)
	if err != nil {
		return nil, err
	}
	zone, err := s.zone(in.TimeZone, app)
	if err != nil {
		return nil, err
	}
	now := s.now()
	local := now.In(zone)
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	yesterday := time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, zone)
	then := time.Date(local.Year(), local.Month(), local.Day()-1, local.Hour(), local.Minute()-local.Minute()%carom.QuarterMinutes, 0, 0, zone)
	sums, err := s.hourSums(ctx, app, yesterday, today, now, then)
	if err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	until := sums.between(yesterday, then)
	if err := s.openedUntil(ctx, app, yesterday, then, &until, &sums); err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	out := Overview{At: now, TimeZone: zone.String(), Today: sums.day(today, now), Yesterday: YesterdayDay{
		OverviewDay: sums.day(yesterday, today), TotalsUntilNow: until,
	}}
	return &overviewOut{out}, nil
}

// zone reads the name of a time zone; without one it is the app's, else UTC.
func (s *service) zone(name, app string) (*time.Location, error) {
	if name == "" && app != "" {
		o := s.Objects.Objects()
		name = zoneOf(&o, app)
	}
	return reconcile.LoadZone("time_zone", name)
}

// hourSums are sums by the hour.
type hourSums struct {
	counts []carom.ReportCount
	times  []carom.DetailCount
	opened map[int64]int64 // views that were opened, by the hour's start
}

// hourSums reads the sums of two days up to now, by the hour of each day, cut once more at another moment.
func (s *service) hourSums(ctx context.Context, app string, yesterday, today, now, cut time.Time) (q hourSums, err error) {
	f := carom.ReportFilter{App: app, Cuts: []time.Time{cut, now.Add(carom.QuarterMinutes * time.Minute)}}
	for at := yesterday; at.Before(today); at = at.Add(time.Hour) {
		f.Cuts = append(f.Cuts, at)
	}
	for at := today; at.Before(now); at = at.Add(time.Hour) {
		f.Cuts = append(f.Cuts, at)
	}
	slices.SortFunc(f.Cuts, time.Time.Compare)
	if q.counts, err = s.Store.ReportCounts(ctx, f); err != nil {
		return q, err
	}
	if q.times, err = s.Store.DetailCounts(ctx, f, carom.DetailConfirm); err != nil {
		return q, err
	}
	q.opened, err = s.openedByHour(ctx, app, yesterday, now)
	return q, err
}

// day sums up a day, hour by hour.
func (q *hourSums) day(from, to time.Time) OverviewDay {
	d := OverviewDay{From: from.UTC(), To: to.UTC(), Totals: q.between(from, to), Hours: []Point{}}
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		d.Hours = append(d.Hours, q.between(at, earlier(at.Add(time.Hour), to)))
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// between sums up what began from one moment on and before another.
func (q *hourSums) between(from, to time.Time) Point {
	within := func(at time.Time) bool { return !at.Before(from) && at.Before(to) }
	sum, times := measured{}, [36]int64{}
	for i := range q.counts {
		if c := &q.counts[i]; within(c.At) {
			sum.add(c)
		}
	}
	for i := range q.times {
		if c := &q.times[i]; within(c.At) {
			addStep(&times, c)
		}
	}
	p := sum.point()
	p.At = from.UTC()
	for hour, n := range q.opened {
		if within(time.Unix(hour, 0)) {
			p.Views += n
		}
	}
	p.TimeToConfirm = TimeToConfirm{P50: quantile(&times, 0.5), P95: quantile(&times, 0.95), N: total(&times)}
	return p
}

// measured are measures of all currencies.
type measured struct {
	carom.Measures
	rewarded int64
	amounts  map[string]carom.Measures // rewards, by currency
}

func (m *measured) add(c *carom.ReportCount) {
	if c.Currency == "" {
		m.Measures.Add(&c.Measures)
		return
	}
	if m.amounts == nil {
		m.amounts = map[string]carom.Measures{}
	}
	sum := m.amounts[c.Currency]
	sum.Add(&c.Measures)
	m.amounts[c.Currency] = sum
	m.rewarded += c.Rewarded
}

// rewards lists what was credited, by currency.
func (m *measured) rewards() []RewardAmount {
	out := []RewardAmount{}
	for currency, sum := range m.amounts {
		out = append(out, RewardAmount{currency, reconcile.MoneyOf(sum.Units, sum.Nanos).String()})
	}
	slices.SortFunc(out, func(a, b RewardAmount) int { return strings.Compare(a.Currency, b.Currency) })
	return out
}

func (m *measured) revenue() string { return reconcile.MoneyOf(m.Units, m.Nanos).String() }

func (m *measured) point() Point {
	return Point{
		Received: m.Received(), Views: m.Shown, Confirmed: m.Valued, Declined: m.NotValued + m.Declined, Rewarded: m.rewarded, RewardAmounts: m.rewards(),
		Revenue: m.revenue(), Delivered: m.Delivered, Failed: m.Failed, Dead: m.Dead + m.Expired,
	}
}

// addStep adds a count of times to its step.
func addStep(steps *[36]int64, c *carom.DetailCount) {
	if len(c.Detail) == 2 {
		if i := int(c.Detail[0]-'0')*10 + int(c.Detail[1]-'0'); i >= 0 && i < len(steps) {
			steps[i] += c.N
		}
	}
}

func total(steps *[36]int64) (n int64) {
	for _, k := range steps {
		n += k
	}
	return n
}

// quantile is the time that a share of all took at most, in milliseconds: evenly spread within its step.
func quantile(steps *[36]int64, share float64) int64 {
	n := total(steps)
	if n == 0 {
		return 0
	}
	rank, before, low := share*float64(n), int64(0), int64(0)
	for i, k := range steps {
		high := carom.ConfirmLimit(i).Milliseconds()
		if k > 0 && float64(before+k) >= rank {
			if high == 0 { // beyond all limits
				return low
			}
			return low + int64(math.Round(float64(high-low)*(rank-float64(before))/float64(k)))
		}
		before += k
		low = high
	}
	return low
}

// openedUntil corrects the views of a point for an hour of which only a part belongs to it.
func (s *service) openedUntil(ctx context.Context, app string, from, to time.Time, p *Point, q *hourSums) error {
	last := from.Add(to.Sub(from).Truncate(time.Hour))
	if !last.Before(to) {
		return nil
	}
	list, err := s.Store.OpenedViews(ctx, app, []time.Time{last, to})
	if err != nil {
		return err
	}
	p.Views -= q.opened[last.Unix()]
	for _, n := range list[0] {
		p.Views += n
	}
	return nil
}

// openedHours remembers how many views were opened in hours that are over, which does not change any more.
type openedHours struct {
	mu    sync.Mutex                 // guards hours
	hours map[string]map[int64]int64 // by the app that was asked for, and the hour's start
}

// openedByHour counts the views that were opened, by the start of their hour, which begins with from.
func (s *service) openedByHour(ctx context.Context, app string, from, to time.Time) (map[int64]int64, error) {
	const settle = 2 * time.Minute // a view of a node whose commit took long
	const most = 500               // hours of an app, and apps, that are remembered
	now := s.now()
	out := map[int64]int64{}
	s.opened.mu.Lock()
	known := s.opened.hours[app]
	var ask []time.Time
	for at := from; at.Before(to); at = at.Add(time.Hour) {
		if k, ok := known[at.Unix()]; ok {
			out[at.Unix()] = k
		} else {
			ask = append(ask, at)
		}
	}
	s.opened.mu.Unlock()
	for i := 0; i < len(ask); {
		run := 1 // hours that follow one another are asked for at once
		for i+run < len(ask) && ask[i+run].Equal(ask[i].Add(time.Duration(run)*time.Hour)) {
			run++
		}
		bounds := append(slices.Clone(ask[i:i+run]), earlier(ask[i+run-1].Add(time.Hour), to))
		counts, err := s.Store.OpenedViews(ctx, app, bounds)
		if err != nil {
			return nil, err
		}
		for k, at := range ask[i : i+run] {
			for _, n := range counts[k] {
				out[at.Unix()] += n
			}
		}
		i += run
	}
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	if len(s.opened.hours) == 0 || len(s.opened.hours) > most {
		s.opened.hours = map[string]map[int64]int64{}
	}
	if s.opened.hours[app] == nil || len(s.opened.hours[app]) > most {
		s.opened.hours[app] = map[int64]int64{}
	}
	for _, at := range ask {
		if now.After(at.Add(time.Hour + settle)) {
			s.opened.hours[app][at.Unix()] = out[at.Unix()]
		}
	}
	return out, nil
}
