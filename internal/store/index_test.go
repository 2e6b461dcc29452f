package store

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// Keys that lie where even spreading puts them, and some that do not: the search has to walk.
func TestIndexFindsEveryKey(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	shapes := map[string]func(i int) uint64{
		"even":            func(int) uint64 { return r.Uint64() },
		"all low":         func(int) uint64 { return r.Uint64() >> 20 },
		"all high":        func(int) uint64 { return ^(r.Uint64() >> 20) },
		"at both ends":    func(i int) uint64 { return r.Uint64()>>20 ^ -uint64(i%2) },
		"nearly the same": func(int) uint64 { return 1<<63 | r.Uint64()>>40 },
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			const n = 5000
			dir, keys := t.TempDir(), newOpenKeys(n)
			want := map[[16]byte]first{}
			for i := range n {
				var sum [16]byte
				binary.BigEndian.PutUint64(sum[:], shape(i))
				binary.BigEndian.PutUint64(sum[8:], r.Uint64())
				want[sum] = first{seq: uint32(i + 1), at: r.Uint32(), check: r.Uint32()}
				keys.firsts.put(sum, want[sum])
			}
			if err := buildIndex(indexPath(dir, 1), 1, keys); err != nil {
				t.Fatal(err)
			}
			x, err := openIndex(indexPath(dir, 1), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = x.Close() }()
			for sum, f := range want {
				if got, ok, err := x.first(sum); err != nil || !ok || got != f {
					t.Fatalf("first(%x) = %v, %v, %v, want %v", sum, got, ok, err, f)
				}
				sum[15] ^= 1 // the filter takes it for the one before
				if got, ok, err := x.first(sum); err != nil || ok {
					t.Fatalf("first(%x) = %v, %v, %v for a key that was never put", sum, got, ok, err)
				}
			}
		})
	}
}

// What cannot be read is not absent: an event must not be stored twice because its index does not answer.
func TestUnreadableIndexIsAnError(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 2, Clock: newClock().now})
	a := acceptSingly(t, s, "a", 4)[0]
	s.seal()
	x := (*s.closed.Load())[0].index
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	sub := submission("a0", noon)
	if s.Accept(sub); sub.Err == nil {
		t.Errorf("a copy of %s was answered %+v though the index cannot be read", a.Receipt.ID, sub.Receipt)
	}
	accept(t, s, submission("new", noon)) // the filter alone says that it is
	if _, err := x.find(searchYMID, "a0", 100, 10); !errors.Is(err, os.ErrClosed) {
		t.Errorf("find: %v, want os.ErrClosed", err)
	}
	var err error
	if x.file, err = os.Open(indexPath(s.dir, 1)); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, s, submission("a0", noon), a.Receipt.ID)
}
