package api

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// ReportCounts and DetailCounts make fakeStore a Reports of what these tests put into it.
func (s *fakeStore) ReportCounts(_ context.Context, f carom.ReportFilter) ([]carom.ReportCount, error) {
	if f.Source != "" && slices.Contains(f.By, "zone") {
		return nil, carom.Invalid("by", "not counted together")
	}
	if len(f.Cuts) > weekHours {
		s.weeks++
	}
	by := func(name string) bool { return slices.Contains(f.By, name) }
	var out []carom.ReportCount
	for _, c := range s.measured {
		if len(f.Cuts) > 0 {
			f.From, f.To = f.Cuts[0], f.Cuts[len(f.Cuts)-1]
		}
		if f.App != "" && c.App != f.App || f.Source != "" && c.Source != f.Source || c.At.Before(f.From) || !f.To.IsZero() && !c.At.Before(f.To) {
			continue
		}
		k := carom.ReportCount{Currency: c.Currency}
		for _, d := range []struct {
			name     string
			from, to *string
		}{{"app", &c.App, &k.App}, {"source", &c.Source, &k.Source}, {"event_type", &c.EventType, &k.EventType}, {"zone", &c.Zone, &k.Zone},
			{"sub_zone", &c.SubZone, &k.SubZone}, {"request_var", &c.RequestVar, &k.RequestVar}} {
			if by(d.name) {
				*d.to = *d.from
			}
		}
		for _, at := range f.Cuts {
			if !at.After(c.At) {
				k.At = at
			}
		}
		i := slices.IndexFunc(out, func(o carom.ReportCount) bool { o.Measures = carom.Measures{}; return o == k })
		if i < 0 {
			i, out = len(out), append(out, k)
		}
		out[i].Add(&c.Measures)
	}
	return out, s.err
}

func (s *fakeStore) DetailCounts(_ context.Context, f carom.ReportFilter, kinds ...carom.DetailKind) (out []carom.DetailCount, err error) {
	if len(f.Cuts) > 0 {
		f.From, f.To = f.Cuts[0], f.Cuts[len(f.Cuts)-1]
	}
	for _, d := range s.details {
		if slices.Contains(kinds, d.Kind) && (f.App == "" || f.App == "shop") && !d.At.Before(f.From) && d.At.Before(f.To) {
			out = append(out, d)
		}
	}
	return out, s.err
}

// counted is a world in which things were counted: its clock stands at noon of March 4.
func counted() *world {
	w := newWorld()
	w.objects.objects.Apps[0].TimeZone = "Asia/Kolkata" // half past five ahead of UTC
	w.objects.objects.Zones = []carom.Zone{{App: "shop", ID: "7", Title: "Main"}}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	shop := func(at time.Time, m carom.Measures) carom.ReportCount {
		return carom.ReportCount{At: at, App: "shop", Source: "monetag", EventType: "impression", Zone: "7", SubZone: "71", RequestVar: "bonus", Measures: m}
	}
	coins := shop(at(4, 11, 30), carom.Measures{Rewarded: 2, Units: 10})
	coins.Currency = "coins"
	w.store.measured = []carom.ReportCount{
		shop(at(2, 18, 15), carom.Measures{Accepted: 90}), // before yesterday in Kolkata
		shop(at(3, 6, 0), carom.Measures{Accepted: 5, Valued: 4, NotValued: 1, Units: 1, Nanos: 500_000_000}),
		shop(at(3, 17, 0), carom.Measures{Accepted: 7, Valued: 7}), // yesterday, after this time of day
		shop(at(3, 18, 30), carom.Measures{Accepted: 3, Duplicates: 1, Refused: 2, Unverified: 4, Valued: 3, Declined: 1, Shown: 2, Delivered: 2, Failed: 5, Dead: 1, Expired: 1}),
		coins,
		{At: at(4, 11, 45), App: "game", Source: "monetag", EventType: "click", Zone: "9", Measures: carom.Measures{Accepted: 20, Valued: 20}},
	}
	w.store.details = []carom.DetailCount{
		{At: at(4, 6, 0), Kind: carom.DetailConfirm, Detail: "09", N: 98}, {At: at(4, 6, 0), Kind: carom.DetailConfirm, Detail: "35", N: 2},
		{At: at(4, 6, 0), Kind: carom.DetailDeclined, Detail: "capped", N: 1}, {At: at(4, 6, 0), Kind: carom.DetailDeclined, Detail: "too_fast", N: 3},
		{At: at(4, 6, 0), Kind: carom.DetailRefused, Detail: "too_large", N: 2}, {At: at(4, 6, 0), Kind: carom.DetailUnverified, Detail: "wrong_secret", N: 4},
		{At: at(4, 6, 0), Kind: carom.DetailHeld, Detail: "of_another_version", N: 1},
	}
	return w
}

// Days are those of the app's time zone, and yesterday is also told up to this time of day.
func TestOverview(t *testing.T) {
	got := decode[Overview](t, counted().ask(t, "", "GET /v1/overview?app=shop", ""), 200)
	if got.TimeZone != "Asia/Kolkata" || !got.Today.From.Equal(time.Date(2026, 3, 3, 18, 30, 0, 0, time.UTC)) || len(got.Today.Hours) != 18 || len(got.Yesterday.Hours) != 24 {
		t.Errorf("today from %s in %s with %d hours, yesterday %d", got.Today.From, got.TimeZone, len(got.Today.Hours), len(got.Yesterday.Hours))
	}
	want := Point{At: got.Today.From, Received: 10, Views: got.Today.Totals.Views, Confirmed: 3, Declined: 1, Rewarded: 2,
		RewardAmounts: []RewardAmount{{"coins", "10"}}, Revenue: "0", Delivered: 2, Failed: 5, Dead: 2, TimeToConfirm: TimeToConfirm{P50: 3204, P95: 3790, N: 100}}
	if diff := cmp.Diff(want, got.Today.Totals); diff != "" {
		t.Errorf("today (-want +got):\n%s", diff)
	}
	if y := got.Yesterday; y.Totals.Received != 12 || y.TotalsUntilNow.Received != 5 || y.Totals.Revenue != "1.5" || y.Totals.Declined != 1 {
		t.Errorf("yesterday: %+v, until now %+v", y.Totals, y.TotalsUntilNow)
	}
	if all := decode[Overview](t, counted().ask(t, "", "GET /v1/overview?time_zone=Europe/Berlin", ""), 200); all.Today.Totals.Received != 20 || all.TimeZone != "Europe/Berlin" {
		t.Errorf("of all apps in Berlin: %+v", all.Today.Totals)
	}
	decode[Problem](t, counted().ask(t, "", "GET /v1/overview?time_zone=Nowhere", ""), 422)
}

// The hours that are over are asked for once.
func TestOverviewRemembersOpenedViews(t *testing.T) {
	w := counted()
	first := decode[Overview](t, w.ask(t, "", "GET /v1/overview", ""), 200)
	asked := w.store.openedBounds
	w.store.openedBounds = 0
	second := decode[Overview](t, w.ask(t, "", "GET /v1/overview", ""), 200)
	if diff := cmp.Diff(first, second); diff != "" || asked < 36 || w.store.openedBounds > 6 {
		t.Errorf("asked for %d bounds and then %d; (-first +second):\n%s", asked, w.store.openedBounds, diff)
	}
}

func TestReports(t *testing.T) {
	const span = "&from=2026-03-01T00:00:00Z&to=2026-03-05T00:00:00Z"
	tests := []struct {
		query string
		want  []string // "key label received rewarded"
	}{
		{"by=day&app=shop&time_zone=UTC" + span, []string{"2026-03-01 2026-03-01 0 0", "2026-03-02 2026-03-02 90 0", "2026-03-03 2026-03-03 22 0", "2026-03-04 2026-03-04 0 2"}},
		{"by=day&app=shop" + span, []string{"2026-03-01 2026-03-01 0 0", "2026-03-02 2026-03-02 90 0", "2026-03-03 2026-03-03 12 0", "2026-03-04 2026-03-04 10 2",
			"2026-03-05 2026-03-05 0 0"}},
		{"by=hour&app=shop&from=2026-03-03T18:30:00Z&to=2026-03-03T20:30:00Z", []string{"2026-03-03T18:30:00Z 2026-03-04 00:00 10 0", "2026-03-03T19:30:00Z 2026-03-04 01:00 0 0"}},
		{"by=zone" + span, []string{"7 Main (7) 112 2", "9 9 20 0"}},
		{"by=sub_zone&app=shop" + span, []string{"71 71 112 2"}},
		{"by=request_var" + span, []string{"bonus bonus 112 2", " none 20 0"}},
		{"by=network" + span, []string{"monetag monetag 132 2"}},
		{"by=source" + span, []string{"monetag shop/monetag 112 2", "monetag game/monetag 20 0"}},
		{"by=event_type" + span, []string{"impression impression 112 2", "click click 20 0"}},
		{"by=source&source=shop/monetag" + span, []string{"monetag shop/monetag 112 2"}},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			got := decode[TrafficReport](t, counted().ask(t, "", "GET /v1/reports?"+tt.query, ""), 200)
			var rows []string
			received := int64(0)
			for _, r := range got.Rows {
				rows = append(rows, strings.Join([]string{r.Key, r.Label, number(r.Received), number(r.Rewarded)}, " "))
				received += r.Received
			}
			if diff := cmp.Diff(tt.want, rows); diff != "" || got.Totals.Received != received {
				t.Errorf("totals %d of %d (-want +got):\n%s", got.Totals.Received, received, diff)
			}
		})
	}
	for query, status := range map[string]int{"by=colour": 422, "by=day&time_zone=Nowhere": 422, "by=zone&source=shop/monetag": 422, "by=day&from=2020-01-01T00:00:00Z": 422,
		"by=hour&from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z": 422} {
		decode[Problem](t, counted().ask(t, "", "GET /v1/reports?"+query, ""), status)
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// A report has a bounded number of rows, and the rest in one.
func TestReportOfManyZones(t *testing.T) {
	w := newWorld()
	for i := range int64(1010) {
		w.store.measured = append(w.store.measured, carom.ReportCount{At: noon().Add(-time.Hour), App: "shop", Zone: number(i), Measures: carom.Measures{Accepted: i + 1}})
	}
	got := decode[TrafficReport](t, w.ask(t, "", "GET /v1/reports?by=zone", ""), 200)
	if n := len(got.Rows); n != 1001 || got.Rows[0].Accepted != 1010 || got.Rows[1000].Key != "(other)" || got.Rows[1000].Accepted != 55 || got.Totals.Accepted != 1010*1011/2 {
		t.Errorf("%d rows, the last %+v, totals %d", n, got.Rows[n-1], got.Totals.Accepted)
	}
}

func TestFunnelTimesAndReasons(t *testing.T) {
	w := counted()
	funnel := decode[Funnel](t, w.ask(t, "", "GET /v1/reports/funnel?app=shop&source=monetag", ""), 200)
	if diff := cmp.Diff([]FunnelStep{{"opened", 2}, {"received", 112}, {"verified", 108}, {"valued", 14}, {"rewarded", 2}, {"delivered", 2}}, funnel.Steps); diff != "" {
		t.Errorf("funnel (-want +got):\n%s", diff)
	}
	times := decode[ConfirmTimes](t, w.ask(t, "", "GET /v1/reports/times", ""), 200)
	if times.N != 100 || times.P50 != 3204 || times.P99 != 86400000 || len(times.Buckets) != 27 || times.Buckets[0] != (TimeBucket{3829, 98}) || times.Buckets[26] != (TimeBucket{0, 2}) {
		t.Errorf("times: %+v", times)
	}
	reasons := decode[ReasonReport](t, w.ask(t, "", "GET /v1/reports/reasons", ""), 200)
	if diff := cmp.Diff([]ReasonCount{{"too_fast", "sooner than the ad can have been seen or clicked", 3}, {"capped", "a cap is reached", 1}}, reasons.Declines); diff != "" {
		t.Errorf("declines (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ReasonCount{{"of_another_version", "of another version", 1}}, reasons.Held); diff != "" || len(reasons.Refusals) != 1 || len(reasons.Unverified) != 1 {
		t.Errorf("refusals %v, unverified %v, held (-want +got):\n%s", reasons.Refusals, reasons.Unverified, diff)
	}
	if nothing := decode[ConfirmTimes](t, newWorld().ask(t, "", "GET /v1/reports/times", ""), 200); nothing.N != 0 || len(nothing.Buckets) != 0 {
		t.Errorf("of nothing: %+v", nothing)
	}
}

// A key of one app is told of that app alone, and of others that they are not there.
func TestReportsShowOnlyWhatTheCallerMaySee(t *testing.T) {
	for _, path := range []string{"/v1/overview", "/v1/reports?by=source", "/v1/reports?by=zone", "/v1/reports/funnel", "/v1/reports/times", "/v1/reports/reasons"} {
		rec := counted().ask(t, "game-read", "GET "+path, "")
		if rec.Code != 200 || strings.Contains(rec.Body.String(), "shop") || strings.Contains(rec.Body.String(), "coins") || strings.Contains(rec.Body.String(), "112") ||
			strings.Contains(rec.Body.String(), "too_large") {
			t.Errorf("%s: status %d: %s", path, rec.Code, rec.Body)
		}
		join := "?"
		if strings.Contains(path, "?") {
			join = "&"
		}
		if rec := counted().ask(t, "game-read", "GET "+path+join+"app=shop", ""); rec.Code != 404 {
			t.Errorf("%s of another app: status %d", path, rec.Code)
		}
		if rec := counted().ask(t, "events", "GET "+path, ""); rec.Code != 403 {
			t.Errorf("%s with a key that may only report events: status %d", path, rec.Code)
		}
	}
}
