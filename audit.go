package carom

import (
	"fmt"
	"strings"
	"time"
)

// AuditID names an entry of the audit log: "aud_" and 16 characters. It sorts by time.
type AuditID string

// auditNoBits is room for 2^40 entries in a life.
const auditNoBits = 40

// NewAuditID makes the id of the entry with a number in a life.
func NewAuditID(inc Incarnation, no int64) AuditID {
	b := append(make([]byte, 0, 4+16), "aud_"...)
	return AuditID(appendDigits(appendDigits(b, uint64(inc), incarnationBits), uint64(no), auditNoBits))
}

// No is the number of the entry. It returns ErrInvalid when id is not the id of one.
func (id AuditID) No() (int64, error) {
	s, prefixed := strings.CutPrefix(string(id), "aud_")
	_, s, ok := readDigits(s, incarnationBits)
	no, rest, ok2 := readDigits(s, auditNoBits)
	if !prefixed || !ok || !ok2 || rest != "" {
		return 0, fmt.Errorf("%q is not the id of an audit entry: %w", string(id), ErrInvalid)
	}
	return int64(no), nil
}

// AuditEntry says who changed what, or was refused. It is appended, never changed. Secrets in it are masked.
type AuditEntry struct {
	ID      AuditID // set by the store
	At      time.Time
	Actor   Actor
	Action  string // operation id of /v1: "put-endpoint"
	Object  string // "endpoint/shop/backend"; empty: it concerns none by name
	Outcome AuditOutcome
	Status  int           // that the request was answered with
	Why     string        // the reason that was given; empty: none
	Changes []AuditChange // what differs, field by field
	Address string        // that the request came from; empty: the local socket
}

// Actor is who did something.
type Actor struct {
	Kind ActorKind `json:"kind" enum:"member,key,link,local,nobody"`
	ID   string    `json:"id"`   // "mbr_…", "key_…", "lnk_…"; empty for the local socket, and for nobody
	Name string    `json:"name"` // of nobody, the e-mail address that was tried
	Role string    `json:"role"` // a member's role, a key's scope
}

// ActorKind is how somebody proved who they are.
type ActorKind string

// The kinds.
const (
	ActorMember ActorKind = "member"
	ActorKey    ActorKind = "key"
	ActorLink   ActorKind = "link"   // of a publisher's set-up page
	ActorLocal  ActorKind = "local"  // on the machine itself
	ActorNobody ActorKind = "nobody" // proved nothing
)

// AuditOutcome is what came of a request.
type AuditOutcome string

// The outcomes.
const (
	AuditDone    AuditOutcome = "done"
	AuditRefused AuditOutcome = "refused"
)

// AuditChange is one field before and after, as text.
type AuditChange struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// AuditFilter selects entries. An empty field lets all through.
type AuditFilter struct {
	Actor   string // id or name
	Action  string
	Object  string // or what it begins with: "endpoint/shop/"
	Outcome AuditOutcome
	From    time.Time
	To      time.Time // excluded
	Before  AuditID   // of the entry behind which to go on
	Limit   int
}
