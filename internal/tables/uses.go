package tables

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// use is something of which it is kept when it was last used, to the minute.
type use struct {
	kind useKind
	id   string // of a session, its sum
}

type useKind int

const (
	useKey useKind = iota
	useMember
	useSession
)

// uses are when things were last used, as far as that is not stored yet: storing it each time would be a commit for every request.
type uses struct{ of sync.Map } // use → *lastUse

// lastUse holds milliseconds since 1970.
type lastUse struct{ at, stored atomic.Int64 }

// usesEvery is how exactly it is known when something was last used.
const usesEvery = time.Minute

// note remembers that something is used now.
func (u *uses) note(what use, now time.Time) {
	v, ok := u.of.Load(what)
	if !ok {
		v, _ = u.of.LoadOrStore(what, &lastUse{})
	}
	if last := v.(*lastUse); now.UnixMilli()-last.at.Load() >= usesEvery.Milliseconds() {
		last.at.Store(now.UnixMilli())
	}
}

// latest is the later of what is stored and what is remembered.
func (u *uses) latest(what use, stored time.Time) time.Time {
	if v, ok := u.of.Load(what); ok {
		if at := time.UnixMilli(v.(*lastUse).at.Load()).UTC(); at.After(stored) {
			return at
		}
	}
	return stored
}

// statement stores the last use of something of the kind. Another process may have stored a later one.
func (k useKind) statement() string {
	switch k {
	case useMember:
		return `UPDATE members SET last_seen = ?1 WHERE id = ?2 AND last_seen < ?1`
	case useSession:
		return `UPDATE sessions SET seen = ?1 WHERE sum = ?2 AND seen < ?1`
	}
	return `UPDATE api_keys SET last_used = ?1 WHERE id = ?2 AND last_used < ?1`
}

// StoreUses stores when keys, members and sessions were last used. A store calls it every minute.
func (t *Tables) StoreUses(ctx context.Context) error {
	type entry struct {
		use
		*lastUse
		now int64
	}
	var news []entry
	t.uses.of.Range(func(k, v any) bool {
		if last := v.(*lastUse); last.at.Load() > last.stored.Load() {
			news = append(news, entry{k.(use), last, last.at.Load()})
		}
		return true
	})
	if len(news) == 0 {
		return nil
	}
	if err := t.o.Write(ctx, func(tx Tx) error {
		for _, e := range news {
			var id any = e.id
			if e.kind == useSession {
				id = []byte(e.id)
			}
			if err := tx.Exec(e.kind.statement(), e.now, id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("store when keys and sessions were last used: %w", err)
	}
	for _, e := range news {
		e.stored.Store(e.now)
		if t.o.Clock().UnixMilli()-e.now > 24*time.Hour.Milliseconds() {
			t.uses.of.Delete(e.use)
		}
	}
	return nil
}
