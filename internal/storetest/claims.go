package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// claim hands out what c selects and fails the test on an error.
func claim(t testing.TB, s *world, c carom.Claim) ([]*carom.Delivery, uint64) {
	t.Helper()
	list, cursor, err := s.Claim(t.Context(), c)
	if err != nil {
		t.Fatalf("Claim(%+v): %v", c, err)
	}
	return list, cursor
}

func claimDue(t testing.TB, s *world, endpoint int, by time.Time) []*carom.Delivery {
	t.Helper()
	list, _ := claim(t, s, carom.Claim{Endpoint: endpoint, Limit: 1000, DueBy: by})
	return list
}

func release(s *world, list []*carom.Delivery) {
	for _, d := range list {
		s.Release(d)
	}
}

// ymids names deliveries by their events.
func ymids(list []*carom.Delivery) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Event.YMID)
	}
	return out
}

func claimsDueBy(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 3})
	for i, minutes := range []int{5, 1, 3, 2, 4, 1} {
		sub := accept(t, s, submission(fmt.Sprintf("%c due at %d", 'a'+i, minutes), s.tick(), direct(1), later(2)))
		postpone(t, s, delivery(sub, 0), noon.Add(time.Duration(minutes)*time.Minute))
	}
	s.settle(t)
	var claimed []*carom.Delivery
	for _, step := range []struct {
		name  string
		by    time.Duration
		limit int
		want  []string
	}{
		{"the soonest first, of equal ones the oldest", 3 * time.Minute, 2, []string{"b due at 1", "f due at 1"}},
		{"what is claimed is not handed out again", 3 * time.Minute, 10, []string{"d due at 2", "c due at 3"}},
		{"nothing else is due", 3 * time.Minute, 10, nil},
		{"later the others", time.Hour, 10, []string{"e due at 4", "a due at 5"}},
	} {
		list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: step.limit, DueBy: noon.Add(step.by)})
		if diff := cmp.Diff(step.want, ymids(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		for _, d := range list {
			if d.Endpoint != 1 {
				t.Errorf("%s: delivery of endpoint %d", step.name, d.Endpoint)
			}
		}
		claimed = append(claimed, list...)
	}
	release(s, claimed)
	list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, DueAfter: noon.Add(2 * time.Minute), DueBy: noon.Add(4 * time.Minute)})
	if diff := cmp.Diff([]string{"c due at 3", "e due at 4"}, ymids(list)); diff != "" {
		t.Errorf("due after minute 2 and by minute 4 (-want +got):\n%s", diff)
	}
	if got := len(claimDue(t, s, 2, noon.Add(time.Minute))); got != 6 {
		t.Errorf("endpoint 2 got %d deliveries, want its own 6", got)
	}
}

func claimsInOrder(t *testing.T, open Opener) {
	s := begin(t, open, Options{BucketEvents: 3})
	for i := range 8 {
		at := noon.Add(time.Duration(i) * time.Minute)
		s.set(at)
		sub := accept(t, s, submission(fmt.Sprint(i), at, direct(1)))
		postpone(t, s, delivery(sub, 0), at.Add(100*time.Hour))
		s.settle(t)
	}
	var got []string
	var cursor uint64
	for range 10 {
		list, next := claim(t, s, carom.Claim{Endpoint: 1, Limit: 2, InOrder: true, Cursor: cursor})
		got = append(got, ymids(list)...)
		release(s, list[:min(len(list), 1)]) // behind the cursor, it is not handed out again in this round
		cursor = next
	}
	if diff := cmp.Diff([]string{"0", "1", "2", "3", "4", "5", "6", "7"}, got); diff != "" {
		t.Errorf("in order of acceptance (-want +got):\n%s", diff)
	}
	list, _ := claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true})
	if diff := cmp.Diff([]string{"0", "2", "4", "6"}, ymids(list)); diff != "" {
		t.Errorf("from the start again, what was released (-want +got):\n%s", diff)
	}
	release(s, list)
	list, _ = claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true, ScheduledBefore: noon.Add(6 * time.Minute), SinceBefore: noon.Add(3 * time.Minute)})
	if diff := cmp.Diff([]string{"0", "2"}, ymids(list)); diff != "" {
		t.Errorf("scheduled before minute 6, waiting since before minute 3 (-want +got):\n%s", diff)
	}
	release(s, list)
	list, _ = claim(t, s, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true, DueBy: noon.Add(100*time.Hour + 3*time.Minute)})
	if diff := cmp.Diff([]string{"0", "2"}, ymids(list)); diff != "" {
		t.Errorf("in order, due by minute 3 of the hour in which they are (-want +got):\n%s", diff)
	}
}

// A delivery is not handed out again between the record of its outcome and the moment at which that is stored.
func claimedUntilStored(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	accept(t, s, submission("a", noon, later(1)))
	d := claimDue(t, s, 1, noon)[0]
	for n := 1; n <= 20; n++ {
		record(t, s, d, attempt(d, carom.Pending, noon, noon)) // due again at once, but perhaps not stored yet
		list := claimDue(t, s, 1, noon)
		if len(list) == 0 {
			s.settle(t)
			list = claimDue(t, s, 1, noon)
		}
		if len(list) != 1 || list[0].Attempts != n {
			t.Fatalf("after outcome %d: %+v, want a with as many attempts", n, list)
		}
		if again := claimDue(t, s, 1, noon); len(again) != 0 {
			t.Fatalf("after outcome %d it was handed out twice", n)
		}
		d = list[0]
	}
}

func nextDueAndBacklogs(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	if next, err := s.NextDue(t.Context(), 1, noon); err != nil || !next.IsZero() {
		t.Errorf("NextDue of nothing = %s, %v, want zero", next, err)
	}
	for i, minutes := range []int{3, 1, 2} {
		sub := accept(t, s, submission(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second), direct(1), later(2)))
		postpone(t, s, delivery(sub, 0), noon.Add(time.Duration(minutes)*time.Minute))
	}
	s.settle(t)
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

// Many deliveries fail and succeed at random, each endpoint's claims running beside its outcomes: no delivery is in two
// hands at a time, and each ends exactly once.
func claimsBesideOutcomes(t *testing.T, open Opener) {
	const endpoints, events, workers = 3, 150, 4
	s := begin(t, open, Options{BucketEvents: 20})
	var mu sync.Mutex // guards hands, ended and subs
	hands, ended := map[carom.DeliveryID]bool{}, map[carom.DeliveryID]int{}
	subs := map[carom.DeliveryID]carom.EventID{}
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
		now := s.now()
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
				s.advance(time.Millisecond)
				sub := accept(t, s, submission(fmt.Sprint(e, " ", i), s.now(), carom.Target{Endpoint: e + 1, Direct: rnd.IntN(2) == 0}))
				d := delivery(sub, 0)
				mu.Lock()
				subs[d.ID] = sub.Receipt.ID
				mu.Unlock()
				if sub.Targets[0].Direct {
					queues[e] <- d
				}
			}
			var cursor uint64
			for !done() && !t.Failed() {
				c := carom.Claim{Endpoint: e + 1, Limit: 1 + rnd.IntN(20), DueBy: s.now()}
				if rnd.IntN(2) == 0 {
					c = carom.Claim{Endpoint: e + 1, Limit: c.Limit, InOrder: true, Cursor: cursor}
				}
				list, next, err := s.Claim(t.Context(), c)
				if err != nil {
					t.Errorf("Claim: %v", err)
					return
				}
				if cursor = next; len(list) == 0 {
					cursor = 0
					s.settle(t)
				}
				for _, d := range list {
					queues[e] <- d
				}
			}
		})
	}
	wg.Wait()
	s.settle(t)
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%s ended %d times", id, n)
		}
		got := deliveryOf(t, s, subs[id], 0)
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
}
