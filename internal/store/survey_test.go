package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// TestAttemptsOfWhatWaitsAreFound: the newest rows of all are those of a busy endpoint, and what fails elsewhere is found still.
func TestAttemptsOfWhatWaitsAreFound(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{Clock: newClock().now})
	rare := accept(t, s, submission("rare", noon, direct(7)))
	d := delivery(rare, 0)
	record(t, s, d, attempt(d, carom.Pending, noon, noon.Add(time.Hour)))
	for _, sub := range acceptMany(t, s, "busy", 50, noon, direct(1)) {
		d := delivery(sub, 0)
		record(t, s, d, attempt(d, carom.Delivered, noon, time.Time{}))
	}
	settled(t, s)
	found := map[int]int{}
	add := func(endpoint int, _ carom.Attempt) { found[endpoint]++ }
	if looked, err := s.bucketAttempts(t.Context(), s.open.number, 20, 5, add); err != nil || looked != 20 {
		t.Fatalf("looked at %d rows, %v, want 20", looked, err)
	}
	if diff := cmp.Diff(map[int]int{1: 5}, found); diff != "" {
		t.Fatalf("among the newest 20 rows (-want +got):\n%s", diff)
	}
	if err := s.waitingAttempts(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]int{1: 5, 7: 1}, found); diff != "" {
		t.Errorf("with what waits (-want +got):\n%s", diff)
	}
}
