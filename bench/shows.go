package main

import (
	"context"
	"os"

	"carom/bench/load"
)

// showRate is the rate of the shows part, in views per second: each is three requests.
const showRate = 500

// shows shows ads at a steady rate and measures how long it takes from the moment a page means to say that an ad was seen, to
// the arrival of its postback.
func (r *rig) shows(ctx context.Context, rep *report, p *part) error {
	var ms []measurement
	for round := range r.Rounds {
		m, err := r.measureShows(ctx, p)
		if err != nil {
			return err
		}
		m.Round = round + 1
		p.add(m)
		ms = append(ms, m)
		r.say("  round %d, %d views/s  show to postback p50 %.2f p99 %.2f ms  ad p99 %.2f  start p99 %.2f  viewable p99 %.2f ms  pacer's lag %.1f ms",
			m.Round, showRate, m.EndToEnd.P50, m.EndToEnd.P99, m.Ad.P99, m.Start.P99, m.Accept.P99, m.Lag)
	}
	rep.setMedian("shows_e2e_p50_ms", ms, "carom", func(m measurement) float64 { return m.EndToEnd.P50 })
	rep.setMedian("shows_e2e_p99_ms", ms, "carom", func(m measurement) float64 { return m.EndToEnd.P99 })
	rep.setMedian("shows_ad_p99_ms", ms, "carom", func(m measurement) float64 { return m.Ad.P99 })
	rep.setMedian("shows_start_p99_ms", ms, "carom", func(m measurement) float64 { return m.Start.P99 })
	rep.setMedian("shows_viewable_p99_ms", ms, "carom", func(m measurement) float64 { return m.Accept.P99 })
	rep.setMedian("shows_cpu_s_per_1000", ms, "carom", func(m measurement) float64 { return m.CPUPer1000 })
	return nil
}

// measureShows measures a fresh server whose one endpoint is the sink.
func (r *rig) measureShows(ctx context.Context, p *part) (m measurement, err error) {
	dir, err := r.fresh()
	if err != nil {
		return m, err
	}
	t, err := r.startWith(ctx, dir, viewsFile(r.toSink()))
	if err != nil {
		return m, err
	}
	t.sends, t.traffic = true, load.Config{Zone: zoneShown}
	m, err = r.measure(ctx, t, plan{rate: showRate, lead: load.ViewLead, warmUp: r.WarmUp, window: r.Window})
	if stopErr := t.process.Stop(stopGrace); stopErr != nil {
		p.note("%v", stopErr)
	}
	if err != nil {
		return m, err
	}
	return m, os.RemoveAll(dir)
}
