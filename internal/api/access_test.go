package api

import (
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// called is an operation of the OpenAPI document.
type called struct{ id, method, path string }

// everyCall is every operation that this API serves itself.
func everyCall(t *testing.T, w *world) (list []called) {
	t.Helper()
	doc := decode[map[string]any](t, w.ask(t, "none", "GET /v1/openapi.json", ""), 200)
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			id := op.(map[string]any)["operationId"].(string)
			if id != "report-events" && id != "open-view" && id != "get-view" { // the doors serve these
				list = append(list, called{id, strings.ToUpper(method), path})
			}
		}
	}
	return list
}

var (
	forAnybody    = []string{"get-session", "sign-in", "sign-out", "claim-link"}
	forSignedIn   = []string{"change-password", "list-filters", "save-filter", "delete-filter"}
	forPublishers = []string{
		"list-publishers", "get-publisher", "put-app", "make-zone", "change-zone", "preview-endpoint", "put-endpoint", "delete-endpoint", "test-endpoint",
		"rotate-secret", "list-deliveries", "list-events", "get-event", "resend-event", "resend-delivery", "list-endpoints", "get-stats", "get-version",
		"list-apps", "list-zones", "list-macros", "find-deliveries", "get-delivery", "list-attempts", "list-views", "get-story", "search",
		"get-overview", "follow-live", "get-report", "get-funnel", "get-times", "get-reasons",
	}
	forSupport = []string{"resend-event", "resend-delivery", "resend"}
)

// Each role and each kind of key is let into what it may do, and into nothing else. What is expected is said anew here, by rules.
func TestEveryOperationByEveryRole(t *testing.T) {
	own := func(op called) bool { return slices.Contains(forSignedIn, op.id) }
	reading := func(op called) bool { return op.method == "GET" && !own(op) }
	publisher := func(op called) bool { return slices.Contains(forPublishers, op.id) }
	everything := func(op called) bool { return !own(op) }
	either := func(a, b func(called) bool) func(called) bool {
		return func(op called) bool { return a(op) || b(op) }
	}
	support := func(op called) bool { return reading(op) || slices.Contains(forSupport, op.id) }
	nothing := func(called) bool { return false }
	for _, tt := range []struct {
		who     string
		member  carom.Role // empty: a key, or nobody
		allowed func(called) bool
	}{
		{"nobody", "", nothing},
		{"an operator", carom.RoleOperator, either(everything, own)},
		{"a viewer", carom.RoleViewer, either(reading, own)},
		{"a supporter", carom.RoleSupport, either(support, own)},
		{"a publisher", carom.RolePublisher, either(publisher, own)},
		{"key events", "", nothing},
		{"key read", "", reading},
		{"key admin", "", everything},
		{"key acme", "", publisher},
		{"local", "", everything},
	} {
		t.Run(tt.who, func(t *testing.T) {
			w := newWorld()
			close(w.done) // feeds end at once
			w.cheaply()
			w.store.keys = append(w.store.keys, carom.APIKey{ID: "key_p", Name: "acme", Scope: carom.ScopePublisher, Publisher: "acme", Sum: sha256.Sum256([]byte("acme"))})
			objects := w.objects.objects
			for _, op := range everyCall(t, w) {
				w.objects.objects, w.store.members, w.store.sessions = objects, nil, nil
				route := op.method + " " + regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(op.path, "acme")
				var rec *httptest.ResponseRecorder
				switch kind, key, _ := strings.Cut(tt.who, " "); {
				case tt.member != "":
					publisher := ""
					if tt.member == carom.RolePublisher {
						publisher = "acme"
					}
					w.join("mia", tt.member, publisher)
					rec = w.browse(t, "mia", route, "")
				case kind == "key":
					rec = w.ask(t, key, route, "")
				case kind == "local":
					rec = w.ask(t, "", route, "")
				default:
					rec = w.ask(t, "none", route, "")
				}
				want := tt.allowed(op) || slices.Contains(forAnybody, op.id)
				if got := rec.Code != 401 && rec.Code != 403; got != want {
					t.Errorf("%s: status %d, want that it is allowed: %v; body: %.200s", op.id, rec.Code, want, rec.Body)
				}
			}
		})
	}
}

// What /v1/session says that somebody may do is what they are let into.
func TestSessionSaysWhatItsMemberMay(t *testing.T) {
	for role, sample := range map[carom.Role]map[string]bool{
		carom.RoleOperator:  {"put-publisher": true, "create-member": true, "change-password": true},
		carom.RoleViewer:    {"list-events": true, "list-audit": true, "resend": false, "create-member": false},
		carom.RoleSupport:   {"resend": true, "reprocess": true, "pause-endpoint": false, "create-key": false},
		carom.RolePublisher: {"put-endpoint": true, "list-audit": false, "list-rewards": false},
	} {
		w := newSetupWorld()
		w.join("mia", role, map[bool]string{true: "acme"}[role == carom.RolePublisher])
		state := decode[SessionState](t, w.browse(t, "mia", "GET /v1/session", ""), 200)
		for id, want := range sample {
			if got := slices.Contains(state.May, id); got != want {
				t.Errorf("%s may %s: %v, want %v", role, id, got, want)
			}
		}
	}
}

func TestSupportReprocessesOnlyToLook(t *testing.T) {
	w := newWorld()
	w.join("mia", carom.RoleSupport, "")
	body := `{"filter":{"app":"shop","kind":"held"},"why":"w"}`
	decode[Reprocessed](t, w.browse(t, "mia", "POST /v1/reprocess?dry_run=true", body), 200)
	decode[Problem](t, w.browse(t, "mia", "POST /v1/reprocess", body), 403)
	decode[Problem](t, w.browse(t, "mia", "POST /v1/reprocess?dry_run=false", body), 403)
	if rec := w.browse(t, "mia", "GET /v1/objects", ""); strings.Contains(rec.Body.String(), "hunter2") || rec.Code != 200 {
		t.Errorf("support sees secrets: %s", rec.Body)
	}
}

// A publisher that asks for what is another's is told that there is nothing, and the operator can see that it asked.
func TestPublisherAsksForAnothers(t *testing.T) {
	for _, who := range []string{"member", "key"} {
		w := newSetupWorld()
		w.join("mia", carom.RolePublisher, "acme")
		for _, route := range []string{
			"GET /v1/publishers/rival", "PUT /v1/publishers/rival/apps/den", "PUT /v1/publishers/acme/endpoints/den/backend", "GET /v1/events?app=den",
			"GET /v1/events/" + string(eventID(2)),
		} {
			body := ""
			switch {
			case strings.Contains(route, "endpoints"):
				body = `{"url":"https://acme.example/"}`
			case strings.HasPrefix(route, "PUT"):
				body = `{}`
			}
			before := len(w.store.audit)
			var rec *httptest.ResponseRecorder
			if who == "member" {
				rec = w.browse(t, "mia", route, body)
			} else {
				rec = w.ask(t, "acme", route, body)
			}
			decode[Problem](t, rec, 404)
			if len(w.store.audit) != before+1 {
				t.Errorf("%s by a %s: %d entries in the audit log, want 1", route, who, len(w.store.audit)-before)
				continue
			}
			if e := w.store.audit[before]; e.Outcome != carom.AuditRefused || e.Status != 404 || e.Actor.Role != "publisher" || string(e.Actor.Kind) != who {
				t.Errorf("%s: the entry is %+v", route, e)
			}
		}
		if w.objects.applied != 0 {
			t.Errorf("something was changed")
		}
		for range 100 { // within a bound
			w.browse(t, "mia", "GET /v1/publishers/rival", "")
		}
		if len(w.store.audit) > 40 {
			t.Errorf("%d entries of one caller", len(w.store.audit))
		}
	}
}

// At the public address of a server with a private one, only publishers are known.
func TestPublishersOnly(t *testing.T) {
	w := newSetupWorld()
	w.cheaply()
	pub, op := w.join("mia", carom.RolePublisher, "acme"), w.join("bo", carom.RoleOperator, "")
	w.signUp(t, pub, goodPassword)
	w.signUp(t, op, goodPassword)
	w.handler = PublishersOnly(w.handler)
	for _, tt := range []struct {
		session, route, body string
		want                 int
	}{
		{"mia", "GET /v1/publishers/acme", "", 200},
		{"mia", "GET /v1/members", "", 403},
		{"bo", "GET /v1/events", "", 404},
		{"bo", "DELETE /v1/publishers/acme", "", 404},
		{"", "GET /v1/events", "", 404},
		{"eve", "GET /v1/events", "", 404},
		{"", "POST /v1/session", signInBody(pub.Email, goodPassword), 200},
		{"", "POST /v1/session", signInBody(op.Email, goodPassword), 401},
		{"", "POST /v1/session/claim", `{"token":"x","password":"` + goodPassword + `"}`, 404},
	} {
		if rec := w.browse(t, tt.session, tt.route, tt.body); rec.Code != tt.want && !(tt.want == 404 && rec.Code == 405) {
			t.Errorf("%s by %q: %d, want %d; body: %s", tt.route, tt.session, rec.Code, tt.want, rec.Body)
		}
	}
	if state := decode[SessionState](t, w.browse(t, "", "GET /v1/session", ""), 200); state.Setup || state.SignedIn {
		t.Errorf("the state shows %+v", state)
	}
}

func TestObjectOfPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/endpoints/{app}/{name}/pause":                       "endpoint/APP/NAME",
		"/v1/publishers/{publisher}/endpoints/{app}/{name}/test": "endpoint/APP/NAME",
		"/v1/publishers/{publisher}/apps/{app}/zones/{zone}":     "zone/APP/ZONE",
		"/v1/publishers/{publisher}/apps/{app}/zones":            "app/APP",
		"/v1/publishers/{publisher}/links":                       "publisher/PUBLISHER",
		"/v1/publishers/{publisher}/preview":                     "publisher/PUBLISHER",
		"/v1/events/{event_id}/resend":                           "event/EVENT_ID",
		"/v1/keys/{id}":                                          "key/ID",
		"/v1/apply":                                              "",
		"/v1/rewards/void":                                       "",
		"/v1/reconcile/statements/{id}":                          "statement/ID",
	} {
		if got := objectOf(path, strings.ToUpper); got != want {
			t.Errorf("objectOf(%s) = %q, want %q", path, got, want)
		}
	}
}

func TestAuditOfChanges(t *testing.T) {
	w := newWorld()
	w.join("mia", carom.RoleOperator, "")
	w.objects.objects.Apps[1].BotToken = "1:hunter2"
	if rec := w.browse(t, "mia", "POST /v1/endpoints/shop/backend/pause", ""); rec.Code != 204 {
		t.Fatalf("pause: %d %s", rec.Code, rec.Body)
	}
	decode[Frozen](t, w.ask(t, "admin", "POST /v1/sources/shop/monetag/freeze", `{"why":"odd numbers"}`), 200)
	decode[Frozen](t, w.ask(t, "admin", "POST /v1/sources/shop/monetag/thaw?dry_run=true", `{"why":"just looking"}`), 200)
	decode[MadeSecret](t, w.ask(t, "", "POST /v1/sources/shop/monetag/rotate", ""), 200)
	made := decode[MadeKey](t, w.browse(t, "mia", "POST /v1/keys", `{"name":"ci","scope":"read"}`), 201)
	decode[Voided](t, w.ask(t, "admin", "POST /v1/rewards/void", `{"ids":["`+rewardID(2)+`"],"why":"a test"}`), 200)
	decode[Problem](t, w.ask(t, "read", "DELETE /v1/keys/key_read", ""), 403)
	decode[Problem](t, w.ask(t, "game-admin", "POST /v1/endpoints/shop/backend/pause", ""), 404)

	line := func(e carom.AuditEntry) string {
		text := fmt.Sprintf("%s %s %s: %s %s %d %q", e.Actor.Kind, e.Actor.Name, e.Actor.Role, e.Action, e.Object, e.Status, e.Why)
		for _, c := range e.Changes {
			text += fmt.Sprintf(" %s:%q→%q", c.Field, c.Before, c.After)
		}
		return text
	}
	var stored, beside []string
	for _, e := range w.objects.audit {
		stored = append(stored, line(e))
	}
	for _, e := range w.store.audit {
		beside = append(beside, line(e))
	}
	if diff := cmp.Diff([]string{
		`member mia operator: pause-endpoint endpoint/shop/backend 204 "" paused:"false"→"true"`,
		`key admin admin: freeze-source source/shop/monetag 200 "odd numbers" mode:"live"→"frozen"`,
		`local local socket admin: rotate-source source/shop/monetag 200 "" secret:"(secret)"→"(secret changed)" previous_secret:""→"(secret)" previous_secret until:""→"2026-03-05T12:00:00Z"`,
	}, stored); diff != "" {
		t.Errorf("entries stored with objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		`member mia operator: create-key key/` + made.ID + ` 201 "" name:""→"ci" scope:""→"read" app:""→"" publisher:""→""`,
		`key admin admin: void-rewards  200 "a test" rewards:""→"1"`,
		`key read read: delete-key key/key_read 403 ""`,
		`key game-admin admin: pause-endpoint endpoint/shop/backend 404 ""`,
	}, beside); diff != "" {
		t.Errorf("other entries (-want +got):\n%s", diff)
	}
	if text := fmt.Sprint(w.objects.audit, w.store.audit); strings.Contains(text, "hunter2") || strings.Contains(text, made.Key) {
		t.Errorf("the audit log shows a secret: %s", text)
	}
	page := decode[AuditList](t, w.ask(t, "", "GET /v1/audit?limit=2", ""), 200)
	if len(page.Entries) != 2 || page.Entries[1].Action != "delete-key" {
		t.Errorf("the newest entries: %+v", page)
	}
	decode[Problem](t, w.ask(t, "game-admin", "GET /v1/audit", ""), 403)
}
