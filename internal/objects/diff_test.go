package objects

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

func sum(b byte) carom.SecretSum { return carom.SecretSum{Sum: [32]byte{b}} }

func coins(n carom.Nanos) carom.PriceRule {
	return carom.PriceRule{Currency: "coins", Fixed: carom.Price{Nanos: n * 1_000_000_000, Set: true}}
}

func share() carom.PriceRule {
	return carom.PriceRule{Currency: "coins", From: carom.PriceEstimate, Share: 500_000_000, Max: coins(9).Fixed, TrustSecret: true}
}

// inForce is a configuration as the store has it.
func inForce() carom.Objects {
	return carom.Objects{
		Version:    3,
		Publishers: []carom.Publisher{{Name: "acme", Title: "Acme"}, {Name: "old"}},
		Apps:       []carom.App{{Name: "game", Publisher: "acme", Currencies: map[string]int{"coins": 0, "old": 1}}, {Name: "gone", Publisher: "old"}},
		Sources: []carom.Source{
			{App: "game", Name: "monetag", Profile: "monetag", Secrets: []carom.SecretSum{sum(1), sum(2)}},
			{App: "gone", Name: "monetag", Profile: "monetag", Secrets: []carom.SecretSum{sum(3)}},
		},
		Endpoints: []carom.Endpoint{
			{No: 7, App: "game", Name: "backend", URL: "https://a.example/?u={ymid}&key=abc", Timeout: carom.DefaultTimeout,
				Headers:        []carom.Field{{Name: "X-Key", Value: "k1"}, {Name: "X-Old", Value: ""}},
				Body:           "one",
				SigningSecrets: []carom.SigningSecret{{Key: "signing key one, quite long"}}},
			{No: 8, App: "gone", Name: "backend", URL: "https://b.example/"},
		},
		Rules: []carom.Rule{
			{App: "game", Name: "bonus", Price: coins(5), Caps: []carom.Cap{{Per: []string{carom.CapDay, carom.CapUser}, Rewards: 20}}, Hold: time.Hour},
			{App: "game", Name: "share", Price: share()},
			{App: "gone", Name: "bonus", Price: coins(5)},
		},
	}
}

func TestDiffOfEqualObjectsIsEmpty(t *testing.T) {
	want := inForce()
	want.Sources[0].Secrets = nil // the file gives none: carom's own stay
	want.Sources[1].YMID = carom.YMIDView
	want.Endpoints[0].No, want.Endpoints[0].Timeout = 0, 0
	want.Endpoints[1].Concurrency = carom.DefaultConcurrency
	want.Apps[0].TimeZone = "UTC"
	want.Rules[0].Filter.Values = []carom.RewardEventType{carom.Valued}
	want.Rules[0].Caps = []carom.Cap{{Per: []string{carom.CapUser, carom.CapDay}, Rewards: 20}}
	want.Rules[1].Price.Rate, want.Rules[1].Price.Round = 1_000_000_000, carom.RoundDown
	if changes := Diff(inForce(), want, true); len(changes) != 0 {
		t.Errorf("Diff returned %+v, want nothing", changes)
	}
}

func TestDiff(t *testing.T) {
	until := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	want := carom.Objects{
		Publishers: []carom.Publisher{{Name: "acme", Title: "Acme Ltd"}, {Name: "Zed"}},
		Apps:       []carom.App{{Name: "game", TimeZone: "Asia/Tokyo", Currencies: map[string]int{"coins": 2, "USD": 2}}},
		Sources: []carom.Source{
			{App: "game", Name: "orders", Profile: carom.ProfileAPI, EventTypes: map[string]carom.EventType{"b": "lead", "a": "install"}},
			{App: "game", Name: "monetag", Profile: "monetag", Secrets: []carom.SecretSum{sum(9), {Sum: sum(1).Sum, NotAfter: until}},
				NetworkSecrets: []carom.SigningSecret{{Key: "signing key of the network"}}, RequireAddress: true,
				Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		},
		Endpoints: []carom.Endpoint{{
			App: "game", Name: "backend", URL: "https://a.example/?u={ymid}&key=xyz", Headers: []carom.Field{{Name: "X-Key", Value: "k2"}},
			Body: "two", Method: "POST", Paused: true, Rate: 0.5, Schedule: []time.Duration{time.Minute, 90 * time.Second},
			Filter:         carom.Filter{Values: []carom.RewardEventType{carom.Valued, carom.ValueEmpty}, Zones: []string{"1", "a, b"}},
			SigningSecrets: []carom.SigningSecret{{Key: "signing key two, quite long"}, {Key: "signing key one, quite long", NotAfter: until}},
		}},
		Rules: []carom.Rule{
			{App: "game", Name: "share", Price: coins(7), Cooldown: time.Minute},
			{App: "game", Name: "bonus", Price: coins(6), Additional: true, Filter: carom.RuleFilter{
				Networks: []string{"admob"}, Sources: []string{"a"}, Zones: []string{"1"}, EventTypes: []carom.EventType{"lead"},
				Values: []carom.RewardEventType{carom.ValueEmpty}, RequestVars: []string{"b"},
			}, Caps: []carom.Cap{{Name: "all", Per: []string{carom.CapRule}, Rewards: 1, Amount: coins(9).Fixed}, {Per: []string{carom.CapUser}, Rewards: 2}}},
			{App: "game", Name: "new", Price: carom.PriceRule{Currency: "coins", From: carom.PriceReward, Rate: 1, Min: coins(1).Fixed,
				Max: coins(2).Fixed, Step: 2_000_000_000, Round: carom.RoundUp}},
		},
	}
	gone := func(action Action) []Change {
		return []Change{
			{Kind: KindPublisher, ID: "Zed", Action: Added},
			{Kind: KindPublisher, ID: "acme", Action: Changed, Fields: []FieldChange{{"title", "Acme", "Acme Ltd"}}},
			{Kind: KindPublisher, ID: "old", Action: action},
			{Kind: KindApp, ID: "game", Action: Changed, Fields: []FieldChange{
				{"publisher", "acme", ""}, {"time_zone", "UTC", "Asia/Tokyo"}, {"currencies.USD", "", "2"}, {"currencies.coins", "0", "2"},
				{"currencies.old", "1", ""},
			}},
			{Kind: KindApp, ID: "gone", Action: action},
			{Kind: KindSource, ID: "game/monetag", Action: Changed, Fields: []FieldChange{
				{"addresses", "", "[192.0.2.0/24]"},
				{"require_address", "", "true"},
				{"secret", "(secret)", "(secret changed)"},
				{"previous_secret", "(secret)", "(secret changed)"},
				{"previous_secret until", "", "2026-12-01T00:00:00Z"},
				{"network_secret", "", "(secret)"},
			}},
			{Kind: KindSource, ID: "game/orders", Action: Added, Fields: []FieldChange{
				{"profile", "", "api"}, {"event_types.a", "", "install"}, {"event_types.b", "", "lead"},
			}},
			{Kind: KindSource, ID: "gone/monetag", Action: action},
			{Kind: KindEndpoint, ID: "game/backend", Action: Changed, Fields: []FieldChange{
				{"url", "https://a.example/?u={ymid}&key=***", "https://a.example/?u={ymid}&key=*** (a hidden value changed)"},
				{"method", "GET", "POST"},
				{"content_type", "", "json"},
				{"body", "(text)", "(text changed)"},
				{"headers.X-Key", "(value)", "(value changed)"},
				{"filter.values", "", "[valued, empty]"},
				{"filter.zones", "", `[1, "a, b"]`},
				{"schedule", "[5s, 30s, 2m, 10m, 30m, 1h, 2h]", "[1m, 1m30s]"},
				{"rate", "0", "0.5"},
				{"paused", "false", "true"},
				{"signing_secret", "(secret)", "(secret changed)"},
				{"previous_signing_secret", "", "(secret)"},
				{"previous_signing_secret until", "", "2026-12-01T00:00:00Z"},
				{"headers.X-Old", "(value)", ""},
			}},
			{Kind: KindEndpoint, ID: "gone/backend", Action: action},
			{Kind: KindRule, ID: "game/bonus", Action: Changed, Fields: []FieldChange{
				{"filter.networks", "", "[admob]"},
				{"filter.sources", "", "[a]"},
				{"filter.zones", "", "[1]"},
				{"filter.event_types", "", "[lead]"},
				{"filter.values", "[valued]", "[empty]"},
				{"filter.request_vars", "", "[b]"},
				{"price", "5 coins", "6 coins"},
				{"additional", "false", "true"},
				{"caps[0]", "{ per: [user, day], rewards: 20 }", "{ name: all, per: [rule], rewards: 1, amount: 9 }"},
				{"caps[1]", "", "{ per: [user], rewards: 2 }"},
				{"hold", "1h", ""},
			}},
			{Kind: KindRule, ID: "game/new", Action: Added, Fields: []FieldChange{
				{"price.from", "", "reward_amount"}, {"price.currency", "", "coins"}, {"price.min", "", "1"}, {"price.max", "", "2"},
				{"price.rate", "", "0.000000001"}, {"price.step", "", "2"}, {"price.round", "", "up"},
			}},
			{Kind: KindRule, ID: "game/share", Action: Changed, Fields: []FieldChange{
				{"price", "", "7 coins"},
				{"cooldown", "", "1m"},
				{"price.from", "estimated_price", ""},
				{"price.currency", "coins", ""},
				{"price.max", "9", ""},
				{"price.share", "0.5", ""},
				{"price.trust", "secret", ""},
			}},
			{Kind: KindRule, ID: "gone/bonus", Action: action},
		}
	}
	for _, tt := range []struct {
		prune  bool
		action Action
	}{{false, Kept}, {true, Removed}} {
		got := Diff(inForce(), want, tt.prune)
		if diff := cmp.Diff(gone(tt.action), got); diff != "" {
			t.Errorf("Diff with prune %t (-want +got):\n%s", tt.prune, diff)
		}
		for _, secret := range []string{"k1", "k2", "signing key", "abc", "xyz"} {
			if strings.Contains(fmt.Sprintf("%+v", got), secret) {
				t.Errorf("Diff shows the secret %q", secret)
			}
		}
	}
}

func TestMerge(t *testing.T) {
	want := carom.Objects{
		Apps: []carom.App{{Name: "game", Title: "Game"}},
		Sources: []carom.Source{
			{App: "game", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser},
			{App: "game", Name: "second", Profile: "monetag"},
		},
		Endpoints: []carom.Endpoint{
			{App: "game", Name: "new", URL: "https://n.example/"},
			{App: "game", Name: "backend", URL: "https://a2.example/"},
		},
		Rules: []carom.Rule{{App: "game", Name: "bonus", Price: coins(6)}},
	}
	pruned := carom.Objects{
		Version: inForce().Version,
		Apps:    want.Apps,
		Sources: []carom.Source{
			{App: "game", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser, Secrets: []carom.SecretSum{sum(1), sum(2)}},
			{App: "game", Name: "second", Profile: "monetag"},
		},
		Endpoints: []carom.Endpoint{
			{App: "game", Name: "new", URL: "https://n.example/"},
			{No: 7, App: "game", Name: "backend", URL: "https://a2.example/"},
		},
		Rules: want.Rules,
	}
	if diff := cmp.Diff(pruned, Merge(inForce(), want, true), exact); diff != "" {
		t.Errorf("Merge with prune (-want +got):\n%s", diff)
	}
	have := inForce()
	all := carom.Objects{
		Version:    have.Version,
		Publishers: have.Publishers,
		Apps:       append(pruned.Apps[:1:1], have.Apps[1]),
		Sources:    append(pruned.Sources[:2:2], have.Sources[1]),
		Endpoints:  append(pruned.Endpoints[:2:2], have.Endpoints[1]),
		Rules:      append(want.Rules[:1:1], have.Rules[1:]...),
	}
	if diff := cmp.Diff(all, Merge(have, want, false), exact); diff != "" {
		t.Errorf("Merge without prune (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(inForce(), have, exact); diff != "" {
		t.Errorf("Merge changed what it was given:\n%s", diff)
	}
	if len(want.Sources[0].Secrets) != 0 || want.Endpoints[1].No != 0 {
		t.Error("Merge changed what is wanted")
	}
	if changes := Diff(Merge(have, want, true), want, true); len(changes) != 0 {
		t.Errorf("after Merge, Diff still finds %+v", changes)
	}
}

func TestMaskTemplate(t *testing.T) {
	tests := []struct{ template, want string }{
		{"https://a.example/p?u={ymid}&k=abc&e=", "https://a.example/p?u={ymid}&k=***&e="},
		{"https://a.example/in/0123456789abcdefghij/x", "https://a.example/in/***/x"},
		{"https://joe:pw@a.example/", "https://***@a.example/"},
		{"?uid={ymid}&key=abc", "?uid={ymid}&key=***"},
		{"uid={ymid}&key=abc", "uid={ymid}&key=***"},
		{"https://a.example/postback", "https://a.example/postback"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := maskTemplate(tt.template); got != tt.want {
			t.Errorf("maskTemplate(%q) = %q, want %q", tt.template, got, tt.want)
		}
	}
}
