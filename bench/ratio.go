package main

import (
	"context"
	"os"
	"slices"
	"time"

	"carom/bench/proc"
	"carom/bench/stat"
)

// rotated returns targets, or their names, beginning with another one each round, so that none always runs on the warmest machine.
func rotated[T any](targets []T, round int) []T {
	i := round % len(targets)
	return slices.Concat(targets[i:], targets[:i])
}

// ratio saturates the handler, the forwarder and carom in turn.
func (r *rig) ratio(ctx context.Context, rep *report, p *part) error {
	idle, err := r.idle(ctx)
	if err != nil {
		return err
	}
	rep.set("idle_rss_mb", idle)
	r.say("  idle: %.1f MB", idle)
	var ms []measurement
	for round := range r.Rounds {
		for _, name := range rotated([]string{partHandler, partForwarder, "carom"}, round) {
			m, err := r.measureFresh(ctx, name, plan{warmUp: r.WarmUp, window: r.Window}, p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			ms = append(ms, m)
			r.say("  round %d, %-9s  %6.0f answered/s  %6.0f delivered/s  %.4f CPU s per 1,000  accept p99 %.1f ms  drain %.1f s",
				m.Round, name, m.Accepted, m.Delivered, m.CPUPer1000, m.Accept.P99, m.Drain)
		}
	}
	ratioFigures(rep, ms)
	return nil
}

// ratioFigures computes the figures of the ratio part. A ratio is that of the medians shown, so a reader can recompute it.
func ratioFigures(rep *report, ms []measurement) {
	accepted := func(m measurement) float64 { return m.Accepted }
	delivered := func(m measurement) float64 { return m.Delivered }
	cpu := func(m measurement) float64 { return m.CPUPer1000 }
	rep.setMedian("handler_per_s", ms, partHandler, accepted)
	rep.setMedian(figForwarder, ms, partForwarder, delivered)
	rep.setMedian(figCarom, ms, "carom", delivered)
	rep.setMedian("cpu_s_per_1000", ms, "carom", cpu)
	rep.setMedian("forwarder_cpu_s_per_1000", ms, partForwarder, cpu)
	rep.set("ratio", rep.figures[figCarom]/rep.figures[figForwarder])
	rep.set("cpu_ratio", rep.figures["cpu_s_per_1000"]/rep.figures["forwarder_cpu_s_per_1000"])
	rep.set("rss_mb", slices.Max(pluck(ms, "carom", func(m measurement) float64 { return m.PeakRSS })))
	var commits, syncs []float64
	for _, m := range ms {
		if m.Commits != nil && m.Syncs != nil {
			commits, syncs = append(commits, *m.Commits), append(syncs, *m.Syncs)
		}
	}
	rep.set("commits", stat.Median(commits))
	rep.set("syncs", stat.Median(syncs))
}

// measureFresh starts the named target, with an empty folder if it has one, measures it and stops it.
func (r *rig) measureFresh(ctx context.Context, name string, pl plan, p *part) (m measurement, err error) {
	var t target
	var dir string
	if name == "carom" {
		t, dir, err = r.one(ctx)
	} else {
		t, dir, err = r.reference(name)
	}
	if err != nil {
		return m, err
	}
	m, err = r.measure(ctx, t, pl)
	if stopErr := t.process.Stop(stopGrace); stopErr != nil {
		p.note("%v", stopErr)
	}
	if err != nil || dir == "" {
		return m, err
	}
	return m, os.RemoveAll(dir)
}

// idle returns the memory of a fresh server that nobody has talked to, in megabytes.
func (r *rig) idle(ctx context.Context) (float64, error) {
	t, dir, err := r.one(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	defer t.process.Kill()
	if err := sleepUntil(ctx, time.Now().Add(r.IdleAfter)); err != nil {
		return 0, err
	}
	var u proc.Usage
	u, err = t.process.Usage()
	return megabytes(u.RSS), err
}
