package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"carom"
	"carom/internal/deliver"
)

// attemptMetrics counts attempts by what they came to. It returns the engine's observer.
func attemptMetrics(r prometheus.Registerer) func(deliver.Outcome, time.Duration) {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "carom_attempts_total", Help: "Attempts made, by what the delivery became: delivered, pending (it will be tried again) or dead.",
	}, []string{"state"})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "carom_attempt_seconds", Help: "How long attempts took, in seconds.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})
	r.MustRegister(attempts, seconds)
	counters := map[carom.DeliveryState]prometheus.Counter{}
	for _, state := range []carom.DeliveryState{carom.Delivered, carom.Pending, carom.Dead} {
		counters[state] = attempts.WithLabelValues(string(state))
	}
	return func(o deliver.Outcome, took time.Duration) {
		counters[o.State].Inc()
		seconds.Observe(took.Seconds())
	}
}

// registerStats publishes the store's counters, the lanes' states, and those of the process.
func registerStats(r prometheus.Registerer, st Store, engine *deliver.Engine) {
	s := st.Stats()
	counter := func(name, help string, value func() int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter("carom_store_commits_total", "Transactions committed.", s.Commits.Load)
	counter("carom_store_syncs_total", "Waits for the disk, by commits and checkpoints.", s.Syncs.Load)
	counter("carom_store_failed_commits_total", "Transactions that failed and were rolled back; their callers were told to try later.", s.Failed.Load)
	counter("carom_store_events_total", "Events stored.", s.Events.Load)
	counter("carom_store_duplicates_total", "Copies of stored events.", s.Duplicates.Load)
	counter("carom_store_attempts_total", "Outcomes of attempts stored.", s.Attempts.Load)
	gauge("carom_store_queued", "Submissions that waited for a commit after the last one.", func() float64 { return float64(s.Queued.Load()) })
	gauge("carom_attempts_in_flight", "Attempts under way.", func() float64 { return float64(engine.InFlight()) })
	r.MustRegister(lanes{engine}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// lanes collects the state of each lane.
type lanes struct{ engine *deliver.Engine }

var (
	laneQueued   = prometheus.NewDesc("carom_lane_queued", "Deliveries that wait in the memory of the endpoint's lane.", []string{"endpoint"}, nil)
	laneInFlight = prometheus.NewDesc("carom_lane_in_flight", "Attempts under way to the endpoint.", []string{"endpoint"}, nil)
	laneOpen     = prometheus.NewDesc("carom_lane_breaker_open", "1 while the endpoint's breaker is open.", []string{"endpoint"}, nil)
)

// Describe implements prometheus.Collector.
func (l lanes) Describe(ch chan<- *prometheus.Desc) {
	ch <- laneQueued
	ch <- laneInFlight
	ch <- laneOpen
}

// Collect implements prometheus.Collector.
func (l lanes) Collect(ch chan<- prometheus.Metric) {
	for _, s := range l.engine.Lanes() {
		open := 0.0
		if s.Breaker == "open" {
			open = 1
		}
		ch <- prometheus.MustNewConstMetric(laneQueued, prometheus.GaugeValue, float64(s.Queued), s.Endpoint)
		ch <- prometheus.MustNewConstMetric(laneInFlight, prometheus.GaugeValue, float64(s.InFlight), s.Endpoint)
		ch <- prometheus.MustNewConstMetric(laneOpen, prometheus.GaugeValue, open, s.Endpoint)
	}
}
