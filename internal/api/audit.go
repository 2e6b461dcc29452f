package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/objects"

	"github.com/danielgtaylor/huma/v2"
)

// traceKey carries what the audit log will say of a request.
type traceKey struct{}

// trace is what the audit log will say of a request, as far as it is known. It belongs to the request's goroutine.
type trace struct {
	actor   carom.Actor
	caller  caller
	row     class
	action  string
	object  string
	why     string
	changes []carom.AuditChange
	from    netip.Addr
	secure  bool // the browser reached the server over HTTPS
	status  int  // of a success
	dryRun  bool
	method  string

	stored  bool // an entry of it is stored, with the change itself
	refused bool // it has proved nothing, though its caller may be known; or has learned what is another's
}

// begin begins the trace of a request.
func (s *service) begin(ctx huma.Context, r *http.Request, c caller) *trace {
	op := ctx.Operation()
	return &trace{
		actor: c.actor(), caller: c, row: classOf(op.OperationID), action: op.OperationID, object: objectOf(op.Path, ctx.Param), from: s.addressOf(r),
		secure: s.overHTTPS(r), status: op.DefaultStatus, dryRun: ctx.Query("dry_run") == "true", method: op.Method,
	}
}

// traceOf is the trace of the request that ctx belongs to; outside one, a trace that nobody reads.
func traceOf(ctx context.Context) *trace {
	if t, ok := ctx.Value(traceKey{}).(*trace); ok {
		return t
	}
	return &trace{}
}

// What an entry holds of a change at most.
const (
	maxChanges     = 200
	maxChangeRunes = 1000
)

// entry is the entry of the request when it succeeds. Whoever takes it stores it with the change.
func (t *trace) entry() carom.AuditEntry {
	t.stored = true
	return t.make(carom.AuditDone, t.status)
}

func (t *trace) make(outcome carom.AuditOutcome, status int) carom.AuditEntry {
	e := carom.AuditEntry{Actor: t.actor, Action: t.action, Object: t.object, Outcome: outcome, Status: status, Why: t.why}
	if t.from.IsValid() {
		e.Address = t.from.String()
	}
	for i, c := range t.changes {
		if i == maxChanges {
			e.Changes = append(e.Changes, carom.AuditChange{Field: fmt.Sprintf("and %d fields more", len(t.changes)-i)})
			break
		}
		e.Changes = append(e.Changes, carom.AuditChange{Field: c.Field, Before: shorten(c.Before), After: shorten(c.After)})
	}
	return e
}

func shorten(text string) string {
	if len(text) <= maxChangeRunes {
		return text
	}
	if runes := []rune(text); len(runes) > maxChangeRunes {
		return string(runes[:maxChangeRunes]) + "…"
	}
	return text
}

// by is the entry of a request by which somebody has just proved to be a member.
func (t *trace) by(m carom.Member) carom.AuditEntry {
	t.actor = caller{kind: carom.ActorMember, id: m.ID, name: memberName(m), role: m.Role}.actor()
	t.object = "member/" + m.ID
	return t.entry()
}

// refuse notes that somebody has failed to prove to be a member, who may be unknown.
func (t *trace) refuse(m carom.Member, email string) {
	t.refused = true
	if m.ID == "" {
		t.actor.Name = email
		return
	}
	t.object = "member/" + m.ID
	t.actor.Name = memberName(m)
}

// record stores what a request came to, unless that is stored already: changes, and what was refused, each caller's within a bound.
func (s *service) record(ctx context.Context, t *trace, status int) {
	var e carom.AuditEntry
	switch limited := t.caller.app != "" && t.caller.kind != carom.ActorNobody; {
	case t.stored:
		return
	case status < http.StatusBadRequest && t.row.changes(t.method, t.dryRun):
		e = t.make(carom.AuditDone, status)
	case t.refused, status == http.StatusForbidden, status == http.StatusNotFound && limited:
		if s.refusals.take(t.caller.key(neighbourhood(t.from))) > 0 {
			return
		}
		e = t.make(carom.AuditRefused, status)
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // the caller may be gone
	defer cancel()
	if err := s.Store.AddAudit(ctx, e); err != nil {
		s.Log.ErrorContext(ctx, "audit entry not stored", "action", e.Action, "object", e.Object, "who", e.Actor.Name, "outcome", e.Outcome, "error", err)
	}
}

// objectKinds are how objects are called in paths and in the audit log.
var objectKinds = map[string]string{
	"publishers": "publisher", "apps": "app", "sources": "source", "endpoints": "endpoint", "rules": "rule", "zones": "zone",
	"creatives": "creative", "dialects": "dialect", "events": "event", "deliveries": "delivery", "received": "received", "rewards": "reward",
	"statements": "statement", "keys": "key", "members": "member", "filters": "filter", "views": "view",
}

// objectOf names what a request is about, as the audit log does: "endpoint/shop/backend". It is the last in the path; an app before it
// is part of its name.
func objectOf(path string, param func(string) string) string {
	var kind string
	var name []string
	segments := strings.Split(strings.TrimPrefix(path, "/v1/"), "/")
	for i, segment := range segments {
		switch is, known := objectKinds[segment]; {
		case known && i+1 < len(segments) && strings.HasPrefix(segments[i+1], "{"):
			if kind != "app" {
				name = nil
			}
			kind = is
		case strings.HasPrefix(segment, "{"):
			name = append(name, param(strings.Trim(segment, "{}")))
		}
	}
	if kind == "" {
		return ""
	}
	return kind + "/" + strings.Join(name, "/")
}

// auditedObjects is the live configuration, whose changes are stored with an entry of the audit log each.
type auditedObjects struct{ live Objects }

// Objects returns what is in force.
func (o auditedObjects) Objects() carom.Objects { return o.live.Objects() }

// File is the file that the objects come from.
func (o auditedObjects) File() string { return o.live.File() }

// Plan reads an objects file.
func (o auditedObjects) Plan(yaml []byte, prune bool) (carom.Objects, []Change, []MadeSecret, error) {
	return o.live.Plan(yaml, prune)
}

// Apply stores want with an entry that says what differs, and puts it in force.
func (o auditedObjects) Apply(ctx context.Context, want carom.Objects) error {
	t := traceOf(ctx)
	of := *t // what is noted of a change that fails is not of the next
	of.noteObjects(diffObjects(o.Objects(), want))
	err := o.live.Apply(ctx, want, of.entry())
	t.stored = t.stored || err == nil
	return err
}

// noteObjects notes which objects a request changes.
func (t *trace) noteObjects(changes []Change) {
	changes = slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.Action == changeKept })
	if len(changes) == 1 {
		t.object = changes[0].Kind + "/" + changes[0].ID
	}
	for _, c := range changes {
		prefix := ""
		if len(changes) > 1 {
			prefix = c.Kind + "/" + c.ID + " "
		}
		if c.Action != "changed" {
			t.changes = append(t.changes, carom.AuditChange{Field: prefix + c.Action, After: c.Kind + "/" + c.ID})
		}
		for _, f := range c.Fields {
			t.changes = append(t.changes, carom.AuditChange{Field: prefix + f.Field, Before: f.Before, After: f.After})
		}
	}
}

// AuditEntry is who changed what, or was refused.
type AuditEntry struct {
	ID      carom.AuditID       `json:"id"`
	At      time.Time           `json:"at"`
	Actor   carom.Actor         `json:"actor"`
	Action  string              `json:"action" doc:"The operation's id"`
	Object  string              `json:"object,omitempty" doc:"What it is about: kind/id"`
	Outcome carom.AuditOutcome  `json:"outcome" enum:"done,refused"`
	Status  int                 `json:"status" doc:"That the request was answered with"`
	Why     string              `json:"why,omitempty" doc:"The reason that was given"`
	Changes []carom.AuditChange `json:"changes" nullable:"false" doc:"Field by field; secrets are masked"`
	Address string              `json:"address,omitempty" doc:"That the request came from; absent: the machine itself"`
}

// AuditList is a page of the audit log.
type AuditList struct {
	Entries []AuditEntry  `json:"entries" nullable:"false"`
	Next    carom.AuditID `json:"next,omitempty" doc:"The cursor of the next page"`
}

type auditIn struct {
	Span
	Actor   string `query:"actor" doc:"Who did it: an id or a name"`
	Action  string `query:"action" doc:"An operation's id"`
	Object  string `query:"object" doc:"kind/id, or what it begins with: endpoint/shop/"`
	Outcome string `query:"outcome" enum:"done,refused"`
	Before  string `query:"before" doc:"The cursor: only entries older than the one with this id"`
	Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type auditOut struct{ Body AuditList }

func (s *service) listAudit(ctx context.Context, in *auditIn) (*auditOut, error) {
	if err := callerOf(ctx).all(); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	list, err := s.Store.Audit(ctx, carom.AuditFilter{
		Actor: in.Actor, Action: in.Action, Object: in.Object, Outcome: carom.AuditOutcome(in.Outcome), From: in.From, To: in.To,
		Before: carom.AuditID(in.Before), Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	out := &auditOut{AuditList{Entries: make([]AuditEntry, len(list))}}
	for i, e := range list {
		out.Body.Entries[i] = AuditEntry(e)
	}
	if len(list) == in.Limit {
		out.Body.Next = list[len(list)-1].ID
	}
	return out, nil
}

// diffObjects says what differs between two configurations, with secrets masked.
func diffObjects(have, want carom.Objects) []Change {
	list := objects.Diff(have, want, true)
	out := make([]Change, len(list))
	for i, c := range list {
		out[i] = Change{Kind: string(c.Kind), ID: c.ID, Action: string(c.Action)}
		for _, f := range c.Fields {
			out[i].Fields = append(out[i].Fields, FieldChange(f))
		}
	}
	return out
}
