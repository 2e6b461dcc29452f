package store

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"carom"
)

func TestBucketClosesWhenFull(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 10})
	for i, sub := range acceptSingly(t, s, "a", 25) {
		if got, want := place(t, sub.Receipt.ID), (carom.Ref{Bucket: uint32(1 + i/10), Seq: uint32(1 + i%10)}); got != want {
			t.Errorf("event %d lies at %+v, want %+v", i, got, want)
		}
	}
}

func TestBucketClosesAfterADay(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now})
	bucket := func(ymid string) uint32 {
		t.Helper()
		return place(t, accept(t, s, submission(ymid, c.now())).Receipt.ID).Bucket
	}
	for _, step := range []struct {
		ymid    string
		advance time.Duration
		want    uint32
	}{
		{"first", 0, 1},
		{"after most of a day", 23*time.Hour + 59*time.Minute, 1},
		{"after a day", time.Minute, 2},
		{"after the clock jumped back", -72 * time.Hour, 2},
		{"a week later", 10 * 24 * time.Hour, 3},
	} {
		c.advance(step.advance)
		if got := bucket(step.ymid); got != step.want {
			t.Errorf("%s: bucket %d, want %d", step.ymid, got, step.want)
		}
	}
}

func TestBucketClosesWhenRefusedOnesFillIt(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{BucketEvents: 10})
	for range 11 {
		refuse(t, s, refused("app", "monetag", noon))
	}
	if got := place(t, accept(t, s, submission("a", noon)).Receipt.ID).Bucket; got != 2 {
		t.Errorf("after 11 refused postbacks the open bucket is %d, want 2", got)
	}
}

// An empty bucket does not close with age: a server that gets nothing makes no tables.
func TestEmptyBucketStaysOpen(t *testing.T) {
	c := newClock()
	s, _ := open(t, t.TempDir(), Options{Clock: c.now})
	c.advance(100 * 24 * time.Hour)
	if got := place(t, accept(t, s, submission("a", c.now())).Receipt.ID).Bucket; got != 1 {
		t.Errorf("bucket %d, want 1", got)
	}
}

func TestIndexFilesThatBelongToNobodyAreRemoved(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{BucketEvents: 10})
	acceptSingly(t, s, "a", 15)
	s.seal()
	stop()
	for _, name := range []string{"index_77", "index_1.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left behind"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, dir, Options{BucketEvents: 10})
	names, err := filepath.Glob(filepath.Join(dir, "index_*"))
	if err != nil || len(names) != 1 || filepath.Base(names[0]) != "index_1" {
		t.Errorf("index files after a start: %v, %v, want index_1 alone", names, err)
	}
}

func TestOutcomeIDKeepsItsParts(t *testing.T) {
	for _, want := range []struct {
		seq              uint32
		ordinal, attempt int
	}{{1, 0, 1}, {1<<25 - 1, carom.MaxFanOut - 1, 1<<16 - 1}, {7, 3, 0}} {
		seq, ordinal, attempt := splitOutcomeID(outcomeID(want.seq, want.ordinal, want.attempt))
		if seq != want.seq || ordinal != want.ordinal || attempt != want.attempt {
			t.Errorf("outcomeID(%+v) comes back as %d, %d, %d", want, seq, ordinal, attempt)
		}
	}
}

// The write-ahead log starts over once a checkpoint has carried it over, also after a reader has kept it from that.
func TestLogStartsOver(t *testing.T) {
	s, _ := open(t, t.TempDir(), Options{})
	other, err := openWriter(filepath.Join(s.dir, databaseFile), 1) // the store's own belongs to its checkpointer
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	n := 0
	fill := func(events, bytes int) {
		t.Helper()
		for range events {
			n++
			sub := submission(strconv.Itoa(n), noon)
			sub.Event.Received.Body = make([]byte, bytes)
			accept(t, s, sub)
		}
	}
	carryOver := func() {
		t.Helper()
		if _, _, err := walCheckpoint(other, "PASSIVE"); err != nil {
			t.Fatalf("checkpoint: %v", err)
		}
		s.finishLog.Store(true)
		fill(3, 10) // the committer finishes between two of these commits, the next one starts over
	}
	pages := func() int64 {
		t.Helper()
		log, _, err := walCheckpoint(other, "NOOP")
		if err != nil {
			t.Fatalf("look at the log: %v", err)
		}
		return log
	}
	// The store's own checkpointer may be at work, and then a pass of ours does nothing: go on until one has its turn.
	startsOver := func(when string) {
		t.Helper()
		for range 200 {
			if carryOver(); pages() <= checkpointPages {
				return
			}
		}
		t.Errorf("%s the log holds %d pages, want it to have started over", when, pages())
	}
	fill(20, 1<<20)
	startsOver("after a checkpoint")

	reader, err := s.r.QueryContext(t.Context(), `SELECT seq FROM events_1 ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if !reader.Next() { // from here on it holds its view of the database
		t.Fatalf("read an event: %v", reader.Err())
	}
	fill(150, 1<<20)
	carryOver()
	if got := pages(); got < 150<<20/4096 {
		t.Errorf("while somebody reads an old state, the log holds %d pages, want it to go on", got)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	startsOver("after the reader has gone")
	info, err := os.Stat(filepath.Join(s.dir, databaseFile+"-wal"))
	if err != nil || info.Size() > (2*finishLog+checkpointPages)*4096 {
		t.Errorf("the log file has %d bytes, %v: want at most %d", info.Size(), err, (2*finishLog+checkpointPages)*4096)
	}
}
