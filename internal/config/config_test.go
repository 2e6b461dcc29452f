package config

import (
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"carom"
	"carom/internal/seal"
)

var update = flag.Bool("update", false, "rewrite docs/config.md")

func environ(vars ...string) func() []string { return func() []string { return vars } }

// command parses args as the command line of a command with one flag more.
func command(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	fs.Bool("open-browser", false, "")
	Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// settingsFile writes a settings file and returns its path.
func settingsFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func defaults() Config {
	return Config{
		Data: "./carom-data", Listen: "127.0.0.1:8080", LogLevel: slog.LevelInfo, LogFormat: "text", Metrics: true,
		ACMECA: "https://acme-v02.api.letsencrypt.org/directory", ACMEInterval: 10 * time.Minute,
		MaxConnections: 10_000, UnverifiedPerAddress: 50, APIRate: 50, APIBurst: 200, ExemptAddresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ShutdownGrace: 15 * time.Second,
		MaxQueue: 16384, MaxInFlight: 4096,
		Retention: 30 * 24 * time.Hour, UnverifiedRetention: 7 * 24 * time.Hour, AuditRetention: 400 * 24 * time.Hour, BucketEvents: 1_000_000, CacheMB: 16,
		Alerts: Alerts{TelegramAPI: "https://api.telegram.org"},
	}
}

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestLoadDefaults(t *testing.T) {
	got, err := Load(command(t), environ("PATH=/bin", "CAROM_SECRET_OF_AN_APP=x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if got.Origins[s.key] != FromDefault {
			t.Errorf("%s comes from %q, want the default", s.key, got.Origins[s.key])
		}
	}
	got.Origins = nil
	if diff := cmp.Diff(defaults(), got, prefixes); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoadPrefersTheNearestOrigin(t *testing.T) {
	path := settingsFile(t, "max_queue: 100\nmax_in_flight: 101\nlisten: ':8081'\nlog_level: warn\n"+
		"trusted_proxies: [10.0.0.0/8, 192.0.2.7]\nretention: 10d\nmetrics: false\n")
	fs := command(t, "--max-queue=300", "--pprof", "--private-listen", "127.0.0.1:9090", "--base-url=https://ads.example/carom/")
	got, err := Load(fs, environ("CAROM_SETTINGS="+path, "CAROM_MAX_QUEUE=200", "CAROM_MAX_IN_FLIGHT=201", "CAROM_DATA=/srv/carom"))
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Settings, want.Data = path, "/srv/carom"
	want.MaxQueue, want.MaxInFlight = 300, 201
	want.Listen, want.PrivateListen, want.BaseURL = ":8081", "127.0.0.1:9090", "https://ads.example/carom"
	want.LogLevel, want.Metrics, want.Pprof = slog.LevelWarn, false, true
	want.Retention = 10 * 24 * time.Hour
	want.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")}
	origins := map[string]Origin{"max_queue": FromFlag, "max_in_flight": FromEnv, "listen": FromFile, "settings": FromEnv, "idle_timeout": FromDefault}
	for key, origin := range origins {
		if got.Origins[key] != origin {
			t.Errorf("%s comes from %q, want %q", key, got.Origins[key], origin)
		}
	}
	got.Origins = nil
	if diff := cmp.Diff(want, got, prefixes); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestTheFlagNamesTheSettingsFile(t *testing.T) {
	path := settingsFile(t, "cache_mb: 32\n")
	got, err := Load(command(t, "--settings", path), environ("CAROM_SETTINGS=/nowhere"))
	if err != nil || got.CacheMB != 32 {
		t.Errorf("Load returned cache_mb %d and %v, want 32 from the file that the flag names", got.CacheMB, err)
	}
}

// With a domain the ports of HTTPS and the URL follow, unless they are given.
func TestADomainMeansHTTPS(t *testing.T) {
	tests := []struct {
		name               string
		args               []string
		listen, http, base string
	}{
		{"alone", nil, ":443", ":80", "https://ads.example.com"},
		{"with addresses", []string{"--listen=:8443", "--http-listen=", "--base-url=https://x.example"}, ":8443", "", "https://x.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Load(command(t, append(tt.args, "--domain", "Ads.example.com, b.example.com")...), environ())
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen != tt.listen || c.HTTPListen != tt.http || c.BaseURL != tt.base || !c.HTTPS() {
				t.Errorf("listen %q, http_listen %q, base_url %q; want %q, %q, %q", c.Listen, c.HTTPListen, c.BaseURL, tt.listen, tt.http, tt.base)
			}
			if diff := cmp.Diff([]string{"ads.example.com", "b.example.com"}, c.Domains); diff != "" {
				t.Errorf("domains (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadReportsFaults(t *testing.T) {
	tests := []struct {
		name string
		file string
		env  []string
		args []string
		want []string // parts of the error, FILE standing for the path
	}{
		{"an unknown key", "# mine\nmax_qeue: 100\n", nil, nil, []string{"FILE:2:1: max_qeue: there is no such setting: did you mean max_queue?"}},
		{"a key far from all", "zzzzzzzzzzzz: 1\n", nil, nil, []string{"zzzzzzzzzzzz: there is no such setting: `carom serve --help`"}},
		{"a nested key", "listen:\n  port: 80\n", nil, nil, []string{"FILE:1:1: listen: it has keys of its own"}},
		{"a bad value in the file", "data: x\nretention: 30 days\n", nil, nil,
			[]string{`FILE:2:1: retention: "30 days" cannot be used: give a duration from 1d to 3650d`}},
		{"a bad value in the environment", "", []string{"CAROM_CACHE_MB=0"}, nil,
			[]string{`cache_mb: "0" (from CAROM_CACHE_MB) cannot be used: give a whole number from 1 to 65536`}},
		{"several faults at once", "log_level: loud\n", []string{"CAROM_LISTEN=8080", "CAROM_BASE_URL=ads.example"}, nil,
			[]string{`log_level: "loud" cannot be used: give one of debug, info, warn, error`, `listen: "8080" (from CAROM_LISTEN)`, "base_url:"}},
		{"an empty value", "", []string{"CAROM_DATA="}, nil, []string{`data: "" (from CAROM_DATA) cannot be used: give one`}},
		{"bits behind a length", "trusted_proxies: 10.0.0.1/8\n", nil, nil, []string{"10.0.0.1/8 has bits behind its length: give 10.0.0.0/8"}},
		{"a name for a network", "trusted_proxies: [10.0.0.0/8, proxy]\n", nil, nil, []string{`"proxy" is no network`}},
		{"a page for an origin", "panel_origins: [https://panel.example, https://panel.example/setup]\n", nil, nil, []string{`"https://panel.example/setup" is no origin`}},
		{"an origin that would end the policy", "", []string{"CAROM_PANEL_ORIGINS=https://a.example;script-src"}, nil, []string{"is no origin"}},
		{"everyone trusted", "", []string{"CAROM_TRUSTED_PROXIES=::/0"}, nil, []string{"trusted_proxies: ::/0 trusts everyone"}},
		{"profiles in public", "pprof: true\n", nil, nil, []string{"FILE:1:1: pprof: it is served at the private address alone"}},
		{"one address twice", "", nil, []string{"--private-listen=127.0.0.1:8080"}, []string{"private_listen:", "choose another port"}},
		{"a certificate and a domain", "", nil, []string{"--domain=ads.example.com", "--tls-cert=c.pem", "--tls-key=k.pem"},
			[]string{"domain: certificates are obtained for it", "remove either"}},
		{"a certificate without its key", "tls_cert: c.pem\n", nil, nil, []string{"FILE:1:1: tls_cert: certificate and key belong together"}},
		{"plain HTTP beside plain HTTP", "", nil, []string{"--http-listen=:80"}, []string{"http_listen: without HTTPS"}},
		{"one port for both", "", nil, []string{"--domain=a.example", "--listen=:8443", "--http-listen=:8443"}, []string{"http_listen:", "choose another port"}},
		{"a wildcard", "domain: '*.example.com'\n", nil, nil, []string{`"*.example.com" is no domain: give such as ads.example.com`}},
		{"a URL for a domain", "", []string{"CAROM_DOMAIN=https://ads.example.com"}, nil, []string{"without https://"}},
		{"a CA without HTTPS", "", []string{"CAROM_ACME_CA=http://ca.example/dir"}, nil, []string{"acme_ca:", "give the URL of a directory"}},
		{"no e-mail address", "", []string{"CAROM_ACME_EMAIL=ops"}, nil, []string{"acme_email:", "ops@example.com"}},
		{"a file that names a file", "settings: other.yaml\n", nil, nil, []string{"FILE:1:1: settings: the settings file cannot name another one"}},
		{"not YAML", "listen: [\n", nil, nil, []string{"FILE:1:9: settings: this is not YAML"}},
		{"a key twice", "cache_mb: 1\ncache_mb: 2\n", nil, nil, []string{"FILE:2:1: settings: this is not YAML", "already defined"}},
		{"a list of settings", "- listen\n", nil, nil, []string{"there are no keys in it"}},
		{"two documents", "cache_mb: 1\n---\ncache_mb: 2\n", nil, nil, []string{"a second document begins in it"}},
		{"aliases", "data: &a x\nconfig: *a\n", nil, nil, []string{"aliases are not used in it"}},
		{"a file too large", strings.Repeat("#", maxFileBytes+1), nil, nil, []string{"shorten it to 16384"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path, vars := settingsFile(t, tt.file), tt.env
			if tt.file != "" {
				vars = append(vars, "CAROM_SETTINGS="+path)
			}
			_, err := Load(command(t, tt.args...), environ(vars...))
			if err == nil {
				t.Fatalf("Load returned no error, want %q", tt.want)
			}
			for _, want := range tt.want {
				if want := strings.ReplaceAll(want, "FILE", path); !strings.Contains(err.Error(), want) {
					t.Errorf("Load returned %q, want %q in it", err, want)
				}
			}
			if !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("errors.Is(%v, carom.ErrInvalid) is false", err)
			}
		})
	}
}

func TestLoadOfAnAbsentFile(t *testing.T) {
	_, err := Load(nil, environ("CAROM_SETTINGS="+filepath.Join(t.TempDir(), "none.yaml")))
	if err == nil || !strings.Contains(err.Error(), "settings: the settings file cannot be read") {
		t.Errorf("Load returned %v, want an error that says so", err)
	}
}

func TestLoadOfAnEmptyFile(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n"} {
		if _, err := Load(nil, environ("CAROM_SETTINGS="+settingsFile(t, text))); err != nil {
			t.Errorf("Load with the settings file %q returned %v", text, err)
		}
	}
}

func TestFlagsRefuseBadValues(t *testing.T) {
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	Flags(fs)
	err := fs.Parse([]string{"--retention=soon"})
	if err == nil || !strings.Contains(err.Error(), "give a duration from 1d to 3650d") {
		t.Errorf("Parse returned %v, want the fix in it", err)
	}
	if usage := fs.FlagUsages(); !strings.Contains(usage, "--max-queue number") || !strings.Contains(usage, "CAROM_MAX_QUEUE") {
		t.Errorf("the help lacks the kind or the variable of max_queue:\n%s", usage)
	}
}

func TestShow(t *testing.T) {
	c, err := Load(command(t, "--cache-mb=8"), environ("CAROM_LOG_FORMAT=json"))
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[string][]string)
	for line := range strings.Lines(c.Show()) {
		words := strings.Fields(line)
		lines[words[0]] = words[1:]
	}
	for key, want := range map[string][]string{
		"cache_mb": {"8", "flag"}, "log_format": {"json", "env"}, "retention": {"30d", "default"}, "config": {`""`, "default"},
	} {
		if diff := cmp.Diff(want, lines[key]); diff != "" {
			t.Errorf("Show, %s (-want +got):\n%s", key, diff)
		}
	}
	if len(lines) != len(settings()) {
		t.Errorf("Show has %d lines, want one for each of %d settings", len(lines), len(settings()))
	}
}

// secretTable is a table with a secret, which goes where the data folder goes.
func secretTable() []setting {
	row := settings()[1]
	row.key, row.init, row.secret = "token", "", true
	row.bind = func(c *Config) pflag.Value {
		return &textValue{to: &c.Data, check: func(s string) error {
			if s == "bad" {
				return errors.New("give another")
			}
			return nil
		}}
	}
	return []setting{settings()[0], row}
}

func TestSecretsComeFromFilesAndAreMasked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(secretTable(), nil, environ("CAROM_TOKEN_FILE="+path))
	if err != nil || c.Data != "hunter2" || c.Origins["token"] != FromEnv {
		t.Fatalf("load returned %q from %q and %v, want the content of the file", c.Data, c.Origins["token"], err)
	}
	if shown := show(secretTable(), &c); strings.Contains(shown, "hunter2") || !strings.Contains(shown, secretText) {
		t.Errorf("Show printed %q, want the secret masked", shown)
	}
	for name, vars := range map[string][]string{
		"both forms":    {"CAROM_TOKEN=x", "CAROM_TOKEN_FILE=" + path},
		"no such file":  {"CAROM_TOKEN_FILE=" + path + "x"},
		"an empty file": {"CAROM_TOKEN_FILE=" + os.DevNull},
		"a bad value":   {"CAROM_TOKEN=bad"},
	} {
		_, err := load(secretTable(), nil, environ(vars...))
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "bad") {
			t.Errorf("%s: load returned %v, want an error without the secret", name, err)
		}
	}
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags(secretTable(), fs)
	if fs.Lookup("token") != nil || fs.Lookup("token-file") == nil {
		t.Error("the secret has a flag, or its file has none")
	}
}

func TestSecretsKeys(t *testing.T) {
	newest, older := seal.NewKey(), seal.NewKey()
	path := filepath.Join(t.TempDir(), "secrets.key")
	if err := os.WriteFile(path, []byte("# since May\n"+newest+"\n"+older+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, vars := range map[string][]string{"file": {"CAROM_SECRETS_KEY_FILE=" + path}, "variable": {"CAROM_SECRETS_KEY=" + newest + "," + older}} {
		c, err := Load(nil, environ(vars...))
		if err != nil || c.SecretsKeys.Text() != newest+"\n"+older+"\n" {
			t.Errorf("%s: keys %v, %v", name, c.SecretsKeys, err)
		}
		if shown := c.Show(); strings.Contains(shown, newest) || strings.Contains(shown, older) {
			t.Errorf("%s: Show printed a key", name)
		}
	}
	if c, err := Load(nil, environ("CAROM_SECRETS_KEY=")); err != nil || c.SecretsKeys != nil {
		t.Errorf("without a key: %v, %v", c.SecretsKeys, err)
	}
	for _, text := range []string{"CHANGE", newest[1:], newest + " " + older[1:], "# nothing"} {
		_, err := Load(nil, environ("CAROM_SECRETS_KEY="+text))
		var fault *carom.FieldError
		if !errors.As(err, &fault) || fault.Field != "secrets_key" || !strings.Contains(err.Error(), "carom keys secret") || strings.Contains(err.Error(), text) {
			t.Errorf("secrets_key %q: %v, want an error that names the setting and the fix, and not the text", text, err)
		}
	}
}

func TestEverySettingIsUsable(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range settings() {
		c := defaults()
		value := s.bind(&c)
		if s.init != "" || s.key == "config" {
			if err := value.Set(s.init); err != nil {
				t.Errorf("the default %q of %s: %v", s.init, s.key, err)
			}
		}
		if err := value.Set(value.String()); err != nil {
			t.Errorf("%s writes %q, which it does not read: %v", s.key, value, err)
		}
		if seen[s.key] || s.help == "" || strings.HasSuffix(s.help, ".") || strings.ToLower(s.key) != s.key {
			t.Errorf("the row of %s is there twice, or lacks help in the right form", s.key)
		}
		seen[s.key] = true
	}
}

func TestDocumentIsInStep(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		if err := os.WriteFile(path, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Markdown(), strings.ReplaceAll(string(got), "\r\n", "\n")); diff != "" {
		t.Errorf("docs/config.md is out of step, run `go test ./internal/config -update` (-want +got):\n%s", diff)
	}
}
