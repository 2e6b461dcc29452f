package objects

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/route"
)

// zoneID names a zone among all objects: "app/zone".
func zoneID(z *carom.Zone) string { return z.App + "/" + z.ID }

// zoneFields shows zones as the file writes them.
func zoneFields(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Zones))
	for i := range o.Zones {
		z := &o.Zones[i]
		server, confirm := z.AdServer.WithDefaults(), z.Confirm.WithDefaults()
		list := []shownField{{name: "title", value: z.Title}}
		for _, f := range slices.Sorted(maps.Keys(z.SubZones)) {
			list = append(list, shownField{name: "sub_zones." + string(f), value: z.SubZones[f]})
		}
		list = append(list,
			shownField{name: "confirmed", value: strconv.FormatBool(z.Confirmed)},
			shownField{name: "require_ymid", value: strconv.FormatBool(z.RequireYMID)},
			shownField{name: "paused", value: strconv.FormatBool(z.Paused)},
			shownField{name: "ad_server.url", value: server.URL, shown: maskTemplate(server.URL)},
			shownField{name: "ad_server.timeout", value: carom.FormatDuration(server.Timeout)},
			shownField{name: "ad_server.max_price", value: server.MaxPrice.String()},
			shownField{name: "ad_server.allow_private", value: strconv.FormatBool(server.AllowPrivate)},
			shownField{name: "confirm.viewable", value: orOff(confirm.Viewable)},
			shownField{name: "confirm.min_click", value: orOff(confirm.MinClick)},
			shownField{name: "confirm.require_user", value: strconv.FormatBool(confirm.RequireUser)},
			shownField{name: "confirm.deny_addresses", value: prefixesText(confirm.DenyAddresses)},
			shownField{name: "confirm.own_users", value: listText(confirm.OwnUsers)},
			shownField{name: "confirm.own_addresses", value: prefixesText(confirm.OwnAddresses)},
			shownField{name: "confirm.per_user", value: limitText(confirm.PerUser)},
			shownField{name: "confirm.per_device", value: limitText(confirm.PerDevice)},
			shownField{name: "confirm.per_address", value: limitText(confirm.PerAddress)},
			shownField{name: "confirm.frequency_cap", value: limitText(confirm.FrequencyCap)},
		)
		out[zoneID(z)] = list
	}
	return out
}

// orOff writes a duration, of which a negative one means that there is none.
func orOff(d time.Duration) string {
	if d < 0 {
		return off
	}
	return carom.FormatDuration(d)
}

func limitText(l carom.ViewLimit) string {
	if l.Views < 0 {
		return off
	}
	return strconv.Itoa(l.Views) + " in " + carom.FormatDuration(l.Within)
}

// creativeFields shows creatives. HTML may be long.
func creativeFields(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Creatives))
	for i := range o.Creatives {
		c := &o.Creatives[i]
		out[c.Name] = []shownField{
			{name: "title", value: c.Title},
			{name: "formats", value: listText(c.Formats)},
			{name: "zones", value: listText(c.Zones)},
			{name: "image", value: c.Image},
			{name: "html", value: c.HTML, cover: "text"},
			{name: "width", value: pixels(c.Width)},
			{name: "height", value: pixels(c.Height)},
			{name: "landing_url", value: c.LandingURL},
			{name: "close_after", value: carom.FormatDuration(cmp.Or(c.CloseAfter, carom.DefaultCloseAfter))},
			{name: "weight", value: strconv.Itoa(cmp.Or(c.Weight, 1))},
			{name: "per_impression", value: c.PerImpression.String()},
			{name: "per_click", value: c.PerClick.String()},
			{name: "paused", value: strconv.FormatBool(c.Paused)},
		}
	}
	return out
}

// pixels writes a length. Zero is the screen's.
func pixels(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func dialectFields(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Dialects))
	for _, d := range o.Dialects {
		list := []shownField{{name: "open", value: d.Open}, {name: "close", value: d.Close}}
		for _, name := range slices.Sorted(maps.Keys(d.Macros)) {
			list = append(list, shownField{name: "macros." + name, value: d.Macros[name]})
		}
		out[d.Name] = list
	}
	return out
}

// macrosOf returns what says whether a text holds a macro of the dialect. What only resembles one may be part of a secret.
func macrosOf(d *carom.Dialect) func(string) bool {
	written := []string{d.Open + "field."}
	for name := range d.Macros {
		written = append(written, d.Open+name+d.Close)
	}
	for _, m := range route.Macros() {
		written = append(written, d.Open+m.Name+d.Close)
	}
	return func(s string) bool {
		return slices.ContainsFunc(written, func(macro string) bool { return strings.Contains(s, macro) })
	}
}

// yieldSDK returns want without those of its automatic sources that give way to one that have knows and that stays: the app
// has another of the profile, or another source of the name.
func yieldSDK(have, want carom.Objects, prune bool) carom.Objects {
	if prune {
		return want
	}
	named := make(map[string]bool, len(want.Sources))
	for i := range want.Sources {
		named[want.Sources[i].ID()] = true
	}
	yields := make(map[string]bool)
	for i := range have.Sources {
		s := &have.Sources[i]
		if s.Profile == carom.ProfileSDK && s.Name != carom.SourceSDK && !named[s.ID()] || s.Profile != carom.ProfileSDK && s.Name == carom.SourceSDK {
			yields[s.App] = true
		}
	}
	if len(yields) == 0 {
		return want
	}
	want.Sources = slices.DeleteFunc(slices.Clone(want.Sources), func(s carom.Source) bool {
		return yields[s.App] && isAutomatic(&s)
	})
	return want
}

// isAutomatic says whether s is what [carom.Objects.AddSDKSources] adds. One that the file spells out the same is no other.
func isAutomatic(s *carom.Source) bool {
	return reflect.DeepEqual(*s, carom.Source{App: s.App, Name: carom.SourceSDK, Profile: carom.ProfileSDK})
}
