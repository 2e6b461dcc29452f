package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
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
	fakePeople

	mu         sync.Mutex     // guards stories and filters in Events and add
	stories    []*carom.Story // newest first
	refused    []*carom.Refused
	unverified []*carom.Unverified
	counts     []carom.Count
	ended      []carom.DeliveryCount
	backlogs   []carom.Backlog
	keys       []carom.APIKey
	trouble    carom.Trouble
	rewards    []*carom.Reward // newest first
	lines      []carom.LedgerLine
	balances   []carom.Balance
	report     carom.LedgerReport
	err        error

	measured     []carom.ReportCount
	details      []carom.DetailCount
	openedBounds int // that were asked for

	resent  []carom.DeliveryID
	filters []carom.EventFilter
	panics  bool // in Resend

	// resending, when there is one, is received from twice by Resend, as it begins and before it ends.
	resending chan struct{}
	fakeAnswers
	counted []carom.CountFilter
	weeks   int // that reports of hours were asked for
}

func (s *fakeStore) Events(_ context.Context, f carom.EventFilter) ([]*carom.Event, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filters = append(s.filters, f)
	if s.err != nil {
		return nil, s.err
	}
	var list []*carom.Event
	for _, st := range s.stories {
		e := st.Event
		if (f.App == "" || f.App == e.App) && (f.Before == "" || e.ID < f.Before) && len(list) < f.Limit &&
			(f.Source == "" || f.Source == e.Source) && !e.At.Before(f.Since) {
			list = append(list, e)
		}
	}
	return list, nil
}

// StartFeed and EventsBehind take the seq of an event for its place: the ids of these tests have one bucket, and one node.
func (s *fakeStore) StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error) {
	if after == "" {
		feed, err := s.EventsBehind(ctx, f, nil)
		return carom.Feed{Next: feed.Next}, err
	}
	life, ref, err := after.Place()
	if err == nil && life != 7 {
		err = carom.ErrNotFound
	}
	if err != nil {
		return carom.Feed{}, err
	}
	return s.EventsBehind(ctx, f, carom.FeedCursor{0: ref})
}

func (s *fakeStore) EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error) {
	feed := carom.Feed{Next: c}
	list, err := s.Events(ctx, f)
	for _, e := range list {
		if _, ref, _ := e.ID.Place(); ref.Seq > c[0].Seq {
			feed.Events = append([]*carom.Event{e}, feed.Events...)
			feed.Next = carom.FeedCursor{0: {Bucket: 1, Seq: max(ref.Seq, feed.Next[0].Seq)}}
		}
	}
	return feed, err
}

// add stores a story beside a request that is under way.
func (s *fakeStore) add(st *carom.Story) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stories = append([]*carom.Story{st}, s.stories...)
}

func (s *fakeStore) Rewards(_ context.Context, f carom.RewardFilter) ([]*carom.Reward, error) {
	var list []*carom.Reward
	for _, r := range s.rewards {
		if (f.App == "" || f.App == r.App) && (f.User == "" || f.User == r.User) && (f.State == "" || f.State == r.State) &&
			(f.Before == "" || r.ID < f.Before) && len(list) < f.Limit {
			list = append(list, r)
		}
	}
	return list, s.err
}

func (s *fakeStore) Reward(_ context.Context, id carom.RewardID) (*carom.Reward, []carom.LedgerLine, error) {
	for _, r := range s.rewards {
		if r.ID == id {
			return r, s.lines, nil
		}
	}
	return nil, nil, carom.ErrNotFound
}

func (s *fakeStore) Ledger(_ context.Context, f carom.LedgerFilter) ([]carom.LedgerLine, error) {
	behind := slices.IndexFunc(s.lines, func(l carom.LedgerLine) bool { return f.Before == carom.LedgerCursor{Reward: l.Reward, N: l.N} }) + 1
	return s.lines[behind:min(behind+f.Limit, len(s.lines))], s.err
}

func (s *fakeStore) Balances(context.Context, string, string) ([]carom.Balance, error) {
	return slices.Clone(s.balances), s.err
}

func (s *fakeStore) CheckLedger(context.Context) (carom.LedgerReport, error) { return s.report, s.err }

func (s *fakeStore) Person(_ context.Context, app, user string) (*carom.Person, error) {
	return &carom.Person{App: app, User: user, Rewards: s.rewards, Stories: s.stories}, s.err
}

func (s *fakeStore) Erase(context.Context, string, string) (carom.Erased, error) {
	return carom.Erased{As: "erased-1", Rewards: len(s.rewards)}, s.err
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
	return slices.DeleteFunc(slices.Clone(s.refused), func(r *carom.Refused) bool {
		return f.App != "" && r.App != f.App || f.Reason != "" && r.Reason != f.Reason || !(Span{f.From, f.To}).holds(r.Received.At)
	}), s.err
}

func (s *fakeStore) RefusedByID(_ context.Context, id carom.ReceivedID) (*carom.Refused, error) {
	for _, r := range s.refused {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, carom.ErrNotFound
}

func (s *fakeStore) Unverified(_ context.Context, app, _ string, _ int) ([]*carom.Unverified, error) {
	return slices.DeleteFunc(slices.Clone(s.unverified), func(u *carom.Unverified) bool { return app != "" && u.App != app }), s.err
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
	if s.panics {
		panic("a fault of ours")
	}
	if s.resending != nil {
		<-s.resending
		<-s.resending
	}
	s.resent = append(s.resent, id)
	return s.err
}

func (s *fakeStore) Keys(context.Context) ([]carom.APIKey, error) { return s.keys, s.err }

func (s *fakeStore) CreateKey(_ context.Context, k carom.APIKey, audit ...carom.AuditEntry) error {
	s.keys = append(s.keys, k)
	s.audit = append(s.audit, audit...)
	return s.err
}

func (s *fakeStore) DeleteKey(_ context.Context, id string, audit ...carom.AuditEntry) error {
	s.audit = append(s.audit, audit...)
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

// fakeDoor does to the fake store what the door does to the real one. It grants once for each key, and reprocesses once.
type fakeDoor struct {
	store *fakeStore
	asked []string // "void 2 by admin: why"
	stop  int      // when above zero: the store can store nothing after so many
}

func (d *fakeDoor) Void(rewards []*carom.Reward, by carom.By) ([]carom.Decided, error) {
	d.asked = append(d.asked, fmt.Sprintf("void %d by %s", len(rewards), by))
	var out []carom.Decided
	for i, r := range rewards {
		if d.stop > 0 && i == d.stop {
			return out, carom.ErrUnavailable
		}
		after := *r
		if after.State = carom.RewardReversed; r.State == carom.RewardHeld {
			after.State = carom.RewardCanceled
		}
		out = append(out, carom.Decided{Rule: r.Rule, State: after.State, Reward: &after})
	}
	return out, nil
}

func (d *fakeDoor) Grant(r carom.Reward, key string, by carom.By) (*carom.Reward, carom.EventID, error) {
	d.asked = append(d.asked, fmt.Sprintf("grant %s %s to %s by %s", r.Amount, r.Currency, r.User, by))
	for _, st := range d.store.stories {
		if st.Event.ExternalID == key {
			return nil, st.Event.ID, nil
		}
	}
	r.ID, r.Rule, r.State, r.Event = carom.NewRewardID(7, 90), carom.RuleByHand, carom.RewardGranted, eventID(90)
	ev := &carom.Event{
		ID: r.Event, At: noon(), App: r.App, Source: carom.SourceCarom, Type: carom.Completion, ExternalID: key, UserID: r.User,
		Decided: []carom.Decided{{Rule: r.Rule, State: r.State, Reward: &r}},
	}
	d.store.stories = append([]*carom.Story{{Event: ev}}, d.store.stories...)
	return &r, r.Event, nil
}

func (d *fakeDoor) Reprocess(_ context.Context, events []*carom.Event, refused []*carom.Refused, as carom.RewardEventType, by carom.By) ([]carom.Reprocessed, error) {
	d.asked = append(d.asked, fmt.Sprintf("reprocess %d and %d as %q by %s", len(events), len(refused), as, by))
	var out []carom.Reprocessed
	for i, ev := range events {
		made := eventID(80 + uint32(i))
		reward := &carom.Reward{ID: carom.NewRewardID(7, 80+int64(i)), App: ev.App, User: "u", Currency: "coins", Amount: 5_000_000_000}
		out = append(out, carom.Reprocessed{Of: string(ev.ID), Event: made, Decided: []carom.Decided{{Rule: "watch", State: carom.RewardGranted, Reward: reward}}})
	}
	for _, r := range refused {
		out = append(out, carom.Reprocessed{Of: string(r.ID), Reason: "it is refused again"})
	}
	return out, nil
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
	audit   []carom.AuditEntry
}

func (o *fakeObjects) Objects() carom.Objects { return o.objects }
func (o *fakeObjects) File() string           { return o.file }

func (o *fakeObjects) Apply(_ context.Context, want carom.Objects, audit ...carom.AuditEntry) error {
	o.objects, o.applied, o.audit = want, o.applied+1, append(o.audit, audit...)
	return nil
}

func (o *fakeObjects) Plan(yaml []byte, _ bool) (carom.Objects, []Change, []MadeSecret, error) {
	o.planned = string(yaml)
	return o.objects, o.changes, o.made, o.planErr
}

// world is a server's API over fakes: the apps shop and game, each with a source and an endpoint.
type world struct {
	store   *fakeStore
	door    *fakeDoor
	log     *strings.Builder
	lanes   *fakeLanes
	objects *fakeObjects
	done    chan struct{}
	options Options
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
			rewards: []*carom.Reward{
				shopReward(4, carom.RewardReversed), shopReward(3, carom.RewardHeld), shopReward(2, carom.RewardGranted),
				{ID: carom.NewRewardID(7, 1), At: noon(), App: "game", Rule: "watch", User: "u9", Currency: "gems", Amount: 1_000_000_000, State: carom.RewardGranted},
			},
			lines: []carom.LedgerLine{
				{Reward: carom.NewRewardID(7, 2), N: 1, At: noon(), App: "shop", User: "u1", Currency: "coins", Amount: 2_500_000_000, Event: eventID(1)},
				{Reward: carom.NewRewardID(7, 2), N: 2, At: noon(), App: "shop", User: "u1", Currency: "coins", Amount: -2_500_000_000, Event: eventID(2), Why: "a test (admin)"},
			},
			balances: []carom.Balance{{App: "shop", User: "u1", Currency: "coins", Changed: noon()}},
			report:   carom.LedgerReport{Rewards: 4, Lines: 2, Balances: 1},
		},
		log:   &strings.Builder{},
		lanes: &fakeLanes{lanes: []carom.LaneState{{Endpoint: "shop/backend", Breaker: "closed", Queued: 2}}},
		objects: &fakeObjects{objects: carom.Objects{
			Publishers: []carom.Publisher{{Name: "acme"}},
			Apps:       []carom.App{{Name: "shop", Publisher: "acme", Currencies: map[string]int{"coins": 0, "usd": 2}}, {Name: "game"}},
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
	w.door = &fakeDoor{store: w.store}
	w.options = Options{
		Log:   slog.New(slog.NewTextHandler(w.log, nil)),
		Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Version: "v1.2.3", Now: noon, Done: w.done,
		Backup: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "a backup")
			return err
		},
		Settings: []Setting{{Key: "retention", Value: "30d", Origin: "default", Help: "how long events are kept"}},
		Nodes: func(context.Context) ([]carom.Node, error) {
			return []carom.Node{{No: 1, Name: "web-1", State: carom.NodeAlive, Self: true, Began: noon(), Seen: noon(), Duties: []string{"alerts"}}}, nil
		},
		SourceURL: func(s carom.Source, secret string) string {
			return "https://carom.example/in/" + s.App + "/" + s.Name + "/" + secret
		},
	}
	w.handler = New(w.options)
	return w
}

func shopReward(no int64, state carom.RewardState) *carom.Reward {
	return &carom.Reward{
		ID: carom.NewRewardID(7, no), At: noon(), App: "shop", Rule: "watch", User: "u1", Currency: "coins", Amount: 2_500_000_000,
		State: state, Changed: noon(), Event: eventID(1), Source: "monetag", Network: "monetag", YMID: "user123",
	}
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
