package api

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"carom"
	"carom/internal/objects"
)

// Bounds of what a publisher may make by itself. They keep a script that runs wild from filling the operator's objects; more than
// that, the operator makes.
const (
	maxOwnApps      = 100
	maxOwnZones     = 200 // of an app
	maxOwnEndpoints = 100 // of an app: each of its events could go to all of them
)

// firstZone is where the ids of zones begin that are made here. Those of networks have six digits and more.
const firstZone = 100001

// maxZoneDigits is how long a number may be that others are counted from: JavaScript knows all of that length exactly.
const maxZoneDigits = 15

// PublisherAppPath names an app of a publisher in a path.
type PublisherAppPath struct {
	PublisherPath
	App string `path:"app"`
}

// AppSettings is what a publisher says of an app.
type AppSettings struct {
	Title    string   `json:"title,omitempty" maxLength:"200" doc:"As people know it"`
	Origins  []string `json:"origins,omitempty" nullable:"false" maxItems:"32" doc:"The pages on which the SDK shows ads, such as https://game.example"`
	TimeZone string   `json:"time_zone,omitempty" doc:"Where its day begins and ends, such as Europe/Berlin; absent: UTC"`
}

type putAppIn struct {
	PublisherAppPath
	Body AppSettings
}

type appOut struct{ Body PublisherApp }

// putApp makes an app of the publisher, or changes one.
func (s *service) putApp(ctx context.Context, in *putAppIn) (*appOut, error) {
	if err := s.checkApp(in.App, in.Body); err != nil {
		return nil, err
	}
	err := s.alter(ctx, in.Publisher, "app changed", in.App, func(o *carom.Objects) error {
		i := slices.IndexFunc(o.Apps, func(a carom.App) bool { return a.Name == in.App })
		if i < 0 {
			if own := ownApps(o, in.Publisher); own >= maxOwnApps {
				return failf(carom.ErrConflict, "the publisher %s has %d apps, which is the most that it may make: ask the operator for more", in.Publisher, own)
			}
			o.Apps = append(o.Apps, carom.App{Name: in.App, Publisher: in.Publisher})
			i = len(o.Apps) - 1
		}
		a := &o.Apps[i]
		if a.Publisher != in.Publisher {
			traceOf(ctx).refused = callerOf(ctx).publisher != "" // it has learned that there is such an app
			return failf(carom.ErrConflict, "the name %q is taken: choose another one for your app", in.App)
		}
		a.Title, a.Origins, a.TimeZone = in.Body.Title, slices.Clone(in.Body.Origins), in.Body.TimeZone
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.shownApp(ctx, in.PublisherAppPath)
}

func ownApps(o *carom.Objects, publisher string) int {
	n := 0
	for i := range o.Apps {
		if o.Apps[i].Publisher == publisher {
			n++
		}
	}
	return n
}

// checkApp has the rules of an objects file judge what a publisher says of an app.
func (s *service) checkApp(app string, settings AppSettings) error {
	if err := carom.CheckName("app", app); err != nil {
		return err
	}
	said := map[string]any{"title": settings.Title}
	if len(settings.Origins) > 0 {
		said["origins"] = settings.Origins
	}
	if settings.TimeZone != "" {
		said["time_zone"] = settings.TimeZone
	}
	text, err := json.Marshal(map[string]any{"apps": map[string]any{app: said}}) // which is YAML as well
	if err != nil {
		return err
	}
	if _, err := objects.Parse("app", text, objects.Env{Profiles: s.Profiles}); err != nil {
		return withoutFile(err, "apps."+app+".")
	}
	return nil
}

// withoutFile makes faults of an objects file into those of a request.
func withoutFile(err error, prefix string) error {
	found := fieldErrors(err, nil)
	if len(found) == 0 {
		return err
	}
	list := make([]error, len(found))
	for i := range found {
		list[i] = carom.Invalid(strings.TrimPrefix(found[i].Field, prefix), "%s", found[i].Message)
	}
	return joined(list)
}

// shownApp shows an app after a change.
func (s *service) shownApp(ctx context.Context, at PublisherAppPath) (*appOut, error) {
	setup, err := s.getPublisher(ctx, &at.PublisherPath)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(setup.Body.Apps, func(a PublisherApp) bool { return a.Name == at.App })
	if i < 0 {
		return nil, noPublisher(at.Publisher) // it went just now
	}
	return &appOut{setup.Body.Apps[i]}, nil
}

// NewZone asks for a zone.
type NewZone struct {
	Title       string   `json:"title,omitempty" maxLength:"200" doc:"As people know it"`
	Formats     []string `json:"formats,omitempty" nullable:"false" enum:"rewarded_interstitial,rewarded_popup,in_app_interstitial" doc:"Which ads it shows; absent: all formats"`
	Confirmed   bool     `json:"confirmed,omitempty" doc:"The SDK's Promise settles when the view is confirmed or declined"`
	RequireYMID bool     `json:"require_ymid,omitempty" doc:"No ad is shown for which the app passes no ymid"`
}

type makeZoneIn struct {
	PublisherAppPath
	Body NewZone
}

type zoneOut struct{ Body PublisherZone }

// makeZone makes a zone with a sub-zone for each format, and chooses their ids.
func (s *service) makeZone(ctx context.Context, in *makeZoneIn) (*zoneOut, error) {
	formats := carom.Formats()
	if len(in.Body.Formats) > 0 {
		formats = slices.DeleteFunc(formats, func(f carom.Format) bool { return !slices.Contains(in.Body.Formats, string(f)) })
	}
	z := carom.Zone{App: in.App, Title: in.Body.Title, Confirmed: in.Body.Confirmed, RequireYMID: in.Body.RequireYMID,
		SubZones: make(map[carom.Format]string, len(formats))}
	err := s.alter(ctx, in.Publisher, "zone made", in.App, func(o *carom.Objects) error {
		if _, err := ownApp(*o, in.Publisher, in.App); err != nil {
			return err
		}
		own := 0
		for i := range o.Zones {
			if o.Zones[i].App == in.App {
				own++
			}
		}
		if own >= maxOwnZones {
			return failf(carom.ErrConflict, "the app %s has %d zones, which is the most that a publisher may make: ask the operator for more", in.App, own)
		}
		next := nextZone(o.Zones)
		z.ID = strconv.FormatInt(next, 10)
		for _, f := range formats {
			next++
			z.SubZones[f] = strconv.FormatInt(next, 10)
		}
		o.Zones = append(o.Zones, z)
		o.AddSDKSources()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &zoneOut{s.zoneOf(&z)}, nil
}

// nextZone is the number above those of all zones and sub-zones.
func nextZone(zones []carom.Zone) int64 {
	next := int64(firstZone)
	above := func(id string) {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && len(id) <= maxZoneDigits {
			next = max(next, n+1)
		}
	}
	for i := range zones {
		above(zones[i].ID)
		for id := range maps.Values(zones[i].SubZones) {
			above(id)
		}
	}
	return next
}

// ZoneChange is what changes of a zone. What is absent stays as it is.
type ZoneChange struct {
	Title       *string `json:"title,omitempty" maxLength:"200"`
	Confirmed   *bool   `json:"confirmed,omitempty" doc:"The SDK's Promise settles when the view is confirmed or declined"`
	RequireYMID *bool   `json:"require_ymid,omitempty" doc:"No ad is shown for which the app passes no ymid"`
	Paused      *bool   `json:"paused,omitempty" doc:"It answers with no ad"`
}

type changeZoneIn struct {
	PublisherAppPath
	Zone string `path:"zone" doc:"The main zone"`
	Body ZoneChange
}

func (s *service) changeZone(ctx context.Context, in *changeZoneIn) (*zoneOut, error) {
	var changed carom.Zone
	err := s.alter(ctx, in.Publisher, "zone changed", in.Zone, func(o *carom.Objects) error {
		if _, err := ownApp(*o, in.Publisher, in.App); err != nil {
			return err
		}
		i := slices.IndexFunc(o.Zones, func(z carom.Zone) bool { return z.App == in.App && z.ID == in.Zone })
		if i < 0 {
			return failf(carom.ErrNotFound, "the app %s has no zone %q: GET /v1/publishers/%s lists those that it has; a sub-zone goes with its main zone",
				in.App, in.Zone, in.Publisher)
		}
		set(&o.Zones[i].Title, in.Body.Title)
		set(&o.Zones[i].Confirmed, in.Body.Confirmed)
		set(&o.Zones[i].RequireYMID, in.Body.RequireYMID)
		set(&o.Zones[i].Paused, in.Body.Paused)
		changed = o.Zones[i]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &zoneOut{s.zoneOf(&changed)}, nil
}

// set gives a field what was given for it.
func set[T any](field *T, given *T) {
	if given != nil {
		*field = *given
	}
}
