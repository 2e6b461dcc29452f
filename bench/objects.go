package main

import (
	"fmt"
	"strings"

	"carom/bench/load"
)

// The zones of the benchmark. Traffic is told apart by zone: an endpoint's filter picks its own.
const (
	zoneMain    = "8790478"
	zoneDead    = "8790600"
	zoneHealthy = "87910" // with two digits behind it: one healthy endpoint among many
	zoneHanging = "87920" // with two digits behind it: one hanging endpoint among many
	zoneGood    = "8793"  // with three digits behind it: one good endpoint of hundreds
	zoneBad     = "8794"  // with three digits behind it: one bad endpoint of hundreds
	zoneShown   = "123456"
)

// endpoint is one way out of the server under test.
type endpoint struct {
	name string
	addr string // of a sink
	path string // how the sink answers, with a query of its own if it needs one
	zone string // only this zone; empty is all
	rate int    // attempts per second; 0 is no limit
}

// objectsFile writes what the server is configured with: one app with a Monetag source, and these endpoints.
func objectsFile(secret string, endpoints ...endpoint) string {
	return appFile(fmt.Sprintf(`    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
`, secret), endpoints)
}

// reportsFile is objectsFile for a server that a trusted one reports to.
func reportsFile(endpoints ...endpoint) string {
	return appFile(`    sources:
      server: { profile: api }
`, endpoints)
}

// viewsFile is objectsFile for a server that shows ads of one zone. All its views come from one address and one browser, so
// that there is no limit to how many of these are believed.
func viewsFile(endpoints ...endpoint) string {
	return appFile(fmt.Sprintf(`    origins: ["%s"]
    zones:
      "%s":
        sub_zones: { rewarded_interstitial: "123457" }
        confirm: { per_user: off, per_device: off, per_address: off, frequency_cap: off }
`, load.Origin, zoneShown), endpoints) + fmt.Sprintf(`creatives:
  house:
    title: An ad of the house
    image: "%s/ad.png"
    landing_url: "%s/"
    per_impression: "0.002"
`, load.Origin, load.Origin)
}

// appFile writes one app: what comes in, as YAML, and its endpoints.
func appFile(in string, endpoints []endpoint) string {
	var b strings.Builder
	b.WriteString("apps:\n  bench:\n" + in)
	if len(endpoints) > 0 {
		b.WriteString("    endpoints:\n")
	}
	for _, e := range endpoints {
		query := "?"
		if strings.Contains(e.path, "?") {
			query = "&"
		}
		fmt.Fprintf(&b, `      %s:
        url: "http://%s%s%symid={ymid}&event={event_type}&zone={zone_id}&value={reward_event_type}&price={estimated_price}&var={request_var}&d={delivery_id}"
        allow_private: true
`, e.name, e.addr, e.path, query)
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

// reported is the body with which a trusted server reports the same event.
func reported(zone string) string {
	return `{"id":"{ymid}","event_type":"impression","reward_event_type":"valued","ymid":"{ymid}","zone_id":"` + zone +
		`","sub_zone_id":"8790479","request_var":"bonus-btn","telegram_id":"{telegram_id}","estimated_price":"0.0023"}`
}
