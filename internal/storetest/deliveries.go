package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// shownDeliveries writes each delivery of a page as "ymid state attempts".
func shownDeliveries(list []*carom.Story) []string {
	out := []string{}
	for _, st := range list {
		for _, d := range st.Deliveries {
			out = append(out, fmt.Sprintf("%s %s %d", st.Event.YMID, d.State, len(d.Attempts)))
		}
	}
	return out
}

// An endpoint's deliveries come newest first, across buckets, by state and by page.
func deliveriesOfAnEndpoint(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 4})
	backend := endpoints(t, s, "backend")[0]
	alike := 10*backend + backend // numbers that are parts of one another are told apart
	var wide []*carom.Submission
	for i := range 6 {
		wide = append(wide, accept(t, s, submission(fmt.Sprint("w", i), s.tick(), direct(backend), direct(alike))))
	}
	accept(t, s, submission("other", s.tick(), direct(alike)))
	elsewhere := submission("elsewhere", s.tick(), direct(backend))
	elsewhere.Event.App = "another"
	accept(t, s, elsewhere)
	for i, state := range []carom.DeliveryState{carom.Delivered, carom.Dead, carom.Pending, carom.Delivered, carom.Expired} {
		d := delivery(wide[i], 0)
		record(t, s, d, attempt(d, state, noon, noon.Add(time.Hour)))
	}
	s.settle(t)
	// The dead one is asked for again: it has ended once, and is pending.
	if _, err := s.Resend(t.Context(), wide[1].Receipt.ID.Delivery(0)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		state carom.DeliveryState
		want  []string
	}{
		{"all", "", []string{"w5 pending 0", "w4 expired 1", "w3 delivered 1", "w2 pending 1", "w1 pending 1", "w0 delivered 1"}},
		{"delivered", carom.Delivered, []string{"w3 delivered 1", "w0 delivered 1"}},
		{"pending: in memory, in the table, resent", carom.Pending, []string{"w5 pending 0", "w2 pending 1", "w1 pending 1"}},
		{"expired", carom.Expired, []string{"w4 expired 1"}},
		{"dead no more", carom.Dead, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, next, err := s.Deliveries(t.Context(), backend, tt.state, carom.EventFilter{App: "app"})
			if diff := cmp.Diff(tt.want, shownDeliveries(list)); diff != "" || err != nil || next != "" {
				t.Errorf("next %q, %v (-want +got):\n%s", next, err, diff)
			}
			paged := []string{}
			f := carom.EventFilter{App: "app", Limit: 1}
			for range 20 {
				list, next, err := s.Deliveries(t.Context(), backend, tt.state, f)
				if err != nil {
					t.Fatal(err)
				}
				paged = append(paged, shownDeliveries(list)...)
				if f.Before = next; next == "" {
					break
				}
			}
			if diff := cmp.Diff(tt.want, paged); diff != "" || f.Before != "" {
				t.Errorf("by pages of one, ending at %q (-want +got):\n%s", f.Before, diff)
			}
		})
	}
	if list, _, err := s.Deliveries(t.Context(), backend, "", carom.EventFilter{App: "app"}); err != nil || list[0].Deliveries[0].Endpoint != "app/backend" {
		t.Errorf("the endpoint's name is missing: %+v, %v", list[0].Deliveries, err)
	}
	if _, _, err := s.Deliveries(t.Context(), backend, "", carom.EventFilter{App: "app", Before: "evt_nonsense"}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a cursor that is none: %v, want carom.ErrInvalid", err)
	}
}
