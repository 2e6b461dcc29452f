package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom/internal/storetest"
)

// TestStore is what every store has to do. What only this one has, its files, its index, its mark, has tests of its own.
func TestStore(t *testing.T) { storetest.Run(t, openPlace) }

// openPlace makes a data folder. Balances are folded and the mark is stored all the time, so that every test meets both.
func openPlace(t testing.TB, o storetest.Options) storetest.Place {
	return &folder{dir: t.TempDir(), opts: Options{BucketEvents: o.BucketEvents, Retention: o.Retention, CountRetention: o.CountRetention,
		UnverifiedRetention: o.UnverifiedRetention, AuditRetention: o.AuditRetention, MaxQueue: o.MaxQueue, SegmentRewards: o.SegmentRewards, Clock: o.Clock, Decide: o.Decide, Keys: o.Keys,
		foldAt: 3, foldSlice: 2, markEvery: 3, identity: noIdentity}}
}

// folder is a data folder as the suite sees it.
type folder struct {
	dir  string
	opts Options
	s    *Store // nil while none is open
	end  func() error
}

// sealing seals what is closed before it prunes, as the store does by itself after a while.
type sealing struct{ *Store }

// Prune drops what is too old.
func (s sealing) Prune(ctx context.Context) error {
	s.seal()
	return s.Store.Prune(ctx)
}

func (f *folder) Open(t testing.TB) storetest.Store {
	t.Helper()
	s, err := Open(f.dir, f.opts)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // what Run returns
	go func() { done <- s.Run(ctx) }()
	f.s, f.end = s, func() error {
		cancel()
		return <-done
	}
	return sealing{s}
}

func (f *folder) Stop(t testing.TB) {
	t.Helper()
	if err := f.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	checkInvariants(t, f.s)
	f.close(t)
}

func (f *folder) Crash(t testing.TB) {
	t.Helper()
	f.dir = crash(t, f.s)
	_ = f.end() // what becomes of the folder that was left does not matter
	f.close(t)
}

func (f *folder) close(t testing.TB) {
	t.Helper()
	if err := f.s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	f.s = nil
}

func (f *folder) Settle(t testing.TB) {
	t.Helper()
	settled(t, f.s)
}

func (f *folder) Invariants(t testing.TB) {
	t.Helper()
	if f.s != nil { // else Stop has checked them
		checkInvariants(t, f.s)
	}
}

func (f *folder) Find(t testing.TB, text string) (found []string) {
	t.Helper()
	var names []string
	each(t, f.s, `SELECT name FROM sqlite_master WHERE type = 'table'`, func(_ string, value []byte) { names = append(names, string(value)) })
	for _, name := range names {
		each(t, f.s, `SELECT * FROM `+name, func(column string, value []byte) {
			if strings.Contains(string(value), text) {
				found = append(found, fmt.Sprintf("table %s, column %s: %s", name, column, value))
			}
		})
	}
	return found
}

// Commits that fail leave nothing behind in rewards, and indexes that are gone are built again: the suite's comparison with plain
// books goes on as if nothing had been.
func TestRewardsAgreeWithPlainBooksDespiteFaults(t *testing.T) {
	seeds := 4
	if testing.Short() || race {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(uint64(seed), 12))
			r := newRig()
			open := func(t testing.TB, o storetest.Options) storetest.Place {
				clock := o.Clock
				o.Clock = func() time.Time {
					r.now()
					return clock()
				}
				f := openPlace(t, o).(*folder)
				f.opts.foldAt, f.opts.foldSlice = 1+rnd.IntN(6), 1+rnd.IntN(2)
				return forgetful{f, rnd}
			}
			storetest.Agree(t, open, rnd, func(t testing.TB, p storetest.Place, try func()) {
				s := p.(forgetful).s
				r.leave(t, s, int64(rnd.IntN(60)))
				for range 1 + rnd.IntN(2) {
					try()
				}
				r.free(t, s)
			})
		})
	}
}

// forgetful is a folder that loses some of its indexes before each start.
type forgetful struct {
	*folder
	*rand.Rand
}

// Open loses some indexes, then opens the store.
func (f forgetful) Open(t testing.TB) storetest.Store {
	t.Helper()
	for _, pattern := range []string{"index_*", "rewards_*"} {
		names, err := filepath.Glob(filepath.Join(f.dir, pattern))
		for _, name := range names {
			if f.IntN(3) == 0 && err == nil {
				err = os.Remove(name)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return f.folder.Open(t)
}
