package objects

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carom"
)

// group is a group of keys of the file: texts, numbers, flags, lists, and groups again, as encoding/json reads them. What is at its
// default is left out.
type group map[string]any

// Settings returns what the file would say of an object, in the form that encoding/json gives to a JSON object: what is left at its
// default is absent, and so is everything secret. Amounts, durations and limits are texts, and a price is always a group of keys.
// The object is a pointer to one of the types in [carom.Objects]; of any other the settings are nil.
//
// [Put] reads what Settings writes, and makes the same object of it.
func Settings(object any) map[string]any {
	switch o := object.(type) {
	case *carom.Publisher:
		g := group{}
		g.text("title", o.Title)
		g.flag("allow_private", o.AllowPrivate)
		return g
	case *carom.App:
		return appSettings(o)
	case *carom.Source:
		return sourceSettings(o)
	case *carom.Endpoint:
		return endpointSettings(o)
	case *carom.Rule:
		return ruleSettings(o)
	case *carom.Zone:
		return zoneSettings(o)
	case *carom.Creative:
		return creativeSettings(o)
	case *carom.Dialect:
		g := group{"open": o.Open, "close": o.Close}
		putMap(g, "macros", o.Macros)
		return g
	}
	return nil
}

func (g group) text(key, value string) {
	if value != "" {
		g[key] = value
	}
}

func (g group) flag(key string, value bool) {
	if value {
		g[key] = true
	}
}

func (g group) number(key string, value float64) {
	if value != 0 {
		g[key] = value
	}
}

func (g group) duration(key string, value time.Duration) {
	if value != 0 {
		g[key] = carom.FormatDuration(value)
	}
}

func (g group) amount(key string, value carom.Price) { g.text(key, value.String()) }

func (g group) nanos(key string, value carom.Nanos) {
	if value != 0 {
		g[key] = value.String()
	}
}

func (g group) prefixes(key string, list []netip.Prefix) {
	texts := make([]string, len(list))
	for i, p := range list {
		if texts[i] = p.String(); p.IsSingleIP() {
			texts[i] = p.Addr().String() // as people write it
		}
	}
	putList(g, key, texts)
}

func (g group) group(key string, value group) {
	if len(value) > 0 {
		g[key] = map[string]any(value)
	}
}

func putList[T ~string](g group, key string, list []T) {
	if len(list) == 0 {
		return
	}
	items := make([]any, len(list))
	for i, item := range list {
		items[i] = string(item)
	}
	g[key] = items
}

func putMap[K, V ~string](g group, key string, m map[K]V) {
	if len(m) == 0 {
		return
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[string(k)] = string(v)
	}
	g[key] = out
}

func appSettings(a *carom.App) group {
	g, bot := group{}, group{}
	g.text("title", a.Title)
	g.text("publisher", a.Publisher)
	g.text("time_zone", a.TimeZone)
	if len(a.Currencies) > 0 {
		decimals := make(map[string]any, len(a.Currencies))
		for name, n := range a.Currencies {
			decimals[name] = n
		}
		g["currencies"] = decimals
	}
	putList(g, "origins", a.Origins)
	if a.BotID != 0 {
		bot["bot_id"] = a.BotID
	}
	bot.text("bot_key", a.BotKey)
	g.group("telegram", bot)
	return g
}

func sourceSettings(s *carom.Source) group {
	g := group{"profile": s.Profile}
	g.text("mode", string(s.Mode))
	g.text("shadow_url", s.ShadowURL)
	g.text("ymid", string(s.YMID))
	g.text("template", s.Template)
	g.text("default_event_type", string(s.DefaultEventType))
	putMap(g, "event_types", s.EventTypes)
	g.duration("dedupe_window", s.DedupeWindow)
	g.duration("repeat_window", s.RepeatWindow)
	g.prefixes("addresses", s.Addresses)
	g.flag("require_address", s.RequireAddress)
	g.number("rate", s.Rate)
	return g
}

func endpointSettings(e *carom.Endpoint) group {
	g, filter, success := group{"url": e.URL}, group{}, group{}
	g.text("dialect", e.Dialect)
	g.flag("default", e.Default)
	g.text("method", e.Method)
	g.text("content_type", e.ContentType)
	g.text("body", e.Body)
	if len(e.Headers) > 0 {
		headers := make(map[string]any, len(e.Headers))
		for _, h := range e.Headers {
			headers[h.Name] = h.Value
		}
		g["headers"] = headers
	}
	putList(filter, "event_types", e.Filter.EventTypes)
	putList(filter, "values", valueWords(e.Filter.Values))
	putList(filter, "zones", e.Filter.Zones)
	putList(filter, "request_vars", e.Filter.RequestVars)
	putList(filter, "sources", e.Filter.Sources)
	putList(filter, "rules", e.Filter.Rules)
	g.group("filter", filter)
	g.text("sends", string(e.Sends))
	success.text("contains", e.Success.Contains)
	success.text("not_contains", e.Success.NotContains)
	g.group("success", success)
	waits := make([]string, len(e.Schedule))
	for i, wait := range e.Schedule {
		waits[i] = carom.FormatDuration(wait)
	}
	putList(g, "schedule", waits)
	g.duration("deadline", e.Deadline)
	g.duration("timeout", e.Timeout)
	g.number("rate", e.Rate)
	g.number("concurrency", float64(e.Concurrency))
	g.flag("allow_private", e.AllowPrivate)
	g.flag("once", e.Once)
	g.flag("paused", e.Paused)
	return g
}

// valueWords are values as the file writes them.
func valueWords(list []carom.RewardEventType) []string {
	words := make([]string, len(list))
	for i, v := range list {
		if words[i] = string(v); v == carom.ValueEmpty {
			words[i] = "empty"
		}
	}
	return words
}

func ruleSettings(r *carom.Rule) group {
	g, filter, price := group{}, group{}, group{}
	putList(filter, "networks", r.Filter.Networks)
	putList(filter, "sources", r.Filter.Sources)
	putList(filter, "zones", r.Filter.Zones)
	putList(filter, "event_types", r.Filter.EventTypes)
	putList(filter, "values", valueWords(r.Filter.Values))
	putList(filter, "request_vars", r.Filter.RequestVars)
	g.group("filter", filter)
	price.amount("fixed", r.Price.Fixed)
	price.text("currency", r.Price.Currency)
	price.text("from", r.Price.From)
	price.nanos("rate", r.Price.Rate)
	price.nanos("share", r.Price.Share)
	price.amount("min", r.Price.Min)
	price.amount("max", r.Price.Max)
	price.nanos("step", r.Price.Step)
	price.text("round", r.Price.Round)
	if r.Price.TrustSecret {
		price["trust"] = string(carom.Secret)
	}
	g.group("price", price)
	g.flag("additional", r.Additional)
	caps := make([]any, len(r.Caps))
	for i := range r.Caps {
		c := group{}
		c.text("name", r.Caps[i].Name)
		putList(c, "per", r.Caps[i].Per)
		c.number("rewards", float64(r.Caps[i].Rewards))
		c.amount("amount", r.Caps[i].Amount)
		caps[i] = map[string]any(c)
	}
	if len(caps) > 0 {
		g["caps"] = caps
	}
	g.duration("cooldown", r.Cooldown)
	g.duration("hold", r.Hold)
	return g
}

func zoneSettings(z *carom.Zone) group {
	g, server, confirm := group{}, group{}, group{}
	g.text("title", z.Title)
	putMap(g, "sub_zones", z.SubZones)
	g.flag("confirmed", z.Confirmed)
	g.flag("require_ymid", z.RequireYMID)
	g.flag("paused", z.Paused)
	server.text("url", z.AdServer.URL)
	server.duration("timeout", z.AdServer.Timeout)
	server.nanos("max_price", z.AdServer.MaxPrice)
	server.flag("allow_private", z.AdServer.AllowPrivate)
	g.group("ad_server", server)
	r := &z.Confirm
	for key, d := range map[string]time.Duration{"viewable": r.Viewable, "min_click": r.MinClick} {
		if d != 0 {
			confirm[key] = orOff(d)
		}
	}
	confirm.flag("require_user", r.RequireUser)
	confirm.prefixes("deny_addresses", r.DenyAddresses)
	putList(confirm, "own_users", r.OwnUsers)
	confirm.prefixes("own_addresses", r.OwnAddresses)
	for key, l := range map[string]carom.ViewLimit{
		"per_user": r.PerUser, "per_device": r.PerDevice, "per_address": r.PerAddress, "frequency_cap": r.FrequencyCap,
	} {
		if l != (carom.ViewLimit{}) {
			confirm[key] = limitText(l)
		}
	}
	g.group("confirm", confirm)
	return g
}

func creativeSettings(c *carom.Creative) group {
	g := group{}
	g.text("title", c.Title)
	putList(g, "formats", c.Formats)
	putList(g, "zones", c.Zones)
	g.text("image", c.Image)
	g.text("html", c.HTML)
	g.number("width", float64(c.Width))
	g.number("height", float64(c.Height))
	g.text("landing_url", c.LandingURL)
	g.duration("close_after", c.CloseAfter)
	g.number("weight", float64(c.Weight))
	g.nanos("per_impression", c.PerImpression)
	g.nanos("per_click", c.PerClick)
	g.flag("paused", c.Paused)
	return g
}

// nodeOf makes a value as encoding/json reads it into a node, as if the file had said it. It has no place in any file.
func nodeOf(value any) *node {
	switch v := value.(type) {
	case nil:
		return &node{}
	case map[string]any:
		n := &node{kind: object}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.entries = append(n.entries, entry{key: key, value: nodeOf(v[key])})
		}
		return n
	case []any:
		n := &node{kind: list}
		for _, item := range v {
			n.items = append(n.items, nodeOf(item))
		}
		return n
	case string:
		return &node{kind: scalar, text: v}
	}
	text, err := json.Marshal(value) // a number or a flag
	if err != nil {
		return &node{}
	}
	return &node{kind: scalar, text: strings.TrimSpace(string(text))}
}
