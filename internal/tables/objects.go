package tables

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"carom"
)

// storedEndpoint is how an endpoint is kept: with its signing secrets, which carom.Endpoint never writes out.
type storedEndpoint struct {
	carom.Endpoint
	SigningSecrets []storedSecret `json:"signing_secrets,omitempty"`
}

// storedApp is how an app is kept, likewise.
type storedApp struct {
	carom.App
	BotToken string `json:"bot_token,omitempty"`
}

// storedSource is how a source is kept, likewise.
type storedSource struct {
	carom.Source
	NetworkSecrets []storedSecret `json:"network_secrets,omitempty"`
}

type storedSecret struct {
	Key      string    `json:"key"`
	NotAfter time.Time `json:"not_after,omitzero"`
}

func toStored(secrets []carom.SigningSecret) []storedSecret {
	var out []storedSecret
	for _, k := range secrets {
		out = append(out, storedSecret{Key: string(k.Key), NotAfter: k.NotAfter})
	}
	return out
}

func fromStored(secrets []storedSecret) []carom.SigningSecret {
	var out []carom.SigningSecret
	for _, k := range secrets {
		out = append(out, carom.SigningSecret{Key: carom.Masked(k.Key), NotAfter: k.NotAfter})
	}
	return out
}

// The kinds of object, as stored.
const (
	kindPublisher = "publisher"
	kindApp       = "app"
	kindSource    = "source"
	kindEndpoint  = "endpoint"
	kindRule      = "rule"
	kindZone      = "zone"
	kindCreative  = "creative"
	kindDialect   = "dialect"
)

// Objects returns what is configured, in order of name, endpoints with their numbers, and its version.
func (t *Tables) Objects(ctx context.Context) (carom.Objects, error) {
	var o carom.Objects
	// The version first: if somebody replaces the objects between the two, it is too old, and SetObjects refuses it.
	if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error { return scan(&o.Version) },
		`SELECT value FROM meta WHERE key = 'objects_version'`); err != nil {
		return carom.Objects{}, err
	}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var kind, id, stored string
		if err := scan(&kind, &id, &stored); err != nil {
			return err
		}
		body, err := OpenObject(t.o.Keys, kind, id, stored)
		if err != nil {
			return err
		}
		if err := addObject(&o, kind, body); err != nil {
			return fmt.Errorf("stored %s: %w", kind, err)
		}
		return nil
	}, `SELECT kind, id, body FROM objects ORDER BY kind, id`)
	return o, err
}

func addObject(o *carom.Objects, kind string, body []byte) error {
	switch kind {
	case kindPublisher:
		return appendJSON(&o.Publishers, body)
	case kindApp:
		var a storedApp
		if err := json.Unmarshal(body, &a); err != nil {
			return err
		}
		a.App.BotToken = carom.Masked(a.BotToken)
		o.Apps = append(o.Apps, a.App)
		return nil
	case kindRule:
		return appendJSON(&o.Rules, body)
	case kindZone:
		return appendJSON(&o.Zones, body)
	case kindCreative:
		return appendJSON(&o.Creatives, body)
	case kindDialect:
		return appendJSON(&o.Dialects, body)
	case kindSource:
		var src storedSource
		if err := json.Unmarshal(body, &src); err != nil {
			return err
		}
		src.Source.NetworkSecrets = fromStored(src.NetworkSecrets)
		o.Sources = append(o.Sources, src.Source)
		return nil
	case kindEndpoint:
		var e storedEndpoint
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		e.Endpoint.SigningSecrets = fromStored(e.SigningSecrets)
		o.Endpoints = append(o.Endpoints, e.Endpoint)
		return nil
	}
	return fmt.Errorf("a kind that this version does not know: %w", carom.ErrInvalid)
}

func appendJSON[T any](list *[]T, body []byte) error {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

// SetObjects replaces what is configured, and returns it with its new version and the endpoints' numbers: an endpoint keeps the number
// of its name, a new one gets one that was never used, and that of a deleted one is not used again. o is not changed.
//
// o.Version is that of the objects which o was made from, 0 if there never were any. SetObjects returns carom.ErrConflict when they
// were changed since. The entries of the audit log are stored with the change.
func (t *Tables) SetObjects(ctx context.Context, o carom.Objects, audit ...carom.AuditEntry) (carom.Objects, error) {
	var made carom.Objects
	if err := t.o.Write(ctx, func(tx Tx) error {
		made = o
		made.Endpoints = slices.Clone(o.Endpoints)
		if err := t.setObjects(tx, &made, t.o.Clock()); err != nil {
			return err
		}
		return t.addAudit(tx, audit)
	}); err != nil {
		return carom.Objects{}, fmt.Errorf("store objects: %w", err)
	}
	return made, nil
}

func (t *Tables) setObjects(tx Tx, o *carom.Objects, now time.Time) error {
	if err := t.canOpen(tx); err != nil {
		return err
	}
	stored, err := tx.Int64(`SELECT value FROM meta WHERE key = 'objects_version'`)
	if err != nil {
		return err
	}
	if stored != o.Version {
		return fmt.Errorf("the objects were changed meanwhile: read them again: %w", carom.ErrConflict)
	}
	o.Version++
	if err := tx.Exec(`INSERT INTO meta (key, value) VALUES ('objects_version', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, o.Version); err != nil {
		return err
	}
	if err := numberEndpoints(tx, o.Endpoints, now); err != nil {
		return err
	}
	if err := tx.Exec(`DELETE FROM objects`); err != nil {
		return err
	}
	for _, s := range storedObjects(o) {
		body, err := json.Marshal(s.body)
		if err != nil {
			return err
		}
		if err := t.putObject(tx, s.kind, s.id, body); err != nil {
			return err
		}
	}
	return nil
}

// storedObject is a row of objects.
type storedObject struct {
	kind, id string
	body     any // as JSON
}

func storedObjects(o *carom.Objects) []storedObject {
	var all []storedObject
	put := func(kind, id string, body any) { all = append(all, storedObject{kind, id, body}) }
	for _, p := range o.Publishers {
		put(kindPublisher, p.Name, p)
	}
	for _, a := range o.Apps {
		put(kindApp, a.Name, storedApp{a, string(a.BotToken)})
	}
	for _, src := range o.Sources {
		put(kindSource, src.ID(), storedSource{src, toStored(src.NetworkSecrets)})
	}
	for _, r := range o.Rules {
		put(kindRule, r.ID(), r)
	}
	for _, z := range o.Zones {
		put(kindZone, z.App+"/"+z.ID, z)
	}
	for _, c := range o.Creatives {
		put(kindCreative, c.Name, c)
	}
	for _, d := range o.Dialects {
		put(kindDialect, d.Name, d)
	}
	for _, e := range o.Endpoints {
		put(kindEndpoint, e.ID(), storedEndpoint{e, toStored(e.SigningSecrets)})
	}
	return all
}

// numberEndpoints gives each endpoint its permanent number and retires those of endpoints that are gone.
func numberEndpoints(tx Tx, endpoints []carom.Endpoint, now time.Time) error {
	have := map[string]int64{}
	if err := tx.Query(`SELECT no, id FROM endpoint_numbers WHERE deleted_at = 0`, func(v []driver.Value) error {
		have[v[1].(string)] = v[0].(int64)
		return nil
	}); err != nil {
		return err
	}
	for i := range endpoints {
		e := &endpoints[i]
		no, known := have[e.ID()]
		if delete(have, e.ID()); !known {
			var err error
			if no, err = tx.Int64(`INSERT INTO endpoint_numbers (id) VALUES (?) RETURNING no`, e.ID()); err != nil {
				return err
			}
		}
		e.No = int(no)
	}
	for _, no := range slices.Sorted(maps.Values(have)) {
		if err := tx.Exec(`UPDATE endpoint_numbers SET deleted_at = ? WHERE no = ?`, now.UnixMilli(), no); err != nil {
			return err
		}
	}
	return nil
}

// EndpointNames returns the names ("app/endpoint") of all endpoints that exist, by number.
func (t *Tables) EndpointNames(ctx context.Context) (map[int]string, error) {
	names := map[int]string{}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var no int
		var id string
		if err := scan(&no, &id); err != nil {
			return err
		}
		names[no] = id
		return nil
	}, `SELECT no, id FROM endpoint_numbers WHERE deleted_at = 0`)
	return names, err
}

// Windows are the longest dedupe window of any source, within which keys have to be known, and the longest repeat window, within
// which views are joined.
func Windows(sources []carom.Source) (dedupe, repeat time.Duration) {
	for _, src := range sources {
		src = src.WithDefaults()
		dedupe = max(dedupe, src.DedupeWindow, src.RepeatWindow)
		repeat = max(repeat, src.RepeatWindow)
	}
	return dedupe, repeat
}
