package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newTLSReceiver starts a receiver whose certificate is for example.com and 127.0.0.1.
func newTLSReceiver(t *testing.T, cfg *tls.Config, h http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = cfg
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the failed handshakes are the point
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv, pool
}

func TestTLS(t *testing.T) {
	srv, pool := newTLSReceiver(t, &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.Host, r.TLS.ServerName, r.TLS.NegotiatedProtocol)
	})
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	resolver := names{"example.com": {{"127.0.0.1"}}, "example.com.": {{"127.0.0.1"}}, "wrong.example": {{"127.0.0.1"}}}
	tests := []struct {
		name  string
		roots *x509.CertPool
		host  string
		body  string
		text  string // of the error
	}{
		{"name", pool, "example.com", "HTTP/1.1 example.com" + port + " example.com http/1.1", ""},
		{"name with a dot", pool, "example.com.", "HTTP/1.1 example.com." + port + " example.com http/1.1", ""},
		{"address", pool, "127.0.0.1", "HTTP/1.1 127.0.0.1" + port + "  http/1.1", ""},
		{"wrong host", pool, "wrong.example", "", "not wrong.example"},
		{"unknown authority", x509.NewCertPool(), "example.com", "", "unknown authority"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, Config{RootCAs: tt.roots, Resolver: resolver})
			res := c.Do(t.Context(), own, get("https://"+tt.host+port+"/"), Options{})
			if tt.text == "" {
				if res.Err != nil || string(res.Body) != tt.body {
					t.Errorf("got %q, error %v; want %q", res.Body, res.Err, tt.body)
				}
				return
			}
			if res.Phase != PhaseTLS || !strings.Contains(fmt.Sprint(res.Err), tt.text) || res.Sent || len(c.live) > 0 {
				t.Errorf("got %+v, want phase tls and an error with %q", res, tt.text)
			}
		})
	}
}

func TestTLSConnectionsAndSessionsAreReused(t *testing.T) {
	srv, pool := newTLSReceiver(t, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		_, _ = fmt.Fprintf(w, "%v %s", r.TLS.DidResume, r.RemoteAddr)
	})
	c := newClient(t, Config{RootCAs: pool})
	var got []string
	for _, path := range []string{"/", "/close", "/"} {
		res := c.Do(t.Context(), own, get(srv.URL+path), Options{})
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		got = append(got, string(res.Body))
	}
	if got[0] != got[1] || got[1] == got[2] || !strings.HasPrefix(got[2], "true") {
		t.Errorf("got %q, want one connection twice, then a resumed session", got)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	srv, pool := newTLSReceiver(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		func(http.ResponseWriter, *http.Request) {})
	res := newClient(t, Config{RootCAs: pool}).Do(t.Context(), own, get(srv.URL), Options{})
	if res.Phase != PhaseTLS || res.Err == nil || res.Sent {
		t.Errorf("a receiver with TLS 1.1: got %+v, want phase tls", res)
	}
}
