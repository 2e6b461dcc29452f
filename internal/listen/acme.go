package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"carom"
)

// ACME says which certificates to obtain, and from whom.
type ACME struct {
	Domains []string // at least one
	Email   string   // of the account; empty: none
	CA      string   // URL of the directory
	Root    string   // path of a PEM file with the certificate that the CA's own HTTPS is checked against; empty: the system's
	Folder  string   // where certificates, their keys and the account's are kept
	// HTTP and TLS are the addresses that this server listens at for the two kinds of challenges; HTTP may be empty.
	HTTP, TLS string
	Every     time.Duration // how often it is looked whether a certificate has to be renewed
	Log       *slog.Logger
}

// acme are certificates that an ACME server issues.
type acme struct {
	opts   ACME
	log    *slog.Logger
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
	closed sync.Once

	mu     sync.Mutex             // guards faults
	faults map[string]Certificate // by domain: Err and Since
}

// FromACME returns the certificates that were obtained before, and obtains and renews the others while it is run. It asks
// nothing of the network itself. Its error is carom.ErrInvalid and names the setting.
func FromACME(o ACME) (Certs, error) {
	a := &acme{opts: o, log: o.Log, faults: map[string]Certificate{}}
	roots, err := readRoots(o.Root)
	if err != nil {
		return nil, err
	}
	logger := toSlog(o.Log)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		RenewCheckInterval: o.Every, Logger: logger,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: o.Folder}, Logger: logger, OnEvent: a.note,
		DefaultServerName: o.Domains[0], // of clients too old to name one
		// Stapling would ask the CA before a certificate from the disk is used; the newer renewal information covers a
		// revocation.
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	template := certmagic.ACMEIssuer{CA: o.CA, Email: o.Email, Agreed: true, TrustedRoots: roots, Logger: logger}
	template.ListenHost, template.AltTLSALPNPort = hostPort(o.TLS)
	if _, template.AltHTTPPort = hostPort(o.HTTP); o.HTTP == "" {
		template.DisableHTTPChallenge = true
	}
	a.issuer = certmagic.NewACMEIssuer(a.config, template)
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	for _, domain := range o.Domains {
		if err := a.load(context.Background(), domain); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.Log.Warn("the stored certificate cannot be used: another one is obtained", "domain", domain, "error", err)
		}
	}
	return a, nil
}

// readRoots reads the certificates of acme_root; nil stands for those of the system.
func readRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, carom.Invalid("acme_root", "the file cannot be read (%v): create it, or change the path", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, carom.Invalid("acme_root", "there is no certificate in %s: give one in PEM form", path)
	}
	return pool, nil
}

func hostPort(address string) (string, int) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", 0
	}
	return host, n
}

// load takes the certificate of a domain from the disk.
func (a *acme) load(ctx context.Context, domain string) error {
	_, err := a.config.CacheManagedCertificate(ctx, domain)
	return err
}

// acmeProtocol is what an ACME server speaks when it checks a domain by a handshake (RFC 8737).
const acmeProtocol = "acme-tls/1"

func (a *acme) TLS() *tls.Config { return base(a.config.GetCertificate, acmeProtocol) }

func (a *acme) Challenge(next http.Handler) http.Handler { return a.issuer.HTTPChallengeHandler(next) }

// Run implements Certs. Renewals are made by certmagic's cache, which was started with it; what has to be obtained first is
// obtained here.
func (a *acme) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if err := a.cache.RenewManagedCertificates(ctx); err != nil { // those that ended while this process did not run
		a.log.Warn("certificates cannot be renewed now", "error", err)
	}
	for _, domain := range a.opts.Domains {
		if len(a.cache.AllMatchingCertificates(domain)) == 0 {
			wg.Go(func() { a.obtain(ctx, domain) })
		}
	}
	<-ctx.Done()
	return nil
}

// obtain gets the first certificate of a domain. certmagic tries for a month before it gives up; it is asked again then.
func (a *acme) obtain(ctx context.Context, domain string) {
	for ctx.Err() == nil {
		err := a.config.ObtainCertAsync(ctx, domain)
		if err == nil {
			err = a.load(ctx, domain)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		a.fail(domain, err)
		wait := time.NewTimer(time.Minute)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

func (a *acme) Reload() {} // nobody else writes the files

func (a *acme) Close() { a.closed.Do(a.cache.Stop) }

// note is told by certmagic what it does.
func (a *acme) note(_ context.Context, event string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		a.mu.Lock()
		delete(a.faults, domain)
		a.mu.Unlock()
		a.log.Info("certificate obtained", "domain", domain, "renewal", data["renewal"])
	case "cert_failed":
		if err, ok := data["error"].(error); ok && !errors.Is(err, context.Canceled) {
			a.fail(domain, err)
		}
	}
	return nil
}

// fail notes that a certificate could not be had.
func (a *acme) fail(domain string, err error) {
	now := time.Now().UTC()
	a.mu.Lock()
	fault, known := a.faults[domain]
	if !known {
		fault.Since = now
	}
	fault.Err = clipText(err.Error())
	a.faults[domain] = fault
	a.mu.Unlock()
	until, goesOn := a.notAfter(domain), "there is none: HTTPS does not work for this domain, plain HTTP does"
	if !until.IsZero() {
		goesOn = "the old one is used until " + until.Format(time.RFC3339)
	}
	a.log.Error("a certificate cannot be had", "domain", domain, "error", fault.Err, "meanwhile", goesOn,
		"next_try", "in a minute after the first failures, every six hours at last")
}

// notAfter is when the newest certificate of a domain ends.
func (a *acme) notAfter(domain string) (latest time.Time) {
	for _, c := range a.cache.AllMatchingCertificates(domain) {
		if c.Leaf != nil && c.Leaf.NotAfter.After(latest) {
			latest = c.Leaf.NotAfter
		}
	}
	return latest
}

func (a *acme) Certificates() []Certificate {
	list := make([]Certificate, len(a.opts.Domains))
	for i, domain := range a.opts.Domains {
		notAfter := a.notAfter(domain)
		a.mu.Lock()
		list[i] = a.faults[domain]
		a.mu.Unlock()
		list[i].Domain, list[i].NotAfter = domain, notAfter
	}
	return list
}
