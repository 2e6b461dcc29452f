package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// rig is an HTTP server behind Connections. Its handler reads the body, then waits until the test lets it answer.
type rig struct {
	*Connections
	address string
	entered chan string   // paths of requests that are there as a whole
	release chan struct{} // each lets one of /slow answer
}

func newRig(t *testing.T, l Limits) *rig {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Connections: NewConnections(l), address: ln.Addr().String(), entered: make(chan string, 16), release: make(chan struct{}, 16)}
	srv := &http.Server{ConnContext: r.Context, Handler: r.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		r.entered <- req.URL.Path
		if req.URL.Path == "/slow" {
			<-r.release
		}
		_, _ = io.WriteString(w, "OK") // the test reads it, or does not
	}))}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(r.Listen(ln)) }()
	t.Cleanup(func() {
		close(r.release)
		_ = srv.Close() // what is open is of no use any more
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return r
}

// client is a connection of a test.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (r *rig) dial(t *testing.T, from string) *client {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{c, bufio.NewReader(c)}
}

func (c *client) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func (c *client) answered(t *testing.T) {
	t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body) // "OK"
	_ = resp.Body.Close()                 // it is read
}

// closed waits until the server has closed the connection.
func (c *client) closed(t *testing.T, who string) {
	t.Helper()
	if n, err := c.r.Read(make([]byte, 1)); err == nil {
		t.Errorf("%s is sent %d bytes, want it closed", who, n)
	} else if e := net.Error(nil); errors.As(err, &e) && e.Timeout() {
		t.Errorf("%s is not closed", who)
	}
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// opened waits until the server has taken n connections.
func (r *rig) opened(t *testing.T, n int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.n != n {
		r.room.Wait()
	}
}

func TestTheLongestWaitIsClosed(t *testing.T) {
	const home = "127.0.0.1"
	r := newRig(t, Limits{Max: 4})
	slow := r.dial(t, home)
	slow.send(t, get("/slow"))
	<-r.entered
	trickle := r.dial(t, home)
	trickle.send(t, "GET / HTTP/1.1\r\nX-A: ")
	r.opened(t, 2)
	half := r.dial(t, home)
	half.send(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
	r.opened(t, 3)
	kept := r.dial(t, home)
	r.opened(t, 4)
	kept.send(t, get("/a"))
	kept.answered(t)
	kept.send(t, get("/b")) // it waits since just now
	kept.answered(t)

	fifth := r.dial(t, home)
	fifth.send(t, get("/c"))
	fifth.answered(t)
	trickle.closed(t, "the head that trickles")
	sixth := r.dial(t, home)
	sixth.send(t, get("/d"))
	sixth.answered(t)
	half.closed(t, "the body that trickles")
	seventh := r.dial(t, home)
	seventh.send(t, get("/e"))
	seventh.answered(t)
	kept.closed(t, "the one that waits longest then")
	if full, address := r.Shed(); full != 3 || address != 0 {
		t.Errorf("%d and %d were shed, want 3 and 0", full, address)
	}
	r.release <- struct{}{}
	slow.answered(t)
	r.opened(t, 4)
}

func TestWhenAllAreAnsweringTheNextWaits(t *testing.T) {
	r := newRig(t, Limits{Max: 2})
	first, second := r.dial(t, "127.0.0.1"), r.dial(t, "127.0.0.1")
	for _, c := range []*client{first, second} {
		c.send(t, get("/slow"))
		<-r.entered
	}
	third := r.dial(t, "127.0.0.1")
	third.send(t, get("/third"))
	r.release <- struct{}{}
	if path := <-r.entered; path != "/third" {
		t.Errorf("%s is next", path)
	}
	third.answered(t)
	r.release <- struct{}{}
}

func TestAnAddressHasItsOwnCeiling(t *testing.T) {
	const one, exempt = "127.0.0.1", "127.0.0.7"
	a, err := net.Listen("tcp", "127.0.0.7:0")
	if err != nil {
		t.Skipf("skipped: this system has one loopback address: %v", err)
	}
	_ = a.Close() // it was possible
	r := newRig(t, Limits{Max: 100, PerAddress: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.7/32")}})
	busy := r.dial(t, one)
	busy.send(t, get("/slow"))
	<-r.entered
	idle := r.dial(t, one)
	r.opened(t, 2)
	third := r.dial(t, one)
	idle.closed(t, "the one that waited")
	third.send(t, get("/slow"))
	<-r.entered
	r.dial(t, one).closed(t, "one more than may be answered")
	for range 5 {
		c := r.dial(t, exempt)
		c.send(t, get("/"))
		c.answered(t)
	}
	for range 2 {
		r.release <- struct{}{}
	}
	busy.answered(t)
	third.answered(t)
	if full, address := r.Shed(); full != 0 || address != 2 {
		t.Errorf("%d and %d were shed, want 0 and 2", full, address)
	}
	for _, c := range []*client{busy, third} {
		_ = c.Close()
	}
	for range 5 { // an address that is gone leaves nothing behind
		c := r.dial(t, one)
		c.send(t, get("/"))
		c.answered(t)
	}
}

// Over TLS, and with HTTP/2, a connection is answering too while a handler has its request.
func TestConnectionsOverTLS(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			cs := NewConnections(Limits{Max: 10})
			waiting := func() bool {
				cs.mu.Lock()
				defer cs.mu.Unlock()
				return cs.waiting.first != nil
			}
			srv := httptest.NewUnstartedServer(cs.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if http2 != (r.ProtoMajor == 2) {
					t.Errorf("the request came by %s", r.Proto)
				}
				if waiting() != (r.Method == http.MethodPost) {
					t.Errorf("%s: before its body is read it waits: %v", r.Method, waiting())
				}
				_, _ = io.Copy(io.Discard, r.Body) // what was sent, or nothing
				if waiting() {
					t.Errorf("%s: it still waits", r.Method)
				}
			})))
			srv.Listener, srv.Config.ConnContext, srv.EnableHTTP2 = cs.Listen(srv.Listener), cs.Context, http2
			srv.StartTLS()
			defer srv.Close()
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				req, err := http.NewRequestWithContext(t.Context(), method, srv.URL, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				if method == http.MethodPost {
					req.Body, req.ContentLength = io.NopCloser(strings.NewReader("abc")), 3
				}
				resp, err := srv.Client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close() // empty
			}
		})
	}
}

// A listener that is closed while it waits for room ends its Accept.
func TestCloseEndsTheWaitForRoom(t *testing.T) {
	cs := NewConnections(Limits{Max: 1})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := cs.Listen(ln)
	for range 2 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
	only, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	only.(*conn).begin()
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept returned %v", err)
	}
	if err := only.Close(); err != nil || cs.Open() != 0 {
		t.Errorf("Close returned %v, %d are open", err, cs.Open())
	}
}

// deadlines notes the deadlines that are set.
type deadlines struct {
	net.Conn
	writes []time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.writes = append(d.writes, t)
	return nil
}
func (d *deadlines) SetReadDeadline(time.Time) error { return nil }
func (d *deadlines) Write(p []byte) (int, error)     { return len(p), nil }

func TestWritesHaveADeadline(t *testing.T) {
	under := &deadlines{}
	c := &conn{Conn: under, all: NewConnections(Limits{Max: 1})}
	write := func() {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	write()
	write()
	if len(under.writes) != 1 {
		t.Fatalf("two writes set %d deadlines, want one", len(under.writes))
	}
	if first := under.writes[0].Sub(c.all.began); first < readWithin {
		t.Errorf("the reader gets %s", first)
	}
	c.until.Store(int64(readWithin - 1)) // it is nearly over
	write()
	if len(under.writes) != 2 {
		t.Error("the deadline is not moved")
	}
	own := c.all.began.Add(time.Hour)
	if err := c.SetWriteDeadline(own); err != nil {
		t.Fatal(err)
	}
	write()
	if len(under.writes) != 3 || !under.writes[2].Equal(own) {
		t.Errorf("a handler's deadline became %v", under.writes)
	}
	for range 2 {
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if len(under.writes) != 4 || under.writes[3].Equal(own) {
		t.Errorf("after it was lifted there are %v", under.writes)
	}
}

func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	cs := NewConnections(Limits{Max: 10})
	c := &conn{all: cs, address: &address{waiting: list{at: ofAddress}}}
	cs.wait(c)
	plain, err := http.NewRequest(http.MethodGet, "http://x/", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	for name, r := range map[string]*http.Request{"without": plain, "with": plain.WithContext(cs.Context(b.Context(), c))} {
		b.Run(fmt.Sprintf("%s a connection", name), func(b *testing.B) {
			h := cs.Handler(next)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(nil, r)
			}
		})
	}
}

// What being guarded costs a request over a kept connection.
func BenchmarkServer(b *testing.B) {
	for _, guarded := range []bool{false, true} {
		b.Run(fmt.Sprintf("guarded %v", guarded), func(b *testing.B) {
			h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }))
			srv := httptest.NewUnstartedServer(h)
			if guarded {
				cs := NewConnections(Limits{Max: 100, PerAddress: 50})
				srv.Config.Handler, srv.Config.ConnContext, srv.Listener = cs.Handler(h), cs.Context, cs.Listen(srv.Listener)
			}
			srv.Start()
			defer srv.Close()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // the server is closed next
			request, answer := []byte(get("/")), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(answer); err != nil { // an answer this short comes at once
					b.Fatal(err)
				}
			}
		})
	}
}
