package config

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// setting is one row of the table.
type setting struct {
	key     string // in the settings file; names of flag and variable follow from it
	init    string // the default, as text
	help    string // a sentence without its full stop
	secret  bool   // it is never printed and has no flag, see flagged; KEY_file names a file that holds it
	flagged bool   // a secret with a flag all the same, since what it names need not hold a password
	noFile  bool   // it cannot stand in the settings file
	bind    func(*Config) pflag.Value
}

// settings is the table: all that is known about each setting. Its order is that of the documents.
func settings() []setting {
	const day = 24 * time.Hour
	return []setting{
		{key: "settings", noFile: true, help: "settings file to read (YAML, with the keys of this list)",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Settings} }},
		{key: "data", init: "./carom-data", help: "folder that holds all data; made when it is not there",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Data, check: checkPresent} }},
		{key: "database", secret: true, flagged: true, help: "URL of a PostgreSQL database, postgres://user:password@host:5432/name, in place of the one in the data folder: several nodes may share it. A password belongs into the environment, `database_file` or PGPASSFILE",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Database} }},
		{key: "node_name", help: "name of this node among those that share a database; empty: the machine's",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.NodeName} }},
		{key: "deployment", help: "name of what shares the database, which refuses nodes of another; empty: the host of `base_url`",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Deployment} }},
		{key: "secrets_key", secret: true, help: "key that secrets in the database are sealed by, as `carom keys secret` makes it; several are separated by commas, blanks or lines, the newest first: it seals, the others only open. Better: `secrets_key_file`. Without it a data folder has a key of its own in its file secrets.key, and PostgreSQL holds secrets as they are",
			bind: func(c *Config) pflag.Value { return &keysValue{&c.SecretsKeys} }},
		{key: "config", help: "objects file to follow (carom.yaml), read again when it changes; without it, objects come from `carom apply`",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Objects} }},

		{key: "profiles", help: "folder with profiles of your own: NAME.yaml describes the network NAME, see docs/networks; read at the start",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Profiles} }},

		{key: "listen", init: "127.0.0.1:8080", help: "address of the public door; use :8080 to be reached from other machines",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Listen, kind: "address", check: checkAddress} }},
		{key: "private_listen", help: "address of everything but the networks' door and the browser's calls (API, dashboard, metrics); empty serves it at `listen`",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.PrivateListen, kind: "address", check: orEmpty(checkAddress)}
			}},
		{key: "base_url", help: "public URL of this server, used in the URLs to paste at networks, such as https://ads.example.com",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.BaseURL, kind: "url", check: orEmpty(checkBaseURL), tidy: trimSlashes}
			}},
		{key: "domain", help: "names of this server, separated by commas, for which certificates are obtained and renewed: HTTPS. `listen` is :443 then, `http_listen` :80",
			bind: func(c *Config) pflag.Value { return &domainsValue{&c.Domains} }},
		{key: "acme_email", help: "e-mail address that the issuer of certificates may write to; empty: none",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.ACMEEmail, check: orEmpty(checkEmail)} }},
		{key: "acme_ca", init: "https://acme-v02.api.letsencrypt.org/directory", help: "directory of the ACME server that issues certificates; its terms are agreed to",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.ACMECA, kind: "url", check: checkHTTPS} }},
		{key: "acme_root", help: "PEM file with the certificate by which the ACME server's own HTTPS is checked; empty: the system's",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.ACMERoot} }},
		{key: "acme_interval", init: "10m", help: "how often it is looked whether a certificate has to be renewed, which is when a third of its time is left",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.ACMEInterval, time.Second, day} }},
		{key: "tls_cert", help: "PEM file with a certificate and its chain, for HTTPS without `domain`; read again when it changes",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.TLSCert} }},
		{key: "tls_key", help: "PEM file with the key of `tls_cert`",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.TLSKey} }},
		{key: "http_listen", help: "address of plain HTTP beside HTTPS: serves postbacks as they are, sends people to HTTPS; :80 with `domain`",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.HTTPListen, kind: "address", check: orEmpty(checkAddress)}
			}},
		{key: "takeover", init: "false", help: "take the sockets over from the server that runs on the same data folder, which then ends; without one, start as usual",
			bind: func(c *Config) pflag.Value { return &boolValue{&c.Takeover} }},
		{key: "egress_addresses", help: "networks or addresses that this server sends from, separated by commas, as /.well-known/carom.json tells receivers",
			bind: func(c *Config) pflag.Value { return &prefixesValue{&c.EgressAddresses} }},
		{key: "panel_origins", help: "origins of pages, separated by commas, that may show /setup in a frame: your own panel",
			bind: func(c *Config) pflag.Value { return &originsValue{&c.PanelOrigins} }},
		{key: "trusted_proxies", help: "networks or addresses of proxies whose X-Forwarded-For is believed, separated by commas",
			bind: func(c *Config) pflag.Value { return &prefixesValue{&c.TrustedProxies} }},

		{key: "log_level", init: "info", help: "least important lines to log: debug, info, warn or error",
			bind: func(c *Config) pflag.Value { return &levelValue{&c.LogLevel} }},
		{key: "log_format", init: "text", help: "form of log lines: text or json",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.LogFormat, kind: "word", check: oneOf("text", "json")}
			}},
		{key: "metrics", init: "true", help: "serve /metrics for Prometheus",
			bind: func(c *Config) pflag.Value { return &boolValue{&c.Metrics} }},
		{key: "pprof", init: "false", help: "serve /debug/pprof, at the private address alone",
			bind: func(c *Config) pflag.Value { return &boolValue{&c.Pprof} }},

		{key: "alert_email_to", help: "mail addresses that get alerts, separated by commas",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.EmailTo, check: orEmpty(checkMails)} }},
		{key: "alert_email_from", help: "mail address that alerts are sent from",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.EmailFrom, check: orEmpty(checkMail)} }},
		{key: "smtp", help: "mail server that alerts are handed to, such as smtp.example.com:587; port 465 is encrypted from the start, others by STARTTLS",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.Alerts.SMTP, kind: "address", check: orEmpty(checkHostPort)}
			}},
		{key: "smtp_user", help: "account at the mail server; with one, the connection has to be encrypted",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.SMTPUser} }},
		{key: "smtp_password", secret: true, help: "password of the account at the mail server",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.SMTPPassword} }},
		{key: "alert_telegram_token", secret: true, help: "token of the Telegram bot that sends alerts",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.TelegramToken} }},
		{key: "alert_telegram_chat", help: "Telegram chat that gets alerts: its number, or @name of a channel",
			bind: func(c *Config) pflag.Value { return &textValue{to: &c.Alerts.TelegramChat} }},
		{key: "alert_telegram_api", init: "https://api.telegram.org", help: "base URL of Telegram's Bot API, for a Bot API server of your own",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.Alerts.TelegramAPI, kind: "url", check: checkBaseURL, tidy: trimSlashes}
			}},
		{key: "alert_slack_url", secret: true, help: "Slack-compatible URL that alerts are posted to",
			bind: func(c *Config) pflag.Value {
				return &textValue{to: &c.Alerts.SlackURL, kind: "url", check: orEmpty(checkSecretURL)}
			}},

		{key: "max_connections", init: "10000", help: "inbound connections at the same time; for one more, the one that has waited longest for a request is closed",
			bind: func(c *Config) pflag.Value { return &intValue{&c.MaxConnections, 10, 1_000_000} }},
		{key: "max_connections_per_address", init: "0", help: "of them, those of one address, or of one /64 of IPv6; 0 is an eighth of `max_connections`",
			bind: func(c *Config) pflag.Value { return &intValue{&c.MaxConnectionsPerAddress, 0, 1_000_000} }},
		{key: "unverified_per_address", init: "50", help: "requests a second from one address that prove nothing, four times as many at once; more are told to try later and cost nothing. 0: no limit",
			bind: func(c *Config) pflag.Value { return &intValue{&c.UnverifiedPerAddress, 0, 1_000_000} }},
		{key: "api_rate", init: "50", help: "requests a second to /v1 of one caller: a key, a link, a member, or an address that proves nothing; more are answered 429. Not for reported events, views and the local socket. 0: no limit",
			bind: func(c *Config) pflag.Value { return &intValue{&c.APIRate, 0, 1_000_000} }},
		{key: "api_burst", init: "200", help: "of them, those that may come at once",
			bind: func(c *Config) pflag.Value { return &intValue{&c.APIBurst, 1, 1_000_000} }},
		{key: "exempt_addresses", init: "127.0.0.0/8,::1/128", help: "networks or addresses, separated by commas, to which limits per address do not apply; `trusted_proxies` are exempt anyway",
			bind: func(c *Config) pflag.Value { return &prefixesValue{&c.ExemptAddresses} }},
		{key: "read_header_timeout", init: "5s", help: "time that a client has to send the head of a request",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.ReadHeaderTimeout, time.Second, 5 * time.Minute} }},
		{key: "idle_timeout", init: "120s", help: "time that an unused connection stays open",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.IdleTimeout, time.Second, time.Hour} }},
		{key: "shutdown_grace", init: "15s", help: "time that attempts in hand get to end when the server stops",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.ShutdownGrace, 0, 10 * time.Minute} }},

		{key: "max_queue", init: "16384", help: "postbacks that may wait for a commit; more are told to try later",
			bind: func(c *Config) pflag.Value { return &intValue{&c.MaxQueue, 64, 1 << 20} }},
		{key: "max_in_flight", init: "4096", help: "attempts at the same time, over all endpoints",
			bind: func(c *Config) pflag.Value { return &intValue{&c.MaxInFlight, 1, 1 << 16} }},

		{key: "retention", init: "30d", help: "how long events, deliveries and refused postbacks are kept; whatever it says, duplicates are known for their source's window",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.Retention, day, 3650 * day} }},
		{key: "unverified_retention", init: "7d", help: "how long the sample of unverified postbacks is kept",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.UnverifiedRetention, time.Hour, 3650 * day} }},
		{key: "audit_retention", init: "400d", help: "how long the audit log is kept: who changed what, and who was refused",
			bind: func(c *Config) pflag.Value { return &durationValue{&c.AuditRetention, day, 3650 * day} }},
		{key: "bucket_events", init: "1000000", help: "events after which a time bucket is closed, if a day does not close it first",
			bind: func(c *Config) pflag.Value { return &intValue{&c.BucketEvents, 1000, 4_000_000} }}, // a search key has room for 2^22 a bucket
		{key: "cache_mb", init: "16", help: "page cache of SQLite in MiB",
			bind: func(c *Config) pflag.Value { return &intValue{&c.CacheMB, 1, 1 << 16} }},
	}
}

// flag is the setting's flag without its dashes: "max-queue".
func (s setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }

// envPrefix begins the environment variable of every setting.
const envPrefix = "CAROM_"

// env is the setting's environment variable: "CAROM_MAX_QUEUE".
func (s setting) env() string { return envPrefix + strings.ToUpper(s.key) }

// fileSuffix makes the key of a file from the key of the secret that it holds.
const fileSuffix = "_file"

// keys returns the table with a row for the file of each secret. The added rows have no place in Config.
func keys(table []setting) []setting {
	var out []setting
	for _, s := range table {
		out = append(out, s)
		if s.secret {
			out = append(out, setting{
				key: s.key + fileSuffix, help: "file that holds " + s.key,
				bind: func(*Config) pflag.Value { return &textValue{to: new(string)} },
			})
		}
	}
	return out
}

// Flags defines a flag for every setting on fs, but for secrets. [Load] reads those that were given.
func Flags(fs *pflag.FlagSet) { flags(settings(), fs) }

func flags(table []setting, fs *pflag.FlagSet) {
	for _, s := range keys(table) {
		if s.secret && !s.flagged {
			continue // other users of the machine can read command lines
		}
		value := s.bind(&Config{})
		_ = value.Set(s.init)                        // a test sets every default
		help := strings.ReplaceAll(s.help, "`", "'") // pflag takes a word in backquotes for the name of the value
		f := fs.VarPF(value, s.flag(), "", help+" ("+s.env()+")")
		if value.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}
