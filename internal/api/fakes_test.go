package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"carom"
)

// noon is the moment at which these tests take place.
func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func eventID(seq uint32) carom.EventID {
	return carom.NewEventID(7, carom.Ref{Bucket: 1, Seq: seq})
}

func deliveryID(seq uint32, ordinal int) carom.DeliveryID {
	return carom.NewDeliveryID(7, carom.Ref{Bucket: 1, Seq: seq}, ordinal)
}

// fakeStore holds a few stories of two apps. err, when set, is what every read returns.
type fakeStore struct {
	stories    []*carom.Story // newest first
	refused    []*carom.Refused
	unverified []*carom.Unverified
	counts     []carom.Count
	ended      []carom.DeliveryCount
	backlogs   []carom.Backlog
	keys       []carom.APIKey
	trouble    carom.Trouble
	err        error

	resent  []carom.DeliveryID
	filters []carom.EventFilter
	counted []carom.CountFilter
}

func (s *fakeStore) Events(_ context.Context, f carom.EventFilter) ([]*carom.Event, error) {
	s.filters = append(s.filters, f)
	if s.err != nil {
		return nil, s.err
	}
	var list []*carom.Event
	for _, st := range s.stories {
		e := st.Event
		if (f.App == "" || f.App == e.App) && (f.Before == "" || e.ID < f.Before) && len(list) < f.Limit {
			list = append(list, e)
		}
	}
	return list, nil
}

func (s *fakeStore) Trouble() carom.Trouble { return s.trouble }

func (s *fakeStore) Story(_ context.Context, id carom.EventID) (*carom.Story, error) {
	for _, st := range s.stories {
		if st.Event.ID == id {
			return st, nil
		}
	}
	return nil, carom.ErrNotFound
}

func (s *fakeStore) Refused(_ context.Context, f carom.RefusedFilter) ([]*carom.Refused, error) {
	return s.refused, s.err
}

func (s *fakeStore) Unverified(_ context.Context, app, source string, _ int) ([]*carom.Unverified, error) {
	return s.unverified, s.err
}

func (s *fakeStore) Counts(_ context.Context, f carom.CountFilter) ([]carom.Count, error) {
	s.counted = append(s.counted, f)
	return s.counts, s.err
}

func (s *fakeStore) DeliveryCounts(_ context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error) {
	s.counted = append(s.counted, f)
	return s.ended, s.err
}

func (s *fakeStore) Backlogs(context.Context) ([]carom.Backlog, error) { return s.backlogs, s.err }

func (s *fakeStore) Resend(_ context.Context, id carom.DeliveryID) error {
	s.resent = append(s.resent, id)
	return s.err
}

func (s *fakeStore) Keys(context.Context) ([]carom.APIKey, error) { return s.keys, s.err }

func (s *fakeStore) CreateKey(_ context.Context, k carom.APIKey) error {
	s.keys = append(s.keys, k)
	return s.err
}

func (s *fakeStore) DeleteKey(_ context.Context, id string) error {
	s.keys = slices.DeleteFunc(s.keys, func(k carom.APIKey) bool { return k.ID == id })
	return s.err
}

func (s *fakeStore) KeyBySum(sum [32]byte) (carom.APIKey, bool) {
	for _, k := range s.keys {
		if k.Sum == sum {
			return k, true
		}
	}
	return carom.APIKey{}, false
}

type fakeLanes struct {
	lanes []carom.LaneState
	woken []int
}

func (l *fakeLanes) Lanes() []carom.LaneState { return l.lanes }
func (l *fakeLanes) Wake(endpoint int)        { l.woken = append(l.woken, endpoint) }

type fakeObjects struct {
	objects carom.Objects
	file    string
	applied int
	planned string
	planErr error
	changes []Change
	made    []MadeSecret
}

func (o *fakeObjects) Objects() carom.Objects { return o.objects }
func (o *fakeObjects) File() string           { return o.file }

func (o *fakeObjects) Apply(_ context.Context, want carom.Objects) error {
	o.objects, o.applied = want, o.applied+1
	return nil
}

func (o *fakeObjects) Plan(yaml []byte, _ bool) (carom.Objects, []Change, []MadeSecret, error) {
	o.planned = string(yaml)
	return o.objects, o.changes, o.made, o.planErr
}

// world is a server's API over fakes: the apps shop and game, each with a source and an endpoint.
type world struct {
	store   *fakeStore
	lanes   *fakeLanes
	objects *fakeObjects
	done    chan struct{}
	handler http.Handler
}

func newWorld() *world {
	key := func(text, app string, scope carom.Scope) carom.APIKey {
		return carom.APIKey{ID: "key_" + text, Name: text, App: app, Scope: scope, Created: noon(), Sum: sha256.Sum256([]byte(text))}
	}
	w := &world{
		store: &fakeStore{
			stories: []*carom.Story{gameStory(), shopStory()},
			refused: []*carom.Refused{{
				ID: carom.NewReceivedID(7, carom.Ref{Bucket: 1, Seq: 3}), App: "shop", Source: "monetag", Network: "monetag",
				Reason: carom.ReasonLiteralMacro, Detail: "ymid arrived as text", Received: shopStory().Event.Received,
			}},
			unverified: []*carom.Unverified{{Reason: carom.ReasonUnknownApp, Received: carom.Received{At: noon(), Method: "GET", Path: "/in/x/y/***", Body: []byte{0xff}}}},
			counts:     []carom.Count{{App: "shop", Source: "monetag", Outcome: carom.OutcomeAccepted, N: 3, Price: "0.0069"}},
			ended:      []carom.DeliveryCount{{Endpoint: "shop/backend", Outcome: "delivered", N: 3}},
			backlogs:   []carom.Backlog{{Endpoint: 1, Waiting: 2, Oldest: noon().Add(-time.Hour)}},
			keys: []carom.APIKey{
				key("events", "", carom.ScopeEvents), key("read", "", carom.ScopeRead), key("admin", "", carom.ScopeAdmin),
				key("game-read", "game", carom.ScopeRead), key("game-admin", "game", carom.ScopeAdmin),
			},
		},
		lanes: &fakeLanes{lanes: []carom.LaneState{{Endpoint: "shop/backend", Breaker: "closed", Queued: 2}}},
		objects: &fakeObjects{objects: carom.Objects{
			Publishers: []carom.Publisher{{Name: "acme"}},
			Apps:       []carom.App{{Name: "shop", Publisher: "acme"}, {Name: "game"}},
			Sources: []carom.Source{
				{App: "shop", Name: "monetag", Profile: "monetag", Secrets: []carom.SecretSum{{Sum: [32]byte{1}}}},
				{App: "game", Name: "monetag", Profile: "monetag"},
			},
			Endpoints: []carom.Endpoint{
				{No: 1, App: "shop", Name: "backend", URL: "https://shop.example/postback?token=hunter2&u={ymid}",
					Headers: []carom.Field{{Name: "Authorization", Value: "Bearer hunter2"}}, SigningSecrets: []carom.SigningSecret{{Key: "hunter2"}}},
				{No: 2, App: "game", Name: "backend", URL: "https://game.example/?u={ymid}"},
			},
		}},
		done: make(chan struct{}),
	}
	w.handler = New(Options{
		Store: w.store, Lanes: w.lanes, Objects: w.objects, Version: "v1.2.3", Now: noon, Done: w.done,
		SourceURL: func(s carom.Source, secret string) string {
			return "https://carom.example/in/" + s.App + "/" + s.Name + "/" + secret
		},
	})
	return w
}

func shopStory() *carom.Story {
	return &carom.Story{
		Event: &carom.Event{
			ID: eventID(1), At: noon().Add(-time.Minute), App: "shop", Source: "monetag", Network: "monetag",
			Type: carom.Click, Value: carom.Valued, YMID: "user123", ZoneID: "8790478", RequestVar: "bonus-btn",
			Price: carom.Price{Nanos: 2_300_000, Set: true}, Fields: []carom.Field{{Name: "country", Value: "DE"}},
			Flags: carom.FlagTest, Strength: carom.Secret,
			Received: carom.Received{
				At: noon().Add(-time.Minute), Method: "GET", Path: "/in/shop/monetag/***",
				RawQuery: "ymid=user123&event=click", Client: netip.MustParseAddr("203.0.113.7"),
			},
		},
		Deliveries: []carom.DeliveryStory{
			{ID: deliveryID(1, 0), Endpoint: "shop/backend", State: carom.Dead, Attempts: []carom.Attempt{{
				Number: 1, At: noon().Add(-time.Minute), Took: 12500 * time.Microsecond, State: carom.Dead, Reason: "status 410",
				Method: "GET", URL: "https://shop.example/postback?token=***&u=user123", Status: 410, Answer: "gone",
			}}},
			{ID: deliveryID(1, 1), Endpoint: "#7", State: carom.Delivered},
		},
	}
}

func gameStory() *carom.Story {
	return &carom.Story{Event: &carom.Event{ID: eventID(2), At: noon(), App: "game", Source: "monetag", Type: carom.Impression, Strength: carom.Secret}}
}

// ask makes one request. An empty key means that it came through the local socket.
func (w *world) ask(t *testing.T, key, route, body string) *httptest.ResponseRecorder {
	t.Helper()
	method, target, _ := strings.Cut(route, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	h := w.handler
	if key == "" {
		h = Local(h)
	} else if key != "none" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func decode[T any](t *testing.T, rec *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if rec.Code != status {
		t.Fatalf("status %d, want %d; body: %s", rec.Code, status, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %s", err, rec.Body)
	}
	return v
}
