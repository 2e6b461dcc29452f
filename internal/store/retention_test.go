package store

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/tables"
)

const day = 24 * time.Hour

// storedTables counts the tables of buckets.
func storedTables(t testing.TB, s *Store) (n int) {
	t.Helper()
	if err := s.r.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND
		(name GLOB 'events_*' OR name GLOB 'outcomes_*' OR name GLOB 'refused_*')`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func prune(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Prune(t.Context()); err != nil {
		t.Fatalf("Prune: %v", err)
	}
}

// at makes a view event of that moment.
func at(ymid string, c *clock, targets ...carom.Target) *carom.Submission {
	return submission(ymid, c.now(), targets...)
}

func TestRetentionDropsOldBucketsAndStillTellsCopies(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	opts := Options{Clock: c.now, Retention: 7 * day, BucketEvents: 3 * tables.PruneSlice, CountRetention: 100 * day}
	s, stop := open(t, dir, opts)
	old := acceptMany(t, s, "old", 2*tables.PruneSlice+7, noon, direct(1)) // more than a slice
	for _, sub := range old {
		d := delivery(sub, 0)
		record(t, s, d, attempt(d, carom.Delivered, noon, noon))
	}
	kept := refuse(t, s, refused("app", "monetag", noon))
	settled(t, s)
	c.advance(2 * day)
	young := accept(t, s, at("young", c))
	c.advance(5*day - time.Second)
	prune(t, s)
	if _, err := s.Story(t.Context(), old[0].Receipt.ID); err != nil {
		t.Errorf("a second before the retention ends: %v", err)
	}
	c.advance(time.Second)
	s.seal()
	prune(t, s)
	if _, err := s.Story(t.Context(), old[0].Receipt.ID); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("Story of a dropped event: %v, want carom.ErrNotFound", err)
	}
	if got := storedTables(t, s); got != 6 {
		t.Errorf("%d tables of buckets, want 3 of the young one's and 3 of the open one", got)
	}
	events, err := s.Events(t.Context(), carom.EventFilter{})
	if err != nil || len(events) != 1 || events[0].ID != young.Receipt.ID {
		t.Errorf("Events = %d, %v, want the young one alone", len(events), err)
	}
	if list, err := s.Refused(t.Context(), carom.RefusedFilter{}); err != nil || len(list) != 0 {
		t.Errorf("Refused = %d, %v, want none: %s went with its bucket", len(list), err, kept.ID)
	}
	if got := outcomes(t, s)[carom.OutcomeAccepted]; got != int64(len(old)) {
		t.Errorf("%d accepted ones counted, want %d: counts are kept longer", got, len(old))
	}
	// Within its window a dedupe key counts although its event is gone, also after a restart.
	wantCopy(t, s, at("old1", c), old[1].Receipt.ID)
	stop()
	s, _ = open(t, dir, opts)
	wantCopy(t, s, at("old2", c), old[2].Receipt.ID)
	if events, err := s.Events(t.Context(), carom.EventFilter{YMID: "old2"}); err != nil || len(events) != 0 {
		t.Errorf("search for a dropped event: %d, %v, want none", len(events), err)
	}

	// After the window its index goes, and the key is new again.
	c.set(noon.Add(30*day - time.Minute))
	prune(t, s)
	wantCopy(t, s, at("old3", c), old[3].Receipt.ID)
	c.set(noon.Add(30 * day))
	prune(t, s)
	if _, err := os.Stat(indexPath(dir, 1)); !os.IsNotExist(err) {
		t.Errorf("index of the first bucket: %v, want it gone", err)
	}
	accept(t, s, at("old4", c))
	c.advance(100 * day)
	prune(t, s)
	if got, err := s.Counts(t.Context(), carom.CountFilter{To: noon.Add(day)}); err != nil || len(got) != 0 {
		t.Errorf("Counts beyond their retention = %+v, %v, want none", got, err)
	}
}

// Dropping a bucket takes many commits. Wherever it is interrupted, the next start goes on, and nothing is half visible.
func TestInterruptedDropGoesOn(t *testing.T) {
	for _, events := range []int{10, tables.PruneSlice + 10} {
		dir, c := t.TempDir(), newClock()
		opts := Options{Clock: c.now, Retention: 7 * day, BucketEvents: 2 * tables.PruneSlice}
		s, stop := open(t, dir, opts)
		old := acceptMany(t, s, "old", events, noon, direct(1))
		for _, sub := range old {
			d := delivery(sub, 0)
			record(t, s, d, attempt(d, carom.Delivered, noon, noon))
		}
		settled(t, s)
		c.advance(8 * day)
		accept(t, s, at("young", c))
		s.seal()
		// One context per number of commits that the drop gets through.
		for commits := int64(1); ; commits++ {
			ctx, cancel := context.WithCancelCause(t.Context())
			stats := s.Stats()
			before := stats.Commits.Load()
			end := errors.New("interrupted")
			go func() {
				for stats.Commits.Load() < before+commits && ctx.Err() == nil {
					runtime.Gosched()
				}
				cancel(end)
			}()
			err := s.Prune(ctx)
			cancel(nil)
			stop()
			s, stop = open(t, dir, opts)
			if _, err := s.Story(t.Context(), old[0].Receipt.ID); !errors.Is(err, carom.ErrNotFound) {
				t.Fatalf("Story of an event whose bucket is half dropped: %v, want carom.ErrNotFound", err)
			}
			if events, err := s.Events(t.Context(), carom.EventFilter{Limit: 1000}); err != nil || len(events) != 1 {
				t.Fatalf("Events = %d, %v, want the young one alone", len(events), err)
			}
			wantCopy(t, s, at("old1", c), old[1].Receipt.ID)
			if err == nil {
				break
			}
			if !errors.Is(err, end) && !errors.Is(err, context.Canceled) {
				t.Fatalf("Prune: %v, want %v", err, end)
			}
		}
		if got := storedTables(t, s); got != 3 {
			t.Errorf("%d tables of buckets, want the 3 of the open one", got)
		}
		stop()
	}
}

// A delivery that waits longer than its event is kept does not vanish in silence.
func TestDroppedBucketExpiresWhatStillWaits(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now, Retention: 7 * day})
	acceptMany(t, s, "a", 5, noon, later(1))
	acceptMany(t, s, "b", 3, noon, later(2))
	claimed, _ := claim(t, s, carom.Claim{Endpoint: 2, Limit: 1, DueBy: noon})
	inHand := claimed[0]
	c.advance(8 * day)
	accept(t, s, at("young", c, later(1)))
	s.seal()
	prune(t, s)
	record(t, s, inHand, attempt(inHand, carom.Dead, c.now(), time.Time{}))
	settled(t, s)
	if got := claimDue(t, s, 2, c.now()); len(got) != 0 {
		t.Errorf("endpoint 2 was handed out %v", ymids(got))
	}
	if got := ymids(claimDue(t, s, 1, c.now())); !cmp.Equal(got, []string{"young"}) {
		t.Errorf("endpoint 1 was handed out %v, want young", got)
	}
	got, err := s.DeliveryCounts(t.Context(), carom.CountFilter{})
	want := []carom.DeliveryCount{{Endpoint: "#1", Outcome: "expired", N: 5}, {Endpoint: "#2", Outcome: "dead", N: 1}, {Endpoint: "#2", Outcome: "expired", N: 2}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DeliveryCounts (-want +got), %v:\n%s", err, diff)
	}
}
