package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"carom/internal/caromtest"
)

// payingViews is an app that opens views: Monetag and another source of it, AdsGram, which sends no id, and a rule for the spot
// that the backend named.
func payingViews(endpoint string) string {
	return `apps:
  game:
    currencies: { coins: 0 }
    origins: ["https://game.example"]
    telegram: { bot_token: "7342037359:` + botSecret + `" }
    rules:
      watch:
        filter: { sources: [ads, other], event_types: [impression, click] }
        price: 5 coins
        caps: [{ per: [user, day], rewards: 4 }]
      bonus:
        additional: true
        filter: { sources: [ads], request_vars: [bonus-btn] }
        price: 1 coins
      gram:
        filter: { sources: [gram] }
        price: 2 coins
      offers:
        filter: { sources: [orders] }
        price: 7 coins
        hold: 1s
    sources:
      ads: { profile: monetag, secret: "` + caromtest.Secret + `" }
      other: { profile: monetag, secret: "` + caromtest.Secret + `" }
      gram: { profile: adsgram, secret: "` + caromtest.Secret + `" }
      orders: { profile: api }
    endpoints:
      bank:
        sends: rewards
        url: "` + endpoint + `/bank?id={reward_id}&rule={reward_rule}&state={reward_state}&amount={reward_amount}&currency={reward_currency}&user={reward_user}"
        allow_private: true
        schedule: [1s]
`
}

const botSecret = "AAF0123456789abcdefghijklmnopqrstuv"

// openedView is what opening a view answers.
type openedView struct {
	ID    string `json:"view_id"`
	YMID  string `json:"ymid"`
	Token string `json:"token"`
}

// seenView is what asking for a view answers.
type seenView struct {
	State  string `json:"state"`
	Unpaid bool   `json:"unpaid"`
	Reason string `json:"reason"`
	Reward *struct {
		ID, Rule, Amount, Currency, State string
	} `json:"reward"`
}

func openView(t *testing.T, s *caromtest.Server, body string, header ...string) openedView {
	t.Helper()
	a := s.Local(t, "POST", "/v1/views", body, "Content-Type", "application/json")
	if len(header) > 0 {
		a = caromtest.Do(t, "POST", s.URL+"/v1/views", body, header...)
	}
	var v openedView
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil || a.Status != http.StatusCreated {
		t.Fatalf("opening a view was answered %d %s", a.Status, a.Body)
	}
	return v
}

func (v openedView) look(t *testing.T, s *caromtest.Server, query string) seenView {
	t.Helper()
	a := caromtest.Do(t, "GET", s.URL+"/v1/views/"+v.ID+query, "", "Authorization", "Bearer "+v.Token)
	var seen seenView
	if err := json.Unmarshal([]byte(a.Body), &seen); err != nil || a.Status != http.StatusOK {
		t.Fatalf("looking at %s was answered %d %s", v.ID, a.Status, a.Body)
	}
	return seen
}

// event sends the postback of a view's event.
func (v openedView) event(t *testing.T, s *caromtest.Server, eventType, value string) {
	t.Helper()
	s.Accepted(t, "ymid="+v.YMID+"&zone_id=1&telegram_id=42&event_type="+eventType+"&reward_event_type="+value)
}

func TestOpenedViewFromUnpaidToConfirmed(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(endpoint.URL)})
	v := openView(t, s, `{"app":"game","user":"anna","placement":"bonus-btn"}`)
	if seen := v.look(t, s, ""); seen.State != "open" || seen.Unpaid {
		t.Fatalf("a new view is %+v", seen)
	}
	told := make(chan seenView, 1)
	go func() { told <- v.look(t, s, "?wait=20s&unpaid=1") }()
	v.event(t, s, "impression", "not_valued")
	if seen := v.look(t, s, ""); seen.State != "open" || !seen.Unpaid {
		t.Errorf("after an unpaid event it is %+v, want open and unpaid so far", seen)
	}
	v.event(t, s, "click", "valued")
	if seen := <-told; seen.State != "confirmed" || seen.Reward == nil || seen.Reward.Rule != "watch" || seen.Reward.Amount != "5" {
		t.Errorf("who waited was told %+v", seen)
	}
	v.event(t, s, "impression", "valued") // and its click was paid already
	s.Restart(t)
	if seen := v.look(t, s, ""); seen.State != "confirmed" || seen.Reward.Rule != "watch" {
		t.Errorf("after a restart it is %+v", seen)
	}
	// The user is the one that the backend named, not the postback's; the second rule pays beside the first, for the spot.
	var rules []string
	for _, sent := range endpoint.Wait(t, "/bank", 2) {
		q, err := url.ParseQuery(sent.Query)
		if err != nil || q.Get("user") != "anna" || q.Get("state") != "granted" {
			t.Errorf("the endpoint was told %s", sent.Query)
		}
		rules = append(rules, q.Get("rule")+" "+q.Get("amount"))
	}
	if got := strings.Join(rules, ", "); got != "watch 5, bonus 1" && got != "bonus 1, watch 5" {
		t.Errorf("the endpoint was told of %s", got)
	}
	if a := caromtest.Do(t, "GET", s.URL+"/v1/views/"+v.ID, "", "Authorization", "Bearer vt_0000000000000000"); a.Status != http.StatusNotFound {
		t.Errorf("another token was answered %d", a.Status)
	}
}

func TestOpenedViewOfSeveralNetworks(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(caromtest.NewEndpoint(t).URL)})
	v := openView(t, s, `{"app":"game","user":"bert","sources":["other"]}`)
	v.event(t, s, "impression", "valued") // through ads, which was not expected
	if seen := v.look(t, s, ""); seen.State != "open" {
		t.Errorf("after an event of another network it is %+v", seen)
	}
	query := "ymid=" + v.YMID + "&zone_id=1&event_type=click&reward_event_type=valued"
	if a := caromtest.Do(t, "GET", s.URL+"/in/game/other/"+caromtest.Secret+"?"+query, ""); a.Status != http.StatusOK {
		t.Fatalf("answered %d", a.Status)
	}
	if seen := v.look(t, s, ""); seen.State != "confirmed" {
		t.Errorf("after an event of the expected network it is %+v", seen)
	}
	for i := range 4 { // the user's day ends after four
		v = openView(t, s, fmt.Sprintf(`{"app":"game","user":"bert","ymid":"own-showing-%d"}`, i))
		v.event(t, s, "impression", "valued")
	}
	if seen := v.look(t, s, ""); seen.State != "declined" || seen.Reason != "capped" {
		t.Errorf("beyond the cap it is %+v", seen)
	}
}

// A backend that opens a view of its own ymid after the first event came does not make it pay twice.
func TestViewOpenedTooLatePaysOnce(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(caromtest.NewEndpoint(t).URL)})
	early := openedView{YMID: "showing-4711"}
	early.event(t, s, "impression", "valued")
	v := openView(t, s, `{"app":"game","user":"42","ymid":"showing-4711"}`)
	v.event(t, s, "click", "valued")
	var balances struct {
		Balances []struct{ Amount string } `json:"balances"`
	}
	s.Get(t, "/v1/balances?app=game&user=42", &balances)
	if len(balances.Balances) != 1 || balances.Balances[0].Amount != "5" {
		t.Errorf("the user has %+v, want 5", balances.Balances)
	}
}

// AdsGram says who the user is and nothing else. Without an opened view nothing is paid.
func TestViewOfANetworkWithoutIDs(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(caromtest.NewEndpoint(t).URL)})
	adsgram := func(user int) {
		t.Helper()
		if a := caromtest.Do(t, "GET", s.URL+"/in/game/gram/"+caromtest.Secret+fmt.Sprint("?userid=", user), ""); a.Status != http.StatusOK {
			t.Fatalf("answered %d %s", a.Status, a.Body)
		}
	}
	adsgram(1001)
	first := openView(t, s, `{"app":"game","user":"1002","sources":["gram"]}`)
	second := openView(t, s, `{"app":"game","user":"1002","sources":["gram"]}`)
	if seen := first.look(t, s, ""); seen.State != "expired" {
		t.Errorf("the user's earlier view is %+v, want expired", seen)
	}
	adsgram(1002)
	if seen := second.look(t, s, "?wait=5s"); seen.State != "confirmed" || seen.Reward.Amount != "2" {
		t.Errorf("it is %+v", seen)
	}
	for user, want := range map[string]string{"1001": "declined no_view", "1002": "granted "} {
		var got string
		for _, e := range s.Events(t, "user="+user) {
			var story struct {
				Decided []struct{ State, Reason string } `json:"decided"`
			}
			s.Get(t, "/v1/events/"+string(e.ID), &story)
			for _, d := range story.Decided {
				got += d.State + " " + d.Reason
			}
		}
		if got != want {
			t.Errorf("the event of user %s: %q, want %q", user, got, want)
		}
	}
}

// A Mini App opens views itself, with what Telegram says of its user.
func TestBrowserOpensAView(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(caromtest.NewEndpoint(t).URL), Private: true})
	data := url.Values{"auth_date": {fmt.Sprint(time.Now().Unix())}, "query_id": {"q"}, "user": {`{"id":4242,"first_name":"A"}`}}
	check := "auth_date=" + data.Get("auth_date") + "\nquery_id=q\nuser=" + data.Get("user")
	key := hmac.New(sha256.New, []byte("WebAppData"))
	key.Write([]byte("7342037359:" + botSecret))
	sum := hmac.New(sha256.New, key.Sum(nil))
	sum.Write([]byte(check))
	data.Set("hash", hex.EncodeToString(sum.Sum(nil)))
	header := []string{"Authorization", "tma " + data.Encode(), "Origin", "https://game.example"}
	v := openView(t, s, `{"app":"game","placement":"bonus-btn"}`, header...)
	v.event(t, s, "impression", "valued")
	if seen := v.look(t, s, ""); seen.State != "confirmed" || seen.Reward.Rule != "watch" {
		t.Errorf("it is %+v", seen)
	}
	events := s.Events(t, "ymid="+v.YMID)
	var story struct {
		Decided []struct {
			Rule, State, Reason, User string
		} `json:"decided"`
	}
	s.Get(t, "/v1/events/"+string(events[0].ID), &story)
	for _, d := range story.Decided { // the browser's word for the spot sets no price
		if d.Rule == "bonus" && d.Reason != "placement" || d.Rule == "watch" && d.State != "granted" {
			t.Errorf("decided %+v", story.Decided)
		}
	}
	for name, tamper := range map[string]func() []string{
		"another origin": func() []string { return []string{header[0], header[1], "Origin", "https://evil.example"} },
		"another user": func() []string {
			return []string{header[0], strings.Replace(header[1], "4242", "4243", 1), header[2], header[3]}
		},
		"no data": func() []string { return []string{"Origin", "https://game.example"} },
	} {
		if a := caromtest.Do(t, "POST", s.URL+"/v1/views", `{"app":"game"}`, tamper()...); a.Status/100 != 4 {
			t.Errorf("%s was answered %d %s", name, a.Status, a.Body)
		}
	}
}

// A held reward is credited when its hold has ended, also by a server that was started meanwhile; a reversal before that cancels
// it, and one that names a reported event takes that back.
func TestHoldsAndReversalsOfReportedEvents(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: payingViews(endpoint.URL)})
	report := func(body string) {
		t.Helper()
		if a := s.Local(t, "POST", "/v1/events", body, "Content-Type", "application/json"); a.Status != http.StatusOK || !strings.Contains(a.Body, `"accepted"`) {
			t.Fatalf("%s was answered %d %s", body, a.Status, a.Body)
		}
	}
	report(`{"app":"game","id":"o1","event_type":"completion","reward_event_type":"valued","user_id":"cleo"}`)
	report(`{"app":"game","id":"o2","event_type":"completion","reward_event_type":"valued","user_id":"cleo"}`)
	report(`{"app":"game","id":"o2-back","event_type":"reversal","reverses":"o2"}`)
	s.Restart(t)
	sent := endpoint.Wait(t, "/bank", 1)
	if q := sent[0].Query; !strings.Contains(q, "state=granted&amount=7&currency=coins&user=cleo") {
		t.Errorf("the endpoint was told %s", q)
	}
	report(`{"app":"game","id":"o1-back","event_type":"reversal","reverses":"o1"}`)
	sent = endpoint.Wait(t, "/bank", 2)
	if q := sent[1].Query; !strings.Contains(q, "state=reversed&amount=7") {
		t.Errorf("the endpoint was told %s", q)
	}
	report(`{"app":"game","id":"o3-back","event_type":"reversal","reverses":"o3"}`)
	report(`{"app":"game","id":"o3","event_type":"completion","reward_event_type":"valued","user_id":"cleo"}`)
	var balances struct {
		Balances []struct{ Amount string } `json:"balances"`
	}
	s.Get(t, "/v1/balances?app=game&user=cleo", &balances)
	if len(balances.Balances) != 1 || balances.Balances[0].Amount != "0" {
		t.Errorf("cleo has %+v, want 0", balances.Balances)
	}
	if n := len(endpoint.Sent("/bank")); n != 2 {
		t.Errorf("the endpoint was told %d times, want twice", n)
	}
}
