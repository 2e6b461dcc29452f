package guard

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits are the bounds of [Connections].
type Limits struct {
	Max        int            // connections of all listeners together
	PerAddress int            // of them, those of one address; IPv6: of one /64. 0: Max
	Exempt     []netip.Prefix // whose addresses may have any number up to Max: proxies, and what runs on this machine
}

// Connections are the inbound connections of a server. Its listeners have to be wrapped by [Connections.Listen], its handlers by
// [Connections.Handler], and [Connections.Context] has to be the server's ConnContext. All methods are safe for concurrent use.
//
// A connection is answering while a handler has a whole request; else it waits, be it for a first byte, for the rest of a head
// or of a body, or for the next request. Waiting ones are kept in the order in which they began to wait. When there are too
// many, the one at the front is closed: the longest wait is the best sign of a client that does not mean to send anything, and
// the next request of an honest one is least likely to be on its way. One that is answering is never closed; when all are,
// the listeners take nobody until one is done, and an address beyond its own ceiling is hung up on.
type Connections struct {
	limits Limits
	began  time.Time // deadlines are kept as distances from here

	mu        sync.Mutex // guards all below, and the fields of conn that say so
	room      sync.Cond  // a connection was closed, or began to wait
	n         int
	waiting   list // of all
	addresses map[uint64]*address

	forRoom, forAddress atomic.Int64
}

// address is what is open from one address.
type address struct {
	n       int
	waiting list
}

// NewConnections makes the connections of a server that has none yet.
func NewConnections(l Limits) *Connections {
	if l.PerAddress <= 0 || l.PerAddress > l.Max {
		l.PerAddress = l.Max
	}
	cs := &Connections{limits: l, began: time.Now(), waiting: list{at: ofAll}, addresses: map[uint64]*address{}}
	cs.room.L = &cs.mu
	return cs
}

// Open is how many connections there are.
func (cs *Connections) Open() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.n
}

// Shed is how many connections were closed to make room: for all, and for others of the same address.
func (cs *Connections) Shed() (full, address int64) { return cs.forRoom.Load(), cs.forAddress.Load() }

// Listen returns a listener that accepts from ln within the bounds.
func (cs *Connections) Listen(ln net.Listener) net.Listener {
	return &listener{Listener: ln, all: cs}
}

type listener struct {
	net.Listener
	all    *Connections
	closed bool // guarded by all.mu
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.take(l, nc); c != nil {
			return c, nil
		}
		_ = nc.Close() // nothing was read from it or written to it
	}
}

// Close implements net.Listener. It also ends an Accept that waits for room.
func (l *listener) Close() error {
	l.all.mu.Lock()
	l.closed = true
	l.all.room.Broadcast()
	l.all.mu.Unlock()
	return l.Listener.Close()
}

// take makes room for a connection and takes it in. It returns nil when there is none.
func (cs *Connections) take(l *listener, nc net.Conn) *conn {
	c := &conn{Conn: nc, all: cs}
	remote, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	peer := remote.Addr().Unmap().WithZone("")
	limited := cs.limits.PerAddress < cs.limits.Max && peer.IsValid() && !listed(cs.limits.Exempt, peer)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for {
		var a *address
		if limited {
			a = cs.addresses[key(peer)]
		}
		switch {
		case a != nil && a.n >= cs.limits.PerAddress:
			cs.forAddress.Add(1)
			if a.waiting.first == nil {
				return nil
			}
			cs.evict(a.waiting.first)
			continue
		case cs.n < cs.limits.Max:
		case cs.waiting.first != nil:
			cs.forRoom.Add(1)
			cs.evict(cs.waiting.first)
			continue
		case l.closed:
			return nil
		default:
			cs.room.Wait()
			continue
		}
		if limited && a == nil {
			a = &address{waiting: list{at: ofAddress}}
			cs.addresses[key(peer)] = a
		}
		c.key, c.address = key(peer), a
		cs.n++
		if a != nil {
			a.n++
		}
		cs.wait(c)
		return c
	}
}

// evict closes a connection that waits. The caller holds mu: closing a socket does not block, since nobody asks for it to
// linger.
func (cs *Connections) evict(c *conn) {
	cs.leave(c)
	_ = c.Conn.Close() // whoever reads from it gets the error
}

// leave takes a connection out of the account, once. The caller holds mu.
func (cs *Connections) leave(c *conn) {
	if c.gone {
		return
	}
	cs.unwait(c)
	c.gone = true
	cs.n--
	if a := c.address; a != nil {
		if a.n--; a.n == 0 {
			delete(cs.addresses, c.key)
		}
	}
	cs.room.Broadcast()
}

// wait puts a connection behind all that wait. The caller holds mu.
func (cs *Connections) wait(c *conn) {
	c.waits = true
	cs.waiting.push(c)
	if c.address != nil {
		c.address.waiting.push(c)
	}
	cs.room.Broadcast()
}

// unwait takes it out of there. The caller holds mu.
func (cs *Connections) unwait(c *conn) {
	if !c.waits {
		return
	}
	c.waits = false
	cs.waiting.remove(c)
	if c.address != nil {
		c.address.waiting.remove(c)
	}
}

// connKey is under which a request's context has its connection.
type connKey struct{}

// Context is an http.Server's ConnContext.
func (cs *Connections) Context(ctx context.Context, nc net.Conn) context.Context {
	if outer, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = outer.NetConn()
	}
	if c, ok := nc.(*conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// Handler lets next answer, and its connection count as answering from the moment when the request is there as a whole. Requests on
// connections that no listener of ours took, such as those of a local socket, pass as they are.
func (cs *Connections) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connKey{}).(*conn)
		switch {
		case !ok:
			next.ServeHTTP(w, r)
		case r.Body == http.NoBody || r.ContentLength == 0: // the latter with HTTP/2
			c.begin()
			defer c.end()
			next.ServeHTTP(w, r)
		default:
			if len(r.TransferEncoding) > 0 {
				// A length may have stood beside the chunks, by which a proxy may have divided the bytes in another way; net/http
				// does not tell. RFC 9112, 6.1: process the chunks, then close.
				w.Header().Set("Connection", "close")
			}
			b := &body{ReadCloser: r.Body, c: c}
			r.Body = b
			defer b.end()
			next.ServeHTTP(w, r)
		}
	})
}

// body is a request's body. Until it has been read to its end the client is still sending.
type body struct {
	io.ReadCloser
	c     *conn
	whole bool // only the handler's goroutine reads
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !b.whole {
		b.whole = true
		b.c.begin()
	}
	return n, err
}

func (b *body) end() {
	if b.whole {
		b.c.end()
	}
}

// readWithin is how long a client may take to read what a single write sends: a postback's answer, or a piece of a longer one.
// However long a handler takes, and however much it sends in all, is its own affair.
const readWithin = 30 * time.Second

// readSlack is by how much the deadline is set later, so that it is not moved at every write, which costs more than all else
// that is done here.
const readSlack = 10 * time.Second

// conn is one connection.
type conn struct {
	net.Conn
	all     *Connections
	key     uint64
	address *address // nil: exempt

	// all.mu guards these.
	links     [2]link
	waits     bool // in the lists
	gone      bool // no longer in the account
	answering int  // handlers that have a whole request: more than one only with HTTP/2

	own   atomic.Bool  // a handler, or the HTTP server, has set a deadline for writes, which counts
	until atomic.Int64 // the deadline for writes that was set here, as nanoseconds since all.began
}

// begin notes that a handler has a whole request. One that came while its connection was being closed is not looked at: it
// cannot be answered, and is sent again.
func (c *conn) begin() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.gone {
		panic(http.ErrAbortHandler) // net/http's own way to hang up
	}
	c.answering++
	c.all.unwait(c)
}

func (c *conn) end() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.answering--; c.answering == 0 && !c.gone {
		c.all.wait(c)
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.all.mu.Lock()
	c.all.leave(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// Write implements net.Conn. It fails when the other side does not read for readWithin.
func (c *conn) Write(p []byte) (int, error) {
	if !c.own.Load() {
		now := time.Since(c.all.began)
		if time.Duration(c.until.Load())-now < readWithin {
			c.until.Store(int64(now + readWithin + readSlack))
			if err := c.Conn.SetWriteDeadline(c.all.began.Add(now + readWithin + readSlack)); err != nil {
				return 0, err
			}
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn. A deadline counts in place of that of Write, until it is lifted by the zero time.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		if c.own.CompareAndSwap(true, false) {
			c.until.Store(0)
		}
		return nil // the next Write sets one
	}
	c.own.Store(true)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// The lists that a connection is in.
const (
	ofAll     = 0
	ofAddress = 1
)

// link is a connection's place in a list.
type link struct{ before, after *conn }

// list is connections in the order in which they came. Connections hold its links themselves, so that nothing is allocated
// for a request.
type list struct {
	at          int // which of the links
	first, last *conn
}

func (l *list) push(c *conn) {
	c.links[l.at] = link{before: l.last}
	if l.last != nil {
		l.last.links[l.at].after = c
	} else {
		l.first = c
	}
	l.last = c
}

func (l *list) remove(c *conn) {
	k := c.links[l.at]
	if k.before != nil {
		k.before.links[l.at].after = k.after
	} else {
		l.first = k.after
	}
	if k.after != nil {
		k.after.links[l.at].before = k.before
	} else {
		l.last = k.before
	}
	c.links[l.at] = link{}
}
