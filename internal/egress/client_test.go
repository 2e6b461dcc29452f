package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// own is the policy of an operator's own endpoints: the receivers of these tests are on loopback.
var own = Policy{AllowPrivate: true}

// receiver is a net/http receiver that counts its connections.
type receiver struct {
	*httptest.Server
	conns atomic.Int64
}

func newReceiver(t *testing.T, h http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{Server: httptest.NewUnstartedServer(h)}
	r.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// rawReceiver runs handle for every connection, which it numbers from 1 and closes afterwards. It returns its address.
func rawReceiver(t *testing.T, handle func(n int, nc net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = nc.Close() }()
				handle(n, nc, bufio.NewReader(nc))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// readRequest reads one request with its body; nil when the client hung up.
func readRequest(in *bufio.Reader) *http.Request {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return r
}

// say answers every request of every connection with text, and keeps the connections open until the client leaves.
func say(text string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, nc net.Conn, in *bufio.Reader) {
		for readRequest(in) != nil {
			_, _ = io.WriteString(nc, text)
		}
	}
}

func newClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

func get(url string) Request { return Request{Method: "GET", URL: url} }

func TestAnswerAndReuse(t *testing.T) {
	srv := newReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.RequestURI(), r.Header.Get("Accept-Encoding"), body)
	})
	c := newClient(t, Config{})
	for i := range 5 {
		r := Request{Method: "POST", URL: srv.URL + "/p?i=" + strconv.Itoa(i), Body: []byte("ping")}
		got := c.Do(t.Context(), own, r, Options{Once: i%2 == 1})
		want := Result{
			Status: 503, RetryAfter: "7", ContentType: "text/plain", Sent: true,
			Body: []byte("POST /p?i=" + strconv.Itoa(i) + "  ping"), Addr: got.Addr,
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) }), cmp.Comparer(addrPortEqual)); diff != "" {
			t.Errorf("exchange %d (-want +got):\n%s", i, diff)
		}
		if got.Addr.String() != srv.Listener.Addr().String() {
			t.Errorf("exchange %d: got address %v, want %v", i, got.Addr, srv.Listener.Addr())
		}
	}
	want := int64(1)
	if runtime.GOOS == "windows" {
		want = 3 // two of the exchanges may not be repeated and get connections of their own
	}
	if got := srv.conns.Load(); got != want {
		t.Errorf("five exchanges took %d connections, want %d", got, want)
	}
}

func TestParallelAnswersAreNotMixedUp(t *testing.T) {
	srv := newReceiver(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.RawQuery) })
	c := newClient(t, Config{MaxIdlePerHost: 4})
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 40 {
				q := fmt.Sprintf("%d-%d", g, i)
				if res := c.Do(t.Context(), own, get(srv.URL+"/?"+q), Options{}); res.Err != nil || string(res.Body) != q {
					t.Errorf("asked for %q: got %q, error %v", q, res.Body, res.Err)
				}
			}
		})
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.live); n > 4 {
		t.Errorf("%d connections are kept, want at most 4", n)
	}
}

func TestConnectionsOfAnotherPolicyAreNotUsed(t *testing.T) {
	srv := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, Config{})
	if res := c.Do(t.Context(), own, get(srv.URL), Options{}); res.Err != nil {
		t.Fatal(res.Err)
	}
	res := c.Do(t.Context(), Policy{}, get(srv.URL), Options{})
	var refusal *Refusal
	if !errors.As(res.Err, &refusal) || res.Phase != PhaseRefused || res.Sent || res.Addr.Addr() != refusal.Addr {
		t.Errorf("an idle connection to loopback exists: got %+v, want a refusal", res)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var hits atomic.Int64
	private := newReceiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := newReceiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, private.URL, status) })
		res := newClient(t, Config{}).Do(t.Context(), own, get(srv.URL), Options{})
		if res.Status != status || res.Err != nil {
			t.Errorf("got status %d, error %v, want %d as the result", res.Status, res.Err, status)
		}
	}
	if hits.Load() > 0 {
		t.Errorf("the target of a redirect was asked %d times", hits.Load())
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	srv := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	if res := newClient(t, Config{}).Do(t.Context(), own, get(srv.URL), Options{}); res.Err != nil {
		t.Errorf("got error %v, want a direct exchange", res.Err)
	}
}

// closesOnReuse answers the first request of its first connection and hangs up on the second. Further connections work.
func closesOnReuse(requests *atomic.Int64) func(int, net.Conn, *bufio.Reader) {
	return func(n int, nc net.Conn, in *bufio.Reader) {
		for i := 0; readRequest(in) != nil; i++ {
			requests.Add(1)
			if n == 1 && i == 1 {
				return
			}
			_, _ = io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	}
}

func TestStaleConnectionIsReplacedOnce(t *testing.T) {
	var requests atomic.Int64
	addr := rawReceiver(t, closesOnReuse(&requests))
	c := newClient(t, Config{})
	for i := range 2 {
		res := c.Do(t.Context(), own, Request{Method: "POST", URL: "http://" + addr, Body: []byte("x")}, Options{})
		if res.Status != 200 || res.Err != nil || !res.Sent {
			t.Errorf("exchange %d: got %+v, want status 200", i, res)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("the receiver saw %d requests, want 3: the second was sent again", n)
	}
}

func TestOnceIsNeverRepeated(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such a request gets a fresh connection on Windows")
	}
	var requests atomic.Int64
	addr := rawReceiver(t, closesOnReuse(&requests))
	c := newClient(t, Config{})
	first := c.Do(t.Context(), own, get("http://"+addr), Options{Once: true})
	second := c.Do(t.Context(), own, get("http://"+addr), Options{Once: true})
	if first.Err != nil || second.Err == nil || second.Phase != PhaseRead || !second.Sent {
		t.Errorf("got %+v, then %+v; want the second to fail in reading, after it was sent", first, second)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the receiver saw %d requests, want 2", n)
	}
}

func TestFreshConnectionThatBreaksIsNotRetried(t *testing.T) {
	var requests atomic.Int64
	addr := rawReceiver(t, func(_ int, _ net.Conn, in *bufio.Reader) {
		if readRequest(in) != nil {
			requests.Add(1)
		}
	})
	res := newClient(t, Config{}).Do(t.Context(), own, get("http://"+addr), Options{})
	if res.Phase != PhaseRead || !errors.Is(res.Err, io.ErrUnexpectedEOF) || !res.Sent || requests.Load() != 1 {
		t.Errorf("got %+v after %d requests, want one that fails in reading", res, requests.Load())
	}
}

func TestBrokenIdleConnectionIsNoticed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("idle connections cannot be probed on Windows")
	}
	for _, goodbye := range []string{"", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"} {
		leave := make(chan struct{})
		addr := rawReceiver(t, func(n int, nc net.Conn, in *bufio.Reader) {
			readRequest(in)
			_, _ = fmt.Fprintf(nc, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			if n == 1 {
				<-leave
				_, _ = io.WriteString(nc, goodbye)
			}
		})
		c := newClient(t, Config{})
		if res := c.Do(t.Context(), own, get("http://"+addr), Options{}); string(res.Body) != "1" {
			t.Fatalf("got %+v, want the answer of the first connection", res)
		}
		cn := onlyIdle(t, c)
		close(leave)
		for cn.probe.open() { // the goodbye takes a moment
			runtime.Gosched()
		}
		_ = cn.raw.(*net.TCPConn).CloseRead() // what the probe has eaten stays eaten: the end is seen again
		if res := c.Do(t.Context(), own, get("http://"+addr), Options{Once: true}); string(res.Body) != "2" || res.Err != nil {
			t.Errorf("after the goodbye %q: got %+v, want the answer of a second connection", goodbye, res)
		}
	}
}

// onlyIdle returns the one connection in the pool.
func onlyIdle(t *testing.T, c *Client) *conn {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range c.idle {
		if len(list) == 1 && len(c.live) == 1 {
			return list[0]
		}
	}
	t.Fatalf("want one idle connection, got %v of %d", c.idle, len(c.live))
	return nil
}

func TestCloseEndsExchangesInHand(t *testing.T) {
	got := make(chan struct{})
	addr := rawReceiver(t, func(_ int, _ net.Conn, in *bufio.Reader) {
		readRequest(in)
		got <- struct{}{}
		_, _ = in.ReadByte() // until the client leaves
	})
	c := newClient(t, Config{})
	results := make(chan Result)
	for range 3 {
		go func() { results <- c.Do(context.Background(), own, get("http://"+addr), Options{}) }()
	}
	for range 3 {
		<-got
	}
	c.Close()
	c.Close()
	for range 3 {
		if res := <-results; res.Phase != PhaseCanceled || !errors.Is(res.Err, ErrClosed) || !res.Sent {
			t.Errorf("got %+v, want it cancelled after it was sent", res)
		}
	}
	if res := c.Do(t.Context(), own, get("http://"+addr), Options{}); !errors.Is(res.Err, ErrClosed) || res.Sent {
		t.Errorf("on a closed client: got %+v, want ErrClosed", res)
	}
}

func TestCloseEndsDialling(t *testing.T) {
	dialling := make(chan struct{})
	c := newClient(t, Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	result := make(chan Result)
	go func() { result <- c.Do(context.Background(), own, get("http://127.0.0.1:9"), Options{}) }()
	<-dialling
	c.Close()
	if res := <-result; res.Phase != PhaseCanceled || !errors.Is(res.Err, ErrClosed) || res.Sent {
		t.Errorf("got %+v, want it cancelled before it was sent", res)
	}
}

func TestCancelledContextEndsTheExchange(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the endpoint was deleted")
	addr := rawReceiver(t, func(_ int, _ net.Conn, in *bufio.Reader) {
		readRequest(in)
		cancel(cause)
		_, _ = in.ReadByte()
	})
	res := newClient(t, Config{}).Do(ctx, own, get("http://"+addr), Options{})
	if res.Phase != PhaseCanceled || !errors.Is(res.Err, cause) || !res.Sent {
		t.Errorf("got %+v, want it cancelled with the cause of the context", res)
	}
}

func TestSilentReceiverTimesOut(t *testing.T) {
	addr := rawReceiver(t, func(_ int, _ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) })
	c := newClient(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	byContext := c.Do(ctx, own, get("http://"+addr), Options{})
	byOptions := c.Do(t.Context(), own, get("http://"+addr), Options{Timeout: 30 * time.Millisecond})
	for _, res := range []Result{byContext, byOptions} {
		if res.Phase != PhaseTimeout || res.Err == nil || !res.Sent || res.Status != 0 {
			t.Errorf("got %+v, want a timeout after it was sent", res)
		}
	}
	if res := c.Do(ctx, own, get("http://"+addr), Options{}); res.Phase != PhaseTimeout || res.Sent {
		t.Errorf("with a deadline in the past: got %+v, want a timeout before it was sent", res)
	}
}

func TestUnreachableReceiver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	c := newClient(t, Config{Resolver: names{}})
	if res := c.Do(t.Context(), own, get("http://"+addr), Options{}); res.Phase != PhaseConnect || res.Err == nil || res.Sent {
		t.Errorf("closed port: got %+v, want phase connect", res)
	}
	if res := c.Do(t.Context(), own, get("http://missing.example"), Options{}); res.Phase != PhaseResolve || res.Err == nil || res.Sent {
		t.Errorf("unknown name: got %+v, want phase resolve", res)
	}
	r := Request{Method: "GET", URL: "http://0x7f000001/", Header: []carom.Field{{Name: "X", Value: "y"}}}
	if res := c.Do(t.Context(), own, r, Options{}); res.Phase != PhaseRefused || !strings.Contains(fmt.Sprint(res.Err), "numeric") {
		t.Errorf("numeric host: got %+v, want a refusal", res)
	}
}
