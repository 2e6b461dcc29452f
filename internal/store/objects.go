package store

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

// Objects returns what is configured, in order of name, endpoints with their numbers.
func (s *Store) Objects(ctx context.Context) (carom.Objects, error) {
	var o carom.Objects
	rows, err := s.r.QueryContext(ctx, `SELECT kind, body FROM objects ORDER BY kind, id`)
	if err != nil {
		return o, translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, body string
		if err := rows.Scan(&kind, &body); err != nil {
			return o, translate(err)
		}
		if err := addObject(&o, kind, []byte(body)); err != nil {
			return o, fmt.Errorf("stored %s: %w", kind, err)
		}
	}
	return o, translate(rows.Err())
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

// SetObjects replaces what is configured, and returns it with the endpoints' numbers: an endpoint keeps the number of its
// name, a new one gets one that was never used, and that of a deleted one is not used again.
func (s *Store) SetObjects(ctx context.Context, o carom.Objects) (carom.Objects, error) {
	endpoints := append([]carom.Endpoint(nil), o.Endpoints...)
	o.Endpoints = endpoints
	err := s.control(ctx, func(w *writer) error {
		if err := numberEndpoints(w, o.Endpoints, s.opts.Clock()); err != nil {
			return err
		}
		if err := w.exec(`DELETE FROM objects`); err != nil {
			return err
		}
		put := func(kind, id string, v any) error {
			body, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return w.exec(`INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)`, kind, id, string(body))
		}
		for _, p := range o.Publishers {
			if err := put(kindPublisher, p.Name, p); err != nil {
				return err
			}
		}
		for _, a := range o.Apps {
			if err := put(kindApp, a.Name, storedApp{a, string(a.BotToken)}); err != nil {
				return err
			}
		}
		for _, src := range o.Sources {
			if err := put(kindSource, src.ID(), storedSource{src, toStored(src.NetworkSecrets)}); err != nil {
				return err
			}
		}
		for _, r := range o.Rules {
			if err := put(kindRule, r.ID(), r); err != nil {
				return err
			}
		}
		for _, z := range o.Zones {
			if err := put(kindZone, z.App+"/"+z.ID, z); err != nil {
				return err
			}
		}
		for _, c := range o.Creatives {
			if err := put(kindCreative, c.Name, c); err != nil {
				return err
			}
		}
		for _, d := range o.Dialects {
			if err := put(kindDialect, d.Name, d); err != nil {
				return err
			}
		}
		for _, e := range o.Endpoints {
			if err := put(kindEndpoint, e.ID(), storedEndpoint{e, toStored(e.SigningSecrets)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return carom.Objects{}, fmt.Errorf("store objects: %w", err)
	}
	s.noteWindows(o.Sources)
	return o, nil
}

// numberEndpoints gives each endpoint its permanent number and retires those of endpoints that are gone.
func numberEndpoints(w *writer, endpoints []carom.Endpoint, now time.Time) error {
	have := map[string]int{}
	if err := w.query(`SELECT no, id FROM endpoint_numbers WHERE deleted_at = 0`, func(v []driver.Value) error {
		have[v[1].(string)] = int(v[0].(int64))
		return nil
	}); err != nil {
		return err
	}
	for i := range endpoints {
		e := &endpoints[i]
		if no, ok := have[e.ID()]; ok {
			e.No = no
			delete(have, e.ID())
			continue
		}
		if err := w.exec(`INSERT INTO endpoint_numbers (id) VALUES (?)`, e.ID()); err != nil {
			return err
		}
		no, err := w.int64(`SELECT last_insert_rowid()`)
		if err != nil {
			return err
		}
		e.No = int(no)
	}
	for no := range maps.Values(have) {
		if err := w.exec(`UPDATE endpoint_numbers SET deleted_at = ? WHERE no = ?`, now.UnixMilli(), int64(no)); err != nil {
			return err
		}
	}
	return nil
}

// endpointNames returns the names of all endpoints that exist, by number.
func (s *Store) endpointNames(ctx context.Context) (map[int]string, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT no, id FROM endpoint_numbers WHERE deleted_at = 0`)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	names := map[int]string{}
	for rows.Next() {
		var no int
		var id string
		if err := rows.Scan(&no, &id); err != nil {
			return nil, translate(err)
		}
		names[no] = id
	}
	return names, translate(rows.Err())
}

// noteWindows remembers the longest dedupe window, for which indexes outlive their buckets' rows.
func (s *Store) noteWindows(sources []carom.Source) {
	var longest, repeats time.Duration
	for _, src := range sources {
		longest = max(longest, src.WithDefaults().DedupeWindow, src.WithDefaults().RepeatWindow)
		repeats = max(repeats, src.WithDefaults().RepeatWindow)
	}
	s.windows.Store(int64(longest))
	s.repeats.Store(int64(repeats))
}

func (s *Store) longestWindow() time.Duration {
	return max(time.Duration(s.windows.Load()), carom.DefaultDedupeWindow)
}

// Resend makes a delivery that has ended pending again: due now, with its id, a fresh schedule and a fresh deadline. It
// returns carom.ErrNotFound when there is no such delivery, carom.ErrConflict when it has not ended.
func (s *Store) Resend(ctx context.Context, id carom.DeliveryID) (endpoint int, err error) {
	inc, ref, ordinal, err := id.Place()
	if err != nil {
		return 0, err
	}
	story, err := s.Story(ctx, carom.NewEventID(inc, ref))
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(story.Deliveries, func(d carom.DeliveryStory) bool { return d.ID == id })
	if i < 0 {
		return 0, fmt.Errorf("the event has no delivery %s: %w", id, carom.ErrNotFound)
	}
	d := story.Deliveries[i]
	if d.State == carom.Pending {
		return 0, fmt.Errorf("delivery %s is still pending: %w", id, carom.ErrConflict)
	}
	o, err := s.Objects(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range o.Endpoints {
		if e.ID() == d.Endpoint {
			endpoint = e.No
		}
	}
	if endpoint == 0 {
		return 0, fmt.Errorf("the endpoint of delivery %s is deleted: %w", id, carom.ErrConflict)
	}
	now := s.opts.Clock().UnixMilli()
	return endpoint, s.control(ctx, func(w *writer) error {
		return s.st.putDue.exec(int64(endpoint), int64(ref.Uint64()), int64(ordinal), now, now, now, int64(len(d.Attempts)), int64(0), int64(0))
	})
}
