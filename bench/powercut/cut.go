package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"carom/bench/proc"
)

// cut is one power cut to try: the operations before place at have returned, and v says what of the unsynced ones is left.
type cut struct {
	at int
	v  variant
}

// plan chooses the power cuts, earliest first. Half of them are at moments that matter most: just before something is
// synced, just after an answer, and around each change of a name or a length.
func plan(ops []op, n int, rng *rand.Rand) []cut {
	var cuts []cut
	if n == 0 {
		for at := range len(ops) + 1 {
			for v := range variants {
				cuts = append(cuts, cut{at, v})
			}
		}
		return cuts
	}
	var risky []int
	for i := range ops {
		switch ops[i].kind {
		case opSync, opSyncDir:
			risky = append(risky, i)
		case opAnswer:
			risky = append(risky, i+1)
		case opName, opUnname, opTruncate:
			risky = append(risky, i, i+1)
		}
	}
	risky = slices.Compact(risky)
	rng.Shuffle(len(risky), func(i, j int) { risky[i], risky[j] = risky[j], risky[i] })
	for i := range n {
		c := cut{rng.IntN(len(ops) + 1), variant(i/2) % variants}
		if i%2 == 0 && len(risky) > 0 {
			c.at = risky[i/2%len(risky)]
		}
		cuts = append(cuts, c)
	}
	slices.SortStableFunc(cuts, func(a, b cut) int { return cmp.Compare(a.at, b.at) })
	return cuts
}

// trial is a folder to be opened.
type trial struct {
	cut
	n       int // place among the cuts
	content map[string][]byte
	acked   []entry
	lost    [2]int // unsynced contents and names
}

// cutAll tries all power cuts and returns the ledger.
func cutAll(ctx context.Context, o options, rec *recording, w io.Writer) (ledger, error) {
	if o.Forget != "" && o.Forget != "." && !slices.Contains(rec.label, o.Forget) {
		return ledger{}, fmt.Errorf("-forget-syncs: no file %q was made: %s were", o.Forget, strings.Join(rec.label[1:], ", "))
	}
	scratch, cleanup, err := scratchFolder(o.Scratch, rec)
	if err != nil {
		return ledger{}, err
	}
	defer cleanup()
	l := newLedger(rec)
	known := map[string]bool{}
	for _, e := range rec.entries {
		known[e.ymid] = true
	}
	cuts := plan(rec.ops, o.Cuts, rand.New(rand.NewPCG(o.Seed, 1)))
	trials := make(chan trial) // unbuffered: each holds a whole folder
	var wg sync.WaitGroup
	var mu sync.Mutex // guards l and failed
	var failed error
	began, shown := time.Now(), time.Now()
	for i := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for t := range trials {
				res, err := examine(filepath.Join(scratch, fmt.Sprint(i)), t.content, t.acked, known)
				mu.Lock()
				if err != nil {
					failed = err
				}
				if first := l.add(t, res); first {
					failed = cmp.Or(failed, fill(filepath.Join(o.Dir, "rebuilt"), t.content))
				}
				if time.Since(shown) > 10*time.Second {
					shown = time.Now()
					_, _ = fmt.Fprintf(w, "%d of %d cuts, %d findings, %v\n", l.cuts, len(cuts), l.violations(), time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	d, done := newDisk(o.Forget), 0
	var acked []entry
	seen := make([]bool, len(rec.entries))
	for n, c := range cuts {
		for ; done < c.at; done++ {
			op := &rec.ops[done]
			d.apply(done, op)
			if op.kind == opAnswer {
				if e, ok := rec.acknowledged(op.answer); ok && !seen[e] {
					seen[e] = true
					acked = append(acked, rec.entries[e])
				}
			}
		}
		t := trial{cut: c, n: n, acked: acked[:len(acked):len(acked)]}
		t.lost[0], t.lost[1] = d.unsynced()
		t.content = d.rebuild(c.v, rand.New(rand.NewPCG(o.Seed, uint64(n)+2)))
		select {
		case trials <- t:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(trials)
	wg.Wait()
	l.took = time.Since(began)
	return *l, cmp.Or(context.Cause(ctx), failed)
}

// scratchFolder makes a folder for rebuilt folders, in memory if there is enough: syncing them takes most of the time
// otherwise.
func scratchFolder(parent string, rec *recording) (dir string, cleanup func(), err error) {
	const memory = "/dev/shm"
	if _, inMemory, err := proc.FileSystem(memory); parent == "" && err == nil && inMemory {
		parent = memory
	}
	if dir, err = os.MkdirTemp(parent, "carom-powercut-"); err == nil && parent == memory {
		// Each of those who open folders may need the database, its log, and both again in between.
		if err = probe(filepath.Join(dir, "probe"), 4*int64(runtime.GOMAXPROCS(0))*rec.largest()); err != nil {
			_ = os.RemoveAll(dir) // it holds the probe at most
		}
	}
	if err != nil && parent == memory {
		dir, err = os.MkdirTemp("", "carom-powercut-")
	}
	return dir, func() { _ = os.RemoveAll(dir) }, err // what stays only takes space
}

// probe says whether there is space for so many bytes.
func probe(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	chunk := make([]byte, 1<<20)
	for ; bytes > 0 && err == nil; bytes -= int64(len(chunk)) {
		_, err = f.Write(chunk)
	}
	return cmp.Or(err, f.Close(), os.Remove(path))
}

// largest is a bound on the bytes in the data folder at any moment.
func (r *recording) largest() int64 {
	longest := map[string]int64{}
	for i := range r.ops {
		if o := &r.ops[i]; o.kind == opWrite {
			name := r.label[o.file]
			longest[name] = max(longest[name], o.off+int64(len(o.data)))
		}
	}
	var sum int64
	for _, n := range longest {
		sum += n
	}
	return sum
}
