package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/machine"
)

func sampleStates() *api.Status {
	return &api.Status{
		Verdict: api.Attention, At: noon(),
		Sources: []api.SourceStatus{
			{ID: "shop/monetag", State: "ok", LastReceived: noon().Add(-time.Minute), LastHour: api.HourCounts{Accepted: 120, Duplicate: 2}},
			{ID: "shop/orders", State: "quiet", Since: noon().Add(-3 * time.Hour), LastReceived: noon().Add(-3 * time.Hour)},
			{ID: "shop/wall", State: "refusing", Since: noon().Add(-time.Hour), LastHour: api.HourCounts{Refused: 9, Unverified: 1}, Waiting: 4},
		},
		Endpoints: []api.EndpointStatus{
			{ID: "shop/tracker", State: "ok", LastSuccess: noon().Add(-time.Minute)},
			{ID: "shop/backend", State: "dead", Since: noon().Add(-3 * time.Hour), Waiting: 12, FirstExpires: noon().Add(69 * time.Hour),
				LastSuccess: noon().Add(-3 * time.Hour), LastFailure: "status 503\x1b[2J"},
		},
	}
}

func TestStatesAndAlertsAsText(t *testing.T) {
	alert := api.Alert{
		Kind: api.KindEndpointDead, Subject: "endpoint shop/backend", Severity: api.Attention, Opened: noon().Add(-time.Hour), Fault: api.Receiver,
		What: "it does not take deliveries\x1b", HowMuch: "12 deliveries wait", Next: "repair it", Runbook: "docs/runbook/endpoint-dead.md",
	}
	over := alert
	over.Ended = noon()
	list := api.AlertList{Open: []api.Alert{alert}, Ended: []api.Alert{over}, Channels: []api.AlertChannel{
		{Name: "email", LastSent: noon()}, {Name: "telegram", FailingSince: noon().Add(-time.Hour), Reason: "chat not found", Waiting: 1}, {Name: "slack"},
	}}
	many := &api.Status{}
	for i := range 30 {
		many.Sources = append(many.Sources, api.SourceStatus{ID: "shop/s" + string(rune('a'+i)), State: "ok"})
	}
	for _, tt := range []struct {
		file  string
		write func(*bytes.Buffer)
	}{
		{"states.txt", func(b *bytes.Buffer) { writeStates(b, sampleStates()) }},
		{"states_many.txt", func(b *bytes.Buffer) { writeStates(b, many) }},
		{"alerts.txt", func(b *bytes.Buffer) { writeAlerts(b, &list) }},
		{"alerts_none.txt", func(b *bytes.Buffer) { writeAlerts(b, &api.AlertList{}) }},
		{"alerts_tested.txt", func(b *bytes.Buffer) {
			writeAlertTests(b, api.AlertTests{Tests: []api.AlertTest{
				{Channel: "email", OK: true, Answer: "taken by smtp.example.com", TookMS: 412.2}, {Channel: "telegram", Answer: "telegram: chat not found", TookMS: 97},
			}})
		}},
		{"machine.txt", func(b *bytes.Buffer) {
			writeMachine(b, machineReport{[]machine.Finding{
				{Name: "version", Result: machine.OK, Found: "carom v1.2.3"},
				{Name: "file limit", Result: machine.Warn, Found: "1024 files", Meaning: "connections are not taken", Fix: "LimitNOFILE=14352"},
				{Name: "dns", Result: machine.Skip, Found: "no name to look up"},
			}})
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			var b bytes.Buffer
			tt.write(&b)
			golden(t, tt.file, b.String())
			if strings.ContainsRune(b.String(), 0x1b) {
				t.Error("a control character from outside reaches the terminal")
			}
		})
	}
}

func TestAlertCommands(t *testing.T) {
	for _, tt := range []struct {
		name, args, route, answer string
		code                      int
		out                       string
	}{
		{"nothing is open", "alerts", "GET /v1/alerts", `{"open":[],"ended":[],"channels":[{"name":"email"}]}`, 0, "No alert is open"},
		{"one is open", "alerts", "GET /v1/alerts", `{"open":[{"kind":"endpoint-dead","subject":"endpoint shop/backend","severity":"attention"}]}`, 1, "endpoint-dead"},
		{"a channel fails", "alerts", "GET /v1/alerts", `{"channels":[{"name":"slack","failing_since":"2026-03-04T11:00:00Z","reason":"no_service"}]}`, 1, "no_service"},
		{"a test arrives", "alerts test", "POST /v1/alerts/test", `{"tests":[{"channel":"email","ok":true,"answer":"taken"}]}`, 0, "sent"},
		{"a test does not", "alerts test -o json", "POST /v1/alerts/test", `{"tests":[{"channel":"slack","ok":false,"answer":"no_service"}]}`, 1, `"ok": false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{t: t, status: map[string]int{}, answers: map[string]string{tt.route: tt.answer}}
			r := s.carom(strings.Fields(tt.args)...)
			if len(s.asked) != 1 || s.asked[0] != tt.route || r.code != tt.code || !strings.Contains(r.out, tt.out) {
				t.Errorf("asked %v; code %d, want %d; the output lacks %q:\n%s%s", s.asked, r.code, tt.code, tt.out, r.out, r.errOut)
			}
		})
	}
}

func TestCheckMachine(t *testing.T) {
	r := carom1(t, "", "check", "--machine", "--data", t.TempDir())
	if r.code > exitProblem || !strings.Contains(r.out, "disk speed") || !strings.Contains(r.out, "egress address") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--machine", "--data", t.TempDir(), "-o", "json"); !strings.Contains(r.out, `"name": "file limit"`) {
		t.Errorf("as JSON: %s%s", r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--machine", "--ledger"); r.code != exitUsage {
		t.Errorf("with --ledger: code %d", r.code)
	}
	if r := carom1(t, "", "check", "--ntp", "pool.ntp.org"); r.code != exitUsage {
		t.Errorf("--ntp alone: code %d", r.code)
	}
}

// TestDocumentedAlertSettings: every sample of settings in docs/alerts.md can be used, with files for its secrets.
func TestDocumentedAlertSettings(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	samples := blocks(string(page), "yaml settings")
	if len(samples) != 3 {
		t.Errorf("%d samples of settings, want one for each channel", len(samples))
	}
	dir := t.TempDir()
	secret, file := filepath.Join(dir, "secret"), filepath.Join(dir, "settings.yaml")
	if err := os.WriteFile(secret, []byte("https://chat.example/services/T0/B0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range samples {
		text = regexp.MustCompile(`/etc/carom/[a-z-]+`).ReplaceAllString(text, secret)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(nil, func() []string { return []string{"CAROM_SETTINGS=" + file} }); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}
