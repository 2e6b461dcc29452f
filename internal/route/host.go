package route

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// privateNames are host names that stand for the machine itself, or for a cloud's metadata server.
var privateNames = [...]string{"localhost", "localhost.localdomain", "metadata", "metadata.google.internal"}

// privatePrefixes are the addresses of the IANA special-purpose registries (RFC 6890 and its updates) that are not public.
// A name that resolves to one is refused later, when it is dialled; here only what is written in the URL is known.
var privatePrefixes = [...]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT, and some clouds' metadata
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, and most clouds' metadata
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments, and some clouds' metadata
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast
	netip.MustParsePrefix("::/8"),            // unspecified, loopback, IPv4 in IPv6
	netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 behind NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),  // the same, local use
	netip.MustParsePrefix("100::/64"),        // discarded
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // IPv4 in 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
	netip.MustParsePrefix("5f00::/16"),       // segment routing
	netip.MustParsePrefix("fc00::/7"),        // unique local
	netip.MustParsePrefix("fe80::/9"),        // link-local, site-local
	netip.MustParsePrefix("ff00::/8"),        // multicast
}

// checkAuthority says what is wrong with the host and port of a URL and how to fix it, or returns nothing.
func checkAuthority(authority string, allowPrivate bool) string {
	if strings.Contains(authority, "@") {
		return "credentials stand in it, where logs and proxies show them: send them in the header Authorization"
	}
	host, port, hasPort := authority, "", false
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port, hasPort = authority[:i], authority[i+1:], true
	}
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || digits(port) != len(port) {
			return fmt.Sprintf("the port %q is not a number from 1 to 65535: write it after the host, or leave out the colon", clip(port))
		}
	}
	switch {
	case host == "":
		return "the host is missing: write it after ://, such as https://example.com/postback"
	case host[0] == '[':
		return checkIPv6(host, allowPrivate)
	case strings.Contains(host, ":"):
		return "the host holds a colon: write an IPv6 address in brackets, such as [2606:4700::1111]"
	}
	if fault := checkName(host); fault != "" {
		return fault
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if endsInNumber(name) {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return fmt.Sprintf("the host %q is an address in an unusual spelling: write it as four decimal numbers "+
				"without leading zeros, such as 192.0.2.1", clip(host))
		}
		return checkPublic(addr, allowPrivate)
	}
	if allowPrivate {
		return ""
	}
	for _, private := range privateNames {
		if name == private || strings.HasSuffix(name, ".localhost") {
			return privateFault(host)
		}
	}
	return ""
}

func checkIPv6(host string, allowPrivate bool) string {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
		return "what stands in brackets is not an IPv6 address without a zone: write one such as [2606:4700::1111]"
	}
	return checkPublic(addr, allowPrivate)
}

func checkPublic(addr netip.Addr, allowPrivate bool) string {
	if allowPrivate {
		return ""
	}
	addr = addr.Unmap()
	for _, prefix := range privatePrefixes {
		if prefix.Contains(addr) {
			return privateFault(addr.String())
		}
	}
	return ""
}

func privateFault(host string) string {
	return fmt.Sprintf("%s is not a public address: if the endpoint is your own, add the line `allow_private: true` to it", clip(host))
}

// checkName checks the form of a host name: labels of letters, digits, - and _, joined by dots, as DNS can hold them.
func checkName(host string) string {
	if len(host) > 253 {
		return "the host is longer than 253 characters: shorten it"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 {
			return fmt.Sprintf("the host %q has a part that is empty or longer than 63 characters: check its dots", clip(host))
		}
		for _, c := range []byte(label) {
			switch {
			case c >= 0x80:
				return fmt.Sprintf("the host %q is not ASCII: write its xn-- form", clip(host))
			case !unreserved(c) || c == '~':
				return fmt.Sprintf("%q cannot stand in a host: check the URL up to the first / after ://", c)
			}
		}
	}
	return ""
}

// endsInNumber says whether a client would read the host as an IPv4 address (WHATWG URL, "ends in a number").
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return digits(last) == len(last)
}
