package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"net/url"
	"path/filepath"
	"text/tabwriter"
	"time"

	"carom/bench/proc"
	"carom/bench/stat"

	_ "modernc.org/sqlite" // the driver the buckets are counted with
)

// sample is what the server has at a moment.
type sample struct {
	At   float64 `json:"at_s"`   // since the begin
	Life int     `json:"life"`   // which process
	Age  float64 `json:"age_s"`  // of that process
	RSS  float64 `json:"rss_mb"` // all of it
	Anon float64 `json:"anon_mb"`
	Heap float64 `json:"heap_mb"` // in use
	FDs  float64 `json:"fds"`
}

// sampleEvery is how often. A process that has just started is left out of the comparison for settled.
const (
	sampleEvery = 5 * time.Second
	settled     = 8 * time.Second
)

// sample looks at the server until ctx ends. A server that is away is not sampled.
func (s *soak) sample(ctx context.Context) []sample {
	began := time.Now()
	tick := time.NewTicker(min(sampleEvery, s.length()/48))
	defer tick.Stop()
	var out []sample
	for {
		select {
		case <-ctx.Done():
			return out
		case <-tick.C:
		}
		s.mu.Lock()
		server, x := s.server, sample{Life: s.life, Age: time.Since(s.since).Seconds(), At: time.Since(began).Seconds()}
		s.mu.Unlock()
		if x.read(ctx, server) {
			out = append(out, x)
		}
	}
}

func (x *sample) read(ctx context.Context, server *proc.Carom) bool {
	const heap = "go_memstats_heap_inuse_bytes"
	const mb = 1 << 20
	u, err1 := server.Usage()
	anon, err2 := server.AnonymousRSS()
	fds, err3 := server.OpenFiles()
	inUse, ok := server.Counters(ctx, heap)[heap]
	if err1 != nil || err2 != nil || err3 != nil || !ok {
		return false
	}
	x.RSS, x.Anon, x.Heap, x.FDs = float64(u.RSS)/mb, float64(anon)/mb, inUse/mb, float64(fds)
	return true
}

// occurrence is a trouble that happened.
type occurrence struct {
	Name string  `json:"name"`
	At   float64 `json:"at_s"`
}

// flat compares a figure in the two last quarters.
type flat struct {
	Name   string  `json:"name"`
	Third  float64 `json:"third_quarter"` // medians
	Fourth float64 `json:"fourth_quarter"`
	Limit  float64 `json:"limit"` // of the fourth
	Holds  bool    `json:"holds"`
}

// report is what is written.
type report struct {
	At              string        `json:"at"`
	Minutes         float64       `json:"minutes"`
	Disk            string        `json:"disk"`
	Saturated       float64       `json:"saturated_per_s"`
	Rate            float64       `json:"rate"`
	Sent            uint64        `json:"sent"`
	Acked           int64         `json:"acked"`
	Statuses        map[int]int64 `json:"statuses"`
	Unanswered      int64         `json:"unanswered"`
	Accepted        int64         `json:"accepted"` // by the receiver: those acknowledged, and some whose answer was lost
	Repeated        int64         `json:"repeated"` // accepted again with the same delivery id
	Missing         int64         `json:"missing"`  // acknowledged and never accepted
	MissingExamples []uint64      `json:"missing_examples,omitempty"`
	Doubled         int64         `json:"doubled"` // one event under two delivery ids
	Lives           int           `json:"lives"`
	BucketsClosed   int64         `json:"buckets_closed"`
	BucketsDropped  int64         `json:"buckets_dropped"`
	DrainSeconds    float64       `json:"drain_s"`
	Flat            []flat        `json:"flat"`
	Troubles        []occurrence  `json:"troubles"`
	Samples         []sample      `json:"samples"`
	Missed          int           `json:"missed"` // lines that do not hold
}

// readBuckets counts the buckets of a server that was stopped.
func (r *report) readBuckets(dir string) error {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, "carom.db"))}).EscapedPath(), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // only read
	err = db.QueryRow(`SELECT count(*) FILTER (WHERE closed_at > 0), count(*) FILTER (WHERE dropped > 0) FROM buckets`).Scan(&r.BucketsClosed, &r.BucketsDropped)
	if err != nil {
		return fmt.Errorf("count the buckets: %w", err)
	}
	return nil
}

// growth is by how much a figure may be larger in the last quarter; to it comes an allowance for what varies by itself.
const growth = 1.10

// dropsFrom is from what length on buckets have to have been dropped.
const dropsFrom = 8

// judge counts the lines that do not hold.
func (r *report) judge() {
	for _, x := range []struct {
		name      string
		of        func(sample) float64
		allowance float64
	}{
		{"memory (MB)", func(x sample) float64 { return x.RSS }, 32},
		{"memory of its own (MB)", func(x sample) float64 { return x.Anon }, 32},
		{"heap in use (MB)", func(x sample) float64 { return x.Heap }, 16},
		{"open files", func(x sample) float64 { return x.FDs }, 16},
	} {
		f := flat{Name: x.name, Third: r.median(2, x.of), Fourth: r.median(3, x.of)}
		f.Limit = f.Third*growth + x.allowance
		f.Holds = f.Fourth <= f.Limit // false when there is no sample
		r.Flat = append(r.Flat, f)
		if !f.Holds {
			r.Missed++
		}
		if math.IsNaN(f.Third) || math.IsNaN(f.Fourth) { // which JSON does not know
			r.Flat[len(r.Flat)-1] = flat{Name: x.name}
		}
	}
	for _, broken := range []bool{r.Missing > 0, r.Doubled > 0, r.Acked == 0, r.Minutes >= dropsFrom && r.BucketsDropped == 0} {
		if broken {
			r.Missed++
		}
	}
}

// median is that of a figure in a quarter, 0 to 3, over all processes that were up for a while.
func (r *report) median(quarter int, of func(sample) float64) float64 {
	var values []float64
	for _, x := range r.Samples {
		if int(x.At/(r.Minutes*60/4)) == quarter && x.Age >= settled.Seconds() {
			values = append(values, of(x))
		}
	}
	return stat.Median(values)
}

func (r *report) print(w io.Writer) {
	verdict := func(ok bool) string {
		if ok {
			return "holds"
		}
		return "MISSED"
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, value any) { _, _ = fmt.Fprintf(tw, "%s\t"+format+"\n", name, value) }
	must := func(name, format string, value any, rule string, ok bool) {
		_, _ = fmt.Fprintf(tw, "%s\t"+format+"\t%s\t%s\n", name, value, rule, verdict(ok))
	}
	_, _ = fmt.Fprintln(w)
	line("saturated", "%.0f/s", r.Saturated)
	line("sent", "%d", r.Sent)
	must("  answered 200", "%d", r.Acked, "more than 0", r.Acked > 0)
	for status, n := range r.Statuses {
		if status != 200 {
			line(fmt.Sprintf("  answered %d", status), "%d", n)
		}
	}
	line("  without an answer", "%d", r.Unanswered)
	line("accepted by the receiver", "%d", r.Accepted)
	line("  again, with the same id", "%d", r.Repeated)
	must("acknowledged and missing", "%d", r.Missing, "0", r.Missing == 0)
	must("events with two delivery ids", "%d", r.Doubled, "0", r.Doubled == 0)
	line("processes", "%d", r.Lives)
	line("buckets closed", "%d", r.BucketsClosed)
	must("buckets dropped", "%d", r.BucketsDropped, "more than 0 in a long run", r.Minutes < dropsFrom || r.BucketsDropped > 0)
	line("drained in", "%.0f s", r.DrainSeconds)
	for _, f := range r.Flat {
		must(f.Name, "%s", fmt.Sprintf("%.0f, then %.0f", f.Third, f.Fourth), fmt.Sprintf("%.0f at most", f.Limit), f.Holds)
	}
	_ = tw.Flush() // the exit code says the same
}
