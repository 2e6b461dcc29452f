// Package machine examines the machine that carom runs on: its clock, disk, limits, names and certificates.
//
// It needs no server and asks nothing of the outside but what it is told to: the name server for the host of the public URL,
// that host for its certificate, and a time server if one is named. It changes nothing: the file with which it measures the
// disk is removed. What a system does not tell is skipped with the reason.
package machine

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Result is what one check came to.
type Result string

// The results.
const (
	OK   Result = "ok"
	Warn Result = "warn" // it works, and a person should know
	Fail Result = "fail" // carom cannot keep its promises like this
	Skip Result = "skip" // it could not be found out
)

// Finding is one check with what it found.
type Finding struct {
	Name    string `json:"name"`
	Result  Result `json:"result"`
	Found   string `json:"found"`             // what was measured, or why it could not be
	Meaning string `json:"meaning,omitempty"` // what it means for carom, unless all is well
	Fix     string `json:"fix,omitempty"`     // what to do about it
}

// Options say what to examine.
type Options struct {
	Data           string   // the data folder; it need not exist yet
	BaseURL        string   // where networks reach the server; empty: unknown
	Domains        []string // for which the server obtains certificates
	TLSCert        string   // file with a certificate of the operator's own; empty: none
	TLSKey         string
	MaxConnections int
	MaxInFlight    int
	Version        string
	NTP            string           // a time server to ask, "host" or "host:port"; empty: none is asked
	Now            func() time.Time // nil: time.Now

	// roots are whom certificates are checked against, syncs how often the disk is made to sync; tests set them.
	roots *x509.CertPool
	syncs int
}

// Check makes every check, one after the other, in at most about half a minute. It can be called again at any time.
func Check(ctx context.Context, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.syncs == 0 {
		o.syncs = syncs
	}
	var found []Finding
	for _, check := range []struct {
		name string
		look func(context.Context, *Options) Finding
	}{
		{"version", version},
		{"clock", clock},
		{"time server", timeServer},
		{"time zones", timeZones},
		{"file system", fileSystem},
		{"disk space", space},
		{"disk speed", speed},
		{"file limit", fileLimit},
		{"memory", memory},
		{"dns", dns},
		{"certificate", certificate},
		{"egress address", egress},
	} {
		f := check.look(ctx, &o)
		f.Name = check.name
		found = append(found, f)
	}
	return found
}

func ok(found string) Finding { return Finding{Result: OK, Found: found} }

func skip(why string) Finding { return Finding{Result: Skip, Found: why} }

// host is the name under which networks reach the server, with the port of HTTPS; empty when it is unknown.
func (o *Options) host() (host, port string) {
	if u, err := url.Parse(o.BaseURL); err == nil && u.Hostname() != "" {
		if port = u.Port(); port == "" {
			port = "443"
		}
		return u.Hostname(), port
	}
	if len(o.Domains) > 0 {
		return o.Domains[0], "443"
	}
	return "", ""
}

// folder is the data folder, or the nearest one above it that exists.
func (o *Options) folder() string {
	dir, err := filepath.Abs(o.Data)
	if err != nil {
		return o.Data
	}
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func version(_ context.Context, o *Options) Finding {
	return ok("carom " + o.Version + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH)
}

// timeZones needs the zones in which days of caps are counted.
func timeZones(context.Context, *Options) Finding {
	for _, name := range []string{"Europe/Berlin", "Asia/Kolkata", "America/Sao_Paulo"} {
		if _, err := time.LoadLocation(name); err != nil {
			return Finding{
				Result: Fail, Found: name + " is not known", Meaning: "apps with a time_zone cannot be used",
				Fix: "install the time zone data of your system (tzdata)",
			}
		}
	}
	return ok("known")
}

// localAddresses are the addresses of this machine's interfaces.
func localAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}
