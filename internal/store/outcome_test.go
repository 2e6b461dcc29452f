package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// claim hands out what c selects and fails the test on an error.
func claim(t testing.TB, s *Store, c carom.Claim) ([]*carom.Delivery, uint64) {
	t.Helper()
	list, cursor, err := s.Claim(t.Context(), c)
	if err != nil {
		t.Fatalf("Claim(%+v): %v", c, err)
	}
	return list, cursor
}

func claimDue(t testing.TB, s *Store, endpoint int, by time.Time) []*carom.Delivery {
	t.Helper()
	list, _ := claim(t, s, carom.Claim{Endpoint: endpoint, Limit: 1000, DueBy: by})
	return list
}

// ymids names deliveries by their events.
func ymids(list []*carom.Delivery) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Event.YMID)
	}
	return out
}

// deliveryOf returns what is stored of an event's delivery.
func deliveryOf(t testing.TB, s *Store, id carom.EventID, ordinal int) carom.DeliveryStory {
	t.Helper()
	story, err := s.Story(t.Context(), id)
	if err != nil {
		t.Fatalf("Story: %v", err)
	}
	return story.Deliveries[ordinal]
}

func TestRecordEndsADelivery(t *testing.T) {
	for _, target := range []carom.Target{direct(1), later(1)} {
		for _, state := range []carom.DeliveryState{carom.Delivered, carom.Dead, carom.Expired} {
			t.Run(fmt.Sprintf("%s, direct %v", state, target.Direct), func(t *testing.T) {
				c := newClock()
				s, _ := open(t, t.TempDir(), Options{Clock: c.now})
				sub := accept(t, s, submission("a", noon, target))
				d := delivery(sub, 0)
				if !target.Direct {
					d = claimDue(t, s, 1, noon)[0]
				}
				a := attempt(d, state, noon.Add(time.Second), time.Time{})
				a.Flags, a.Sent = carom.AttemptHTML, "body"
				record(t, s, d, a)
				settled(t, s)
				want := carom.DeliveryStory{ID: d.ID, Endpoint: "#1", State: state, Attempts: []carom.Attempt{*a}}
				if diff := cmp.Diff(want, deliveryOf(t, s, sub.Receipt.ID, 0)); diff != "" {
					t.Errorf("delivery (-want +got):\n%s", diff)
				}
				if got := claimDue(t, s, 1, noon.Add(1000*time.Hour)); len(got) != 0 {
					t.Errorf("an ended delivery was handed out: %v", ymids(got))
				}
			})
		}
	}
}

func TestRecordPendingHandsOutAgainWhenDue(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	sub := accept(t, s, submission("a", noon, direct(1)))
	d := delivery(sub, 0)
	d.Step = 1 // the schedule's next place
	due := noon.Add(5 * time.Second)
	record(t, s, d, attempt(d, carom.Pending, noon, due))
	settled(t, s)
	if got := claimDue(t, s, 1, due.Add(-time.Millisecond)); len(got) != 0 {
		t.Fatalf("handed out before it is due: %v", ymids(got))
	}
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Pending || !got.Due.Equal(due) || len(got.Attempts) != 1 {
		t.Errorf("delivery = %+v, want pending, due %s, one attempt", got, due)
	}
	got := claimDue(t, s, 1, due)
	if len(got) != 1 {
		t.Fatalf("handed out %d deliveries when due, want 1", len(got))
	}
	want := carom.Delivery{ID: d.ID, Endpoint: 1, Attempts: 1, Step: 1, Since: sub.Event.At}
	if got[0].Event == nil || got[0].Event.YMID != "a" {
		t.Errorf("event = %+v, want that of a", got[0].Event)
	}
	claimed := *got[0]
	claimed.Event = nil
	if diff := cmp.Diff(want, claimed); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	// The second attempt gets a line of its own.
	record(t, s, got[0], attempt(got[0], carom.Delivered, due, time.Time{}))
	settled(t, s)
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Delivered || len(got.Attempts) != 2 || got.Attempts[1].Number != 2 {
		t.Errorf("delivery = %+v, want delivered at the second attempt", got)
	}
}

func TestDeferMovesToTheDueTable(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	sub := accept(t, s, submission("a", noon, direct(1)))
	if err := s.Defer(delivery(sub, 0), noon.Add(time.Minute)); err != nil {
		t.Fatalf("Defer: %v", err)
	}
	settled(t, s)
	if got := claimDue(t, s, 1, noon); len(got) != 0 {
		t.Errorf("handed out before it is due: %v", ymids(got))
	}
	if got := claimDue(t, s, 1, noon.Add(time.Minute)); len(got) != 1 || got[0].Attempts != 0 {
		t.Errorf("handed out %v, want a with no attempts", got)
	}
}

func TestClaimDueBy(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now, BucketEvents: 3})
	for i, minutes := range []int{5, 1, 3, 2, 4, 1} {
		sub := accept(t, s, submission(fmt.Sprintf("%c due at %d", 'a'+i, minutes), noon, direct(1), later(2)))
		if err := s.Defer(delivery(sub, 0), noon.Add(time.Duration(minutes)*time.Minute)); err != nil {
			t.Fatalf("Defer: %v", err)
		}
	}
	settled(t, s)
	steps := []struct {
		name  string
		by    time.Duration
		limit int
		want  []string
	}{
		{"the soonest first, of equal ones the oldest", 3 * time.Minute, 2, []string{"b due at 1", "f due at 1"}},
		{"what is claimed is not handed out again", 3 * time.Minute, 10, []string{"d due at 2", "c due at 3"}},
		{"nothing else is due", 3 * time.Minute, 10, nil},
		{"later the others", time.Hour, 10, []string{"e due at 4", "a due at 5"}},
	}
	for _, step := range steps {
		list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: step.limit, DueBy: noon.Add(step.by)})
		if diff := cmp.Diff(step.want, ymids(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if step.name == "nothing else is due" {
			continue
		}
		for _, d := range list[:min(1, len(list))] {
			if d.Endpoint != 1 {
				t.Errorf("%s: delivery of endpoint %d", step.name, d.Endpoint)
			}
		}
	}
	for _, d := range claimedOf(s, 1) {
		s.Release(d)
	}
	list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, DueAfter: noon.Add(2 * time.Minute), DueBy: noon.Add(4 * time.Minute)})
	if diff := cmp.Diff([]string{"c due at 3", "e due at 4"}, ymids(list)); diff != "" {
		t.Errorf("due after minute 2 and by minute 4 (-want +got):\n%s", diff)
	}
	if got := len(claimDue(t, s, 2, noon)); got != 6 {
		t.Errorf("endpoint 2 got %d deliveries, want its own 6", got)
	}
}

// claimedOf returns what is claimed of an endpoint, without the events.
func claimedOf(s *Store, endpoint int) (list []*carom.Delivery) {
	for k := range s.claims.held(endpoint) {
		list = append(list, &carom.Delivery{ID: carom.NewDeliveryID(s.inc, carom.RefOf(k.event), k.ordinal), Endpoint: endpoint, Ordinal: k.ordinal})
	}
	return list
}

func TestClaimInOrder(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now, BucketEvents: 3})
	for i := range 8 {
		at := noon.Add(time.Duration(i) * time.Minute)
		c.set(at)
		sub := accept(t, s, submission(fmt.Sprint(i), at, direct(1)))
		if err := s.Defer(delivery(sub, 0), at.Add(100*time.Hour)); err != nil {
			t.Fatalf("Defer: %v", err)
		}
		settled(t, s)
	}
	var got []string
	var cursor uint64
	for range 10 {
		list, next := claim(t, s, carom.Claim{Endpoint: 1, Limit: 3, InOrder: true, Cursor: cursor})
		got = append(got, ymids(list)...)
		for _, d := range list[:min(len(list), 1)] {
			s.Release(d) // behind the cursor, it is not handed out again in this round
		}
		cursor = next
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6", "7"}, got); diff != "" {
		t.Errorf("in order of acceptance (-want +got):\n%s", diff)
	}
	list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true})
	if diff := cmp.Diff([]string{"0", "3", "6"}, ymids(list)); diff != "" {
		t.Errorf("from the start again, what was released (-want +got):\n%s", diff)
	}
	for _, d := range list {
		s.Release(d)
	}
	list, _ = claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true, ScheduledBefore: noon.Add(6 * time.Minute), SinceBefore: noon.Add(3 * time.Minute)})
	if diff := cmp.Diff([]string{"0"}, ymids(list)); diff != "" {
		t.Errorf("scheduled before minute 6, waiting since before minute 3 (-want +got):\n%s", diff)
	}
	s.Release(list[0])
	list, _ = claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true, DueBy: noon.Add(100*time.Hour + 3*time.Minute)})
	if diff := cmp.Diff([]string{"0", "3"}, ymids(list)); diff != "" {
		t.Errorf("in order, due by minute 3 of the hour in which they are (-want +got):\n%s", diff)
	}
}

func TestClaimedStaysClaimedUntilItsOutcomeIsCommitted(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now})
	acceptMany(t, s, "a", 1, noon, later(1))
	d := claimDue(t, s, 1, noon)[0]
	release := r.hold(t, s)
	record(t, s, d, attempt(d, carom.Pending, noon, noon)) // due again at once, but not stored yet
	if got := claimDue(t, s, 1, noon); len(got) != 0 {
		t.Errorf("handed out a second time before its outcome was stored: %v", ymids(got))
	}
	release()
	settled(t, s)
	if got := claimDue(t, s, 1, noon); len(got) != 1 || got[0].Attempts != 1 {
		t.Errorf("after its outcome was stored: %v, want a with one attempt", got)
	}
}

func TestBeginClaimsAndIsKept(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{Clock: newClock().now})
	sub := accept(t, s, submission("a", noon, direct(1)))
	d := delivery(sub, 0)
	if err := s.Begin(t.Context(), d); err != nil {
		t.Fatalf("Begin: %v", err)
	}
	if d.Ticket != 0 {
		t.Errorf("Ticket = %d after Begin, want 0", d.Ticket)
	}
	if got := claimDue(t, s, 1, noon.Add(time.Hour)); len(got) != 0 {
		t.Errorf("a delivery that is being sent was handed out: %v", ymids(got))
	}
	copied := crash(t, s)
	record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	settled(t, s)
	stop()

	s, stop = open(t, dir, Options{})
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Delivered || s.Recovered().Interrupted != 0 {
		t.Errorf("after a clean end: %+v, %+v, want delivered, nothing interrupted", got, s.Recovered())
	}
	stop()
	s, _ = open(t, copied, Options{})
	got := deliveryOf(t, s, sub.Receipt.ID, 0)
	if got.State != carom.Dead || len(got.Attempts) != 1 || got.Attempts[0].Reason != ReasonInterrupted || s.Recovered().Interrupted != 1 {
		t.Errorf("after a crash while sending: %+v, want dead, because it was interrupted", got)
	}
	settled(t, s)
	counts, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	if err != nil || len(counts) != 1 || counts[0].Outcome != string(carom.Dead) || counts[0].N != 1 {
		t.Errorf("DeliveryCounts = %+v, %v, want one dead", counts, err)
	}
}

// Whoever gives up on Begin before it was written has nothing written behind their back: the delivery would be taken for
// sent after the next start.
func TestBeginIsWithdrawnWhenItsContextEnds(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now})
	sub := accept(t, s, submission("a", noon, direct(1)))
	d := delivery(sub, 0)
	release := r.hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Begin(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("Begin: %v, want context.Canceled", err)
	}
	if d.Ticket == 0 {
		t.Error("Begin took the ticket away although nothing is stored")
	}
	release()
	settled(t, s)
	if got, err := s.Backlogs(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("Backlogs = %+v, %v, want none", got, err)
	}
	if err := s.Defer(d, noon); err != nil {
		t.Fatalf("Defer: %v", err)
	}
	settled(t, s)
	if got := claimDue(t, s, 1, noon); len(got) != 1 {
		t.Errorf("%d due after the withdrawn Begin, want 1: it is still claimed", len(got))
	}
}

func TestNextDueAndBacklogs(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	if next, err := s.NextDue(t.Context(), 1, noon); err != nil || !next.IsZero() {
		t.Errorf("NextDue of nothing = %s, %v, want zero", next, err)
	}
	for i, minutes := range []int{3, 1, 2} {
		sub := accept(t, s, submission(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second), direct(1), later(2)))
		if err := s.Defer(delivery(sub, 0), noon.Add(time.Duration(minutes)*time.Minute)); err != nil {
			t.Fatalf("Defer: %v", err)
		}
	}
	settled(t, s)
	for _, step := range []struct {
		now, want time.Duration
	}{{0, time.Minute}, {time.Minute, 2 * time.Minute}, {2*time.Minute + time.Second, 3 * time.Minute}} {
		if next, err := s.NextDue(t.Context(), 1, noon.Add(step.now)); err != nil || !next.Equal(noon.Add(step.want)) {
			t.Errorf("NextDue after %s = %s, %v, want after %s", step.now, next, err, step.want)
		}
	}
	got, err := s.Backlogs(t.Context())
	want := []carom.Backlog{
		{Endpoint: 1, Waiting: 3, Oldest: noon, NextDue: noon.Add(time.Minute)},
		{Endpoint: 2, Waiting: 3, Oldest: noon, NextDue: noon},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Backlogs (-want +got), %v:\n%s", err, diff)
	}
}

func TestResend(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	s, stop := open(t, dir, Options{Clock: c.now})
	o, err := s.SetObjects(t.Context(), carom.Objects{Endpoints: []carom.Endpoint{{App: "app", Name: "backend"}, {App: "app", Name: "tracker"}}})
	if err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	backend, tracker := o.Endpoints[0].No, o.Endpoints[1].No
	sub := accept(t, s, submission("a", noon, direct(backend), later(tracker)))
	d := delivery(sub, 0)
	refuses := func(id carom.DeliveryID, want error) {
		t.Helper()
		if _, err := s.Resend(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("Resend(%s): %v, want %v", id, err, want)
		}
	}
	refuses(d.ID, carom.ErrConflict)                                   // still in memory
	refuses(sub.Receipt.ID.Delivery(1), carom.ErrConflict)             // still due
	refuses(sub.Receipt.ID.Delivery(2), carom.ErrNotFound)             // no such endpoint
	refuses("dlv_x", carom.ErrInvalid)                                 // no id
	refuses(carom.NewDeliveryID(1, carom.Ref{}, 0), carom.ErrNotFound) // of another folder
	record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	settled(t, s)

	c.advance(time.Hour)
	endpoint, err := s.Resend(t.Context(), d.ID)
	if err != nil || endpoint != backend {
		t.Fatalf("Resend = %d, %v, want %d", endpoint, err, backend)
	}
	refuses(d.ID, carom.ErrConflict) // pending again
	got := claimDue(t, s, backend, c.now())
	if len(got) != 1 || got[0].ID != d.ID || got[0].Attempts != 1 || got[0].Step != 0 || !got[0].Since.Equal(c.now()) {
		t.Fatalf("after Resend %+v is due, want %s with one attempt, a fresh schedule and deadline", got, d.ID)
	}
	copied := crash(t, s)
	record(t, s, got[0], attempt(got[0], carom.Dead, c.now(), time.Time{}))
	settled(t, s)
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Dead || len(got.Attempts) != 2 {
		t.Errorf("delivery = %+v, want dead at the second attempt", got)
	}
	if _, err := s.SetObjects(t.Context(), carom.Objects{Version: o.Version, Endpoints: []carom.Endpoint{{App: "app", Name: "tracker"}}}); err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	refuses(d.ID, carom.ErrConflict) // its endpoint is deleted
	stop()
	s, _ = open(t, copied, Options{Clock: c.now})
	if got := claimDue(t, s, backend, c.now()); len(got) != 1 || got[0].ID != d.ID {
		t.Errorf("after a crash %v is due, want %s, which was asked for again", got, d.ID)
	}
}
