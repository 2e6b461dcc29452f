package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
)

const goodPassword = "four words, no sense"

// claim uses a link up, and returns the cookie of the session that begins.
func claim(t *testing.T, base, link, email string) string {
	t.Helper()
	_, token, ok := strings.Cut(link, "/welcome#")
	if !ok {
		t.Fatalf("the link is %s", link)
	}
	a := caromtest.Do(t, "POST", base+"/v1/session/claim", fmt.Sprintf(`{"token":%q,"email":%q,"password":%q}`, token, email, goodPassword), "Content-Type", "application/json")
	if a.Status != http.StatusCreated {
		t.Fatalf("the claim of %s was answered %d %s", email, a.Status, a.Body)
	}
	return sessionOf(a)
}

// sessionOf is the cookie that an answer sets.
func sessionOf(a caromtest.Answer) string {
	cookie, _, _ := strings.Cut(a.Header.Get("Set-Cookie"), ";")
	return cookie
}

// firstOperator makes the first operator through the local socket.
func firstOperator(t *testing.T, s *caromtest.Server, base string) (cookie string) {
	t.Helper()
	var made api.MadeSetupLink
	a := s.Local(t, "POST", "/v1/setup-link", "")
	decode(t, a, &made)
	return claim(t, base, made.Link.URL, "mia@example.com")
}

// invite makes a member with a session.
func invite(t *testing.T, s *caromtest.Server, base, member, email string) (cookie string) {
	t.Helper()
	var made api.MadeMember
	a := s.Local(t, "POST", "/v1/members", member, "Content-Type", "application/json")
	if a.Status != http.StatusCreated {
		t.Fatalf("the member was answered %d %s", a.Status, a.Body)
	}
	decode(t, a, &made)
	return claim(t, base, made.Link.URL, email)
}

func asks(t *testing.T, method, url, cookie, body string) caromtest.Answer {
	t.Helper()
	return caromtest.Do(t, method, url, body, "Cookie", cookie, "Carom-Request", "1", "Content-Type", "application/json")
}

// Who signs in on one node is known on all of them; who is signed out or disabled on one is on none.
func TestPeopleOnEveryNode(t *testing.T) {
	t.Parallel()
	all := nodes(t, 2, caromtest.Monetag(""))
	first, second := all[0], all[1]
	cookie := firstOperator(t, first, first.URL)
	if a := asks(t, "GET", second.URL+"/v1/members", cookie, ""); a.Status != http.StatusOK || !strings.Contains(a.Body, "mia@example.com") {
		t.Errorf("on the other node: %d %s", a.Status, a.Body)
	}
	if a := second.Local(t, "POST", "/v1/setup-link", ""); a.Status != http.StatusConflict {
		t.Errorf("a second set-up link: %d %s", a.Status, a.Body)
	}
	viewer := invite(t, second, first.URL, `{"email":"bo@example.com","role":"viewer"}`, "")
	if a := asks(t, "GET", second.URL+"/v1/events", viewer, ""); a.Status != http.StatusOK {
		t.Errorf("the viewer on the other node: %d %s", a.Status, a.Body)
	}
	if a := asks(t, "PUT", first.URL+"/v1/members/bo@example.com", cookie, `{"email":"bo@example.com","role":"viewer","disabled":true}`); a.Status != http.StatusOK {
		t.Fatalf("disable: %d %s", a.Status, a.Body)
	}
	if a := asks(t, "GET", second.URL+"/v1/events", viewer, ""); a.Status != http.StatusUnauthorized {
		t.Errorf("the disabled viewer on the other node: %d %s", a.Status, a.Body)
	}
	if a := asks(t, "DELETE", second.URL+"/v1/session", cookie, ""); a.Status != http.StatusNoContent {
		t.Fatalf("sign out: %d %s", a.Status, a.Body)
	}
	if a := asks(t, "GET", first.URL+"/v1/events", cookie, ""); a.Status != http.StatusUnauthorized {
		t.Errorf("signed out on the other node: %d %s", a.Status, a.Body)
	}
	var log api.AuditList
	second.Get(t, "/v1/audit?action=change-member", &log)
	if len(log.Entries) != 1 || log.Entries[0].Actor.Name != "mia@example.com" || log.Entries[0].Address != "127.0.0.1" ||
		log.Entries[0].Changes[0].Field != "disabled" {
		t.Errorf("the audit log has %+v", log.Entries)
	}
}

// At the public address of a server with a private one, members of publishers sign in, and nobody else is known.
func TestPublicAddressKnowsPublishersAlone(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Private: true, Objects: "publishers: {acme: {}}\napps: {}\n"})
	var made api.MadeSetupLink
	decode(t, s.Local(t, "POST", "/v1/setup-link", ""), &made)
	if !strings.HasPrefix(made.Link.URL, "http://127.0.0.1:") {
		t.Errorf("the set-up link is %s, want one at the private address", made.Link.URL)
	}
	_, token, _ := strings.Cut(made.Link.URL, "#")
	if a := caromtest.Do(t, "POST", s.URL+"/v1/session/claim", `{"token":"`+token+`","email":"eve@example.com","password":"`+goodPassword+`"}`,
		"Content-Type", "application/json"); a.Status != http.StatusNotFound {
		t.Errorf("the set-up link at the public address: %d %s", a.Status, a.Body)
	}
	operator := claim(t, s.Private, made.Link.URL, "mia@example.com")
	publisher := invite(t, s, s.URL, `{"email":"bo@example.com","role":"publisher","publisher":"acme"}`, "")
	for _, tt := range []struct {
		name, method, url, cookie, body string
		want                            int
	}{
		{"the operator at the private address", "GET", s.Private + "/v1/status", operator, "", 200},
		{"the operator at the public one", "GET", s.URL + "/v1/status", operator, "", 404},
		{"the operator signs in there", "POST", s.URL + "/v1/session", "", `{"email":"mia@example.com","password":"` + goodPassword + `"}`, 401},
		{"the publisher at the public address", "GET", s.URL + "/v1/publishers/acme", publisher, "", 200},
		{"the publisher asks for more", "GET", s.URL + "/v1/audit", publisher, "", 403},
		{"the publisher signs in", "POST", s.URL + "/v1/session", "", `{"email":"bo@example.com","password":"` + goodPassword + `"}`, 200},
		{"nobody", "GET", s.URL + "/v1/status", "", "", 404},
		{"the document", "GET", s.URL + "/v1/openapi.json", "", "", 404},
		{"an invented session", "GET", s.URL + "/v1/status", "carom=" + strings.Repeat("x", 43), "", 404},
	} {
		if a := asks(t, tt.method, tt.url, tt.cookie, tt.body); a.Status != tt.want {
			t.Errorf("%s: %d, want %d; %s", tt.name, a.Status, tt.want, a.Body)
		}
	}
}

// Members, their passwords and sessions are kept; of passwords and sessions nothing that would let anybody in.
func TestAMemberOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{})
	cookie := firstOperator(t, s, s.URL)
	s.Restart(t)
	var state api.SessionState
	decode(t, asks(t, "GET", s.URL+"/v1/session", cookie, ""), &state)
	if !state.SignedIn || state.Setup || state.Member.Email != "mia@example.com" {
		t.Errorf("after a restart: %+v", state)
	}
	a := caromtest.Do(t, "POST", s.URL+"/v1/session", `{"email":"mia@example.com","password":"`+goodPassword+`"}`, "Content-Type", "application/json")
	if a.Status != http.StatusOK || sessionOf(a) == "" {
		t.Errorf("sign in: %d %s", a.Status, a.Body)
	}
	if s.Local(t, "GET", "/v1/audit", "").Status != http.StatusOK {
		t.Error("no audit log")
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(cookie, "=")
	for _, secret := range []string{goodPassword, token} {
		if file := holds(t, s.Data, secret); file != "" || strings.Contains(s.Log(), secret) {
			t.Errorf("%s or the log holds a secret", file)
		}
	}
}
