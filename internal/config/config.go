// Package config holds the settings of the process: where its data lies, where it listens, what bounds it.
//
// One table, in settings.go, is all there is to say about a setting: its key in the settings file, and with that its
// environment variable and its flag, its default, its check, and its help. [Flags] defines the flags, [Load] reads every place
// and checks the result, [Config.Show] prints it with the origin of each value, [Markdown] writes the page docs/config.md.
// What an operator configures beyond the process (apps, sources, endpoints) is in internal/objects.
//
// A flag wins over the environment, the environment over the settings file, the file over the default. Absent settings are
// safe. No secret is printed. The package keeps no state.
package config

import (
	"cmp"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/seal"
)

// Config is the result: every setting with its value, checked.
type Config struct {
	Data       string // folder that holds all data
	Database   string // URL of a PostgreSQL database; empty: SQLite in the data folder
	NodeName   string // of this node of several
	Deployment string // that the database belongs to; empty: the host of BaseURL

	SecretsKeys *seal.Ring // that seal stored secrets, the newest first; nil: a data folder has its own, and a database has none

	Objects  string // path of the objects file that is followed; empty: objects come from `carom apply`
	Settings string // path of the settings file; empty: none
	Profiles string // folder with profiles of the operator's own; empty: none

	Listen         string // address of the public door
	PrivateListen  string // address of everything that is not for networks and browsers; empty: Listen serves it too
	BaseURL        string // public URL, without a slash at its end; empty: unknown
	TrustedProxies []netip.Prefix

	EgressAddresses []netip.Prefix // that this server sends from, for receivers to know
	PanelOrigins    []string       // of pages that may show the set-up page in a frame

	Domains      []string      // certificates are obtained for them; empty: none are
	ACMEEmail    string        // of the account; empty: none
	ACMECA       string        // URL of the directory
	ACMERoot     string        // path of the certificate that the CA's HTTPS is checked against; empty: the system's
	ACMEInterval time.Duration // between looks whether to renew
	TLSCert      string        // path of a certificate of the operator's own; empty: none
	TLSKey       string        // path of its key
	HTTPListen   string        // address of plain HTTP beside HTTPS; empty: none
	Takeover     bool          // take over from the server that runs

	LogLevel  slog.Level
	LogFormat string // "text" or "json"
	Metrics   bool   // serve /metrics
	Pprof     bool   // serve /debug/pprof at the private address

	MaxConnections           int            // inbound, at the same time
	MaxConnectionsPerAddress int            // of them, of one address; 0: an eighth
	UnverifiedPerAddress     int            // requests a second that prove nothing; 0: no limit
	APIRate                  int            // requests a second to /v1 of one caller; 0: no limit
	APIBurst                 int            // of them, at once
	ExemptAddresses          []netip.Prefix // without limits per address
	ReadHeaderTimeout        time.Duration
	IdleTimeout              time.Duration
	ShutdownGrace            time.Duration

	MaxQueue    int // accepts that wait for a commit
	MaxInFlight int // attempts at the same time, over all endpoints

	Retention           time.Duration // of events
	UnverifiedRetention time.Duration // of the sample of unverified postbacks
	AuditRetention      time.Duration // of the audit log
	BucketEvents        int           // events after which a time bucket is closed
	CacheMB             int           // page cache of SQLite, in MiB

	Alerts Alerts // where people are told of what is wrong

	// Origins says for each key where its value comes from.
	Origins map[string]Origin
}

// Origin is where a value comes from.
type Origin string

// The origins, weakest first.
const (
	FromDefault Origin = "default"
	FromFile    Origin = "file"
	FromEnv     Origin = "env"
	FromFlag    Origin = "flag"
)

// secretText shows a secret that is set.
const secretText = "***"

// Shown is a setting as people may see it.
type Shown struct {
	Key    string
	Value  string // as the settings file would say it; a secret that is set is masked
	Origin Origin
	Help   string // a sentence without its full stop
}

// Shown lists every setting, in the order of the documents.
func (c Config) Shown() []Shown { return shown(settings(), &c) }

func shown(table []setting, c *Config) []Shown {
	list := make([]Shown, len(table))
	for i, s := range table {
		list[i] = Shown{Key: s.key, Value: s.bind(c).String(), Origin: cmp.Or(c.Origins[s.key], FromDefault), Help: s.help}
		if s.secret && list[i].Value != "" {
			list[i].Value = secretText
		}
	}
	return list
}

// Show prints every setting, one a line: key, value, origin. Secrets are masked.
func (c Config) Show() string { return show(settings(), &c) }

func show(table []setting, c *Config) string {
	rows := shown(table, c)
	var wide [2]int
	for i := range rows {
		rows[i].Value = cmp.Or(rows[i].Value, `""`)
		wide[0], wide[1] = max(wide[0], len(rows[i].Key)), max(wide[1], len(rows[i].Value))
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(row.Key + strings.Repeat(" ", wide[0]-len(row.Key)+2))
		b.WriteString(row.Value + strings.Repeat(" ", wide[1]-len(row.Value)+2))
		b.WriteString(string(row.Origin) + "\n")
	}
	return b.String()
}

// HTTPS says whether the public address speaks TLS.
func (c *Config) HTTPS() bool { return len(c.Domains) > 0 || c.TLSCert != "" }

// DeploymentName is what a database belongs to: the setting, or the host of the base URL; empty when neither is there.
func (c *Config) DeploymentName() string {
	if u, err := url.Parse(c.BaseURL); c.Deployment == "" && err == nil {
		return u.Host
	}
	return c.Deployment
}

// InClear says whether secrets are stored as they are: a data folder has a key of its own, a database has none.
func (c *Config) InClear() bool { return c.Database != "" && c.SecretsKeys == nil }

// CertificateFolder is where certificates that were obtained are kept.
func (c *Config) CertificateFolder() string { return filepath.Join(c.Data, "certificates") }

// derive fills in what follows from other settings and was not given.
func (c *Config) derive() {
	if len(c.Domains) == 0 {
		return
	}
	for key, follows := range map[string]struct {
		to    *string
		value string
	}{"listen": {&c.Listen, ":443"}, "http_listen": {&c.HTTPListen, ":80"}, "base_url": {&c.BaseURL, "https://" + c.Domains[0]}} {
		if c.Origins[key] == FromDefault {
			*follows.to = follows.value
		}
	}
}

// checkTLS finds what is wrong between the settings of HTTPS.
func (c *Config) checkTLS(add func(field, format string, args ...any)) {
	if len(c.Domains) > 0 && (c.TLSCert != "" || c.TLSKey != "") {
		add("domain", "certificates are obtained for it, so that tls_cert and tls_key have no use: remove either")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		add("tls_cert", "certificate and key belong together: set both tls_cert and tls_key, or neither")
	}
	if c.HTTPListen != "" && !c.HTTPS() {
		add("http_listen", "without HTTPS, plain HTTP is served at `listen`: remove it, or set domain, or tls_cert and tls_key")
	}
	if c.HTTPListen != "" && (c.HTTPListen == c.Listen || c.HTTPListen == c.PrivateListen) {
		add("http_listen", "%q is the address of another setting as well: choose another port, such as :80", c.HTTPListen)
	}
}

// check finds what is wrong between settings that are right in themselves.
func (c *Config) check() []error {
	var errs []error
	add := func(field, format string, args ...any) { errs = append(errs, carom.Invalid(field, format, args...)) }
	if c.PrivateListen != "" && c.PrivateListen == c.Listen {
		add("private_listen", "%q is the address of `listen` as well: choose another port, or leave it empty to serve everything at `listen`",
			c.PrivateListen)
	}
	c.checkTLS(add)
	if c.Pprof && c.PrivateListen == "" {
		add("pprof", "it is served at the private address alone: set private_listen, such as 127.0.0.1:9090, or turn pprof off")
	}
	if all := slices.IndexFunc(c.TrustedProxies, func(p netip.Prefix) bool { return p.Bits() == 0 }); all >= 0 {
		add("trusted_proxies", "%s trusts everyone, so that any client could choose its address: name the networks of your proxies",
			c.TrustedProxies[all])
	}
	c.Alerts.check(add)
	return errs
}
