package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report is all that the command says.
type report struct {
	Machine     string             `json:"measured_on"`
	Trial       bool               `json:"trial"`    // the figures prove nothing
	OneLoad     []string           `json:"one_load"` // keys whose costs of a commit and of its events could not be told apart
	Constants   []constant         `json:"constants"`
	Assumptions map[string]float64 `json:"assumptions"` // by flag
	NodeRate    float64            `json:"node_events_per_s"`
	NodeBounded string             `json:"node_bounded_by"`
	MostRate    float64            `json:"cluster_events_per_s"`
	MostBounded string             `json:"cluster_bounded_by"`
	Steps       []step             `json:"steps"`

	assumed []assumption
}

// constant is a number of the model that was measured or computed from what was.
type constant struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Source string  `json:"source"`
}

// newReport computes everything.
func newReport(f figures, a assumptions) report {
	m := newModel(f)
	p := m.perNode(a)
	mach := f.machine[postgresFile]
	r := report{
		Machine: fmt.Sprintf("%d cores (%s), %s", mach.Cores, mach.CPU, mach.Date), Trial: f.trial[postgresFile] || f.trial[folderFile], OneLoad: m.oneLoad,
		Constants: m.constants(), Assumptions: map[string]float64{}, NodeRate: p.rate, NodeBounded: p.bounded, assumed: a.list(),
	}
	r.MostRate, r.MostBounded = m.capacity(a)
	for _, x := range r.assumed {
		r.Assumptions[x.name] = *x.value
	}
	for _, rate := range rates {
		r.Steps = append(r.Steps, m.at(a, rate))
	}
	return r
}

// constants are those of the model, each with where it comes from.
func (m model) constants() []constant {
	source := func(key string) string {
		if slices.Contains(m.oneLoad, key) {
			return "`" + key + "` at one load: all of it counts as the events'"
		}
		return "`" + key + "` at two loads, with `half_" + key + "`"
	}
	image := "`growth_wal_bytes_per_event` less `wal_bytes_per_event`, to the same of `wal_images_per_event`"
	if m.imageAssumed {
		image = "assumed: a page of PostgreSQL, since the log of the loaded database tells no difference"
	}
	const program = "a constant of the program"
	return []constant{
		{"node, processor time of a commit", m.node.fixed * 1e3, "ms", source("node_cpu_s_per_1000")},
		{"node, of an event in it", m.node.each * 1e6, "µs", "the same"},
		{"database, processor time of a commit", m.database.fixed * 1e3, "ms", source("database_cpu_s_per_1000")},
		{"database, of an event in it", m.database.each * 1e6, "µs", "the same"},
		{"time of a commit", m.commit.fixed * 1e3, "ms", source("commits_per_s")},
		{"time of an event in it", m.commit.each * 1e6, "µs", "the same"},
		{"log for an event", m.log, "B", "`wal_bytes_per_event`"},
		{"log for a whole page", m.image, "B", image},
		{"dedupe keys of an event", m.keys, "", "`keys_per_event`"},
		{"stored for an event", m.event, "B", "`events_table_bytes_per_event`, `events_index_bytes_per_event`"},
		{"stored for a delivery", m.outcome, "B", "the same of `outcomes`"},
		{"stored for an event's keys", m.key, "B", "the same of `keys`"},
		{"of that the index", m.keyIndex, "B", "`keys_index_bytes_per_event`"},
		{"one machine with SQLite", m.folderRate, "events/s", "`carom_per_s` of `bench/out/latest.json`"},
		{"its processor time for an event", m.folderCPU * 1e6, "µs", "`cpu_s_per_1000` of the same; not used"},
		{"two nodes on one database, to one", m.twoNodes, "", "`two_node_ratio`; not used: below 0.9, nodes cost each other something that this model leaves out"},
		{"most events in a commit, one commit of a node at a time", maxBatch, "", program},
		{"most outcomes of attempts in it", maxOutcomes, "", program},
		{"most numbers of nodes", maxNode, "", program},
		{"connections of a node", connections, "", program},
	}
}

// rows are the lines of the main table: a label, then a value for each step.
func (r report) rows() [][]string {
	var out [][]string
	add := func(label string, value func(step) string) {
		row := []string{label}
		for _, s := range r.Steps {
			row = append(row, value(s))
		}
		out = append(out, row)
	}
	add("clusters, each a primary with its nodes", func(s step) string { return number(s.Clusters) })
	add("nodes in all; their cores", func(s step) string { return number(s.Nodes) + "; " + number(s.NodeCores) })
	add("database cores, primaries; replicas", func(s step) string { return number(s.PrimaryCores) + "; " + number(s.ReplicaCores) })
	add("commits/s; events in each", func(s step) string { return number(s.Commits) + "; " + number(s.Batch) })
	add("log (WAL), MB/s", func(s step) string { return number(s.Log) })
	add("operations of the primaries' disks/s", func(s step) string { return number(s.DiskOps) })
	add("of these, pages of keys read; written", func(s step) string { return number(s.PageReads) + "; " + number(s.PageWrites) })
	add("stored, TB in each copy", func(s step) string { return number(s.Stored) })
	add("rewards, TB more each year", func(s step) string { return number(s.ForEver) })
	add("network, MB/s: senders and receivers; to replicas", func(s step) string { return number(s.Outside) + "; " + number(s.Replication) })
	add("cost of a billion events: cores; storage; traffic", func(s step) string {
		return number(s.CostCores) + "; " + number(s.CostStorage) + "; " + number(s.CostTraffic)
	})
	add("for comparison: machines with SQLite, apps divided over them", func(s step) string { return number(s.FolderMachine) })
	return out
}

// remedies say what is done about what a cluster lacks first.
var remedies = map[string]string{
	needCores:       "fewer, larger commits (fewer nodes with more cores), then several clusters, apps divided over them",
	needLog:         "a longer checkpoint_timeout, a shorter dedupe_window; then several clusters, apps divided over them",
	needDisk:        "a shorter dedupe_window, more memory for the index of keys, faster disks; then several clusters, apps divided over them",
	needSpace:       "a shorter retention or dedupe_window; then several clusters, apps divided over them",
	needConnections: "a larger max_connections; then several clusters, apps divided over them",
	needNumbers:     "several clusters, apps divided over them",
}

// breaks say what one cluster lacks at each rate, and what is done about it.
func (r report) breaks() [][]string {
	var out [][]string
	for _, s := range r.Steps {
		worst := s.Needs[0]
		row := []string{number(s.Rate), fmt.Sprintf("nothing; %s come nearest, at %s %%", worst.Name, number(100*worst.share())), "one cluster carries it"}
		var lacks []string
		for _, n := range s.lacks() {
			lacks = append(lacks, fmt.Sprintf("%s, %s times what it has", n.Name, number(n.share())))
			row[1], row[2] = strings.Join(lacks, "; "), remedies[worst.Name]
		}
		out = append(out, row)
	}
	return out
}

// sentences say where the figures come from and what the units carry.
func (r report) sentences() []string {
	from := "From figures of " + r.Machine + "."
	if r.Trial {
		from += " Some are of a trial run, which proves nothing: take the tables as an example of their form."
	}
	loads := "Two loads were measured, so that what a commit costs is told from what its events cost."
	if len(r.OneLoad) > 0 {
		loads = "What a commit costs could not be told from what its events cost, so the saturated figure counts for: `" + strings.Join(r.OneLoad, "`, `") + "`."
	}
	return []string{
		from + " " + loads,
		fmt.Sprintf("A node is meant for %s events/s, bounded by %s. One cluster carries %s events/s, and is then short of: %s.",
			number(r.NodeRate), r.NodeBounded, number(r.MostRate), r.MostBounded),
	}
}

// headings of the tables.
func (r report) heads() (steps, breaks, constants, assumed []string) {
	steps = []string{"events/s"}
	for _, s := range r.Steps {
		steps = append(steps, number(s.Rate))
	}
	return steps, []string{"events/s", "what one cluster would have too little of, and how much it would need", "what one does"}, []string{"constant", "value", "source"},
		[]string{"flag", "assumed", "what it is"}
}

// tables are all tables in their order, headings first.
func (r report) tables() [][][]string {
	steps, breaks, constants, assumed := r.heads()
	all := [][][]string{slices.Insert(r.rows(), 0, steps), slices.Insert(r.breaks(), 0, breaks), {constants}, {assumed}}
	for _, c := range r.Constants {
		all[2] = append(all[2], []string{c.Name, strings.TrimSpace(number(c.Value) + " " + c.Unit), c.Source})
	}
	for _, x := range r.assumed {
		all[3] = append(all[3], []string{"`-" + x.name + "`", strings.TrimSpace(number(*x.value) + " " + x.unit), x.help})
	}
	return all
}

// text writes everything for a terminal.
func (r report) text() string {
	var b strings.Builder
	b.WriteString(strings.Join(r.sentences(), "\n") + "\n")
	for _, t := range r.tables() {
		b.WriteString("\n")
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for i, row := range t {
			line := strings.Join(row, "\t")
			if i == 0 {
				line = strings.ToUpper(line)
			}
			_, _ = fmt.Fprintln(w, strings.ReplaceAll(line, "`", "")) // into memory
		}
		_ = w.Flush() // into memory
	}
	return b.String()
}

// markdown writes everything for a page.
func (r report) markdown() string {
	var b strings.Builder
	b.WriteString(strings.Join(r.sentences(), "\n") + "\n")
	for i, t := range r.tables() {
		rule := "|---" + strings.Repeat("|---:", len(t[0])-1) + "|"
		if i > 0 {
			rule = strings.Repeat("|---", len(t[0])) + "|"
		}
		b.WriteString("\n")
		for n, row := range t {
			b.WriteString("| " + strings.Join(row, " | ") + " |\n")
			if n == 0 {
				b.WriteString(rule + "\n")
			}
		}
	}
	return b.String()
}

// number writes a value with two or three digits that count, and commas in thousands: more would pretend to be known.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 100:
		n, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 2, 64), 64) // what FormatFloat wrote is a number
		return plain(n)
	case a < 1000 || v != math.Trunc(v):
		n, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64) // the same
		v = n
	}
	s := plain(v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
