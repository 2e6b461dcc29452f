package store

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"carom"
)

// A bucket's keys are in a map while it is open, in the same map while it is being sealed, then in a file, which a restart
// maps again. Copies are told in each of these places.
func TestAcceptTellsCopiesOfClosedBuckets(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 10}
	s, stop := open(t, dir, opts)
	s.houseMu.Lock() // keeps closed buckets from being sealed
	subs := acceptSingly(t, s, "a", 35)
	tell := func(where string) {
		t.Helper()
		for _, sub := range subs {
			wantCopy(t, s, submission(sub.Event.YMID, noon), sub.Receipt.ID)
		}
		if t.Failed() {
			t.Fatalf("while the buckets were %s", where)
		}
	}
	tell("waiting to be sealed")
	s.houseMu.Unlock()
	s.seal()
	for _, b := range *s.closed.Load() {
		if b.index == nil || b.keys != nil {
			t.Errorf("bucket %d: index %v, keys %v after sealing, want only an index", b.number, b.index != nil, b.keys != nil)
		}
	}
	tell("sealed")
	stop()
	s, stop = open(t, dir, opts)
	if got := s.Recovered(); got.Rebuilt != 0 || got.Buckets != 4 || got.Events != 5 {
		t.Errorf("Recovered = %+v, want 4 buckets, 5 events in the open one, nothing rebuilt", got)
	}
	tell("mapped again")
	stop()
}

// acceptSingly stores n events in commits of their own, so that buckets close exactly when they are full.
func acceptSingly(t testing.TB, s *Store, prefix string, n int, targets ...carom.Target) []*carom.Submission {
	t.Helper()
	subs := make([]*carom.Submission, n)
	for i := range subs {
		subs[i] = accept(t, s, submission(fmt.Sprint(prefix, i), noon, targets...))
	}
	return subs
}

// The window counts from the first also where its key lies in a map that waits to be sealed, and in a file.
func TestDedupeWindowOfClosedBuckets(t *testing.T) {
	for _, where := range []string{"closed bucket", "sealed bucket"} {
		t.Run(where, func(t *testing.T) {
			c := newClock()
			s, _ := open(t, t.TempDir(), Options{BucketEvents: 10, Clock: c.now})
			move := func() {
				if where == "closed bucket" {
					s.houseMu.Lock()
					defer s.houseMu.Unlock()
				}
				acceptSingly(t, s, c.now().String(), 12)
				if where == "sealed bucket" {
					s.seal()
				}
			}
			a := accept(t, s, repeating("a", noon))
			move()
			wantCopy(t, s, repeating("a", noon.Add(5*time.Minute)), a.Receipt.ID)
			// That copy does not lengthen the window.
			wantCopy(t, s, repeating("a", noon.Add(9*time.Minute+59*time.Second)), a.Receipt.ID)
			c.advance(10 * time.Minute)
			b := accept(t, s, repeating("a", noon.Add(10*time.Minute)))
			move()
			wantCopy(t, s, repeating("a", noon.Add(19*time.Minute+59*time.Second)), b.Receipt.ID)
			accept(t, s, repeating("a", noon.Add(20*time.Minute)))
		})
	}
}

// Places go on upwards when the clock goes back: the order of events is that of their acceptance.
func TestPlacesWhenTheClockJumpsBack(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 10, Clock: c.now})
	a := accept(t, s, repeating("a", noon))
	acceptSingly(t, s, "x", 12)
	c.set(noon.Add(-48 * time.Hour))
	last := place(t, a.Receipt.ID)
	for _, sub := range acceptSingly(t, s, "y", 12) {
		if p := place(t, sub.Receipt.ID); p.Uint64() <= last.Uint64() {
			t.Fatalf("after the clock jumped back, the place %+v is not behind %+v", p, last)
		} else {
			last = p
		}
	}
}

func place(t testing.TB, id carom.EventID) carom.Ref {
	t.Helper()
	_, ref, err := id.Place()
	if err != nil {
		t.Fatalf("Place: %v", err)
	}
	return ref
}

// outcomes returns the counts of received postbacks by outcome.
func outcomes(t testing.TB, s *Store) map[string]int64 {
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

// signed makes an event whose signature vouches for it under a second key.
func signed(ymid, signature string, at time.Time) *carom.Submission {
	sub := submission(ymid, at)
	sum := sha256.Sum256([]byte("signature " + signature))
	sub.Key.Also = [16]byte(sum[:16])
	sub.Event.TelegramID, sub.Event.UserID = "", "user of "+ymid
	return sub
}

func TestSecondKeyOfClosedBuckets(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 3, Clock: newClock().now}
	s, stop := open(t, dir, opts)
	first := accept(t, s, signed("a", "s1", noon))
	check := func(when string) {
		t.Helper()
		for _, sub := range []*carom.Submission{signed("a", "s2", noon), signed("forged", "s1", noon), signed("a", "s1", noon)} {
			s.Accept(sub)
			if sub.Err != nil || !sub.Receipt.Duplicate || sub.Receipt.ID != first.Receipt.ID {
				t.Errorf("%s: %s: err %v, receipt %+v, want a duplicate of %s", when, sub.Event.YMID, sub.Err, sub.Receipt, first.Receipt.ID)
			}
		}
	}
	check("in the open bucket")
	stop()
	s, stop = open(t, dir, opts)
	check("after a restart")
	for i := range 4 {
		accept(t, s, signed("b"+strconv.Itoa(i), "t"+strconv.Itoa(i), noon))
	}
	s.seal()
	check("in a closed bucket")
	stop()
	s, _ = open(t, dir, opts)
	check("in a closed bucket, after a restart")
	events, err := s.Events(t.Context(), carom.EventFilter{User: "user of a"})
	if err != nil || len(events) != 1 || events[0].ID != first.Receipt.ID || events[0].UserID != "user of a" {
		t.Errorf("events of the user: %v, %v, want %s", events, err, first.Receipt.ID)
	}
}

func TestStatsCountEventsAndCopies(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	var wg sync.WaitGroup
	const copies = 20
	for range copies {
		wg.Go(func() {
			sub := submission("a", noon)
			if s.Accept(sub); sub.Err != nil {
				t.Errorf("Accept: %v", sub.Err)
			}
		})
	}
	wg.Wait()
	if events, duplicates := s.Stats().Events.Load(), s.Stats().Duplicates.Load(); events != 1 || duplicates != copies-1 {
		t.Errorf("Stats: %d events, %d duplicates, want 1 and %d", events, duplicates, copies-1)
	}
}
