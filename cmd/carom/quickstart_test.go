package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"
	"carom/internal/config"
	"carom/internal/network"

	"github.com/google/go-cmp/cmp"
)

func TestQuickstart(t *testing.T) {
	story := encode(t, sampleStory())
	answers := map[string]string{
		"POST /v1/quickstart":                      `{"app":"shop","source":"shop/monetag","url":"http://127.0.0.1:1/in/shop/monetag/s3cret?ymid={ymid}&event_type={event_type}&reward_event_type={reward_event_type}","shown_once":true,"lines":"apps: {}\n"}`,
		"GET /in/shop/monetag/s3cret":              "OK",
		"GET /v1/events":                           `{"events":[{"id":"evt_0c5g21r0000010000000k"}]}`,
		"GET /v1/events/evt_0c5g21r0000010000000k": story,
	}
	t.Run("three answers", func(t *testing.T) {
		s := &fakeServer{t: t, answers: answers}
		r := s.caromAnswering("https://shop.example/p?uid={ymid}&event={event_type}\n\nuser\ny\n", "quickstart", "monetag", "--app", "shop", "--base-url", "http://127.0.0.1:1")
		if len(s.asked) != 6 {
			t.Fatalf("asked %v\n%s", s.asked, r.errOut)
		}
		want := api.Quickstart{Network: "monetag", App: "shop", BaseURL: "http://127.0.0.1:1", Template: "https://shop.example/p?uid={ymid}&event={event_type}",
			Backend: "https://shop.example/p?uid={ymid}&event={event_type}", YMID: "user"}
		for i, dryRun := range []string{"true", "false"} {
			var got api.Quickstart
			if err := json.Unmarshal([]byte(s.bodies[i+1]), &got); err != nil || !strings.HasSuffix(s.asked[i+1], "dry_run="+dryRun) {
				t.Errorf("request %d is %s: %v", i+1, s.asked[i+1], err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
		}
		if !strings.Contains(r.errOut, "http://127.0.0.1:1/in/shop/monetag/s3cret?ymid={ymid}&event_type={event_type}") {
			t.Errorf("the URL to enter is missing in:\n%s", r.errOut)
		}
	})
	t.Run("flags alone", func(t *testing.T) {
		s := &fakeServer{t: t, answers: answers}
		r := s.carom("quickstart", "monetag", "--yes", "--app", "shop", "--backend", "http://127.0.0.1:3000/postback")
		var door string
		for _, a := range s.asked {
			if strings.HasPrefix(a, "GET /in/") {
				door = a
			}
		}
		if !strings.HasPrefix(door, "GET /in/shop/monetag/s3cret?ymid=test-") || !strings.Contains(door, "&event_type=click&reward_event_type=valued") {
			t.Errorf("the test postback was %q; output:\n%s%s", door, r.out, r.errOut)
		}
		if r.code != exitProblem || !strings.Contains(r.out, "Delivery to shop/backend") || !strings.Contains(r.errOut, "carom resume shop/tracker") {
			t.Errorf("code %d; a pending delivery is a problem:\n%s%s", r.code, r.out, r.errOut)
		}
	})
	t.Run("it exists already", func(t *testing.T) {
		s := &fakeServer{t: t, answers: map[string]string{"GET /v1/sources/shop/monetag": `{"app":"shop","name":"monetag","profile":"monetag"}`}}
		if r := s.carom("quickstart", "monetag", "--yes", "--app", "shop", "--backend", "http://127.0.0.1/"); r.code != 1 || !strings.Contains(r.errOut, "carom rotate shop/monetag") {
			t.Errorf("code %d: %s", r.code, r.errOut)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		s := &fakeServer{t: t, answers: answers}
		if r := s.carom("quickstart", "monetag"); r.code != 2 || !strings.Contains(r.errOut, "--template") {
			t.Errorf("code %d: %s", r.code, r.errOut)
		}
	})
}

// Every network that carom knows is connected by one command, tried out as the network would call, and its event reaches the
// backend; where only the network can sign, that is said.
func TestQuickstartOfEveryNetwork(t *testing.T) {
	endpoint := caromtest.NewEndpoint(t)
	server := caromtest.Start(t, caromtest.Options{Config: func(c *config.Config) { c.BaseURL = "https://carom.example.com" }})
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "network.key")
	if err := os.WriteFile(key, []byte("what-the-network-shows-12\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, p := range profiles {
		t.Run(name, func(t *testing.T) {
			args := []string{"quickstart", name, "--yes", "--app", name, "--backend", endpoint.URL + "/" + name, "--data", server.Data}
			if p.NeedsNetworkSecret() {
				args = append(args, "--key-file", key)
			}
			r := carom1(t, "", args...)
			if r.code != exitOK {
				t.Fatalf("code %d\n%s%s", r.code, r.out, r.errOut)
			}
			if strings.Contains(r.out+r.errOut, "what-the-network-shows") {
				t.Errorf("the key is shown:\n%s", r.errOut)
			}
			if name == "admob" || name == "standardwebhooks" {
				if !strings.Contains(r.errOut, "itself can send what verifies here") {
					t.Errorf("it does not say that only the network can test:\n%s", r.errOut)
				}
				return
			}
			if !strings.Contains(r.errOut, "It works") || len(endpoint.Sent("/"+name)) != 1 {
				t.Errorf("the test did not reach the backend:\n%s%s", r.out, r.errOut)
			}
			if sent := endpoint.Sent("/" + name); len(sent) == 1 && p.Template == "" && !strings.Contains(sent[0].Query, "test-") {
				t.Errorf("the backend got %q, without the id", sent[0].Query)
			}
		})
	}
	t.Run("the key comes later", func(t *testing.T) {
		args := []string{"quickstart", "unityads", "--yes", "--app", "later", "--data", server.Data}
		r := carom1(t, "", append(args, "--backend", endpoint.URL+"/later")...)
		if r.code != exitOK || !strings.Contains(r.errOut, "carom quickstart unityads --app later --key-file") || strings.Contains(r.errOut, "It works") {
			t.Fatalf("code %d\n%s%s", r.code, r.out, r.errOut)
		}
		r = carom1(t, "", append(args, "--key-file", key)...)
		if r.code != exitOK || !strings.Contains(r.errOut, "The key is entered") || !strings.Contains(r.errOut, "It works") || len(endpoint.Sent("/later")) != 1 {
			t.Errorf("code %d\n%s%s", r.code, r.out, r.errOut)
		}
	})
	t.Run("today's URL", func(t *testing.T) {
		r := carom1(t, "", "quickstart", "levelplay", "--yes", "--app", "today", "--key-file", key, "--data", server.Data,
			"--template", endpoint.URL+"/today?who=[USER_ID]&coins=[REWARDS]&id=[EVENT_ID]&k=abc")
		sent := endpoint.Sent("/today")
		if r.code != exitOK || len(sent) != 1 || !strings.HasPrefix(sent[0].Query, "who=test-") || !strings.Contains(sent[0].Query, "&coins=1&id=test-") || !strings.HasSuffix(sent[0].Query, "&k=abc") {
			t.Errorf("code %d, sent %+v\n%s%s", r.code, sent, r.out, r.errOut)
		}
	})
	for _, tt := range []struct{ args, says string }{
		{"nothing --yes", "carom networks"},
		{"unityads --yes --backend http://127.0.0.1/x --template http://127.0.0.1/x?a={b}", "has no macros"},
		{"monetag --yes --backend http://127.0.0.1/x --key-file " + key, "has no key"},
		{"unityads --yes --backend http://127.0.0.1/x --key-file /nowhere", "/nowhere"},
	} {
		if r := carom1(t, "", append(append([]string{"quickstart"}, strings.Fields(tt.args)...), "--data", server.Data)...); r.code != exitUsage || !strings.Contains(r.errOut, tt.says) {
			t.Errorf("%s: code %d, %q is missing in: %s", tt.args, r.code, tt.says, r.errOut)
		}
	}
}
