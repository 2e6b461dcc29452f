package objects

import (
	"crypto/sha256"
	"errors"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/reward"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	fileSecret = "abcdefghijklmnopqrstuvwxyz234567"
	botToken   = "42:AAF-made-up-token-of-the-tests_0123456"
)

// testEnv knows one secret file beside the objects file, and one variable.
func testEnv() Env {
	return Env{
		ReadFile: func(path string) ([]byte, error) {
			if path == filepath.Join("testdata", "secrets", "monetag") {
				return []byte(fileSecret + "\n"), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
		LookupEnv: func(name string) (string, bool) {
			if name == "BOT_TOKEN" {
				return botToken, true
			}
			return "an older key of some length", name == "OLD_SIGNING"
		},
	}
}

func parseFile(t *testing.T, name string) (*File, error) {
	t.Helper()
	path := filepath.Join("testdata", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(path, text, testEnv())
}

// exact compares masked keys, which print alike.
var exact = cmp.Comparer(func(a, b carom.Masked) bool { return a == b })

func TestParseReadsEveryKey(t *testing.T) {
	got, err := parseFile(t, "full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	want := &File{
		Objects: carom.Objects{
			Publishers: []carom.Publisher{{Name: "acme", Title: "Acme"}},
			Apps: []carom.App{
				{Name: "mygame", Title: "My Game", Publisher: "acme", TimeZone: "Europe/Berlin", Currencies: map[string]int{"coins": 0, "USD": 2},
					Origins: []string{"https://game.example", "http://localhost:3000"}, BotToken: botToken, BotID: 42},
				{Name: "empty", Origins: []string{"https://empty.example:8443"}, BotID: 43},
			},
			Sources: []carom.Source{{
				App: "mygame", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser,
				Template:         "https://old.example/postback?uid={ymid}&source={request_var}&event={event_type}&key=s3cr3t",
				DefaultEventType: carom.Impression,
				EventTypes:       map[string]carom.EventType{"imp": carom.Impression, "lead": "lead", "1": carom.Click},
				DedupeWindow:     30 * 24 * time.Hour,
				RepeatWindow:     10 * time.Minute,
				Secrets: []carom.SecretSum{
					{Sum: sha256.Sum256([]byte(fileSecret))},
					{Sum: sha256.Sum256([]byte("00112233445566778899aabbccddeeff")), NotAfter: until},
				},
				Addresses:      []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")},
				RequireAddress: true,
			}, {
				App: "mygame", Name: "orders", Profile: carom.ProfileAPI, Mode: carom.SourceFrozen,
			}, {
				App: "mygame", Name: "old", Profile: "monetag", Mode: carom.SourceShadow, ShadowURL: "https://old.example/postback?key=s3cr3t",
			}, {
				App: "mygame", Name: "live", Profile: "monetag",
			}},
			Endpoints: []carom.Endpoint{{
				App: "mygame", Name: "backend", URL: "https://app.example/postback?ymid={ymid}&event={event_type}", Method: "GET",
				Headers: []carom.Field{{Name: "X-Api-Key", Value: "k-0123456789"}, {Name: "X-Zone", Value: "{zone_id}"}},
				Filter: carom.Filter{
					EventTypes:  []carom.EventType{carom.Impression, "lead"},
					Values:      []carom.RewardEventType{carom.Valued, carom.ValueEmpty},
					Zones:       []string{"8790478", "007"},
					RequestVars: []string{"bonus-btn"},
					Sources:     []string{"monetag"},
				},
				Success:  carom.SuccessRule{Contains: "OK", NotContains: "error"},
				Schedule: []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute},
				Deadline: 72 * time.Hour, Timeout: 10 * time.Second, Rate: 0.5, Concurrency: 64, AllowPrivate: true, Once: true,
			}, {
				App: "mygame", Name: "coins", Sends: carom.SendsRewards,
				URL:    "https://app.example/coins?id={reward_id}&state={reward_state}&amount={reward_amount}&user={reward_user}",
				Filter: carom.Filter{Rules: []string{"bonus", "gift", carom.RuleByHand}, Sources: []string{"monetag"}},
			}, {
				App: "mygame", Name: "tracker", URL: "https://tracker.example/collect", Method: "POST", ContentType: "json",
				Body: `{"user": "{ymid}", "type": "{event_type}"}`,
				SigningSecrets: []carom.SigningSecret{
					{Key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="},
					{Key: "an older key of some length", NotAfter: until},
				},
			}},
			Rules: []carom.Rule{{
				App: "mygame", Name: "bonus",
				Filter: carom.RuleFilter{
					Networks: []string{"monetag"}, Sources: []string{"monetag"}, Zones: []string{"8790478", "007"},
					EventTypes: []carom.EventType{carom.Impression, carom.Click}, Values: []carom.RewardEventType{carom.Valued, carom.ValueEmpty},
					RequestVars: []string{"bonus-btn"},
				},
				Price: carom.PriceRule{Currency: "coins", Fixed: carom.Price{Nanos: 5_000_000_000, Set: true}},
				Caps: []carom.Cap{
					{Per: []string{carom.CapUser, carom.CapDay}, Rewards: 20},
					{Name: "budget", Per: []string{carom.CapDay}, Rewards: 5000, Amount: carom.Price{Nanos: 25_000_000_000_000, Set: true}},
				},
				Cooldown: 30 * time.Second, Hold: 24 * time.Hour,
			}, {
				App: "mygame", Name: "share", Additional: true,
				Price: carom.PriceRule{
					Currency: "USD", From: carom.PriceEstimate, Rate: 900_000_000, Share: 335_000_000, Min: carom.Price{Nanos: 10_000_000, Set: true},
					Max: carom.Price{Nanos: 1_500_000_000, Set: true}, Step: 10_000_000, Round: carom.RoundNearest, TrustSecret: true,
				},
			}, {
				App: "mygame", Name: "gift", Filter: carom.RuleFilter{Sources: []string{"orders"}},
				Price: carom.PriceRule{Currency: "USD", Fixed: carom.Price{Nanos: 250_000_000, Set: true}},
			}},
		},
		Reads: []string{filepath.Join("testdata", "secrets", "monetag")},
		Warnings: []*carom.FieldError{{
			File: filepath.Join("testdata", "full.yaml"), Line: 19, Column: 11, Field: "apps.mygame.rules.bonus.filter.request_vars",
			Message: "the browser chooses the request_var: the rule pays only in views that your backend opened with one of these. Open them with " +
				"POST /v1/views, or remove the list",
		}},
	}
	if diff := cmp.Diff(want, got, exact, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("Parse(full.yaml) (-want +got):\n%s", diff)
	}
}

func TestParseResolvesAnchors(t *testing.T) {
	got, err := parseFile(t, "anchors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		ID, URL     string
		Timeout     time.Duration
		Concurrency int
		EventTypes  []carom.EventType
	}
	var rows []row
	for _, e := range got.Objects.Endpoints {
		rows = append(rows, row{e.ID(), e.URL, e.Timeout, e.Concurrency, e.Filter.EventTypes})
	}
	events := []carom.EventType{carom.Impression, carom.Click}
	want := []row{
		{"a/one", "https://one.example/?u={ymid}", 5 * time.Second, 8, events},
		{"a/two", "https://two.example/?u={ymid}", 5 * time.Second, 9, events},
		{"b/one", "https://one.example/?u={ymid}", 5 * time.Second, 8, events},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestParseReportsAllFaults(t *testing.T) {
	for _, name := range []string{"faults", "network_faults"} {
		t.Run(name, func(t *testing.T) { reportsAllFaults(t, name) })
	}
}

func reportsAllFaults(t *testing.T, name string) {
	_, err := parseFile(t, name+".yaml")
	if err == nil {
		t.Fatalf("Parse(%s.yaml) returned no error", name)
	}
	got := filepathToSlash(err.Error()) + "\n"
	golden := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("faults (-want +got; -update accepts them):\n%s", diff)
	}
	for _, secret := range []string{"hunter2", "aaaaaaaa", "abc/def", "TOPSECRET", "00112233", "short\"", botToken} {
		if strings.Contains(got, secret) {
			t.Errorf("the errors show the secret %q", secret)
		}
	}
}

func filepathToSlash(s string) string { return strings.ReplaceAll(s, `testdata\`, "testdata/") }

func TestParseRefusesWhatIsNotOneDocument(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // the place and a part of the message
	}{
		{"nothing", "", "f:1:1: the file is empty"},
		{"comments alone", "# a\n", "f:1:1: the file is empty"},
		{"a list", "- a\n", "f:1:1: here stands a list instead of a group of keys"},
		{"two documents", "apps: {}\n---\napps: {}\n", "f:3:5: a second document begins here"},
		{"not YAML", "apps:\n  a: [\n", "f:2:6: this is not YAML (sequence end token ']' not found)"},
		{"not YAML, with a secret beside it", "apps: {}\nsecret: hunter2\n  url: x\n", "f:2:9: this is not YAML"},
		{"a secret behind a bar", "secret: |hunter2\n", "f:1:9: this is not YAML (invalid header option)"},
		{"a secret that begins with a star", "secret: *hunter2\n", "f:1:9: secret: no anchor of this name"},
		{"a NUL", "apps: {}\na: \x00\n", "f:2:1: the line holds a NUL"},
		{"not UTF-8", "a: \xff\n", "f:1:1: the line holds a NUL or is not UTF-8"},
		{"a duplicate key", "apps: {}\napps: {}\n", "f:2:1: apps: the key stands twice, first in line 1"},
		{"an unknown anchor", "apps: *a\n", "f:1:7: apps: no anchor of this name stands before it"},
		{"an anchor within itself", "apps: &a { b: *a }\n", "f:1:15: apps.b: no anchor of this name"},
		{"a merge of a text", "x-a: &a text\napps:\n  <<: *a\n", "f:1:9: apps: << takes an alias of a group of keys"},
		{"a tag", "apps: !!map {}\n", "f:1:7: tags such as !!str"},
		{"a directive", "%YAML 1.2\n---\napps: {}\n", "f:1:1: directives such as %YAML"},
		{"an explicit key", "? apps\n: {}\n", "f:1:1: a key that begins with ?"},
		{"brackets without end", strings.Repeat("[", 1<<12), "f:1:21: it is nested too deeply"},
		{"dashes without end", strings.Repeat("- ", 1<<12), "f:1:41: it is nested too deeply"},
		{"a step too far", "apps:\n" + strings.Repeat(" ", 300) + "a: {}\n", "f:2:301: it is nested too deeply"},
		{"too many keys", strings.Repeat("a: 1\n", maxKeys+1), "f:100001:2: there are more than 100000 keys"},
		{"too large", strings.Repeat("#", maxFileBytes+1), "f:1:1: the file has 4194305 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse("f", []byte(tt.text), Env{})
			if err == nil {
				t.Fatalf("Parse returned %+v, want an error with %q", f, tt.want)
			}
			if !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Parse returned %q, want it to begin with %q", err, tt.want)
			}
			if !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("errors.Is(%v, carom.ErrInvalid) is false", err)
			}
		})
	}
}

func TestParseAcceptsWhatEditorsWrite(t *testing.T) {
	for _, text := range []string{"\ufeffapps: {}\n", "apps: {}\r\n", "---\napps: {}\n...\n", "apps:\n"} {
		if _, err := Parse("f", []byte(text), Env{}); err != nil {
			t.Errorf("Parse(%q) returned %v", text, err)
		}
	}
}

// Each alias here stands for ten of the level below. Read without bounds they would be 10^9 endpoints.
func TestAliasesDoNotMultiply(t *testing.T) {
	var b strings.Builder
	b.WriteString("x-0: &l0 { url: \"https://x.example/\" }\n")
	for level := 1; level < 10; level++ {
		below := string(rune('0' + level - 1))
		b.WriteString("x-" + string(rune('0'+level)) + ": &l" + string(rune('0'+level)) + " {")
		for i := range 10 {
			b.WriteString(" k" + string(rune('0'+i)) + ": *l" + below + ",")
		}
		b.WriteString(" }\n")
	}
	b.WriteString("apps: *l9\n")
	if _, err := Parse("f", []byte(b.String()), Env{}); err == nil {
		t.Error("Parse returned no error")
	}
}

func TestRepetitionIsBounded(t *testing.T) {
	// 2,000 apps with the same 2,000 endpoints would be four million.
	var b strings.Builder
	b.WriteString("x-e: &e\n")
	for i := range 2000 {
		b.WriteString("  e" + decimal(i) + ": { url: \"https://x.example/\" }\n")
	}
	b.WriteString("apps:\n")
	for i := range 2000 {
		b.WriteString("  a" + decimal(i) + ": { endpoints: *e }\n")
	}
	nothingWrong := rules{
		endpoint: func(carom.Endpoint, *carom.Dialect) error { return nil }, rewards: func(carom.Objects) ([]reward.Warning, error) { return nil, nil },
	}
	_, err := parse("f", []byte(b.String()), Env{}, nothingWrong)
	if err == nil || !strings.Contains(err.Error(), "aliases repeat more than carom reads") {
		t.Errorf("Parse returned %v, want an error about aliases", err)
	}
}

func decimal(i int) string {
	return string([]byte{byte('0' + i/1000), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"full.yaml", "anchors.yaml", "faults.yaml", "network.yaml", "network_faults.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("apps: &a\n  <<: *a\n"))
	f.Add([]byte("? - a\n: |\n  b\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text, testEnv())
		if err == nil {
			if changes := Diff(carom.Objects{}, file.Objects, true); len(changes) == 0 && len(file.Objects.Apps) > 0 {
				t.Error("objects were read, but Diff finds none")
			}
			return
		}
		if file != nil {
			t.Errorf("Parse returned a file and the error %v", err)
		}
		var joined interface{ Unwrap() []error }
		if !errors.As(err, &joined) {
			t.Fatalf("Parse returned %T, want joined errors", err)
		}
		for _, err := range joined.Unwrap() {
			var fault *carom.FieldError
			if !errors.As(err, &fault) || fault.File != "f" || fault.Line < 1 || fault.Column < 1 || fault.Message == "" {
				t.Errorf("Parse returned %#v, want a field error with a place", err)
			}
		}
	})
}
