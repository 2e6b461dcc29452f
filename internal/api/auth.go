package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"slices"
	"strings"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// localKey marks the context of a request that came through the local socket, callerKey carries who asks.
type (
	localKey  struct{}
	callerKey struct{}
)

// Local marks every request to h as one that came through the local socket, whose file permissions are the proof: it
// needs no key and may do everything.
func Local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

// IsLocal says whether [Local] marked the request that ctx belongs to.
func IsLocal(ctx context.Context) bool {
	local, _ := ctx.Value(localKey{}).(bool)
	return local
}

// caller is who asks: the local operator, or the holder of a key, by the key's name. App is empty when all apps may be seen.
//
// A publisher's caller has the app "-", which no app is called: what looks at one app alone shows nothing to it.
type caller struct {
	name  string
	scope carom.Scope
	app   string

	publisher string   // of a key or a link with the scope publisher; else empty
	apps      []string // the publisher's, as they were when the request began
}

// callerOf returns who asks. Without one, nothing may be seen: no app has the name "-".
func callerOf(ctx context.Context) caller {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c
	}
	return caller{app: noApp}
}

// noApp is the name of no app.
const noApp = "-"

// sees says whether the caller may know of app.
func (c caller) sees(app string) bool {
	return c.app == "" || c.app == app || slices.Contains(c.apps, app)
}

// narrow returns the app that a list is limited to when the caller asks for one, or for all with "".
func (c caller) narrow(app string) (string, error) {
	switch {
	case c.app == "":
		return app, nil
	case c.publisher != "":
		return c.narrowToPublisher(app)
	case app == "" || app == c.app:
		return c.app, nil
	}
	return "", failf(carom.ErrNotFound, "there is no app %q that this key may see: it is limited to %s", app, c.app)
}

// narrowToPublisher is narrow for a publisher, whose apps may be many or none.
func (c caller) narrowToPublisher(app string) (string, error) {
	switch {
	case app != "" && slices.Contains(c.apps, app):
		return app, nil
	case app != "":
		return "", failf(carom.ErrNotFound, "the publisher %s has no app %q: GET /v1/publishers/%s lists those that it has", c.publisher, app, c.publisher)
	case len(c.apps) == 0:
		return noApp, nil
	case len(c.apps) == 1:
		return c.apps[0], nil
	}
	return "", carom.Invalid("app", "the publisher %s has several apps: name one of %s", c.publisher, strings.Join(c.apps, ", "))
}

// all returns an error unless the caller may act on all apps.
func (c caller) all() error {
	switch {
	case c.app == "":
		return nil
	case c.publisher != "":
		return c.notForPublishers()
	}
	return forbidden("this key is limited to the app " + c.app + ", and this concerns all apps: use a key without an app")
}

func (c caller) notForPublishers() *Problem {
	return forbidden("this key or link is the publisher's, " + c.publisher + ": it sets up that publisher's apps, zones and endpoints under /v1/publishers/" +
		c.publisher + ", and reads what became of their events; for this, ask the operator")
}

// publisherMay says whether a publisher may call an operation. What is not named here is for the operator alone.
func publisherMay(operation string) bool {
	switch operation {
	case "list-publishers", "get-publisher", "put-app", "make-zone", "change-zone", "preview-endpoint", "put-endpoint", "delete-endpoint",
		"test-endpoint", "rotate-secret", "list-deliveries",
		"list-events", "get-event", "resend-event", "resend-delivery", "list-endpoints", "get-stats", "get-version":
		return true
	}
	return false
}

// authorize finds out who asks and lets only those through whose scope allows the operation.
func (s *service) authorize(ctx huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(ctx)
	c, p := s.identify(ctx)
	if p == nil {
		p = c.allowed(ctx)
	}
	switch {
	case p == nil:
		next(huma.WithValue(ctx, callerKey{}, c))
		return
	case p.Status == http.StatusUnauthorized && ctx.Header("Authorization") == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
	case p.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	writeProblem(w, p)
}

// identify finds out who asks: the local operator, the holder of a key, or that of a publisher's link.
func (s *service) identify(ctx huma.Context) (caller, *Problem) {
	if IsLocal(ctx.Context()) {
		return caller{name: "local socket", scope: carom.ScopeAdmin}, nil
	}
	scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return caller{}, newProblem(http.StatusUnauthorized, "an API key is missing: send the header "+
			"`Authorization: Bearer KEY`; a key is made on the server's machine with `carom keys create`")
	}
	if strings.HasPrefix(token, LinkPrefix) {
		l, p := s.readLink(token)
		if p != nil {
			return caller{}, p
		}
		return s.publisherCaller("link "+l.id(), l.publisher)
	}
	key, ok := s.Store.KeyBySum(sha256.Sum256([]byte(token)))
	if !ok {
		return caller{}, newProblem(http.StatusUnauthorized, "this API key is not known: it was deleted, or belongs to "+
			"another server; `carom keys list` on the server's machine shows those that count")
	}
	if key.Publisher != "" || key.Scope == carom.ScopePublisher {
		return s.publisherCaller(key.Name, key.Publisher)
	}
	return caller{name: key.Name, scope: key.Scope, app: key.App}, nil
}

// publisherCaller is who acts as a publisher. When that is removed, its keys and links end.
func (s *service) publisherCaller(name, publisher string) (caller, *Problem) {
	o := s.Objects.Objects()
	if !slices.ContainsFunc(o.Publishers, func(p carom.Publisher) bool { return p.Name == publisher }) || publisher == "" {
		return caller{}, newProblem(http.StatusUnauthorized, "the publisher whose key or link this is, "+publisher+
			", is not there any more: ask the operator")
	}
	c := caller{name: name, scope: carom.ScopePublisher, app: noApp, publisher: publisher}
	for i := range o.Apps {
		if o.Apps[i].Publisher == publisher {
			c.apps = append(c.apps, o.Apps[i].Name)
		}
	}
	return c, nil
}

// allowed says why the caller may not call the operation, if so.
func (c caller) allowed(ctx huma.Context) *Problem {
	op := ctx.Operation()
	if c.scope == carom.ScopePublisher {
		if !publisherMay(op.OperationID) {
			return c.notForPublishers()
		}
		if strings.HasPrefix(op.Path, "/v1/publishers/{publisher}") && ctx.Param("publisher") != c.publisher {
			return noPublisher(ctx.Param("publisher"))
		}
		return nil
	}
	needed := scopeFor(op.Method)
	if c.scope == carom.ScopeAdmin || c.scope == needed {
		return nil
	}
	return forbidden("this needs a key with the scope " + string(needed) + ", and this one has " + string(c.scope) +
		": make one with `carom keys create --scope " + string(needed) + "`")
}

// scopeFor is the scope that a method needs: what only reads needs read, all else admin.
func scopeFor(method string) carom.Scope {
	if method == http.MethodGet {
		return carom.ScopeRead
	}
	return carom.ScopeAdmin
}
