package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/survey"
)

// History is what the check of endpoints asks of the store: the newest of everything, within bounds.
type History interface {
	// NewestAttempts returns up to each of the newest attempts of every endpoint since then, by the endpoints' numbers.
	NewestAttempts(ctx context.Context, since time.Time, each int) (map[int][]carom.Attempt, error)
	// NewestEvents returns up to each of the newest events of every app, by the apps' names.
	NewestEvents(ctx context.Context, each int) (map[string][]*carom.Event, error)
}

// Visitor visits hosts for the check of endpoints. It never asks for the path of a template.
type Visitor interface {
	Visit(ctx context.Context, h survey.Host) survey.Visit
}

const (
	checkAttempts = 30                 // of each endpoint
	checkEvents   = 200                // of each app
	checkSince    = 7 * 24 * time.Hour // what is older says little of the receiver of today
	// checkVisits is how long all visits may take together: that of 140 hosts of which none answers.
	checkVisits = 3 * time.Minute
)

// EndpointSelection says which endpoints are checked. An empty one stands for all that the caller may see.
type EndpointSelection struct {
	App       string   `json:"app,omitempty" doc:"Those of one app"`
	Publisher string   `json:"publisher,omitempty" doc:"Those of one publisher's apps"`
	Endpoints []string `json:"endpoints,omitempty" nullable:"false" doc:"These, by their names: app/name"`
	NoNetwork bool     `json:"no_network,omitempty" doc:"Visit no host: look at configuration and history alone"`
}

type checkEndpointsIn struct {
	Body EndpointSelection
}

type checkEndpointsOut struct{ Body survey.EndpointReport }

// checkEndpoints says which endpoints would lose postbacks. Nothing is sent that a receiver could take for an event.
func (s *service) checkEndpoints(ctx context.Context, in *checkEndpointsIn) (*checkEndpointsOut, error) {
	o := s.Objects.Objects()
	endpoints, wanted, err := selectEndpoints(callerOf(ctx), &o, &in.Body)
	if err != nil {
		return nil, err
	}
	f, err := s.surveyFacts(ctx, o, endpoints)
	if err != nil {
		return nil, fmt.Errorf("gather what is known about endpoints: %w", err)
	}
	if s.Visitor != nil && !in.Body.NoNetwork {
		within, cancel := context.WithTimeout(ctx, checkVisits)
		defer cancel()
		f.Visits = survey.VisitAll(within, s.Visitor.Visit, survey.Hosts(endpoints))
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("visit the hosts: %w", err)
		}
	}
	return &checkEndpointsOut{survey.Judge(f, wanted)}, nil
}

// selectEndpoints finds the endpoints that are meant, and names what is judged: them, and apps without any.
func selectEndpoints(c caller, o *carom.Objects, in *EndpointSelection) (list []carom.Endpoint, wanted []string, err error) {
	v := visible(c, *o)
	if in.Publisher != "" && !slices.ContainsFunc(v.Publishers, func(p carom.Publisher) bool { return p.Name == in.Publisher }) {
		return nil, nil, failf(carom.ErrNotFound, "there is no publisher %q that you may see; GET /v1/objects lists them", in.Publisher)
	}
	apps := map[string]bool{}
	for i := range v.Apps {
		if (in.App == "" || in.App == v.Apps[i].Name) && (in.Publisher == "" || in.Publisher == v.Apps[i].Publisher) {
			apps[v.Apps[i].Name] = true
		}
	}
	switch {
	case in.App != "" && !slices.ContainsFunc(v.Apps, func(a carom.App) bool { return a.Name == in.App }):
		return nil, nil, failf(carom.ErrNotFound, "there is no app %q that you may see; GET /v1/objects lists them", in.App)
	case in.App != "" && !apps[in.App]:
		return nil, nil, carom.Invalid("app", "the app %q is not the publisher's, %s: give one of the two", in.App, in.Publisher)
	}
	named := map[string]bool{}
	for _, id := range in.Endpoints {
		if !slices.ContainsFunc(v.Endpoints, func(e carom.Endpoint) bool { return e.ID() == id && apps[e.App] }) {
			return nil, nil, failf(carom.ErrNotFound, "there is no endpoint %q among those that are meant: write app/name; GET /v1/endpoints lists them", id)
		}
		named[id] = true
	}
	for i := range v.Endpoints {
		if e := &v.Endpoints[i]; apps[e.App] && (len(named) == 0 || named[e.ID()]) {
			list, wanted = append(list, *e), append(wanted, e.ID())
		}
	}
	if len(named) == 0 {
		for name := range apps {
			wanted = append(wanted, name)
		}
	}
	return list, wanted, nil
}

// surveyFacts gathers what is known about the endpoints without asking anybody.
func (s *service) surveyFacts(ctx context.Context, o carom.Objects, endpoints []carom.Endpoint) (*survey.Facts, error) {
	f := &survey.Facts{
		Now: s.now(), Objects: o, Lanes: map[string]carom.LaneState{}, Backlogs: map[int]carom.Backlog{}, Ended: map[string]map[string]int64{},
	}
	for _, lane := range s.Lanes.Lanes() {
		f.Lanes[lane.Endpoint] = lane
	}
	backlogs, err := s.Store.Backlogs(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range backlogs {
		f.Backlogs[b.Endpoint] = b
	}
	app := "" // all, unless the endpoints are of one app
	if len(endpoints) > 0 {
		app = endpoints[0].App
	}
	if slices.ContainsFunc(endpoints, func(e carom.Endpoint) bool { return e.App != app }) {
		app = ""
	}
	ended, err := s.Store.DeliveryCounts(ctx, carom.CountFilter{From: f.Now.Add(-24 * time.Hour), App: app, GroupBy: []string{"endpoint", "outcome"}})
	if err != nil {
		return nil, err
	}
	for _, e := range ended {
		if strings.HasPrefix(e.Endpoint, "#") {
			continue // deleted
		}
		if f.Ended[e.Endpoint] == nil {
			f.Ended[e.Endpoint] = map[string]int64{}
		}
		f.Ended[e.Endpoint][e.Outcome] += e.N
	}
	if s.History == nil {
		return f, nil
	}
	if f.Attempts, err = s.History.NewestAttempts(ctx, f.Now.Add(-checkSince), checkAttempts); err != nil {
		return nil, err
	}
	f.Events, err = s.History.NewestEvents(ctx, checkEvents)
	return f, err
}
