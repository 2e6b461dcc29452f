package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/stat"
)

const (
	confirmRate = 500 // postbacks per second while all wait

	metricWaiting = "carom_views_waiting"
)

// waitingView is one view that somebody waits for.
type waitingView struct {
	ID    string `json:"view_id"`
	YMID  string `json:"ymid"`
	Token string `json:"token"`

	conn      net.Conn
	confirmed chan time.Time // when the client had its answer; capacity 1
}

// views lets clients wait for thousands of views, and sends each view's postback. It measures what the waiting costs in memory,
// and how long after the postback's answer its client knows.
func (r *rig) views(ctx context.Context, rep *report, p *part) error {
	n := r.Views
	dir, err := r.fresh()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the folder of the run goes as a whole
	secret := proc.NewSecret()
	c, err := proc.StartCarom(ctx, proc.Setup{Binary: r.Carom, Dir: dir, Config: rewardsFile(secret, r.sink.Addr)})
	if err != nil {
		return err
	}
	r.servers = append(r.servers, c)
	views, err := openViews(ctx, c, n)
	if err != nil {
		return err
	}
	defer func() {
		for _, v := range views {
			if v.conn != nil {
				_ = v.conn.Close() // it has been read
			}
		}
	}()
	without, err := r.settledMemory(ctx, c)
	if err != nil {
		return err
	}
	if err := waitForAll(ctx, c, views); err != nil {
		return err
	}
	with, err := r.settledMemory(ctx, c)
	if err != nil {
		return err
	}
	latency, late, err := confirmAll(ctx, c, secret, views)
	if err != nil {
		return err
	}
	if late > 0 {
		p.note("%d of %d clients were not told", late, n)
	}
	s := latency.Summary()
	p.Rounds = append(p.Rounds, s)
	rep.set("views_waiting", float64(n))
	rep.set("views_kb", float64(with-without)/1024/float64(n))
	rep.set("views_confirmed_p50_ms", s.P50)
	rep.set("views_confirmed_p99_ms", s.P99)
	r.say("  %d views: %.1f KB each, confirmed after p50 %.2f ms, p99 %.2f ms, at most %.1f ms", n, float64(with-without)/1024/float64(n), s.P50, s.P99, s.Max)
	return c.Stop(stopGrace)
}

// openViews opens n views as the app's backend does.
func openViews(ctx context.Context, c *proc.Carom, n int) ([]*waitingView, error) {
	client := c.LocalClient()
	defer client.CloseIdleConnections()
	views := make([]*waitingView, n)
	for i := range views {
		body := fmt.Sprintf(`{"app":"bench","user":"%d","placement":"bonus-btn"}`, 1_000_000+i)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v1/views", strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("open a view: %w", err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // it has been read to its end
		if err != nil || resp.StatusCode != http.StatusCreated {
			return nil, fmt.Errorf("open a view: answered %s %s, %v", resp.Status, answer, err)
		}
		views[i] = &waitingView{confirmed: make(chan time.Time, 1)}
		if err := json.Unmarshal(answer, views[i]); err != nil {
			return nil, fmt.Errorf("open a view: %w", err)
		}
	}
	return views, nil
}

// settledMemory returns the server's memory after it had time to clean up.
func (r *rig) settledMemory(ctx context.Context, c *proc.Carom) (int64, error) {
	if err := sleepUntil(ctx, time.Now().Add(r.IdleAfter)); err != nil {
		return 0, err
	}
	u, err := c.Usage()
	return u.RSS, err
}

// waitForAll connects a client for each view and returns when the server knows that all of them wait.
func waitForAll(ctx context.Context, c *proc.Carom, views []*waitingView) error {
	for _, v := range views {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Addr)
		if err != nil {
			return fmt.Errorf("connect a client: %w", err)
		}
		v.conn = conn
		if _, err := fmt.Fprintf(conn, "GET /v1/views/%s?wait=60s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", v.ID, v.Token); err != nil {
			return fmt.Errorf("wait for a view: %w", err)
		}
		go v.listen()
	}
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if c.Counters(ctx, metricWaiting)[metricWaiting] >= float64(len(views)) {
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
			return err
		}
	}
	return fmt.Errorf("not all of %d clients wait", len(views))
}

// listen notes when the answer came, if it says that the view is confirmed.
func (v *waitingView) listen() {
	defer close(v.confirmed)
	resp, err := http.ReadResponse(bufio.NewReaderSize(v.conn, 1024), nil)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }() // it has been read to its end
	body, err := io.ReadAll(resp.Body)
	if err == nil && bytes.Contains(body, []byte(`"confirmed"`)) {
		v.confirmed <- time.Now()
	}
}

// confirmAll sends the postback of each view at a steady rate, and returns how long after its answer each client knew, and how
// many never did.
func confirmAll(ctx context.Context, c *proc.Carom, secret string, views []*waitingView) (stat.Latency, int, error) {
	const senders = 8
	latency := stat.NewLatency()
	answered := make([]time.Time, len(views))
	work := make(chan int)
	failed := make(chan error, senders)
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			conn, err := load.Dial(ctx, c.Addr)
			if err != nil {
				failed <- err
				return
			}
			defer conn.Close()
			for i := range work {
				path := strings.NewReplacer(load.YMID, views[i].YMID, load.TelegramID, "1234567890").Replace(postback(secret, zoneMain))
				status, err := conn.Do(time.Now(), fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path))
				if answered[i] = time.Now(); err != nil || status != http.StatusOK {
					failed <- fmt.Errorf("a postback was answered %d, %w", status, err)
					return
				}
			}
		})
	}
	began := time.Now()
	for i := range views {
		if err := sleepUntil(ctx, began.Add(time.Duration(i)*time.Second/confirmRate)); err != nil {
			break
		}
		select {
		case work <- i:
		case err := <-failed:
			close(work)
			wg.Wait()
			return latency, 0, err
		}
	}
	close(work)
	wg.Wait()
	late := 0
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for i, v := range views {
		select {
		case at, ok := <-v.confirmed:
			if !ok {
				late++
				continue
			}
			latency.Record(max(at.Sub(answered[i]), 0))
		case <-limit.C:
			return latency, len(views) - i + late, ctx.Err()
		}
	}
	return latency, late, ctx.Err()
}
