package main

import (
	"context"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"carom/internal/pgtest"

	"github.com/google/go-cmp/cmp"
)

func TestPostgresParts(t *testing.T) {
	pgtest.Server(t) // skips without PostgreSQL
	o := tiny(t, "-postgres")
	o.Dir = reachable(t)
	o.WarmUp, o.Window = 50*time.Millisecond, 400*time.Millisecond
	r, err := newRig(o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	rep, err := readReport(r.Suite, r.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range r.Suite.parts {
		p := &part{}
		if err := sp.run(r, context.Background(), rep, p); err != nil {
			t.Fatalf("part %s: %v", sp.name, err)
		}
		rep.Parts[sp.name] = p
		if p.Missing != 0 || p.Duplicates != 0 || len(p.Rounds) == 0 {
			t.Errorf("part %s: missing %d, duplicates %d, %d rounds, notes %q", sp.name, p.Missing, p.Duplicates, len(p.Rounds), p.Notes)
		}
	}
	rep.sum()
	for _, f := range r.Suite.figures {
		// On a slow machine nothing may get through in so short a window, and then there is no ratio.
		if v, ok := rep.get(f.key); !ok && !strings.HasSuffix(f.key, "ratio") {
			t.Errorf("%s was not measured", f.key)
		} else if v < 0 {
			t.Errorf("%s = %v", f.key, v)
		}
	}
	if n := rep.figures["growth_events"]; n != 500 {
		t.Errorf("%v events for growth, want 500", n)
	}
	if share := rep.figures["index_share"]; share <= 0 || share >= 1 {
		t.Errorf("index_share = %v", share)
	}
}

// reachable makes a folder that the user postgres can reach, as it cannot what the testing package makes.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carombench")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) }) // the server's own folder goes with the server
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPostgresRatioFigures(t *testing.T) {
	account := func(cpu, commits float64) *databaseAccount {
		return &databaseAccount{CPUPer1000: cpu, CommitsPerSec: commits, EventsPerCommit: 30, RowsPerCommit: 100, WALPerEvent: 1500, ImagesPerEvent: 0.1, CommitMS: 4}
	}
	rep := &report{figures: map[string]float64{}}
	postgresRatioFigures(rep,
		[]measurement{{Delivered: 20_000, CPUPer1000: 0.04}, {Delivered: 10_000, CPUPer1000: 0.05}, {Delivered: 12_000, CPUPer1000: 0.06}},
		[]measurement{
			{Target: "carom", Delivered: 6000, CPUPer1000: 0.1, PeakRSS: 80, Database: account(0.05, 200)},
			{Target: "carom", Delivered: 9000, CPUPer1000: 0.08, PeakRSS: 90, Database: account(0.09, 300)},
			{Target: "carom", Delivered: 3000, CPUPer1000: 0.09, PeakRSS: 70, Database: account(0.07, 100)},
		})
	want := map[string]float64{figForwarder: 12_000, figCarom: 6000, "ratio": 0.5, "cpu_s_per_1000": 0.16, "node_cpu_s_per_1000": 0.09,
		"database_cpu_s_per_1000": 0.07, "forwarder_cpu_s_per_1000": 0.05, "commits_per_s": 200, "events_per_commit": 30, "rows_per_commit": 100,
		"wal_bytes_per_event": 1500, "wal_images_per_event": 0.1, "commit_ms": 4, "rss_mb": 90}
	near := cmp.Comparer(func(x, y float64) bool { return math.Abs(x-y) < 1e-9 })
	if diff := cmp.Diff(want, rep.figures, near); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

func TestAccountOfTheDatabase(t *testing.T) {
	first, last := databaseReading{cpu: time.Second, wal: 1000, images: 3, busy: 100}, databaseReading{cpu: 2 * time.Second, wal: 9000, images: 5, busy: 350}
	end := databaseReading{cpu: 3 * time.Second, wal: 16_000, images: 8, busy: 400}
	commits := 50.0
	tests := []struct {
		name    string
		events  float64
		commits *float64
		want    databaseAccount
	}{
		{"ten events", 10, &commits, databaseAccount{CPUPer1000: 200, WALPerEvent: 1500, ImagesPerEvent: 0.5, CommitsPerSec: 25, EventsPerCommit: 0.1, CommitMS: 5}},
		{"nothing came through", 0, &commits, databaseAccount{CommitsPerSec: 25, EventsPerCommit: 0.1, CommitMS: 5}},
		{"nodes that do not tell", 10, nil, databaseAccount{CPUPer1000: 200, WALPerEvent: 1500, ImagesPerEvent: 0.5}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, accountOf(first, last, end, tt.events, tt.commits, 5, 2)); diff != "" {
				t.Errorf("account (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSettingsSuitTheMachine(t *testing.T) {
	for memory, want := range map[int64]string{0: "128MB", 4 << 30: "1024MB", 24 << 30: "6144MB", 512 << 30: "8192MB"} {
		if got := settingsFor(memory)["shared_buffers"]; got != want {
			t.Errorf("with %d bytes of memory shared_buffers = %s, want %s", memory, got, want)
		}
	}
}

func TestCopiesLieInTheirBuckets(t *testing.T) {
	until := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := copies{events: 25, buckets: 3, run: 7, until: until, first: 4, node: 2 << seqBits}
	var last copied
	seen := map[int64]uint64{}
	for n := range c.events {
		e := c.event(n)
		bucket := e.place >> bucketBits
		seen[bucket]++
		opened := c.opened(uint64(bucket - c.first))
		if e.at.Before(opened) || !e.at.Before(opened.Add(bucketSpan)) {
			t.Errorf("event %d of bucket %d came at %v, which is not in the day from %v", n, bucket, e.at, opened)
		}
		if n > 0 && (e.place <= last.place || !e.at.After(last.at)) {
			t.Errorf("event %d does not come after the one before: %+v, %+v", n, last, e)
		}
		last = e
	}
	if diff := cmp.Diff(map[int64]uint64{4: 9, 5: 9, 6: 7}, seen); diff != "" {
		t.Errorf("events in each bucket (-want +got):\n%s", diff)
	}
	if end := c.opened(uint64(c.buckets)); !end.Equal(until) {
		t.Errorf("the last bucket ends at %v, want %v", end, until)
	}
}

func TestRowsAreCopiedWithOtherIdentities(t *testing.T) {
	const at = 1_700_000_000_500 // 122,163,200 s after 2020 began
	e := copied{place: 42, at: time.UnixMilli(1_800_000_000_700), mark: "new-mark", user: 7_000_000_009}
	tests := []struct {
		table, columns, row, want string
	}{
		{"events", "place at ymid telegram_id query", "7 1700000000500 old 700 ?ymid=old&u=700&x=old", "42 1800000000700 new-mark 7000000009 ?ymid=new-mark&u=7000000009&x=new-mark"},
		{"outcomes", "place at due_at url", "7 1700000000512 0 http://a/?y=old", "42 1800000000712 0 http://a/?y=new-mark"},
		{"keys", "place at until", "7 122163200 124755200", "42 222163200 224755200"},
	}
	for _, tt := range tests {
		t.Run(tt.table, func(t *testing.T) {
			row := strings.Fields(tt.row)
			s := stored{name: tt.table, columns: strings.Fields(tt.columns), rows: map[string][][]string{"7": {row}}}
			lines := s.lines("7", at, "old", "700")
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			if got := string(lines[0].append(nil, e)); got != strings.ReplaceAll(tt.want, " ", "\t")+"\n" {
				t.Errorf("row = %q, want %q", got, tt.want)
			}
		})
	}
	s := stored{name: "keys", columns: []string{"sum", "agreement"}, rows: map[string][][]string{"7": {{"x", "1"}}}}
	l := s.lines("7", at, "old", "700")[0]
	if x, y := string(l.append(nil, e)), string(l.append(nil, e)); x == y || strings.IndexByte(x, '\t') != 32 {
		t.Errorf("keys of two copies: %q and %q", x, y)
	}
}

func TestCopierWritesEveryEvent(t *testing.T) {
	c := copies{events: 5000, buckets: 2, until: time.Unix(1_800_000_000, 0)}
	b, err := io.ReadAll(&copier{copies: &c, models: [][]line{{{{slot: slotPlace}}}, {{{slot: slotPlace}}, {{slot: slotPlace}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "\n"); n != 7500 { // one row for an even event, two for an odd one
		t.Errorf("%d rows, want 7500", n)
	}
}
