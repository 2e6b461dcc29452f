package survey

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// names resolves names from a table.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	addrs, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addrs, nil
}

// asked keeps the requests that a server got.
type asked struct {
	mu   sync.Mutex // guards list
	list []string
}

func (a *asked) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.UserAgent()))
}

// serve starts a server that ends with the test, by TLS when a certificate is given.
func serve(t *testing.T, certificate *tls.Certificate, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(handle)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	if certificate != nil {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotBefore: noon.Add(-time.Hour * 9000),
		NotAfter: noon.Add(time.Hour * 9000), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a certificate for name that ends at the given time.
func (a *authority) sign(t *testing.T, name string, ends time.Time) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: noon.Add(-time.Hour * 8000), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func visitorOf(a *authority, timeout time.Duration) *Visitor {
	return NewVisitor(VisitorOptions{
		RootCAs: a.pool, Timeout: timeout, Random: func() string { return "r4nd0m" }, Now: func() time.Time { return noon },
		Resolver: names{"private.example": {netip.MustParseAddr("10.1.2.3")}, "empty.example": nil},
	})
}

func TestVisitor(t *testing.T) {
	a := newAuthority(t)
	ends := noon.Add(5 * 24 * time.Hour)
	var got asked
	answer := func(status int, location string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got.note(r)
			if location != "" {
				w.Header().Set("Location", location)
			}
			w.WriteHeader(status)
		}
	}
	raw := func(text string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return // the test is over
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, text)
				_ = conn.Close()
			}
		}()
		return l.Addr().String()
	}
	closed := serve(t, nil, nil)
	closed.Close()
	plain := serve(t, nil, answer(404, ""))
	const path = "/carom-check-r4nd0m"
	for _, tt := range []struct {
		name    string
		origin  string
		public  bool // private addresses may not be dialled
		want    Visit
		reasons []string
	}{
		{name: "not found", origin: plain.URL, want: Visit{Status: 404}},
		{name: "catch-all", origin: serve(t, nil, answer(200, "")).URL, want: Visit{Status: 200}},
		{name: "redirect", origin: serve(t, nil, answer(301, "https://www.game.example/")).URL, want: Visit{Status: 301, Location: "https://www.game.example/"}},
		{name: "TLS", origin: serve(t, a.sign(t, "127.0.0.1", ends), answer(404, "")).URL, want: Visit{Status: 404, Ends: ends}},
		{name: "expired", origin: serve(t, a.sign(t, "127.0.0.1", noon.Add(-time.Hour)), answer(404, "")).URL,
			want: Visit{Phase: PhaseTLS, Fix: "have its owner renew the certificate"}, reasons: []string{"ended on 2026-03-04 11:00 UTC"}},
		{name: "self-signed", origin: serve(t, newAuthority(t).sign(t, "127.0.0.1", ends), answer(404, "")).URL, want: Visit{Phase: PhaseTLS,
			Fix: "have its owner install the whole chain of a publicly trusted certificate; one that it signed itself is not enough"}, reasons: []string{"nobody whom this machine trusts"}},
		{name: "another name", origin: serve(t, a.sign(t, "other.example", ends), answer(404, "")).URL, want: Visit{Phase: PhaseTLS,
			Fix: "have its owner get a certificate for exactly this host name, or enter the name that it is for"}, reasons: []string{"not for 127.0.0.1"}},
		{name: "https where http is spoken", origin: strings.Replace(plain.URL, "http:", "https:", 1),
			want: Visit{Phase: PhaseTLS, Fix: "correct scheme and port in the URL: perhaps http is meant"}, reasons: []string{"does not speak TLS"}},
		{name: "nobody there", origin: closed.URL, want: Visit{Phase: PhaseConnect}, reasons: []string{"refused"}},
		{name: "loopback that may not be dialled", origin: plain.URL, public: true, want: Visit{Phase: PhaseRefused}, reasons: []string{"loopback", "allow_private"}},
		{name: "a name that leads inside", origin: "https://private.example", public: true, want: Visit{Phase: PhaseRefused}, reasons: []string{"private.example (10.1.2.3)"}},
		{name: "a name that is not there", origin: "https://gone.example", want: Visit{Phase: PhaseResolve}, reasons: []string{"there is no such name"}},
		{name: "a name that leads nowhere", origin: "https://empty.example", want: Visit{Phase: PhaseResolve}, reasons: []string{"leads nowhere"}},
		{name: "no HTTP", origin: "http://" + raw("SSH-2.0-carom\r\n"), want: Visit{Phase: PhaseAnswer}, reasons: []string{"not HTTP"}},
		{name: "closed without an answer", origin: "http://" + raw(""), want: Visit{Phase: PhaseAnswer}, reasons: []string{"closed before an answer"}},
		{name: "interim answers", origin: "http://" + raw("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n"), want: Visit{Status: 404}},
		{name: "interim answers without end", origin: "http://" + raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9)), want: Visit{Phase: PhaseAnswer}, reasons: []string{"interim"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := visitorOf(a, 5*time.Second).Visit(t.Context(), Host{tt.origin, !tt.public})
			for _, reason := range tt.reasons {
				if !strings.Contains(v.Reason, reason) {
					t.Errorf("the reason is %q, want %q in it", v.Reason, reason)
				}
			}
			tt.want.Path, tt.want.Reason = path, v.Reason
			if diff := cmp.Diff(tt.want, v); diff != "" || (v.Reason == "") != (len(tt.reasons) == 0) {
				t.Errorf("visit (-want +got):\n%s", diff)
			}
		})
	}
	for _, request := range got.list {
		if request != "GET "+path+" carom-check" {
			t.Errorf("a server was asked %q", request)
		}
	}
	if len(got.list) != 4 {
		t.Errorf("servers were asked %d times, want once by each visit that came so far: %v", len(got.list), got.list)
	}
}

// TestVisitorGivesUp: a server that never answers costs the timeout, and no more than that when the check ends.
func TestVisitorGivesUp(t *testing.T) {
	a := newAuthority(t)
	over := make(chan struct{})
	arrived := make(chan struct{}, 2)
	hanging := serve(t, nil, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-over
	})
	t.Cleanup(func() { close(over) })
	if v := visitorOf(a, 50*time.Millisecond).Visit(t.Context(), Host{hanging.URL, true}); v.Phase != PhaseTimeout || !strings.Contains(v.Reason, "50ms") {
		t.Errorf("got %+v, want a timeout", v)
	}
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if v := visitorOf(a, time.Hour).Visit(ctx, Host{hanging.URL, true}); v.Phase != PhaseSkipped {
		t.Errorf("got %+v, want it skipped", v)
	}
}

// TestVisitAllAtOnce: each host is visited once, eight at the same time, also when several people check at once.
func TestVisitAllAtOnce(t *testing.T) {
	var hosts []Host
	for i := range 40 {
		hosts = append(hosts, Host{Origin: fmt.Sprint("http://", i, ".example")})
	}
	var now, most, all atomic.Int64
	full := make(chan struct{})
	visit := func(context.Context, Host) Visit {
		n := now.Add(1)
		defer now.Add(-1)
		all.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == AtOnce {
			close(full) // happens once: the others are let go only now, and one after another
		}
		<-full
		return Visit{Status: 404}
	}
	visits := VisitAll(t.Context(), visit, hosts[:AtOnce])
	if len(visits) != AtOnce || most.Load() != AtOnce || all.Load() != AtOnce {
		t.Errorf("%d visits of %d hosts, %d at once, want %d", all.Load(), len(visits), most.Load(), AtOnce)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for h, v := range VisitAll(ctx, visit, hosts) {
		if v.Phase != PhaseSkipped {
			t.Errorf("%s was visited after the end: %+v", h.Origin, v)
		}
	}
	if got := VisitAll(t.Context(), visit, nil); len(got) != 0 {
		t.Errorf("visits without hosts: %v", got)
	}
	if cap(NewVisitor(VisitorOptions{}).slots) != AtOnce {
		t.Error("several checks together visit more hosts at once than one")
	}
}
