package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// deliveryOf returns what is stored of an event's delivery.
func deliveryOf(t testing.TB, s *world, id carom.EventID, ordinal int) carom.DeliveryStory {
	t.Helper()
	story, err := s.Story(t.Context(), id)
	if err != nil {
		t.Fatalf("Story(%s): %v", id, err)
	}
	for _, d := range story.Deliveries {
		if d.ID == id.Delivery(ordinal) {
			return d
		}
	}
	t.Fatalf("Story(%s) has the deliveries %+v, want number %d among them", id, story.Deliveries, ordinal)
	return carom.DeliveryStory{}
}

func recordEndsADelivery(t *testing.T, open Opener) {
	for _, target := range []carom.Target{direct(1), later(1)} {
		for _, state := range []carom.DeliveryState{carom.Delivered, carom.Dead, carom.Expired} {
			t.Run(fmt.Sprintf("%s, direct %v", state, target.Direct), func(t *testing.T) {
				s := begin(t, open, Options{})
				sub := accept(t, s, submission("a", noon, target))
				d := delivery(sub, 0)
				if !target.Direct {
					d = claimDue(t, s, 1, noon)[0]
				}
				a := attempt(d, state, noon.Add(time.Second), time.Time{})
				a.Flags, a.Sent = carom.AttemptHTML, "body"
				record(t, s, d, a)
				s.settle(t)
				want := carom.DeliveryStory{ID: d.ID, Endpoint: "#1", State: state, Attempts: []carom.Attempt{*a}}
				for _, how := range []string{"at once", "after a restart", "after a crash"} {
					move(t, s, how)
					if diff := cmp.Diff(want, deliveryOf(t, s, sub.Receipt.ID, 0)); diff != "" {
						t.Errorf("%s: delivery (-want +got):\n%s", how, diff)
					}
					if got := claimDue(t, s, 1, noon.Add(1000*time.Hour)); len(got) != 0 {
						t.Errorf("%s: an ended delivery was handed out: %v", how, ymids(got))
					}
				}
			})
		}
	}
}

// A lane that is told of a failure when its outcome was stored after all tells it again.
func recordAgain(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := accept(t, s, submission("a", noon, direct(1)))
	d := delivery(sub, 0)
	record(t, s, d, attempt(d, carom.Pending, noon.Add(time.Second), noon.Add(time.Minute)))
	s.settle(t)
	d = claimDue(t, s, 1, noon.Add(time.Hour))[0]
	again := attempt(d, carom.Delivered, noon.Add(2*time.Second), time.Time{})
	again.Number = 1
	record(t, s, d, again)
	beside := accept(t, s, submission("b", noon)) // in the same commit or the next
	s.settle(t)
	want := []carom.Attempt{*again}
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Delivered || cmp.Diff(want, got.Attempts) != "" {
		t.Errorf("delivery = %+v, want delivered by the attempt that was told last", got)
	}
	if _, err := s.Story(t.Context(), beside.Receipt.ID); err != nil {
		t.Errorf("an event that was accepted meanwhile: %v", err)
	}
}

func pendingIsHandedOutWhenDue(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := accept(t, s, submission("a", noon, direct(1)))
	d := delivery(sub, 0)
	d.Step = 1 // the schedule's next place
	due := noon.Add(5 * time.Second)
	record(t, s, d, attempt(d, carom.Pending, noon, due))
	s.settle(t)
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
	claimed.Event, claimed.Claimed = nil, 0 // the second is a note of the store's own
	if diff := cmp.Diff(want, claimed); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	// The second attempt gets a line of its own.
	record(t, s, got[0], attempt(got[0], carom.Delivered, due, time.Time{}))
	s.settle(t)
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Delivered || len(got.Attempts) != 2 || got.Attempts[1].Number != 2 {
		t.Errorf("delivery = %+v, want delivered at the second attempt", got)
	}
}

func deferredIsHandedOutWhenDue(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := accept(t, s, submission("a", noon, direct(1)))
	postpone(t, s, delivery(sub, 0), noon.Add(time.Minute))
	s.settle(t)
	if got := claimDue(t, s, 1, noon); len(got) != 0 {
		t.Errorf("handed out before it is due: %v", ymids(got))
	}
	if got := claimDue(t, s, 1, noon.Add(time.Minute)); len(got) != 1 || got[0].Attempts != 0 {
		t.Errorf("handed out %v, want a with no attempts", got)
	}
}

func beginClaims(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
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
	record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	s.restart(t)
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Delivered || len(got.Attempts) != 1 {
		t.Errorf("after a clean end: %+v, want delivered", got)
	}
}

// interrupted is the reason that stories, pages and alerts show; see the table of crashes in ARCHITECTURE.md.
const interrupted = "interrupted after sending; not repeated, as the endpoint asks"

// What may have been sent and must not be repeated is ended by the next start.
func beginIsKept(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	sub := accept(t, s, submission("a", noon, direct(1)))
	if err := s.Begin(t.Context(), delivery(sub, 0)); err != nil {
		t.Fatalf("Begin: %v", err)
	}
	s.crash(t)
	got := deliveryOf(t, s, sub.Receipt.ID, 0)
	if got.State != carom.Dead || len(got.Attempts) != 1 || got.Attempts[0].Reason != interrupted {
		t.Errorf("after a crash while sending: %+v, want dead, because it was interrupted", got)
	}
	s.settle(t)
	if list := claimDue(t, s, 1, noon.Add(1000*time.Hour)); len(list) != 0 {
		t.Errorf("handed out after the crash: %v", ymids(list))
	}
	counts, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	if err != nil || len(counts) != 1 || counts[0].Outcome != string(carom.Dead) || counts[0].N != 1 {
		t.Errorf("DeliveryCounts = %+v, %v, want one dead", counts, err)
	}
}

// Whoever gives up on Begin before it was written has nothing written behind their back: the delivery would be taken for sent
// after the next start. Writing may have come first.
func beginIsWithdrawn(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	for i := range 20 {
		sub := accept(t, s, submission(fmt.Sprint(i), noon, direct(1)))
		d := delivery(sub, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Begin(ctx, d); err == nil {
			record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
			continue
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("Begin: %v, want context.Canceled", err)
		}
		if d.Ticket == 0 {
			t.Error("Begin took the ticket away although nothing is stored")
		}
		s.settle(t)
		if got, err := s.Backlogs(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("Backlogs = %+v, %v, want none", got, err)
		}
		postpone(t, s, d, noon)
		s.settle(t)
		list := claimDue(t, s, 1, noon)
		if len(list) != 1 || list[0].ID != d.ID {
			t.Fatalf("%v due after the withdrawn Begin, want %d: it is still claimed", ymids(list), i)
		}
		record(t, s, list[0], attempt(list[0], carom.Delivered, noon, time.Time{}))
		s.settle(t)
	}
}

func wantNoResend(t testing.TB, s *world, id carom.DeliveryID, want error) {
	t.Helper()
	if _, err := s.Resend(t.Context(), id); !errors.Is(err, want) {
		t.Errorf("Resend(%s): %v, want %v", id, err, want)
	}
}

func resend(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	numbers := endpoints(t, s, "backend", "tracker")
	backend, tracker := numbers[0], numbers[1]
	sub := accept(t, s, submission("a", noon, direct(backend), later(tracker)))
	d := delivery(sub, 0)
	life, ref := place(t, sub.Receipt.ID)
	wantNoResend(t, s, d.ID, carom.ErrConflict)                                   // still in memory
	wantNoResend(t, s, sub.Receipt.ID.Delivery(1), carom.ErrConflict)             // still due
	wantNoResend(t, s, sub.Receipt.ID.Delivery(2), carom.ErrNotFound)             // no such endpoint
	wantNoResend(t, s, "dlv_x", carom.ErrInvalid)                                 // no id
	wantNoResend(t, s, carom.NewDeliveryID(life+1, ref, 0), carom.ErrNotFound)    // of another life
	wantNoResend(t, s, carom.NewDeliveryID(1, carom.Ref{}, 0), carom.ErrNotFound) // of another store
	record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	s.settle(t)

	s.advance(time.Hour)
	endpoint, err := s.Resend(t.Context(), d.ID)
	if err != nil || endpoint != backend {
		t.Fatalf("Resend = %d, %v, want %d", endpoint, err, backend)
	}
	wantNoResend(t, s, d.ID, carom.ErrConflict) // pending again
	got := claimDue(t, s, backend, s.now())
	if len(got) != 1 || got[0].ID != d.ID || got[0].Attempts != 1 || got[0].Step != 0 || !got[0].Since.Equal(s.now()) {
		t.Fatalf("after Resend %+v is due, want %s with one attempt, a fresh schedule and deadline", got, d.ID)
	}
	record(t, s, got[0], attempt(got[0], carom.Dead, s.now(), time.Time{}))
	s.settle(t)
	if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != carom.Dead || len(got.Attempts) != 2 {
		t.Errorf("delivery = %+v, want dead at the second attempt", got)
	}
	endpoints(t, s, "tracker")
	wantNoResend(t, s, d.ID, carom.ErrConflict) // its endpoint is deleted
}

func resendIsKept(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	backend := endpoints(t, s, "backend")[0]
	d := delivery(accept(t, s, submission("a", noon, direct(backend))), 0)
	record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	s.settle(t)
	s.advance(time.Hour)
	if _, err := s.Resend(t.Context(), d.ID); err != nil {
		t.Fatalf("Resend: %v", err)
	}
	for _, how := range []string{"at once", "after a crash", "after a restart"} {
		move(t, s, how)
		got := claimDue(t, s, backend, s.now())
		if len(got) != 1 || got[0].ID != d.ID || got[0].Attempts != 1 {
			t.Errorf("%s %v is due, want %s, which was asked for again", how, got, d.ID)
		}
	}
}
