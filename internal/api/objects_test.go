package api

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
)

// networkEnd adds zones of both apps, creatives and dialects to a world.
func networkEnd(w *world) {
	o := &w.objects.objects
	o.Zones = []carom.Zone{
		{App: "game", ID: "2-b", Title: "Main", SubZones: map[carom.Format]string{carom.RewardedPopup: "21"}, Confirmed: true, Paused: true,
			AdServer: carom.AdServer{URL: "https://ads.example/choose?key=hunter2", AllowPrivate: true},
			Confirm: carom.ConfirmRules{Viewable: -1, MinClick: -1, OwnUsers: []string{"42"}, FrequencyCap: carom.ViewLimit{Views: 20, Within: 24 * time.Hour},
				OwnAddresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}, DenyAddresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}},
		{App: "shop", ID: "1", SubZones: map[carom.Format]string{carom.RewardedInterstitial: "11"}},
	}
	o.Creatives = []carom.Creative{
		{Name: "everywhere", Formats: []carom.Format{carom.RewardedPopup, carom.RewardedInterstitial}, HTML: "<p>secret offer</p>",
			LandingURL: "https://offer.example/", PerImpression: 2_000_000, PerClick: 50_000_000, Zones: []string{"1", "2-b"}},
		{Name: "images", Formats: []carom.Format{carom.RewardedInterstitial}, Image: "https://cdn.example/a.png", Width: 320, Height: 480, Weight: 3},
		{Name: "of-shop", LandingURL: "https://offer.example/", Zones: []string{"1"}},
		{Name: "paused", LandingURL: "https://offer.example/", Paused: true},
	}
	o.Dialects = []carom.Dialect{
		{Name: "old-net", Open: "[", Close: "]", Macros: map[string]string{"payout": "estimated_price"}},
		{Name: "percent", Open: "%", Close: "%"},
	}
	o.Endpoints[1].Dialect, o.Endpoints[1].Default = "percent", true
}

func TestObjectsOfTheNetworkEnd(t *testing.T) {
	w := newWorld()
	networkEnd(w)
	w.handler = New(Options{Store: w.store, Door: w.door, Lanes: w.lanes, Objects: w.objects, Now: noon, PublicURL: "https://carom.example"})
	rec := w.ask(t, "admin", "GET /v1/objects", "")
	if strings.Contains(rec.Body.String(), "hunter2") {
		t.Errorf("the answer shows a secret: %s", rec.Body)
	}
	got := decode[ObjectList](t, rec, 200)
	defaults := ConfirmRules{
		Viewable: "1s", MinClick: "300ms", PerUser: "90 in 10m", PerDevice: "600 in 10m", PerAddress: "3000 in 10m", FrequencyCap: "off",
	}
	changed := defaults
	changed.Viewable, changed.MinClick, changed.FrequencyCap, changed.OwnUsers = "off", "off", "20 in 1d", []string{"42"}
	changed.OwnAddresses, changed.DenyAddresses = []string{"198.51.100.7"}, []string{"203.0.113.0/24"}
	game := Zone{
		App: "game", ID: "2-b", Title: "Main", SubZones: map[string]string{"rewarded_popup": "21"}, Confirmed: true, Paused: true, Confirm: changed,
		AdServer: &AdServer{URL: "https://ads.example/choose?key=***", Timeout: "300ms", MaxPrice: "1", AllowPrivate: true},
		Snippet:  `<script src="https://carom.example/sdk.js" data-zone="2-b" data-sdk="show_2_b"></script>`,
	}
	zones := []Zone{game, {
		App: "shop", ID: "1", SubZones: map[string]string{"rewarded_interstitial": "11"}, Confirm: defaults,
		Snippet: `<script src="https://carom.example/sdk.js" data-zone="1" data-sdk="show_1"></script>`,
	}}
	creatives := []Creative{
		{Name: "everywhere", Formats: []string{"rewarded_popup", "rewarded_interstitial"}, Zones: []string{"1", "2-b"}, HTML: "<p>secret offer</p>",
			LandingURL: "https://offer.example/", CloseAfter: "5s", Weight: 1, PerImpression: "0.002", PerClick: "0.05"},
		{Name: "images", Formats: []string{"rewarded_interstitial"}, Image: "https://cdn.example/a.png", Width: 320, Height: 480, CloseAfter: "5s", Weight: 3,
			PerImpression: "0", PerClick: "0"},
		{Name: "of-shop", LandingURL: "https://offer.example/", Zones: []string{"1"}, CloseAfter: "5s", Weight: 1, PerImpression: "0", PerClick: "0"},
		{Name: "paused", LandingURL: "https://offer.example/", CloseAfter: "5s", Weight: 1, PerImpression: "0", PerClick: "0", Paused: true},
	}
	for _, diff := range []string{
		cmp.Diff(zones, got.Zones), cmp.Diff(creatives, got.Creatives), cmp.Diff(w.objects.objects.Dialects, got.Dialects),
	} {
		if diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
	}
	if e := got.Endpoints; e[0].Dialect != "" || e[0].Default || e[1].Dialect != "percent" || !e[1].Default {
		t.Errorf("endpoints: %+v", e)
	}

	// The app game has one zone, which serves popups alone.
	limited := decode[ObjectList](t, w.ask(t, "game-read", "GET /v1/objects", ""), 200)
	game.AdServer = nil
	offer := creatives[0]
	offer.Zones, offer.HTML, offer.PerImpression, offer.PerClick = []string{"2-b"}, "", "", ""
	for _, diff := range []string{
		cmp.Diff([]Zone{game}, limited.Zones), cmp.Diff([]Creative{offer}, limited.Creatives),
		cmp.Diff(w.objects.objects.Dialects[1:], limited.Dialects),
	} {
		if diff != "" {
			t.Errorf("objects for a key of game (-want +got):\n%s", diff)
		}
	}
}

func TestAPublisherSeesTheNetworkEndOfAllItsApps(t *testing.T) {
	w := newWorld()
	networkEnd(w)
	v := visible(caller{app: noApp, publisher: "acme", apps: []string{"game", "shop"}}, w.objects.objects)
	var names []string
	for _, z := range v.Zones {
		names = append(names, z.ID)
	}
	for _, c := range v.Creatives {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"2-b", "1", "everywhere", "images", "of-shop"}, names); diff != "" {
		t.Errorf("zones and creatives (-want +got):\n%s", diff)
	}
}

// TestObjectsWithoutANetworkEnd: lists are there, empty, so that nobody has to tell absent from none.
func TestObjectsWithoutANetworkEnd(t *testing.T) {
	for _, key := range []string{"admin", "game-read"} {
		rec := newWorld().ask(t, key, "GET /v1/objects", "")
		for _, want := range []string{`"zones":[]`, `"creatives":[]`, `"dialects":[]`} {
			if !strings.Contains(rec.Body.String(), want) {
				t.Errorf("for the key %s the answer lacks %s: %s", key, want, rec.Body)
			}
		}
	}
}

func TestSnippet(t *testing.T) {
	for _, tt := range []struct{ name, zone, base, want string }{
		{"a number", "123456", "https://carom.example", `<script src="https://carom.example/sdk.js" data-zone="123456" data-sdk="show_123456"></script>`},
		{"a name for JavaScript", "Zone-B_2", "https://carom.example", `<script src="https://carom.example/sdk.js" data-zone="Zone-B_2" data-sdk="show_Zone_B_2"></script>`},
		{"nobody knows where", "1", "", `<script src="/sdk.js" data-zone="1" data-sdk="show_1"></script>`},
		{"nothing ends an attribute", `1"><b`, "https://carom.example", `<script src="https://carom.example/sdk.js" data-zone="1&#34;&gt;&lt;b" data-sdk="show_1&#34;&gt;&lt;b"></script>`},
	} {
		if got := snippet(tt.zone, tt.base); got != tt.want {
			t.Errorf("%s: snippet(%q, %q) = %s, want %s", tt.name, tt.zone, tt.base, got, tt.want)
		}
	}
}
