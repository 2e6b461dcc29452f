package carom

import (
	"net/netip"
	"slices"
	"time"
)

// Format says how an ad is shown.
type Format string

// The formats. Each is served by a sub-zone of its own.
const (
	RewardedInterstitial Format = "rewarded_interstitial" // over the page until it is closed: impression and click are sent
	RewardedPopup        Format = "rewarded_popup"        // in a window of its own: the impression alone is sent
	InAppInterstitial    Format = "in_app_interstitial"   // shown from time to time without a reward: nothing is sent
)

// Formats returns all formats.
func Formats() []Format { return []Format{RewardedInterstitial, RewardedPopup, InAppInterstitial} }

// Sends says whether an event of the type is sent to endpoints when an ad of this format caused it.
func (f Format) Sends(t EventType) bool {
	switch f {
	case RewardedInterstitial:
		return t == Impression || t == Click
	case RewardedPopup:
		return t == Impression
	}
	return false
}

// Zone is a placement of an app at the network end: the main zone that the app gives to the SDK, with its sub-zones.
type Zone struct {
	App   string `json:"app"`
	ID    string `json:"id"` // opaque, unique among all zones and sub-zones: "123456"
	Title string `json:"title,omitempty"`

	// SubZones are the placements that serve, one for each format. A format without one is not served here.
	SubZones map[Format]string `json:"sub_zones,omitempty"`
	// Confirmed makes the SDK's Promise settle only when carom has confirmed or declined the view.
	Confirmed bool `json:"confirmed,omitempty"`
	// RequireYMID refuses to show an ad for which the app passes no ymid and no Telegram user is there.
	RequireYMID bool `json:"require_ymid,omitempty"`
	// Paused answers with no ad.
	Paused bool `json:"paused,omitempty"`

	AdServer AdServer     `json:"ad_server,omitzero"`
	Confirm  ConfirmRules `json:"confirm,omitzero"`
}

// SourceSDK is the name of the source that an app gets for the events of its zones, unless it has one of [ProfileSDK].
const SourceSDK = "sdk"

// ProfileSDK is the profile of sources whose events carom confirms by itself: those of the SDK.
const ProfileSDK = "sdk"

// AdServer is the operator's own, which is asked for an ad before house creatives are.
type AdServer struct {
	URL          string        `json:"url,omitempty"`     // POST; empty: there is none
	Timeout      time.Duration `json:"timeout,omitempty"` // after which a house creative is shown; zero: DefaultAdTimeout
	MaxPrice     Nanos         `json:"max_price,omitempty"`
	AllowPrivate bool          `json:"allow_private,omitempty"` // may dial private and loopback addresses
}

// Defaults of an ad server.
const (
	DefaultAdTimeout  = 300 * time.Millisecond
	DefaultMaxAdPrice = Nanos(nanosPerUnit) // an ad whose price is above it is not shown
)

// WithDefaults returns s with what is absent filled in.
func (s AdServer) WithDefaults() AdServer {
	if s.Timeout == 0 {
		s.Timeout = DefaultAdTimeout
	}
	if s.MaxPrice == 0 {
		s.MaxPrice = DefaultMaxAdPrice
	}
	return s
}

// ViewLimit is how many views may be valued within a span of time. The zero value means the default, and a negative number
// of views that there is no limit.
type ViewLimit struct {
	Views  int           `json:"views"`
	Within time.Duration `json:"within"`
}

// ConfirmRules decide which events of the SDK are valued. The zero value means the defaults, see [ConfirmRules.WithDefaults].
type ConfirmRules struct {
	// Viewable is for how long half of the ad has to be visible before its impression is valued. Negative: its start is enough.
	Viewable time.Duration `json:"viewable,omitempty"`
	// MinClick is the shortest time from the start of an ad to a click on it.
	MinClick time.Duration `json:"min_click,omitempty"`
	// RequireUser values nothing without a user whom Telegram's init data proves.
	RequireUser bool `json:"require_user,omitempty"`
	// DenyAddresses are those whose events are never valued.
	DenyAddresses []netip.Prefix `json:"deny_addresses,omitempty"`
	// OwnUsers and OwnAddresses are the operator's and the publisher's own people: their views show ads and are not valued.
	OwnUsers     []string       `json:"own_users,omitempty"`
	OwnAddresses []netip.Prefix `json:"own_addresses,omitempty"`

	PerUser      ViewLimit `json:"per_user,omitzero"`
	PerDevice    ViewLimit `json:"per_device,omitzero"` // an address with a browser
	PerAddress   ViewLimit `json:"per_address,omitzero"`
	FrequencyCap ViewLimit `json:"frequency_cap,omitzero"` // views of a user that are valued at all; by default there is none
}

// WithDefaults returns r with what is absent filled in. Viewable is the second of the IAB's and MRC's guidelines; an ad
// of some seconds cannot be watched more often than the limit of a user. Phones of one mobile network may share an address and
// say the same of themselves, so that a device may stand for many, and an address for more.
func (r ConfirmRules) WithDefaults() ConfirmRules {
	if r.Viewable == 0 {
		r.Viewable = time.Second
	}
	if r.MinClick == 0 {
		r.MinClick = 300 * time.Millisecond
	}
	limit := func(l *ViewLimit, views int, within time.Duration) {
		if *l == (ViewLimit{}) {
			*l = ViewLimit{views, within}
		}
	}
	limit(&r.PerUser, 90, 10*time.Minute)
	limit(&r.PerDevice, 600, 10*time.Minute)
	limit(&r.PerAddress, 3000, 10*time.Minute)
	limit(&r.FrequencyCap, -1, 24*time.Hour)
	return r
}

// Creative is an ad of the operator's own house: an image, or HTML that is shown in a sandboxed frame.
type Creative struct {
	Name    string   `json:"name"`
	Title   string   `json:"title,omitempty"`   // says what it shows to those who cannot see it
	Formats []Format `json:"formats,omitempty"` // empty: all
	Zones   []string `json:"zones,omitempty"`   // main zones; empty: all

	Image      string        `json:"image,omitempty"` // https URL; of image and HTML there is one, but for popups neither is needed
	HTML       string        `json:"html,omitempty"`
	Width      int           `json:"width,omitempty"` // CSS pixels; with Height the shape of the creative. 0: the screen's
	Height     int           `json:"height,omitempty"`
	LandingURL string        `json:"landing_url,omitempty"`
	CloseAfter time.Duration `json:"close_after,omitempty"` // when a rewarded ad can be closed; zero: DefaultCloseAfter

	Weight        int   `json:"weight,omitempty"` // its share among those that fit; 0: 1
	PerImpression Nanos `json:"per_impression,omitempty"`
	PerClick      Nanos `json:"per_click,omitempty"`
	Paused        bool  `json:"paused,omitempty"`
}

// DefaultCloseAfter is when a rewarded ad can be closed.
const DefaultCloseAfter = 5 * time.Second

// Fits says whether the creative may be shown in the zone as the format.
func (c *Creative) Fits(zone string, f Format) bool {
	return !c.Paused && (len(c.Zones) == 0 || slices.Contains(c.Zones, zone)) && (len(c.Formats) == 0 || slices.Contains(c.Formats, f))
}

// Dialect is how an operator's publishers are used to write macros: "[payout]", "%sub1%". Templates stay as they were written.
type Dialect struct {
	Name  string `json:"name"`
	Open  string `json:"open"` // what stands before a macro's name, and behind it
	Close string `json:"close"`
	// Macros maps the names of that dialect to carom's: {"click_id": "ymid", "payout": "estimated_price"}. carom's own names
	// count as well.
	Macros map[string]string `json:"macros,omitempty"`
}

// AddSDKSources gives each app that has zones a source for their events, unless it has one.
func (o *Objects) AddSDKSources() {
	has := map[string]bool{}
	for i := range o.Sources {
		if o.Sources[i].Profile == ProfileSDK {
			has[o.Sources[i].App] = true
		}
	}
	for i := range o.Zones {
		if app := o.Zones[i].App; !has[app] {
			has[app] = true
			o.Sources = append(slices.Clip(o.Sources), Source{App: app, Name: SourceSDK, Profile: ProfileSDK})
		}
	}
}
