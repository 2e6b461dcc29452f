package store

import (
	"context"
	"errors"
	"testing"
	"time"

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
