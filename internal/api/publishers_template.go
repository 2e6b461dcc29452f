package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/objects"
	"carom/internal/route"
)

// Template is what a publisher says of an endpoint. Where it holds ***, as what is shown of an endpoint does, what is stored stays.
type Template struct {
	URL         string        `json:"url" doc:"Where to send, with macros"`
	Method      string        `json:"method,omitempty" doc:"GET or POST; absent: GET"`
	ContentType string        `json:"content_type,omitempty" doc:"Of a POST: json or form"`
	Body        string        `json:"body,omitempty" doc:"Of a POST, with macros; absent: all fields of the event"`
	Headers     []carom.Field `json:"headers,omitempty" nullable:"false" maxItems:"32" doc:"Values may hold macros"`
	Dialect     string        `json:"dialect,omitempty" doc:"How its macros are written; absent: as carom does, which is Monetag's way"`
	Zones       []string      `json:"zones,omitempty" nullable:"false" maxItems:"200" doc:"Only events of these main zones; absent: all"`
	EventTypes  []string      `json:"event_types,omitempty" nullable:"false" maxItems:"50" doc:"Only these; absent: all"`
	Values      []string      `json:"values,omitempty" nullable:"false" maxItems:"3" doc:"Only events that are valued, not_valued, or empty (nobody said); absent: all"`
	Default     bool          `json:"default,omitempty" doc:"It gets only what comes from zones that no other endpoint of the app names"`
	Contains    string        `json:"contains,omitempty" doc:"What an answer must hold to count as success"`
	NotContains string        `json:"not_contains,omitempty" doc:"What it must not hold"`
	Signed      *bool         `json:"signed,omitempty" doc:"Whether requests are signed. Absent: as it is; a new endpoint is signed if it is a POST, or a GET with {signature}"`
}

// TemplateMacro is a macro that stands in a template.
type TemplateMacro struct {
	Name    string `json:"name" doc:"carom's name of it"`
	Written string `json:"written" doc:"As it stands there"`
	Where   string `json:"where" doc:"url, body or headers.NAME"`
	Meaning string `json:"meaning"`
	Sample  string `json:"sample"`
}

// TemplatePreview is what a template would send, with sample values, and what is wrong with it.
type TemplatePreview struct {
	Macros   []TemplateMacro `json:"macros" nullable:"false"`
	Method   string          `json:"method,omitempty"`
	URL      string          `json:"url,omitempty" doc:"With sample values, what is secret masked; absent while a fault keeps it from being made"`
	Headers  []carom.Field   `json:"headers" nullable:"false" doc:"Values that could be secret are masked"`
	Body     string          `json:"body,omitempty"`
	Signed   bool            `json:"signed"`
	Problems []SetupProblem  `json:"problems" nullable:"false" doc:"Faults first"`
}

// SavedEndpoint is a preview of what was just saved.
type SavedEndpoint struct {
	TemplatePreview
	Saved         bool     `json:"saved"`
	Endpoint      Endpoint `json:"endpoint"`
	SigningSecret string   `json:"signing_secret,omitempty" doc:"Made just now, and shown once: your server checks signatures with it" shown:"once"`
}

// mask stands where a secret is not shown.
const mask = "***"

// draft is an endpoint that is being set up, or looked at.
type draft struct {
	objects  carom.Objects
	endpoint carom.Endpoint
	stored   *carom.Endpoint // what is there under this name; nil: nothing
	made     string          // the signing secret that was made for it
	faults   []error

	compiled *route.Endpoint // nil: there are faults
}

// joined joins faults, of which there may be none.
func joined(list []error) error { return errors.Join(list...) }

func (d *draft) fault(field, format string, args ...any) {
	d.faults = append(d.faults, carom.Invalid(field, format, args...))
}

// newDraft makes an endpoint of what a publisher gives. What is not a publisher's to say stays as it is stored.
func newDraft(c caller, o carom.Objects, app, name string, t *Template) *draft {
	d := &draft{objects: o, endpoint: carom.Endpoint{App: app, Name: name}}
	if i := slices.IndexFunc(o.Endpoints, func(e carom.Endpoint) bool { return e.App == app && e.Name == name }); i >= 0 {
		d.endpoint, d.stored = o.Endpoints[i], &o.Endpoints[i]
	}
	e := &d.endpoint
	e.Method, e.ContentType, e.Body, e.Dialect = t.Method, t.ContentType, t.Body, t.Dialect
	e.URL, e.Headers = d.unmask(t)
	e.Default, e.Success = t.Default, carom.SuccessRule{Contains: t.Contains, NotContains: t.NotContains}
	e.Filter.Zones, e.Filter.EventTypes, e.Filter.Values = slices.Clone(t.Zones), nil, nil
	for i, word := range t.EventTypes {
		if carom.CheckName("", word) != nil {
			d.fault(fmt.Sprintf("event_types[%d]", i), "%q is no event type: use impression, click, completion, reversal, "+
				"or a word of lower-case letters, digits, - and _", word)
		}
		e.Filter.EventTypes = append(e.Filter.EventTypes, carom.EventType(word))
	}
	for i, word := range t.Values {
		switch value := carom.RewardEventType(word); value {
		case carom.Valued, carom.NotValued:
			e.Filter.Values = append(e.Filter.Values, value)
		case "empty":
			e.Filter.Values = append(e.Filter.Values, carom.ValueEmpty)
		default:
			d.fault(fmt.Sprintf("values[%d]", i), "%q is no value: write valued, not_valued, or empty for events of which nobody said", word)
		}
	}
	d.checkZones()
	switch {
	case ofTheHouse(o, app):
		e.AllowPrivate = true
	case e.AllowPrivate && c.scope == carom.ScopePublisher && d.stored != nil && originOf(e.URL) != originOf(d.stored.URL):
		e.AllowPrivate = false // the operator allowed one host of theirs, not all
	}
	switch {
	case t.Signed != nil && !*t.Signed:
		e.SigningSecrets = nil
		d.compile()
	case len(e.SigningSecrets) > 0:
		d.compile()
	case t.Signed != nil || d.stored == nil:
		d.compileNew(t.Signed != nil)
	default:
		d.compile()
	}
	return d
}

// ofTheHouse says whether the app's publisher may have endpoints at private addresses.
func ofTheHouse(o carom.Objects, app string) bool {
	i := slices.IndexFunc(o.Apps, func(a carom.App) bool { return a.Name == app })
	return i >= 0 && slices.ContainsFunc(o.Publishers, func(p carom.Publisher) bool { return p.AllowPrivate && p.Name == o.Apps[i].Publisher })
}

// compile checks the endpoint.
func (d *draft) compile() {
	var err error
	if d.compiled, err = d.try(d.endpoint); err != nil {
		d.faults = append(d.faults, err)
	}
}

// compileNew checks an endpoint that has no signing secret yet, and gives it one where that fits its template: a GET without a place
// for the signature is not signed, unless it has to be.
func (d *draft) compileNew(must bool) {
	secret := objects.NewSigningSecret()
	signed := d.endpoint
	signed.SigningSecrets = []carom.SigningSecret{{Key: carom.Masked(secret)}}
	withSecret, signedErr := d.try(signed)
	if withSecret != nil {
		d.endpoint, d.compiled, d.made = signed, withSecret, secret
		return
	}
	without, plainErr := d.try(d.endpoint)
	switch {
	case must:
		d.faults = append(d.faults, signedErr)
	case without != nil:
		d.compiled = without
	case len(fieldErrors(signedErr, nil)) <= len(fieldErrors(plainErr, nil)):
		d.faults = append(d.faults, signedErr)
	default: // that there is no place for a signature is not a fault besides others
		d.faults = append(d.faults, plainErr)
	}
}

// dialect is the one that the endpoint names; nil for carom's own, and when there is none of that name.
func (d *draft) dialect() *carom.Dialect {
	i := slices.IndexFunc(d.objects.Dialects, func(known carom.Dialect) bool { return known.Name == d.endpoint.Dialect })
	if i < 0 || d.endpoint.Dialect == "" {
		return nil
	}
	return &d.objects.Dialects[i]
}

func (d *draft) try(e carom.Endpoint) (*route.Endpoint, error) {
	if e.Dialect != "" && d.dialect() == nil {
		names := []string{}
		for i := range d.objects.Dialects {
			names = append(names, d.objects.Dialects[i].Name)
		}
		if len(names) == 0 {
			return nil, carom.Invalid("dialect", "there is no dialect %q, for the operator has none: leave it out, and write macros like {ymid}", e.Dialect)
		}
		return nil, carom.Invalid("dialect", "there is no dialect %q: name one of %s, or leave it out", e.Dialect, strings.Join(names, ", "))
	}
	return route.CompileIn(e, d.dialect())
}

// err is all faults, with the names that the fields of a request have.
func (d *draft) err() error {
	var list []error
	flat := strings.NewReplacer("filter.", "", "success.", "")
	for _, fault := range fieldErrors(joined(d.faults), nil) {
		field, message := flat.Replace(fault.Field), flat.Replace(fault.Message)
		if before, _, private := strings.Cut(message, ": if the endpoint is your own, add"); private {
			message = before + ": give the public address of your server"
		}
		list = append(list, carom.Invalid(field, "%s", message))
	}
	return joined(list)
}

// originOf is the part of a URL that says which server it leads to.
func originOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return strings.ToLower(scheme + "://" + rest)
}

// unmask puts back what is stored where the publisher leaves what was shown: the whole URL, the values of its parameters, and
// those of headers. What is secret never goes to another server than before.
func (d *draft) unmask(t *Template) (string, []carom.Field) {
	url, headers := t.URL, slices.Clone(t.Headers)
	same := d.stored != nil && originOf(t.URL) == originOf(d.stored.URL)
	if same {
		url = unmaskURL(t.URL, d.stored.URL)
	}
	if strings.Contains(url, mask) {
		d.fault("url", "*** stands where a secret was hidden: write the secret itself, or leave host and parameter as they were")
	}
	for i := range headers {
		if headers[i].Value != mask {
			continue
		}
		k := -1
		if same {
			k = slices.IndexFunc(d.stored.Headers, func(h carom.Field) bool { return strings.EqualFold(h.Name, headers[i].Name) })
		}
		if k < 0 {
			d.fault("headers."+headers[i].Name, "*** stands where a secret was hidden: write the value itself")
			continue
		}
		headers[i].Value = d.stored.Headers[k].Value
	}
	return url, headers
}

// unmaskURL puts values of stored back where given has ***.
func unmaskURL(given, stored string) string {
	if given == maskURL(stored) {
		return stored
	}
	base, query, hasQuery := strings.Cut(given, "?")
	storedBase, storedQuery, _ := strings.Cut(stored, "?")
	if base == maskURL(storedBase) {
		base = storedBase
	}
	if !hasQuery {
		return base
	}
	values := map[string]string{}
	for _, p := range strings.Split(storedQuery, "&") {
		if name, value, _ := strings.Cut(p, "="); values[name] == "" {
			values[name] = value
		}
	}
	params := strings.Split(query, "&")
	for i, p := range params {
		if name, value, _ := strings.Cut(p, "="); value == mask && values[name] != "" {
			params[i] = name + "=" + values[name]
		}
	}
	return base + "?" + strings.Join(params, "&")
}

// checkZones refuses what events never carry as their zone.
func (d *draft) checkZones() {
	for i, id := range d.endpoint.Filter.Zones {
		for k := range d.objects.Zones {
			z := &d.objects.Zones[k]
			if z.App != d.endpoint.App || z.ID == id {
				continue
			}
			for _, sub := range z.SubZones {
				if sub == id {
					d.fault(fmt.Sprintf("zones[%d]", i), "%q is a sub-zone, and events carry the main zone as their zone_id: write %q", id, z.ID)
				}
			}
		}
	}
}

// macros are those of the endpoint's templates. While there are faults, they are found as far as they are known.
func (d *draft) macros() []TemplateMacro {
	list := []TemplateMacro{}
	if d.compiled != nil {
		for _, use := range d.compiled.Uses() {
			list = append(list, TemplateMacro{Name: use.Macro, Written: use.Written, Where: use.Where, Meaning: use.Meaning, Sample: use.Sample})
		}
		return list
	}
	dialect := d.dialect()
	find := func(where, text string) {
		for _, m := range route.Macros() {
			if written := route.WriteMacro(dialect, m.Name); strings.Contains(text, written) {
				list = append(list, TemplateMacro{Name: m.Name, Written: written, Where: where, Meaning: m.Meaning, Sample: m.Sample})
			}
		}
	}
	find("url", d.endpoint.URL)
	for _, h := range d.endpoint.Headers {
		find("headers."+h.Name, h.Value)
	}
	find("body", d.endpoint.Body)
	return list
}

// preview renders the endpoint with sample values.
func (d *draft) preview() TemplatePreview {
	p := TemplatePreview{Macros: d.macros(), Headers: []carom.Field{}, Problems: d.problems(), Signed: len(d.endpoint.SigningSecrets) > 0}
	if d.compiled == nil {
		return p
	}
	req, err := d.compiled.Preview()
	if err != nil { // a template that compiles renders
		p.Problems = append(p.Problems, SetupProblem{Level: levelFault, Message: err.Error()})
		return p
	}
	p.Method, p.URL, p.Body, p.Headers = req.Method, req.ShownURL, req.ShownBody, shownHeaders(req.Header)
	return p
}

// shownHeaders masks what could be a secret: all that is not known to be none.
func shownHeaders(headers []carom.Field) []carom.Field {
	out := []carom.Field{}
	for _, h := range headers {
		switch h.Name {
		case "Content-Type", "Accept", "User-Agent", "Webhook-Id", "Webhook-Timestamp", testHeader:
		default:
			h.Value = mask
		}
		out = append(out, h)
	}
	return out
}

// problems are the faults, and what is probably not meant.
func (d *draft) problems() []SetupProblem {
	list := []SetupProblem{}
	for _, fault := range fieldErrors(d.err(), nil) {
		list = append(list, SetupProblem{Level: levelFault, Field: fault.Field, Message: fault.Message})
	}
	warn := func(field, format string, args ...any) {
		list = append(list, SetupProblem{Level: levelWarning, Field: field, Message: fmt.Sprintf(format, args...)})
	}
	e := d.endpoint.WithDefaults()
	if strings.HasPrefix(strings.ToLower(e.URL), "http://") {
		warn("url", "http is not encrypted: whoever is on the way can read it and alter it; use https")
	}
	if d.compiled != nil && e.Sends == carom.SendsEvents {
		d.warnOfTemplate(&e, warn)
	}
	for i, id := range e.Filter.Zones {
		if known := d.zoneIDs(); len(known) > 0 && !slices.Contains(known, id) && !d.isSubZone(id) {
			warn(fmt.Sprintf("zones[%d]", i), "the app has no zone %q, so that nothing comes from there: its zones are %s", id, strings.Join(known, ", "))
		}
	}
	if e.Default && slices.ContainsFunc(d.objects.Endpoints, func(other carom.Endpoint) bool {
		return other.App == e.App && other.Name != e.Name && other.Default && other.Sends == e.Sends
	}) {
		warn("default", "another endpoint of the app is a default one as well, so that both get the same events")
	}
	if e.Paused {
		warn("paused", "the operator has paused it: nothing is sent, but for tests")
	}
	return list
}

// warnOfTemplate says what a receiver will miss in the requests.
func (d *draft) warnOfTemplate(e *carom.Endpoint, warn func(field, format string, args ...any)) {
	whole := e.Method == "POST" && e.Body == "" // all that is known is in it
	uses := d.compiled.Uses()
	has := func(macros ...string) bool {
		return whole || slices.ContainsFunc(uses, func(u route.Use) bool { return slices.Contains(macros, u.Macro) })
	}
	write := func(name string) string { return route.WriteMacro(d.dialect(), name) }
	field, add := "url", "add &%s=%s to its query"
	if e.Method == "POST" {
		field, add = "body", "add %s, as %s, to the body"
	}
	if !has("ymid") {
		warn(field, "there is no %s, so that your server cannot tell which view it is about: "+add, write("ymid"), "ymid", write("ymid"))
	}
	if len(e.SigningSecrets) == 0 && !d.hasSecret() {
		if e.Method == "POST" {
			warn(field, "nothing proves to your server that it comes from here: have it signed (`signed`: true), or put a secret of your own into a header")
		} else {
			warn(field, "nothing proves to your server that it comes from here: end the URL with &sig=%s and have it signed (`signed`: true), "+
				"or put a secret of your own into it, such as &token=…", write("signature"))
		}
	}
	if types := d.arriving(e); len(types) > 1 && !has("event_type") {
		warn(field, "%s come to the same URL, and nothing tells your server which is which: "+add+", or let one of them through alone (event_types)",
			strings.Join(types, " and "), "event_type", write("event_type"))
	}
	if !slices.Equal(e.Filter.Values, []carom.RewardEventType{carom.Valued}) && !has("reward_event_type") {
		warn(field, "events that are not paid for come as well, and nothing tells your server so: "+add+", or let valued ones through alone (values)",
			"reward_event_type", write("reward_event_type"))
	}
}

// hasSecret says whether the requests hold a constant that looks like a secret.
func (d *draft) hasSecret() bool {
	req, err := d.compiled.Preview()
	if err != nil || req.ShownURL != req.URL || req.ShownBody != string(req.Body) {
		return err == nil
	}
	return slices.ContainsFunc(d.endpoint.Headers, func(h carom.Field) bool {
		return slices.ContainsFunc(shownHeaders([]carom.Field{h}), func(shown carom.Field) bool { return shown.Value == mask })
	})
}

// arriving are the types of events that the endpoint may get, in words.
func (d *draft) arriving(e *carom.Endpoint) []string {
	if len(e.Filter.EventTypes) > 0 {
		return texts(e.Filter.EventTypes)
	}
	both := []string{"impressions", "clicks"}
	served := false
	for i := range d.objects.Sources {
		if s := &d.objects.Sources[i]; s.App == e.App && s.Profile != carom.ProfileSDK {
			return both // whoever reports them decides
		}
	}
	for i := range d.objects.Zones {
		z := &d.objects.Zones[i]
		if z.App != e.App || len(e.Filter.Zones) > 0 && !slices.Contains(e.Filter.Zones, z.ID) {
			continue
		}
		for f := range z.SubZones {
			if served = true; f.Sends(carom.Click) {
				return both
			}
		}
	}
	if served {
		return both[:1]
	}
	return both
}

func (d *draft) zoneIDs() []string {
	var ids []string
	for i := range d.objects.Zones {
		if d.objects.Zones[i].App == d.endpoint.App {
			ids = append(ids, d.objects.Zones[i].ID)
		}
	}
	return ids
}

func (d *draft) isSubZone(id string) bool {
	for i := range d.objects.Zones {
		if d.objects.Zones[i].App != d.endpoint.App {
			continue
		}
		for _, sub := range d.objects.Zones[i].SubZones {
			if sub == id {
				return true
			}
		}
	}
	return false
}

// PreviewTemplate asks what a template would send.
type PreviewTemplate struct {
	App  string `json:"app" doc:"The app whose events it would get"`
	Name string `json:"name,omitempty" doc:"The endpoint that it would change; absent: a new one"`
	Template
}

type previewIn struct {
	PublisherPath
	Body PreviewTemplate
}

type previewOut struct{ Body TemplatePreview }

// previewEndpoint says what a template would send. It changes nothing, and asks nobody.
func (s *service) previewEndpoint(ctx context.Context, in *previewIn) (*previewOut, error) {
	if _, err := s.publisher(ctx, in.Publisher); err != nil {
		return nil, err
	}
	o := s.Objects.Objects()
	if _, err := ownApp(o, in.Publisher, in.Body.App); err != nil {
		return nil, err
	}
	return &previewOut{newDraft(callerOf(ctx), o, in.Body.App, cmp.Or(in.Body.Name, "new endpoint"), &in.Body.Template).preview()}, nil
}
