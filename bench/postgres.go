package main

import (
	"context"
	"slices"
	"time"

	"carom/bench/proc"
	"carom/bench/stat"
)

// postgresFigures lists every figure of carom on PostgreSQL, in the order of the table.
func postgresFigures() []figure {
	return slices.Concat([]figure{
		{figForwarder, "/s", "bare in-memory forwarder, delivered at the sink", nil},
		{figCarom, "/s", "one node on PostgreSQL, one endpoint, delivered at the sink", nil},
		{"ratio", "", "carom_per_s to forwarder_per_s", atLeast(0.5)},
		{"cpu_s_per_1000", "s", "processor time of node and database for 1,000 delivered", atMost(0.2)},
		{"node_cpu_s_per_1000", "s", "of the node alone", nil},
		{"database_cpu_s_per_1000", "s", "of the database alone", nil},
		{"forwarder_cpu_s_per_1000", "s", "of the forwarder", nil},
		{"commits_per_s", "/s", "commits while saturated", nil},
		{"events_per_commit", "", "events in each", nil},
		{"rows_per_commit", "", "rows that each writes", nil},
		{"commit_ms", "ms", "how long the transaction of each takes, its waits for the node and the disk included", nil},
		{"wal_bytes_per_event", "B", "what the database logs for an event and its delivery", nil},
		{"wal_images_per_event", "", "whole pages in that", nil},
		{"rss_mb", "MB", "most memory of the node while saturated", atMost(300)},
		{"half_per_s", "/s", "half the saturating rate, as used below", nil},
		{"accept_p50_ms_half", "ms", "acknowledgement at half the rate, median", nil},
		{"accept_p99_ms_half", "ms", "the same, p99", nil},
		{"e2e_p50_ms_half", "ms", "end to end at half the rate, median", nil},
		{"e2e_p99_ms_half", "ms", "the same, p99", nil},
		{"journal_accept_p99_ms_half", "ms", "acknowledgement by the bare journal at that rate, p99", nil},
		{"journal_e2e_p99_ms_half", "ms", "end to end through the bare journal at that rate, p99", nil},
		{"half_commits_per_s", "/s", "commits at half the rate", nil},
		{"half_events_per_commit", "", "events in each", nil},
		{"half_commit_ms", "ms", "how long the transaction of each takes", nil},
		{"half_cpu_s_per_1000", "s", "processor time of node and database at half the rate, for 1,000 delivered", nil},
		{"half_node_cpu_s_per_1000", "s", "of the node alone", nil},
		{"half_database_cpu_s_per_1000", "s", "of the database alone", nil},
		{"one_node_per_s", "/s", "one node, delivered at the sink, between the next", nil},
		{"two_nodes_per_s", "/s", "two nodes on one database, half of the senders each, delivered at the sink", nil},
		{"two_node_ratio", "", "the second to the first", atLeast(0.9)},
		{"two_nodes_cpu_s_per_1000", "s", "processor time of both nodes and the database for 1,000 delivered", nil},
		{"growth_events", "", "events in the loaded database", nil},
		{"growth_load_per_s", "/s", "copied into it, without the clearing up behind", nil},
		{"growth_per_s", "/s", "delivered with the loaded database, after a while", nil},
		{"growth_empty_per_s", "/s", "delivered with an empty one, after as long", nil},
		{"growth_ratio", "", "the first to the second", atLeast(0.8)},
		{"growth_cpu_s_per_1000", "s", "processor time of node and loaded database for 1,000 delivered", nil},
		{"growth_cold_per_s", "/s", "delivered with the loaded database right after its start, memory and page cache empty", nil},
		{"growth_cold_ratio", "", "that to the empty one's", nil},
		{"growth_cold_cpu_s_per_1000", "s", "processor time of node and database then, for 1,000 delivered", nil},
		{"growth_wal_bytes_per_event", "B", "logged for an event then: pages of keys are logged whole after a checkpoint", nil},
		{"growth_wal_images_per_event", "", "whole pages in that", nil},
		{"growth_start_s", "s", "longest start of a node on the loaded database", atMost(10)},
		{"database_bytes_per_event", "B", "stored for an event, its delivery and its keys", nil},
		{"index_share", "", "of that in indexes", nil},
		{"events_table_bytes_per_event", "B", "of that the table of events", nil},
		{"events_index_bytes_per_event", "B", "its indexes", nil},
		{"outcomes_table_bytes_per_event", "B", "the table of outcomes", nil},
		{"outcomes_index_bytes_per_event", "B", "its index", nil},
		{"keys_table_bytes_per_event", "B", "the table of dedupe keys", nil},
		{"keys_index_bytes_per_event", "B", "its index", nil},
		{"keys_per_event", "", "dedupe keys of an event", nil},
	}, readersFigures(), []figure{
		{figMissing, "", "acknowledged and never delivered, all parts", atMost(0)},
		{figDuplicates, "", "delivered twice, all parts", atMost(0)},
	})
}

// saturate is the load that a target cannot keep up with.
func (r *rig) saturate() plan { return plan{warmUp: r.WarmUp, window: r.Window} }

func deliveredOf(m measurement) float64       { return m.Delivered }
func nodeCPU(m measurement) float64           { return m.CPUPer1000 }
func databaseCPU(m measurement) float64       { return m.Database.CPUPer1000 }
func bothCPU(m measurement) float64           { return nodeCPU(m) + databaseCPU(m) }
func commitsOf(m measurement) float64         { return m.Database.CommitsPerSec }
func eventsPerCommitOf(m measurement) float64 { return m.Database.EventsPerCommit }
func commitMSOf(m measurement) float64        { return m.Database.CommitMS }
func walOf(m measurement) float64             { return m.Database.WALPerEvent }
func imagesOf(m measurement) float64          { return m.Database.ImagesPerEvent }

// medianOf is the median of what pick finds.
func medianOf(ms []measurement, pick func(measurement) float64) float64 {
	var values []float64
	for _, m := range ms {
		values = append(values, pick(m))
	}
	return stat.Median(values)
}

// postgresRatio saturates the forwarder and a node in turn.
func (r *rig) postgresRatio(ctx context.Context, rep *report, p *part) error {
	found := map[string][]measurement{}
	for round := range r.Rounds {
		for _, name := range rotated([]string{partForwarder, "carom"}, round) {
			m, err := r.measureEither(ctx, name, r.saturate(), p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			found[name] = append(found[name], m)
			r.sayRound(name, m)
		}
	}
	postgresRatioFigures(rep, found[partForwarder], found["carom"])
	return nil
}

// measureEither measures a reference, or a node on an empty database.
func (r *rig) measureEither(ctx context.Context, name string, pl plan, p *part) (measurement, error) {
	if name == "carom" {
		return r.measureNodes(ctx, 1, pl, p)
	}
	return r.measureFresh(ctx, name, pl, p)
}

func (r *rig) sayRound(name string, m measurement) {
	r.say("  round %d, %-9s  %6.0f delivered/s  %.4f CPU s per 1,000  accept p50 %.1f p99 %.1f ms  end to end p50 %.1f p99 %.1f ms", m.Round, name,
		m.Delivered, m.CPUPer1000, m.Accept.P50, m.Accept.P99, m.EndToEnd.P50, m.EndToEnd.P99)
	if d := m.Database; d != nil {
		r.say("    the database  %.4f CPU s per 1,000  %.0f commits/s of %.1f events and %.1f rows  %.0f bytes of log per event", d.CPUPer1000,
			d.CommitsPerSec, d.EventsPerCommit, d.RowsPerCommit, d.WALPerEvent)
	}
}

// postgresRatioFigures computes the figures of the ratio part.
func postgresRatioFigures(rep *report, forwarder, carom []measurement) {
	rep.set(figForwarder, medianOf(forwarder, deliveredOf))
	rep.set(figCarom, medianOf(carom, deliveredOf))
	rep.set("ratio", rep.figures[figCarom]/rep.figures[figForwarder])
	rep.set("cpu_s_per_1000", medianOf(carom, bothCPU))
	rep.set("node_cpu_s_per_1000", medianOf(carom, nodeCPU))
	rep.set("database_cpu_s_per_1000", medianOf(carom, databaseCPU))
	rep.set("forwarder_cpu_s_per_1000", medianOf(forwarder, nodeCPU))
	rep.set("commits_per_s", medianOf(carom, commitsOf))
	rep.set("events_per_commit", medianOf(carom, eventsPerCommitOf))
	rep.set("commit_ms", medianOf(carom, commitMSOf))
	rep.set("rows_per_commit", medianOf(carom, func(m measurement) float64 { return m.Database.RowsPerCommit }))
	rep.set("wal_bytes_per_event", medianOf(carom, walOf))
	rep.set("wal_images_per_event", medianOf(carom, imagesOf))
	rep.set("rss_mb", slices.Max(pluck(carom, "carom", func(m measurement) float64 { return m.PeakRSS })))
}

// postgresLatency runs open loops at half the saturating rate: a node, and the journal.
func (r *rig) postgresLatency(ctx context.Context, rep *report, p *part) error {
	saturated, ok := rep.get(figCarom)
	if !ok || !r.ran(ratioPart) {
		m, err := r.measureNodes(ctx, 1, r.saturate(), p)
		if err != nil {
			return err
		}
		p.add(m)
		saturated = m.Delivered
	}
	half := plan{rate: saturated / 2, warmUp: r.WarmUp, window: r.Window}
	rep.set("half_per_s", half.rate)
	found := map[string][]measurement{}
	for round := range r.Rounds {
		for _, name := range rotated([]string{"carom", partJournal}, round) {
			m, err := r.measureEither(ctx, name, half, p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			found[name] = append(found[name], m)
			r.sayRound(name, m)
		}
	}
	carom, journal := found["carom"], found[partJournal]
	accept99 := func(m measurement) float64 { return m.Accept.P99 }
	e2e99 := func(m measurement) float64 { return m.EndToEnd.P99 }
	rep.set("accept_p50_ms_half", medianOf(carom, func(m measurement) float64 { return m.Accept.P50 }))
	rep.set("accept_p99_ms_half", medianOf(carom, accept99))
	rep.set("e2e_p50_ms_half", medianOf(carom, func(m measurement) float64 { return m.EndToEnd.P50 }))
	rep.set("e2e_p99_ms_half", medianOf(carom, e2e99))
	rep.set("journal_accept_p99_ms_half", medianOf(journal, accept99))
	rep.set("journal_e2e_p99_ms_half", medianOf(journal, e2e99))
	rep.set("half_commits_per_s", medianOf(carom, commitsOf))
	rep.set("half_events_per_commit", medianOf(carom, eventsPerCommitOf))
	rep.set("half_commit_ms", medianOf(carom, commitMSOf))
	rep.set("half_cpu_s_per_1000", medianOf(carom, bothCPU))
	rep.set("half_node_cpu_s_per_1000", medianOf(carom, nodeCPU))
	rep.set("half_database_cpu_s_per_1000", medianOf(carom, databaseCPU))
	return nil
}

// postgresNodes saturates one node and two in turn, with as many senders.
func (r *rig) postgresNodes(ctx context.Context, rep *report, p *part) error {
	var one, two []measurement
	for round := range r.Rounds {
		for _, nodes := range rotated([]int{1, 2}, round) {
			m, err := r.measureNodes(ctx, nodes, r.saturate(), p)
			if err != nil {
				return err
			}
			m.Round = round + 1
			p.add(m)
			if nodes == 1 {
				one = append(one, m)
				r.sayRound("one node", m)
			} else {
				two = append(two, m)
				r.sayRound("two nodes", m)
			}
		}
	}
	rep.set("one_node_per_s", medianOf(one, deliveredOf))
	rep.set("two_nodes_per_s", medianOf(two, deliveredOf))
	rep.set("two_node_ratio", rep.figures["two_nodes_per_s"]/rep.figures["one_node_per_s"])
	rep.set("two_nodes_cpu_s_per_1000", medianOf(two, bothCPU))
	return nil
}

// postgresGrowth compares a database full of events with an empty one: when it has worked for a while, as both will have almost always,
// and in the moment after a start with nothing in memory, when each event needs pages of keys that must be read, and logged whole.
func (r *rig) postgresGrowth(ctx context.Context, rep *report, p *part) error {
	full, err := r.fillDatabase(ctx, rep, p)
	if err != nil {
		return err
	}
	warm := plan{warmUp: r.WarmUp + r.GrowthWarmUp, window: r.Window}
	found := map[string][]measurement{}
	for round := range r.Rounds {
		for _, name := range rotated([]string{"loaded", "empty"}, round) {
			how, err := r.db.restart()
			if err != nil {
				return err
			}
			if note := "page cache before each start: " + how; !slices.Contains(p.Notes, note) {
				p.note("%s", note)
			}
			note := func(name string, m measurement, err error) error {
				if err != nil {
					return err
				}
				m.Round = round + 1
				p.account(m)
				p.Rounds = append(p.Rounds, map[string]any{"database": name, "measurement": m})
				found[name] = append(found[name], m)
				r.sayRound(name, m)
				return nil
			}
			if name == "empty" {
				m, err := r.measureNodes(ctx, 1, warm, p)
				if err := note(name, m, err); err != nil {
					return err
				}
				continue
			}
			for _, is := range []struct {
				name string
				plan
			}{{"cold", r.saturate()}, {name, warm}} {
				m, err := r.measureDatabase(ctx, full.name, 1, full.secret, is.plan, p)
				if err := note(is.name, m, err); err != nil {
					return err
				}
			}
		}
	}
	cold := found["cold"]
	rep.set("growth_per_s", medianOf(found["loaded"], deliveredOf))
	rep.set("growth_empty_per_s", medianOf(found["empty"], deliveredOf))
	rep.set("growth_ratio", rep.figures["growth_per_s"]/rep.figures["growth_empty_per_s"])
	rep.set("growth_cpu_s_per_1000", medianOf(found["loaded"], bothCPU))
	rep.set("growth_cold_per_s", medianOf(cold, deliveredOf))
	rep.set("growth_cold_ratio", rep.figures["growth_cold_per_s"]/rep.figures["growth_empty_per_s"])
	rep.set("growth_cold_cpu_s_per_1000", medianOf(cold, bothCPU))
	rep.set("growth_wal_bytes_per_event", medianOf(cold, walOf))
	rep.set("growth_wal_images_per_event", medianOf(cold, imagesOf))
	rep.set("growth_start_s", slices.Max(pluck(cold, "carom", func(m measurement) float64 { return m.Database.Ready })))
	return r.db.drop(ctx, full.name)
}

// filled is a database full of events.
type filled struct {
	name   string
	secret string // of the source, which its nodes must have
}

// fillDatabase makes a database with as many events as are asked for, each delivered, over the days before now. A node takes some as
// always, and what it has stored of these is copied with other identities: through the node it would take half an hour.
func (r *rig) fillDatabase(ctx context.Context, rep *report, p *part) (f filled, err error) {
	if f.name, err = r.db.create(ctx); err != nil {
		return f, err
	}
	f.secret = proc.NewSecret()
	buckets := max(2, int((r.GrowthEvents+bucketEvents-1)/bucketEvents))
	if err = r.sample(ctx, f, buckets); err != nil {
		return f, err
	}
	began := time.Now()
	c, err := r.db.multiply(ctx, f.name, copies{events: r.GrowthEvents, buckets: buckets, run: r.run(), until: began.Add(-time.Hour)})
	if err != nil {
		return f, err
	}
	rep.set("growth_events", float64(r.GrowthEvents))
	rep.set("growth_load_per_s", float64(r.GrowthEvents)/time.Since(began).Seconds())
	r.say("  loaded %d events in %.0f s", r.GrowthEvents, time.Since(began).Seconds())
	// As it would be had they come over the days.
	if err = r.db.exec(ctx, f.name, "VACUUM (ANALYZE) events, outcomes, keys", "CHECKPOINT"); err != nil {
		return f, err
	}
	if err = r.checkCopies(ctx, f, c); err != nil {
		return f, err
	}
	sizes, err := r.db.sizes(ctx, f.name, float64(r.GrowthEvents))
	if err != nil {
		return f, err
	}
	var all, index float64
	for table, size := range sizes {
		rep.set(table+"_table_bytes_per_event", size.table)
		rep.set(table+"_index_bytes_per_event", size.index)
		all, index = all+size.table+size.index, index+size.index
	}
	rep.set("keys_per_event", sizes["keys"].rows)
	rep.set("database_bytes_per_event", all)
	rep.set("index_share", index/all)
	return f, nil
}
