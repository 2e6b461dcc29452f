package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/seal"
	"carom/internal/survey"
)

func TestCheckListsEveryFault(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "carom.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := "apps:\n  shop:\n    sources:\n      monetag: { profile: monetag }\n    endpoints:\n      backend: { url: \"https://shop.example/p?u={ymid}\" }\n"
	if r := carom1(t, "", "check", "-f", write(good)); r.code != 0 || !strings.Contains(r.out, "sources 1, endpoints 1") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--listen", ":9999"); r.code != 0 || !strings.Contains(r.out, ":9999") || !strings.Contains(r.out, "flag") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
	database := "postgres://carom@db.example.com/carom"
	if r := carom1(t, "", "check", "--database", database); r.code != 0 || !strings.Contains(r.out, "warning: secrets_key") {
		t.Errorf("a database without a key: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--database", database, "--secrets-key-file", write(seal.NewKey())); r.code != 0 || strings.Contains(r.out, "warning") {
		t.Errorf("a database with a key: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "--log-format", "xml", "--listen", "x"); r.code == 0 {
		t.Errorf("settings that cannot be used pass: %s%s", r.out, r.errOut)
	}
	bad := "apps:\n  shop:\n    colour: red\n    endpoints:\n      backend:\n        url: https://shop.example/?e={event}\n"
	r := carom1(t, "", "check", "-f", write(bad))
	if r.code != exitProblem || !strings.Contains(r.out, "carom.yaml:3:5: apps.shop.colour") || !strings.Contains(r.out, "event_type") {
		t.Errorf("code %d: %s%s", r.code, r.out, r.errOut)
	}
}

func TestCheckReadsProfilesOfOnesOwn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "internal", "network", "profiles", "cpawild.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "carom.yaml")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "my-wall.yaml"), string(text))
	write(file, "apps:\n  shop:\n    sources:\n      wall: { profile: my-wall, network_secret: what-the-wall-shows }\n")
	if r := carom1(t, "", "check", "-f", file); r.code != exitProblem || !strings.Contains(r.out, "there is no profile") {
		t.Errorf("without the folder: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "check", "-f", file, "--profiles", dir); r.code != 0 || !strings.Contains(r.out, "sources 1") {
		t.Errorf("with the folder: code %d: %s%s", r.code, r.out, r.errOut)
	}
	if r := carom1(t, "", "networks", "show", "my-wall", "--profiles", dir); r.code != 0 || !strings.Contains(r.out, "profile my-wall") {
		t.Errorf("networks show: code %d: %s%s", r.code, r.out, r.errOut)
	}
	write(filepath.Join(dir, "my-wall.yaml"), strings.Replace(string(text), "md5", "md6", 1))
	if r := carom1(t, "", "check", "-f", file, "--profiles", dir); r.code != exitProblem || !strings.Contains(r.out, "my-wall.yaml:") || !strings.Contains(r.out, "sha256") {
		t.Errorf("with a mistake: code %d: %s%s", r.code, r.out, r.errOut)
	}
}

// TestCheckEndpoints: of three endpoints one is fine, one lets anybody invent events, and one refuses repeats. The check says so,
// and no receiver hears of it more than one request for a path that nobody has.
func TestCheckEndpoints(t *testing.T) {
	mux := http.NewServeMux() // which knows what it does not have
	mux.HandleFunc("GET /postback", func(http.ResponseWriter, *http.Request) {})
	careless := caromtest.NewEndpoint(t) // which answers 200 to everything else
	careless.Script("/copies", caromtest.Failed, caromtest.Reply{Status: http.StatusConflict, Body: "seen"})
	var mu sync.Mutex // guards asked
	asked := map[string]int{}
	host := func(h http.Handler) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path := r.URL.Path
			if strings.HasPrefix(path, "/carom-check-") && r.URL.RawQuery == "" && r.Method == "GET" && r.UserAgent() == "carom-check" {
				path = "a visit"
			}
			mu.Lock()
			asked[path]++
			mu.Unlock()
			h.ServeHTTP(w, r)
		}))
		t.Cleanup(srv.Close)
		return srv.URL
	}
	wantAsked := func(visits int) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		want := map[string]int{"/postback": 1, "/open": 1, "/copies": 2}
		if visits > 0 {
			want["a visit"] = visits
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("what receivers were asked for (-want +got):\n%s", diff)
		}
	}
	const rest = "ymid={ymid}&event={event_type}&value={reward_event_type}"
	good, bad := host(mux), host(careless)
	s := caromtest.Start(t, caromtest.Options{Objects: "publishers: { acme: {} }\napps:\n  game:\n    publisher: acme\n    sources:\n" +
		"      ads: { profile: monetag, secret: " + caromtest.Secret + " }\n    endpoints:\n" +
		"      fine: { url: \"" + good + "/postback?key=k3y-0f1e2d&" + rest + "\", allow_private: true }\n" +
		"      open: { url: \"" + bad + "/open?tg={telegram_id}&event={event_type}\", allow_private: true }\n" +
		"      copies: { url: \"" + bad + "/copies?key=k3y-0f1e2d&" + rest + "\", allow_private: true, schedule: [1s, 1h] }\n"})
	s.Accepted(t, "ymid=v1&zone=1&event_type=impression&reward_event_type=valued&telegram_id=7")
	careless.Wait(t, "/copies", 2)
	careless.Wait(t, "/open", 1)
	s.StoryWhen(t, "v1", "its attempts to be stored", func(story api.Story) bool {
		n := 0
		for _, d := range story.Deliveries {
			n += len(d.Attempts)
		}
		return n == 4
	})

	check := func(code int, args ...string) survey.EndpointReport {
		t.Helper()
		r := carom1(t, "", append([]string{"check", "--endpoints", "--data", s.Data, "-o", "json"}, args...)...)
		var report survey.EndpointReport
		if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != code {
			t.Fatalf("%v: code %d, %v, want %d: %s%s", args, r.code, err, code, r.out, r.errOut)
		}
		return report
	}
	report := check(exitProblem)
	got := map[string][]string{}
	for _, e := range report.Endpoints {
		got[e.Endpoint] = []string{}
		for _, f := range e.Findings {
			got[e.Endpoint] = append(got[e.Endpoint], string(f.Level)+" "+string(f.Kind))
		}
	}
	want := map[string][]string{
		"game/copies": {"fault copies_refused", "fault server_errors", "warning catch_all", "warning nothing_delivered"},
		"game/fine":   {},
		"game/open":   {"warning no_identity", "warning no_proof", "warning values_alike", "warning catch_all"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	sums := survey.EndpointSummary{Endpoints: 3, Faulty: 1, Warned: 1, Fine: 1, Faults: 2, Attempts: 4, Events: 1, Visits: 2}
	if diff := cmp.Diff(sums, report.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	wantAsked(2)

	if r := check(exitOK, "game/fine", "game/open", "--no-network"); r.Summary.Endpoints != 2 || r.Summary.Visits != 0 {
		t.Errorf("two endpoints without the network: %+v", r.Summary)
	}
	if r := check(exitProblem, "--publisher", "acme", "--app", "game", "--no-network"); r.Summary.Endpoints != 3 {
		t.Errorf("those of the publisher: %+v", r.Summary)
	}
	wantAsked(2)
	text := carom1(t, "", "check", "--endpoints", "game/fine", "game/copies", "--no-network", "--data", s.Data)
	for _, part := range []string{
		"game/copies\n  fault    copies_refused  it answers 409", "           fix: have the receiver answer copies with 200\n",
		"game/fine\n  fine\n", "Endpoints: 2, with faults 1, with warnings 0, fine 1\n", "visited 0 hosts",
	} {
		if !strings.Contains(text.out, part) {
			t.Errorf("%q is not in:\n%s", part, text.out)
		}
	}
	if strings.Contains(text.out, "k3y-0f1e2d") {
		t.Errorf("a secret is shown:\n%s", text.out)
	}
	for _, tt := range []struct {
		code int
		args string
		says string
	}{
		{exitProblem, "--endpoints game/gone", `no endpoint "game/gone"`},
		{exitProblem, "--endpoints --app gone", `no app "gone"`},
		{exitProblem, "--endpoints --publisher gone", `no publisher "gone"`},
		{exitUsage, "--endpoints fine", "APP/NAME"},
		{exitUsage, "--endpoints --ledger", "leave --ledger"},
		{exitUsage, "--app game", "--endpoints"},
		{exitUsage, "carom.yaml", "a file with -f"},
		{exitUnreachable, "--endpoints --data " + t.TempDir(), "no server answers"},
	} {
		r := carom1(t, "", append([]string{"check", "--data", s.Data}, strings.Fields(tt.args)...)...)
		if r.code != tt.code || !strings.Contains(r.errOut, tt.says) {
			t.Errorf("check %s: code %d, %s, want %d and %q", tt.args, r.code, r.errOut, tt.code, tt.says)
		}
	}
	limited := s.Key(t, "admin", "game")
	if a := caromtest.Do(t, "POST", s.URL+"/v1/endpoints/check", `{"no_network":true}`, "Content-Type", "application/json", "Authorization", "Bearer "+limited); a.Status != 200 {
		t.Errorf("a key of one app: %d %s", a.Status, a.Body)
	}
	if a := caromtest.Do(t, "POST", s.URL+"/v1/endpoints/check", `{"app":"other"}`, "Content-Type", "application/json", "Authorization", "Bearer "+limited); a.Status != 404 {
		t.Errorf("another app than the key's: %d %s", a.Status, a.Body)
	}
}

// TestDocumentedCheckOfEndpoints: what the page shows is what is judged and printed.
func TestDocumentedCheckOfEndpoints(t *testing.T) {
	const rest = "ymid={ymid}&event={event_type}&value={reward_event_type}"
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	attempt := func(seq uint32, number int, minute int, status int) carom.Attempt {
		a := carom.Attempt{Delivery: carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: seq}, 0), Number: number, Method: "GET", Status: status,
			At: at.Add(time.Duration(minute) * time.Minute), State: carom.Delivered}
		switch {
		case status == 0:
			a.State, a.Reason = carom.Pending, "timeout: not done within 10s"
		case status != 200:
			a.State, a.Reason = carom.Pending, "status 409"
		}
		return a
	}
	f := &survey.Facts{
		Now: at, Objects: carom.Objects{Apps: []carom.App{{Name: "game"}}, Sources: []carom.Source{{App: "game", Name: "monetag", Profile: "monetag"}},
			Endpoints: []carom.Endpoint{
				{No: 1, App: "game", Name: "backend", URL: "https://game.example/p?key=k3y-0f1e2d&" + rest},
				{No: 2, App: "game", Name: "tracker", URL: "https://tracker.example/p?" + rest},
				{No: 3, App: "game", Name: "archive", URL: "https://tracker.example/archive?key=k3y-0f1e2d&" + rest},
			}},
		Attempts: map[int][]carom.Attempt{
			1: {attempt(1, 1, -9, 200), attempt(2, 1, -8, 0), attempt(3, 1, -7, 200), attempt(4, 1, -6, 200), attempt(5, 1, -5, 200), attempt(6, 1, -4, 200), attempt(2, 2, -3, 409), attempt(2, 3, -1, 409)},
			2: {attempt(1, 1, -9, 200)}, 3: {attempt(1, 1, -9, 200)},
		},
		Visits: map[survey.Host]survey.Visit{{Origin: "https://game.example"}: {Status: 404}, {Origin: "https://tracker.example"}: {Status: 404}},
	}
	report := survey.Judge(f, []string{"game/archive", "game/backend", "game/tracker"})
	var text strings.Builder
	writeSurvey(&text, &report, false)
	page, err := os.ReadFile(filepath.Join(root, "docs", "check-endpoints.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "\n```\n"+text.String()+"```\n") {
		t.Errorf("docs/check-endpoints.md does not show:\n%s", text.String())
	}
}
