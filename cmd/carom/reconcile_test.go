package main

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/reconcile"

	"github.com/google/go-cmp/cmp"
)

// noonZone is a time zone in which it is about noon, so that a test ends on the day on which it begins.
func noonZone(t *testing.T) (name, day string) {
	t.Helper()
	now := time.Now().UTC()
	name = fmt.Sprintf("Etc/GMT%+d", now.Hour()-12) // "Etc/GMT+0" is one as well, and no other word of a transcript, as "UTC" is
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, now.In(zone).Format(time.DateOnly)
}

// sendMonth sends 1,000 postbacks: 870 good ones, 40 copies, 60 that the network does not pay for, 20 of no use and 10 with
// another secret.
func sendMonth(t *testing.T, s *caromtest.Server) {
	t.Helper()
	const good = "event=impression&value=valued&zone_id=8790478&estimated_price=0.001&ymid="
	var urls []string
	add := func(n int, format string) {
		for i := range n {
			urls = append(urls, s.URL+caromtest.Door+"?"+strings.ReplaceAll(format, "#", fmt.Sprint(i)))
		}
	}
	add(870, good+"view-#")
	send := func() {
		var wg sync.WaitGroup
		work := make(chan string, len(urls)) // holds all of them: nobody waits for room
		for _, u := range urls {
			work <- u
		}
		close(work)
		for range 16 {
			wg.Go(func() {
				for u := range work {
					resp, err := http.Get(u)
					if err != nil {
						t.Error(err)
						continue
					}
					_ = resp.Body.Close()
				}
			})
		}
		wg.Wait()
		urls = nil
	}
	send()
	add(40, good+"view-#")
	add(60, "event=impression&value=not_valued&zone_id=8790478&ymid=unpaid-#")
	add(20, good+"{ymid}&n=#")
	for range 10 {
		urls = append(urls, s.URL+"/in/game/ads/another-secret-0123456789abcdef?"+good+"forged")
	}
	send()
	caromtest.Until(t, "what proved nothing to be counted", func() bool {
		var st api.Stats
		s.Get(t, "/v1/stats?group_by=outcome", &st)
		n := int64(0)
		for _, c := range st.Counts {
			n += c.N
		}
		return n == 1000
	})
}

// TestReconcileTranscript: of 1,000 that the network counts and 870 that we do, nothing stays unexplained. docs/reconcile.md
// shows what the commands print.
func TestReconcileTranscript(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	sendMonth(t, s)
	zone, day := noonZone(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "march.csv")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Date;Zone ID;Impressions;Revenue (USD)\n" + day + ";8790478;1.000;0,94\nTotal;;1.000;0,94\n")
	run := func(args ...string) result {
		t.Helper()
		return carom1(t, "", append(append([]string{"reconcile"}, args...), "--data", s.Data)...)
	}
	var transcript strings.Builder
	show := func(code int, args ...string) {
		t.Helper()
		got := run(args...)
		if got.code != code || got.errOut != "" {
			t.Fatalf("carom reconcile %s: code %d, want %d\n%s%s", args, got.code, code, got.out, got.errOut)
		}
		fmt.Fprintf(&transcript, "$ carom reconcile %s\n%s\n", strings.ReplaceAll(strings.Join(args, " "), dir+string(filepath.Separator), ""), got.out)
	}
	show(0, "--network-csv", file, "--source", "game/ads", "--day-zone", zone)
	show(0, "--source", "game/ads", "--from", day, "--to", day, "--day-zone", zone)
	write("Date;Zone ID;Impressions;Revenue (USD)\n" + day + ";8790478;990;0,93\n")
	show(0, "--network-csv", file, "--source", "game/ads", "--day-zone", zone)
	show(0, "--list", "game/ads")

	text := strings.NewReplacer(day, "2026-03-04", zone, "Etc/GMT+5").Replace(transcript.String())
	ids := map[string]string{}
	text = regexp.MustCompile(`stm_[0-9a-z]{21}`).ReplaceAllStringFunc(text, func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("stm_1kvcvynz000010000000%d", len(ids)+1)
		}
		return ids[id]
	})
	text = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`).ReplaceAllString(text, "2026-03-05 09:12")
	text = regexp.MustCompile(`--since \d+d`).ReplaceAllString(text, "--since 2d")
	checkTranscript(t, text)

	again := run("--network-csv", file, "--source", "game/ads", "--day-zone", zone)
	if again.code != 0 || !strings.Contains(again.out, "was kept before as") {
		t.Errorf("the same file again: %d %s%s", again.code, again.out, again.errOut)
	}
	for _, args := range [][]string{{"--compare", "--source", "game/ads", "-o", "csv"}, {"--source", "game/ads", "-o", "csv"}} {
		got := run(args...)
		if rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll(); got.code != 0 || err != nil || len(rows) < 2 {
			t.Errorf("%v: %d, %v, %s%s", args, got.code, err, got.out, got.errOut)
		}
	}
	write("Date;Zone ID;Impressions\n" + day + ";8790478;1100\n")
	if got := run("--network-csv", file, "--source", "game/ads", "--day-zone", zone); got.code != 1 || !strings.Contains(got.out, "unexplained") {
		t.Errorf("100 more than can be explained: %d %s%s", got.code, got.out, got.errOut)
	}
}

// checkTranscript compares a transcript with that of docs/reconcile.md, or writes it there.
func checkTranscript(t *testing.T, text string) {
	t.Helper()
	const (
		begin = "<!-- transcript begin: written by `go test ./cmd/carom -run Reconcile -update` -->\n```\n"
		end   = "```\n<!-- transcript end -->"
	)
	page := filepath.Join(root, "docs", "reconcile.md")
	have, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(have), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the transcript", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+text+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(text, got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", page, diff)
	}
}

func TestReconcileUsage(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.csv")
	if err := os.WriteFile(large, make([]byte, reconcile.MaxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"--network-csv nowhere.csv --source game/ads", "no file nowhere.csv"},
		{"--network-csv " + large + " --source game/ads", "export fewer days"},
		{"--network-csv nowhere.csv", "--source is missing"},
		{"--compare", "--source is missing"},
		{"--dry-run", "--dry-run needs --network-csv"},
		{"--list ads", "APP/NAME"},
		{"--statement 7", "not the id of a statement"},
		{"--list game/ads -o csv", "-o csv is for reports"},
		{"-o xml", "text, json or csv"},
	} {
		s := &fakeServer{t: t}
		if got := s.carom(append([]string{"reconcile"}, strings.Fields(tt.args)...)...); got.code != exitUsage || !strings.Contains(got.errOut, tt.want) {
			t.Errorf("carom reconcile %s: code %d, %q, want 2 with %q", tt.args, got.code, got.errOut, tt.want)
		}
	}
}

func TestReconcileTellsEveryBadLine(t *testing.T) {
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	file := filepath.Join(t.TempDir(), "bad.csv")
	if err := os.WriteFile(file, []byte("Date,Impressions\nyesterday,1\n2026-03-02,many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := carom1(t, "", "reconcile", "--network-csv", file, "--source", "game/ads", "--data", s.Data)
	want := "carom: bad.csv:2:1: Date: \"yesterday\" is no date of the form YYYY-MM-DD\ncarom: bad.csv:3:2: Impressions: \"many\" is no number\n"
	if got.code != exitProblem || got.errOut != want {
		t.Errorf("code %d, %q, want %q", got.code, got.errOut, want)
	}
	if list := carom1(t, "", "reconcile", "--list", "game/ads", "--data", s.Data); !strings.Contains(list.out, "No statement") {
		t.Errorf("something was kept: %s", list.out)
	}
}

func TestStatementText(t *testing.T) {
	n := int64(5)
	story := api.StatementStory{
		Statement: api.Statement{
			ID: carom.NewStatementID(7, 1), Source: "game/ads", File: "a.csv", At: noon(), By: "ci", From: "2026-03-01", To: "2026-03-01", Map: "own",
			DayZone: "Asia/Kathmandu", Currency: "EUR", Notes: []string{"A note.\x1b[2J"},
		},
		Rows: []api.StatementRow{{Day: "2026-03-01", Zone: "7", Clicks: &n, Revenue: "1.5"}},
	}
	s := &fakeServer{t: t, answers: map[string]string{"GET /v1/reconcile/statements/" + string(story.Statement.ID): encode(t, story)}}
	got := s.carom("reconcile", "--statement", string(story.Statement.ID))
	for _, part := range []string{"2026-03-01 to 2026-03-01, Asia/Kathmandu", "2026-03-04 12:00 by ci", "A note.·[2J", "2026-03-01  7     -         -            5       -       1.5"} {
		if !strings.Contains(got.out, part) {
			t.Errorf("%q is missing in:\n%s%s", part, got.out, got.errOut)
		}
	}
}

// TestNextCommandsAreThere: what an explanation says to type is a command with flags that there are.
func TestNextCommandsAreThere(t *testing.T) {
	zone, err := reconcile.LoadZone("day_zone", "UTC")
	if err != nil {
		t.Fatal(err)
	}
	days, err := reconcile.NewDays("2026-03-01", "2026-03-02", zone)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	count := func(hours int, eventType, value, outcome string) carom.QuarterCount {
		return carom.QuarterCount{At: at.Add(time.Duration(hours) * time.Hour), EventType: eventType, Value: value, Outcome: outcome, N: 10}
	}
	many, few := int64(1000), int64(0)
	got, err := reconcile.Compare(&reconcile.Case{
		App: "game", Source: "ads", Days: days, Prices: "USD", Now: noon(),
		Stated: map[string][]carom.StatementRow{"2026-03-01": {{Day: "2026-03-01", Impressions: &many}}, "2026-03-02": {{Day: "2026-03-02", Impressions: &few}}},
		Counts: []carom.QuarterCount{
			count(0, "impression", "valued", "accepted"), count(4, "impression", "valued", "accepted"), count(0, "impression", "valued", "duplicate"),
			count(0, "impression", "valued", "duplicate_late"), count(0, "impression", "valued", "conflict"), count(0, "impression", "valued", "held"),
			count(0, "impression", "unknown", "held"), count(0, "impression", "not_valued", "accepted"), count(0, "", "", "refused:too_large"),
			count(0, "", "", "unverified:stale"), count(16, "impression", "valued", "accepted"), count(26, "reversal", "empty", "accepted"),
			count(26, "impression", "valued", "accepted"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reconcile.Cause]bool{}
	for i := range got.Days {
		for _, e := range got.Days[i].Explained {
			seen[e.Cause] = true
			c := &cli{environ: func() []string { return nil }}
			args := strings.Fields(e.Next)
			cmd, rest, err := c.root().Find(args[1:])
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil || cmd.Name() == "carom" {
				t.Errorf("%s: %q: %v", e.Cause, e.Next, err)
			}
		}
	}
	if len(seen) != 11 {
		t.Errorf("%d causes are tried out, want 11: %v", len(seen), seen)
	}
}
