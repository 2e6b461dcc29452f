package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// Deliveries returns the deliveries of the fake's stories that are of the app and in the state, in pages of f.Limit events.
func (s *fakeStore) Deliveries(_ context.Context, _ int, state carom.DeliveryState, f carom.EventFilter) ([]*carom.Story, carom.EventID, error) {
	s.filters = append(s.filters, f)
	var list []*carom.Story
	for _, st := range s.stories {
		if f.App != "" && st.Event.App != f.App || f.Before != "" && st.Event.ID >= f.Before {
			continue
		}
		some := &carom.Story{Event: st.Event}
		for _, d := range st.Deliveries {
			if state == "" || d.State == state {
				some.Deliveries = append(some.Deliveries, d)
			}
		}
		if len(some.Deliveries) > 0 {
			list = append(list, some)
		}
		if len(list) == f.Limit {
			return list, st.Event.ID, s.err
		}
	}
	return list, "", s.err
}

// setupWorld is a world with two publishers: acme, whose app is studio, and rival, whose app is den. The operator has a dialect and
// an app of nobody's.
type setupWorld struct {
	*world
	opts   Options
	now    time.Time
	trials []Trial
	result TrialResult
}

func newSetupWorld() *setupWorld {
	w := &setupWorld{world: newWorld(), now: noon(), result: TrialResult{State: carom.Delivered, Status: 200, Took: 12 * time.Millisecond,
		ContentType: "text/plain", Body: []byte("ok"), Address: netip.MustParseAddrPort("203.0.113.9:443")}}
	key := func(name, publisher string) carom.APIKey {
		return carom.APIKey{ID: "key_" + name, Name: name, Publisher: publisher, Scope: carom.ScopePublisher, Created: noon(), Sum: sha256.Sum256([]byte(name))}
	}
	w.store.keys = append(w.store.keys, key("acme", "acme"), key("rival", "rival"), key("gone", "gone"))
	w.objects.objects = carom.Objects{
		Publishers: []carom.Publisher{{Name: "acme", Title: "Acme"}, {Name: "rival"}},
		Apps: []carom.App{
			{Name: "studio", Title: "Studio", Publisher: "acme", Origins: []string{"https://studio.example"}},
			{Name: "den", Publisher: "rival"}, {Name: "game"},
		},
		Zones: []carom.Zone{
			{App: "studio", ID: "200001", Title: "Main", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "200002", carom.RewardedPopup: "200003"},
				Confirm: carom.ConfirmRules{OwnUsers: []string{"42"}}, AdServer: carom.AdServer{URL: "https://ads.example/?key=hunter2"}},
			{App: "den", ID: "den-zone", SubZones: map[carom.Format]string{carom.RewardedPopup: "200009"}},
		},
		Sources:  []carom.Source{{App: "studio", Name: "sdk", Profile: carom.ProfileSDK}},
		Dialects: []carom.Dialect{{Name: "brackets", Open: "[", Close: "]", Macros: map[string]string{"click_id": "ymid", "payout": "estimated_price", "hash": "signature"}}},
		Endpoints: []carom.Endpoint{
			{No: 1, App: "studio", Name: "backend", URL: "https://studio.example/pb?token=hunter2&u={ymid}&e={event_type}&v={reward_event_type}",
				Headers: []carom.Field{{Name: "X-Key", Value: "hunter2"}}, Rate: 5, Concurrency: 3, Schedule: []time.Duration{time.Minute}},
			{No: 2, App: "studio", Name: "inside", URL: "http://10.0.0.5/pb?u={ymid}", AllowPrivate: true},
			{No: 3, App: "den", Name: "backend", URL: "https://den.example/pb?token=hunter2&u={ymid}"},
		},
	}
	studio := shopStory()
	studio.Event.App = "studio"
	studio.Deliveries = studio.Deliveries[:1]
	studio.Deliveries[0].Endpoint = "studio/backend"
	studio.Deliveries[0].Attempts[0].Answer = strings.Repeat("x", 2000)
	den := gameStory()
	den.Event.App = "den"
	den.Deliveries = []carom.DeliveryStory{{ID: deliveryID(2, 0), Endpoint: "den/backend", State: carom.Dead}}
	w.store.stories = []*carom.Story{den, studio}
	w.opts = Options{
		Log:   slog.New(slog.NewTextHandler(w.log, nil)),
		Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Version: "v1.2.3", Now: func() time.Time { return w.now }, Done: w.done,
		BaseURL: "https://carom.example/", EgressAddresses: []string{"203.0.113.1"},
		Seal: func() carom.ViewSeal { return carom.ViewSeal{1, 2, 3} },
		Try: func(_ context.Context, t Trial) TrialResult {
			w.trials = append(w.trials, t)
			return w.result
		},
	}
	w.restart()
	return w
}

// restart makes the handler anew, as another process with the same objects and the same seal would.
func (w *setupWorld) restart() { w.handler = New(w.opts) }

func (w *setupWorld) endpoint(app, name string) *carom.Endpoint {
	for i := range w.objects.objects.Endpoints {
		if e := &w.objects.objects.Endpoints[i]; e.App == app && e.Name == name {
			return e
		}
	}
	return nil
}

const (
	ofAcme  = "/v1/publishers/acme"
	studios = ofAcme + "/endpoints/studio/backend"
)

// Each route that publishers have, by who may call it, and what it is answered for what is not the caller's.
func TestWhoMaySetUp(t *testing.T) {
	everybody := map[string]int{"none": 401, "wrong": 401, "events": 403, "read": 403, "game-read": 403, "game-admin": 403, "admin": 0, "acme": 0, "rival": 404, "gone": 401, "": 0}
	readers := map[string]int{"none": 401, "events": 403, "read": 0, "game-read": 403, "game-admin": 403, "admin": 0, "acme": 0, "rival": 404, "": 0}
	operators := map[string]int{"none": 401, "events": 403, "read": 403, "game-admin": 403, "admin": 0, "acme": 403, "rival": 403, "": 0}
	template := `{"url":"https://studio.example/pb?u={ymid}"}`
	tests := []struct {
		route, body string
		status      int
		who         map[string]int // 0 stands for status
	}{
		{"GET /v1/publishers", "", 200, map[string]int{"none": 401, "events": 403, "game-read": 403, "read": 0, "acme": 0, "rival": 0, "": 0}},
		{"GET " + ofAcme, "", 200, readers},
		{"PUT " + ofAcme, `{"title":"Acme Games"}`, 200, operators},
		{"PUT /v1/publishers/newcomer", `{}`, 200, operators},
		{"POST " + ofAcme + "/links", `{"for":"24h"}`, 201, operators},
		{"PUT " + ofAcme + "/apps/studio", `{"title":"S"}`, 200, everybody},
		{"PUT " + ofAcme + "/apps/new-one", `{}`, 200, everybody},
		{"POST " + ofAcme + "/apps/studio/zones", `{}`, 201, everybody},
		{"PATCH " + ofAcme + "/apps/studio/zones/200001", `{"paused":true}`, 200, everybody},
		{"POST " + ofAcme + "/preview", `{"app":"studio",` + template[1:], 200, everybody},
		{"PUT " + studios, template, 200, everybody},
		{"DELETE " + studios, "", 204, everybody},
		{"POST " + studios + "/test", `{}`, 200, everybody},
		{"POST " + ofAcme + "/endpoints/studio/signed/secret", `{}`, 200, everybody},
		{"GET " + studios + "/deliveries", "", 200, readers},
	}
	newWorld := func() *setupWorld {
		w := newSetupWorld()
		w.objects.objects.Endpoints = append(w.objects.objects.Endpoints, carom.Endpoint{No: 4, App: "studio", Name: "signed", Method: "POST", URL: "https://studio.example/pb"})
		return w
	}
	untouched := newWorld() // a refusal changes nothing
	for _, tt := range tests {
		for key, want := range tt.who {
			t.Run(tt.route+" by "+key, func(t *testing.T) {
				w := untouched
				if want == 0 {
					w = newWorld()
				}
				before := w.objects.applied
				if want == 0 {
					want = tt.status
				}
				rec := w.ask(t, key, tt.route, tt.body)
				if rec.Code != want {
					t.Fatalf("status %d, want %d; body: %s", rec.Code, want, rec.Body)
				}
				if want >= 400 {
					if p := decode[Problem](t, rec, want); p.Detail == "" || w.objects.applied != before {
						t.Errorf("problem %+v, applied %d times", p, w.objects.applied-before)
					}
				}
				if strings.Contains(rec.Body.String(), "hunter2") || strings.Contains(w.log.String(), "hunter2") {
					t.Errorf("a secret is shown: %s\n%s", rec.Body, w.log)
				}
			})
		}
	}
}

// What is somebody else's is answered exactly like what is not there.
func TestWhatIsNotTheirsIsNotThere(t *testing.T) {
	template := `{"url":"https://studio.example/pb?u={ymid}"}`
	tests := []struct{ name, route, body, theirs, nobodys string }{
		{"publisher", "GET /v1/publishers/X", "", "rival", "nobody"},
		{"app, new zone", "POST " + ofAcme + "/apps/X/zones", `{}`, "den", "none"},
		{"app of nobody's, new zone", "POST " + ofAcme + "/apps/X/zones", `{}`, "game", "none"},
		{"app, zone", "PATCH " + ofAcme + "/apps/X/zones/den-zone", `{}`, "den", "none"},
		{"zone", "PATCH " + ofAcme + "/apps/studio/zones/X", `{}`, "den-zone", "no-zone"},
		{"app, preview", "POST " + ofAcme + "/preview", `{"app":"X",` + template[1:], "den", "none"},
		{"app, new endpoint", "PUT " + ofAcme + "/endpoints/X/backend", template, "den", "none"},
		{"endpoint, removed", "DELETE " + ofAcme + "/endpoints/X/backend", "", "den", "none"},
		{"endpoint, test", "POST " + ofAcme + "/endpoints/X/backend/test", `{}`, "den", "none"},
		{"endpoint, secret", "POST " + ofAcme + "/endpoints/X/backend/secret", `{}`, "den", "none"},
		{"endpoint, deliveries", "GET " + ofAcme + "/endpoints/X/backend/deliveries", "", "den", "none"},
		{"events", "GET /v1/events?app=X", "", "den", "none"},
		{"counts", "GET /v1/stats?app=X", "", "den", "none"},
		{"event", "GET /v1/events/X", "", string(eventID(2)), string(eventID(77))},
		{"event, resend", "POST /v1/events/X/resend", "", string(eventID(2)), string(eventID(77))},
		{"delivery, resend", "POST /v1/deliveries/X/resend", "", string(deliveryID(2, 0)), string(deliveryID(77, 0))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			answer := func(x string) string {
				rec := w.ask(t, "acme", strings.ReplaceAll(tt.route, "X", x), strings.ReplaceAll(tt.body, "X", x))
				if rec.Code != 404 {
					t.Fatalf("%s: status %d; body: %s", x, rec.Code, rec.Body)
				}
				return strings.ReplaceAll(rec.Body.String(), x, "X")
			}
			if diff := cmp.Diff(answer(tt.nobodys), answer(tt.theirs)); diff != "" {
				t.Errorf("the answers tell them apart (-nobody's +theirs):\n%s", diff)
			}
			if len(w.store.resent) > 0 || len(w.trials) > 0 || w.objects.applied > 0 {
				t.Errorf("something was done: resent %v, %d tests, applied %d times", w.store.resent, len(w.trials), w.objects.applied)
			}
		})
	}
}

// A publisher may call what is named for publishers, and nothing else that the document has.
func TestPublishersMayCallNothingElse(t *testing.T) {
	w := newSetupWorld()
	doc := decode[map[string]any](t, w.ask(t, "none", "GET /v1/openapi.json", ""), 200)
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			id := op["operationId"].(string)
			if id == "report-events" || strings.HasSuffix(id, "-view") {
				continue // other doors serve these
			}
			route := strings.ToUpper(method) + " " + regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(path, "acme")
			rec := w.ask(t, "acme", route, "")
			scopes, err := json.Marshal(op["security"])
			if err != nil {
				t.Fatal(err)
			}
			if classOf(id)&anybody != 0 {
				continue
			}
			if slices.Contains(forPublishers, id) {
				if rec.Code == 403 || !strings.Contains(string(scopes), `"publisher"`) {
					t.Errorf("%s: status %d, security %s", id, rec.Code, scopes)
				}
				continue
			}
			p := decode[Problem](t, rec, 403)
			if !strings.Contains(p.Detail, "ask the operator") || strings.Contains(string(scopes), `"publisher"`) {
				t.Errorf("%s: %q, security %s", id, p.Detail, scopes)
			}
		}
	}
}

func TestAPublisherSeesItsAppsOnly(t *testing.T) {
	w := newSetupWorld()
	events := decode[EventList](t, w.ask(t, "acme", "GET /v1/events", ""), 200)
	if len(events.Events) != 1 || events.Events[0].App != "studio" {
		t.Errorf("events: %+v", events)
	}
	endpoints := decode[EndpointList](t, w.ask(t, "acme", "GET /v1/endpoints", ""), 200)
	if len(endpoints.Endpoints) != 2 || endpoints.Endpoints[0].Endpoint.App != "studio" {
		t.Errorf("endpoints: %+v", endpoints)
	}
	list := decode[PublisherList](t, w.ask(t, "acme", "GET /v1/publishers", ""), 200)
	if diff := cmp.Diff([]PublisherRow{{Name: "acme", Title: "Acme", Apps: []string{"studio"}, Zones: 1, Endpoints: 2}}, list.Publishers); diff != "" {
		t.Errorf("publishers (-want +got):\n%s", diff)
	}
	if rec := w.ask(t, "acme", "GET /v1/events/"+string(eventID(1)), ""); rec.Code != 200 {
		t.Errorf("the story of its own event: %d %s", rec.Code, rec.Body)
	}
	for _, route := range []string{"POST /v1/events/" + string(eventID(1)) + "/resend", "POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend"} {
		if rec := w.ask(t, "acme", route, ""); rec.Code != 200 || !strings.Contains(rec.Body.String(), string(deliveryID(1, 0))) {
			t.Errorf("%s: %d %s", route, rec.Code, rec.Body)
		}
	}
	w.ask(t, "acme", "GET /v1/stats", "")
	for _, f := range w.store.counted {
		if f.App != "studio" {
			t.Errorf("counted app %q for a publisher of studio", f.App)
		}
	}

	// With several apps a list needs one of them; with none it is empty.
	w.objects.objects.Apps = append(w.objects.objects.Apps, carom.App{Name: "arcade", Publisher: "acme"})
	if p := decode[Problem](t, w.ask(t, "acme", "GET /v1/events", ""), 422); !strings.Contains(p.Detail, "studio, arcade") {
		t.Errorf("detail %q does not name the apps", p.Detail)
	}
	decode[EventList](t, w.ask(t, "acme", "GET /v1/events?app=studio", ""), 200)
	w.objects.objects.Apps = []carom.App{{Name: "den", Publisher: "rival"}}
	if events := decode[EventList](t, w.ask(t, "acme", "GET /v1/events", ""), 200); len(events.Events) != 0 {
		t.Errorf("a publisher without an app sees %+v", events)
	}
	w.store.counted = nil
	w.ask(t, "acme", "GET /v1/stats", "")
	for _, f := range w.store.counted {
		if f.App != "-" {
			t.Errorf("counted app %q for a publisher without one", f.App)
		}
	}
}

// One answer has all that one page needs.
func TestPublisherOnOnePage(t *testing.T) {
	w := newSetupWorld()
	w.store.backlogs = []carom.Backlog{{Endpoint: 1, Waiting: 7}}
	w.lanes.lanes = []carom.LaneState{{Endpoint: "studio/backend", Breaker: "open", LastFailure: "status 503"}}
	p := decode[PublisherSetup](t, w.ask(t, "acme", "GET "+ofAcme, ""), 200)
	if p.Name != "acme" || p.Script != "https://carom.example/sdk.js" || len(p.Apps) != 1 || p.ReadOnly {
		t.Fatalf("%+v", p)
	}
	app := p.Apps[0]
	wantZone := PublisherZone{ID: "200001", Title: "Main", SubZones: map[string]string{"rewarded_interstitial": "200002", "rewarded_popup": "200003"},
		Snippet: `<script src="https://carom.example/sdk.js" data-zone="200001" data-sdk="show_200001"></script>`}
	if diff := cmp.Diff([]PublisherZone{wantZone}, app.Zones); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	backend := app.Endpoints[0]
	if backend.Backlog.Waiting != 7 || backend.Lane.Breaker != "open" || backend.Endpoint.Signed || len(backend.Secrets) != 0 ||
		backend.Endpoint.URL != "https://studio.example/pb?token=***&u={ymid}&e={event_type}&v={reward_event_type}" || len(backend.Problems) != 0 {
		t.Errorf("endpoint: %+v", backend)
	}
	if got := app.Endpoints[1].Problems; len(got) != 4 {
		t.Errorf("problems of an endpoint over http without proof, type and value: %+v", got)
	}
	if p.Macros[0] != (SetupMacro{Name: "ymid", Written: "{ymid}", Meaning: p.Macros[0].Meaning, Sample: "user123"}) || p.Macros[0].Meaning == "" {
		t.Errorf("macros: %+v", p.Macros[0])
	}
	if len(p.Dialects) != 1 || p.Dialects[0].Macros[0] != (DialectMacro{"ymid", "[click_id]"}) {
		t.Errorf("dialects: %+v", p.Dialects)
	}
	if diff := cmp.Diff([]string{"203.0.113.1"}, p.EgressAddresses); diff != "" {
		t.Errorf("egress addresses: %s", diff)
	}
	w.objects.file = "/etc/carom/carom.yaml"
	if p := decode[PublisherSetup](t, w.ask(t, "acme", "GET "+ofAcme, ""), 200); !p.ReadOnly {
		t.Error("it does not say that nothing can be changed")
	}
	w.objects.objects.Zones[0].App, w.objects.objects.Endpoints = "studio", nil
	w.objects.objects.Apps[0].Origins = nil
	app = decode[PublisherSetup](t, w.ask(t, "acme", "GET "+ofAcme, ""), 200).Apps[0]
	var fields []string
	for _, problem := range app.Problems {
		fields = append(fields, problem.Field)
	}
	if diff := cmp.Diff([]string{"origins", "endpoints"}, fields); diff != "" {
		t.Errorf("problems of an app (-want +got):\n%s", diff)
	}
}

// While the objects are those of a file, they are read-only here, and can be looked at and tried.
func TestSetUpWithObjectsOfAFile(t *testing.T) {
	template := `{"url":"https://studio.example/pb?u={ymid}"}`
	tests := []struct {
		route, body string
		status      int
	}{
		{"PUT " + ofAcme, `{}`, 409},
		{"PUT " + ofAcme + "/apps/studio", `{}`, 409},
		{"POST " + ofAcme + "/apps/studio/zones", `{}`, 409},
		{"PATCH " + ofAcme + "/apps/studio/zones/200001", `{}`, 409},
		{"PUT " + studios, template, 409},
		{"DELETE " + studios, "", 409},
		{"POST " + ofAcme + "/endpoints/studio/post/secret", `{}`, 409},
		{"GET " + ofAcme, "", 200},
		{"POST " + ofAcme + "/preview", `{"app":"studio",` + template[1:], 200},
		{"POST " + studios + "/test", `{}`, 200},
		{"GET " + studios + "/deliveries", "", 200},
		{"POST " + ofAcme + "/links", `{}`, 201},
	}
	for _, tt := range tests {
		t.Run(tt.route, func(t *testing.T) {
			w := newSetupWorld()
			w.objects.file = "/etc/carom/carom.yaml"
			w.objects.objects.Endpoints = append(w.objects.objects.Endpoints, carom.Endpoint{App: "studio", Name: "post", Method: "POST", URL: "https://studio.example/"})
			rec := w.ask(t, "admin", tt.route, tt.body)
			if rec.Code != tt.status || w.objects.applied != 0 {
				t.Fatalf("status %d, want %d, applied %d times; body: %s", rec.Code, tt.status, w.objects.applied, rec.Body)
			}
			if tt.status == 409 && !strings.Contains(rec.Body.String(), "/etc/carom/carom.yaml") {
				t.Errorf("the answer does not name the file: %s", rec.Body)
			}
		})
	}
}

func TestAppsOfPublishers(t *testing.T) {
	tests := []struct {
		name, app, body string
		status          int
		want            string // part of the answer
	}{
		{"a new one", "arcade", `{"title":"Arcade","origins":["https://arcade.example"],"time_zone":"Europe/Berlin"}`, 200, `"time_zone":"Europe/Berlin"`},
		{"one of its own", "studio", `{"title":"Studio 2"}`, 200, `"origins":[]`},
		{"another publisher's name", "den", `{}`, 409, `is taken: choose another one`},
		{"a name of nobody's app", "game", `{}`, 409, `is taken: choose another one`},
		{"no name", "Den!", `{}`, 422, "lower-case"},
		{"no origin", "arcade", `{"origins":["https://arcade.example","arcade.example/x"]}`, 422, `"field":"origins[1]"`},
		{"no time zone", "arcade", `{"time_zone":"Mars/Base"}`, 422, `"field":"time_zone"`},
		{"an unknown field", "arcade", `{"publisher":"rival"}`, 422, "publisher"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			before := w.objects.objects
			rec := w.ask(t, "acme", "PUT "+ofAcme+"/apps/"+tt.app, tt.body)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
				t.Fatalf("status %d, want %d with %s; body: %s", rec.Code, tt.status, tt.want, rec.Body)
			}
			if strings.Contains(rec.Body.String(), "rival") {
				t.Errorf("the answer names somebody else: %s", rec.Body)
			}
			if before.Apps[0].Title != "Studio" {
				t.Error("the objects that were in force have changed")
			}
			if tt.status != 200 {
				return
			}
			i := slices.IndexFunc(w.objects.objects.Apps, func(a carom.App) bool { return a.Name == tt.app })
			if i < 0 || w.objects.objects.Apps[i].Publisher != "acme" || !strings.Contains(w.log.String(), "id="+tt.app) {
				t.Errorf("apps %+v, log %s", w.objects.objects.Apps, w.log)
			}
		})
	}
	w := newSetupWorld()
	for i := range maxOwnApps {
		w.objects.objects.Apps = append(w.objects.objects.Apps, carom.App{Name: "app" + string(rune('a'+i%26)), Publisher: "acme"})
	}
	if rec := w.ask(t, "acme", "PUT "+ofAcme+"/apps/one-more", `{}`); rec.Code != 409 {
		t.Errorf("more apps than a publisher may make: %d %s", rec.Code, rec.Body)
	}
}

func TestZonesOfPublishers(t *testing.T) {
	w := newSetupWorld()
	w.objects.objects.Sources = nil
	z := decode[PublisherZone](t, w.ask(t, "acme", "POST "+ofAcme+"/apps/studio/zones", `{"title":"Bonus","confirmed":true,"require_ymid":true}`), 201)
	want := PublisherZone{ID: "200010", Title: "Bonus", Confirmed: true, RequireYMID: true, Snippet: z.Snippet,
		SubZones: map[string]string{"rewarded_interstitial": "200011", "rewarded_popup": "200012", "in_app_interstitial": "200013"}}
	if diff := cmp.Diff(want, z); diff != "" || !strings.Contains(z.Snippet, `data-sdk="show_200010"`) {
		t.Errorf("the zone (-want +got):\n%s", diff)
	}
	if src := w.objects.objects.Sources; !slices.ContainsFunc(src, func(s carom.Source) bool { return s.App == "studio" && s.Profile == carom.ProfileSDK }) {
		t.Errorf("the app has no source for the events of its zones: %+v", src)
	}
	z = decode[PublisherZone](t, w.ask(t, "acme", "POST "+ofAcme+"/apps/studio/zones", `{"formats":["rewarded_popup"]}`), 201)
	if diff := cmp.Diff(map[string]string{"rewarded_popup": "200015"}, z.SubZones); diff != "" || z.ID != "200014" {
		t.Errorf("a zone of one format: %+v", z)
	}
	if rec := w.ask(t, "acme", "POST "+ofAcme+"/apps/studio/zones", `{"formats":["banner"]}`); rec.Code != 422 {
		t.Errorf("an unknown format: %d %s", rec.Code, rec.Body)
	}
	z = decode[PublisherZone](t, w.ask(t, "acme", "PATCH "+ofAcme+"/apps/studio/zones/200001", `{"paused":true,"require_ymid":true}`), 200)
	kept := w.objects.objects.Zones[0]
	if !z.Paused || !z.RequireYMID || z.Title != "Main" || kept.AdServer.URL == "" || kept.Confirm.OwnUsers == nil || !kept.Paused {
		t.Errorf("a changed zone: %+v, stored %+v", z, kept)
	}
	z = decode[PublisherZone](t, w.ask(t, "acme", "PATCH "+ofAcme+"/apps/studio/zones/200001", `{"paused":false,"title":""}`), 200)
	if z.Paused || z.Title != "" || !z.RequireYMID {
		t.Errorf("what was absent has changed: %+v", z)
	}
	if rec := w.ask(t, "acme", "PATCH "+ofAcme+"/apps/studio/zones/200002", `{}`); rec.Code != 404 {
		t.Errorf("a sub-zone is no zone: %d %s", rec.Code, rec.Body)
	}
	for _, tt := range []struct {
		name  string
		zones []carom.Zone
		want  int64
	}{
		{"the first", nil, 100001},
		{"names and small numbers", []carom.Zone{{ID: "main"}, {ID: "7"}}, 100001},
		{"above sub-zones", []carom.Zone{{ID: "300", SubZones: map[carom.Format]string{carom.RewardedPopup: "500000"}}}, 500001},
		{"longer than a number that JavaScript knows", []carom.Zone{{ID: "9999999999999999"}}, 100001},
	} {
		if got := nextZone(tt.zones); got != tt.want {
			t.Errorf("%s: nextZone = %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestLinks(t *testing.T) {
	w := newSetupWorld()
	made := decode[MadeLink](t, w.ask(t, "admin", "POST "+ofAcme+"/links", `{}`), 201)
	if made.URL != "https://carom.example/setup#"+made.Token || !strings.HasPrefix(made.Token, "cps_") || !made.ExpiresAt.Equal(noon().Add(24*time.Hour)) {
		t.Fatalf("%+v", made)
	}
	if log := w.log.String(); !strings.Contains(log, made.ID) || strings.Contains(log, made.Token) {
		t.Errorf("the log has not the link's id, or its token: %s", log)
	}
	ask := func(token string) *httptest.ResponseRecorder { return w.ask(t, token, "GET "+ofAcme, "") }
	w.restart()
	if rec := ask(made.Token); rec.Code != 200 {
		t.Fatalf("the link does not count: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask(t, made.Token, "GET /v1/publishers/rival", ""); rec.Code != 404 {
		t.Errorf("the link shows another publisher: %d", rec.Code)
	}
	for _, route := range []string{"POST " + ofAcme + "/links", "POST /v1/keys", "GET /v1/objects"} {
		if rec := w.ask(t, made.Token, route, "{}"); rec.Code != 403 {
			t.Errorf("%s with a link: %d", route, rec.Code)
		}
	}
	refused := func(name, token, text string) {
		t.Helper()
		rec := ask(token)
		p := decode[Problem](t, rec, 401)
		if !strings.Contains(p.Detail, text) || rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %q lacks %q", name, p.Detail, text)
		}
	}
	// Every character counts, also those that only hold bits which base64 leaves over.
	for i := len("cps_"); i < len(made.Token); i++ {
		for _, c := range "Ab_" {
			if altered := made.Token[:i] + string(c) + made.Token[i+1:]; altered != made.Token && ask(altered).Code != 401 {
				t.Errorf("altered at %d it counts", i)
			}
		}
	}
	refused("altered", made.Token[:len(made.Token)-2]+"xx", "ask the operator")
	refused("cut off", made.Token[:30], "copy it whole")
	refused("nothing behind the mark", "cps_", "copy it whole")
	refused("padded", made.Token+"=", "copy it whole")
	forged := (&link{expires: noon().Add(time.Hour), publisher: "acme"}).token(sha256.Sum256(nil))
	refused("of another server", forged, "another server made it")
	key := w.opts.Seal().Key("links")
	nobody := (&link{expires: noon().Add(time.Hour)}).token(key)
	refused("of no publisher", nobody, "not there any more")
	refused("of a publisher that is gone", (&link{expires: noon().Add(time.Hour), publisher: "gone"}).token(key), "gone")

	w.now = noon().Add(24*time.Hour - time.Second)
	if rec := ask(made.Token); rec.Code != 200 {
		t.Errorf("a second before its end: %d %s", rec.Code, rec.Body)
	}
	w.now = noon().Add(24 * time.Hour)
	refused("ended", made.Token, "this link ended on 2026-03-05 12:00 UTC")
	w.now = noon()
	w.objects.objects.Publishers = w.objects.objects.Publishers[1:]
	refused("of a removed publisher", made.Token, "not there any more")

	for _, span := range []string{"91d", "59s", "-1h", "0s", "soon"} {
		if rec := newSetupWorld().ask(t, "admin", "POST "+ofAcme+"/links", `{"for":"`+span+`"}`); rec.Code != 422 || !strings.Contains(rec.Body.String(), "90d") {
			t.Errorf("for %s: %d %s", span, rec.Code, rec.Body)
		}
	}
	if rec := newSetupWorld().ask(t, "admin", "POST /v1/publishers/nobody/links", `{}`); rec.Code != 404 {
		t.Errorf("a link of nobody: %d", rec.Code)
	}
	w = newSetupWorld()
	w.opts.Seal = nil
	w.restart()
	refused("without a seal", made.Token, "makes no links")
	if rec := w.ask(t, "admin", "POST "+ofAcme+"/links", `{}`); rec.Code != 409 {
		t.Errorf("a link without a seal: %d %s", rec.Code, rec.Body)
	}
}

func TestKeysOfPublishers(t *testing.T) {
	tests := []struct {
		name, by, body string
		status         int
		want           string
	}{
		{"of a publisher", "admin", `{"name":"x","scope":"publisher","publisher":"acme"}`, 201, `"publisher":"acme"`},
		{"of nobody", "admin", `{"name":"x","scope":"publisher"}`, 422, "whose key"},
		{"of one who is not there", "admin", `{"name":"x","scope":"publisher","publisher":"nobody"}`, 422, "nobody"},
		{"of an app as well", "admin", `{"name":"x","scope":"publisher","publisher":"acme","app":"studio"}`, 422, "leave the app out"},
		{"of another scope", "admin", `{"name":"x","scope":"read","publisher":"acme"}`, 422, "only a key with the scope publisher"},
		{"by a publisher", "acme", `{"name":"x","scope":"publisher","publisher":"acme"}`, 403, "ask the operator"},
		{"by the key of one app", "game-admin", `{"name":"x","scope":"publisher","publisher":"acme"}`, 403, "game"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newSetupWorld()
			rec := w.ask(t, tt.by, "POST /v1/keys", tt.body)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
				t.Fatalf("status %d, want %d with %s; body: %s", rec.Code, tt.status, tt.want, rec.Body)
			}
			if tt.status == 201 {
				made := decode[MadeKey](t, rec, 201)
				if rec := w.ask(t, made.Key, "GET "+ofAcme, ""); rec.Code != 200 {
					t.Errorf("the key just made: %d %s", rec.Code, rec.Body)
				}
			}
		})
	}
	// A key that says neither app nor publisher, or a publisher with more rights, is not one for everything.
	w := newSetupWorld()
	w.store.keys = append(w.store.keys,
		carom.APIKey{Name: "bare", Scope: carom.ScopePublisher, Sum: sha256.Sum256([]byte("bare"))},
		carom.APIKey{Name: "much", Scope: carom.ScopeAdmin, Publisher: "acme", Sum: sha256.Sum256([]byte("much"))})
	if rec := w.ask(t, "bare", "GET /v1/publishers", ""); rec.Code != 401 {
		t.Errorf("a key of no publisher: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask(t, "much", "GET /v1/objects", ""); rec.Code != 403 {
		t.Errorf("a publisher's key with the scope admin: %d %s", rec.Code, rec.Body)
	}
	if rec := w.ask(t, "game-read", "GET /v1/keys", ""); strings.Contains(rec.Body.String(), "acme") {
		t.Errorf("keys of publishers are shown to a key of one app: %s", rec.Body)
	}
}

func TestDeliveriesOfAnEndpoint(t *testing.T) {
	w := newSetupWorld()
	list := decode[DeliveryList](t, w.ask(t, "acme", "GET "+studios+"/deliveries?limit=1&state=dead", ""), 200)
	if len(list.Deliveries) != 1 || list.Next != eventID(1) {
		t.Fatalf("%+v", list)
	}
	d := list.Deliveries[0]
	if d.EventID != eventID(1) || d.YMID != "user123" || d.EventType != "click" || !d.Test || d.ID != deliveryID(1, 0) || d.State != carom.Dead ||
		len(d.Attempts) != 1 || d.Attempts[0].Status != 410 || len(d.Attempts[0].Answer) != maxShownAnswer {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff([]carom.EventFilter{{App: "studio", Limit: 1}}, w.store.filters); diff != "" {
		t.Errorf("asked the store for (-want +got):\n%s", diff)
	}
	if list := decode[DeliveryList](t, w.ask(t, "acme", "GET "+studios+"/deliveries?before="+string(list.Next), ""), 200); len(list.Deliveries) != 0 || list.Next != "" {
		t.Errorf("the last page: %+v", list)
	}
	for _, query := range []string{"state=lost", "before=abc", "limit=0", "limit=5000", "cursor=1"} {
		if rec := w.ask(t, "acme", "GET "+studios+"/deliveries?"+query, ""); rec.Code != 422 {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
	w.store.err = carom.ErrUnavailable
	if rec := w.ask(t, "acme", "GET "+studios+"/deliveries", ""); rec.Code != 503 {
		t.Errorf("while the store is busy: %d %s", rec.Code, rec.Body)
	}
	w.store.err = errors.New("disk on fire")
	if rec := w.ask(t, "acme", "GET "+ofAcme, ""); rec.Code != 500 || strings.Contains(rec.Body.String(), "fire") {
		t.Errorf("a fault of ours: %d %s", rec.Code, rec.Body)
	}
}

func TestWellKnown(t *testing.T) {
	h := WellKnown(Options{Version: "v1.2.3", EgressAddresses: []string{"203.0.113.1"}})
	ask := func(method string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/.well-known/carom.json", nil))
		return rec
	}
	rec := ask(http.MethodGet)
	k := decode[Known](t, rec, 200)
	if rec.Header().Get("Content-Type") != "application/json" || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers: %v", rec.Header())
	}
	if k.Version != "v1.2.3" || len(k.Macros) < 20 || k.Macros[0].Name != "ymid" || k.Deadline != "3d" || k.Timeout != "10s" ||
		!slices.Equal(k.Schedule, []string{"5s", "30s", "2m", "10m", "30m", "1h", "2h"}) || !slices.Equal(k.EgressAddresses, []string{"203.0.113.1"}) {
		t.Errorf("%+v", k)
	}
	if diff := cmp.Diff([]KnownFormat{
		{"rewarded_interstitial", []string{"impression", "click"}}, {"rewarded_popup", []string{"impression"}}, {"in_app_interstitial", []string{}},
	}, k.Formats); diff != "" {
		t.Errorf("formats (-want +got):\n%s", diff)
	}
	if k.Signing.GET.Algorithm != "HMAC-SHA256" || !slices.Contains(k.Signing.POST.Headers, "Webhook-Signature") {
		t.Errorf("signing: %+v", k.Signing)
	}
	if rec := ask(http.MethodPost); rec.Code != 405 || rec.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", rec.Code, rec.Header())
	}
	if text := ask(http.MethodGet).Body.String(); strings.Contains(text, "null") {
		t.Errorf("a list is null: %s", text)
	}
}
