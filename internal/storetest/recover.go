package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"carom"
)

func crashLosesNothing(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 10})
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
			postpone(t, s, d, noon.Add(time.Hour))
		case 4:
			if err := s.Begin(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.settle(t)
	s.crash(t)
	life, _ := place(t, subs[0].Receipt.ID)
	if now, _ := place(t, accept(t, s, submission("after", noon)).Receipt.ID); now != life {
		t.Errorf("ids name the life %d after a crash, want %d as before", now, life)
	}
	now, soon, late := claimDue(t, s, 1, noon), claimDue(t, s, 1, noon.Add(time.Minute)), claimDue(t, s, 1, noon.Add(time.Hour))
	for _, part := range []struct {
		name     string
		list     []*carom.Delivery
		n        int
		attempts int
	}{{"in flight", now, 5, 0}, {"to be repeated", soon, 5, 1}, {"deferred", late, 5, 0}, {"of the other endpoint", claimDue(t, s, 2, noon), 25, 0}} {
		if len(part.list) != part.n {
			t.Errorf("%s: %d due, want %d", part.name, len(part.list), part.n)
		}
		for _, d := range part.list {
			if d.Attempts != part.attempts || !d.Since.Equal(noon) {
				t.Errorf("%s: %s has %d attempts and waits since %s, want %d and %s", part.name, d.Event.YMID, d.Attempts, d.Since, part.attempts, noon)
			}
		}
	}
	for i, sub := range subs {
		wantCopy(t, s, submission(sub.Event.YMID, noon), sub.Receipt.ID)
		want := []carom.DeliveryState{carom.Pending, carom.Delivered, carom.Pending, carom.Pending, carom.Dead}[i%5]
		if got := deliveryOf(t, s, sub.Receipt.ID, 0); got.State != want {
			t.Errorf("delivery of %s is %s after a crash, want %s", sub.Event.YMID, got.State, want)
		}
	}
}

// After a clean end nothing is handed out but what was still in somebody's hands.
func cleanEndLeavesLittle(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	subs := acceptMany(t, s, "a", 200, noon, direct(1))
	for _, sub := range subs[:199] {
		d := delivery(sub, 0)
		record(t, s, d, attempt(d, carom.Delivered, noon, noon))
	}
	s.restart(t)
	if got := claimDue(t, s, 1, noon); len(got) != 1 || got[0].ID != subs[199].Receipt.ID.Delivery(0) {
		t.Errorf("due after a clean end: %v, want the one in flight", ymids(got))
	}
}

// fate is what the test knows of a delivery that was acknowledged.
type fate struct {
	d       *carom.Delivery
	event   carom.EventID
	inHand  bool                  // the test holds d: in memory or claimed
	begun   bool                  // an attempt that must not be repeated has begun
	allowed []carom.DeliveryState // what it may be after a crash now; pending means due
}

// Whatever interleaving of accepts, outcomes and closing buckets a crash ends, and another one after it, each acknowledged
// delivery has ended as was recorded, is due, or was interrupted.
func crashAtAnyMoment(t *testing.T, open Opener) {
	seeds := 8
	if testing.Short() || race {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := fates{all: map[carom.DeliveryID]*fate{}, Rand: rand.New(rand.NewPCG(uint64(seed), 7))}
			f.world = begin(t, open, Options{BucketEvents: 10 + f.IntN(60)})
			f.crashAtAnyMoment(t)
		})
	}
}

// fates are all deliveries that were acknowledged, and those in hand.
type fates struct {
	*world
	*rand.Rand
	all   map[carom.DeliveryID]*fate
	hands []*fate
	n     int // events
}

// put accepts an event.
func (f *fates) put(t *testing.T, targets ...carom.Target) {
	t.Helper()
	f.n++
	sub := accept(t, f.world, submission(fmt.Sprint(f.n), f.tick(), targets...))
	for i, target := range targets {
		one := &fate{d: delivery(sub, i), event: sub.Receipt.ID, inHand: target.Direct, allowed: []carom.DeliveryState{carom.Pending}}
		f.all[one.d.ID] = one
		if one.inHand {
			f.hands = append(f.hands, one)
		}
	}
}

// let lets the hand at i go, with an outcome that is stored some time later.
func (f *fates) let(t *testing.T, i int) {
	t.Helper()
	one := f.hands[i]
	f.hands = slices.Delete(f.hands, i, i+1)
	state := []carom.DeliveryState{carom.Delivered, carom.Dead, carom.Expired, carom.Pending, carom.Pending}[f.IntN(5)]
	if state == carom.Pending && one.d.Ticket != 0 && f.IntN(2) == 0 {
		postpone(t, f.world, one.d, noon)
	} else {
		record(t, f.world, one.d, attempt(one.d, state, f.now(), f.now()))
	}
	one.inHand, one.begun = false, false
	one.allowed = append(one.allowed, state)
}

// settled waits for the outcomes, after which there is no doubt about them.
func (f *fates) settled(t *testing.T) {
	t.Helper()
	f.settle(t)
	for _, one := range f.all {
		one.allowed = one.allowed[len(one.allowed)-1:]
	}
}

func (f *fates) targets() (list []carom.Target) {
	for e := range f.IntN(5) {
		list = append(list, carom.Target{Endpoint: e + 1, Direct: f.IntN(3) > 0})
	}
	return list
}

// handOut claims what waits for one endpoint.
func (f *fates) handOut(t *testing.T) {
	t.Helper()
	list, _ := claim(t, f.world, carom.Claim{Endpoint: 1 + f.IntN(4), Limit: 1 + f.IntN(5), InOrder: true})
	for _, d := range list {
		one := f.all[d.ID]
		if one.inHand || one.allowed[0] != carom.Pending {
			t.Fatalf("%s was handed out, in hand %v, %s", d.ID, one.inHand, one.allowed)
		}
		one.d, one.inHand = d, true
		f.hands = append(f.hands, one)
	}
}

// crashed crashes the store, and compares what is there then with what was acknowledged.
func (f *fates) crashed(t *testing.T) {
	t.Helper()
	f.crash(t)
	f.hands = nil
	due := map[carom.DeliveryID]bool{}
	for e := 1; e <= 4; e++ {
		list := claimDue(t, f.world, e, f.now().Add(time.Hour))
		for _, d := range list {
			due[d.ID] = true
		}
		release(f.world, list)
	}
	stories := map[carom.EventID]*carom.Story{}
	for id, one := range f.all {
		if stories[one.event] == nil {
			story, err := f.Story(t.Context(), one.event)
			if err != nil {
				t.Fatalf("Story(%s), acknowledged before the crash: %v", one.event, err)
			}
			stories[one.event] = story
		}
		got := stories[one.event].Deliveries[one.d.Ordinal]
		if !slices.Contains(one.allowed, got.State) {
			t.Errorf("%s is %s after a crash, want one of %s", id, got.State, one.allowed)
		}
		if due[id] != (got.State == carom.Pending) {
			t.Errorf("%s is %s after a crash and due %v: it would wait for ever, or be sent again", id, got.State, due[id])
		}
		one.inHand, one.begun, one.allowed = false, false, []carom.DeliveryState{got.State}
	}
}

func (f *fates) crashAtAnyMoment(t *testing.T) {
	for range 250 {
		switch op := f.IntN(40); {
		case op < 16:
			f.put(t, f.targets()...)
		case op < 32 && len(f.hands) > 0:
			i := f.IntN(len(f.hands))
			if f.IntN(2) == 0 {
				i = len(f.hands) - 1 // leaves old ones behind
			}
			one := f.hands[i]
			if f.IntN(5) > 0 || one.begun {
				f.let(t, i)
				continue
			}
			if err := f.Begin(t.Context(), one.d); err != nil {
				t.Fatalf("Begin: %v", err)
			}
			one.begun, one.allowed = true, []carom.DeliveryState{carom.Dead}
		case op < 35:
			f.settled(t)
			f.handOut(t)
		case op < 37:
			f.settled(t)
		case op < 39: // a lull, then new work
			for len(f.hands) > 0 {
				f.let(t, 0)
			}
			if f.IntN(2) == 0 {
				f.settled(t)
			}
			f.put(t, direct(1), direct(2))
			if f.IntN(2) == 0 {
				f.put(t, direct(3))
			}
			if f.IntN(3) == 0 {
				f.crashed(t)
			}
		case f.IntN(4) == 0:
			f.crashed(t)
		}
	}
	f.settled(t)
	f.crashed(t)
}
