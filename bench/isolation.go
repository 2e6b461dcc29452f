package main

import (
	"context"
	"fmt"
	"os"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/stat"
)

// The traffic of the isolation part, in events per second.
const (
	healthyRate = 200
	hangingRate = 50
)

// besideSenders is how many senders carry the smaller of two loads.
const besideSenders = 16

// pair is one measurement of healthy endpoints alone and one beside others.
type pair struct {
	Variant    string      `json:"variant"`
	Round      int         `json:"round"`
	Ratio      float64     `json:"ratio"` // of the end-to-end p99
	Difference float64     `json:"diff_ms"`
	Alone      measurement `json:"alone"`
	Beside     measurement `json:"beside"`
}

func newPair(variant string, round int, alone, beside measurement) pair {
	return pair{Variant: variant, Round: round, Alone: alone, Beside: beside,
		Ratio: beside.EndToEnd.P99 / alone.EndToEnd.P99, Difference: beside.EndToEnd.P99 - alone.EndToEnd.P99}
}

// isolation measures what hanging endpoints do to healthy ones: one beside one, and ten beside ninety.
func (r *rig) isolation(ctx context.Context, rep *report, p *part) error {
	variants := []struct {
		name             string
		healthy, hanging int
		ratio, diff      string
	}{
		{"1 hanging of 2", 1, 1, figIsolation, figIsolationMS},
		{"90 hanging of 100", 10, 90, figIsolation90, figIsolation90MS},
	}
	for _, v := range variants {
		var ratios, diffs []float64
		for i := range r.Pairs {
			var ms [2]measurement // alone, beside
			for _, k := range [][]int{{0, 1}, {1, 0}}[i%2] {
				m, err := r.healthyBeside(ctx, v.healthy, v.hanging, k == 1)
				if err != nil {
					return err
				}
				m.Round = i + 1
				ms[k] = m
				p.account(m)
			}
			x := newPair(v.name, i+1, ms[0], ms[1])
			p.Rounds = append(p.Rounds, x)
			ratios, diffs = append(ratios, x.Ratio), append(diffs, x.Difference)
			r.say("  %s, pair %d: p99 alone %.2f ms, beside %.2f ms", v.name, x.Round, ms[0].EndToEnd.P99, ms[1].EndToEnd.P99)
		}
		rep.set(v.ratio, stat.Median(ratios))
		rep.set(v.diff, stat.Median(diffs))
	}
	return nil
}

// healthyBeside measures the healthy endpoints of a fresh server, with or without traffic for the hanging ones. The server is
// killed afterwards: what hangs is of no further interest.
func (r *rig) healthyBeside(ctx context.Context, healthy, hanging int, traffic bool) (m measurement, err error) {
	var endpoints []endpoint
	var healthyZones, hangingZones []string
	for i := range healthy {
		zone := fmt.Sprintf("%s%02d", zoneHealthy, i)
		endpoints = append(endpoints, endpoint{name: fmt.Sprintf("healthy-%02d", i), addr: r.sink.Addr, path: "/postback", zone: zone})
		healthyZones = append(healthyZones, zone)
	}
	for i := range hanging {
		zone := fmt.Sprintf("%s%02d", zoneHanging, i)
		endpoints = append(endpoints, endpoint{name: fmt.Sprintf("hanging-%02d", i), addr: r.sink.Addr, path: "/hang", zone: zone})
		hangingZones = append(hangingZones, zone)
	}
	dir, err := r.fresh()
	if err != nil {
		return m, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	secret := proc.NewSecret()
	t, err := r.start(ctx, dir, secret, endpoints, healthyZones...)
	if err != nil {
		return m, err
	}
	defer t.process.Kill()
	var besides *load.Config
	if traffic {
		besides = &load.Config{Rate: hangingRate}
		for _, z := range hangingZones {
			besides.Paths = append(besides.Paths, postback(secret, z))
		}
	}
	return r.measureBeside(ctx, t, plan{rate: healthyRate, warmUp: r.WarmUp, window: r.PairWindow}, besides)
}

// measureBeside measures the target while a second load, if there is one, is on it. Of that the requests and the rate are given.
func (r *rig) measureBeside(ctx context.Context, t target, p plan, other *load.Config) (measurement, error) {
	done := make(chan error, 1) // holds the one result, so that the sender never waits
	if other != nil {
		cfg := *other
		cfg.Addr, cfg.Run, cfg.Senders, cfg.Duration = t.addr, r.run(), besideSenders, r.Connect+p.warmUp+p.window
		go func() {
			res, _, err := r.load(cfg)
			if err == nil && res.Acked < int64(res.Sent) {
				err = fmt.Errorf("of %d events for the others only %d were acknowledged: %s", res.Sent, res.Acked, res.Error)
			}
			done <- err
		}()
	} else {
		done <- nil
	}
	m, err := r.measure(ctx, t, p)
	return m, firstOf(err, <-done)
}
