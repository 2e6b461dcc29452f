package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"carom/bench/month"
	"carom/bench/proc"
	"carom/bench/stat"
	"carom/internal/postgres"
	"carom/internal/reward"
	"carom/internal/store"
)

const (
	readersRate  = 2000        // events per second while somebody reads
	readersViews = 200         // views that the backend of an app has opened before they begin
	readersCount = 4           // people who read
	pageEvery    = time.Second // how often each of them opens a page, when the one before is there
	lookSample   = 20          // of so many lines of the live feed, the time of one is looked at
	windowTries  = 4           // how often a window is measured at most, for one in which the disk does not stand still

	// kept keeps a month that was stored some days ago.
	kept = "CAROM_RETENTION=90d"
)

// readersFigures lists the figures of the readers part, which both suites have.
func readersFigures() []figure {
	return []figure{
		{"readers_events", "", "events of a month in the store, of 20 apps", nil},
		{"readers_pages", "", "pages of the dashboard opened by four readers, one a second each, at 2,000 events/s", nil},
		{"readers_page_p50_ms", "ms", "until all data of a page is there, median of all", nil},
		{"readers_page_p95_ms", "ms", "the same, p95 of all", nil},
		{"readers_slowest_p95_ms", "ms", "p95 of the slowest page", atMost(300)},
		{"readers_live_p50_ms", "ms", "from an event to the live feed, median", nil},
		{"readers_live_max_ms", "ms", "the same, longest", atMost(1000)},
		{"readers_alone_p99_ms", "ms", "acknowledgement at 2,000/s without readers, p99", nil},
		{"readers_beside_p99_ms", "ms", "the same beside four readers", nil},
		{"readers_accept_ratio", "", "the second to the first, median of the pairs", atMost(2)},
		{"readers_refused", "", "events and pages refused, or answered with an error", atMost(0)},
		{"readers_saturated_alone_per_s", "/s", "delivered while saturated, without readers", nil},
		{"readers_saturated_per_s", "/s", "the same beside four readers", nil},
		{"readers_saturated_ratio", "", "the second to the first, median of the pairs", atLeast(0.9)},
		{"readers_saturated_page_p95_ms", "ms", "until all data of a page is there while saturated, p95 of all", nil},
		{"readers_again_alone", "", "windows without readers measured again, because the disk stood still in them", nil},
		{"readers_again_beside", "", "windows beside readers measured again for that", nil},
	}
}

// readers has four people read the dashboard of a server with a month of events, at a rate and while it is saturated. It measures
// what they wait for, and what the events notice of them.
func (r *rig) readers(ctx context.Context, rep *report, p *part) error {
	pages, err := readPages(r.DashboardPages)
	if err != nil {
		return err
	}
	t, forget, err := r.startMonth(ctx, p)
	if err != nil {
		return err
	}
	defer forget()
	rep.set("readers_events", float64(r.GrowthEvents))
	people, err := newPeople(ctx, t.carom, pages)
	if err != nil {
		return errors.Join(err, t.stop())
	}
	atRate, saturated := &readings{}, &readings{}
	steady, err := r.pairs(ctx, t, plan{rate: readersRate, warmUp: r.WarmUp, window: 3 * r.PairWindow}, people, atRate, p)
	if err != nil {
		return errors.Join(err, t.stop())
	}
	full, err := r.pairs(ctx, t, plan{warmUp: r.WarmUp, window: r.PairWindow}, people, saturated, p)
	if err := errors.Join(err, t.stop()); err != nil {
		return err
	}
	for _, x := range []*paired{&steady, &full} {
		all := len(x.alone)
		if *x = x.quiet(); len(x.alone) < all {
			p.note("%d pairs of %d do not count: the disk stood still in each of %d windows", all-len(x.alone), all, windowTries)
		}
	}
	accept := func(m measurement) float64 { return m.Accept.P99 }
	rep.set("readers_alone_p99_ms", medianOf(steady.alone, accept))
	rep.set("readers_beside_p99_ms", medianOf(steady.beside, accept))
	rep.set("readers_accept_ratio", steady.ratio(accept))
	rep.set("readers_saturated_alone_per_s", medianOf(full.alone, deliveredOf))
	rep.set("readers_saturated_per_s", medianOf(full.beside, deliveredOf))
	rep.set("readers_saturated_ratio", full.ratio(deliveredOf))
	rep.set("readers_saturated_page_p95_ms", saturated.all().at(0.95))
	rep.set("readers_again_alone", float64(steady.again[false]+full.again[false]))
	rep.set("readers_again_beside", float64(steady.again[true]+full.again[true]))
	r.readersFigures(rep, atRate, p, steady.refused+full.refused+int64(len(saturated.failed)))
	return nil
}

// readersFigures computes what was noticed by readers at a rate.
func (r *rig) readersFigures(rep *report, found *readings, p *part, refused int64) {
	all, slowest := found.all(), 0.0
	var shown []pageTime
	for name, took := range found.pages {
		shown = append(shown, pageTime{Page: name, Opened: len(took), P50: took.at(0.5), P95: took.at(0.95)})
		slowest = max(slowest, took.at(0.95))
	}
	slices.SortFunc(shown, func(a, b pageTime) int { return cmp.Compare(b.P95, a.P95) })
	for _, s := range shown {
		r.say("  %-32s %4d times  p50 %6.1f  p95 %6.1f ms", s.Page, s.Opened, s.P50, s.P95)
	}
	p.Rounds = append(p.Rounds, map[string]any{"pages": shown})
	rep.set("readers_pages", float64(len(all)))
	rep.set("readers_page_p50_ms", all.at(0.5))
	rep.set("readers_page_p95_ms", all.at(0.95))
	rep.set("readers_slowest_p95_ms", slowest)
	rep.set("readers_live_p50_ms", found.live.at(0.5))
	rep.set("readers_live_max_ms", found.live.at(1))
	for _, why := range found.failed[:min(len(found.failed), 5)] {
		p.note("%s", why)
	}
	rep.set("readers_refused", float64(refused)+float64(len(found.failed)))
}

// pageTime is how long a page took at a rate.
type pageTime struct {
	Page   string  `json:"page"`
	Opened int     `json:"opened"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
}

// paired are the measurements without readers and beside them, pair by pair.
type paired struct {
	alone, beside []measurement
	again         map[bool]int // windows that were measured again, without readers and beside them
	refused       int64        // events, in all windows
}

// ratio is the median of the pairs' ratios.
func (x paired) ratio(of func(measurement) float64) float64 {
	var out []float64
	for i := range x.alone {
		out = append(out, of(x.beside[i])/of(x.alone[i]))
	}
	return stat.Median(out)
}

// quiet keeps the pairs in which the disk stood still in neither window; all, when it did in every one.
func (x paired) quiet() paired {
	q := x
	q.alone, q.beside = nil, nil
	for i := range x.alone {
		if !x.alone[i].stalled() && !x.beside[i].stalled() {
			q.alone, q.beside = append(q.alone, x.alone[i]), append(q.beside, x.beside[i])
		}
	}
	if len(q.alone) == 0 {
		return x
	}
	return q
}

// pairs measures a server in alternation without readers and beside them.
func (r *rig) pairs(ctx context.Context, t target, pl plan, people []*person, found *readings, p *part) (paired, error) {
	out := paired{again: map[bool]int{}}
	for pair := range r.Pairs {
		for _, with := range rotated([]bool{false, true}, pair) {
			list, readers := &out.alone, people[:0]
			if with {
				list, readers = &out.beside, people
			}
			for try := 1; ; try++ {
				var seen readings
				m, err := r.measureRead(ctx, t, pl, readers, &seen)
				if err != nil {
					return out, err
				}
				m.Round = pair + 1
				p.add(m)
				out.refused += m.Refused + m.Errors
				r.say("  pair %d, %d readers  %6.0f delivered/s  accept p99 %5.1f ms  %.4f CPU s per 1,000  longest sync %.0f ms", m.Round, len(readers),
					m.Delivered, m.Accept.P99, m.CPUPer1000, m.LongestSync)
				if m.stalled() && try < windowTries {
					out.again[with]++
					found.add(&readings{failed: seen.failed}) // which counts all the same
					continue
				}
				found.add(&seen)
				*list = append(*list, m)
				break
			}
		}
	}
	return out, nil
}

// measureRead is measure while people read and the disk is watched.
func (r *rig) measureRead(ctx context.Context, t target, pl plan, people []*person, found *readings) (measurement, error) {
	disk, err := startPulse(cmp.Or(r.GrowthDir, r.Dir))
	if err != nil {
		return measurement{}, err
	}
	reading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for i, who := range people {
		wg.Go(func() { who.read(reading, found, time.Duration(i)*pageEvery/readersCount) })
		wg.Go(func() { who.follow(reading, found) })
	}
	m, err := r.measure(ctx, t, pl)
	stop()
	wg.Wait()
	longest, diskErr := disk.end()
	m.LongestSync = milliseconds(longest)
	return m, errors.Join(err, diskErr)
}

// startMonth starts a server with a month of events, which it stores first unless an earlier run has kept it. forget removes it.
func (r *rig) startMonth(ctx context.Context, p *part) (t target, forget func(), err error) {
	secret := proc.NewSecret()
	t = target{name: "carom", sends: true, onDB: r.db != nil}
	for a := range month.Apps {
		for z := range month.Zones {
			t.traffic.Paths = append(t.traffic.Paths, strings.Replace(postback(secret, month.Zone(a, z)), "/in/bench/", "/in/"+month.App(a)+"/", 1))
		}
	}
	clock := &month.Clock{}
	env := []string{kept}
	dir := r.GrowthDir
	if dir != "" {
		dir = filepath.Join(dir, "month")
		forget = func() {}
	} else {
		if dir, err = r.fresh(); err != nil {
			return t, nil, err
		}
		forget = func() { _ = os.RemoveAll(dir) } // the folder of the run goes as a whole
	}
	note := filepath.Join(dir, "month.json")
	switch _, missing := os.Stat(note); {
	case missing == nil:
		p.note("the month was stored in an earlier run")
	case r.db != nil:
		name, err := r.db.create(ctx)
		if err != nil {
			return t, nil, err
		}
		env = append(env, "CAROM_DATABASE="+r.db.cluster.URL(name))
		st, err := postgres.Open(ctx, postgres.Options{URL: r.db.cluster.URL(name), Clock: clock.Now, Retention: 3 * month.Days * 24 * time.Hour, Decide: reward.Decide})
		if err == nil {
			err = month.Fill(ctx, st, clock, int(r.GrowthEvents), r.say)
		}
		if err == nil {
			err = r.db.exec(ctx, name, "VACUUM (ANALYZE)", "CHECKPOINT") // what its own housekeeping has done a month later
		}
		if err != nil {
			return t, nil, err
		}
	default:
		if err := os.MkdirAll(proc.DataDir(dir), 0o755); err != nil {
			return t, nil, err
		}
		st, err := store.Open(proc.DataDir(dir), store.Options{Clock: clock.Now, Retention: 3 * month.Days * 24 * time.Hour, Decide: reward.Decide})
		if err == nil {
			err = month.Fill(ctx, st, clock, int(r.GrowthEvents), r.say)
		}
		if err == nil {
			err = os.WriteFile(note, fmt.Appendf(nil, "{\"events\": %d}\n", r.GrowthEvents), 0o644)
		}
		if err != nil {
			return t, nil, err
		}
	}
	objects := month.Objects(secret, "http://"+r.sink.Addr+"/postback?ymid={ymid}&event={event_type}&zone={zone_id}&value={reward_event_type}&price={estimated_price}&var={request_var}&d={delivery_id}")
	c, err := r.launch(ctx, proc.Setup{Dir: dir, Config: objects, Env: env})
	if err != nil {
		return t, nil, err
	}
	t.addr, t.process, t.carom = c.Addr, c.Process, c
	return t, forget, nil
}
