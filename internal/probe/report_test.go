package probe

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files and the table of checks in docs/probe.md anew")

// text is a report as a person reads it.
func text(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sampleReport has one check of each verdict, and text that a receiver could use against whoever reads it.
func sampleReport() *Report {
	sent := func(n int, query, answer string) Exchange {
		return Exchange{Sent: "GET /postback?" + query, Times: n, Status: 200, Answer: answer, TookMS: 4}
	}
	return &Report{
		Target: "http://127.0.0.1:3000/postback?token=***&ymid={ymid}", Network: "monetag", YMID: "view", Secret: "the parameter token",
		Users: "carom-probe-abc123", Books: true, Reached: true, Requests: 12,
		Checks: []Check{
			{ID: "answered", Group: "contact", Title: "it answers", Verdict: Pass, Meaning: "Networks get an answer.", Sent: []Exchange{sent(0, "ymid=a", "OK")}},
			{ID: "certificate", Group: "contact", Title: "its certificate is believed", Verdict: Warn, Meaning: "The URL is not https.", Fix: "Serve it by https."},
			{ID: "duplicates-parallel", Group: "identity", Title: "it takes eight copies at once, and pays once", Verdict: Fail, Harm: PaysTwice,
				Meaning: "One event was paid more than once. The books show 8 instead of 1.", Fix: "Use a unique key.",
				Sent: []Exchange{sent(8, "ymid=b", `<script>alert("1")</script>`)}},
			{ID: "broken-connection", Group: "identity", Title: "it pays once when the connection breaks", Verdict: Fail, Harm: LosesOnRetry, Meaning: "It was never paid.", Fix: "One transaction.",
				Sent: []Exchange{{Sent: "GET /postback (closed)"}, {Sent: "GET /postback", Error: "not done within 5s", TookMS: 5000}}},
			{ID: "price-huge", Group: "money", Title: "it does not pay any amount", Verdict: Unknown, Meaning: "Only its books know.", Sent: []Exchange{sent(0, "price=1e12", "")}},
			{ID: "unknown-word", Group: "money", Title: "it does not pay for an unknown word", Verdict: Skip, Meaning: "The URL has no {reward_event_type}."},
		},
	}
}

func TestReportWriters(t *testing.T) {
	r := sampleReport()
	for name, write := range map[string]func(io.Writer) error{
		"report.txt":      func(w io.Writer) error { return r.WriteText(w, false) },
		"report-full.txt": func(w io.Writer) error { return r.WriteText(w, true) },
		"report.xml":      r.WriteJUnit,
		"report.html":     r.WriteHTML,
		"report.json": func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("%s (-want +got), -update writes it anew:\n%s", file, diff)
			}
			if strings.HasSuffix(name, ".html") && (strings.Contains(b.String(), "<script") || strings.Contains(b.String(), "http-equiv") || strings.Contains(b.String(), "src=")) {
				t.Error("the page holds a script, or asks for something")
			}
			if strings.HasSuffix(name, ".xml") {
				if err := xml.Unmarshal(b.Bytes(), new(junitSuites)); err != nil {
					t.Errorf("it cannot be read again: %v", err)
				}
			}
		})
	}
}

// failing is a writer that takes nothing.
type failing struct{}

var errFull = errors.New("the disk is full")

// Write implements io.Writer.
func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestReportWritersSayWhenTheyCannotWrite(t *testing.T) {
	r := sampleReport()
	for name, err := range map[string]error{"text": r.WriteText(failing{}, true), "JUnit": r.WriteJUnit(failing{}), "HTML": r.WriteHTML(failing{})} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: got %v, want %v", name, err, errFull)
		}
	}
}

func TestSummary(t *testing.T) {
	for want, r := range map[string]*Report{
		"2 faults: pays twice, loses on retry (6 checks: 1 passed, 2 failed, 1 may hurt one day, 1 cannot be told, 1 not tried)": sampleReport(),
		"no fault was found (1 checks: 1 passed, 0 failed)":                                                                      {Checks: []Check{{Verdict: Pass}}},
		"1 fault: open door (2 checks: 0 passed, 2 failed); ended early: interrupt":                                              {Ended: "interrupt", Checks: []Check{{Verdict: Fail, Harm: OpenDoor}, {Verdict: Fail, Harm: OpenDoor}}},
	} {
		if got := r.Summary(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		" OK\n":                  "OK",
		"a\x1b[2Jb\r\nc":         "a·[2Jb··c",
		"right\u202eleft":        "right·left",
		"\xff":                   "·",
		strings.Repeat("ü", 200): strings.Repeat("ü", 120) + "…",
	} {
		if got := safe(in); got != want {
			t.Errorf("safe(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLateAnswersAreTold(t *testing.T) {
	for took, want := range map[int64]Verdict{2400: "", 2600: Warn} {
		s := &session{client: newClient(5*time.Second, nil), checks: []Check{{Sent: []Exchange{{Status: 200, TookMS: took}}}}}
		c := &Check{}
		checkInTime(&trial{session: s, check: c})
		if c.Verdict != want {
			t.Errorf("an answer in %d ms: got %q, want %q", took, c.Verdict, want)
		}
	}
}

// TestSecretsAreMasked: a receiver that repeats the secret does not bring it into a report.
func TestSecretsAreMasked(t *testing.T) {
	srv := newReceiver(t, mistakes{echoes: true})
	r, err := Run(t.Context(), Target{URL: srv.URL + "/postback" + fullQuery}, quick())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := errors.Join(r.WriteText(&b, true), r.WriteHTML(&b), r.WriteJUnit(&b), enc.Encode(r)); err != nil {
		t.Fatal(err)
	}
	if at := strings.Index(b.String(), secret); at >= 0 {
		t.Errorf("the secret is in a report: …%s…", b.String()[max(0, at-80):at])
	}
}

// TestChecksAreDocumented keeps the table of checks in docs/probe.md in step with the code.
func TestChecksAreDocumented(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("| check | about | a right receiver: | so that |\n|---|---|---|---|\n")
	seen := map[string]bool{}
	for _, r := range table() {
		if seen[r.id] || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(r.id) {
			t.Errorf("the id %q is taken or not in kebab-case", r.id)
		}
		seen[r.id] = true
		good := strings.TrimSuffix(r.good, ".")
		_, _ = fmt.Fprintf(&rows, "| `%s` | %s | %s | %s |\n", r.id, r.group, r.title, strings.ToLower(good[:1])+good[1:])
	}
	documented(t, "checks", rows.String())
}

// TestTranscript keeps the run that docs/probe.md shows in step with the code. What differs from run to run is made alike.
func TestTranscript(t *testing.T) {
	r := probed(t, mistakes{races: true, optionalSecret: true}, fullQuery, true)
	got := text(t, r)
	for _, alike := range []struct{ pattern, with string }{
		{`127\.0\.0\.1:\d+`, "127.0.0.1:3000"},
		{`, in \d+ ms`, ", in 2 ms"},
		{`\.[a-z2-7]{12}&`, ".k3x9w2m7c5qa&"},
		{`carom-probe-t\b`, "carom-probe-7h2kqe"},
		{`show \d+ instead`, "show 8 instead"},
	} {
		got = regexp.MustCompile(alike.pattern).ReplaceAllString(got, alike.with)
	}
	documented(t, "transcript", "```\n"+got+"```\n")
}

// documented checks that a generated part of docs/probe.md is as it has to be, or writes it.
func documented(t *testing.T, part, want string) {
	t.Helper()
	const path = "../../docs/probe.md"
	begin := "<!-- " + part + " begin: written by `go test ./internal/probe -update` -->\n"
	end := "<!-- " + part + " end -->"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the %s", path, part)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", path, diff)
	}
}
