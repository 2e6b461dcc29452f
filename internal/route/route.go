// Package route decides which endpoints get an event, or the reward that it earns, and what they get.
//
// It holds the template language. {ymid} is a macro, a placeholder for a value of the event or of its delivery; its name begins
// with a letter and holds lower-case letters, digits and _. {field.NAME} is the event's further field NAME. Everything else is
// literal text, in JSON also braces. A dialect has other names, and other signs around them: "[click_id]". [Compile] checks an endpoint when it is saved, so that [Endpoint.Render] can hardly go
// wrong when it is sent; [Table] finds the endpoints of an event and of a reward; [ReadBackwards] reads the template that a publisher entered
// at a network.
//
// In the flow it stands before the accept (routing, by ingest) and behind it (rendering, by deliver). Everything is pure: the
// time is an argument, nothing is stored, sent or resolved, and all of it is safe for concurrent use. Whether a host name leads
// to a private address is found out when it is dialled, by deliver.
package route

import (
	"errors"
	"slices"

	"carom"
)

// Endpoint is a [carom.Endpoint] that has been checked and is ready to render, with its defaults filled in. It is immutable.
type Endpoint struct {
	carom.Endpoint

	dialect   *carom.Dialect // of its templates; nil: carom's own. Shared with whoever compiled it, and never changed
	url       template
	hidesURL  bool // something in url must not be shown
	body      template
	hidesBody bool
	headers   []header
	static    []carom.Field // all headers, when none depends on the delivery

	eventTypes  set[carom.EventType]
	values      set[carom.RewardEventType]
	zones       set[string]
	requestVars set[string]
	sources     set[string]
	rules       set[string]
}

// Compile fills in e's defaults, checks it, and makes it ready to render. Names, and whether they are unique, are not its
// concern.
//
// When something is wrong it returns no endpoint, and all faults joined (errors.Join), each a *carom.FieldError whose field is
// relative to the endpoint: "url", "headers.X-Key", "body", "schedule". Secrets are in none of them.
//
// Templates of an endpoint that names a dialect are read by [CompileIn]; here they are a fault.
func Compile(e carom.Endpoint) (*Endpoint, error) { return CompileIn(e, nil) }

// CompileIn is Compile for an endpoint whose templates are written in the dialect d; nil is carom's own. d has to be the one
// that e names, and sound: see [CheckDialect]. It is kept and may not be changed later. Faults show macros as it writes them.
func CompileIn(e carom.Endpoint, d *carom.Dialect) (*Endpoint, error) {
	e = e.WithDefaults()
	e.Headers = slices.Clone(e.Headers)
	e.Schedule = slices.Clone(e.Schedule)
	e.SigningSecrets = slices.Clone(e.SigningSecrets)

	var f faults
	c := &Endpoint{Endpoint: e, dialect: d}
	var l language
	switch {
	case d == nil && e.Dialect != "":
		return nil, carom.Invalid("dialect", "there is no dialect %q: define it under dialects, or correct the name", clip(e.Dialect))
	case d != nil:
		if err := CheckDialect(d); err != nil {
			return nil, carom.Invalid("dialect", "the dialect %q has faults of its own: correct it first", clip(d.Name))
		}
		l = languageOf(d)
	}
	l.sends = e.Sends
	if e.Method != "GET" && e.Method != "POST" {
		f.add("method", "%q is not known: use GET or POST", clip(e.Method))
	} else {
		c.url = compileURL(&e, l, &f)
		c.body = compileBody(&e, l, &f)
		c.headers = compileHeaders(&e, l, &f)
		if len(f) == 0 {
			checkRewardTemplates(c, l, &f)
		}
	}
	checkSigningSecrets(&e, &f)
	checkFilter(&e, &f)
	checkSuccess(&e, &f)
	checkLimits(&e, &f)
	if len(f) > 0 {
		return nil, errors.Join(f...)
	}
	c.hidesURL, c.hidesBody = c.url.masked(), c.body.masked()
	c.static = staticHeaders(c.headers, c.signsPOST())
	c.eventTypes = newSet(e.Filter.EventTypes)
	c.values = newSet(e.Filter.Values)
	c.zones = newSet(e.Filter.Zones)
	c.requestVars = newSet(e.Filter.RequestVars)
	c.sources = newSet(e.Filter.Sources)
	c.rules = newSet(e.Filter.Rules)
	return c, nil
}
