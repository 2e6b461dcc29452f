package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// fakeFollower hands out a list once. It is used by one goroutine.
type fakeFollower struct {
	list    []carom.Watched
	skipped int
	closed  chan struct{}
}

func (f *fakeFollower) Take(int) ([]carom.Watched, int) {
	list, skipped := f.list, f.skipped
	f.list, f.skipped = nil, 0
	return list, skipped
}

func (f *fakeFollower) Close() { close(f.closed) }

// happened is one of everything that can happen, of two apps.
func happened() []carom.Watched {
	shop, game := shopStory().Event, gameStory().Event
	copied := *shop
	copied.ID = ""
	held := *game
	held.Held = "frozen"
	sent := func(ev *carom.Event, endpoint string) carom.Watched {
		return carom.Watched{For: ev, Sent: &carom.SentAttempt{Endpoint: endpoint, Attempt: carom.Attempt{Delivery: ev.ID.Delivery(0), Number: 2, At: noon(), State: carom.Pending,
			Reason: "status 503", Status: 503, URL: "https://" + ev.App + ".example/?token=***"}}}
	}
	return []carom.Watched{
		{Event: shop, Outcome: carom.OutcomeAccepted}, {Event: &copied, Outcome: carom.OutcomeDuplicate, First: shop.ID}, {Event: &held, Outcome: carom.OutcomeHeld},
		{Refused: &carom.Refused{ID: "rcv_1", App: "shop", Source: "monetag", Reason: carom.ReasonLiteralMacro, Detail: "ymid arrived as text", Received: shop.Received}},
		{Unverified: &carom.Unverified{Reason: carom.ReasonUnknownApp, Received: shop.Received}},
		{Unverified: &carom.Unverified{App: "shop", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: shop.Received}},
		sent(shop, "shop/backend"), sent(shop, "shop/tracker"), sent(game, "game/backend"),
	}
}

func TestLive(t *testing.T) {
	tests := []struct {
		name, key, query string
		want             []string // of each event its name, app or endpoint, and outcome or state
	}{
		{"everything", "", "", []string{
			"skipped  ", "received shop accepted", "received shop duplicate", "received game held", "received shop refused", "received  unverified", "received shop unverified",
			"sent shop/backend pending", "sent shop/tracker pending", "sent game/backend pending", "received game accepted"}},
		{"what is sent to an endpoint", "", "?endpoint=shop/backend&kind=sent", []string{"skipped  ", "sent shop/backend pending"}},
		{"of a source", "", "?source=game/monetag", []string{"skipped  ", "received game held", "sent game/backend pending", "received game accepted"}},
		{"with a key of one app", "game-read", "", []string{"skipped  ", "received game held", "sent game/backend pending", "received game accepted"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			follower := &fakeFollower{list: happened(), skipped: 3, closed: make(chan struct{})}
			o := w.options
			o.Live = func() (Follower, error) { return follower, nil }
			o.OtherEvents = func(_ context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error) {
				if c == nil {
					return carom.Feed{Next: carom.FeedCursor{2: {}}}, nil
				}
				if _, told := c[3]; told || f.App == "shop" {
					return carom.Feed{Next: c}, nil
				}
				return carom.Feed{Events: []*carom.Event{gameStory().Event}, Next: carom.FeedCursor{3: {}}}, nil
			}
			h := http.Handler(New(o))
			if tt.key == "" {
				h = Local(h)
			}
			srv := httptest.NewServer(h)
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/live"+tt.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+tt.key)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			var got []string
			name := ""
			lines := bufio.NewScanner(resp.Body)
			for len(got) < len(tt.want) && lines.Scan() {
				if after, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
					name = after
				}
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					got = append(got, name+" "+jsonField(data, "app")+jsonField(data, "endpoint")+" "+jsonField(data, "outcome")+jsonField(data, "state"))
					if strings.Contains(data, "hunter2") {
						t.Errorf("a secret is shown: %s", data)
					}
				}
			}
			close(w.done)
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("the feed did not end cleanly when the server stopped: %v", err)
			}
			<-follower.closed
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

// jsonField is the text of a field in one line of JSON; empty when it is not there.
func jsonField(data, name string) string {
	_, after, found := strings.Cut(data, `"`+name+`":"`)
	if !found {
		return ""
	}
	text, _, _ := strings.Cut(after, `"`)
	return text
}

func TestLiveProblems(t *testing.T) {
	w := newWorld()
	o := w.options
	o.Live = func() (Follower, error) { return nil, errors.New("64 feeds are open already") }
	w.handler = New(o)
	for path, status := range map[string]int{"?endpoint=shop/nope": 404, "?kind=other": 422, "?source=monetag": 422, "": 503} {
		decode[Problem](t, w.ask(t, "", "GET /v1/live"+path, ""), status)
	}
	decode[Problem](t, w.ask(t, "game-read", "GET /v1/live?app=shop", ""), 404)
	decode[Problem](t, w.ask(t, "events", "GET /v1/live", ""), 403)
	decode[Problem](t, newWorld().ask(t, "", "GET /v1/live", ""), 503)
}

// What is sent is bounded, of what the filter wants: many of one app do not push out the few of another.
func TestLiveSendsTheNewest(t *testing.T) {
	var list []carom.Watched
	for range liveShown + 50 {
		list = append(list, carom.Watched{Event: shopStory().Event, Outcome: carom.OutcomeAccepted})
	}
	list = append([]carom.Watched{{Event: gameStory().Event, Outcome: carom.OutcomeAccepted}}, list...)
	for range liveShown + 20 { // which do not push out what was received
		list = append(list, carom.Watched{Sent: &carom.SentAttempt{Endpoint: "shop/backend"}, For: shopStory().Event})
	}
	for _, tt := range []struct {
		filter     liveFilter
		shop, game int // received
		sent       int
		skipped    string
	}{
		{liveFilter{received: true}, liveShown, 0, 0, `{"n":51,`},
		{liveFilter{received: true, app: "game"}, 0, 1, 0, ""},
		{liveFilter{sent: true}, 0, 0, liveShown, `{"n":20,`},
		{liveFilter{received: true, sent: true}, liveShown, 0, liveShown, `{"n":71,`},
	} {
		w := newWorld()
		close(w.done)
		s := &service{Options: w.options}
		var b strings.Builder
		if err := s.sendLive(t.Context(), tt.filter, &fakeFollower{list: slices.Clone(list)}, nil, &b); err != nil {
			t.Fatal(err)
		}
		sent := b.String()
		if shop, game := strings.Count(sent, `"app":"shop"`), strings.Count(sent, `"app":"game"`); shop != tt.shop || game != tt.game {
			t.Errorf("%+v: %d of shop and %d of game are sent, want %d and %d", tt.filter, shop, game, tt.shop, tt.game)
		}
		if n := strings.Count(sent, "event: sent"); n != tt.sent {
			t.Errorf("%+v: %d attempts are sent, want %d", tt.filter, n, tt.sent)
		}
		if !strings.Contains(sent, tt.skipped) || strings.Contains(sent, "event: skipped") != (tt.skipped != "") {
			t.Errorf("%+v: what is said of those left out is not %q", tt.filter, tt.skipped)
		}
	}
}
