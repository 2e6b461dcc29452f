package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/sink"
)

const (
	// drainRate is the limit that the dead endpoint has once it is back, in attempts per second.
	drainRate = 2000
	// newRate is the rate of new events for the draining endpoint.
	newRate = 50
	// returnStall is how long nothing may come from an endpoint that is back: longer than any breaker waits for its probe.
	returnStall = 2 * time.Minute
)

// backlog is what the part with the dead endpoint works on.
type backlog struct {
	dir       string
	secret    string
	endpoints []endpoint
	deadAddr  string
	run       uint32
	res       *load.Result
}

// drained is the raw result of the endpoint's return.
type drained struct {
	Pending    int64       `json:"pending"`
	First      float64     `json:"first_s"`
	Seconds    float64     `json:"seconds"` // from the first to the last
	Backlog    sink.Stats  `json:"backlog"`
	Missing    int64       `json:"missing"`
	New        sink.Stats  `json:"new"`
	NewAcked   int64       `json:"new_acked"`
	NewMissing int64       `json:"new_missing"`
	Healthy    measurement `json:"healthy"`
}

// dead piles up deliveries for an endpoint whose server is down, restarts carom, and lets the endpoint come back.
func (r *rig) dead(ctx context.Context, rep *report, p *part) error {
	b, peak, err := r.pileUp(ctx, rep, p)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }() // the folder of the run goes as a whole
	if _, err := proc.DropCache(b.dir); err != nil {
		return err
	}
	t, err := r.start(ctx, b.dir, b.secret, b.endpoints, zoneMain)
	if err != nil {
		return err
	}
	rep.set("dead_start_s", t.carom.Ready.Seconds())
	r.say("  start with %d pending: %.2f s", b.res.Acked, t.carom.Ready.Seconds())
	d, err := r.comeBack(ctx, t, b, p)
	if err != nil {
		return err
	}
	u, err := t.process.Usage()
	if err != nil {
		return err
	}
	rep.set("dead_events", float64(d.Pending))
	rep.set("dead_rss_mb", max(peak, megabytes(u.PeakRSS)))
	rep.set("dead_healthy_p99_ms", d.Healthy.EndToEnd.P99)
	rep.set("dead_new_p99_ms", d.New.Latency.P99)
	rep.set("dead_first_s", d.First)
	rep.set("dead_drain_per_s", float64(d.Backlog.Unique)/d.Seconds)
	rep.set("dead_order_displacement", float64(d.Backlog.Displacement))
	rep.set("dead_missing", float64(d.Missing+d.NewMissing))
	p.Missing += d.Missing + d.NewMissing
	p.Duplicates += d.Backlog.Duplicates + d.New.Duplicates
	p.Rounds = append(p.Rounds, d)
	if err := t.process.Stop(stopGrace); err != nil {
		p.note("after the drain: %v", err)
	}
	return nil
}

// pileUp measures the healthy endpoint alone, loads the dead one, measures the healthy one again, and stops the server.
// peak is the most memory it had, in megabytes.
func (r *rig) pileUp(ctx context.Context, rep *report, p *part) (b backlog, peak float64, err error) {
	if b.dir, err = r.fresh(); err != nil {
		return b, 0, err
	}
	if b.deadAddr, err = proc.FreeAddr(); err != nil {
		return b, 0, err
	}
	b.secret, b.run = proc.NewSecret(), r.run()
	healthy := r.toSink()
	healthy.zone = zoneMain
	b.endpoints = []endpoint{healthy, {name: "dead", addr: b.deadAddr, path: "/postback", zone: zoneDead, rate: drainRate}}
	t, err := r.start(ctx, b.dir, b.secret, b.endpoints, zoneMain)
	if err != nil {
		return b, 0, err
	}
	alone, err := r.measure(ctx, t, plan{rate: healthyRate, warmUp: r.WarmUp, window: r.Window})
	if err != nil {
		return b, 0, err
	}
	b.res, _, err = r.load(load.Config{Addr: t.addr, Paths: []string{postback(b.secret, zoneDead)}, Run: b.run, Senders: r.Senders, Count: r.DeadEvents})
	if err != nil {
		return b, 0, err
	}
	if uint64(b.res.Acked) != r.DeadEvents {
		return b, 0, fmt.Errorf("of %d events for the dead endpoint %d were acknowledged: statuses %v, %s", r.DeadEvents, b.res.Acked, b.res.Statuses, b.res.Error)
	}
	r.say("  %d pending, accepted at %.0f/s", b.res.Acked, b.res.PerSec)
	beside, err := r.measure(ctx, t, plan{rate: healthyRate, warmUp: r.WarmUp, window: r.Window})
	if err != nil {
		return b, 0, err
	}
	p.add(alone)
	p.add(beside)
	rep.set("dead_alone_p99_ms", alone.EndToEnd.P99)
	rep.set("dead_pending_p99_ms", beside.EndToEnd.P99)
	if err := t.process.Stop(stopGrace); err != nil {
		p.note("with deliveries pending: %v", err)
	}
	return b, beside.PeakRSS, nil
}

// comeBack starts a sink where the dead endpoint points to and follows the drain, with new events for both endpoints.
func (r *rig) comeBack(ctx context.Context, t target, b backlog, p *part) (d drained, err error) {
	d.Pending = b.res.Acked
	began := time.Now()
	back, err := proc.StartPart(r.log(), partSink, b.deadAddr)
	if err != nil {
		return d, fmt.Errorf("bring the dead endpoint back: %w", err)
	}
	defer func() { _ = back.Stop(time.Second) }() // killed when it does not listen
	client := sink.Client{Addr: back.Addr}
	needed := time.Duration(d.Pending) * time.Second / drainRate
	window := min(max(needed/2, r.Window), time.Minute)
	newRun := r.run()
	if err := client.Expect(ctx, newRun, began.Add(r.OpenWait).UnixNano()); err != nil {
		return d, err
	}
	type loaded struct {
		res *load.Result
		err error
	}
	done := make(chan loaded, 1) // holds the one result, so that the sender never waits
	go func() {
		res, _, err := r.load(load.Config{Addr: t.addr, Paths: []string{postback(b.secret, zoneDead)}, Run: newRun,
			Senders: besideSenders, Rate: newRate, Duration: r.OpenWait + window})
		done <- loaded{res, err}
	}()
	d.Healthy, err = r.measure(ctx, t, plan{rate: healthyRate, warmUp: r.WarmUp, window: window})
	l := <-done
	if err := firstOf(err, l.err); err != nil {
		return d, err
	}
	p.account(d.Healthy)
	if d.Backlog, err = r.drainWithin(ctx, client, b.run, d.Pending, returnStall, needed*2+drainLimit); err != nil {
		return d, err
	}
	if d.New, err = r.drain(ctx, client, newRun, l.res.Acked); err != nil {
		return d, err
	}
	old, err := client.Check(ctx, b.run, b.res.Acknowledged())
	if err != nil {
		return d, err
	}
	fresh, err := client.Check(ctx, newRun, l.res.Acknowledged())
	if err != nil {
		return d, err
	}
	d.Missing, d.NewMissing, d.NewAcked = old.Missing, fresh.Missing, l.res.Acked
	d.First = time.Unix(0, d.Backlog.FirstAt).Sub(began).Seconds()
	d.Seconds = time.Duration(d.Backlog.LastAt - d.Backlog.FirstAt).Seconds()
	r.say("  back: first after %.1f s, %d of %d in %.0f s, displacement %d; new ones p99 %.1f ms, healthy p99 %.2f ms",
		d.First, d.Backlog.Unique, d.Pending, d.Seconds, d.Backlog.Displacement, d.New.Latency.P99, d.Healthy.EndToEnd.P99)
	return d, nil
}
