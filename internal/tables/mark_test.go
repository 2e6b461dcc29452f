package tables

import (
	"math/rand/v2"
	"slices"
	"testing"

	"carom"
)

// The mark stands at the oldest event that waits, whatever the order in which deliveries end, and goes on.
func TestMarkFollowsTheOldest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	type entry struct {
		ref    carom.Ref
		ticket uint64
		left   int
	}
	var m Mark
	var waiting []entry // in order
	seq := uint32(0)
	for range 20_000 {
		if rnd.IntN(2) == 0 || len(waiting) == 0 {
			seq++
			ref, n := carom.Ref{Bucket: 1, Seq: seq}, 1+rnd.IntN(3)
			waiting = append(waiting, entry{ref, m.Add(ref, n), n})
		} else {
			i := min(rnd.IntN(len(waiting)), rnd.IntN(len(waiting)))
			e := &waiting[i]
			m.Done(e.ticket)
			if e.left--; e.left == 0 {
				waiting = slices.Delete(waiting, i, i+1)
			}
		}
		m.Done(1 << 60) // nobody's
		if rnd.IntN(30) > 0 {
			continue
		}
		got, ok := m.Low()
		if want := len(waiting) > 0; ok != want || want && got != waiting[0].ref {
			t.Fatalf("Low = %+v, %v, want %+v", got, ok, waiting[:min(1, len(waiting))])
		}
	}
}
