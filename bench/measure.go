package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"time"

	"carom/bench/load"
	"carom/bench/sink"
	"carom/bench/stat"
)

const (
	// drainStall and drainLimit bound the wait for what is still under way: no progress for so long, or so long in all.
	// A first retry comes after five seconds, so that one failed attempt does not count as a stall.
	drainStall = 15 * time.Second
	drainLimit = 3 * time.Minute

	metricCommits = "carom_store_commits_total"
	metricSyncs   = "carom_store_syncs_total"
)

// measurement is one target under one load. Rates, latencies and processor times cover the window after the warm-up; the
// account of events covers everything that was sent.
type measurement struct {
	Target     string           `json:"target"`
	Round      int              `json:"round"`
	Rate       float64          `json:"rate"` // events per second asked for; 0 is a closed loop
	Accepted   float64          `json:"accepted_per_s"`
	Delivered  float64          `json:"delivered_per_s"` // at the sink
	CPUPer1000 float64          `json:"cpu_s_per_1000"`  // of the target, until everything was delivered
	LoadCPU    float64          `json:"load_cpu_s"`      // of the whole run
	LoadShare  float64          `json:"load_share"`      // the same of what the machine's processors can give in that time
	SinkCPU    float64          `json:"sink_cpu_s"`
	PeakRSS    float64          `json:"peak_rss_mb"`
	Commits    *float64         `json:"commits"` // in the window; null when the target does not tell
	Syncs      *float64         `json:"syncs"`
	Accept     stat.Percentiles `json:"accept"`
	EndToEnd   stat.Percentiles `json:"e2e"`
	Acked      int64            `json:"acked"`
	Refused    int64            `json:"refused"` // answered, but not 200 or not as wanted
	Errors     int64            `json:"errors"`
	Missing    int64            `json:"missing"` // acknowledged and not at the sink after the drain
	Duplicates int64            `json:"duplicates"`
	Drain      float64          `json:"drain_s"`
	Lag        float64          `json:"lag_ms"` // of the load generator's own pacer
	Error      string           `json:"error,omitempty"`

	LongestSync float64 `json:"longest_sync_ms,omitempty"` // of a file beside the data, by nobody who is measured; 0: not watched

	Nodes    int              `json:"nodes,omitempty"`    // on one database
	Database *databaseAccount `json:"database,omitempty"` // nil with a data folder

	Ad    *stat.Percentiles `json:"ad,omitempty"` // of views: the requests before the last one
	Start *stat.Percentiles `json:"start,omitempty"`

	sent *load.Result
}

// reading is the state of everything at one moment of a measurement.
type reading struct {
	at       time.Time
	unique   int64
	cpu      time.Duration // of the target, all nodes together
	sinkCPU  time.Duration
	counters map[string]float64
	database databaseReading
}

func (r *rig) read(ctx context.Context, t target, run uint32) (x reading, err error) {
	s, err := r.client.Stats(ctx, run)
	if err != nil {
		return x, err
	}
	u, err := t.process.Usage()
	if err != nil {
		return x, fmt.Errorf("%s: %w", t.name, err)
	}
	for _, c := range t.others {
		its, err := c.Usage()
		if err != nil {
			return x, fmt.Errorf("%s: %w", t.name, err)
		}
		u.CPU += its.CPU
	}
	su, err := r.sink.Usage()
	if err != nil {
		return x, err
	}
	x = reading{at: time.Unix(0, s.At), unique: s.Unique, cpu: u.CPU, sinkCPU: su.CPU}
	for _, c := range t.nodes() {
		counters := c.Counters(ctx, metricCommits, metricSyncs)
		for name, v := range x.counters {
			if _, ok := counters[name]; ok {
				counters[name] += v
			}
		}
		x.counters = counters
	}
	if t.onDB {
		x.database, err = r.db.read(ctx)
	}
	return x, err
}

// plan says how a target is loaded.
type plan struct {
	rate    float64       // 0 saturates
	senders int           // 0: as many as usual
	lead    time.Duration // how long before the first event something is sent already
	warmUp  time.Duration
	window  time.Duration
}

// measure loads the target, waits until what it acknowledged has arrived, and returns the figures.
func (r *rig) measure(ctx context.Context, t target, p plan) (m measurement, err error) {
	run := r.run()
	start := time.Now().Add(r.Connect + p.lead)
	from := start.Add(p.warmUp)
	if err := r.client.Expect(ctx, run, from.UnixNano()); err != nil {
		return m, err
	}
	type loaded struct {
		res *load.Result
		cpu time.Duration
		err error
	}
	done := make(chan loaded, 1) // holds the one result, so that the sender never waits
	go func() {
		var l loaded
		cfg := t.traffic
		cfg.Addr, cfg.Run, cfg.Senders, cfg.Rate = t.addr, run, cmp.Or(p.senders, r.Senders), p.rate
		for _, c := range t.others {
			cfg.More = append(cfg.More, c.Addr)
		}
		cfg.StartAt, cfg.WarmUp, cfg.Duration = start.UnixNano(), p.warmUp, p.window
		l.res, l.cpu, l.err = r.load(cfg)
		done <- l
	}()
	var first, last reading
	if err = sleepUntil(ctx, from); err == nil {
		if first, err = r.read(ctx, t, run); err == nil {
			if err = sleepUntil(ctx, from.Add(p.window)); err == nil {
				last, err = r.read(ctx, t, run)
			}
		}
	}
	l := <-done
	if err != nil || l.err != nil {
		return m, fmt.Errorf("measure %s: %w", t.name, firstOf(err, l.err))
	}
	m = measurement{Target: t.name, Rate: p.rate, Accepted: l.res.PerSec, Accept: l.res.Latency, LoadCPU: l.cpu.Seconds(),
		Acked: l.res.Acked, Refused: l.res.Unwanted, Errors: l.res.Errors, Lag: l.res.Lag, Error: l.res.Error, sent: l.res}
	m.LoadShare = m.LoadCPU / (r.Connect + p.lead + p.warmUp + p.window).Seconds() / float64(runtime.NumCPU())
	if t.traffic.Zone != "" {
		m.Ad, m.Start = &l.res.Ad, &l.res.Start
	}
	for status, n := range l.res.Statuses {
		if status != 200 {
			m.Refused += n
		}
	}
	return m, r.finish(ctx, t, run, l.res, first, last, &m)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// finish drains and fills in what is known only then.
func (r *rig) finish(ctx context.Context, t target, run uint32, res *load.Result, first, last reading, m *measurement) error {
	end := last
	if t.sends {
		began := time.Now()
		s, err := r.drain(ctx, r.client, run, res.Acked)
		if err != nil {
			return err
		}
		m.Drain = time.Since(began).Seconds()
		checked, err := r.client.Check(ctx, run, res.Acknowledged())
		if err != nil {
			return err
		}
		m.EndToEnd, m.Duplicates, m.Missing = s.Latency, s.Duplicates, checked.Missing
		if end, err = r.read(ctx, t, run); err != nil {
			return err
		}
	}
	seconds := last.at.Sub(first.at).Seconds()
	m.Delivered = float64(last.unique-first.unique) / seconds
	events := float64(end.unique - first.unique)
	if !t.sends {
		events = float64(res.Latency.Count)
	}
	if events > 0 {
		m.CPUPer1000 = (end.cpu - first.cpu).Seconds() / events * 1000
	}
	m.SinkCPU = (end.sinkCPU - first.sinkCPU).Seconds()
	m.Commits = difference(first.counters, last.counters, metricCommits)
	m.Syncs = difference(first.counters, last.counters, metricSyncs)
	if t.onDB {
		m.Nodes = len(t.nodes())
		m.Database = accountOf(first.database, last.database, end.database, events, m.Commits, m.Delivered*seconds, seconds)
	}
	u, err := t.process.Usage()
	m.PeakRSS = megabytes(u.PeakRSS)
	return err
}

func difference(a, b map[string]float64, name string) *float64 {
	before, ok1 := a[name]
	after, ok2 := b[name]
	if !ok1 || !ok2 {
		return nil
	}
	d := after - before
	return &d
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

// drain waits until want events of run have arrived at the sink, or until nothing more comes.
func (r *rig) drain(ctx context.Context, c sink.Client, run uint32, want int64) (sink.Stats, error) {
	return r.drainWithin(ctx, c, run, want, drainStall, drainLimit)
}

// drainWithin is drain with bounds of its own: no progress for stall, or total in all.
func (r *rig) drainWithin(ctx context.Context, c sink.Client, run uint32, want int64, stall, total time.Duration) (s sink.Stats, err error) {
	limit := time.Now().Add(total)
	moved, seen := time.Now(), int64(-1)
	for {
		if s, err = c.Stats(ctx, run); err != nil {
			return s, err
		}
		now := time.Now()
		if s.Unique != seen {
			moved, seen = now, s.Unique
		}
		if s.Unique >= want || now.Sub(moved) > stall || now.After(limit) {
			return s, nil
		}
		if err := sleepUntil(ctx, now.Add(50*time.Millisecond)); err != nil {
			return s, err
		}
	}
}
