// Package caromtest is a harness for tests: a running server in a temporary folder, reached over real HTTP on loopback, and a
// scripted endpoint that it sends to.
//
// The server is the real one: server.Run with the real store, in this process. Whatever takes time is waited for with
// [Until], which polls with a deadline, so that no test sleeps for a time that somebody guessed. Everything a test starts is
// stopped when the test ends.
package caromtest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"carom/internal/config"
	"carom/internal/seal"
	"carom/internal/server"
)

// Secret is a path secret for objects files of tests. It is not one that carom made, and easy to search for.
const Secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// Options say how a server begins. The zero value is a server without objects in a folder of its own.
type Options struct {
	Objects string // an objects file, as YAML; it is applied through the API
	File    bool   // Objects is followed as a file instead, see [Server.WriteObjects]
	Data    string // the data folder, to be used again; empty: a new one
	Private bool   // with a private address
	// Database is the URL of a PostgreSQL database, which several servers may share. Empty: SQLite in the data folder, or what
	// [OnPostgreSQL] says.
	Database string
	Config   func(*config.Config)
}

// Server is a running server. Its fields are set by [Start] and [Server.Restart].
type Server struct {
	URL     string   // "http://127.0.0.1:12345"
	Private string   // the same of the private address; empty without one
	Data    string   // the data folder
	Made    []string // URLs of sources whose secret was made when Objects were applied

	opts   Options
	url    string // of the database; empty: SQLite in the data folder
	file   string // the objects file, when it is followed
	log    *logBook
	told   logBook // what is shown once
	cancel context.CancelFunc
	ended  chan error // Run's error; capacity 1
	local  *http.Client
}

// Start runs a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{opts: o, Data: o.Data, log: &logBook{}}
	if s.Data == "" {
		s.Data = Folder(t)
	}
	if s.url = o.Database; s.url == "" && OnPostgreSQL() {
		s.url = DatabaseOf(t, s.Data)
	}
	if o.File {
		s.file = filepath.Join(Folder(t), "carom.yaml")
		s.WriteObjects(t, o.Objects)
	}
	s.local = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.Data, "carom.sock"))
	}}}
	t.Cleanup(func() {
		ymids := s.ymids()
		s.local.CloseIdleConnections()
		if err := s.Stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		s.checkLog(t, ymids)
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Log())
		}
	})
	if err := s.run(); err != nil {
		t.Fatalf("the server does not start: %v\n%s", err, s.Log())
	}
	if !o.File && o.Objects != "" {
		s.Made = s.Apply(t, o.Objects)
	}
	return s
}

// Folder makes a folder with a short path, as sockets need it, that is removed when the test ends.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "carom")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the folder of the test: %v", err)
		}
	})
	return dir
}

// Config returns the default settings with a data folder, free ports of loopback, and a short grace.
func Config(data string) (config.Config, error) {
	cfg, err := config.Load(nil, func() []string { return nil })
	cfg.Data, cfg.Listen, cfg.LogLevel, cfg.ShutdownGrace = data, "127.0.0.1:0", slog.LevelDebug, 2*time.Second
	return cfg, err
}

// run starts the server and returns when it serves, or with the error that it ended with.
func (s *Server) run() error {
	cfg, err := Config(s.Data)
	if err != nil {
		return err
	}
	cfg.Objects, cfg.Database = s.file, s.url
	if s.url != "" {
		if cfg.SecretsKeys, err = seal.Parse(SecretsKey); err != nil {
			return err
		}
	}
	if s.opts.Private {
		cfg.PrivateListen = "127.0.0.1:0"
	}
	if s.opts.Config != nil {
		s.opts.Config(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	serves := s.log.expect()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: cfg.LogLevel}))
	go func() { s.ended <- server.RunTelling(ctx, cfg, log, &s.told, "test") }()
	select {
	case addresses := <-serves:
		s.URL = "http://" + addresses["listen"]
		if private := addresses["private_listen"]; private != "" {
			s.Private = "http://" + private
		}
		return nil
	case err := <-s.ended:
		cancel()
		s.cancel = nil
		return errors.Join(err, errors.New("it ended before it served"))
	}
}

// Stop ends the server cleanly and returns what Run returned. A stopped server stays so: twice is safe.
func (s *Server) Stop() error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.cancel = nil
	return <-s.ended
}

// Restart stops the server cleanly and starts it again on the same folder and, most likely, another port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatalf("the server ended with %v", err)
	}
	if err := s.run(); err != nil {
		t.Fatalf("the server does not start again: %v", err)
	}
}

// Log is everything that was logged, at every level.
func (s *Server) Log() string { return s.log.String() }

// Told is everything that was shown once, by all starts: URLs with secrets, and links for the first operator.
func (s *Server) Told() string { return s.told.String() }

// WriteObjects replaces the objects file that the server follows, at once as editors do.
func (s *Server) WriteObjects(t testing.TB, yaml string) {
	t.Helper()
	next := s.file + ".next"
	if err := os.WriteFile(next, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, s.file); err != nil {
		t.Fatal(err)
	}
}

// Monetag is an objects file with the app "game", its source "ads" of the profile monetag with [Secret], its source "orders"
// for reports, and an endpoint "backend" for each URL template ("backend", "backend2", …) that may be on this machine and
// is tried again every second. Lines of source are added to the source.
func Monetag(source string, templates ...string) string {
	var b strings.Builder
	b.WriteString("apps:\n  game:\n    sources:\n      orders: { profile: api }\n      ads:\n        profile: monetag\n        secret: " + Secret + "\n")
	for line := range strings.Lines(source) {
		b.WriteString("        " + strings.TrimSpace(line) + "\n")
	}
	if len(templates) > 0 {
		b.WriteString("    endpoints:\n")
	}
	for i, template := range templates {
		name := "backend"
		if i > 0 {
			name += string(rune('1' + i))
		}
		b.WriteString("      " + name + ":\n        url: \"" + template + "\"\n        allow_private: true\n        schedule: [1s]\n")
	}
	return b.String()
}

// Door is the path of the source that [Monetag] describes.
const Door = "/in/game/ads/" + Secret

// logBook keeps what is logged, and notices when the server begins to serve.
type logBook struct {
	mu     sync.Mutex // guards all below
	text   bytes.Buffer
	serves chan map[string]string // gets the addresses; capacity 1
}

var address = regexp.MustCompile(`(\w+)=(127\.0\.0\.1:\d+)`)

// Write implements io.Writer. Each call brings one line.
func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.serves != nil && bytes.Contains(line, []byte(`msg="carom serves"`)) {
		addresses := map[string]string{}
		for _, m := range address.FindAllSubmatch(line, -1) {
			addresses[string(m[1])] = string(m[2])
		}
		b.serves <- addresses
		b.serves = nil
	}
	return b.text.Write(line)
}

func (b *logBook) expect() <-chan map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	serves := make(chan map[string]string, 1)
	b.serves = serves
	return serves
}

// String is everything that was written.
func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Until polls until done returns true, and fails the test when that takes more than a minute. what ends the sentence "waited
// for …".
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(pause)
	}
}
