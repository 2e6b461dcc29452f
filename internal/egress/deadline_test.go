package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// piped makes a client whose connections lead to handle, in memory, so that the clock of synctest rules.
func piped(cfg Config, handle func(nc net.Conn, in *bufio.Reader)) *Client {
	cfg.Resolver = names{"backend.example": {{"8.8.8.8"}}}
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			handle(server, bufio.NewReader(server))
		}()
		return client, nil
	}
	return New(cfg)
}

type hangingResolver struct{}

func (hangingResolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// trickle writes text, one byte every 1.1 seconds, until the client leaves: no byte comes just at a deadline.
func trickle(nc net.Conn, text string) {
	for i := range len(text) {
		if _, err := nc.Write([]byte{text[i]}); err != nil {
			return
		}
		<-time.After(1100 * time.Millisecond)
	}
}

func TestOneDeadlineCoversEveryStage(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	tests := []struct {
		name   string
		url    string
		cfg    func(*Config)
		handle func(nc net.Conn, in *bufio.Reader)
		after  time.Duration
		phase  Phase
		sent   bool
		status int
		body   string
	}{
		{name: "resolve", cfg: func(c *Config) { c.Resolver = hangingResolver{} }, after: 10 * time.Second, phase: PhaseTimeout},
		{name: "connect", cfg: func(c *Config) { c.Dial = hang }, after: 3 * time.Second, phase: PhaseConnect},
		{
			name: "handshake", url: "https://backend.example/", after: 10 * time.Second, phase: PhaseTimeout,
			handle: func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) },
		},
		{
			name: "write", after: 10 * time.Second, phase: PhaseTimeout, sent: true,
			handle: func(_ net.Conn, in *bufio.Reader) {
				_, _ = in.ReadByte()
				<-time.After(time.Minute)
			},
		},
		{
			name: "answer", after: 10 * time.Second, phase: PhaseTimeout, sent: true,
			handle: func(_ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) },
		},
		{
			name: "header", after: 10 * time.Second, phase: PhaseTimeout, sent: true,
			handle: func(nc net.Conn, in *bufio.Reader) {
				readRequest(in)
				trickle(nc, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 100))
			},
		},
		{
			name: "body", after: 10 * time.Second, phase: PhaseTimeout, sent: true, status: 200, body: "0123456789",
			handle: func(nc net.Conn, in *bufio.Reader) {
				readRequest(in)
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
				trickle(nc, strings.Repeat("0123456789", 10))
			},
		},
		{
			name: "body beyond the limit: the answer is known, so nothing waits for the rest", after: drainTime, sent: true, status: 200,
			body: strings.Repeat("s", DefaultBodyLimit),
			handle: func(nc net.Conn, in *bufio.Reader) {
				readRequest(in)
				_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"+strings.Repeat("s", DefaultBodyLimit))
				trickle(nc, strings.Repeat("s", 20000-DefaultBodyLimit))
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := piped(Config{}, tt.handle)
				defer c.Close()
				if tt.cfg != nil {
					tt.cfg(&c.cfg)
				}
				url := tt.url
				if url == "" {
					url = "http://backend.example/"
				}
				start := time.Now()
				res := c.Do(context.Background(), Policy{}, get(url), Options{})
				if got := time.Since(start); got != tt.after || res.Phase != tt.phase || (res.Err == nil) != (tt.phase == "") {
					t.Errorf("got phase %q, error %v after %v; want phase %q after %v", res.Phase, res.Err, got, tt.phase, tt.after)
				}
				if res.Sent != tt.sent || res.Status != tt.status || string(res.Body) != tt.body {
					t.Errorf("got sent %v, status %d, body %.20q; want %v, %d, %.20q",
						res.Sent, res.Status, res.Body, tt.sent, tt.status, tt.body)
				}
				if len(c.live) > 0 {
					t.Errorf("%d connections are left, want none", len(c.live))
				}
				<-time.After(time.Hour) // the receiver ends in its own time
			})
		})
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ended := make(chan time.Duration, 2)
		c := piped(Config{}, func(nc net.Conn, in *bufio.Reader) {
			say("HTTP/1.1 204 No Content\r\n\r\n")(1, nc, in)
			ended <- time.Since(start)
		})
		defer c.Close()
		for _, host := range []string{"http://backend.example/", "http://backend.example:8080/"} {
			if res := c.Do(context.Background(), Policy{}, get(host), Options{}); res.Err != nil {
				t.Fatal(res.Err)
			}
			<-time.After(20 * time.Second)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		for _, want := range []time.Duration{60 * time.Second, 80 * time.Second} {
			if got := <-ended; got != want {
				t.Errorf("a connection ended after %v, want %v: 60 s after its last use", got, want)
			}
		}
		if c.reaper != nil || len(c.live)+len(c.idle) > 0 {
			t.Errorf("the client still holds reaper %v, live %v, idle %v", c.reaper, c.live, c.idle)
		}
	})
}

func TestOnceTakesNoConnectionThatCannotBeProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns atomic.Int64
		c := piped(Config{}, func(nc net.Conn, in *bufio.Reader) {
			conns.Add(1)
			say("HTTP/1.1 204 No Content\r\n\r\n")(1, nc, in)
		})
		defer c.Close()
		for range 3 {
			if res := c.Do(context.Background(), Policy{}, get("http://backend.example/"), Options{Once: true}); res.Err != nil {
				t.Fatal(res.Err)
			}
		}
		if got := conns.Load(); got != 3 {
			t.Errorf("three exchanges took %d connections, want 3", got)
		}
	})
}
