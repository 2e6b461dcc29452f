package store

import (
	"fmt"
	"testing"
	"time"

	"carom"
	"carom/internal/tables"
)

// found makes an entry whose finding is known beforehand.
func found(at time.Time, f carom.ShadowFinding) carom.ShadowEntry {
	return carom.ShadowEntry{App: "app", Source: "ads", At: at, N: 1, Judge: func(_, _ []byte) carom.ShadowFinding {
		f.Example.At = at
		return f
	}}
}

func compareIn(t *testing.T, s *Store, entries ...carom.ShadowEntry) {
	t.Helper()
	if kept, err := s.Compare(t.Context(), entries); err != nil || kept != len(entries) {
		t.Fatalf("Compare: %d kept, %v", kept, err)
	}
}

// Examples are kept in a ring, and nothing is kept for ever.
func TestShadowKeepsWithinBounds(t *testing.T) {
	clk := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: clk.now})
	rows := func(table string, want int64) {
		t.Helper()
		var n int64
		if err := s.r.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != want {
			t.Errorf("%s has %d rows (%v), want %d", table, n, err, want)
		}
	}
	for i := range tables.ShadowSlots + 50 {
		compareIn(t, s, found(noon.Add(time.Duration(i)*time.Millisecond), carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowAmount},
			Grants: []carom.ShadowGrant{{Currency: "coins", Amount: 1}}}))
	}
	rows("shadow_examples", tables.ShadowSlots)
	for i := range 3 {
		entry := found(noon, carom.ShadowFinding{View: []byte{1}, Source: []byte{2}})
		entry.View = carom.SumOf(fmt.Sprint(i))
		compareIn(t, s, entry)
	}
	rows("shadow_notes", 4)
	clk.advance(500 * day)
	prune(t, s)
	rows("shadow_notes", 1) // that of the source
	rows("shadow_counts", 0)
	rows("shadow_examples", 0)
	rows("shadow_grants", 0)
}
