package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBreakersOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	set := func(endpoint int, openedAt time.Time) {
		t.Helper()
		if err := s.SetBreaker(t.Context(), endpoint, openedAt); err != nil {
			t.Fatal(err)
		}
	}
	set(1, noon)
	set(2, noon.Add(time.Minute))
	set(3, noon)
	set(1, noon.Add(time.Hour))
	set(3, time.Time{})
	set(4, time.Time{})
	stop()
	s, _ = open(t, dir, Options{})
	got, err := s.Breakers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int]time.Time{1: noon.Add(time.Hour), 2: noon.Add(time.Minute)}, got); diff != "" {
		t.Errorf("open breakers after a restart (-want +got):\n%s", diff)
	}
}
