package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/api"
	"carom/internal/caromtest"
)

// beside is an objects file with the source game/ads in shadow of a receiver, a rule, and an endpoint that nothing may reach.
func beside(receiver, mode, endpoint string) string {
	return `apps:
  game:
    currencies: { coins: 0 }
    sources:
      ads: { profile: monetag, secret: ` + caromtest.Secret + mode + receiver + ` }
    rules:
      watch: { filter: { event_types: [impression, click] }, price: 5 coins }
      share: { additional: true, filter: { event_types: [impression] }, price: { from: estimated_price, currency: coins, rate: 1000, max: 50, trust: secret } }
    endpoints:
      backend: { url: "` + endpoint + `/p?ymid={ymid}", allow_private: true }
      rewards: { url: "` + endpoint + `/r?id={reward_id}&state={reward_state}", allow_private: true, sends: rewards }
`
}

const inShadow = ", mode: shadow"

func shadowURL(u string) string { return ", shadow_url: \"" + u + "\"" }

// report is what the server says of game/ads once it has counted so many requests.
func report(t *testing.T, s *caromtest.Server, requests int64) api.ShadowReport {
	t.Helper()
	var r api.ShadowReport
	caromtest.Until(t, fmt.Sprintf("a report of %d requests", requests), func() bool {
		s.Get(t, "/v1/sources/game/ads/shadow", &r)
		return r.Requests >= requests
	})
	return r
}

// kinds is how often the report names each kind.
func kinds(r api.ShadowReport) map[string]int64 {
	found := map[string]int64{}
	for _, d := range r.Differences {
		found[string(d.Kind)] = d.Count
	}
	return found
}

// naive is a receiver as many are written: it asks for no secret, knows one spelling, uses the ymid up with whatever comes
// first, answers copies with 429, and takes every amount.
type naive struct {
	mu   sync.Mutex // guards seen
	seen map[string]string
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	q := r.URL.Query()
	ymid, kind, value := q.Get("ymid"), q.Get("event_type"), q.Get("reward_event_type")
	switch before, known := n.seen[ymid]; {
	case kind == "":
		http.Error(w, "event_type is missing", http.StatusBadRequest)
	case known && before == kind+value:
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	case known && strings.HasSuffix(before, "not_valued"):
		_, _ = io.WriteString(w, "duplicate")
	default:
		n.seen[ymid] = kind + value
		_, _ = io.WriteString(w, "OK")
	}
}

// The report names each mistake of a receiver that makes many, with examples that lead to the stories, and nothing is granted
// or sent meanwhile.
func TestShadowNamesMistakes(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(&naive{seen: map[string]string{}})
	defer receiver.Close()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: beside(shadowURL(receiver.URL+"/postback?key=the-receivers-own-key"), inShadow, endpoint.URL)})

	const paid, unpaid = "&reward_event_type=valued&telegram_id=77", "&reward_event_type=not_valued&telegram_id=77"
	for _, one := range []struct {
		query string
		want  int
	}{
		{"ymid=view-1&zone_id=1&event_type=impression" + paid, 200},
		{"ymid=view-1&zone_id=1&event_type=click" + paid, 200}, // view_paid_twice
		{"ymid=view-1&zone_id=1&event_type=click" + paid, 429}, // repeats
		{"ymid=view-2&zone_id=1&event_type=impression" + unpaid, 200},
		{"ymid=view-2&zone_id=1&event_type=impression" + paid, 200},                            // paid_after_unpaid: answered "duplicate"
		{"ymid=view-3&zone_id=1&event=click&value=yes&telegram_id=77", 400},                    // words
		{"ymid=user123&event=click&zone_id=8790478&request_var=bonus-btn", 400},                // words: the documented sample
		{"ymid=view-4&zone_id=1&event_type=impression&estimated_price=1000000000" + paid, 200}, // amount: no price at all
		{"ymid=view-5&zone_id=1&event_type=impression&estimated_price=0.06" + paid, 200},       // amount: above the rule's 50 coins
		{"ymid={ymid}&zone_id=1&event_type=impression" + paid, 200},                            // literal_macro
	} {
		if a := s.Postback(t, one.query); a.Status != one.want {
			t.Errorf("%s was answered %d %q, want the receiver's %d", one.query, a.Status, a.Body, one.want)
		}
	}
	if a := caromtest.Do(t, "GET", s.URL+"/in/game/ads/not-the-secret-but-as-long?ymid=evil&event_type=click"+paid, ""); a.Status != 200 { // open_door
		t.Errorf("a forged postback was answered %d, want the receiver's 200", a.Status)
	}
	got := report(t, s, 11)
	want := map[string]int64{"open_door": 1, "view_paid_twice": 1, "repeats": 1, "paid_after_unpaid": 1, "words": 2, "amount": 2, "literal_macro": 1}
	if diff := cmp.Diff(want, kinds(got)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if got.Compared != 11 || got.Agreed != 2 || got.Source != "game/ads" || got.Mode != "shadow" {
		t.Errorf("the report says %+v, want 11 compared of which 2 agreed", got)
	}
	// Five views at 5 coins each, and for the last its estimated price as well, which the rule bounds to 50.
	if diff := cmp.Diff([]carom.ShadowSum{{Currency: "coins", Rewards: 6, Amount: "75"}}, got.WouldGrant); diff != "" {
		t.Errorf("would grant (-want +got):\n%s", diff)
	}
	for _, d := range got.Differences {
		if d.What == "" || d.Costs == "" || len(d.Examples) == 0 || len(d.Examples) > 3 {
			t.Errorf("the difference %+v does not explain itself", d)
		}
		for _, x := range d.Examples {
			path := "/v1/events/" + x.ID
			if strings.HasPrefix(x.ID, "rcv_") {
				path = "/v1/received/" + x.ID + "/verification"
			}
			if x.ID != "" && s.Local(t, "GET", path, "").Status != 200 {
				t.Errorf("the example %+v of %s leads nowhere", x, d.Kind)
			}
		}
	}
	nothingGranted(t, s, endpoint)
	for _, secret := range []string{caromtest.Secret, "not-the-secret-but-as-long", "the-receivers-own-key"} {
		if strings.Contains(s.Log(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func nothingGranted(t *testing.T, s *caromtest.Server, endpoint *caromtest.Endpoint) {
	t.Helper()
	for _, e := range s.Events(t, "") {
		if e.Held != "shadow" {
			t.Errorf("the event %s is held as %q, want shadow", e.ID, e.Held)
		}
	}
	var rewards api.RewardList
	s.Get(t, "/v1/rewards", &rewards)
	if sent := slices.Concat(endpoint.Sent("/p"), endpoint.Sent("/r")); len(sent) > 0 || len(rewards.Rewards) > 0 {
		t.Errorf("in shadow %d postbacks were sent and %d rewards granted, want none", len(sent), len(rewards.Rewards))
	}
}

// careful is a receiver without a mistake that can be seen: it has a secret of its own, pays a view once, and says so.
type careful struct {
	mu   sync.Mutex // guards paid
	paid map[string]bool
}

func (c *careful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := r.URL.Query()
	value := q.Get("reward_event_type") + q.Get("value")
	ymid := q.Get("ymid")
	switch {
	case q.Get("key") != "the-receivers-own-key":
		http.Error(w, "forbidden", http.StatusForbidden)
	case q.Get("event_type") == "reversal":
		_, _ = io.WriteString(w, `{"ok":true,"reversed":"`+ymid+`"}`)
	case ymid == "" || ymid == "{ymid}" || len(q.Get("estimated_price")) > 8:
		_, _ = io.WriteString(w, "ignored")
	case value != "valued" && value != "yes":
		_, _ = io.WriteString(w, "nothing to pay")
	case c.paid[ymid]:
		_, _ = io.WriteString(w, `{"ok":true,"duplicate":"`+ymid+`"}`)
	default:
		c.paid[ymid] = true
		_, _ = io.WriteString(w, `{"ok":true,"granted":"`+ymid+`","at":1764760000}`)
	}
}

// A correct receiver differs in nothing. After the switch the source grants, and what was held can be granted as well.
func TestShadowOfACorrectReceiver(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(&careful{paid: map[string]bool{}})
	defer receiver.Close()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: beside(shadowURL(receiver.URL+"/postback?key=the-receivers-own-key"), inShadow, endpoint.URL)})
	const user = "&zone_id=1&telegram_id=77"
	queries := []string{
		"ymid=view-1&event_type=impression&reward_event_type=valued" + user,
		"ymid=view-1&event_type=click&reward_event_type=valued" + user,
		"ymid=view-1&event_type=click&reward_event_type=valued" + user,
		"ymid=view-2&event_type=click&reward_event_type=not_valued" + user,
		"ymid=view-2&event_type=click&reward_event_type=valued" + user,
		"ymid=view-3&event=impression&value=yes" + user,
		"ymid={ymid}&event_type=click&reward_event_type=valued" + user,
		"ymid=view-4&event_type=click&reward_event_type=valued&estimated_price=1000000000" + user,
		"ymid=view-1&event_type=reversal" + user,
		"event_type=click",
	}
	for _, query := range queries {
		if a := s.Postback(t, query); a.Status != 200 {
			t.Errorf("%s was answered %d %q", query, a.Status, a.Body)
		}
	}
	if a := caromtest.Do(t, "GET", s.URL+"/in/game/ads/wrong?"+queries[0], ""); a.Status != 403 || a.Body != "forbidden\n" {
		t.Errorf("a forged postback was answered %d %q: it was lent the receiver's key", a.Status, a.Body)
	}
	got := report(t, s, int64(len(queries)+1))
	if len(got.Differences) > 0 || got.Agreed != got.Requests {
		t.Errorf("the report of a correct receiver is %+v", got)
	}
	nothingGranted(t, s, endpoint)

	s.Apply(t, beside("", "", endpoint.URL))
	s.Accepted(t, "ymid=view-9&event_type=click&reward_event_type=valued"+user)
	endpoint.Wait(t, "/r", 1)
	if a := s.Local(t, "POST", "/v1/reprocess", `{"filter":{"app":"game","kind":"held","reason":"shadow"},"why":"we switch over"}`,
		"Content-Type", "application/json"); a.Status != 200 {
		t.Fatalf("reprocessing was answered %d %s", a.Status, a.Body)
	}
	caromtest.Until(t, "the rewards of what was held", func() bool {
		var rewards api.RewardList
		s.Get(t, "/v1/rewards?user=77&app=game", &rewards)
		return len(rewards.Rewards) >= 4 // views 9, 2, 3 and 4; the first was taken back
	})
	if got := report(t, s, 0); got.Mode != "live" || got.Requests != int64(len(queries)+1) {
		t.Errorf("after the switch the report is %+v, want that of the time in shadow", got)
	}
}

// What is passed on and what is answered are the bytes that came, but for the path with its secret.
func TestShadowPassesOnVerbatim(t *testing.T) {
	t.Parallel()
	receiver := caromtest.NewEndpoint(t)
	receiver.Script("/old/postback", caromtest.Reply{Status: 418, ContentType: "text/x-odd; charset=ascii", Body: "short and\x00stout"})
	s := caromtest.Start(t, caromtest.Options{Objects: beside(shadowURL(receiver.URL+"/old/postback?k=1%2f2"), inShadow, receiver.URL)})
	const query = "ymid=%7e%2Fv+1&b=2&a=1&a=1&empty=&bare&event_type=click&utf=%C3%A9&broken=%zz;x=1"
	a := caromtest.Do(t, "GET", s.URL+caromtest.Door+"?"+query, "", "X-Network", "yes", "User-Agent", "Network/1.0",
		"Connection", "X-Hop", "X-Hop", "1", "X-Original-Uri", caromtest.Door)
	if a.Status != 418 || a.Header.Get("Content-Type") != "text/x-odd; charset=ascii" || a.Body != "short and\x00stout" {
		t.Errorf("the network is answered %d %v %q, want what the receiver answered", a.Status, a.Header, a.Body)
	}
	const body = "ymid=v2&event_type=click&x=%zz"
	caromtest.Do(t, "POST", s.URL+caromtest.Door, body, "Content-Type", "application/x-www-form-urlencoded")
	caromtest.Do(t, "DELETE", s.URL+caromtest.Door, body)
	caromtest.Do(t, "GET", s.URL+"/in/game/ads/a-wrong-secret?"+query, "")
	sent := receiver.Sent("/old/postback")
	if len(sent) != 4 {
		t.Fatalf("the receiver got %d requests, want 4: %+v", len(sent), sent)
	}
	for i, want := range []caromtest.Sent{
		{Method: "GET", Query: "k=1%2f2&" + query}, {Method: "POST", Query: "k=1%2f2", Body: body}, {Method: "DELETE", Query: "k=1%2f2", Body: body},
		{Method: "GET", Query: query},
	} {
		if got := sent[i]; got.Method != want.Method || got.Query != want.Query || got.Body != want.Body {
			t.Errorf("request %d: the receiver got %s ?%s %q, want %s ?%s %q", i, got.Method, got.Query, got.Body, want.Method, want.Query, want.Body)
		}
		if text := fmt.Sprint(sent[i].Header); strings.Contains(text, caromtest.Secret) {
			t.Errorf("request %d: a header holds the path's secret: %s", i, text)
		}
	}
	h := sent[0].Header
	if h.Get("X-Network") != "yes" || h.Get("User-Agent") != "Network/1.0" || h.Get("X-Hop") != "" || h.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the receiver got the header %v", h)
	}
	if u, err := url.Parse(s.URL); err != nil || h.Get("Host") == u.Host {
		t.Errorf("the receiver got the host %q", h.Get("Host"))
	}
}

// Without a receiver carom answers by itself; one that is down makes the network repeat, and the repeat is no copy to it.
func TestShadowWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: beside("", inShadow, endpoint.URL)})
	const query = "ymid=view-1&zone_id=1&event_type=impression&reward_event_type=valued&telegram_id=77"
	s.Accepted(t, query)
	got := report(t, s, 1)
	if got.Compared != 0 || len(got.Differences) != 0 || len(got.WouldGrant) != 1 || got.WouldGrant[0].Amount != "5" {
		t.Errorf("the report without a receiver is %+v, want 5 coins and no comparison", got)
	}
	receiver := caromtest.NewEndpoint(t)
	receiver.Script("/p", caromtest.Reset, caromtest.OK)
	s.Apply(t, beside(shadowURL(receiver.URL+"/p"), inShadow, endpoint.URL))
	later := strings.Replace(query, "view-1", "view-2", 1)
	if a := caromtest.Do(t, "POST", s.URL+caromtest.Door+"?"+later, ""); a.Status != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("a broken connection is answered %d, want 503 with Retry-After", a.Status)
	}
	if a := caromtest.Do(t, "POST", s.URL+caromtest.Door+"?"+later, ""); a.Status != 200 || a.Body != "ok" {
		t.Errorf("the repeat is answered %d %q, want the receiver's", a.Status, a.Body)
	}
	got = report(t, s, 3)
	if diff := cmp.Diff(map[string]int64{"failed": 1}, kinds(got)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	nothingGranted(t, s, endpoint)
}
