package caromtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"carom/internal/api"
)

// Answer is what came back for a request.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request to url and returns the answer. header holds names and values in turn.
func Do(t testing.TB, method, url, body string, header ...string) Answer {
	t.Helper()
	return do(t, http.DefaultClient, method, url, body, header)
}

// Begin is Do that reads nothing of a stream of events, which would not end.
func Begin(t testing.TB, method, url, body string, header ...string) Answer {
	t.Helper()
	return exchange(t, http.DefaultClient, method, url, body, header, func(resp *http.Response) bool {
		return resp.Header.Get("Content-Type") != "text/event-stream"
	})
}

func do(t testing.TB, client *http.Client, method, url, body string, header []string) Answer {
	t.Helper()
	return exchange(t, client, method, url, body, header, func(*http.Response) bool { return true })
}

func exchange(t testing.TB, client *http.Client, method, url, body string, header []string, whole func(*http.Response) bool) Answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read as far as it is wanted
	if !whole(resp) {
		return Answer{resp.StatusCode, resp.Header, ""}
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{resp.StatusCode, resp.Header, string(text)}
}

// Postback sends a GET to [Door] with a raw query, and returns the answer.
func (s *Server) Postback(t testing.TB, query string) Answer {
	t.Helper()
	return Do(t, "GET", s.URL+Door+"?"+query, "")
}

// Accepted sends a GET to [Door] with a raw query that must be answered 200 OK, as accepted ones and copies are.
func (s *Server) Accepted(t testing.TB, query string) {
	t.Helper()
	if a := s.Postback(t, query); a.Status != http.StatusOK || a.Body != "OK" {
		t.Fatalf("GET %s was answered %d %q, want 200 OK", query, a.Status, a.Body)
	}
}

// Local sends a request through the local socket, which needs no key.
func (s *Server) Local(t testing.TB, method, path, body string, header ...string) Answer {
	t.Helper()
	return do(t, s.local, method, "http://carom"+path, body, header)
}

// Get reads path through the local socket into out. Anything but success fails the test.
func (s *Server) Get(t testing.TB, path string, out any) { t.Helper(); s.call(t, "GET", path, "", out) }

func (s *Server) call(t testing.TB, method, path, body string, out any) {
	t.Helper()
	a := s.Local(t, method, path, body, "Content-Type", "application/json")
	if a.Status/100 != 2 {
		t.Fatalf("%s %s was answered %d %s", method, path, a.Status, a.Body)
	}
	if out == nil {
		return
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(a.Body))).Decode(out); err != nil {
		t.Fatalf("%s %s answers %q: %v", method, path, a.Body, err)
	}
}

// Apply applies an objects file, and returns the URLs of sources whose secret was made.
func (s *Server) Apply(t testing.TB, yaml string) []string {
	t.Helper()
	a := s.Local(t, "POST", "/v1/apply?prune=true", yaml, "Content-Type", "application/yaml")
	var applied api.Applied
	if err := json.Unmarshal([]byte(a.Body), &applied); a.Status != http.StatusOK || err != nil || !applied.Applied {
		t.Fatalf("apply was answered %d %s for:\n%s", a.Status, a.Body, yaml)
	}
	var urls []string
	for _, made := range applied.Made {
		urls = append(urls, made.URL)
	}
	return urls
}

// Key makes an API key, for one app or with "" for all.
func (s *Server) Key(t testing.TB, scope, app string) string {
	t.Helper()
	var made api.MadeKey
	s.call(t, "POST", "/v1/keys", `{"name":"test","scope":"`+scope+`","app":"`+app+`"}`, &made)
	return made.Key
}

// PublisherKey makes a key of a publisher.
func (s *Server) PublisherKey(t testing.TB, publisher string) string {
	t.Helper()
	var made api.MadeKey
	s.call(t, "POST", "/v1/keys", `{"name":"test","scope":"publisher","publisher":"`+publisher+`"}`, &made)
	return made.Key
}

// Rotate makes a new secret for a source ("app/name") and returns its URL. The old ones go on counting for overlap.
func (s *Server) Rotate(t testing.TB, source, overlap string) string {
	t.Helper()
	var made api.MadeSecret
	s.call(t, "POST", "/v1/sources/"+source+"/rotate?for="+overlap, "", &made)
	return made.URL
}

// Events lists all events that query selects, newest first. It reads every page.
func (s *Server) Events(t testing.TB, query string) []api.Event {
	t.Helper()
	var events []api.Event
	for before := ""; ; {
		var page api.EventList
		s.Get(t, "/v1/events?limit=1000&"+query+before, &page)
		events = append(events, page.Events...)
		if page.Next == "" {
			return events
		}
		before = "&before=" + string(page.Next)
	}
}

// Story is the story of the only event with a ymid.
func (s *Server) Story(t testing.TB, ymid string) api.Story {
	t.Helper()
	events := s.Events(t, "ymid="+url.QueryEscape(ymid))
	if len(events) != 1 {
		t.Fatalf("there are %d events with the ymid %q, want 1", len(events), ymid)
	}
	var story api.Story
	s.Get(t, "/v1/events/"+string(events[0].ID), &story)
	return story
}

// Ends waits until every delivery of the only event with a ymid has ended, and returns its story.
func (s *Server) Ends(t testing.TB, ymid string) api.Story {
	t.Helper()
	return s.StoryWhen(t, ymid, "its deliveries to end", func(story api.Story) bool {
		for _, d := range story.Deliveries {
			if d.State == "pending" {
				return false
			}
		}
		return true
	})
}

// StoryWhen waits until the story of the only event with a ymid is as wanted, and returns it.
func (s *Server) StoryWhen(t testing.TB, ymid, what string, is func(api.Story) bool) api.Story {
	t.Helper()
	var story api.Story
	defer func() {
		if t.Failed() {
			t.Logf("the story at last: %+v", story)
		}
	}()
	Until(t, "the story of "+ymid+": "+what, func() bool {
		story = s.Story(t, ymid)
		return is(story)
	})
	return story
}

// Received lists what became no event: kind is "refused" or "unverified", the newest first.
func (s *Server) Received(t testing.TB, kind string) []api.Refusal {
	t.Helper()
	var list api.RefusalList
	s.Get(t, "/v1/received?limit=1000&kind="+kind, &list)
	return list.Received
}
