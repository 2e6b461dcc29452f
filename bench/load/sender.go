package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"carom/bench/mark"
	"carom/bench/stat"
)

// Waits of a sender after a connection could not be made, and after the server asked to try later: short enough to notice at
// once when the server is back, long enough not to take the processor from it.
const (
	redialWait = 5 * time.Millisecond
	laterWait  = time.Millisecond
)

// sender is one connection with its own account. Only its goroutine touches it until Run has waited for it.
type sender struct {
	addr     string
	runID    uint32
	conn     *Conn
	requests []request

	sent     uint64
	errors   int64
	firstErr error
	unwanted int64
	statuses map[int]int64
	acked    stat.Set
	inWindow int64
	last     time.Time // the last acknowledgement
	latency  stat.Latency
}

func newSender(ctx context.Context, cfg Config, t *tokens) (*sender, error) {
	conn, err := Dial(ctx, cfg.Addr)
	if err != nil {
		return nil, err
	}
	s := newAccount(cfg)
	s.conn = conn
	for i := range max(len(cfg.Paths), len(cfg.Bodies)) {
		s.requests = append(s.requests, newRequest(&cfg, i, t))
	}
	return s, nil
}

// newAccount makes a sender whose requests somebody else sends.
func newAccount(cfg Config) *sender {
	return &sender{addr: cfg.Addr, runID: cfg.Run, statuses: map[int]int64{}, latency: stat.NewLatency()}
}

func (s *sender) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}

func (s *sender) run(ctx context.Context, g *generator) {
	for {
		t, ok := g.next(ctx)
		if !ok {
			return
		}
		if s.conn == nil && !s.redial(ctx) {
			return
		}
		s.send(t, g)
	}
}

// send sends one event and takes the answer into the account.
func (s *sender) send(t ticket, g *generator) {
	req := &s.requests[t.seq%uint64(len(s.requests))]
	req.patch(mark.Mark{Run: s.runID, Seq: t.seq, At: t.at.UnixNano()})
	var status int
	var body []byte
	var err error
	if g.cfg.Want == "" {
		status, err = s.conn.Do(time.Now(), req.b)
	} else {
		status, body, err = s.conn.Ask(time.Now(), req.b)
	}
	now := time.Now()
	if err != nil || s.conn.Closing() {
		s.conn.Close()
		s.conn = nil
	}
	if s.book(t, g, now, status, body, err); status != 0 && status != http.StatusOK {
		time.Sleep(laterWait)
	}
}

// book takes what came of an event into the account.
func (s *sender) book(t ticket, g *generator, now time.Time, status int, body []byte, err error) {
	s.sent++
	if err != nil {
		s.errors++
		s.note(err)
	}
	if status == 0 {
		return
	}
	s.statuses[status]++
	if status != http.StatusOK {
		return
	}
	if g.cfg.Want != "" && !bytes.Contains(body, []byte(g.cfg.Want)) {
		s.unwanted++
		s.note(fmt.Errorf("answered 200 with %.300q", body))
		return
	}
	s.acked.Add(t.seq)
	if t.at.Before(g.from) || (!g.until.IsZero() && now.After(g.until) && g.cfg.Rate == 0) {
		// A closed loop counts what was answered within its window. An open loop counts every event meant for it.
		return
	}
	s.inWindow++
	s.last = now
	s.latency.Record(now.Sub(t.at))
}

// note keeps the first fault for the reader.
func (s *sender) note(err error) {
	if s.firstErr == nil {
		s.firstErr = err
	}
}

// redial connects again, as often as it takes; false when ctx ended.
func (s *sender) redial(ctx context.Context) bool {
	for {
		conn, err := Dial(ctx, s.addr)
		if err == nil {
			s.conn = conn
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		time.Sleep(redialWait)
	}
}
