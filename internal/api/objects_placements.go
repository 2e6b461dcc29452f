package api

import (
	"context"

	"carom"
	"carom/internal/objects"
)

// ZoneConfig is what is set for a zone.
type ZoneConfig struct {
	Title       string        `json:"title,omitempty" doc:"As people know it"`
	SubZones    SubZones      `json:"sub_zones" doc:"The placements that serve, one for each format: ids of letters, digits, - and _ that no other zone or sub-zone has"`
	Confirmed   bool          `json:"confirmed,omitempty" doc:"The SDK's Promise settles when the view is confirmed or declined"`
	RequireYMID bool          `json:"require_ymid,omitempty" doc:"No ad is shown for which the app passes no ymid"`
	Paused      bool          `json:"paused,omitempty" doc:"It answers with no ad"`
	AdServer    *ZoneAdServer `json:"ad_server,omitempty" doc:"The operator's own, which is asked before house creatives are"`
	Confirm     *ZoneConfirm  `json:"confirm,omitempty" doc:"What decides which events are valued"`
}

// SubZones are the placements that serve, by format.
type SubZones struct {
	RewardedInterstitial string `json:"rewarded_interstitial,omitempty" example:"123457" doc:"The id of the one that serves this format; absent: it is not served"`
	RewardedPopup        string `json:"rewarded_popup,omitempty" doc:"Likewise"`
	InAppInterstitial    string `json:"in_app_interstitial,omitempty" doc:"Likewise"`
}

// ZoneAdServer is the operator's own.
type ZoneAdServer struct {
	URL          string `json:"url,omitempty" doc:"Asked by POST. Where it holds ***, what is stored stays"`
	Timeout      string `json:"timeout,omitempty" example:"200ms" doc:"After which a house creative is shown; absent: 300ms"`
	MaxPrice     string `json:"max_price,omitempty" doc:"An ad whose price is above it is not shown; absent: 1"`
	AllowPrivate bool   `json:"allow_private,omitempty" doc:"It may be at private and loopback addresses"`
}

// ZoneConfirm decides which events of a zone are valued. Limits say how many views may be valued in which time, as 90 in 10m, or off.
type ZoneConfirm struct {
	Viewable      string   `json:"viewable,omitempty" example:"1s" doc:"For how long half of the ad has to be visible; off: its start is enough. Absent: 1s"`
	MinClick      string   `json:"min_click,omitempty" example:"300ms" doc:"The shortest time from the start of an ad to a click on it, or off; absent: 300ms"`
	RequireUser   bool     `json:"require_user,omitempty" doc:"Nothing is valued without a user whom Telegram's init data proves"`
	DenyAddresses []string `json:"deny_addresses,omitempty" nullable:"false" doc:"Their events are never valued"`
	OwnUsers      []string `json:"own_users,omitempty" nullable:"false" doc:"Your own people: their views show ads and are not valued"`
	OwnAddresses  []string `json:"own_addresses,omitempty" nullable:"false" doc:"Likewise, by address"`
	PerUser       string   `json:"per_user,omitempty" example:"90 in 10m" doc:"Absent: 90 in 10m"`
	PerDevice     string   `json:"per_device,omitempty" doc:"Of an address with a browser. Absent: 600 in 10m"`
	PerAddress    string   `json:"per_address,omitempty" doc:"Absent: 3000 in 10m"`
	FrequencyCap  string   `json:"frequency_cap,omitempty" doc:"Views of a user that are valued at all; absent: off"`
}

// ZoneObject is a zone as it is set.
type ZoneObject struct {
	App     string `json:"app" readOnly:"true"`
	ID      string `json:"id" readOnly:"true" doc:"The main zone, which the app gives to the SDK"`
	Snippet string `json:"snippet" readOnly:"true" doc:"The script tag to put into the app's page"`
	ZoneConfig
}

// ZoneList is a page of zones.
type ZoneList struct {
	Zones []ZoneObject `json:"zones" nullable:"false"`
	Next  string       `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File  string       `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

// ZonePath names a zone in a path. It is exported because huma reads only exported fields.
type ZonePath struct {
	App  string `path:"app"`
	Zone string `path:"zone" doc:"The main zone"`
}

func (p ZonePath) ref() objects.Ref {
	return objects.Ref{Kind: objects.KindZone, App: p.App, Name: p.Zone}
}

type replaceZoneIn struct {
	ZonePath
	Edit
	Body ZoneObject
}

type removeZoneIn struct {
	ZonePath
	Edit
}

type zonesOut struct{ Body ZoneList }

func (c *ZoneConfig) unmask(stored any) error {
	if c.AdServer == nil {
		return nil
	}
	if z, ok := stored.(*carom.Zone); ok && originOf(c.AdServer.URL) == originOf(z.AdServer.URL) {
		c.AdServer.URL = unmaskURL(c.AdServer.URL, z.AdServer.URL)
	}
	return notMasked("ad_server.url", c.AdServer.URL)
}

// showZoneObject shows a zone. The ad server is the operator's, and no concern of keys of one app.
func (s *service) showZoneObject(c caller, z *carom.Zone) (*ZoneObject, error) {
	config, err := settingsOf[ZoneConfig](z)
	if c.app != "" {
		config.AdServer = nil
	} else if config.AdServer != nil {
		config.AdServer.URL = maskURL(config.AdServer.URL)
	}
	return &ZoneObject{z.App, z.ID, snippet(z.ID, s.BaseURL), config}, err
}

func (s *service) listZones(ctx context.Context, in *ObjectQuery) (*zonesOut, error) {
	c := callerOf(ctx)
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Zones, func(z *carom.Zone) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindZone, App: z.App, Name: z.ID}, z.Title
	}, s.showZoneObject)
	return &zonesOut{ZoneList{rows, next, s.Objects.File()}}, err
}

func (s *service) getZone(ctx context.Context, in *ZonePath) (*objectOut[ZoneObject], error) {
	return get(ctx, s, in.ref(), s.showZoneObject)
}

func (s *service) replaceZone(ctx context.Context, in *replaceZoneIn) (*savedObjectOut[ZoneObject], error) {
	return put(ctx, s, in.ref(), &in.Edit, &in.Body.ZoneConfig, s.showZoneObject)
}

func (s *service) removeZone(ctx context.Context, in *removeZoneIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(), &in.Edit, false)
}

// CreativeConfig is what is set for an ad of the operator's own house. Amounts are decimal texts.
type CreativeConfig struct {
	Title         string   `json:"title,omitempty" doc:"Says what it shows to those who cannot see it"`
	Formats       []string `json:"formats,omitempty" nullable:"false" enum:"rewarded_interstitial,rewarded_popup,in_app_interstitial" doc:"Absent: all"`
	Zones         []string `json:"zones,omitempty" nullable:"false" doc:"Main zones. Absent: all"`
	Image         string   `json:"image,omitempty" doc:"An https URL; of image and html there is one"`
	HTML          string   `json:"html,omitempty" doc:"Shown in a sandboxed frame"`
	Width         int      `json:"width,omitempty" minimum:"1" doc:"CSS pixels. Absent: the screen's"`
	Height        int      `json:"height,omitempty" minimum:"1" doc:"CSS pixels. Absent: the screen's"`
	LandingURL    string   `json:"landing_url,omitempty" doc:"Where a click leads"`
	CloseAfter    string   `json:"close_after,omitempty" example:"5s" doc:"When a rewarded ad can be closed; absent: 5s"`
	Weight        int      `json:"weight,omitempty" minimum:"1" doc:"Its share among those that fit; absent: 1"`
	PerImpression string   `json:"per_impression,omitempty" example:"0.002" doc:"What one is worth"`
	PerClick      string   `json:"per_click,omitempty" example:"0.05" doc:"What one is worth"`
	Paused        bool     `json:"paused,omitempty" doc:"It is not shown"`
}

// CreativeObject is a creative as it is set. Keys of one app see those that may be shown there, without HTML and prices.
type CreativeObject struct {
	Name string `json:"name" readOnly:"true"`
	CreativeConfig
}

// CreativeList is a page of creatives.
type CreativeList struct {
	Creatives []CreativeObject `json:"creatives" nullable:"false"`
	Next      string           `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File      string           `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

// NamePath names an object that is of no app in a path. It is exported because huma reads only exported fields.
type NamePath struct {
	Name string `path:"name"`
}

func (p NamePath) ref(kind objects.Kind) objects.Ref { return objects.Ref{Kind: kind, Name: p.Name} }

type replaceCreativeIn struct {
	NamePath
	Edit
	Body CreativeObject
}

type removeNamedIn struct {
	NamePath
	Edit
}

type creativesOut struct{ Body CreativeList }

func showCreativeObject(c caller, creative *carom.Creative) (*CreativeObject, error) {
	config, err := settingsOf[CreativeConfig](creative)
	if c.app != "" {
		config.HTML, config.PerImpression, config.PerClick = "", "", ""
	}
	return &CreativeObject{creative.Name, config}, err
}

func (s *service) listCreatives(ctx context.Context, in *ObjectQuery) (*creativesOut, error) {
	c := callerOf(ctx)
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Creatives, func(creative *carom.Creative) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindCreative, Name: creative.Name}, creative.Title
	}, showCreativeObject)
	return &creativesOut{CreativeList{rows, next, s.Objects.File()}}, err
}

func (s *service) getCreative(ctx context.Context, in *NamePath) (*objectOut[CreativeObject], error) {
	return get(ctx, s, in.ref(objects.KindCreative), showCreativeObject)
}

func (s *service) replaceCreative(ctx context.Context, in *replaceCreativeIn) (*savedObjectOut[CreativeObject], error) {
	return put(ctx, s, in.ref(objects.KindCreative), &in.Edit, &in.Body.CreativeConfig, showCreativeObject)
}

func (s *service) removeCreative(ctx context.Context, in *removeNamedIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(objects.KindCreative), &in.Edit, false)
}
