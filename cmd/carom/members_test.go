package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
)

func TestMembers(t *testing.T) {
	server := caromtest.Start(t, caromtest.Options{})
	run := func(want int, args ...string) result {
		t.Helper()
		r := carom1(t, "", append(args, "--data", server.Data)...)
		if r.code != want {
			t.Fatalf("carom %s ended with %d: %s%s", strings.Join(args, " "), r.code, r.out, r.errOut)
		}
		return r
	}
	if r := run(exitOK, "members", "list"); !strings.Contains(r.out, "carom setup-link") {
		t.Errorf("no members: %s", r.out)
	}
	var setup api.MadeSetupLink
	if err := json.Unmarshal([]byte(run(exitOK, "setup-link", "-o", "json").out), &setup); err != nil {
		t.Fatal(err)
	}
	if r := run(exitOK, "setup-link"); !strings.Contains(r.out, "/welcome#") || !strings.Contains(r.out, "becomes the operator. It ends at ") {
		t.Errorf("setup-link: %s", r.out)
	}
	_, token, _ := strings.Cut(setup.Link.URL, "#")
	a := caromtest.Do(t, "POST", server.URL+"/v1/session/claim", `{"token":"`+token+`","email":"mia@example.com","name":"Mia","password":"four words, no sense"}`,
		"Content-Type", "application/json")
	if a.Status != http.StatusCreated {
		t.Fatalf("claim: %d %s", a.Status, a.Body)
	}
	if r := run(exitProblem, "setup-link"); !strings.Contains(r.errOut, "carom members link") {
		t.Errorf("setup-link with a member: %s", r.errOut)
	}
	if r := run(exitOK, "members", "add", "Bo@example.com", "--role", "viewer", "--name", "Bo"); !strings.Contains(r.out, "/welcome#") ||
		!strings.Contains(r.out, "sets the password of bo@example.com (viewer)") {
		t.Errorf("add: %s", r.out)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"add", "bo@example.com", "--role", "viewer"}, "there is a member with the e-mail address bo@example.com"},
		{[]string{"add", "eve", "--role", "viewer"}, "is not an e-mail address"},
		{[]string{"add", "eve@example.com", "--role", "publisher"}, "it is not said whose member it is"},
		{[]string{"add", "eve@example.com", "--role", "publisher", "--publisher", "none"}, `there is no publisher "none"`},
		{[]string{"add", "eve@example.com", "--role", "boss"}, "role"},
		{[]string{"disable", "mia@example.com"}, "this is the last operator"},
		{[]string{"delete", "mia@example.com"}, "this is the last operator"},
		{[]string{"link", "eve@example.com"}, `there is no member "eve@example.com"`},
	} {
		if r := run(exitProblem, append([]string{"members"}, tt.args...)...); !strings.Contains(r.errOut, tt.want) {
			t.Errorf("members %s: %s", strings.Join(tt.args, " "), r.errOut)
		}
	}
	run(exitOK, "members", "disable", "bo@example.com")
	if r := run(exitProblem, "members", "link", "bo@example.com"); !strings.Contains(r.errOut, "carom members enable bo@example.com") {
		t.Errorf("a link for a disabled member: %s", r.errOut)
	}
	if r := run(exitOK, "members", "list"); !strings.Contains(r.out, "disabled") || !strings.Contains(r.out, "operator") {
		t.Errorf("list: %s", r.out)
	}
	run(exitOK, "members", "enable", "bo@example.com")
	if r := run(exitOK, "members", "list"); !strings.Contains(r.out, "invited") {
		t.Errorf("list: %s", r.out)
	}
	run(exitOK, "members", "link", "bo@example.com")
	run(exitOK, "members", "delete", "bo@example.com")
	if r := run(exitOK, "members", "list"); strings.Contains(r.out, "bo@") {
		t.Errorf("list: %s", r.out)
	}
}
