package objects

import (
	"fmt"
	"slices"
	"strings"

	"carom"
)

// maxNamed is how many of those that use an object are named in an error.
const maxNamed = 10

// Remove returns have without the object that r names. An app goes with everything in it if all says so. have is not changed.
//
// It returns carom.ErrNotFound when there is no such object, and carom.ErrConflict with the names of those that use it while there are
// any: objects that name it, and of an app what is in it.
func Remove(have carom.Objects, r Ref, all bool) (carom.Objects, error) {
	if Find(have, r) == nil {
		return have, fmt.Errorf("there is no %s: %w", r, carom.ErrNotFound)
	}
	if used := users(have, r, all); len(used) > 0 {
		return have, fmt.Errorf("the %s is used: %s: %w", r, named(used), carom.ErrConflict)
	}
	out := have
	out.Publishers = without(have.Publishers, r, publisherRef)
	out.Apps = without(have.Apps, r, appRef)
	out.Sources = without(have.Sources, r, sourceRef)
	out.Endpoints = without(have.Endpoints, r, endpointRef)
	out.Rules = without(have.Rules, r, ruleRef)
	out.Zones = without(have.Zones, r, zoneRef)
	out.Creatives = without(have.Creatives, r, creativeRef)
	out.Dialects = without(have.Dialects, r, dialectRef)
	return out, nil
}

// without returns list without the object that r names, and without all in the app that it names.
func without[T any](list []T, r Ref, ref func(*T) Ref) []T {
	return slices.DeleteFunc(slices.Clone(list), func(object T) bool {
		other := ref(&object)
		return other == r || r.Kind == KindApp && other.App == r.Name
	})
}

// named lists what uses an object, as far as people read.
func named(used []string) string {
	if more := len(used) - maxNamed; more > 0 {
		used = append(slices.Clone(used[:maxNamed]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(used, ", ")
}

// users are those that use an object, in words. With all, what is in an app does not count.
func users(o carom.Objects, r Ref, all bool) []string {
	switch r.Kind {
	case KindPublisher:
		return using(o.Apps, appRef, "owner of", func(a *carom.App) bool { return a.Publisher == r.Name })
	case KindDialect:
		return using(o.Endpoints, endpointRef, "written in it,", func(e *carom.Endpoint) bool { return e.Dialect == r.Name })
	case KindApp:
		used := zoneUsers(o, r, true)
		if !all {
			used = append(used, contents(o, r.Name)...)
		}
		return used
	case KindZone:
		return zoneUsers(o, r, false)
	case KindRule:
		return using(o.Endpoints, endpointRef, "named in the filter of", func(e *carom.Endpoint) bool {
			return e.App == r.App && e.Sends == carom.SendsRewards && slices.Contains(e.Filter.Rules, r.Name)
		})
	case KindSource:
		return sourceUsers(o, r)
	}
	return nil
}

func sourceUsers(o carom.Objects, r Ref) []string {
	used := using(o.Endpoints, endpointRef, "named in the filter of", func(e *carom.Endpoint) bool {
		return e.App == r.App && slices.Contains(e.Filter.Sources, r.Name)
	})
	used = append(used, using(o.Rules, ruleRef, "named in the filter of", func(rule *carom.Rule) bool {
		return rule.App == r.App && slices.Contains(rule.Filter.Sources, r.Name)
	})...)
	if s, ok := Find(o, r).(*carom.Source); ok && s.Profile == carom.ProfileSDK {
		used = append(used, using(o.Zones, zoneRef, "the source of", func(z *carom.Zone) bool { return z.App == r.App })...)
	}
	return used
}

// zoneUsers are those that name a zone or, when app says so, a zone of the app from outside of it. Filters of other apps may name
// zones of networks that happen to have the same id.
func zoneUsers(o carom.Objects, r Ref, app bool) []string {
	ids := []string{r.Name}
	if app {
		ids = nil
		for i := range o.Zones {
			if o.Zones[i].App == r.Name {
				ids = append(ids, o.Zones[i].ID)
			}
		}
	}
	names := func(zones []string) bool {
		return slices.ContainsFunc(zones, func(id string) bool { return slices.Contains(ids, id) })
	}
	used := using(o.Creatives, creativeRef, "shown there is", func(c *carom.Creative) bool { return names(c.Zones) })
	if app {
		return used
	}
	used = append(used, using(o.Endpoints, endpointRef, "named in the filter of", func(e *carom.Endpoint) bool { return e.App == r.App && names(e.Filter.Zones) })...)
	return append(used, using(o.Rules, ruleRef, "named in the filter of", func(rule *carom.Rule) bool { return rule.App == r.App && names(rule.Filter.Zones) })...)
}

// contents are the objects in an app.
func contents(o carom.Objects, app string) []string {
	const in = "in it is"
	used := using(o.Sources, sourceRef, in, func(s *carom.Source) bool { return s.App == app })
	used = append(used, using(o.Endpoints, endpointRef, in, func(e *carom.Endpoint) bool { return e.App == app })...)
	used = append(used, using(o.Rules, ruleRef, in, func(r *carom.Rule) bool { return r.App == app })...)
	return append(used, using(o.Zones, zoneRef, in, func(z *carom.Zone) bool { return z.App == app })...)
}

// using says which objects of a list use another, and how.
func using[T any](list []T, ref func(*T) Ref, how string, uses func(*T) bool) []string {
	var used []string
	for i := range list {
		if uses(&list[i]) {
			used = append(used, how+" the "+ref(&list[i]).String())
		}
	}
	return used
}
