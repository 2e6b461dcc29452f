package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/survey"
)

// fakeHistory knows what the receiver of endpoint 1 answered, and the events of the app shop.
type fakeHistory struct {
	since time.Time
	err   error
}

func (h *fakeHistory) NewestAttempts(_ context.Context, since time.Time, _ int) (map[int][]carom.Attempt, error) {
	h.since = since
	return map[int][]carom.Attempt{1: {{Delivery: deliveryID(1, 0), Number: 1, At: noon(), State: carom.Pending, Reason: "status 301", Method: "GET", Status: 301}}}, h.err
}

func (h *fakeHistory) NewestEvents(context.Context, int) (map[string][]*carom.Event, error) {
	return map[string][]*carom.Event{"shop": {shopStory().Event}}, h.err
}

// fakeVisitor notes whom it visits.
type fakeVisitor struct {
	mu      sync.Mutex // guards visited
	visited []string
}

func (v *fakeVisitor) Visit(_ context.Context, h survey.Host) survey.Visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.visited = append(v.visited, h.Origin)
	return survey.Visit{Status: 200, Path: "/carom-check-x"}
}

// kindsOf is what was found, by endpoint.
func kindsOf(t *testing.T, body []byte) map[string]string {
	t.Helper()
	var r survey.EndpointReport
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	found := map[string]string{}
	for _, e := range r.Endpoints {
		var kinds []string
		for _, f := range e.Findings {
			kinds = append(kinds, string(f.Kind))
		}
		found[e.Endpoint] = strings.Join(kinds, " ")
	}
	return found
}

func TestCheckEndpoints(t *testing.T) {
	w := newWorld()
	w.objects.objects.Endpoints[0].SigningSecrets = nil
	history, visitor := &fakeHistory{}, &fakeVisitor{}
	o := Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon}
	const alike = "types_alike values_alike"
	t.Run("without history and visits", func(t *testing.T) {
		w.handler = New(o)
		got := w.ask(t, "", "POST /v1/endpoints/check", `{}`)
		if diff := cmp.Diff(map[string]string{"shop/backend": alike, "game/backend": "no_proof " + alike}, kindsOf(t, got.Body.Bytes())); diff != "" || got.Code != 200 {
			t.Errorf("code %d (-want +got):\n%s", got.Code, diff)
		}
	})
	o.History, o.Visitor = history, visitor
	w.handler = New(o)
	for _, tt := range []struct {
		name, key, body string
		code            int
		want            map[string]string
		visited         []string
		says            string
	}{
		{name: "one endpoint", body: `{"endpoints":["shop/backend"]}`, code: 200,
			want: map[string]string{"shop/backend": "redirects " + alike + " catch_all"}, visited: []string{"https://shop.example"}},
		{name: "without the network", body: `{"app":"shop","no_network":true}`, code: 200, want: map[string]string{"shop/backend": "redirects " + alike}},
		{name: "a publisher's", body: `{"publisher":"acme","no_network":true}`, code: 200, want: map[string]string{"shop/backend": "redirects " + alike}},
		{name: "a key of one app", key: "game-admin", body: `{}`, code: 200,
			want: map[string]string{"game/backend": "no_proof " + alike + " catch_all nothing_delivered"}, visited: []string{"https://game.example"}},
		{name: "another app than the key's", key: "game-admin", body: `{"app":"shop"}`, code: 404, says: `no app \"shop\"`},
		{name: "another app's endpoint", key: "game-admin", body: `{"endpoints":["shop/backend"]}`, code: 404, says: "app/name"},
		{name: "another app's publisher", key: "game-admin", body: `{"publisher":"acme"}`, code: 404, says: "no publisher"},
		{name: "an app that is not the publisher's", body: `{"publisher":"acme","app":"game"}`, code: 422, says: "not the publisher's"},
		{name: "a key that only reads", key: "read", body: `{}`, code: 403, says: "admin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			visitor.visited = nil
			got := w.ask(t, tt.key, "POST /v1/endpoints/check", tt.body)
			if got.Code != tt.code || !strings.Contains(got.Body.String(), tt.says) || strings.Contains(got.Body.String(), "hunter2") {
				t.Fatalf("code %d, %s, want %d and %q", got.Code, got.Body, tt.code, tt.says)
			}
			if tt.code == 200 {
				if diff := cmp.Diff(tt.want, kindsOf(t, got.Body.Bytes())); diff != "" {
					t.Errorf("found (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(tt.visited, visitor.visited); diff != "" {
				t.Errorf("visited (-want +got):\n%s", diff)
			}
		})
	}
	if want := noon().Add(-7 * 24 * time.Hour); !history.since.Equal(want) {
		t.Errorf("asked for attempts since %s, want %s", history.since, want)
	}
	history.err = errors.New("the disk is gone")
	if got := w.ask(t, "", "POST /v1/endpoints/check", `{}`); got.Code != 500 {
		t.Errorf("a store that cannot be read: %d %s", got.Code, got.Body)
	}
}
