package objects

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"carom"
)

// Ref names one object. App is empty for those that belong to none: publishers, apps, creatives and dialects.
type Ref struct {
	Kind Kind
	App  string
	Name string // of a zone its id
}

// ID is what the object is called in a [Change]: "shop" or "shop/backend".
func (r Ref) ID() string {
	if r.App == "" {
		return r.Name
	}
	return r.App + "/" + r.Name
}

// String names the object for people: "endpoint shop/backend".
func (r Ref) String() string { return string(r.Kind) + " " + clip(r.ID()) }

// place is where the object stands in the file: the group that holds it, and the whole path.
func (r Ref) place() (within, path string) {
	if within = string(r.Kind) + "s"; r.App != "" {
		within = join("apps", r.App) + "." + within
	}
	return within, join(within, r.Name)
}

// Find returns a pointer to a copy of the object that r names, of its type in [carom.Objects]; nil when there is none.
func Find(o carom.Objects, r Ref) any {
	switch r.Kind {
	case KindPublisher:
		return find(o.Publishers, r, publisherRef)
	case KindApp:
		return find(o.Apps, r, appRef)
	case KindSource:
		return find(o.Sources, r, sourceRef)
	case KindEndpoint:
		return find(o.Endpoints, r, endpointRef)
	case KindRule:
		return find(o.Rules, r, ruleRef)
	case KindZone:
		return find(o.Zones, r, zoneRef)
	case KindCreative:
		return find(o.Creatives, r, creativeRef)
	case KindDialect:
		return find(o.Dialects, r, dialectRef)
	}
	return nil
}

func publisherRef(p *carom.Publisher) Ref { return Ref{KindPublisher, "", p.Name} }
func appRef(a *carom.App) Ref             { return Ref{KindApp, "", a.Name} }
func sourceRef(s *carom.Source) Ref       { return Ref{KindSource, s.App, s.Name} }
func endpointRef(e *carom.Endpoint) Ref   { return Ref{KindEndpoint, e.App, e.Name} }
func ruleRef(r *carom.Rule) Ref           { return Ref{KindRule, r.App, r.Name} }
func zoneRef(z *carom.Zone) Ref           { return Ref{KindZone, z.App, z.ID} }
func creativeRef(c *carom.Creative) Ref   { return Ref{KindCreative, "", c.Name} }
func dialectRef(d *carom.Dialect) Ref     { return Ref{KindDialect, "", d.Name} }

// Keys are the paths of all keys that the settings of an object of a kind can have, sorted: "filter.zones". Those of what is in an
// app are not among the app's.
func Keys(kind Kind) ([]string, error) {
	rules, err := rulesOf(nil)
	if err != nil {
		return nil, err
	}
	r := &reader{rules: rules, at: map[string]place{"": {}}, faulty: make(map[string]bool), noted: make(map[string]struct{})}
	n := &node{kind: object}
	switch kind {
	case KindPublisher:
		r.publisher("", "", n)
	case KindApp:
		r.app("", "", n, &carom.Objects{})
		for _, inside := range []Kind{KindSource, KindEndpoint, KindRule, KindZone} {
			delete(r.noted, string(inside)+"s")
		}
	case KindSource:
		r.source("", "", "", n)
	case KindEndpoint:
		r.endpoint("", "", "", n)
	case KindRule:
		r.rule("", "", "", n)
	case KindZone:
		r.zone("", "", "", n)
	case KindCreative:
		r.creative("", "", n)
	case KindDialect:
		r.dialect("", "", n)
	}
	return slices.Sorted(maps.Keys(r.noted)), nil
}

// find returns any(nil) rather than a nil pointer when there is none.
func find[T any](list []T, r Ref, ref func(*T) Ref) any {
	for i := range list {
		if ref(&list[i]) == r {
			found := list[i]
			return &found
		}
	}
	return nil
}

// set returns list with the object in place of the one of its name, or behind the others.
func set[T any](list []T, object *T, ref func(*T) Ref) []T {
	list = slices.Clone(list)
	i := slices.IndexFunc(list, func(other T) bool { return ref(&other) == ref(object) })
	if i < 0 {
		return append(list, *object)
	}
	list[i] = *object
	return list
}

// with returns o with an object of it made or replaced. o is not changed.
func with(o carom.Objects, object any) carom.Objects {
	switch v := object.(type) {
	case *carom.Publisher:
		o.Publishers = set(o.Publishers, v, publisherRef)
	case *carom.App:
		o.Apps = set(o.Apps, v, appRef)
	case *carom.Source:
		o.Sources = set(o.Sources, v, sourceRef)
	case *carom.Endpoint:
		o.Endpoints = set(o.Endpoints, v, endpointRef)
	case *carom.Rule:
		o.Rules = set(o.Rules, v, ruleRef)
	case *carom.Zone:
		o.Zones = set(o.Zones, v, zoneRef)
	case *carom.Creative:
		o.Creatives = set(o.Creatives, v, creativeRef)
	case *carom.Dialect:
		o.Dialects = set(o.Dialects, v, dialectRef)
	}
	return o
}

// Sum is a sum over everything that is set for an object, its secrets included; a default that is written out equals an absent one.
// It is nothing to show as it is: whoever knows the rest could try secrets against it. The object is a pointer as for [Settings].
func Sum(object any) [32]byte {
	var one carom.Objects
	one = with(one, object)
	var fields []shownField
	for _, view := range views() {
		for _, of := range view.fields(one) {
			fields = of
		}
	}
	slices.SortStableFunc(fields, func(a, b shownField) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	for _, f := range fields {
		for _, text := range []string{f.name, f.value} {
			b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
			b.WriteString(text)
		}
	}
	return sha256.Sum256([]byte(b.String()))
}
