package api

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
	"carom/internal/objects"
)

// richFile has objects of every kind that lean on one another, with secrets in them.
const richFile = `
publishers: { acme: { title: Acme } }
apps:
  shop:
    title: Shop
    publisher: acme
    time_zone: Europe/Berlin
    currencies: { coins: 0, USD: 2 }
    origins: [https://shop.example]
    telegram: { bot_token: "42:AAF-hunter2-token-of-the-tests_0123456", bot_id: 42 }
    sources:
      monetag: { profile: monetag, secret: 0123456789abcdef0123456789abcdef, ymid: user, template: "?ymid={ymid}&event={event_type}&key=hunter2" }
      unity: { profile: unityads, network_secret: hunter2-key-of-the-network, addresses: [192.0.2.7], rate: 5 }
      old: { profile: monetag, secret: 0123456789abcdef0123456789abcdee, mode: shadow, shadow_url: "https://old.example/p?token=hunter2" }
    endpoints:
      backend:
        url: "https://shop.example/p?token=hunter2&u=[ymid]"
        dialect: old
        headers: { Authorization: Bearer hunter2, X-Zone: "[zone_id]" }
        filter: { sources: [monetag], zones: ["1"], values: [valued, empty] }
        success: { contains: OK }
        schedule: [5s, 1m]
      coins: { url: "https://shop.example/c?u={reward_user}&id={reward_id}&s={reward_state}", sends: rewards, filter: { rules: [watch] }, deadline: 2d }
      signed: { url: "https://shop.example/s", method: POST, body: '{"user": "{ymid}", "code": "hunter3"}', signing_secret: hunter2-signing-secret-of-the-shop }
    rules:
      watch: { price: 5 coins, filter: { sources: [unity] }, caps: [{ per: [user, day], rewards: 20 }], hold: 1d }
      share: { price: { from: estimated_price, currency: USD, share: 50%, max: 1.50, trust: secret }, additional: true }
    zones:
      "1":
        title: Main
        sub_zones: { rewarded_popup: "11" }
        ad_server: { url: "https://ads.example/choose?key=hunter2", max_price: 0.5 }
        confirm: { viewable: off, per_user: 9 in 10m, own_users: ["7"] }
  game: { sources: { monetag: { profile: monetag, secret: 0123456789abcdef0123456789abcded } } }
creatives: { spring: { zones: ["1"], formats: [rewarded_popup], landing_url: "https://shop.example/", html: <p>&amp;</p>, per_click: 0.05, weight: 3 } }
dialects: { old: { open: "[", close: "]", macros: { click_id: ymid } } }
`

// richWorld is a world whose objects are those of richFile.
func richWorld(t *testing.T) *world {
	t.Helper()
	file, err := objects.Parse("carom.yaml", []byte(richFile), objects.Env{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.objects.objects = file.Objects
	return w
}

// richPaths are the paths of all objects of richFile, but for the publisher.
func richPaths() []string {
	return []string{
		"/v1/apps/shop", "/v1/apps/game", "/v1/sources/shop/monetag", "/v1/sources/shop/unity", "/v1/sources/shop/old", "/v1/sources/shop/sdk",
		"/v1/sources/game/monetag", "/v1/endpoints/shop/backend", "/v1/endpoints/shop/coins", "/v1/endpoints/shop/signed", "/v1/rules/shop/watch",
		"/v1/rules/shop/share", "/v1/zones/shop/1", "/v1/creatives/spring", "/v1/dialects/old",
	}
}

// askWith makes one request with further headers.
func (w *world) askWith(t *testing.T, key, route, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(route, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// TestWhatIsReadCanBeWrittenBack: each object, as it is shown, is taken back and is no change; its secrets are never shown.
func TestWhatIsReadCanBeWrittenBack(t *testing.T) {
	for _, path := range richPaths() {
		t.Run(path, func(t *testing.T) {
			w := richWorld(t)
			before := w.objects.objects
			got := w.ask(t, "admin", "GET "+path, "")
			if got.Code != 200 || got.Header().Get("ETag") == "" {
				t.Fatalf("status %d, ETag %q: %s", got.Code, got.Header().Get("ETag"), got.Body)
			}
			if strings.Contains(got.Body.String(), "hunter2") {
				t.Errorf("a secret is shown: %s", got.Body)
			}
			put := w.askWith(t, "admin", "PUT "+path, got.Body.String(), "If-Match", got.Header().Get("ETag"))
			saved := decode[Saved[any]](t, put, 200)
			if len(saved.Changes) > 0 || w.objects.applied > 0 || saved.Made != nil {
				t.Errorf("changes %+v, applied %d times", saved.Changes, w.objects.applied)
			}
			if put.Header().Get("ETag") != got.Header().Get("ETag") {
				t.Errorf("the ETag became %s, it was %s", put.Header().Get("ETag"), got.Header().Get("ETag"))
			}
			if diff := objects.Diff(before, w.objects.objects, true); len(diff) > 0 {
				t.Errorf("what is in force: %+v", diff)
			}
			read := w.ask(t, "read", "GET "+path, "")
			if read.Code != 200 || strings.Contains(read.Body.String(), "hunter") {
				t.Errorf("to those who may only read: %d %s", read.Code, read.Body)
			}
		})
	}
}

// TestSettingsAreThoseOfTheFile: what the document describes has the keys of the objects file, all of them and no other.
func TestSettingsAreThoseOfTheFile(t *testing.T) {
	for kind, config := range map[objects.Kind]any{
		objects.KindPublisher: PublisherTitle{}, objects.KindApp: AppConfig{}, objects.KindSource: SourceConfig{}, objects.KindEndpoint: EndpointConfig{},
		objects.KindRule: RuleConfig{}, objects.KindZone: ZoneConfig{}, objects.KindCreative: CreativeConfig{}, objects.KindDialect: DialectConfig{},
	} {
		t.Run(string(kind), func(t *testing.T) {
			all, err := objects.Keys(kind)
			if err != nil {
				t.Fatal(err)
			}
			// Files and variables are those of the server's machine, which nobody may name from elsewhere.
			want := slices.DeleteFunc(all, func(key string) bool { return strings.HasSuffix(key, "_file") || strings.HasSuffix(key, "_env") })
			got := keysOf(reflect.TypeOf(config), "")
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("keys (-the file +%T):\n%s", config, diff)
			}
		})
	}
}

// keysOf are the paths of all keys that a type has in JSON.
func keysOf(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, path+name)
		keys = append(keys, keysOf(t.Field(i).Type, path+name+".")...)
	}
	return keys
}

func TestMakeChangeRemove(t *testing.T) {
	w := richWorld(t)
	route, url := "/v1/endpoints/game/backend", `{"url":"https://game.example/p?u={ymid}"`
	dry := decode[Saved[EndpointObject]](t, w.ask(t, "admin", "PUT "+route+"?dry_run=true", url+"}"), 200)
	if len(dry.Changes) != 1 || dry.Changes[0].Action != "added" || w.objects.applied != 0 {
		t.Errorf("a dry run: %+v, applied %d times", dry, w.objects.applied)
	}
	made := w.askWith(t, "admin", "PUT "+route, url+"}", "If-None-Match", "*")
	saved := decode[Saved[EndpointObject]](t, made, 201)
	if saved.Object.App != "game" || saved.Object.Name != "backend" || len(saved.Changes) != 1 || w.objects.applied != 1 {
		t.Errorf("made %+v", saved)
	}
	if got := w.askWith(t, "admin", "PUT "+route, url+"}", "If-None-Match", "*"); got.Code != 412 || !strings.Contains(got.Body.String(), "already") {
		t.Errorf("made again: %d %s", got.Code, got.Body)
	}
	tag := made.Header().Get("ETag")
	changed := w.askWith(t, "admin", "PUT "+route, url+`,"timeout":"5s","paused":true}`, "If-Match", tag)
	if got := decode[Saved[EndpointObject]](t, changed, 200); got.Object.Timeout != "5s" || len(got.Changes) != 1 || len(got.Changes[0].Fields) != 2 {
		t.Errorf("changed %+v", got)
	}
	if got := w.askWith(t, "admin", "PUT "+route, url+"}", "If-Match", tag); got.Code != 412 || !strings.Contains(got.Body.String(), "was changed since you read it") {
		t.Errorf("with what was read before: %d %s", got.Code, got.Body)
	}
	if got := w.askWith(t, "admin", "DELETE "+route, "", "If-Match", tag); got.Code != 412 {
		t.Errorf("removed with what was read before: %d %s", got.Code, got.Body)
	}
	reset := decode[Saved[EndpointObject]](t, w.askWith(t, "admin", "PUT "+route, url+"}", "If-Match", changed.Header().Get("ETag")), 200)
	if reset.Object.Timeout != "" || reset.Object.Paused {
		t.Errorf("what is left out is not at its default: %+v", reset)
	}
	if got := decode[RemovedObjects](t, w.ask(t, "admin", "DELETE "+route+"?dry_run=true", ""), 200); len(got.Changes) != 1 || got.Changes[0].Action != "removed" {
		t.Errorf("a dry run of the removal: %+v", got)
	}
	decode[RemovedObjects](t, w.ask(t, "admin", "DELETE "+route, ""), 200)
	for _, method := range []string{"GET ", "DELETE "} {
		if got := w.ask(t, "admin", method+route, ""); got.Code != 404 {
			t.Errorf("%safterwards: %d %s", method, got.Code, got.Body)
		}
	}
	if got := w.askWith(t, "admin", "PUT "+route, url+"}", "If-Match", tag); got.Code != 412 {
		t.Errorf("of what is gone: %d %s", got.Code, got.Body)
	}
	if got := w.log.String(); strings.Count(got, "object changed") != 4 || !strings.Contains(got, "who=admin") {
		t.Errorf("the log: %s", got)
	}
}

func TestFaultsOfObjects(t *testing.T) {
	for _, tt := range []struct {
		name, key, route, body string
		status                 int
		says                   string
	}{
		{"a fault names the key of the body", "admin", "PUT /v1/endpoints/game/new", `{"url":"https://a.example/?u={ymdi}"}`, 422, `"field":"url"`},
		{"in a list", "admin", "PUT /v1/endpoints/game/new", `{"url":"https://a.example/?u={ymid}","filter":{"sources":["monteag"]}}`, 422, `"field":"filter.sources[0]"`},
		{"several", "admin", "PUT /v1/rules/shop/new", `{"price":{"fixed":"x","currency":"coins"},"hold":"long"}`, 422, "2 faults"},
		{"a word that is none", "admin", "PUT /v1/sources/shop/new", `{"profile":"monetag","ymid":"person"}`, 422, "ymid"},
		{"an unknown key", "admin", "PUT /v1/apps/shop", `{"titel":"x"}`, 422, "titel"},
		{"a network that there is not", "admin", "PUT /v1/sources/shop/new", `{"profile":"monteag"}`, 422, "did you mean monetag?"},
		{"a name", "admin", "PUT /v1/apps/Shop", `{}`, 422, "lower-case"},
		{"no such app", "admin", "PUT /v1/rules/nowhere/x", `{"price":{"fixed":"1","currency":"coins"}}`, 404, "make it first"},
		{"what others rest on", "admin", "PUT /v1/apps/shop", `{"origins":["https://shop.example"]}`, 422, "rules.watch.price.currency"},
		{"a hidden secret for another server", "admin", "PUT /v1/endpoints/shop/backend", `{"dialect":"old","url":"https://evil.example/p?token=***&u=[ymid]"}`, 422, "url: *** stands where a secret was hidden"},
		{"a hidden header for another server", "admin", "PUT /v1/endpoints/shop/backend", `{"dialect":"old","url":"https://evil.example/p?u=[ymid]","headers":{"Authorization":"***"}}`, 422, "headers.Authorization"},
		{"a hidden shadow for another server", "admin", "PUT /v1/sources/shop/old", `{"profile":"monetag","mode":"shadow","shadow_url":"https://evil.example/p?token=***"}`, 422, "shadow_url"},
		{"a hidden ad server for another server", "admin", "PUT /v1/zones/shop/1", `{"sub_zones":{"rewarded_popup":"11"},"ad_server":{"url":"https://evil.example/?key=***"}}`, 422, "ad_server.url"},
		{"those who only read", "read", "PUT /v1/apps/game", `{}`, 403, "scope admin"},
		{"those of one app", "game-admin", "PUT /v1/apps/game", `{}`, 403, "limited to the app game"},
		{"those of one app, removing", "game-admin", "DELETE /v1/sources/game/monetag", "", 403, "limited to the app game"},
		{"of another app", "game-read", "GET /v1/sources/shop/monetag", "", 404, "there is no source shop/monetag that you may see"},
		{"what others name", "admin", "DELETE /v1/sources/shop/monetag", "", 409, "the source shop/monetag is used: named in the filter of the endpoint shop/backend\""},
		{"what holds others", "admin", "DELETE /v1/apps/game", "", 409, "in it is the source game/monetag"},
		{"a publisher with apps", "admin", "DELETE /v1/publishers/acme", "", 409, "owner of the app shop"},
		{"a condition that means nothing", "admin", "GET /v1/apps?limit=0", "", 422, "limit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := richWorld(t)
			got := w.ask(t, tt.key, tt.route, tt.body)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.says) || strings.Contains(got.Body.String(), "hunter2") {
				t.Errorf("status %d, want %d with %q: %s", got.Code, tt.status, tt.says, got.Body)
			}
			if w.objects.applied != 0 {
				t.Error("something was changed")
			}
		})
	}
}

func TestAnAppGoesWithAllInIt(t *testing.T) {
	w := richWorld(t)
	got := decode[RemovedObjects](t, w.ask(t, "admin", "DELETE /v1/apps/game?with=all", ""), 200)
	if len(got.Changes) != 2 || len(w.objects.objects.Apps) != 1 {
		t.Errorf("removed %+v", got)
	}
}

func TestObjectsOfAFileAreReadOnly(t *testing.T) {
	w := richWorld(t)
	w.objects.file = "/etc/carom/carom.yaml"
	if got := w.ask(t, "admin", "PUT /v1/apps/game", `{"title":"Game"}`); got.Code != 409 || !strings.Contains(got.Body.String(), "/etc/carom/carom.yaml") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := w.ask(t, "admin", "DELETE /v1/sources/game/monetag", ""); got.Code != 409 || !strings.Contains(got.Body.String(), "/etc/carom/carom.yaml") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := w.ask(t, "admin", "POST /v1/endpoints/shop/signed/secret", `{}`); got.Code != 409 || !strings.Contains(got.Body.String(), "/etc/carom/carom.yaml") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	decode[Saved[AppObject]](t, w.ask(t, "admin", "PUT /v1/apps/game?dry_run=true", `{"title":"Game"}`), 200)
	if list := decode[AppList](t, w.ask(t, "admin", "GET /v1/apps", ""), 200); list.File != w.objects.file || w.objects.applied != 0 {
		t.Errorf("the list says %q; applied %d times", list.File, w.objects.applied)
	}
}

func TestListsOfObjects(t *testing.T) {
	for _, tt := range []struct{ key, route, noun, want, next string }{
		{"read", "/v1/apps", "apps", "game shop", ""},
		{"read", "/v1/apps?limit=1", "apps", "game", "game"},
		{"read", "/v1/apps?before=game", "apps", "shop", ""},
		{"game-read", "/v1/apps", "apps", "game", ""},
		{"read", "/v1/apps?q=SHO", "apps", "shop", ""},
		{"read", "/v1/sources", "sources", "game/monetag shop/monetag shop/old shop/sdk shop/unity", ""},
		{"read", "/v1/sources?app=shop&network=unityads", "sources", "shop/unity", ""},
		{"read", "/v1/sources?limit=2&before=game/monetag", "sources", "shop/monetag shop/old", "shop/old"},
		{"game-read", "/v1/sources", "sources", "game/monetag", ""},
		{"read", "/v1/rules?app=shop", "rules", "shop/share shop/watch", ""},
		{"game-read", "/v1/rules", "rules", "", ""},
		{"read", "/v1/zones?q=main", "zones", "shop/1", ""},
		{"read", "/v1/creatives", "creatives", "spring", ""},
		{"game-read", "/v1/creatives", "creatives", "", ""},
		{"read", "/v1/dialects", "dialects", "old", ""},
		{"read", "/v1/endpoints?app=shop&limit=2", "endpoints", "shop/backend shop/coins", "shop/coins"},
	} {
		t.Run(tt.key+" "+tt.route, func(t *testing.T) {
			list := decode[map[string]any](t, richWorld(t).ask(t, tt.key, "GET "+tt.route, ""), 200)
			var ids []string
			for _, row := range list[tt.noun].([]any) {
				r := row.(map[string]any)
				if e, ok := r["endpoint"].(map[string]any); ok {
					r = e
				}
				id, _ := r["name"].(string)
				if zone, ok := r["id"].(string); ok {
					id = zone
				}
				if app, ok := r["app"].(string); ok {
					id = app + "/" + id
				}
				ids = append(ids, id)
			}
			next, _ := list["next"].(string)
			if got := strings.Join(ids, " "); got != tt.want || next != tt.next {
				t.Errorf("got %q and next %q, want %q and %q", got, next, tt.want, tt.next)
			}
		})
	}
}

func TestASourceIsShownItsURLOnce(t *testing.T) {
	w := richWorld(t)
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Profiles: profiles})
	dry := decode[Saved[SourceObject]](t, w.ask(t, "admin", "PUT /v1/sources/game/second?dry_run=true", `{"profile":"monetag"}`), 200)
	if dry.Made != nil {
		t.Errorf("a dry run shows %+v", dry.Made)
	}
	made := decode[Saved[SourceObject]](t, w.ask(t, "admin", "PUT /v1/sources/game/second", `{"profile":"monetag"}`), 201)
	if made.Made == nil || made.Made.Source != "game/second" || len(made.Made.URL) < len("/in/game/second/")+32 || len(made.Object.Secrets) != 1 {
		t.Errorf("made %+v of %+v", made.Made, made.Object)
	}
	again := decode[Saved[SourceObject]](t, w.ask(t, "admin", "PUT /v1/sources/game/second", `{"profile":"monetag","ymid":"user"}`), 200)
	if again.Made != nil || len(again.Object.Secrets) != 1 {
		t.Errorf("changed: %+v", again)
	}
}

// TestETagsKeepSecrets: an ETag follows every change, that of a secret too, and is no sum that secrets could be tried against.
func TestETagsKeepSecrets(t *testing.T) {
	w := richWorld(t)
	tag := func() string { return w.ask(t, "read", "GET /v1/endpoints/shop/signed", "").Header().Get("ETag") }
	before := tag()
	made := decode[MadeSigningSecret](t, w.ask(t, "admin", "POST /v1/endpoints/shop/signed/secret", `{}`), 200)
	if made.Endpoint != "shop/signed" || !strings.HasPrefix(made.SigningSecret, "whsec_") || made.OldUntil.IsZero() {
		t.Errorf("made %+v", made)
	}
	if after := tag(); after == before {
		t.Error("the ETag is the same after another secret was made")
	}
	if other := richWorld(t); other.ask(t, "read", "GET /v1/endpoints/shop/signed", "").Header().Get("ETag") == before {
		t.Error("the ETag is the same on a server with another seal")
	}
	o := w.objects.objects
	seal := func() carom.ViewSeal { return carom.ViewSeal{1} }
	var tags []string
	for range 2 {
		w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: &fakeObjects{objects: o}, Now: noon, Seal: seal})
		tags = append(tags, tag())
	}
	if tags[0] != tags[1] {
		t.Errorf("nodes with one seal say %s and %s", tags[0], tags[1])
	}
}

func TestPublishersListWhatIsTheirs(t *testing.T) {
	w := richWorld(t)
	w.store.keys = append(w.store.keys, carom.APIKey{ID: "key_a", Name: "acme-key", Publisher: "acme", Scope: carom.ScopePublisher, Sum: sha256.Sum256([]byte("acme-key"))})
	for _, path := range richPaths() {
		if got := w.ask(t, "acme-key", "GET "+path, ""); got.Code != http.StatusForbidden {
			t.Errorf("GET %s: %d %s", path, got.Code, got.Body)
		}
	}
	w.objects.objects.Apps = slices.Clone(w.objects.objects.Apps)
	for i := range w.objects.objects.Apps {
		w.objects.objects.Apps[i].Publisher = "acme"
	}
	if apps := decode[AppList](t, w.ask(t, "acme-key", "GET /v1/apps", ""), 200); len(apps.Apps) != 2 {
		t.Errorf("a publisher sees %d of its apps, want 2", len(apps.Apps))
	}
	zones := w.ask(t, "acme-key", "GET /v1/zones", "")
	if list := decode[ZoneList](t, zones, 200); len(list.Zones) != 1 || strings.Contains(zones.Body.String(), "ads.example") {
		t.Errorf("a publisher sees the zones %s", zones.Body)
	}
	list := decode[EndpointList](t, w.ask(t, "acme-key", "GET /v1/endpoints", ""), 200)
	if len(list.Endpoints) != 3 {
		t.Errorf("a publisher sees %d endpoints of its own, want 3", len(list.Endpoints))
	}
}
