package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"carom/internal/caromtest"
	"carom/receiver"
)

// A publisher sets everything up from nothing, through the API alone. Its server hears of it once: the test.
func TestPublisherSetsUpFromNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards requests
	var requests []*http.Request
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r.Clone(r.Context()))
		_, _ = w.Write([]byte("thanks")) // the test sees what is missing
	}))
	defer backend.Close()

	s := caromtest.Start(t, caromtest.Options{})
	// The operator's part: that there is a publisher, of the house because its server is on this machine, and a link for it.
	operator := func(method, path, body string) caromtest.Answer {
		t.Helper()
		a := s.Local(t, method, path, body, "Content-Type", "application/json")
		if a.Status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
		}
		return a
	}
	operator("PUT", "/v1/publishers/acme", `{"title": "Acme", "allow_private": true}`)
	var link struct{ URL, Token string }
	decode(t, operator("POST", "/v1/publishers/acme/links", `{"for": "1h"}`), &link)
	if !strings.HasSuffix(link.URL, "/setup#"+link.Token) {
		t.Errorf("the link is %s", link.URL)
	}

	// From here on it is the publisher alone.
	publisher := func(want int, method, path, body string) caromtest.Answer {
		t.Helper()
		a := caromtest.Do(t, method, s.URL+"/v1/publishers/acme"+path, body, "Authorization", "Bearer "+link.Token, "Content-Type", "application/json")
		if a.Status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, a.Status, a.Body, want)
		}
		return a
	}
	publisher(200, "PUT", "/apps/quiz", `{"title": "Quiz", "origins": ["https://quiz.example"]}`)
	var zone struct {
		ID       string            `json:"id"`
		SubZones map[string]string `json:"sub_zones"`
		Snippet  string            `json:"snippet"`
	}
	decode(t, publisher(201, "POST", "/apps/quiz/zones", `{"title": "Bonus"}`), &zone)
	if len(zone.SubZones) != 3 || !strings.Contains(zone.Snippet, `data-zone="`+zone.ID+`" data-sdk="show_`+zone.ID+`"`) {
		t.Errorf("the zone is %+v", zone)
	}
	wrong := publisher(200, "POST", "/preview", `{"app": "quiz", "url": "`+backend.URL+`/pb?user={ymld}&event={event_type}"}`)
	if !strings.Contains(wrong.Body, "did you mean {ymid}?") {
		t.Errorf("the preview does not name the nearest macro: %s", wrong.Body)
	}
	publisher(422, "PUT", "/endpoints/quiz/backend", `{"url": "`+backend.URL+`/pb?user={ymld}"}`)
	good := backend.URL + `/pb?user={ymid}&event={event_type}&value={reward_event_type}&price={estimated_price}&test={test}&sig={signature}`
	var saved struct {
		Saved         bool
		SigningSecret string `json:"signing_secret"`
		Macros        []struct{ Name, Sample string }
	}
	decode(t, publisher(200, "PUT", "/endpoints/quiz/backend", `{"url": "`+good+`", "default": true}`), &saved)
	if !saved.Saved || saved.SigningSecret == "" || len(saved.Macros) != 6 {
		t.Fatalf("saved: %+v", saved)
	}
	mu.Lock()
	if len(requests) != 0 {
		t.Errorf("its server got %d requests before the test", len(requests))
	}
	mu.Unlock()
	var tested struct {
		Verdict, Meaning string
		Verified         bool
		Answer           struct {
			Status int
			Body   string
		}
	}
	decode(t, publisher(200, "POST", "/endpoints/quiz/backend/test", `{"event_type": "impression", "reward_event_type": "valued"}`), &tested)
	if tested.Verdict != "delivered" || !tested.Verified || tested.Answer.Status != 200 || tested.Answer.Body != "thanks" {
		t.Errorf("the test came to %+v", tested)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(requests) != 1 {
		t.Fatalf("its server got %d requests, want the test alone", len(requests))
	}
	got := requests[0].URL.Query()
	if !strings.HasPrefix(got.Get("user"), "carom-test-") || got.Get("test") != "1" || got.Get("event") != "impression" || got.Get("value") != "valued" {
		t.Errorf("the test is %s", requests[0].URL)
	}
	if err := receiver.VerifyGET(requests[0].URL.RawQuery, "sig", saved.SigningSecret); err != nil {
		t.Errorf("the test's signature: %v", err)
	}
	var log struct{ Deliveries []any }
	decode(t, publisher(200, "GET", "/endpoints/quiz/backend/deliveries", ""), &log)
	if len(log.Deliveries) != 0 || len(s.Events(t, "")) != 0 {
		t.Errorf("the test counts: %d deliveries, %d events", len(log.Deliveries), len(s.Events(t, "")))
	}
}

func decode(t *testing.T, a caromtest.Answer, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), to); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
}
