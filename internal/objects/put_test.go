package objects

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"carom"
	"carom/internal/network"
)

// inAnyOrder is the order of headers, which a JSON object does not keep.
var inAnyOrder = cmpopts.SortSlices(func(a, b carom.Field) bool { return a.Name < b.Name })

// richObjects are those of the files of these tests, with what only a server adds.
func richObjects(t *testing.T) carom.Objects {
	t.Helper()
	full, err := parseFile(t, "full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	end, err := parseFile(t, "network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := Merge(full.Objects, end.Objects, false)
	for i := range o.Sources {
		if s := &o.Sources[i]; s.Profile == "monetag" && len(s.Secrets) == 0 {
			s.Secrets = []carom.SecretSum{{Sum: [32]byte{byte(i)}}, {Sum: [32]byte{1, byte(i)}, NotAfter: time.Unix(1e9, 5)}}
		}
	}
	for i := range o.Endpoints {
		o.Endpoints[i].No = i + 1
	}
	o.Publishers[0].AllowPrivate, o.Endpoints[0].Paused, o.Sources[0].Rate = true, true, 0.5
	return o
}

// networks knows those that are built in.
func networks(t *testing.T) Env {
	t.Helper()
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	return Env{Profiles: profiles}
}

// refsOf names all objects.
func refsOf(o carom.Objects) []Ref {
	var refs []Ref
	for _, v := range views() {
		for _, id := range slices.Sorted(maps.Keys(v.fields(o))) {
			app, name, inApp := strings.Cut(id, "/")
			if !inApp {
				app, name = "", id
			}
			refs = append(refs, Ref{v.kind, app, name})
		}
	}
	return refs
}

// overTheWire is what becomes of settings that a client got and sends back.
func overTheWire(t *testing.T, settings map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// TestPutOfSettingsChangesNothing: what Settings writes, Put reads, for every key that there is. Secrets stay.
func TestPutOfSettingsChangesNothing(t *testing.T) {
	have, env := richObjects(t), networks(t)
	seen := map[Kind]map[string]bool{}
	for _, r := range refsOf(have) {
		t.Run(r.String(), func(t *testing.T) {
			settings := overTheWire(t, Settings(Find(have, r)))
			noteKeys(seen, r.Kind, "", settings)
			got, err := Put(have, r, settings, env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Find(have, r), Find(got.Objects, r), exact, prefixes, inAnyOrder); diff != "" {
				t.Errorf("the object (-had +got):\n%s", diff)
			}
			if changes := Diff(have, got.Objects, true); len(changes) > 0 || got.Made {
				t.Errorf("made %t, changes %+v", got.Made, changes)
			}
			if Sum(Find(have, r)) != Sum(Find(got.Objects, r)) {
				t.Error("its sum is another")
			}
		})
	}
	for kind, keys := range seen {
		all, err := Keys(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range all {
			if !keys[key] && !isSecretKey(key) {
				t.Errorf("no %s of these tests has the key %s", kind, key)
			}
		}
	}
}

// isSecretKey says whether a key is about a secret, which no settings show.
func isSecretKey(key string) bool {
	return strings.Contains(key, "secret") || strings.Contains(key, "bot_token") || strings.HasPrefix(key, "previous_")
}

func noteKeys(seen map[Kind]map[string]bool, kind Kind, path string, settings map[string]any) {
	if seen[kind] == nil {
		seen[kind] = map[string]bool{}
	}
	for key, value := range settings {
		at := join(path, key)
		seen[kind][at] = true
		values, ok := value.([]any)
		if !ok {
			values = []any{value}
		}
		for _, v := range values {
			if below, ok := v.(map[string]any); ok {
				noteKeys(seen, kind, at, below)
			}
		}
	}
}

// world is a few objects that lean on one another.
func world(t *testing.T) carom.Objects {
	t.Helper()
	file, err := Parse("carom.yaml", []byte(`
publishers: { acme: {} }
apps:
  shop:
    publisher: acme
    currencies: { coins: 0 }
    sources:
      monetag: { profile: monetag, secret: 0123456789abcdef0123456789abcdef }
      unity: { profile: unityads, network_secret: the-key-of-the-network }
    endpoints:
      backend: { url: "https://shop.example/p?u=[ymid]", dialect: old, filter: { sources: [monetag], zones: ["1"] } }
      coins: { url: "https://shop.example/c?u={reward_user}&id={reward_id}&s={reward_state}", sends: rewards, filter: { rules: [watch] } }
      signed: { url: "https://shop.example/s?u={ymid}&sig={signature}", signing_secret: a-signing-secret-of-the-shop }
    rules: { watch: { price: 5 coins, filter: { sources: [unity] } } }
    zones: { "1": { sub_zones: { rewarded_popup: "11" } } }
    origins: [https://shop.example]
    telegram: { bot_token: "42:AAF-made-up-token-of-the-tests_0123456" }
  shop2: { sources: { monetag: { profile: monetag, secret: 0123456789abcdef0123456789abcdee } } }
creatives: { spring: { zones: ["1"], formats: [rewarded_popup], landing_url: "https://shop.example/" } }
dialects: { old: { open: "[", close: "]" } }
`), Env{})
	if err != nil {
		t.Fatal(err)
	}
	return file.Objects
}

func TestPutJudgesTheWhole(t *testing.T) {
	env := networks(t)
	env.ReadFile = func(string) ([]byte, error) { return []byte("x"), nil }
	for _, tt := range []struct {
		name     string
		ref      Ref
		settings map[string]any
		want     string // the fault, or nothing
	}{
		{"a fault is relative to the settings", Ref{KindEndpoint, "shop", "new"}, map[string]any{"url": "https://a.example/?u={ymdi}"}, "url: "},
		{"one in a list", Ref{KindEndpoint, "shop", "new"}, map[string]any{"url": "https://a.example/?u={ymid}", "filter": map[string]any{"sources": []any{"monteag"}}},
			"filter.sources[0]: the app has no source \"monteag\": did you mean monetag?"},
		{"a name", Ref{KindEndpoint, "shop", "New"}, map[string]any{"url": "https://a.example/?u={ymid}"}, "the name \"New\""},
		{"an unknown key", Ref{KindApp, "", "shop"}, map[string]any{"titel": "x"}, "titel: there is no such key here: did you mean title?"},
		{"what others rest on", Ref{KindApp, "", "shop"}, map[string]any{"publisher": "acme"}, "rules.watch.price.currency: "},
		{"a dialect that templates need", Ref{KindDialect, "", "old"}, map[string]any{"open": "", "close": ""}, "open: "},
		{"an id of a zone that is taken", Ref{KindZone, "shop2", "11"}, map[string]any{"sub_zones": map[string]any{"rewarded_popup": "12"}}, "the id \"11\" is taken"},
		{"another with a name that begins alike", Ref{KindApp, "", "shop2"}, map[string]any{"publisher": "acme"}, ""},
		{"a network that needs a key", Ref{KindSource, "shop", "unity2"}, map[string]any{"profile": "unityads"}, "network_secret"},
		{"an older secret without its end", Ref{KindEndpoint, "shop", "signed"},
			map[string]any{"url": "https://shop.example/s?u={ymid}&sig={signature}", "previous_signing_secret": "an-older-secret-of-it"}, "previous_signing_secret: nothing says until when"},
		{"a file of this machine", Ref{KindSource, "shop", "monetag"}, map[string]any{"profile": "monetag", "secret_file": "/etc/passwd"}, "secret_file: no file can be read here"},
		{"nothing to read", Ref{KindSource, "shop", "monetag"}, nil, "profile: the profile is missing"},
		{"null", Ref{KindEndpoint, "shop", "backend"}, map[string]any{"url": nil}, "url: it has no value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Put(world(t), tt.ref, tt.settings, env)
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Put(world(t), Ref{KindRule, "nowhere", "r"}, nil, Env{}); !errors.Is(err, carom.ErrNotFound) {
		t.Errorf("in an app that is not there: %v", err)
	}
}

// TestPutLeavesOldFaultsAlone: what is in force and would be refused today keeps nobody from changing something else.
func TestPutLeavesOldFaultsAlone(t *testing.T) {
	have := world(t)
	have.Endpoints = append(have.Endpoints, carom.Endpoint{App: "shop", Name: "odd", URL: "https://shop.example/?u={ymdi}"})
	if _, err := Put(have, Ref{KindPublisher, "", "acme"}, map[string]any{"title": "Acme"}, Env{}); err != nil {
		t.Errorf("another object: %v", err)
	}
	if _, err := Put(have, Ref{KindEndpoint, "shop", "odd"}, Settings(&have.Endpoints[len(have.Endpoints)-1]), Env{}); err == nil {
		t.Error("the fault itself can be stored again")
	}
}

func TestPutKeepsSecrets(t *testing.T) {
	have, env := world(t), networks(t)
	have.Endpoints[2].SigningSecrets = append(have.Endpoints[2].SigningSecrets,
		carom.SigningSecret{Key: "an-older-signing-secret", NotAfter: time.Unix(2e9, 7).UTC()}, carom.SigningSecret{Key: "and-an-even-older-one", NotAfter: time.Unix(1e9, 0).UTC()})
	endpoint, source, bot := Ref{KindEndpoint, "shop", "signed"}, Ref{KindSource, "shop", "unity"}, Ref{KindApp, "", "shop"}
	url := "https://shop.example/s2?u={ymid}&sig={signature}"
	app := func(telegram map[string]any) map[string]any {
		return map[string]any{"currencies": map[string]any{"coins": 0}, "origins": []any{"https://shop.example"}, "telegram": telegram}
	}
	for _, tt := range []struct {
		name     string
		ref      Ref
		settings map[string]any
		want     string // the secrets, newest first
	}{
		{"absent stays, all of it", endpoint, map[string]any{"url": url}, "a-signing-secret-of-the-shop,an-older-signing-secret,and-an-even-older-one"},
		{"a new one replaces all", endpoint, map[string]any{"url": url, "signing_secret": "the-new-secret-of-the-shop"}, "the-new-secret-of-the-shop"},
		{"a new one beside an older one", endpoint, map[string]any{"url": url, "signing_secret": "the-new-secret-of-the-shop", "previous_signing_secret": "the-one-before-that", "previous_signing_until": "2026-12-01T00:00:00Z"},
			"the-new-secret-of-the-shop,the-one-before-that"},
		{"only the older one", endpoint, map[string]any{"url": url, "previous_signing_secret": "the-one-before-that", "previous_signing_until": "2026-12-01T00:00:00Z"},
			"a-signing-secret-of-the-shop,the-one-before-that"},
		{"an empty one removes it", endpoint, map[string]any{"url": "https://shop.example/s2?u={ymid}", "signing_secret": ""}, ""},
		{"a network's key stays", source, map[string]any{"profile": "unityads"}, "the-key-of-the-network"},
		{"a network's key is replaced", source, map[string]any{"profile": "unityads", "network_secret": "another-key"}, "another-key"},
		{"a bot's token stays", bot, app(nil), "42:AAF-made-up-token-of-the-tests_0123456"},
		{"a bot's token stays beside its id", bot, app(map[string]any{"bot_id": 42}), "42:AAF-made-up-token-of-the-tests_0123456"},
		{"a bot's token is removed", bot, app(map[string]any{"bot_token": ""}), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Put(have, tt.ref, tt.settings, env)
			if err != nil {
				t.Fatal(err)
			}
			var keys []string
			switch o := Find(got.Objects, tt.ref).(type) {
			case *carom.Endpoint:
				for _, s := range o.SigningSecrets {
					keys = append(keys, string(s.Key))
				}
			case *carom.Source:
				for _, s := range o.NetworkSecrets {
					keys = append(keys, string(s.Key))
				}
			case *carom.App:
				keys = append(keys, string(o.BotToken))
			}
			if got := strings.Join(keys, ","); got != tt.want {
				t.Errorf("secrets %s, want %s", got, tt.want)
			}
		})
	}
}

func TestPutMakesASecretOnce(t *testing.T) {
	have, r := world(t), Ref{KindSource, "shop2", "second"}
	env := networks(t)
	first, err := Put(have, r, map[string]any{"profile": "monetag"}, env)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Made || len(first.Secret) != 32 {
		t.Errorf("made %t, a secret of %d characters", first.Made, len(first.Secret))
	}
	second, err := Put(first.Objects, r, map[string]any{"profile": "monetag", "ymid": "user"}, env)
	if err != nil {
		t.Fatal(err)
	}
	if second.Made || second.Secret != "" || Sum(Find(first.Objects, r)) == Sum(Find(second.Objects, r)) {
		t.Errorf("made %t again, or the sum is the same", second.Made)
	}
	unsigned, err := Put(have, r, map[string]any{"profile": "unityads", "network_secret": "a-key"}, env)
	if err != nil || !unsigned.Made || unsigned.Secret != "" {
		t.Errorf("a source without a secret in its path: %+v, %v", unsigned, err)
	}
	zone, err := Put(have, Ref{KindZone, "shop2", "2"}, map[string]any{"sub_zones": map[string]any{"rewarded_popup": "22"}}, env)
	if err != nil || Find(zone.Objects, Ref{KindSource, "shop2", carom.SourceSDK}) == nil {
		t.Errorf("the first zone of an app brings no source: %v", err)
	}
}
