package egress

import (
	"fmt"
	"net/netip"
	"strings"

	"code.dny.dev/ssrf"
)

// Reason is a closed set of words for why an address or a host is not dialled. The zero value means that it may be.
type Reason string

// The reasons that a Policy with AllowPrivate lifts.
const (
	ReasonLoopback Reason = "loopback"
	ReasonPrivate  Reason = "private network"
	ReasonULA      Reason = "unique local"
	ReasonShared   Reason = "carrier-grade NAT"
)

// The reasons that nothing lifts.
const (
	ReasonMetadata      Reason = "cloud metadata"
	ReasonLinkLocal     Reason = "link-local"
	ReasonSiteLocal     Reason = "site-local"
	ReasonMulticast     Reason = "multicast"
	ReasonUnspecified   Reason = "unspecified"
	ReasonDocumentation Reason = "documentation"
	ReasonBenchmark     Reason = "benchmarking"
	ReasonMapped        Reason = "IPv4-mapped"
	ReasonCompatible    Reason = "IPv4-compatible"
	ReasonNAT64         Reason = "NAT64"
	Reason6to4          Reason = "6to4"
	ReasonTeredo        Reason = "Teredo"
	ReasonISATAP        Reason = "ISATAP"
	ReasonORCHID        Reason = "ORCHID"
	ReasonDiscard       Reason = "discard-only"
	ReasonSRv6          Reason = "segment routing"
	ReasonReserved      Reason = "reserved" // every other range that IANA lists as not for the public internet

	ReasonNumericHost Reason = "numeric host" // 127.1, 0177.0.0.1, 0x7f000001: an address in a spelling of its own
	ReasonBadHost     Reason = "bad host name"
)

// Private reports whether r is lifted by a Policy with AllowPrivate.
func (r Reason) Private() bool {
	switch r {
	case ReasonLoopback, ReasonPrivate, ReasonULA, ReasonShared:
		return true
	}
	return false
}

// ranges gives prefixes their reasons; the first that holds an address counts. Ranges that are missing here fall to the
// IANA registries as code.dny.dev/ssrf carries them, which refuse all IPv6 outside 2000::/3 as well.
var ranges = []struct {
	prefix netip.Prefix
	reason Reason
}{
	// The metadata services of cloud providers come first: several lie in ranges that AllowPrivate opens, and Azure's is
	// a public address. They hand credentials to whoever asks from inside the machine.
	{netip.MustParsePrefix("169.254.169.254/32"), ReasonMetadata}, // AWS, Google Cloud, Azure and most others
	{netip.MustParsePrefix("169.254.170.0/24"), ReasonMetadata},   // AWS containers: credentials of a task or a pod
	{netip.MustParsePrefix("100.100.100.200/32"), ReasonMetadata}, // Alibaba Cloud
	{netip.MustParsePrefix("168.63.129.16/32"), ReasonMetadata},   // Azure
	{netip.MustParsePrefix("192.0.0.192/32"), ReasonMetadata},     // Oracle Cloud
	{netip.MustParsePrefix("fd00:ec2::/32"), ReasonMetadata},      // AWS: fd00:ec2::254, and ::23 for pods
	{netip.MustParsePrefix("fd20:ce::/32"), ReasonMetadata},       // Google Cloud: fd20:ce::254
	{netip.MustParsePrefix("fd00:42::42/128"), ReasonMetadata},    // Scaleway

	{netip.MustParsePrefix("127.0.0.0/8"), ReasonLoopback},
	{netip.MustParsePrefix("10.0.0.0/8"), ReasonPrivate},
	{netip.MustParsePrefix("172.16.0.0/12"), ReasonPrivate},
	{netip.MustParsePrefix("192.168.0.0/16"), ReasonPrivate},
	{netip.MustParsePrefix("100.64.0.0/10"), ReasonShared},
	{netip.MustParsePrefix("169.254.0.0/16"), ReasonLinkLocal},
	{netip.MustParsePrefix("0.0.0.0/8"), ReasonUnspecified}, // Linux takes 0.0.0.0 for the machine itself
	{netip.MustParsePrefix("224.0.0.0/4"), ReasonMulticast},
	{netip.MustParsePrefix("192.0.2.0/24"), ReasonDocumentation},
	{netip.MustParsePrefix("198.51.100.0/24"), ReasonDocumentation},
	{netip.MustParsePrefix("203.0.113.0/24"), ReasonDocumentation},
	{netip.MustParsePrefix("198.18.0.0/15"), ReasonBenchmark},
	{netip.MustParsePrefix("192.88.99.0/24"), Reason6to4}, // the relay

	{netip.MustParsePrefix("::1/128"), ReasonLoopback},
	{netip.MustParsePrefix("::/128"), ReasonUnspecified},
	{netip.MustParsePrefix("::/96"), ReasonCompatible},
	{netip.MustParsePrefix("64:ff9b::/32"), ReasonNAT64}, // 64:ff9b::/96, 64:ff9b:1::/48, and what lies between
	{netip.MustParsePrefix("100::/64"), ReasonDiscard},
	{netip.MustParsePrefix("2001::/32"), ReasonTeredo},
	{netip.MustParsePrefix("2001:2::/48"), ReasonBenchmark},
	{netip.MustParsePrefix("2001:10::/28"), ReasonORCHID},
	{netip.MustParsePrefix("2001:20::/28"), ReasonORCHID},
	{netip.MustParsePrefix("2001:db8::/32"), ReasonDocumentation},
	{netip.MustParsePrefix("3fff::/20"), ReasonDocumentation},
	{netip.MustParsePrefix("2002::/16"), Reason6to4},
	{netip.MustParsePrefix("5f00::/16"), ReasonSRv6},
	{netip.MustParsePrefix("fc00::/7"), ReasonULA},
	{netip.MustParsePrefix("fe80::/10"), ReasonLinkLocal},
	{netip.MustParsePrefix("fec0::/10"), ReasonSiteLocal},
	{netip.MustParsePrefix("ff00::/8"), ReasonMulticast},
}

// registry holds the special-purpose registries of IANA. It is never written after it is made.
var registry = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())

// Classify says why addr is not an address of the public internet, or returns the empty Reason when it is one.
//
// Addresses that carry an IPv4 address inside (mapped, NAT64, 6to4, Teredo, ISATAP) are refused whatever they carry: a
// receiver on the public internet is reachable without them, and decoding them has been a source of holes.
func Classify(addr netip.Addr) Reason {
	switch {
	case !addr.IsValid():
		return ReasonReserved
	case addr.Zone() != "": // it names one of this machine's interfaces; Prefix.Contains would never match it
		return ReasonLinkLocal
	case addr.Is4In6():
		return ReasonMapped
	}
	for i := range ranges {
		if ranges[i].prefix.Contains(addr) {
			return ranges[i].reason
		}
	}
	if isISATAP(addr) {
		return ReasonISATAP
	}
	if registry.SafeAddr(addr) != nil {
		return ReasonReserved
	}
	return ""
}

// isISATAP looks for the interface identifiers ::5efe:a.b.c.d and ::200:5efe:a.b.c.d of RFC 5214, under any prefix.
func isISATAP(addr netip.Addr) bool {
	if !addr.Is6() {
		return false
	}
	b := addr.As16()
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// Policy says which addresses may be dialled. The zero value allows the public internet only.
type Policy struct {
	// AllowPrivate allows loopback, RFC 1918, unique local and carrier-grade NAT addresses too, for an operator's own
	// endpoints. Cloud metadata, link-local, multicast, unspecified and every other special range stay refused.
	AllowPrivate bool
}

// Check says why addr is refused under p, or returns the empty Reason when it may be dialled.
func (p Policy) Check(addr netip.Addr) Reason {
	reason := Classify(addr)
	if p.AllowPrivate && reason.Private() {
		return ""
	}
	return reason
}

// CheckHost refuses, without resolving anything, a host that can never be dialled under p: a forbidden address, an
// address in a numeric spelling, or what is no host name at all. It is for checking a URL when it is saved. The host is
// one without port; an IPv6 address has no brackets. A nil error does not mean that the name will resolve to allowed
// addresses: that is checked at every dial. The error is a *Refusal.
func (p Policy) CheckHost(host string) error {
	_, refusal := p.literal(host)
	if refusal != nil {
		return refusal
	}
	return nil
}

// literal parses host when it is an IP address; the zero Addr means that it is a name to resolve.
func (p Policy) literal(host string) (netip.Addr, *Refusal) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if reason := p.Check(addr); reason != "" {
			return netip.Addr{}, &Refusal{Addr: addr, Reason: reason}
		}
		return addr, nil
	}
	switch {
	case isNumericHost(host):
		return netip.Addr{}, &Refusal{Host: host, Reason: ReasonNumericHost}
	case !isHostName(host):
		return netip.Addr{}, &Refusal{Host: host, Reason: ReasonBadHost}
	}
	return netip.Addr{}, nil
}

// isNumericHost reports whether the last label of host is a decimal or hexadecimal number. No top-level domain is one,
// but some resolvers read such a host as an address: 127.1, 0177.0.0.1, 0x7f000001, 2130706433.
func isNumericHost(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// isHostName reports whether host has the form of a DNS name: labels of ASCII letters, digits, hyphens and underscores,
// with at most one dot at the end. International names are given in their xn-- form.
func isHostName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	label := 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0
}

// Refusal is the error for an address or a host that the policy does not allow. Nothing was sent.
type Refusal struct {
	Host   string     // the name that was asked for; empty when the address was given itself
	Addr   netip.Addr // the forbidden address; invalid when the host was refused for its spelling
	Reason Reason
}

// Error says, for operators, what is refused, why, and what to do.
func (r *Refusal) Error() string {
	switch r.Reason {
	case ReasonNumericHost:
		return fmt.Sprintf("%.100q is a number where a host name should be (numeric host): "+
			"write an IPv4 address as four decimal numbers, without leading zeros", r.Host)
	case ReasonBadHost:
		return fmt.Sprintf("%.100q is not a host name: use letters, digits, hyphens and dots, "+
			"and the xn-- form for international names", r.Host)
	}
	subject := r.Addr.String()
	if r.Host != "" {
		subject = r.Host + " (" + subject + ")"
	}
	if r.Reason.Private() {
		return fmt.Sprintf(`%s is a private address (%s); for an endpoint of your own, set "allow_private: true" on it`,
			subject, r.Reason)
	}
	return fmt.Sprintf("%s is not an address of the public internet (%s) and is never dialled: "+
		"give the public address of the receiver", subject, r.Reason)
}
