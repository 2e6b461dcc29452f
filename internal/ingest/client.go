package ingest

import (
	"net/http"
	"net/netip"
	"strings"
)

// Client is the address that the request came from. X-Forwarded-For is read only behind a proxy that the operator names:
// from its right end, the first address that is not such a proxy. Anybody can write what stands left of that.
func (d *Door) Client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a local socket has no address
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !d.trusted(addr) {
		return addr
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(chain) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(chain[i]))
		if err != nil {
			break // beyond this nothing can be believed
		}
		if addr = hop.Unmap().WithZone(""); !d.trusted(addr) {
			break
		}
	}
	return addr
}

func (d *Door) trusted(addr netip.Addr) bool {
	for _, p := range d.opts.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
