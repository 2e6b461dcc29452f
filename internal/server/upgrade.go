package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/term"

	"carom"
	"carom/internal/config"
	"carom/internal/deliver"
	"carom/internal/listen"
	"carom/internal/network"
)

// The times of a hand-over, and of a stop while the service manager holds the sockets. From the last accept of one process to
// the first of the next, callers wait in the kernel: networks give up after five seconds, of which opening the data folder
// takes its part.
const (
	// leaveTold is how long callers are told to connect anew before nobody is accepted. Who uses a connection more rarely
	// than this finds it closed.
	leaveTold = 2 * time.Second
	// leaveRequests is what requests in hand get then, and connections that have sent nothing yet.
	leaveRequests = time.Second
	// leaveAttempts is what attempts under way get after that. The others are made again by the next process.
	leaveAttempts = time.Second
	// openWithin is how long the next process tries to open a data folder whose lock should be free.
	openWithin = 60 * time.Second
)

// upgrade is what outlives one run of the parts: the process took it from the one before, or gives it to the one after.
type upgrade struct {
	sockets  *listen.Sockets
	certs    listen.Certs        // nil: plain HTTP alone
	before   *listen.Predecessor // until this process serves; nil: nobody was there
	profiles map[string]*network.Profile
	manager  listen.Manager
	hurry    bool // attempts under way are cut short, since callers wait
	wait     bool // another process may hold the data folder's lock a little longer
	log      *slog.Logger
}

// sockets are what the service manager passed, or what the running process hands over, or none yet.
func sockets(ctx context.Context, cfg config.Config, log *slog.Logger) (*listen.Sockets, *listen.Predecessor, error) {
	own, err := listen.NewSockets()
	switch {
	case err != nil:
		return nil, nil, err
	case !cfg.Takeover:
		return own, nil, nil
	case own.AnyGiven():
		log.Info("the service manager passed the sockets: there is nothing to take over")
		return own, nil, nil
	}
	before, err := listen.TakeOver(ctx, cfg.Data)
	switch {
	case err != nil:
		return nil, nil, err
	case before == nil:
		log.Info("no server runs on this data folder: there is nothing to take over")
		return own, nil, nil
	}
	return before.Sockets(), before, nil
}

// certificates are those that the settings ask for; nil for none.
func certificates(cfg config.Config, sockets *listen.Sockets, log *slog.Logger) (listen.Certs, error) {
	switch {
	case len(cfg.Domains) > 0:
		https, http := cfg.Listen, cfg.HTTPListen
		if address, ok := sockets.Given(listen.Public); ok {
			https = address
		}
		if address, ok := sockets.Given(listen.HTTP); ok {
			http = address
		}
		return listen.FromACME(listen.ACME{
			Domains: cfg.Domains, Email: cfg.ACMEEmail, CA: cfg.ACMECA, Root: cfg.ACMERoot, Folder: cfg.CertificateFolder(),
			HTTP: http, TLS: https, Every: cfg.ACMEInterval, Log: log,
		})
	case cfg.TLSCert != "":
		return listen.FromFiles(cfg.TLSCert, cfg.TLSKey, log)
	}
	return nil, nil
}

// open opens the data folder. While this process takes over, it waits until the one before has let go of it.
func (u *upgrade) open(ctx context.Context, open func() (opened, error)) (opened, error) {
	if u.before != nil {
		if err := u.before.Await(ctx); err != nil {
			return opened{}, err
		}
		u.wait = true
	}
	deadline := time.Now().Add(openWithin)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		st, err := open()
		if !u.wait || !errors.Is(err, carom.ErrConflict) || time.Now().After(deadline) {
			return st, err
		}
		select {
		case <-ctx.Done():
			return opened{}, context.Cause(ctx)
		case <-again.C:
		}
	}
}

// serving says to whom it concerns that this process serves.
func (u *upgrade) serving() {
	u.manager.Ready()
	u.before.Serving()
	u.before, u.hurry, u.wait = nil, false, false
	u.sockets.Keep(false)
}

// leaving prepares the end of all parts for a process that takes over.
func (u *upgrade) leaving() {
	u.log.Info("another process takes over")
	u.hurry, u.wait = true, true
	u.sockets.Keep(true)
}

// done says whether the process that takes over serves, after the parts of this one have ended. If it does not, this one
// has to serve again, unless it is to end.
func (u *upgrade) done(ctx context.Context, after *listen.Successor) bool {
	if after.Serves(ctx) {
		u.log.Info("another process has taken over")
		return true
	}
	if ctx.Err() == nil {
		u.log.Error("the process that was to take over ended before it served: this one serves again")
	}
	return ctx.Err() != nil
}

// cutShort ends attempts under way a moment after the lanes begin to stop, when callers wait for the next process.
func (u *upgrade) cutShort(client deliver.Client) {
	if u.hurry {
		time.AfterFunc(leaveAttempts, client.Close) // closing twice is safe: it does not matter when the lanes have ended before
	}
}

// tellCallers tells callers to connect anew, for a while or until ctx ends.
func (s *site) tellCallers(ctx context.Context) {
	s.leaving.Store(true)
	told := time.NewTimer(leaveTold)
	defer told.Stop()
	select {
	case <-told.C:
	case <-ctx.Done():
	}
}

// leave tells callers to connect anew, and returns whether the process that takes over is still there after that.
func (s *site) leave(ctx context.Context, next *listen.Successor) bool {
	s.tellCallers(ctx)
	if next.Commit(context.WithoutCancel(ctx)) { // also when this process is told to end: it may as well end so
		return true
	}
	s.leaving.Store(false)
	s.log.Warn("a process asked to take over and was gone when it was its turn; this one goes on")
	return false
}

// reloads returns the part that has the certificates read again on SIGHUP. A process at a terminal ends with it instead, as usual.
// From the call on no such signal is missed or ends the process: a service manager may send one as soon as it is told that the
// server is ready.
func (u *upgrade) reloads() func(context.Context) error {
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return func(ctx context.Context) error {
			<-ctx.Done()
			return nil
		}
	}
	hangUp := make(chan os.Signal, 1) // one look serves all who asked
	signal.Notify(hangUp, syscall.SIGHUP)
	return func(ctx context.Context) error {
		defer signal.Stop(hangUp)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangUp:
				u.manager.Reloading()
				if u.certs != nil {
					u.certs.Reload()
				}
				u.manager.Ready()
			}
		}
	}
}

// expiries collects how long the certificates last.
type expiries struct{ certs listen.Certs }

var certificateExpiry = prometheus.NewDesc("carom_certificate_expiry_seconds",
	"Seconds until the certificate of the domain ends; negative when it has, and 0 when there is none.", []string{"domain"}, nil)

// Describe implements prometheus.Collector.
func (e expiries) Describe(ch chan<- *prometheus.Desc) { ch <- certificateExpiry }

// Collect implements prometheus.Collector.
func (e expiries) Collect(ch chan<- prometheus.Metric) {
	for _, c := range e.certs.Certificates() {
		left := 0.0
		if !c.NotAfter.IsZero() {
			left = time.Until(c.NotAfter).Seconds()
		}
		ch <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, left, c.Domain)
	}
}
