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

	"carom/bench/load"
	"carom/bench/proc"
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

// endpoints300 measures what thirty bad endpoints, of ten kinds, do to 270 good ones of the same app.
func (r *rig) endpoints300(ctx context.Context, rep *report, p *part) error {
	var ratios, diffs, alone, beside []float64
	for i := range r.Pairs {
		var ms [2]measurement // alone, beside
		for _, k := range [][]int{{0, 1}, {1, 0}}[i%2] {
			m, err := r.goodBeside(ctx, p, k == 1)
			if err != nil {
				return err
			}
			m.Round = i + 1
			ms[k] = m
			p.account(m)
		}
		x := newPair("30 bad of 300", i+1, ms[0], ms[1])
		p.Rounds = append(p.Rounds, x)
		ratios, diffs = append(ratios, x.Ratio), append(diffs, x.Difference)
		alone, beside = append(alone, ms[0].EndToEnd.P99), append(beside, ms[1].EndToEnd.P99)
		r.say("  pair %d: p50 alone %.2f ms, beside %.2f ms; p99 alone %.2f ms, beside %.2f ms; %.4f and %.4f CPU s per 1,000", x.Round,
			ms[0].EndToEnd.P50, ms[1].EndToEnd.P50, ms[0].EndToEnd.P99, ms[1].EndToEnd.P99, ms[0].CPUPer1000, ms[1].CPUPer1000)
	}
	rep.set(figEndpoints, stat.Median(ratios))
	rep.set(figEndpointsMS, stat.Median(diffs))
	rep.set("endpoints300_alone_p99_ms", stat.Median(alone))
	rep.set("endpoints300_beside_p99_ms", stat.Median(beside))
	// The same load on the same machine: what differs between these is the machine's own drift.
	p.note("the good ones alone had a p99 from %.1f to %.1f ms over the pairs", slices.Min(alone), slices.Max(alone))
	return nil
}

// goodBeside measures the good endpoints of a fresh server, with or without traffic for the bad ones. A trusted server reports
// the events, one by one.
func (r *rig) goodBeside(ctx context.Context, p *part, traffic bool) (m measurement, err error) {
	refusing, err := proc.FreeAddr()
	if err != nil {
		return m, err
	}
	var endpoints []endpoint
	var good, bad []string // bodies
	for i := range goodEndpoints {
		e := endpoint{name: fmt.Sprintf("good-%03d", i), addr: r.sink.Addr, path: "/postback", zone: fmt.Sprintf("%s%03d", zoneGood, i)}
		endpoints, good = append(endpoints, e), append(good, reported(e.zone))
	}
	for i := range badOfEachKind * len(badPaths) {
		e := endpoint{name: fmt.Sprintf("bad-%03d", i), addr: r.sink.Addr, path: badPaths[i%len(badPaths)], zone: fmt.Sprintf("%s%03d", zoneBad, i)}
		if e.path == "" {
			e.addr, e.path = refusing, "/postback"
		}
		endpoints, bad = append(endpoints, e), append(bad, reported(e.zone))
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
	t.traffic = load.Config{Paths: []string{"/v1/events"}, Bodies: good, Want: `"accepted"`, Head: []string{"Authorization: Bearer " + key, "Content-Type: application/json"}}
	var besides *load.Config
	if traffic {
		other := t.traffic
		other.Bodies, other.Rate = bad, badRate
		besides = &other
	}
	before, err := r.client.Stats(ctx, 0)
	if err != nil {
		return m, err
	}
	if m, err = r.measureBeside(ctx, t, plan{rate: goodRate, warmUp: r.WarmUp, window: r.PairWindow}, besides); err != nil || !traffic {
		return m, err
	}
	after, err := r.client.Stats(ctx, 0)
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
