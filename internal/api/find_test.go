package api

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"

	"github.com/google/go-cmp/cmp"
)

// FindEvents and the methods below make fakeStore a Finder of its stories, and of one opened view of the app shop.
func (s *fakeStore) FindEvents(ctx context.Context, f carom.EventFilter) ([]*carom.Event, carom.EventID, error) {
	list, err := s.Events(ctx, carom.EventFilter{App: f.App, Source: f.Source, Before: f.Before, Since: f.Since, Limit: 1000})
	list = slices.DeleteFunc(list, func(e *carom.Event) bool {
		return f.YMID != "" && e.YMID != f.YMID || f.User != "" && e.User(false) != f.User || f.Zone != "" && e.ZoneID != f.Zone ||
			f.EventType != "" && e.Type != f.EventType || !f.To.IsZero() && !e.At.Before(f.To)
	})
	if f.Limit > 0 && len(list) >= f.Limit {
		return list[:f.Limit], list[f.Limit-1].ID, err
	}
	return list, "", err
}

func (s *fakeStore) SentAttempts(_ context.Context, f carom.AttemptFilter) (list []carom.SentAttempt, next carom.AttemptCursor, err error) {
	for _, st := range s.stories {
		for _, d := range st.Deliveries {
			for _, a := range slices.Backward(d.Attempts) {
				a.Delivery = d.ID
				if (f.App == "" || strings.HasPrefix(d.Endpoint, f.App+"/")) && (f.State == "" || f.State == a.State) && (f.Endpoint == 0 || d.Endpoint == "shop/backend") &&
					(f.Before.Delivery == "" || d.ID < f.Before.Delivery) {
					list = append(list, carom.SentAttempt{Attempt: a, Endpoint: d.Endpoint})
				}
			}
		}
	}
	if len(list) > 0 && len(list) == f.Limit {
		next = carom.AttemptCursor{Delivery: list[len(list)-1].Delivery, Number: list[len(list)-1].Number}
	}
	return list, next, s.err
}

func shopView() *carom.View {
	return &carom.View{ID: carom.NewOpenedViewID(7, 5), App: "shop", User: "u1", YMID: "view5", OpenedAt: noon().Add(-2 * time.Minute), ExpiresAt: noon()}
}

func (s *fakeStore) Views(_ context.Context, f carom.ViewFilter) ([]*carom.View, carom.ViewID, error) {
	v := shopView()
	if f.App != "" && f.App != v.App || f.YMID != "" && f.YMID != v.YMID || f.User != "" && f.User != v.User || f.Before != "" {
		return nil, "", s.err
	}
	return []*carom.View{v}, "", s.err
}

func (s *fakeStore) View(_ context.Context, id carom.ViewID) (*carom.View, error) {
	if v := shopView(); v.ID == id {
		return v, nil
	}
	return nil, carom.ErrNotFound
}

func (s *fakeStore) ViewOutcome(context.Context, *carom.View) (carom.ViewOutcome, error) {
	return carom.ViewOutcome{State: carom.ViewConfirmed, Reward: shopReward(2, carom.RewardGranted)}, nil
}

// viewed is a world in which an event of the opened view came and earned.
func viewed() *world {
	w := newWorld()
	v := shopView()
	w.store.stories = append([]*carom.Story{{Event: &carom.Event{
		ID: eventID(5), At: noon().Add(-time.Minute), App: "shop", Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: v.YMID,
		TelegramID: "u1", View: v.ID, Strength: carom.Secret, Decided: []carom.Decided{{Rule: "watch", State: carom.RewardGranted, Reward: shopReward(2, carom.RewardGranted)}},
	}}}, w.store.stories...)
	w.store.rewards[2].Event, w.store.lines[0].Event = eventID(5), eventID(5)
	w.store.refused[0].Received = carom.Received{At: noon(), Method: "POST", Path: "/in/shop/monetag/***", RawQuery: "ymid=literal%7Bymid%7D&bad=%zz", Body: []byte("note=a+b")}
	for _, user := range []string{"u-77", "u-777"} {
		w.store.unverified = append(w.store.unverified, &carom.Unverified{App: "shop", Source: "monetag", Reason: carom.ReasonWrongSecret,
			Received: carom.Received{At: noon(), Method: "GET", Path: "/in/shop/monetag/***", RawQuery: "telegram_id=" + user}})
	}
	return w
}

func TestFindRoutes(t *testing.T) {
	tests := []struct {
		route  string
		status int
		want   []string
	}{
		{"GET /v1/events?event_type=click&from=2026-03-04T00:00:00Z", 200, []string{string(eventID(1))}},
		{"GET /v1/events?from=2026-03-04T00:00:00Z&to=2026-03-03T00:00:00Z", 422, []string{"swap"}},
		{"GET /v1/events?outcome=lost", 422, []string{"outcome"}},
		{"GET /v1/deliveries", 200, []string{`"id":"` + string(deliveryID(1, 0)) + `"`, `"endpoint":"shop/backend"`, `"attempts":1`, `"reason":"status 410"`}},
		{"GET /v1/deliveries?endpoint=shop/backend&state=dead", 200, []string{`"state":"dead"`}},
		{"GET /v1/deliveries?endpoint=backend", 422, []string{"app/backend"}},
		{"GET /v1/deliveries?app=game&endpoint=shop/backend", 422, []string{"game"}},
		{"GET /v1/deliveries?endpoint=shop/nope", 404, []string{"shop/nope"}},
		{"GET /v1/deliveries?before=abc", 422, []string{"next"}},
		{"GET /v1/deliveries/" + string(deliveryID(1, 0)), 200, []string{`"answer":"gone"`, `"ymid":"user123"`}},
		{"GET /v1/deliveries/" + string(deliveryID(1, 7)), 404, []string{"owed to 2 endpoints"}},
		{"GET /v1/deliveries/evt_1", 422, []string{"dlv_"}},
		{"GET /v1/attempts?limit=1", 200, []string{`"delivery":"` + string(deliveryID(1, 0)) + `"`, `"event":"` + string(eventID(1)) + `"`, `"next":"` + string(deliveryID(1, 0)) + `.1"`}},
		{"GET /v1/attempts?before=" + string(deliveryID(1, 0)) + ".1", 200, []string{`"attempts":[]`}},
		{"GET /v1/attempts?before=" + string(deliveryID(1, 0)), 422, []string{"next"}},
		{"GET /v1/attempts?state=delivered&app=shop", 200, []string{`"attempts":[]`}},
		{"GET /v1/views", 200, []string{`"view_id":"` + string(shopView().ID) + `"`, `"state":"confirmed"`, "confirmed: 2.5 coins by rule watch, granted"}},
		{"GET /v1/views?state=expired", 200, []string{`"views":[]`}},
		{"GET /v1/views?before=" + string(eventID(1).View()), 422, []string{"opened view"}},
	}
	for _, tt := range tests {
		t.Run(tt.route, func(t *testing.T) {
			rec := viewed().ask(t, "", tt.route, "")
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d; body: %s", rec.Code, tt.status, rec.Body)
			}
			for _, part := range tt.want {
				if !strings.Contains(rec.Body.String(), part) {
					t.Errorf("lacks %q: %s", part, rec.Body)
				}
			}
		})
	}
}

// Every id of one showing leads to the same events, rewards and order of what happened.
func TestStories(t *testing.T) {
	v := shopView()
	tests := []struct {
		id, kind, title, words string
		timeline               []string
		related                []string
	}{
		{string(v.ID), "view", "view of user u1", "confirmed: 2.5 coins by rule watch, granted", []string{
			"opened: opened a view for user u1", "event: received valued impression of monetag for user u1", "decided: granted 2.5 coins to user u1 by rule watch",
			"credited: credited 2.5 coins to user u1", "debited: took back 2.5 coins from user u1: a test (admin)",
		}, []string{string(eventID(5)), rewardID(2)}},
		{string(eventID(5)), "event", "valued impression of monetag for user u1", "granted 2.5 coins", nil, []string{rewardID(2), string(v.ID)}},
		{rewardID(3), "reward", "2.5 coins for user u1", "held since", nil, nil},
		{string(deliveryID(1, 0)), "delivery", "delivery of valued click of monetag to shop/backend", "dead after 1 attempt: status 410", []string{
			"event: received valued click of monetag", "sent: attempt 1 to shop/backend: dead: status 410",
		}, []string{string(deliveryID(1, 1)), string(eventID(1))}},
		{string(eventID(1).View()), "view", "view of valued click of monetag", "owed to 2 endpoints", nil, nil},
		{refusedID(), "received", "refused postback of shop/monetag", "refused (literal_macro): ymid arrived as text",
			[]string{"refused: refused (literal_macro): ymid arrived as text"}, []string{}},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			w := viewed()
			got := decode[WholeStory](t, w.ask(t, "", "GET /v1/stories/"+tt.id, ""), 200)
			if got.ID != tt.id || got.Kind != tt.kind || got.Title != tt.title || !strings.Contains(got.Words, tt.words) || got.App != "shop" {
				t.Errorf("got %s %s of %s, %q: %q", got.Kind, got.ID, got.App, got.Title, got.Words)
			}
			var timeline []string
			for _, m := range got.Timeline {
				timeline = append(timeline, m.Kind+": "+m.Words)
			}
			if diff := cmp.Diff(tt.timeline, timeline); tt.timeline != nil && diff != "" {
				t.Errorf("timeline (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.related, got.Related); tt.related != nil && diff != "" {
				t.Errorf("related (-want +got):\n%s", diff)
			}
		})
	}
	for id, status := range map[string]int{"abc": 422, "evt_1": 422, "dlv_x": 422, "vw_x": 422, "rwd_x": 422, "rcv_x": 422, string(eventID(99)): 404,
		string(carom.NewOpenedViewID(7, 99)): 404} {
		decode[Problem](t, viewed().ask(t, "", "GET /v1/stories/"+id, ""), status)
	}
}

func TestSearch(t *testing.T) {
	tests := []struct {
		q    string
		want []string // "kind id", the first of them
	}{
		{string(eventID(5)), []string{"event " + string(eventID(5))}},
		{" " + string(deliveryID(1, 0)) + " ", []string{"delivery " + string(deliveryID(1, 0))}},
		{string(shopView().ID), []string{"view " + string(shopView().ID)}},
		{rewardID(2), []string{"reward " + rewardID(2)}},
		{refusedID(), []string{"received " + refusedID()}},
		{string(eventID(99)), nil},
		{"view5", []string{"view " + string(shopView().ID), "event " + string(eventID(5))}},
		{"u1", []string{"user shop/u1", "event " + string(eventID(5)), "reward " + rewardID(4)}},
		{"8790478", []string{"zone shop/8790478"}},
		{"backend", []string{"endpoint shop/backend", "endpoint game/backend"}},
		{"monetag", []string{"source shop/monetag", "source game/monetag"}},
		{"shop", []string{"app shop"}},
		{"https://carom.example/in/shop/monetag/s3cret?ymid=user123&event=click", []string{"source shop/monetag", "event " + string(eventID(1))}},
		{"/in/shop/monetag/s3cret?ymid=user123", []string{"source shop/monetag", "event " + string(eventID(1))}},
		{"shop.example", []string{"endpoint shop/backend"}},
		{"https://shop.example/postback?token=***&u=user123", []string{"endpoint shop/backend", "attempt " + string(deliveryID(1, 0)) + ".1", "event " + string(eventID(1))}},
		{"literal{ymid}", []string{"received " + refusedID()}}, // as sent, with its escapes
		{"https://carom.example/in/shop/monetag/s3cret?ymid=literal%7Bymid%7D", []string{"source shop/monetag", "received " + refusedID()}},
		{"u-77", []string{"unverified shop/monetag"}}, // of several the newest
		{"a b", []string{"received " + refusedID()}},  // of a form
		{"/in/x/y", []string{"unverified no source"}},
		{"nothing of this kind", nil},
	}
	for _, tt := range tests {
		t.Run(tt.q, func(t *testing.T) {
			got := decode[SearchResults](t, viewed().ask(t, "", "GET /v1/search?q="+url.QueryEscape(tt.q), ""), 200)
			var found []string
			for _, r := range got.Results {
				if found = append(found, r.Kind+" "+r.ID); r.Link.Page == "" || r.Link.ID == "" || r.Title == "" {
					t.Errorf("incomplete: %+v", r)
				}
			}
			if len(found) > len(tt.want) && len(tt.want) > 0 {
				found = found[:len(tt.want)]
			}
			if diff := cmp.Diff(tt.want, found); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	decode[Problem](t, viewed().ask(t, "", "GET /v1/search?q=%20", ""), 422)
}

// A key of one app, and a publisher, find nothing of any other by any of these routes.
func TestFindersShowOnlyWhatTheCallerMaySee(t *testing.T) {
	shopOnly := []string{
		"/v1/stories/" + string(eventID(5)), "/v1/stories/" + string(deliveryID(1, 0)), "/v1/stories/" + rewardID(2), "/v1/stories/" + string(shopView().ID),
		"/v1/stories/" + refusedID(), "/v1/stories/" + string(eventID(1).View()), "/v1/deliveries/" + string(deliveryID(1, 0)),
		"/v1/deliveries?app=shop", "/v1/attempts?endpoint=shop/backend", "/v1/views?app=shop", "/v1/search?q=u1&app=shop", "/v1/events?app=shop",
	}
	for _, path := range shopOnly {
		if rec := viewed().ask(t, "game-read", "GET "+path, ""); rec.Code != 404 {
			t.Errorf("%s: status %d, want 404: %s", path, rec.Code, rec.Body)
		}
	}
	for _, path := range []string{"/v1/events", "/v1/attempts", "/v1/views", "/v1/search?q=u1", "/v1/search?q=view5", "/v1/search?q=shop",
		"/v1/search?q=backend", "/v1/search?q=8790478", "/v1/search?q=" + string(eventID(5)), "/v1/search?q=" + string(shopView().ID),
		"/v1/search?q=literal", "/v1/search?q=u-77", "/v1/search?q=%2Fin%2Fx",
		"/v1/search?q=" + url.QueryEscape("https://shop.example/postback?token=***&u=user123")} {
		rec := viewed().ask(t, "game-read", "GET "+path, "")
		if rec.Code != 200 || strings.Contains(rec.Body.String(), "shop") || strings.Contains(rec.Body.String(), "user123") {
			t.Errorf("%s: status %d, shows another app: %s", path, rec.Code, rec.Body)
		}
	}
	for _, path := range append(shopOnly, "/v1/deliveries", "/v1/attempts", "/v1/views", "/v1/search?q=u1") {
		if rec := viewed().ask(t, "events", "GET "+path, ""); rec.Code != 403 {
			t.Errorf("%s: status %d with a key that may only report events, want 403", path, rec.Code)
		}
	}
}

// What was refused is found by those who may list it, and by nobody else.
func TestSearchShowsReceivedToThoseWhoMayListIt(t *testing.T) {
	for caller, found := range map[string]bool{"read": true, "acme": false} {
		t.Run(caller, func(t *testing.T) {
			w := newSetupWorld()
			w.store.refused[0].App, w.store.refused[0].Received = "studio", carom.Received{At: noon(), Method: "GET", RawQuery: "ymid=lost-one"}
			got := decode[SearchResults](t, w.ask(t, caller, "GET /v1/search?app=studio&q=lost-one", ""), 200)
			if (len(got.Results) == 1) != found {
				t.Errorf("found %+v", got.Results)
			}
		})
	}
}
