package objects

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
)

// Kind is the kind of an object in a [Change].
type Kind string

// The kinds, in the order in which [Diff] lists them.
const (
	KindPublisher Kind = "publisher"
	KindApp       Kind = "app"
	KindSource    Kind = "source"
	KindEndpoint  Kind = "endpoint"
	KindRule      Kind = "rule"
	KindZone      Kind = "zone"
	KindCreative  Kind = "creative"
	KindDialect   Kind = "dialect"
)

// Action is what an apply does to an object.
type Action string

const (
	Added   Action = "added"
	Changed Action = "changed"
	Removed Action = "removed"
	Kept    Action = "kept" // in force, absent from the file, and not removed because pruning was not asked for
)

// Change is what an apply does to one object.
type Change struct {
	Kind   Kind          `json:"kind"`
	ID     string        `json:"id"` // the object's name; of sources, endpoints, rules and zones "app/name"
	Action Action        `json:"action"`
	Fields []FieldChange `json:"fields,omitempty"` // of added objects those that are no default, of changed ones those that differ
}

// FieldChange is one field of an object before and after. An absent value is empty. Secrets, headers and bodies are not
// shown: "(secret)" stands for one, "(secret changed)" for another one.
type FieldChange struct {
	Field  string `json:"field"` // as in the file: "filter.zones"
	Before string `json:"before"`
	After  string `json:"after"`
}

// Diff says what [Merge] changes: publishers, apps, sources, endpoints, rules, zones, creatives, dialects, each sorted by ID.
// Objects that stay as they are do not appear. A default that is written out equals an absent one.
func Diff(have, want carom.Objects, prune bool) []Change {
	want = keepSecrets(have, yieldSDK(have, want, prune))
	var changes []Change
	for _, view := range views() {
		of := diff(view.fields(have), view.fields(want), view.fields(unset()))
		for i := range of {
			of[i].Kind = view.kind
			if of[i].Action == Removed && !prune {
				of[i].Action = Kept
			}
		}
		changes = append(changes, of...)
	}
	return changes
}

// view shows the objects of one kind as their fields, by ID.
type view struct {
	kind   Kind
	fields func(carom.Objects) map[string][]shownField
}

func views() []view {
	return []view{
		{KindPublisher, publishers}, {KindApp, apps}, {KindSource, sources}, {KindEndpoint, endpoints},
		{KindRule, ruleFields}, {KindZone, zoneFields}, {KindCreative, creativeFields}, {KindDialect, dialectFields},
	}
}

// unset holds one object of each kind, without anything but defaults.
func unset() carom.Objects {
	return carom.Objects{
		Publishers: make([]carom.Publisher, 1), Apps: make([]carom.App, 1),
		Sources: make([]carom.Source, 1), Endpoints: make([]carom.Endpoint, 1), Rules: make([]carom.Rule, 1),
		Zones: make([]carom.Zone, 1), Creatives: make([]carom.Creative, 1), Dialects: make([]carom.Dialect, 1),
	}
}

// Merge returns want completed by what have knows: a source for which want gives no secret keeps those it has, endpoints keep
// their numbers, and without prune the objects that want does not name stay, behind the others. It has the version of have. have and
// want are not changed.
// A rule that stays may overlap with one of want, and a zone have an id of one: the result is to be compiled again, and given to
// [CheckZones], before it comes into force.
func Merge(have, want carom.Objects, prune bool) carom.Objects {
	out := keepSecrets(have, yieldSDK(have, want, prune))
	out.Version = have.Version
	numbers := make(map[string]int, len(have.Endpoints))
	for i := range have.Endpoints {
		numbers[have.Endpoints[i].ID()] = have.Endpoints[i].No
	}
	out.Endpoints = slices.Clone(want.Endpoints)
	for i := range out.Endpoints {
		out.Endpoints[i].No = numbers[out.Endpoints[i].ID()]
	}
	if prune {
		return out
	}
	out.Publishers = keep(have.Publishers, want.Publishers, func(p *carom.Publisher) string { return p.Name })
	out.Apps = keep(have.Apps, want.Apps, func(a *carom.App) string { return a.Name })
	out.Sources = keep(have.Sources, out.Sources, (*carom.Source).ID)
	out.Endpoints = keep(have.Endpoints, out.Endpoints, (*carom.Endpoint).ID)
	out.Rules = keep(have.Rules, want.Rules, (*carom.Rule).ID)
	out.Zones = keep(have.Zones, want.Zones, zoneID)
	out.Creatives = keep(have.Creatives, want.Creatives, func(c *carom.Creative) string { return c.Name })
	out.Dialects = keep(have.Dialects, want.Dialects, func(d *carom.Dialect) string { return d.Name })
	return out
}

// keepSecrets returns want with the secrets of have in sources that have none.
func keepSecrets(have, want carom.Objects) carom.Objects {
	secrets := make(map[string][]carom.SecretSum, len(have.Sources))
	for i := range have.Sources {
		secrets[have.Sources[i].ID()] = have.Sources[i].Secrets
	}
	want.Sources = slices.Clone(want.Sources)
	for i := range want.Sources {
		if s := &want.Sources[i]; len(s.Secrets) == 0 {
			s.Secrets = slices.Clone(secrets[s.ID()])
		}
	}
	return want
}

// keep returns want, and behind it what only have holds.
func keep[T any](have, want []T, id func(*T) string) []T {
	named := make(map[string]bool, len(want))
	for i := range want {
		named[id(&want[i])] = true
	}
	out := slices.Clone(want)
	for i := range have {
		if !named[id(&have[i])] {
			out = append(out, have[i])
		}
	}
	return out
}

// shownField is a field of an object as text. What is compared is value; what is shown is shown, or for a cover the cover.
type shownField struct {
	name  string
	value string
	shown string // when it differs from value
	cover string // "secret", "value", "text": never shown
}

func (f shownField) String() string {
	switch {
	case f.value == "":
		return ""
	case f.cover != "":
		return "(" + f.cover + ")"
	case f.shown != "":
		return f.shown
	}
	return f.value
}

// diff compares objects of one kind, each as its fields by its ID. unset has one object, which shows the defaults.
func diff(have, want, unset map[string][]shownField) []Change {
	var changes []Change
	for id, after := range want {
		if before, exists := have[id]; exists {
			if fields := diffFields(before, after); len(fields) > 0 {
				changes = append(changes, Change{ID: id, Action: Changed, Fields: fields})
			}
			continue
		}
		c := Change{ID: id, Action: Added}
		for _, defaults := range unset {
			c.Fields = diffFields(defaults, after)
		}
		for i := range c.Fields {
			c.Fields[i].Before = ""
		}
		changes = append(changes, c)
	}
	for id := range have {
		if _, stays := want[id]; !stays {
			changes = append(changes, Change{ID: id, Action: Removed})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.ID, b.ID) })
	return changes
}

// diffFields lists the fields that differ, in the order of after, then those that only before has.
func diffFields(before, after []shownField) []FieldChange {
	var out []FieldChange
	old := make(map[string]shownField, len(before))
	for _, f := range before {
		old[f.name] = f
	}
	for _, f := range after {
		was := old[f.name]
		delete(old, f.name)
		if was.value == f.value {
			continue
		}
		c := FieldChange{Field: f.name, Before: was.String(), After: f.String()}
		if c.Before == c.After {
			c.After = hiddenChange(f)
		}
		out = append(out, c)
	}
	for _, f := range before {
		if _, left := old[f.name]; left && f.value != "" {
			out = append(out, FieldChange{Field: f.name, Before: f.String()})
		}
	}
	return out
}

// hiddenChange shows a field whose change lies in what is not shown.
func hiddenChange(f shownField) string {
	if f.cover != "" {
		return "(" + f.cover + " changed)"
	}
	return f.String() + " (a hidden value changed)"
}

func publishers(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Publishers))
	for _, p := range o.Publishers {
		out[p.Name] = []shownField{{name: "title", value: p.Title}, {name: "allow_private", value: strconv.FormatBool(p.AllowPrivate)}}
	}
	return out
}

func apps(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Apps))
	for _, a := range o.Apps {
		list := []shownField{
			{name: "title", value: a.Title}, {name: "publisher", value: a.Publisher}, {name: "time_zone", value: cmp.Or(a.TimeZone, "UTC")},
			{name: "origins", value: listText(a.Origins)},
			{name: "telegram.bot_token", value: string(a.BotToken), cover: "secret"},
		}
		if a.BotID != 0 {
			list = append(list, shownField{name: "telegram.bot_id", value: strconv.FormatInt(a.BotID, 10)})
		}
		if a.BotKey != "" {
			list = append(list, shownField{name: "telegram.bot_key", value: a.BotKey})
		}
		for _, name := range slices.Sorted(maps.Keys(a.Currencies)) {
			list = append(list, shownField{name: "currencies." + name, value: strconv.Itoa(a.Currencies[name])})
		}
		out[a.Name] = list
	}
	return out
}

func sources(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Sources))
	for _, s := range o.Sources {
		id := s.ID()
		s = s.WithDefaults()
		list := []shownField{
			{name: "profile", value: s.Profile},
			{name: "mode", value: cmp.Or(string(s.Mode), "live")},
			{name: "shadow_url", value: s.ShadowURL, shown: maskTemplate(s.ShadowURL)},
			{name: "ymid", value: string(s.YMID)},
			{name: "template", value: s.Template, shown: maskTemplate(s.Template)},
			{name: "default_event_type", value: string(s.DefaultEventType)},
			{name: "dedupe_window", value: carom.FormatDuration(s.DedupeWindow)},
			{name: "repeat_window", value: carom.FormatDuration(s.RepeatWindow)},
			{name: "addresses", value: prefixesText(s.Addresses)},
		}
		if s.RequireAddress {
			list = append(list, shownField{name: "require_address", value: "true"})
		}
		if s.Rate > 0 {
			list = append(list, shownField{name: "rate", value: strconv.FormatFloat(s.Rate, 'g', -1, 64)})
		}
		for _, word := range slices.Sorted(maps.Keys(s.EventTypes)) {
			list = append(list, shownField{name: "event_types." + word, value: string(s.EventTypes[word])})
		}
		for i, secret := range s.Secrets {
			list = append(list, secretField("secret", i, string(secret.Sum[:]), secret.NotAfter)...)
		}
		for i, secret := range s.NetworkSecrets {
			list = append(list, secretField("network_secret", i, string(secret.Key), secret.NotAfter)...)
		}
		out[id] = list
	}
	return out
}

// secretField shows the i-th of an object's secrets, newest first.
func secretField(name string, i int, value string, notAfter time.Time) []shownField {
	switch i {
	case 0:
	case 1:
		name = "previous_" + name
	default:
		name = fmt.Sprintf("previous_%s[%d]", name, i)
	}
	list := []shownField{{name: name, value: value, cover: "secret"}}
	if !notAfter.IsZero() {
		list = append(list, shownField{name: name + " until", value: notAfter.UTC().Format(time.RFC3339)})
	}
	return list
}

func endpoints(o carom.Objects) map[string][]shownField {
	out := make(map[string][]shownField, len(o.Endpoints))
	macros := make(map[string]func(string) bool, len(o.Dialects))
	for i := range o.Dialects {
		macros[o.Dialects[i].Name] = macrosOf(&o.Dialects[i])
	}
	for _, e := range o.Endpoints {
		id := e.ID()
		e = e.WithDefaults()
		list := []shownField{
			{name: "dialect", value: e.Dialect},
			{name: "default", value: strconv.FormatBool(e.Default)},
			{name: "url", value: e.URL, shown: maskTemplateIn(e.URL, macros[e.Dialect])},
			{name: "method", value: e.Method},
			{name: "content_type", value: e.ContentType},
			{name: "sends", value: cmp.Or(string(e.Sends), "events")},
			{name: "body", value: e.Body, cover: "text"},
		}
		for _, h := range e.Headers {
			// An empty value is a header all the same.
			list = append(list, shownField{name: "headers." + h.Name, value: "=" + h.Value, cover: "value"})
		}
		list = append(list,
			shownField{name: "filter.event_types", value: listText(e.Filter.EventTypes)},
			shownField{name: "filter.values", value: valuesText(e.Filter.Values)},
			shownField{name: "filter.zones", value: listText(e.Filter.Zones)},
			shownField{name: "filter.request_vars", value: listText(e.Filter.RequestVars)},
			shownField{name: "filter.sources", value: listText(e.Filter.Sources)},
			shownField{name: "filter.rules", value: listText(e.Filter.Rules)},
			shownField{name: "success.contains", value: e.Success.Contains},
			shownField{name: "success.not_contains", value: e.Success.NotContains},
			shownField{name: "schedule", value: waitsText(e.Schedule)},
			shownField{name: "deadline", value: carom.FormatDuration(e.Deadline)},
			shownField{name: "timeout", value: carom.FormatDuration(e.Timeout)},
			shownField{name: "rate", value: strconv.FormatFloat(e.Rate, 'g', -1, 64)},
			shownField{name: "concurrency", value: strconv.Itoa(e.Concurrency)},
			shownField{name: "allow_private", value: strconv.FormatBool(e.AllowPrivate)},
			shownField{name: "once", value: strconv.FormatBool(e.Once)},
			shownField{name: "paused", value: strconv.FormatBool(e.Paused)},
		)
		for i, secret := range e.SigningSecrets {
			list = append(list, secretField("signing_secret", i, string(secret.Key), secret.NotAfter)...)
		}
		out[id] = list
	}
	return out
}

func prefixesText(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return listText(texts)
}

// listText writes a list as in the file. It is empty for an empty list.
func listText[T ~string](list []T) string {
	if len(list) == 0 {
		return ""
	}
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = string(item)
		if item == "" || strings.ContainsAny(texts[i], ",[] \"\n") {
			quoted, _ := json.Marshal(texts[i]) // a text cannot fail
			texts[i] = string(quoted)
		}
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

func valuesText(list []carom.RewardEventType) string {
	return listText(valueWords(list))
}

func waitsText(list []time.Duration) string {
	texts := make([]string, len(list))
	for i, wait := range list {
		texts[i] = carom.FormatDuration(wait)
	}
	return listText(texts)
}

// maskTemplate hides what may be a secret in a URL template: every constant value of the query, segments of the path that
// are long enough for one, and credentials before the host.
func maskTemplate(template string) string { return maskTemplateIn(template, nil) }

// maskTemplateIn is maskTemplate for a dialect, with what says whether a text holds one of its macros; nil is carom's own.
func maskTemplateIn(template string, holdsMacro func(string) bool) string {
	const mask = "***"
	if holdsMacro == nil {
		holdsMacro = func(s string) bool { return strings.Contains(s, "{") }
	}
	front, query, hasQuery := strings.Cut(template, "?")
	if !hasQuery && strings.Contains(template, "=") && !strings.Contains(template, "/") {
		front, query = "", template // a query alone
	}
	segments := strings.Split(front, "/")
	for i, s := range segments {
		if i > 2 && len(s) >= 20 && !holdsMacro(s) {
			segments[i] = mask
		} else if at := strings.LastIndexByte(s, '@'); i == 2 && at >= 0 {
			segments[i] = mask + s[at:]
		}
	}
	params := strings.Split(query, "&")
	for i, p := range params {
		if name, value, ok := strings.Cut(p, "="); ok && value != "" && !holdsMacro(value) {
			params[i] = name + "=" + mask
		}
	}
	out := strings.Join(segments, "/")
	if hasQuery {
		out += "?"
	}
	return out + strings.Join(params, "&")
}
