package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
)

// loadKeys reads all API keys into memory: they are few and looked up on every request.
func (s *Store) loadKeys() error {
	keys := map[[32]byte]carom.APIKey{}
	err := s.w.query(`SELECT id, name, app, scope, created, last_used, sum, publisher FROM api_keys`, func(v []driver.Value) error {
		sum, _ := v[6].([]byte)
		if len(sum) != 32 {
			return fmt.Errorf("stored API key %v: its sum is not 32 bytes: %w", v[0], carom.ErrInvalid)
		}
		k := carom.APIKey{ID: v[0].(string), Name: v[1].(string), App: v[2].(string), Scope: carom.Scope(v[3].(string)),
			Created: time.UnixMilli(v[4].(int64)).UTC(), Sum: [32]byte(sum), Publisher: v[7].(string)}
		if used := v[5].(int64); used != 0 {
			k.LastUsed = time.UnixMilli(used).UTC()
		}
		keys[k.Sum] = k
		return nil
	})
	if err != nil {
		return err
	}
	s.apiKeys.Store(&keys)
	return nil
}

// Keys returns all API keys, by name.
func (s *Store) Keys(context.Context) ([]carom.APIKey, error) {
	return slices.SortedFunc(maps.Values(*s.apiKeys.Load()), func(a, b carom.APIKey) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	}), nil
}

// KeyBySum finds an API key by the SHA-256 of its text.
func (s *Store) KeyBySum(sum [32]byte) (carom.APIKey, bool) {
	k, ok := (*s.apiKeys.Load())[sum]
	return k, ok
}

// CreateKey stores an API key. It returns carom.ErrConflict when its id or sum exists.
func (s *Store) CreateKey(ctx context.Context, k carom.APIKey) error {
	if err := s.control(ctx, func(w *writer) error {
		return w.exec(`INSERT INTO api_keys (id, name, app, scope, created, last_used, sum, publisher) VALUES (?,?,?,?,?,0,?,?)`,
			k.ID, k.Name, k.App, string(k.Scope), k.Created.UnixMilli(), k.Sum[:], k.Publisher)
	}); err != nil {
		return fmt.Errorf("create API key: %w", err)
	}
	s.changeKeys(func(keys map[[32]byte]carom.APIKey) { keys[k.Sum] = k })
	return nil
}

// DeleteKey revokes an API key at once. It returns carom.ErrNotFound when there is none with that id.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(*s.apiKeys.Load())), func(k carom.APIKey) bool { return k.ID == id }) {
		return fmt.Errorf("API key %q: %w", id, carom.ErrNotFound)
	}
	// Out of memory first: revoked means revoked, even if the disk is full.
	s.changeKeys(func(keys map[[32]byte]carom.APIKey) {
		maps.DeleteFunc(keys, func(_ [32]byte, k carom.APIKey) bool { return k.ID == id })
	})
	if err := s.control(ctx, func(w *writer) error { return w.exec(`DELETE FROM api_keys WHERE id = ?`, id) }); err != nil {
		return fmt.Errorf("delete API key: revoked until the next start, but not stored: %w", err)
	}
	return nil
}

func (s *Store) changeKeys(change func(map[[32]byte]carom.APIKey)) {
	s.sealMu.Lock()
	defer s.sealMu.Unlock()
	keys := maps.Clone(*s.apiKeys.Load())
	change(keys)
	s.apiKeys.Store(&keys)
}
