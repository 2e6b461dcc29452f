package main

import (
	"fmt"
	"slices"
)

// The parts.
const (
	ratioPart     = "ratio"
	latencyPart   = "latency"
	isolationPart = "isolation"
	growthPart    = "growth"
	deadPart      = "dead"
	rewardsPart   = "rewards"
	viewsPart     = "views"
	beaconsPart   = "beacons"
	showsPart     = "shows"
	endpointsPart = "endpoints300"
	nodesPart     = "nodes"
	readersPart   = "readers"
)

// The keys of figures that more than one function names.
const (
	figCarom         = "carom_per_s"
	figForwarder     = "forwarder_per_s"
	figMissing       = "missing"
	figDuplicates    = "duplicates"
	figE2E500        = "e2e_p99_ms_500"
	figForwarder500  = "forwarder_e2e_p99_ms_500"
	figIsolation     = "isolation_ratio"
	figIsolationMS   = "isolation_diff_ms"
	figIsolation90   = "isolation90_ratio"
	figIsolation90MS = "isolation90_diff_ms"
	figEndpoints     = "endpoints300_ratio"
	figEndpointsMS   = "endpoints300_diff_ms"

	figEndpointsGood   = "endpoints300_good_ratio"
	figEndpointsGoodMS = "endpoints300_good_diff_ms"
)

// figure is one number that the benchmark yields. Its key never changes its meaning: another meaning is another key.
type figure struct {
	key    string
	unit   string
	label  string
	target func(r *report, v float64) (text string, met bool) // nil: none
}

func atLeast(limit float64) func(*report, float64) (string, bool) {
	return func(_ *report, v float64) (string, bool) { return "≥ " + number(limit), v >= limit }
}

func atMost(limit float64) func(*report, float64) (string, bool) {
	return func(_ *report, v float64) (string, bool) { return "≤ " + number(limit), v <= limit }
}

// nearForwarder is met at 10 ms, or at five times what the forwarder takes where that is more.
func nearForwarder(r *report, v float64) (string, bool) {
	f, ok := r.get(figForwarder500)
	if !ok {
		return "≤ 10, or 5 × the forwarder's", v <= 10
	}
	return fmt.Sprintf("≤ 10, or 5 × the forwarder's (%s)", number(5*f)), v <= max(10, 5*f)
}

// undisturbed is met when a healthy endpoint's p99 grows by a quarter at most, or by 2 ms.
func undisturbed(ratio, diff string) func(*report, float64) (string, bool) {
	return func(r *report, _ float64) (string, bool) {
		q, _ := r.get(ratio)
		d, _ := r.get(diff)
		return "ratio ≤ 1.25, or 2 ms more", q <= 1.25 || d <= 2
	}
}

// folderFigures lists every figure of carom on a data folder, in the order of the table.
func folderFigures() []figure {
	return slices.Concat([]figure{
		{"handler_per_s", "/s", "bare net/http handler, requests answered", nil},
		{figForwarder, "/s", "bare in-memory forwarder, delivered at the sink", nil},
		{figCarom, "/s", "carom, synced, one endpoint, delivered at the sink", nil},
		{"ratio", "", "carom_per_s to forwarder_per_s", atLeast(0.7)},
		{"cpu_s_per_1000", "s", "processor time of carom for 1,000 delivered", nil},
		{"forwarder_cpu_s_per_1000", "s", "the same of the forwarder", nil},
		{"cpu_ratio", "", "the first to the second", atMost(1.8)},
		{"commits", "", "commits in a saturated window", nil},
		{"syncs", "", "syncs in a saturated window", nil},
		{"rss_mb", "MB", "most memory while saturated", atMost(300)},
		{"idle_rss_mb", "MB", "memory of a fresh server without traffic", atMost(40)},
		{"half_per_s", "/s", "half the saturating rate, as used below", nil},
		{"accept_p99_ms_half", "ms", "acknowledgement at half the rate, p99", atMost(10)},
		{"e2e_p99_ms_half", "ms", "end to end at half the rate, p99", atMost(30)},
		{"journal_accept_p99_ms_half", "ms", "acknowledgement by the bare journal at that rate, p99", nil},
		{"journal_e2e_p99_ms_half", "ms", "end to end through the bare journal at that rate, p99", nil},
		{"e2e_p50_ms_500", "ms", "end to end at 500/s, median", atMost(3)},
		{figE2E500, "ms", "end to end at 500/s, p99", nearForwarder},
		{figForwarder500, "ms", "the forwarder's", nil},
		{figIsolation, "", "healthy p99 beside one hanging endpoint to alone", undisturbed(figIsolation, figIsolationMS)},
		{figIsolationMS, "ms", "the same as a difference", undisturbed(figIsolation, figIsolationMS)},
		{figIsolation90, "", "healthy p99 beside 90 hanging of 100 to alone", undisturbed(figIsolation90, figIsolation90MS)},
		{figIsolation90MS, "ms", "the same as a difference", undisturbed(figIsolation90, figIsolation90MS)},
		{"growth_events", "", "events loaded through accept", nil},
		{"growth_load_per_s", "/s", "accepted while loading", nil},
		{"growth_per_s", "/s", "delivered with the loaded folder, page cache dropped", nil},
		{"growth_empty_per_s", "/s", "delivered with an empty folder", nil},
		{"growth_ratio", "", "the first to the second", atLeast(0.9)},
		{"growth_rss_mb", "MB", "most memory with the loaded folder", atMost(600)},
		{"growth_start_s", "s", "longest start with the loaded folder", atMost(10)},
		{"dead_events", "", "pending deliveries of a dead endpoint", nil},
		{"dead_rss_mb", "MB", "most memory with them pending", atMost(400)},
		{"dead_start_s", "s", "start with them pending", atMost(10)},
		{"dead_alone_p99_ms", "ms", "healthy endpoint before, p99", nil},
		{"dead_pending_p99_ms", "ms", "healthy endpoint beside the dead one, p99", nil},
		{"dead_healthy_p99_ms", "ms", "healthy endpoint while the other drains, p99", nil},
		{"dead_new_p99_ms", "ms", "new events of the draining endpoint, p99", nil},
		{"dead_first_s", "s", "from the endpoint's return to its first delivery", nil},
		{"dead_drain_per_s", "/s", "drain at a limit of 2,000/s", atLeast(1800)},
		{"dead_order_displacement", "", "farthest that an old delivery came behind a younger one", nil},
		{"dead_missing", "", "pending deliveries that never came", atMost(0)},
		{"plain_per_s", "/s", "carom without rules, delivered at the sink, between the next", nil},
		{"rewards_per_s", "/s", "carom with a rule, a view and a reward for each event, delivered at the sink", nil},
		{"rewards_ratio", "", "the second to the first", atLeast(0.7)},
		{"rewards_rss_mb", "MB", "most memory while it pays", nil},
		{"views_waiting", "", "views that somebody waits for", nil},
		{"views_kb", "KB", "memory for each waiting view", atMost(32)},
		{"views_confirmed_p50_ms", "ms", "from the answer to the postback to the waiting client, median", nil},
		{"views_confirmed_p99_ms", "ms", "the same, p99", atMost(200)},
		{"hmac_handler_per_s", "/s", "bare net/http handler that verifies one HMAC, beacons answered", nil},
		{"beacons_per_s", "/s", "carom, synced, no endpoint, beacons confirmed and stored", nil},
		{"beacons_ratio", "", "the second to the first", atLeast(0.5)},
		{"beacons_cpu_s_per_1000", "s", "processor time of carom for 1,000 confirmed", nil},
		{"hmac_handler_cpu_s_per_1000", "s", "the same of the handler", nil},
		{"beacons_load_share", "", "share of the machine's processors that the load generator took beside carom", nil},
		{"hmac_handler_load_share", "", "the same beside the handler", nil},
		{"beacons_rss_mb", "MB", "most memory while it confirms", nil},
		{"beacons_missing", "", "beacons answered as confirmed whose event is not stored", atMost(0)},
		{"beacons_duplicates", "", "events of one view stored twice", atMost(0)},
		{"shows_e2e_p50_ms", "ms", "show to postback at 500 views/s, median", nil},
		{"shows_e2e_p99_ms", "ms", "show to postback at 500 views/s, p99", atMost(50)},
		{"shows_ad_p99_ms", "ms", "answer to the request for an ad, p99", nil},
		{"shows_start_p99_ms", "ms", "answer to the beacon that it starts, p99", nil},
		{"shows_viewable_p99_ms", "ms", "answer to the beacon that it was seen, p99", nil},
		{"shows_cpu_s_per_1000", "s", "processor time of carom for 1,000 views, three requests each", nil},
		{figEndpoints, "", "p99 of 270 good endpoints beside 30 bad ones to alone", undisturbed(figEndpoints, figEndpointsMS)},
		{figEndpointsMS, "ms", "the same as a difference", undisturbed(figEndpoints, figEndpointsMS)},
		{figEndpointsGood, "", "p99 of 270 good endpoints beside 30 bad ones to beside 30 more good ones", undisturbed(figEndpointsGood, figEndpointsGoodMS)},
		{figEndpointsGoodMS, "ms", "the same as a difference", undisturbed(figEndpointsGood, figEndpointsGoodMS)},
		{"endpoints300_good_p99_ms", "ms", "the good ones beside 30 more of them, at 2,000/s in all", nil},
		{"endpoints300_alone_p99_ms", "ms", "the good ones alone, at 1,800/s", nil},
		{"endpoints300_beside_p99_ms", "ms", "the good ones beside the bad ones, at 2,000/s in all", nil},
	}, readersFigures(), []figure{
		{figMissing, "", "acknowledged and never delivered or stored, all parts", atMost(0)},
		{figDuplicates, "", "delivered or stored twice, all parts", atMost(0)},
	})
}
