package api

import (
	"context"
	"crypto/sha256"
	"net/http"
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
type caller struct {
	name  string
	scope carom.Scope
	app   string
}

// callerOf returns who asks. Without one, nothing may be seen: no app has the name "-".
func callerOf(ctx context.Context) caller {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c
	}
	return caller{app: "-"}
}

// sees says whether the caller may know of app.
func (c caller) sees(app string) bool { return c.app == "" || c.app == app }

// narrow returns the app that a list is limited to when the caller asks for one, or for all with "".
func (c caller) narrow(app string) (string, error) {
	switch {
	case c.app == "":
		return app, nil
	case app == "" || app == c.app:
		return c.app, nil
	}
	return "", failf(carom.ErrNotFound, "there is no app %q that this key may see: it is limited to %s", app, c.app)
}

// all returns an error unless the caller may act on all apps.
func (c caller) all() error {
	if c.app == "" {
		return nil
	}
	return forbidden("this key is limited to the app " + c.app + ", and this concerns all apps: use a key without an app")
}

// authorize finds out who asks and lets only those through whose scope allows the operation.
func (s *service) authorize(ctx huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(ctx)
	if IsLocal(ctx.Context()) {
		next(huma.WithValue(ctx, callerKey{}, caller{name: "local socket", scope: carom.ScopeAdmin}))
		return
	}
	scheme, token, _ := strings.Cut(ctx.Header("Authorization"), " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeProblem(w, newProblem(http.StatusUnauthorized, "an API key is missing: send the header "+
			"`Authorization: Bearer KEY`; a key is made on the server's machine with `carom keys create`"))
		return
	}
	key, ok := s.Store.KeyBySum(sha256.Sum256([]byte(token)))
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeProblem(w, newProblem(http.StatusUnauthorized, "this API key is not known: it was deleted, or belongs to "+
			"another server; `carom keys list` on the server's machine shows those that count"))
		return
	}
	needed := scopeFor(ctx.Operation().Method)
	if key.Scope != carom.ScopeAdmin && key.Scope != needed {
		writeProblem(w, forbidden("this needs a key with the scope "+string(needed)+", and this one has "+string(key.Scope)+
			": make one with `carom keys create --scope "+string(needed)+"`"))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, caller{name: key.Name, scope: key.Scope, app: key.App}))
}

// scopeFor is the scope that a method needs: what only reads needs read, all else admin.
func scopeFor(method string) carom.Scope {
	if method == http.MethodGet {
		return carom.ScopeRead
	}
	return carom.ScopeAdmin
}
