package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/confirm"
	"carom/internal/guard"
	"carom/internal/ingest"
	"carom/internal/listen"
	"carom/internal/view"
)

// site is everything that is served, and where.
type site struct {
	cfg       config.Config
	views     *view.Door
	sdk       *confirm.Door
	door      *ingest.Door
	api       http.Handler
	wellKnown http.Handler
	registry  *prometheus.Registry
	store     Store
	sockets   *listen.Sockets
	certs     listen.Certs // nil: plain HTTP alone
	conns     *guard.Connections
	log       *slog.Logger

	leaving atomic.Bool // another process takes over: whoever asks is told to connect anew
}

// listener is one address with what it serves.
type listener struct {
	net.Listener
	key     string // in the log: that of its setting
	name    string // for people
	handler http.Handler
	tls     *tls.Config // nil: plain
	context func(context.Context, net.Conn) context.Context
}

// listen opens the public address, those of plain HTTP and of what is private if there are any, and the local socket.
func (s *site) listen() (_ []listener, err error) {
	var all []listener
	defer func() {
		if err != nil {
			for _, l := range all {
				_ = l.Close() // the first error says more
			}
		}
	}()
	add := func(socket, key, name, address string, h http.Handler) error {
		ln, err := s.sockets.Listen(socket, address)
		if err != nil {
			return listenError(err, key, name, address)
		}
		h = s.contain(h)
		if socket != listen.Local {
			ln, h = s.conns.Listen(ln), s.conns.Handler(h)
		}
		all = append(all, listener{Listener: ln, key: key, name: name, handler: h, context: s.conns.Context})
		return nil
	}
	private := s.cfg.PrivateListen != "" || s.sockets.Holds(listen.Private)
	err = add(listen.Public, "listen", "the public address", s.cfg.Listen, s.handler(true, !private, true))
	if s.certs != nil && err == nil {
		all[0].tls = s.certs.TLS()
	}
	if s.cfg.HTTPListen != "" || s.sockets.Holds(listen.HTTP) {
		plain := s.handler(true, !private, true)
		if s.certs != nil { // else a unit of the service manager passes two sockets for the same
			plain = s.certs.Challenge(listen.Plain(plain, s.cfg.BaseURL, s.cfg.Domains))
		}
		err = errors.Join(err, add(listen.HTTP, "http_listen", "the address of plain HTTP", s.cfg.HTTPListen, plain))
	}
	if private {
		err = errors.Join(err, add(listen.Private, "private_listen", "the private address", s.cfg.PrivateListen, s.handler(false, true, false)))
	}
	if err != nil {
		return nil, err
	}
	path, err := s.prepareSocket()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return all, nil
	}
	if err = add(listen.Local, "socket", "the local socket", path, api.Local(s.handler(true, true, false))); err != nil {
		return nil, err
	}
	return all, os.Chmod(path, 0o600)
}

// listenError says what to do when an address cannot be listened at.
func listenError(err error, key, name, address string) error {
	flag := strings.ReplaceAll(key, "_", "-")
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: the address %s is in use by another program: stop it, or choose another with --%s: %w", name, address, flag, carom.ErrConflict)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: this user may not listen at %s: let the service manager pass the socket, grant CAP_NET_BIND_SERVICE, or choose a port from 1024 on with --%s: %w",
			name, address, flag, carom.ErrInvalid)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// maxSocketPath is what the smallest of the operating systems allows.
const maxSocketPath = 103

// prepareSocket removes a socket that a killed process left behind, but not one that was handed over. It returns "" when the
// folder's path is too long.
func (s *site) prepareSocket() (string, error) {
	path := filepath.Join(s.cfg.Data, "carom.sock")
	if s.sockets.Holds(listen.Local) {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if len(path) > maxSocketPath {
		s.log.Warn("the path of the data folder is too long for a local socket: use --server and a key, or a shorter path", "path", path)
		return "", nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // the folder's lock is ours: nobody listens
		return "", fmt.Errorf("local socket: %w", err)
	}
	return path, nil
}

// handler lists what an address serves: the networks' door (public), everything else (private). guarded says that
// metrics and profiles need a key there, since anybody may reach the address.
func (s *site) handler(public, private, guarded bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	s.views.Register(mux) // browsers ask it
	s.sdk.Register(mux)   // likewise
	s.handleFiles(mux)
	if private {
		s.handlePrivate(mux, guarded)
	} else {
		mux.Handle("/v1/", s.publishersOnly(s.api))
	}
	if !public {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/in/") { // before the mux, which redirects paths such as /in//x
			s.door.Postback(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// handlePrivate registers what is not for networks.
func (s *site) handlePrivate(mux *http.ServeMux, guarded bool) {
	s.door.Reports(mux)
	mux.Handle("/v1/", s.api)
	handleDashboard(mux)
	guard := func(h http.Handler) http.Handler { return h }
	if guarded {
		guard = s.needKey
	}
	if s.cfg.Metrics {
		mux.Handle("GET /metrics", guard(promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})))
	}
	if s.cfg.Pprof && !guarded {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
}

// ready says whether postbacks can be stored now: if not, every one of them is answered with try later.
func (s *site) ready(w http.ResponseWriter, _ *http.Request) {
	if t := s.store.Trouble(); !t.Since.IsZero() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "nothing can be stored since "+t.Since.Format(time.RFC3339)+"; carom status says more", http.StatusServiceUnavailable)
		return
	}
	answer(w, "ready\n")
}

func answer(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // a caller that has hung up does not care
}

// needKey lets requests with an API key that may read pass.
func (s *site) needKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		key, ok := s.store.KeyBySum(sha256.Sum256([]byte(token)))
		if !ok || key.Scope != carom.ScopeRead && key.Scope != carom.ScopeAdmin || key.App != "" || key.Publisher != "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="carom"`)
			http.Error(w, "an API key with the scope read is needed here: carom keys create --scope read; or set private_listen", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// contain turns a panic of one request into "try later", so that it harms nothing else.
func (s *site) contain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // net/http's own way to hang up
			}
			s.log.Error("request panicked", "method", r.Method, "pattern", r.Pattern, "panic", v, "stack", string(debug.Stack()))
			w.Header().Set("Retry-After", "5")
			if strings.HasPrefix(r.URL.Path, "/v1/") {
				api.Failed(w)
				return
			}
			http.Error(w, "internal error, try later", http.StatusServiceUnavailable)
		}()
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// addresses are where networks and operators reach this server. The system chooses a port in the place of 0, and the service manager that of
// the sockets it passes: these are asked.
func addresses(cfg config.Config, sockets *listen.Sockets) (public, dashboard string) {
	for _, at := range []struct {
		name    string
		setting *string
	}{{listen.Public, &cfg.Listen}, {listen.Private, &cfg.PrivateListen}} {
		if address, ok := sockets.Given(at.name); ok {
			*at.setting = address
		} else if _, port, err := net.SplitHostPort(*at.setting); err == nil && port == "0" {
			if ln, err := sockets.Listen(at.name, *at.setting); err == nil { // else it fails again, and is reported, when it is to be served
				*at.setting = ln.Addr().String()
			}
		}
	}
	return publicURL(cfg), dashboardURL(cfg)
}

// dashboardURL is where operators reach the dashboard: at the private address, if there is one.
func dashboardURL(cfg config.Config) string {
	if cfg.PrivateListen == "" {
		return publicURL(cfg)
	}
	cfg.BaseURL, cfg.Domains, cfg.TLSCert = "", nil, ""
	cfg.Listen = cfg.PrivateListen
	return publicURL(cfg)
}

// publicURL is what networks reach this server at: the base URL of the settings, else a guess that works on this machine.
func publicURL(cfg config.Config) string {
	if cfg.BaseURL != "" {
		return cfg.BaseURL
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return "http://" + cfg.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if cfg.HTTPS() {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}
