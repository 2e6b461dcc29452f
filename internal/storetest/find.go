package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// foundYMIDs returns the ymids that FindEvents selects, by pages of the limit of f.
func foundYMIDs(t testing.TB, s *world, f carom.EventFilter) []string {
	t.Helper()
	ymids := []string{}
	for range 1000 {
		list, next, err := s.FindEvents(t.Context(), f)
		if err != nil {
			t.Fatalf("FindEvents(%+v): %v", f, err)
		}
		for _, ev := range list {
			ymids = append(ymids, ev.YMID)
		}
		if f.Before = next; next == "" {
			return ymids
		}
	}
	t.Fatalf("FindEvents(%+v) does not end", f)
	return nil
}

// Events are found by every word that lists know, across buckets and by pages of any size.
func findsEvents(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 4})
	put := func(ymid string, set func(*carom.Submission)) {
		s.advance(time.Hour)
		sub := submission(ymid, s.now())
		set(sub)
		accept(t, s, sub)
	}
	put("a", func(sub *carom.Submission) {
		sub.Event.SubZoneID, sub.Event.RequestVar = "11", "bonus"
		sub.Targets = []carom.Target{later(1)}
	})
	put("b", func(sub *carom.Submission) { sub.Event.SubZoneID, sub.Event.RequestVar = "12", "spin" })
	put("c", func(sub *carom.Submission) { sub.Event.Type, sub.Event.Network = carom.Click, "admob" })
	put("d", func(sub *carom.Submission) { sub.Event.Held, sub.Event.Flags = "frozen", carom.FlagHeld })
	put("e", func(sub *carom.Submission) { sub.Event.SubZoneID, sub.Event.ZoneID = "11", "2" })
	put("f", func(sub *carom.Submission) { sub.Event.App, sub.Event.RequestVar = "game", "bonus" })
	put("g", func(sub *carom.Submission) {
		sub.Targets = []carom.Target{{Endpoint: 1, Candidate: 1}} // owed for a reward that the rule declines
		sub.Candidates = []carom.Candidate{{Rule: "app/watch", Declined: carom.DeclineNoUser}}
	})
	tests := []struct {
		name string
		f    carom.EventFilter
		want []string
	}{
		{"all", carom.EventFilter{}, []string{"g", "f", "e", "d", "c", "b", "a"}},
		{"sub-zone", carom.EventFilter{SubZone: "11"}, []string{"e", "a"}},
		{"sub-zone of a zone", carom.EventFilter{Zone: "1", SubZone: "11"}, []string{"a"}},
		{"request_var of an app", carom.EventFilter{App: "app", RequestVar: "bonus"}, []string{"a"}},
		{"event type", carom.EventFilter{EventType: carom.Click}, []string{"c"}},
		{"network", carom.EventFilter{Network: "admob"}, []string{"c"}},
		{"held", carom.EventFilter{Outcome: carom.OutcomeHeld}, []string{"d"}},
		{"owed to somebody", carom.EventFilter{Outcome: carom.OutcomeAccepted}, []string{"a"}},
		{"owed to nobody", carom.EventFilter{Outcome: carom.OutcomeUnmatched}, []string{"g", "f", "e", "c", "b"}},
		{"a stretch of time", carom.EventFilter{Since: noon.Add(2 * time.Hour), To: noon.Add(4 * time.Hour)}, []string{"c", "b"}},
		{"long ago", carom.EventFilter{To: noon.Add(2 * time.Hour)}, []string{"a"}},
		{"a ymid and a time", carom.EventFilter{YMID: "e", Since: noon.Add(3 * time.Hour), To: noon.Add(9 * time.Hour)}, []string{"e"}},
		{"a user", carom.EventFilter{User: "42", EventType: carom.Click}, []string{"c"}},
		{"nothing", carom.EventFilter{SubZone: "13"}, []string{}},
		{"before all", carom.EventFilter{To: noon}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, limit := range []int{0, 1, 2} {
				tt.f.Limit = limit
				if diff := cmp.Diff(tt.want, foundYMIDs(t, s, tt.f)); diff != "" {
					t.Errorf("FindEvents by pages of %d (-want +got):\n%s", limit, diff)
				}
			}
			tt.f.Limit = 100
			list, err := s.Events(t.Context(), tt.f)
			if err != nil || len(list) != len(tt.want) {
				t.Errorf("Events returned %d, %v, want as FindEvents: %d", len(list), err, len(tt.want))
			}
		})
	}
	if _, _, err := s.FindEvents(t.Context(), carom.EventFilter{Before: "evt_nonsense"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a cursor that is none: %v, want carom.ErrInvalid", err)
	}
}

// The deliveries of all endpoints come by event, newest first, each in its own state.
func deliveriesOfAll(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 2})
	nos := endpoints(t, s, "backend", "tracker")
	both := accept(t, s, submission("both", s.tick(), direct(nos[0]), direct(nos[1])))
	accept(t, s, submission("none", s.tick()))
	one := accept(t, s, submission("one", s.tick(), direct(nos[1])))
	game := submission("game", s.tick(), direct(9))
	game.Event.App = "game"
	accept(t, s, game)
	waits := accept(t, s, submission("waits", s.tick(), later(nos[0])))
	d := delivery(both, 0)
	record(t, s, d, attempt(d, carom.Delivered, noon, noon))
	d = delivery(one, 0)
	record(t, s, d, attempt(d, carom.Dead, noon, noon))
	s.settle(t)
	_ = waits
	tests := []struct {
		name  string
		state carom.DeliveryState
		f     carom.EventFilter
		want  []string
	}{
		{"all", "", carom.EventFilter{}, []string{"waits app/backend pending", "game #9 pending", "one app/tracker dead", "both app/backend delivered", "both app/tracker pending"}},
		{"of an app", "", carom.EventFilter{App: "game"}, []string{"game #9 pending"}},
		{"pending of an app", carom.Pending, carom.EventFilter{App: "app"}, []string{"waits app/backend pending", "both app/tracker pending"}},
		{"dead", carom.Dead, carom.EventFilter{}, []string{"one app/tracker dead"}},
		{"delivered", carom.Delivered, carom.EventFilter{}, []string{"both app/backend delivered"}},
		{"of a time", "", carom.EventFilter{Since: one.Event.At, To: waits.Event.At, App: "app"}, []string{"one app/tracker dead"}},
		{"behind an event", carom.Dead, carom.EventFilter{Before: one.Receipt.ID}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, limit := range []int{0, 1} {
				got, f := []string{}, tt.f
				f.Limit = limit
				for range 20 {
					list, next, err := s.Deliveries(t.Context(), 0, tt.state, f)
					if err != nil {
						t.Fatal(err)
					}
					for _, st := range list {
						for _, d := range st.Deliveries {
							got = append(got, fmt.Sprintf("%s %s %s", st.Event.YMID, d.Endpoint, d.State))
						}
					}
					if f.Before = next; next == "" {
						break
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("by pages of %d (-want +got):\n%s", limit, diff)
				}
			}
		})
	}
}

// Attempts come with those of the newest events first, by endpoint, app and state.
func sentAttempts(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 2})
	nos := endpoints(t, s, "backend", "tracker")
	tried := func(ymid string, endpoint int, states ...carom.DeliveryState) {
		d := delivery(accept(t, s, submission(ymid, s.tick(), direct(endpoint))), 0)
		for i, state := range states {
			a := attempt(d, state, s.now(), s.now())
			a.URL += "?ymid=" + ymid
			record(t, s, d, a)
			s.settle(t)
			if i == len(states)-1 {
				break
			}
			list, _, err := s.Claim(t.Context(), carom.Claim{Endpoint: endpoint, Limit: 1, DueBy: s.now()})
			if err != nil || len(list) != 1 {
				t.Fatalf("Claim: %d deliveries, %v", len(list), err)
			}
			d = list[0]
		}
	}
	tried("a", nos[0], carom.Delivered)
	tried("b", nos[1], carom.Pending, carom.Pending, carom.Dead)
	tried("c", nos[0], carom.Pending)
	tried("d", nos[0])
	tried("e", 99, carom.Dead)
	tests := []struct {
		name string
		f    carom.AttemptFilter
		want []string
	}{
		{"all", carom.AttemptFilter{}, []string{"#99 dead 1", "app/backend pending 1", "app/tracker dead 3", "app/tracker pending 2", "app/tracker pending 1", "app/backend delivered 1"}},
		{"of an endpoint", carom.AttemptFilter{Endpoint: nos[0]}, []string{"app/backend pending 1", "app/backend delivered 1"}},
		{"of an app in a state", carom.AttemptFilter{App: "app", State: carom.Dead}, []string{"app/tracker dead 3"}},
		{"of no app", carom.AttemptFilter{App: "game"}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, limit := range []int{0, 1, 2} {
				got, f := []string{}, tt.f
				f.Limit = limit
				for range 20 {
					list, next, err := s.SentAttempts(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range list {
						got = append(got, fmt.Sprintf("%s %s %d", a.Endpoint, a.State, a.Number))
					}
					if f.Before = next; next == (carom.AttemptCursor{}) {
						break
					}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("by pages of %d (-want +got):\n%s", limit, diff)
				}
			}
		})
	}
	list, _, err := s.SentAttempts(t.Context(), carom.AttemptFilter{Limit: 1})
	if err != nil || len(list) != 1 || list[0].Delivery == "" || list[0].Answer != "ok" || list[0].URL != "https://publisher.example/postback?ymid=e" {
		t.Errorf("the newest attempt is %+v, %v", list, err)
	}
	if _, _, err := s.SentAttempts(t.Context(), carom.AttemptFilter{Before: carom.AttemptCursor{Delivery: "dlv_nonsense"}}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a cursor that is none: %v, want carom.ErrInvalid", err)
	}
}

// Opened views come newest first, by everything that lists know.
func viewsNewestFirst(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	a := openView(t, s, carom.View{User: "ann", OpenedAt: noon})
	b := openView(t, s, carom.View{User: "bob", OpenedAt: noon.Add(time.Minute), YMID: "own"})
	c := openView(t, s, carom.View{App: "game", User: "ann", OpenedAt: noon.Add(2 * time.Minute)})
	d := openView(t, s, carom.View{User: "ann", OpenedAt: noon.Add(3 * time.Minute)})
	tests := []struct {
		name string
		f    carom.ViewFilter
		want []carom.ViewID
	}{
		{"all", carom.ViewFilter{}, []carom.ViewID{d.ID, c.ID, b.ID, a.ID}},
		{"of an app", carom.ViewFilter{App: "app"}, []carom.ViewID{d.ID, b.ID, a.ID}},
		{"of a user", carom.ViewFilter{App: "app", User: "ann"}, []carom.ViewID{d.ID, a.ID}},
		{"by a ymid of the app's", carom.ViewFilter{YMID: "own"}, []carom.ViewID{b.ID}},
		{"by a ymid of carom's", carom.ViewFilter{YMID: a.YMID}, []carom.ViewID{a.ID}},
		{"by a ymid of another app", carom.ViewFilter{App: "game", YMID: a.YMID}, nil},
		{"a stretch of time", carom.ViewFilter{From: noon.Add(time.Minute), To: noon.Add(3 * time.Minute)}, []carom.ViewID{c.ID, b.ID}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, limit := range []int{0, 1} {
				var got []carom.ViewID
				f := tt.f
				f.Limit = limit
				for range 20 {
					list, next, err := s.Views(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range list {
						got = append(got, v.ID)
					}
					if f.Before = next; next == "" {
						break
					}
				}
				if diff := listDiff(tt.want, got); diff != "" {
					t.Errorf("by pages of %d (-want +got):\n%s", limit, diff)
				}
			}
		})
	}
	if _, _, err := s.Views(t.Context(), carom.ViewFilter{Before: "vw_nonsense"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a cursor that is none: %v, want carom.ErrInvalid", err)
	}
}
