package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"
)

// BenchmarkAccept measures an event's whole life in the store, accepted and delivered at the first attempt, with 64
// callers on two cores.
func BenchmarkAccept(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.SetParallelism(32)
	var n sync.Mutex
	next := 0
	b.ResetTimer()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n.Lock()
			next++
			i := next
			n.Unlock()
			sub := submission(fmt.Sprint(i), time.Now(), carom.Target{Endpoint: 1, Direct: true})
			s.Accept(sub)
			if sub.Err != nil {
				b.Error(sub.Err)
				return
			}
			d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: 1, Ticket: sub.Receipt.Ticket, Since: sub.Event.At}
			if err := s.Record(d, &carom.Attempt{Number: 1, At: time.Now(), State: carom.Delivered, Status: 200, URL: "http://127.0.0.1/x?" + sub.Event.Received.RawQuery}); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(s.stats.Commits.Load()), "commits")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEarn measures the same life of events of 100,000 users, of which each earns one reward in a view of its own, beside
// events that earn nothing.
func BenchmarkEarn(b *testing.B) {
	for _, earns := range []bool{false, true} {
		b.Run(map[bool]string{false: "nothing", true: "reward"}[earns], func(b *testing.B) {
			s, stop := open(b, b.TempDir(), rewarding(Options{}))
			b.SetParallelism(32)
			var next atomic.Int64
			b.ResetTimer()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					sub := typical(int(next.Add(1)), time.Now())
					user := fmt.Sprint(500_000_000 + rand.IntN(100_000))
					sub.Event.TelegramID = user
					sub.Targets = []carom.Target{direct(1)}
					if earns {
						c := pays("watch", 5)
						c.At = sub.Event.Received.At
						sub.View = carom.ViewClaim{Sum: sub.Event.RepeatSum(), User: user}
						sub.Candidates, sub.Targets[0].Candidate = []carom.Candidate{c}, 1
					}
					s.Accept(sub)
					if sub.Err != nil || sub.Targets[0].Unowed {
						b.Errorf("err %v, decided %q", sub.Err, decided(sub))
						return
					}
					d := delivery(sub, 0)
					if err := s.Record(d, &carom.Attempt{Number: 1, At: time.Now(), State: carom.Delivered, Status: 200, URL: "http://127.0.0.1/x?" + sub.Event.Received.RawQuery}); err != nil {
						b.Error(err)
					}
				}
			})
			b.StopTimer()
			stop()
		})
	}
}

// BenchmarkOpen measures opening a folder whose open bucket holds a million events, warm: with b.N = 1 it takes about a
// minute, nearly all of it to fill the folder.
func BenchmarkOpen(b *testing.B) {
	const events = 1_000_000
	dir := b.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	now := time.Now()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			subs := make([]*carom.Submission, 200)
			for i := worker; i < events/len(subs); i += 8 {
				for j := range subs {
					subs[j] = typical(i*len(subs)+j, now)
				}
				s.Accept(subs...)
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if got := s.Recovered().Events; got != events {
			b.Fatalf("Recovered().Events = %d, want %d", got, events)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// typical is an event as Monetag sends it, about 300 bytes of request.
func typical(i int, at time.Time) *carom.Submission {
	sub := submission(fmt.Sprintf("%08x-5a3c-4b1e-9d2f-%012x", uint32(i)*2654435761, i), at)
	ev := sub.Event
	ev.TelegramID, ev.ZoneID, ev.RequestVar = fmt.Sprint(500_000_000+i%100_000), fmt.Sprint(8_790_478+i%20), "bonus-btn"
	ev.Received.RawQuery = "ymid=" + ev.YMID + "&event_type=impression&reward_event_type=valued&zone_id=" + ev.ZoneID + "&sub_zone_id=8790999&telegram_id=" +
		ev.TelegramID + "&request_var=bonus-btn&estimated_price=0.0023&country=de&device=android-14-pixel-8&session=4f1c2d"
	return sub
}
