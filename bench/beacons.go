package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"carom/bench/load"
	"carom/bench/once"
	"carom/bench/proc"
	"carom/bench/reference"
)

// Each beacon needs a view of its own that has started. How many it takes is guessed from the rate of a few, with a margin, and
// bounded by what a server remembers at a time, which is 300,000.
const (
	trialPerPage = 40
	tokenMargin  = 1.5
	mostTokens   = 250_000
)

// beacons saturates the bare handler that verifies an HMAC and carom, in turn, with the same requests: beacons each of which
// confirms a view. Nothing is sent to anybody.
func (r *rig) beacons(ctx context.Context, rep *report, p *part) error {
	var ms []measurement
	var missing, twice int64
	for round := range r.Rounds {
		b, err := r.openBeacons(ctx)
		if err != nil {
			return err
		}
		for _, t := range rotated([]target{b.hmac, b.carom}, round) {
			m, err := r.measure(ctx, t, plan{senders: r.Pages, warmUp: r.WarmUp, window: r.Window})
			if err != nil {
				return err
			}
			m.Round = round + 1
			if t.carom != nil {
				if err := b.check(ctx, &m); err != nil {
					return err
				}
				missing, twice = missing+m.Missing, twice+m.Duplicates
			}
			if m.sent.UsedUp {
				p.note("round %d: %d views were not enough for the whole window", m.Round, b.views)
			}
			p.add(m)
			ms = append(ms, m)
			r.say("  round %d, %-5s  %6.0f confirmed/s  %.4f CPU s per 1,000  p99 %.1f ms  load generator %.0f %% of %d cores  %.0f MB", m.Round, m.Target,
				m.Accepted, m.CPUPer1000, m.Accept.P99, 100*m.LoadShare, runtime.NumCPU(), m.PeakRSS)
		}
		if err := b.close(); err != nil {
			p.note("%v", err)
		}
	}
	accepted := func(m measurement) float64 { return m.Accepted }
	cpu := func(m measurement) float64 { return m.CPUPer1000 }
	share := func(m measurement) float64 { return m.LoadShare }
	rep.setMedian("hmac_handler_per_s", ms, partHMAC, accepted)
	rep.setMedian("beacons_per_s", ms, "carom", accepted)
	rep.set("beacons_ratio", rep.figures["beacons_per_s"]/rep.figures["hmac_handler_per_s"])
	rep.setMedian("beacons_cpu_s_per_1000", ms, "carom", cpu)
	rep.setMedian("hmac_handler_cpu_s_per_1000", ms, partHMAC, cpu)
	rep.setMedian("beacons_load_share", ms, "carom", share)
	rep.setMedian("hmac_handler_load_share", ms, partHMAC, share)
	rep.set("beacons_rss_mb", slices.Max(pluck(ms, "carom", func(m measurement) float64 { return m.PeakRSS })))
	rep.set("beacons_missing", float64(missing))
	rep.set("beacons_duplicates", float64(twice))
	return nil
}

// beaconRound is what one round works with: both servers, and the views that have started at carom.
type beaconRound struct {
	dir   string
	hmac  target
	carom target
	run   uint32 // of the marks in the views' ymids
	views uint64
}

// openBeacons starts both servers and as many views as the measurement needs.
func (r *rig) openBeacons(ctx context.Context) (*beaconRound, error) {
	b := &beaconRound{run: r.run()}
	var err error
	if b.dir, err = r.fresh(); err != nil {
		return nil, err
	}
	if b.carom, err = r.startWith(ctx, b.dir, viewsFile()); err != nil {
		return nil, err
	}
	key := proc.NewSecret()
	h, err := proc.StartPart(r.log(), partHMAC, "127.0.0.1:0", key)
	if err != nil {
		return nil, err
	}
	b.hmac = target{name: partHMAC, addr: h.Addr, process: h.Process}
	trial, err := r.startViews(ctx, b, key, "trial", r.run(), uint64(r.Pages*trialPerPage))
	if err != nil {
		return nil, err
	}
	trial.Addr, trial.Senders, trial.Duration = b.carom.addr, r.Pages, time.Minute
	res, _, err := r.load(trial)
	if err != nil {
		return nil, err
	}
	if res.Acked < int64(res.Sent) {
		return nil, fmt.Errorf("of %d beacons only %d were confirmed: %s", res.Sent, res.Acked, res.Error)
	}
	b.views = min(mostTokens, uint64(res.PerSec*tokenMargin*(r.WarmUp+r.Window).Seconds())+uint64(r.Pages))
	if b.carom.traffic, err = r.startViews(ctx, b, key, "tokens", b.run, b.views); err != nil {
		return nil, err
	}
	b.hmac.traffic = b.carom.traffic
	b.hmac.traffic.TokensAgain = true
	return b, nil
}

// startViews has n views begin, writes their tokens with the signatures of their beacons to a file, and returns the traffic of
// those beacons when their ads can have been seen.
func (r *rig) startViews(ctx context.Context, b *beaconRound, key, name string, run uint32, n uint64) (load.Config, error) {
	began := time.Now()
	tokens, err := load.StartViews(ctx, b.carom.addr, zoneShown, run, n, r.Pages)
	if err != nil {
		return load.Config{}, err
	}
	ready := time.Now().Add(load.SeenAfter)
	r.say("  %d views started in %.1f s", n, time.Since(began).Seconds())
	path := filepath.Join(b.dir, name)
	if err := writeTokens(path, []byte(key), tokens); err != nil {
		return load.Config{}, err
	}
	return beaconTraffic(path), sleepUntil(ctx, ready)
}

// beaconTraffic is what both servers get: beacons with the tokens and signatures in the file. carom does not look at the latter.
func beaconTraffic(tokens string) load.Config {
	return load.Config{Paths: []string{load.BeaconPath}, Bodies: []string{load.ViewableBody}, Want: load.Confirmed, Tokens: tokens,
		Head: append(load.PageHead(), reference.SignatureHeader+": "+load.Signature)}
}

// writeTokens writes each token with the signature of the beacon that carries it.
func writeTokens(path string, key []byte, tokens []string) error {
	var text strings.Builder
	mac := hmac.New(sha256.New, key)
	for _, t := range tokens {
		mac.Reset()
		_, _ = mac.Write([]byte(strings.Replace(load.ViewableBody, load.Token, t, 1))) // a hash takes everything
		text.WriteString(t + " " + hex.EncodeToString(mac.Sum(nil)) + "\n")
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

// check compares what carom confirmed with the events that it has stored.
func (b *beaconRound) check(ctx context.Context, m *measurement) error {
	client := b.carom.carom.LocalClient()
	defer client.CloseIdleConnections()
	books, err := once.ReadBooks(ctx, client)
	if err != nil {
		return err
	}
	m.Missing, _ = books.Of(b.run).Missing(m.sent.Acknowledged())
	m.Duplicates = books.Twice
	if books.Strangers > 0 {
		return fmt.Errorf("%d events are stored that nobody sent", books.Strangers)
	}
	return nil
}

// close ends both servers.
func (b *beaconRound) close() error {
	err := firstOf(b.hmac.process.Stop(stopGrace), b.carom.process.Stop(stopGrace))
	return firstOf(err, os.RemoveAll(b.dir))
}
