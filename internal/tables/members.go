package tables

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// What one member may have at most; more ends the oldest.
const (
	maxSessions = 20
	maxLinks    = 16
	maxFilters  = 100
)

const memberColumns = `id, email, name, role, publisher, disabled, created, last_seen, password`

func (t *Tables) scanMember(scan func(...any) error, more ...any) (carom.Member, error) {
	var m carom.Member
	var disabled, created, seen int64
	var password string
	err := scan(append([]any{&m.ID, &m.Email, &m.Name, &m.Role, &m.Publisher, &disabled, &created, &seen, &password}, more...)...)
	m.Disabled, m.Created, m.Password = disabled != 0, time.UnixMilli(created).UTC(), carom.Masked(password)
	m.LastSeen = t.uses.latest(use{useMember, m.ID}, Instant(seen))
	return m, err
}

// Members returns all members, by e-mail address.
func (t *Tables) Members(ctx context.Context) ([]carom.Member, error) {
	var list []carom.Member
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		m, err := t.scanMember(scan)
		list = append(list, m)
		return err
	}, `SELECT `+memberColumns+` FROM members ORDER BY email`)
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	return list, nil
}

// AnyMember says whether there is a member.
func (t *Tables) AnyMember(ctx context.Context) (bool, error) {
	found := false
	err := t.readRows(ctx, t.o.Lanes, func(func(...any) error) error {
		found = true
		return nil
	}, `SELECT id FROM members LIMIT 1`)
	return found, err
}

// Member returns a member by its id or e-mail address, or carom.ErrNotFound.
func (t *Tables) Member(ctx context.Context, name string) (carom.Member, error) {
	m, err := t.scanMember(t.o.Lanes.QueryRowContext(ctx, `SELECT `+memberColumns+` FROM members WHERE id = ?1 OR email = ?1`, name).Scan)
	if err != nil {
		return carom.Member{}, fmt.Errorf("member %q: %w", name, t.o.Translate(err))
	}
	return m, nil
}

func insertMember(tx Tx, m *carom.Member) error {
	return tx.Exec(`INSERT INTO members (`+memberColumns+`) VALUES (?,?,?,?,?,?,?,?,?)`,
		m.ID, m.Email, m.Name, string(m.Role), m.Publisher, Truth(m.Disabled), m.Created.UnixMilli(), milli(m.LastSeen), string(m.Password))
}

// milli is a time as it is stored: 0 for the zero time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// CreateMember stores a member, with a link for it and entries of the audit log. It returns carom.ErrConflict when the id or the e-mail
// address exists.
func (t *Tables) CreateMember(ctx context.Context, m carom.Member, link carom.OneTimeLink, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if err := insertMember(tx, &m); err != nil {
			return err
		}
		if err := insertLink(tx, &link); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("create member: %w", err)
	}
	return nil
}

// ChangeMember stores the member's e-mail address, name, role, publisher and whether it is disabled, which ends its sessions and links.
// It returns carom.ErrNotFound, carom.ErrChanged when these are not what they were, carom.ErrConflict when another has the e-mail address, and
// carom.ErrLastOperator.
func (t *Tables) ChangeMember(ctx context.Context, was, m carom.Member, audit ...carom.AuditEntry) error {
	if err := t.changeMembers(ctx, audit, func(tx Tx) error {
		n, err := tx.ExecCount(`UPDATE members SET email = ?, name = ?, role = ?, publisher = ?, disabled = ?
			WHERE id = ? AND email = ? AND name = ? AND role = ? AND publisher = ? AND disabled = ?`,
			m.Email, m.Name, string(m.Role), m.Publisher, Truth(m.Disabled), m.ID, was.Email, was.Name, string(was.Role), was.Publisher, Truth(was.Disabled))
		if err != nil {
			return err
		}
		if n == 0 {
			there, err := tx.Int64(`SELECT count(*) FROM members WHERE id = ?`, m.ID)
			if err == nil && there > 0 {
				err = carom.ErrChanged
			}
			return orNotFound(err)
		}
		if m.Disabled {
			return forget(tx, m.ID, "sessions", "links")
		}
		return nil
	}); err != nil {
		return fmt.Errorf("change member %s: %w", m.ID, err)
	}
	return nil
}

// DeleteMember removes a member with its sessions, links and filters. It returns carom.ErrNotFound and carom.ErrLastOperator.
func (t *Tables) DeleteMember(ctx context.Context, id string, audit ...carom.AuditEntry) error {
	if err := t.changeMembers(ctx, audit, func(tx Tx) error {
		n, err := tx.ExecCount(`DELETE FROM members WHERE id = ?`, id)
		if err != nil || n == 0 {
			return orNotFound(err)
		}
		return forget(tx, id, "sessions", "links", "filters")
	}); err != nil {
		return fmt.Errorf("delete member %s: %w", id, err)
	}
	return nil
}

func orNotFound(err error) error {
	if err == nil {
		err = carom.ErrNotFound
	}
	return err
}

// forget deletes what tables hold of a member.
func forget(tx Tx, member string, tables ...string) error {
	for _, table := range tables {
		if err := tx.Exec(`DELETE FROM `+table+` WHERE member = ?`, member); err != nil {
			return err
		}
	}
	return nil
}

// changeMembers changes members unless that takes the last operator away who may sign in.
func (t *Tables) changeMembers(ctx context.Context, audit []carom.AuditEntry, change func(Tx) error) error {
	const operators = `SELECT count(*) FROM members WHERE role = 'operator' AND disabled = 0`
	return t.o.Write(ctx, func(tx Tx) error {
		before, err := tx.Int64(operators)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		switch left, err := tx.Int64(operators); {
		case err != nil:
			return err
		case before > 0 && left == 0:
			return carom.ErrLastOperator
		}
		return t.addAudit(tx, audit)
	})
}

func insertLink(tx Tx, l *carom.OneTimeLink) error {
	if err := tx.Exec(`INSERT INTO links (sum, member, created, expires) VALUES (?,?,?,?)`,
		l.Sum[:], l.Member, l.Created.UnixMilli(), l.Expires.UnixMilli()); err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM links WHERE member = ?1 AND sum NOT IN (SELECT sum FROM links WHERE member = ?1 ORDER BY created DESC, sum LIMIT ?2)`,
		l.Member, int64(maxLinks))
}

// CreateLink stores a link. One that makes the first member returns carom.ErrConflict when there is a member, one of a member
// carom.ErrNotFound when there is no such, or it is disabled.
func (t *Tables) CreateLink(ctx context.Context, l carom.OneTimeLink, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if err := claimable(tx, l.Member); err != nil {
			return err
		}
		if err := insertLink(tx, &l); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("create link: %w", err)
	}
	return nil
}

// claimable says whether a link to a member, or to become the first with "", leads anywhere.
func claimable(tx Tx, member string) error {
	query, args := `SELECT count(*) FROM members WHERE id = ? AND disabled = 0`, []any{member}
	if member == "" {
		query, args = `SELECT count(*) FROM members`, nil
	}
	n, err := tx.Int64(query, args...)
	switch {
	case err == nil && member == "" && n > 0:
		err = fmt.Errorf("there are members: %w", carom.ErrConflict)
	case err == nil && member != "" && n == 0:
		err = carom.ErrNotFound
	}
	return err
}

// Link returns a link that still counts, or carom.ErrNotFound.
func (t *Tables) Link(ctx context.Context, sum [32]byte) (carom.OneTimeLink, error) {
	l := carom.OneTimeLink{Sum: sum}
	var created, expires int64
	err := t.o.Lanes.QueryRowContext(ctx, `SELECT member, created, expires FROM links WHERE sum = ? AND expires > ?`, sum[:], t.o.Clock().UnixMilli()).
		Scan(&l.Member, &created, &expires)
	if err != nil {
		return carom.OneTimeLink{}, fmt.Errorf("link: %w", t.o.Translate(err))
	}
	l.Created, l.Expires = time.UnixMilli(created).UTC(), time.UnixMilli(expires).UTC()
	return l, nil
}

// ClaimLink uses a link up: its member gets the password of m, and m's name unless that is empty, other links to it and its sessions
// end, and a session of it begins. A link without a member makes m the first one. It returns carom.ErrNotFound when the link counts no
// more or its member is disabled, and carom.ErrConflict when somebody else has become the first member.
func (t *Tables) ClaimLink(ctx context.Context, l carom.OneTimeLink, m carom.Member, session carom.Session, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		n, err := tx.ExecCount(`DELETE FROM links WHERE sum = ? AND expires > ?`, l.Sum[:], t.o.Clock().UnixMilli())
		if err != nil || n == 0 {
			return orNotFound(err)
		}
		if err := claimable(tx, l.Member); err != nil {
			return err
		}
		if err := forget(tx, l.Member, "links", "sessions"); err != nil {
			return err
		}
		if l.Member == "" {
			err = insertMember(tx, &m)
		} else {
			err = tx.Exec(`UPDATE members SET password = ?1, name = CASE ?2 WHEN '' THEN name ELSE ?2 END WHERE id = ?3`, string(m.Password), m.Name, l.Member)
		}
		if err != nil {
			return err
		}
		if err := insertSession(tx, &session); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("claim link: %w", err)
	}
	t.used(&session)
	return nil
}

// SetPassword gives a member another password, and ends its links and its sessions but the one to keep. It returns carom.ErrNotFound.
func (t *Tables) SetPassword(ctx context.Context, member string, password carom.Masked, keep [32]byte, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		n, err := tx.ExecCount(`UPDATE members SET password = ? WHERE id = ?`, string(password), member)
		if err != nil || n == 0 {
			return orNotFound(err)
		}
		if err := tx.Exec(`DELETE FROM sessions WHERE member = ? AND sum <> ?`, member, keep[:]); err != nil {
			return err
		}
		if err := forget(tx, member, "links"); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}

func insertSession(tx Tx, s *carom.Session) error {
	if err := tx.Exec(`INSERT INTO sessions (sum, member, created, seen) VALUES (?,?,?,?)`,
		s.Sum[:], s.Member, s.Created.UnixMilli(), s.Seen.UnixMilli()); err != nil {
		return err
	}
	return tx.Exec(`DELETE FROM sessions WHERE member = ?1 AND sum NOT IN (SELECT sum FROM sessions WHERE member = ?1 ORDER BY created DESC, sum LIMIT ?2)`,
		s.Member, int64(maxSessions))
}

// CreateSession stores a session. It returns carom.ErrNotFound when its member is not there, or disabled.
func (t *Tables) CreateSession(ctx context.Context, s carom.Session, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if err := claimable(tx, s.Member); err != nil {
			return err
		}
		if err := insertSession(tx, &s); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	t.used(&s)
	return nil
}

// Session returns a session that counts, with its member, and notes that they are used; else carom.ErrNotFound. Nothing of it is kept in
// memory, so that what ends on one node has ended on all.
func (t *Tables) Session(ctx context.Context, sum [32]byte) (carom.Session, carom.Member, error) {
	s := carom.Session{Sum: sum}
	var created, seen int64
	m, err := t.scanMember(t.o.Lanes.QueryRowContext(ctx, `SELECT m.id, m.email, m.name, m.role, m.publisher, m.disabled, m.created, m.last_seen, m.password,
		s.created, s.seen FROM sessions s JOIN members m ON m.id = s.member WHERE s.sum = ? AND m.disabled = 0`, sum[:]).Scan, &created, &seen)
	if err != nil {
		return carom.Session{}, carom.Member{}, fmt.Errorf("session: %w", t.o.Translate(err))
	}
	s.Member, s.Created, s.Seen = m.ID, time.UnixMilli(created).UTC(), t.uses.latest(use{useSession, string(sum[:])}, time.UnixMilli(seen).UTC())
	if s.Ended(t.o.Clock()) {
		return carom.Session{}, carom.Member{}, fmt.Errorf("session: %w", carom.ErrNotFound)
	}
	t.used(&s)
	return s, m, nil
}

// used notes that a session and its member are used.
func (t *Tables) used(s *carom.Session) {
	now := t.o.Clock()
	t.uses.note(use{useSession, string(s.Sum[:])}, now)
	t.uses.note(use{useMember, s.Member}, now)
}

// EndSession ends a session; one that is not there has ended.
func (t *Tables) EndSession(ctx context.Context, sum [32]byte, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if err := tx.Exec(`DELETE FROM sessions WHERE sum = ?`, sum[:]); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// SavedFilters returns what a member has saved, by name.
func (t *Tables) SavedFilters(ctx context.Context, member string) ([]carom.SavedFilter, error) {
	list := []carom.SavedFilter{}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var f carom.SavedFilter
		err := scan(&f.Name, &f.Page, &f.Query)
		list = append(list, f)
		return err
	}, `SELECT name, page, query FROM filters WHERE member = ? ORDER BY name`, member)
	if err != nil {
		return nil, fmt.Errorf("saved filters: %w", err)
	}
	return list, nil
}

// SaveFilter saves a filter of a member in the place of the one with its name. It returns carom.ErrConflict when the member has too many.
func (t *Tables) SaveFilter(ctx context.Context, member string, f carom.SavedFilter) error {
	return t.o.Write(ctx, func(tx Tx) error {
		if err := tx.Exec(`INSERT INTO filters (member, name, page, query) VALUES (?,?,?,?)
			ON CONFLICT (member, name) DO UPDATE SET page = excluded.page, query = excluded.query`, member, f.Name, f.Page, f.Query); err != nil {
			return err
		}
		n, err := tx.Int64(`SELECT count(*) FROM filters WHERE member = ?`, member)
		if err == nil && n > maxFilters {
			err = fmt.Errorf("more than %d saved filters: %w", maxFilters, carom.ErrConflict)
		}
		return err
	})
}

// DeleteFilter removes a saved filter, or returns carom.ErrNotFound.
func (t *Tables) DeleteFilter(ctx context.Context, member, name string) error {
	return t.o.Write(ctx, func(tx Tx) error {
		n, err := tx.ExecCount(`DELETE FROM filters WHERE member = ? AND name = ?`, member, name)
		if err != nil || n == 0 {
			return orNotFound(err)
		}
		return nil
	})
}
