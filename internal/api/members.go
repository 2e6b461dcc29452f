package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"carom"
)

// People is what the API asks of the store about members, and what is kept of them.
type People interface {
	// Members returns all members, by e-mail address.
	Members(ctx context.Context) ([]carom.Member, error)
	AnyMember(ctx context.Context) (bool, error)
	// Member finds a member by its id or its e-mail address, or returns carom.ErrNotFound.
	Member(ctx context.Context, name string) (carom.Member, error)
	// CreateMember returns carom.ErrConflict when the e-mail address is another's.
	CreateMember(ctx context.Context, m carom.Member, link carom.OneTimeLink, audit ...carom.AuditEntry) error
	// ChangeMember stores all but the password, if that is what it was. It returns carom.ErrNotFound, carom.ErrChanged when it is not,
	// carom.ErrConflict when the e-mail address is another's, and carom.ErrLastOperator.
	ChangeMember(ctx context.Context, was, m carom.Member, audit ...carom.AuditEntry) error
	// DeleteMember returns carom.ErrNotFound, and carom.ErrLastOperator.
	DeleteMember(ctx context.Context, id string, audit ...carom.AuditEntry) error
	// CreateLink returns carom.ErrConflict for a link to become the first member when there is one.
	CreateLink(ctx context.Context, l carom.OneTimeLink, audit ...carom.AuditEntry) error
	// Link finds a link that counts, by the SHA-256 of its text, or returns carom.ErrNotFound.
	Link(ctx context.Context, sum [32]byte) (carom.OneTimeLink, error)
	// ClaimLink uses a link up: its member gets the password of m, or m becomes the first member; and a session begins. It returns
	// carom.ErrNotFound when the link counts no more, and carom.ErrConflict when there is a first member already.
	ClaimLink(ctx context.Context, l carom.OneTimeLink, m carom.Member, session carom.Session, audit ...carom.AuditEntry) error
	// SetPassword ends the member's other sessions.
	SetPassword(ctx context.Context, member string, password carom.Masked, keep [32]byte, audit ...carom.AuditEntry) error
	CreateSession(ctx context.Context, s carom.Session, audit ...carom.AuditEntry) error
	// Session finds a session that counts with its member, who is not disabled, or returns carom.ErrNotFound.
	Session(ctx context.Context, sum [32]byte) (carom.Session, carom.Member, error)
	EndSession(ctx context.Context, sum [32]byte, audit ...carom.AuditEntry) error

	SavedFilters(ctx context.Context, member string) ([]carom.SavedFilter, error)
	// SaveFilter returns carom.ErrConflict when there are too many.
	SaveFilter(ctx context.Context, member string, f carom.SavedFilter) error
	DeleteFilter(ctx context.Context, member, name string) error

	AddAudit(ctx context.Context, entries ...carom.AuditEntry) error
	// Audit returns the entries that f selects, newest first.
	Audit(ctx context.Context, f carom.AuditFilter) ([]carom.AuditEntry, error)
}

// Member is a person who signs in to the dashboard.
type Member struct {
	ID          string     `json:"id" example:"mbr_0123456789ab"`
	Email       string     `json:"email"`
	Name        string     `json:"name"`
	Role        carom.Role `json:"role" enum:"operator,publisher,viewer,support"`
	Publisher   string     `json:"publisher,omitempty" doc:"Whose member it is, with the role publisher"`
	Disabled    bool       `json:"disabled" doc:"May not sign in"`
	Created     time.Time  `json:"created"`
	LastSeen    time.Time  `json:"last_seen,omitzero" required:"false" doc:"To the minute; absent: never"`
	HasPassword bool       `json:"has_password" doc:"false: its link was not used yet"`
}

func memberOf(m carom.Member) Member {
	return Member{
		ID: m.ID, Email: m.Email, Name: m.Name, Role: m.Role, Publisher: m.Publisher, Disabled: m.Disabled, Created: m.Created, LastSeen: m.LastSeen,
		HasPassword: m.Password != "",
	}
}

// memberName is how the audit log and the ledger call a member.
func memberName(m carom.Member) string { return cmp.Or(m.Name, m.Email) }

func newMemberID() string { return "mbr_" + strings.ToLower(rand.Text()[:12]) }

// memberChanges says which fields of a member differ.
func memberChanges(before, after carom.Member) []carom.AuditChange {
	var list []carom.AuditChange
	for _, f := range []carom.AuditChange{
		{Field: "email", Before: before.Email, After: after.Email}, {Field: "name", Before: before.Name, After: after.Name},
		{Field: "role", Before: string(before.Role), After: string(after.Role)}, {Field: "publisher", Before: before.Publisher, After: after.Publisher},
		{Field: "disabled", Before: strconv.FormatBool(before.Disabled), After: strconv.FormatBool(after.Disabled)},
	} {
		if f.Before != f.After {
			list = append(list, f)
		}
	}
	return list
}

// checkLine says why a text that people read in lists is none.
func checkLine(field, text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return carom.Invalid(field, "write it in one line of text")
	}
	return nil
}

// MemberList is every member.
type MemberList struct {
	Members []Member `json:"members" nullable:"false"`
}

type membersOut struct{ Body MemberList }

func (s *service) listMembers(ctx context.Context, _ *struct{}) (*membersOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	list, err := s.Store.Members(ctx)
	if err != nil {
		return nil, err
	}
	out := &membersOut{MemberList{Members: make([]Member, len(list))}}
	for i, m := range list {
		out.Body.Members[i] = memberOf(m)
	}
	return out, nil
}

// MemberPath names a member.
type MemberPath struct {
	Member string `path:"member" maxLength:"300" doc:"Its id or its e-mail address"`
}

type memberOut struct {
	ETag string `header:"ETag" doc:"Names this state of the member, for If-Match"`
	Body Member
}

// memberTag names the state of what is set for a member.
func (s *service) memberTag(m carom.Member) string {
	sum := carom.SumOf("member", m.ID, m.Email, m.Name, string(m.Role), m.Publisher, strconv.FormatBool(m.Disabled))
	return s.tagOf(sum[:])
}

// theMember finds a member for an operator.
func (s *service) theMember(ctx context.Context, name string) (carom.Member, error) {
	if err := callerOf(ctx).all(); err != nil {
		return carom.Member{}, err
	}
	m, err := s.Store.Member(ctx, strings.ToLower(name))
	if errors.Is(err, carom.ErrNotFound) {
		return carom.Member{}, failf(carom.ErrNotFound, "there is no member %q: `carom members list` shows them", name)
	}
	traceOf(ctx).object = "member/" + m.ID
	return m, err
}

func (s *service) getMember(ctx context.Context, in *MemberPath) (*memberOut, error) {
	m, err := s.theMember(ctx, in.Member)
	if err != nil {
		return nil, err
	}
	return &memberOut{s.memberTag(m), memberOf(m)}, nil
}

// NewMember is a member to invite.
type NewMember struct {
	Email     string     `json:"email" maxLength:"300" doc:"With which the member signs in. Nothing is sent there"`
	Name      string     `json:"name,omitempty" maxLength:"100"`
	Role      carom.Role `json:"role" enum:"operator,publisher,viewer,support"`
	Publisher string     `json:"publisher,omitempty" doc:"Whose member it is; for the role publisher alone"`
}

// ChangedMember is what a member becomes.
type ChangedMember struct {
	NewMember
	Disabled bool `json:"disabled,omitempty" doc:"May not sign in any more; its sessions end at once"`
}

// MadeMemberLink is a one-time link that was just made.
type MadeMemberLink struct {
	URL       string    `json:"url" doc:"Whoever opens it first sets the password. Shown once: carom sends no mail, hand it over yourself" shown:"once"`
	ExpiresAt time.Time `json:"expires_at"`
}

// MadeMember is a member with the link that lets it in.
type MadeMember struct {
	Member Member         `json:"member"`
	Link   MadeMemberLink `json:"link"`
}

type createMemberIn struct{ Body NewMember }

type madeMemberOut struct{ Body MadeMember }

// setMember puts what was given into a member.
func (s *service) setMember(m *carom.Member, in *NewMember) error {
	email, err := carom.TidyEmail(in.Email)
	if err != nil {
		return carom.Invalid("body.email", "%q is not an e-mail address: write one such as mia@example.com", in.Email)
	}
	name := strings.TrimSpace(in.Name)
	if err := checkLine("body.name", name); err != nil {
		return err
	}
	switch {
	case in.Role == carom.RolePublisher && in.Publisher == "":
		return carom.Invalid("body.publisher", "it is not said whose member it is: name one of the publishers that GET /v1/publishers lists")
	case in.Role != carom.RolePublisher && in.Publisher != "":
		return carom.Invalid("body.publisher", "only a member with the role publisher belongs to one: change the role, or leave the publisher out")
	case in.Publisher != m.Publisher && in.Publisher != "" && !hasPublisher(s.Objects.Objects(), in.Publisher):
		return carom.Invalid("body.publisher", "there is no publisher %q: GET /v1/publishers lists them", in.Publisher)
	}
	m.Email, m.Name, m.Role, m.Publisher = email, name, in.Role, in.Publisher
	return nil
}

func (s *service) createMember(ctx context.Context, in *createMemberIn) (*madeMemberOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	m := carom.Member{ID: newMemberID(), Created: s.now()}
	if err := s.setMember(&m, &in.Body); err != nil {
		return nil, err
	}
	t := traceOf(ctx)
	t.object, t.changes = "member/"+m.ID, memberChanges(carom.Member{}, m)
	link, made := s.newLink(m)
	if err := s.Store.CreateMember(ctx, m, link, t.entry()); err != nil {
		return nil, memberProblem(err, m.Email)
	}
	return &madeMemberOut{MadeMember{memberOf(m), made}}, nil
}

// memberProblem says why a member cannot be as it was asked for.
func memberProblem(err error, email string) error {
	switch {
	case errors.Is(err, carom.ErrLastOperator):
		return failf(carom.ErrConflict, "this is the last operator who may sign in: make another one first, with `carom members add EMAIL --role operator`")
	case errors.Is(err, carom.ErrChanged):
		return changedMeanwhile("member " + email)
	case errors.Is(err, carom.ErrConflict):
		return failf(carom.ErrConflict, "there is a member with the e-mail address %s: change that one, `carom members list` shows it", email)
	}
	return err
}

// newLink makes a link for a member, or for the first one.
func (s *service) newLink(m carom.Member) (carom.OneTimeLink, MadeMemberLink) {
	token, sum := newToken()
	link := carom.OneTimeLink{Sum: sum, Member: m.ID, Created: s.now(), Expires: s.now().Add(carom.OneTimeLinkFor)}
	base := s.DashboardURL
	if m.Role == carom.RolePublisher {
		base = s.BaseURL
	}
	return link, MadeMemberLink{URL: base + "/welcome#" + token, ExpiresAt: link.Expires}
}

type changeMemberIn struct {
	MemberPath
	IfMatch string `header:"If-Match" doc:"The ETag of the member as you read it: the answer is 412 when it was changed meanwhile"`
	Body    ChangedMember
}

func (s *service) changeMember(ctx context.Context, in *changeMemberIn) (*memberOut, error) {
	before, err := s.theMember(ctx, in.Member)
	if err != nil {
		return nil, err
	}
	if err := (Conditions{IfMatch: in.IfMatch}).check("member "+before.Email, s.memberTag(before)); err != nil {
		return nil, err
	}
	after := before
	if err := s.setMember(&after, &in.Body.NewMember); err != nil {
		return nil, err
	}
	after.Disabled = in.Body.Disabled
	t := traceOf(ctx)
	t.changes = memberChanges(before, after)
	if err := s.Store.ChangeMember(ctx, before, after, t.entry()); err != nil {
		return nil, memberProblem(err, after.Email)
	}
	return &memberOut{s.memberTag(after), memberOf(after)}, nil
}

func (s *service) deleteMember(ctx context.Context, in *MemberPath) (*struct{}, error) {
	m, err := s.theMember(ctx, in.Member)
	if err != nil {
		return nil, err
	}
	t := traceOf(ctx)
	t.changes = memberChanges(m, carom.Member{})
	if err := s.Store.DeleteMember(ctx, m.ID, t.entry()); err != nil {
		return nil, memberProblem(err, m.Email)
	}
	return nil, nil
}

// makeMemberLink makes another link for a member. It ends nothing until it is used.
func (s *service) makeMemberLink(ctx context.Context, in *MemberPath) (*madeMemberOut, error) {
	m, err := s.theMember(ctx, in.Member)
	if err != nil {
		return nil, err
	}
	if m.Disabled {
		return nil, failf(carom.ErrConflict, "the member %s is disabled, so that a link leads nowhere: run `carom members enable %[1]s` first", m.Email)
	}
	link, made := s.newLink(m)
	if err := s.Store.CreateLink(ctx, link, traceOf(ctx).entry()); err != nil {
		return nil, fmt.Errorf("make a link: %w", err)
	}
	return &madeMemberOut{MadeMember{memberOf(m), made}}, nil
}

// MadeSetupLink is the link that makes the first operator.
type MadeSetupLink struct {
	Link MadeMemberLink `json:"link"`
}

type madeSetupLinkOut struct{ Body MadeSetupLink }

func (s *service) makeSetupLink(ctx context.Context, _ *struct{}) (*madeSetupLinkOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	made, err := s.setupLink(ctx, traceOf(ctx).entry())
	if errors.Is(err, carom.ErrConflict) {
		return nil, failf(carom.ErrConflict, "there are members already: `carom members link EMAIL` makes a link with which one of them sets a new password")
	}
	return &madeSetupLinkOut{MadeSetupLink{made}}, err
}

func (s *service) setupLink(ctx context.Context, audit ...carom.AuditEntry) (MadeMemberLink, error) {
	link, made := s.newLink(carom.Member{})
	if err := s.Store.CreateLink(ctx, link, audit...); err != nil {
		return MadeMemberLink{}, fmt.Errorf("make a link: %w", err)
	}
	return made, nil
}

// FirstLink makes a link with which its holder becomes the first operator. It returns "" when there is a member.
func (h *Handler) FirstLink(ctx context.Context) (string, error) {
	found, err := h.s.Store.AnyMember(ctx)
	if err != nil || found {
		return "", err
	}
	made, err := h.s.setupLink(ctx)
	if errors.Is(err, carom.ErrConflict) { // somebody has become one just now
		return "", nil
	}
	return made.URL, err
}
