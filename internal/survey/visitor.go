package survey

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"carom/internal/egress"
)

// DefaultVisitTimeout is how long a visit may take, from the lookup of the name to the head of the answer.
const DefaultVisitTimeout = 10 * time.Second

const (
	visitorName    = "carom-check" // its User-Agent, and how its paths begin
	maxHeadBytes   = 64 << 10      // of an answer
	maxInformation = 5             // 1xx answers before the real one
)

// VisitorOptions are what a Visitor needs. The zero value is usable.
type VisitorOptions struct {
	Resolver egress.Resolver  // nil: the system's
	RootCAs  *x509.CertPool   // nil: the system's
	Timeout  time.Duration    // of one visit; zero: DefaultVisitTimeout
	Random   func() string    // makes paths that nobody has; nil: crypto/rand
	Now      func() time.Time // what certificates are judged by; nil: time.Now
}

// Visitor visits hosts. It keeps no connection, follows no redirect and takes no proxy from the environment. It may be used
// concurrently; all of its users together visit at most [AtOnce] hosts at the same time.
type Visitor struct {
	o     VisitorOptions
	slots chan struct{} // a visit holds a place
}

// NewVisitor makes a Visitor. It starts nothing.
func NewVisitor(o VisitorOptions) *Visitor {
	if o.Timeout <= 0 {
		o.Timeout = DefaultVisitTimeout
	}
	if o.Random == nil {
		o.Random = func() string { return strings.ToLower(rand.Text()) }
	}
	return &Visitor{o, make(chan struct{}, AtOnce)}
}

// Visit connects to a host and asks once, with GET and without parameters, for a path that nobody has. Cancelling ctx ends it.
func (v *Visitor) Visit(ctx context.Context, h Host) Visit {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return Visit{Phase: PhaseSkipped}
	}
	visit := Visit{Path: "/" + visitorName + "-" + v.o.Random()}
	u, err := url.Parse(h.Origin)
	if err != nil || u.Host == "" {
		visit.Phase, visit.Reason = PhaseConnect, "the host cannot be read from the URL"
		return visit
	}
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, v.o.Timeout)
	defer cancel()
	conn, err := v.connect(ctx, u, h.AllowPrivate, &visit)
	if err == nil {
		defer func() { _ = conn.Close() }() // nothing more is of interest
		visit.Phase = PhaseAnswer
		err = ask(ctx, conn, u, &visit)
	}
	switch {
	case err == nil:
		visit.Phase = ""
	case run.Err() != nil:
		return Visit{Phase: PhaseSkipped}
	case visit.Phase == PhaseAnswer && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)):
		visit.Phase, visit.Reason = PhaseTimeout, fmt.Sprintf("nothing came within %v", v.o.Timeout)
	case visit.Reason == "":
		visit.Reason = err.Error()
	}
	return visit
}

// connect dials the host of u and, for https, shakes hands. When it fails, the visit knows why.
func (v *Visitor) connect(ctx context.Context, u *url.URL, private bool, visit *Visit) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	dialer := egress.Dialer{Policy: egress.Policy{AllowPrivate: private}, Resolver: v.o.Resolver, Timeout: min(v.o.Timeout, egress.DefaultConnectTimeout)}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		visit.Phase, visit.Reason = dialFailure(err)
		return nil, err
	}
	if u.Scheme != "https" {
		return conn, nil
	}
	secure := tls.Client(conn, &tls.Config{
		RootCAs: v.o.RootCAs, ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Time: v.o.Now,
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error of the handshake is the one that counts
		visit.Phase = PhaseTLS
		visit.Reason, visit.Fix = tlsFailure(err, u.Hostname())
		return nil, err
	}
	for _, c := range secure.ConnectionState().PeerCertificates {
		if visit.Ends.IsZero() || c.NotAfter.Before(visit.Ends) {
			visit.Ends = c.NotAfter
		}
	}
	return secure, nil
}

// dialFailure sorts an error of the dialer.
func dialFailure(err error) (Phase, string) {
	var refusal *egress.Refusal
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &refusal):
		return PhaseRefused, refusal.Error()
	case errors.As(err, &dns) && dns.IsNotFound:
		return PhaseResolve, "there is no such name"
	case errors.As(err, &dns):
		return PhaseResolve, dns.Err
	case errors.Is(err, egress.ErrNoAddress):
		return PhaseResolve, "the name is there, and leads nowhere"
	case errors.As(err, &op):
		return PhaseConnect, op.Err.Error()
	}
	return PhaseConnect, err.Error()
}

// tlsFailure says in a person's words why a handshake failed, and what to do where that is known.
func tlsFailure(err error, host string) (reason, fix string) {
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate ended on " + invalid.Cert.NotAfter.UTC().Format("2006-01-02 15:04 MST") + ", or has not begun", "have its owner renew the certificate"
	case errors.As(err, &hostname):
		return "its certificate is not for " + host, "have its owner get a certificate for exactly this host name, or enter the name that it is for"
	case errors.As(err, &authority):
		return "nobody whom this machine trusts has signed its certificate, or a part of the chain is missing",
			"have its owner install the whole chain of a publicly trusted certificate; one that it signed itself is not enough"
	case errors.As(err, &record):
		return "what answers there does not speak TLS", "correct scheme and port in the URL: perhaps http is meant"
	case errors.Is(err, context.DeadlineExceeded):
		return "the handshake took too long", ""
	case errors.Is(err, io.EOF):
		return "the connection was closed during the handshake", ""
	}
	return err.Error(), ""
}

// ask sends the request and reads the head of the answer. The body is not read.
func ask(ctx context.Context, conn net.Conn, u *url.URL, visit *Visit) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("set the deadline: %w", err)
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // the error shows in read and write
	defer stop()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n",
		visit.Path, u.Host, visitorName); err != nil {
		return fmt.Errorf("send the request: %w", err)
	}
	head := bufio.NewReader(io.LimitReader(conn, maxHeadBytes))
	for range maxInformation + 1 {
		//lint:ignore bodyclose closing a body reads all of the rest
		resp, err := http.ReadResponse(head, nil)
		switch {
		case err == nil && resp.StatusCode >= 200:
			visit.Status, visit.Location = resp.StatusCode, resp.Header.Get("Location")
			return nil
		case err == nil:
			continue
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the connection was closed before an answer came")
		}
		var netErr net.Error
		if errors.As(err, &netErr) {
			return fmt.Errorf("read the answer: %w", err)
		}
		return errors.New("what comes back is not HTTP")
	}
	return errors.New("there is no end of interim answers (1xx)")
}
