package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"carom"
	"carom/internal/route"
)

// PublisherPath names a publisher in a path.
type PublisherPath struct {
	Publisher string `path:"publisher"`
}

// PublisherList is the publishers that the caller may see.
type PublisherList struct {
	Publishers []PublisherRow `json:"publishers" nullable:"false"`
}

// PublisherRow is a publisher with how much it has.
type PublisherRow struct {
	Name      string   `json:"name"`
	Title     string   `json:"title,omitempty"`
	Apps      []string `json:"apps" nullable:"false"`
	Zones     int      `json:"zones"`
	Endpoints int      `json:"endpoints"`

	AllowPrivate bool `json:"allow_private,omitempty" doc:"It is of the operator's house: the endpoints that it makes may be at private addresses"`
}

// PublisherSetup is all that a publisher sets up, and all that one needs for it.
type PublisherSetup struct {
	Name     string         `json:"name"`
	Title    string         `json:"title,omitempty"`
	ReadOnly bool           `json:"read_only,omitempty" doc:"The operator keeps all of it in a file: nothing can be changed here"`
	Script   string         `json:"script" doc:"The SDK"`
	Apps     []PublisherApp `json:"apps" nullable:"false"`

	Macros          []SetupMacro   `json:"macros" nullable:"false" doc:"What a template can hold, as carom writes it"`
	Dialects        []SetupDialect `json:"dialects" nullable:"false" doc:"The operator's other ways to write macros"`
	EventTypes      []string       `json:"event_types" nullable:"false"`
	Formats         []KnownFormat  `json:"formats" nullable:"false" doc:"Of ads, with the events that are sent for them"`
	Signing         Signing        `json:"signing"`
	EgressAddresses []string       `json:"egress_addresses" nullable:"false" doc:"Where postbacks come from; empty: nobody has said"`
	Problems        []SetupProblem `json:"problems" nullable:"false" doc:"What concerns no app alone"`
}

// PublisherApp is an app with its zones and endpoints.
type PublisherApp struct {
	Name      string              `json:"name"`
	Title     string              `json:"title,omitempty"`
	TimeZone  string              `json:"time_zone"`
	Origins   []string            `json:"origins" nullable:"false" doc:"The pages on which the SDK shows ads"`
	Zones     []PublisherZone     `json:"zones" nullable:"false"`
	Endpoints []PublisherEndpoint `json:"endpoints" nullable:"false"`
	Problems  []SetupProblem      `json:"problems" nullable:"false"`
}

// PublisherZone is a zone as its publisher may know it.
type PublisherZone struct {
	ID          string            `json:"id" doc:"The main zone, which the app gives to the SDK"`
	Title       string            `json:"title,omitempty"`
	SubZones    map[string]string `json:"sub_zones" nullable:"false" doc:"The placements that serve, by format. The SDK takes none of them"`
	Confirmed   bool              `json:"confirmed" doc:"The SDK's Promise settles when the view is confirmed or declined"`
	RequireYMID bool              `json:"require_ymid" doc:"No ad is shown for which the app passes no ymid"`
	Paused      bool              `json:"paused" doc:"It answers with no ad"`
	Snippet     string            `json:"snippet" doc:"The script tag to put into the app's page"`
}

// PublisherEndpoint is an endpoint with how it stands.
type PublisherEndpoint struct {
	Endpoint Endpoint        `json:"endpoint"`
	Secrets  []SourceSecret  `json:"secrets" nullable:"false" doc:"Its signing secrets, newest first, of which nothing is shown but their end"`
	Lane     carom.LaneState `json:"lane"`
	Backlog  carom.Backlog   `json:"backlog"`
	Macros   []TemplateMacro `json:"macros" nullable:"false" doc:"Those of its templates"`
	Problems []SetupProblem  `json:"problems" nullable:"false"`
}

// SetupMacro is a macro as a template writes it.
type SetupMacro struct {
	Name    string `json:"name"`
	Written string `json:"written" doc:"What to put into the template"`
	Meaning string `json:"meaning"`
	Sample  string `json:"sample"`
}

// SetupDialect is another way to write macros.
type SetupDialect struct {
	Name   string         `json:"name" doc:"What an endpoint gives as its dialect"`
	Macros []DialectMacro `json:"macros" nullable:"false"`
}

// DialectMacro is a macro as a dialect writes it.
type DialectMacro struct {
	Name    string `json:"name" doc:"carom's name of it"`
	Written string `json:"written"`
}

// SetupProblem is something that is wrong, or probably not meant. A fault cannot be saved.
type SetupProblem struct {
	Level   string `json:"level" enum:"fault,warning"`
	Field   string `json:"field,omitempty" doc:"Which field of the request it is about"`
	Message string `json:"message" doc:"What is wrong, and the fix"`
}

// The levels of a SetupProblem.
const (
	levelFault   = "fault"
	levelWarning = "warning"
)

func noPublisher(name string) *Problem {
	return newProblem(http.StatusNotFound, fmt.Sprintf("there is no publisher %q that this key may see: GET /v1/publishers lists those that it may", name))
}

func hasPublisher(o carom.Objects, name string) bool {
	return slices.ContainsFunc(o.Publishers, func(p carom.Publisher) bool { return p.Name == name })
}

// publisher finds a publisher for which the caller may act.
func (s *service) publisher(ctx context.Context, name string) (carom.Publisher, error) {
	c := callerOf(ctx)
	if c.publisher == "" {
		if err := c.all(); err != nil {
			return carom.Publisher{}, err
		}
	} else if c.publisher != name {
		return carom.Publisher{}, noPublisher(name)
	}
	o := s.Objects.Objects()
	i := slices.IndexFunc(o.Publishers, func(p carom.Publisher) bool { return p.Name == name })
	if i < 0 {
		return carom.Publisher{}, noPublisher(name)
	}
	return o.Publishers[i], nil
}

// ownApp finds an app of the publisher. One of somebody else is answered like one that is not there.
func ownApp(o carom.Objects, publisher, app string) (int, error) {
	i := slices.IndexFunc(o.Apps, func(a carom.App) bool { return a.Name == app && a.Publisher == publisher })
	if i < 0 {
		return 0, failf(carom.ErrNotFound, "the publisher %s has no app %q: GET /v1/publishers/%s lists those that it has", publisher, app, publisher)
	}
	return i, nil
}

// ownEndpoint finds an endpoint of an app of the publisher.
func ownEndpoint(o carom.Objects, publisher, app, name string) (int, error) {
	if _, err := ownApp(o, publisher, app); err != nil {
		return 0, err
	}
	i := slices.IndexFunc(o.Endpoints, func(e carom.Endpoint) bool { return e.App == app && e.Name == name })
	if i < 0 {
		return 0, failf(carom.ErrNotFound, "the app %s has no endpoint %q: GET /v1/publishers/%s lists those that it has", app, name, publisher)
	}
	return i, nil
}

// alter changes objects of a publisher: change gets its own copy of what is in force, whose lists it may write to. What it says
// goes to the log, with who did it.
func (s *service) alter(ctx context.Context, publisher, what, id string, change func(o *carom.Objects) error) error {
	if _, err := s.publisher(ctx, publisher); err != nil {
		return err
	}
	return s.alterObjects(ctx, publisher, what, id, change)
}

func (s *service) alterObjects(ctx context.Context, publisher, what, id string, change func(o *carom.Objects) error) error {
	s.change.Lock()
	defer s.change.Unlock()
	o := s.Objects.Objects()
	o.Publishers, o.Apps, o.Zones = slices.Clone(o.Publishers), slices.Clone(o.Apps), slices.Clone(o.Zones)
	o.Sources, o.Endpoints = slices.Clone(o.Sources), slices.Clone(o.Endpoints)
	if err := change(&o); err != nil {
		return err
	}
	if file := s.Objects.File(); file != "" && publisher == "" {
		return failf(carom.ErrConflict, "the objects come from %s and are read-only here: change %s there", file, id)
	} else if file != "" {
		return failf(carom.ErrConflict, "the objects come from %s and are read-only here: have the operator change the publisher %s there", file, publisher)
	}
	if err := s.Objects.Apply(ctx, o); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.Log.InfoContext(ctx, "self-service", "what", what, "publisher", publisher, "id", id, "who", callerOf(ctx).name)
	return nil
}

type publishersOut struct{ Body PublisherList }

func (s *service) listPublishers(ctx context.Context, _ *struct{}) (*publishersOut, error) {
	c := callerOf(ctx)
	if c.publisher == "" {
		if err := c.all(); err != nil {
			return nil, err
		}
	}
	o := s.Objects.Objects()
	out := &publishersOut{PublisherList{Publishers: []PublisherRow{}}}
	for _, p := range o.Publishers {
		if c.publisher != "" && c.publisher != p.Name {
			continue
		}
		row := PublisherRow{Name: p.Name, Title: p.Title, Apps: []string{}, AllowPrivate: p.AllowPrivate}
		for i := range o.Apps {
			if o.Apps[i].Publisher == p.Name {
				row.Apps = append(row.Apps, o.Apps[i].Name)
			}
		}
		for i := range o.Zones {
			if slices.Contains(row.Apps, o.Zones[i].App) {
				row.Zones++
			}
		}
		for i := range o.Endpoints {
			if slices.Contains(row.Apps, o.Endpoints[i].App) {
				row.Endpoints++
			}
		}
		out.Body.Publishers = append(out.Body.Publishers, row)
	}
	return out, nil
}

// PublisherTitle is what there is to say of a publisher.
type PublisherTitle struct {
	Title        string `json:"title,omitempty" maxLength:"200" doc:"As people know it"`
	AllowPrivate bool   `json:"allow_private,omitempty" doc:"The endpoints that it makes may be at private and loopback addresses: it is of your own house"`
}

type putPublisherIn struct {
	PublisherPath
	Body PublisherTitle
}

type publisherRowOut struct{ Body carom.Publisher }

func (s *service) putPublisher(ctx context.Context, in *putPublisherIn) (*publisherRowOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	if err := carom.CheckName("publisher", in.Publisher); err != nil {
		return nil, err
	}
	p := carom.Publisher{Name: in.Publisher, Title: in.Body.Title, AllowPrivate: in.Body.AllowPrivate}
	err := s.alterObjects(ctx, p.Name, "publisher changed", p.Name, func(o *carom.Objects) error {
		i := slices.IndexFunc(o.Publishers, func(other carom.Publisher) bool { return other.Name == p.Name })
		if i < 0 {
			o.Publishers = append(o.Publishers, p)
			return nil
		}
		o.Publishers[i] = p
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &publisherRowOut{p}, nil
}

type publisherSetupOut struct{ Body PublisherSetup }

// getPublisher gives all that one page of a publisher needs.
func (s *service) getPublisher(ctx context.Context, in *PublisherPath) (*publisherSetupOut, error) {
	p, err := s.publisher(ctx, in.Publisher)
	if err != nil {
		return nil, err
	}
	backlogs, err := s.Store.Backlogs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list backlogs: %w", err)
	}
	o := s.Objects.Objects()
	macros := macrosOf(o.Dialects)
	out := &publisherSetupOut{PublisherSetup{
		Name: p.Name, Title: p.Title, ReadOnly: s.Objects.File() != "", Script: s.BaseURL + "/sdk.js", Apps: []PublisherApp{},
		Macros: macros.Macros, Dialects: macros.Dialects, Formats: knownFormats(), Signing: signing(),
		EventTypes:      texts([]carom.EventType{carom.Impression, carom.Click, carom.Completion, carom.Reversal}),
		EgressAddresses: append([]string{}, s.EgressAddresses...), Problems: []SetupProblem{},
	}}
	lanes := s.Lanes.Lanes()
	for i := range o.Apps {
		if o.Apps[i].Publisher == p.Name {
			out.Body.Apps = append(out.Body.Apps, s.appOf(callerOf(ctx), o, &o.Apps[i], lanes, backlogs))
		}
	}
	if len(out.Body.Apps) == 0 {
		out.Body.Problems = append(out.Body.Problems, SetupProblem{Level: levelWarning, Field: "apps",
			Message: "there is no app yet: make one, then a zone in it, then an endpoint"})
	}
	return out, nil
}

func dialectOf(d *carom.Dialect) SetupDialect {
	v := SetupDialect{Name: d.Name, Macros: []DialectMacro{}}
	for _, m := range route.Macros() {
		v.Macros = append(v.Macros, DialectMacro{Name: m.Name, Written: route.WriteMacro(d, m.Name)})
	}
	return v
}

// appOf shows an app with what it has.
func (s *service) appOf(c caller, o carom.Objects, a *carom.App, lanes []carom.LaneState, backlogs []carom.Backlog) PublisherApp {
	v := PublisherApp{
		Name: a.Name, Title: a.Title, TimeZone: cmp.Or(a.TimeZone, "UTC"), Origins: append([]string{}, a.Origins...),
		Zones: []PublisherZone{}, Endpoints: []PublisherEndpoint{}, Problems: []SetupProblem{},
	}
	for i := range o.Zones {
		if o.Zones[i].App == a.Name {
			v.Zones = append(v.Zones, s.zoneOf(&o.Zones[i]))
		}
	}
	for i := range o.Endpoints {
		if o.Endpoints[i].App == a.Name {
			v.Endpoints = append(v.Endpoints, endpointWithState(c, o, &o.Endpoints[i], lanes, backlogs))
		}
	}
	warn := func(field, text string) {
		v.Problems = append(v.Problems, SetupProblem{Level: levelWarning, Field: field, Message: text})
	}
	if len(v.Zones) > 0 && len(a.Origins) == 0 {
		warn("origins", "no page is named, so that the SDK shows no ad: add the app's origin, such as https://game.example")
	}
	if len(v.Zones) == 0 {
		warn("zones", "there is no zone, so that the SDK has nothing to show: make one")
	}
	if len(v.Endpoints) == 0 {
		warn("endpoints", "there is no endpoint, so that nobody hears of its events: make one with your postback URL")
	} else if missed := zonesWithoutEndpoint(o, a.Name); len(missed) > 0 {
		warn("endpoints", "events of the zones "+strings.Join(missed, ", ")+" are sent to nobody, since every endpoint names others: "+
			"add them to an endpoint, or make one the default")
	}
	return v
}

// zonesWithoutEndpoint are the zones of an app whose events no endpoint gets.
func zonesWithoutEndpoint(o carom.Objects, app string) []string {
	var missed []string
	for i := range o.Zones {
		z := &o.Zones[i]
		if z.App == app && !slices.ContainsFunc(o.Endpoints, func(e carom.Endpoint) bool {
			return e.App == app && e.Sends == carom.SendsEvents && (len(e.Filter.Zones) == 0 || slices.Contains(e.Filter.Zones, z.ID))
		}) {
			missed = append(missed, z.ID)
		}
	}
	return missed
}

func (s *service) zoneOf(z *carom.Zone) PublisherZone {
	v := PublisherZone{
		ID: z.ID, Title: z.Title, SubZones: make(map[string]string, len(z.SubZones)),
		Confirmed: z.Confirmed, RequireYMID: z.RequireYMID, Paused: z.Paused, Snippet: snippet(z.ID, s.BaseURL),
	}
	for f, id := range z.SubZones {
		v.SubZones[string(f)] = id
	}
	return v
}

// endpointWithState shows an endpoint with its lane, and with what is wrong with it. Who may write a body may read it.
func endpointWithState(c caller, o carom.Objects, e *carom.Endpoint, lanes []carom.LaneState, backlogs []carom.Backlog) PublisherEndpoint {
	v := PublisherEndpoint{
		Endpoint: ownEndpointView(c, *e), Secrets: []SourceSecret{}, Macros: []TemplateMacro{}, Problems: []SetupProblem{},
		Lane: carom.LaneState{Endpoint: e.ID(), Paused: e.Paused, Breaker: "closed"},
	}
	for _, secret := range e.SigningSecrets {
		v.Secrets = append(v.Secrets, SourceSecret{NotAfter: secret.NotAfter})
	}
	if i := slices.IndexFunc(lanes, func(l carom.LaneState) bool { return l.Endpoint == e.ID() }); i >= 0 {
		v.Lane = lanes[i]
	}
	if i := slices.IndexFunc(backlogs, func(b carom.Backlog) bool { return b.Endpoint == e.No }); i >= 0 {
		v.Backlog = backlogs[i]
	}
	d := &draft{objects: o, endpoint: *e}
	d.compile()
	v.Macros, v.Problems = d.macros(), d.problems()
	return v
}

// ownEndpointView shows an endpoint to those who set it up.
func ownEndpointView(c caller, e carom.Endpoint) Endpoint {
	scope := c.scope
	if scope == carom.ScopePublisher {
		scope = carom.ScopeAdmin
	}
	return endpointOf(e, scope)
}
