package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/network"
)

// ask sends JSON through the local socket, and reads the answer, which has to have the status.
func ask[T any](t *testing.T, s *caromtest.Server, method, path, body string, status int) T {
	t.Helper()
	a := s.Local(t, method, path, body, "Content-Type", "application/json")
	var out T
	if err := json.Unmarshal([]byte(a.Body), &out); a.Status != status || err != nil {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, a.Status, status, a.Body)
	}
	return out
}

// A person who has nothing yet connects an app, sees a test come through, and then a postback that counts.
func TestQuickstartOnTheServer(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{})
	made := ask[api.Connected](t, s, "POST", "/v1/quickstart", `{"network":"monetag","app":"shop","backend":"`+endpoint.URL+`/p?u={ymid}&test={test}"}`, http.StatusOK)
	if !made.ShownOnce || len(made.Changes) != 3 {
		t.Fatalf("made %+v", made)
	}
	health := ask[api.SourceHealth](t, s, "GET", "/v1/sources/shop/monetag/health", "", http.StatusOK)
	if health.State != "waiting" {
		t.Errorf("before anything came: %+v", health)
	}
	ask[api.Saved[api.AppObject]](t, s, "PUT", "/v1/apps/shop", `{"currencies":{"coins":0}}`, http.StatusOK)
	ask[api.Saved[api.RuleObject]](t, s, "PUT", "/v1/rules/shop/watch", `{"price":{"fixed":"5","currency":"coins"}}`, http.StatusCreated)

	wrong := ask[api.SourceTested](t, s, "POST", "/v1/sources/shop/monetag/test", `{"url":"/in/shop/monetag/an-older-secret"}`, http.StatusOK)
	if wrong.Outcome != "unverified" || wrong.Answer.Status != http.StatusForbidden {
		t.Errorf("with another secret: %+v", wrong)
	}
	caromtest.Until(t, "the sample of the door", func() bool {
		health = ask[api.SourceHealth](t, s, "GET", "/v1/sources/shop/monetag/health", "", http.StatusOK)
		return health.State == "refused" && health.LastUnverified != nil
	})

	tested := ask[api.SourceTested](t, s, "POST", "/v1/sources/shop/monetag/test", `{"url":"`+made.URL+`","ymid":"trial"}`, http.StatusOK)
	if tested.Outcome != "accepted" || tested.Answer.Body != "OK" || !strings.Contains(tested.Words, "marked as a test") {
		t.Errorf("tested %+v", tested)
	}
	story := s.Ends(t, "trial")
	if !slices.Contains(story.Event.Flags, "test") || len(story.Decided) != 0 {
		t.Errorf("a test is %v, and earned %+v", story.Event.Flags, story.Decided)
	}
	if sent := endpoint.Wait(t, "/p", 1); sent[0].Query != "u=trial&test=1" {
		t.Errorf("the backend got %s", sent[0].Query)
	}

	where, _, _ := strings.Cut(made.URL, "?")
	if a := caromtest.Do(t, "GET", s.URL+where[strings.Index(where, "/in/"):]+"?ymid=earnest&event_type=click&reward_event_type=valued&telegram_id=7", ""); a.Status != http.StatusOK {
		t.Fatalf("a postback was answered %d", a.Status)
	}
	if story := s.Ends(t, "earnest"); len(story.Decided) != 1 || story.Decided[0].State != "granted" {
		t.Errorf("a postback earned %+v", story.Decided)
	}
	if health = ask[api.SourceHealth](t, s, "GET", "/v1/sources/shop/monetag/health", "", http.StatusOK); health.State != "verified" || health.FirstVerifiedAt.IsZero() {
		t.Errorf("at last: %+v", health)
	}
}

// Every network is connected over the API, and a test of it comes through the door; where only the network can sign, that is said.
func TestQuickstartOfEveryNetworkOnTheServer(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Config: func(c *config.Config) { c.BaseURL = "https://carom.example.com" }})
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range profiles {
		key := ""
		if p.NeedsNetworkSecret() {
			key = `,"key":"what-the-network-shows-12"`
		}
		made := ask[api.Connected](t, s, "POST", "/v1/quickstart", `{"network":"`+name+`","app":"`+name+`"`+key+`}`, http.StatusOK)
		body := `{"url":"` + made.URL + `"}`
		if name == "admob" || name == "standardwebhooks" {
			ask[api.Problem](t, s, "POST", "/v1/sources/"+made.Source+"/test", body, http.StatusConflict)
			continue
		}
		if tested := ask[api.SourceTested](t, s, "POST", "/v1/sources/"+made.Source+"/test", body, http.StatusOK); tested.Outcome != "accepted" || tested.Answer.Status/100 != 2 {
			t.Errorf("%s: %+v", name, tested)
		}
	}
}

// What is stored by one request is what the next start finds, with its secrets.
func TestObjectsOutliveARestart(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{})
	ask[api.Saved[api.AppObject]](t, s, "PUT", "/v1/apps/shop", `{"telegram":{"bot_token":"42:AAF-made-up-token-of-the-tests_0123456"}}`, http.StatusCreated)
	made := ask[api.Saved[api.SourceObject]](t, s, "PUT", "/v1/sources/shop/monetag", `{"profile":"monetag"}`, http.StatusCreated)
	ask[api.Saved[api.EndpointObject]](t, s, "PUT", "/v1/endpoints/shop/backend",
		`{"url":"https://shop.example/p","method":"POST","signing_secret":"a-signing-secret-of-the-shop","headers":{"Authorization":"Bearer x"}}`, http.StatusCreated)
	tags := func() (tags []string) {
		for _, path := range []string{"/v1/apps/shop", "/v1/sources/shop/monetag", "/v1/endpoints/shop/backend"} {
			tags = append(tags, s.Local(t, "GET", path, "").Header.Get("ETag"))
		}
		return tags
	}
	before := tags()
	s.Restart(t)
	if after := tags(); !slices.Equal(before, after) || slices.Contains(after, "") {
		t.Errorf("the ETags were %v and are %v", before, after)
	}
	where, _, _ := strings.Cut(made.Made.URL, "?")
	if a := caromtest.Do(t, "GET", s.URL+where[strings.Index(where, "/in/"):]+"?ymid=u&event_type=click", ""); a.Status != http.StatusOK {
		t.Errorf("the URL that was shown is answered %d", a.Status)
	}
}
