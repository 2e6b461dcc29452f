package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/network"
	"carom/internal/route"
)

func TestSourceHealth(t *testing.T) {
	refused := &carom.Refused{ID: carom.NewReceivedID(7, carom.Ref{Bucket: 1, Seq: 3}), App: "shop", Source: "monetag", Reason: carom.ReasonLiteralMacro,
		Detail: "ymid arrived as text", Received: carom.Received{At: noon()}}
	unverified := &carom.Unverified{App: "shop", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon()}}
	words, why := unverifiedWords(carom.ReasonWrongSecret)
	inEarnest := func() *carom.Story {
		st := shopStory()
		st.Event.Flags &^= carom.FlagTest
		return st
	}
	for _, tt := range []struct {
		name    string
		prepare func(*fakeStore)
		want    SourceHealth
	}{
		{"nothing has come", func(*fakeStore) {}, SourceHealth{State: "waiting"}},
		{"only what proves nothing", func(s *fakeStore) { s.unverified = []*carom.Unverified{unverified} },
			SourceHealth{State: "refused", LastUnverified: &HealthUnverified{carom.ReasonWrongSecret, words, why, noon()}}},
		{"only what is of no use", func(s *fakeStore) { s.refused = []*carom.Refused{refused} },
			SourceHealth{State: "refused", LastRefused: &HealthRefused{refused.ID, carom.ReasonLiteralMacro, "ymid arrived as text", noon()}}},
		{"an event", func(s *fakeStore) { s.refused, s.stories = []*carom.Refused{refused}, []*carom.Story{inEarnest()} },
			SourceHealth{State: "verified", FirstVerifiedAt: noon().Add(-time.Minute), LastEvent: eventID(1), LastEventAt: noon().Add(-time.Minute),
				LastRefused: &HealthRefused{refused.ID, carom.ReasonLiteralMacro, "ymid arrived as text", noon()}}},
		{"only a test", func(s *fakeStore) { s.stories = []*carom.Story{shopStory()} }, SourceHealth{State: "waiting"}},
		{"many events", func(s *fakeStore) {
			for i := range uint32(fewEvents) {
				st := inEarnest()
				st.Event.ID = eventID(100 - i)
				s.stories = append(s.stories, st)
			}
			s.measured = []carom.ReportCount{
				{At: noon().Add(-60 * time.Hour), App: "shop", Source: "monetag", Measures: carom.Measures{Refused: 1}},
				{At: noon().Add(-36 * time.Hour), App: "shop", Source: "monetag", Measures: carom.Measures{Accepted: 1}}}
		}, SourceHealth{State: "verified", FirstVerifiedAt: noon().Add(-36 * time.Hour), LastEvent: eventID(100), LastEventAt: noon().Add(-time.Minute)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.store.stories, w.store.refused, w.store.unverified, w.store.measured = nil, nil, nil, nil
			tt.prepare(w.store)
			got := decode[SourceHealth](t, w.ask(t, "read", "GET /v1/sources/shop/monetag/health", ""), 200)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("health (-want +got):\n%s", diff)
			}
		})
	}
	for route, key := range map[string]string{"GET /v1/sources/shop/nothing/health": "read", "GET /v1/sources/shop/monetag/health": "game-read"} {
		if got := newWorld().ask(t, key, route, ""); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", route, got.Code)
		}
	}
}

// doorWorld is a richWorld whose door answers as done says, and notes what it was asked.
func doorWorld(t *testing.T, done DoorTest) (*world, *[]string) {
	t.Helper()
	profiles, err := network.Profiles()
	if err != nil {
		t.Fatal(err)
	}
	w, asked := richWorld(t), &[]string{}
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Profiles: profiles,
		Binding: func(app, name string) *network.Binding {
			for _, s := range w.objects.objects.Sources {
				p := profiles[s.Profile]
				if s.App != app || s.Name != name || p == nil {
					continue
				}
				var names route.Names
				if s.Template != "" {
					if names, err = route.ReadBackwards(s.Template, route.Notation{Macros: p.Macros(), Complete: p.Complete}); err != nil {
						t.Fatal(err)
					}
				}
				b, err := p.Bind(s, names.Params, names.Static, "https://carom.example")
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			return nil
		},
		Test: func(answer http.ResponseWriter, r *http.Request) (DoorTest, bool) {
			*asked = append(*asked, fmt.Sprintf("%s %s from %q", r.Method, r.RequestURI, r.RemoteAddr))
			answer.WriteHeader(202)
			_, _ = answer.Write([]byte("noted"))
			return done, true
		},
	})
	return w, asked
}

func TestPlayedPostbacks(t *testing.T) {
	secret := "0123456789abcdef0123456789abcdef"
	refused := carom.NewReceivedID(7, carom.Ref{Bucket: 1, Seq: 3})
	for _, tt := range []struct {
		name, source, body string
		done               DoorTest
		status             int
		asks, says         string
	}{
		{"accepted", "shop/monetag", `{"url":"https://carom.example/in/shop/monetag/` + secret + `?ymid={ymid}","ymid":"me"}`,
			DoorTest{Outcome: network.Accepted, Event: eventID(1)}, 200, "GET /in/shop/monetag/" + secret + "?ymid=me&event=click from \"\"", "marked as a test"},
		{"of another type", "shop/monetag", `{"url":"/in/shop/monetag/` + secret + `","ymid":"me","event_type":"impression"}`,
			DoorTest{Outcome: network.Duplicate, Event: eventID(1)}, 200, "&event=impression", "taken for a copy"},
		{"refused", "shop/monetag", `{"url":"/in/shop/monetag/` + secret + `"}`, DoorTest{Outcome: network.RefusedOutcome, Received: refused}, 200, "?ymid=test-", "ymid arrived as text"},
		{"not believed", "shop/monetag", `{"url":"/in/shop/monetag/old"}`, DoorTest{Outcome: network.Unverified, Reason: carom.ReasonWrongSecret}, 200, "/in/shop/monetag/old?", "the secret is missing or differs"},
		{"not now", "shop/monetag", `{"url":"/in/shop/monetag/old"}`, DoorTest{Outcome: network.TryLater}, 200, "", "try again"},
		{"signed, without a secret in the path", "shop/unity", `{}`, DoorTest{Outcome: network.Accepted, Event: eventID(1)}, 200, "GET /in/shop/unity?", "accepted"},
		{"the secret is not known", "shop/monetag", `{}`, DoorTest{}, 422, "", "POST /v1/sources/shop/monetag/rotate"},
		{"the URL of another source", "shop/monetag", `{"url":"https://carom.example/in/game/monetag/x"}`, DoorTest{}, 422, "", "not a URL of the source"},
		{"a type that it cannot say", "shop/monetag", `{"url":"/in/shop/monetag/x","event_type":"lead"}`, DoorTest{}, 422, "", "has no word for lead"},
		{"the SDK's source", "shop/sdk", `{}`, DoorTest{}, 409, "", "POST /v1/events"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, asked := doorWorld(t, tt.done)
			got := w.ask(t, "admin", "POST /v1/sources/"+tt.source+"/test", tt.body)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.says) || strings.Contains(got.Body.String(), secret) {
				t.Errorf("status %d, want %d with %q: %s", got.Code, tt.status, tt.says, got.Body)
			}
			if text := strings.Join(*asked, "\n"); !strings.Contains(text, tt.asks) || (text != "") != (tt.status == 200) {
				t.Errorf("the door was asked %q, want %q", text, tt.asks)
			}
			if tt.status == 200 && !strings.Contains(got.Body.String(), `"answer":{"status":202,"body":"noted"}`) {
				t.Errorf("the answer is missing in %s", got.Body)
			}
		})
	}
}

func TestAnyEndpointIsPreviewedAndTried(t *testing.T) {
	w := richWorld(t)
	tried := 0
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, Try: func(context.Context, Trial) TrialResult {
		tried++
		return TrialResult{State: carom.Delivered, Status: 200}
	}})
	preview := decode[TemplatePreview](t, w.ask(t, "admin", "POST /v1/endpoints/preview", `{"app":"game","url":"https://game.example/?u={ymid}"}`), 200)
	if preview.Method != "GET" || !strings.HasPrefix(preview.URL, "https://game.example/?u=") || len(preview.Macros) != 1 {
		t.Errorf("preview %+v", preview)
	}
	if got := w.ask(t, "admin", "POST /v1/endpoints/preview", `{"app":"nowhere","url":"https://game.example/"}`); got.Code != 404 {
		t.Errorf("of no app: %d %s", got.Code, got.Body)
	}
	result := decode[TestResult](t, w.ask(t, "admin", "POST /v1/endpoints/shop/signed/test", `{"ymid":"me"}`), 200)
	if result.Verdict != "delivered" || result.Request.YMID != "me" || !result.Verified || tried != 1 {
		t.Errorf("test %+v, sent %d times", result, tried)
	}
	if got := w.ask(t, "game-admin", "POST /v1/endpoints/shop/signed/test", `{}`); got.Code != 404 || tried != 1 {
		t.Errorf("of another app: %d %s", got.Code, got.Body)
	}
	shown := decode[EndpointObject](t, w.ask(t, "read", "GET /v1/endpoints/shop/signed", ""), 200)
	if shown.Lane == nil || shown.Backlog == nil || shown.Body != "" || !shown.Signed || len(shown.Secrets) != 1 {
		t.Errorf("shown %+v", shown)
	}
	if shown := decode[EndpointObject](t, w.ask(t, "admin", "GET /v1/endpoints/shop/signed", ""), 200); !strings.Contains(shown.Body, "hunter3") {
		t.Errorf("shown to an admin: %+v", shown)
	}
}
