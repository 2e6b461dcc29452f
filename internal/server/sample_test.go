package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carom/internal/caromtest"
)

// The template of the endpoint in these tests: every field has a place, and empty ones stay empty.
const everyField = "/postback?ymid={ymid}&zone={zone_id}&var={request_var}&tg={telegram_id}&type={event_type}&value={reward_event_type}&price={estimated_price}"

// event is what a test expects of an event.
type event struct{ YMID, Zone, RequestVar, TelegramID, Type, Value, Price, Fields string }

func TestDocumentedSamplesReachTheEndpoint(t *testing.T) {
	tests := []struct {
		name   string
		source string // further lines of the source
		query  string
		want   event
		sent   string // raw query that the endpoint got
	}{
		{
			name: "the documented sample", query: "ymid=user123&event=click&zone_id=8790478&request_var=bonus-btn",
			want: event{YMID: "user123", Zone: "8790478", RequestVar: "bonus-btn", Type: "click"},
			sent: "ymid=user123&zone=8790478&var=bonus-btn&tg=&type=click&value=&price=",
		},
		{
			name: "the same with event_type", query: "ymid=user123&event_type=click&zone_id=8790478&request_var=bonus-btn",
			want: event{YMID: "user123", Zone: "8790478", RequestVar: "bonus-btn", Type: "click"},
			sent: "ymid=user123&zone=8790478&var=bonus-btn&tg=&type=click&value=&price=",
		},
		{
			name: "the vendor's template names", query: "ymid=v1&zone=8790478&event=impression&value=yes&amount=0.0023",
			want: event{YMID: "v1", Zone: "8790478", Type: "impression", Value: "valued", Price: "0.0023"},
			sent: "ymid=v1&zone=8790478&var=&tg=&type=impression&value=valued&price=0.0023",
		},
		{
			name:   "a template of the publisher's own",
			source: `template: "https://old.example/?uid={ymid}&source={request_var}&event={event_type}"`,
			query:  "uid=u-1&source=menu&event=impression&zone=not-a-zone-here",
			want:   event{YMID: "u-1", RequestVar: "menu", Type: "impression", Fields: "zone=not-a-zone-here"},
			sent:   "ymid=u-1&zone=&var=menu&tg=&type=impression&value=&price=",
		},
		{
			name: "all eight macros",
			query: "ymid=a%20b%26c&zone_id=1&sub_zone_id=2&request_var=x%2By&telegram_id=777&event_type=impression&" +
				"reward_event_type=not_valued&estimated_price=1.5e-3",
			want: event{YMID: "a b&c", Zone: "1", RequestVar: "x+y", TelegramID: "777", Type: "impression", Value: "not_valued", Price: "0.0015"},
			sent: "ymid=a%20b%26c&zone=1&var=x%2By&tg=777&type=impression&value=not_valued&price=0.0015",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			endpoint := caromtest.NewEndpoint(t)
			s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(tt.source, endpoint.URL+everyField)})
			s.Accepted(t, tt.query)
			story := s.Ends(t, tt.want.YMID)
			e := story.Event
			got := event{e.YMID, e.ZoneID, e.RequestVar, e.TelegramID, e.EventType, e.RewardEventType, e.EstimatedPrice, ""}
			for name, value := range e.Fields {
				got.Fields += name + "=" + value
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s became (-want +got):\n%s", tt.query, diff)
			}
			if e.Strength != "secret" || story.Received.Query != tt.query || story.Received.Path != "/in/game/ads/***" {
				t.Errorf("the story is of a request %s?%s, verified by %q", story.Received.Path, story.Received.Query, e.Strength)
			}
			sent := endpoint.Wait(t, "/postback", 1)
			if len(sent) != 1 || sent[0].Query != tt.sent || sent[0].Method != "GET" {
				t.Errorf("the endpoint got %+v, want one GET with %s", sent, tt.sent)
			}
			d := story.Deliveries
			if len(d) != 1 || d[0].State != "delivered" || len(d[0].Attempts) != 1 || !strings.HasSuffix(d[0].Attempts[0].URL, "?"+tt.sent) {
				t.Errorf("the story tells of deliveries %+v, want one that was delivered with %s", d, tt.sent)
			}
		})
	}
}

func TestPostsOfFormsAndJSON(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("")})
	for _, tt := range []struct{ ymid, query, contentType, body string }{
		{"form", "", "application/x-www-form-urlencoded", "ymid=form&event=click&zone_id=1"},
		{"form2", "", "application/x-www-form-urlencoded; charset=utf-8", "ymid=form2&event=click&zone_id=1"},
		{"untyped", "", "", "ymid=untyped&event=click&zone_id=1"},
		{"json", "", "application/json", `{"ymid": "json", "event": "click", "zone_id": 1}`},
		{"both", "zone_id=1", "application/json", `{"ymid": "both", "event": "click"}`},
		{"empty", "ymid=empty&event=click&zone_id=1", "application/json", ""},
	} {
		a := caromtest.Do(t, "POST", s.URL+caromtest.Door+"?"+tt.query, tt.body, "Content-Type", tt.contentType)
		if a.Status != http.StatusOK || a.Body != "OK" {
			t.Errorf("%s: answered %d %q", tt.ymid, a.Status, a.Body)
			continue
		}
		if e := s.Story(t, tt.ymid).Event; e.EventType != "click" || e.ZoneID != "1" {
			t.Errorf("%s became %+v, want a click in zone 1", tt.ymid, e)
		}
	}
}

func TestAnUnpaidEventDoesNotUseUpThePaidOne(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag("", endpoint.URL+"/p?value={reward_event_type}&type={event_type}")})
	const view = "ymid=v1&zone_id=1&event_type="
	for _, query := range []string{
		view + "impression&reward_event_type=not_valued",
		view + "impression&reward_event_type=valued",
		view + "impression&reward_event_type=yes", // the same value in another word: a copy
		view + "click&reward_event_type=valued",
		view + "impression&reward_event_type=not_valued", // a copy of the first
	} {
		s.Accepted(t, query)
	}
	var got []string
	for _, e := range s.Events(t, "ymid=v1") {
		got = append(got, e.EventType+" "+e.RewardEventType)
	}
	want := []string{"click valued", "impression valued", "impression not_valued"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events, newest first (-want +got):\n%s", diff)
	}
	if sent := endpoint.Wait(t, "/p", 3); len(sent) != 3 {
		t.Errorf("the endpoint got %d postbacks, want 3", len(sent))
	}
}

func TestHeldAndUnmatchedEventsGoNowhere(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	objects := caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}") + "        filter: { values: [valued] }\n"
	s := caromtest.Start(t, caromtest.Options{Objects: objects})
	s.Accepted(t, "ymid=held&event=impression&zone_id=1&value=jackpot")
	s.Accepted(t, "ymid=held&event=impression&zone_id=1&value=jackpot") // a copy releases nothing
	s.Accepted(t, "ymid=unmatched&event=impression&zone_id=1&value=no")
	s.Accepted(t, "ymid=paid&event=impression&zone_id=1&value=1")
	s.Ends(t, "paid")

	held := s.Story(t, "held")
	if held.Event.RewardEventType != "unknown" || held.Event.Held != "unknown_value" || len(held.Deliveries) != 0 || !strings.HasPrefix(held.Outcome, "held") {
		t.Errorf("a value that nobody has met became %+v, %q", held.Event, held.Outcome)
	}
	unmatched := s.Story(t, "unmatched")
	if len(unmatched.Deliveries) != 0 || !strings.Contains(unmatched.Outcome, "matched no endpoint") {
		t.Errorf("an event that no filter let through has the outcome %q and deliveries %v", unmatched.Outcome, unmatched.Deliveries)
	}
	if sent := endpoint.Sent("/p"); len(sent) != 1 || sent[0].Query != "ymid=paid" {
		t.Errorf("the endpoint got %+v, want the paid event alone", sent)
	}
}

func TestWhatEndpointsAnswerIsTold(t *testing.T) {
	t.Parallel()
	endpoint := caromtest.NewEndpoint(t)
	endpoint.Script("/p", caromtest.Reset, caromtest.Failed, caromtest.Hang, caromtest.Page)
	objects := caromtest.Monetag("", endpoint.URL+"/p?ymid={ymid}") + "        timeout: 500ms\n"
	s := caromtest.Start(t, caromtest.Options{Objects: objects})
	s.Accepted(t, "ymid=v1&event=click&zone_id=1")
	story := s.Ends(t, "v1")
	var got []string
	for _, a := range story.Deliveries[0].Attempts {
		reason, _, _ := strings.Cut(a.Reason, ":")
		got = append(got, string(a.State)+" "+reason+" "+strings.Join(a.Flags, ","))
	}
	want := []string{"pending read ", "pending status 500 ", "pending timeout ", "delivered answered with an HTML page html_page"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}
