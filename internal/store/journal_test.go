package store

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
	"carom/internal/tables"
)

func refused(app, source string, at time.Time) *carom.Refused {
	return &carom.Refused{
		App: app, Source: source, Network: "monetag", Reason: carom.ReasonNoIdentity, Detail: "neither ymid nor telegram_id: send one",
		Received: carom.Received{At: at, Method: "POST", Path: "/in/" + app + "/" + source + "/***", RawQuery: "event=click",
			ContentType: "application/json", Header: []carom.Field{{Name: "User-Agent", Value: "x"}}, Body: []byte("{}"),
			Client: netip.MustParseAddr("203.0.113.9")},
	}
}

func refuse(t testing.TB, s *Store, r *carom.Refused) *carom.Refused {
	t.Helper()
	if err := s.Refuse(r); err != nil {
		t.Fatalf("Refuse: %v", err)
	}
	return r
}

func TestRefusedAreKeptAndPaged(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 4}
	s, stop := open(t, dir, opts)
	var want []*carom.Refused
	for i := range 15 {
		r := refused([]string{"app", "app2"}[i%2], []string{"monetag", "admob", "unity"}[i%3], noon.Add(time.Duration(i)*time.Second))
		want = append([]*carom.Refused{refuse(t, s, r)}, want...)
		accept(t, s, submission(fmt.Sprint(i), noon)) // closes buckets
	}
	stop()
	s, _ = open(t, dir, opts)
	for _, f := range []carom.RefusedFilter{{}, {App: "app"}, {App: "app2", Source: "unity"}, {Source: "admob"}, {App: "nobody"}} {
		var got, wanted []*carom.Refused
		for _, r := range want {
			if (f.App == "" || f.App == r.App) && (f.Source == "" || f.Source == r.Source) {
				wanted = append(wanted, r)
			}
		}
		f.Limit = 2
		for {
			page, err := s.Refused(t.Context(), f)
			if err != nil {
				t.Fatalf("Refused: %v", err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			f.Before = page[len(page)-1].ID
		}
		if diff := cmp.Diff(wanted, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("Refused(%+v), page by page (-want +got):\n%s", f, diff)
		}
	}
	for _, id := range []carom.ReceivedID{"rcv_x", carom.NewReceivedID(1, carom.Ref{Bucket: 1, Seq: 1})} {
		if _, err := s.Refused(t.Context(), carom.RefusedFilter{Before: id}); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("Refused before %s: %v, want carom.ErrInvalid", id, err)
		}
	}
	if got := outcomes(t, s)[carom.OutcomeRefused+":"+string(carom.ReasonNoIdentity)]; got != 15 {
		t.Errorf("%d refused ones counted, want 15", got)
	}
}

func TestUnverifiedSampleIsBoundedAndCountsAreExact(t *testing.T) {
	dir := t.TempDir()
	const rounds, flood = 25, 500
	at := noon
	for range rounds { // each ends with one flush
		s, stop := open(t, dir, Options{Clock: newClock().now})
		for range flood {
			at = at.Add(time.Second)
			s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{
				At: at, Method: "GET", Path: "/in/app/monetag/***", RawQuery: strings.Repeat("q", 10_000), Body: make([]byte, 10_000)}})
		}
		s.Unverified(carom.Unverified{Reason: carom.ReasonUnknownApp, Received: carom.Received{At: at}})
		stop()
	}
	s, _ := open(t, dir, Options{Clock: newClock().now})
	list, err := s.UnverifiedSample(t.Context(), "app", "monetag", 1000)
	if err != nil || len(list) != tables.SampleSlots {
		t.Fatalf("the sample of app/monetag holds %d, %v, want %d", len(list), err, tables.SampleSlots)
	}
	for i, v := range list {
		if v.App != "app" || v.Source != "monetag" || v.Reason != carom.ReasonWrongSecret || len(v.Received.RawQuery) != tables.SampleBytes || len(v.Received.Body) != tables.SampleBytes {
			t.Fatalf("sample %d = %s/%s, %s, %d bytes of query, %d of body", i, v.App, v.Source, v.Reason, len(v.Received.RawQuery), len(v.Received.Body))
		}
		if i > 0 && v.Received.At.After(list[i-1].Received.At) {
			t.Errorf("sample %d is newer than the one before it", i)
		}
	}
	if oldest := list[len(list)-1].Received.At; oldest.Before(noon.Add((rounds - tables.SampleSlots/tables.SamplesPerFlush) * flood * time.Second)) {
		t.Errorf("the oldest of the sample is of %s: newer ones should have replaced it", oldest)
	}
	unknown, err := s.UnverifiedSample(t.Context(), "", "", 1000)
	if err != nil || len(unknown) != tables.SampleSlots+rounds {
		t.Errorf("the whole sample holds %d, %v, want %d", len(unknown), err, tables.SampleSlots+rounds)
	}
	got := outcomes(t, s)
	want := map[string]int64{"unverified:wrong_secret": rounds * flood, "unverified:unknown_app": rounds}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// A flood next to accepted events costs no more than a few sample rows per second: they do not go with every commit.
func TestUnverifiedDoNotGoWithEveryCommit(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	const commits = 200
	for i := range commits {
		for range tables.SamplesPerFlush {
			s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon}})
		}
		accept(t, s, submission(fmt.Sprint(i), noon))
	}
	var rows int
	if err := s.r.QueryRow(`SELECT count(*) FROM unverified`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows >= tables.SampleSlots {
		t.Errorf("%d commits wrote %d samples or more", commits, rows)
	}
}

// The sample that a key of one app may see is that app's, whatever its name holds.
func TestUnverifiedSampleOfOneApp(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	for _, app := range []string{"a_b", "axb", "a_bc"} {
		s.Unverified(carom.Unverified{App: app, Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon}})
	}
	stop()
	s, _ = open(t, dir, Options{})
	list, err := s.UnverifiedSample(t.Context(), "a_b", "", 10)
	if err != nil || len(list) != 1 || list[0].App != "a_b" {
		t.Errorf("the sample of a_b: %d, %v, want its own one", len(list), err)
	}
}

func TestCountsByDimension(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
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

func TestPricesAddUpBeyondTheirType(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
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

func TestRequestVarsBeyondTheBoundCountTogether(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	opts := Options{Clock: c.now}
	s, stop := open(t, dir, opts)
	n := 0
	put := func(zone string, count int, prefix string) {
		t.Helper()
		subs := make([]*carom.Submission, count)
		for i := range subs {
			n++
			subs[i] = submission(fmt.Sprint(n), c.now())
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
	put("1", tables.MaxRequestVars-10, "a")
	put("2", 5, "a")
	stop()
	s, _ = open(t, dir, opts) // a restart does not open the bound again
	put("1", 30, "b")
	put("1", 30, "a")
	got := labels("1", noon)
	if len(got) != tables.MaxRequestVars+1 || got[tables.OtherLabel] != 20 || got["a7"] != 2 {
		t.Errorf("zone 1: %d labels, %d of others, %d of a7, want %d, 20 and 2", len(got), got[tables.OtherLabel], got["a7"], tables.MaxRequestVars+1)
	}
	if got := labels("2", noon); len(got) != 5 {
		t.Errorf("zone 2: %d labels, want 5 of its own", len(got))
	}
	c.advance(24 * time.Hour)
	put("1", 30, "c")
	if got := labels("1", c.now()); len(got) != 30 || got[tables.OtherLabel] != 0 {
		t.Errorf("the next day: %d labels, %d of others, want 30 new ones", len(got), got[tables.OtherLabel])
	}
}

func TestDeliveryCounts(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now})
	o, err := s.SetObjects(t.Context(), carom.Objects{Endpoints: []carom.Endpoint{{App: "app", Name: "backend"}, {App: "game", Name: "tracker"}}})
	if err != nil {
		t.Fatal(err)
	}
	backend, tracker := o.Endpoints[0].No, o.Endpoints[1].No
	finish := func(ymid string, endpoint int, state carom.DeliveryState) {
		t.Helper()
		d := delivery(accept(t, s, submission(ymid, c.now(), direct(endpoint))), 0)
		record(t, s, d, attempt(d, state, c.now(), c.now().Add(time.Hour)))
		settled(t, s)
	}
	finish("a", backend, carom.Delivered)
	finish("b", backend, carom.Delivered)
	finish("c", backend, carom.Pending)
	finish("d", tracker, carom.Dead)
	finish("e", 99, carom.Expired)
	c.advance(time.Hour)
	finish("f", backend, carom.Delivered)

	got, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	want := []carom.DeliveryCount{{Endpoint: "app/backend", Outcome: "delivered", N: 3}, {Endpoint: "app/backend", Outcome: "retry", N: 1},
		{Endpoint: "game/tracker", Outcome: "dead", N: 1}, {Endpoint: "#99", Outcome: "expired", N: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DeliveryCounts (-want +got), %v:\n%s", err, diff)
	}
	got, err = s.DeliveryCounts(t.Context(), carom.CountFilter{App: "app", GroupBy: []string{"hour"}, From: noon.Add(30 * time.Minute)})
	want = []carom.DeliveryCount{{At: noon.Truncate(time.Hour).Add(time.Hour), Endpoint: "app/backend", Outcome: "delivered", N: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DeliveryCounts of app by hour (-want +got), %v:\n%s", err, diff)
	}
}
