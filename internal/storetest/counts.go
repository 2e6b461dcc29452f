package storetest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// outcomes returns the counts of received postbacks by outcome.
func outcomes(t testing.TB, s *world) map[string]int64 {
	t.Helper()
	list, err := s.Counts(t.Context(), carom.CountFilter{})
	if err != nil {
		t.Fatalf("Counts: %v", err)
	}
	got := map[string]int64{}
	for _, c := range list {
		got[c.Outcome] = c.N
	}
	return got
}

func countsByDimension(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	put := func(ymid, app, source, zone, requestVar string, value carom.RewardEventType, at time.Time) {
		sub := submission(ymid, at, later(1))
		ev := sub.Event
		ev.App, ev.Source, ev.ZoneID, ev.RequestVar, ev.Value = app, source, zone, requestVar, value
		accept(t, s, sub)
	}
	put("1", "app", "monetag", "1", "bonus", carom.Valued, noon)
	put("2", "app", "monetag", "1", "bonus", carom.Valued, noon.Add(time.Minute))
	put("3", "app", "monetag", "2", "spin", carom.ValueEmpty, noon.Add(time.Hour))
	put("4", "app", "admob", "2", "spin", carom.NotValued, noon.Add(24*time.Hour))
	put("5", "game", "monetag", "9", "", carom.Valued, noon.Add(24*time.Hour))
	const price = "0.0023"
	row := func(n int64, price string, set func(*carom.Count)) carom.Count {
		c := carom.Count{Outcome: carom.OutcomeAccepted, N: n, Price: price}
		set(&c)
		return c
	}
	minute := func(t time.Time) time.Time { return t.Truncate(time.Minute) }
	tests := []struct {
		name string
		f    carom.CountFilter
		want []carom.Count
	}{
		{"totals", carom.CountFilter{}, []carom.Count{row(5, "0.0115", func(c *carom.Count) {})}},
		{"by app and source", carom.CountFilter{GroupBy: []string{"source", "app"}}, []carom.Count{
			row(1, price, func(c *carom.Count) { c.App, c.Source = "app", "admob" }),
			row(3, "0.0069", func(c *carom.Count) { c.App, c.Source = "app", "monetag" }),
			row(1, price, func(c *carom.Count) { c.App, c.Source = "game", "monetag" }),
		}},
		{"of one source by minute, within an hour", carom.CountFilter{App: "app", Source: "monetag", GroupBy: []string{"minute"}, To: noon.Add(59 * time.Minute)}, []carom.Count{
			row(1, price, func(c *carom.Count) { c.At = minute(noon) }),
			row(1, price, func(c *carom.Count) { c.At = minute(noon).Add(time.Minute) }),
		}},
		{"by hour", carom.CountFilter{App: "app", GroupBy: []string{"hour"}}, []carom.Count{
			row(2, "0.0046", func(c *carom.Count) { c.At = noon.Truncate(time.Hour) }),
			row(1, price, func(c *carom.Count) { c.At = noon.Truncate(time.Hour).Add(time.Hour) }),
			row(1, price, func(c *carom.Count) { c.At = noon.Truncate(time.Hour).Add(24 * time.Hour) }),
		}},
		{"by day, zone, request_var, event_type and value, from the next day on",
			carom.CountFilter{From: noon.Add(2 * time.Hour), GroupBy: []string{"day", "zone", "request_var", "event_type", "value", "outcome"}}, []carom.Count{
				row(1, price, func(c *carom.Count) {
					c.At, c.Zone, c.RequestVar, c.EventType, c.Value = noon.Truncate(24*time.Hour).Add(24*time.Hour), "2", "spin", "impression", "not_valued"
				}),
				row(1, price, func(c *carom.Count) {
					c.At, c.Zone, c.RequestVar, c.EventType, c.Value = noon.Truncate(24*time.Hour).Add(24*time.Hour), "9", "", "impression", "valued"
				}),
			}},
		{"of nobody", carom.CountFilter{App: "nobody"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Counts(t.Context(), tt.f)
			if err != nil {
				t.Fatalf("Counts: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Counts(%+v) (-want +got):\n%s", tt.f, diff)
			}
		})
	}
	for _, groups := range [][]string{{"price"}, {"minute", "day"}, {"'; DROP TABLE counts"}} {
		if _, err := s.Counts(t.Context(), carom.CountFilter{GroupBy: groups}); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Counts grouped by %q: %v, want carom.ErrInvalid", groups, err)
		}
	}
}

func pricesAddUp(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	price := func(ymid string, n carom.Nanos) *carom.Submission {
		sub := submission(ymid, noon)
		sub.Event.Price = carom.Price{Nanos: n, Set: true}
		return sub
	}
	none := submission("none", noon)
	none.Event.Price = carom.Price{}
	s.Accept(price("a", math.MaxInt64), price("b", math.MaxInt64), price("c", 999_999_999), none) // in one batch
	for i := range 3 {
		accept(t, s, price(fmt.Sprint(i), math.MaxInt64))
	}
	got, err := s.Counts(t.Context(), carom.CountFilter{})
	// 5 * 9223372036.854775807 + 0.999999999
	if err != nil || len(got) != 1 || got[0].Price != "46116860185.273879034" {
		t.Errorf("Counts = %+v, %v, want a price of 46116860185.273879034", got, err)
	}
}

// manyRequestVars is how many labels of a zone are counted apart in a day. Browsers choose them.
const manyRequestVars = 1000

func requestVarsAreBounded(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	n := 0
	put := func(zone string, count int, prefix string) {
		t.Helper()
		subs := make([]*carom.Submission, count)
		for i := range subs {
			n++
			subs[i] = submission(fmt.Sprint(n), s.now())
			subs[i].Event.ZoneID, subs[i].Event.RequestVar = zone, fmt.Sprint(prefix, i)
		}
		s.Accept(subs...)
	}
	labels := func(zone string, day time.Time) map[string]int64 {
		t.Helper()
		list, err := s.Counts(t.Context(), carom.CountFilter{GroupBy: []string{"day", "zone", "request_var"}})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, c := range list {
			if c.Zone == zone && c.At.Equal(day.Truncate(24*time.Hour)) {
				got[c.RequestVar] += c.N
			}
		}
		return got
	}
	put("1", manyRequestVars-10, "a")
	put("2", 5, "a")
	s.restart(t) // a restart does not open the bound again
	put("1", 30, "b")
	put("1", 30, "a")
	got := labels("1", noon)
	if len(got) != manyRequestVars+1 || got["(other)"] != 20 || got["a7"] != 2 {
		t.Errorf("zone 1: %d labels, %d of others, %d of a7, want %d, 20 and 2", len(got), got["(other)"], got["a7"], manyRequestVars+1)
	}
	if got := labels("2", noon); len(got) != 5 {
		t.Errorf("zone 2: %d labels, want 5 of its own", len(got))
	}
	s.advance(24 * time.Hour)
	put("1", 30, "c")
	if got := labels("1", s.now()); len(got) != 30 || got["(other)"] != 0 {
		t.Errorf("the next day: %d labels, %d of others, want 30 new ones", len(got), got["(other)"])
	}
}

func deliveryCounts(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	o := setObjects(t, s, func(o *carom.Objects) {
		o.Endpoints = []carom.Endpoint{{App: "app", Name: "backend"}, {App: "game", Name: "tracker"}}
	})
	backend, tracker := o.Endpoints[0].No, o.Endpoints[1].No
	deleted := backend + tracker
	finish := func(ymid string, endpoint int, state carom.DeliveryState) {
		t.Helper()
		d := delivery(accept(t, s, submission(ymid, s.now(), direct(endpoint))), 0)
		record(t, s, d, attempt(d, state, s.now(), s.now().Add(time.Hour)))
		s.settle(t)
	}
	finish("a", backend, carom.Delivered)
	finish("b", backend, carom.Delivered)
	finish("c", backend, carom.Pending)
	finish("d", tracker, carom.Dead)
	finish("e", deleted, carom.Expired)
	s.advance(time.Hour)
	finish("f", backend, carom.Delivered)

	got, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	want := []carom.DeliveryCount{{Endpoint: "app/backend", Outcome: "delivered", N: 3}, {Endpoint: "app/backend", Outcome: "retry", N: 1},
		{Endpoint: "game/tracker", Outcome: "dead", N: 1}, {Endpoint: fmt.Sprint("#", deleted), Outcome: "expired", N: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DeliveryCounts (-want +got), %v:\n%s", err, diff)
	}
	got, err = s.DeliveryCounts(t.Context(), carom.CountFilter{App: "app", GroupBy: []string{"hour"}, From: noon.Add(30 * time.Minute)})
	want = []carom.DeliveryCount{{At: noon.Truncate(time.Hour).Add(time.Hour), Endpoint: "app/backend", Outcome: "delivered", N: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DeliveryCounts of app by hour (-want +got), %v:\n%s", err, diff)
	}
}

// What became of rules is counted with what it was worth, for the source that it came from; so is what no rule counts.
func rewardCounts(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	first := accept(t, s, within("tx", paid("a", "u", carom.Impression, noon, pays("watch", 5), pays("extra", 2, additional, holds(time.Hour)))))
	accept(t, s, paid("a", "u", carom.Click, noon, pays("watch", 5)))
	uncounted := submission("b", noon)
	uncounted.Uncounted = true
	accept(t, s, uncounted)
	accept(t, s, byCarom(carom.HoldEnded, "1", noon, carom.RewardChange{Mature: first.Receipt.Decided[1].Reward.ID}))
	accept(t, s, takesBack(transaction("tx"), "2", noon))
	accept(t, s, grants("u", "gems", 3*coin, "3", noon))
	list, err := s.Counts(t.Context(), carom.CountFilter{Rewards: true, GroupBy: []string{"outcome", "source", "value"}})
	if err != nil {
		t.Fatalf("Counts: %v", err)
	}
	got := map[string]string{}
	for _, c := range list {
		got[c.Outcome] = fmt.Sprintf("%d of %s, %s %s", c.N, c.Source, c.Price, c.Value)
	}
	want := map[string]string{
		"reward:granted:watch": "1 of monetag, 5 coins", "reward:held:extra": "1 of monetag, 2 coins", "reward:declined:rewarded:watch": "1 of monetag,  ",
		"reward:granted:extra": "1 of monetag, 2 coins", "reward:reversed:watch": "1 of monetag, 5 coins", "reward:reversed:extra": "1 of monetag, 2 coins",
		"reward:granted:" + carom.RuleByHand: "1 of " + carom.SourceCarom + ", 3 gems", carom.OutcomeUncounted: "1 of monetag,  ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts of rewards (-want +got):\n%s", diff)
	}
	for outcome := range outcomes(t, s) {
		if strings.HasPrefix(outcome, carom.OutcomeReward) {
			t.Errorf("%s is counted among received postbacks", outcome)
		}
	}
}
