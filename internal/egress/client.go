// Package egress makes the outbound HTTP exchanges of delivery attempts: guarded, bounded and lean.
//
// It hides where a request may go and what a receiver may do to the sender. Addresses are checked after resolution, at
// dial ([Policy], [Dialer]); redirects are never followed; no proxy is taken from the environment. One deadline covers a
// whole exchange, from DNS to the last byte of the body; header block and body have limits; nothing is decompressed.
//
// [Client] is a small HTTP/1.1 client. The calling goroutine writes the request and reads the answer itself on a pooled
// connection, where net/http.Transport hands each exchange between three goroutines. Answers are parsed by
// [net/http.ReadResponse], so none of the parsing is carom's own.
//
// The package does not judge an answer, retry a delivery or log: package deliver does. It never speaks HTTP/2, and does
// not send bodies in chunks.
package egress

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"carom"
)

// Defaults of a client, and its fixed limits.
const (
	DefaultIdleTimeout    = 60 * time.Second
	DefaultMaxIdlePerHost = 64       // an endpoint's default concurrency
	DefaultBodyLimit      = 16 << 10 // bytes of an answer's body that are kept

	maxHeaderBytes   = 64 << 10               // of all header blocks of one answer
	maxInformational = 5                      // 1xx answers before the real one
	maxDrain         = 64 << 10               // bytes that are read beyond the kept ones to save the connection
	drainTime        = 500 * time.Millisecond // what saving it may take: about what a new one costs
	onceIdle         = time.Second            // see Client.take
	maxKeptScratch   = 64 << 10               // larger request buffers are not kept
)

// ErrClosed is the error of an exchange on a client that was closed.
var ErrClosed = errors.New("the client is closed")

// Phase is the stage of an exchange that failed. The zero value means that none did.
type Phase string

// The phases.
const (
	PhaseRequest  Phase = "request"  // the request itself is unusable; nothing was dialled
	PhaseResolve  Phase = "resolve"  // the host name has no address, or could not be looked up
	PhaseRefused  Phase = "refused"  // the policy does not allow the address: the error is a *Refusal
	PhaseConnect  Phase = "connect"  // no address accepted the connection in time
	PhaseTLS      Phase = "tls"      // the handshake or the certificate
	PhaseWrite    Phase = "write"    // the connection broke while the request was sent
	PhaseRead     Phase = "read"     // the connection broke before the answer was complete, or the answer is not HTTP
	PhaseTimeout  Phase = "timeout"  // the exchange's deadline passed, in whatever stage
	PhaseCanceled Phase = "canceled" // the context was cancelled, or the client closed
)

// Config is what a Client needs. The zero value is usable.
type Config struct {
	Resolver       Resolver       // nil: the system's
	Dial           DialFunc       // nil: the network. For tests; it gets vetted addresses only
	RootCAs        *x509.CertPool // nil: the system's
	ConnectTimeout time.Duration  // zero: DefaultConnectTimeout
	IdleTimeout    time.Duration  // how long an unused connection is kept; zero: DefaultIdleTimeout
	MaxIdlePerHost int            // zero: DefaultMaxIdlePerHost
}

// Options bound one exchange.
type Options struct {
	Timeout   time.Duration // of the whole exchange; zero: carom.DefaultTimeout
	BodyLimit int           // bytes of the body that are kept; zero: DefaultBodyLimit
	// Once forbids sending the request a second time. Otherwise a request that met a connection which the receiver had
	// already closed is sent again on a fresh one.
	Once bool
}

// Result is what came of an exchange.
//
// Err is nil when the answer came, whatever its status, and its body up to the limit. When Err is set, Phase says where
// it happened; Status and Body may still hold what came before.
type Result struct {
	Status      int    // 0 when no answer came
	RetryAfter  string // the header field as sent
	ContentType string // the header field as sent
	Body        []byte // the first bytes, as sent: never decompressed
	Truncated   bool   // more of the body followed, or may have followed, than Body holds
	Err         error  // holds no part of the request
	Phase       Phase
	Sent        bool           // bytes of the request may have reached the receiver
	Addr        netip.AddrPort // the address that was dialled; the zero value when none was reached
}

// Client makes exchanges and keeps connections for the next ones. It may be used concurrently. Make it with New.
type Client struct {
	cfg     Config
	tls     *tls.Config // cloned for each connection
	scratch sync.Pool   // of *scratch

	mu     sync.Mutex          // guards everything below
	idle   map[poolKey][]*conn // oldest first
	live   map[*conn]struct{}  // every connection: being dialled, in use, idle
	reaper *time.Timer         // runs reap; nil when the pool is empty
	closed bool
}

// scratch is the memory of one exchange. It is not part of a connection, so that idle connections hold none.
type scratch struct {
	src source
	in  *bufio.Reader
	out []byte
}

// source counts what is read from a connection and bounds it.
type source struct {
	r    io.Reader
	n    int // bytes read since the request was sent
	left int // bytes that may still be read; negative: any number
}

var errHeaderTooLarge = errors.New("the header of the answer is larger than 64 KiB")

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, errHeaderTooLarge
	}
	if s.left > 0 && len(p) > s.left {
		p = p[:s.left]
	}
	n, err := s.r.Read(p)
	s.n += n
	if s.left > 0 {
		s.left -= n
	}
	return n, err
}

// New makes a Client. It starts nothing. Close it when it is no longer needed.
func New(cfg Config) *Client {
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	cfg.MaxIdlePerHost = cmp.Or(cfg.MaxIdlePerHost, DefaultMaxIdlePerHost)
	c := &Client{
		cfg: cfg,
		tls: &tls.Config{
			RootCAs:            cfg.RootCAs,
			MinVersion:         tls.VersionTLS12,
			NextProtos:         []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(256), // host names; a session is a few KiB
		},
		idle: map[poolKey][]*conn{},
		live: map[*conn]struct{}{},
	}
	c.scratch.New = func() any {
		s := &scratch{}
		s.in = bufio.NewReaderSize(&s.src, 4<<10)
		return s
	}
	return c
}

// Do makes one exchange. Failures are in the result, never a panic or a second return value.
//
// Cancelling ctx ends the exchange. Watching a context costs something for every exchange, so one that cannot be
// cancelled is cheaper: to end all exchanges at once, Close the client.
func (c *Client) Do(ctx context.Context, policy Policy, r Request, o Options) Result {
	var res Result
	t, err := parseTarget(r.URL)
	if err == nil {
		err = r.check()
	}
	if err != nil {
		res.Phase, res.Err = PhaseRequest, err
		return res
	}
	now := time.Now()
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = carom.DefaultTimeout
	}
	if o.BodyLimit <= 0 {
		o.BodyLimit = DefaultBodyLimit
	}
	deadline := now.Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline, timeout = d, max(d.Sub(now), 0)
	}
	key := poolKey{tls: t.tls, private: policy.AllowPrivate, hostPort: t.hostPort}

	cn := c.take(key, now, deadline, o.Once)
	if cn != nil {
		stale := c.exchange(ctx, cn, &r, &t, &o, &res)
		if !stale || o.Once {
			c.explain(ctx, &res, deadline, timeout)
			return res
		}
		res = Result{Sent: res.Sent}
	}
	cn, err = c.open(ctx, key, &t, deadline)
	if err == nil {
		c.exchange(ctx, cn, &r, &t, &o, &res)
	} else {
		res.Err = err
		var stage *stageError
		if errors.As(err, &stage) {
			res.Phase, res.Err = stage.phase, stage.err
		}
		var refusal *Refusal
		if errors.As(err, &refusal) {
			res.Addr = netip.AddrPortFrom(refusal.Addr, t.port)
		}
	}
	c.explain(ctx, &res, deadline, timeout)
	return res
}

// explain replaces an error by its cause: a closed client, a cancelled context, or the deadline that passed.
func (c *Client) explain(ctx context.Context, res *Result, deadline time.Time, timeout time.Duration) {
	if res.Err == nil || res.Phase == PhaseRefused {
		return
	}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	switch cause := context.Cause(ctx); {
	case closed:
		res.Phase, res.Err = PhaseCanceled, ErrClosed
	case cause != nil && !errors.Is(cause, context.DeadlineExceeded):
		res.Phase, res.Err = PhaseCanceled, cause
	case !time.Now().Before(deadline),
		// A deadline without monotonic clock reading can lie a moment off. A connect has a shorter time of its own.
		errors.Is(res.Err, os.ErrDeadlineExceeded) && res.Phase != PhaseConnect && res.Phase != PhaseResolve:
		res.Phase, res.Err = PhaseTimeout, fmt.Errorf("not done within %v: %w", timeout, res.Err)
	}
}

// exchange sends r on cn and reads the answer into res. It keeps the connection for later or closes it. It reports
// whether the connection turned out to have been closed by the receiver before the first byte of an answer.
func (c *Client) exchange(ctx context.Context, cn *conn, r *Request, t *target, o *Options, res *Result) (stale bool) {
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() { _ = cn.raw.Close() }) // the error shows in read and write
	}
	s := c.scratch.Get().(*scratch)
	s.src = source{r: cn.rw, left: maxHeaderBytes}
	s.in.Reset(&s.src)
	s.out = appendRequest(s.out[:0], r, t)
	res.Addr = cn.addr

	n, writeErr := cn.rw.Write(s.out)
	res.Sent = res.Sent || n > 0 || cn.key.tls // TLS does not say what of a record left
	keep := false
	if writeErr == nil || !errors.Is(writeErr, os.ErrDeadlineExceeded) {
		// A receiver may answer and hang up without reading all of the request: its answer counts.
		keep = s.readAnswer(r, cn, o, res)
	}
	if writeErr != nil {
		keep = false
		if res.Status == 0 {
			res.Phase, res.Err = PhaseWrite, fmt.Errorf("send the request: %w", writeErr)
		}
	}
	stale = res.Err != nil && s.src.n == 0 && isHangUp(res.Err)
	if stop() && keep {
		c.put(cn)
	} else {
		c.discard(cn)
	}
	s.src.r = nil
	if cap(s.out) <= maxKeptScratch {
		c.scratch.Put(s)
	}
	return stale
}

func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}

// isConnError reports whether err comes from the connection, not from what was read: such errors have this method.
func isConnError(err error) bool {
	var broken interface{ Timeout() bool }
	return errors.As(err, &broken)
}

// readAnswer reads one answer. It reports whether the connection can serve another exchange.
func (s *scratch) readAnswer(r *Request, cn *conn, o *Options, res *Result) (keep bool) {
	//lint:ignore bodyclose closing a body reads all of the rest; see readBody
	resp, err := s.readHead(r.Method)
	if err != nil {
		res.Phase, res.Err = PhaseRead, err
		return false
	}
	res.Status = resp.StatusCode
	res.RetryAfter = resp.Header.Get("Retry-After")
	res.ContentType = resp.Header.Get("Content-Type")
	s.src.left = -1 // the body has limits of its own

	complete, err := readBody(resp, o.BodyLimit, res)
	if err != nil {
		res.Phase, res.Err = PhaseRead, fmt.Errorf("read the body of the answer: %w", err)
		return false
	}
	if resp.Close || resp.StatusCode == http.StatusSwitchingProtocols {
		res.Truncated = !complete
		return false
	}
	if !complete {
		complete = drain(resp, cn, o.BodyLimit, res)
	}
	// Bytes beyond the answer would be taken for the beginning of the next one.
	return complete && s.in.Buffered() == 0
}

// readHead reads status line and header of the first answer that is not an interim one.
func (s *scratch) readHead(method string) (*http.Response, error) {
	var req *http.Request // ReadResponse takes nil for a GET
	if method == "HEAD" {
		req = &http.Request{Method: method}
	}
	for range maxInformational + 1 {
		resp, err := http.ReadResponse(s.in, req)
		switch {
		case errors.Is(err, errHeaderTooLarge):
			return nil, errHeaderTooLarge
		case err != nil && (isHangUp(err) || isConnError(err)):
			return nil, fmt.Errorf("read the answer: %w", err)
		case err != nil:
			return nil, fmt.Errorf("the answer is not HTTP/1.1: %.200q", err.Error())
		case resp.ProtoMajor != 1 || resp.StatusCode < 100:
			return nil, fmt.Errorf("the answer is not HTTP/1.1: version %d, status %d", resp.ProtoMajor, resp.StatusCode)
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
	return nil, fmt.Errorf("the answer has more than %d interim statuses (1xx) before the real one", maxInformational)
}

// readBody reads up to limit bytes of the body into res. It reports whether that was all of it.
//
// The body is never closed: closing it would read the rest, however much that is.
func readBody(resp *http.Response, limit int, res *Result) (complete bool, err error) {
	size := min(512, limit) // when the length is unknown
	if resp.ContentLength >= 0 {
		size = int(min(resp.ContentLength, int64(limit)))
	}
	if size == 0 && resp.ContentLength == 0 || resp.Body == http.NoBody {
		return true, nil
	}
	body := make([]byte, 0, size)
	for len(body) < limit && err == nil {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		var n int
		n, err = resp.Body.Read(body[len(body):min(cap(body), limit)])
		body = body[:len(body)+n]
	}
	res.Body = body
	if err == io.EOF {
		return true, nil
	}
	return false, err
}

// drain reads on after the kept part of a body, within bounds, so that the connection can be used again. It reports
// whether it got to the end. It never fails the exchange: everything that counts has been read.
func drain(resp *http.Response, cn *conn, limit int, res *Result) bool {
	if resp.ContentLength-int64(limit) > maxDrain {
		res.Truncated = true
		return false
	}
	end := time.Now().Add(drainTime)
	if end.Before(cn.deadline) {
		if err := cn.rw.SetReadDeadline(end); err != nil {
			res.Truncated = true
			return false
		}
	}
	n, err := io.CopyN(io.Discard, resp.Body, maxDrain)
	complete := errors.Is(err, io.EOF)
	res.Truncated = n > 0 || !complete
	return complete
}
