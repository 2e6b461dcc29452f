// Package load sends postbacks as many networks at once would, reports and beacons as ad servers and pages do, and measures the
// answers.
//
// Senders hold one keep-alive connection each. A closed loop saturates: every sender sends its next event as soon as the last
// one was answered. An open loop sends at a fixed rate whatever the answers do, and latency counts from the moment an event
// was meant to be sent, so a server that stalls cannot hide the events it kept waiting. Requests are formatted once; only
// the placeholders are patched, so that the generator leaves the processor to what is measured.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carom/bench/stat"
)

// Config says what to send. It travels as JSON to the process that sends.
type Config struct {
	Addr     string        `json:"addr"`     // host and port
	More     []string      `json:"more"`     // of further servers: the senders are divided evenly among all
	Paths    []string      `json:"paths"`    // request targets with placeholders, taken in turn by the event's number
	Run      uint32        `json:"run"`      // goes into every mark
	Senders  int           `json:"senders"`  // connections
	Rate     float64       `json:"rate"`     // events per second over all senders; 0 is a closed loop
	Count    uint64        `json:"count"`    // stop after so many events; 0 is no limit
	StartAt  int64         `json:"start_at"` // Unix nanoseconds; connections are made before. 0 is at once
	WarmUp   time.Duration `json:"warm_up"`  // sent like the rest, left out of the figures
	Duration time.Duration `json:"duration"` // after the warm-up; 0 with a Count is until all are sent

	Head   []string `json:"head"`   // further header lines, with placeholders: "Origin: https://game.example"
	Bodies []string `json:"bodies"` // of POST requests, with placeholders, taken in turn like the paths; none: GET requests
	Want   string   `json:"want"`   // what the body of an answer must hold for 200 to be an acknowledgement; empty: nothing

	// Tokens is the path of a file with a line for each event, see readTokens. TokensAgain begins anew when they are used up;
	// else the run ends then.
	Tokens      string `json:"tokens"`
	TokensAgain bool   `json:"tokens_again"`

	// Zone makes each event a view of this main zone: an ad, its start, and a beacon which says that it was seen. That beacon is
	// what is meant to leave at the event's moment; its ad is asked for ViewLead before. A rate is needed, and paths are not.
	Zone string `json:"zone"`
}

// Result says what came of it. The first four counts cover the warm-up, the figures below them do not.
type Result struct {
	Sent     uint64           `json:"sent"`
	Acked    int64            `json:"acked"` // answered 200, read in full, and as wanted
	Statuses map[int]int64    `json:"statuses"`
	Unwanted int64            `json:"unwanted"` // answered 200, but not as wanted
	Errors   int64            `json:"errors"`   // no answer: connection lost or timed out. Of views also an ad or a start that was not answered 200
	AckedSet []byte           `json:"acked_set"`
	Error    string           `json:"error,omitempty"` // the first one, for the reader
	Seconds  float64          `json:"seconds"`         // of the measured window
	PerSec   float64          `json:"per_s"`           // acknowledged per second in the window
	Latency  stat.Percentiles `json:"latency"`         // of acknowledged events
	Lag      float64          `json:"lag_ms"`          // open loop: the latest that the pacer handed an event to a sender
	UsedUp   bool             `json:"used_up"`         // there were no tokens left for the rest of the time

	Ad    stat.Percentiles `json:"ad"` // of views: latency of the requests before the last one
	Start stat.Percentiles `json:"start"`
}

// Acknowledged returns the numbers of the events that were answered 200.
func (r *Result) Acknowledged() *stat.Set {
	var s stat.Set
	_ = s.UnmarshalBinary(r.AckedSet) // any bytes are a set
	return &s
}

// ticket is one event to be sent: its number, and when it is meant to leave.
type ticket struct {
	seq uint64
	at  time.Time
}

// generator is one run. Its fields are set before the senders start; seq and lag are shared.
type generator struct {
	cfg     Config
	tokens  *tokens   // nil: none are needed
	from    time.Time // the measured window
	until   time.Time // zero is without end
	tickets chan ticket
	seq     atomic.Uint64 // the next number of a closed loop
	usedUp  atomic.Bool   // somebody asked for an event without a token
	lag     time.Duration // written by the pacer, read after it ended
}

// Run sends until the duration or the count is reached, the tokens are used up, or ctx ends. It returns an error when no
// connection can be made at the start; later failures are counted and the sender connects anew.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Zone != "" {
		return runViews(ctx, cfg)
	}
	if cfg.Senders < 1 || len(cfg.Paths) == 0 || (cfg.Duration == 0 && cfg.Count == 0) {
		return nil, errors.New("a load needs senders, paths, and a duration or a count")
	}
	var known *tokens
	if cfg.Tokens != "" {
		var err error
		if known, err = readTokens(cfg.Tokens); err != nil {
			return nil, err
		}
	}
	senders := make([]*sender, cfg.Senders)
	addrs := append([]string{cfg.Addr}, cfg.More...)
	for i := range senders {
		its := cfg
		its.Addr = addrs[i%len(addrs)]
		s, err := newSender(ctx, its, known)
		if err != nil {
			return nil, fmt.Errorf("connect sender %d to %s: %w", i, its.Addr, err)
		}
		defer s.close()
		senders[i] = s
	}
	start := time.Now()
	if cfg.StartAt != 0 {
		start = time.Unix(0, cfg.StartAt)
		sleepUntil(start)
	}
	g := &generator{cfg: cfg, tokens: known, from: start.Add(cfg.WarmUp)}
	if cfg.Duration > 0 {
		g.until = g.from.Add(cfg.Duration)
	}
	var wg sync.WaitGroup
	if cfg.Rate > 0 {
		// One second of events may wait for a free sender; beyond that the pacer waits too, and their intended moments
		// still count.
		g.tickets = make(chan ticket, int(cfg.Rate)+1)
		wg.Go(func() { g.pace(ctx, start) })
	}
	for _, s := range senders {
		wg.Go(func() { s.run(ctx, g) })
	}
	wg.Wait()
	return g.result(senders), nil
}

// pace hands out the events of an open loop at their intended moments, then closes the channel.
func (g *generator) pace(ctx context.Context, start time.Time) {
	defer close(g.tickets)
	interval := float64(time.Second) / g.cfg.Rate
	for n := uint64(0); g.cfg.Count == 0 || n < g.cfg.Count; n++ {
		at := start.Add(time.Duration(float64(n) * interval))
		if !g.until.IsZero() && !at.Before(g.until) || !g.hasToken(n) {
			return
		}
		if time.Until(at) > 0 {
			sleepUntil(at)
		}
		select {
		case g.tickets <- ticket{seq: n, at: at}:
			g.lag = max(g.lag, time.Since(at))
		case <-ctx.Done():
			return
		}
	}
}

// next returns the event that a sender sends now; ok is false when there is none left.
func (g *generator) next(ctx context.Context) (t ticket, ok bool) {
	if g.tickets != nil {
		t, ok = <-g.tickets
		return t, ok && ctx.Err() == nil
	}
	t.at = time.Now()
	if ctx.Err() != nil || (!g.until.IsZero() && !t.at.Before(g.until)) {
		return t, false
	}
	t.seq = g.seq.Add(1) - 1
	return t, (g.cfg.Count == 0 || t.seq < g.cfg.Count) && g.hasToken(t.seq)
}

// hasToken says whether there is a token for the event, or none is needed.
func (g *generator) hasToken(seq uint64) bool {
	if g.tokens == nil || g.cfg.TokensAgain || seq < g.tokens.lines {
		return true
	}
	g.usedUp.Store(true)
	return false
}

func (g *generator) result(senders []*sender) *Result {
	r := &Result{Statuses: map[int]int64{}, Lag: float64(g.lag.Microseconds()) / 1000, UsedUp: g.usedUp.Load()}
	latency := stat.NewLatency()
	var acked stat.Set
	last, inWindow := g.from, int64(0)
	for _, s := range senders {
		r.Sent += s.sent
		r.Errors += s.errors
		r.Unwanted += s.unwanted
		if r.Error == "" && s.firstErr != nil {
			r.Error = s.firstErr.Error()
		}
		for status, n := range s.statuses {
			r.Statuses[status] += n
		}
		inWindow += s.inWindow
		latency.Merge(s.latency)
		acked.Merge(&s.acked)
		if s.last.After(last) {
			last = s.last
		}
	}
	r.Acked = acked.Len()
	r.AckedSet, _ = acked.MarshalBinary() // never fails
	r.Latency = latency.Summary()
	r.Seconds = last.Sub(g.from).Seconds()
	if r.Seconds > 0 {
		r.PerSec = float64(inWindow) / r.Seconds
	}
	return r
}
