package api

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

func refusedID() string { return string(carom.NewReceivedID(7, carom.Ref{Bucket: 1, Seq: 3})) }

func rewardID(no int64) string { return string(carom.NewRewardID(7, no)) }

func TestEveryRouteAnswers(t *testing.T) {
	secretKey, why := "hunter2", `{"why":"a test"}`
	tests := []struct {
		route  string
		body   string
		status int
		want   []string // parts of the answer
	}{
		{"GET /v1/events", "", 200, []string{string(eventID(2)), `"estimated_price":"0.0023"`, `"country":"DE"`, `"flags":["test"]`}},
		{"GET /v1/events?limit=1", "", 200, []string{`"next":"` + string(eventID(2)) + `"`}},
		{"GET /v1/events/" + string(eventID(1)), "", 200, []string{
			`"outcome":"accepted, owed to 2 endpoints: 1 delivered, 1 dead"`, `"took_ms":12.5`, `"query":"ymid=user123&event=click"`,
			`"client":"203.0.113.7"`, `"strength":"secret"`,
		}},
		{"GET /v1/events/" + string(eventID(2)), "", 200, []string{"matched no endpoint", `"deliveries":[]`}},
		{"POST /v1/events/" + string(eventID(1)) + "/resend", "", 200, []string{`"resent":["` + string(deliveryID(1, 0)) + `"]`, "no longer exists"}},
		{"POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend", "", 200, []string{string(deliveryID(1, 0))}},
		{"GET /v1/received", "", 200, []string{`"reason":"literal_macro"`, `"id":"rcv_`}},
		{"GET /v1/received?reason=literal_macro&from=2026-03-01T00:00:00Z", "", 200, []string{`"id":"rcv_`}},
		{"GET /v1/received?reason=too_large", "", 200, []string{`"received":[]`}},
		{"GET /v1/received?to=2026-03-01T00:00:00Z", "", 200, []string{`"received":[]`}},
		{"GET /v1/received?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "", 422, []string{`swap from and to`}},
		{"GET /v1/received?kind=unverified", "", 200, []string{`"reason":"unknown_app"`, `"body_bytes":"/w=="`}},
		{"GET /v1/received?kind=unverified&reason=unknown_app&from=2026-03-01T00:00:00Z", "", 200, []string{`"body_bytes":"/w=="`}},
		{"GET /v1/received?kind=unverified&reason=wrong_secret", "", 200, []string{`"received":[]`}},
		{"GET /v1/received?kind=unverified&to=2026-03-01T00:00:00Z", "", 200, []string{`"received":[]`}},
		{"GET /v1/stats?group_by=app,outcome,endpoint", "", 200, []string{`"price":"0.0069"`, `"endpoint":"shop/backend"`}},
		{"GET /v1/status", "", 200, []string{`"verdict":"attention"`, "deliveries wait"}},
		{"GET /v1/objects", "", 200, []string{"token=***&u={ymid}", `"ymid":"view"`, `"deadline":"3d"`, `"signed":true`}},
		{"POST /v1/apply", "apps: {}", 200, []string{`"applied":false`, `"changes":[]`}},
		{"GET /v1/endpoints", "", 200, []string{`"waiting":2`, `"queued":2`, `"breaker":"closed"`}},
		{"POST /v1/endpoints/shop/backend/pause", "", 204, nil},
		{"POST /v1/endpoints/shop/backend/resume", "", 204, nil},
		{"POST /v1/sources/shop/monetag/rotate", "", 200, []string{`"url":"https://carom.example/in/shop/monetag/`}},
		{"POST /v1/sources/shop/monetag/freeze", why, 200, []string{`"mode":"frozen"`, `"changed":true`, "carom thaw shop/monetag"}},
		{"POST /v1/sources/shop/monetag/thaw", why, 200, []string{`"mode":"live"`, `"changed":false`, `"waiting":0`}},
		{"GET /v1/received/" + refusedID(), "", 200, []string{`"reason":"literal_macro"`}},
		{"GET /v1/rewards", "", 200, []string{`"amount":"2.5"`, `"rule":"watch"`, `"state":"held"`, `"user":"u9"`}},
		{"GET /v1/rewards?app=shop&limit=1", "", 200, []string{`"next":"` + rewardID(4) + `"`}},
		{"GET /v1/rewards/" + rewardID(2), "", 200, []string{
			`"amount":"-2.5"`, `"why":"a test (admin)"`, `"events":["` + string(eventID(1)) + `","` + string(eventID(2)) + `"]`,
		}},
		{"GET /v1/balances?app=shop&user=u1", "", 200, []string{`"currency":"coins","amount":"0"`}},
		{"GET /v1/ledger?app=shop&user=u1", "", 200, []string{`"amount":"2.5"`, `"amount":"-2.5"`}},
		{"GET /v1/ledger?app=shop&user=u1&limit=1", "", 200, []string{`"amount":"2.5"`, `"next":"` + rewardID(2) + `.1"`}},
		{"GET /v1/ledger?app=shop&user=u1&before=" + rewardID(2) + ".1", "", 200, []string{`{"lines":[{"reward":"` + rewardID(2) + `","n":2`, `"why":"a test (admin)"}]}`}},
		{"GET /v1/ledger?app=shop&user=u1&before=" + rewardID(2), "", 422, []string{"give the `next` of the page before"}},
		{"GET /v1/ledger/check", "", 200, []string{`"rewards":4`, `"faults":[]`}},
		{"POST /v1/rewards/void", `{"ids":["` + rewardID(2) + `"],"why":"w"}`, 200, []string{`"state":"reversed","rewards":1,"amount":"2.5"`}},
		{"POST /v1/rewards/grant", `{"app":"shop","user":"u1","currency":"coins","amount":"5","key":"k","why":"w"}`, 200, []string{`"amount":"5"`, `"event":"evt_`}},
		{"POST /v1/reprocess", `{"filter":{"app":"shop","kind":"held"},"why":"w"}`, 200, []string{`"items":[]`, `"reprocessed":0`}},
		{"POST /v1/resend", `{"filter":{"app":"shop"},"why":"w"}`, 200, []string{string(deliveryID(1, 0)), `"state":"dead","deliveries":1`}},
		{"GET /v1/users/export?app=shop&user=u1", "", 200, []string{`"user":"u1"`, `"rewards":[{`, `"events":[{`, `"refused":[]`}},
		{"POST /v1/users/erase", `{"app":"shop","user":"u1","why":"w"}`, 200, []string{`"as":"erased-1"`, `"rewards":4`}},
		{"POST /v1/users/erase?dry_run=true", `{"app":"shop","user":"u1","why":"w"}`, 200, []string{`"dry_run":true`, `"waiting":`}},
		{"POST /v1/backup", "", 200, []string{"a backup"}},
		{"GET /v1/keys", "", 200, []string{`"id":"key_read"`}},
		{"POST /v1/keys", `{"name":"ci","scope":"read"}`, 201, []string{`"key":"carom_`}},
		{"DELETE /v1/keys/key_read", "", 204, nil},
		{"GET /v1/nodes", "", 200, []string{`"name":"web-1"`, `"state":"alive"`, `"duties":["alerts"]`}},
		{"GET /v1/settings", "", 200, []string{`"key":"retention","value":"30d","origin":"default"`}},
		{"GET /v1/version", "", 200, []string{`"version":"v1.2.3"`}},
	}
	for _, tt := range tests {
		t.Run(tt.route, func(t *testing.T) {
			rec := newWorld().ask(t, "", tt.route, tt.body)
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d; body: %s", rec.Code, tt.status, rec.Body)
			}
			for _, want := range tt.want {
				if !strings.Contains(rec.Body.String(), want) {
					t.Errorf("the answer lacks %s:\n%s", want, rec.Body)
				}
			}
			if strings.Contains(rec.Body.String(), secretKey) {
				t.Errorf("the answer shows a secret:\n%s", rec.Body)
			}
		})
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	shop, game := string(eventID(1)), string(eventID(2))
	tests := []struct {
		route string
		body  string
		want  map[string]int // by key
	}{
		{"GET /v1/events", "", map[string]int{"none": 401, "wrong": 401, "events": 403, "read": 200, "admin": 200, "game-read": 200, "": 200}},
		{"GET /v1/events/" + shop, "", map[string]int{"none": 401, "events": 403, "read": 200, "game-read": 404}},
		{"GET /v1/events/" + game, "", map[string]int{"game-read": 200}},
		{"GET /v1/events?app=shop", "", map[string]int{"read": 200, "game-read": 404}},
		{"GET /v1/received?app=shop", "", map[string]int{"read": 200, "game-read": 404}},
		{"GET /v1/stats?app=shop", "", map[string]int{"read": 200, "game-read": 404}},
		{"GET /v1/tail?app=shop", "", map[string]int{"events": 403, "game-read": 404}},
		{"GET /v1/nodes", "", map[string]int{"none": 401, "events": 403, "read": 200, "game-read": 403}},
		{"GET /v1/settings", "", map[string]int{"none": 401, "events": 403, "read": 200, "game-read": 403}},
		{"GET /v1/status", "", map[string]int{"none": 401, "read": 200, "game-read": 200}},
		{"POST /v1/events/" + shop + "/resend", "", map[string]int{"none": 401, "read": 403, "game-read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend", "", map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/apply", "apps: {}", map[string]int{"none": 401, "read": 403, "game-admin": 403, "admin": 200}},
		{"POST /v1/endpoints/shop/backend/pause", "", map[string]int{"read": 403, "game-admin": 404, "admin": 204}},
		{"POST /v1/endpoints/game/backend/pause", "", map[string]int{"game-admin": 204}},
		{"POST /v1/sources/shop/monetag/rotate", "", map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"GET /v1/keys", "", map[string]int{"events": 403, "read": 200}},
		{"POST /v1/keys", `{"name":"x","scope":"admin"}`, map[string]int{"read": 403, "game-admin": 403, "admin": 201}},
		{"POST /v1/keys", `{"name":"x","scope":"read","app":"game"}`, map[string]int{"game-admin": 201}},
		{"DELETE /v1/keys/key_read", "", map[string]int{"read": 403, "game-admin": 404, "admin": 204}},
		{"GET /v1/openapi.json", "", map[string]int{"none": 200}},
		{"GET /v1/rewards", "", map[string]int{"none": 401, "events": 403, "read": 200, "game-read": 200}},
		{"GET /v1/rewards?app=shop", "", map[string]int{"game-read": 404}},
		{"GET /v1/rewards/" + rewardID(2), "", map[string]int{"read": 200, "game-read": 404}},
		{"GET /v1/balances?user=u1", "", map[string]int{"read": 422, "game-read": 200}},
		{"GET /v1/ledger?app=shop&user=u1", "", map[string]int{"read": 200, "game-read": 404}},
		{"GET /v1/ledger/check", "", map[string]int{"read": 200, "game-read": 403, "": 200}},
		{"GET /v1/received/" + refusedID(), "", map[string]int{"read": 200, "game-read": 404}},
		{"POST /v1/rewards/void", `{"ids":["` + rewardID(2) + `"],"why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/rewards/void", `{"filter":{"app":"shop"},"why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/rewards/void", `{"filter":{},"why":"w"}`, map[string]int{"game-admin": 200, "admin": 422}},
		{"POST /v1/rewards/grant", `{"app":"shop","user":"u","currency":"coins","amount":"5","key":"k","why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/reprocess", `{"filter":{"app":"shop","kind":"held"},"why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/reprocess", `{"ids":["` + shop + `"],"why":"w"}`, map[string]int{"game-admin": 404, "admin": 200}},
		{"POST /v1/resend", `{"filter":{"app":"shop"},"why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"GET /v1/users/export?user=u1", "", map[string]int{"none": 401, "events": 403, "read": 422, "game-read": 200}},
		{"GET /v1/users/export?app=shop&user=u1", "", map[string]int{"read": 200, "game-read": 404}},
		{"POST /v1/users/erase", `{"app":"shop","user":"u1","why":"w"}`, map[string]int{"none": 401, "read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/backup", "", map[string]int{"none": 401, "read": 403, "game-admin": 403, "admin": 200}},
		{"POST /v1/sources/shop/monetag/freeze", `{"why":"w"}`, map[string]int{"read": 403, "game-admin": 404, "admin": 200}},
		{"POST /v1/sources/game/monetag/thaw", `{"why":"w"}`, map[string]int{"game-admin": 200}},
	}
	for _, tt := range tests {
		for key, want := range tt.want {
			t.Run(tt.route+" by "+key, func(t *testing.T) {
				rec := newWorld().ask(t, key, tt.route, tt.body)
				if rec.Code != want {
					t.Fatalf("status %d, want %d; body: %s", rec.Code, want, rec.Body)
				}
				if want >= 400 {
					p := decode[Problem](t, rec, want)
					if p.Status != want || p.Detail == "" || rec.Header().Get("Content-Type") != "application/problem+json" {
						t.Errorf("not a problem: %+v as %s", p, rec.Header().Get("Content-Type"))
					}
				}
				if want == 401 && !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("a 401 without WWW-Authenticate")
				}
			})
		}
	}
}

func TestAKeyOfOneAppSeesOnlyThatApp(t *testing.T) {
	w := newWorld()
	events := decode[EventList](t, w.ask(t, "game-read", "GET /v1/events", ""), 200)
	if len(events.Events) != 1 || events.Events[0].App != "game" {
		t.Errorf("events: %+v", events)
	}
	for _, route := range []string{"GET /v1/objects", "GET /v1/endpoints", "GET /v1/keys"} {
		if rec := w.ask(t, "game-read", route, ""); strings.Contains(rec.Body.String(), "shop") || strings.Contains(rec.Body.String(), "acme") {
			t.Errorf("%s shows another app: %s", route, rec.Body)
		}
	}
	w.ask(t, "game-read", "GET /v1/stats", "")
	w.ask(t, "game-read", "GET /v1/status", "")
	for _, f := range w.store.counted {
		if f.App != "game" {
			t.Errorf("counted app %q for a key of game", f.App)
		}
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name    string
		route   string
		body    string
		prepare func(*world)
		status  int
		detail  string // part of it
	}{
		{"no such path", "GET /v1/nothing", "", nil, 404, "openapi.json"},
		{"another method", "DELETE /v1/events", "", nil, 405, "GET"},
		{"no such event", "GET /v1/events/" + string(eventID(99)), "", nil, 404, "does not exist"},
		{"no event id", "GET /v1/events/abc", "", nil, 422, "evt_"},
		{"a cursor that is none", "GET /v1/events?before=abc", "", nil, 422, "next"},
		{"a limit beyond the bound", "GET /v1/events?limit=5000", "", nil, 422, "1000"},
		{"an unknown parameter", "GET /v1/events?zone_id=1", "", nil, 422, "zone_id"},
		{"a source without its app", "GET /v1/events?source=monetag", "", nil, 422, "app/monetag"},
		{"a source of another app", "GET /v1/events?app=game&source=shop/monetag", "", nil, 422, "game"},
		{"an unknown dimension", "GET /v1/stats?group_by=colour", "", nil, 422, "group_by"},
		{"from after to", "GET /v1/stats?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", nil, 422, "swap"},
		{"a scope that is none", "POST /v1/keys", `{"name":"x","scope":"root"}`, nil, 422, "scope"},
		{"a key for an app that is none", "POST /v1/keys", `{"name":"x","scope":"read","app":"nope"}`, nil, 422, "nope"},
		{"no such key", "DELETE /v1/keys/key_nope", "", nil, 404, "keys list"},
		{"no such endpoint", "POST /v1/endpoints/shop/nope/pause", "", nil, 404, "shop/nope"},
		{"a delivery that is pending", "POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend", "",
			func(w *world) { w.store.stories[1].Deliveries[0].State = carom.Pending }, 409, "resume shop/backend"},
		{"a delivery of a deleted endpoint", "POST /v1/deliveries/" + string(deliveryID(1, 1)) + "/resend", "", nil, 409, "no longer exists"},
		{"an event that matched nothing", "POST /v1/events/" + string(eventID(2)) + "/resend", "", nil, 409, "nothing to resend"},
		{"objects from a file: apply", "POST /v1/apply", "apps: {}", func(w *world) { w.objects.file = "carom.yaml" }, 409, "carom.yaml"},
		{"objects from a file: pause", "POST /v1/endpoints/shop/backend/pause", "", func(w *world) { w.objects.file = "carom.yaml" }, 409, "paused: true"},
		{"objects from a file: rotate", "POST /v1/sources/shop/monetag/rotate", "", func(w *world) { w.objects.file = "carom.yaml" }, 409, "carom.yaml"},
		{"an overlap that is none", "POST /v1/sources/shop/monetag/rotate?for=long", "", nil, 422, "24h"},
		{"an empty objects file", "POST /v1/apply", "", nil, 400, "body"},
		{"no path at all", "GET /v1/", "", nil, 404, "openapi.json"},
		{"a path with a slash too many", "GET /v1/events/", "", nil, 404, "openapi.json"},
		{"a method that nobody knows", "BREW /v1/events", "", nil, 405, "GET"},
		{"the preflight of another site", "OPTIONS /v1/keys", "", nil, 405, "POST"},
		{"the document is only read", "PUT /v1/openapi.json", "{}", nil, 405, "GET"},
		{"a limit that is no number", "GET /v1/events?limit=ten", "", nil, 422, "limit"},
		{"a parameter in capitals", "GET /v1/events?Limit=5", "", nil, 422, "Limit"},
		{"a body that is cut off", "POST /v1/keys", `{"name":"x","sc`, nil, 400, "whole"},
		{"a body that is not JSON", "POST /v1/keys", "name=x", nil, 400, "body"},
		{"a body that is missing", "POST /v1/keys", "", nil, 400, "body"},
		{"a list in place of an object", "POST /v1/keys", "[]", nil, 422, "object"},
		{"a field that is not known", "POST /v1/keys", `{"name":"x","scope":"read","colour":"red"}`, nil, 422, "colour"},
		{"a field of another type", "POST /v1/keys", `{"name":7,"scope":"read"}`, nil, 422, "name"},
		{"a field that is missing", "POST /v1/keys", `{"name":"x"}`, nil, 422, "scope"},
		{"a body that is too large", "POST /v1/keys", `{"name":"` + strings.Repeat("x", maxBodyBytes) + `"}`, nil, 413, "less"},
		{"a file that is too large", "POST /v1/apply", strings.Repeat("#", maxBodyBytes+1), nil, 413, "less"},
		{"the store is busy", "GET /v1/events", "", func(w *world) { w.store.err = carom.ErrUnavailable }, 503, "try again"},
		{"a fault of ours", "GET /v1/events", "", func(w *world) { w.store.err = errors.New("disk on fire at /secret/path") }, 500, "urn:carom:error:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.prepare != nil {
				tt.prepare(w)
			}
			rec := w.ask(t, "", tt.route, tt.body)
			p := decode[Problem](t, rec, tt.status)
			if !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("detail %q lacks %q", p.Detail, tt.detail)
			}
			if p.Type != "about:blank" || p.Title != http.StatusText(tt.status) || p.Status != tt.status {
				t.Errorf("not a whole problem: %+v", p)
			}
			if ct := rec.Header().Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
			if strings.Contains(rec.Body.String(), "/secret/path") {
				t.Errorf("an inner error is shown: %s", rec.Body)
			}
			if tt.status == 503 && rec.Header().Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
		})
	}
}

// TestABodyOfAnotherType: what is no JSON is not guessed at.
func TestABodyOfAnotherType(t *testing.T) {
	for _, contentType := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/keys", strings.NewReader("name=x"))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		Local(newWorld().handler).ServeHTTP(rec, r)
		p := decode[Problem](t, rec, http.StatusUnsupportedMediaType)
		if ct := rec.Header().Get("Content-Type"); ct != "application/problem+json" || !strings.Contains(p.Detail, "application/json") {
			t.Errorf("as %s: %s %q", contentType, ct, p.Detail)
		}
	}
}

func TestApply(t *testing.T) {
	w := newWorld()
	w.objects.changes = []Change{{Kind: "source", ID: "shop/unity", Action: "added"}}
	w.objects.made = []MadeSecret{{Source: "shop/unity", URL: "https://carom.example/in/shop/unity/s3cret"}}

	dry := decode[Applied](t, w.ask(t, "", "POST /v1/apply?dry_run=true", "apps: {shop: {}}"), 200)
	if diff := cmp.Diff(Applied{Changes: w.objects.changes, Made: []MadeSecret{}}, dry); diff != "" {
		t.Errorf("a dry run (-want +got):\n%s", diff)
	}
	if w.objects.applied != 0 {
		t.Error("a dry run was applied")
	}
	done := decode[Applied](t, w.ask(t, "", "POST /v1/apply", "apps: {shop: {}}"), 200)
	if diff := cmp.Diff(Applied{Applied: true, Changes: w.objects.changes, Made: w.objects.made}, done); diff != "" {
		t.Errorf("an apply (-want +got):\n%s", diff)
	}
	if w.objects.applied != 1 || w.objects.planned != "apps: {shop: {}}" {
		t.Errorf("applied %d times, planned %q", w.objects.applied, w.objects.planned)
	}
}

func TestApplyTakesYAMLUnderEveryName(t *testing.T) {
	for _, contentType := range []string{"application/yaml", "text/yaml", "text/yaml; charset=utf-8", ""} {
		w := newWorld()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/apply", strings.NewReader("apps: {}"))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		Local(w.handler).ServeHTTP(rec, r)
		if rec.Code != 200 || w.objects.planned != "apps: {}" {
			t.Errorf("as %q: status %d, planned %q: %s", contentType, rec.Code, w.objects.planned, rec.Body)
		}
	}
}

func TestApplyOfNothingChangesNothing(t *testing.T) {
	w := newWorld()
	w.objects.changes = []Change{{Kind: "source", ID: "shop/old", Action: "kept"}}
	done := decode[Applied](t, w.ask(t, "", "POST /v1/apply", "apps: {shop: {}}"), 200)
	if done.Applied || w.objects.applied != 0 {
		t.Errorf("applied %d times: %+v", w.objects.applied, done)
	}
}

func TestApplyListsEveryFault(t *testing.T) {
	w := newWorld()
	faults := []carom.FieldError{
		{File: "carom.yaml", Line: 3, Column: 5, Field: "apps.shop.endpoints.backend.url", Message: "the macro {event} is not known: did you mean {event_type}?"},
		{File: "carom.yaml", Line: 9, Column: 1, Field: "apps.shop.colour", Message: "the key is not known: remove it"},
	}
	w.objects.planErr = errors.Join(&faults[0], &faults[1])
	p := decode[Problem](t, w.ask(t, "", "POST /v1/apply", "apps: {}"), 422)
	if diff := cmp.Diff(faults, p.Errors); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(p.Detail, "2 faults") {
		t.Errorf("detail %q", p.Detail)
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld()
	before := w.objects.objects
	w.ask(t, "", "POST /v1/endpoints/shop/backend/pause", "")
	if !w.objects.objects.Endpoints[0].Paused {
		t.Error("pause did not pause")
	}
	if before.Endpoints[0].Paused {
		t.Error("pause changed the objects that were in force")
	}
	w.ask(t, "", "POST /v1/endpoints/shop/backend/resume", "")
	if w.objects.objects.Endpoints[0].Paused {
		t.Error("resume did not resume")
	}
	w.objects.file = "carom.yaml"
	w.ask(t, "", "POST /v1/endpoints/shop/backend/resume", "")
	if diff := cmp.Diff([]int{1, 1}, w.lanes.woken); diff != "" {
		t.Errorf("resume of a running endpoint tries it at once (-want +got):\n%s", diff)
	}
}

func TestRotateKeepsOldSecretsForAWhile(t *testing.T) {
	w := newWorld()
	w.objects.objects.Sources[0].Secrets = []carom.SecretSum{
		{Sum: [32]byte{1}}, {Sum: [32]byte{2}, NotAfter: noon().Add(time.Hour)}, {Sum: [32]byte{3}, NotAfter: noon().Add(-time.Hour)},
	}
	made := decode[MadeSecret](t, w.ask(t, "", "POST /v1/sources/shop/monetag/rotate?for=2h", ""), 200)
	secret := made.URL[strings.LastIndex(made.URL, "/")+1:]
	want := []carom.SecretSum{
		{Sum: sha256.Sum256([]byte(secret))}, {Sum: [32]byte{1}, NotAfter: noon().Add(2 * time.Hour)}, {Sum: [32]byte{2}, NotAfter: noon().Add(time.Hour)},
	}
	if diff := cmp.Diff(want, w.objects.objects.Sources[0].Secrets); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if len(secret) < 26 {
		t.Errorf("the secret %q holds less than 128 bits", secret)
	}
}

func TestResendWakesTheLane(t *testing.T) {
	w := newWorld()
	w.ask(t, "", "POST /v1/deliveries/"+string(deliveryID(1, 0))+"/resend", "")
	if diff := cmp.Diff([]carom.DeliveryID{deliveryID(1, 0)}, w.store.resent); diff != "" {
		t.Errorf("resent (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{1}, w.lanes.woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
}

func TestAMadeKeyWorks(t *testing.T) {
	w := newWorld()
	made := decode[MadeKey](t, w.ask(t, "", "POST /v1/keys", `{"name":"board","scope":"read","app":"game"}`), 201)
	if rec := w.ask(t, made.Key, "GET /v1/events", ""); rec.Code != 200 {
		t.Errorf("status %d with the key just made", rec.Code)
	}
	w.ask(t, "", "DELETE /v1/keys/"+made.ID, "")
	if rec := w.ask(t, made.Key, "GET /v1/events", ""); rec.Code != 401 {
		t.Errorf("status %d with a deleted key", rec.Code)
	}
}

func TestTail(t *testing.T) {
	for _, tt := range []struct {
		name, query, last string
		want              []string
	}{
		{"behind an event", "", string(eventID(1)), []string{"id: " + string(eventID(2)), "id: " + string(eventID(3))}},
		{"from now on", "", "", []string{"id: " + string(eventID(3))}},
		{"of one app", "?app=shop", string(carom.NewEventID(7, carom.Ref{Bucket: 1})), []string{"id: " + string(eventID(1)), "id: " + string(eventID(3))}},
		{"behind an event of before a restore", "", string(carom.NewEventID(6, carom.Ref{Bucket: 1, Seq: 1})), []string{"event: skipped", "id: " + string(eventID(3))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			srv := httptest.NewServer(Local(w.handler))
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/tail"+tt.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.last != "" {
				req.Header.Set("Last-Event-ID", tt.last)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			third := *shopStory().Event
			third.ID = eventID(3)
			w.store.add(&carom.Story{Event: &third})
			var got []string
			lines := bufio.NewScanner(resp.Body)
			for len(got) < len(tt.want) && lines.Scan() {
				if line := lines.Text(); strings.HasPrefix(line, "id: ") || line == "event: skipped" {
					got = append(got, line)
				}
			}
			close(w.done)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("the tail did not end cleanly when the server stopped: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenAPIDocument(t *testing.T) {
	w := newWorld()
	doc := decode[map[string]any](t, w.ask(t, "none", "GET /v1/openapi.json", ""), 200)
	if doc["openapi"] != "3.1.0" {
		t.Errorf("openapi: %v", doc["openapi"])
	}
	components := doc["components"].(map[string]any)
	schemas := components["schemas"].(map[string]any)
	var refs func(v any)
	refs = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				kind, name, _ := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
				if of, ok := components[kind].(map[string]any); !ok || of[name] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, inner := range v {
				refs(inner)
			}
		case []any:
			for _, inner := range v {
				refs(inner)
			}
		}
	}
	refs(doc)
	ids := map[string]bool{}
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] || op["summary"] == "" || op["security"] == nil {
				t.Errorf("%s %s: operationId %q is missing or used twice, or summary or security is missing", method, path, id)
			}
			ids[id] = true
			problem, _ := op["responses"].(map[string]any)["default"].(map[string]any)
			if problem == nil || problem["content"].(map[string]any)["application/problem+json"] == nil {
				t.Errorf("%s %s describes no problem", method, path)
			}
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(access)), slices.Sorted(maps.Keys(ids))); diff != "" {
		t.Errorf("operations in the table of who may do what, and in the document (-table +document):\n%s", diff)
	}
	if schemas["ErrorModel"] != nil || schemas["Problem"] == nil {
		t.Error("the schema of a problem is not ours")
	}
	yaml := w.ask(t, "none", "GET /v1/openapi.yaml", "")
	if yaml.Code != 200 || !strings.Contains(yaml.Body.String(), "openapi: 3.1.0") {
		t.Errorf("openapi.yaml: %d %.80s", yaml.Code, yaml.Body)
	}
}

func TestMaskURL(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"macros stay", "https://a.example/?u={ymid}&token={request_var}", "https://a.example/?u={ymid}&token={request_var}"},
		{"secrets go", "https://a.example/x?API_KEY=1&b=2&sig=3", "https://a.example/x?API_KEY=***&b=2&sig=***"},
		{"the path secret goes", "https://carom.example/in/shop/monetag/s3cret?ymid={ymid}", "https://carom.example/in/shop/monetag/***?ymid={ymid}"},
		{"no query", "https://a.example/x", "https://a.example/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := maskURL(tt.in); got != tt.want {
				t.Errorf("maskURL(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}
