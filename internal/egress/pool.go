package egress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// poolKey names the connections that may serve a request: those of another scheme, host, port or policy may not.
type poolKey struct {
	tls      bool
	private  bool
	hostPort string
}

// conn is a connection to a receiver. The client knows it from before it is dialled until it is closed. In between it
// belongs to one Do at a time, or to the pool.
type conn struct {
	key  poolKey
	addr netip.AddrPort

	raw    net.Conn           // the TCP connection: this is what is closed, since TLS would say goodbye and may wait to do so
	rw     net.Conn           // raw, or TLS over it
	cancel context.CancelFunc // ends the dialling; guarded, like the setting of raw, by Client.mu

	deadline time.Time // of the exchange that it serves
	since    time.Time // when it became idle; guarded by Client.mu
	probe    probe
}

// begin sets the deadline of everything that the connection does until the next begin.
func (cn *conn) begin(deadline time.Time) error {
	cn.deadline = deadline
	return cn.raw.SetDeadline(deadline)
}

// open dials t and shakes hands. Its errors are of type *stageError, or ErrClosed.
func (c *Client) open(ctx context.Context, key poolKey, t *target, deadline time.Time) (*conn, error) {
	dialling, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	key.hostPort = strings.Clone(key.hostPort) // the pool must not keep the whole URL in memory
	cn := &conn{key: key, cancel: cancel}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.live[cn] = struct{}{}
	c.mu.Unlock()

	d := Dialer{Policy: Policy{AllowPrivate: key.private}, Resolver: c.cfg.Resolver, Timeout: c.cfg.ConnectTimeout, Dial: c.cfg.Dial}
	raw, addr, err := d.dial(dialling, t.host, t.port)
	if err != nil {
		c.discard(cn)
		return nil, err
	}
	c.mu.Lock()
	cn.raw, cn.rw, cn.addr = raw, raw, addr
	closed := c.closed
	c.mu.Unlock()
	if closed { // Close came while nobody held the connection but us
		c.discard(cn)
		return nil, ErrClosed
	}
	if sc, ok := raw.(syscall.Conn); ok {
		cn.probe.init(sc)
	}
	phase, err := PhaseConnect, cn.begin(deadline)
	if err == nil && key.tls {
		phase, err = PhaseTLS, c.handshake(ctx, cn, t)
	}
	if err != nil {
		c.discard(cn)
		return nil, &stageError{phase, err}
	}
	return cn, nil
}

// handshake puts TLS over the connection. The certificate must be for the host of the URL.
func (c *Client) handshake(ctx context.Context, cn *conn, t *target) error {
	cfg := c.tls.Clone()
	cfg.ServerName = strings.TrimSuffix(t.host, ".")
	over := tls.Client(cn.raw, cfg)
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = cn.raw.Close() }) // the error shows in the handshake
		defer stop()
	}
	// HandshakeContext would start a goroutine to do what the deadline does.
	if err := over.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	cn.rw = over
	return nil
}

// take returns the connection that was used last, so that the others grow old and are closed; nil when none is usable.
//
// A careful caller gets only one that was used moments ago and was seen to be open, because its request may not be
// repeated: a receiver that closes after a second or more of silence is common, one that closes sooner is not.
func (c *Client) take(key poolKey, now, deadline time.Time, careful bool) *conn {
	limit := c.cfg.IdleTimeout
	if careful {
		limit = min(limit, onceIdle)
	}
	for {
		c.mu.Lock()
		list := c.idle[key]
		last := len(list) - 1
		if last < 0 || now.Sub(list[last].since) >= limit || careful && !list[last].probe.able() {
			c.mu.Unlock()
			return nil
		}
		cn := list[last]
		list[last] = nil
		c.idle[cn.key] = list[:last]
		c.mu.Unlock()

		// The deadline comes first: the probe refuses to look at a connection whose last deadline has passed.
		if err := cn.begin(deadline); err == nil && (!cn.probe.able() || cn.probe.open()) {
			return cn
		}
		c.discard(cn)
	}
}

// put hands a connection whose answer was read to its end back to the pool.
func (c *Client) put(cn *conn) {
	now := time.Now()
	c.mu.Lock()
	list := c.idle[cn.key]
	if c.closed || len(list) >= c.cfg.MaxIdlePerHost {
		c.mu.Unlock()
		c.discard(cn)
		return
	}
	cn.since = now
	c.idle[cn.key] = append(list, cn)
	if c.reaper == nil {
		c.reaper = time.AfterFunc(c.cfg.IdleTimeout, c.reap)
	}
	c.mu.Unlock()
}

// discard closes a connection and forgets it.
func (c *Client) discard(cn *conn) {
	c.mu.Lock()
	delete(c.live, cn)
	c.mu.Unlock()
	if cn.raw != nil {
		_ = cn.raw.Close() // nothing that is still owed to anybody can be lost by it
	}
}

// reap closes connections that were idle for too long. It runs on a timer that put starts, and that runs until the pool
// is empty, so an unused client costs nothing.
func (c *Client) reap() {
	now := time.Now()
	var old []*conn
	next := time.Duration(-1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	for key, list := range c.idle {
		n := 0 // the oldest come first
		for n < len(list) && now.Sub(list[n].since) >= c.cfg.IdleTimeout {
			delete(c.live, list[n])
			n++
		}
		old = append(old, list[:n]...)
		if n == len(list) {
			delete(c.idle, key)
			continue
		}
		if n > 0 {
			c.idle[key] = append([]*conn(nil), list[n:]...) // a copy, so that the old ones can be collected
		}
		if wait := c.cfg.IdleTimeout - now.Sub(list[n].since); next < 0 || wait < next {
			next = wait
		}
	}
	if next < 0 {
		c.reaper = nil
	} else {
		c.reaper.Reset(next)
	}
	c.mu.Unlock()
	for _, cn := range old {
		_ = cn.raw.Close() // idle: nothing is owed to anybody
	}
}

// Close closes every connection, idle or in use, and ends what is being resolved or dialled: exchanges in hand return
// with PhaseCanceled, later ones are refused with ErrClosed. It does not wait for them. Closing twice is safe.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.reaper != nil {
		c.reaper.Stop()
	}
	for cn := range c.live {
		if cn.raw != nil {
			_ = cn.raw.Close() // whoever uses it sees the error
		} else {
			cn.cancel()
		}
	}
	clear(c.idle)
	clear(c.live)
}
