package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The lines of the ledger that must be zero.
const (
	lineOpen = iota
	lineMissing
	lineRefused
	lineTwice
	lineUnknown
	lineCopies
	lineDelivery
	lineDamaged
	lines
)

// promises names those lines.
var promises = [lines]string{
	"cuts after which the folder does not open or work",
	"cuts with acknowledged events missing",
	"cuts with acknowledged refusals missing",
	"cuts with a dedupe key twice",
	"cuts with events that were never sent",
	"cuts with copies accepted again",
	"cuts with deliveries neither ended nor waiting, or both",
	"cuts with a damaged database",
}

// ledger is what all power cuts came to.
type ledger struct {
	rec      *recording
	cuts     int
	moments  map[int]bool
	variants [variants]int
	unsynced int // cuts at which something was not synced
	broken   [lines]int
	first    *failure
	pending  int // deliveries taken up again, over all cuts
	rebuilt  int // indexes built again
	took     time.Duration
}

// failure is the earliest cut that broke a promise.
type failure struct {
	trial
	findings []finding
}

func newLedger(rec *recording) *ledger { return &ledger{rec: rec, moments: map[int]bool{}} }

// add takes up one trial. It says whether that is the earliest failure so far.
func (l *ledger) add(t trial, res opened) (earliest bool) {
	l.cuts++
	l.moments[t.at] = true
	l.variants[t.v]++
	if t.lost != [2]int{} {
		l.unsynced++
	}
	l.pending += res.recovered.Pending
	l.rebuilt += res.recovered.Rebuilt
	var hit [lines]bool
	for _, f := range res.findings {
		hit[f.line] = true
	}
	for i := range hit {
		if hit[i] {
			l.broken[i]++
		}
	}
	if len(res.findings) == 0 || l.first != nil && l.first.n < t.n {
		return false
	}
	l.first = &failure{t, res.findings}
	return true
}

// violations is how many cuts broke how many promises, in all.
func (l *ledger) violations() int {
	sum := 0
	for _, n := range l.broken {
		sum += n
	}
	return sum
}

// summary is one line about the recording.
func (r *recording) summary() string {
	var kinds [opAnswer + 1]int
	var bytes int64
	syncs := map[string]int{}
	over := 0
	begun := map[int]bool{} // logs whose header was written
	for i := range r.ops {
		o := &r.ops[i]
		if o.kind == opWrite && o.off == 0 && strings.HasSuffix(r.label[o.file], "-wal") {
			if begun[o.file] {
				over++
			}
			begun[o.file] = true
		}
		kinds[o.kind]++
		bytes += int64(len(o.data))
		if o.kind == opSync {
			syncs[family(r.label[o.file])]++
		}
	}
	var by []string
	for name, n := range syncs {
		by = append(by, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(by)
	return fmt.Sprintf("%d lives, %d writes of %.1f MB, %d syncs of files (%s) and %d of the folder, %d names made or changed, %d removed, %d lengths cut, %d answers; "+
		"the write-ahead log started over %d times; strace wrote %.0f MB",
		r.life, kinds[opWrite], float64(bytes)/1e6, kinds[opSync], strings.Join(by, ", "), kinds[opSyncDir], kinds[opName], kinds[opUnname], kinds[opTruncate],
		kinds[opAnswer], over, float64(r.logged)/1e6)
}

// family is a file's name without its number.
func family(name string) string {
	if strings.HasPrefix(name, "index_") {
		return "index"
	}
	return name
}

// print writes the ledger and, when a promise was broken, the earliest cut that did so.
func (l *ledger) print(w io.Writer) {
	_, _ = fmt.Fprintln(w)
	row := func(what string, n int) { _, _ = fmt.Fprintf(w, "%-58s %8d\n", what, n) }
	events, refused := l.acknowledged()
	row("events acknowledged", events)
	row("refusals acknowledged", refused)
	row("power cuts tried", l.cuts)
	row("  at different moments", len(l.moments))
	row("  with something not synced", l.unsynced)
	for v, n := range l.variants {
		row("  "+variant(v).String(), n)
	}
	row("deliveries taken up again", l.pending)
	row("indexes built again", l.rebuilt)
	for i, n := range l.broken {
		mark := ""
		if n > 0 {
			mark = "  VIOLATED"
		}
		_, _ = fmt.Fprintf(w, "%-58s %8d%s\n", promises[i], n, mark)
	}
	_, _ = fmt.Fprintf(w, "%-58s %8s\n", "took", l.took.Round(time.Second/10))
	if l.first != nil {
		l.first.print(w, l.rec)
	}
}

// acknowledged counts the entries that were answered 200 at least once.
func (l *ledger) acknowledged() (events, refused int) {
	seen := make([]bool, len(l.rec.entries))
	for i := range l.rec.ops {
		o := &l.rec.ops[i]
		if o.kind != opAnswer {
			continue
		}
		if e, ok := l.rec.acknowledged(o.answer); ok && !seen[e] {
			seen[e] = true
			if l.rec.entries[e].refused {
				refused++
			} else {
				events++
			}
		}
	}
	return events, refused
}

// maxShown is how many findings and operations of the earliest failure are printed.
const maxShown = 8

func (f *failure) print(w io.Writer, rec *recording) {
	_, _ = fmt.Fprintf(w, "\nThe earliest cut that breaks a promise is before operation %d of %d, in the variant %q, with %d writes and %d names not synced:\n",
		f.at, len(rec.ops), f.v, f.lost[0], f.lost[1])
	for i, x := range f.findings {
		if i == maxShown {
			_, _ = fmt.Fprintf(w, "  … and %d more\n", len(f.findings)-i)
			break
		}
		_, _ = fmt.Fprintf(w, "  %s\n", x.text)
	}
	_, _ = fmt.Fprintln(w, "What was done before it:")
	for i := max(0, f.at-maxShown); i < f.at; i++ {
		_, _ = fmt.Fprintf(w, "  %d: %s\n", i, rec.describe(&rec.ops[i]))
	}
	_, _ = fmt.Fprintln(w, "The folder is kept beside the recording, in rebuilt/:")
	for name, b := range f.content {
		_, _ = fmt.Fprintf(w, "  %s, %d bytes\n", name, len(b))
	}
}

// describe writes one operation for people.
func (r *recording) describe(o *op) string {
	switch o.kind {
	case opWrite:
		return fmt.Sprintf("write %d bytes at %d of %s (file %d)", len(o.data), o.off, r.label[o.file], o.file)
	case opTruncate:
		return fmt.Sprintf("cut %s (file %d) to %d bytes", r.label[o.file], o.file, o.off)
	case opSync:
		return fmt.Sprintf("sync %s (file %d)", r.label[o.file], o.file)
	case opName:
		return fmt.Sprintf("name file %d %s, not %q", o.file, o.to, o.from)
	case opUnname:
		return fmt.Sprintf("remove %s (file %d)", o.from, o.file)
	case opSyncDir:
		return "sync the folder"
	}
	who := "somebody"
	if e, ok := r.acknowledged(o.answer); ok {
		who = r.entries[e].ymid
	}
	return fmt.Sprintf("answer %d to %s", o.answer.status, who)
}
