package main

import (
	"fmt"
	"strings"
)

// The zones of the benchmark. Traffic is told apart by zone: an endpoint's filter picks its own.
const (
	zoneMain    = "8790478"
	zoneDead    = "8790600"
	zoneHealthy = "87910" // with two digits behind it: one healthy endpoint among many
	zoneHanging = "87920" // with two digits behind it: one hanging endpoint among many
)

// endpoint is one way out of the server under test.
type endpoint struct {
	name string
	addr string // of a sink
	path string // how the sink answers
	zone string // only this zone; empty is all
	rate int    // attempts per second; 0 is no limit
}

// objectsFile writes what the server is configured with: one app with a Monetag source, and these endpoints.
func objectsFile(secret string, endpoints ...endpoint) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apps:
  bench:
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
`, secret)
	if len(endpoints) > 0 {
		b.WriteString("    endpoints:\n")
	}
	for _, e := range endpoints {
		fmt.Fprintf(&b, `      %s:
        url: "http://%s%s?ymid={ymid}&event={event_type}&zone={zone_id}&value={reward_event_type}&price={estimated_price}&var={request_var}&d={delivery_id}"
        allow_private: true
`, e.name, e.addr, e.path)
		if e.zone != "" {
			fmt.Fprintf(&b, "        filter: { zones: [\"%s\"] }\n", e.zone)
		}
		if e.rate > 0 {
			fmt.Fprintf(&b, "        rate: %d\n", e.rate)
		}
	}
	return b.String()
}

// postback is the path of a postback of zone as Monetag sends it, with the placeholders of package load. With the rest of the
// request it has about 300 bytes.
func postback(secret, zone string) string {
	return "/in/bench/monetag/" + secret + "?ymid={ymid}&zone_id=" + zone + "&sub_zone_id=8790479&request_var=bonus-btn" +
		"&telegram_id={telegram_id}&event_type=impression&reward_event_type=valued&estimated_price=0.0023"
}
