package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// localKey marks the context of a request that came through the local socket, publicKey that of one that came to the public address of a
// server whose API is at the private one. callerKey carries who asks.
type (
	localKey  struct{}
	publicKey struct{}
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

// PublishersOnly marks every request to h as one that came to an address at which publishers alone may be known: everybody else is
// answered as if there were nothing, and may not sign in.
func PublishersOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), publicKey{}, true)))
	})
}

// publishersOnly says whether [PublishersOnly] marked the request that ctx belongs to.
func publishersOnly(ctx context.Context) bool {
	marked, _ := ctx.Value(publicKey{}).(bool)
	return marked
}

// caller is who asks: the local operator, a member who has signed in, or the holder of a key or a link, by its name. App is empty when all
// apps may be seen.
//
// A publisher's caller has the app "-", which no app is called: what looks at one app alone shows nothing to it.
type caller struct {
	kind  carom.ActorKind
	id    string // "mbr_…", "key_…", "lnk_…"; empty for the local operator and for nobody
	name  string
	scope carom.Scope // a member's too: what a key that may read the same has
	app   string

	role    carom.Role     // of a member; else empty
	session *carom.Session // of a member; else nil
	member  carom.Member   // likewise

	publisher string   // of a key, a link or a member of a publisher; else empty
	apps      []string // the publisher's, as they were when the request began
}

// actor is the caller as the audit log names it.
func (c caller) actor() carom.Actor {
	role := string(c.role)
	if role == "" {
		role = string(c.scope)
	}
	return carom.Actor{Kind: c.kind, ID: c.id, Name: c.name, Role: role}
}

// key tells callers apart where each may do something only so often: from is the address of a request.
func (c caller) key(from string) string {
	if c.kind == carom.ActorNobody {
		return string(c.kind) + " " + from
	}
	return string(c.kind) + " " + c.id
}

// known says whether the caller has proved who it is.
func (c caller) known() bool { return c.kind != carom.ActorNobody }

// callerOf returns who asks. Without one, nothing may be seen: no app has the name "-".
func callerOf(ctx context.Context) caller {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c
	}
	return nobody()
}

// nobody is who proves nothing.
func nobody() caller { return caller{kind: carom.ActorNobody, app: noApp} }

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
	if c.kind == carom.ActorMember {
		return forbidden("you are a member of the publisher " + c.publisher + ": you set up its apps, zones and endpoints, and read what became of their events; " +
			"for this, ask the operator")
	}
	return forbidden("this key or link is the publisher's, " + c.publisher + ": it sets up that publisher's apps, zones and endpoints under /v1/publishers/" +
		c.publisher + ", and reads what became of their events; for this, ask the operator")
}

// authorize finds out who asks, lets only those through who may call the operation, and has the audit log told.
func (s *service) authorize(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	row := classOf(ctx.Operation().OperationID)
	c, p := s.identify(r)
	if !s.limit(w, r, c) {
		return
	}
	if p != nil && row&anybody != 0 {
		c, p = nobody(), nil // such as with a session that has ended
	}
	if publishersOnly(r.Context()) && c.publisher == "" && row&anybody == 0 {
		http.NotFound(w, r) // as if nothing were here, which is what the operator asked for
		return
	}
	t := s.begin(ctx, r, c)
	if p == nil {
		p = s.sameSite(r, c, row)
	}
	if p == nil {
		p = c.allowed(ctx)
	}
	if p != nil {
		switch {
		case p.Status == http.StatusUnauthorized && ctx.Header("Authorization") == "":
			w.Header().Set("WWW-Authenticate", "Bearer")
		case p.Status == http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		writeProblem(w, p)
		s.record(r.Context(), t, p.Status)
		return
	}
	if c.session != nil {
		w.Header().Set("Cache-Control", "no-store")
	}
	inner := context.WithValue(context.WithValue(ctx.Context(), callerKey{}, c), traceKey{}, t)
	if row&long != 0 {
		var end context.CancelFunc
		inner, end = s.whileAllowed(inner, ctx, r)
		defer end()
	}
	ctx = huma.WithContext(ctx, inner)
	next(ctx)
	s.record(r.Context(), t, ctx.Status())
}

// recheckEvery is how often it is looked again who asks, of a request that goes on.
const recheckEvery = time.Second

// whileAllowed returns a context that ends when the caller is not known any more, or may not call the operation.
func (s *service) whileAllowed(parent context.Context, hctx huma.Context, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	go func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			c, p := s.identify(r)
			if p == nil {
				p = c.allowed(hctx)
			}
			if p != nil && p.Status < http.StatusInternalServerError {
				cancel()
				return
			}
		}
	}()
	return ctx, cancel
}

// identify finds out who asks: the local operator, the holder of a key or of a publisher's link, or a member who has signed in.
func (s *service) identify(r *http.Request) (caller, *Problem) {
	if IsLocal(r.Context()) {
		return caller{kind: carom.ActorLocal, name: "local socket", scope: carom.ScopeAdmin}, nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		if sum, ok := sessionSum(r); ok {
			return s.ofSession(r.Context(), sum)
		}
	}
	scheme, token, _ := strings.Cut(header, " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return nobody(), newProblem(http.StatusUnauthorized, "an API key is missing: send the header "+
			"`Authorization: Bearer KEY`; a key is made on the server's machine with `carom keys create`")
	}
	if strings.HasPrefix(token, LinkPrefix) {
		l, p := s.readLink(token)
		if p != nil {
			return nobody(), p
		}
		return s.ofPublisher(caller{kind: carom.ActorLink, id: l.id(), name: "link " + l.id()}, l.publisher)
	}
	key, ok := s.Store.KeyBySum(sha256.Sum256([]byte(token)))
	if !ok {
		return nobody(), newProblem(http.StatusUnauthorized, "this API key is not known: it was deleted, or belongs to "+
			"another server; `carom keys list` on the server's machine shows those that count")
	}
	c := caller{kind: carom.ActorKey, id: key.ID, name: key.Name, scope: key.Scope, app: key.App}
	if key.Publisher != "" || key.Scope == carom.ScopePublisher {
		return s.ofPublisher(c, key.Publisher)
	}
	return c, nil
}

// ofSession is the member whose browser holds a session.
func (s *service) ofSession(ctx context.Context, sum [32]byte) (caller, *Problem) {
	session, m, err := s.Store.Session(ctx, sum)
	switch {
	case errors.Is(err, carom.ErrNotFound):
		return nobody(), newProblem(http.StatusUnauthorized, "this session has ended: sign in again")
	case err != nil:
		s.Log.WarnContext(ctx, "session not read", "error", err)
		return nobody(), newProblem(http.StatusServiceUnavailable, "the server cannot say now who you are: try again in some seconds")
	}
	return s.ofMember(session, m)
}

// ofMember is a member as a caller.
func (s *service) ofMember(session carom.Session, m carom.Member) (caller, *Problem) {
	c := caller{kind: carom.ActorMember, id: m.ID, name: cmp.Or(m.Name, m.Email), role: m.Role, session: &session, member: m}
	switch m.Role {
	case carom.RoleOperator:
		c.scope = carom.ScopeAdmin
	case carom.RoleViewer, carom.RoleSupport:
		c.scope = carom.ScopeRead
	case carom.RolePublisher:
		return s.ofPublisher(c, m.Publisher)
	default: // of a later release
		return nobody(), newProblem(http.StatusUnauthorized, "this server does not know your role, "+string(m.Role)+": ask an operator")
	}
	return c, nil
}

// ofPublisher makes a caller act as a publisher. When that is removed, its keys, links and members' sessions end.
func (s *service) ofPublisher(c caller, publisher string) (caller, *Problem) {
	o := s.Objects.Objects()
	if !slices.ContainsFunc(o.Publishers, func(p carom.Publisher) bool { return p.Name == publisher }) || publisher == "" {
		return nobody(), newProblem(http.StatusUnauthorized, "the publisher whose key, link or member this is, "+publisher+
			", is not there any more: ask the operator")
	}
	c.scope, c.app, c.publisher = carom.ScopePublisher, noApp, publisher
	for i := range o.Apps {
		if o.Apps[i].Publisher == publisher {
			c.apps = append(c.apps, o.Apps[i].Name)
		}
	}
	return c, nil
}
