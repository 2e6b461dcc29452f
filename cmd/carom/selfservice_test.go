package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"carom/internal/api"
	"carom/internal/caromtest"

	"github.com/google/go-cmp/cmp"
)

// TestSamplesOfSelfService sends the requests of docs/self-service.md in their order, as a publisher with a link, and compares the
// answers with those shown. The publisher's server is on this machine: between saving and testing, the operator lets carom reach it.
func TestSamplesOfSelfService(t *testing.T) {
	receiver := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: "publishers: { acme: { title: Acme } }"})
	made := carom1(t, "", "link", "acme", "--for", "7d", "--data", s.Data)
	link := regexp.MustCompile(`(?m)^http://\S+/setup#(cps_\S+)$`).FindStringSubmatch(made.out)
	if made.code != exitOK || link == nil || strings.Contains(s.Log(), link[1]) {
		t.Fatalf("carom link: %d %s%s", made.code, made.out, made.errOut)
	}
	admin := s.Key(t, "admin", "")
	var saved api.SavedEndpoint
	var tested api.TestResult
	sent := 0
	for _, sample := range samples(t) {
		if sample.page != "docs/self-service.md" {
			continue
		}
		for _, c := range sample.commands() {
			if c.program() != "curl" {
				continue
			}
			if strings.Contains(strings.Join(c.words, " "), "/test") {
				letIn(t, s, receiver.URL, saved.SigningSecret)
			}
			for i, word := range c.words {
				c.words[i] = strings.NewReplacer("http://127.0.0.1:8080", s.URL, "$KEY", link[1], "$ADMIN", admin).Replace(word)
			}
			got := curl(t, c.words)
			sent++
			if strings.Contains(got, `"type":"about:blank"`) || !json.Valid([]byte(got)) {
				t.Errorf("%s: %s", sample, got)
			}
			if diff := cmp.Diff(alike(c.output), alike(got)); diff != "" && c.output != "" {
				t.Errorf("%s: the answer (-want +got):\n%s", sample, diff)
			}
			var err error
			switch {
			case strings.Contains(got, `"saved"`):
				err = json.Unmarshal([]byte(got), &saved)
			case strings.Contains(got, `"verdict"`):
				err = json.Unmarshal([]byte(got), &tested)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if sent != 7 || saved.SigningSecret == "" || !saved.Signed {
		t.Errorf("%d requests were sent; saved %+v", sent, saved)
	}
	if tested.Verdict != "delivered" || !tested.Verified || tested.Answer == nil || tested.Answer.Status != 200 {
		t.Errorf("the test: %+v", tested)
	}
	arrived := receiver.Wait(t, "/postback", 1)
	if q := arrived[0].Query; len(arrived) != 1 || !strings.Contains(q, "user=carom-test-") || !strings.Contains(q, "&event=click&value=valued&test=1&sig=") {
		t.Errorf("the publisher's server got %d requests, the first %s", len(arrived), q)
	}
	// Nothing of it was an event, and nobody but a publisher's own key or link gets in.
	var events api.EventList
	s.Get(t, "/v1/events", &events)
	if len(events.Events) != 0 {
		t.Errorf("a test became an event: %+v", events)
	}
	if a := caromtest.Do(t, "GET", s.URL+"/v1/objects", "", "Authorization", "Bearer "+link[1]); a.Status != 403 {
		t.Errorf("the link opens what is the operator's: %d %s", a.Status, a.Body)
	}
	key := carom1(t, "", "keys", "create", "--name", "panel", "--scope", "publisher", "--publisher", "acme", "--data", s.Data)
	text, _, _ := strings.Cut(key.out, "\n")
	if a := caromtest.Do(t, "GET", s.URL+"/v1/publishers/acme", "", "Authorization", "Bearer "+text); a.Status != 200 || !strings.Contains(a.Body, "show_100001") {
		t.Errorf("the key: %d %s", a.Status, a.Body)
	}
	if list := carom1(t, "", "keys", "list", "--data", s.Data); !strings.Contains(list.out, "(of acme)") {
		t.Errorf("keys list: %s", list.out)
	}
}

// letIn has the operator turn the publisher's endpoint to a server on this machine.
func letIn(t *testing.T, s *caromtest.Server, receiver, secret string) {
	t.Helper()
	s.Apply(t, fmt.Sprintf(`
publishers: { acme: { title: Acme } }
apps:
  studio:
    publisher: acme
    zones: { "100001": { sub_zones: { rewarded_interstitial: "100002" } } }
    endpoints:
      backend:
        url: "%s/postback?user={ymid}&event={event_type}&value={reward_event_type}&test={test}&sig={signature}"
        allow_private: true
        signing_secret: %s
`, receiver, secret))
}
