package tables

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"carom"
)

// addAudit appends entries, whose ids and times it sets.
func (t *Tables) addAudit(tx Tx, entries []carom.AuditEntry) error {
	for i := range entries {
		e := &entries[i]
		changes := e.Changes
		if changes == nil {
			changes = []carom.AuditChange{}
		}
		text, err := json.Marshal(changes)
		if err != nil {
			return err
		}
		e.At = t.o.Clock().UTC().Truncate(time.Millisecond)
		no, err := tx.Int64(`INSERT INTO audit (life, at, kind, actor, name, role, action, object, outcome, status, why, changes, address)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING no`, int64(t.o.Life()), e.At.UnixMilli(), string(e.Actor.Kind), e.Actor.ID, e.Actor.Name, e.Actor.Role,
			e.Action, e.Object, string(e.Outcome), int64(e.Status), e.Why, string(text), e.Address)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		e.ID = carom.NewAuditID(t.o.Life(), no)
	}
	return nil
}

// AddAudit appends entries to the audit log, whose ids and times it sets.
func (t *Tables) AddAudit(ctx context.Context, entries ...carom.AuditEntry) error {
	return t.o.Write(ctx, func(tx Tx) error { return t.addAudit(tx, entries) })
}

// Audit returns the entries that f selects, newest first.
func (t *Tables) Audit(ctx context.Context, f carom.AuditFilter) ([]carom.AuditEntry, error) {
	where, args := "1 = 1", []any{}
	add := func(condition string, values ...any) { where, args = where+" AND "+condition, append(args, values...) }
	if f.Actor != "" {
		add("(actor = ? OR name = ?)", f.Actor, f.Actor)
	}
	if f.Action != "" {
		add("action = ?", f.Action)
	}
	if f.Object != "" { // U+FFFF is in no name, and sorts behind all that are
		add("object >= ? AND object < ?", f.Object, f.Object+"\uffff")
	}
	if f.Outcome != "" {
		add("outcome = ?", string(f.Outcome))
	}
	if !f.From.IsZero() {
		add("at >= ?", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		add("at < ?", f.To.UnixMilli())
	}
	if f.Before != "" {
		no, err := f.Before.No()
		if err != nil {
			return nil, carom.Invalid("before", "%q is not an id that a list has returned", f.Before)
		}
		add("no < ?", no)
	}
	var list []carom.AuditEntry
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var e carom.AuditEntry
		var no, life, at int64
		var changes string
		if err := scan(&no, &life, &at, &e.Actor.Kind, &e.Actor.ID, &e.Actor.Name, &e.Actor.Role, &e.Action, &e.Object, &e.Outcome, &e.Status, &e.Why,
			&changes, &e.Address); err != nil {
			return err
		}
		e.ID, e.At = carom.NewAuditID(carom.Incarnation(life), no), time.UnixMilli(at).UTC()
		if err := json.Unmarshal([]byte(changes), &e.Changes); err != nil {
			return fmt.Errorf("stored audit entry %s: %w", e.ID, err)
		}
		list = append(list, e)
		return nil
	}, `SELECT no, life, at, kind, actor, name, role, action, object, outcome, status, why, changes, address FROM audit WHERE `+where+
		` ORDER BY no DESC LIMIT ?`, append(args, PageSize(f.Limit))...)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	return list, nil
}

// PrunePeople drops sessions and links that have ended, and entries of the audit log of before a moment.
func (t *Tables) PrunePeople(ctx context.Context, now, audit time.Time) error {
	for left := int64(PruneSlice); left == PruneSlice; {
		if err := t.o.Write(ctx, func(tx Tx) (err error) {
			if err := tx.Exec(`DELETE FROM sessions WHERE created < ? OR seen < ?`,
				now.Add(-carom.SessionFor).UnixMilli(), now.Add(-carom.SessionIdleFor).UnixMilli()); err != nil {
				return err
			}
			if err := tx.Exec(`DELETE FROM links WHERE expires <= ?`, now.UnixMilli()); err != nil {
				return err
			}
			left, err = tx.ExecCount(`DELETE FROM audit WHERE no IN (SELECT no FROM audit WHERE at < ? ORDER BY no LIMIT ?)`, audit.UnixMilli(), int64(PruneSlice))
			return err
		}); err != nil {
			return fmt.Errorf("sessions and the audit log: %w", err)
		}
	}
	return nil
}
