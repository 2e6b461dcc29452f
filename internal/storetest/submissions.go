package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// session is the window of a source whose ymid repeats.
const session = carom.DefaultRepeatWindow

// submission makes an event of a source whose ymid is unique: its dedupe key is its ymid.
func submission(ymid string, at time.Time, targets ...carom.Target) *carom.Submission {
	sum := sha256.Sum256([]byte(ymid))
	return &carom.Submission{
		Event: &carom.Event{
			App: "app", Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: ymid, ZoneID: "1",
			TelegramID: "42", Price: carom.Price{Nanos: 2_300_000, Set: true}, Strength: carom.Secret,
			Received: carom.Received{At: at, Method: "GET", Path: "/in/app/monetag/***", RawQuery: "ymid=" + ymid},
		},
		Key:     carom.DedupeKey{Sum: [16]byte(sum[:16]), Window: carom.DefaultDedupeWindow},
		Targets: targets,
	}
}

// repeating makes an event of a source whose ymid repeats, so that its key counts for ten minutes only.
func repeating(ymid string, at time.Time) *carom.Submission {
	sub := submission(ymid, at)
	sub.Key.Window = session
	return sub
}

// accept stores sub and fails the test unless it was a new event.
func accept(t testing.TB, s *world, sub *carom.Submission) *carom.Submission {
	t.Helper()
	acceptAll(t, s, sub)
	return sub
}

// acceptAll stores subs in one call, as new events.
func acceptAll(t testing.TB, s *world, subs ...*carom.Submission) {
	t.Helper()
	s.Accept(subs...)
	for _, sub := range subs {
		if sub.Err != nil || sub.Receipt.Duplicate {
			t.Fatalf("Accept(%s): err %v, receipt %+v, want a new event", sub.Event.YMID, sub.Err, sub.Receipt)
		}
	}
}

// acceptMany stores n events of that time whose ymids begin with prefix in one call.
func acceptMany(t testing.TB, s *world, prefix string, n int, at time.Time, targets ...carom.Target) []*carom.Submission {
	t.Helper()
	subs := make([]*carom.Submission, n)
	for i := range subs {
		subs[i] = submission(prefix+strconv.Itoa(i), at, targets...)
	}
	acceptAll(t, s, subs...)
	return subs
}

// acceptSingly stores n events of now, in a call each.
func acceptSingly(t testing.TB, s *world, prefix string, n int, targets ...carom.Target) []*carom.Submission {
	t.Helper()
	subs := make([]*carom.Submission, n)
	for i := range subs {
		subs[i] = accept(t, s, submission(fmt.Sprint(prefix, i), s.now(), targets...))
	}
	return subs
}

// wantCopy stores sub and fails the test unless it was a copy of first.
func wantCopy(t testing.TB, s *world, sub *carom.Submission, first carom.EventID) {
	t.Helper()
	s.Accept(sub)
	if sub.Err != nil || !sub.Receipt.Duplicate || sub.Receipt.ID != first {
		t.Fatalf("Accept(%s): err %v, receipt %+v, want a copy of %s", sub.Event.YMID, sub.Err, sub.Receipt, first)
	}
}

func wantUnavailable(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("%s: %v, want carom.ErrUnavailable", what, err)
	}
}

// direct and later are the two ways in which an event can be owed to an endpoint.
func direct(endpoint int) carom.Target { return carom.Target{Endpoint: endpoint, Direct: true} }
func later(endpoint int) carom.Target  { return carom.Target{Endpoint: endpoint} }

// delivery is the sub's delivery to the target at ordinal, as the engine makes it from a receipt.
func delivery(sub *carom.Submission, ordinal int) *carom.Delivery {
	d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(ordinal), Event: sub.Event, Endpoint: sub.Targets[ordinal].Endpoint,
		Ordinal: ordinal, Since: sub.Event.At}
	if sub.Targets[ordinal].Direct {
		d.Ticket = sub.Receipt.Ticket
	}
	return d
}

// attempt is the outcome of d's next attempt: due matters when state is Pending.
func attempt(d *carom.Delivery, state carom.DeliveryState, at, due time.Time) *carom.Attempt {
	return &carom.Attempt{Delivery: d.ID, Number: d.Attempts + 1, At: at, Took: 1500 * time.Microsecond, State: state, Due: due,
		Reason: "status 200", Method: "GET", URL: "https://publisher.example/postback", Status: 200, Answer: "ok"}
}

func record(t testing.TB, s *world, d *carom.Delivery, a *carom.Attempt) {
	t.Helper()
	if err := s.Record(d, a); err != nil {
		t.Fatalf("Record(%s, %s): %v", d.ID, a.State, err)
	}
}

func postpone(t testing.TB, s *world, d *carom.Delivery, due time.Time) {
	t.Helper()
	if err := s.Defer(d, due); err != nil {
		t.Fatalf("Defer(%s): %v", d.ID, err)
	}
}

// place says in which life an id was given out, and where its event lies.
func place(t testing.TB, id carom.EventID) (carom.Incarnation, carom.Ref) {
	t.Helper()
	life, ref, err := id.Place()
	if err != nil {
		t.Fatalf("Place(%s): %v", id, err)
	}
	return life, ref
}

// setObjects changes the objects that are in force and returns what they are then.
func setObjects(t testing.TB, s *world, change func(*carom.Objects)) carom.Objects {
	t.Helper()
	o, err := s.Objects(t.Context())
	if err != nil {
		t.Fatalf("Objects: %v", err)
	}
	change(&o)
	if o, err = s.SetObjects(t.Context(), o); err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	return o
}

// endpoints puts endpoints of the app into force, in the place of all others, and returns their numbers.
func endpoints(t testing.TB, s *world, names ...string) []int {
	t.Helper()
	o := setObjects(t, s, func(o *carom.Objects) {
		o.Endpoints = nil
		for _, name := range names {
			o.Endpoints = append(o.Endpoints, carom.Endpoint{App: "app", Name: name})
		}
	})
	numbers := make([]int, len(names))
	for i, name := range names {
		for _, e := range o.Endpoints {
			if e.Name == name {
				numbers[i] = e.No
			}
		}
	}
	return numbers
}

// listDiff compares lists; those without elements are equal.
func listDiff[T any](want, got []T) string {
	if len(want)+len(got) == 0 {
		return ""
	}
	return cmp.Diff(want, got)
}
