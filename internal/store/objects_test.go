package store

import (
	"encoding/json"
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

func TestObjectsComeBackAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	want := carom.Objects{
		Publishers: []carom.Publisher{{Name: "acme", Title: "Acme Games"}},
		Apps:       []carom.App{{Name: "app", Title: "The app", Publisher: "acme", TimeZone: "Europe/Berlin", Currencies: map[string]int{"coins": 0}}, {Name: "game"}},
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
	given := append([]carom.Endpoint(nil), want.Endpoints...)
	got, err := s.SetObjects(t.Context(), want)
	if err != nil {
		t.Fatalf("SetObjects: %v", err)
	}
	if diff := cmp.Diff(given, want.Endpoints); diff != "" {
		t.Errorf("SetObjects changed what it was given (-before +after):\n%s", diff)
	}
	want.Endpoints = append([]carom.Endpoint(nil), given...)
	want.Endpoints[0].No, want.Endpoints[1].No = 1, 2
	want.Version = 1
	// Masked compares as what it is, but prints as stars.
	if diff := cmp.Diff(want, got, prefixes); diff != "" {
		t.Errorf("SetObjects (-want +got):\n%s", diff)
	}
	stop()
	s, _ = open(t, dir, Options{})
	got, err = s.Objects(t.Context())
	if diff := cmp.Diff(want, got, prefixes); err != nil || diff != "" {
		t.Errorf("Objects after reopening (-want +got), %v:\n%s", err, diff)
	}
	text, err := json.Marshal(got)
	if err != nil || strings.Contains(string(text), "whsec_") {
		t.Errorf("JSON of objects shows secrets, or %v: %s", err, text)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "whsec_") {
		t.Errorf("printing objects shows their secrets: %s", text)
	}
	if got := s.longestWindow(); got != 40*24*time.Hour {
		t.Errorf("longestWindow = %s after reopening, want the source's 40 days", got)
	}
}

func TestEndpointNumbersAreNeverReused(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	version := int64(0)
	set := func(names ...string) map[string]int {
		t.Helper()
		o := carom.Objects{Version: version}
		for _, name := range names {
			o.Endpoints = append(o.Endpoints, carom.Endpoint{App: "app", Name: name, No: 77}) // a given number means nothing
		}
		o, err := s.SetObjects(t.Context(), o)
		if err != nil {
			t.Fatalf("SetObjects: %v", err)
		}
		version = o.Version
		numbers := map[string]int{}
		for _, e := range o.Endpoints {
			numbers[e.Name] = e.No
		}
		return numbers
	}
	want := func(got, want map[string]int) {
		t.Helper()
		if diff := cmp.Diff(want, got, prefixes); diff != "" {
			t.Errorf("numbers (-want +got):\n%s", diff)
		}
	}
	want(set("a", "b"), map[string]int{"a": 1, "b": 2})
	want(set("b", "c", "a"), map[string]int{"a": 1, "b": 2, "c": 3})
	want(set("a"), map[string]int{"a": 1})
	want(set("c", "b", "a"), map[string]int{"a": 1, "c": 4, "b": 5})
	want(set(), map[string]int{})
	stop()
	s, _ = open(t, dir, Options{})
	want(set("a", "c"), map[string]int{"a": 6, "c": 7})

	// Two of one name are refused as a whole, and use up nothing that is seen.
	_, err := s.SetObjects(t.Context(), carom.Objects{Version: version, Endpoints: []carom.Endpoint{{App: "app", Name: "x"}, {App: "app", Name: "x"}}})
	if !errors.Is(err, carom.ErrConflict) {
		t.Errorf("SetObjects with one name twice: %v, want carom.ErrConflict", err)
	}
	o, err := s.Objects(t.Context())
	if err != nil || len(o.Endpoints) != 2 || o.Endpoints[0].No != 6 {
		t.Errorf("Objects after a refused change = %+v, %v, want what was there", o.Endpoints, err)
	}
	accept(t, s, submission("a", noon)) // the commit that held the refused change was not lost
}
