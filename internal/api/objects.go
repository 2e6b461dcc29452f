package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/objects"
)

// ObjectList is what is configured, without its secrets.
type ObjectList struct {
	File       string            `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
	Publishers []carom.Publisher `json:"publishers" nullable:"false"`
	Apps       []carom.App       `json:"apps" nullable:"false"`
	Sources    []Source          `json:"sources" nullable:"false"`
	Endpoints  []Endpoint        `json:"endpoints" nullable:"false"`
	Zones      []Zone            `json:"zones" nullable:"false"`
	Creatives  []Creative        `json:"creatives" nullable:"false"`
	Dialects   []carom.Dialect   `json:"dialects" nullable:"false"`
}

// Source is one way in, with every default filled in.
type Source struct {
	App              string            `json:"app"`
	Name             string            `json:"name"`
	Profile          string            `json:"profile"`
	YMID             string            `json:"ymid" doc:"What its ymid is: view, session or user"`
	Template         string            `json:"template,omitempty" doc:"The URL template entered at the network"`
	DefaultEventType string            `json:"default_event_type,omitempty"`
	EventTypes       map[string]string `json:"event_types,omitempty"`
	DedupeWindow     string            `json:"dedupe_window"`
	RepeatWindow     string            `json:"repeat_window"`
	Mode             string            `json:"mode" doc:"live, frozen (events wait for your release) or shadow (they are judged, and nothing else)"`
	Secrets          []SourceSecret    `json:"secrets,omitempty" nullable:"false" doc:"How many path secrets count now, and until when"`
}

// SourceSecret is a path secret of which nothing is known but its end.
type SourceSecret struct {
	NotAfter time.Time `json:"not_after,omitzero" doc:"Absent: it counts until it is rotated"`
}

// Endpoint is one way out, with every default filled in. Values of headers are masked, and so are values in the URL that
// look like secrets. Body is shown to keys with the scope admin.
type Endpoint struct {
	App          string        `json:"app"`
	Name         string        `json:"name"`
	Dialect      string        `json:"dialect,omitempty" doc:"What its templates are written in; absent: carom's own notation"`
	Default      bool          `json:"default,omitempty" doc:"It gets only what comes from zones that no other endpoint of the app names"`
	URL          string        `json:"url"`
	Method       string        `json:"method"`
	Headers      []carom.Field `json:"headers,omitempty" nullable:"false"`
	Body         string        `json:"body,omitempty"`
	ContentType  string        `json:"content_type,omitempty"`
	EventTypes   []string      `json:"event_types,omitempty" nullable:"false"`
	Values       []string      `json:"values,omitempty" nullable:"false"`
	Zones        []string      `json:"zones,omitempty" nullable:"false"`
	RequestVars  []string      `json:"request_vars,omitempty" nullable:"false"`
	Sources      []string      `json:"sources,omitempty" nullable:"false"`
	Rules        []string      `json:"rules,omitempty" nullable:"false"`
	Sends        string        `json:"sends" doc:"events or rewards"`
	Contains     string        `json:"contains,omitempty" doc:"What an answer must hold to count as success"`
	NotContains  string        `json:"not_contains,omitempty"`
	Schedule     []string      `json:"schedule" nullable:"false"`
	Deadline     string        `json:"deadline"`
	Timeout      string        `json:"timeout"`
	Rate         float64       `json:"rate" doc:"Attempts per second; 0 is no limit"`
	Concurrency  int           `json:"concurrency"`
	AllowPrivate bool          `json:"allow_private,omitempty"`
	Once         bool          `json:"once,omitempty"`
	Paused       bool          `json:"paused,omitempty"`
	Signed       bool          `json:"signed" doc:"Whether it has a signing secret"`
}

// EndpointState is an endpoint with how its lane stands and what waits for it.
type EndpointState struct {
	Endpoint Endpoint        `json:"endpoint"`
	Lane     carom.LaneState `json:"lane"`
	Backlog  carom.Backlog   `json:"backlog"`
}

// EndpointList is every endpoint with its state.
type EndpointList struct {
	Endpoints []EndpointState `json:"endpoints" nullable:"false"`
	Next      string          `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
	File      string          `json:"file,omitempty" doc:"The file they come from; they are read-only here while there is one"`
}

// visible limits the objects to what the caller may see.
func visible(c caller, o carom.Objects) carom.Objects {
	if c.app == "" {
		return o
	}
	var v carom.Objects
	for _, a := range o.Apps {
		if !c.sees(a.Name) {
			continue
		}
		v.Apps = append(v.Apps, a)
		for _, p := range o.Publishers {
			if p.Name == a.Publisher {
				v.Publishers = append(v.Publishers, p)
			}
		}
	}
	for i := range o.Sources {
		if c.sees(o.Sources[i].App) {
			v.Sources = append(v.Sources, o.Sources[i])
		}
	}
	for i := range o.Endpoints {
		if c.sees(o.Endpoints[i].App) {
			v.Endpoints = append(v.Endpoints, o.Endpoints[i])
		}
	}
	for i := range o.Rules {
		if c.sees(o.Rules[i].App) {
			v.Rules = append(v.Rules, o.Rules[i])
		}
	}
	addVisibleZones(c, &v, o)
	return v
}

func sourceOf(s carom.Source) Source {
	s = s.WithDefaults()
	v := Source{
		App: s.App, Name: s.Name, Profile: s.Profile, YMID: string(s.YMID), Template: maskURL(s.Template),
		DefaultEventType: string(s.DefaultEventType), Mode: cmp.Or(string(s.Mode), "live"),
		DedupeWindow: carom.FormatDuration(s.DedupeWindow), RepeatWindow: carom.FormatDuration(s.RepeatWindow),
	}
	if len(s.EventTypes) > 0 {
		v.EventTypes = make(map[string]string, len(s.EventTypes))
		for word, t := range s.EventTypes {
			v.EventTypes[word] = string(t)
		}
	}
	for _, sum := range s.Secrets {
		v.Secrets = append(v.Secrets, SourceSecret{NotAfter: sum.NotAfter})
	}
	return v
}

func endpointOf(e carom.Endpoint, scope carom.Scope) Endpoint {
	e = e.WithDefaults()
	v := Endpoint{
		App: e.App, Name: e.Name, Dialect: e.Dialect, Default: e.Default, URL: maskURL(e.URL), Method: e.Method, ContentType: e.ContentType,
		EventTypes: texts(e.Filter.EventTypes), Values: texts(e.Filter.Values),
		Zones: e.Filter.Zones, RequestVars: e.Filter.RequestVars, Sources: e.Filter.Sources,
		Rules: e.Filter.Rules, Sends: cmp.Or(string(e.Sends), "events"),
		Contains: e.Success.Contains, NotContains: e.Success.NotContains,
		Schedule: []string{}, Deadline: carom.FormatDuration(e.Deadline), Timeout: carom.FormatDuration(e.Timeout),
		Rate: e.Rate, Concurrency: e.Concurrency, AllowPrivate: e.AllowPrivate, Once: e.Once, Paused: e.Paused,
		Signed: len(e.SigningSecrets) > 0,
	}
	if scope == carom.ScopeAdmin {
		v.Body = e.Body
	}
	for i, value := range v.Values {
		if value == "" {
			v.Values[i] = "empty" // as in an objects file
		}
	}
	for _, wait := range e.Schedule {
		v.Schedule = append(v.Schedule, carom.FormatDuration(wait))
	}
	for _, h := range e.Headers {
		v.Headers = append(v.Headers, carom.Field{Name: h.Name, Value: "***"})
	}
	return v
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, s := range list {
		out = append(out, string(s))
	}
	return out
}

// maskURL hides values of query parameters whose names say that they are secret, unless a macro fills them in, and the
// secret of a source's own URL.
func maskURL(template string) string {
	base, query, ok := strings.Cut(template, "?")
	if dir, in := strings.CutPrefix(base, "/in/"); in || strings.Contains(base, "/in/") {
		if !in {
			_, dir, _ = strings.Cut(base, "/in/")
		}
		if parts := strings.SplitN(dir, "/", 3); len(parts) == 3 && parts[2] != "" {
			base = strings.TrimSuffix(base, parts[2]) + "***"
		}
	}
	if !ok {
		return base
	}
	params := strings.Split(query, "&")
	for i, p := range params {
		name, value, _ := strings.Cut(p, "=")
		if value == "" || strings.Contains(value, "{") {
			continue
		}
		for _, word := range []string{"secret", "token", "key", "sig", "pass", "pwd", "hash", "auth"} {
			if strings.Contains(strings.ToLower(name), word) {
				params[i] = name + "=***"
			}
		}
	}
	return base + "?" + strings.Join(params, "&")
}

type objectsOut struct{ Body ObjectList }

func (s *service) listObjects(ctx context.Context, _ *struct{}) (*objectsOut, error) {
	c := callerOf(ctx)
	o := visible(c, s.Objects.Objects())
	out := &objectsOut{ObjectList{
		File: s.Objects.File(), Publishers: o.Publishers, Apps: o.Apps, Sources: []Source{}, Endpoints: []Endpoint{},
		Zones: []Zone{}, Creatives: []Creative{}, Dialects: o.Dialects,
	}}
	if o.Publishers == nil {
		out.Body.Publishers = []carom.Publisher{}
	}
	if o.Apps == nil {
		out.Body.Apps = []carom.App{}
	}
	if o.Dialects == nil {
		out.Body.Dialects = []carom.Dialect{}
	}
	for _, src := range o.Sources {
		out.Body.Sources = append(out.Body.Sources, sourceOf(src))
	}
	for _, e := range o.Endpoints {
		out.Body.Endpoints = append(out.Body.Endpoints, endpointOf(e, c.scope))
	}
	for _, z := range o.Zones {
		out.Body.Zones = append(out.Body.Zones, showZone(c, z, s.BaseURL))
	}
	for _, creative := range o.Creatives {
		out.Body.Creatives = append(out.Body.Creatives, showCreative(c, creative))
	}
	return out, nil
}

type endpointsOut struct{ Body EndpointList }

func (s *service) listEndpoints(ctx context.Context, in *ObjectQuery) (*endpointsOut, error) {
	c := callerOf(ctx)
	backlogs, err := s.Store.Backlogs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list backlogs: %w", err)
	}
	lanes := make(map[string]carom.LaneState)
	for _, l := range s.Lanes.Lanes() {
		lanes[l.Endpoint] = l
	}
	waiting := make(map[int]carom.Backlog, len(backlogs))
	for _, b := range backlogs {
		waiting[b.Endpoint] = b
	}
	rows, next, err := rowsOf(in, c, visible(c, s.Objects.Objects()).Endpoints, func(e *carom.Endpoint) (objects.Ref, string) {
		return objects.Ref{Kind: objects.KindEndpoint, App: e.App, Name: e.Name}, maskURL(e.URL)
	}, func(c caller, e *carom.Endpoint) (*EndpointState, error) {
		v := &EndpointState{Endpoint: endpointOf(*e, c.scope), Lane: carom.LaneState{Endpoint: e.ID(), Paused: e.Paused, Breaker: "closed"}, Backlog: waiting[e.No]}
		if lane, ok := lanes[e.ID()]; ok {
			v.Lane = lane
		}
		return v, nil
	})
	return &endpointsOut{EndpointList{rows, next, s.Objects.File()}}, err
}

// ObjectPath names a source or an endpoint in a path.
type ObjectPath struct {
	App  string `path:"app"`
	Name string `path:"name"`
}

func (s *service) pauseEndpoint(ctx context.Context, in *ObjectPath) (*struct{}, error) {
	return nil, s.setPaused(ctx, in, true)
}

func (s *service) resumeEndpoint(ctx context.Context, in *ObjectPath) (*struct{}, error) {
	return nil, s.setPaused(ctx, in, false)
}

// setPaused pauses or resumes an endpoint. To resume one that is not paused makes its lane try again at once.
func (s *service) setPaused(ctx context.Context, in *ObjectPath, paused bool) error {
	s.change.Lock()
	defer s.change.Unlock()
	o := s.Objects.Objects()
	i := slices.IndexFunc(o.Endpoints, func(e carom.Endpoint) bool { return e.App == in.App && e.Name == in.Name })
	if i < 0 || !callerOf(ctx).sees(in.App) {
		return failf(carom.ErrNotFound, "there is no endpoint %s/%s; `carom status` and GET /v1/endpoints list them", in.App, in.Name)
	}
	no := o.Endpoints[i].No
	if o.Endpoints[i].Paused != paused {
		if file := s.Objects.File(); file != "" {
			return failf(carom.ErrConflict, "the objects come from %s and are read-only here: set `paused: %t` for the endpoint %s/%s there",
				file, paused, in.App, in.Name)
		}
		o.Endpoints = slices.Clone(o.Endpoints)
		o.Endpoints[i].Paused = paused
		if err := s.Objects.Apply(ctx, o); err != nil {
			return fmt.Errorf("pause or resume %s/%s: %w", in.App, in.Name, err)
		}
	}
	if !paused {
		s.Lanes.Wake(no)
	}
	return nil
}

type rotateIn struct {
	ObjectPath
	For string `query:"for" default:"24h" doc:"How long the secrets that count now go on counting, as 30m or 24h; 0s ends them at once"`
}

type rotateOut struct{ Body MadeSecret }

// rotateSource gives a source a new path secret. Those that count now go on counting for a while, so that the network can
// be told in peace.
func (s *service) rotateSource(ctx context.Context, in *rotateIn) (*rotateOut, error) {
	overlap, err := carom.ParseDuration(in.For)
	if err != nil || overlap < 0 || overlap > 90*24*time.Hour {
		return nil, carom.Invalid("for", "give a duration such as 30m, 24h or 7d, at most 90d")
	}
	s.change.Lock()
	defer s.change.Unlock()
	o := s.Objects.Objects()
	i := slices.IndexFunc(o.Sources, func(src carom.Source) bool { return src.App == in.App && src.Name == in.Name })
	if i < 0 || !callerOf(ctx).sees(in.App) {
		return nil, failf(carom.ErrNotFound, "there is no source %s/%s; GET /v1/objects lists them", in.App, in.Name)
	}
	if file := s.Objects.File(); file != "" {
		return nil, failf(carom.ErrConflict, "the objects come from %s and are read-only here: change the secret of the source %s/%s there",
			file, in.App, in.Name)
	}
	if o.Sources[i].Profile == carom.ProfileAPI {
		return nil, failf(carom.ErrConflict, "the source %s/%s has no path secret: trusted servers use an API key, see `carom keys`", in.App, in.Name)
	}
	secret := strings.ToLower(rand.Text()) // 26 characters of base 32: 130 bits
	now := s.now()
	secrets := []carom.SecretSum{{Sum: sha256.Sum256([]byte(secret))}}
	for _, old := range o.Sources[i].Secrets {
		if end := now.Add(overlap); old.NotAfter.IsZero() || old.NotAfter.After(end) {
			old.NotAfter = end
		}
		if old.NotAfter.After(now) {
			secrets = append(secrets, old)
		}
	}
	o.Sources = slices.Clone(o.Sources)
	o.Sources[i].Secrets = secrets
	if err := s.Objects.Apply(ctx, o); err != nil {
		return nil, fmt.Errorf("rotate the secret of %s/%s: %w", in.App, in.Name, err)
	}
	return &rotateOut{MadeSecret{Source: in.App + "/" + in.Name, URL: s.SourceURL(o.Sources[i], secret)}}, nil
}
