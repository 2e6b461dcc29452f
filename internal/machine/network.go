package machine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const netLimit = 8 * time.Second // for a name server, and for a handshake

// dns judges whether the host of the public URL leads here.
func dns(ctx context.Context, o *Options) Finding {
	host, _ := o.host()
	if host == "" {
		return skip("there is no name to look up: set domain or base_url")
	}
	local, err := localAddresses()
	if err != nil {
		return skip("this machine's addresses are not told: " + err.Error())
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return judgeAddresses(host, []netip.Addr{addr}, local)
	}
	ctx, cancel := context.WithTimeout(ctx, netLimit)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return Finding{
			Result: Fail, Found: host + " cannot be resolved: " + dnsReason(err), Meaning: "networks cannot reach the server",
			Fix: "make a record (A, AAAA) for " + host + " with this server's public address, or correct base_url",
		}
	}
	return judgeAddresses(host, found, local)
}

func dnsReason(err error) string {
	if d := (*net.DNSError)(nil); errors.As(err, &d) {
		return d.Err
	}
	return err.Error()
}

// judgeAddresses compares where a name leads with the addresses of this machine.
func judgeAddresses(host string, found, local []netip.Addr) Finding {
	var here, elsewhere []string
	inside := false
	for _, a := range found {
		a = a.Unmap()
		inside = inside || isInside(a)
		if slices.Contains(local, a) {
			here = append(here, a.String())
		} else {
			elsewhere = append(elsewhere, a.String())
		}
	}
	public := slices.ContainsFunc(local, func(a netip.Addr) bool { return !isInside(a) && a.IsGlobalUnicast() })
	switch {
	case inside:
		return Finding{
			Result: Warn, Found: host + " is " + strings.Join(append(here, elsewhere...), ", "), Meaning: "the address is private: networks on the internet cannot reach it",
			Fix: "use a name with a public address, unless only servers of your own send",
		}
	case len(elsewhere) == 0:
		return ok(host + " is " + strings.Join(here, ", ") + ", this machine")
	case len(here) > 0:
		return Finding{
			Result: Warn, Found: host + " is " + strings.Join(here, ", ") + ", this machine, and also " + strings.Join(elsewhere, ", "),
			Meaning: "some networks connect to the other address: what they send there is lost, unless it leads here as well",
			Fix:     "remove the record (A, AAAA) that does not lead here",
		}
	case public:
		return Finding{
			Result: Warn, Found: host + " is " + strings.Join(elsewhere, ", ") + ", which is no address of this machine",
			Meaning: "right if a proxy or a load balancer is there; else networks send to somebody else", Fix: "correct the record (A, AAAA) of " + host,
		}
	}
	return ok(host + " is " + strings.Join(elsewhere, ", ") + "; this machine has private addresses alone, so whether that leads here cannot be known from inside")
}

// isInside says whether an address cannot be reached from the internet.
func isInside(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)
}

// certificate judges what networks are shown.
func certificate(ctx context.Context, o *Options) Finding {
	host, port := o.host()
	switch {
	case o.TLSCert != "":
		pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return Finding{
				Result: Fail, Found: "tls_cert and tls_key cannot be used: " + err.Error(), Meaning: "the server cannot speak HTTPS",
				Fix: "put the certificate with its chain, and the key that belongs to it, into the two files",
			}
		}
		var chain []*x509.Certificate
		for _, der := range pair.Certificate {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
		return judgeChain(chain, host, o)
	case host == "" || strings.HasPrefix(o.BaseURL, "http://"):
		return skip("no HTTPS is configured: set domain, tls_cert, or base_url to the https URL of your proxy")
	}
	ctx, cancel := context.WithTimeout(ctx, netLimit)
	defer cancel()
	// Whatever is shown is looked at and judged below; nothing is sent over the connection.
	d := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return Finding{
			Result: Warn, Found: "nothing speaks HTTPS at " + net.JoinHostPort(host, port) + ": " + err.Error(),
			Meaning: "networks cannot reach the server now", Fix: "start the server, or let its port through; with domain set, ports 80 and 443 have to be reachable",
		}
	}
	defer conn.Close()
	return judgeChain(conn.(*tls.Conn).ConnectionState().PeerCertificates, host, o)
}

// certificateWarn is how long before its end a certificate is worth a word.
const certificateWarn = 14 * 24 * time.Hour

// judgeChain judges a certificate with its chain as a network does. Without a host its names are not compared.
func judgeChain(chain []*x509.Certificate, host string, o *Options) Finding {
	if len(chain) == 0 {
		return Finding{Result: Fail, Found: "there is no certificate", Meaning: "networks do not send", Fix: "put a certificate with its chain into tls_cert"}
	}
	leaf, now := chain[0], o.Now()
	f := ok(fmt.Sprintf("for %s, by %s, until %s", strings.Join(leaf.DNSNames, ", "), issuerOf(leaf), stamp(leaf.NotAfter)))
	above := x509.NewCertPool()
	for _, c := range chain[1:] {
		above.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Intermediates: above, Roots: o.roots, CurrentTime: now})
	var name x509.HostnameError
	switch {
	case now.After(leaf.NotAfter):
		f.Result, f.Meaning, f.Fix = Fail, "it has expired: networks do not send", "renew it; with domain set, the server's log says why it was not renewed"
	case errors.As(err, &name):
		f.Result, f.Meaning, f.Fix = Fail, "it is not for "+host+": networks do not send", "get one for "+host+", or correct base_url"
	case err != nil && len(chain) == 1 && leaf.Issuer.String() != leaf.Subject.String():
		f.Result, f.Meaning = Fail, "the certificates between it and its root are missing: browsers may guess them, networks do not"
		f.Fix = "put the whole chain into tls_cert or your proxy (fullchain.pem, not cert.pem)"
	case err != nil:
		f.Result, f.Meaning, f.Fix = Fail, "networks do not trust it: "+err.Error(), "get one from a public issuer: set domain, or use your proxy's"
	case leaf.NotAfter.Sub(now) < certificateWarn:
		f.Result, f.Meaning, f.Fix = Warn, "it expires in less than two weeks", "see that it is renewed; with domain set, the server does so with a third of its time left"
	}
	return f
}

func issuerOf(c *x509.Certificate) string {
	if len(c.Issuer.Organization) > 0 {
		return c.Issuer.Organization[0]
	}
	return c.Issuer.CommonName
}

// egress says from which addresses postbacks are sent. A UDP socket is given its source address without anything being sent.
func egress(ctx context.Context, _ *Options) Finding {
	var sources []string
	inside := false
	for _, target := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} { // RFC 5737 and 3849: addresses of documents, routed like any
		conn, err := new(net.Dialer).DialContext(ctx, "udp", target)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil && !a.Addr().IsLoopback() {
			sources = append(sources, a.Addr().WithZone("").String())
			inside = inside || isInside(a.Addr().Unmap())
		}
		_ = conn.Close() // nothing was sent
	}
	return judgeEgress(sources, inside)
}

func judgeEgress(sources []string, inside bool) Finding {
	switch {
	case len(sources) == 0:
		return Finding{
			Result: Fail, Found: "there is no way out of this machine", Meaning: "nothing can be sent to endpoints elsewhere",
			Fix: "give the machine a default route",
		}
	case inside:
		return ok("sent from " + strings.Join(sources, " and ") + "; a gateway translates private addresses, and what receivers see cannot be known without asking one")
	}
	return ok("sent from " + strings.Join(sources, " and ") + ": what receivers may put on their lists, unless a gateway translates")
}
