// Package load sends postbacks as many networks at once would, and measures the answers.
//
// Senders hold one keep-alive connection each. A closed loop saturates: every sender sends its next event as soon as the last
// one was answered. An open loop sends at a fixed rate whatever the answers do, and latency counts from the moment an event
// was meant to be sent, so a server that stalls cannot hide the events it kept waiting. Requests are formatted once; only
// the ymid and the user's id are patched, so that the generator leaves the processor to what is measured.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carom/bench/mark"
	"carom/bench/stat"
)

// Placeholders in a path: a mark, and ten digits that tell users apart.
const (
	YMID       = "{ymid}"
	TelegramID = "{telegram_id}"
)

const telegramDigits = 10

// Events are of so many users, who come as if at random: a number and the product with a large prime have nothing in common.
const (
	users  = 100_000
	spread = 2_654_435_761
)

// Config says what to send. It travels as JSON to the process that sends.
type Config struct {
	Addr     string        `json:"addr"`     // host and port
	Paths    []string      `json:"paths"`    // request targets with placeholders, taken in turn by the event's number
	Run      uint32        `json:"run"`      // goes into every mark
	Senders  int           `json:"senders"`  // connections
	Rate     float64       `json:"rate"`     // events per second over all senders; 0 is a closed loop
	Count    uint64        `json:"count"`    // stop after so many events; 0 is no limit
	StartAt  int64         `json:"start_at"` // Unix nanoseconds; connections are made before. 0 is at once
	WarmUp   time.Duration `json:"warm_up"`  // sent like the rest, left out of the figures
	Duration time.Duration `json:"duration"` // after the warm-up; 0 with a Count is until all are sent
}

// Result says what came of it. The first four counts cover the warm-up, the figures below them do not.
type Result struct {
	Sent     uint64           `json:"sent"`
	Acked    int64            `json:"acked"` // answered 200, read in full
	Statuses map[int]int64    `json:"statuses"`
	Errors   int64            `json:"errors"` // no answer: connection lost or timed out
	AckedSet []byte           `json:"acked_set"`
	Error    string           `json:"error,omitempty"` // the first one, for the reader
	Seconds  float64          `json:"seconds"`         // of the measured window
	PerSec   float64          `json:"per_s"`           // acknowledged per second in the window
	Latency  stat.Percentiles `json:"latency"`         // of acknowledged events
	Lag      float64          `json:"lag_ms"`          // open loop: the latest that the pacer handed an event to a sender
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
	from    time.Time // the measured window
	until   time.Time // zero is without end
	tickets chan ticket
	seq     atomic.Uint64 // the next number of a closed loop
	lag     time.Duration // written by the pacer, read after it ended
}

// Run sends until the duration or the count is reached, or ctx ends. It returns an error when no connection can be made
// at the start; later failures are counted and the sender connects anew.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Senders < 1 || len(cfg.Paths) == 0 || (cfg.Duration == 0 && cfg.Count == 0) {
		return nil, errors.New("a load needs senders, paths, and a duration or a count")
	}
	senders := make([]*sender, cfg.Senders)
	for i := range senders {
		s, err := newSender(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("connect sender %d to %s: %w", i, cfg.Addr, err)
		}
		defer s.close()
		senders[i] = s
	}
	start := time.Now()
	if cfg.StartAt != 0 {
		start = time.Unix(0, cfg.StartAt)
		sleepUntil(start)
	}
	g := &generator{cfg: cfg, from: start.Add(cfg.WarmUp)}
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
		if !g.until.IsZero() && !at.Before(g.until) {
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
	return t, g.cfg.Count == 0 || t.seq < g.cfg.Count
}

func (g *generator) result(senders []*sender) *Result {
	r := &Result{Statuses: map[int]int64{}, Lag: float64(g.lag.Microseconds()) / 1000}
	latency := stat.NewLatency()
	var acked stat.Set
	last, inWindow := g.from, int64(0)
	for _, s := range senders {
		r.Sent += s.sent
		r.Errors += s.errors
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

// request is a formatted request and where its placeholders stand.
type request struct {
	b        []byte
	ymid     int // -1: none
	telegram int
}

func newRequest(addr, path string) request {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: carom-bench\r\n\r\n", path, addr)
	r := request{b: b.Bytes()}
	r.b, r.ymid = widen(r.b, YMID, mark.Len)
	r.b, r.telegram = widen(r.b, TelegramID, telegramDigits)
	if r.telegram >= 0 && r.telegram < r.ymid {
		r.ymid += telegramDigits - len(TelegramID)
	}
	return r
}

// widen replaces the placeholder by n bytes and says where they are.
func widen(b []byte, placeholder string, n int) ([]byte, int) {
	i := bytes.Index(b, []byte(placeholder))
	if i < 0 {
		return b, -1
	}
	return bytes.Replace(b, []byte(placeholder), bytes.Repeat([]byte("0"), n), 1), i
}

// patch writes the event's mark and user into the request.
func (r request) patch(m mark.Mark) {
	if r.ymid >= 0 {
		mark.Put(r.b[r.ymid:], m)
	}
	if r.telegram >= 0 {
		u := 7_000_000_000 + m.Seq*spread%users
		for i := telegramDigits - 1; i >= 0; i-- {
			r.b[r.telegram+i] = byte('0' + u%10)
			u /= 10
		}
	}
}
