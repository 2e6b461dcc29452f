package survey

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/route"
)

// enough is how many events have to be known before what none of them has is taken for what none ever has.
const enough = 20

// judgeSettings looks at what the configuration alone shows: template, proof, identity, other endpoints.
func (s *subject) judgeSettings(f *Facts) []Finding {
	if s.err != nil {
		return []Finding{s.invalid()}
	}
	var list []Finding
	if s.e.Paused {
		what := "it is paused: nothing is sent to it"
		if n := f.Backlogs[s.e.No].Waiting; n > 0 {
			what += fmt.Sprintf(", and %d of its deliveries wait until they expire", n)
		}
		list = append(list, Finding{Warning, KindPaused, what, "carom resume " + s.e.ID()})
	}
	if strings.HasPrefix(s.host.Origin, "http://") && !s.e.AllowPrivate {
		list = append(list, Finding{Warning, KindPlainHTTP, "it is sent to by http: whoever is on the way can read its secret, and alter what it is told",
			"ask its owner for the https:// URL, and enter that"})
	}
	list = append(list, s.judgeIdentity()...)
	if len(s.e.SigningSecrets) == 0 && !s.uses.secret {
		list = append(list, Finding{Warning, KindNoProof,
			"it is neither signed nor has it a parameter with a secret: whoever learns the URL can invent events",
			"give the endpoint a signing_secret, or add a parameter such as key=SECRET that the receiver compares"})
	}
	list = append(list, s.judgeAlike()...)
	list = append(list, s.judgeEmpty()...)
	return append(list, s.judgeTwice()...)
}

// invalid says why the endpoint cannot be saved as it is.
func (s *subject) invalid() Finding {
	open := s.e
	open.AllowPrivate = true
	if _, err := route.CompileIn(open, s.dialect); err == nil {
		return Finding{Fault, KindPrivateAddress, "its host is not a public address, and such a one is not dialled: nothing is ever sent to it",
			"if the receiver is your own, add the line `allow_private: true` to the endpoint; else ask its owner for the public address"}
	}
	var fault *carom.FieldError
	what := s.err.Error()
	if errors.As(s.err, &fault) {
		what = fault.Error()
	}
	return Finding{Fault, KindInvalid, "it cannot be used as it is: " + clip(what), "correct it in the objects file; `carom check -f FILE` lists all of its faults"}
}

// judgeIdentity looks for what tells a repeat from a second event.
func (s *subject) judgeIdentity() []Finding {
	fix := "add a parameter such as id=" + s.macro("delivery_id") + ", and let the receiver keep it under a unique key"
	own := s.uses.sent["delivery_id"] || s.uses.sent["event_id"]
	switch {
	case s.e.Sends == carom.SendsRewards:
		if own || s.uses.sent["reward_id"] {
			return nil
		}
		return []Finding{{Warning, KindNoIdentity, "its requests hold no id: a reward that is sent again looks like a second one, and is paid twice",
			"add a parameter such as id=" + s.macro("reward_id") + ", and let the receiver keep it under a unique key"}}
	case own || s.uses.sent["external_id"]:
		return nil
	case !s.uses.sent["ymid"]:
		return []Finding{{Warning, KindNoIdentity, "its requests hold neither " + s.macro("ymid") + " nor " + s.macro("delivery_id") + ": an event that is sent again looks like a second one, and is paid twice", fix}}
	}
	var repeating []string
	sources := s.sources()
	for i := range sources {
		if sources[i].YMID != carom.YMIDView {
			repeating = append(repeating, sources[i].Name)
		}
	}
	if len(repeating) == 0 || len(repeating) < len(sources) {
		return nil
	}
	return []Finding{{Warning, KindIdentityRepeats, fmt.Sprintf("its only id is %s, which repeats at %s %s: the receiver cannot tell a repeat from the user's next view",
		s.macro("ymid"), nounFor(len(repeating), "the source"), quoted(repeating)), fix}}
}

// judgeAlike looks for events that differ in what they are worth and are told alike.
func (s *subject) judgeAlike() []Finding {
	if s.e.Sends == carom.SendsRewards {
		return nil
	}
	var list []Finding
	types := distinct(s.passed, func(ev *carom.Event) string { return string(ev.Type) })
	if !s.uses.sent["event_type"] && len(s.e.Filter.EventTypes) != 1 && (len(types) > 1 || s.bringsBoth()) {
		list = append(list, Finding{Warning, KindTypesAlike, "it gets impressions and clicks, and its requests do not say which is which: one view may be paid twice",
			"add a parameter such as event=" + s.macro("event_type") + ", or let one type through: filter.event_types: [click]"})
	}
	values := distinct(s.passed, func(ev *carom.Event) string { return string(ev.Value) })
	if !s.uses.sent["reward_event_type"] && len(s.e.Filter.Values) != 1 && (len(values) > 1 || s.saysValue()) {
		list = append(list, Finding{Warning, KindValuesAlike, "it gets events that nobody pays for, and its requests do not tell them from those that are paid",
			"let only paid ones through with filter.values: [valued], or add a parameter such as value=" + s.macro("reward_event_type")})
	}
	return list
}

// sources are those from which the endpoint can get anything.
func (s *subject) sources() []carom.Source {
	if len(s.e.Filter.Sources) == 0 {
		return s.app.sources
	}
	var list []carom.Source
	for i := range s.app.sources {
		if slices.Contains(s.e.Filter.Sources, s.app.sources[i].Name) {
			list = append(list, s.app.sources[i])
		}
	}
	return list
}

// bringsBoth says whether the endpoint's sources bring impressions and clicks alike, as far as that is known without events.
func (s *subject) bringsBoth() bool {
	allowed := s.e.Filter.EventTypes
	if len(allowed) > 0 && (!slices.Contains(allowed, carom.Impression) || !slices.Contains(allowed, carom.Click)) {
		return false
	}
	sources := s.sources()
	for i := range sources {
		switch sources[i].Profile {
		case "monetag", carom.ProfileAPI:
			return true
		case carom.ProfileSDK:
			if sent := s.zoneTypes(); sent[carom.Impression] && sent[carom.Click] {
				return true
			}
		}
	}
	return false
}

// saysValue says whether one of the endpoint's sources tells paid events from unpaid ones.
func (s *subject) saysValue() bool {
	return slices.ContainsFunc(s.sources(), func(src carom.Source) bool {
		return src.Profile == "monetag" || src.Profile == carom.ProfileSDK
	})
}

// zoneTypes are the event types that the zones which the filter lets through send.
func (s *subject) zoneTypes() map[carom.EventType]bool {
	sent := map[carom.EventType]bool{}
	for i := range s.app.zones {
		z := &s.app.zones[i]
		if len(s.e.Filter.Zones) > 0 && !slices.Contains(s.e.Filter.Zones, z.ID) {
			continue
		}
		for format := range z.SubZones {
			for _, t := range []carom.EventType{carom.Impression, carom.Click} {
				if format.Sends(t) {
					sent[t] = true
				}
			}
		}
	}
	return sent
}

// distinct returns the different texts that of finds in the events.
func distinct(events []*carom.Event, of func(*carom.Event) string) []string {
	var list []string
	for _, ev := range events {
		if text := of(ev); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// valueOf reads what a macro of the event stands for, as far as it can be empty.
func valueOf(ev *carom.Event, macro string) string {
	switch macro {
	case "ymid":
		return ev.YMID
	case "zone_id":
		return ev.ZoneID
	case "sub_zone_id":
		return ev.SubZoneID
	case "request_var":
		return ev.RequestVar
	case "telegram_id":
		return ev.TelegramID
	case "reward_event_type":
		return string(ev.Value)
	case "estimated_price":
		if ev.Price.Set {
			return ev.Price.Nanos.String()
		}
		return ""
	case "user_id":
		return ev.UserID
	case "external_id":
		return ev.ExternalID
	}
	if name, ok := strings.CutPrefix(macro, "field."); ok {
		i := slices.IndexFunc(ev.Fields, func(field carom.Field) bool { return field.Name == name })
		if i < 0 {
			return ""
		}
		return ev.Fields[i].Value
	}
	return "always there"
}

// nounFor is a noun that takes an s for more than one.
func nounFor(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// judgeEmpty looks for macros that none of the newest events fills in.
func (s *subject) judgeEmpty() []Finding {
	if s.e.Sends == carom.SendsRewards || len(s.passed) < enough {
		return nil
	}
	var empty []string
	for _, use := range s.uses.written {
		filled := slices.ContainsFunc(s.passed, func(ev *carom.Event) bool { return valueOf(ev, use.Macro) != "" })
		if !filled && !slices.Contains(empty, use.Written) {
			empty = append(empty, use.Written)
		}
	}
	if len(empty) == 0 {
		return nil
	}
	return []Finding{{Note, KindMacroEmpty, fmt.Sprintf("%s had no value in any of the newest %s that it gets", quoted(empty), plural(len(s.passed), "event")),
		"if the receiver needs it, let the app or the network fill it in; else take it out of the template"}}
}

// judgeTwice looks for other endpoints of the app that send the same events to the same place.
func (s *subject) judgeTwice() []Finding {
	if s.e.Paused {
		return nil
	}
	var others []string
	for _, o := range s.app.endpoints {
		if o != s && !o.e.Paused && o.e.URL == s.e.URL && o.e.Method == s.e.Method && s.overlaps(o) {
			others = append(others, o.e.ID())
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []Finding{{Warning, KindSentTwice, "it has the same URL as " + quoted(others) + ", and their filters overlap: the receiver gets some events twice, with different delivery ids",
		"remove one of them, or make their filters exclude each other"}}
}

// overlaps says whether one event, or one reward, can go to both.
func (s *subject) overlaps(o *subject) bool {
	a, b := s.e.Filter, o.e.Filter
	if s.e.Sends != o.e.Sends || !meets(a.Sources, b.Sources) {
		return false
	}
	if s.e.Sends == carom.SendsRewards {
		return meets(a.Rules, b.Rules)
	}
	if s.e.Default && len(b.Zones) > 0 || o.e.Default && len(a.Zones) > 0 {
		return false // a default one gets what the zones of others leave
	}
	return meets(a.EventTypes, b.EventTypes) && meets(a.Values, b.Values) && meets(a.Zones, b.Zones) && meets(a.RequestVars, b.RequestVars)
}

// meets says whether two lists of a filter let one value through together. An empty one lets all through.
func meets[T comparable](a, b []T) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}
