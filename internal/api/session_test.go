package api

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// cheaply makes hashes that cost next to nothing: what the real ones cost, TestPasswordHash sees.
func (w *world) cheaply() {
	w.handler.(*Handler).s.passwords.cost = hashCost{memory: 8, passes: 1, threads: 1}
}

// tokenOf is the text of a session that tests know.
func tokenOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// join makes a member who has signed in: its session is tokenOf(name).
func (w *world) join(name string, role carom.Role, publisher string) carom.Member {
	m := carom.Member{ID: "mbr_" + name, Email: name + "@example.com", Name: name, Role: role, Publisher: publisher, Created: noon()}
	w.store.members = append(w.store.members, m)
	w.store.sessions = append(w.store.sessions, carom.Session{Sum: sha256.Sum256([]byte(tokenOf(name))), Member: m.ID, Created: noon(), Seen: noon()})
	return m
}

// request makes a request as a browser would that holds a session; session is the name given to join, or empty.
func (w *world) request(t *testing.T, session, route, body string) *http.Request {
	t.Helper()
	method, target, _ := strings.Cut(route, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.1:1234"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if session != "" {
		r.AddCookie(&http.Cookie{Name: plainCookie, Value: tokenOf(session)})
		r.Header.Set(requestHeader, "1")
	}
	return r
}

func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// browse sends a request of a browser.
func (w *world) browse(t *testing.T, session, route, body string) *httptest.ResponseRecorder {
	t.Helper()
	return w.serve(w.request(t, session, route, body))
}

const goodPassword = "four words, no sense"

func signInBody(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

func TestFirstOperator(t *testing.T) {
	w := newWorld()
	w.cheaply()
	h := w.handler.(*Handler)
	state := decode[SessionState](t, w.browse(t, "", "GET /v1/session", ""), 200)
	if diff := cmp.Diff(SessionState{Setup: true, May: []string{"claim-link", "get-session", "sign-in", "sign-out"}}, state); diff != "" {
		t.Errorf("the state at first (-want +got):\n%s", diff)
	}
	link, err := h.FirstLink(t.Context())
	base, token, _ := strings.Cut(link, "#")
	if err != nil || base != "/welcome" || len(token) != 43 {
		t.Fatalf("FirstLink = %q, %v", link, err)
	}
	claim := func(email, password string) *httptest.ResponseRecorder {
		return w.browse(t, "", "POST /v1/session/claim", fmt.Sprintf(`{"token":%q,"email":%q,"name":" Mia ","password":%q}`, token, email, password))
	}
	for _, tt := range []struct{ email, password, field string }{
		{"", goodPassword, "body.email"}, {"mia", goodPassword, "body.email"}, {"Mia <mia@example.com>", goodPassword, "body.email"},
		{"mia@example.com", "too short", "body.password"}, {"mia@example.com", strings.Repeat("é", 201), "body.password"}, {"mia@example.com", "Password123", "body.password"},
		{"mia@example.com", "!!!!!!!!!!!!", "body.password"}, {"longer@example.com", "Longer@example.com", "body.password"},
	} {
		if p := decode[Problem](t, claim(tt.email, tt.password), 422); len(p.Errors) != 1 || p.Errors[0].Field != tt.field {
			t.Errorf("claim by %q with %q: %+v, want a fault of %s", tt.email, tt.password, p, tt.field)
		}
	}
	rec := claim(" Mia@Example.com", goodPassword)
	state = decode[SessionState](t, rec, 201)
	if m := state.Member; !state.SignedIn || m == nil || m.Email != "mia@example.com" || m.Name != "Mia" || m.Role != carom.RoleOperator || !m.HasPassword || len(state.May) < 50 {
		t.Errorf("after the claim: %+v", state)
	}
	cookie := rec.Result().Cookies()[0]
	want := http.Cookie{Name: "carom", Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: 30 * 24 * 3600, Value: cookie.Value, Raw: cookie.Raw}
	if diff := cmp.Diff(want, *cookie); diff != "" || len(cookie.Value) != 43 {
		t.Errorf("the cookie (-want +got):\n%s", diff)
	}
	r := w.request(t, "", "GET /v1/session", "")
	r.AddCookie(cookie)
	if state := decode[SessionState](t, w.serve(r), 200); !state.SignedIn || state.Setup {
		t.Errorf("with the cookie: %+v", state)
	}
	if p := decode[Problem](t, claim("eve@example.com", goodPassword), 404); !strings.Contains(p.Detail, "it was used") {
		t.Errorf("the second claim: %s", p.Detail)
	}
	if link, err := h.FirstLink(t.Context()); err != nil || link != "" {
		t.Errorf("FirstLink with a member = %q, %v", link, err)
	}
	if p := decode[Problem](t, w.ask(t, "", "POST /v1/setup-link", ""), 409); !strings.Contains(p.Detail, "carom members link") {
		t.Errorf("a set-up link with a member: %s", p.Detail)
	}
	for _, secret := range []string{token, cookie.Value, goodPassword, string(w.store.members[0].Password)} {
		if strings.Contains(w.log.String(), secret) || strings.Contains(fmt.Sprint(w.store.audit), secret) {
			t.Errorf("the log or the audit log shows %q", secret)
		}
	}
}

// signUp gives a member a password.
func (w *world) signUp(t *testing.T, m carom.Member, password string) {
	t.Helper()
	hash, err := w.handler.(*Handler).s.passwords.hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	w.store.members[w.store.at(m.ID)].Password = hash
}

func TestSignIn(t *testing.T) {
	w := newWorld()
	w.cheaply()
	m := w.join("mia", carom.RoleViewer, "")
	w.signUp(t, m, "Caffè with four words")
	w.join("new", carom.RoleViewer, "") // without a password
	off := w.join("off", carom.RoleViewer, "")
	w.signUp(t, off, goodPassword)
	w.store.members[2].Disabled = true
	var texts []string
	for _, body := range []string{
		signInBody(m.Email, "wrong"), signInBody("eve@example.com", "wrong"), signInBody("no address", "wrong"), signInBody("new@example.com", ""),
		signInBody(off.Email, goodPassword), signInBody(m.Email, strings.Repeat("x", 900)), signInBody(m.ID, "Caffè with four words"),
	} {
		rec := w.browse(t, "", "POST /v1/session", body)
		p := decode[Problem](t, rec, 401)
		texts = append(texts, p.Detail)
		if p.Detail != texts[0] || len(rec.Result().Cookies()) > 0 {
			t.Errorf("%s is answered %q with %d cookies", body, p.Detail, len(rec.Result().Cookies()))
		}
	}
	// The accent may be one character or two.
	state := decode[SessionState](t, w.browse(t, "", "POST /v1/session", signInBody(" MIA@example.com ", "Caffe\u0300 with four words")), 200)
	if !state.SignedIn || state.Member.Role != carom.RoleViewer {
		t.Errorf("signed in: %+v", state)
	}
	var log []string
	for _, e := range w.store.audit {
		log = append(log, fmt.Sprintf("%s by %s %q of %s: %s %d from %s", e.Action, e.Actor.Kind, e.Actor.Name, e.Object, e.Outcome, e.Status, e.Address))
	}
	want := []string{
		`sign-in by nobody "mia" of member/mbr_mia: refused 401 from 192.0.2.1`,
		`sign-in by nobody "eve@example.com" of : refused 401 from 192.0.2.1`,
		`sign-in by nobody "" of : refused 401 from 192.0.2.1`,
		`sign-in by nobody "new" of member/mbr_new: refused 401 from 192.0.2.1`,
		`sign-in by nobody "off" of member/mbr_off: refused 401 from 192.0.2.1`,
		`sign-in by nobody "mia" of member/mbr_mia: refused 401 from 192.0.2.1`,
		`sign-in by nobody "" of : refused 401 from 192.0.2.1`,
		`sign-in by member "mia" of member/mbr_mia: done 200 from 192.0.2.1`,
	}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}

func TestSignInTooOften(t *testing.T) {
	w := newWorld()
	w.cheaply()
	m := w.join("mia", carom.RoleViewer, "")
	w.signUp(t, m, goodPassword)
	try := func(address, email, password string) *httptest.ResponseRecorder {
		r := w.request(t, "", "POST /v1/session", signInBody(email, password))
		r.RemoteAddr = address
		return w.serve(r)
	}
	for range 20 { // who succeeds is not counted
		decode[SessionState](t, try("192.0.2.1:1", m.Email, goodPassword), 200)
	}
	for i := range 10 {
		decode[Problem](t, try("192.0.2.1:1", fmt.Sprint(i, "@example.com"), "wrong"), 401)
	}
	rec := try("192.0.2.1:1", m.Email, goodPassword)
	if decode[Problem](t, rec, 429); rec.Header().Get("Retry-After") != "30" {
		t.Errorf("Retry-After: %q, want 30", rec.Header().Get("Retry-After"))
	}
	decode[SessionState](t, try("192.0.2.2:1", m.Email, goodPassword), 200) // somebody else
	for i := range 10 {                                                     // all of one /64
		decode[Problem](t, try(fmt.Sprintf("[2001:db8::%d]:1", i), fmt.Sprint(i, "@example.com"), "wrong"), 401)
	}
	decode[Problem](t, try("[2001:db8::99]:1", m.Email, goodPassword), 429)
	for i := range 30 { // one account, from everywhere
		decode[Problem](t, try(fmt.Sprintf("198.51.100.%d:1", i), m.Email, "wrong"), 401)
	}
	decode[Problem](t, try("198.51.100.99:1", m.Email, goodPassword), 429)
	if done, refused := 21, 10+10+30; len(w.store.audit) != done+refused { // no caller has had more than its bound
		t.Errorf("the audit log has %d entries, want %d", len(w.store.audit), done+refused)
	}
}

func TestSessionCookieAndOrigins(t *testing.T) {
	w := newWorld()
	m := w.join("mia", carom.RoleOperator, "")
	w.cheaply()
	w.signUp(t, m, goodPassword)
	route, body := "POST /v1/endpoints/shop/backend/pause", ""
	tests := []struct {
		name   string
		change func(r *http.Request)
		want   int
	}{
		{"as the dashboard asks", func(*http.Request) {}, 204},
		{"from the same origin", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Origin", "http://example.com")
		}, 204},
		{"from another site", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		{"from another site of the same domain", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		{"from another origin, of an old browser", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		{"without the header", func(r *http.Request) { r.Header.Del(requestHeader) }, 403},
		{"with another session", func(r *http.Request) { r.Header.Set("Cookie", plainCookie+"="+tokenOf("eve")) }, 401},
		{"with what is no session", func(r *http.Request) { r.Header.Set("Cookie", plainCookie+"=x") }, 401},
		{"with the name of HTTPS", func(r *http.Request) { r.Header.Set("Cookie", secureCookie+"="+tokenOf("mia")) }, 204},
		{"with a key that counts less", func(r *http.Request) { r.Header.Set("Authorization", "Bearer read") }, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := w.request(t, "mia", route, body)
			tt.change(r)
			if rec := w.serve(r); rec.Code != tt.want {
				t.Errorf("status %d, want %d; body: %s", rec.Code, tt.want, rec.Body)
			}
		})
	}
	t.Run("signing in from another site", func(t *testing.T) {
		r := w.request(t, "", "POST /v1/session", signInBody(m.Email, goodPassword))
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		decode[Problem](t, w.serve(r), 403)
	})
	t.Run("behind a proxy that ends TLS", func(t *testing.T) {
		r := w.request(t, "", "POST /v1/session", signInBody(m.Email, goodPassword))
		r.Header.Set("X-Forwarded-Proto", "https")
		rec := w.serve(r)
		decode[SessionState](t, rec, 200)
		if c := rec.Result().Cookies()[0]; c.Name != "__Host-carom" || !c.Secure || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %s", c.Raw)
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	w := newWorld()
	w.cheaply()
	m := w.join("mia", carom.RoleOperator, "")
	w.signUp(t, m, goodPassword)
	w.join("bo", carom.RoleOperator, "")
	rec := w.browse(t, "mia", "DELETE /v1/session", "")
	if c := rec.Result().Cookies(); rec.Code != 204 || len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("sign out: %d with the cookies %v", rec.Code, c)
	}
	decode[Problem](t, w.browse(t, "mia", "GET /v1/events", ""), 401)
	if state := decode[SessionState](t, w.browse(t, "mia", "GET /v1/session", ""), 200); state.SignedIn {
		t.Errorf("signed out: %+v", state)
	}
	if rec := w.browse(t, "", "DELETE /v1/session", ""); rec.Code != 204 {
		t.Errorf("sign out without a session: %d %s", rec.Code, rec.Body)
	}

	in := decode[SessionState](t, w.browse(t, "", "POST /v1/session", signInBody(m.Email, goodPassword)), 200)
	if !in.SignedIn {
		t.Fatal("not signed in again")
	}
	if rec := w.browse(t, "bo", "PUT /v1/members/mia@example.com", `{"email":"mia@example.com","role":"operator","disabled":true}`); rec.Code != 200 {
		t.Fatalf("disable: %d %s", rec.Code, rec.Body)
	}
	if len(w.store.sessions) != 1 {
		t.Errorf("a disabled member has sessions: %+v", w.store.sessions)
	}
}

// Of two operators who change a member at the same time, the one who has not seen the other's change is told.
func TestMemberChangedMeanwhile(t *testing.T) {
	w := newWorld()
	w.join("mia", carom.RoleOperator, "")
	w.join("bo", carom.RoleViewer, "")
	tag := w.browse(t, "mia", "GET /v1/members/bo@example.com", "").Header().Get("ETag")
	change := func(ifMatch, body string) *httptest.ResponseRecorder {
		r := w.request(t, "mia", "PUT /v1/members/bo@example.com", body)
		r.Header.Set("If-Match", ifMatch)
		return w.serve(r)
	}
	first := change(tag, `{"email":"bo@example.com","name":"Bo","role":"support"}`)
	decode[Member](t, first, 200)
	if next := first.Header().Get("ETag"); next == tag || next != w.browse(t, "mia", "GET /v1/members/bo@example.com", "").Header().Get("ETag") {
		t.Errorf("the tag was %s, and is %s after the change", tag, next)
	}
	second := decode[Problem](t, change(tag, `{"email":"bo@example.com","name":"Bob","role":"viewer"}`), 412)
	if !strings.Contains(second.Detail, "read it again") || w.store.members[1].Name != "Bo" {
		t.Errorf("the second change is answered %q, and the member is %+v", second.Detail, w.store.members[1])
	}
	decode[Member](t, change(first.Header().Get("ETag"), `{"email":"bo@example.com","name":"Bob","role":"support"}`), 200)
	decode[Member](t, change("*", `{"email":"bo@example.com","name":"Bobby","role":"support"}`), 200)
	decode[Member](t, change("", `{"email":"bo@example.com","role":"support"}`), 200)
	w.store.beforeChange = func() { w.store.members[1].Name = "Robert" } // on another node, at this moment
	decode[Problem](t, change("", `{"email":"bo@example.com","role":"viewer"}`), 412)
	if w.store.members[1].Role != carom.RoleSupport {
		t.Errorf("the change got lost: %+v", w.store.members[1])
	}
}

// A feed that goes on ends within seconds when whoever opened it is signed out.
func TestFeedEndsWithItsSession(t *testing.T) {
	w := newWorld()
	w.join("mia", carom.RoleViewer, "")
	ended := make(chan struct{})
	go func() {
		w.browse(t, "mia", "GET /v1/tail", "")
		close(ended)
	}()
	if err := w.store.EndSession(t.Context(), sha256.Sum256([]byte(tokenOf("mia")))); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the feed goes on without a session")
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld()
	w.cheaply()
	m := w.join("mia", carom.RoleSupport, "")
	w.signUp(t, m, goodPassword)
	other := w.store.sessions[0]
	other.Sum[0]++
	w.store.sessions = append(w.store.sessions, other)
	change := func(current, next string) *httptest.ResponseRecorder {
		return w.browse(t, "mia", "PUT /v1/session/password", fmt.Sprintf(`{"current":%q,"new":%q}`, current, next))
	}
	decode[Problem](t, change("wrong", "another of four words"), 422)
	decode[Problem](t, change(goodPassword, "short"), 422)
	if rec := change(goodPassword, "another of four words"); rec.Code != 204 {
		t.Fatalf("change: %d %s", rec.Code, rec.Body)
	}
	if len(w.store.sessions) != 1 || w.store.sessions[0].Sum == other.Sum {
		t.Errorf("the sessions left: %+v", w.store.sessions)
	}
	decode[Problem](t, w.browse(t, "", "POST /v1/session", signInBody(m.Email, goodPassword)), 401)
	decode[SessionState](t, w.browse(t, "", "POST /v1/session", signInBody(m.Email, "another of four words")), 200)
	decode[Problem](t, w.ask(t, "admin", "PUT /v1/session/password", `{"current":"x","new":"y"}`), 403)
}

// The real cost, and that hashes of another cost still match.
func TestPasswordHash(t *testing.T) {
	p := newPasswords()
	hash, err := p.hash(t.Context(), goodPassword)
	if err != nil || !strings.HasPrefix(string(hash), "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Fatalf("hash = %s, %v", string(hash), err)
	}
	p.cost = hashCost{memory: 8, passes: 1, threads: 1}
	cheap, err := p.hash(t.Context(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		hash     carom.Masked
		password string
		want     bool
	}{{hash, goodPassword, true}, {hash, goodPassword + " ", false}, {cheap, goodPassword, true}, {"", "", false}, {"", goodPassword, false}} {
		if got, err := p.matches(t.Context(), tt.hash, tt.password); err != nil || got != tt.want {
			t.Errorf("matches(%s, %q) = %v, %v, want %v", string(tt.hash), tt.password, got, err, tt.want)
		}
	}
	for _, broken := range []carom.Masked{"plain", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$", "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$?"} {
		if ok, err := p.matches(t.Context(), broken, ""); ok || err == nil {
			t.Errorf("matches of %s: %v, %v", string(broken), ok, err)
		}
	}
	p.waiting.Store(hashesWaiting)
	if _, err := p.hash(t.Context(), goodPassword); err == nil || !strings.Contains(err.Error(), "too many people") {
		t.Errorf("with as many waiting as may: %v", err)
	}
}
