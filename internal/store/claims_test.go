package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"carom"
)

// Many deliveries fail and succeed at random, each endpoint's claims running beside its outcomes: no delivery is in two
// hands at a time, and each ends exactly once.
func TestClaimsBesideOutcomes(t *testing.T) {
	const endpoints, events, workers = 3, 150, 4
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 20})
	var mu sync.Mutex // guards hands and ended
	hands, ended := map[carom.DeliveryID]bool{}, map[carom.DeliveryID]int{}
	total := endpoints * events

	work := func(d *carom.Delivery, rnd *rand.Rand) {
		mu.Lock()
		if hands[d.ID] {
			t.Errorf("%s is in two hands", d.ID)
		}
		hands[d.ID] = true
		mu.Unlock()
		let := func(end bool) {
			mu.Lock()
			delete(hands, d.ID)
			if end {
				ended[d.ID]++
			}
			mu.Unlock()
		}
		if rnd.IntN(4) == 0 {
			if err := s.Begin(t.Context(), d); err != nil {
				t.Errorf("Begin: %v", err)
			}
		}
		now := time.Now()
		switch n := rnd.IntN(10); {
		case n < 4:
			let(true)
			record(t, s, d, attempt(d, carom.Delivered, now, time.Time{}))
		case n < 5:
			let(true)
			record(t, s, d, attempt(d, carom.Dead, now, time.Time{}))
		case n < 8 || d.Ticket != 0:
			let(false)
			record(t, s, d, attempt(d, carom.Pending, now, now))
		default:
			let(false)
			s.Release(d)
		}
	}
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ended) == total
	}

	var wg sync.WaitGroup
	queues := make([]chan *carom.Delivery, endpoints)
	for e := range endpoints {
		queues[e] = make(chan *carom.Delivery, total)
		for w := range workers {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(e), uint64(w)))
				for d := range queues[e] {
					work(d, rnd)
				}
			})
		}
		wg.Go(func() { // the one who claims for endpoint e
			defer close(queues[e])
			rnd := rand.New(rand.NewPCG(uint64(e), 99))
			for i := range events {
				sub := accept(t, s, submission(fmt.Sprint(e, " ", i), time.Now(), carom.Target{Endpoint: e, Direct: rnd.IntN(2) == 0}))
				if sub.Targets[0].Direct {
					queues[e] <- delivery(sub, 0)
				}
			}
			var cursor uint64
			for !done() && !t.Failed() {
				c := carom.Claim{Endpoint: e, Limit: 1 + rnd.IntN(20), DueBy: time.Now()}
				if rnd.IntN(2) == 0 {
					c = carom.Claim{Endpoint: e, Limit: c.Limit, InOrder: true, Cursor: cursor}
				}
				list, next, err := s.Claim(t.Context(), c)
				if err != nil {
					t.Errorf("Claim: %v", err)
					return
				}
				if cursor = next; len(list) == 0 {
					cursor = 0
					settled(t, s)
				}
				for _, d := range list {
					queues[e] <- d
				}
			}
		})
	}
	wg.Wait()
	settled(t, s)
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%s ended %d times", id, n)
		}
		event, ordinal := eventOf(t, s, id)
		got := deliveryOf(t, s, event, ordinal)
		final := slices.IndexFunc(got.Attempts, func(a carom.Attempt) bool { return a.State != carom.Pending })
		if got.State == carom.Pending || final != len(got.Attempts)-1 {
			t.Errorf("%s is %s with %d attempts, the %d. of them final", id, got.State, len(got.Attempts), final+1)
		}
		for i, a := range got.Attempts {
			if a.Number != i+1 {
				t.Errorf("%s: attempt %d has number %d", id, i+1, a.Number)
			}
		}
	}
	if got, err := s.Backlogs(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("Backlogs = %+v, %v, want none", got, err)
	}
	if _, waits := s.mark.low(); waits {
		t.Error("the low-water mark still waits for an event, though all deliveries have ended")
	}
}

func eventOf(t testing.TB, s *Store, id carom.DeliveryID) (carom.EventID, int) {
	t.Helper()
	_, ref, ordinal, err := id.Place()
	if err != nil {
		t.Fatalf("Place(%s): %v", id, err)
	}
	return carom.NewEventID(s.inc, ref), ordinal
}
