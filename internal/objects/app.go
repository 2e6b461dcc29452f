package objects

import (
	"crypto/ed25519"
	"encoding/hex"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"carom"
)

// minBotSecret is less than what stands behind the colon of every bot token, and more than can be guessed.
const minBotSecret = 16

func (r *reader) app(path, name string, n *node, out *carom.Objects) {
	a := carom.App{Name: name}
	sources := make(map[string]bool)
	ends, zones := len(out.Endpoints), len(out.Zones)
	var rules, sound []carom.Rule
	hasSDK := false // a source for the events of its zones; else it gets one
	r.object(path, n, fields{
		"title":      text(r, &a.Title),
		"publisher":  text(r, &a.Publisher),
		"time_zone":  text(r, &a.TimeZone),
		"currencies": r.currencies(&a.Currencies),
		"origins":    r.origins(&a.Origins),
		"telegram":   r.telegram(&a),
		"sources": r.named(func(path, name string, n *node) {
			out.Sources = append(out.Sources, r.source(path, a.Name, name, n))
			sources[name] = true
			hasSDK = hasSDK || out.Sources[len(out.Sources)-1].Profile == carom.ProfileSDK
		}),
		"endpoints": r.named(func(path, name string, n *node) {
			out.Endpoints = append(out.Endpoints, r.endpoint(path, a.Name, name, n))
		}),
		"zones": r.keyed(checkZoneID, func(path, id string, n *node) {
			out.Zones = append(out.Zones, r.zone(path, a.Name, id, n))
		}),
		"rules": r.named(func(path, name string, n *node) {
			before := len(r.faults)
			rules = append(rules, r.rule(path, a.Name, name, n))
			if len(r.faults) == before {
				sound = append(sound, rules[len(rules)-1])
			}
		}),
	})
	out.Apps = append(out.Apps, a)
	r.checkApp(path, &a, out.Zones[zones:])
	if len(out.Zones) > zones && !hasSDK {
		sources[carom.SourceSDK] = true
	}
	// Rules are compiled later, those that rest on nothing that has a fault: what follows from a fault is not reported.
	if !r.faultyBelow(path+".currencies", a.Currencies) {
		out.Rules = append(out.Rules, sound...)
	}
	// Endpoints and rules may stand before the sources and rules that they name.
	ruleNames := map[string]bool{carom.RuleByHand: true}
	for _, rule := range rules {
		ruleNames[rule.Name] = true
		r.checkNames(join(path+".rules", rule.Name)+".filter.sources", "source", rule.Filter.Sources, sources)
	}
	for _, e := range out.Endpoints[ends:] {
		at := join(path+".endpoints", e.Name) + ".filter"
		r.checkNames(at+".sources", "source", e.Filter.Sources, sources)
		if e.Sends == carom.SendsRewards {
			r.checkNames(at+".rules", "rule", e.Filter.Rules, ruleNames)
		}
	}
}

// checkNames reports names in the list at path that nothing of that kind in the app has.
func (r *reader) checkNames(path, kind string, names []string, known map[string]bool) {
	for i, name := range names {
		if at := indexed(path, i); !known[name] && !r.faulty[at] {
			r.fault(at, "the app has no %s %s: %s", kind, quote(name), suggest(name, slices.Collect(maps.Keys(known))))
		}
	}
}

// origins reads the origins of pages.
func (r *reader) origins(to *[]string) read {
	return r.list("a list such as [https://game.example]", func(path string, n *node) {
		var item string
		scan(r, &item, "an origin such as https://game.example", func(s string) (string, string) { return s, originFault(s) })(path, n)
		*to = append(*to, item)
	})
}

// originFault says why s is not an origin as browsers send it, or returns nothing. Browsers write it in one way only, and it is
// compared as a text, so that any other spelling would never match.
func originFault(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "it is no origin: write scheme and host, and a port where the page has one, such as https://game.example"
	}
	host, port := u.Hostname(), u.Port()
	origin := u.Scheme + "://" + strings.ToLower(u.Host)
	if p, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || p == 0) {
		return "it has no port from 1 to 65535: correct it, or leave it out"
	}
	if port == "" || port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		origin = strings.TrimSuffix(origin, ":"+port)
	}
	addr, notAddr := netip.ParseAddr(host)
	if notAddr != nil && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return "it has a host that no page can have: write its name whole, without *, and one that is not ASCII in its xn-- form"
	}
	if s != origin {
		return "it is not written as browsers send it: write " + quote(clip(origin))
	}
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || notAddr == nil && addr.IsLoopback()
	if u.Scheme == "http" && !local {
		return "it is not encrypted, so that others on the way could open views as its users: write https (http is for localhost alone)"
	}
	return ""
}

// telegram reads the bot of an app.
func (r *reader) telegram(a *carom.App) read {
	return func(path string, n *node) {
		var token given
		known := fields{"bot_id": scan(r, &a.BotID, "the bot's number such as 4839574812", func(s string) (int64, string) {
			id, err := strconv.ParseInt(s, 10, 64)
			if err != nil || id <= 0 {
				return 0, "it is not the id of a bot: write the number before the colon of its token"
			}
			return id, ""
		}), "bot_key": scan(r, &a.BotKey, "a key of 64 hexadecimal digits", func(s string) (string, string) {
			if key, err := hex.DecodeString(s); err != nil || len(key) != ed25519.PublicKeySize {
				return "", "it is no Ed25519 key: write its 64 hexadecimal digits, or remove the line for the key that Telegram publishes"
			}
			return strings.ToLower(s), ""
		})}
		r.secret(known, "bot_token", &token)
		before := len(r.faults)
		if r.object(path, n, known); len(r.faults) > before {
			return
		}
		switch {
		case token.path == "" && a.BotID == 0:
			r.fault(path, "it names no bot: add `bot_token`, or `bot_id` if somebody else holds the token")
			return
		case token.path == "":
			return
		case a.BotKey != "":
			r.fault(path+".bot_key", "the bot's token checks init data already, and no key is looked at: remove one of the two")
			return
		}
		digits, secret, _ := strings.Cut(token.text, ":")
		id, err := strconv.ParseInt(digits, 10, 64)
		switch {
		case err != nil || id <= 0 || len(secret) < minBotSecret || len(secret) > maxSecretLen || strings.Trim(secret, secretAlphabet) != "":
			r.fault(token.path, "it is not a bot token: paste the whole line that BotFather gives, a number, a colon and what follows")
		case a.BotID != 0 && a.BotID != id:
			r.fault(path+".bot_id", "it is another bot than that of the token: correct one of the two, or remove this line")
		default:
			a.BotToken = carom.Masked(token.text)
		}
	}
}
