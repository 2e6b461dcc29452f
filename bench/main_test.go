package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom/bench/load"
	"carom/bench/proc"
	"carom/bench/reference"
	"carom/bench/standin"
	"carom/internal/config"
	"carom/internal/objects"
	"carom/internal/server"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// TestMain lets the test binary be the benchmark's own parts and the stand-in for the server.
func TestMain(m *testing.M) {
	var err error
	switch {
	case isPart(os.Args):
		err = runPart(context.Background(), os.Args[1], os.Args[2:], os.Stdin, os.Stdout)
	case len(os.Args) > 1 && os.Args[1] == "serve" && (os.Getenv("CAROM_DATABASE") != "" || os.Getenv("CAROM_RETENTION") != ""): // of the readers part
		err = serve(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = standin.Run(os.Args[2:])
	default:
		// Under the race detector each process would linger for a second at its end.
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve is carom itself: no stand-in has its tables, or its dashboard's data.
func serve(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg, err := config.Load(flags, os.Environ)
	if err != nil {
		return err
	}
	return server.Run(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})), "test")
}

// tiny are options for a run against the stand-in that takes as little time as can be.
func tiny(t *testing.T, more ...string) options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseOptions(append(more, "-rounds", "1", "-pairs", "1", "-growth-events", "500", "-dead-events", "300", "-views", "30", "-only", "ratio"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	// The folder of a test may lie in memory, which a benchmark refuses; the parts are called below that check.
	o.Carom, o.Dir, o.Out = self, t.TempDir(), filepath.Join(t.TempDir(), "out", "latest.json")
	o.DashboardPages = filepath.Join("..", o.DashboardPages)
	o.Senders, o.Pages, o.Connect, o.IdleAfter = 8, 8, 60*time.Millisecond, time.Millisecond
	o.WarmUp, o.Window, o.PairWindow, o.OpenWait = 20*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond, 20*time.Millisecond
	return o
}

func TestPartsAgainstAStandIn(t *testing.T) {
	r, err := newRig(tiny(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	rep, err := readReport(r.Suite, r.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range r.Suite.parts {
		name, p := sp.name, &part{}
		if err := sp.run(r, context.Background(), rep, p); err != nil {
			t.Fatalf("part %s: %v", name, err)
		}
		rep.Parts[name] = p
		if p.Missing != 0 || p.Duplicates != 0 || len(p.Rounds) == 0 {
			t.Errorf("part %s: missing %d, duplicates %d, %d rounds, notes %q", name, p.Missing, p.Duplicates, len(p.Rounds), p.Notes)
		}
	}
	rep.sum()
	for _, f := range r.Suite.figures {
		// On a slow machine nothing may get through in so short a window, and then there is no ratio.
		if v, ok := rep.get(f.key); !ok && !strings.HasSuffix(f.key, "ratio") {
			t.Errorf("%s was not measured", f.key)
		} else if v < 0 && !strings.HasSuffix(f.key, "diff_ms") {
			t.Errorf("%s = %v", f.key, v)
		}
	}
	if g, d := rep.figures["growth_events"], rep.figures["dead_events"]; g != 500 || d != 300 {
		t.Errorf("%v events for growth and %v for the dead endpoint, want 500 and 300", g, d)
	}
}

// TestForgottenViewsAreNoticed shows that the account of beacons is no formality.
func TestForgottenViewsAreNoticed(t *testing.T) {
	t.Setenv(standin.FaultEnv, standin.FaultForget)
	r, err := newRig(tiny(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	p := &part{}
	rep := &report{figures: map[string]float64{}}
	if err := r.beacons(context.Background(), rep, p); err != nil {
		t.Fatal(err)
	}
	if n := rep.figures["beacons_missing"]; n == 0 || p.Missing != int64(n) {
		t.Errorf("beacons_missing = %v, and %d in the part's account; every tenth is", n, p.Missing)
	}
}

func TestReportKeepsTheFiguresOfOtherParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out", "latest.json")
	rep, err := readReport(folderSuite(), path)
	if err != nil {
		t.Fatal(err)
	}
	rep.Machine = machine{Cores: 2, FileSystem: "ext4"}
	rep.set(figCarom, 12345.678)
	rep.set("ratio", 0.71234)
	rep.set("cpu_ratio", math.NaN())
	rep.Parts[ratioPart] = &part{At: "2026-01-02T03:04:05Z", Missing: 2, Rounds: []any{"x"}}
	rep.Parts[growthPart] = &part{Missing: 1, Duplicates: 3}
	if err := rep.write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, k := range []string{figCarom, "ratio", "cpu_ratio", figMissing, figDuplicates} {
		got[k] = raw[k]
	}
	want := map[string]any{figCarom: 12346.0, "ratio": 0.7123, "cpu_ratio": nil, figMissing: 3.0, figDuplicates: 3.0}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	back, err := readReport(folderSuite(), path)
	if err != nil {
		t.Fatal(err)
	}
	if back.Machine != rep.Machine || back.figures["ratio"] != 0.7123 || back.Parts[ratioPart].Missing != 2 {
		t.Errorf("read back: %+v, %v", back.Machine, back.figures)
	}
	if _, ok := back.get("cpu_ratio"); ok {
		t.Error("a figure that was not measured came back")
	}
}

func TestRatioFigures(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	ms := []measurement{
		{Target: partHandler, Accepted: 50_000},
		{Target: partForwarder, Delivered: 20_000, CPUPer1000: 0.05},
		{Target: "carom", Delivered: 16_000, CPUPer1000: 0.06, PeakRSS: 100, Commits: n(900), Syncs: n(901)},
		{Target: partForwarder, Delivered: 18_000, CPUPer1000: 0.04},
		{Target: "carom", Delivered: 14_000, CPUPer1000: 0.08, PeakRSS: 120, Commits: n(1100), Syncs: n(1101)},
		{Target: partForwarder, Delivered: 25_000, CPUPer1000: 0.06},
		{Target: "carom", Delivered: 15_000, CPUPer1000: 0.07, PeakRSS: 110, Commits: n(1000), Syncs: n(1001)},
	}
	rep := &report{figures: map[string]float64{}}
	ratioFigures(rep, ms)
	want := map[string]float64{"handler_per_s": 50_000, figForwarder: 20_000, figCarom: 15_000, "ratio": 0.75, "cpu_s_per_1000": 0.07,
		"forwarder_cpu_s_per_1000": 0.05, "cpu_ratio": 1.4, "rss_mb": 120, "commits": 1000, "syncs": 1001}
	for k, v := range want {
		if got := rep.figures[k]; math.Abs(got-v) > 1e-9 {
			t.Errorf("%s = %v, want %v", k, got, v)
		}
	}
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		name    string
		figures map[string]float64
		key     string
		want    string
	}{
		{"at least, met", map[string]float64{"ratio": 0.7}, "ratio", "met"},
		{"at least, missed", map[string]float64{"ratio": 0.69}, "ratio", "MISSED"},
		{"at most, met", map[string]float64{"idle_rss_mb": 40}, "idle_rss_mb", "met"},
		{"not measured", nil, "ratio", ""},
		{"without a target", map[string]float64{"syncs": 3}, "syncs", ""},
		{"slow, but so is the forwarder", map[string]float64{figE2E500: 14, figForwarder500: 3}, figE2E500, "met"},
		{"slower than the forwarder by far", map[string]float64{figE2E500: 14, figForwarder500: 2}, figE2E500, "MISSED"},
		{"within a quarter", map[string]float64{figIsolation: 1.2, figIsolationMS: 5}, figIsolation, "met"},
		{"within two milliseconds", map[string]float64{figIsolation: 3, figIsolationMS: 1.9}, figIsolation, "met"},
		{"disturbed", map[string]float64{figIsolation: 3, figIsolationMS: 2.1}, figIsolation, "MISSED"},
		{"disturbed by bad endpoints", map[string]float64{figEndpoints: 1.3, figEndpointsMS: 2.1}, figEndpointsMS, "MISSED"},
		{"hardly disturbed by bad endpoints", map[string]float64{figEndpoints: 1.2, figEndpointsMS: 9}, figEndpointsMS, "met"},
		{"half of a bare handler", map[string]float64{"beacons_ratio": 0.5}, "beacons_ratio", "met"},
		{"a postback that comes late", map[string]float64{"shows_e2e_p99_ms": 50.1}, "shows_e2e_p99_ms", "MISSED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rep := &report{suite: folderSuite(), figures: tt.figures}
			for _, row := range rep.rows() {
				if row.key == tt.key && row.verdict != tt.want {
					t.Errorf("verdict %q, want %q (%+v)", row.verdict, tt.want, row)
				}
			}
		})
	}
}

func TestMarkdownReplacesOnlyTheTable(t *testing.T) {
	dir := t.TempDir()
	doc, out := filepath.Join(dir, "doc.md"), filepath.Join(dir, "latest.json")
	fs := folderSuite()
	rep := &report{suite: fs, Parts: map[string]*part{ratioPart: {At: "2026-01-02", Carom: "carom 0.1"}}, figures: map[string]float64{"ratio": 0.8}}
	if err := rep.write(out); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(doc, []byte("before\n"+fs.begin+"\nstale figures\n"+fs.end+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // writing twice changes nothing
		if err := updateMarkdown(fs, doc, out); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	if !strings.HasPrefix(s, "before\n") || !strings.HasSuffix(s, fs.end+"\nafter\n") || strings.Contains(s, "stale") ||
		!strings.Contains(s, "| `ratio` | 0.8 | ≥ 0.7 | met |") || strings.Contains(s, "handler_per_s") {
		t.Errorf("document:\n%s", s)
	}
	if err := os.WriteFile(doc, []byte("no place"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := updateMarkdown(fs, doc, out); err == nil {
		t.Error("a document without the place was accepted")
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-quick", "-only", "latency,dead"}, io.Discard)
	if err != nil || o.Rounds != 1 || o.DeadEvents != 20_000 {
		t.Errorf("options = %+v, %v", o, err)
	}
	if diff := cmp.Diff([]string{latencyPart, deadPart}, o.Only); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if o, err = parseOptions([]string{"-postgres", "-only", "growth,nodes"}, io.Discard); err != nil || o.Out != "bench/out/postgres.json" || o.Suite.target != postgresTarget {
		t.Errorf("options = %+v, %v", o, err)
	}
	for _, args := range [][]string{{"-only", "speed"}, {"-rounds", "0"}, {"quick"}, {"-fast"}, {"-postgres", "-only", "dead"}, {"-only", "nodes"}, {"-postgres", "-growth-dir", "x"}} {
		if _, err := parseOptions(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestBenchNeedsTheServer(t *testing.T) {
	o := tiny(t)
	o.Carom = filepath.Join(t.TempDir(), "absent")
	var w bytes.Buffer
	if err := bench(context.Background(), o, &w); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("error = %v, want one that says how to build", err)
	}
}

// TestObjectsFilesAreAccepted shows that the server takes what the benchmark configures it with.
func TestObjectsFilesAreAccepted(t *testing.T) {
	secret := proc.NewSecret()
	ways := []endpoint{
		{name: "plain", addr: "127.0.0.1:1", path: "/postback"},
		{name: "slow", addr: "127.0.0.1:1", path: "/slow?ms=2000", zone: zoneDead, rate: 10},
	}
	for name, tt := range map[string]struct {
		text             string
		endpoints, zones int
		source           string
	}{
		"postbacks":       {objectsFile(secret, ways...), 2, 0, "monetag"},
		"without a way":   {objectsFile(secret), 0, 0, "monetag"},
		"reports":         {reportsFile(ways...), 2, 0, "server"},
		"views":           {viewsFile(ways...), 2, 1, "sdk"},
		"views to nobody": {viewsFile(), 0, 1, "sdk"},
		"rewards":         {rewardsFile(secret, "127.0.0.1:1"), 1, 0, "monetag"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := objects.Parse("carom.yaml", []byte(tt.text), objects.Env{})
			if err != nil {
				t.Fatalf("%v in:\n%s", err, tt.text)
			}
			o := f.Objects
			o.AddSDKSources()
			if len(o.Endpoints) != tt.endpoints || len(o.Zones) != tt.zones || len(o.Sources) != 1 || o.Sources[0].Name != tt.source {
				t.Errorf("%d endpoints, %d zones, sources %+v; want %d, %d and the source %s", len(o.Endpoints), len(o.Zones), o.Sources,
					tt.endpoints, tt.zones, tt.source)
			}
		})
	}
}

// TestSignedBeacons shows that the handler takes the very requests that carom gets.
func TestSignedBeacons(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := writeTokens(path, []byte("key"), []string{"token-1", "token-2", "token-3"}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(reference.HMAC([]byte("key")))
	defer srv.Close()
	cfg := beaconTraffic(path)
	cfg.Addr, cfg.Senders, cfg.Count, cfg.TokensAgain = srv.Listener.Addr().String(), 2, 7, true
	res, err := load.Run(context.Background(), cfg)
	if err != nil || res.Acked != 7 || res.UsedUp {
		t.Errorf("%+v, %v; want 7 acknowledged", res, err)
	}
}

func TestPostbackHasTheSizeOfARealOne(t *testing.T) {
	p := postback(strings.Repeat("a", 32), zoneMain)
	if n := len("GET  HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nUser-Agent: carom-bench\r\n\r\n") + len(p); n < 250 || n > 350 {
		t.Errorf("a request has %d bytes, want about 300", n)
	}
}
