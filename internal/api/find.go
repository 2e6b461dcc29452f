package api

import (
	"context"
	"strings"

	"carom"
)

// Finder is what the API asks of the store to find things by every word that lists know. What it returns is a page: it looks at so much
// and no more, so a page may be short, even empty, and yet have a next, which is where to go on.
type Finder interface {
	// FindEvents returns events, newest first.
	FindEvents(ctx context.Context, f carom.EventFilter) (list []*carom.Event, next carom.EventID, err error)
	// SentAttempts returns attempts, those of the newest events first.
	SentAttempts(ctx context.Context, f carom.AttemptFilter) (list []carom.SentAttempt, next carom.AttemptCursor, err error)
	// Views returns opened views, newest first.
	Views(ctx context.Context, f carom.ViewFilter) (list []*carom.View, next carom.ViewID, err error)
	// View returns one of them, or carom.ErrNotFound.
	View(ctx context.Context, id carom.ViewID) (*carom.View, error)
	// ViewOutcome says what has become of one.
	ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error)
}

// EndpointSelector is the endpoint that a list is limited to. It is exported because huma reads only exported fields.
type EndpointSelector struct {
	Endpoint string `query:"endpoint" doc:"Only this endpoint: its name together with app, or app/endpoint"`
}

// resolve finds the endpoint's number among those of the apps that the caller may see: 0 when none is named. app is that which a list
// is limited to, and the endpoint's when one is named.
func (sel EndpointSelector) resolve(c caller, o *carom.Objects, app string) (of string, no int, err error) {
	name := sel.Endpoint
	if a, n, ok := strings.Cut(name, "/"); ok {
		if app != "" && app != a {
			if _, err := c.narrow(a); err != nil { // nor may the caller know of it
				return "", 0, err
			}
			return "", 0, carom.Invalid("endpoint", "the endpoint %q is not of the app %q: give one of the two", name, app)
		}
		app, name = a, n
	}
	if app, err = c.narrow(app); err != nil || name == "" {
		return app, 0, err
	}
	if app == "" {
		return "", 0, carom.Invalid("endpoint", "the name %q alone may be in several apps: write app/%s", name, name)
	}
	for i := range o.Endpoints {
		if e := &o.Endpoints[i]; e.App == app && e.Name == name {
			return app, e.No, nil
		}
	}
	return "", 0, failf(carom.ErrNotFound, "there is no endpoint %s/%s: GET /v1/endpoints lists them", app, name)
}

// eventCursor checks the cursor of a list that goes by events.
func eventCursor(text string) (carom.EventID, error) {
	id := carom.EventID(text)
	if id != "" {
		if _, _, err := id.Place(); err != nil {
			return "", carom.Invalid("before", "this is not an event id: give the `next` of the page before")
		}
	}
	return id, nil
}
