package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"carom"
)

// KeyList is every API key, without the keys themselves.
type KeyList struct {
	Keys []carom.APIKey `json:"keys" nullable:"false"`
}

// NewKey asks for an API key.
type NewKey struct {
	Name      string      `json:"name" minLength:"1" maxLength:"100" doc:"Who will use it"`
	App       string      `json:"app,omitempty" doc:"Limits the key to one app; absent: all apps"`
	Publisher string      `json:"publisher,omitempty" doc:"Whose key it is; for the scope publisher alone"`
	Scope     carom.Scope `json:"scope" enum:"events,read,admin,publisher"`
}

// MadeKey is a key that was just made. Key is shown once.
type MadeKey struct {
	ID        string      `json:"id"`
	Name      string      `json:"name"`
	App       string      `json:"app,omitempty"`
	Publisher string      `json:"publisher,omitempty"`
	Scope     carom.Scope `json:"scope"`
	Key       string      `json:"key" doc:"Send it as Authorization: Bearer KEY. Shown once: only its hash is kept" shown:"once"`
}

type keysOut struct{ Body KeyList }

func (s *service) listKeys(ctx context.Context, _ *struct{}) (*keysOut, error) {
	c := callerOf(ctx)
	keys, err := s.Store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	out := &keysOut{KeyList{Keys: []carom.APIKey{}}}
	for _, k := range keys {
		if c.sees(k.App) {
			out.Body.Keys = append(out.Body.Keys, k)
		}
	}
	return out, nil
}

type createKeyIn struct{ Body NewKey }

type createKeyOut struct{ Body MadeKey }

func (s *service) createKey(ctx context.Context, in *createKeyIn) (*createKeyOut, error) {
	c := callerOf(ctx)
	if !c.sees(in.Body.App) {
		return nil, forbidden("this key is limited to the app " + c.app + ": give that app to the keys that you make with it")
	}
	if err := checkNewKey(in.Body, s.Objects.Objects()); err != nil {
		return nil, err
	}
	text := "carom_" + strings.ToLower(rand.Text())
	key := carom.APIKey{
		ID: "key_" + strings.ToLower(rand.Text()[:12]), Name: in.Body.Name, App: in.Body.App, Publisher: in.Body.Publisher, Scope: in.Body.Scope,
		Created: s.now(), Sum: sha256.Sum256([]byte(text)),
	}
	t := traceOf(ctx)
	t.object = "key/" + key.ID
	t.changes = []carom.AuditChange{{Field: "name", After: key.Name}, {Field: "scope", After: string(key.Scope)}, {Field: "app", After: key.App}, {Field: "publisher", After: key.Publisher}}
	if err := s.Store.CreateKey(ctx, key, t.entry()); err != nil {
		return nil, fmt.Errorf("create a key: %w", err)
	}
	return &createKeyOut{MadeKey{ID: key.ID, Name: key.Name, App: key.App, Publisher: key.Publisher, Scope: key.Scope, Key: text}}, nil
}

// checkNewKey says why there can be no such key.
func checkNewKey(k NewKey, o carom.Objects) error {
	forPublisher := k.Scope == carom.ScopePublisher
	switch {
	case k.App != "" && !slices.ContainsFunc(o.Apps, func(a carom.App) bool { return a.Name == k.App }):
		return carom.Invalid("app", "there is no app %q: GET /v1/objects lists them", k.App)
	case forPublisher && k.App != "":
		return carom.Invalid("app", "a key with the scope publisher is for all apps of its publisher: leave the app out")
	case forPublisher && k.Publisher == "":
		return carom.Invalid("publisher", "it is not said whose key it is: name one of the publishers that GET /v1/publishers lists")
	case !forPublisher && k.Publisher != "":
		return carom.Invalid("publisher", "only a key with the scope publisher belongs to one: change the scope, or leave it out")
	case forPublisher && !hasPublisher(o, k.Publisher):
		return carom.Invalid("publisher", "there is no publisher %q: GET /v1/publishers lists them", k.Publisher)
	}
	return nil
}

type keyIn struct {
	ID string `path:"id" example:"key_0123456789ab"`
}

func (s *service) deleteKey(ctx context.Context, in *keyIn) (*struct{}, error) {
	keys, err := s.Store.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	i := slices.IndexFunc(keys, func(k carom.APIKey) bool { return k.ID == in.ID })
	if i < 0 || !callerOf(ctx).sees(keys[i].App) {
		return nil, failf(carom.ErrNotFound, "there is no key %q: `carom keys list` shows them", in.ID)
	}
	t := traceOf(ctx)
	t.changes = []carom.AuditChange{{Field: "name", Before: keys[i].Name}, {Field: "scope", Before: string(keys[i].Scope)}}
	if err := s.Store.DeleteKey(ctx, in.ID, t.entry()); err != nil {
		return nil, fmt.Errorf("delete key %s: %w", in.ID, err)
	}
	return nil, nil
}
