package templates

import (
	"slices"
	"strings"

	"carom"
)

// relate finds what rows are to one another: copies, two templates for the same events, names that are taken. It names the
// endpoints as well.
func relate(rows []Row) {
	byPlace := map[place][]*Row{} // those that stay
	count := map[string]int{}
	for i := range rows {
		row := &rows[i]
		if row.App == "" || row.Endpoint.URL == "" || row.faultIn("app") {
			continue
		}
		places := placesOf(row)
		for _, p := range places {
			if row.meets(byPlace[p], p) {
				break
			}
		}
		if !row.Good() {
			continue
		}
		if count[row.App]++; count[row.App] > carom.MaxFanOut {
			row.fault("app", "the app %s has more than %d templates, and one event can be owed to no more: split the app", row.App, carom.MaxFanOut)
			continue
		}
		for _, p := range places {
			byPlace[p] = append(byPlace[p], row)
		}
	}
	taken := map[string]int{} // the lines of endpoints, by their ids
	for i := range rows {
		row := &rows[i]
		if !row.Good() {
			continue
		}
		if row.Endpoint.Name == "" {
			several := slices.ContainsFunc(placesOf(row), func(p place) bool { return len(byPlace[p]) > 1 })
			row.Endpoint.Name = nameOf(row, several)
		}
		id := row.Endpoint.ID()
		switch line := taken[id]; {
		case row.Endpoint.Name == "":
			row.fault("zone", "no name can be made of the zone %q: give the endpoint one in the column name", clip(row.Zone))
		case line > 0:
			row.fault("name", "the app %s has the endpoint %s in line %d already: give this one another name in the column name",
				row.App, row.Endpoint.Name, line)
		default:
			taken[id] = row.Line
		}
	}
}

// faultIn says whether a column has a fault.
func (row *Row) faultIn(column string) bool {
	return slices.ContainsFunc(row.Faults, func(fe *carom.FieldError) bool { return fe.Field == column })
}

// place is what templates are for: a zone of an app, or all that have none of their own.
type place struct{ app, zone string }

func placesOf(row *Row) []place {
	if len(row.Endpoint.Filter.Zones) == 0 {
		return []place{{row.App, ""}}
	}
	var out []place
	for _, zone := range row.Endpoint.Filter.Zones {
		out = append(out, place{row.App, zone})
	}
	return out
}

// meets compares a row with those before it that are for the same place. It says whether there is nothing more to compare: the
// row is a copy, or has a fault.
func (row *Row) meets(others []*Row, p place) bool {
	mine := &row.Endpoint
	for _, other := range others {
		theirs := &other.Endpoint
		if !overlap(mine.Filter.EventTypes, theirs.Filter.EventTypes) || !overlap(mine.Filter.Values, theirs.Filter.Values) {
			continue
		}
		if mine.URL == theirs.URL && mine.Method == theirs.Method && same(mine.Filter.Zones, theirs.Filter.Zones) &&
			same(mine.Filter.EventTypes, theirs.Filter.EventTypes) && same(mine.Filter.Values, theirs.Filter.Values) {
			row.CopyOf = other.Line
			row.warn("an earlier line says the same: this one is left out")
			return true
		}
		what := "all zones without a template of their own"
		if p.zone != "" {
			what = "the zone " + clip(p.zone)
		}
		row.fault("url", "line %d has a template for %s of the app %s already: keep one of the two, or tell them apart by event_types",
			other.Line, what, row.App)
		return true
	}
	return false
}

// overlap says whether an event could be in both lists of filters. An empty one has everything.
func overlap[T comparable](a, b []T) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

// same says whether two lists hold the same, in any order. Neither holds anything twice.
func same[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(v T) bool { return !slices.Contains(b, v) })
}

// nameOf names an endpoint by what it is for; with several for the same place, by the events as well.
func nameOf(row *Row, several bool) string {
	words := []string{"default"}
	if zones := row.Endpoint.Filter.Zones; len(zones) > 0 {
		words = []string{"zone"}
		for _, zone := range zones {
			name := validName(zone)
			if name == "" {
				return ""
			}
			words = append(words, name)
		}
	}
	if several {
		for _, t := range row.Endpoint.Filter.EventTypes {
			words = append(words, string(t))
		}
		for _, v := range row.Endpoint.Filter.Values {
			if v == carom.ValueEmpty {
				v = "empty"
			}
			words = append(words, string(v))
		}
	}
	return validName(strings.Join(words, "-"))
}
