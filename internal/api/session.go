package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carom"

	"github.com/danielgtaylor/huma/v2"
)

// The cookie of a session. The prefix makes browsers take it from this very host over HTTPS alone; over plain HTTP they refuse it.
const (
	secureCookie = "__Host-carom"
	plainCookie  = "carom"
)

// requestHeader has to come with every change that a cookie proves: a page of another site cannot send it.
const requestHeader = "Carom-Request"

// newToken makes a text of 256 random bits, and its SHA-256, which is what is kept of it.
func newToken() (token string, sum [32]byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails: the process ends instead
	token = base64.RawURLEncoding.EncodeToString(secret[:])
	return token, sha256.Sum256([]byte(token))
}

// HasSession says whether a request shows a session, of whomever.
func HasSession(r *http.Request) bool {
	_, ok := sessionSum(r)
	return ok
}

// sessionSum finds the session in a request's cookies.
func sessionSum(r *http.Request) (sum [32]byte, ok bool) {
	for _, name := range []string{secureCookie, plainCookie} {
		if c, err := r.Cookie(name); err == nil && len(c.Value) == base64.RawURLEncoding.EncodedLen(32) {
			return sha256.Sum256([]byte(c.Value)), true
		}
	}
	return sum, false
}

// sessionCookie is the cookie that begins a session, or with an empty token ends it.
func sessionCookie(token string, secure bool) http.Cookie {
	c := http.Cookie{Name: plainCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: int(carom.SessionFor / time.Second)}
	if secure {
		c.Name, c.Secure = secureCookie, true
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

// overHTTPS says whether the browser reached the server over HTTPS, also through a proxy. A proxy's word is good enough: who
// invents it only gets a cookie that the own browser does not send back.
func (s *service) overHTTPS(r *http.Request) bool {
	base, err := url.Parse(s.BaseURL)
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") ||
		err == nil && base.Scheme == "https" && strings.EqualFold(base.Host, r.Host)
}

// sameSite says why a change may come from a page of another site, if so. Browsers send the cookie by themselves, keys never.
func (s *service) sameSite(r *http.Request, c caller, row class) *Problem {
	if c.kind != carom.ActorMember && (row&anybody == 0 || c.kind != carom.ActorNobody) {
		return nil
	}
	if err := s.otherSites.Check(r); err != nil {
		return forbidden("this request comes from a page of another site: open the dashboard at its own address, and if a proxy is in front of it, have that pass the Host header on")
	}
	if c.kind == carom.ActorMember && !safeMethod(r.Method) && r.Header.Get(requestHeader) == "" {
		return forbidden("a change that a session proves needs the header " + requestHeader + ": 1, which no other site can send")
	}
	return nil
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// otherSites makes the check of where requests of browsers come from.
func otherSites(baseURL string) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if u, err := url.Parse(baseURL); err == nil && u.Host != "" {
		_ = p.AddTrustedOrigin(u.Scheme + "://" + u.Host) // an origin by its form; one that it does not take is not trusted
	}
	return p
}

// addressOf is where a request comes from; not valid for the local socket.
func (s *service) addressOf(r *http.Request) netip.Addr {
	if s.Client != nil {
		return s.Client(r)
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a local socket has no address
	}
	return peer.Addr().Unmap()
}

// neighbourhood is an address as far as it tells people apart: one customer has a whole /64 of IPv6.
func neighbourhood(a netip.Addr) string {
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return a.String()
}

// SessionState is who is signed in, and what they may do.
type SessionState struct {
	SignedIn bool     `json:"signed_in"`
	Setup    bool     `json:"setup" doc:"There is no member yet: the link that the server printed when it started makes the first one"`
	Member   *Member  `json:"member,omitempty"`
	May      []string `json:"may" nullable:"false" doc:"The operations, by their ids, that the caller's role or key allows; some of them for its own apps alone"`
}

type sessionOut struct{ Body SessionState }

func (s *service) getSession(ctx context.Context, _ *struct{}) (*sessionOut, error) {
	c := callerOf(ctx)
	out := &sessionOut{SessionState{May: c.may()}}
	if c.kind == carom.ActorMember {
		m := memberOf(c.member)
		out.Body.SignedIn, out.Body.Member = true, &m
		return out, nil
	}
	if publishersOnly(ctx) {
		return out, nil // who asks here need not know
	}
	found, err := s.Store.AnyMember(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for members: %w", err)
	}
	out.Body.Setup = !found
	return out, nil
}

// SignIn asks to begin a session.
type SignIn struct {
	Email    string `json:"email" maxLength:"300"`
	Password string `json:"password" maxLength:"1000" format:"password"`
}

type signInIn struct{ Body SignIn }

type signedInOut struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
	Body      SessionState
}

// errSignIn is what everybody is told who may not sign in, so that nobody learns which addresses are those of members.
func errSignIn() *Problem {
	return newProblem(http.StatusUnauthorized, "the e-mail address or the password is wrong: try again, or ask an operator for a new link")
}

// tooOften says when to try again.
func tooOften(wait time.Duration) error {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	return huma.ErrorWithHeaders(newProblem(http.StatusTooManyRequests, "too many failures: try again in "+seconds+" seconds"), http.Header{"Retry-After": {seconds}})
}

func (s *service) signIn(ctx context.Context, in *signInIn) (*signedInOut, error) {
	t := traceOf(ctx)
	email, err := carom.TidyEmail(in.Body.Email)
	if err != nil {
		email = "" // nobody's
	}
	// Counted before the password is looked at, so that a burst at once is as bounded as one after another.
	address := neighbourhood(t.from)
	if wait := s.addressTries.take(address); wait > 0 {
		return nil, tooOften(wait)
	}
	if wait := s.accountTries.take(email); wait > 0 && email != "" {
		return nil, tooOften(wait)
	}
	m, err := s.Store.Member(ctx, email)
	if err != nil && !errors.Is(err, carom.ErrNotFound) {
		return nil, fmt.Errorf("read member: %w", err)
	}
	ok, err := s.passwords.matches(ctx, m.Password, in.Body.Password)
	if err != nil {
		return nil, err
	}
	if !ok || m.Disabled || publishersOnly(ctx) && m.Role != carom.RolePublisher {
		t.refuse(m, email)
		return nil, errSignIn()
	}
	s.addressTries.forgive(address)
	s.accountTries.forgive(email)
	session, token := s.newSession(m.ID)
	entry := t.by(m)
	if err := s.Store.CreateSession(ctx, session, entry); err != nil {
		if errors.Is(err, carom.ErrNotFound) {
			return nil, errSignIn()
		}
		return nil, fmt.Errorf("begin a session: %w", err)
	}
	return s.signedIn(t, session, token, m)
}

// newSession makes a session that begins now, and the text that the browser holds.
func (s *service) newSession(member string) (carom.Session, string) {
	token, sum := newToken()
	return carom.Session{Sum: sum, Member: member, Created: s.now(), Seen: s.now()}, token
}

// signedIn answers the beginning of a session.
func (s *service) signedIn(t *trace, session carom.Session, token string, m carom.Member) (*signedInOut, error) {
	c, p := s.ofMember(session, m)
	if p != nil {
		return nil, p
	}
	m.LastSeen = s.now()
	shown := memberOf(m)
	return &signedInOut{sessionCookie(token, t.secure), SessionState{SignedIn: true, Member: &shown, May: c.may()}}, nil
}

type signedOutOut struct {
	SetCookie http.Cookie `header:"Set-Cookie"`
}

func (s *service) signOut(ctx context.Context, _ *struct{}) (*signedOutOut, error) {
	t, c := traceOf(ctx), callerOf(ctx)
	if c.session == nil {
		t.stored = true // nothing changes
	} else if err := s.Store.EndSession(ctx, c.session.Sum, t.entry()); err != nil {
		return nil, fmt.Errorf("sign out: %w", err)
	}
	return &signedOutOut{sessionCookie("", t.secure)}, nil
}

// ClaimLink asks to set the password of whoever holds a one-time link.
type ClaimLink struct {
	Token    string `json:"token" maxLength:"100" doc:"What stands behind the # of the link"`
	Email    string `json:"email,omitempty" maxLength:"300" doc:"Of the first operator; others have one already"`
	Name     string `json:"name,omitempty" maxLength:"100" doc:"How the member is called; absent: as before"`
	Password string `json:"password" maxLength:"1000" format:"password" doc:"10 to 200 characters"`
}

type claimIn struct{ Body ClaimLink }

// errClaim is what everybody is told whose link does not count.
func errClaim() *Problem {
	return newProblem(http.StatusNotFound, "this link does not count: it was used, a newer one took its place, or its 72 hours are over. Ask an operator for another, "+
		"or run `carom setup-link` on the server's machine when there is no member yet")
}

func (s *service) claimLink(ctx context.Context, in *claimIn) (*signedInOut, error) {
	t := traceOf(ctx)
	address := neighbourhood(t.from)
	if wait := s.addressTries.take(address); wait > 0 {
		return nil, tooOften(wait)
	}
	m, link, err := s.claimable(ctx, &in.Body)
	if errors.Is(err, carom.ErrNotFound) {
		t.refuse(carom.Member{}, "")
		return nil, errClaim()
	}
	s.addressTries.forgive(address)
	if err != nil {
		return nil, err
	}
	if err := checkPassword("body.password", in.Body.Password, m.Email); err != nil {
		return nil, err
	}
	if m.Password, err = s.passwords.hash(ctx, in.Body.Password); err != nil {
		return nil, err
	}
	session, token := s.newSession(m.ID)
	entry := t.by(m)
	entry.Changes = []carom.AuditChange{{Field: "password", After: "(secret)"}}
	if link.Member == "" {
		entry.Changes = append(memberChanges(carom.Member{}, m), entry.Changes...)
	}
	switch err := s.Store.ClaimLink(ctx, link, m, session, entry); {
	case errors.Is(err, carom.ErrNotFound), errors.Is(err, carom.ErrConflict):
		return nil, errClaim()
	case err != nil:
		return nil, fmt.Errorf("claim a link: %w", err)
	}
	return s.signedIn(t, session, token, m)
}

// claimable finds the link that is claimed and the member as it will be, or returns carom.ErrNotFound.
func (s *service) claimable(ctx context.Context, in *ClaimLink) (m carom.Member, link carom.OneTimeLink, err error) {
	link, err = s.Store.Link(ctx, sha256.Sum256([]byte(in.Token)))
	if err != nil {
		return m, link, err
	}
	name := strings.TrimSpace(in.Name)
	if err := checkLine("body.name", name); err != nil {
		return m, link, err
	}
	if link.Member != "" {
		m, err = s.Store.Member(ctx, link.Member)
		if err == nil && (m.Disabled || publishersOnly(ctx) && m.Role != carom.RolePublisher) {
			err = carom.ErrNotFound
		}
		if name != "" {
			m.Name = name
		}
		return m, link, err
	}
	if publishersOnly(ctx) {
		return m, link, carom.ErrNotFound
	}
	email, err := carom.TidyEmail(in.Email)
	if err != nil {
		return m, link, carom.Invalid("body.email", "you become the first operator: give your e-mail address, with which you sign in from now on")
	}
	return carom.Member{ID: newMemberID(), Email: email, Name: name, Role: carom.RoleOperator, Created: s.now()}, link, nil
}

// NewPassword asks to change one's own password.
type NewPassword struct {
	Current string `json:"current" maxLength:"1000" format:"password"`
	New     string `json:"new" maxLength:"1000" format:"password" doc:"10 to 200 characters"`
}

type newPasswordIn struct{ Body NewPassword }

// changePassword ends the member's other sessions.
func (s *service) changePassword(ctx context.Context, in *newPasswordIn) (*struct{}, error) {
	t, c := traceOf(ctx), callerOf(ctx)
	if wait := s.accountTries.take(c.member.Email); wait > 0 {
		return nil, tooOften(wait)
	}
	ok, err := s.passwords.matches(ctx, c.member.Password, in.Body.Current)
	if err != nil {
		return nil, err
	}
	if !ok {
		t.refuse(c.member, c.member.Email)
		return nil, carom.Invalid("body.current", "this is not your password: try again, or ask an operator for a link that sets a new one")
	}
	s.accountTries.forgive(c.member.Email)
	if err := checkPassword("body.new", in.Body.New, c.member.Email); err != nil {
		return nil, err
	}
	hash, err := s.passwords.hash(ctx, in.Body.New)
	if err != nil {
		return nil, err
	}
	t.object = "member/" + c.id
	t.changes = []carom.AuditChange{{Field: "password", Before: "(secret)", After: "(secret changed)"}}
	if err := s.Store.SetPassword(ctx, c.id, hash, c.session.Sum, t.entry()); err != nil {
		return nil, fmt.Errorf("change a password: %w", err)
	}
	return nil, nil
}
