package route_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/route"
	"carom/receiver"
)

// allRewardMacros are the parameters of a template that holds everything of a reward.
const allRewardMacros = "reward_id={reward_id}&reward_state={reward_state}&reward_rule={reward_rule}" +
	"&reward_amount={reward_amount}&reward_currency={reward_currency}&reward_user={reward_user}"

// rewardDelivery is the delivery of a reward in the given state, with the event that caused it.
func rewardDelivery(state carom.RewardState) *carom.Delivery {
	d := sampleDelivery()
	d.Reward = &carom.Reward{
		ID: "rwd_0c5g21r0000010000000k", App: "my-game", Rule: "watch", User: "123456789", Currency: "coins", Amount: 12_500_000_000,
		State: state, Source: "main",
	}
	if state == carom.RewardReversed {
		d.Event.Type = carom.Reversal
	}
	return d
}

// rewards makes an endpoint one that gets rewards.
func rewards(e carom.Endpoint) carom.Endpoint {
	e.Sends = carom.SendsRewards
	return e
}

func TestRewardMacros(t *testing.T) {
	e := mustCompile(t, rewards(carom.Endpoint{URL: "https://example.com/?" + allRewardMacros + "&u={ymid}"}))
	d := rewardDelivery(carom.RewardReversed)
	d.Reward.User, d.Reward.Amount = awkward, 1
	u, err := url.Parse(mustRender(t, e, d).URL)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"reward_id": {"rwd_0c5g21r0000010000000k"}, "reward_state": {"reversed"}, "reward_rule": {"watch"},
		"reward_amount": {"0.000000001"}, "reward_currency": {"coins"}, "reward_user": {awkward}, "u": {"user123"},
	}
	if diff := cmp.Diff(want, u.Query()); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	body := mustCompile(t, rewards(carom.Endpoint{URL: "https://example.com/", Method: "POST",
		Body:    `{"id":"{reward_id}","state":{reward_state},"amount":{reward_amount},"of":"{reward_user}/{reward_currency}"}`,
		Headers: []carom.Field{{Name: "Idempotency-Key", Value: "{reward_id}-{reward_state}"}}}))
	req := mustRender(t, body, rewardDelivery(carom.RewardGranted))
	if got, want := string(req.Body),
		`{"id":"rwd_0c5g21r0000010000000k","state":"granted","amount":12.5,"of":"123456789/coins"}`; got != want {
		t.Errorf("body\ngot  %s\nwant %s", got, want)
	}
	if got, want := req.Header[1].Value, "rwd_0c5g21r0000010000000k-granted"; got != want {
		t.Errorf("header %q, want %q", got, want)
	}
}

// TestRewardRoundTrip: what carom renders by itself, and a template with all macros, is what the package receiver reads.
func TestRewardRoundTrip(t *testing.T) {
	const query = "ymid={ymid}&event_type={event_type}&delivery_id={delivery_id}&test={test}&" + allRewardMacros + "&sig={signature}"
	ways := map[string]struct {
		e    carom.Endpoint
		full bool // it sends all of the event
	}{
		"JSON": {carom.Endpoint{URL: "https://example.com/", Method: "POST"}, true},
		"form": {carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: "form"}, false},
		"GET":  {carom.Endpoint{URL: "https://example.com/?" + query}, false},
	}
	for name, way := range ways {
		way.e.SigningSecrets = keys(oldKey)
		e := mustCompile(t, rewards(way.e))
		for _, state := range []carom.RewardState{carom.RewardGranted, carom.RewardReversed} {
			d := rewardDelivery(state)
			d.Reward.User = strings.ToValidUTF8(awkward, "")
			got := receive(t, mustRender(t, e, d))
			want := &receiver.Reward{
				ID: d.Reward.ID, Rule: "watch", Amount: 12_500_000_000, Currency: "coins", User: d.Reward.User, State: state,
			}
			if diff := cmp.Diff(want, got.Reward); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, state, diff)
			}
			if got.DeliveryID != d.ID || got.Type != d.Event.Type || got.YMID != "user123" {
				t.Errorf("%s, %s: the event arrives as %+v", name, state, got)
			}
			if way.full && (got.EventID != d.Event.ID || got.Source != "main" || got.Fields["geo"] != "DE") {
				t.Errorf("%s, %s: the event arrives as %+v", name, state, got)
			}
		}
	}
}

// plainStore runs every grant, as if it were the first.
type plainStore struct{}

func (plainStore) Once(ctx context.Context, _ string, grant func(context.Context, *sql.Tx) error) (bool, error) {
	return true, grant(ctx, nil)
}

// receive hands a signed request to the package receiver and returns what is granted.
func receive(t *testing.T, req route.Request) (got receiver.Postback) {
	t.Helper()
	o := receiver.Options{Secrets: []string{oldKey}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return attemptAt }}
	h, err := receiver.New(o, plainStore{}, func(_ context.Context, _ *sql.Tx, p receiver.Postback) error {
		got = p
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(req.Method, req.URL, strings.NewReader(string(req.Body)))
	for _, f := range req.Header {
		r.Header.Set(f.Name, f.Value)
	}
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("%s %s is answered %d %q", req.Method, req.URL, w.Code, w.Body)
	}
	return got
}

func TestRewardDefaultBodies(t *testing.T) {
	for name, contentType := range map[string]string{"reward.json": "json", "reward.form": "form"} {
		e := mustCompile(t, rewards(carom.Endpoint{URL: "https://example.com/", Method: "POST", ContentType: contentType}))
		golden(t, name, mustRender(t, e, rewardDelivery(carom.RewardGranted)).Body)
	}
}

// TestDocumentedReward: the page shows what an endpoint that gets rewards is really sent.
func TestDocumentedReward(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rewards.md"))
	if err != nil {
		t.Fatal(err)
	}
	d := rewardDelivery(carom.RewardGranted)
	d.Event.UserID, d.Event.ExternalID, d.Event.Fields, d.Reward.Amount = "", "", nil, 5_000_000_000
	d.Event.App, d.Event.Source, d.Event.Type = "game", "monetag", carom.Impression
	e := mustCompile(t, rewards(carom.Endpoint{URL: "https://example.com/", Method: "POST"}))
	if body := string(mustRender(t, e, d).Body); !strings.Contains(string(page), "\n"+body+"\n") {
		t.Errorf("docs/rewards.md does not show the body of a reward:\n%s", body)
	}
	e = mustCompile(t, rewards(carom.Endpoint{URL: "https://example.com/?id={reward_id}&state={reward_state}&user={reward_user}" +
		"&amount={reward_amount}&currency={reward_currency}"}))
	_, query, _ := strings.Cut(mustRender(t, e, d).URL, "?")
	if !strings.Contains(string(page), "?"+query+"\n") {
		t.Errorf("docs/rewards.md does not show the query of a reward:\n%s", query)
	}
}

func TestRenderRefusesWhatTheEndpointDoesNotGet(t *testing.T) {
	tests := []struct {
		name  string
		sends carom.Sends
		d     *carom.Delivery
	}{
		{"an event for an endpoint of rewards", carom.SendsRewards, sampleDelivery()},
		{"a reward for an endpoint of events", carom.SendsEvents, rewardDelivery(carom.RewardGranted)},
		{"a reward that is held", carom.SendsRewards, rewardDelivery(carom.RewardHeld)},
		{"a reward that is canceled", carom.SendsRewards, rewardDelivery(carom.RewardCanceled)},
		{"a reward without its event", carom.SendsRewards, &carom.Delivery{Reward: rewardDelivery(carom.RewardGranted).Reward}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := mustCompile(t, carom.Endpoint{URL: "https://example.com/", Method: "POST", Sends: tt.sends})
			if _, err := e.Render(tt.d, 1, attemptAt); !errors.Is(err, carom.ErrInvalid) {
				t.Errorf("Render = %v, want ErrInvalid", err)
			}
		})
	}
}

func TestCompileRewardFaults(t *testing.T) {
	const (
		bare = "https://example.com/"
		u    = bare + "?id={reward_id}&s={reward_state}"
	)
	filter := func(f carom.Filter) carom.Endpoint { return rewards(carom.Endpoint{URL: u, Filter: f}) }
	post := func(contentType, body string) carom.Endpoint {
		return rewards(carom.Endpoint{URL: bare, Method: "POST", ContentType: contentType, Body: body})
	}
	tests := []struct {
		name string
		e    carom.Endpoint
		want string
	}{
		{"sends: a word nobody knows", carom.Endpoint{URL: bare, Sends: "coins"}, `sends: "coins" is not known: use events or rewards`},
		{"filter: event types", filter(carom.Filter{EventTypes: []carom.EventType{""}}), "filter.event_types: remove it"},
		{"filter: values", filter(carom.Filter{Values: []carom.RewardEventType{"unknown"}}), "filter.values: name the rules"},
		{"filter: zones", filter(carom.Filter{Zones: []string{"1"}}), "filter.zones: looks at rules and sources alone"},
		{"filter: request_vars", filter(carom.Filter{RequestVars: []string{"b"}}), "filter.request_vars: looks at rules and sources alone"},
		{"filter: an empty rule", filter(carom.Filter{Rules: []string{""}}), "filter.rules: remove it"},
		{"filter: rules for events", carom.Endpoint{URL: bare, Filter: carom.Filter{Rules: []string{"watch"}}},
			"filter.rules: add the line `sends: rewards`, or remove it"},

		{"events: a macro of rewards", carom.Endpoint{URL: bare + "?id={reward_id}&x={reward_id}"}, "url: {reward_id} is of rewards, and this endpoint gets events"},
		{"events: in a header", carom.Endpoint{URL: bare, Headers: []carom.Field{{Name: "X-A", Value: "{reward_user}"}}},
			"headers.X-A: add the line `sends: rewards`"},
		{"events: in a body", carom.Endpoint{URL: bare, Method: "POST", Body: `{"a":{reward_amount}}`}, "body: {reward_amount} is of rewards"},

		{"GET: without the id", rewards(carom.Endpoint{URL: bare + "?s={reward_state}"}),
			"url: without {reward_id} the receiver cannot grant once: add &reward_id={reward_id} to the query"},
		{"GET: without the state", rewards(carom.Endpoint{URL: bare + "?id={reward_id}"}),
			"url: without {reward_state} the receiver takes a reversal for a grant: add &reward_state={reward_state}"},
		{"form: without the id", post("form", "u={reward_user}"), "body: without {reward_id} the receiver cannot grant once: add it, or leave the body to carom"},
		{"JSON: without the id", post("", `{"u":"{reward_user}"}`), "body: without {reward_id} the receiver cannot grant once"},
		{"JSON: without the state", post("", `{"u":"{reward_id}"}`), "body: without {reward_state}"},
		{"an unsigned place", rewards(carom.Endpoint{URL: bare + "{reward_id}?s={reward_state}&sig={signature}", SigningSecrets: keys(oldKey)}),
			"url: {reward_id} stands where the signature does not cover it"},

		{"unknown: amount", rewards(carom.Endpoint{URL: u + "&a={amount}"}), "url: did you mean {reward_amount}?"},
		{"unknown: currency", rewards(carom.Endpoint{URL: u + "&a={currency}"}), "url: did you mean {reward_currency}?"},
		{"unknown: rule", rewards(carom.Endpoint{URL: u + "&a={rule}"}), "url: did you mean {reward_rule}?"},
		{"unknown: user", rewards(carom.Endpoint{URL: u + "&a={user}"}), "url: did you mean {reward_user}?"},
		{"unknown: of the event", rewards(carom.Endpoint{URL: u + "&a={zone}"}), "url: did you mean {zone_id}?"},
		{"unknown: nothing near", rewards(carom.Endpoint{URL: u + "&a={something_else}"}), "url: a reward's are {reward_id}, {reward_state}"},
		{"unknown, of events: nothing of rewards", carom.Endpoint{URL: bare + "?a={reward_idd}"}, "url: unknown macro {reward_idd}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := route.Compile(tt.e)
			checkFault(t, err, tt.want)
			if strings.HasPrefix(tt.name, "unknown, of events") && strings.Contains(err.Error(), "did you mean {reward_id}") {
				t.Errorf("an endpoint that gets events is offered {reward_id}: %v", err)
			}
		})
	}
	if e := mustCompile(t, filter(carom.Filter{Rules: []string{carom.RuleByHand}})); e.Deadline != carom.RewardDeadline {
		t.Errorf("the deadline is %s, want %s", e.Deadline, carom.RewardDeadline)
	}
	mustCompile(t, rewards(carom.Endpoint{URL: bare + "?id={reward_id}&type={event_type}"})) // a reversal's says so
}

func TestMatchReward(t *testing.T) {
	const u = "https://example.com/?id={reward_id}&s={reward_state}"
	var list []*route.Endpoint
	for no, f := range []carom.Filter{
		{}, {Rules: []string{"watch"}}, {Sources: []string{"main"}}, {Rules: []string{"watch", "-"}, Sources: []string{"main", "wall"}}, {},
	} {
		e := rewards(carom.Endpoint{No: 9 - no, App: "my-game", Name: "e", URL: u, Filter: f, Paused: no == 0})
		if no == 4 {
			e.App = "other"
		}
		list = append(list, mustCompile(t, e))
	}
	list = append(list, mustCompile(t, carom.Endpoint{No: 1, App: "my-game", Name: "events", URL: "https://example.com/"}))
	table := route.NewTable(list)
	tests := []struct {
		app, rule, source string
		want              []int
	}{
		{"my-game", "watch", "main", []int{6, 7, 8, 9}},
		{"my-game", "watch", "wall", []int{6, 8, 9}},
		{"my-game", "watch", "third", []int{8, 9}},
		{"my-game", "offers", "main", []int{7, 9}},
		{"my-game", carom.RuleByHand, carom.SourceCarom, []int{9}},
		{"my-game", carom.RuleByHand, "wall", []int{6, 9}},
		{"other", "watch", "main", []int{5}},
		{"nobody's", "watch", "main", nil},
	}
	for _, tt := range tests {
		var got []int
		for _, e := range table.MatchReward(nil, tt.app, tt.rule, tt.source) {
			got = append(got, e.No)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("MatchReward(%s, %s, %s) (-want +got):\n%s", tt.app, tt.rule, tt.source, diff)
		}
	}
	if got := table.Match(nil, sampleDelivery().Event); len(got) != 1 || got[0].No != 1 || list[0].Matches(sampleDelivery().Event) {
		t.Errorf("an event matches %d endpoints, want only the one that gets events", len(got))
	}
	full := make([]*route.Endpoint, carom.MaxFanOut+1)
	for i := range full {
		full[i] = list[0]
	}
	if got := len(route.NewTable(full).MatchReward(nil, "my-game", "watch", "main")); got != carom.MaxFanOut {
		t.Errorf("MatchReward returns %d endpoints, want at most %d", got, carom.MaxFanOut)
	}
	dst := make([]*route.Endpoint, 0, 4)
	if n := testing.AllocsPerRun(100, func() { _ = table.MatchReward(dst, "my-game", "watch", "main") }); n != 0 {
		t.Errorf("MatchReward allocates %v times, want none", n)
	}
}

func TestRenderOfARewardAllocatesTheURLOnly(t *testing.T) {
	e, d := mustCompile(t, rewards(carom.Endpoint{URL: typicalURL + "&" + allRewardMacros})), rewardDelivery(carom.RewardGranted)
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Render(d, 1, attemptAt) }); n > 1 {
		t.Errorf("Render allocates %v times, want once", n)
	}
}
