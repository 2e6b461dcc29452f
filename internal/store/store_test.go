package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"carom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

// noon is when the clocks of tests begin: far from the edges of minutes, hours and days.
var noon = time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)

func newClock() *clock {
	c := &clock{}
	c.set(noon)
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) set(t time.Time)         { c.ns.Store(t.UnixNano()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// noIdentity makes no difference between a folder and its copies, which stand for the folder after a crash.
func noIdentity(string, bool) string { return "" }

// open opens a store in dir and runs it until the test ends or the returned function is called. When it has ended, the
// folder's invariants are checked.
func open(t testing.TB, dir string, opts Options) (*Store, func()) {
	t.Helper()
	if opts.identity == nil {
		opts.identity = noIdentity
	}
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		checkInvariants(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// view is the window of a source whose ymid is unique, session that of one whose ymid repeats.
const (
	view    = carom.DefaultDedupeWindow
	session = carom.DefaultRepeatWindow
)

// submission makes an event of a view source whose dedupe key is its ymid.
func submission(ymid string, at time.Time, targets ...carom.Target) *carom.Submission {
	sum := sha256.Sum256([]byte(ymid))
	return &carom.Submission{
		Event: &carom.Event{
			App: "app", Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: ymid, ZoneID: "1",
			TelegramID: "42", Price: carom.Price{Nanos: 2_300_000, Set: true}, Strength: carom.Secret,
			Received: carom.Received{At: at, Method: "GET", Path: "/in/app/monetag/***", RawQuery: "ymid=" + ymid},
		},
		Key:     carom.DedupeKey{Sum: [16]byte(sum[:16]), Window: view},
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
func accept(t testing.TB, s *Store, sub *carom.Submission) *carom.Submission {
	t.Helper()
	s.Accept(sub)
	if sub.Err != nil || sub.Receipt.Duplicate {
		t.Fatalf("Accept(%s): err %v, receipt %+v, want a new event", sub.Event.YMID, sub.Err, sub.Receipt)
	}
	return sub
}

// acceptMany stores n events whose ymids begin with prefix, one commit each if single, else as few as possible.
func acceptMany(t testing.TB, s *Store, prefix string, n int, at time.Time, targets ...carom.Target) []*carom.Submission {
	t.Helper()
	subs := make([]*carom.Submission, n)
	for i := range subs {
		subs[i] = submission(prefix+strconv.Itoa(i), at, targets...)
	}
	s.Accept(subs...)
	for _, sub := range subs {
		if sub.Err != nil || sub.Receipt.Duplicate {
			t.Fatalf("Accept(%s): err %v, receipt %+v, want a new event", sub.Event.YMID, sub.Err, sub.Receipt)
		}
	}
	return subs
}

// wantCopy stores sub and fails the test unless it was a copy of first.
func wantCopy(t testing.TB, s *Store, sub *carom.Submission, first carom.EventID) {
	t.Helper()
	s.Accept(sub)
	if sub.Err != nil || !sub.Receipt.Duplicate || sub.Receipt.ID != first {
		t.Fatalf("Accept(%s): err %v, receipt %+v, want a copy of %s", sub.Event.YMID, sub.Err, sub.Receipt, first)
	}
}

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

func record(t testing.TB, s *Store, d *carom.Delivery, a *carom.Attempt) {
	t.Helper()
	if err := s.Record(d, a); err != nil {
		t.Fatalf("Record(%s, %s): %v", d.ID, a.State, err)
	}
}

// settled returns once everything that was queued before is committed.
func settled(t testing.TB, s *Store) {
	t.Helper()
	// The queue is first in, first out, but a batch has its bounds: an empty control may overtake outcomes. Once the
	// committer has written it and nothing waits, all is written.
	for {
		if err := s.control(t.Context(), func(*writer) error { return nil }); err != nil {
			t.Fatalf("wait for the committer: %v", err)
		}
		if s.queue.empty() {
			return
		}
	}
}

// direct and later are the two ways in which an event can be owed to an endpoint.
func direct(endpoint int) carom.Target { return carom.Target{Endpoint: endpoint, Direct: true} }
func later(endpoint int) carom.Target  { return carom.Target{Endpoint: endpoint} }

// crash copies the data folder as a crash at this moment would leave it, between two commits, and returns the copy.
func crash(t testing.TB, s *Store) string {
	t.Helper()
	dir := t.TempDir()
	if err := s.control(t.Context(), func(*writer) error { return copyFolder(dir, s.dir) }); err != nil {
		t.Fatalf("copy the data folder: %v", err)
	}
	return dir
}

// copyFolder copies the regular files of src, but for the shared memory and lock of the process that uses them.
func copyFolder(dst, src string) error {
	entries, err := os.ReadDir(src)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasSuffix(e.Name(), "-shm") || strings.HasSuffix(e.Name(), ".lock") {
			continue
		}
		// A new index may be renamed into its place meanwhile.
		if err := copyFile(filepath.Join(dst, e.Name()), filepath.Join(src, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close() // the first error says more
		return err
	}
	return out.Close()
}

// checkInvariants checks what must hold of the folder at any time between two commits: every waiting delivery has its
// event, sequences have no gaps, no dedupe key is there twice within its window, as many events are counted as stored, and
// the ledger is in order. It runs on the store's reading connections after Run has ended.
func checkInvariants(t testing.TB, s *Store) {
	t.Helper()
	ctx := context.Background()
	one := func(query string) (n int64) {
		t.Helper()
		if err := s.r.QueryRowContext(ctx, query).Scan(&n); err != nil {
			t.Errorf("invariants: %s: %v", query, err)
		}
		return n
	}
	events, all := int64(0), true
	var keys []string
	for _, b := range s.readableBuckets() {
		n := one(fmt.Sprintf(`SELECT count(*) FROM events_%d`, b))
		if last := one(fmt.Sprintf(`SELECT coalesce(max(seq), 0) FROM events_%d`, b)); last != n {
			t.Errorf("invariants: bucket %d has %d events, the last is number %d: there is a gap", b, n, last)
		}
		low, high := carom.Ref{Bucket: b}.Uint64(), carom.Ref{Bucket: b + 1}.Uint64()
		if lost := one(fmt.Sprintf(`SELECT count(*) FROM due WHERE event >= %d AND event < %d AND NOT EXISTS
			(SELECT 1 FROM events_%d WHERE seq = event - %d)`, low, high, b, low)); lost != 0 {
			t.Errorf("invariants: %d waiting deliveries have no event in bucket %d", lost, b)
		}
		keys = append(keys, fmt.Sprintf(`SELECT key, at FROM events_%d`, b))
		events += n
	}
	for _, b := range *s.closed.Load() {
		all = all && b.readable()
	}
	// Sources of these tests repeat after ten minutes at the earliest.
	if twice := one(fmt.Sprintf(`SELECT count(*) FROM (SELECT at - lag(at) OVER (PARTITION BY key ORDER BY at) AS gap FROM (%s))
		WHERE gap < %d`, strings.Join(keys, " UNION ALL "), session.Milliseconds()-1000)); twice != 0 {
		t.Errorf("invariants: %d dedupe keys are stored twice within their window", twice)
	}
	if counted := one(`SELECT coalesce(sum(n), 0) FROM counts WHERE outcome IN ('accepted', 'held', 'unmatched')`); all && counted != events {
		t.Errorf("invariants: %d events are stored, %d counted", events, counted)
	}
	if report, err := s.CheckLedger(ctx); err != nil || len(report.Faults) > 0 {
		t.Errorf("invariants: the ledger: %v, %q", err, report.Faults)
	}
}
