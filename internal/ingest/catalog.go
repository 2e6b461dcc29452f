package ingest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"carom"
	"carom/internal/network"
	"carom/internal/reward"
	"carom/internal/route"
)

// Catalog is what is configured, compiled for the door. It is immutable: a change makes a new one. The zero value knows
// nothing.
type Catalog struct {
	apps  map[string]*app
	table *route.Table
	rules *reward.Book

	prices map[string]carom.PriceRule // of rules, by their ids: for sources in shadow
}

type app struct {
	sources map[string]*source
	api     []*source // those that trusted servers report to, in order of name
	ruled   bool      // it has rules
}

// source is one way in: a network's, which has a binding, or a trusted server's, which has none.
type source struct {
	carom.Source
	binding *network.Binding
	bare    string   // its path without a secret
	path    string   // as received postbacks show it: with the secret masked
	headers []string // those that the profile reads

	receiver *url.URL // of a source in shadow: today's; nil: none
	pace     *pace    // nil: it may bring any number of events
}

// Compile makes a catalog, and the compiled endpoints for the lanes. publicURL is where networks reach this door, which some
// of them sign. It returns every fault, joined.
func Compile(o carom.Objects, profiles map[string]*network.Profile, publicURL string) (*Catalog, []*route.Endpoint, error) {
	c := &Catalog{apps: map[string]*app{}, prices: map[string]carom.PriceRule{}}
	var errs []error
	for _, a := range o.Apps {
		c.apps[a.Name] = &app{sources: map[string]*source{}}
	}
	for _, s := range o.Sources {
		if err := c.addSource(s.WithDefaults(), profiles, publicURL); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", s.ID(), err))
		}
	}
	book, _, err := reward.Compile(o, Covers(profiles))
	c.rules = book
	errs = append(errs, err)
	for _, r := range o.Rules {
		c.prices[r.ID()] = r.WithDefaults().Price
		if a := c.apps[r.App]; a != nil {
			a.ruled = true
		}
	}
	var endpoints []*route.Endpoint
	dialects := make(map[string]*carom.Dialect, len(o.Dialects))
	for i := range o.Dialects {
		dialects[o.Dialects[i].Name] = &o.Dialects[i]
	}
	perApp := map[string]int{}
	for _, e := range o.Endpoints {
		if perApp[e.App]++; perApp[e.App] == carom.MaxFanOut+1 {
			errs = append(errs, carom.Invalid("endpoints", "the app %q has more than %d endpoints, and one event can be owed to no more: split the app", e.App, carom.MaxFanOut))
		}
		compiled, err := route.CompileIn(e, dialects[e.Dialect])
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", e.ID(), err))
			continue
		}
		endpoints = append(endpoints, compiled)
	}
	c.table = route.NewTable(endpoints)
	return c, endpoints, errors.Join(errs...)
}

func (c *Catalog) addSource(s carom.Source, profiles map[string]*network.Profile, publicURL string) error {
	a := c.apps[s.App]
	if a == nil {
		return carom.Invalid("app", "there is no app %q", s.App)
	}
	src := &source{Source: s, bare: "/in/" + s.ID(), path: "/in/" + s.ID() + "/" + maskedSecret}
	if s.Rate > 0 {
		src.pace = newPace(s.Rate)
	}
	switch s.Profile {
	case carom.ProfileSDK:
		a.sources[s.Name] = src
		return nil
	case carom.ProfileAPI:
		a.sources[s.Name] = src
		a.api = append(a.api, src)
		return nil
	}
	profile := profiles[s.Profile]
	if profile == nil {
		return carom.Invalid("profile", "there is no profile %q", s.Profile)
	}
	var names route.Names
	if s.Template != "" {
		var err error
		if names, err = route.ReadBackwards(s.Template, route.Notation{Macros: profile.Macros(), Complete: profile.Complete}); err != nil {
			return err
		}
	}
	var err error
	if src.binding, err = profile.Bind(s, names.Params, names.Static, publicURL); err != nil {
		return err
	}
	src.headers = profile.Headers()
	if s.ShadowURL != "" {
		if src.receiver, err = url.Parse(s.ShadowURL); err != nil {
			return carom.Invalid("shadow_url", "it is not a URL: give the one that the network called before")
		}
	}
	a.sources[s.Name] = src
	return nil
}

// Covers says which of the fields that prices come from a profile's signature covers, as package reward asks it.
func Covers(profiles map[string]*network.Profile) func(profile string) []string {
	return func(name string) []string {
		if name == carom.ProfileSDK {
			return []string{carom.PriceEstimate} // carom's own token states it
		}
		p := profiles[name]
		if p == nil {
			return nil
		}
		var covered []string
		for _, field := range []string{carom.PriceEstimate, carom.PriceReward} {
			if p.Covered(field) {
				covered = append(covered, field)
			}
		}
		return covered
	}
}

// source finds a source; nil when app or source is unknown.
func (c *Catalog) source(appName, name string) (*app, *source) {
	a := c.apps[appName]
	if a == nil {
		return nil, nil
	}
	return a, a.sources[name]
}

// Binding returns the binding of a network's source; nil when there is no such source, or it is a trusted server's.
func (c *Catalog) Binding(appName, name string) *network.Binding {
	if _, src := c.source(appName, name); src != nil {
		return src.binding
	}
	return nil
}

// target fills in the endpoints that the submission's event is owed to.
func (c *Catalog) target(s *carom.Submission) {
	var few [8]*route.Endpoint
	matched := c.table.Match(few[:0], s.Event)
	if len(matched) > 0 {
		s.Targets = make([]carom.Target, len(matched))
		for i, e := range matched {
			s.Targets[i].Endpoint = e.No
		}
	}
	for i := range s.Candidates {
		can := &s.Candidates[i]
		if can.Hold > 0 || can.Declined != "" {
			continue // nothing is credited now
		}
		_, rule, _ := strings.Cut(can.Rule, "/")
		for _, e := range c.table.MatchReward(few[:0], s.Event.App, rule, s.Event.Source) {
			if len(s.Targets) < carom.MaxFanOut {
				s.Targets = append(s.Targets, carom.Target{Endpoint: e.No, Candidate: i + 1})
			}
		}
	}
}

// rewardTargets finds the endpoints that a reward is owed to.
func (c *Catalog) rewardTargets(app, rule, source string) []int {
	var few [8]*route.Endpoint
	var numbers []int
	for _, e := range c.table.MatchReward(few[:0], app, rule, source) {
		numbers = append(numbers, e.No)
	}
	return numbers
}
