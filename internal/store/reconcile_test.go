package store

import (
	"fmt"
	"testing"
	"time"

	"carom"
)

// BenchmarkQuarterCounts reads 31 days of three sources with two zones and four outcomes each, as a report does.
func BenchmarkQuarterCounts(b *testing.B) {
	s, _ := open(b, b.TempDir(), Options{})
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	fill := func(w *writer) error {
		st, err := w.prepare(upsertQuarterCount)
		if err != nil {
			return err
		}
		defer st.Close()
		for q := range int64(31 * 96) {
			for i := range 24 {
				if err := st.exec(start.Unix()/(carom.QuarterMinutes*60)+q, "game", fmt.Sprint("ads", i%3), fmt.Sprint("zone", i/3%2), "impression", "valued",
					[]string{"held", "duplicate", "conflict", "duplicate_late"}[i/6], int64(3), int64(0), int64(1)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := s.control(b.Context(), fill); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		if err := s.QuarterCounts(b.Context(), carom.QuarterFilter{App: "game", From: start, To: start.AddDate(0, 0, 31)}, func(*carom.QuarterCount) error { n++; return nil }); err != nil || n != 31*96*24 {
			b.Fatalf("%d counts, %v", n, err)
		}
	}
}
