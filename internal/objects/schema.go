package objects

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Bounds of a source's windows. A repeat window beyond a day would take tomorrow's view of the same user for a copy.
const (
	minDedupeWindow = time.Minute
	maxDedupeWindow = 400 * 24 * time.Hour
	minRepeatWindow = time.Second
	maxRepeatWindow = 24 * time.Hour
)

// maxSourceRate is more than one server takes.
const maxSourceRate = 1_000_000

// root reads the whole file.
func (r *reader) root(n *node, out *carom.Objects) {
	r.object("", n, fields{
		"publishers": r.named(func(path, name string, n *node) {
			out.Publishers = append(out.Publishers, r.publisher(path, name, n))
		}),
		"apps": r.named(func(path, name string, n *node) { r.app(path, name, n, out) }),
		"creatives": r.named(func(path, name string, n *node) {
			out.Creatives = append(out.Creatives, r.creative(path, name, n))
		}),
		"dialects": r.named(func(path, name string, n *node) {
			out.Dialects = append(out.Dialects, r.dialect(path, name, n))
		}),
	})
	r.compileEndpoints(out.Dialects)
	publishers := make(map[string]bool, len(out.Publishers))
	for _, p := range out.Publishers {
		publishers[p.Name] = true
	}
	for _, a := range out.Apps {
		if a.Publisher != "" && !publishers[a.Publisher] {
			r.fault(join("apps", a.Name)+".publisher", "there is no publisher %s: add it under `publishers`, or change it (%s)",
				quote(a.Publisher), suggest(a.Publisher, slices.Collect(maps.Keys(publishers))))
		}
	}
}

func (r *reader) publisher(path, name string, n *node) carom.Publisher {
	p := carom.Publisher{Name: name}
	r.object(path, n, fields{"title": text(r, &p.Title), "allow_private": r.flag(&p.AllowPrivate)})
	return p
}

func (r *reader) source(path, app, name string, n *node) carom.Source {
	s := carom.Source{App: app, Name: name}
	var current, previous, networkCurrent, networkPrevious given
	var until, networkUntil time.Time
	known := fields{
		"mode":               r.mode(&s.Mode),
		"shadow_url":         text(r, &s.ShadowURL),
		"profile":            text(r, &s.Profile),
		"ymid":               text(r, &s.YMID),
		"template":           text(r, &s.Template),
		"default_event_type": text(r, &s.DefaultEventType),
		"event_types":        r.words(&s.EventTypes),
		"dedupe_window":      r.duration(&s.DedupeWindow),
		"repeat_window":      r.duration(&s.RepeatWindow),
		"previous_until":     r.instant(&until),
		"addresses":          r.prefixes(&s.Addresses),
		"require_address":    r.flag(&s.RequireAddress),
		"rate":               r.number(&s.Rate),

		"previous_network_until": r.instant(&networkUntil),
	}
	r.secret(known, "secret", &current)
	r.secret(known, "previous_secret", &previous)
	r.secret(known, "network_secret", &networkCurrent)
	r.secret(known, "previous_network_secret", &networkPrevious)
	before := len(r.faults)
	if r.object(path, n, known); n.kind == scalar || n.kind == list {
		return s // which is reported, and the only thing to say
	}
	s.Secrets = r.pathSecrets(path, current, previous, until)
	s.NetworkSecrets = r.keys(path, "network_", networkCurrent, networkPrevious, networkUntil)
	r.checkSource(path, &s, current, previous, networkCurrent)
	r.checkShadow(path, &s)
	if len(r.faults) == before {
		r.faultsOf(path, r.rules.source(s), func(field string) string {
			return strings.TrimPrefix(field, "sources."+name+".")
		})
	}
	return s
}

// checkSource reports what is wrong with a source in itself. What its profile says to it comes afterwards.
func (r *reader) checkSource(path string, s *carom.Source, current, previous, networkSecret given) {
	switch {
	case r.faulty[path+".profile"]:
	case s.Profile == "":
		r.fault(path+".profile", "the profile is missing: add `profile: NAME` (%s)", suggest("", slices.Clone(r.rules.profiles)))
	case !slices.Contains(r.rules.profiles, s.Profile):
		r.fault(path+".profile", "there is no profile %s: %s", quote(s.Profile), suggest(s.Profile, slices.Clone(r.rules.profiles)))
	}
	switch s.YMID {
	case "", carom.YMIDView, carom.YMIDSession, carom.YMIDUser:
	default:
		r.fault(path+".ymid", "%s is no kind of ymid: write view (unique for every showing), session, or user (the user's id)", quote(string(s.YMID)))
	}
	if s.DefaultEventType != "" {
		r.eventType(path+".default_event_type", string(s.DefaultEventType))
	}
	if d := s.DedupeWindow; d != 0 && (d < minDedupeWindow || d > maxDedupeWindow) {
		r.fault(path+".dedupe_window", "%s is not from 1m to 400d: choose one in between", carom.FormatDuration(d))
	}
	if d := s.RepeatWindow; d != 0 && (d < minRepeatWindow || d > maxRepeatWindow) {
		r.fault(path+".repeat_window", "%s is not from 1s to 24h: choose one in between", carom.FormatDuration(d))
	}
	if !(s.Rate >= 0 && s.Rate <= maxSourceRate) {
		r.fault(path+".rate", "%v events a second is not from 0 (no limit) to %d: choose one in between", s.Rate, maxSourceRate)
	}
	if s.RequireAddress && len(s.Addresses) == 0 && !r.faulty[path+".addresses"] {
		r.fault(path+".require_address", "no address is listed, so that nothing would come through: add `addresses: [...]`, or remove it")
	}
	if !ours(s.Profile) {
		return
	}
	if s.Template != "" {
		r.fault(path+".template", "a source with the profile %s has no URL at a network: remove the template", s.Profile)
	}
	if networkSecret.path != "" {
		r.fault(networkSecret.path, "a source with the profile %s has no network: remove it", s.Profile)
	}
	who := "trusted servers use an API key (see `carom keys`)"
	if s.Profile == carom.ProfileSDK {
		who = "browsers prove what they report by the tokens that they were given"
	}
	for _, g := range []given{current, previous} {
		if g.path != "" {
			r.fault(g.path, "a source with the profile %s has no secret in a URL: remove it, %s", s.Profile, who)
		}
	}
}

// ours says whether a profile stands for no network: what comes in is reported by trusted servers, or confirmed by carom.
func ours(profile string) bool { return profile == carom.ProfileAPI || profile == carom.ProfileSDK }

func (r *reader) mode(to *carom.SourceMode) read {
	return scan(r, to, "live, frozen or shadow", func(s string) (carom.SourceMode, string) {
		switch mode := carom.SourceMode(s); {
		case s == "live":
			return carom.SourceLive, ""
		case mode == carom.SourceFrozen || mode == carom.SourceShadow:
			return mode, ""
		}
		return "", quote(s) + " is no mode: write live, frozen (events wait for your release) or shadow (they are judged, and nothing else)"
	})
}

// checkShadow reports what is wrong with the receiver that a source passes its requests on to. The URL may hold a secret, so it
// is not quoted.
func (r *reader) checkShadow(path string, s *carom.Source) {
	at := path + ".shadow_url"
	if s.ShadowURL == "" || r.faulty[at] {
		return
	}
	fault := func(format string) { r.fault(at, format+": write one such as https://game.example/postback") }
	u, err := url.Parse(s.ShadowURL)
	switch {
	case err != nil || strings.ContainsAny(s.ShadowURL, "{} "):
		fault("it is not a URL without macros, for each request is passed on as it came")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		fault("it is not a whole URL that begins with https:// or http://")
	case strings.Contains(s.ShadowURL, "#"):
		fault("it has a fragment, which is never sent")
	case u.User != nil:
		fault("credentials stand in it, where logs and proxies show them")
	case s.Mode != carom.SourceShadow && !r.faulty[path+".mode"]:
		r.fault(at, "only a source in shadow passes requests on: add the line `mode: shadow`, or remove it")
	case ours(s.Profile):
		r.fault(at, "a source with the profile %s has no network whose requests could be passed on: remove it", s.Profile)
	}
}

// indexed is the path of an item of the list at path, or of the list's only value when it is not written as a list.
func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// eventType checks a type of events, which has the form of a name.
func (r *reader) eventType(path, word string) {
	if carom.CheckName("", word) != nil {
		r.fault(path, "%s is no event type: use impression, click, completion, reversal, or a word of your own in lower-case letters, digits, - and _",
			quote(word))
	}
}

// words reads a map of a network's words to event types. Its keys are any text.
func (r *reader) words(to *map[string]carom.EventType) read {
	return func(path string, n *node) {
		if !r.is(path, n, object, "words with their event types, such as { imp: impression }") {
			return
		}
		for i := range n.entries {
			e := &n.entries[i]
			below := join(path, e.key)
			if !r.visit(below, e.place) {
				return
			}
			var word carom.EventType
			if text(r, &word)(below, e.value); !r.faulty[below] {
				r.eventType(below, string(word))
			}
			if *to == nil {
				*to = make(map[string]carom.EventType, len(n.entries))
			}
			(*to)[e.key] = word
		}
	}
}

func (r *reader) endpoint(path, app, name string, n *node) carom.Endpoint {
	e := carom.Endpoint{App: app, Name: name}
	var current, previous given
	var until time.Time
	known := fields{
		"dialect":      text(r, &e.Dialect),
		"default":      r.flag(&e.Default),
		"url":          text(r, &e.URL),
		"method":       text(r, &e.Method),
		"headers":      r.headers(&e.Headers),
		"body":         text(r, &e.Body),
		"content_type": text(r, &e.ContentType),
		"filter":       r.filter(&e.Filter),
		"sends":        r.sends(&e.Sends),
		"success": func(path string, n *node) {
			r.object(path, n, fields{
				"contains":     text(r, &e.Success.Contains),
				"not_contains": text(r, &e.Success.NotContains),
			})
		},
		"schedule":               r.durations(&e.Schedule),
		"deadline":               r.duration(&e.Deadline),
		"timeout":                r.duration(&e.Timeout),
		"rate":                   r.number(&e.Rate),
		"concurrency":            r.count(&e.Concurrency),
		"allow_private":          r.flag(&e.AllowPrivate),
		"once":                   r.flag(&e.Once),
		"paused":                 r.flag(&e.Paused),
		"previous_signing_until": r.instant(&until),
	}
	r.secret(known, "signing_secret", &current)
	r.secret(known, "previous_signing_secret", &previous)
	if r.object(path, n, known); n.kind == scalar || n.kind == list {
		return e // which is reported, and the only thing to say
	}
	e.SigningSecrets = r.keys(path, "signing_", current, previous, until)
	r.endpoints = append(r.endpoints, pendingEndpoint{e, path, current.path})
	return e
}

// headers reads names of headers with templates for their values. Their order is the file's.
func (r *reader) headers(to *[]carom.Field) read {
	return func(path string, n *node) {
		if !r.is(path, n, object, "names with values, such as { X-Api-Key: \"...\" }") {
			return
		}
		for i := range n.entries {
			e := &n.entries[i]
			below := join(path, e.key)
			if !r.visit(below, e.place) {
				return
			}
			h := carom.Field{Name: e.key}
			text(r, &h.Value)(below, e.value)
			*to = append(*to, h)
		}
	}
}

func (r *reader) filter(to *carom.Filter) read {
	return func(path string, n *node) {
		r.object(path, n, fields{
			"event_types":  texts(r, &to.EventTypes),
			"values":       r.list("a list such as [valued]", r.value(&to.Values)),
			"zones":        texts(r, &to.Zones),
			"request_vars": texts(r, &to.RequestVars),
			"sources":      texts(r, &to.Sources),
			"rules":        texts(r, &to.Rules),
		})
		r.checkEventTypes(path+".event_types", to.EventTypes)
	}
}

// sends reads what an endpoint gets. A word that is unknown is reported when the endpoint is compiled, and its macros are not.
func (r *reader) sends(to *carom.Sends) read {
	return func(path string, n *node) {
		if text(r, to)(path, n); *to == "events" {
			*to = carom.SendsEvents
		}
	}
}

// checkEventTypes checks the list of types at path.
func (r *reader) checkEventTypes(path string, types []carom.EventType) {
	if r.faulty[path] {
		return
	}
	for i, t := range types {
		if at := indexed(path, i); !r.faulty[at] {
			r.eventType(at, string(t))
		}
	}
}

// value reads one word for what a network pays. The file says `empty` where events carry an empty text.
func (r *reader) value(to *[]carom.RewardEventType) read {
	return func(path string, n *node) {
		var word string
		if text(r, &word)(path, n); r.faulty[path] {
			return
		}
		switch value := carom.RewardEventType(word); value {
		case carom.Valued, carom.NotValued:
			*to = append(*to, value)
		case "empty":
			*to = append(*to, carom.ValueEmpty)
		case carom.ValueUnknown:
			r.fault(path, "events of an unknown value are held and reach no endpoint: remove it")
		default:
			r.fault(path, "%s is no value: write valued, not_valued, or empty for events whose network did not say", quote(word))
		}
	}
}
