package api

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Machine is what the status has to know of the machine.
type Machine struct {
	Disk      Severity // of how little room is left on the disk of the data folder: OK, Attention or LosingMoney; empty: unknown
	DiskFree  uint64   // bytes that the server may still use there
	DiskTotal uint64   // bytes of that disk
}

// Certificate is one that the server shows to networks.
type Certificate struct {
	Domain   string
	Renews   bool      // the server renews it by itself; else a person puts a new one into its file
	NotAfter time.Time // zero: there is none
	Err      string    // why the newest try to have another one failed; empty: it did not
	Since    time.Time // of the first of those tries in a row
}

// checkSpace looks at the room on the disk of the data folder, before commits fail.
func checkSpace(f *facts) []Item {
	m := f.Machine
	if m.Disk != Attention && m.Disk != LosingMoney || !f.Trouble.Since.IsZero() { // the trouble says it all
		return nil
	}
	return []Item{{
		Kind: KindDiskSpace, Severity: m.Disk, Subject: "server", Fault: Ours,
		What:    "the disk of the data folder has little room left; when it is full, every postback is answered with try later",
		HowMuch: fmt.Sprintf("%s of %s free", bytesText(m.DiskFree), bytesText(m.DiskTotal)),
		Next:    "free space on it (df -h) or enlarge it; to keep less, shorten `retention` in the settings and restart",
	}}
}

// bytesText writes a number of bytes for a person.
func bytesText(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// When a certificate that still serves is worth a look. One that renews itself does so while a third of its time is left, two
// days at the least, and says when it cannot.
const (
	certificateByHand = 14 * 24 * time.Hour
	certificateRenews = 36 * time.Hour
	certificateLosing = 24 * time.Hour
)

// checkCertificates looks at what networks are shown: they do not send to a server whose certificate has expired.
func checkCertificates(f *facts) []Item {
	var items []Item
	for _, c := range f.Certificates {
		it := Item{Kind: KindCertificate, Severity: Attention, Subject: "certificate " + c.Domain, Since: c.Since, Fault: Ours}
		it.Next = "carom check --machine tells what is wrong with the address or the certificate of " + c.Domain
		warn := certificateByHand
		if c.Renews {
			warn = certificateRenews
		}
		left := c.NotAfter.Sub(f.Now)
		switch {
		case c.NotAfter.IsZero() && c.Err == "":
			continue // it is being had
		case c.NotAfter.IsZero():
			it.Severity, it.What = LosingMoney, "there is no certificate, so networks cannot reach the server by HTTPS: "+c.Err
		case left <= 0:
			it.Severity, it.Since = LosingMoney, c.NotAfter.UTC()
			it.What = "the certificate has expired, so networks do not send"
		case c.Err != "":
			it.What = "the certificate cannot be renewed, and the old one goes on serving until it expires: " + c.Err
			if left < certificateLosing {
				it.Severity = LosingMoney
			}
		case left < warn:
			it.What = "the certificate expires soon"
			if left < certificateLosing {
				it.Severity = LosingMoney
			}
		default:
			continue
		}
		if !c.NotAfter.IsZero() {
			it.HowMuch = "valid until " + stamp(c.NotAfter)
		}
		items = append(items, it)
	}
	return items
}

// checkPlainHTTP notes a public URL without encryption: the secret in its path can be read on the way.
func checkPlainHTTP(f *facts) []Item {
	u, err := url.Parse(f.PublicURL)
	if err != nil || u.Scheme != "http" || privateHost(u.Hostname()) {
		return nil
	}
	return []Item{{
		Kind: KindPlainHTTP, Severity: Note, Subject: "server", Fault: Configuration,
		What: "the public URL is plain HTTP, so whoever is on the way reads the secrets in the sources' URLs",
		Next: "serve HTTPS (carom serve --help), or put a proxy in front and set `base_url` to its https URL; then: carom rotate APP/SOURCE",
	}}
}

// checkInClear notes a database that tells its secrets to whoever has a copy of it.
func checkInClear(f *facts) []Item {
	if !f.InClear {
		return nil
	}
	return []Item{{
		Kind: KindInClear, Severity: Note, Subject: "server", Fault: Configuration,
		What: "bot tokens, network secrets and signing secrets lie in the database as they are, so whoever has a copy of it has them",
		Next: "make a key (carom keys secret), and name it by `secrets_key_file` on every node",
	}}
}

// privateHost says whether a host is this machine or in a private network.
func privateHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	return strings.HasSuffix("."+host, ".localhost") || !strings.Contains(host, ".")
}

// Steps of the clock that are worth telling. Small ones are how time servers keep a clock right.
const (
	stepBack  = 5 * time.Second
	stepAhead = time.Minute
)

// checkClock tells when the clock was set while the server ran. A clock that is set back has made deadlines and windows that
// lie ahead; one that jumped ahead, or a machine that slept, may have let deliveries expire.
func checkClock(f *facts) []Item {
	it := Item{Kind: KindClock, Severity: Attention, Subject: "server", Fault: Ours, HowMuch: "by " + f.ClockStep.Abs().Truncate(time.Second).String()}
	it.Next = "let a time server keep the clock (carom check --machine); when it is right, restart carom to end this notice"
	switch {
	case f.ClockStep < -stepBack:
		it.What = "the clock was set back while the server ran: what came before is dated in the future"
	case f.ClockStep > stepAhead:
		it.Severity, it.What = Note, "the clock was set ahead while the server ran, or the machine slept"
	default:
		return nil
	}
	return []Item{it}
}

// checkChannels tells of ways to a person that do not work, which would go unnoticed until the night they are needed.
func checkChannels(f *facts) []Item {
	var items []Item
	for _, c := range f.Channels {
		if c.FailingSince.IsZero() {
			continue
		}
		items = append(items, Item{
			Kind: KindAlertChannel, Severity: Attention, Subject: "alerts by " + c.Name, Since: c.FailingSince.UTC(), Fault: Configuration,
			What: "alerts cannot be sent: " + c.Reason, HowMuch: plural(c.Waiting, "alert") + " waiting",
			Next: "correct the settings of alerts by " + c.Name + ", restart, and try: carom alerts test",
		})
	}
	return items
}
