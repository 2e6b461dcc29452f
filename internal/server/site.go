package server

import (
	"crypto/sha256"
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
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/ingest"
	"carom/internal/store"
	"carom/internal/view"
)

// site is everything that is served, and where.
type site struct {
	cfg      config.Config
	views    *view.Door
	door     *ingest.Door
	api      http.Handler
	registry *prometheus.Registry
	store    *store.Store
	log      *slog.Logger
}

// listener is one address with what it serves.
type listener struct {
	net.Listener
	key     string // in the log: that of its setting
	name    string // for people
	handler http.Handler
}

// listen opens the public address, the private one if there is one, and the local socket.
func (s *site) listen() (_ []listener, err error) {
	var all []listener
	defer func() {
		if err != nil {
			for _, l := range all {
				_ = l.Close() // the first error says more
			}
		}
	}()
	add := func(key, name, network, address string, h http.Handler) error {
		ln, err := net.Listen(network, address)
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%s: the address %s is in use by another program: stop it, or choose another with --%s: %w", name, address,
					strings.ReplaceAll(key, "_", "-"), carom.ErrConflict)
			}
			return fmt.Errorf("%s: %w", name, err)
		}
		if network == "tcp" {
			ln = netutil.LimitListener(ln, s.cfg.MaxConnections)
		}
		all = append(all, listener{ln, key, name, s.contain(h)})
		return nil
	}
	if s.cfg.PrivateListen == "" {
		err = add("listen", "the public address", "tcp", s.cfg.Listen, s.handler(true, true, true))
	} else {
		err = errors.Join(
			add("listen", "the public address", "tcp", s.cfg.Listen, s.handler(true, false, true)),
			add("private_listen", "the private address", "tcp", s.cfg.PrivateListen, s.handler(false, true, false)))
	}
	if err != nil {
		return nil, err
	}
	socket, err := s.prepareSocket()
	if err != nil {
		return nil, err
	}
	if socket == "" {
		return all, nil
	}
	if err = add("socket", "the local socket", "unix", socket, api.Local(s.handler(true, true, false))); err != nil {
		return nil, err
	}
	return all, os.Chmod(socket, 0o600)
}

// maxSocketPath is what the smallest of the operating systems allows.
const maxSocketPath = 103

// prepareSocket removes a socket that a killed process left behind. It returns "" when the folder's path is too long.
func (s *site) prepareSocket() (string, error) {
	path := filepath.Join(s.cfg.Data, "carom.sock")
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
	if private {
		s.handlePrivate(mux, guarded)
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
		if !ok || key.Scope == carom.ScopeEvents || key.App != "" {
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
			http.Error(w, "internal error, try later", http.StatusServiceUnavailable)
		}()
		next.ServeHTTP(w, r)
	})
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
	return "http://" + net.JoinHostPort(host, port)
}
