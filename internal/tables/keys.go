package tables

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
)

// LoadKeys reads all API keys into memory: they are few and looked up on every request. Called again, it takes up what others have
// made and deleted since. With an error, what was known before stands.
func (t *Tables) LoadKeys(ctx context.Context) error {
	t.keysMu.Lock() // also while it reads: a key that is made meanwhile is added behind it
	defer t.keysMu.Unlock()
	keys := map[[32]byte]carom.APIKey{}
	if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var k carom.APIKey
		var created, used int64
		var sum []byte
		if err := scan(&k.ID, &k.Name, &k.App, &k.Scope, &created, &used, &sum, &k.Publisher); err != nil {
			return err
		}
		if len(sum) != len(k.Sum) {
			return fmt.Errorf("stored API key %s: its sum is not 32 bytes: %w", k.ID, carom.ErrInvalid)
		}
		k.Created, k.LastUsed, k.Sum = time.UnixMilli(created).UTC(), Instant(used), [32]byte(sum)
		if !t.revoked[k.ID] {
			keys[k.Sum] = k
		}
		return nil
	}, `SELECT id, name, app, scope, created, last_used, sum, publisher FROM api_keys`); err != nil {
		return fmt.Errorf("read API keys: %w", err)
	}
	t.keys.Store(&keys)
	return nil
}

// Keys returns all API keys, by name, with when each was last used.
func (t *Tables) Keys(context.Context) ([]carom.APIKey, error) {
	keys := slices.SortedFunc(maps.Values(*t.keys.Load()), func(a, b carom.APIKey) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	for i := range keys {
		keys[i].LastUsed = t.uses.latest(use{useKey, keys[i].ID}, keys[i].LastUsed)
	}
	return keys, nil
}

// KeyBySum finds an API key by the SHA-256 of its text, and notes that it is used.
func (t *Tables) KeyBySum(sum [32]byte) (carom.APIKey, bool) {
	k, ok := (*t.keys.Load())[sum]
	if ok {
		t.uses.note(use{useKey, k.ID}, t.o.Clock())
	}
	return k, ok
}

// CreateKey stores an API key, with entries of the audit log. It returns carom.ErrConflict when its id or sum exists.
func (t *Tables) CreateKey(ctx context.Context, k carom.APIKey, audit ...carom.AuditEntry) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if err := tx.Exec(`INSERT INTO api_keys (id, name, app, scope, created, last_used, sum, publisher) VALUES (?,?,?,?,?,0,?,?)`,
			k.ID, k.Name, k.App, string(k.Scope), k.Created.UnixMilli(), k.Sum[:], k.Publisher); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("create API key: %w", err)
	}
	t.changeKeys(func(keys map[[32]byte]carom.APIKey) { keys[k.Sum] = k })
	return nil
}

// DeleteKey revokes an API key at once, and stores that with entries of the audit log. It returns carom.ErrNotFound when there is none
// with that id.
func (t *Tables) DeleteKey(ctx context.Context, id string, audit ...carom.AuditEntry) error {
	known := false
	// Out of memory first: revoked means revoked, even if the disk is full.
	t.changeKeys(func(keys map[[32]byte]carom.APIKey) {
		before := len(keys)
		maps.DeleteFunc(keys, func(_ [32]byte, k carom.APIKey) bool { return k.ID == id })
		known = len(keys) < before
		t.revoked[id] = true
	})
	var deleted int64
	if err := t.o.Write(ctx, func(tx Tx) (err error) {
		if deleted, err = tx.ExecCount(`DELETE FROM api_keys WHERE id = ?`, id); err != nil || deleted == 0 {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return fmt.Errorf("delete API key: revoked until the next start, but not stored: %w", err)
	}
	t.changeKeys(func(map[[32]byte]carom.APIKey) { delete(t.revoked, id) })
	if deleted == 0 && !known { // another process may have made one that this one does not know yet, or deleted one that it knows
		return fmt.Errorf("API key %q: %w", id, carom.ErrNotFound)
	}
	return nil
}

// changeKeys gives a changed copy of the keys the place of those in memory. change may use revoked.
func (t *Tables) changeKeys(change func(map[[32]byte]carom.APIKey)) {
	t.keysMu.Lock()
	defer t.keysMu.Unlock()
	keys := maps.Clone(*t.keys.Load())
	change(keys)
	t.keys.Store(&keys)
}
