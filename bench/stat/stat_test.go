package stat

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLatencySummary(t *testing.T) {
	a, b := NewLatency(), NewLatency()
	for i := 1; i <= 500; i++ {
		a.Record(time.Duration(i) * time.Millisecond)
	}
	for i := 501; i <= 1000; i++ {
		b.Record(time.Duration(i) * time.Millisecond)
	}
	a.Merge(b)
	got := a.Summary()
	if got.Count != 1000 {
		t.Fatalf("count = %d, want 1000", got.Count)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"p50", got.P50, 500}, {"p90", got.P90, 900}, {"p99", got.P99, 990}, {"p99.9", got.P999, 999}, {"max", got.Max, 1000}, {"mean", got.Mean, 500.5}} {
		if math.Abs(c.got-c.want) > c.want/1000 {
			t.Errorf("%s = %v ms, want %v within 0.1 %%", c.name, c.got, c.want)
		}
	}
}

func TestLatencyClampsAndStartsEmpty(t *testing.T) {
	l := NewLatency()
	if got := l.Summary(); got != (Percentiles{}) {
		t.Errorf("empty summary = %+v", got)
	}
	l.Record(-time.Second)
	l.Record(24 * time.Hour)
	if got := l.Summary(); got.Count != 2 || got.P50 != 0.001 || got.Max < 599_000 {
		t.Errorf("clamped summary = %+v, want 2 values between 0.001 ms and 10 min", got)
	}
}

func TestMedian(t *testing.T) {
	tests := []struct {
		name string
		in   []float64
		want float64
	}{{"one", []float64{4}, 4}, {"odd", []float64{9, 1, 5}, 5}, {"even", []float64{4, 1, 3, 2}, 2.5}}
	for _, tt := range tests {
		if got := Median(tt.in); got != tt.want {
			t.Errorf("%s: Median(%v) = %v, want %v", tt.name, tt.in, got, tt.want)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is not NaN")
	}
}

func TestSetCountsFreshOnesOnly(t *testing.T) {
	var s Set
	for _, i := range []uint64{0, 63, 64, 100_000, 64, 0} {
		s.Add(i)
	}
	if s.Len() != 4 || !s.Has(63) || s.Has(62) || s.Has(1<<40) {
		t.Errorf("set holds %d, 63 %v, 62 %v", s.Len(), s.Has(63), s.Has(62))
	}
	if s.Add(maxMember) || s.Len() != 4 {
		t.Error("a number beyond the bound was kept")
	}
}

func TestSetMissingMergeAndRoundTrip(t *testing.T) {
	var want, got, more Set
	for i := range uint64(1000) {
		want.Add(i)
		if i%100 != 7 {
			got.Add(i)
		}
	}
	n, examples := got.Missing(&want)
	if diff := cmp.Diff([]uint64{7, 107, 207, 307, 407, 507, 607, 707}, examples); n != 10 || diff != "" {
		t.Errorf("missing %d (-want +got):\n%s", n, diff)
	}
	b, _ := want.MarshalBinary()
	var back Set
	if err := back.UnmarshalBinary(b); err != nil || back.Len() != 1000 {
		t.Fatalf("round trip: %d members, %v", back.Len(), err)
	}
	if n, _ := back.Missing(&want); n != 0 {
		t.Errorf("round trip lost %d", n)
	}
	more.Merge(&want)
	more.Merge(&got)
	if more.Len() != 1000 {
		t.Errorf("merged set holds %d, want 1000", more.Len())
	}
}
