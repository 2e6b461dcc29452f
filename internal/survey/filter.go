package survey

import (
	"fmt"
	"slices"
	"strings"

	"carom"
)

// judgeFilter looks for a filter that lets nothing, or less than is meant, through.
func (s *subject) judgeFilter(f *Facts) []Finding {
	if s.err != nil {
		return nil
	}
	var list []Finding
	sourceNames := make([]string, len(s.app.sources))
	for i := range s.app.sources {
		sourceNames[i] = s.app.sources[i].Name
	}
	list = append(list, unknownNames("sources", "source", s.e.Filter.Sources, sourceNames)...)
	if s.e.Sends == carom.SendsRewards {
		return append(list, unknownNames("rules", "rule", s.e.Filter.Rules, append(s.app.rules, carom.RuleByHand))...)
	}
	list = append(list, s.judgeZones()...)
	if len(list) == 0 && len(s.passed) == 0 && len(s.app.events) >= 10*enough {
		list = append(list, Finding{Note, KindMatchedNone, fmt.Sprintf("none of the newest %s of its app passed its filter", plural(len(s.app.events), "event")),
			"compare filter with what comes: `carom show` lists the newest events"})
	}
	return list
}

// unknownNames finds names in a list of the filter that nothing of the app has.
func unknownNames(field, noun string, listed, known []string) []Finding {
	var unknown []string
	for _, name := range listed {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	switch {
	case len(unknown) == 0:
		return nil
	case len(unknown) == len(listed):
		return []Finding{{Fault, KindMatchesNothing, fmt.Sprintf("it gets nothing: filter.%s names %s, and the app has no such %s", field, quoted(unknown), noun),
			"correct the names, or remove filter." + field}}
	}
	return []Finding{{Warning, KindFilterUnknown, fmt.Sprintf("filter.%s names %s, and the app has no such %s", field, quoted(unknown), noun), "correct the names"}}
}

// judgeZones compares the zones of the filter with those that there are.
func (s *subject) judgeZones() []Finding {
	sources := s.sources()
	if len(sources) == 0 {
		return nil // there is nothing that could bring events, which is said of the app
	}
	other := slices.ContainsFunc(sources, func(src carom.Source) bool { return src.Profile != carom.ProfileSDK })
	seen, seenSub := map[string]bool{}, map[string]string{}
	for _, ev := range s.app.events {
		seen[ev.ZoneID] = true
		if ev.SubZoneID != "" {
			seenSub[ev.SubZoneID] = ev.ZoneID
		}
	}
	known := func(zone string) bool {
		return seen[zone] || slices.ContainsFunc(s.app.zones, func(z carom.Zone) bool { return z.ID == zone })
	}
	var unknown, subs []string
	for _, zone := range s.e.Filter.Zones {
		if known(zone) {
			continue
		}
		unknown = append(unknown, zone)
		if main := s.app.mainOf[zone]; main != "" {
			subs = append(subs, zone+" is a sub-zone of "+main)
		} else if main := seenSub[zone]; main != "" {
			subs = append(subs, zone+" is a sub-zone of "+main)
		}
	}
	all := len(unknown) > 0 && len(unknown) == len(s.e.Filter.Zones)
	switch {
	case len(unknown) == 0:
		if !other {
			return s.judgeFormats()
		}
		return nil
	case len(subs) > 0:
		level, kind, what := Warning, KindFilterUnknown, "filter.zones looks at main zones, and "
		if all && len(subs) == len(unknown) {
			level, kind, what = Fault, KindMatchesNothing, "it gets nothing: filter.zones looks at main zones, and "
		}
		return []Finding{{level, kind, what + strings.Join(subs[:min(len(subs), 5)], ", "), "name the main zones in filter.zones; " + s.macro("sub_zone_id") + " tells the format"}}
	case !other && all:
		return []Finding{{Fault, KindMatchesNothing, fmt.Sprintf("it gets nothing: filter.zones names %s, and the app has no such zone", quoted(unknown)), "correct the zones, or remove filter.zones"}}
	case !other:
		return []Finding{{Warning, KindFilterUnknown, fmt.Sprintf("filter.zones names %s, and the app has no such zone", quoted(unknown)), "correct the zones"}}
	case len(s.app.events) < enough:
		return nil // they may be the network's, and nothing came from it yet
	}
	return []Finding{{Warning, KindZoneUnseen, fmt.Sprintf("filter.zones names %s, and none of the newest %s of the app came from there", quoted(unknown), plural(len(s.app.events), "event")),
		"compare with the zones at the network; an event carries its main zone"}}
}

// judgeFormats looks at an endpoint that gets events of the SDK alone: what the formats of its zones never send, it never gets.
func (s *subject) judgeFormats() []Finding {
	sent := s.zoneTypes()
	if len(s.app.zones) == 0 {
		return nil
	}
	wanted := s.e.Filter.EventTypes
	if len(wanted) == 0 {
		wanted = []carom.EventType{carom.Impression, carom.Click}
	}
	if slices.ContainsFunc(wanted, func(t carom.EventType) bool { return sent[t] }) {
		return nil
	}
	return []Finding{{Fault, KindMatchesNothing, "it gets nothing: the formats of its zones send no event of the types that its filter lets through",
		"rewarded_interstitial sends impressions and clicks, rewarded_popup impressions, in_app_interstitial nothing: change filter.event_types or filter.zones"}}
}

// judge looks at the endpoints of an app together.
func (a *app) judge() []Finding {
	if len(a.endpoints) == 0 {
		if len(a.sources) == 0 {
			return nil
		}
		level := Warning
		if len(a.rules) > 0 {
			level = Note // its backend may read the ledger
		}
		return []Finding{{level, KindNoEndpoint, "it has no endpoint, so nothing of what comes in goes out", "add an endpoint to it in the objects file, and run: carom apply -f FILE"}}
	}
	named := map[string]bool{}
	events := false
	for _, s := range a.endpoints {
		if s.e.Sends == carom.SendsRewards {
			continue
		}
		events = true
		if s.e.Default || len(s.e.Filter.Zones) == 0 {
			return nil
		}
		for _, zone := range s.e.Filter.Zones {
			named[zone] = true
		}
	}
	if !events {
		return nil
	}
	var left []string
	add := func(zone string) {
		if zone != "" && !named[zone] && !slices.Contains(left, zone) {
			left = append(left, zone)
		}
	}
	for i := range a.zones {
		add(a.zones[i].ID)
	}
	for _, ev := range a.events {
		add(ev.ZoneID)
	}
	const fix = "add an endpoint without filter.zones and with the line `default: true`: it gets what no other names"
	if len(left) > 0 {
		slices.Sort(left)
		return []Finding{{Warning, KindNoDefault, "no endpoint gets the events of " + nounFor(len(left), "the zone") + " " + quoted(left), fix}}
	}
	return []Finding{{Note, KindNoDefault, "its endpoints name all zones that there are, and none is the default: events of a new zone would go to nobody", fix}}
}
