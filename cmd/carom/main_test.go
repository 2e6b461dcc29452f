package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

// fakeServer answers routes with fixed JSON and keeps what it was asked.
type fakeServer struct {
	t       *testing.T
	answers map[string]string // by "GET /v1/status"
	status  map[string]int    // of routes that do not answer 200
	asked   []string          // "POST /v1/apply?dry_run=true&prune=false"
	bodies  []string
	auth    []string
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		s.t.Error(err)
	}
	s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
	s.bodies = append(s.bodies, body.String())
	s.auth = append(s.auth, r.Header.Get("Authorization"))
	route := r.Method + " " + r.URL.Path
	answer, ok := s.answers[route]
	if !ok {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"this does not exist"}`))
		return
	}
	if status := s.status[route]; status != 0 {
		w.WriteHeader(status)
	}
	_, _ = w.Write([]byte(answer))
}

// result is what a run of the command did.
type result struct {
	code        int
	out, errOut string
}

// carom runs the command line against s, which listens on the socket of a data folder.
func (s *fakeServer) carom(args ...string) result {
	return s.caromAnswering("", args...)
}

// caromAnswering does so with a person at the terminal who types in.
func (s *fakeServer) caromAnswering(in string, args ...string) result {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "carom") // t.TempDir is too long for the path of a socket on some systems
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := net.Listen("unix", filepath.Join(dir, "carom.sock"))
	if err != nil {
		s.t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	srv.Start()
	defer srv.Close()
	return carom1(s.t, in, append(args, "--data", dir)...)
}

func carom1(t *testing.T, in string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	c := &cli{
		in: strings.NewReader(in), out: &out, errOut: &errOut, terminal: in != "", now: noon,
		environ: func() []string { return nil },
	}
	code := c.main(t.Context(), args)
	return result{code, out.String(), errOut.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it anew:\n%s", file, diff)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func sampleStory() api.Story {
	return api.Story{
		Event: api.Event{
			ID: "evt_0c5g21r0000010000000k", At: noon(), App: "shop", Source: "monetag", Network: "monetag",
			EventType: "click", RewardEventType: "valued", YMID: "user123", ZoneID: "8790478", RequestVar: "bonus-btn",
			EstimatedPrice: "0.0023", Fields: map[string]string{"country": "DE", "browser": "Telegram"},
			Flags: []string{"literal_macro"}, Strength: "secret",
		},
		Received: api.Received{
			At: noon(), Method: "GET", Path: "/in/shop/monetag/***", Query: "ymid=user123&event=click&zone_id=8790478&request_var=bonus-btn",
			Client: "203.0.113.7",
		},
		Outcome: "accepted, owed to 2 endpoints: 1 delivered, 1 pending",
		Deliveries: []api.Delivery{
			{ID: "dlv_0c5g21r0000010000000k00", Endpoint: "shop/backend", State: carom.Delivered, Attempts: []api.Attempt{{
				Number: 1, At: noon().Add(2 * time.Millisecond), TookMS: 12.3, State: carom.Delivered,
				Method: "GET", URL: "https://shop.example/postback?uid=user123", Status: 200, Answer: "OK\n",
			}}},
			{ID: "dlv_0c5g21r0000010000000k01", Endpoint: "shop/tracker", State: carom.Pending, Due: noon().Add(5 * time.Second), Attempts: []api.Attempt{
				{Number: 1, At: noon(), TookMS: 10000, State: carom.Pending, Reason: "timeout", Method: "POST", URL: "https://t.example/", Sent: `{"ymid":"user123"}`},
				{Number: 2, At: noon().Add(5 * time.Second), TookMS: 8, State: carom.Pending, Reason: "status 404", Status: 404, Flags: []string{"client_error"},
					Method: "POST", URL: "https://t.example/", Answer: "no\x1b[31m such page"},
			}},
		},
	}
}

func TestGoldenText(t *testing.T) {
	st := sampleStory()
	unmatched := api.Story{
		Event:    api.Event{ID: "evt_0c5g21r0000010000000k", At: noon(), App: "shop", Source: "api", Network: "api", EventType: "click", Strength: "secret", Held: "unknown value"},
		Received: api.Received{At: noon(), Method: "POST", Path: "/v1/events", ContentType: "application/json", Body: `{"id":"7"}`, Client: "203.0.113.7"},
		Outcome:  "accepted, and matched no endpoint: no filter of an endpoint of shop let it through", Deliveries: []api.Delivery{},
	}
	status := api.Status{
		Verdict: api.LosingMoney, Sentence: "Money is being lost: endpoint shop/backend: deliveries passed their deadline (expired).", At: noon(),
		Items: []api.Item{
			{Severity: api.LosingMoney, Subject: "endpoint shop/backend", Since: noon().Add(-time.Hour), Fault: api.Receiver,
				What: "deliveries passed their deadline (expired)", HowMuch: "3 in the last hour, 9 in the last day", Next: "carom show --app shop"},
			{Severity: api.Note, Subject: "server", Fault: api.Network, What: "postbacks come to an app or a source that does not exist", Next: "carom show --unverified"},
		},
	}
	reward := api.Reward{
		ID: "rwd_0c5g21r0000010000000k", At: noon(), App: "shop", Rule: "watch", User: "u1", Currency: "coins", Amount: "5", State: carom.RewardReversed,
		Changed: noon().Add(time.Hour), Why: "paid twice (admin)", Event: "evt_0c5g21r0000010000000k", Source: "monetag", Network: "monetag", YMID: "user\x1b123",
	}
	lines := []api.LedgerLine{
		{Reward: reward.ID, N: 1, At: noon(), App: "shop", User: "u1", Currency: "coins", Amount: "5", Event: reward.Event},
		{Reward: reward.ID, N: 2, At: noon().Add(time.Hour), App: "shop", User: "u1", Currency: "coins", Amount: "-5", Event: "evt_0c5g21r0000010000000m", Why: reward.Why},
	}
	rewarded := st
	rewarded.Decided = []api.Decided{{Rule: "watch", State: carom.RewardGranted, Words: "granted 5 coins to user u1 by rule watch", Reward: reward.ID}}
	rewarded.Event.View, rewarded.Event.Origin = "vw_0c5g21r0000010000000k", "rcv_0c5g21r0000010000000k"
	rewarded.Deliveries = []api.Delivery{{ID: "dlv_0c5g21r0000010000000k00", Reward: reward.ID, Endpoint: "shop/coins", State: carom.Pending}}
	rewarded.Outcome = "accepted, owed to 1 endpoint: 1 pending; granted 5 coins to user u1 by rule watch"
	refused := api.RefusalList{Received: []api.Refusal{
		{ID: "rcv_0c5g21r0000010000000k", App: "shop", Source: "monetag", Reason: carom.ReasonLiteralMacro, Detail: "ymid is a macro as text", Received: st.Received},
		{Reason: carom.ReasonUnknownApp, Received: api.Received{At: noon(), Method: "POST", Path: "/in/x/y/***", Client: "203.0.113.9", BodyBytes: []byte{1, 0xff}}},
	}}
	tests := []struct {
		file  string
		write func(*bytes.Buffer)
	}{
		{"story.txt", func(b *bytes.Buffer) { writeStory(b, &st) }},
		{"story_unmatched.txt", func(b *bytes.Buffer) { writeStory(b, &unmatched) }},
		{"events.txt", func(b *bytes.Buffer) { writeEvents(b, api.EventList{Events: []api.Event{st.Event, unmatched.Event}}) }},
		{"status.txt", func(b *bytes.Buffer) { writeStatus(b, &status) }},
		{"status_ok.txt", func(b *bytes.Buffer) {
			writeStatus(b, &api.Status{Verdict: api.OK, Sentence: "No money is being lost."})
		}},
		{"refused.txt", func(b *bytes.Buffer) { writeRefusals(b, refused, "refused") }},
		{"rewards.txt", func(b *bytes.Buffer) { writeRewards(b, []api.Reward{reward}) }},
		{"reward.txt", func(b *bytes.Buffer) { writeReward(b, &api.RewardStory{Reward: reward, Lines: lines}) }},
		{"story_rewarded.txt", func(b *bytes.Buffer) { writeStory(b, &rewarded) }},
		{"stats.txt", func(b *bytes.Buffer) {
			writeStats(b, &api.Stats{
				From: noon().Add(-time.Hour), To: noon(),
				Counts: []carom.Count{
					{App: "shop", Source: "monetag", Outcome: "accepted", N: 1200, Price: "2.76"}, {App: "shop", Source: "monetag", Outcome: "refused:no_identity", N: 3},
				},
				Deliveries: []carom.DeliveryCount{{Endpoint: "shop/backend", Outcome: "delivered", N: 1199}},
			}, "app,source,outcome")
		}},
		{"changes.txt", func(b *bytes.Buffer) {
			writeChanges(b, []api.Change{
				{Kind: "app", ID: "shop", Action: "added", Fields: []api.FieldChange{{Field: "title", After: "Shop"}}},
				{Kind: "endpoint", ID: "shop/backend", Action: "changed", Fields: []api.FieldChange{{Field: "rate", Before: "", After: "5"}}},
				{Kind: "source", ID: "shop/old", Action: "removed"},
				{Kind: "source", ID: "shop/other", Action: "kept"},
			})
		}},
	}
	for _, tt := range tests {
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

func TestCommandsAskTheServer(t *testing.T) {
	story := encode(t, sampleStory())
	opened := string(carom.NewOpenedViewID(7, 3))
	one := encode(t, api.EventList{Events: []api.Event{sampleStory().Event}})
	tests := []struct {
		args  string
		asked []string
		code  int
		out   string // part of it
	}{
		{"show", []string{"GET /v1/events?limit=20"}, 0, "user123"},
		{"show evt_0c5g21r0000010000000k", []string{"GET /v1/events/evt_0c5g21r0000010000000k"}, 0, "Delivery to shop/backend: delivered"},
		{"show dlv_0c5g21r0000010000000k00", []string{"GET /v1/events/evt_0c5g21r0000010000000k"}, 0, "Outcome"},
		{"show --ymid user123", []string{"GET /v1/events?limit=20&ymid=user123", "GET /v1/events/evt_0c5g21r0000010000000k"}, 0, "Outcome"},
		{"show --refused --app shop -n 5", []string{"GET /v1/received?app=shop&kind=refused&limit=5"}, 0, "literal_macro"},
		{"show rcv_0c5g21r0000010000000k", []string{"GET /v1/received/rcv_0c5g21r0000010000000k"}, 0, "literal_macro"},
		{"show rwd_0c5g21r0000010000000k", []string{"GET /v1/rewards/rwd_0c5g21r0000010000000k"}, 0, "5 coins by hand"},
		{"show " + opened, []string{"GET /v1/views/" + opened}, 0, "declined (no_user), unpaid so far"},
		{"show vw_0c5g21r0000010000000k", []string{"GET /v1/events/evt_0c5g21r0000010000000k"}, 0, "Outcome"},
		{"rewards --app shop --state held -n 3 --from 2026-03-04", []string{"GET /v1/rewards?app=shop&from=2026-03-04T00%3A00%3A00Z&limit=3&state=held"}, 0, "5 coins"},
		{"rewards list", []string{"GET /v1/rewards?limit=20"}, 0, "5 coins"},
		{"balance --app shop u1", []string{"GET /v1/balances?app=shop&user=u1"}, 0, "12.5 coins"},
		{"ledger --app shop --currency coins u1", []string{"GET /v1/ledger?app=shop&currency=coins&limit=20&user=u1"}, 0, "-5 coins"},
		{"freeze shop/monetag --why w --dry-run", []string{"POST /v1/sources/shop/monetag/freeze?dry_run=true"}, 0, "would be frozen"},
		{"thaw shop/monetag --why w", []string{"POST /v1/sources/shop/monetag/thaw"}, 0, "at least 7"},
		{"show --unverified", []string{"GET /v1/received?kind=unverified&limit=20"}, 0, "literal_macro"},
		{"show evt_0c5g21r0000010000000k -o json", []string{"GET /v1/events/evt_0c5g21r0000010000000k"}, 0, `"took_ms": 12.3`},
		{"status", []string{"GET /v1/status"}, 1, "ATTENTION"},
		{"stats --since 1h --by app", []string{"GET /v1/stats?from=2026-03-04T11%3A00%3A00Z&group_by=app"}, 0, "Received from"},
		{"resend evt_0c5g21r0000010000000k", []string{"POST /v1/events/evt_0c5g21r0000010000000k/resend"}, 0, "is pending again"},
		{"resend dlv_0c5g21r0000010000000k00", []string{"POST /v1/deliveries/dlv_0c5g21r0000010000000k00/resend"}, 1, "skipped"},
		{"pause shop/backend", []string{"POST /v1/endpoints/shop/backend/pause"}, 0, "paused"},
		{"resume shop/backend", []string{"POST /v1/endpoints/shop/backend/resume"}, 0, "running"},
		{"rotate shop/monetag --for 1h", []string{"POST /v1/sources/shop/monetag/rotate?for=1h0m0s"}, 0, "https://carom.example/in/"},
		{"keys list", []string{"GET /v1/keys"}, 0, "key_1"},
		{"keys create --name ci --scope read", []string{"POST /v1/keys"}, 0, "carom_abc"},
		{"keys delete key_1", []string{"DELETE /v1/keys/key_1"}, 0, "deleted key_1"},
		{"send event --app shop id=7 event_type=click country=DE", []string{"POST /v1/events"}, 0, "accepted: evt_"},
		{"send --app shop --source monetag --secret s3cret ymid=a+b event=click", []string{"GET /in/shop/monetag/s3cret?ymid=a%2Bb&event=click"}, 0, "answered  200 OK"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			s := &fakeServer{t: t, status: map[string]int{}, answers: map[string]string{
				"GET /v1/events": one, "GET /v1/events/evt_0c5g21r0000010000000k": story,
				"GET /v1/received":                                       `{"received":[{"id":"rcv_0c5g21r0000010000000k","app":"shop","source":"monetag","reason":"literal_macro","received":{}}]}`,
				"GET /v1/received/rcv_0c5g21r0000010000000k":             `{"id":"rcv_0c5g21r0000010000000k","app":"shop","source":"monetag","reason":"literal_macro","received":{}}`,
				"GET /v1/rewards":                                        `{"rewards":[{"amount":"5","currency":"coins","state":"held"}]}`,
				"GET /v1/rewards/rwd_0c5g21r0000010000000k":              `{"reward":{"amount":"5","currency":"coins","rule":"-"},"lines":[]}`,
				"GET /v1/views/" + opened:                                `{"state":"declined","reason":"no_user","unpaid":true}`,
				"GET /v1/balances":                                       `{"balances":[{"amount":"12.5","currency":"coins"}]}`,
				"GET /v1/ledger":                                         `{"lines":[{"amount":"-5","currency":"coins"}]}`,
				"POST /v1/sources/shop/monetag/freeze":                   `{"dry_run":true,"source":"shop/monetag","mode":"frozen","changed":true}`,
				"POST /v1/sources/shop/monetag/thaw":                     `{"source":"shop/monetag","mode":"live","changed":true,"waiting":7,"more":true}`,
				"GET /v1/status":                                         `{"verdict":"attention","sentence":"look","items":[{"severity":"attention","subject":"x"}]}`,
				"GET /v1/stats":                                          `{"counts":[],"deliveries":[]}`,
				"POST /v1/events/evt_0c5g21r0000010000000k/resend":       `{"resent":["dlv_0c5g21r0000010000000k00"],"skipped":[]}`,
				"POST /v1/deliveries/dlv_0c5g21r0000010000000k00/resend": `{"resent":[],"skipped":[{"id":"dlv_0c5g21r0000010000000k00","reason":"pending"}]}`,
				"POST /v1/endpoints/shop/backend/pause":                  `{}`, "POST /v1/endpoints/shop/backend/resume": `{}`,
				"POST /v1/sources/shop/monetag/rotate": `{"source":"shop/monetag","url":"https://carom.example/in/shop/monetag/x"}`,
				"GET /v1/keys":                         `{"keys":[{"id":"key_1","name":"ci","scope":"read","created":"2026-01-02T03:04:05Z"}]}`,
				"POST /v1/keys":                        `{"id":"key_2","key":"carom_abc","scope":"read"}`, "DELETE /v1/keys/key_1": `{}`,
				"POST /v1/events":             `{"results":[{"id":"7","status":"accepted","event_id":"evt_0c5g21r0000010000000k"}]}`,
				"GET /in/shop/monetag/s3cret": "OK",
			}}
			r := s.carom(strings.Fields(tt.args)...)
			if diff := cmp.Diff(tt.asked, s.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if r.code != tt.code || !strings.Contains(r.out, tt.out) {
				t.Errorf("code %d, want %d; the output lacks %q:\n%s%s", r.code, tt.code, tt.out, r.out, r.errOut)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		args string
		code int
		says string
	}{
		{"unknown command", "statu", 2, `unknown command "statu"`},
		{"unknown flag", "status --bogus", 2, "--bogus"},
		{"too few arguments", "pause", 2, "1 arg"},
		{"nothing to resend", "resend", 2, "--app"},
		{"ids and a filter", "void rwd_0c5g21r0000010000000k --user u --why w", 2, "not both"},
		{"a filter without an app", "reprocess --source monetag --why w", 2, "--app"},
		{"no reason", "void --app shop", 2, "--why"},
		{"no reason for one id", "reprocess evt_0c5g21r0000010000000k", 2, "--why"},
		{"no key", "grant 5 coins --app shop --user u --why w", 2, "key"},
		{"a moment that is none", "void --app shop --from yesterday --why w", 2, "2026-03-04"},
		{"a source of another app", "reprocess --app shop --source game/monetag --why w", 2, "give one of the two"},
		{"no source", "freeze monetag --why w", 2, "APP/NAME"},
		{"a ledger in a file", "check --ledger -f carom.yaml", 2, "give one of the two"},
		{"a bad output", "status -o xml", 2, "text or json"},
		{"a bad id", "show abc", 2, "--ymid"},
		{"a bad endpoint name", "pause backend", 2, "APP/NAME"},
		{"flags that exclude each other", "show --refused --ymid x", 2, "--refused"},
		{"a server without a key", "status --server https://carom.example", 2, "CAROM_API_KEY"},
		{"a server that is no URL", "status --server carom.example --key x", 2, "--server"},
		{"no such thing", "show evt_0c5g21r0000010000000k", 1, "does not exist"},
		{"a file that is missing", "apply -f /nonexistent/carom.yaml", 2, "no such file"},
		{"help", "show --help", 0, ""},
		{"version", "version", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := (&fakeServer{t: t}).carom(strings.Fields(tt.args)...)
			if r.code != tt.code || !strings.Contains(r.errOut, tt.says) {
				t.Errorf("code %d, want %d; %q is missing in:\n%s", r.code, tt.code, tt.says, r.errOut)
			}
			if tt.code != 0 && strings.Count(r.errOut, "\n") != 1 {
				t.Errorf("an error is one line:\n%s", r.errOut)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	r := carom1(t, "", "status", "--data", filepath.Join(t.TempDir(), "none"))
	if r.code != exitUnreachable || !strings.Contains(r.errOut, "carom serve") {
		t.Errorf("code %d, want %d: %s", r.code, exitUnreachable, r.errOut)
	}
}

func TestRemoteServerGetsTheKey(t *testing.T) {
	s := &fakeServer{t: t, answers: map[string]string{"GET /v1/keys": `{"keys":[]}`}}
	srv := httptest.NewServer(s)
	defer srv.Close()
	r := carom1(t, "", "keys", "list", "--server", srv.URL, "--key", "carom_k")
	if r.code != 0 || len(s.auth) != 1 || s.auth[0] != "Bearer carom_k" {
		t.Errorf("code %d, authorization %v: %s", r.code, s.auth, r.errOut)
	}
}

func TestTail(t *testing.T) {
	s := &fakeServer{t: t, answers: map[string]string{
		"GET /v1/tail": ": nothing new\n\nid: evt_1\nevent: event\ndata: " + encode(t, sampleStory().Event) + "\n\nevent: skipped\ndata: {}\n\n",
	}}
	r := s.carom("tail", "--app", "shop")
	if !strings.Contains(r.out, "user123") || !strings.Contains(r.errOut, "left out") {
		t.Errorf("tail: %s%s", r.out, r.errOut)
	}
	if r.code != exitUnreachable {
		t.Errorf("code %d when the server ends a tail, want %d", r.code, exitUnreachable)
	}
	if s.asked[0] != "GET /v1/tail?app=shop" {
		t.Errorf("asked %s", s.asked[0])
	}
}

func TestApplyShowsAsksApplies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "carom.yaml")
	if err := os.WriteFile(file, []byte("apps: {shop: {}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	changes := `{"applied":true,"changes":[{"kind":"app","id":"shop","action":"added"}],"made":[{"source":"shop/monetag","url":"https://carom.example/in/shop/monetag/s"}]}`
	both := []string{"POST /v1/apply?dry_run=true&prune=false", "POST /v1/apply?dry_run=false&prune=false"}
	tests := []struct {
		name   string
		typed  string
		args   []string
		answer string
		asked  []string
		code   int
		says   string
	}{
		{"yes", "y\n", nil, changes, both, 0, "https://carom.example/in/shop/monetag/s"},
		{"no", "n\n", nil, changes, both[:1], 1, "nothing was changed"},
		{"nobody there", "", nil, changes, both[:1], 2, "--yes"},
		{"not asked", "", []string{"--yes"}, changes, both, 0, "+ app shop"},
		{"dry run", "", []string{"--dry-run"}, changes, both[:1], 0, "+ app shop"},
		{"prune", "", []string{"--dry-run", "--prune"}, changes, []string{"POST /v1/apply?dry_run=true&prune=true"}, 0, "+ app shop"},
		{"nothing differs", "", nil, `{"changes":[{"kind":"app","id":"x","action":"kept"}],"made":[]}`, both[:1], 0, "Nothing differs."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{t: t, answers: map[string]string{"POST /v1/apply": tt.answer}}
			r := s.caromAnswering(tt.typed, append([]string{"apply", "-f", file}, tt.args...)...)
			if diff := cmp.Diff(tt.asked, s.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if r.code != tt.code || !strings.Contains(r.out+r.errOut, tt.says) {
				t.Errorf("code %d, want %d; %q is missing in:\n%s%s", r.code, tt.code, tt.says, r.out, r.errOut)
			}
			if s.bodies[0] != "apps: {shop: {}}" {
				t.Errorf("sent %q", s.bodies[0])
			}
		})
	}
}

func TestApplyPrintsEveryFaultWithItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "carom.yaml")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, status: map[string]int{"POST /v1/apply": 422}, answers: map[string]string{"POST /v1/apply": encode(t, api.Problem{
		Status: 422, Detail: "2 faults", Errors: []carom.FieldError{{Line: 3, Column: 5, Field: "apps.shop", Message: "wrong"}, {Field: "x", Message: "also"}},
	})}}
	r := s.carom("apply", "-f", file)
	want := fmt.Sprintf("carom: %s:3:5: apps.shop: wrong\ncarom: x: also\n", file)
	if r.code != exitProblem || r.errOut != want {
		t.Errorf("code %d, got:\n%swant:\n%s", r.code, r.errOut, want)
	}
}

func TestHelpHasExamples(t *testing.T) {
	c := &cli{environ: func() []string { return nil }}
	for _, cmd := range c.root().Commands() {
		if cmd.Short == "" {
			t.Errorf("%s says nothing about itself", cmd.Name())
		}
		if cmd.Example == "" && cmd.Name() != "version" {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
}

func TestCompletion(t *testing.T) {
	if r := carom1(t, "", "completion", "bash"); r.code != 0 || !strings.Contains(r.out, "bash completion") {
		t.Errorf("code %d: %.200s%s", r.code, r.out, r.errOut)
	}
}

func TestAnInterruptedCommandEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	c := &cli{in: strings.NewReader(""), out: &out, errOut: &out, now: noon, environ: func() []string { return nil }}
	if code := c.main(ctx, []string{"status", "--data", t.TempDir()}); code != exitProblem {
		t.Errorf("code %d, want %d: %s", code, exitProblem, &out)
	}
}
