package storetest

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// move brings a store to where the events of before lie elsewhere: behind many others, or read again from what is stored.
func move(t testing.TB, s *world, how string) {
	t.Helper()
	switch how {
	case "behind others":
		acceptSingly(t, s, s.tick().String(), 25)
	case "after a restart":
		s.restart(t)
	case "after a crash":
		s.crash(t)
	case "behind others, after a restart":
		acceptSingly(t, s, s.tick().String(), 12)
		s.restart(t)
	}
}

// places are where [move] brings a store.
var places = []string{"at once", "after a restart", "after a crash", "behind others", "behind others, after a restart"}

func copiesOfLongAgo(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 10})
	subs := acceptSingly(t, s, "a", 35)
	for _, how := range places {
		move(t, s, how)
		for _, sub := range subs {
			wantCopy(t, s, submission(sub.Event.YMID, noon), sub.Receipt.ID)
		}
	}
}

func windowCountsFromTheFirst(t *testing.T, open Opener) {
	for _, how := range places {
		t.Run(how, func(t *testing.T) {
			s := begin(t, open, Options{BucketEvents: 10})
			a := accept(t, s, repeating("a", noon))
			move(t, s, how)
			wantCopy(t, s, repeating("a", noon.Add(5*time.Minute)), a.Receipt.ID)
			// That copy does not lengthen the window.
			wantCopy(t, s, repeating("a", noon.Add(9*time.Minute+59*time.Second)), a.Receipt.ID)
			s.advance(10 * time.Minute)
			b := accept(t, s, repeating("a", noon.Add(10*time.Minute)))
			move(t, s, how)
			wantCopy(t, s, repeating("a", noon.Add(19*time.Minute+59*time.Second)), b.Receipt.ID)
			accept(t, s, repeating("a", noon.Add(20*time.Minute)))
		})
	}
}

func copiesWhenTheClockJumpsBack(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 10})
	a := accept(t, s, repeating("a", noon))
	ids := map[carom.EventID]bool{a.Receipt.ID: true}
	note := func(subs []*carom.Submission) {
		t.Helper()
		for _, sub := range subs {
			if ids[sub.Receipt.ID] {
				t.Errorf("%s is given out twice", sub.Receipt.ID)
			}
			ids[sub.Receipt.ID] = true
		}
	}
	note(acceptSingly(t, s, "x", 12))
	s.set(noon.Add(-2 * day))
	wantCopy(t, s, repeating("a", s.now()), a.Receipt.ID)
	note(acceptSingly(t, s, "y", 12))
	wantCopy(t, s, repeating("a", s.now()), a.Receipt.ID)
	s.restart(t)
	wantCopy(t, s, repeating("a", s.now()), a.Receipt.ID)
	note(acceptSingly(t, s, "z", 12))
}

func copiesAreCountedByKind(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	a := accept(t, s, submission("a", noon))
	wantCopy(t, s, submission("a", noon.Add(59*time.Minute+59*time.Second)), a.Receipt.ID)
	wantCopy(t, s, submission("a", noon.Add(time.Hour)), a.Receipt.ID)
	wantCopy(t, s, submission("a", noon.Add(29*day)), a.Receipt.ID)
	for after, late := range map[time.Duration]bool{time.Minute: false, 2 * time.Hour: true} {
		other := submission("a", noon.Add(after))
		other.Key.Check = 7 // another amount or user
		wantCopy(t, s, other, a.Receipt.ID)
		if !other.Receipt.Conflict || other.Receipt.Late != late {
			t.Errorf("receipt of a copy with another amount after %s = %+v, want Conflict, Late %v", after, other.Receipt, late)
		}
	}
	held := submission("held", noon)
	held.Event.Held = "unknown_value"
	accept(t, s, held)
	wantCopy(t, s, submission("held", noon, later(1)), held.Receipt.ID) // a held one claims its key
	accept(t, s, submission("owed", noon, later(1)))
	want := map[string]int64{carom.OutcomeUnmatched: 1, carom.OutcomeDuplicate: 2, carom.OutcomeDuplicateLate: 3, carom.OutcomeConflict: 1,
		carom.OutcomeHeld: 1, carom.OutcomeAccepted: 1}
	if diff := cmp.Diff(want, outcomes(t, s)); diff != "" {
		t.Errorf("counts by outcome (-want +got):\n%s", diff)
	}
}

// signed makes an event whose signature vouches for it under a second key.
func signed(ymid, signature string, at time.Time) *carom.Submission {
	sub := submission(ymid, at)
	sum := sha256.Sum256([]byte("signature " + signature))
	sub.Key.Also = [16]byte(sum[:16])
	sub.Event.TelegramID, sub.Event.UserID = "", "user of "+ymid
	return sub
}

func secondKey(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 3})
	first := accept(t, s, signed("a", "s1", noon))
	for n, how := range places {
		move(t, s, how)
		for _, sub := range []*carom.Submission{signed("a", "s2", noon), signed("forged", "s1", noon), signed("a", "s1", noon)} {
			s.Accept(sub)
			if sub.Err != nil || !sub.Receipt.Duplicate || sub.Receipt.ID != first.Receipt.ID {
				t.Errorf("%s: %s: err %v, receipt %+v, want a duplicate of %s", how, sub.Event.YMID, sub.Err, sub.Receipt, first.Receipt.ID)
			}
		}
		accept(t, s, signed("b"+strconv.Itoa(n), "t"+strconv.Itoa(n), noon))
		s.advance(time.Second)
	}
	events, err := s.Events(t.Context(), carom.EventFilter{User: "user of a"})
	if err != nil || len(events) != 1 || events[0].ID != first.Receipt.ID || events[0].UserID != "user of a" {
		t.Errorf("events of the user: %v, %v, want %s", events, err, first.Receipt.ID)
	}
}
