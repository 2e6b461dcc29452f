package objects

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Bounds of a zone's settings.
const (
	maxZoneID   = 64
	minViewable = 100 * time.Millisecond
	maxViewable = time.Minute
	maxMinClick = time.Minute
	maxViews    = 1_000_000
	minWithin   = time.Second
	maxWithin   = 30 * 24 * time.Hour
	maxUserID   = 256
)

// off is what an absent duration, which means its default, cannot say: that there is none.
const off = "off"

// zoneIDFault says why id cannot be that of a zone or sub-zone, or returns nothing.
func zoneIDFault(id string) string {
	switch {
	case id == "":
		return "the id is empty: give it one of letters, digits, - and _"
	case len(id) > maxZoneID:
		return "the id " + quote(id) + " is longer than 64 characters: shorten it"
	case strings.Trim(id, secretAlphabet) != "":
		return "the id " + quote(id) + " may hold letters, digits, - and _ alone: change it"
	}
	return ""
}

// checkZoneID is zoneIDFault for the key of a zone.
func checkZoneID(id string) error {
	if fault := zoneIDFault(id); fault != "" {
		return carom.Invalid("", "%s", fault)
	}
	return nil
}

func (r *reader) zone(path, app, id string, n *node) carom.Zone {
	z := carom.Zone{App: app, ID: id}
	r.object(path, n, fields{
		"title":        text(r, &z.Title),
		"sub_zones":    r.subZones(&z.SubZones),
		"confirmed":    r.flag(&z.Confirmed),
		"require_ymid": r.flag(&z.RequireYMID),
		"paused":       r.flag(&z.Paused),
		"ad_server":    r.adServer(&z.AdServer),
		"confirm":      r.confirm(&z.Confirm),
	})
	if at := path + ".sub_zones"; len(z.SubZones) == 0 && !r.faulty[path] && !r.faultyIn(at) {
		r.fault(at, "no format has a sub-zone, so that no ad would be shown: add one, such as `sub_zones: { %s: \"ID\" }`", carom.RewardedInterstitial)
	}
	return z
}

// faultyIn says whether path, or anything below it, has a fault.
func (r *reader) faultyIn(path string) bool {
	for at := range r.faulty {
		if rest, below := strings.CutPrefix(at, path); below && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// subZones reads formats with the ids of the placements that serve them.
func (r *reader) subZones(to *map[carom.Format]string) read {
	return func(path string, n *node) {
		known := make(fields)
		for _, f := range carom.Formats() {
			known[string(f)] = func(path string, n *node) {
				var id string
				scan(r, &id, "an id such as \"123457\"", func(s string) (string, string) { return s, zoneIDFault(s) })(path, n)
				if r.faulty[path] {
					return
				}
				if *to == nil {
					*to = make(map[carom.Format]string)
				}
				(*to)[f] = id
			}
		}
		r.object(path, n, known)
	}
}

func formatNames() []string {
	var names []string
	for _, f := range carom.Formats() {
		names = append(names, string(f))
	}
	return names
}

func (r *reader) adServer(to *carom.AdServer) read {
	return func(path string, n *node) {
		before := len(r.faults)
		r.object(path, n, fields{
			"url":           text(r, &to.URL),
			"timeout":       r.duration(&to.Timeout),
			"max_price":     r.factor(&to.MaxPrice),
			"allow_private": r.flag(&to.AllowPrivate),
		})
		if *to == (carom.AdServer{}) && n.kind == object && len(r.faults) == before {
			r.fault(path, "it names no ad server: add `url: https://ads.example/choose`, or remove it")
			return
		}
		r.faultsBeside(before, path, r.rules.adServer(to))
	}
}

func (r *reader) confirm(to *carom.ConfirmRules) read {
	return func(path string, n *node) {
		r.object(path, n, fields{
			"viewable": scan(r, &to.Viewable, "a duration such as 1s, or off", func(s string) (time.Duration, string) {
				d, fault := durationOrOff(s)
				if fault == "" && d >= 0 && (d < minViewable || d > maxViewable) {
					fault = quote(s) + " is not from 100ms to 60s: choose one in between, or write off if the start of an ad is enough"
				}
				return d, fault
			}),
			"min_click": scan(r, &to.MinClick, "a duration such as 300ms, or off", func(s string) (time.Duration, string) {
				d, fault := durationOrOff(s)
				switch {
				case fault == "" && d == 0:
					d = -1 // zero is the default
				case fault == "" && d > maxMinClick:
					fault = quote(s) + " is not from 0s to 60s: choose one in between"
				}
				return d, fault
			}),
			"require_user":   r.flag(&to.RequireUser),
			"deny_addresses": r.prefixes(&to.DenyAddresses),
			"own_users":      r.users(&to.OwnUsers),
			"own_addresses":  r.prefixes(&to.OwnAddresses),
			"per_user":       r.limit(&to.PerUser),
			"per_device":     r.limit(&to.PerDevice),
			"per_address":    r.limit(&to.PerAddress),
			"frequency_cap":  r.limit(&to.FrequencyCap),
		})
	}
}

// durationOrOff reads a duration from zero, or the word off, which is -1.
func durationOrOff(s string) (time.Duration, string) {
	if s == off {
		return -1, ""
	}
	d, err := carom.ParseDuration(s)
	switch {
	case err != nil:
		return 0, err.Error() + ", or off"
	case d < 0:
		return 0, quote(s) + " is below zero: write a duration such as 1s, or off"
	}
	return d, ""
}

// users reads ids of users.
func (r *reader) users(to *[]string) read {
	return r.list(`a list such as ["123456789"]`, func(path string, n *node) {
		var id string
		scan(r, &id, `a user's id such as "123456789"`, func(s string) (string, string) {
			if s == "" || len(s) > maxUserID {
				return "", "it is no user's id: write one of 1 to 256 characters, such as \"123456789\""
			}
			return s, ""
		})(path, n)
		if id != "" {
			*to = append(*to, id)
		}
	})
}

// limit reads how many views may be valued within a span of time.
func (r *reader) limit(to *carom.ViewLimit) read {
	return scan(r, to, "a limit such as 90 in 10m, or off", func(s string) (carom.ViewLimit, string) {
		if s == off {
			return carom.ViewLimit{Views: -1}, ""
		}
		number, span, ok := strings.Cut(s, " in ")
		views, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		within, spanErr := carom.ParseDuration(strings.TrimSpace(span))
		switch {
		case !ok || err != nil && !errors.Is(err, strconv.ErrRange) || spanErr != nil:
			return carom.ViewLimit{}, quote(s) + " is no limit: write how many views in which time, such as 90 in 10m, or off"
		case err != nil || views < 1 || views > maxViews:
			return carom.ViewLimit{}, quote(s) + " does not count from 1 to 1000000 views: choose a number in between, or write off for no limit"
		case within < minWithin || within > maxWithin:
			return carom.ViewLimit{}, quote(s) + " is not within 1s to 30d: choose a time in between"
		}
		return carom.ViewLimit{Views: int(views), Within: within}, ""
	})
}

// checkApp reports what an app's zones ask of the app. The app may name its pages and its bot behind its zones.
func (r *reader) checkApp(path string, a *carom.App, zones []carom.Zone) {
	if len(zones) > 0 && len(a.Origins) == 0 && !r.faultyIn(path+".origins") {
		r.warn(path+".zones", "the app lists no pages, so that no browser is shown an ad: add `origins: [https://game.example]`")
	}
	for i := range zones {
		if zones[i].Confirm.RequireUser && a.BotToken == "" && a.BotID == 0 && !r.faultyIn(path+".telegram") {
			r.fault(join(path+".zones", zones[i].ID)+".confirm.require_user",
				"the app has no Telegram bot whose init data could prove a user, so that nothing would be valued: add `telegram: { bot_token: … }` to the app, or remove it")
		}
	}
}

// checkZones reports what zones, creatives and filters say to one another, when all of them are read.
func (r *reader) checkZones(o *carom.Objects) {
	r.faultsOf("apps", CheckZones(*o), func(field string) string { return strings.TrimPrefix(field, "apps.") })
	apps := make(map[string]bool)
	mains, mainOf := make(map[string]bool), make(map[string]string)
	for i := range o.Zones {
		z := &o.Zones[i]
		if apps[z.App] = true; zoneIDFault(z.ID) == "" {
			mains[z.ID] = true
		}
		for _, sub := range z.SubZones {
			if mainOf[sub] == "" {
				mainOf[sub] = z.ID
			}
		}
	}
	for i := range o.Creatives {
		c := &o.Creatives[i]
		for k, id := range c.Zones {
			at := indexed(join("creatives", c.Name)+".zones", k)
			switch main, sub := mainOf[id]; {
			case len(mains) == 0 || mains[id] || r.faulty[at]:
			case sub:
				r.fault(at, "%s is a sub-zone: write its main zone, %s", quote(id), main)
			default:
				r.fault(at, "there is no zone %s: %s", quote(id), suggest(id, slices.Collect(maps.Keys(mains))))
			}
		}
	}
	// Zones of a filter may be those of a network as well, so that what they are can only be guessed.
	warn := func(path string, zones []string) {
		for k, id := range zones {
			if main, sub := mainOf[id]; sub && !mains[id] {
				r.warn(indexed(path, k), "%s is a sub-zone, and events carry the main zone as their zone_id: write %s", quote(id), main)
			}
		}
	}
	for i := range o.Endpoints {
		warn(inApp(o.Endpoints[i].App, "endpoints", o.Endpoints[i].Name)+".filter.zones", o.Endpoints[i].Filter.Zones)
	}
	for i := range o.Rules {
		warn(inApp(o.Rules[i].App, "rules", o.Rules[i].Name)+".filter.zones", o.Rules[i].Filter.Zones)
	}
	for i := range o.Sources {
		if s := &o.Sources[i]; s.Profile == carom.ProfileSDK && !apps[s.App] {
			r.warn(inApp(s.App, "sources", s.Name), "the app has no zones, so that nothing comes in by this source: add `zones`, or remove it")
		}
	}
}

// CheckZones checks what zones of several apps can get wrong between them, also when objects of a file are merged with those in
// force: each id is that of one zone or sub-zone alone, and each app has one source for the events of its zones. All faults are
// joined, each a *carom.FieldError whose field is a path of the objects file.
func CheckZones(o carom.Objects) error {
	var errs []error
	fault := func(field, format string, args ...any) { errs = append(errs, carom.Invalid(field, format, args...)) }
	owners := make(map[string]string, len(o.Zones)) // of each id, in words
	claim := func(field, id, owner string) {
		if other, taken := owners[id]; taken {
			fault(field, "the id %s is taken by %s: each zone and sub-zone needs one of its own", quote(id), other)
			return
		}
		owners[id] = owner
	}
	// Main zones come first, so that it is the sub-zone that is told to give way.
	withZones := make(map[string]bool)
	for i := range o.Zones {
		z := &o.Zones[i]
		withZones[z.App] = true
		claim(inApp(z.App, "zones", z.ID), z.ID, "the zone "+clip(z.ID)+" of the app "+clip(z.App))
	}
	for i := range o.Zones {
		z := &o.Zones[i]
		for _, f := range carom.Formats() {
			if id, ok := z.SubZones[f]; ok {
				claim(inApp(z.App, "zones", z.ID)+".sub_zones."+string(f), id, "the sub-zone for "+string(f)+" of the zone "+clip(z.ID)+" of the app "+clip(z.App))
			}
		}
	}
	first := make(map[string]string) // each app's source of the profile
	for i := range o.Sources {
		s := &o.Sources[i]
		if s.Profile != carom.ProfileSDK {
			continue
		}
		if other, twice := first[s.App]; twice && other != s.Name {
			fault(inApp(s.App, "sources", s.Name)+".profile", "the app has the source %s for the events of its zones already: keep one of the two", other)
		} else {
			first[s.App] = s.Name
		}
	}
	for i := range o.Sources {
		s := &o.Sources[i]
		if name, has := first[s.App]; s.Name == carom.SourceSDK && s.Profile != carom.ProfileSDK && withZones[s.App] && (!has || name == s.Name) {
			fault(inApp(s.App, "sources", s.Name), "the source of this name is the one for the events of the app's zones: rename this one, or add another with `profile: %s`",
				carom.ProfileSDK)
		}
	}
	return errors.Join(errs...)
}

// inApp is where an object of an app stands in the file.
func inApp(app, kind, name string) string { return join(join("apps", app)+"."+kind, name) }
