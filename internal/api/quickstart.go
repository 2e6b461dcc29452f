package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"carom"
	"carom/internal/network"
	"carom/internal/objects"
)

// quickEndpoint is the name of the endpoint that a quickstart makes in the app. Its source has the name of the network.
const quickEndpoint = "backend"

// Quickstart connects an app to a network.
type Quickstart struct {
	Network  string `json:"network" example:"monetag" doc:"As GET /v1/networks names it"`
	App      string `json:"app" example:"game" doc:"The name of the app; one that is not there is made"`
	BaseURL  string `json:"base_url,omitempty" doc:"This server's URL as the network sees it; absent: as it is set"`
	Template string `json:"template,omitempty" doc:"Your postback URL at the network today, with its macros"`
	Backend  string `json:"backend,omitempty" doc:"Where events go; without macros it gets the parameters of the template, or the network's. Absent: the URL of the template; without one no endpoint is made"`
	YMID     string `json:"ymid,omitempty" enum:"view,session,user" doc:"What your ymid is; absent: view, unique for every showing"`
	Key      string `json:"key,omitempty" writeOnly:"true" doc:"The key that the network gave you, if it has one"`
	NoKey    bool   `json:"no_key,omitempty" doc:"The network has a key, and you do not know it yet: nothing is believed until it is entered"`
}

// Connected says what a quickstart made, or with dry_run would make.
type Connected struct {
	App         string   `json:"app"`
	Source      string   `json:"source" doc:"app/source"`
	Endpoint    string   `json:"endpoint,omitempty" doc:"app/endpoint; absent: none was asked for. One that is there already is left as it is"`
	EndpointURL string   `json:"endpoint_url,omitempty" doc:"Where events go, with carom's macros"`
	URL         string   `json:"url" doc:"The URL to enter at the network. With dry_run *** stands for its secret"`
	ShownOnce   bool     `json:"shown_once" doc:"The URL holds a secret that is not kept: it is shown once" shown:"once"`
	NeedsKey    bool     `json:"needs_key,omitempty" doc:"Nothing is believed until the network's key is entered"`
	Note        string   `json:"note,omitempty" doc:"What to send to your contact, where the network enters the URL for you"`
	Changes     []Change `json:"changes" nullable:"false" doc:"What differs from before"`
	Lines       string   `json:"lines" doc:"What an objects file says of the same, secrets as ***"`
	File        string   `json:"file,omitempty" doc:"The file that the objects come from: they are read-only here, add the lines there"`
}

type quickstartIn struct {
	Preview
	Body Quickstart
}

type quickstartOut struct{ Body Connected }

// quickstart makes an app, a source and an endpoint, all or none of them.
func (s *service) quickstart(ctx context.Context, in *quickstartIn) (*quickstartOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	q := in.Body
	profiles, err := s.profiles()
	if err != nil {
		return nil, err
	}
	p := profiles[q.Network]
	if p == nil {
		return nil, carom.Invalid("network", "%q is not a network that carom knows: GET /v1/networks lists them", q.Network)
	}
	if err := q.check(p); err != nil {
		return nil, err
	}
	if q.Backend == "" && isWholeURL(q.Template) {
		q.Backend = q.Template
	}
	s.change.Lock()
	defer s.change.Unlock()
	have := s.Objects.Objects()
	plan, err := q.plan(p, have)
	if err != nil {
		return nil, err
	}
	want, secret, err := plan.carryOut(have, profiles)
	if err != nil {
		return nil, err
	}
	changes := ChangesOf(objects.Diff(have, want, true))
	if err := s.putInForce(ctx, want, changes, in.DryRun, plan.source); err != nil {
		return nil, err
	}
	source := objects.Find(want, plan.source).(*carom.Source)
	if secret != "" && in.DryRun {
		secret = mask
	}
	out := Connected{
		App: q.App, Source: plan.source.ID(), URL: s.SourceURL(*source, secret), ShownOnce: secret != "" && !in.DryRun,
		NeedsKey: p.NeedsNetworkSecret() && q.Key == "", Changes: changes, Lines: plan.lines(), File: s.Objects.File(),
	}
	if q.BaseURL != "" {
		out.URL = strings.TrimSuffix(q.BaseURL, "/") + out.URL[max(strings.Index(out.URL, "/in/"), 0):]
	}
	if p.Message != "" {
		out.Note = strings.ReplaceAll(p.Message, "{url}", out.URL)
	}
	if plan.endpoint.Name != "" {
		out.Endpoint, out.EndpointURL = plan.endpoint.ID(), maskURL(objects.Find(want, plan.endpoint).(*carom.Endpoint).URL)
	}
	return &quickstartOut{out}, nil
}

// check says what is wrong with the answers in themselves.
func (q *Quickstart) check(p *network.Profile) error {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, carom.Invalid(field, format, args...))
	}
	if err := carom.CheckName("app", q.App); err != nil {
		faults = append(faults, err)
	}
	if q.BaseURL != "" && (!isWholeURL(q.BaseURL) || strings.ContainsAny(q.BaseURL, "?#")) {
		fault("base_url", "it is not the URL of a server: write one such as https://carom.example.com")
	}
	if q.Backend != "" && !isWholeURL(q.Backend) {
		fault("backend", "the backend needs a URL such as http://127.0.0.1:3000/postback")
	}
	if q.Template != "" && p.Template == "" {
		fault("template", "%s has no macros, and adds its parameters by itself: leave it away", p.Title)
	}
	switch needs := p.NeedsNetworkSecret(); {
	case q.Key != "" && !needs:
		fault("key", "%s has no key: leave it away", p.Title)
	case q.Key != "" && q.NoKey:
		fault("no_key", "a key is given as well: leave one of the two away")
	case q.Key == "" && needs && !q.NoKey:
		fault("key", "%s proves its postbacks with a key that both of you know: give it, or say no_key and enter it later", p.Title)
	}
	return joined(faults)
}

// quickPlan is what a quickstart makes, as settings of objects.
type quickPlan struct {
	app, source, endpoint objects.Ref // the endpoint has no name when there is none
	newApp                bool
	sourceIs, endpointIs  map[string]any // settings; of an endpoint that is there already nil
}

func (q *Quickstart) plan(p *network.Profile, have carom.Objects) (*quickPlan, error) {
	plan := &quickPlan{
		app:      objects.Ref{Kind: objects.KindApp, Name: q.App},
		source:   objects.Ref{Kind: objects.KindSource, App: q.App, Name: p.Name},
		sourceIs: map[string]any{"profile": p.Name, "ymid": cmp.Or(q.YMID, string(carom.YMIDView))},
	}
	plan.newApp = objects.Find(have, plan.app) == nil
	if objects.Find(have, plan.source) != nil {
		return nil, failf(carom.ErrConflict, "the app %s has a source %s already: PUT /v1/sources/%s changes it and enters its key, POST /v1/sources/%s/rotate makes a new URL",
			q.App, p.Name, plan.source.ID(), plan.source.ID())
	}
	c := &connection{network: p, template: q.Template, backend: q.Backend}
	if q.Template != "" {
		plan.sourceIs["template"] = "?" + c.sourceTemplate()
	}
	if p.NeedsNetworkSecret() {
		plan.sourceIs["network_secret"] = cmp.Or(q.Key, rand.Text()) // until it is known, one that nobody knows: the source is closed
	}
	if q.Backend == "" {
		return plan, nil
	}
	url, err := c.endpointURL()
	if err != nil {
		return nil, asField("template", err)
	}
	plan.endpoint = objects.Ref{Kind: objects.KindEndpoint, App: q.App, Name: quickEndpoint}
	if e, ok := objects.Find(have, plan.endpoint).(*carom.Endpoint); ok {
		if withoutQuery(e.URL) != withoutQuery(url) {
			return nil, failf(carom.ErrConflict, "the app %s has an endpoint %s already, which leads elsewhere and gets what comes from %s as well: leave `backend` away, or change it by PUT /v1/endpoints/%s",
				q.App, quickEndpoint, p.Title, plan.endpoint.ID())
		}
		return plan, nil
	}
	plan.endpointIs = map[string]any{"url": url, "filter": map[string]any{"values": []any{string(carom.Valued)}}}
	if isLocal(url) {
		plan.endpointIs["allow_private"] = true
	}
	return plan, nil
}

// carryOut returns have with everything of the plan, and the secret that was made for the path of the source.
func (plan *quickPlan) carryOut(have carom.Objects, profiles map[string]*network.Profile) (_ carom.Objects, secret string, err error) {
	env := objects.Env{Profiles: profiles}
	if plan.newApp {
		placed, err := objects.Put(have, plan.app, nil, env)
		if err != nil {
			return have, "", asField("app", err)
		}
		have = placed.Objects
	}
	placed, err := objects.Put(have, plan.source, plan.sourceIs, env)
	if err != nil {
		return have, "", renamed(err, map[string]string{"network_secret": "key", "network_secrets": "key", "profile": "network"})
	}
	have, secret = placed.Objects, placed.Secret
	if plan.endpointIs != nil {
		if placed, err = objects.Put(have, plan.endpoint, plan.endpointIs, env); err != nil {
			return have, "", renamed(err, map[string]string{"url": "backend"})
		}
		have = placed.Objects
	}
	return have, secret, nil
}

// lines is what an objects file says of the plan.
func (plan *quickPlan) lines() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apps:\n  %s:\n    sources:\n      %s:\n        profile: %s\n        ymid: %s\n", plan.app.Name, plan.source.Name, plan.sourceIs["profile"], plan.sourceIs["ymid"])
	if template, given := plan.sourceIs["template"]; given {
		fmt.Fprintf(&b, "        template: %s\n", quoted(template))
	}
	if plan.sourceIs["network_secret"] != nil {
		fmt.Fprintf(&b, "        network_secret: %s\n", quoted(mask))
	}
	if plan.endpointIs != nil {
		fmt.Fprintf(&b, "    endpoints:\n      %s:\n        url: %s\n        filter:\n          values: [%s]\n", plan.endpoint.Name, quoted(plan.endpointIs["url"]), carom.Valued)
		if plan.endpointIs["allow_private"] != nil {
			b.WriteString("        allow_private: true\n")
		}
	}
	return b.String()
}

// quoted writes text as YAML does: a JSON string is one.
func quoted(text any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a text always encodes
	return strings.TrimSpace(b.String())
}

// asField makes all faults in err those of one field.
func asField(field string, err error) error {
	var list []error
	for _, fault := range fieldErrors(err, nil) {
		list = append(list, carom.Invalid(field, "%s", fault.Message))
	}
	if len(list) == 0 {
		return err
	}
	return errors.Join(list...)
}

// renamed gives faults the names that their fields have in a request.
func renamed(err error, names map[string]string) error {
	var list []error
	for _, fault := range fieldErrors(err, nil) {
		list = append(list, carom.Invalid(cmp.Or(names[fault.Field], fault.Field), "%s", fault.Message))
	}
	if len(list) == 0 {
		return err
	}
	return errors.Join(list...)
}
