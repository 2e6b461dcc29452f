package survey

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// good is an endpoint about which there is nothing to say.
func good() carom.Endpoint {
	return carom.Endpoint{No: 1, App: "game", Name: "backend",
		URL:    "https://game.example/postback?key=k3y-0f1e2d3c4b5a&ymid={ymid}&event={event_type}&value={reward_event_type}&id={delivery_id}",
		Filter: carom.Filter{EventTypes: []carom.EventType{carom.Impression, carom.Click}}}
}

// with changes a good endpoint.
func with(change func(*carom.Endpoint)) carom.Endpoint {
	e := good()
	change(&e)
	return e
}

func factsOf(endpoints ...carom.Endpoint) *Facts {
	return &Facts{Now: noon, Objects: carom.Objects{
		Apps:      []carom.App{{Name: "game"}},
		Sources:   []carom.Source{{App: "game", Name: "monetag", Profile: "monetag"}},
		Endpoints: endpoints,
	}}
}

// shown makes n events of the app game.
func shown(n int, change func(i int, ev *carom.Event)) []*carom.Event {
	var list []*carom.Event
	for i := range n {
		ev := &carom.Event{App: "game", Source: "monetag", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: fmt.Sprint("v", i), ZoneID: "1",
			SubZoneID: "2"}
		if i%2 == 1 {
			ev.Type, ev.Value = carom.Click, carom.NotValued
		}
		if change != nil {
			change(i, ev)
		}
		list = append(list, ev)
	}
	return list
}

// summary lists findings as "level kind".
func summary(list []Finding) []string {
	out := []string{}
	for _, f := range list {
		out = append(out, string(f.Level)+" "+string(f.Kind))
	}
	return out
}

// find returns what is said about an endpoint.
func find(t *testing.T, f *Facts, id string) []Finding {
	t.Helper()
	r := Judge(f, []string{id})
	if len(r.Endpoints) != 1 || r.Endpoints[0].Endpoint != id {
		t.Fatalf("judged %+v, want %s alone", r.Endpoints, id)
	}
	return r.Endpoints[0].Findings
}

// wantFindings checks what is said about game/backend, that each finding has a fix, and that texts are somewhere in them.
func wantFindings(t *testing.T, f *Facts, want []string, texts ...string) {
	t.Helper()
	got := find(t, f, "game/backend")
	if diff := cmp.Diff(append([]string{}, want...), summary(got)); diff != "" {
		t.Errorf("findings (-want +got):\n%s\n%+v", diff, got)
	}
	all := ""
	for _, found := range got {
		if found.What == "" || found.Fix == "" || !slices.Contains(Kinds(), found.Kind) {
			t.Errorf("%+v: what or fix is missing, or the kind is not listed", found)
		}
		if strings.Contains(found.What+found.Fix, "k3y-0f1e2d3c4b5a") {
			t.Errorf("%+v shows a secret", found)
		}
		all += found.What + "\n" + found.Fix + "\n"
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%q is not in:\n%s", text, all)
		}
	}
}

func TestSettings(t *testing.T) {
	signed := []carom.SigningSecret{{Key: "a secret of some length"}}
	const rest = "&event={event_type}&value={reward_event_type}"
	for _, tt := range []struct {
		name  string
		e     carom.Endpoint
		more  func(*Facts)
		want  []string
		texts []string
	}{
		{name: "good", e: good()},
		{name: "signed, and without a parameter for a secret", e: with(func(e *carom.Endpoint) {
			e.URL, e.SigningSecrets = "https://game.example/p?id={delivery_id}"+rest+"&sig={signature}", signed
		})},
		{name: "a signed POST has its id in the header", e: with(func(e *carom.Endpoint) {
			e.URL, e.Method, e.SigningSecrets = "https://game.example/p", "POST", signed
			e.Body = `{"t":"{event_type}","v":"{reward_event_type}"}`
		})},
		{name: "the body that carom writes has everything", e: with(func(e *carom.Endpoint) {
			e.URL, e.Method, e.Headers = "https://game.example/p", "POST", []carom.Field{{Name: "X-Api-Key", Value: "k3y-0f1e2d3c4b5a"}}
		})},
		{name: "a macro that is none any more", e: with(func(e *carom.Endpoint) { e.URL = "https://game.example/p?e={event}" }),
			want: []string{"fault invalid"}, texts: []string{"did you mean {event_type}?"}},
		{name: "a dialect that is gone", e: with(func(e *carom.Endpoint) { e.Dialect = "old" }), want: []string{"fault invalid"}, texts: []string{`no dialect "old"`}},
		{name: "a private address", e: with(func(e *carom.Endpoint) { e.URL = strings.Replace(e.URL, "game.example", "10.0.0.7:3000", 1) }),
			want: []string{"fault private_address"}, texts: []string{"allow_private: true"}},
		{name: "a private address that is meant, by http", e: with(func(e *carom.Endpoint) {
			e.URL, e.AllowPrivate = strings.Replace(e.URL, "https://game.example", "http://10.0.0.7:3000", 1), true
		})},
		{name: "http", e: with(func(e *carom.Endpoint) { e.URL = strings.Replace(e.URL, "https", "http", 1) }), want: []string{"warning plain_http"}},
		{name: "paused, and things wait", e: with(func(e *carom.Endpoint) { e.Paused = true }),
			more: func(f *Facts) { f.Backlogs = map[int]carom.Backlog{1: {Endpoint: 1, Waiting: 12}} },
			want: []string{"warning paused"}, texts: []string{"12 of its deliveries wait", "carom resume game/backend"}},
		{name: "neither id nor proof", e: with(func(e *carom.Endpoint) { e.URL = "https://game.example/p?tg={telegram_id}" + rest }),
			want: []string{"warning no_identity", "warning no_proof"}, texts: []string{"id={delivery_id}"}},
		{name: "a secret in the path", e: with(func(e *carom.Endpoint) {
			e.URL = "https://game.example/p/0f1e2d3c4b5a69788796a5b4c3d2e1f0?id={event_id}" + rest
		})},
		{name: "a macro under a name of a secret proves nothing", e: with(func(e *carom.Endpoint) { e.URL = "https://game.example/p?key={ymid}" + rest }),
			want: []string{"warning no_proof"}},
		{name: "a ymid that repeats is no id", e: with(func(e *carom.Endpoint) { e.URL = "https://game.example/p?key=k3y-0f1e2d3c4b5a&uid={ymid}" + rest }),
			more: func(f *Facts) { f.Objects.Sources[0].YMID = carom.YMIDUser }, want: []string{"warning identity_repeats"}, texts: []string{"the source monetag"}},
		{name: "a ymid that repeats, with another id", e: good(), more: func(f *Facts) { f.Objects.Sources[0].YMID = carom.YMIDUser }},
		{name: "types and values alike", e: with(func(e *carom.Endpoint) { e.URL = "https://game.example/p?key=k3y-0f1e2d3c4b5a&ymid={ymid}" }),
			want: []string{"warning types_alike", "warning values_alike"}, texts: []string{"event={event_type}", "filter.values: [valued]"}},
		{name: "only paid clicks, which need no telling", e: with(func(e *carom.Endpoint) {
			e.URL = "https://game.example/p?key=k3y-0f1e2d3c4b5a&ymid={ymid}"
			e.Filter = carom.Filter{EventTypes: []carom.EventType{carom.Click}, Values: []carom.RewardEventType{carom.Valued}}
		})},
		{name: "a network that sends one type and no value", e: with(func(e *carom.Endpoint) {
			e.URL, e.Filter = "https://game.example/p?key=k3y-0f1e2d3c4b5a&ymid={ymid}", carom.Filter{}
		}), more: func(f *Facts) { f.Objects.Sources[0].Profile = "admob" }},
		{name: "a network of which both types came", e: with(func(e *carom.Endpoint) {
			e.URL, e.Filter = "https://game.example/p?key=k3y-0f1e2d3c4b5a&ymid={ymid}&value={reward_event_type}", carom.Filter{}
		}), more: func(f *Facts) {
			f.Objects.Sources[0].Profile = "own"
			f.Events = map[string][]*carom.Event{"game": shown(2, nil)}
		}, want: []string{"warning types_alike"}},
		{name: "a dialect's macros are read, and shown as it writes them", e: with(func(e *carom.Endpoint) {
			e.Dialect, e.URL = "tracker", "https://game.example/p?key=k3y-0f1e2d3c4b5a&click=[click_id]&goal=[goal]"
		}), more: func(f *Facts) {
			f.Objects.Dialects = []carom.Dialect{{Name: "tracker", Open: "[", Close: "]", Macros: map[string]string{"click_id": "ymid", "goal": "event_type", "status": "reward_event_type"}}}
		}, want: []string{"warning values_alike"}, texts: []string{"value=[status]"}},
		{name: "macros that are never filled in", e: with(func(e *carom.Endpoint) {
			e.URL += "&tg={telegram_id}&geo={field.geo}&os={field.os}&z={zone_id}"
		}), more: func(f *Facts) {
			f.Events = map[string][]*carom.Event{"game": shown(20, func(_ int, ev *carom.Event) { ev.Fields = []carom.Field{{Name: "os", Value: "ios"}} })}
		}, want: []string{"note macro_empty"}, texts: []string{"{telegram_id}, {field.geo} had no value in any of the newest 20 events"}},
		{name: "too few events to know", e: with(func(e *carom.Endpoint) { e.URL += "&tg={telegram_id}" }),
			more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(19, nil)} }},
		{name: "tests and held events tell nothing", e: with(func(e *carom.Endpoint) { e.URL += "&tg={telegram_id}" }),
			more: func(f *Facts) {
				f.Events = map[string][]*carom.Event{"game": shown(30, func(i int, ev *carom.Event) {
					if ev.Flags = carom.FlagTest; i > 14 {
						ev.Flags, ev.Held = carom.FlagHeld, "frozen"
					}
				})}
			}},
		{name: "the same twice", e: good(), more: func(f *Facts) {
			second := with(func(e *carom.Endpoint) { e.No, e.Name, e.Filter.EventTypes = 2, "copy", []carom.EventType{carom.Click} })
			f.Objects.Endpoints = append(f.Objects.Endpoints, second)
		}, want: []string{"warning sent_twice"}, texts: []string{"game/copy"}},
		{name: "the same URL for events apart", e: with(func(e *carom.Endpoint) { e.Filter.Zones = []string{"1"} }), more: func(f *Facts) {
			second := with(func(e *carom.Endpoint) { e.No, e.Name, e.Filter.Zones = 2, "copy", []string{"2"} })
			third := with(func(e *carom.Endpoint) { e.No, e.Name, e.Default = 3, "rest", true })
			fourth := with(func(e *carom.Endpoint) { e.No, e.Name, e.Paused = 4, "off", true })
			f.Objects.Endpoints = append(f.Objects.Endpoints, second, third, fourth)
		}},
		{name: "the same URL of another app", e: good(), more: func(f *Facts) {
			f.Objects.Endpoints = append(f.Objects.Endpoints, with(func(e *carom.Endpoint) { e.No, e.App = 2, "other" }))
		}},
		{name: "rewards", e: with(func(e *carom.Endpoint) {
			e.Sends, e.Filter = carom.SendsRewards, carom.Filter{}
			e.URL = "https://game.example/r?key=k3y-0f1e2d3c4b5a&id={reward_id}&state={reward_state}&amount={reward_amount}&user={reward_user}"
		}), more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(300, nil)} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := factsOf(tt.e)
			if tt.more != nil {
				tt.more(f)
			}
			wantFindings(t, f, tt.want, tt.texts...)
		})
	}
}

func TestFilters(t *testing.T) {
	sdk := func(f *Facts) {
		f.Objects.Sources = nil // the app gets its source by itself
		f.Objects.Zones = []carom.Zone{
			{App: "game", ID: "100", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "101", carom.InAppInterstitial: "103"}},
			{App: "game", ID: "200", SubZones: map[carom.Format]string{carom.RewardedPopup: "201"}},
			{App: "game", ID: "300", SubZones: map[carom.Format]string{carom.InAppInterstitial: "301"}},
		}
	}
	for _, tt := range []struct {
		name   string
		filter carom.Filter
		more   func(*Facts)
		want   []string
		texts  []string
	}{
		{name: "zones of the app", filter: carom.Filter{Zones: []string{"100", "200"}}, more: sdk},
		{name: "sub-zones alone", filter: carom.Filter{Zones: []string{"101", "201"}}, more: sdk, want: []string{"fault matches_nothing"},
			texts: []string{"101 is a sub-zone of 100, 201 is a sub-zone of 200"}},
		{name: "a sub-zone beside a zone", filter: carom.Filter{Zones: []string{"100", "101"}}, more: sdk, want: []string{"warning filter_unknown"}},
		{name: "no zones of the app", filter: carom.Filter{Zones: []string{"7", "8"}}, more: sdk, want: []string{"fault matches_nothing"}, texts: []string{"7, 8"}},
		{name: "one that is none", filter: carom.Filter{Zones: []string{"100", "8"}}, more: sdk, want: []string{"warning filter_unknown"}},
		{name: "clicks of a popup", filter: carom.Filter{Zones: []string{"200"}, EventTypes: []carom.EventType{carom.Click}}, more: sdk,
			want: []string{"fault matches_nothing"}, texts: []string{"rewarded_popup impressions"}},
		{name: "a zone that sends nothing", filter: carom.Filter{Zones: []string{"300"}}, more: sdk, want: []string{"fault matches_nothing"}},
		{name: "an own type through the SDK", filter: carom.Filter{EventTypes: []carom.EventType{"lead"}}, more: sdk, want: []string{"fault matches_nothing"}},
		{name: "sources that are not there", filter: carom.Filter{Sources: []string{"wall"}}, want: []string{"fault matches_nothing"}, texts: []string{"no such source"}},
		{name: "one source that is not there", filter: carom.Filter{Sources: []string{"wall", "monetag"}}, want: []string{"warning filter_unknown"}},
		{name: "zones of a network of which nothing came", filter: carom.Filter{Zones: []string{"77"}}},
		{name: "zones of a network, and others came", filter: carom.Filter{Zones: []string{"77"}},
			more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(40, nil)} }, want: []string{"warning zone_unseen"}, texts: []string{"40 events"}},
		{name: "a network's sub-zone", filter: carom.Filter{Zones: []string{"2"}},
			more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(40, nil)} }, want: []string{"fault matches_nothing"}, texts: []string{"2 is a sub-zone of 1"}},
		{name: "nothing of much passes", filter: carom.Filter{RequestVars: []string{"bonus"}},
			more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(200, nil)} }, want: []string{"note matched_none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := factsOf(with(func(e *carom.Endpoint) { e.Filter = tt.filter }))
			if tt.more != nil {
				tt.more(f)
			}
			wantFindings(t, f, tt.want, tt.texts...)
		})
	}
	rewards := factsOf(with(func(e *carom.Endpoint) {
		e.Sends, e.Filter = carom.SendsRewards, carom.Filter{Rules: []string{"watch", "gone"}}
		e.URL = "https://game.example/r?key=k3y-0f1e2d3c4b5a&id={reward_id}&state={reward_state}"
	}))
	rewards.Objects.Rules = []carom.Rule{{App: "game", Name: "watch"}}
	wantFindings(t, rewards, []string{"warning filter_unknown"}, "names gone")
}

func TestApps(t *testing.T) {
	zoned := func(name string, zones ...string) carom.Endpoint {
		return with(func(e *carom.Endpoint) { e.Name, e.Filter.Zones = name, zones })
	}
	ofZones := func(f *Facts) { f.Objects.Zones = []carom.Zone{{App: "game", ID: "1"}, {App: "game", ID: "5"}} }
	for _, tt := range []struct {
		name  string
		f     *Facts
		more  func(*Facts)
		want  []string
		texts []string
	}{
		{name: "an endpoint for everything", f: factsOf(zoned("a", "1"), zoned("b")), more: ofZones},
		{name: "a default one", f: factsOf(zoned("a", "1"), with(func(e *carom.Endpoint) { e.Name, e.Default = "b", true })), more: ofZones},
		{name: "a zone is left", f: factsOf(zoned("a", "1")), more: ofZones, want: []string{"warning no_default"}, texts: []string{"the zone 5"}},
		{name: "a zone of a network is left", f: factsOf(zoned("a", "7")),
			more: func(f *Facts) { f.Events = map[string][]*carom.Event{"game": shown(1, nil)} }, want: []string{"warning no_default"}, texts: []string{"the zone 1"}},
		{name: "none is left today", f: factsOf(zoned("a", "1"), zoned("b", "5")), more: ofZones, want: []string{"note no_default"}},
		{name: "no endpoint", f: factsOf(), want: []string{"warning no_endpoint"}},
		{name: "no endpoint, and rules", f: factsOf(), more: func(f *Facts) { f.Objects.Rules = []carom.Rule{{App: "game", Name: "watch"}} }, want: []string{"note no_endpoint"}},
		{name: "nothing at all", f: factsOf(), more: func(f *Facts) { f.Objects.Sources = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.more != nil {
				tt.more(tt.f)
			}
			wanted := []string{"game"}
			for _, e := range tt.f.Objects.Endpoints {
				wanted = append(wanted, e.ID())
			}
			got := []string{}
			what := ""
			for _, a := range Judge(tt.f, wanted).Apps {
				got = append(got, summary(a.Findings)...)
				what += a.Findings[0].What
			}
			if diff := cmp.Diff(append([]string{}, tt.want...), got); diff != "" {
				t.Errorf("of the app (-want +got):\n%s", diff)
			}
			for _, text := range tt.texts {
				if !strings.Contains(what, text) {
					t.Errorf("%q is not in %q", text, what)
				}
			}
			if got := Judge(tt.f, []string{"game/backend"}).Apps; len(tt.f.Objects.Endpoints) > 1 && len(got) > 0 {
				t.Errorf("a part of the app's endpoints was asked for, and the app is judged: %+v", got)
			}
		})
	}
}

func TestReportCounts(t *testing.T) {
	f := factsOf(good(), with(func(e *carom.Endpoint) { e.No, e.Name, e.URL = 2, "a", "http://other.example/p" }),
		with(func(e *carom.Endpoint) { e.No, e.Name, e.URL = 3, "c", "https://10.0.0.1/p" }),
		with(func(e *carom.Endpoint) { e.No, e.App, e.Name = 4, "other", "d" }))
	f.Attempts = map[int][]carom.Attempt{1: {{At: noon, State: carom.Delivered, Status: 200, Method: "GET"}}, 4: make([]carom.Attempt, 9)}
	f.Ended = map[string]map[string]int64{"game/a": {"delivered": 1}, "game/c": {"delivered": 1}}
	f.Events = map[string][]*carom.Event{"game": shown(3, nil), "other": shown(9, nil)}
	host, _ := HostOf(&f.Objects.Endpoints[0])
	f.Visits = map[Host]Visit{host: {Status: 404}}
	r := Judge(f, []string{"game/backend", "game/a", "game/c"})
	want := EndpointSummary{Endpoints: 3, Faulty: 1, Warned: 1, Fine: 1, Faults: 1, Attempts: 1, Events: 3, Visits: 1}
	if diff := cmp.Diff(want, r.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s\n%+v", diff, r)
	}
	var names []string
	for _, e := range r.Endpoints {
		names = append(names, e.Endpoint)
	}
	if got := strings.Join(names, " "); got != "game/a game/backend game/c" {
		t.Errorf("endpoints %s, want them sorted", got)
	}
}

// TestEveryKindIsDocumented: who is shown a kind finds it on the page.
func TestEveryKindIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "check-endpoints.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if n := strings.Count(string(page), "\n| `"+string(kind)+"` |"); n != 1 {
			t.Errorf("docs/check-endpoints.md has %d rows for %s, want 1", n, kind)
		}
	}
	if got, want := strings.Count(string(page), "\n| `"), len(Kinds()); got != want {
		t.Errorf("docs/check-endpoints.md has %d rows, want %d: one for each kind", got, want)
	}
}
