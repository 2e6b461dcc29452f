package listen

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carom"
)

// filesEvery is how often the files are looked at. They are read once two looks in a row see the same: whoever writes the
// certificate first and then the key is not reported as a fault.
const filesEvery = time.Second

// files are certificate and key in files of the operator's.
type files struct {
	cert, key string
	log       *slog.Logger
	now       atomic.Pointer[tls.Certificate]
	again     chan struct{} // capacity 1: one look serves all who asked

	mu    sync.Mutex // guards both below
	fault string
	since time.Time
}

// FromFiles reads a certificate with its chain, and its key, from two PEM files. Its error is carom.ErrInvalid and names the
// setting.
func FromFiles(cert, key string, log *slog.Logger) (Certs, error) {
	f := &files{cert: cert, key: key, log: log, again: make(chan struct{}, 1)}
	pair, err := f.read()
	if err != nil {
		return nil, carom.Invalid("tls_cert", "%v: give a certificate with its chain, and with tls_key its key, both in PEM form", err)
	}
	f.now.Store(pair)
	return f, nil
}

func (f *files) read() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key) // its errors quote nothing of the key
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s cannot be used: %w", f.cert, f.key, err)
	}
	return &pair, nil
}

func (f *files) TLS() *tls.Config {
	return base(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.now.Load(), nil })
}

func (f *files) Challenge(next http.Handler) http.Handler { return next }

func (f *files) Reload() {
	select {
	case f.again <- struct{}{}:
	default: // asked already
	}
}

func (f *files) Close() {}

func (f *files) Certificates() []Certificate {
	leaf := f.now.Load().Leaf
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return []Certificate{{Domain: cmp.Or(name, "(no name)"), NotAfter: leaf.NotAfter, Err: f.fault, Since: f.since}}
}

// Run implements Certs.
func (f *files) Run(ctx context.Context) error {
	tick := time.NewTicker(filesEvery)
	defer tick.Stop()
	read := f.look()
	seen := read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.again:
			read = f.look()
			seen = read
			f.renew()
		case <-tick.C:
			now := f.look()
			settled := same(now, seen)
			seen = now
			if settled && !same(now, read) {
				read = now
				f.renew()
			}
		}
	}
}

// renew puts the files in force, if they can be used.
func (f *files) renew() {
	pair, err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		if f.fault == "" {
			f.since = time.Now().UTC()
		}
		f.fault = clipText(err.Error())
		f.log.Error("the new certificate cannot be used; the old one goes on", "error", err, "not_after", f.now.Load().Leaf.NotAfter)
		return
	}
	f.fault, f.since = "", time.Time{}
	f.now.Store(pair)
	f.log.Info("certificate read again", "file", f.cert, "not_after", pair.Leaf.NotAfter)
}

// look is what both files are, without reading them; nil stands for one that is not there.
func (f *files) look() []os.FileInfo {
	out := make([]os.FileInfo, 2)
	for i, path := range []string{f.cert, f.key} {
		if info, err := os.Stat(path); err == nil {
			out[i] = info
		}
	}
	return out
}

func same(a, b []os.FileInfo) bool {
	return slices.EqualFunc(a, b, func(a, b os.FileInfo) bool {
		if a == nil || b == nil {
			return a == nil && b == nil
		}
		return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
	})
}
