package store

import (
	"fmt"
	"testing"

	"carom"
)

// BenchmarkFold is the cost of one key of a fold: half of them balances, half of them counters, in tables that hold as many.
func BenchmarkFold(b *testing.B) {
	s, _ := open(b, b.TempDir(), Options{})
	const users = 50_000
	set := func() tallySet {
		set := newTallySet()
		for i := range users {
			user := fmt.Sprint(7_000_000_000 + i*7919%100_000)
			set.balances[account{"bench", user, "coins"}] = sum{units: 5, at: 1}
			set.counters[carom.CounterKey{Scope: "bench/watch per user per day", User: user, Day: 20261122}] = carom.Counter{Rewards: 1}
		}
		return set
	}
	fold := func() {
		f := newFold(set(), 1)
		<-f.sorted
		b.StartTimer()
		for !f.complete() {
			if err := s.control(b.Context(), func(*writer) error { return f.write(s.st, foldSlice) }); err != nil {
				b.Fatal(err)
			}
			f.wrote(foldSlice)
		}
		b.StopTimer()
	}
	fold()
	b.ResetTimer()
	b.StopTimer()
	keys := 0
	for range b.N {
		fold()
		keys += 2 * users
	}
	if err := s.control(b.Context(), func(w *writer) error { return w.exec(`DELETE FROM balances`) }); err != nil { // nothing earned them
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(keys), "ns/key")
}
