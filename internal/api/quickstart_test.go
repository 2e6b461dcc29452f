package api

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
	"carom/internal/objects"
)

const monetagQuery = "ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
	"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}"

// freshWorld is a server with nothing but an app, which knows all networks.
func freshWorld(t *testing.T) *world {
	t.Helper()
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.objects.objects = carom.Objects{Apps: []carom.App{{Name: "game"}}}
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Profiles: profiles,
		SourceURL: func(s carom.Source, secret string) string {
			return "https://carom.example/in/" + s.App + "/" + s.Name + "/" + secret + "?" + strings.TrimPrefix(s.Template, "?")
		}})
	return w
}

func TestQuickstartMakesTemplates(t *testing.T) {
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name              string
		template, backend string
		source            string // template; empty when the profile's names are used
		endpoint          string
		local             bool
	}{
		{"no template: all macros by their own names", "", "https://shop.example/postback", "", "https://shop.example/postback?" + monetagQuery, false},
		{"a template that leads to the backend is kept as it is",
			"https://shop.example/p?uid={ymid}&key=abc&event={event_type}", "https://shop.example/p?uid={ymid}&key=abc&event={event_type}",
			"uid={ymid}&event={event_type}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
				"&reward_event_type={reward_event_type}&estimated_price={estimated_price}",
			"https://shop.example/p?uid={ymid}&key=abc&event={event_type}", false},
		{"a backend elsewhere gets the template's parameters", "https://old.example/p?uid=%7Bymid%7D", "http://127.0.0.1:3000/p",
			"uid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}&telegram_id={telegram_id}" +
				"&event_type={event_type}&reward_event_type={reward_event_type}&estimated_price={estimated_price}",
			"http://127.0.0.1:3000/p?uid={ymid}", true},
		{"a name that is taken for something else", "https://old.example/p?ymid={telegram_id}&e={event_type}", "http://localhost/p?a=b",
			"ymid={telegram_id}&e={event_type}&carom_ymid={ymid}&zone_id={zone_id}&sub_zone_id={sub_zone_id}&request_var={request_var}" +
				"&reward_event_type={reward_event_type}&estimated_price={estimated_price}",
			"http://localhost/p?a=b&ymid={telegram_id}&e={event_type}", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := Quickstart{Network: "monetag", App: "shop", Template: tt.template, Backend: tt.backend}
			plan, err := q.plan(profiles["monetag"], carom.Objects{})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"profile": "monetag", "ymid": "view"}
			if tt.source != "" {
				want["template"] = "?" + tt.source
			}
			if diff := cmp.Diff(want, plan.sourceIs); diff != "" {
				t.Errorf("source (-want +got):\n%s", diff)
			}
			want = map[string]any{"url": tt.endpoint, "filter": map[string]any{"values": []any{"valued"}}}
			if tt.local {
				want["allow_private"] = true
			}
			if diff := cmp.Diff(want, plan.endpointIs); diff != "" {
				t.Errorf("endpoint (-want +got):\n%s", diff)
			}
			if _, err := objects.Parse("carom.yaml", []byte(plan.lines()), objects.Env{}); err != nil {
				t.Errorf("its lines are no file: %v\n%s", err, plan.lines())
			}
		})
	}
}

func TestIsLocal(t *testing.T) {
	for u, want := range map[string]bool{
		"http://localhost:3000/x": true, "http://127.0.0.1/x?u={ymid}": true, "http://[::1]:80/": true, "http://10.1.2.3/": true,
		"http://backend:3000/": true, "http://backend.internal/": true, "https://shop.example/": false, "https://203.0.113.7/": false,
	} {
		if got := isLocal(u); got != want {
			t.Errorf("isLocal(%q) = %t, want %t", u, got, want)
		}
	}
}

func TestQuickstart(t *testing.T) {
	w := freshWorld(t)
	body := `{"network":"monetag","app":"shop","backend":"http://127.0.0.1:3000/p","ymid":"user","base_url":"https://in.example/"}`
	dry := decode[Connected](t, w.ask(t, "admin", "POST /v1/quickstart?dry_run=true", body), 200)
	if len(dry.Changes) != 3 || dry.ShownOnce || !strings.HasPrefix(dry.URL, "https://in.example/in/shop/monetag/***?") || w.objects.applied != 0 {
		t.Errorf("a dry run: %+v, applied %d times", dry, w.objects.applied)
	}
	got := decode[Connected](t, w.ask(t, "admin", "POST /v1/quickstart", body), 200)
	if got.Source != "shop/monetag" || got.Endpoint != "shop/backend" || !got.ShownOnce || got.NeedsKey || len(got.URL) < len("https://in.example/in/shop/monetag/?")+32 ||
		got.EndpointURL != "http://127.0.0.1:3000/p?"+monetagQuery || w.objects.applied != 1 {
		t.Errorf("made %+v, applied %d times", got, w.objects.applied)
	}
	if diff := cmp.Diff(dry.Changes[2], got.Changes[2]); diff != "" || got.Lines != dry.Lines {
		t.Errorf("the dry run said something else:\n%s", diff)
	}
	again := w.ask(t, "admin", "POST /v1/quickstart", body)
	if again.Code != 409 || !strings.Contains(again.Body.String(), "POST /v1/sources/shop/monetag/rotate makes a new URL") {
		t.Errorf("again: %d %s", again.Code, again.Body)
	}
	second := `{"network":"unityads","app":"shop","no_key":true,"backend":"http://127.0.0.1:3000/p"}`
	more := decode[Connected](t, w.ask(t, "admin", "POST /v1/quickstart", second), 200)
	if len(more.Changes) != 1 || !more.NeedsKey || more.ShownOnce || more.Endpoint != "shop/backend" || !strings.Contains(more.Note, more.URL) || !strings.Contains(more.Lines, `network_secret: "***"`) {
		t.Errorf("a second network: %+v", more)
	}
	elsewhere := strings.NewReplacer("unityads", "levelplay", "/p\"", "/other\"").Replace(second)
	if got := w.ask(t, "admin", "POST /v1/quickstart", elsewhere); got.Code != 409 || !strings.Contains(got.Body.String(), "leads elsewhere") {
		t.Errorf("a third one with another backend: %d %s", got.Code, got.Body)
	}
	bare := decode[Connected](t, w.ask(t, "admin", "POST /v1/quickstart", `{"network":"levelplay","app":"game","key":"a-key-of-levelplay"}`), 200)
	if bare.Endpoint != "" || len(bare.Changes) != 1 || strings.Contains(bare.Lines, "a-key") {
		t.Errorf("without a backend: %+v", bare)
	}
}

func TestQuickstartRefuses(t *testing.T) {
	for _, tt := range []struct{ name, key, body, says string }{
		{"a network that there is not", "admin", `{"network":"nothing","app":"shop"}`, "network: "},
		{"a name", "admin", `{"network":"monetag","app":"Shop"}`, "app: "},
		{"a template where there are no macros", "admin", `{"network":"unityads","app":"shop","no_key":true,"template":"http://a.example/?a={b}"}`, "template: Unity Ads has no macros"},
		{"a key where there is none", "admin", `{"network":"monetag","app":"shop","key":"x"}`, "key: Monetag has no key"},
		{"no word about the key", "admin", `{"network":"unityads","app":"shop"}`, "key: "},
		{"a key and none", "admin", `{"network":"unityads","app":"shop","key":"x","no_key":true}`, "no_key: "},
		{"a backend that is no URL", "admin", `{"network":"monetag","app":"shop","backend":"localhost:3000"}`, "backend: "},
		{"a macro that is none", "admin", `{"network":"monetag","app":"shop","backend":"https://a.example/?u={ymdi}"}`, "backend: "},
		{"a template with one", "admin", `{"network":"monetag","app":"shop","template":"https://a.example/?u={ymdi}"}`, "template: "},
		{"a base URL", "admin", `{"network":"monetag","app":"shop","base_url":"carom.example"}`, "base_url: "},
		{"a key of one app", "game-admin", `{"network":"monetag","app":"game"}`, "limited to the app game"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := freshWorld(t)
			got := decode[Problem](t, w.ask(t, tt.key, "POST /v1/quickstart", tt.body), map[bool]int{true: 422, false: 403}[tt.key == "admin"])
			if !strings.Contains(got.Detail, tt.says) || w.objects.applied != 0 {
				t.Errorf("%q, want %q; applied %d times", got.Detail, tt.says, w.objects.applied)
			}
		})
	}
}

func TestNetworks(t *testing.T) {
	list := decode[NetworkList](t, newWorld().ask(t, "read", "GET /v1/networks", ""), 200)
	found := map[string]NetworkProfile{}
	for _, n := range list.Networks {
		if found[n.Name] = n; n.Title == "" || n.Summary == "" || n.Doc == "" || n.TemplateHelp == "" || (n.Key == "none") != (n.KeyHelp == "") {
			t.Errorf("%s lacks something: %+v", n.Name, n)
		}
	}
	monetag, unity, adgate := found["monetag"], found["unityads"], found["levelplay"]
	if monetag.Key != "none" || !monetag.AsksYMID || monetag.Template != monetagQuery || len(monetag.EventTypes) != 4 || monetag.Evidence != "secret only" {
		t.Errorf("monetag: %+v", monetag)
	}
	if unity.Key != "optional" || unity.Setup != "manager" || !strings.Contains(unity.Note, "{url}") || unity.Template != "" || len(unity.EventTypes) != 0 {
		t.Errorf("unityads: %+v", unity)
	}
	if adgate.Key != "required" {
		t.Errorf("levelplay: %+v", adgate)
	}
}

func TestMacros(t *testing.T) {
	list := decode[MacroList](t, richWorld(t).ask(t, "read", "GET /v1/macros", ""), 200)
	if len(list.Macros) < 10 || list.Macros[0].Written != "{"+list.Macros[0].Name+"}" || len(list.Dialects) != 1 || list.Dialects[0].Name != "old" {
		t.Errorf("macros: %+v", list)
	}
	if list := decode[MacroList](t, richWorld(t).ask(t, "game-read", "GET /v1/macros", ""), 200); len(list.Dialects) != 0 {
		t.Errorf("dialects that the app does not use: %+v", list.Dialects)
	}
}
