package ingest

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	const proxies = "10.0.0.0/8"
	tests := []struct {
		name      string
		peer      string
		forwarded []string
		want      string
	}{
		{"a stranger without a header", "203.0.113.7:4711", nil, "203.0.113.7"},
		{"a stranger who claims to be somebody", "203.0.113.7:4711", []string{"192.0.2.1"}, "203.0.113.7"},
		{"a stranger who claims to be a proxy's client", "203.0.113.7:4711", []string{"192.0.2.1, 10.0.0.2"}, "203.0.113.7"},
		{"a proxy that says nothing", "10.0.0.1:4711", nil, "10.0.0.1"},
		{"a proxy with an empty header", "10.0.0.1:4711", []string{""}, "10.0.0.1"},
		{"a proxy", "10.0.0.1:4711", []string{"192.0.2.1"}, "192.0.2.1"},
		{"what the client wrote itself is left of the truth", "10.0.0.1:4711", []string{"198.51.100.9, 192.0.2.1"}, "192.0.2.1"},
		{"the client pretends to be a proxy", "10.0.0.1:4711", []string{"10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		{"two proxies", "10.0.0.1:4711", []string{"198.51.100.9, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"two proxies that add a header each", "10.0.0.1:4711", []string{"192.0.2.1", "10.0.0.2"}, "192.0.2.1"},
		{"proxies alone", "10.0.0.1:4711", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"nonsense stops the walk", "10.0.0.1:4711", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1:4711", []string{"192.0.2.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"an address with a port is nonsense", "10.0.0.1:4711", []string{"192.0.2.1:80"}, "10.0.0.1"},
		{"without spaces", "10.0.0.1:4711", []string{"198.51.100.9,192.0.2.1,10.0.0.2"}, "192.0.2.1"},
		{"IPv6", "10.0.0.1:4711", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv4 in IPv6 form", "[::ffff:10.0.0.1]:4711", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"an address with a zone", "[fe80::1%eth0]:4711", nil, "fe80::1"},
		{"the local socket", "@", []string{"192.0.2.1"}, "invalid IP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := New(Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix(proxies)}})
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
			for _, value := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", value)
			}
			if got := d.Client(r).String(); got != tt.want {
				t.Errorf("the client behind %s with %q is %s, want %s", tt.peer, tt.forwarded, got, tt.want)
			}
		})
	}
}

func TestNoProxyIsTrustedByDefault(t *testing.T) {
	d := New(Options{})
	r := &http.Request{RemoteAddr: "127.0.0.1:4711", Header: http.Header{"X-Forwarded-For": {"192.0.2.1"}}}
	if got := d.Client(r).String(); got != "127.0.0.1" {
		t.Errorf("the client is %s, want the peer", got)
	}
}
