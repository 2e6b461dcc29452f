package store

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spread makes sums that fill the table unevenly, so that searches run into each other and over its end.
func spread(r *rand.Rand) (sum [16]byte) {
	sum[0], sum[1] = byte(r.IntN(256)), byte(r.IntN(4))
	sum[8], sum[9] = byte(250+r.IntN(6)), byte(r.IntN(4)<<6)|63
	sum[15] = byte(r.IntN(8))
	return sum
}

func TestKeyTableAgreesWithAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		table, want := newKeyTable(1), map[[16]byte]first{}
		check := func() {
			t.Helper()
			if table.len() != len(want) {
				t.Fatalf("seed %d: %d keys, want %d", seed, table.len(), len(want))
			}
			for sum, f := range want {
				if got, ok := table.get(sum); !ok || got != f {
					t.Fatalf("seed %d: get(%x) = %v, %v, want %v", seed, sum, got, ok, f)
				}
			}
			if f, ok := table.get([16]byte{0: 1, 15: 99}); ok {
				t.Fatalf("seed %d: found %v for a key that was never put", seed, f)
			}
		}
		for range 20 {
			var undo []undoFirst
			before := map[[16]byte]first{}
			for sum, f := range want {
				before[sum] = f
			}
			for range r.IntN(60) {
				sum, f := spread(r), first{seq: r.Uint32(), at: r.Uint32(), check: r.Uint32()}
				old, had := table.put(sum, f)
				if f, ok := want[sum]; ok != had || f != old {
					t.Fatalf("seed %d: put returned %v, %v, want %v, %v", seed, old, had, f, ok)
				}
				undo = append(undo, undoFirst{&table, sum, old, had})
				want[sum] = f
			}
			check()
			if r.IntN(2) == 0 {
				for i := len(undo) - 1; i >= 0; i-- {
					table.takeBack(undo[i].sum, undo[i].old, undo[i].had)
				}
				want = before
				check()
			}
		}
		order := table.sorted()
		seen := map[uint32]bool{}
		for i, n := range order {
			seen[n] = true
			if i > 0 && bytes.Compare(table.records.at(int(order[i-1])).sum[:], table.records.at(int(n)).sum[:]) >= 0 {
				t.Fatalf("seed %d: record %d is not behind record %d", seed, n, order[i-1])
			}
		}
		if len(order) != len(want) || len(seen) != len(want) {
			t.Fatalf("seed %d: sorted gives %d records, %d of them different, want %d", seed, len(order), len(seen), len(want))
		}
	}
}

func TestListsCopyGoesOnShowingWhatItShowed(t *testing.T) {
	var l list[int]
	var copies []list[int]
	for i := range 3*listChunk + 5 {
		l.push(i)
		if i%(listChunk-3) == 0 {
			copies = append(copies, l)
		}
	}
	l.pop()
	l.push(-1)
	for _, c := range append(copies, l) {
		got := c.appendTo(nil)
		want := make([]int, c.len())
		for i := range want {
			want[i] = i
		}
		if c.len() == l.len() {
			want[len(want)-1] = -1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("a list of %d (-want +got):\n%s", c.len(), diff)
		}
	}
}
