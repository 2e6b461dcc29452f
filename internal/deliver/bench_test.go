package deliver

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"carom"
	"carom/internal/egress"
	"carom/internal/route"
)

// instantStore and instantClient cost next to nothing, so that what is measured is the engine.
type instantStore struct {
	recorded atomic.Int64
	target   int64         // sent on done when so many are recorded
	done     chan struct{} // capacity 1
	left     atomic.Int64  // in the due table
	event    *carom.Event
}

func (s *instantStore) Record(*carom.Delivery, *carom.Attempt) error {
	if s.recorded.Add(1) == s.target {
		s.done <- struct{}{}
	}
	return nil
}

func (s *instantStore) Defer(*carom.Delivery, time.Time) error       { s.left.Add(1); return nil }
func (s *instantStore) Begin(context.Context, *carom.Delivery) error { return nil }
func (s *instantStore) Release(*carom.Delivery)                      { s.left.Add(1) }

func (s *instantStore) Claim(_ context.Context, c carom.Claim) ([]*carom.Delivery, uint64, error) {
	n := min(int64(c.Limit), s.left.Load())
	s.left.Add(-n)
	all := make([]carom.Delivery, n)
	out := make([]*carom.Delivery, n)
	for i := range out {
		all[i] = carom.Delivery{ID: "dlv_0c5g21r0000010000000k00", Event: s.event, Endpoint: c.Endpoint, Since: s.event.At}
		out[i] = &all[i]
	}
	return out, c.Cursor, nil
}

func (s *instantStore) NextDue(context.Context, int, time.Time) (time.Time, error) {
	return time.Time{}, nil
}

func (s *instantStore) Backlogs(context.Context) ([]carom.Backlog, error) { return nil, nil }

func (s *instantStore) SetBreaker(context.Context, int, time.Time) error { return nil }

func (s *instantStore) Breakers(context.Context) (map[int]time.Time, error) { return nil, nil }

type instantClient struct{}

func (instantClient) Do(context.Context, egress.Policy, egress.Request, egress.Options) egress.Result {
	return egress.Result{Status: 200, Sent: true}
}
func (instantClient) Close() {}

func benchEngine(b *testing.B, left int) (*Engine, *instantStore, func()) {
	b.Helper()
	ref := carom.Ref{Bucket: 1, Seq: 1}
	s := &instantStore{target: int64(b.N), done: make(chan struct{}, 1), event: &carom.Event{ID: carom.NewEventID(1, ref), At: time.Now(), App: "app", Type: carom.Click, YMID: "user123", ZoneID: "8790478"}}
	s.left.Store(int64(left))
	e := New(Options{Store: s, Client: instantClient{}})
	e.SetEndpoints([]*route.Endpoint{endpoint(b, 1, nil)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	for !e.running.Load() {
		runtime.Gosched()
	}
	return e, s, func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkDirect is a delivery from Reserve to Record, as ingest hands it over.
func BenchmarkDirect(b *testing.B) {
	e, s, stop := benchEngine(b, 0)
	targets := []carom.Target{{Endpoint: 1, Direct: true}}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for !e.Reserve(1) {
			runtime.Gosched()
		}
		e.Offer(&carom.Submission{Event: s.event, Targets: targets, Receipt: carom.Receipt{ID: s.event.ID, Ticket: 1}})
	}
	<-s.done
	b.StopTimer()
	stop()
}

// BenchmarkBacklog is a delivery from Claim to Record.
func BenchmarkBacklog(b *testing.B) {
	b.ReportAllocs()
	e, s, stop := benchEngine(b, b.N)
	e.Wake(1)
	<-s.done
	b.StopTimer()
	stop()
}
