package route

import (
	"cmp"
	"slices"

	"carom"
)

// Matches says whether e gets the event: it is of the same app, is not held, and passes the filter. Tests pass, marked as
// such; whether e is paused makes no difference.
func (e *Endpoint) Matches(ev *carom.Event) bool {
	return ev.Held == "" && ev.App == e.App &&
		e.eventTypes.has(ev.Type) &&
		e.values.has(ev.Value) &&
		e.zones.has(ev.ZoneID) &&
		e.requestVars.has(ev.RequestVar) &&
		e.sources.has(ev.Source)
}

// Table finds the endpoints of an event. It is immutable: a change of endpoints makes a new one.
type Table struct {
	byApp map[string][]*Endpoint // in order of their numbers
}

// NewTable makes the table of the given endpoints, in any order.
func NewTable(endpoints []*Endpoint) *Table {
	t := &Table{byApp: make(map[string][]*Endpoint)}
	for _, e := range endpoints {
		t.byApp[e.App] = append(t.byApp[e.App], e)
	}
	for _, list := range t.byApp {
		slices.SortStableFunc(list, func(a, b *Endpoint) int { return cmp.Compare(a.No, b.No) })
	}
	return t
}

// Match appends to dst the endpoints that get the event, in order of their numbers, and returns the longer slice. It adds at
// most carom.MaxFanOut, those of the lowest numbers.
func (t *Table) Match(dst []*Endpoint, ev *carom.Event) []*Endpoint {
	full := len(dst) + carom.MaxFanOut
	for _, e := range t.byApp[ev.App] {
		if e.Matches(ev) {
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
