package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/sink"
	"carom/bench/stat"
)

// The endpoints of an operator with 300 publishers, and the traffic in events per second: as much to each of them.
const (
	goodEndpoints = 270
	badOfEachKind = 3
	goodRate      = 1800
	badRate       = 200
)

// badPaths are the ways in which the sink is bad; an empty one stands for an address that refuses connections. It is a constant
// list; nobody writes to it.
var badPaths = []string{"", "/hang", "/fail", "/busy", "/absent", "/redirect", "/slow?ms=2000", "/drip", "/sever", "/garbage"}

// What stands beside the good endpoints.
type company int

const (
	nobody  company = iota // they have no traffic
	healthy                // they answer well: what is left is the load itself
	bad
)

// endpoints300 measures what thirty bad endpoints, of ten kinds, do to 270 good ones of the same app: beside the good ones alone,
// and beside thirty more good ones with the same traffic, since a tenth more load is felt by itself.
func (r *rig) endpoints300(ctx context.Context, rep *report, p *part) error {
	// The thirty have a sink of their own: the one that the good ones are measured at has nothing to do with them.
	others, err := proc.StartPart(r.log(), partSink, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = others.Stop(time.Second) }() // killed when it does not listen
	p99 := map[company][]float64{}
	var ratios, diffs, healthyRatios, healthyDiffs []float64
	for i := range r.Pairs {
		ms := map[company]measurement{}
		for _, with := range rotated([]company{nobody, healthy, bad}, i) {
			m, err := r.goodBeside(ctx, p, with, others.Addr)
			if err != nil {
				return err
			}
			m.Round = i + 1
			ms[with] = m
			p99[with] = append(p99[with], m.EndToEnd.P99)
			p.account(m)
		}
		toAlone := newPair("30 bad of 300, to the others alone", i+1, ms[nobody], ms[bad])
		toHealthy := newPair("30 bad of 300, to 300 good ones", i+1, ms[healthy], ms[bad])
		p.Rounds = append(p.Rounds, toAlone, toHealthy)
		ratios, diffs = append(ratios, toAlone.Ratio), append(diffs, toAlone.Difference)
		healthyRatios, healthyDiffs = append(healthyRatios, toHealthy.Ratio), append(healthyDiffs, toHealthy.Difference)
		r.say("  round %d: p99 alone %.2f ms, beside 30 good ones %.2f ms, beside 30 bad ones %.2f ms; p50 %.2f, %.2f and %.2f ms", i+1,
			ms[nobody].EndToEnd.P99, ms[healthy].EndToEnd.P99, ms[bad].EndToEnd.P99, ms[nobody].EndToEnd.P50, ms[healthy].EndToEnd.P50, ms[bad].EndToEnd.P50)
	}
	rep.set(figEndpoints, stat.Median(ratios))
	rep.set(figEndpointsMS, stat.Median(diffs))
	rep.set(figEndpointsGood, stat.Median(healthyRatios))
	rep.set(figEndpointsGoodMS, stat.Median(healthyDiffs))
	rep.set("endpoints300_alone_p99_ms", stat.Median(p99[nobody]))
	rep.set("endpoints300_good_p99_ms", stat.Median(p99[healthy]))
	rep.set("endpoints300_beside_p99_ms", stat.Median(p99[bad]))
	// The same load on the same machine: what differs between these is the machine's own drift.
	p.note("the good ones alone had a p99 from %.1f to %.1f ms over the rounds", slices.Min(p99[nobody]), slices.Max(p99[nobody]))
	return nil
}

// goodBeside measures the good endpoints of a fresh server beside thirty others, whose sink is at sinkOfOthers. A trusted server reports the events, one by one.
func (r *rig) goodBeside(ctx context.Context, p *part, with company, sinkOfOthers string) (m measurement, err error) {
	refusing, err := proc.FreeAddr()
	if err != nil {
		return m, err
	}
	var endpoints []endpoint
	var bodies, others []string
	for i := range goodEndpoints {
		e := endpoint{name: fmt.Sprintf("good-%03d", i), addr: r.sink.Addr, path: "/postback", zone: fmt.Sprintf("%s%03d", zoneGood, i)}
		endpoints, bodies = append(endpoints, e), append(bodies, reported(e.zone))
	}
	for i := range badOfEachKind * len(badPaths) {
		e := endpoint{name: fmt.Sprintf("bad-%03d", i), addr: sinkOfOthers, path: badPaths[i%len(badPaths)], zone: fmt.Sprintf("%s%03d", zoneBad, i)}
		switch {
		case with == healthy:
			e.path = "/postback"
		case e.path == "":
			e.addr, e.path = refusing, "/postback"
		}
		endpoints, others = append(endpoints, e), append(others, reported(e.zone))
	}
	dir, err := r.fresh()
	if err != nil {
		return m, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	t, err := r.startWith(ctx, dir, reportsFile(endpoints...))
	if err != nil {
		return m, err
	}
	defer t.process.Kill()
	key, err := eventsKey(ctx, t.carom)
	if err != nil {
		return m, err
	}
	t.sends = true
	t.traffic = load.Config{Paths: []string{"/v1/events"}, Bodies: bodies, Want: `"accepted"`, Head: []string{"Authorization: Bearer " + key, "Content-Type: application/json"}}
	var besides *load.Config
	if with != nobody {
		other := t.traffic
		other.Bodies, other.Rate = others, badRate
		besides = &other
	}
	client := sink.Client{Addr: sinkOfOthers}
	before, err := client.Stats(ctx, 0)
	if err != nil {
		return m, err
	}
	if m, err = r.measureBeside(ctx, t, plan{rate: goodRate, warmUp: r.WarmUp, window: r.PairWindow}, besides); err != nil || with != bad {
		return m, err
	}
	after, err := client.Stats(ctx, 0)
	for _, path := range badPaths {
		if path, _, _ = strings.Cut(path, "?"); path != "" && after.Paths[path] == before.Paths[path] {
			p.note("nothing came to the bad endpoints at %s", path)
		}
	}
	return m, err
}

// eventsKey makes a key with which events can be reported.
func eventsKey(ctx context.Context, c *proc.Carom) (string, error) {
	client := c.LocalClient()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://carom/v1/keys", bytes.NewReader([]byte(`{"name":"bench","app":"bench","scope":"events"}`)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	var made struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || made.Key == "" {
		return "", fmt.Errorf("make a key: answered %s", resp.Status)
	}
	return made.Key, nil
}
