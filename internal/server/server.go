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
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/deliver"
	"carom/internal/egress"
	"carom/internal/ingest"
	"carom/internal/keylist"
	"carom/internal/network"
	"carom/internal/reward"
	"carom/internal/store"
	"carom/internal/view"
)

// Run serves until ctx ends, then stops cleanly within the grace period of the settings. It returns nil after a clean stop.
//
// Its errors say what to do: carom.ErrConflict when another process uses the data folder or an address, carom.ErrInvalid for
// settings, objects or a data folder that this version cannot use.
func Run(ctx context.Context, cfg config.Config, log *slog.Logger, version string) (err error) {
	var steps lifecycle
	defer func() { err = errors.Join(err, steps.stop(log)) }()

	st, err := store.Open(cfg.Data, store.Options{
		BucketEvents: cfg.BucketEvents, Retention: cfg.Retention, UnverifiedRetention: cfg.UnverifiedRetention,
		MaxQueue: cfg.MaxQueue, CacheMB: cfg.CacheMB, Decide: reward.Decide, Log: log.With("component", "store"),
	})
	if err != nil {
		return err
	}
	steps.add("close the data folder", st.Close)
	steps.run("store", st.Run)
	logRecovered(log, st)

	registry := prometheus.NewRegistry()
	engine := deliver.New(deliver.Options{
		Store: st, Client: egress.New(egress.Config{}), MaxInFlight: cfg.MaxInFlight, Grace: cfg.ShutdownGrace / 2,
		Observe: attemptMetrics(registry), Log: log.With("component", "deliver"),
	})
	profiles, err := network.ProfilesIn(cfg.Profiles)
	if err != nil {
		return err
	}
	local := func(r *http.Request) bool { return api.IsLocal(r.Context()) }
	done := make(chan struct{})
	views := view.New(view.Options{
		Store: st, Local: local, Metrics: registry, Log: log.With("component", "view"), Done: done,
		ByUser: func(s *carom.Source) bool { p := profiles[s.Profile]; return p != nil && p.NoID },
	})
	keys := keylist.New(keylist.Options{Log: log.With("component", "keylist")})
	steps.add("end the fetches of key lists", func() error { keys.Close(); return nil })
	today := passOn()
	steps.add("close the connections to today's receivers", func() error { today.CloseIdleConnections(); return nil })
	door := ingest.New(ingest.Options{
		Store: st, Lanes: engine, Views: st, Keys: keys, TrustedProxies: cfg.TrustedProxies, Metrics: registry, Log: log.With("component", "ingest"),
		Local: local, Tell: views.Tell, PassOn: today,
	})
	live := &live{store: st, engine: engine, door: door, views: views, profiles: profiles, file: cfg.Objects, baseURL: publicURL(cfg), signed: cfg.BaseURL,
		log: log.With("component", "objects")}
	if err := live.start(ctx); err != nil {
		return err
	}
	if live.file != "" {
		steps.run("objects file", live.watch)
	}
	steps.run("lanes", engine.Run)
	steps.run("holds", func(ctx context.Context) error { return door.Run(ctx, st) })
	steps.run("comparing in shadow", func(ctx context.Context) error { return door.RunTrials(ctx, st) })
	registerStats(registry, st, engine)

	apiHandler := api.New(api.Options{
		Store: apiStore{st}, Door: door, Lanes: engine, Objects: live, Version: version, SourceURL: live.sourceURL, Profiles: profiles,
		Binding: live.binding, Keys: keys, Shadow: st.ShadowReport,
		Log: log.With("component", "api"), Done: done,
	})
	s := &site{cfg: cfg, door: door, views: views, api: apiHandler, registry: registry, store: st, log: log.With("component", "http")}
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	for _, l := range listeners {
		steps.serve(l, cfg, log)
	}
	steps.add("end the live feeds", func() error { close(done); return nil })
	logServing(log, listeners, cfg, version)

	select {
	case <-ctx.Done():
		log.Info("stopping")
		return nil
	case err := <-steps.failed():
		return err
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

// apiStore is the store as the API sees it.
type apiStore struct{ *store.Store }

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

// run starts a part that runs until its context ends.
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
	srv := &http.Server{
		Handler:           ln.handler,
		ReadHeaderTimeout: cfg.ReadHeaderTimeout,
		ReadTimeout:       30 * time.Second, // of the largest request, over a slow line
		IdleTimeout:       cfg.IdleTimeout,
		MaxHeaderBytes:    64 << 10, // a URL of 16 KiB and ordinary headers; net/http answers 431 beyond
		ErrorLog:          slog.NewLogLogger(log.With("component", "http").Handler(), slog.LevelDebug),
	}
	failed := l.failed()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ln.Listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("%s: %w", ln.name, err)
		}
	})
	l.add("close "+ln.name, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownGrace/2)
		defer cancel()
		err := srv.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close() // whoever is still connected repeats
		}
		wg.Wait()
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
