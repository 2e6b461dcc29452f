package store

import (
	"testing"
	"time"

	"carom"
)

// The window that decides how long an index is kept is known again after a start.
func TestLongestWindowOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	if _, err := s.SetObjects(t.Context(), carom.Objects{Apps: []carom.App{{Name: "app"}},
		Sources: []carom.Source{{App: "app", Name: "monetag", Profile: "monetag", DedupeWindow: 40 * day, RepeatWindow: time.Minute}}}); err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	stop()
	s, _ = open(t, dir, Options{})
	if got := s.longestWindow(); got != 40*day {
		t.Errorf("longestWindow = %s after reopening, want the source's 40 days", got)
	}
}
