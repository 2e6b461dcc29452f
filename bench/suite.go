package main

import "context"

// suite is one of the two benchmarks: what it measures, in the order in which it does, and the figures that this yields, in the
// order of their table.
type suite struct {
	target  string // of make
	out     string // file for the figures
	parts   []suitePart
	figures []figure

	begin, end string // the lines of docs/performance.md between which its table stands
}

// postgresTarget is the suite of PostgreSQL.
const postgresTarget = "bench-postgres"

// suitePart is a part with the function that measures it.
type suitePart struct {
	name string
	run  func(*rig, context.Context, *report, *part) error
}

// folderSuite measures carom on a data folder.
func folderSuite() suite {
	return suite{
		target: "bench", out: "bench/out/latest.json", figures: folderFigures(),
		parts: []suitePart{
			{ratioPart, (*rig).ratio}, {latencyPart, (*rig).latency}, {isolationPart, (*rig).isolation}, {growthPart, (*rig).growth},
			{deadPart, (*rig).dead}, {rewardsPart, (*rig).rewards}, {viewsPart, (*rig).views}, {beaconsPart, (*rig).beacons},
			{showsPart, (*rig).shows}, {endpointsPart, (*rig).endpoints300}, {readersPart, (*rig).readers},
		},
		begin: "<!-- results begin: written by `go run ./bench -markdown docs/performance.md` -->",
		end:   "<!-- results end -->",
	}
}

// postgresSuite measures carom on a PostgreSQL database.
func postgresSuite() suite {
	return suite{
		target: postgresTarget, out: "bench/out/postgres.json", figures: postgresFigures(),
		parts: []suitePart{
			{ratioPart, (*rig).postgresRatio}, {latencyPart, (*rig).postgresLatency}, {nodesPart, (*rig).postgresNodes},
			{growthPart, (*rig).postgresGrowth}, {readersPart, (*rig).readers},
		},
		begin: "<!-- postgres results begin: written by `go run ./bench -postgres -markdown docs/performance.md` -->",
		end:   "<!-- postgres results end -->",
	}
}

// names are those of the parts, in their order.
func (s suite) names() []string {
	var out []string
	for _, p := range s.parts {
		out = append(out, p.name)
	}
	return out
}
