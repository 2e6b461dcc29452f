package ingest

import (
	"errors"
	"fmt"

	"carom"
	"carom/internal/network"
	"carom/internal/route"
)

// Catalog is what is configured, compiled for the door. It is immutable: a change makes a new one. The zero value knows
// nothing.
type Catalog struct {
	apps  map[string]*app
	table *route.Table
}

type app struct {
	sources map[string]*source
	api     []*source // those that trusted servers report to, in order of name
}

// source is one way in: a network's, which has a binding, or a trusted server's, which has none.
type source struct {
	carom.Source
	binding *network.Binding
	bare    string   // its path without a secret
	path    string   // as received postbacks show it: with the secret masked
	headers []string // those that the profile reads
}

// Compile makes a catalog, and the compiled endpoints for the lanes. publicURL is where networks reach this door, which some
// of them sign. It returns every fault, joined.
func Compile(o carom.Objects, profiles map[string]*network.Profile, publicURL string) (*Catalog, []*route.Endpoint, error) {
	c := &Catalog{apps: map[string]*app{}}
	var errs []error
	for _, a := range o.Apps {
		c.apps[a.Name] = &app{sources: map[string]*source{}}
	}
	for _, s := range o.Sources {
		if err := c.addSource(s.WithDefaults(), profiles, publicURL); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", s.ID(), err))
		}
	}
	for _, r := range o.Rules { // checked by others; a rule that is taken and pays nothing would be a lie
		errs = append(errs, carom.Invalid("apps."+r.App+".rules."+r.Name, "this version checks rules and does not pay by them yet: remove it"))
	}
	var endpoints []*route.Endpoint
	perApp := map[string]int{}
	for _, e := range o.Endpoints {
		if perApp[e.App]++; perApp[e.App] == carom.MaxFanOut+1 {
			errs = append(errs, carom.Invalid("endpoints", "the app %q has more than %d endpoints, and one event can be owed to no more: split the app", e.App, carom.MaxFanOut))
		}
		compiled, err := route.Compile(e)
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
	if s.Profile == carom.ProfileAPI {
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
	a.sources[s.Name] = src
	return nil
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
	if len(matched) == 0 {
		return
	}
	s.Targets = make([]carom.Target, len(matched))
	for i, e := range matched {
		s.Targets[i].Endpoint = e.No
	}
}
