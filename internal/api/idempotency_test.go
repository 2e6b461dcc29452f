package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// fakeAnswers keeps answers as a store does.
type fakeAnswers struct {
	mu      sync.Mutex
	kept    map[[16]byte]*carom.KeptAnswer
	failing error
}

func (f *fakeAnswers) BeginRequest(_ context.Context, r carom.KeptRequest, _ int) (*carom.KeptAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return nil, f.failing
	}
	if known := f.kept[r.ID]; known != nil {
		copied := *known
		return &copied, nil
	}
	if f.kept == nil {
		f.kept = map[[16]byte]*carom.KeptAnswer{}
	}
	f.kept[r.ID] = &carom.KeptAnswer{Asked: r.Asked, At: noon()}
	return nil, nil
}

func (f *fakeAnswers) EndRequest(_ context.Context, id [16]byte, a carom.KeptAnswer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a.At = f.kept[id].At
	f.kept[id] = &a
	return nil
}

func (f *fakeAnswers) ForgetRequest(_ context.Context, id [16]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.kept, id)
	return nil
}

// only is the one answer that is kept.
func (f *fakeAnswers) only(t *testing.T) carom.KeptAnswer {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) != 1 {
		t.Fatalf("%d answers are kept, want 1", len(f.kept))
	}
	for _, a := range f.kept {
		return *a
	}
	return carom.KeptAnswer{}
}

// send makes one request with a key of the caller's. token is an API key.
func (w *world) send(t *testing.T, token, key, route, body string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(route, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Idempotency-Key", key)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

const grantFive = `{"app":"shop","user":"u1","currency":"coins","amount":"5","key":"k","why":"w"}`

func TestACopyIsAnsweredLikeTheFirst(t *testing.T) {
	for _, key := range []string{"8e03978e-40d5-43e8-bc93-6894a57f9324", `"quoted"`} {
		w := newWorld()
		first := w.send(t, "admin", key, "POST /v1/rewards/grant", grantFive)
		again := w.send(t, "admin", key, "POST /v1/rewards/grant", grantFive)
		if first.Code != 200 || again.Code != 200 || len(w.door.asked) != 1 {
			t.Fatalf("%s: answers %d and %d, carried out %d times: %s", key, first.Code, again.Code, len(w.door.asked), again.Body)
		}
		if diff := cmp.Diff(first.Body.String(), again.Body.String()); diff != "" {
			t.Errorf("%s: the copy is answered otherwise (-first +copy):\n%s", key, diff)
		}
		if first.Header().Get("Idempotency-Replayed") != "" || again.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s: replayed: %q, then %q", key, first.Header().Get("Idempotency-Replayed"), again.Header().Get("Idempotency-Replayed"))
		}
		if a, b := first.Header().Get("Content-Type"), again.Header().Get("Content-Type"); a != b || a == "" {
			t.Errorf("%s: content types %q, then %q", key, a, b)
		}
	}
}

func TestWhatIsRepeated(t *testing.T) {
	pause, thaw := "POST /v1/endpoints/shop/backend/pause", "POST /v1/sources/shop/monetag/thaw"
	type sent struct{ token, key, route, body string }
	tests := []struct {
		name          string
		first, second sent
		status        int
		replayed      bool
		detail        string
	}{
		{"an answer without a body", sent{"admin", "k", pause, ""}, sent{"admin", "k", pause, ""}, 204, true, ""},
		{"a refusal for good", sent{"admin", "k", "DELETE /v1/keys/key_nope", ""}, sent{"admin", "k", "DELETE /v1/keys/key_nope", ""}, 404, true, "key_nope"},
		{"another caller", sent{"admin", "k", pause, ""}, sent{"game-admin", "k", "POST /v1/endpoints/game/backend/pause", ""}, 204, false, ""},
		{"another key", sent{"admin", "k", pause, ""}, sent{"admin", "l", pause, ""}, 204, false, ""},
		{"another body", sent{"admin", "k", thaw, `{"why":"a"}`}, sent{"admin", "k", thaw, `{"why":"b"}`}, 422, false, "something else"},
		{"another path", sent{"admin", "k", pause, ""}, sent{"admin", "k", "POST /v1/endpoints/shop/backend/resume", ""}, 422, false, "something else"},
		{"another query", sent{"admin", "k", thaw, `{"why":"a"}`}, sent{"admin", "k", thaw + "?dry_run=true", `{"why":"a"}`}, 422, false, "something else"},
		{"a secret that is shown once", sent{"admin", "k", "POST /v1/keys", `{"name":"x","scope":"read"}`}, sent{"admin", "k", "POST /v1/keys", `{"name":"x","scope":"read"}`}, 409, true, "shown once"},
		{"a secret in the URL that is shown once", sent{"admin", "k", "POST /v1/sources/shop/monetag/rotate", ""}, sent{"admin", "k", "POST /v1/sources/shop/monetag/rotate", ""}, 409, true, "new key"},
		{"a key that is none", sent{"admin", "", pause, ""}, sent{"admin", "ü", pause, ""}, 422, false, "printable"},
		{"a key that is too long", sent{"admin", "", pause, ""}, sent{"admin", strings.Repeat("k", 256), pause, ""}, 422, false, "255"},
		{"what only reads", sent{"admin", "k", "GET /v1/version", ""}, sent{"admin", "k", "GET /v1/version", ""}, 200, false, ""},
		{"a stream", sent{"admin", "k", "POST /v1/backup", ""}, sent{"admin", "k", "POST /v1/backup", ""}, 200, false, ""},
		{"who may not", sent{"read", "k", pause, ""}, sent{"read", "k", pause, ""}, 403, false, "scope"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.send(t, tt.first.token, tt.first.key, tt.first.route, tt.first.body)
			got := w.send(t, tt.second.token, tt.second.key, tt.second.route, tt.second.body)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.detail) {
				t.Errorf("answered %d %s, want %d with %q", got.Code, got.Body, tt.status, tt.detail)
			}
			if replayed := got.Header().Get("Idempotency-Replayed") == "true"; replayed != tt.replayed {
				t.Errorf("replayed: %v", replayed)
			}
			if ct := got.Header().Get("Content-Type"); tt.status >= 400 && ct != "application/problem+json" {
				t.Errorf("content type %q", ct)
			}
		})
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	w := newWorld()
	made := decode[MadeKey](t, w.send(t, "admin", "k", "POST /v1/keys", `{"name":"x","scope":"read"}`), 201)
	a := w.store.only(t)
	if a.Withheld != carom.WithheldSecret || len(a.Body) > 0 || strings.Contains(string(a.Body), made.Key) {
		t.Errorf("kept: %+v", a)
	}
}

func TestAFailureIsNotKept(t *testing.T) {
	w := newWorld()
	w.store.err = carom.ErrUnavailable
	route := "POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend"
	if rec := w.send(t, "admin", "k", route, ""); rec.Code != 503 {
		t.Fatalf("answered %d %s", rec.Code, rec.Body)
	}
	w.store.err = nil
	if rec := w.send(t, "admin", "k", route, ""); rec.Code != 200 || rec.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("after a failure: %d %s", rec.Code, rec.Body)
	}
}

func TestAHandlerThatPanicsIsNotKept(t *testing.T) {
	w := newWorld()
	func() {
		defer func() { _ = recover() }()
		w.store.panics = true
		w.send(t, "admin", "k", "POST /v1/deliveries/"+string(deliveryID(1, 0))+"/resend", "")
	}()
	if len(w.store.kept) != 0 {
		t.Errorf("kept: %v", w.store.kept)
	}
}

func TestACopyWhileTheFirstRuns(t *testing.T) {
	w := newWorld()
	w.store.resending = make(chan struct{})
	route := "POST /v1/deliveries/" + string(deliveryID(1, 0)) + "/resend"
	var wg sync.WaitGroup
	wg.Go(func() {
		if rec := w.send(t, "admin", "k", route, ""); rec.Code != 200 {
			t.Errorf("the first: %d %s", rec.Code, rec.Body)
		}
	})
	w.store.resending <- struct{}{} // it is being carried out
	rec := w.send(t, "admin", "k", route, "")
	if rec.Code != 409 || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), "under way") {
		t.Errorf("a copy meanwhile: %d %s", rec.Code, rec.Body)
	}
	w.store.resending <- struct{}{}
	wg.Wait()
	w.store.resending = nil
	if rec := w.send(t, "admin", "k", route, ""); rec.Code != 200 || rec.Header().Get("Idempotency-Replayed") != "true" || len(w.store.resent) != 1 {
		t.Errorf("a copy afterwards: %d %s; resent %v", rec.Code, rec.Body, w.store.resent)
	}
}

func TestALongAnswerIsNotKept(t *testing.T) {
	w := newWorld()
	w.objects.changes = []Change{{Kind: "app", ID: strings.Repeat("x", carom.MaxKeptBody), Action: changeKept}}
	first := w.send(t, "admin", "k", "POST /v1/apply", "apps: {}")
	again := w.send(t, "admin", "k", "POST /v1/apply", "apps: {}")
	if first.Code != 200 || first.Body.Len() < carom.MaxKeptBody || again.Code != 409 || !strings.Contains(again.Body.String(), "too long") {
		t.Errorf("answered %d with %d bytes, then %d %.200s", first.Code, first.Body.Len(), again.Code, again.Body)
	}
}

func TestAsMuchIsKeptAsMayBe(t *testing.T) {
	w := newWorld()
	w.store.failing = carom.ErrConflict
	if rec := w.send(t, "admin", "k", "POST /v1/endpoints/shop/backend/pause", ""); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d %s", rec.Code, rec.Body)
	}
	w.store.failing = carom.ErrUnavailable
	if rec := w.send(t, "admin", "k", "POST /v1/endpoints/shop/backend/pause", ""); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d %s", rec.Code, rec.Body)
	}
	if w.objects.applied != 0 {
		t.Error("it was carried out all the same")
	}
}

func TestABodyThatIsTooLong(t *testing.T) {
	w := newWorld()
	if rec := w.send(t, "admin", "k", "POST /v1/apply", strings.Repeat("x", maxBodyBytes+1)); rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("answered %d %s", rec.Code, rec.Body)
	}
}

// TestWhatIsShownOnceIsMarked: a description that says so and the tag by which an answer is not kept stand together.
func TestWhatIsShownOnceIsMarked(t *testing.T) {
	doc, _ := document(t)
	schemas := doc.Components.Schemas
	marked := 0
	for name, schema := range schemas.Map() {
		typ := schemas.TypeFromRef("#/components/schemas/" + name)
		for property, p := range schema.Properties {
			says := p.Type != "array" && strings.Contains(strings.ToLower(p.Description), "shown once")
			field, ok := fieldOf(typ, property)
			if !ok {
				continue
			}
			if tagged := field.Tag.Get("shown") == "once"; tagged != says {
				t.Errorf("%s.%s: tagged shown:\"once\": %v, and its description says %q", name, property, tagged, p.Description)
			} else if says {
				marked++
			}
		}
	}
	if marked < 5 {
		t.Errorf("%d fields are shown once", marked)
	}
}

// fieldOf finds the field of a struct, or of what it embeds, by its name in JSON.
func fieldOf(typ reflect.Type, property string) (reflect.StructField, bool) {
	if typ == nil || typ.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	for _, f := range reflect.VisibleFields(typ) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == property {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func TestShowsOnce(t *testing.T) {
	tests := []struct {
		name string
		v    any
		want bool
	}{
		{"a secret", MadeKey{Key: "carom_x"}, true},
		{"none", MadeKey{ID: "key_x"}, false},
		{"in a list", Applied{Made: []MadeSecret{{URL: "https://carom.example/in/x"}}}, true},
		{"in no list", &Applied{Made: []MadeSecret{}}, false},
		{"in a map", map[string]any{"a": &MadeKey{Key: "x"}}, true},
		{"nothing", nil, false},
		{"times", struct{ At time.Time }{noon()}, false},
	}
	for _, tt := range tests {
		if got := showsOnce(reflect.ValueOf(tt.v)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
