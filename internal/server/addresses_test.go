package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"carom/internal/caromtest"
	"carom/internal/config"
)

// What is served where, with one address and with a private one. The status tells whether a thing is there.
func TestWhatIsServedWhere(t *testing.T) {
	t.Parallel()
	objects := "publishers: { acme: {} }\n" + caromtest.Monetag("")
	one := caromtest.Start(t, caromtest.Options{Objects: objects})
	two := caromtest.Start(t, caromtest.Options{Objects: objects, Private: true, Config: func(c *config.Config) { c.Pprof = true }})
	const postback = caromtest.Door + "?ymid=1&event=click"
	tests := []struct {
		method, path, key                   string
		alone, public, private, localSocket int
	}{
		{"GET", postback, "", 200, 200, 404, 200},
		{"GET", "/in/game/ads/wrong", "", 403, 403, 404, 403},
		{"GET", "/healthz", "", 200, 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200, 200},
		{"GET", "/v1/status", "", 401, 404, 401, 200},
		{"GET", "/v1/status", "read", 200, 404, 200, 200},
		{"GET", "/v1/openapi.json", "", 200, 404, 200, 200},
		{"POST", "/v1/events", "", 401, 404, 401, 400},
		{"POST", "/v1/events", "events", 400, 404, 400, 400},
		{"GET", "/v1/events", "events", 403, 404, 403, 200},
		{"POST", "/v1/apply", "read", 403, 404, 403, 400},
		{"GET", "/metrics", "", 401, 404, 200, 200},
		{"GET", "/metrics", "events", 401, 404, 200, 200},
		{"GET", "/metrics", "game", 401, 404, 200, 200},
		{"GET", "/metrics", "read", 200, 404, 200, 200},
		{"GET", "/metrics", "publisher", 401, 404, 200, 200},
		{"GET", "/v1/status", "publisher", 403, 403, 403, 200},
		{"GET", "/v1/publishers", "publisher", 200, 200, 200, 200}, // publishers are not of the house
		{"GET", "/v1/publishers", "read", 200, 404, 200, 200},
		{"GET", "/.well-known/carom.json", "", 200, 200, 200, 200},
		{"GET", "/setup", "", 200, 200, 200, 200},
		{"GET", "/sdk.js", "", 200, 200, 200, 200},
		{"POST", "/sdk/ad", "", 400, 400, 400, 400},
		{"GET", "/debug/pprof/", "read", 404, 404, 200, 200},
		{"GET", "/nothing", "", 404, 404, 404, 404},
		{"GET", "/in", "", 404, 404, 404, 404},
	}
	for _, s := range []*caromtest.Server{one, two} {
		keys := map[string]string{"read": s.Key(t, "read", ""), "events": s.Key(t, "events", ""), "game": s.Key(t, "read", "game"),
			"publisher": s.PublisherKey(t, "acme"), "": "none"}
		for _, tt := range tests {
			check := func(where string, got, want int) {
				if got != want {
					t.Errorf("%s %s with the key %q at %s is answered %d, want %d", tt.method, tt.path, tt.key, where, got, want)
				}
			}
			header := []string{}
			if tt.key != "" {
				header = []string{"Authorization", "Bearer " + keys[tt.key]}
			}
			if s == one {
				check("the only address", caromtest.Do(t, tt.method, s.URL+tt.path, "", header...).Status, tt.alone)
				continue
			}
			check("the public address", caromtest.Do(t, tt.method, s.URL+tt.path, "", header...).Status, tt.public)
			check("the private address", caromtest.Do(t, tt.method, s.Private+tt.path, "", header...).Status, tt.private)
			check("the local socket", s.Local(t, tt.method, tt.path, "", header...).Status, tt.localSocket)
		}
	}
}

func TestReportsOverRealHTTP(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}&type={event_type}&level={field.level}")})
	game := s.Key(t, "events", "game")
	const items = `[{"id":1,"event_type":"completion","ymid":"r1","fields":{"level":"7"}},{"id":"1","event_type":"completion","ymid":"r1"},{"id":"2"},` +
		`{"id":3,"event_type":"click","ymid":"r3","test":true}]`
	a := caromtest.Do(t, "POST", s.URL+"/v1/events", items, "Authorization", "Bearer "+game)
	var answer struct {
		Results []struct{ ID, Status, Field, Reason string }
	}
	if err := json.Unmarshal([]byte(a.Body), &answer); err != nil || a.Status != 200 || len(answer.Results) != 4 {
		t.Fatalf("answered %d %s", a.Status, a.Body)
	}
	for i, want := range []string{"accepted", "duplicate", "invalid", "accepted"} {
		if got := answer.Results[i]; got.Status != want || (got.Field == "event_type") != (want == "invalid") {
			t.Errorf("item %d is %+v, want %s", i, got, want)
		}
	}
	if e := s.Ends(t, "r3").Event; strings.Join(e.Flags, ",") != "test" || e.ExternalID != "3" || e.Source != "orders" {
		t.Errorf("the test became %+v", e)
	}
	a = s.Local(t, "POST", "/v1/events", `{"id":"4","app":"game","event_type":"click","ymid":"r4"}`)
	if a.Status != 200 || !strings.Contains(a.Body, `"accepted"`) {
		t.Errorf("without a key through the local socket: answered %d %s", a.Status, a.Body)
	}
	s.Ends(t, "r4")
	s.Ends(t, "r1")
	got := map[string]bool{}
	for _, sent := range endpoint.Sent("/p") {
		got[sent.Query] = true
	}
	for _, want := range []string{"ymid=r1&type=completion&level=7", "ymid=r3&type=click&level=", "ymid=r4&type=click&level="} {
		if !got[want] {
			t.Errorf("the endpoint got %v, want %s among it", got, want)
		}
	}
	if a := caromtest.Do(t, "POST", s.URL+"/v1/events", strings.Repeat(" ", 8<<20+1), "Authorization", "Bearer "+game); a.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("8 MiB and a byte are answered %d", a.Status)
	}
}

func TestForwardedAddressesOfTrustedProxies(t *testing.T) {
	t.Parallel()
	proxies := func(list string) func(*config.Config) {
		return func(c *config.Config) {
			with, err := config.Load(nil, func() []string { return []string{"CAROM_TRUSTED_PROXIES=" + list} })
			if err != nil {
				t.Fatal(err)
			}
			c.TrustedProxies = with.TrustedProxies
		}
	}
	for _, tt := range []struct{ name, trusted, want string }{
		{"trusted", "127.0.0.0/8", "192.0.2.7"},
		{"not trusted", "10.0.0.0/8", "127.0.0.1"},
	} {
		s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: proxies(tt.trusted)})
		caromtest.Do(t, "GET", s.URL+caromtest.Door+"?ymid=1&event=click", "", "X-Forwarded-For", "198.51.100.1, 192.0.2.7")
		if got := s.Story(t, "1").Received.Client; got != tt.want {
			t.Errorf("behind a proxy that is %s the client is %s, want %s", tt.name, got, tt.want)
		}
	}
}
