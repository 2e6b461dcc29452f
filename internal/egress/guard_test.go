package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a resolver: a list of answers for each name, used up one by one; the last one stays.
type names map[string][][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	var addrs []netip.Addr
	for _, a := range answers[0] {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

// dials records the addresses that were dialled, and connects to nothing.
type dials struct{ addrs []string }

var errNoNetwork = errors.New("no network in this test")

func (d *dials) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.addrs = append(d.addrs, address)
	return nil, errNoNetwork
}

// forbidden are the hosts that nobody may dial without allow_private, by the reason.
var forbidden = []struct {
	host   string
	reason Reason
}{
	{"127.0.0.1", ReasonLoopback},
	{"127.255.255.254", ReasonLoopback},
	{"::1", ReasonLoopback},
	{"10.0.0.1", ReasonPrivate},
	{"172.16.0.1", ReasonPrivate},
	{"172.31.255.255", ReasonPrivate},
	{"192.168.1.1", ReasonPrivate},
	{"100.64.0.1", ReasonShared},
	{"100.127.255.255", ReasonShared},
	{"fc00::1", ReasonULA},
	{"fdff:ffff::1", ReasonULA},
	{"169.254.169.254", ReasonMetadata},
	{"169.254.170.2", ReasonMetadata},
	{"100.100.100.200", ReasonMetadata},
	{"168.63.129.16", ReasonMetadata},
	{"192.0.0.192", ReasonMetadata},
	{"fd00:ec2::254", ReasonMetadata},
	{"fd20:ce::254", ReasonMetadata},
	{"169.254.1.1", ReasonLinkLocal},
	{"fe80::1", ReasonLinkLocal},
	{"fe80::1%eth0", ReasonLinkLocal},
	{"::1%lo", ReasonLinkLocal},
	{"fec0::1", ReasonSiteLocal},
	{"224.0.0.1", ReasonMulticast},
	{"239.255.255.255", ReasonMulticast},
	{"ff02::1", ReasonMulticast},
	{"0.0.0.0", ReasonUnspecified},
	{"0.1.2.3", ReasonUnspecified},
	{"::", ReasonUnspecified},
	{"192.0.2.1", ReasonDocumentation},
	{"198.51.100.7", ReasonDocumentation},
	{"203.0.113.9", ReasonDocumentation},
	{"2001:db8::1", ReasonDocumentation},
	{"3fff::1", ReasonDocumentation},
	{"198.18.0.1", ReasonBenchmark},
	{"2001:2::1", ReasonBenchmark},
	{"192.0.0.8", ReasonReserved},
	{"240.0.0.1", ReasonReserved},
	{"255.255.255.255", ReasonReserved},
	{"192.175.48.1", ReasonReserved},
	{"2001:1ff::1", ReasonReserved},
	{"2620:4f:8000::1", ReasonReserved},
	{"4000::1", ReasonReserved},
	{"::ffff:127.0.0.1", ReasonMapped},
	{"::ffff:8.8.8.8", ReasonMapped},
	{"::ffff:0:127.0.0.1", ReasonReserved},
	{"::127.0.0.1", ReasonCompatible},
	{"64:ff9b::7f00:1", ReasonNAT64},
	{"64:ff9b::808:808", ReasonNAT64},
	{"64:ff9b:1::a00:1", ReasonNAT64},
	{"2002:7f00:1::", Reason6to4},
	{"2002:a00:1::1", Reason6to4},
	{"192.88.99.1", Reason6to4},
	{"2001::1", ReasonTeredo},
	{"2001:0:4136:e378:8000:63bf:3fff:fdd2", ReasonTeredo},
	{"2a00:1450::5efe:7f00:1", ReasonISATAP},
	{"2a00:1450::200:5efe:a00:1", ReasonISATAP},
	{"2001:10::1", ReasonORCHID},
	{"2001:2f::1", ReasonORCHID},
	{"100::1", ReasonDiscard},
	{"5f00::1", ReasonSRv6},

	{"2130706433", ReasonNumericHost},
	{"0177.0.0.1", ReasonNumericHost},
	{"017700000001", ReasonNumericHost},
	{"0x7f000001", ReasonNumericHost},
	{"0X7F.0.0.1", ReasonNumericHost},
	{"0x7f.0x0.0x0.0x1", ReasonNumericHost},
	{"0x", ReasonNumericHost},
	{"127.1", ReasonNumericHost},
	{"127.0.1", ReasonNumericHost},
	{"0", ReasonNumericHost},
	{"127.0.0.1.", ReasonNumericHost},
	{"127.000.000.001", ReasonNumericHost},
	{"256.256.256.256", ReasonNumericHost},
	{"1.2.3.4.5", ReasonNumericHost},

	{"", ReasonBadHost},
	{".", ReasonBadHost},
	{"a..example", ReasonBadHost},
	{"backend.example..", ReasonBadHost},
	{"127.0.0.1 backend.example", ReasonBadHost},
	{"127%2e0.0.1", ReasonNumericHost},
	{"127。0。0。1", ReasonBadHost},
	{"backend.exampl%65", ReasonBadHost},
	{"１２７.0.0.1", ReasonNumericHost},
	{"backend.example\x00.evil.example", ReasonBadHost},
	{strings.Repeat("a", 64) + ".example", ReasonBadHost},

	{"localhost", ReasonLoopback},
	{"localhost.", ReasonLoopback},
	{"loop.example.", ReasonLoopback},
	{"127.0.0.1.nip.example", ReasonLoopback},
	{"metadata.google.internal", ReasonMetadata},
	{"mixed.example", ReasonPrivate},
	{"mixed6.example", ReasonULA},
	{"mapped.example", ReasonPrivate},
	{"nat64.example", ReasonNAT64},
}

func forbiddenNames() names {
	return names{
		"localhost":                {{"127.0.0.1", "::1"}},
		"localhost.":               {{"127.0.0.1"}},
		"loop.example.":            {{"127.0.0.1"}},
		"127.0.0.1.nip.example":    {{"127.0.0.1"}},
		"metadata.google.internal": {{"169.254.169.254"}},
		"mixed.example":            {{"8.8.8.8", "192.168.0.1"}},
		"mixed6.example":           {{"2606:4700::1", "8.8.8.8", "fd12::1"}},
		"mapped.example":           {{"::ffff:10.0.0.1"}},
		"nat64.example":            {{"64:ff9b::a00:1"}},
	}
}

func TestForbiddenHostsAreNeverDialled(t *testing.T) {
	for _, tt := range forbidden {
		t.Run(tt.host, func(t *testing.T) {
			var dialled dials
			d := Dialer{Resolver: forbiddenNames(), Dial: dialled.dial}
			_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, "80"))
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Reason != tt.reason {
				t.Errorf("dialling %q: got error %v, want a refusal (%s)", tt.host, err, tt.reason)
			}
			if len(dialled.addrs) > 0 {
				t.Errorf("dialling %q reached %q, want nothing dialled", tt.host, dialled.addrs)
			}
		})
	}
}

func TestPublicHostsReachTheDialler(t *testing.T) {
	resolver := names{
		"backend.example":  {{"8.8.8.8", "2606:4700::1111"}},
		"backend.example.": {{"93.184.215.14"}},
		"4in6.example":     {{"::ffff:8.8.4.4"}},
		"x1.0xg.example":   {{"1.1.1.1"}},
		"a_b.example":      {{"9.9.9.9"}},
	}
	tests := []struct {
		host string
		want []string
	}{
		{"8.8.8.8", []string{"8.8.8.8:443"}},
		{"1.1.1.1", []string{"1.1.1.1:443"}},
		{"126.255.255.255", []string{"126.255.255.255:443"}},
		{"128.0.0.1", []string{"128.0.0.1:443"}},
		{"172.32.0.1", []string{"172.32.0.1:443"}},
		{"100.128.0.1", []string{"100.128.0.1:443"}},
		{"223.255.255.255", []string{"223.255.255.255:443"}},
		{"2606:4700::1111", []string{"[2606:4700::1111]:443"}},
		{"2a00:1450:4001:830::200e", []string{"[2a00:1450:4001:830::200e]:443"}},
		{"backend.example", []string{"8.8.8.8:443", "[2606:4700::1111]:443"}},
		{"backend.example.", []string{"93.184.215.14:443"}},
		{"4in6.example", []string{"8.8.4.4:443"}},
		{"x1.0xg.example", []string{"1.1.1.1:443"}},
		{"a_b.example", []string{"9.9.9.9:443"}},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			var dialled dials
			d := Dialer{Resolver: resolver, Dial: dialled.dial}
			_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, "443"))
			if !errors.Is(err, errNoNetwork) {
				t.Errorf("dialling %q: got error %v, want the one of the fake network", tt.host, err)
			}
			if diff := cmp.Diff(tt.want, dialled.addrs); diff != "" {
				t.Errorf("dialling %q (-want +dialled):\n%s", tt.host, diff)
			}
		})
	}
}

func TestAllowPrivateOpensOwnNetworksOnly(t *testing.T) {
	for _, tt := range forbidden {
		t.Run(tt.host, func(t *testing.T) {
			var dialled dials
			d := Dialer{Policy: Policy{AllowPrivate: true}, Resolver: forbiddenNames(), Dial: dialled.dial}
			_, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, "80"))
			var refusal *Refusal
			if refused := errors.As(err, &refusal); refused == tt.reason.Private() {
				t.Errorf("dialling %q (%s) with AllowPrivate: refused is %v, error %v", tt.host, tt.reason, refused, err)
			}
			if allowed := len(dialled.addrs) > 0; allowed != tt.reason.Private() {
				t.Errorf("dialling %q (%s) with AllowPrivate dialled %q", tt.host, tt.reason, dialled.addrs)
			}
		})
	}
}

func TestCheckHostResolvesNothing(t *testing.T) {
	tests := []struct {
		host    string
		private bool
		refused bool
	}{
		{"127.0.0.1", false, true},
		{"127.0.0.1", true, false},
		{"169.254.169.254", true, true},
		{"0x7f000001", true, true},
		{"localhost", false, false}, // a name: its addresses are checked at dial
		{"8.8.8.8", false, false},
	}
	for _, tt := range tests {
		if err := (Policy{AllowPrivate: tt.private}).CheckHost(tt.host); (err != nil) != tt.refused {
			t.Errorf("CheckHost(%q) with AllowPrivate %v: got %v, want refused %v", tt.host, tt.private, err, tt.refused)
		}
	}
}

func TestEverySpecialRangeOfIANAIsRefused(t *testing.T) {
	for _, p := range append(append([]netip.Prefix(nil), ssrf.IPv4DeniedPrefixes...), ssrf.IPv6DeniedPrefixes...) {
		if Classify(p.Addr()) == "" || Classify(lastOf(p)) == "" {
			t.Errorf("%v: got %q for its first and %q for its last address, want both refused",
				p, Classify(p.Addr()), Classify(lastOf(p)))
		}
	}
	if Classify(netip.Addr{}) == "" {
		t.Error("the zero Addr counts as public")
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func TestRefusalSaysWhatToDo(t *testing.T) {
	tests := []struct {
		refusal Refusal
		want    string
	}{
		{
			Refusal{Addr: netip.MustParseAddr("127.0.0.1"), Reason: ReasonLoopback},
			`127.0.0.1 is a private address (loopback); for an endpoint of your own, set "allow_private: true" on it`,
		},
		{
			Refusal{Host: "backend.example", Addr: netip.MustParseAddr("10.0.0.1"), Reason: ReasonPrivate},
			`backend.example (10.0.0.1) is a private address (private network); for an endpoint of your own, set "allow_private: true" on it`,
		},
		{
			Refusal{Addr: netip.MustParseAddr("169.254.169.254"), Reason: ReasonMetadata},
			`169.254.169.254 is not an address of the public internet (cloud metadata) and is never dialled: give the public address of the receiver`,
		},
		{
			Refusal{Host: "127.1", Reason: ReasonNumericHost},
			`"127.1" is a number where a host name should be (numeric host): write an IPv4 address as four decimal numbers, without leading zeros`,
		},
	}
	for _, tt := range tests {
		if got := tt.refusal.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
