package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// shownCounts writes counts of reports in short: "monetag/impression: accepted 2, 0.0023".
func shownCounts(list []carom.ReportCount) []string {
	out := []string{}
	for _, c := range list {
		var name, sums []string
		for _, text := range []string{c.App, c.Source, c.EventType, c.Zone, c.SubZone, c.RequestVar, c.Currency} {
			if text != "" {
				name = append(name, text)
			}
		}
		if !c.At.IsZero() {
			name = append(name, c.At.Format("15:04"))
		}
		for _, n := range []struct {
			word string
			n    int64
		}{{"accepted", c.Accepted}, {"held", c.Held}, {"duplicates", c.Duplicates}, {"refused", c.Refused}, {"unverified", c.Unverified}, {"valued", c.Valued},
			{"not valued", c.NotValued}, {"shown", c.Shown}, {"rewarded", c.Rewarded}, {"declined", c.Declined}, {"delivered", c.Delivered}, {"failed", c.Failed},
			{"dead", c.Dead}, {"expired", c.Expired}} {
			if n.n != 0 {
				sums = append(sums, fmt.Sprint(n.n, " ", n.word))
			}
		}
		if c.Units != 0 || c.Nanos != 0 {
			sums = append(sums, fmt.Sprintf("%d.%09d", c.Units, c.Nanos))
		}
		out = append(out, strings.Join(name, " ")+": "+strings.Join(sums, ", "))
	}
	return out
}

func reportCounts(t testing.TB, s *world, f carom.ReportFilter) []string {
	t.Helper()
	list, err := s.ReportCounts(t.Context(), f)
	if err != nil {
		t.Fatalf("ReportCounts(%+v): %v", f, err)
	}
	return shownCounts(list)
}

// Reports count what events, rules and attempts came to, by source and by spot.
func reportsCount(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	backend := endpoints(t, s, "backend")[0]
	put := func(sub *carom.Submission, set func(*carom.Event)) *carom.Submission {
		t.Helper()
		if set != nil {
			set(sub.Event)
		}
		s.Accept(sub)
		if sub.Err != nil {
			t.Fatal(sub.Err)
		}
		return sub
	}
	spot := func(zone, subZone, requestVar string) func(*carom.Event) {
		return func(ev *carom.Event) { ev.ZoneID, ev.SubZoneID, ev.RequestVar = zone, subZone, requestVar }
	}
	earns := paid("a", "ann", carom.Impression, noon, pays("watch", 5))
	earns.Targets = []carom.Target{direct(backend)}
	put(earns, spot("1", "11", "bonus"))
	again := paid("a", "ann", carom.Impression, noon, pays("watch", 5))
	put(again, spot("1", "11", "bonus")) // a copy
	put(paid("a", "ann", carom.Click, noon, pays("watch", 5)), spot("1", "11", "bonus"))
	nobody := paid("b", "", carom.Impression, noon, pays("watch", 5))
	nobody.View.User = ""
	put(nobody, spot("1", "12", "spin"))
	put(submission("c", noon.Add(20*time.Minute)), func(ev *carom.Event) { ev.Value, ev.App, ev.ZoneID = carom.NotValued, "game", "9" })
	put(submission("d", noon), func(ev *carom.Event) {
		ev.Held, ev.Flags, ev.Value = "unknown_value", carom.FlagHeld, carom.ValueUnknown
	})
	put(takesBack(transaction("none"), "1", noon), nil)
	put(submission("sdk1", noon), func(ev *carom.Event) { ev.Source, ev.Network, ev.ZoneID = "sdk", carom.ProfileSDK, "7" })
	put(submission("sdk2", noon), func(ev *carom.Event) {
		ev.Source, ev.Network, ev.ZoneID, ev.Value = "sdk", carom.ProfileSDK, "7", carom.NotValued
		ev.Fields = []carom.Field{{Name: carom.FieldDeclined, Value: "too_fast,rate_user"}}
	})
	if err := s.Refuse(&carom.Refused{App: "app", Source: "monetag", Reason: carom.ReasonTooLarge, Received: carom.Received{At: noon}}); err != nil {
		t.Fatal(err)
	}
	put(grants("ann", "gems", 2*coin, "1", noon), nil)
	d := delivery(earns, 0)
	record(t, s, d, attempt(d, carom.Pending, noon, noon))
	s.settle(t)
	list, _, err := s.Claim(t.Context(), carom.Claim{Endpoint: backend, Limit: 1, DueBy: noon})
	if err != nil || len(list) != 1 {
		t.Fatalf("Claim: %d, %v", len(list), err)
	}
	record(t, s, list[0], attempt(list[0], carom.Dead, noon, noon))
	s.settle(t)
	s.restart(t)

	later := noon.Add(20 * time.Minute)
	tests := []struct {
		name string
		f    carom.ReportFilter
		want []string
	}{
		{"totals", carom.ReportFilter{}, []string{
			": 7 accepted, 1 held, 1 duplicates, 1 refused, 4 valued, 2 not valued, 2 shown, 1 declined, 1 failed, 1 dead, 0.009200000",
			"coins: 1 rewarded, 5.000000000", "gems: 1 rewarded, 2.000000000",
		}},
		{"by source", carom.ReportFilter{App: "app", By: []string{"source"}}, []string{
			"-carom gems: 1 rewarded, 2.000000000",
			"monetag: 4 accepted, 1 held, 1 duplicates, 1 refused, 3 valued, 1 declined, 1 failed, 1 dead, 0.006900000", "monetag coins: 1 rewarded, 5.000000000",
			"sdk: 2 accepted, 1 valued, 1 not valued, 2 shown, 0.002300000",
		}},
		{"by event type of a source", carom.ReportFilter{App: "app", Source: "monetag", By: []string{"event_type"}}, []string{
			": 1 refused", "click: 1 accepted, 1 valued, 0.002300000",
			"impression: 2 accepted, 1 held, 1 duplicates, 2 valued, 1 declined, 1 failed, 1 dead, 0.004600000", "impression coins: 1 rewarded, 5.000000000",
			"reversal: 1 accepted",
		}},
		{"by app and quarter", carom.ReportFilter{Cuts: []time.Time{noon.Add(-time.Hour), noon, noon.Add(15 * time.Minute), noon.Add(time.Hour)}, By: []string{"app"}}, []string{
			"app 12:30: 6 accepted, 1 held, 1 duplicates, 1 refused, 4 valued, 1 not valued, 2 shown, 1 declined, 1 failed, 1 dead, 0.009200000",
			"app coins 12:30: 1 rewarded, 5.000000000", "app gems 12:30: 1 rewarded, 2.000000000", "game 12:45: 1 accepted, 1 not valued",
		}},
		{"a stretch of time", carom.ReportFilter{From: later, To: later.Add(15 * time.Minute)}, []string{": 1 accepted, 1 not valued"}},
		{"a stretch of time of an app", carom.ReportFilter{App: "game", From: later, To: later.Add(15 * time.Minute)}, []string{": 1 accepted, 1 not valued"}},
		{"before all", carom.ReportFilter{App: "game", To: noon}, []string{}},
		{"of nobody", carom.ReportFilter{App: "nobody"}, []string{}},
		{"by zone", carom.ReportFilter{App: "app", By: []string{"zone"}}, []string{
			"1: 4 accepted, 1 held, 1 duplicates, 3 valued, 1 declined, 1 failed, 1 dead, 0.006900000", "1 coins: 1 rewarded, 5.000000000",
			"1 gems: 1 rewarded, 2.000000000",
			"7: 2 accepted, 1 valued, 1 not valued, 2 shown, 0.002300000",
		}},
		{"by sub-zone", carom.ReportFilter{App: "app", By: []string{"zone", "sub_zone"}}, []string{
			"1: 1 accepted, 1 held", "1 gems: 1 rewarded, 2.000000000", "1 11: 2 accepted, 1 duplicates, 2 valued, 1 failed, 1 dead, 0.004600000",
			"1 11 coins: 1 rewarded, 5.000000000", "1 12: 1 accepted, 1 valued, 1 declined, 0.002300000", "7: 2 accepted, 1 valued, 1 not valued, 2 shown, 0.002300000",
		}},
		{"by request_var", carom.ReportFilter{App: "app", By: []string{"request_var"}}, []string{
			": 3 accepted, 1 held, 1 valued, 1 not valued, 2 shown, 0.002300000", "gems: 1 rewarded, 2.000000000",
			"bonus: 2 accepted, 1 duplicates, 2 valued, 1 failed, 1 dead, 0.004600000", "bonus coins: 1 rewarded, 5.000000000", "spin: 1 accepted, 1 valued, 1 declined, 0.002300000",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, reportCounts(t, s, tt.f)); diff != "" {
				t.Errorf("ReportCounts(%+v) (-want +got):\n%s", tt.f, diff)
			}
		})
	}
	for _, f := range []carom.ReportFilter{{By: []string{"price"}}, {By: []string{"quarter"}}, {By: []string{"source", "zone"}}, {App: "app", Source: "monetag", By: []string{"zone"}}} {
		if _, err := s.ReportCounts(t.Context(), f); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("ReportCounts(%+v): %v, want carom.ErrInvalid", f, err)
		}
	}
	details(t, s, carom.ReportFilter{App: "app"}, "declined no_user 1", "declined rate_user 1", "declined too_fast 1", "held unknown_value 1", "refused too_large 1")
	details(t, s, carom.ReportFilter{App: "app", Source: "sdk"}, "declined rate_user 1", "declined too_fast 1")
	details(t, s, carom.ReportFilter{App: "game"})
}

// details compares the counts of all kinds of details.
func details(t testing.TB, s *world, f carom.ReportFilter, want ...string) {
	t.Helper()
	list, err := s.DetailCounts(t.Context(), f, carom.DetailConfirm, carom.DetailDeclined, carom.DetailHeld, carom.DetailRefused, carom.DetailUnverified)
	if err != nil {
		t.Fatalf("DetailCounts(%+v): %v", f, err)
	}
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprint(c.Kind, " ", c.Detail, " ", c.N))
	}
	if diff := listDiff(want, got); diff != "" {
		t.Errorf("DetailCounts(%+v) (-want +got):\n%s", f, diff)
	}
}

// How long a view took to be confirmed is counted once, from its opening or from when the SDK's ad began.
func timesToConfirm(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	v := openView(t, s, carom.View{User: "ann", OpenedAt: noon})
	unpaid := inView(v, "unpaid", carom.Impression, noon.Add(time.Second))
	accept(t, s, unpaid)
	accept(t, s, inView(v, "extra", carom.Impression, noon.Add(2*time.Second), pays("extra", 1, additional)))
	accept(t, s, inView(v, "paid", carom.Impression, noon.Add(3*time.Second), pays("watch", 5)))
	accept(t, s, inView(v, "again", carom.Click, noon.Add(4*time.Second), pays("watch", 5)))
	sdk := func(ymid string, value carom.RewardEventType, began time.Time) {
		sub := submission(ymid, noon.Add(time.Minute))
		sub.Event.Source, sub.Event.Network, sub.Event.Value, sub.Began = "sdk", carom.ProfileSDK, value, began
		accept(t, s, sub)
	}
	sdk("a", carom.Valued, noon.Add(55*time.Second))
	sdk("b", carom.NotValued, noon.Add(55*time.Second))
	sdk("c", carom.Valued, noon.Add(-48*time.Hour))
	sdk("d", carom.Valued, noon.Add(2*time.Minute)) // clocks differ
	accept(t, s, paid("plain", "bob", carom.Impression, noon, pays("watch", 5)))
	details(t, s, carom.ReportFilter{}, "confirm 00 1", "confirm 09 1", "confirm 10 1", "confirm 35 1")
	details(t, s, carom.ReportFilter{App: "app", Source: "monetag"}, "confirm 09 1")
	s.advance(31 * time.Minute)
	list, err := s.DetailCounts(t.Context(), carom.ReportFilter{Cuts: []time.Time{noon.Add(-time.Hour), noon, noon.Add(time.Hour)}}, carom.DetailConfirm)
	if err != nil || len(list) != 4 || !list[0].At.Equal(noon.Truncate(15*time.Minute)) {
		t.Errorf("by quarter: %+v, %v", list, err)
	}
}

// What pages can make up is counted within bounds, also after a restart.
func spotsAreBounded(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	put := func(n, from int) {
		t.Helper()
		subs := make([]*carom.Submission, n)
		for i := range subs {
			subs[i] = submission(fmt.Sprint(from+i), s.now())
			subs[i].Event.SubZoneID = fmt.Sprint("sub", from+i)
		}
		acceptAll(t, s, subs...)
	}
	put(190, 0)
	s.restart(t)
	put(20, 190)
	s.restart(t) // what waits of spots is written
	list, err := s.ReportCounts(t.Context(), carom.ReportFilter{App: "app", By: []string{"sub_zone"}})
	if err != nil {
		t.Fatal(err)
	}
	other := int64(0)
	for _, c := range list {
		if c.SubZone == "(other)" {
			other = c.Accepted
		}
	}
	if len(list) != 201 || other != 10 {
		t.Errorf("%d sub-zones, %d events of others, want 201 and 10", len(list), other)
	}
}

// Retention of counts drops those of reports as well.
func reportsEnd(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 1, Retention: day, CountRetention: 2 * day})
	accept(t, s, submission("old", s.now()))
	s.advance(3 * day)
	accept(t, s, submission("new", s.now()))
	s.restart(t)
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"app", "zone"} {
		if got := reportCounts(t, s, carom.ReportFilter{By: []string{by}}); len(got) != 1 || !strings.Contains(got[0], ": 1 accepted") {
			t.Errorf("by %s after retention: %q", by, got)
		}
	}
}

// Reports are the same before and after hours, days and weeks that are over are added up, whatever they begin and end with.
func reportsRollUp(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	from := noon.Truncate(day).Add(-time.Hour)
	s.set(from)
	for i := range 60 { // more than two weeks, with hours next to one another
		sub := submission(fmt.Sprint(i), s.now())
		sub.Event.App, sub.Event.ZoneID = []string{"app", "game"}[i%2], fmt.Sprint(i%3)
		sub.Event.Held = []string{"", "", "frozen"}[i%3]
		accept(t, s, sub)
		s.advance([]time.Duration{time.Hour, 12 * time.Hour}[i/3%2] + time.Duration(i%4)*time.Minute)
	}
	s.restart(t)
	end := s.now()
	read := func() (all [][]string) {
		for _, app := range []string{"", "game"} {
			for _, by := range [][]string{nil, {"source"}, {"zone"}} {
				all = append(all, reportCounts(t, s, carom.ReportFilter{App: app, By: by}),
					reportCounts(t, s, carom.ReportFilter{App: app, By: by, From: from.Add(90 * time.Minute), To: end.Add(-3*time.Hour - 20*time.Minute)}))
				for _, step := range []time.Duration{day, 90 * time.Minute} {
					var cuts []time.Time
					for at := from.Add(30 * time.Minute); at.Before(end); at = at.Add(step) {
						cuts = append(cuts, at)
					}
					all = append(all, reportCounts(t, s, carom.ReportFilter{App: app, By: by, Cuts: cuts}))
				}
			}
			list, err := s.DetailCounts(t.Context(), carom.ReportFilter{App: app, From: from.Add(2 * time.Hour)}, carom.DetailHeld)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, []string{fmt.Sprintf("%+v", list)})
		}
		return all
	}
	before := read()
	for range 2 { // the second time there is nothing to do
		if err := s.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, read()); diff != "" {
			t.Fatalf("after adding up (-before +after):\n%s", diff)
		}
	}
	s.advance(day)
	accept(t, s, submission("late", s.now()))
	s.restart(t)
	if err := s.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := reportCounts(t, s, carom.ReportFilter{To: end}); cmp.Diff(before[0], got) != "" {
		t.Errorf("a day later: %q, want %q", got, before[0])
	}
}
