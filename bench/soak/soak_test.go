package main

import (
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"carom"
	"carom/bench/mark"
	"carom/bench/stat"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-minutes", "1", "-rate", "500"}, io.Discard)
	if err != nil || o.length() != time.Minute || o.Rate != 500 {
		t.Errorf("options %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-minutes", "0"}, {"-senders", "0"}, {"-disk", "-1"}, {"-none"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestReceiverTellsCopiesFromTwins(t *testing.T) {
	r := &receiver{run: 2}
	send := func(run uint32, seq uint64, place uint32) int {
		w := httptest.NewRecorder()
		id := carom.NewDeliveryID(1, carom.Ref{Bucket: 1, Seq: place}, 0)
		r.ServeHTTP(w, httptest.NewRequest("GET", "/postback?ymid="+mark.Mark{Run: run, Seq: seq}.String()+"&d="+string(id), nil))
		return w.Code
	}
	send(2, 0, 10)
	send(2, 70_000, 11)
	send(2, 0, 10)     // the same delivery again
	send(2, 70_000, 3) // the same event, stored twice
	send(1, 5, 5)      // of the time before
	r.set(modeFails)
	if got := send(2, 9, 12); got != 503 {
		t.Errorf("a receiver that fails answers %d", got)
	}
	if accepted, repeated, doubled := r.counts(); accepted != 2 || repeated != 1 || doubled != 1 {
		t.Errorf("accepted %d, repeated %d, doubled %d; want 2, 1, 1", accepted, repeated, doubled)
	}
	var acked stat.Set
	acked.Add(0)
	acked.Add(9)
	if n, which := r.missing(&acked); n != 1 || which[0] != 9 {
		t.Errorf("%d are missing: %v", n, which)
	}
}

// flatSamples are 40 samples over 4 minutes; the figures of the last quarter are times as large.
func flatSamples(times float64) []sample {
	var out []sample
	for i := range 40 {
		x := sample{At: float64(i) * 6, Age: 100, RSS: 100, Anon: 80, Heap: 50, FDs: 40}
		if i >= 30 {
			x.RSS *= times
			x.Heap *= times
		}
		out = append(out, x, sample{At: x.At, Age: 1, RSS: 5}) // a process that has just started says nothing
	}
	return out
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name   string
		r      report
		missed int
	}{
		{"flat", report{Minutes: 4, Acked: 1, Samples: flatSamples(1)}, 0},
		{"a little more", report{Minutes: 4, Acked: 1, Samples: flatSamples(1.2)}, 0},
		{"twice as much", report{Minutes: 4, Acked: 1, Samples: flatSamples(2)}, 2},
		{"lost and doubled", report{Minutes: 4, Acked: 1, Missing: 1, Doubled: 1, Samples: flatSamples(1)}, 2},
		{"nothing was dropped in a long run", report{Minutes: 20, Acked: 1}, 5},
		{"no samples", report{Minutes: 4, Acked: 1}, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.r.judge(); tt.r.Missed != tt.missed {
				t.Errorf("%d lines are missed, want %d: %+v", tt.r.Missed, tt.missed, tt.r.Flat)
			}
			tt.r.print(io.Discard)
		})
	}
}

func TestThePlanWithoutADiskOfItsOwn(t *testing.T) {
	s := &soak{disk: &disk{kind: kindNone}, receiver: &receiver{}}
	if n := len(s.plan()); n != 4 {
		t.Errorf("%d troubles, want 4: the disk is everybody's", n)
	}
	s.disk.kind = kindTmpfs
	last := 0.0
	for _, x := range s.plan() {
		if x.at < last {
			t.Errorf("%s begins before the one before it is over", x.name)
		}
		last = x.at + x.lasts
	}
}

func TestAFolderWithoutAMount(t *testing.T) {
	d, err := mountDisk(t.Context(), t.TempDir(), 0)
	if err != nil || d.kind != kindNone {
		t.Fatalf("mountDisk returned %+v, %v", d, err)
	}
	if err := d.clear(); err != nil {
		t.Errorf("clear returned %v", err)
	}
}
