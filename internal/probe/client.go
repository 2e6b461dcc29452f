package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"carom/internal/egress"
)

const (
	maxAnswerBytes = 64 << 10 // of a body, and of a header block
	userAgent      = "carom-probe"
)

// phase says in which stage an exchange failed. The zero value: an answer came.
type phase string

const (
	phaseConnect     phase = "connect"     // no address, or nothing listens there
	phaseCertificate phase = "certificate" // TLS
	phaseTimeout     phase = "timeout"     // nothing, or not all, came in time
	phaseBroken      phase = "broken"      // the connection broke, or what came is no HTTP
	phaseEnded       phase = "ended"       // the run was ended
)

// answer is what came back on one request.
type answer struct {
	status   int // 0: no answer
	body     []byte
	kind     string // Content-Type
	location string
	encoding string // Content-Encoding; the body is as sent
	endless  bool   // the body was longer than maxAnswerBytes, or had not ended at the deadline
	phase    phase
	err      error // holds no part of the URL
	took     time.Duration
}

// ok says whether the answer tells a network that all is well.
func (a *answer) ok() bool { return a.err == nil && a.status/100 == 2 }

// client is a hardened HTTP client. Every exchange has a connection of its own, as networks' have, so that nothing is sent a
// second time behind the back of a check.
type client struct {
	timeout   time.Duration
	dialer    *egress.Dialer
	tls       *tls.Config
	transport *http.Transport
}

func newClient(timeout time.Duration, roots *x509.CertPool) *client {
	c := &client{
		timeout: timeout,
		dialer:  &egress.Dialer{Policy: egress.Policy{AllowPrivate: true}, Timeout: min(timeout, egress.DefaultConnectTimeout)},
		tls:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
	}
	c.transport = &http.Transport{
		DialContext: c.dialer.DialContext, TLSClientConfig: c.tls.Clone(), DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxAnswerBytes,
	}
	return c
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// do makes one exchange. It follows no redirect and takes no proxy.
func (c *client) do(ctx context.Context, method, target string, header http.Header) (a answer) {
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := time.Now()
	defer func() { a.took = time.Since(began) }()
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		a.phase, a.err = phaseConnect, errors.New("the URL cannot be read")
		return a
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		a.phase, a.err = classify(run, ctx, err, c.timeout)
		return a
	}
	defer func() { _ = resp.Body.Close() }() // the rest is of no interest
	a.status, a.kind = resp.StatusCode, resp.Header.Get("Content-Type")
	a.location, a.encoding = resp.Header.Get("Location"), resp.Header.Get("Content-Encoding")
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if len(a.body) > maxAnswerBytes {
		a.body, a.endless = a.body[:maxAnswerBytes], true
		return a
	}
	if err != nil {
		a.phase, a.err = classify(run, ctx, err, c.timeout)
		a.endless = a.phase == phaseTimeout
	}
	return a
}

// breakOff sends a GET and closes the connection without waiting for the answer.
func (c *client) breakOff(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return errors.New("the URL cannot be read")
	}
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.connect(ctx, u)
	if err != nil {
		_, err = classify(run, ctx, err, c.timeout)
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a connection that has none fails in writing
	}
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept-Encoding: identity\r\n\r\n", u.RequestURI(), u.Host, userAgent)
	if err != nil {
		_, err = classify(run, ctx, err, c.timeout)
	}
	return err
}

// connect dials the host of a URL and, for https, shakes hands.
func (c *client) connect(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	conn, err := c.dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || u.Scheme != "https" {
		return conn, err
	}
	cfg := c.tls.Clone()
	cfg.ServerName = u.Hostname()
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error of the handshake is the one that counts
		return nil, err
	}
	return secure, nil
}

// handshake says what is wrong with the certificate of an https origin; nil when nothing is, or when it could not be asked.
func (c *client) handshake(ctx context.Context, origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" {
		return nil
	}
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.connect(ctx, u)
	if err != nil {
		if p, err := classify(run, ctx, err, c.timeout); p == phaseCertificate {
			return err
		}
		return nil
	}
	_ = conn.Close() // nothing was sent
	return nil
}

// classify sorts the error of an exchange, and takes everything out of it that belongs to the URL.
func classify(run, ctx context.Context, err error, timeout time.Duration) (phase, error) {
	var (
		refusal *egress.Refusal
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		alert   tls.AlertError
		record  tls.RecordHeaderError
		op      *net.OpError
		netErr  net.Error
	)
	switch {
	case run.Err() != nil:
		return phaseEnded, context.Cause(run)
	case errors.As(err, &refusal):
		return phaseConnect, refusal
	case errors.As(err, &cert):
		return phaseCertificate, cert.Err
	case errors.As(err, &alert), errors.As(err, &record):
		return phaseCertificate, err
	case errors.As(err, &dns):
		return phaseConnect, fmt.Errorf("the name %s has no address", dns.Name)
	case errors.As(err, &op) && op.Op == "dial":
		return phaseConnect, fmt.Errorf("nothing accepts connections: %w", op.Err)
	case ctx.Err() != nil, errors.As(err, &netErr) && netErr.Timeout():
		return phaseTimeout, fmt.Errorf("not done within %v", timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return phaseBroken, errors.New("the connection was closed before the answer was complete")
	default:
		return phaseBroken, fmt.Errorf("no answer that is HTTP came: %w", err)
	}
}
