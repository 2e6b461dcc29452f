package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/stat"
)

// loadSteps is how many steps the events are loaded in, so that a rate that falls as the folder grows can be seen.
const loadSteps = 10

// loaded is kept beside a loaded folder, so that it can be used again.
type loaded struct {
	Events uint64  `json:"events"`
	PerSec float64 `json:"per_s"`
}

// loadStep is the raw figure of one step.
type loadStep struct {
	Events uint64  `json:"events"` // in the folder after it
	PerSec float64 `json:"accepted_per_s"`
	RSS    float64 `json:"peak_rss_mb"`
}

// grown is one round with the loaded folder, or with an empty one.
type grown struct {
	Start       float64     `json:"start_s"`
	Measurement measurement `json:"measurement"`
}

// growth compares a folder full of events with an empty one.
func (r *rig) growth(ctx context.Context, rep *report, p *part) error {
	dir := r.GrowthDir
	if dir == "" {
		var err error
		if dir, err = r.fresh(); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	}
	l, err := r.fill(ctx, dir, p)
	if err != nil {
		return err
	}
	rep.set("growth_events", float64(l.Events))
	rep.set("growth_load_per_s", l.PerSec)
	found := map[string][]grown{}
	for round := range r.Rounds {
		for _, name := range rotated([]string{"loaded", "empty"}, round) {
			g, err := r.grownRound(ctx, name, dir, p)
			if err != nil {
				return err
			}
			g.Measurement.Round = round + 1
			p.Rounds = append(p.Rounds, map[string]any{"folder": name, "result": g})
			p.account(g.Measurement)
			found[name] = append(found[name], g)
			r.say("  round %d, %-6s  start %.2f s  %6.0f delivered/s  %.0f MB", round+1, name, g.Start, g.Measurement.Delivered, g.Measurement.PeakRSS)
		}
	}
	pick := func(name string, f func(grown) float64) []float64 {
		var out []float64
		for _, g := range found[name] {
			out = append(out, f(g))
		}
		return out
	}
	delivered := func(g grown) float64 { return g.Measurement.Delivered }
	rep.set("growth_per_s", stat.Median(pick("loaded", delivered)))
	rep.set("growth_empty_per_s", stat.Median(pick("empty", delivered)))
	rep.set("growth_ratio", rep.figures["growth_per_s"]/rep.figures["growth_empty_per_s"])
	rep.set("growth_rss_mb", slices.Max(pick("loaded", func(g grown) float64 { return g.Measurement.PeakRSS })))
	rep.set("growth_start_s", slices.Max(pick("loaded", func(g grown) float64 { return g.Start })))
	return nil
}

// fill loads events into the folder through accept, without any endpoint, unless it was loaded before.
func (r *rig) fill(ctx context.Context, dir string, p *part) (l loaded, err error) {
	note := filepath.Join(dir, "loaded.json")
	b, err := os.ReadFile(note)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &l); err != nil {
			return l, fmt.Errorf("%s does not say what was loaded: remove the folder to load it anew: %w", note, err)
		}
		r.say("  %d events were loaded before", l.Events)
		p.note("the folder was loaded in an earlier run")
		return l, nil
	case !errors.Is(err, fs.ErrNotExist):
		return l, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return l, err
	}
	t, err := r.start(ctx, dir, proc.NewSecret(), nil, zoneMain)
	if err != nil {
		return l, err
	}
	began := time.Now()
	for step := range uint64(loadSteps) {
		n := r.GrowthEvents*(step+1)/loadSteps - r.GrowthEvents*step/loadSteps
		res, _, err := r.load(load.Config{Addr: t.addr, Paths: t.traffic.Paths, Run: r.run(), Senders: r.Senders, Count: n})
		if err != nil {
			return l, err
		}
		if uint64(res.Acked) != n {
			return l, fmt.Errorf("of %d events %d were acknowledged: statuses %v, %s", n, res.Acked, res.Statuses, res.Error)
		}
		u, err := t.process.Usage()
		if err != nil {
			return l, err
		}
		l.Events += n
		p.Rounds = append(p.Rounds, loadStep{Events: l.Events, PerSec: res.PerSec, RSS: megabytes(u.PeakRSS)})
		r.say("  loaded %d of %d events, %.0f/s, %.0f MB at most", l.Events, r.GrowthEvents, res.PerSec, megabytes(u.PeakRSS))
		if err := ctx.Err(); err != nil {
			return l, err
		}
	}
	l.PerSec = float64(l.Events) / time.Since(began).Seconds()
	if err := t.process.Stop(stopGrace); err != nil {
		p.note("after loading: %v", err)
	}
	if b, err = json.Marshal(l); err != nil {
		return l, err
	}
	return l, os.WriteFile(note, b, 0o644)
}

// grownRound starts a server with the loaded or an empty folder and the sink as endpoint, and saturates it. The endpoint is
// new to the loaded folder, so none of the loaded events is owed to it.
func (r *rig) grownRound(ctx context.Context, name, dir string, p *part) (g grown, err error) {
	if name == "empty" {
		if dir, err = r.fresh(); err != nil {
			return g, err
		}
		defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	}
	how, err := proc.DropCache(dir)
	if err != nil {
		return g, err
	}
	if note := "page cache before each start: " + how; !slices.Contains(p.Notes, note) {
		p.note("%s", note)
	}
	t, err := r.start(ctx, dir, proc.NewSecret(), []endpoint{r.toSink()}, zoneMain)
	if err != nil {
		return g, err
	}
	g.Start = t.carom.Ready.Seconds()
	g.Measurement, err = r.measure(ctx, t, plan{warmUp: r.WarmUp, window: r.Window})
	if stopErr := t.process.Stop(stopGrace); stopErr != nil {
		p.note("%v", stopErr)
	}
	return g, err
}
