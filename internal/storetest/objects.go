package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// prefixes compares networks of addresses; anyVersion takes objects for equal whatever number a store gives to a change of them.
var (
	prefixes   = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	anyVersion = cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Version" }, cmp.Ignore())
)

func objectsComeBack(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	want := carom.Objects{
		Publishers: []carom.Publisher{{Name: "acme", Title: "Acme Games"}},
		Apps:       []carom.App{{Name: "app", Title: "The app", Publisher: "acme", TimeZone: "Europe/Berlin", Currencies: map[string]int{"coins": 0}, BotToken: "42:token-of-the-bot"}, {Name: "game"}},
		Rules: []carom.Rule{{App: "app", Name: "watch", Price: carom.PriceRule{Currency: "coins", Fixed: carom.Price{Nanos: 5, Set: true}},
			Caps: []carom.Cap{{Per: []string{carom.CapUser}, Rewards: 3}}, Hold: time.Hour}},
		Sources: []carom.Source{{App: "app", Name: "monetag", Profile: "monetag", YMID: carom.YMIDUser, Template: "?uid={ymid}",
			EventTypes: map[string]carom.EventType{"imp": carom.Impression}, DedupeWindow: 40 * 24 * time.Hour, RepeatWindow: time.Minute,
			Secrets:        []carom.SecretSum{{Sum: [32]byte{1, 2, 3}, NotAfter: noon}},
			NetworkSecrets: []carom.SigningSecret{{Key: "whsec_of-the-network"}, {Key: "whsec_of-the-network-before", NotAfter: noon}},
			Addresses:      []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, RequireAddress: true}},
		Endpoints: []carom.Endpoint{
			{App: "app", Name: "backend", URL: "https://publisher.example/{ymid}", Method: "POST", Headers: []carom.Field{{Name: "X-A", Value: "{zone_id}"}},
				Filter: carom.Filter{Values: []carom.RewardEventType{carom.Valued, carom.ValueEmpty}}, Success: carom.SuccessRule{Contains: "ok"},
				Schedule: []time.Duration{time.Second, time.Minute}, Deadline: time.Hour, Rate: 12.5, Concurrency: 7, Once: true, Paused: true, AllowPrivate: true,
				SigningSecrets: []carom.SigningSecret{{Key: "whsec_newer-than-the-other"}, {Key: "whsec_older-than-the-other", NotAfter: noon}}},
			{App: "game", Name: "backend", URL: "https://publisher.example/?p=[payout]", Dialect: "old-net", Default: true},
		},
		Zones: []carom.Zone{
			{App: "app", ID: "123456", Title: "Main", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "123457", carom.RewardedPopup: "Sub_8"},
				Confirmed: true, RequireYMID: true, Paused: true,
				AdServer: carom.AdServer{URL: "https://ads.example/choose", Timeout: 200 * time.Millisecond, MaxPrice: 500_000_000, AllowPrivate: true},
				Confirm: carom.ConfirmRules{Viewable: -1, MinClick: -1, RequireUser: true, OwnUsers: []string{"42"},
					DenyAddresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, OwnAddresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::7/128")},
					PerUser: carom.ViewLimit{Views: -1}, PerDevice: carom.ViewLimit{Views: 5, Within: time.Minute},
					PerAddress: carom.ViewLimit{Views: 1_000_000, Within: 30 * 24 * time.Hour}, FrequencyCap: carom.ViewLimit{Views: 20, Within: 24 * time.Hour}}},
			{App: "game", ID: "Zone-2", SubZones: map[carom.Format]string{carom.InAppInterstitial: "Zone-3"}, Confirm: carom.ConfirmRules{Viewable: 2 * time.Second}},
		},
		Creatives: []carom.Creative{
			{Name: "autumn", HTML: "<p>\u2028</p>", Paused: true},
			{Name: "spring", Title: "Spring sale", Formats: []carom.Format{carom.RewardedPopup}, Zones: []string{"123456"}, Image: "https://cdn.example/a.png",
				Width: 320, Height: 480, LandingURL: "https://shop.example/?a=1&b=2", CloseAfter: 5 * time.Second, Weight: 3, PerImpression: 2_000_000, PerClick: 1},
		},
		Dialects: []carom.Dialect{{Name: "old-net", Open: "[", Close: "]", Macros: map[string]string{"payout": "estimated_price"}}},
	}
	given := slices.Clone(want.Endpoints)
	got, err := s.SetObjects(t.Context(), want)
	if err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	if diff := cmp.Diff(given, want.Endpoints); diff != "" {
		t.Errorf("SetObjects changed what it was given (-before +after):\n%s", diff)
	}
	if len(got.Endpoints) != 2 || got.Endpoints[0].No < 1 || got.Endpoints[1].No < 1 || got.Endpoints[0].No == got.Endpoints[1].No {
		t.Fatalf("SetObjects numbers the endpoints %+v, want two different numbers", got.Endpoints)
	}
	want.Endpoints = slices.Clone(given)
	for i := range want.Endpoints {
		want.Endpoints[i].No = got.Endpoints[i].No
	}
	// Masked compares as what it is, but prints as stars.
	if diff := cmp.Diff(want, got, prefixes, anyVersion); diff != "" {
		t.Errorf("SetObjects (-want +got):\n%s", diff)
	}
	for _, how := range []string{"at once", "after a restart", "after a crash"} {
		move(t, s, how)
		got, err = s.Objects(t.Context())
		if diff := cmp.Diff(want, got, prefixes, anyVersion); err != nil || diff != "" {
			t.Errorf("%s: Objects (-want +got), %v:\n%s", how, err, diff)
		}
	}
	secret := regexp.MustCompile(`whsec_|token-of-the-bot`)
	text, err := json.Marshal(got)
	if err != nil || secret.Match(text) {
		t.Errorf("JSON of objects shows secrets, or %v: %s", err, text)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); secret.MatchString(text) {
		t.Errorf("printing objects shows their secrets: %s", text)
	}
}

// A secret may stand in more places than those made for it: in a URL, a header, a body, a filter's word.
func objectsAreSealed(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	want := carom.Objects{
		Apps: []carom.App{{Name: "app", BotToken: "42:hidden-token-of-the-bot"}},
		Sources: []carom.Source{{App: "app", Name: "net", Profile: "monetag", ShadowURL: "https://today.example/hidden-receiver",
			NetworkSecrets: []carom.SigningSecret{{Key: "hidden-network-secret"}}}},
		Endpoints: []carom.Endpoint{{App: "app", Name: "backend", URL: "https://publisher.example/?token=hidden-in-the-url", Body: "hidden-in-the-body",
			Headers: []carom.Field{{Name: "X-Key", Value: "hidden-in-a-header"}}, SigningSecrets: []carom.SigningSecret{{Key: "whsec_hidden-signing-secret"}}}},
		Zones:     []carom.Zone{{App: "app", ID: "1", AdServer: carom.AdServer{URL: "https://ads.example/?key=hidden-of-the-ad-server"}}},
		Creatives: []carom.Creative{{Name: "spring", HTML: "<p>hidden in a creative</p>"}},
	}
	for _, how := range []string{"at once", "after a restart", "after a crash"} {
		made, err := s.SetObjects(t.Context(), want)
		if err != nil {
			t.Fatalf("SetObjects: %v", err)
		}
		want.Version = made.Version
		move(t, s, how)
		if found := s.place.Find(t, "hidden"); len(found) > 0 {
			t.Errorf("%s: secrets lie as they are: %s", how, found)
		}
		if got, err := s.Objects(t.Context()); err != nil || len(got.Apps) != 1 || got.Apps[0].BotToken != want.Apps[0].BotToken {
			t.Errorf("%s: Objects: %d apps, %v", how, len(got.Apps), err)
		}
	}
	if len(s.place.Find(t, "sealed:1:"+sealing.ID())) < 6 {
		t.Error("objects and the key of views are not in what was searched")
	}
}

func endpointNumbers(t *testing.T, open Opener) {
	s := begin(t, open, Options{})
	inForce, used := map[string]int{}, map[int]bool{}
	// set puts the endpoints into force: those that are in force already keep their numbers, the others get new ones.
	set := func(names ...string) {
		t.Helper()
		o := setObjects(t, s, func(o *carom.Objects) {
			o.Endpoints = nil
			for _, name := range names {
				o.Endpoints = append(o.Endpoints, carom.Endpoint{App: "app", Name: name, No: 77}) // a given number means nothing
			}
		})
		now := map[string]int{}
		for _, e := range o.Endpoints {
			before, had := inForce[e.Name]
			if had && e.No != before {
				t.Errorf("%s has the number %d, want %d as before", e.Name, e.No, before)
			}
			if !had && (e.No < 1 || used[e.No]) {
				t.Errorf("%s has the number %d, want one that was never given", e.Name, e.No)
			}
			now[e.Name], used[e.No] = e.No, true
		}
		if inForce = now; len(now) != len(names) {
			t.Errorf("in force are %v, want %q", now, names)
		}
	}
	set("a", "b")
	set("b", "c", "a")
	set("a")
	set("c", "b", "a")
	set()
	s.restart(t)
	set("a", "c")
	s.crash(t)
	set("c", "d")

	// Two of one name are refused as a whole, and use up nothing that is seen.
	o, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoints = []carom.Endpoint{{App: "app", Name: "x"}, {App: "app", Name: "x"}}
	if _, err := s.SetObjects(t.Context(), o); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("SetObjects with one name twice: %v, want carom.ErrConflict", err)
	}
	if o, err = s.Objects(t.Context()); err != nil || len(o.Endpoints) != 2 || o.Endpoints[0].No != inForce[o.Endpoints[0].Name] {
		t.Errorf("Objects after a refused change = %+v, %v, want what was there", o.Endpoints, err)
	}
	accept(t, s, submission("a", noon)) // the commit that held the refused change was not lost
}
