package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"carom"
)

// What a start finds is said.
func TestRecoveredAfterACrash(t *testing.T) {
	c := newClock()
	opts := Options{Clock: c.now, BucketEvents: 10}
	s, _ := open(t, t.TempDir(), opts)
	subs := acceptSingly(t, s, "a", 25, direct(1), later(2))
	for i, sub := range subs {
		d := delivery(sub, 0)
		switch i % 5 {
		case 0: // in flight: no outcome yet
		case 1:
			record(t, s, d, attempt(d, carom.Delivered, noon, noon))
		case 2:
			record(t, s, d, attempt(d, carom.Pending, noon, noon.Add(time.Minute)))
		case 3:
			if err := s.Defer(d, noon.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		case 4:
			if err := s.Begin(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	settled(t, s)
	r, _ := open(t, crash(t, s), opts)
	if got := r.Recovered(); got.Pending != 5 || got.Interrupted != 5 || got.Events != 5 || got.Buckets != 3 {
		t.Errorf("Recovered = %+v, want 5 pending, 5 interrupted, 5 events in the open one of 3 buckets", got)
	}
	if r.Incarnation() != s.Incarnation() {
		t.Errorf("incarnation %d after a crash, want %d as before", r.Incarnation(), s.Incarnation())
	}
}

// A cleanly ended store looks at nothing when it starts again, but for what was still in somebody's hands.
func TestCleanEndLeavesLittleToRecover(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	subs := acceptMany(t, s, "a", 200, noon, direct(1))
	for i, sub := range subs[:199] {
		d := delivery(sub, 0)
		if i == 7 {
			if err := s.Begin(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		record(t, s, d, attempt(d, carom.Delivered, noon, noon))
	}
	settled(t, s)
	stop()
	s, stop = open(t, dir, Options{})
	if got := s.Recovered(); got.Pending != 1 || got.Interrupted != 0 {
		t.Errorf("%d pending and %d interrupted after a clean end, want the one in flight", got.Pending, got.Interrupted)
	}
	mark := carom.RefOf(s.storedMark)
	stop()
	if mark.Bucket != 1 || mark.Seq != 201 {
		t.Errorf("the low-water mark is %+v after recovery, want the next event", mark)
	}
}

// A mark that nothing waits at does not hold up the next start.
func TestMarkWaitsForNothingWhenAllHasEnded(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 7, Clock: newClock().now})
	for i, sub := range acceptSingly(t, s, "a", 40, direct(1), direct(2)) {
		first, second := delivery(sub, 0), delivery(sub, 1)
		switch i % 3 {
		case 0:
			record(t, s, first, attempt(first, carom.Delivered, noon, noon))
		case 1:
			record(t, s, first, attempt(first, carom.Pending, noon, noon))
		case 2:
			if err := s.Begin(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			record(t, s, first, attempt(first, carom.Dead, noon, noon))
		}
		if err := s.Defer(second, noon); err != nil {
			t.Fatal(err)
		}
	}
	settled(t, s)
	if _, waits := s.mark.Low(); waits {
		t.Error("the low-water mark still waits for an event, though all deliveries have ended or are in the due table")
	}
}

// eventOf says which event a delivery is of, and its ordinal there.
func eventOf(t testing.TB, s *Store, id carom.DeliveryID) (carom.EventID, int) {
	t.Helper()
	_, ref, ordinal, err := id.Place()
	if err != nil {
		t.Fatalf("Place(%s): %v", id, err)
	}
	return carom.NewEventID(s.inc, ref), ordinal
}

// fate is what the test knows of a delivery that was acknowledged.
type fate struct {
	d       *carom.Delivery
	inHand  bool                  // the test holds d: in memory or claimed
	begun   bool                  // an attempt that must not be repeated has begun
	allowed []carom.DeliveryState // what it may be after a crash now; pending means due
}

// Whatever interleaving of accepts, outcomes and closing buckets a crash ends, each acknowledged delivery has ended as was
// recorded, is due, or was interrupted: the low-water mark never passes one that lives in memory only.
func TestCrashAtAnyPoint(t *testing.T) {
	seeds := 8
	if testing.Short() || race {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			crashAtAnyPoint(t, rand.New(rand.NewPCG(uint64(seed), 7)))
		})
	}
}

func crashAtAnyPoint(t *testing.T, rnd *rand.Rand) {
	opts := Options{BucketEvents: 10 + rnd.IntN(60), markEvery: []int{1, 3, 0}[rnd.IntN(3)]}
	s, _ := open(t, t.TempDir(), opts)
	fates := map[carom.DeliveryID]*fate{}
	var hands []*fate // those in hand
	events := 0
	put := func(targets ...carom.Target) {
		events++
		sub := accept(t, s, submission(fmt.Sprint(events), time.Now(), targets...))
		for i, target := range targets {
			f := &fate{d: delivery(sub, i), inHand: target.Direct, allowed: []carom.DeliveryState{carom.Pending}}
			fates[f.d.ID] = f
			if f.inHand {
				hands = append(hands, f)
			}
		}
	}
	begin := func(f *fate) {
		if err := s.Begin(t.Context(), f.d); err != nil {
			t.Fatalf("Begin: %v", err)
		}
		f.begun, f.allowed = true, []carom.DeliveryState{carom.Dead}
	}
	// settle lets the hand at i go, with an outcome that the committer stores when it comes to it.
	settle := func(i int) {
		f := hands[i]
		hands = slices.Delete(hands, i, i+1)
		state := []carom.DeliveryState{carom.Delivered, carom.Dead, carom.Expired, carom.Pending, carom.Pending}[rnd.IntN(5)]
		if state == carom.Pending && f.d.Ticket != 0 && rnd.IntN(2) == 0 {
			if err := s.Defer(f.d, noon); err != nil {
				t.Fatalf("Defer: %v", err)
			}
		} else {
			record(t, s, f.d, attempt(f.d, state, time.Now(), time.Now()))
		}
		f.inHand, f.begun = false, false
		f.allowed = append(f.allowed, state)
	}
	sync := func() {
		settled(t, s)
		for _, f := range fates {
			f.allowed = f.allowed[len(f.allowed)-1:]
		}
	}
	targets := func() (list []carom.Target) {
		for e := range rnd.IntN(4) {
			list = append(list, carom.Target{Endpoint: e + 1, Direct: rnd.IntN(3) > 0})
		}
		return list
	}
	for range 250 {
		switch op := rnd.IntN(40); {
		case op < 16:
			put(targets()...)
		case op < 32 && len(hands) > 0:
			i := rnd.IntN(len(hands))
			if rnd.IntN(2) == 0 {
				i = len(hands) - 1 // leaves old ones behind
			}
			if rnd.IntN(5) == 0 && !hands[i].begun {
				begin(hands[i])
			} else {
				settle(i)
			}
		case op < 35:
			sync()
			list, _, err := s.Claim(t.Context(), carom.Claim{Endpoint: 1 + rnd.IntN(4), Limit: 1 + rnd.IntN(5), InOrder: true})
			if err != nil {
				t.Fatalf("Claim: %v", err)
			}
			for _, d := range list {
				f := fates[d.ID]
				if f.inHand || f.allowed[0] != carom.Pending {
					t.Fatalf("%s was handed out, in hand %v, %s", d.ID, f.inHand, f.allowed)
				}
				f.d, f.inHand = d, true
				hands = append(hands, f)
			}
		case op < 37:
			sync()
		case op < 39: // a lull, in which the mark catches up, then new work
			for len(hands) > 0 {
				settle(0)
			}
			if rnd.IntN(2) == 0 {
				sync()
			}
			put(direct(1), direct(2))
			if rnd.IntN(2) == 0 {
				put(direct(3))
			}
			if rnd.IntN(3) == 0 {
				checkAfterCrash(t, crash(t, s), opts, fates)
			}
		case rnd.IntN(4) == 0:
			checkAfterCrash(t, crash(t, s), opts, fates)
		}
	}
	sync()
	checkAfterCrash(t, crash(t, s), opts, fates)
}

func checkAfterCrash(t *testing.T, dir string, opts Options, fates map[carom.DeliveryID]*fate) {
	t.Helper()
	s, stop := open(t, dir, opts)
	defer stop()
	due := map[carom.DeliveryID]bool{}
	for e := 1; e <= 4; e++ {
		for _, d := range claimDue(t, s, e, time.Now().Add(time.Hour)) {
			due[d.ID] = true
		}
	}
	stories := map[carom.EventID]*carom.Story{}
	for id, f := range fates {
		event, ordinal := eventOf(t, s, id)
		if stories[event] == nil {
			story, err := s.Story(t.Context(), event)
			if err != nil {
				t.Fatalf("Story(%s), acknowledged before the crash: %v", event, err)
			}
			stories[event] = story
		}
		got := stories[event].Deliveries[ordinal]
		if !slices.Contains(f.allowed, got.State) {
			t.Errorf("%s is %s after a crash, want one of %s", id, got.State, f.allowed)
		}
		if due[id] != (got.State == carom.Pending) {
			t.Errorf("%s is %s after a crash and due %v: it would wait for ever, or be sent again", id, got.State, due[id])
		}
	}
}

func TestLostOrDamagedIndexIsBuiltAgain(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 10}
	s, stop := open(t, dir, opts)
	subs := acceptSingly(t, s, "a", 25)
	s.seal()
	stop()
	path := indexPath(dir, 1)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(indexPath(dir, 2))
	if err != nil {
		t.Fatal(err)
	}
	header := binary.Size(indexHeader{})
	filter := int(binary.LittleEndian.Uint64(whole[16:]))
	cut := func(n int) []byte { return whole[:n] }
	flip := func(i int) []byte {
		b := slices.Clone(whole)
		b[i] ^= 0x10
		return b
	}
	for name, content := range map[string][]byte{
		"missing": nil, "empty": {}, "within the header": cut(header - 1), "after the header": cut(header),
		"within the filter": cut(header + filter/2), "after the filter": cut(header + filter), "after the keys": cut(header + filter + 10*firstBytes),
		"one search section short": cut(len(whole) - 8*10), "one byte short": cut(len(whole) - 1), "one byte long": append(slices.Clone(whole), 0),
		"another magic": flip(0), "another version": flip(8), "another bucket's number": flip(12), "another length of the filter": flip(16),
		"a bit of the sum": flip(24), "another number of keys": flip(32), "another number of searches": flip(40), "a bit of the filter": flip(header + filter/2),
		"that of another bucket": foreign,
	} {
		t.Run(name, func(t *testing.T) {
			if content == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, content, 0o600)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			s, stop := open(t, dir, opts)
			if got := s.Recovered().Rebuilt; got != 1 {
				t.Errorf("Recovered.Rebuilt = %d, want 1", got)
			}
			for _, sub := range subs {
				wantCopy(t, s, submission(sub.Event.YMID, noon), sub.Receipt.ID)
			}
			if got := pages(t, s, carom.EventFilter{YMID: "a3", Limit: 5}); len(got) != 1 || got[0] != subs[3].Receipt.ID {
				t.Errorf("search for a3 = %v, want %s", got, subs[3].Receipt.ID)
			}
			stop()
			if got, err := os.ReadFile(path); err != nil || len(got) != len(whole) {
				t.Errorf("the index built again has %d bytes, %v, want %d", len(got), err, len(whole))
			}
		})
	}
}

// Where the disk has no room for the index, the keys stay in memory until it has.
func TestStartWithoutRoomForAnIndex(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BucketEvents: 10}
	s, stop := open(t, dir, opts)
	subs := acceptSingly(t, s, "a", 15)
	s.seal()
	stop()
	if err := os.Remove(indexPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	obstacle := indexPath(dir, 1) + ".tmp" // a folder in the place of the new file
	if err := os.MkdirAll(obstacle+"/x", 0o700); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir, opts)
	wantCopy(t, s, submission("a3", noon), subs[3].Receipt.ID)
	if got := pages(t, s, carom.EventFilter{YMID: "a3", Limit: 5}); len(got) != 1 {
		t.Errorf("search for a3 found %d, want 1", len(got))
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	s.seal()
	if _, err := os.Stat(indexPath(dir, 1)); err != nil {
		t.Errorf("the index, once there is room: %v", err)
	}
}
