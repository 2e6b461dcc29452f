package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	taken := func(p *pace) (n int) {
		for ; n < 1000 && p.take(now); n++ {
		}
		return n
	}
	p := newPace(10)
	if n := taken(p); n != 10 {
		t.Errorf("%d at once, want 10", n)
	}
	now = now.Add(500 * time.Millisecond)
	if n := taken(p); n != 5 {
		t.Errorf("%d after half a second, want 5", n)
	}
	now = now.Add(-time.Hour)
	if n := taken(p); n != 0 {
		t.Errorf("%d after the clock went back, want none", n)
	}
	now = now.Add(2 * time.Second)
	if n := taken(p); n != 10 {
		t.Errorf("%d after two seconds, want a second's worth", n)
	}
	slow := newPace(0.5)
	if n := taken(slow); n != 1 {
		t.Errorf("%d at once of one every two seconds, want 1", n)
	}
	now = now.Add(time.Second)
	if n := taken(slow); n != 0 {
		t.Errorf("%d a second later, want none", n)
	}
	if n := taken(nil); n != 1000 {
		t.Errorf("%d without a limit", n)
	}
}

func TestASourceBeyondItsRate(t *testing.T) {
	f := &fake{}
	d := door(t, f, Options{})
	for _, name := range []string{"ads", "orders"} {
		_, src := d.catalog.Load().source("game", name)
		src.pace = newPace(2)
	}
	seen := map[int]int{}
	for range 5 {
		r := httptest.NewRequest(http.MethodGet, "/in/game/ads/"+testSecret+"?ymid=1&zone_id=1&event=click", http.NoBody)
		w := httptest.NewRecorder()
		d.Postback(w, r)
		seen[w.Code]++
		if w.Code == 503 && w.Header().Get("Retry-After") == "" {
			t.Error("it is not said when to come again")
		}
	}
	if seen[200] != 2 || seen[503] != 3 {
		t.Errorf("five postbacks at once are answered %v, want 200 twice and 503", seen)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(strings.Repeat(`{"id":"1","app":"game","source":"orders","event_type":"click","ymid":"1"}`+"\n", 3)))
	r.Header.Set("Content-Type", "application/x-ndjson")
	d.opts.Local = func(*http.Request) bool { return true }
	w := httptest.NewRecorder()
	d.events(w, r)
	if w.Code != 503 || strings.Count(w.Body.String(), "raise `rate`") != 1 || !strings.Contains(w.Body.String(), `"accepted"`) {
		t.Errorf("three reports at once are answered %d %s; want one to be told to come again, and why", w.Code, w.Body)
	}
}
