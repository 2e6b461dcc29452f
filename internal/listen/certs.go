package listen

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"
)

// Certs are the certificates that handshakes get. All methods are safe for concurrent use.
type Certs interface {
	// TLS is the configuration for a server: TLS 1.2 and later, HTTP/2, and always the newest good certificate.
	TLS() *tls.Config
	// Challenge answers what an ACME server asks over plain HTTP, and leaves the rest to next.
	Challenge(next http.Handler) http.Handler
	// Run keeps the certificates fresh until ctx ends. It may be run again then.
	Run(ctx context.Context) error
	// Reload asks Run to look for new files at once. It does not wait.
	Reload()
	// Certificates says how each certificate stands, in the order of the settings.
	Certificates() []Certificate
	// Close ends what keeps them. Twice is safe.
	Close()
}

// Certificate is how one certificate stands.
type Certificate struct {
	Domain   string    // the name that it is for: the first one, of a file of the operator's
	NotAfter time.Time // when the one in use ends; zero when there is none
	Err      string    // why the newest try to get another one failed, in one line; empty when all is well
	Since    time.Time // of the first of those tries in a row
}

// clipText makes one short line of an error for people.
func clipText(s string) string {
	const most = 300
	line := make([]rune, 0, most)
	for _, r := range s {
		if len(line) == most {
			return string(line) + "…"
		}
		if r < ' ' {
			r = ' '
		}
		line = append(line, r)
	}
	return string(line)
}

// base is what every TLS configuration has in common.
func base(get func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) *tls.Config {
	return &tls.Config{
		GetCertificate: get, MinVersion: tls.VersionTLS12,
		NextProtos: append([]string{"h2", "http/1.1"}, protocols...),
	}
}
