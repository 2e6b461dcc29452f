package api

import (
	"cmp"
	"html"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Zone is a placement of an app at the network end, with every default filled in.
type Zone struct {
	App         string            `json:"app"`
	ID          string            `json:"id" doc:"The main zone, which the app gives to the SDK"`
	Title       string            `json:"title,omitempty"`
	SubZones    map[string]string `json:"sub_zones" nullable:"false" doc:"The placements that serve, by format"`
	Confirmed   bool              `json:"confirmed" doc:"The SDK's Promise settles when the view is confirmed or declined"`
	RequireYMID bool              `json:"require_ymid"`
	Paused      bool              `json:"paused" doc:"It answers with no ad"`
	AdServer    *AdServer         `json:"ad_server,omitempty" doc:"The operator's own, which is asked before house creatives are. Not shown to keys of one app or publisher"`
	Confirm     ConfirmRules      `json:"confirm" doc:"What decides which events are valued"`
	Snippet     string            `json:"snippet" doc:"The script tag to put into the app's page"`
}

// AdServer is the operator's own, with every default filled in. Values in its URL that look like secrets are masked.
type AdServer struct {
	URL          string `json:"url"`
	Timeout      string `json:"timeout" doc:"After which a house creative is shown"`
	MaxPrice     string `json:"max_price" doc:"An ad whose price is above it is not shown"`
	AllowPrivate bool   `json:"allow_private,omitempty"`
}

// ConfirmRules decide which events of a zone are valued. What is written off does not decide.
type ConfirmRules struct {
	Viewable      string   `json:"viewable" doc:"For how long half of the ad has to be visible; off: its start is enough"`
	MinClick      string   `json:"min_click" doc:"The shortest time from the start of an ad to a click on it; off: none"`
	RequireUser   bool     `json:"require_user" doc:"Nothing is valued without a user whom Telegram's init data proves"`
	DenyAddresses []string `json:"deny_addresses,omitempty" nullable:"false"`
	OwnUsers      []string `json:"own_users,omitempty" nullable:"false"`
	OwnAddresses  []string `json:"own_addresses,omitempty" nullable:"false"`
	PerUser       string   `json:"per_user" doc:"How many views may be valued in which time, as in: 90 in 10m"`
	PerDevice     string   `json:"per_device"`
	PerAddress    string   `json:"per_address"`
	FrequencyCap  string   `json:"frequency_cap"`
}

// Creative is an ad of the operator's own house, with every default filled in. Keys of one app or publisher see those that may be shown
// there, without HTML and prices.
type Creative struct {
	Name          string   `json:"name"`
	Title         string   `json:"title,omitempty"`
	Formats       []string `json:"formats,omitempty" nullable:"false" doc:"Absent: all"`
	Zones         []string `json:"zones,omitempty" nullable:"false" doc:"Main zones. Absent: all"`
	Image         string   `json:"image,omitempty"`
	HTML          string   `json:"html,omitempty"`
	Width         int      `json:"width,omitempty" doc:"CSS pixels. Absent: the screen's"`
	Height        int      `json:"height,omitempty"`
	LandingURL    string   `json:"landing_url,omitempty"`
	CloseAfter    string   `json:"close_after" doc:"When a rewarded ad can be closed"`
	Weight        int      `json:"weight" doc:"Its share among those that fit"`
	PerImpression string   `json:"per_impression,omitempty" doc:"A decimal number"`
	PerClick      string   `json:"per_click,omitempty" doc:"A decimal number"`
	Paused        bool     `json:"paused,omitempty"`
}

// addVisibleZones adds what a caller who is limited to some apps may see of the network end: their zones, the creatives that
// may be shown there, of whose zones those alone, and the dialects of the endpoints that v has.
func addVisibleZones(c caller, v *carom.Objects, o carom.Objects) {
	var ids []string
	for _, z := range o.Zones {
		if c.sees(z.App) {
			v.Zones, ids = append(v.Zones, z), append(ids, z.ID)
		}
	}
	for _, creative := range o.Creatives {
		if slices.ContainsFunc(v.Zones, func(z carom.Zone) bool { return fitsIn(&creative, &z) }) {
			creative.Zones = slices.DeleteFunc(slices.Clone(creative.Zones), func(id string) bool { return !slices.Contains(ids, id) })
			v.Creatives = append(v.Creatives, creative)
		}
	}
	for _, d := range o.Dialects {
		if slices.ContainsFunc(v.Endpoints, func(e carom.Endpoint) bool { return e.Dialect == d.Name }) {
			v.Dialects = append(v.Dialects, d)
		}
	}
}

// fitsIn says whether a creative may be shown in a zone as one of the formats that it serves.
func fitsIn(c *carom.Creative, z *carom.Zone) bool {
	for f := range z.SubZones {
		if c.Fits(z.ID, f) {
			return true
		}
	}
	return false
}

func showZone(c caller, z carom.Zone, baseURL string) Zone {
	r := z.Confirm.WithDefaults()
	v := Zone{
		App: z.App, ID: z.ID, Title: z.Title, SubZones: make(map[string]string, len(z.SubZones)),
		Confirmed: z.Confirmed, RequireYMID: z.RequireYMID, Paused: z.Paused, Snippet: snippet(z.ID, baseURL),
		Confirm: ConfirmRules{
			Viewable: orOff(r.Viewable), MinClick: orOff(r.MinClick), RequireUser: r.RequireUser,
			DenyAddresses: prefixTexts(r.DenyAddresses), OwnUsers: r.OwnUsers, OwnAddresses: prefixTexts(r.OwnAddresses),
			PerUser: limitText(r.PerUser), PerDevice: limitText(r.PerDevice), PerAddress: limitText(r.PerAddress),
			FrequencyCap: limitText(r.FrequencyCap),
		},
	}
	for f, id := range z.SubZones {
		v.SubZones[string(f)] = id
	}
	if z.AdServer.URL != "" && c.app == "" {
		s := z.AdServer.WithDefaults()
		v.AdServer = &AdServer{URL: maskURL(s.URL), Timeout: carom.FormatDuration(s.Timeout), MaxPrice: s.MaxPrice.String(), AllowPrivate: s.AllowPrivate}
	}
	return v
}

func showCreative(c caller, creative carom.Creative) Creative {
	v := Creative{
		Name: creative.Name, Title: creative.Title, Formats: texts(creative.Formats), Zones: creative.Zones, Image: creative.Image,
		Width: creative.Width, Height: creative.Height, LandingURL: creative.LandingURL,
		CloseAfter: carom.FormatDuration(cmp.Or(creative.CloseAfter, carom.DefaultCloseAfter)), Weight: cmp.Or(creative.Weight, 1),
		Paused: creative.Paused,
	}
	if c.app == "" {
		v.HTML, v.PerImpression, v.PerClick = creative.HTML, creative.PerImpression.String(), creative.PerClick.String()
	}
	return v
}

// snippet is the script tag of a zone. Its function has the zone's id in its name, as far as a name of JavaScript can.
func snippet(zone, baseURL string) string {
	function := "show_" + strings.ReplaceAll(zone, "-", "_")
	return `<script src="` + html.EscapeString(baseURL) + `/sdk.js" data-zone="` + html.EscapeString(zone) + `" data-sdk="` +
		html.EscapeString(function) + `"></script>`
}

// orOff writes a duration, of which a negative one means that there is none.
func orOff(d time.Duration) string {
	if d < 0 {
		return "off"
	}
	return carom.FormatDuration(d)
}

func limitText(l carom.ViewLimit) string {
	if l.Views < 0 {
		return "off"
	}
	return strconv.Itoa(l.Views) + " in " + carom.FormatDuration(l.Within)
}

func prefixTexts(list []netip.Prefix) []string {
	var out []string
	for _, p := range list {
		if p.IsSingleIP() {
			out = append(out, p.Addr().String()) // as people write it
			continue
		}
		out = append(out, p.String())
	}
	return out
}
