// Package once sends postbacks as networks do that give up: each is tried a single time, at its moment, whatever the answers do,
// and what became of it is accounted for.
//
// Half of the postbacks get a connection of their own, half share kept ones, as clients with a pool do. Latency counts from
// the intended moment.
package once

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"carom/bench/load"
	"carom/bench/mark"
	"carom/bench/stat"
)

// Config says what to send.
type Config struct {
	Addr    string        // host and port
	Path    string        // request target, with load.YMID where the mark belongs
	Run     uint32        // goes into every mark
	Rate    float64       // postbacks a second
	Kept    int           // connections that are kept at most; 0: 32
	Connect time.Duration // how long connecting may take; 0: 1 s
	Answer  time.Duration // how long a postback may take in all; 0: 5 s
}

// Account is what became of the postbacks.
type Account struct {
	Sent       int64            `json:"sent"`
	Acked      int64            `json:"acked"`      // answered 200
	Refused    int64            `json:"refused"`    // no connection could be made
	Unanswered int64            `json:"unanswered"` // no answer in time
	Broken     int64            `json:"broken"`     // the connection ended without an answer
	Other      map[int]int64    `json:"other"`      // answered otherwise, by status
	Longest    float64          `json:"longest_ms"` // from the intended moment to an answer
	Latency    stat.Percentiles `json:"latency"`    // of all answers
	Error      string           `json:"error,omitempty"`

	AckedSet stat.Set `json:"-"` // numbers of those answered 200
}

// Failed is how many were not answered 200.
func (a *Account) Failed() int64 { return a.Sent - a.Acked }

// sender is one run.
type sender struct {
	cfg    Config
	before []byte // of the mark in a request
	after  []byte
	kept   chan *conn // free kept connections; the one that waited longest is used next, so that all are used often

	mu      sync.Mutex // guards all below
	account Account
	latency stat.Latency
}

// conn is one connection.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// Run sends until ctx ends, waits for the last answers, and returns the account.
func Run(ctx context.Context, cfg Config) *Account {
	if cfg.Kept == 0 {
		cfg.Kept = 32
	}
	if cfg.Connect == 0 {
		cfg.Connect = time.Second
	}
	if cfg.Answer == 0 {
		cfg.Answer = 5 * time.Second
	}
	s := &sender{cfg: cfg, kept: make(chan *conn, cfg.Kept), latency: stat.NewLatency()}
	s.account.Other = map[int]int64{}
	head, tail, _ := bytes.Cut([]byte(cfg.Path), []byte(load.YMID))
	s.before = append([]byte("GET "), head...)
	s.after = fmt.Appendf(tail, " HTTP/1.1\r\nHost: %s\r\nUser-Agent: carom-bench\r\n\r\n", cfg.Addr)
	var wg sync.WaitGroup
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := uint64(0); ; {
		select {
		case <-ctx.Done():
			wg.Wait()
			close(s.kept)
			for c := range s.kept {
				_ = c.Close() // nothing is under way
			}
			s.account.Latency = s.latency.Summary()
			return &s.account
		case <-tick.C:
		}
		for ; float64(n) < time.Since(began).Seconds()*cfg.Rate; n++ {
			seq, at := n, began.Add(time.Duration(float64(n)/cfg.Rate*float64(time.Second)))
			wg.Go(func() { s.send(seq, at) })
		}
	}
}

// send makes the one try.
func (s *sender) send(n uint64, at time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), at.Add(s.cfg.Answer))
	defer cancel()
	keep := n%2 == 0
	c, err := s.connect(ctx, keep)
	if err != nil {
		s.note(n, at, 0, fmt.Errorf("%w: %w", errRefused, err))
		return
	}
	status, again, err := s.exchange(c, mark.Mark{Run: s.cfg.Run, Seq: n, At: at.UnixNano()}, at.Add(s.cfg.Answer))
	s.note(n, at, status, err)
	if keep && again && err == nil {
		select {
		case s.kept <- c:
			return
		default: // enough are kept
		}
	}
	_ = c.Close() // the answer is read
}

// errRefused says that there was no connection to send over.
var errRefused = errors.New("no connection")

func (s *sender) connect(ctx context.Context, keep bool) (*conn, error) {
	if keep {
		select {
		case c := <-s.kept:
			return c, nil
		default:
		}
	}
	d := net.Dialer{Timeout: s.cfg.Connect}
	c, err := d.DialContext(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, 1024)}, nil
}

// exchange sends the postback and reads its answer. again says that the connection may be used again.
func (s *sender) exchange(c *conn, m mark.Mark, until time.Time) (status int, again bool, err error) {
	if err := c.SetDeadline(until); err != nil {
		return 0, false, err
	}
	request := make([]byte, 0, len(s.before)+mark.Len+len(s.after))
	request = append(append(append(request, s.before...), m.String()...), s.after...)
	if _, err := c.Write(request); err != nil {
		return 0, false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = resp.Body.Close() }() // it is read
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, !resp.Close, err
}

// note takes what became of a postback into the account.
func (s *sender) note(n uint64, at time.Time, status int, err error) {
	took := time.Since(at)
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.account
	a.Sent++
	var late net.Error
	switch {
	case errors.Is(err, errRefused):
		a.Refused++
	case errors.As(err, &late) && late.Timeout():
		a.Unanswered++
	case err != nil:
		a.Broken++
	case status != http.StatusOK:
		a.Other[status]++
	default:
		a.Acked++
		a.AckedSet.Add(n)
	}
	if err != nil {
		if a.Error == "" {
			a.Error = err.Error()
		}
		return
	}
	s.latency.Record(took)
	a.Longest = max(a.Longest, float64(took.Microseconds())/1000)
}
