package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// tally is what an attack has done so far.
type tally struct {
	sent  atomic.Int64 // connections or requests
	ended atomic.Int64 // of them, those that the server closed or answered
}

// attack is one kind of abuse. run returns once ctx has ended and everything it opened is closed.
type attack struct {
	name string
	run  func(ctx context.Context, c *tally)
}

// attacks lists them. The last one is all others at once.
func (o options) attacks(addr string) []attack {
	b := &attackers{o, addr}
	const stranger = "/in/bench/monetag/00000000000000000000000000000000"
	const head = " HTTP/1.1\r\nHost: carom\r\n"
	list := []attack{
		{"heads that trickle", b.slow("GET "+stranger+"?ymid=1"+head+"X: ", "a")},
		{"bodies that trickle", b.slow("POST "+stranger+head+"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 200000\r\n\r\nymid=", "1")},
		{"idle connections", b.idle},
		{"readers that do not read", b.unread(strings.Repeat("GET "+stranger+"?ymid=1"+head+"\r\n", 50))},
		{"oversized requests", b.junk(oversized(stranger))},
		{"random bytes", b.junk(nil)},
		{"smuggled requests", b.junk(smuggled(stranger))},
		{"wrong secrets", b.flood(stranger)},
	}
	return append(list, attack{"all together", func(ctx context.Context, c *tally) {
		var wg sync.WaitGroup
		for _, a := range list {
			wg.Go(func() { a.run(ctx, c) })
		}
		wg.Wait()
	}})
}

// attackers are those who attack one server.
type attackers struct {
	options
	addr string
}

// attacker is an address of the loopback network that is not that of the honest senders.
func attacker(n int) string { return fmt.Sprintf("127.0.0.%d", 2+n%49) }

// dial connects as the nth attacker. Connecting is not what is attacked, so that it may take its time.
func (b *attackers) dial(ctx context.Context, n int) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(attacker(n))}}
	return d.DialContext(ctx, "tcp", b.addr)
}

// many runs n attackers until ctx ends. Each works on one connection after the other: work returns when it is of no more use.
// They begin one after the other over a second.
func (b *attackers) many(ctx context.Context, c *tally, n int, work func(ctx context.Context, n int, conn net.Conn)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			wait := time.Second * time.Duration(i) / time.Duration(n)
			for pause(ctx, wait) == nil {
				wait = 500 * time.Millisecond // an attacker that comes back at once would only measure how fast connections are made
				conn, err := b.dial(ctx, i)
				if err != nil {
					continue
				}
				c.sent.Add(1)
				unwatch := context.AfterFunc(ctx, func() { _ = conn.Close() })
				work(ctx, i, conn)
				unwatch()
				_ = conn.Close() // it may be closed already
				if ctx.Err() == nil {
					c.ended.Add(1)
				}
			}
		})
	}
	wg.Wait()
}

// slow begins requests and goes on a byte at a time, for ever.
func (b *attackers) slow(begin, more string) func(context.Context, *tally) {
	return func(ctx context.Context, c *tally) {
		b.many(ctx, c, b.Slow, func(ctx context.Context, _ int, conn net.Conn) {
			closed := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, conn) // ends with the connection
				close(closed)
			}()
			defer func() {
				_ = conn.Close() // so that the reader ends
				<-closed
			}()
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for text := begin; ; text = more {
				if _, err := io.WriteString(conn, text); err != nil {
					return
				}
				select {
				case <-closed:
					return
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
}

// idle connects and sends nothing.
func (b *attackers) idle(ctx context.Context, c *tally) {
	b.many(ctx, c, b.Idle, func(_ context.Context, _ int, conn net.Conn) {
		_, _ = io.Copy(io.Discard, conn) // ends when the server has had enough
	})
}

// unread sends requests without end and reads no answer.
func (b *attackers) unread(requests string) func(context.Context, *tally) {
	return func(ctx context.Context, c *tally) {
		b.many(ctx, c, b.Slow/4, func(ctx context.Context, _ int, conn net.Conn) {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(1024) // an attack that works a little later otherwise
			}
			for pause(ctx, 200*time.Millisecond) == nil {
				if _, err := io.WriteString(conn, requests); err != nil {
					return
				}
			}
		})
	}
}

// paced calls work so many times a second, each time in a goroutine of its own, until ctx ends.
func paced(ctx context.Context, rate float64, work func(n int)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ; float64(n) < time.Since(began).Seconds()*rate; n++ {
			i := n
			wg.Go(func() { work(i) })
		}
	}
}

// junk sends cases in turn, or random bytes, each over a connection of its own, and reads what comes back.
func (b *attackers) junk(cases []string) func(context.Context, *tally) {
	return func(ctx context.Context, c *tally) {
		paced(ctx, b.Junk, func(n int) {
			conn, err := b.dial(ctx, n)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }() // it may be closed already
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			if conn.SetDeadline(time.Now().Add(10*time.Second)) != nil {
				return
			}
			c.sent.Add(1)
			text := ""
			if len(cases) > 0 {
				text = cases[n%len(cases)]
			} else {
				bytes := make([]byte, 1+rand.IntN(8<<10))
				for i := range bytes {
					bytes[i] = byte(rand.Uint32())
				}
				text = string(bytes)
			}
			_, err = io.WriteString(conn, text)
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
			}
			var late net.Error
			if err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &late) && !late.Timeout() {
				c.ended.Add(1)
			}
		})
	}
}

// oversized are requests that are too large in one part each.
func oversized(target string) []string {
	const rest = " HTTP/1.1\r\nHost: carom\r\nConnection: close\r\n"
	large := func(n int) string { return strings.Repeat("a", n) }
	return []string{
		"GET " + target + "?x=" + large(20<<10) + rest + "\r\n",
		"GET " + target + "?x=" + large(100<<10) + rest + "\r\n",
		"GET " + target + rest + "X: " + large(100<<10) + "\r\n\r\n",
		"GET " + target + rest + strings.Repeat("X: y\r\n", 20<<10) + "\r\n",
		"POST " + target + rest + fmt.Sprintf("Content-Length: %d\r\n\r\n", 1<<20) + large(1<<20),
		"POST " + target + rest + "Transfer-Encoding: chunked\r\n\r\n100000\r\n" + large(1<<20) + "\r\n0\r\n\r\n",
		large(300<<10) + " " + target + rest + "\r\n",
	}
}

// smuggled are requests that servers have understood differently. Whoever does would find a second one inside.
func smuggled(target string) []string {
	inner := "GET " + target + "?ymid=smuggled&event=click HTTP/1.1\r\nHost: carom\r\nConnection: close\r\n\r\n"
	post := func(headers, rest string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: carom\r\nConnection: close\r\n" + headers + "\r\n" + rest
	}
	return []string{
		post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner),
		post("Content-Length: 0\r\nContent-Length: 9\r\n", inner),
		post("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", inner),
		post("Transfer-Encoding: xchunked\r\n", inner),
		post("X: a\r\n Transfer-Encoding: chunked\r\n", inner),
		post("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"+inner),
		post("Transfer-Encoding: chunked\r\n", "-1\r\n"+inner),
		"GET " + target + "\n\n" + inner,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
	}
}

// flood sends wrong secrets over kept connections.
func (b *attackers) flood(target string) func(context.Context, *tally) {
	const senders = 10 // so few that each has more failures than one address may have
	request := "GET " + target + "?ymid=guess&event=click HTTP/1.1\r\nHost: carom\r\n\r\n"
	return func(ctx context.Context, c *tally) {
		var connections tally // requests are counted
		b.many(ctx, &connections, senders, func(ctx context.Context, _ int, conn net.Conn) {
			answers := bufio.NewReader(conn)
			began := time.Now()
			for n := 0.0; ; n++ {
				due := began.Add(time.Duration(n * senders / b.Flood * float64(time.Second)))
				if wait := time.Until(due); wait > 0 && pause(ctx, wait) != nil {
					return
				}
				if _, err := io.WriteString(conn, request); err != nil {
					return
				}
				c.sent.Add(1)
				resp, err := http.ReadResponse(answers, nil)
				if err != nil {
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close() // it is read
				if err != nil {
					return
				}
				c.ended.Add(1)
			}
		})
	}
}
