package objects

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// prefixes compares networks of addresses.
var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestParseReadsTheNetworkEnd(t *testing.T) {
	got, err := parseFile(t, "network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	off := carom.ViewLimit{Views: -1}
	want := &File{Objects: carom.Objects{
		Apps: []carom.App{
			{Name: "my-game", Origins: []string{"https://game.example"}, BotID: 43,
				BotKey: "e7bf03a2fa4602af4580703d88dda5bb59f32ed8b02a56c187fe7d34caed242d"},
			{Name: "other", Origins: []string{"https://other.example"}},
			{Name: "bare", Origins: []string{"https://bare.example"}},
		},
		Sources: []carom.Source{
			{App: "other", Name: "browser", Profile: carom.ProfileSDK, YMID: carom.YMIDSession},
			{App: "my-game", Name: "sdk", Profile: carom.ProfileSDK},
			{App: "bare", Name: "sdk", Profile: carom.ProfileSDK},
		},
		Endpoints: []carom.Endpoint{
			{App: "my-game", Name: "default", Dialect: "old-net", Default: true, URL: "https://game.example/p?id=[click_id]&p=[payout]"},
			{App: "my-game", Name: "second", URL: "https://game.example/p?id={ymid}",
				Filter: carom.Filter{Zones: []string{"123456"}, Sources: []string{"sdk"}}},
		},
		Zones: []carom.Zone{
			{App: "my-game", ID: "123456", Title: "Main", Confirmed: true, RequireYMID: true, Paused: true,
				SubZones: map[carom.Format]string{
					carom.RewardedInterstitial: "0123457", carom.RewardedPopup: "123458", carom.InAppInterstitial: "In-App_9",
				},
				AdServer: carom.AdServer{URL: "https://ads.example/choose", Timeout: 200 * time.Millisecond, MaxPrice: 500_000_000, AllowPrivate: true},
				Confirm: carom.ConfirmRules{
					Viewable: 2 * time.Second, MinClick: 500 * time.Millisecond, RequireUser: true, OwnUsers: []string{"123456789", "-"},
					DenyAddresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
					OwnAddresses:  []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")},
					PerUser:       carom.ViewLimit{Views: 9, Within: 10 * time.Minute},
					PerDevice:     carom.ViewLimit{Views: 1, Within: time.Second},
					PerAddress:    carom.ViewLimit{Views: 1_000_000, Within: 30 * 24 * time.Hour},
					FrequencyCap:  carom.ViewLimit{Views: 20, Within: 24 * time.Hour},
				}},
			{App: "other", ID: "Zone_B", SubZones: map[carom.Format]string{carom.RewardedPopup: "Zone_B-popup"},
				Confirm: carom.ConfirmRules{Viewable: -1, MinClick: -1, PerUser: off, PerDevice: off, PerAddress: off, FrequencyCap: off}},
			{App: "other", ID: "Zone_C", SubZones: map[carom.Format]string{carom.RewardedPopup: "Zone_C-popup"},
				Confirm: carom.ConfirmRules{Viewable: 100 * time.Millisecond, MinClick: -1}},
			{App: "bare", ID: "5", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "6"}},
		},
		Creatives: []carom.Creative{
			{Name: "spring", Title: "Spring sale", Formats: []carom.Format{carom.RewardedInterstitial}, Zones: []string{"123456"},
				Image: "https://cdn.example/spring.png", Width: 320, Height: 480, LandingURL: "https://shop.example/", CloseAfter: 7 * time.Second,
				Weight: 3, PerImpression: 2_000_000, PerClick: 50_000_000},
			{Name: "popup", Formats: []carom.Format{carom.RewardedPopup}, LandingURL: "https://shop.example/popup", Paused: true},
			{Name: "text", Formats: []carom.Format{carom.RewardedInterstitial, carom.InAppInterstitial}, HTML: "<p>Sale</p>\n"},
		},
		Dialects: []carom.Dialect{{Name: "old-net", Open: "[", Close: "]", Macros: map[string]string{"click_id": "ymid", "payout": "estimated_price"}}},
	}}
	if diff := cmp.Diff(want, got, exact, prefixes); diff != "" {
		t.Errorf("Parse(network.yaml) (-want +got):\n%s", diff)
	}
}

func TestParseWarnsOfZonesThatCannotServe(t *testing.T) {
	const text = `apps:
  pageless:
    zones: { "1": { sub_zones: { rewarded_popup: "11" } } }
    endpoints:
      sub: { url: "https://a.example/?u={ymid}", filter: { zones: ["1", "11", "other"] } }
    currencies: { coins: 0 }
    rules:
      sub: { price: 5 coins, filter: { zones: ["11"] } }
  zoneless:
    sources: { browser: { profile: sdk } }
`
	f, err := Parse("f", []byte(text), Env{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range f.Warnings {
		got = append(got, w.Error())
	}
	want := []string{
		"f:3:5: apps.pageless.zones: the app lists no pages, so that no browser is shown an ad: add `origins: [https://game.example]`",
		`f:5:73: apps.pageless.endpoints.sub.filter.zones[1]: "11" is a sub-zone, and events carry the main zone as their zone_id: write 1`,
		`f:8:48: apps.pageless.rules.sub.filter.zones[0]: "11" is a sub-zone, and events carry the main zone as their zone_id: write 1`,
		"f:10:16: apps.zoneless.sources.browser: the app has no zones, so that nothing comes in by this source: add `zones`, or remove it",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// TestCreativesNeedNoZonesBesideThem: a file without any may be merged with zones that are in force.
func TestCreativesNeedNoZonesBesideThem(t *testing.T) {
	const text = "creatives: { a: { html: x, formats: [in_app_interstitial], zones: [\"1\"] } }\napps: {}\n"
	if _, err := Parse("f", []byte(text), Env{}); err != nil {
		t.Errorf("Parse returned %v", err)
	}
}

func TestCheckZones(t *testing.T) {
	zone := func(app, id string, subs ...string) carom.Zone {
		z := carom.Zone{App: app, ID: id, SubZones: map[carom.Format]string{}}
		for i, sub := range subs {
			z.SubZones[carom.Formats()[i]] = sub
		}
		return z
	}
	source := func(app, name, profile string) carom.Source {
		return carom.Source{App: app, Name: name, Profile: profile}
	}
	tests := []struct {
		name    string
		zones   []carom.Zone
		sources []carom.Source
		want    []string
	}{
		{"all differ", []carom.Zone{zone("a", "1", "11", "12"), zone("a", "2", "21"), zone("b", "3", "31")},
			[]carom.Source{source("a", "sdk", "sdk"), source("b", "browser", "sdk"), source("b", "sdk", "monetag")}, nil},
		{"two apps have a zone of one id", []carom.Zone{zone("a", "1"), zone("b", "1")}, nil, []string{
			`apps.b.zones.1: the id "1" is taken by the zone 1 of the app a: each zone and sub-zone needs one of its own`}},
		{"two apps have a sub-zone of one id", []carom.Zone{zone("a", "1", "11"), zone("b", "2", "21", "11")}, nil, []string{
			`apps.b.zones.2.sub_zones.rewarded_popup: the id "11" is taken by the sub-zone for rewarded_interstitial of the zone 1 of the app a: each zone and sub-zone needs one of its own`}},
		{"a sub-zone gives way to a main zone behind it", []carom.Zone{zone("a", "1", "2"), zone("b", "2")}, nil, []string{
			`apps.a.zones.1.sub_zones.rewarded_interstitial: the id "2" is taken by the zone 2 of the app b: each zone and sub-zone needs one of its own`}},
		{"two sub-zones of one zone", []carom.Zone{zone("a", "1", "11", "11", "1")}, nil, []string{
			`apps.a.zones.1.sub_zones.rewarded_popup: the id "11" is taken by the sub-zone for rewarded_interstitial of the zone 1 of the app a: each zone and sub-zone needs one of its own`,
			`apps.a.zones.1.sub_zones.in_app_interstitial: the id "1" is taken by the zone 1 of the app a: each zone and sub-zone needs one of its own`}},
		{"two sources of the profile", nil, []carom.Source{source("a", "one", "sdk"), source("b", "one", "sdk"), source("a", "two", "sdk")}, []string{
			"apps.a.sources.two.profile: the app has the source one for the events of its zones already: keep one of the two"}},
		{"the name of the source is taken", []carom.Zone{zone("a", "1")}, []carom.Source{source("a", "sdk", "monetag")}, []string{
			"apps.a.sources.sdk: the source of this name is the one for the events of the app's zones: rename this one, or add another with `profile: sdk`"}},
		{"the name of the source is taken, and it was added all the same", []carom.Zone{zone("a", "1")},
			[]carom.Source{source("a", "sdk", "monetag"), source("a", "sdk", "sdk")}, []string{
				"apps.a.sources.sdk: the source of this name is the one for the events of the app's zones: rename this one, or add another with `profile: sdk`"}},
		{"the name is taken, and there are no zones", nil, []carom.Source{source("a", "sdk", "monetag")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := CheckZones(carom.Objects{Zones: tt.zones, Sources: tt.sources})
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
				if fault := (*carom.FieldError)(nil); !errors.As(err, &fault) || !errors.Is(err, carom.ErrInvalid) {
					t.Errorf("CheckZones returned %T, want field errors", err)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("CheckZones (-want +got):\n%s", diff)
			}
		})
	}
}

// networkEnd is what network.yaml says.
func networkEnd(t *testing.T) carom.Objects {
	t.Helper()
	f, err := parseFile(t, "network.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return f.Objects
}

func TestDiffShowsTheNetworkEnd(t *testing.T) {
	have := networkEnd(t)
	want := networkEnd(t)
	z := &want.Zones[0]
	z.SubZones = map[carom.Format]string{carom.RewardedInterstitial: "0123457", carom.RewardedPopup: "123459"}
	z.AdServer.URL = "https://ads.example/choose?key=s3cr3t"
	z.AdServer.MaxPrice = 0
	z.Confirm.Viewable, z.Confirm.FrequencyCap = -1, carom.ViewLimit{}
	z.Confirm.PerUser = carom.ViewLimit{Views: -1}
	want.Zones[3].Confirm = carom.ConfirmRules{Viewable: time.Second, PerAddress: carom.ViewLimit{Views: 3000, Within: 10 * time.Minute}} // the defaults
	want.Zones[3].Confirm.FrequencyCap = carom.ViewLimit{Views: -1}
	want.Creatives = want.Creatives[:2]
	want.Creatives[0].HTML, want.Creatives[0].Weight = "<p>", 0
	want.Dialects[0].Macros = map[string]string{"click_id": "ymid", "amount": "estimated_price"}
	want.Dialects = append(want.Dialects, carom.Dialect{Name: "percent", Open: "%", Close: "%"})
	want.Endpoints[0].Dialect = "percent"
	want.Endpoints[0].URL = "https://game.example/p?id=%ymid%&s=%2Fs3cr3t&f=%field.x%"
	got := Diff(have, want, true)
	expect := []Change{
		{Kind: KindEndpoint, ID: "my-game/default", Action: Changed, Fields: []FieldChange{
			{"dialect", "old-net", "percent"},
			{"url", "https://game.example/p?id=[click_id]&p=[payout]", "https://game.example/p?id=%ymid%&s=***&f=%field.x%"},
		}},
		{Kind: KindZone, ID: "my-game/123456", Action: Changed, Fields: []FieldChange{
			{"sub_zones.rewarded_popup", "123458", "123459"},
			{"ad_server.url", "https://ads.example/choose", "https://ads.example/choose?key=***"},
			{"ad_server.max_price", "0.5", "1"},
			{"confirm.viewable", "2s", "off"},
			{"confirm.per_user", "9 in 10m", "off"},
			{"confirm.frequency_cap", "20 in 1d", "off"},
			{"sub_zones.in_app_interstitial", "In-App_9", ""},
		}},
		{Kind: KindCreative, ID: "spring", Action: Changed, Fields: []FieldChange{{"html", "", "(text)"}, {"weight", "3", "1"}}},
		{Kind: KindCreative, ID: "text", Action: Removed},
		{Kind: KindDialect, ID: "old-net", Action: Changed, Fields: []FieldChange{
			{"macros.amount", "", "estimated_price"}, {"macros.payout", "estimated_price", ""},
		}},
		{Kind: KindDialect, ID: "percent", Action: Added, Fields: []FieldChange{{"open", "", "%"}, {"close", "", "%"}}},
	}
	if diff := cmp.Diff(expect, got); diff != "" {
		t.Errorf("Diff (-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "s3cr3t") {
		t.Errorf("Diff shows a secret: %s", text)
	}
}

func TestMergeKeepsTheNetworkEnd(t *testing.T) {
	have := networkEnd(t)
	if got := Merge(have, carom.Objects{}, false); !cmp.Equal(got, have, exact, prefixes) {
		t.Errorf("without prune, what the file does not name has changed (-want +got):\n%s", cmp.Diff(have, got, exact, prefixes))
	}
	if got := Merge(have, carom.Objects{}, true); len(got.Zones)+len(got.Creatives)+len(got.Dialects)+len(got.Sources) > 0 {
		t.Errorf("with prune, these stay: %+v", got)
	}
	want := carom.Objects{
		Zones:     []carom.Zone{{App: "bare", ID: "5", Title: "New"}},
		Creatives: []carom.Creative{{Name: "text", Title: "New"}},
		Dialects:  []carom.Dialect{{Name: "old-net", Open: "{", Close: "}"}},
	}
	got := Merge(have, want, false)
	if len(got.Zones) != 4 || got.Zones[0].Title != "New" || len(got.Creatives) != 3 || got.Creatives[0].Title != "New" ||
		len(got.Dialects) != 1 || got.Dialects[0].Open != "{" {
		t.Errorf("what the file names does not replace what is in force: %+v", got)
	}
	// An id may be that of a zone which stays, and which the file does not show.
	want.Zones = []carom.Zone{{App: "new", ID: "6"}}
	if err := CheckZones(Merge(have, want, false)); err == nil || !strings.Contains(err.Error(), `the id "6" is taken`) {
		t.Errorf("CheckZones returned %v, want a fault of the id 6", err)
	}
}

// TestAutomaticSourcesGiveWay: a file that adds a zone to an app need not know which source the app has for it.
func TestAutomaticSourcesGiveWay(t *testing.T) {
	automatic := carom.Source{App: "a", Name: carom.SourceSDK, Profile: carom.ProfileSDK}
	tests := []struct {
		name  string
		have  carom.Source
		want  []carom.Source
		prune bool
		ids   []string // of the sources afterwards, with their profiles
		fault string   // of CheckZones
	}{
		{"the same", automatic, []carom.Source{automatic}, false, []string{"a/sdk sdk"}, ""},
		{"another of the profile stays", carom.Source{App: "a", Name: "browser", Profile: "sdk"}, []carom.Source{automatic}, false, []string{"a/browser sdk"}, ""},
		{"another of the profile goes", carom.Source{App: "a", Name: "browser", Profile: "sdk"}, []carom.Source{automatic}, true, []string{"a/sdk sdk"}, ""},
		{"another of the profile becomes something else", carom.Source{App: "a", Name: "browser", Profile: "sdk"},
			[]carom.Source{automatic, {App: "a", Name: "browser", Profile: "api"}}, false, []string{"a/sdk sdk", "a/browser api"}, ""},
		{"that of another app", carom.Source{App: "b", Name: "browser", Profile: "sdk"}, []carom.Source{automatic}, false, []string{"a/sdk sdk", "b/browser sdk"}, ""},
		{"the name is taken", carom.Source{App: "a", Name: "sdk", Profile: "monetag"}, []carom.Source{automatic}, false, []string{"a/sdk monetag"}, "rename this one"},
		{"the file names another", automatic, []carom.Source{{App: "a", Name: "browser", Profile: "sdk"}}, false, []string{"a/browser sdk", "a/sdk sdk"}, "keep one of the two"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			have := carom.Objects{Sources: []carom.Source{tt.have}}
			want := carom.Objects{Sources: tt.want, Zones: []carom.Zone{{App: "a", ID: "1"}}}
			merged := Merge(have, want, tt.prune)
			var ids []string
			for _, s := range merged.Sources {
				ids = append(ids, s.ID()+" "+s.Profile)
			}
			if diff := cmp.Diff(tt.ids, ids); diff != "" {
				t.Errorf("sources (-want +got):\n%s", diff)
			}
			if err := CheckZones(merged); (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("CheckZones returned %v, want %q", err, tt.fault)
			}
			// What is shown beforehand is what comes of it.
			rest := Diff(merged, merged, true)
			if len(rest) > 0 {
				t.Errorf("the result differs from itself: %+v", rest)
			}
			for _, c := range Diff(have, want, tt.prune) {
				if c.Kind == KindSource && c.Action == Added && !strings.Contains(fmt.Sprint(ids), c.ID+" ") {
					t.Errorf("Diff announces %s, which Merge does not add", c.ID)
				}
			}
		})
	}
}

func TestLimit(t *testing.T) {
	tests := []struct {
		text  string
		want  carom.ViewLimit
		fault string // a part of it
	}{
		{"90 in 10m", carom.ViewLimit{Views: 90, Within: 10 * time.Minute}, ""},
		{"1 in 1s", carom.ViewLimit{Views: 1, Within: time.Second}, ""},
		{"1000000 in 30d", carom.ViewLimit{Views: 1_000_000, Within: 30 * 24 * time.Hour}, ""},
		{" 5  in  1d12h ", carom.ViewLimit{Views: 5, Within: 36 * time.Hour}, ""},
		{"off", carom.ViewLimit{Views: -1}, ""},
		{"", carom.ViewLimit{}, "is no limit"},
		{"90", carom.ViewLimit{}, "is no limit"},
		{"90 per 10m", carom.ViewLimit{}, "is no limit"},
		{"90in10m", carom.ViewLimit{}, "is no limit"},
		{"90 in", carom.ViewLimit{}, "is no limit"},
		{"1.5 in 10m", carom.ViewLimit{}, "is no limit"},
		{"0 in 10m", carom.ViewLimit{}, "1 to 1000000"},
		{"-1 in 10m", carom.ViewLimit{}, "1 to 1000000"},
		{"1000001 in 10m", carom.ViewLimit{}, "1 to 1000000"},
		{"1 in 999ms", carom.ViewLimit{}, "1s to 30d"},
		{"1 in -1s", carom.ViewLimit{}, "1s to 30d"},
		{"1 in 30d1s", carom.ViewLimit{}, "1s to 30d"},
	}
	for _, tt := range tests {
		text := "creatives: {}\napps: { a: { origins: [https://a.example], zones: { z: { sub_zones: { rewarded_popup: p }, confirm: { per_user: \"" + tt.text + "\" } } } } }\n"
		f, err := Parse("f", []byte(text), Env{})
		switch {
		case tt.fault != "":
			if err == nil || !strings.Contains(err.Error(), tt.fault) || !strings.HasPrefix(err.Error(), "f:2:") {
				t.Errorf("per_user %q: %v, want a fault with %q", tt.text, err, tt.fault)
			}
		case err != nil:
			t.Errorf("per_user %q: %v", tt.text, err)
		case f.Objects.Zones[0].Confirm.PerUser != tt.want:
			t.Errorf("per_user %q = %+v, want %+v", tt.text, f.Objects.Zones[0].Confirm.PerUser, tt.want)
		}
	}
}

func TestZoneIDs(t *testing.T) {
	long := strings.Repeat("a", 64)
	for id, fits := range map[string]bool{
		"1": true, "0123": true, "Zone_B-1": true, "-": true, long: true,
		"": false, long + "a": false, "a.b": false, "a b": false, "ä": false, "a/b": false, "a\"b": false, "<a>": false,
	} {
		if fault := zoneIDFault(id); (fault == "") != fits {
			t.Errorf("zoneIDFault(%q) = %q", id, fault)
		}
	}
}
