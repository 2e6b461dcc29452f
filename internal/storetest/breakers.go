package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func breakersOutliveTheProcess(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
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
	for _, how := range []string{"at once", "after a restart", "after a crash"} {
		move(t, s, how)
		got, err := s.Breakers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[int]time.Time{1: noon.Add(time.Hour), 2: noon.Add(time.Minute)}, got); diff != "" {
			t.Errorf("%s: open breakers (-want +got):\n%s", how, diff)
		}
	}
}
