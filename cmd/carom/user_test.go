package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
)

func TestUserExportAndErase(t *testing.T) {
	endpoint := caromtest.NewEndpoint(t)
	server := caromtest.Start(t, caromtest.Options{Objects: fmt.Sprintf(nightObjects, endpoint.URL)})
	const user = "279058397"
	paid := func(ymid, user string) string {
		return "ymid=" + ymid + "&event_type=impression&reward_event_type=valued&zone_id=1&telegram_id=" + user
	}
	server.Accepted(t, paid("view-of-one", user))
	server.Accepted(t, paid("view-of-two", "42"))
	server.Ends(t, "view-of-one")
	run := func(in string, args ...string) result {
		return carom1(t, in, append(append([]string{"user"}, args...), "--data", server.Data)...)
	}
	var p api.Person
	r := run("", "export", "--app", "game", user)
	if err := json.Unmarshal([]byte(r.out), &p); err != nil || len(p.Events) == 0 || len(p.Rewards) != 1 || p.Balances[0].Amount != "5" {
		t.Fatalf("export: code %d, %v\n%s%s", r.code, err, r.out, r.errOut)
	}
	if !strings.Contains(r.out, "view-of-one") || strings.Contains(r.out, "view-of-two") {
		t.Errorf("the export is of another user:\n%s", r.out)
	}
	if r := run("n\n", "erase", "--app", "game", user, "--why", "asked for it"); r.code != exitProblem || !strings.Contains(r.out+r.errOut, "would erase") {
		t.Errorf("no: code %d\n%s%s", r.code, r.out, r.errOut)
	}
	r = run("", "erase", "--app", "game", user, "--why", "asked for it", "--yes", "-o", "json")
	var e api.Erased
	if err := json.Unmarshal([]byte(r.out), &e); err != nil || e.Rewards != 1 || e.Events == 0 || e.As == "" {
		t.Fatalf("erase: code %d, %v\n%s%s", r.code, err, r.out, r.errOut)
	}
	for _, path := range []string{"/v1/events", "/v1/rewards", "/v1/received?kind=refused"} {
		if a := server.Local(t, "GET", path, ""); strings.Contains(a.Body, user) || strings.Contains(a.Body, "view-of-one") {
			t.Errorf("%s still has the user:\n%s", path, a.Body)
		}
	}
	if a := server.Local(t, "GET", "/v1/ledger?app=game&user="+e.As, ""); !strings.Contains(a.Body, `"amount":"5"`) {
		t.Errorf("the ledger's line is gone: %s", a.Body)
	}
	if r := carom1(t, "", "check", "--ledger", "--data", server.Data); r.code != exitOK {
		t.Errorf("the ledger: %s%s", r.out, r.errOut)
	}
	server.Accepted(t, paid("view-of-one", user)) // the network repeats it
	if a := server.Local(t, "GET", "/v1/balances?app=game&user="+user, ""); strings.Contains(a.Body, `"amount"`) {
		t.Errorf("a copy paid again: %s", a.Body)
	}
	if r := run("", "erase", "--app", "game", e.As, "--why", "again", "--yes"); r.code != exitProblem || !strings.Contains(r.errOut, "erased already") {
		t.Errorf("erased twice: code %d\n%s", r.code, r.errOut)
	}
}
