package reward

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carom"
)

// together compares the rules of an app with one another.
func (c *checker) together(a *app) {
	if len(a.rules) > maxRules {
		c.fault("apps."+a.Name+".rules", "there are %d of them: at most %d are looked at for each event", len(a.rules), maxRules)
		return
	}
	for i, r := range a.rules {
		s := &subject{Rule: r, c: c, app: a, path: "apps." + r.App + ".rules." + r.Name + "."}
		s.checkOverlap(a.rules[:i])
		s.checkShared(a.rules[:i])
	}
}

// checkOverlap compares the rule with those before it. It reports one of each kind: the first says what to look for.
func (s *subject) checkOverlap(earlier []*carom.Rule) {
	warned := false
	for _, other := range earlier {
		if s.Additional || other.Additional || !s.sameView(other) {
			continue
		}
		f, g := &s.Filter, &other.Filter
		types, values := meet(f.EventTypes, g.EventTypes), meet(f.Values, g.Values)
		if types && values {
			s.fault("filter", "some events are counted by the rule %s as well, and a view earns once: narrow one of the two, or write "+
				"`additional: true` if it shall pay beside the other", other.Name)
			return
		}
		if !warned && s.Price != other.Price {
			warned = true
			s.warn("price", fmt.Sprintf("the rule %s has another price for other events of the same view: the event that comes first decides which is "+
				"paid. List all events that earn one price in one rule, or write `additional: true`", other.Name))
		}
	}
}

// sameView says whether one view can have events for both rules, as far as where it was shown goes.
func (s *subject) sameView(other *carom.Rule) bool {
	f, g := &s.Filter, &other.Filter
	return meet(f.Zones, g.Zones) && meet(f.RequestVars, g.RequestVars) && s.sameSource(other)
}

// sameSource says whether an event of one source can be counted by both rules. Sources that there are decide; where neither
// rule names any, a source that is still to come counts as well.
func (s *subject) sameSource(other *carom.Rule) bool {
	for _, src := range s.app.sources {
		if from(s.Rule, src) && from(other, src) {
			return true
		}
	}
	f, g := &s.Filter, &other.Filter
	return len(f.Sources) == 0 && len(g.Sources) == 0 && meet(f.Networks, g.Networks)
}

// from says whether a rule counts events of a source, as far as the source goes.
func from(r *carom.Rule, src *carom.Source) bool {
	return (len(r.Filter.Sources) == 0 || slices.Contains(r.Filter.Sources, src.Name)) &&
		(len(r.Filter.Networks) == 0 || slices.Contains(r.Filter.Networks, src.Profile))
}

// checkShared reports a shared cap that is written otherwise in an earlier rule.
func (s *subject) checkShared(earlier []*carom.Rule) {
	for i := range s.Caps {
		if cp := &s.Caps[i]; !isOwn(cp) {
			for _, other := range earlier {
				at := slices.IndexFunc(other.Caps, func(o carom.Cap) bool { return o.Name == cp.Name && !isOwn(&o) })
				if at >= 0 && s.differs(indexed("caps", i), cp, other, &other.Caps[at]) {
					break
				}
			}
		}
	}
}

// differs reports that the cap at path is not the one of its name in another rule.
func (s *subject) differs(path string, cp *carom.Cap, other *carom.Rule, was *carom.Cap) bool {
	switch {
	case cp.Rewards != was.Rewards || cp.Amount != was.Amount || counted(s.Rule, cp) != counted(other, was):
		s.fault(path, "the cap %s is written otherwise in the rule %s: write it the same in both, or give it another name", cp.Name, other.Name)
	case scope(s.Rule, cp) != scope(other, was):
		s.fault(path+".amount", "the cap %s sums up amounts, and the rule %s pays in another currency: bound `rewards` instead, or give it another name",
			cp.Name, other.Name)
	default:
		return false
	}
	return true
}

// warnAlone looks for what is no fault and yet cannot be meant.
func (s *subject) warnAlone() {
	if len(s.Filter.RequestVars) > 0 {
		s.warn("filter.request_vars", "the browser chooses the request_var: the rule pays only in views that your backend opened with one of "+
			"these. Open them with POST /v1/views, or remove the list")
	}
	var found bool
	var bare []string // sources whose signature does not cover the amount
	for _, src := range s.app.sources {
		if !from(s.Rule, src) {
			continue
		}
		found = true
		if !s.c.isCovered(src.Profile, s.Price.From) {
			bare = append(bare, src.Name)
		}
	}
	if !found {
		s.warn("filter", "the app has no source whose events it could count: add one, or change `sources` and `networks`")
		return
	}
	if s.Price.From != "" && !s.Price.TrustSecret && len(bare) > 0 {
		s.warn("price.from", fmt.Sprintf("no signature covers %s in what comes through %s, so that every event of it would be declined: write a fixed price, "+
			"or `trust: secret` if you take the amount from whoever knows the secret", s.Price.From, strings.Join(bare, ", ")))
	}
}

// meet says whether two sorted lists of a filter let a common value through. An empty one lets all through.
func meet[T cmp.Ordered](x, y []T) bool {
	if len(x) == 0 || len(y) == 0 {
		return true
	}
	for len(x) > 0 && len(y) > 0 {
		switch cmp.Compare(x[0], y[0]) {
		case 0:
			return true
		case -1:
			x = x[1:]
		default:
			y = y[1:]
		}
	}
	return false
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
