package store

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
)

func TestAcceptStoresOnceAndSurvivesReopening(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	a := accept(t, s, submission("a", noon))
	wantCopy(t, s, submission("a", noon), a.Receipt.ID)
	stop()

	s, _ = open(t, dir, Options{})
	wantCopy(t, s, submission("a", noon), a.Receipt.ID)
	events, err := s.Events(t.Context(), carom.EventFilter{YMID: "a"})
	if err != nil || len(events) != 1 || events[0].ID != a.Receipt.ID {
		t.Fatalf("Events = %v, %v, want the one of %s", events, err, a.Receipt.ID)
	}
}

func TestAcceptKeepsEveryField(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	sub := submission("a", noon.Add(123456789*time.Nanosecond), direct(3), later(700))
	sub.Event.SubZoneID, sub.Event.RequestVar, sub.Event.ExternalID = "8790999", "bonus-btn", "order/7"
	sub.Event.Fields = []carom.Field{{Name: "country", Value: "de"}, {Name: "odd", Value: "a\x00b \xff 'quoted' 日本"}}
	sub.Event.Flags, sub.Event.Held = carom.FlagHeld|carom.FlagTest, "unknown_value"
	sub.Event.Received.Header = []carom.Field{{Name: "User-Agent", Value: "Monetag/1.0"}}
	sub.Event.Received.ContentType = "application/json"
	sub.Event.Received.Body = []byte(strings.Repeat("{\"ymid\":\"a\"}\x00\xff", 256<<10/14)) // as large as they come
	sub.Event.Received.Client = netip.MustParseAddr("2001:db8::7")
	accept(t, s, sub)

	want := *sub.Event
	want.Received.At = want.At // milliseconds
	story, err := s.Story(t.Context(), sub.Receipt.ID)
	if err != nil {
		t.Fatalf("Story: %v", err)
	}
	// JSON replaces what is not UTF-8; the door refuses such postbacks.
	want.Fields[1].Value = strings.ToValidUTF8(want.Fields[1].Value, "\ufffd")
	if diff := cmp.Diff(&want, story.Event, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("stored event (-want +got):\n%s", diff)
	}
	if len(story.Deliveries) != 2 || story.Deliveries[0].Endpoint != "#3" || story.Deliveries[1].Endpoint != "#700" {
		t.Errorf("deliveries = %+v, want one to #3 and one to #700", story.Deliveries)
	}
}

func TestAcceptTellsCopiesInOneBatch(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	var subs []*carom.Submission
	for i := range 700 { // more than one accept may bring at once
		subs = append(subs, submission(fmt.Sprint(i%7), noon))
	}
	s.Accept(subs...)
	for i, sub := range subs {
		first := subs[i%7].Receipt.ID
		if sub.Err != nil || sub.Receipt.Duplicate != (i >= 7) || sub.Receipt.ID != first {
			t.Fatalf("submission %d: err %v, receipt %+v, want duplicate %v of %s", i, sub.Err, sub.Receipt, i >= 7, first)
		}
	}
}

func TestAcceptTellsCopiesInParallel(t *testing.T) {
	const keys, copies = 50, 200
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 10})
	var mu sync.Mutex
	ids, accepted := map[string]carom.EventID{}, map[string]int{}
	var wg sync.WaitGroup
	for range copies {
		wg.Go(func() {
			for k := range keys {
				sub := submission(fmt.Sprint("key", k), noon)
				s.Accept(sub)
				mu.Lock()
				if sub.Err != nil {
					t.Errorf("Accept: %v", sub.Err)
				}
				if known := ids[sub.Event.YMID]; known != "" && known != sub.Receipt.ID {
					t.Errorf("%s is both %s and %s", sub.Event.YMID, known, sub.Receipt.ID)
				}
				ids[sub.Event.YMID] = sub.Receipt.ID
				if !sub.Receipt.Duplicate {
					accepted[sub.Event.YMID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for k, n := range accepted {
		if n != 1 {
			t.Errorf("%s was accepted %d times, want once", k, n)
		}
	}
	if len(accepted) != keys {
		t.Errorf("%d keys were accepted, want %d", len(accepted), keys)
	}
	if got := s.Stats().Events.Load(); got != keys {
		t.Errorf("Stats.Events = %d, want %d", got, keys)
	}
	if got := s.Stats().Duplicates.Load(); got != keys*(copies-1) {
		t.Errorf("Stats.Duplicates = %d, want %d", got, keys*(copies-1))
	}
}

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

func TestDedupeWindowCountsFromTheFirst(t *testing.T) {
	for _, where := range []string{"open bucket", "closed bucket", "sealed bucket", "reopened folder"} {
		t.Run(where, func(t *testing.T) {
			dir, c := t.TempDir(), newClock()
			opts := Options{BucketEvents: 10, Clock: c.now}
			if where == "open bucket" {
				opts.BucketEvents = 1000
			}
			s, stop := open(t, dir, opts)
			move := func() {
				if where == "open bucket" {
					return
				}
				if where == "closed bucket" {
					s.houseMu.Lock()
					defer s.houseMu.Unlock()
				}
				acceptSingly(t, s, c.now().String(), 12)
				if where == "sealed bucket" {
					s.seal()
				}
				if where == "reopened folder" {
					stop()
					s, stop = open(t, dir, opts)
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

func TestDedupeWhenTheClockJumpsBack(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 10, Clock: c.now})
	a := accept(t, s, repeating("a", noon))
	acceptSingly(t, s, "x", 12)
	c.set(noon.Add(-48 * time.Hour))
	wantCopy(t, s, repeating("a", c.now()), a.Receipt.ID)
	more := acceptSingly(t, s, "y", 12)
	wantCopy(t, s, repeating("a", c.now()), a.Receipt.ID)
	last := place(t, a.Receipt.ID)
	for _, sub := range more {
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

func TestCopiesAreCountedByKind(t *testing.T) {
	s, stop := open(t, t.TempDir(), Options{})
	a := accept(t, s, submission("a", noon))
	wantCopy(t, s, submission("a", noon.Add(59*time.Minute+59*time.Second)), a.Receipt.ID)
	wantCopy(t, s, submission("a", noon.Add(time.Hour)), a.Receipt.ID)
	wantCopy(t, s, submission("a", noon.Add(29*24*time.Hour)), a.Receipt.ID)
	for after, late := range map[time.Duration]bool{time.Minute: false, 2 * time.Hour: true} {
		other := submission("a", noon.Add(after))
		other.Key.Check = 7 // another amount or user
		wantCopy(t, s, other, a.Receipt.ID)
		if !other.Receipt.Conflict || other.Receipt.Late != late {
			t.Errorf("receipt of a copy with another amount after %s = %+v, want Conflict, Late %v", after, other.Receipt, late)
		}
	}
	held := submission("held", noon, later(1))
	held.Event.Held, held.Targets = "unknown_value", nil
	accept(t, s, held)
	wantCopy(t, s, submission("held", noon, later(1)), held.Receipt.ID) // a held one claims its key
	accept(t, s, submission("owed", noon, later(1)))
	want := map[string]int64{carom.OutcomeUnmatched: 1, carom.OutcomeDuplicate: 2, carom.OutcomeDuplicateLate: 3, carom.OutcomeConflict: 1,
		carom.OutcomeHeld: 1, carom.OutcomeAccepted: 1}
	if diff := cmp.Diff(want, outcomes(t, s)); diff != "" {
		t.Errorf("counts by outcome (-want +got):\n%s", diff)
	}
	stop()
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

func TestSecondKeyMakesCopiesToo(t *testing.T) {
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
