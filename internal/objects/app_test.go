package objects

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func TestOriginFault(t *testing.T) {
	tests := []struct {
		origin string
		want   string // a part of the fault; empty: fit
	}{
		{"https://game.example", ""},
		{"https://game.example:8443", ""},
		{"https://xn--exmple-cua.example", ""},
		{"http://localhost", ""},
		{"http://app.localhost:3000", ""},
		{"http://127.0.0.1:5173", ""},
		{"http://[::1]:5173", ""},
		{"", "no origin"},
		{"*", "no origin"},
		{"null", "no origin"},
		{"//game.example", "no origin"},
		{"https://", "no origin"},
		{"https://game.example:x", "no origin"},
		{"https://user@game.example", "no origin"},
		{"chrome-extension://abc", "no origin"},
		{"https://game.example:0", "no port"},
		{"https://*.game.example", "without *"},
		{"https://exämple.com", "xn-- form"},
		{"https://game.example/", `write "https://game.example"`},
		{"https://game.example/play?a=1#b", `write "https://game.example"`},
		{"https://game.example:", `write "https://game.example"`},
		{"HTTPS://Game.Example", `write "https://game.example"`},
		{"https://game.example:443", `write "https://game.example"`},
		{"http://localhost:80", `write "http://localhost"`},
		{"http://game.example", "write https"},
		{"http://192.168.1.7:3000", "write https"},
		{"http://localhost.evil.example", "write https"},
	}
	for _, tt := range tests {
		if got := originFault(tt.origin); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("originFault(%q) = %q, want %q", tt.origin, got, tt.want)
		}
	}
}

// deliveryObjects has an app with everything that has to do with its own pages, its bot, and where rewards go.
func deliveryObjects() carom.Objects {
	return carom.Objects{
		Apps: []carom.App{{Name: "game", Origins: []string{"https://game.example"}, BotToken: botToken, BotID: 42}},
		Sources: []carom.Source{{App: "game", Name: "m", Profile: "monetag", Secrets: []carom.SecretSum{sum(1)}, Mode: carom.SourceShadow,
			ShadowURL: "https://old.example/p?key=s3cr3t"}},
		Endpoints: []carom.Endpoint{{No: 3, App: "game", Name: "coins", URL: "https://a.example/", Method: "POST", Sends: carom.SendsRewards,
			Filter: carom.Filter{Rules: []string{"watch"}}}},
	}
}

func TestDiffShowsWhereRewardsGo(t *testing.T) {
	bare := carom.Objects{
		Apps:      []carom.App{{Name: "game"}},
		Sources:   []carom.Source{{App: "game", Name: "m", Profile: "monetag"}},
		Endpoints: []carom.Endpoint{{App: "game", Name: "coins", URL: "https://a.example/", Method: "POST"}},
	}
	want := []Change{
		{Kind: KindApp, ID: "game", Action: Changed, Fields: []FieldChange{
			{"origins", "", "[https://game.example]"}, {"telegram.bot_token", "", "(secret)"}, {"telegram.bot_id", "", "42"},
		}},
		{Kind: KindSource, ID: "game/m", Action: Changed, Fields: []FieldChange{
			{"mode", "live", "shadow"}, {"shadow_url", "", "https://old.example/p?key=***"}, {"secret", "", "(secret)"},
		}},
		{Kind: KindEndpoint, ID: "game/coins", Action: Changed, Fields: []FieldChange{
			{"sends", "events", "rewards"}, {"filter.rules", "", "[watch]"}, {"deadline", "3d", "7d"},
		}},
	}
	got := Diff(bare, deliveryObjects(), true)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Diff (-want +got):\n%s", diff)
	}
	other := deliveryObjects()
	other.Apps[0].BotToken = "42:another-made-up-token-of-the-tests"
	other.Sources[0].ShadowURL = "https://old.example/p?key=0th3r"
	want = []Change{
		{Kind: KindApp, ID: "game", Action: Changed, Fields: []FieldChange{{"telegram.bot_token", "(secret)", "(secret changed)"}}},
		{Kind: KindSource, ID: "game/m", Action: Changed, Fields: []FieldChange{
			{"shadow_url", "https://old.example/p?key=***", "https://old.example/p?key=*** (a hidden value changed)"},
		}},
	}
	changed := Diff(deliveryObjects(), other, true)
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("Diff of hidden values (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"made-up", "s3cr3t", "0th3r"} {
		if strings.Contains(fmt.Sprintf("%+v%+v", got, changed), secret) {
			t.Errorf("Diff shows the secret %q", secret)
		}
	}
}

// TestMergeTakesTheBotFromTheFile: the token stands in the file, like a signing secret, so that removing it there removes it.
func TestMergeTakesTheBotFromTheFile(t *testing.T) {
	want := carom.Objects{Apps: []carom.App{{Name: "game", Origins: []string{"https://new.example"}}}}
	got := Merge(deliveryObjects(), want, false)
	if diff := cmp.Diff(want.Apps, got.Apps, exact); diff != "" {
		t.Errorf("the app that the file names (-want +got):\n%s", diff)
	}
	if got := Merge(deliveryObjects(), carom.Objects{}, false); !cmp.Equal(got, deliveryObjects(), exact) {
		t.Errorf("what the file does not name has changed: %+v", got)
	}
}
