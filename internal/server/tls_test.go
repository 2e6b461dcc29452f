package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"carom/internal/caromtest"
)

// pair is a certificate with its key, in files.
type pair struct {
	cert, key string
	roots     *x509.CertPool // that trust it
}

// newPair makes a certificate for name and 127.0.0.1, signed by itself, in dir.
func newPair(t *testing.T, dir, name string, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), x509.NewCertPool()}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.roots.AppendCertsFromPEM(text)
	replaceFile(t, p.cert, text)
	replaceFile(t, p.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	return p
}

// replaceFile puts a new file in the place of an old one, at once.
func replaceFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".next", path); err != nil {
		t.Fatal(err)
	}
}

// serial is the serial number of the certificate that a handshake gets; 0 when there is no handshake.
func serial(address, name string) int64 {
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }() // the handshake was all
	n := conn.ConnectionState().PeerCertificates[0].SerialNumber
	return n.Int64() // of pebble's longer ones the lower bits, which differ as well
}

func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	dir := caromtest.Folder(t)
	first := newPair(t, dir, "ads.example.com", 1)
	http1 := freeAddress(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) {
		c.TLSCert, c.TLSKey, c.HTTPListen = first.cert, first.key, http1
	}})
	address := strings.TrimPrefix(s.URL, "http://")

	t.Run("HTTP/2 over TLS", func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: first.roots}, ForceAttemptHTTP2: true}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + address + caromtest.Door + "?ymid=v1&event=click")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // not read
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Errorf("a postback was answered %s over %s, want 200 over HTTP/2", resp.Status, resp.Proto)
		}
	})
	t.Run("TLS 1.1 is refused", func(t *testing.T) {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
		if err == nil {
			_ = conn.Close() // it should not be there
			t.Error("a handshake of TLS 1.1 succeeds")
		}
	})
	t.Run("a new one is used without a dropped connection", func(t *testing.T) {
		old, err := tls.Dial("tcp", address, &tls.Config{RootCAs: first.roots})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = old.Close() }() // the test is over
		newPair(t, dir, "ads.example.com", 2)
		caromtest.Until(t, "the new certificate", func() bool { return serial(address, "") == 2 })
		if _, err := io.WriteString(old, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(old), nil)
		if err != nil {
			t.Fatalf("a connection from before has no answer: %v", err)
		}
		_ = resp.Body.Close() // not read
		if resp.StatusCode != http.StatusOK {
			t.Errorf("a connection from before is answered %s", resp.Status)
		}
	})
	t.Run("a bad one is refused and told", func(t *testing.T) {
		replaceFile(t, first.key, []byte("no key\n"))
		caromtest.Until(t, "the fault in the log", func() bool {
			return strings.Contains(s.Log(), "the new certificate cannot be used; the old one goes on")
		})
		if n := serial(address, ""); n != 2 {
			t.Errorf("handshakes get the certificate %d, want the old one, 2", n)
		}
		newPair(t, dir, "ads.example.com", 3)
		caromtest.Until(t, "a good one", func() bool { return serial(address, "") == 3 })
	})
	t.Run("its end is measured", func(t *testing.T) {
		if got := s.Local(t, "GET", "/metrics", ""); !strings.Contains(got.Body, `carom_certificate_expiry_seconds{domain="ads.example.com"} 3`) { // nearly 3600
			t.Error("the metrics lack the certificate's end")
		}
	})
}

// People are sent to HTTPS, received postbacks never: networks do not follow.
func TestPlainHTTPBesideHTTPS(t *testing.T) {
	t.Parallel()
	own := newPair(t, caromtest.Folder(t), "ads.example.com", 1)
	plain := freeAddress(t)
	caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) {
		c.TLSCert, c.TLSKey, c.HTTPListen, c.BaseURL = own.cert, own.key, plain, "https://ads.example.com:8443"
	}})
	tests := []struct {
		name, method, path string
		status             int
		to                 string
	}{
		{"a postback", "GET", caromtest.Door + "?ymid=v1&event=click", 200, ""},
		{"a forged postback", "GET", "/in/game/ads/no?ymid=v1&event=click", 403, ""},
		{"a person", "GET", "/", 308, "https://ads.example.com:8443/"},
		{"a link", "GET", "/v1/events?app=game&x=%20y", 308, "https://ads.example.com:8443/v1/events?app=game&x=%20y"},
		{"a browser that looks first", "HEAD", "/", 308, "https://ads.example.com:8443/"},
		{"a path like a host", "GET", "//evil.example/x", 308, "https://ads.example.com:8443//evil.example/x"},
		{"a key in the clear", "POST", "/v1/events", 403, ""},
		{"a health check", "GET", "/healthz", 200, ""},
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequest(tt.method, "http://"+plain+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close() // not read
			if resp.StatusCode != tt.status || resp.Header.Get("Location") != tt.to {
				t.Errorf("%s %s is answered %d to %q, want %d to %q", tt.method, tt.path, resp.StatusCode, resp.Header.Get("Location"), tt.status, tt.to)
			}
		})
	}
}

// pebble is a real ACME server, letsencrypt's own for tests.
type pebble struct {
	directory string
	ca        pair // of its own HTTPS
	roots     func(t *testing.T) *x509.CertPool
	kill      func()
}

// validity is how long pebble's certificates last: they are renewed when a third of it is left, or before.
const validity = 24 * time.Second

// startPebble runs pebble, which checks domains by connecting to the ports of the two addresses at 127.0.0.1.
func startPebble(t *testing.T, plain, https string) pebble {
	t.Helper()
	binary := caromtest.Tool(t, "pebble")
	dir := caromtest.Folder(t)
	p := pebble{ca: newPair(t, dir, "pebble", 1)}
	listen, manage := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage, "certificate": p.ca.cert, "privateKey": p.ca.key,
		"httpPort": port(t, plain), "tlsPort": port(t, https), "keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "short", "validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-config", file, "-dnsserver", nameServer(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dead atomic.Bool
	p.kill = func() {
		if !dead.Swap(true) {
			_ = cmd.Process.Kill() // it runs until now
			_ = cmd.Wait()         // it was killed
		}
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("pebble said:\n%s", said.String())
		}
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.ca.roots}, DisableKeepAlives: true}}
	p.directory = "https://" + listen + "/dir"
	caromtest.Until(t, "pebble", func() bool {
		resp, err := client.Get(p.directory)
		if err == nil {
			_ = resp.Body.Close() // not read
		}
		return err == nil
	})
	p.roots = func(t *testing.T) *x509.CertPool {
		t.Helper()
		resp, err := client.Get("https://" + manage + "/roots/0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }() // it was read
		text, err := io.ReadAll(resp.Body)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(text) {
			t.Fatalf("pebble has no root: %v", err)
		}
		return pool
	}
	return p
}

func port(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// nameServer answers, over TCP, that every name is at 127.0.0.1.
func nameServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // ends the goroutine
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerNames(conn)
		}
	}()
	return l.Addr().String()
}

// answerNames answers the questions of one connection. Each stands behind its length, of two bytes.
func answerNames(conn net.Conn) {
	defer func() { _ = conn.Close() }() // who asked has hung up
	for {
		var length uint16
		if binary.Read(conn, binary.BigEndian, &length) != nil {
			return
		}
		question := make([]byte, length)
		var m dnsmessage.Message
		if _, err := io.ReadFull(conn, question); err != nil || m.Unpack(question) != nil || len(m.Questions) != 1 {
			return
		}
		q := m.Questions[0]
		m.Response, m.Additionals = true, nil
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		answer, err := m.AppendPack(make([]byte, 2))
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// stranger is a TLS server that knows nothing of ACME.
func stranger(t *testing.T) string {
	t.Helper()
	own := newPair(t, caromtest.Folder(t), "stranger", 1)
	both, err := tls.LoadX509KeyPair(own.cert, own.key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{both}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // ends the goroutine
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // who asked says what came of it
			_ = conn.Close()                                   // nothing was said
		}
	}()
	return l.Addr().String()
}

// obtaining starts a server that obtains a certificate for domain from p.
func obtaining(t *testing.T, p pebble, domain, https, plain string) *caromtest.Server {
	t.Helper()
	return caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) {
		c.Domains, c.Listen, c.HTTPListen, c.BaseURL = []string{domain}, https, plain, "https://"+domain
		c.ACMECA, c.ACMERoot, c.ACMEInterval = p.directory, p.ca.cert, time.Second
	}})
}

// Issue 4 shows a certificate that is obtained, renewed and reloaded without a dropped connection.
func TestACertificateIsObtainedAndRenewed(t *testing.T) {
	t.Parallel()
	https, plain := freeAddress(t), freeAddress(t)
	p := startPebble(t, plain, stranger(t)) // over TLS it meets somebody else: plain HTTP has to do
	s := obtaining(t, p, "renewed.example", https, plain)
	caromtest.Until(t, "a certificate", func() bool { return serial(https, "renewed.example") != 0 })
	first := serial(https, "renewed.example")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", https)
	}
	trusted := &tls.Config{RootCAs: p.roots(t)}
	kept := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: trusted}}
	anew := &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: trusted, DisableKeepAlives: true}}
	defer kept.CloseIdleConnections()
	sent := make(chan int, 2)
	for name, client := range map[string]*http.Client{"kept": kept, "anew": anew} {
		go func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			n := 0
			defer func() { sent <- n }()
			for ; ctx.Err() == nil; n++ {
				resp, err := client.Get(fmt.Sprintf("https://renewed.example%s?ymid=%s%d&event=click", caromtest.Door, name, n))
				if err != nil {
					t.Errorf("a postback over a connection %s failed: %v", name, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
				_ = resp.Body.Close()                 // it was read
				if resp.StatusCode != http.StatusOK {
					t.Errorf("a postback was answered %s", resp.Status)
				}
				<-tick.C
			}
		}()
	}
	deadline := time.After(2 * validity)
	for renewed := false; !renewed; {
		select {
		case <-deadline:
			t.Fatal("the certificate is not renewed")
		case <-time.After(200 * time.Millisecond):
			now := serial(https, "renewed.example")
			renewed = now != 0 && now != first
		}
	}
	cancel()
	total := <-sent + <-sent
	if got := len(s.Events(t, "")); got != total {
		t.Errorf("%d postbacks were acknowledged and %d are stored", total, got)
	}
	info, err := os.Stat(filepath.Join(s.Data, "certificates"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the certificates has the mode %v, %v; want that only its owner may read it", info.Mode(), err)
	}
}

// A CA that is gone when a certificate has to be renewed, by a handshake this time, stops nothing.
func TestACAThatIsGone(t *testing.T) {
	t.Parallel()
	https := freeAddress(t)
	p := startPebble(t, freeAddress(t), https)
	s := obtaining(t, p, "kept.example", https, "")
	caromtest.Until(t, "a certificate", func() bool { return serial(https, "kept.example") != 0 })
	first := serial(https, "kept.example")
	p.kill()
	deadline := time.After(2 * validity)
	for told := false; !told; {
		select {
		case <-deadline:
			t.Fatal("the log does not say that the certificate cannot be renewed")
		case <-time.After(200 * time.Millisecond):
			told = strings.Contains(s.Log(), `msg="a certificate cannot be had"`) && strings.Contains(s.Log(), "the old one is used until")
		}
	}
	if got := serial(https, "kept.example"); got != first {
		t.Errorf("handshakes get the certificate %d, want the old one, %d", got, first)
	}
	s.Restart(t) // nor does it stop a start
	if got := serial(https, "kept.example"); got != first {
		t.Errorf("after a restart handshakes get the certificate %d, want the old one, %d", got, first)
	}
}

// Without any certificate the server starts all the same, and plain HTTP takes postbacks.
func TestACAThatWasNeverThere(t *testing.T) {
	t.Parallel()
	plain := freeAddress(t)
	ca := newPair(t, caromtest.Folder(t), "ca", 1)
	s := obtaining(t, pebble{directory: "https://127.0.0.1:1/dir", ca: ca}, "none.example", "127.0.0.1:0", plain)
	caromtest.Until(t, "the reason in the log", func() bool {
		return strings.Contains(s.Log(), "HTTPS does not work for this domain, plain HTTP does") && strings.Contains(s.Log(), "connection refused")
	})
	if got := caromtest.Do(t, "GET", "http://"+plain+caromtest.Door+"?ymid=v1&event=click", ""); got.Status != http.StatusOK {
		t.Errorf("a postback over plain HTTP was answered %d", got.Status)
	}
	if got := s.Local(t, "GET", "/metrics", ""); !strings.Contains(got.Body, `carom_certificate_expiry_seconds{domain="none.example"} 0`) {
		t.Error("the metrics do not say that there is no certificate")
	}
}
