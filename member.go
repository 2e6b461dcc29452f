package carom

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
)

// Member is a person who signs in to the dashboard.
type Member struct {
	ID        string // "mbr_…"
	Email     string // as [TidyEmail] writes it; no two members share one
	Name      string
	Role      Role
	Publisher string // whose member it is, with the role publisher; else empty
	Disabled  bool   // may not sign in, and has no session
	Created   time.Time
	LastSeen  time.Time // zero: never
	Password  Masked    // its argon2id hash; empty: none was set yet
}

// Role is what a member may do. See the table in docs/people.md.
type Role string

const (
	RoleOperator  Role = "operator"  // everything
	RolePublisher Role = "publisher" // what a key with the scope publisher may do
	RoleViewer    Role = "viewer"    // reads everything but secrets
	RoleSupport   Role = "support"   // a viewer who also resends and reprocesses
)

// ErrLastOperator is the ErrConflict of a change after which no operator could sign in.
var ErrLastOperator = fmt.Errorf("the last operator: %w", ErrConflict)

// ErrChanged is the ErrConflict of a change to something that is not any more as it was read.
var ErrChanged = fmt.Errorf("changed meanwhile: %w", ErrConflict)

// How long what people are given counts.
const (
	SessionFor     = 30 * 24 * time.Hour // a session, at most
	SessionIdleFor = 7 * 24 * time.Hour  // a session that nobody uses
	OneTimeLinkFor = 72 * time.Hour
)

// TidyEmail writes an e-mail address as it is kept and compared: without spaces around it and in lower case. It returns a
// FieldError when it is none.
func TidyEmail(text string) (string, error) {
	email := strings.ToLower(strings.TrimSpace(text))
	a, err := mail.ParseAddress(email)
	if err != nil || a.Address != email || len(email) > 254 {
		return "", Invalid("email", "this is not an e-mail address: write one such as mia@example.com")
	}
	return email, nil
}

// Session is the sign-in of a member in one browser. The text that the browser holds is not kept, only its SHA-256.
type Session struct {
	Sum     [32]byte
	Member  string // its id
	Created time.Time
	Seen    time.Time // to the minute
}

// Ended says whether the session counts no more at a moment.
func (s *Session) Ended(now time.Time) bool {
	return !now.Before(s.Created.Add(SessionFor)) || !now.Before(s.Seen.Add(SessionIdleFor))
}

// OneTimeLink lets its holder set a password, once. The text that is in the link is not kept, only its SHA-256.
type OneTimeLink struct {
	Sum     [32]byte
	Member  string // its id; empty: whoever has the link becomes the first operator
	Created time.Time
	Expires time.Time
}

// SavedFilter is what a member looks at often: the query of a page of the dashboard, by a name of its own.
type SavedFilter struct {
	Name  string `json:"name"`
	Page  string `json:"page"`  // "events"
	Query string `json:"query"` // as in the page's URL, without the question mark
}
