package server_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"carom/internal/api"
	"carom/internal/caromtest"
)

// follow reads a live feed and hands out a line for each of its events: "received accepted", "sent delivered".
func follow(t *testing.T, s *caromtest.Server, key, query string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/live"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatalf("the feed is answered %d", resp.StatusCode)
	}
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		scanner, name := bufio.NewScanner(resp.Body), ""
		for scanner.Scan() {
			line := scanner.Text()
			if after, ok := strings.CutPrefix(line, "event: "); ok {
				name = after
			}
			for _, field := range []string{`"outcome":"`, `"state":"`} {
				if _, after, ok := strings.Cut(line, field); ok && strings.HasPrefix(line, "data: ") {
					word, _, _ := strings.Cut(after, `"`)
					lines <- name + " " + word
				}
			}
		}
	}()
	return lines
}

// Everything that comes in and goes out is seen by who watches: copies, refusals and what proves nothing too.
func TestLiveFeed(t *testing.T) {
	backend := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", backend.URL+"/p?ymid={ymid}")})
	key := s.Key(t, "read", "")
	all, sent := follow(t, s, key, "?app=game"), follow(t, s, key, "?endpoint=game/backend&kind=sent")
	s.Accepted(t, "ymid=a&event_type=impression&reward_event_type=valued")
	s.Accepted(t, "ymid=a&event_type=impression&reward_event_type=valued")
	s.Postback(t, "ymid={ymid}&event_type=impression&reward_event_type=valued")
	caromtest.Do(t, "GET", s.URL+"/in/game/ads/"+strings.Repeat("0", 32)+"?ymid=a", "")
	want := map[string]int{"received accepted": 1, "received duplicate": 1, "received refused": 1, "received unverified": 1, "sent delivered": 1}
	left := len(want)
	for left > 0 {
		line, open := <-all
		if !open {
			t.Fatalf("the feed ended; missing: %v", want)
		}
		if want[line]--; want[line] != 0 {
			t.Fatalf("unexpected %q; missing: %v", line, want)
		}
		left--
	}
	if line := <-sent; line != "sent delivered" {
		t.Errorf("the feed of the endpoint: %q", line)
	}
}

// What came in is in the overview, in reports by every dimension, in lists, and in the story of every id.
func TestDashboardRoutes(t *testing.T) {
	backend := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", backend.URL+"/p?ymid={ymid}")})
	s.Accepted(t, "ymid=a&event_type=impression&reward_event_type=valued&zone_id=7&sub_zone_id=71&request_var=bonus&estimated_price=0.0023&telegram_id=42")
	s.Accepted(t, "ymid=a&event_type=impression&reward_event_type=valued&zone_id=7&sub_zone_id=71&request_var=bonus&estimated_price=0.0023&telegram_id=42")
	s.Accepted(t, "ymid=b&event_type=click&reward_event_type=not_valued&zone_id=7")
	story := s.Ends(t, "a")
	s.Ends(t, "b")
	var overview api.Overview
	s.Get(t, "/v1/overview?app=game", &overview)
	if p := overview.Today.Totals; p.Received+overview.Yesterday.Totals.Received != 3 { // midnight may just have passed
		t.Errorf("today: %+v", p)
	}
	caromtest.Until(t, "reports by every dimension", func() bool {
		for _, by := range []string{"day", "hour", "zone", "sub_zone", "request_var", "network", "source", "event_type"} {
			var report api.TrafficReport
			s.Get(t, "/v1/reports?app=game&by="+by, &report)
			if total := report.Totals; total.Received != 3 || total.Accepted != 2 || total.Delivered != 2 || total.Revenue != "0.0023" {
				return false
			}
		}
		return true
	})
	for _, path := range []string{"/v1/stories/" + string(story.Event.ID), "/v1/stories/" + string(story.Deliveries[0].ID), "/v1/stories/" + string(story.Event.ID.View())} {
		var whole api.WholeStory
		s.Get(t, path, &whole)
		if len(whole.Events) != 1 || len(whole.Timeline) != 2 || whole.Timeline[1].Kind != "sent" {
			t.Errorf("%s: %d events, timeline %+v", path, len(whole.Events), whole.Timeline)
		}
	}
	for query, kind := range map[string]string{"a": "event", "42": "user", "7": "zone", "backend": "endpoint", "ads": "source", string(story.Event.ID): "event",
		strings.TrimPrefix(backend.URL, "http://") + "/p?ymid=a": "endpoint"} {
		var found api.SearchResults
		s.Get(t, "/v1/search?q="+strings.NewReplacer("&", "%26", "?", "%3F", "=", "%3D", "/", "%2F").Replace(query), &found)
		if len(found.Results) == 0 || found.Results[0].Kind != kind {
			t.Errorf("search %q: %+v, want a %s first", query, found.Results, kind)
		}
	}
	var page api.DeliveryPage
	s.Get(t, "/v1/deliveries?endpoint=game/backend&state=delivered&from="+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), &page)
	if len(page.Deliveries) != 2 || page.Deliveries[0].Attempts != 1 {
		t.Errorf("deliveries: %+v", page.Deliveries)
	}
	var attempts api.AttemptPage
	s.Get(t, "/v1/attempts?app=game", &attempts)
	if len(attempts.Attempts) != 2 || !strings.Contains(attempts.Attempts[0].URL, "ymid=b") {
		t.Errorf("attempts: %+v", attempts.Attempts)
	}
}
