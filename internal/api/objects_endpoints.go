package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/objects"
)

// EndpointConfig is what is set for an endpoint.
type EndpointConfig struct {
	Dialect      string            `json:"dialect,omitempty" doc:"The dialect that its templates are written in; absent: carom's own notation, which is Monetag's"`
	Default      bool              `json:"default,omitempty" doc:"It gets only what comes from zones that no other endpoint of the app names"`
	URL          string            `json:"url" example:"https://game.example/postback?ymid={ymid}" doc:"Where to send, with macros. Where it holds ***, what is stored stays"`
	Method       string            `json:"method,omitempty" enum:"GET,POST" doc:"Absent: GET"`
	Headers      map[string]string `json:"headers,omitempty" doc:"Names with values, which may hold macros. Values are shown as ***, and one of *** stays as it is stored"`
	Body         string            `json:"body,omitempty" doc:"Of a POST, with macros; absent: all fields of the event. Shown to those alone who may change it"`
	ContentType  string            `json:"content_type,omitempty" enum:"json,form" doc:"Of the body; absent: json"`
	Filter       *EndpointFilter   `json:"filter,omitempty" doc:"Which events it gets; absent: all of the app"`
	Sends        string            `json:"sends,omitempty" enum:"events,rewards" doc:"Absent: events"`
	Success      *SuccessTexts     `json:"success,omitempty" doc:"Which answers count as delivered, beside their status; absent: every 2xx"`
	Schedule     []string          `json:"schedule,omitempty" nullable:"false" doc:"Waits before the second attempt and those after it, such as 5s; the last one repeats. Absent: 5s, 30s, 2m, 10m, 30m, 1h, 2h"`
	Deadline     string            `json:"deadline,omitempty" example:"3d" doc:"From acceptance to the end of all attempts; absent: 3d, and 7d for rewards"`
	Timeout      string            `json:"timeout,omitempty" example:"10s" doc:"Of one attempt; absent: 10s"`
	Rate         float64           `json:"rate,omitempty" minimum:"0" doc:"Attempts a second; absent: no limit"`
	Concurrency  int               `json:"concurrency,omitempty" minimum:"1" doc:"Attempts at the same time; absent: 64"`
	AllowPrivate bool              `json:"allow_private,omitempty" doc:"It may be at private and loopback addresses: it is your own"`
	Once         bool              `json:"once,omitempty" doc:"What was sent is not repeated"`
	Paused       bool              `json:"paused,omitempty" doc:"Nothing is sent, and deadlines run"`

	SigningSecret         *string `json:"signing_secret,omitempty" writeOnly:"true" doc:"Signs what is sent. Never shown; absent: what is there stays, empty: it is removed. POST …/secret makes one"`
	PreviousSigningSecret *string `json:"previous_signing_secret,omitempty" writeOnly:"true" doc:"The one before it, which signs as well until previous_signing_until"`
	PreviousSigningUntil  string  `json:"previous_signing_until,omitempty" writeOnly:"true" format:"date-time" doc:"Until when previous_signing_secret signs as well"`
}

// EndpointFilter says which events an endpoint gets. What is absent lets all through.
type EndpointFilter struct {
	EventTypes  []string `json:"event_types,omitempty" nullable:"false" doc:"impression, click, completion, reversal, or types of your own"`
	Values      []string `json:"values,omitempty" nullable:"false" enum:"valued,not_valued,empty" doc:"empty: the network did not say"`
	Zones       []string `json:"zones,omitempty" nullable:"false" doc:"Main zones"`
	RequestVars []string `json:"request_vars,omitempty" nullable:"false" doc:"The app's labels for the spots that asked"`
	Sources     []string `json:"sources,omitempty" nullable:"false" doc:"Names of sources of the app"`
	Rules       []string `json:"rules,omitempty" nullable:"false" doc:"Of an endpoint that gets rewards: names of rules; - is by hand"`
}

// SuccessTexts say which answers count as delivered.
type SuccessTexts struct {
	Contains    string `json:"contains,omitempty" doc:"What the answer must hold"`
	NotContains string `json:"not_contains,omitempty" doc:"What it must not hold"`
}

// EndpointObject is an endpoint as it is set. Lane, backlog, macros and problems are there when it is asked for by its name.
type EndpointObject struct {
	App      string           `json:"app" readOnly:"true"`
	Name     string           `json:"name" readOnly:"true"`
	Signed   bool             `json:"signed" readOnly:"true" doc:"Whether it has a signing secret"`
	Secrets  []SourceSecret   `json:"secrets" readOnly:"true" nullable:"false" doc:"Its signing secrets, newest first, of which nothing is shown but their end"`
	Lane     *carom.LaneState `json:"lane,omitempty" readOnly:"true" doc:"How it stands right now"`
	Backlog  *carom.Backlog   `json:"backlog,omitempty" readOnly:"true" doc:"What waits for it"`
	Macros   []TemplateMacro  `json:"macros,omitempty" readOnly:"true" nullable:"false" doc:"Those of its templates"`
	Problems []SetupProblem   `json:"problems,omitempty" readOnly:"true" nullable:"false" doc:"What is wrong with it, or probably not meant"`
	EndpointConfig
}

type replaceEndpointIn struct {
	ObjectPath
	Edit
	Body EndpointObject
}

// unmask puts back what is stored where *** stands. What is secret never goes to another server than before.
func (c *EndpointConfig) unmask(stored any) error {
	e, _ := stored.(*carom.Endpoint)
	same := e != nil && originOf(c.URL) == originOf(e.URL)
	if same {
		c.URL = unmaskURL(c.URL, e.URL)
	}
	faults := []error{notMasked("url", c.URL)}
	for name, value := range c.Headers {
		if value != mask {
			continue
		}
		k := -1
		if same {
			k = slices.IndexFunc(e.Headers, func(h carom.Field) bool { return strings.EqualFold(h.Name, name) })
		}
		if k < 0 {
			faults = append(faults, carom.Invalid("headers."+name, "*** stands where a secret was hidden: write the value itself"))
			continue
		}
		c.Headers[name] = e.Headers[k].Value
	}
	return joined(faults)
}

func showEndpoint(c caller, e *carom.Endpoint) (*EndpointObject, error) {
	config, err := settingsOf[EndpointConfig](e)
	config.URL = maskURL(config.URL)
	for name := range config.Headers {
		config.Headers[name] = mask
	}
	if c.scope != carom.ScopeAdmin {
		config.Body = ""
	}
	return &EndpointObject{App: e.App, Name: e.Name, Signed: len(e.SigningSecrets) > 0, Secrets: secretsOf(e.SigningSecrets), EndpointConfig: config}, err
}

// getEndpoint shows an endpoint with how it stands.
func (s *service) getEndpoint(ctx context.Context, in *ObjectPath) (*objectOut[EndpointObject], error) {
	backlogs, err := s.Store.Backlogs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list backlogs: %w", err)
	}
	return get(ctx, s, in.ref(objects.KindEndpoint), func(c caller, e *carom.Endpoint) (*EndpointObject, error) {
		out, err := showEndpoint(c, e)
		state := endpointWithState(c, s.Objects.Objects(), e, s.Lanes.Lanes(), backlogs)
		out.Lane, out.Backlog, out.Macros, out.Problems = &state.Lane, &state.Backlog, state.Macros, state.Problems
		return out, err
	})
}

func (s *service) replaceEndpoint(ctx context.Context, in *replaceEndpointIn) (*savedObjectOut[EndpointObject], error) {
	return put(ctx, s, in.ref(objects.KindEndpoint), &in.Edit, &in.Body.EndpointConfig, showEndpoint)
}

// removeEndpoint removes an endpoint. What it is still owed ends as dead.
func (s *service) removeEndpoint(ctx context.Context, in *removeIn) (*removedOut, error) {
	return s.remove(ctx, in.ref(objects.KindEndpoint), &in.Edit, false)
}

// anyApp says that there is no such app, or none that the caller may see.
func (s *service) anyApp(ctx context.Context, app string) error {
	_, err := find[carom.App](s, callerOf(ctx), objects.Ref{Kind: objects.KindApp, Name: app})
	return err
}

type previewTemplateIn struct{ Body PreviewTemplate }

// previewTemplate says what a template would send. It changes nothing, and asks nobody.
func (s *service) previewTemplate(ctx context.Context, in *previewTemplateIn) (*previewOut, error) {
	if err := s.anyApp(ctx, in.Body.App); err != nil {
		return nil, err
	}
	return &previewOut{newDraft(callerOf(ctx), s.Objects.Objects(), in.Body.App, cmp.Or(in.Body.Name, "new endpoint"), &in.Body.Template).preview()}, nil
}

type tryEndpointIn struct {
	ObjectPath
	Body *TestPostback
}

// tryEndpoint sends one request, as testEndpoint does for a publisher.
func (s *service) tryEndpoint(ctx context.Context, in *tryEndpointIn) (*testResultOut, error) {
	e, err := find[carom.Endpoint](s, callerOf(ctx), in.ref(objects.KindEndpoint))
	if err != nil {
		return nil, err
	}
	return s.fire(ctx, "", *e, in.Body)
}

type renewSecretIn struct {
	ObjectPath
	Body *NewSecret
}

// renewSecret gives an endpoint a new signing secret, as rotateSecret does for a publisher.
func (s *service) renewSecret(ctx context.Context, in *renewSecretIn) (*madeSigningSecretOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	if _, err := find[carom.Endpoint](s, callerOf(ctx), in.ref(objects.KindEndpoint)); err != nil {
		return nil, err
	}
	return s.newSigningSecret(ctx, "", in.App, in.Name, in.Body)
}
