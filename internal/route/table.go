package route

import (
	"cmp"
	"slices"

	"carom"
)

// Matches says whether the event is for e: it is of the same app, is not held, and passes the filter. Tests pass, marked as
// such; whether e is paused makes no difference. An endpoint that gets rewards gets no event. What a default endpoint leaves to
// others is not looked at: that takes all endpoints of the app, see [Table.Match].
func (e *Endpoint) Matches(ev *carom.Event) bool {
	return e.Sends == carom.SendsEvents && ev.Held == "" && ev.App == e.App &&
		e.eventTypes.has(ev.Type) &&
		e.values.has(ev.Value) &&
		e.zones.has(ev.ZoneID) &&
		e.requestVars.has(ev.RequestVar) &&
		e.sources.has(ev.Source)
}

// Table finds the endpoints of an event, and those of a reward. It is immutable: a change of endpoints makes a new one.
type Table struct {
	events  map[string]*placed     // what gets them, by app
	rewards map[string][]*Endpoint // likewise, in order of their numbers
}

// placed are the endpoints of one app that get events. An app may have hundreds of them, most for one zone each, so that looking at
// all for each event would take longer than all else that the door does. Each list is in order of numbers.
type placed struct {
	anywhere  []*Endpoint            // those that name no zone, but for default ones
	elsewhere []*Endpoint            // those that name no zone, default ones too: for zones that nobody names
	byZone    map[string][]*Endpoint // those that name the zone
}

// NewTable makes the table of the given endpoints, in any order.
func NewTable(endpoints []*Endpoint) *Table {
	t := &Table{make(map[string]*placed), make(map[string][]*Endpoint)}
	sorted := slices.SortedStableFunc(slices.Values(endpoints), func(a, b *Endpoint) int { return cmp.Compare(a.No, b.No) })
	for _, e := range sorted {
		if e.Sends == carom.SendsRewards {
			t.rewards[e.App] = append(t.rewards[e.App], e)
			continue
		}
		p := t.events[e.App]
		if p == nil {
			p = &placed{byZone: make(map[string][]*Endpoint)}
			t.events[e.App] = p
		}
		p.add(e)
	}
	return t
}

func (p *placed) add(e *Endpoint) {
	if len(e.Filter.Zones) == 0 {
		p.elsewhere = append(p.elsewhere, e)
		if !e.Default {
			p.anywhere = append(p.anywhere, e)
		}
		return
	}
	for _, zone := range e.Filter.Zones {
		if list := p.byZone[zone]; len(list) == 0 || list[len(list)-1] != e { // it may name a zone twice
			p.byZone[zone] = append(list, e)
		}
	}
}

// Match appends to dst the endpoints that get the event, in order of their numbers, and returns the longer slice. It adds at
// most carom.MaxFanOut, those of the lowest numbers.
//
// A default endpoint gets only what comes from zones that no other endpoint for events of the app names in its filter. Naming is
// enough: neither the other lists of that filter nor whether that endpoint is paused make a difference, so that an event which it
// does not want is not sent to the default one instead.
func (t *Table) Match(dst []*Endpoint, ev *carom.Event) []*Endpoint {
	p := t.events[ev.App]
	if p == nil {
		return dst
	}
	here := p.byZone[ev.ZoneID]
	others := p.elsewhere
	if len(here) > 0 {
		others = p.anywhere
	}
	full := len(dst) + carom.MaxFanOut
	for len(dst) < full {
		var e *Endpoint
		switch {
		case len(here) > 0 && (len(others) == 0 || here[0].No < others[0].No):
			e, here = here[0], here[1:]
		case len(others) > 0:
			e, others = others[0], others[1:]
		default:
			return dst
		}
		if e.Matches(ev) {
			dst = append(dst, e)
		}
	}
	return dst
}

// MatchReward appends to dst the endpoints that get a reward of the app, in order of their numbers, and returns the longer
// slice. rule is the name of what earned it, or carom.RuleByHand. source is the name of the source that the reward came by: for
// what a person or carom itself does to a reward later on, still that source and not carom.SourceCarom, so that whoever was told
// of a grant is told of its reversal. It adds at most carom.MaxFanOut, those of the lowest numbers.
func (t *Table) MatchReward(dst []*Endpoint, app, rule, source string) []*Endpoint {
	full := len(dst) + carom.MaxFanOut
	for _, e := range t.rewards[app] {
		if e.rules.has(rule) && e.sources.has(source) {
			if dst = append(dst, e); len(dst) == full {
				break
			}
		}
	}
	return dst
}

// maxScan is how many texts are compared one by one before a map is faster.
const maxScan = 8

// set is one list of a filter. The empty one has everything.
type set[T ~string] struct {
	list []T            // when short
	many map[T]struct{} // when long
}

func newSet[T ~string](list []T) set[T] {
	if len(list) <= maxScan {
		return set[T]{list: slices.Clone(list)}
	}
	many := make(map[T]struct{}, len(list))
	for _, v := range list {
		many[v] = struct{}{}
	}
	return set[T]{many: many}
}

func (s set[T]) has(v T) bool {
	if s.many != nil {
		_, ok := s.many[v]
		return ok
	}
	return len(s.list) == 0 || slices.Contains(s.list, v)
}
