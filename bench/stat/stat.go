// Package stat holds the statistics of the benchmark: latency histograms, medians and sets of sequence numbers.
package stat

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the largest latency that a histogram tells apart; longer ones count as this.
const longest = 10 * time.Minute

// Latency is a histogram of durations, in microseconds with three significant digits. Use [NewLatency].
// It is not safe for concurrent use.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency makes an empty histogram.
func NewLatency() Latency { return Latency{hdrhistogram.New(1, longest.Microseconds(), 3)} }

// Record adds one duration. One below a microsecond counts as a microsecond.
func (l Latency) Record(d time.Duration) {
	// The clamp keeps the value within the range of the histogram, so the error cannot happen.
	_ = l.h.RecordValue(min(max(d.Microseconds(), 1), longest.Microseconds()))
}

// Merge adds what other recorded.
func (l Latency) Merge(other Latency) { l.h.Merge(other.h) }

// Summary returns the percentiles of what was recorded; all zero when nothing was.
func (l Latency) Summary() Percentiles {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	if l.h.TotalCount() == 0 {
		return Percentiles{}
	}
	return Percentiles{
		Count: l.h.TotalCount(),
		Mean:  math.Round(l.h.Mean()) / 1000,
		P50:   ms(l.h.ValueAtPercentile(50)),
		P90:   ms(l.h.ValueAtPercentile(90)),
		P99:   ms(l.h.ValueAtPercentile(99)),
		P999:  ms(l.h.ValueAtPercentile(99.9)),
		Max:   ms(l.h.Max()),
	}
}

// Percentiles summarise a histogram, in milliseconds.
type Percentiles struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Median returns the middle value, or the mean of the two middle ones; NaN for none. It leaves values as they are.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}
