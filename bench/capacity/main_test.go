package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// near compares computed numbers.
var near = cmp.Comparer(func(x, y float64) bool { return math.Abs(x-y) <= 1e-9*max(math.Abs(x), math.Abs(y), 1e-3) })

// madeUp are figures of a machine that obeys the model: a commit of n events costs the node 1 ms + 0.1 ms × n, the database
// 1 ms + 0.05 ms × n, and takes 3 ms + 0.15 ms × n. The log has 1,500 bytes for an event and 4,000 for each page.
func madeUp() figures {
	const n, half = 40.0, 10.0
	return figures{values: map[string]map[string]float64{
		postgresFile: {
			"node_cpu_s_per_1000": 1/n + 0.1, "database_cpu_s_per_1000": 1/n + 0.05, "events_per_commit": n, "commits_per_s": 1000 / (3 + 0.15*n),
			"half_node_cpu_s_per_1000": 1/half + 0.1, "half_database_cpu_s_per_1000": 1/half + 0.05, "half_events_per_commit": half, "half_commits_per_s": 1000 / (3 + 0.15*half),
			"wal_bytes_per_event": 1500, "wal_images_per_event": 0.01, "growth_wal_bytes_per_event": 3500, "growth_wal_images_per_event": 0.51,
			"two_node_ratio": 0.95, "events_table_bytes_per_event": 450, "events_index_bytes_per_event": 200, "outcomes_table_bytes_per_event": 300,
			"outcomes_index_bytes_per_event": 40, "keys_table_bytes_per_event": 70, "keys_index_bytes_per_event": 50, "keys_per_event": 1,
		},
		folderFile: {"carom_per_s": 10_000, "cpu_s_per_1000": 0.1},
	}, machine: map[string]machine{}}
}

// with returns the figures with one changed, or without it where the value is NaN.
func (f figures) with(key string, v float64) figures {
	out := figures{values: map[string]map[string]float64{}, machine: f.machine}
	for file, values := range f.values {
		out.values[file] = maps.Clone(values)
	}
	if out.values[postgresFile][key] = v; math.IsNaN(v) {
		delete(out.values[postgresFile], key)
	}
	return out
}

// defaults are the assumptions when no flag is given, or those of the arguments.
func defaults(t *testing.T, args ...string) assumptions {
	t.Helper()
	var a assumptions
	f := flag.NewFlagSet("", flag.ContinueOnError)
	a.bind(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := a.check(); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFitIsExact(t *testing.T) {
	got := newModel(madeUp())
	want := model{
		node: cost{1e-3, 0.1e-3}, database: cost{1e-3, 0.05e-3}, commit: cost{3e-3, 0.15e-3}, log: 1500, image: 4000,
		event: 650, outcome: 340, key: 120, keyIndex: 50, keys: 1, folderRate: 10_000, folderCPU: 0.1e-3, twoNodes: 0.95,
	}
	if diff := cmp.Diff(want, got, near, cmp.AllowUnexported(model{}, cost{})); diff != "" {
		t.Errorf("model (-want +got):\n%s", diff)
	}
}

func TestFit(t *testing.T) {
	tests := []struct {
		name           string
		n1, y1, n2, y2 float64
		want           cost
		ok             bool
	}{
		{"both", 40, 7, 10, 4, cost{3, 0.1}, true},
		{"nothing is fixed", 40, 4, 10, 1, cost{0, 0.1}, true},
		{"the same load twice", 40, 7, 39, 7, cost{}, false},
		{"a larger commit costs less", 40, 3, 10, 4, cost{}, false},
		{"less than nothing is fixed", 40, 8, 10, 1, cost{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := fit(tt.n1, tt.y1, tt.n2, tt.y2)
			if ok != tt.ok || ok && !cmp.Equal(got, tt.want, near, cmp.AllowUnexported(cost{})) {
				t.Errorf("fit = %+v, %v; want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestOneLoad: without a second load the saturated figure counts for every event, and the report says of which.
func TestOneLoad(t *testing.T) {
	m := newModel(madeUp().with("half_commits_per_s", math.NaN()))
	if diff := cmp.Diff([]string{"commits_per_s"}, m.oneLoad); diff != "" {
		t.Errorf("fitted at one load (-want +got):\n%s", diff)
	}
	if want := (cost{0, 9e-3 / 40}); !cmp.Equal(m.commit, want, near, cmp.AllowUnexported(cost{})) {
		t.Errorf("a commit takes %+v, want %+v", m.commit, want)
	}
	all := newReport(madeUp().with("half_events_per_commit", math.NaN()), defaults(t))
	if text := all.text(); len(all.OneLoad) != 3 || !strings.Contains(text, "at one load") || strings.Contains(text, "at two loads") {
		t.Errorf("the report does not say that there was one load:\n%s", text)
	}
}

func TestImageOfAPage(t *testing.T) {
	for name, f := range map[string]figures{
		"no more pages":     madeUp().with("growth_wal_images_per_event", 0.01),
		"no more log":       madeUp().with("growth_wal_bytes_per_event", 1400),
		"more than a page":  madeUp().with("growth_wal_bytes_per_event", 15_000),
		"fewer than before": madeUp().with("growth_wal_images_per_event", 0),
	} {
		if m := newModel(f); m.image != pageBytes || !m.imageAssumed {
			t.Errorf("%s: a page takes %v bytes of log, want those of a page, said to be assumed", name, m.image)
		}
	}
}

func TestBatch(t *testing.T) {
	c := cost{fixed: 3e-3, each: 0.15e-3}
	tests := []struct{ rate, want float64 }{{1, 1}, {100, 1}, {4000, 30}, {6600, maxBatch}, {7000, maxBatch}}
	for _, tt := range tests {
		if got := batch(tt.rate, c); math.Abs(got-tt.want) > 1e-9*tt.want {
			t.Errorf("batch(%v) = %v, want %v", tt.rate, got, tt.want)
		}
	}
}

func TestTouched(t *testing.T) {
	tests := []struct{ touches, pages, want float64 }{
		{0, 5, 0}, {5, 0, 0}, {1, 1e12, 1}, {1e6, 1, 1e-6}, {100, 100, 1 - math.Exp(-1)},
	}
	for _, tt := range tests {
		if got := touched(tt.touches, tt.pages); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("touched(%v, %v) = %v, want %v", tt.touches, tt.pages, got, tt.want)
		}
	}
}

// TestNodeIsBounded: by what is scarce, and the rate is the one at which just the headroom is left of it.
func TestNodeIsBounded(t *testing.T) {
	m := newModel(madeUp())
	tests := []struct {
		name string
		args []string
		want perNode
	}{
		// At r events/s it makes (1 - r × 0.15 ms) / 3 ms commits, of 1 ms each: with 0.1 ms for each event 1/3 + r × 0.05 ms.
		{"few cores", []string{"-node-cores", "0.5", "-headroom", "0", "-sync-ms", "0"}, perNode{1e4 / 3, 20, byCPU}},
		{"one commit at a time", []string{"-node-cores", "64", "-headroom", "0", "-retention-days", "1"},
			perNode{maxBatch / (4e-3 + maxBatch*0.15e-3), maxBatch, byCommitter}},
		{"outcomes of many postbacks", []string{"-node-cores", "64", "-headroom", "0", "-retention-days", "1", "-postbacks", "4", "-delivery-share", "0"},
			perNode{512 / (4e-3 + 512*0.15e-3), 512, byCommitter}},
		{"time buckets", []string{"-node-cores", "64", "-bucket-events", "1000000", "-buckets", "2592", "-sync-ms", "0"},
			perNode{1000, 3 / 0.85, byBuckets}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := m.perNode(defaults(t, tt.args...))
			if got.bounded != tt.want.bounded || math.Abs(got.rate/tt.want.rate-1) > 1e-6 || math.Abs(got.batch/tt.want.batch-1) > 1e-6 {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestClusterIsComputed checks every need of one cluster by hand.
func TestClusterIsComputed(t *testing.T) {
	m := newModel(madeUp())
	a := defaults(t, "-postbacks", "3", "-earn", "0.5", "-dedupe-days", "2", "-cache-gb", "0.216", "-retention-days", "10")
	p := perNode{rate: 40, batch: 4}
	got := m.cluster(a, p, 100)
	// An event costs 1/2 + 3/2 + 1/2 of one with one delivery; the index of keys has 864 MB, of which a quarter fits into memory.
	const work, touches = 2.5, 1.5
	images := touches * 100 * touched(100*touches*900, 864e6/pageBytes)
	want := cluster{
		nodes: 3, cores: 100 * (1e-3 + 4*0.05e-3*work) / 4 / 0.5, commits: 25, reads: 100 * touches * 0.75,
		writes: max(images, 100*touches*0.75), log: 100*1500*work + images*4000, stored: 8.64e6 * (10*(650+3*340) + 2*120), forEver: 8.64e6 * 365 * 0.5 * 1000,
	}
	if diff := cmp.Diff(want, got, near, cmp.AllowUnexported(cluster{})); diff != "" {
		t.Errorf("cluster (-want +got):\n%s", diff)
	}
}

// TestCapacity: each thing that is scarce bounds a cluster in turn, and just above the bound it takes two.
func TestCapacity(t *testing.T) {
	m := newModel(madeUp())
	plenty := []string{"-primary-cores", "4096", "-log-mb", "1e9", "-disk-ops", "1e12", "-disk-tb", "1e9", "-connections", "1e9"}
	for name, args := range map[string][]string{
		needCores: {"-primary-cores", "4"}, needLog: {"-log-mb", "20"}, needDisk: {"-disk-ops", "3000"}, needSpace: {"-disk-tb", "1"},
		needConnections: {"-connections", "50"}, needNumbers: nil,
	} {
		t.Run(name, func(t *testing.T) {
			a := defaults(t, append(plenty, args...)...)
			if name == needNumbers {
				a.PrimaryCores = 1e9
			}
			most, first := m.capacity(a)
			if first != name {
				t.Errorf("a cluster that carries %v lacks %s first", most, first)
			}
			below, above := m.at(a, most*0.999), m.at(a, most*1.001)
			if below.Clusters != 1 || len(below.lacks()) != 0 || above.Clusters != 2 || len(above.lacks()) != 1 || above.Needs[0].Name != name {
				t.Errorf("below: %v clusters, lacks %v; above: %v clusters, lacks %v", below.Clusters, below.lacks(), above.Clusters, above.lacks())
			}
			if remedies[name] == "" {
				t.Errorf("nothing is said about what to do about %s", name)
			}
		})
	}
}

// TestMoreNeverTakesLess: neither events, nor what they are owed, nor what is kept.
func TestMoreNeverTakesLess(t *testing.T) {
	m := newModel(madeUp())
	all := func(s step) map[string]float64 {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		numbers := map[string]float64{}
		for k, v := range out {
			if n, ok := v.(float64); ok {
				numbers[k] = n
			}
		}
		return numbers
	}
	compare := func(name string, less, more step, but ...string) {
		t.Helper()
		x, y := all(less), all(more)
		for _, k := range but {
			delete(x, k)
		}
		for k := range x {
			if y[k] < x[k]*(1-1e-9) {
				t.Errorf("%s: %s falls from %v to %v", name, k, x[k], y[k])
			}
		}
	}
	a := defaults(t)
	prices := []string{"cores_cost_per_billion_events", "storage_cost_per_billion_events", "traffic_cost_per_billion_events"}
	// Whole nodes and cores of each cluster are rounded up, so steps are wide enough for that not to matter.
	for rate := 1000.0; rate < 1e7; rate *= 4 {
		compare("more events", m.at(a, rate), m.at(a, rate*4), prices...)
	}
	for name, args := range map[string][]string{
		"more postbacks": {"-postbacks", "3"}, "more rewards": {"-earn", "0.5"}, "a longer retention": {"-retention-days", "60"},
		"a longer window": {"-dedupe-days", "90"}, "more headroom": {"-headroom", "0.8"}, "more replicas": {"-replicas", "2"},
	} {
		// More clusters have more memory together, and may need fewer nodes than others that round up more often.
		compare(name, m.at(a, 1e5), m.at(defaults(t, args...), 1e5), "events_per_commit", "commits_per_s", "page_reads_per_s", "disk_operations_per_s",
			"nodes", "node_cores", "cores_cost_per_billion_events")
	}
}

func TestFiguresThatAreMissingAreNamed(t *testing.T) {
	dir := t.TempDir()
	if _, err := readFigures(dir); err == nil || !strings.Contains(err.Error(), "make bench-postgres") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := madeUp().write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, folderFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := readFigures(dir); err == nil || !strings.Contains(err.Error(), "`make bench`") {
		t.Errorf("without %s: %v", folderFile, err)
	}
	for _, w := range inputs {
		for _, v := range []string{"absent", "null", "0", "-1", "\"x\""} {
			if err := madeUp().write(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, w.file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			keys := map[string]json.RawMessage{}
			if err := json.Unmarshal(b, &keys); err != nil {
				t.Fatal(err)
			}
			if keys[w.key] = json.RawMessage(v); v == "absent" {
				delete(keys, w.key)
			}
			if b, err = json.Marshal(keys); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = readFigures(dir)
			if w.optional || v == "0" && w.zero {
				if err != nil {
					t.Errorf("%s %s: %v", w.key, v, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), w.key) || !strings.Contains(err.Error(), w.run) {
				t.Errorf("%s %s: the error names not the figure and the command: %v", w.key, v, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, postgresFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readFigures(dir); err == nil || !strings.Contains(err.Error(), "not what the benchmark writes") {
		t.Errorf("a file that is cut off: %v", err)
	}
}

// TestTrialRunsAreCalledThat: figures of the benchmark's -quick never look like others, also not when they were kept.
func TestTrialRunsAreCalledThat(t *testing.T) {
	dir := t.TempDir()
	if err := madeUp().write(dir); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		var out bytes.Buffer
		if err := run([]string{"-dir", dir, "-keep", dir}, &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if strings.Contains(text(), "trial") {
		t.Error("figures of a whole run are called a trial")
	}
	path := filepath.Join(dir, postgresFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte(`{"parts": {"ratio": {"quick": true}},`), bytes.TrimPrefix(b, []byte("{"))...)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from what the first has kept
		if !strings.Contains(text(), "trial run, which proves nothing") {
			t.Error("figures of a trial run are not called that")
		}
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"-postbacks", "-1"}, {"-headroom", "1"}, {"-headroom", "NaN"}, {"-buckets", "100", "-retention-days", "365"}, {"-bucket-events", "5000000"}, {"page.md"}} {
		if err := run(append([]string{"-dir", "testdata"}, args...), io.Discard, io.Discard); err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"-dir", "testdata", "-json", "-retention-days", "7"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Steps) != len(rates) || r.Assumptions["retention-days"] != 7 || len(r.Constants) == 0 || r.Steps[2].Rate != 1e6 {
		t.Errorf("%s", out.String())
	}
	for _, c := range r.Constants {
		if c.Source == "" {
			t.Errorf("%s has no source", c.Name)
		}
	}
}

// TestPageAgrees: docs/scale.md has what the program says of the figures that are kept beside it.
func TestPageAgrees(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "scale.md"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "scale.md")
	if err := os.WriteFile(path, page, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-dir", "testdata", "-markdown", path}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(page)); diff != "" {
		t.Errorf("docs/scale.md is not what the figures in testdata give: run `go run ./bench/capacity -dir bench/capacity/testdata -markdown docs/scale.md` (-want +got):\n%s", diff)
	}
	if err := updatePage(filepath.Join("testdata", postgresFile), report{}); err == nil || !strings.Contains(err.Error(), begin) {
		t.Errorf("a page without a place for the tables: %v", err)
	}
}

// TestLimitsAreThoseOfTheStore: what the model takes from the program's source still stands there.
func TestLimitsAreThoseOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		file, pattern string
		want          int
	}{
		{"internal/postgres/commit.go", `maxBatch +\= (\d+)\n`, maxBatch},
		{"internal/postgres/queue.go", `move\(b\.results, q\.results, (\d)\*maxBatch\)`, maxOutcomes / maxBatch},
		{"internal/postgres/place.go", `nodeBits +\= (\d+)\n`, int(math.Log2(maxNode + 1))},
		{"internal/config/settings.go", `&c\.BucketEvents, 1000, ([\d_]+)}`, 4_000_000},
		{"docs/postgresql.md", `a node uses up to (\d+):`, connections},
	} {
		b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(tt.file)))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(tt.pattern).FindSubmatch(b)
		if m == nil {
			t.Errorf("%s has nothing like %s any more", tt.file, tt.pattern)
			continue
		}
		if got, err := strconv.Atoi(strings.ReplaceAll(string(m[1]), "_", "")); err != nil || got != tt.want {
			t.Errorf("%s says %s, the model %d", tt.file, m[1], tt.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0456: "0.046", 3.14: "3.1", 99.4: "99", 385.5: "386", 1000: "1,000", 10_357: "10,357", 17_765.4: "17,800",
		1e6: "1,000,000", 2847: "2,847"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}
