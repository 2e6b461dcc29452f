// Package server joins the parts: it opens the store, builds the lanes, the door and the API, listens, and stops everything
// in the reverse order.
//
// It is the only package that knows all the others, and decides nothing that they could. Stopping is a mirror of starting:
// first no new requests, then no new attempts, then the store commits what is left. Killing the process instead loses
// nothing that was acknowledged.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/ads"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/confirm"
	"carom/internal/deliver"
	"carom/internal/egress"
	"carom/internal/ingest"
	"carom/internal/keylist"
	"carom/internal/listen"
	"carom/internal/network"
	"carom/internal/store"
	"carom/internal/survey"
	"carom/internal/view"
	"carom/internal/watch"
)

// Run serves until ctx ends, then stops cleanly within the grace period of the settings. It returns nil after a clean stop,
// and after another process has taken over.
//
// Its errors say what to do: carom.ErrConflict when another process uses the data folder or an address, carom.ErrInvalid for
// settings, objects or a data folder that this version cannot use.
//
// What is shown once, it tells on standard error: URLs with secrets that were just made, and the link of the first operator. No log has
// them.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, version string) error {
	return RunTelling(ctx, cfg, log, os.Stderr, version)
}

// RunTelling is [Run] with another place than standard error for what is shown once.
func RunTelling(ctx context.Context, cfg config.Config, log *slog.Logger, tell io.Writer, version string) error {
	u := &upgrade{log: log.With("component", "listen"), manager: listen.NewManager(log)}
	var err error
	if u.sockets, u.before, err = sockets(ctx, cfg, u.log); err != nil {
		return err
	}
	defer func() { _ = u.sockets.Close() }() // each is closed already, but for those that were handed over
	defer func() { u.before.Close() }()
	if u.profiles, err = network.ProfilesIn(cfg.Profiles); err != nil {
		return err
	}
	if u.certs, err = certificates(cfg, u.sockets, u.log); err != nil {
		return err
	}
	if u.certs != nil {
		defer u.certs.Close()
	}
	for {
		after, err := serve(ctx, cfg, log, tell, version, u)
		if after == nil || u.done(ctx, after) {
			return err
		}
	}
}

// serve is one run of all parts, from the data folder to the listeners and back. It returns the process that takes over, if it
// ends for one.
func serve(ctx context.Context, cfg config.Config, log *slog.Logger, tell io.Writer, version string, u *upgrade) (after *listen.Successor, err error) {
	var steps lifecycle
	defer func() { err = errors.Join(err, steps.stop(log)) }()

	st, err := u.open(ctx, func() (opened, error) { return openStore(ctx, cfg, log, version) })
	if err != nil {
		return nil, err
	}
	steps.add("close the store", st.Close)
	steps.run("store", st.Run)

	registry := prometheus.NewRegistry()
	bounds := newBounds(cfg, st, registry, log.With("component", "http"))
	client := egress.New(egress.Config{})
	var ring watch.Ring
	engine := deliver.New(deliver.Options{
		Store: st, Peers: st.peers(), Client: client, MaxInFlight: bounds.attempts, Grace: cfg.ShutdownGrace / 2, Clock: st.Now,
		Observe: attemptMetrics(registry), Watch: &ring, Log: log.With("component", "deliver"),
	})
	profiles := u.profiles
	local := func(r *http.Request) bool { return api.IsLocal(r.Context()) }
	done := make(chan struct{})
	views := view.New(view.Options{
		Store: st, Local: local, Metrics: registry, Clock: st.Now, Log: log.With("component", "view"), Done: done, Waiting: bounds.waiting,
		ByUser: func(s *carom.Source) bool { p := profiles[s.Profile]; return p != nil && p.NoID },
	})
	keys := keylist.New(keylist.Options{Log: log.With("component", "keylist")})
	steps.add("end the fetches of key lists", func() error { keys.Close(); return nil })
	today := passOn()
	steps.add("close the connections to today's receivers", func() error { today.CloseIdleConnections(); return nil })
	door := ingest.New(ingest.Options{
		Store: st, Lanes: engine, Views: st, Keys: keys, TrustedProxies: cfg.TrustedProxies, Metrics: registry, Log: log.With("component", "ingest"),
		Clock: st.Now, Local: local, Tell: views.Tell, PassOn: today, Failures: bounds.failures, Watch: &ring,
	})
	chooser := ads.New(ads.Options{Client: client, Metrics: registry, Log: log.With("component", "ads")})
	sdk := confirm.New(confirm.Options{
		Events: door, Store: st, Ads: chooser, Key: st.ViewSeal().Key("sdk"), Client: door.Client, Clock: st.Now, Metrics: registry, Log: log.With("component", "confirm"),
	})
	public, dashboard := addresses(cfg, u.sockets)
	live := &live{store: st, shared: st.shared, engine: engine, door: door, views: views, sdk: sdk, ads: chooser, profiles: profiles, file: cfg.Objects, baseURL: public, signed: cfg.BaseURL,
		tell: tell, log: log.With("component", "objects")}
	if err := live.start(ctx); err != nil {
		return nil, err
	}
	if live.file != "" {
		steps.run("objects file", live.watch)
	}
	if st.shared != nil {
		steps.run("objects of other nodes", live.follow)
		steps.run("views on other nodes", func(ctx context.Context) error { return views.Follow(ctx, st.shared) })
	}
	steps.run("lanes", engine.Run)
	steps.add("cut attempts short", func() error { u.cutShort(client); return nil })
	steps.run("holds", func(ctx context.Context) error { return door.Run(ctx, holds{st}) })
	steps.run("comparing in shadow", func(ctx context.Context) error { return door.RunTrials(ctx, st) })
	steps.run("settling of views", sdk.Run)
	registerStats(registry, st, engine)

	alerts, err := newAlerts(cfg, st, registry, log.With("component", "alert"))
	if err != nil {
		return nil, err
	}
	apiHandler := api.New(api.Options{
		Store: apiStore{st}, Door: door, Lanes: engine, Objects: live, Version: version, SourceURL: live.sourceURL, Profiles: profiles,
		Binding: live.binding, Keys: keys, Shadow: st.ShadowReport,
		Backup:  func(ctx context.Context, w io.Writer) error { return st.backup(ctx, version, w) },
		Machine: machineOf(cfg.Data), Certificates: certificatesOf(u.certs, len(cfg.Domains) > 0), PublicURL: cfg.BaseURL, InClear: cfg.InClear(), Alerts: alerts,
		Nodes: st.nodes, BaseURL: public, DashboardURL: dashboard, Client: door.Client, Seal: st.ViewSeal, EgressAddresses: texts(cfg.EgressAddresses), History: st, Visitor: survey.NewVisitor(survey.VisitorOptions{}),
		Settings: settingsOf(&cfg),
		Try: func(ctx context.Context, t api.Trial) api.TrialResult {
			tried := deliver.Try(ctx, client, &t.Endpoint.Endpoint, t.Request, time.Now)
			return api.TrialResult{
				State: tried.State, Reason: tried.Reason, Flags: tried.Flags, Took: tried.Took, Status: tried.Status, ContentType: tried.ContentType,
				Body: tried.Body, Err: tried.Err, Phase: string(tried.Phase), Address: tried.Addr,
			}
		},
		Test: func(w http.ResponseWriter, r *http.Request) (api.DoorTest, bool) {
			tested, ok := door.Test(w, r)
			return api.DoorTest(tested), ok
		},
		Limits: api.Limits{Rate: cfg.APIRate, Burst: cfg.APIBurst, Exempt: slices.Concat(cfg.ExemptAddresses, cfg.TrustedProxies)},
		Live:   func() (api.Follower, error) { return ring.Follow() }, OtherEvents: st.otherEvents(),
		Log: log.With("component", "api"), Done: done,
	})
	alerts.status = apiHandler.Status
	s := &site{cfg: cfg, door: door, views: views, sdk: sdk, api: apiHandler, registry: registry, store: st, sockets: u.sockets, certs: u.certs,
		wellKnown: api.WellKnown(api.Options{Version: version, EgressAddresses: texts(cfg.EgressAddresses)}),
		conns:     bounds.conns, log: log.With("component", "http")}
	listeners, err := s.listen()
	if err != nil {
		return nil, err
	}
	offer, err := u.sockets.Offer(cfg.Data, u.log)
	if err != nil {
		return nil, err
	}
	for _, l := range listeners {
		steps.serve(l, cfg, log)
	}
	steps.run("hand-over", offer.Run)
	if u.certs != nil {
		steps.run("certificates", u.certs.Run)
		registry.MustRegister(expiries{u.certs})
	}
	steps.run("alerts", alerts.Run)
	steps.run("signs of life", u.manager.Run)
	steps.run("reloads", u.reloads())
	steps.add("end the live feeds", func() error { close(done); return nil })
	logServing(log, listeners, cfg, version)
	showFirstLink(ctx, apiHandler, log, tell)
	u.serving()

	for {
		select {
		case <-ctx.Done():
			log.Info("stopping")
			u.manager.Stopping()
			if u.sockets.AnyGiven() { // whoever connects from now on waits for the next process
				s.tellCallers(context.Background())
				u.hurry, steps.until = true, time.Now().Add(leaveRequests)
			}
			return nil, nil
		case err := <-steps.failed():
			return nil, err
		case next := <-offer.Ready():
			if s.leave(ctx, next) {
				u.leaving()
				steps.until = time.Now().Add(leaveRequests)
				return next, nil
			}
		}
	}
}

func logRecovered(log *slog.Logger, st *store.Store) {
	r := st.Recovered()
	log.Info("data folder opened", "buckets", r.Buckets, "open_bucket_events", r.Events, "deliveries_taken_up", r.Pending,
		"deliveries_interrupted", r.Interrupted, "indexes_rebuilt", r.Rebuilt, "took", r.Took.Round(time.Millisecond))
}

// logServing says where the server is reached: with port 0 in the settings, the system has chosen.
func logServing(log *slog.Logger, listeners []listener, cfg config.Config, version string) {
	args := []any{"data", cfg.Data, "version", version}
	for _, l := range listeners {
		args = append(args, l.key, l.Addr().String())
	}
	log.Info("carom serves", args...)
}

// showFirstLink tells the link that makes the first operator, when there is no member. It goes into no log: whoever has it may do
// everything.
func showFirstLink(ctx context.Context, h *api.Handler, log *slog.Logger, tell io.Writer) {
	link, err := h.FirstLink(ctx)
	switch {
	case err != nil:
		log.Warn("no link for the first operator: `carom setup-link` makes one", "error", err)
	case link != "":
		_, _ = fmt.Fprintf(tell, "\nNobody can sign in to the dashboard yet. This link makes you its operator; it counts once, for 72 hours:\n  %s\n\n", link) // where nobody reads, `carom setup-link` makes another
	}
}

// apiStore is the store as the API sees it.
type apiStore struct{ Store }

// Unverified returns the kept sample.
func (s apiStore) Unverified(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error) {
	return s.UnverifiedSample(ctx, app, source, limit)
}

// Resend makes an ended delivery pending again. The API wakes its lane.
func (s apiStore) Resend(ctx context.Context, id carom.DeliveryID) error {
	_, err := s.Store.Resend(ctx, id)
	return err
}

// lifecycle lists what was started, to be stopped in the reverse order.
type lifecycle struct {
	steps []step
	fail  chan error // of a part that ended by itself
	until time.Time  // requests in hand get no longer than this; zero: the grace of the settings
}

type step struct {
	name string
	stop func() error
}

func (l *lifecycle) add(name string, stop func() error) {
	l.steps = append(l.steps, step{name, stop})
}

func (l *lifecycle) failed() chan error {
	if l.fail == nil {
		l.fail = make(chan error, 16) // more than there are parts: nobody waits to report
	}
	return l.fail
}

// run starts a part that runs until its context ends. A part that panics ends the process, at once and wherever it was, as a kill
// would: what is half done then is in no commit, and the next start recovers. Going on with, say, a committer that stopped in
// the middle of its memory would be worse than ending. Only what works for one request or one attempt is contained.
func (l *lifecycle) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	failed := l.failed()
	go func() {
		err := run(ctx)
		if err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("%s: %w", name, err)
		}
		ended <- err
	}()
	l.add("stop the "+name, func() error {
		cancel()
		return <-ended
	})
}

// serve starts a listener's server.
func (l *lifecycle) serve(ln listener, cfg config.Config, log *slog.Logger) {
	var open drain
	srv := &http.Server{
		Handler:           ln.handler,
		ConnState:         open.state,
		TLSConfig:         ln.tls,
		ConnContext:       ln.context,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       30 * time.Second, // of the largest request, over a slow line
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10, // a URL of 16 KiB and ordinary headers; net/http answers 431 beyond
		ErrorLog:          slog.NewLogLogger(log.With("component", "http").Handler(), slog.LevelDebug),
	}
	failed := l.failed()
	var closing atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if ln.tls != nil {
			err = srv.ServeTLS(ln.Listener, "", "")
		} else {
			err = srv.Serve(ln.Listener)
		}
		if err != nil && !closing.Load() {
			failed <- fmt.Errorf("%s: %w", ln.name, err)
		}
	})
	l.add("close "+ln.name, func() error {
		until := l.until
		if until.IsZero() {
			until = time.Now().Add(cfg.ShutdownGrace / 2)
		}
		ctx, cancel := context.WithDeadline(context.Background(), until)
		defer cancel()
		// Shutdown could miss a connection that is accepted at this moment: nobody accepts before it begins.
		closing.Store(true)
		_ = ln.Close() // Shutdown closes it again, and reports
		wg.Wait()
		open.wait(ctx, srv)
		err := srv.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close() // whoever is still connected repeats
		}
		return err
	})
}

// stop ends every part, the last one started first.
func (l *lifecycle) stop(log *slog.Logger) error {
	var errs []error
	for _, s := range slices.Backward(l.steps) {
		began := time.Now()
		if err := s.stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
		log.Debug("stopped", "step", s.name, "took", time.Since(began))
	}
	return errors.Join(errs...)
}
