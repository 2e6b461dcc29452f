package store

import (
	"testing"
	"time"

	"carom"
)

// openView opens a view for ten minutes and returns it.
func openView(t testing.TB, s *Store, v carom.View) *carom.View {
	t.Helper()
	if v.App == "" {
		v.App = "app"
	}
	v.ExpiresAt = v.OpenedAt.Add(10 * time.Minute)
	if err := s.OpenView(t.Context(), &v); err != nil {
		t.Fatalf("OpenView(%+v): %v", v, err)
	}
	return &v
}

// inView makes an event of an opened view.
func inView(v *carom.View, key string, eventType carom.EventType, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	sub := paid(v.YMID, "", eventType, at, candidates...)
	sub.Key.Sum = carom.SumOf(v.YMID, key)
	sub.View = carom.ViewClaim{Sum: v.Sum(), View: v, User: v.User}
	return sub
}
