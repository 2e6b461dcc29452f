package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

const eventColumns = `place, at, app, source, network, event_type, value, ymid, zone_id, sub_zone_id, request_var, telegram_id, price,
	external_id, fields, flags, held, strength, endpoints, method, path, query, content_type, headers, body, client, user_id, view, decided, origin`

// stored is an event with what is kept beside it.
type stored struct {
	place     int64
	event     *carom.Event
	endpoints string
}

// scanEvent reads a row of eventColumns.
func (s *Store) scanEvent(scan func(...any) error) (stored, error) {
	var ev carom.Event
	var at int64
	var price sql.NullInt64
	var fields, headers sql.NullString
	var out stored
	var client, decided string
	r := &ev.Received
	if err := scan(&out.place, &at, &ev.App, &ev.Source, &ev.Network, &ev.Type, &ev.Value, &ev.YMID, &ev.ZoneID, &ev.SubZoneID, &ev.RequestVar,
		&ev.TelegramID, &price, &ev.ExternalID, &fields, &ev.Flags, &ev.Held, &ev.Strength, &out.endpoints, &r.Method, &r.Path, &r.RawQuery,
		&r.ContentType, &headers, &r.Body, &client, &ev.UserID, &ev.View, &decided, &ev.Origin); err != nil {
		return out, translate(err)
	}
	ev.ID = s.eventID(refOf(out.place))
	ev.At = time.UnixMilli(at).UTC()
	ev.Price = carom.Price{Nanos: carom.Nanos(price.Int64), Set: price.Valid}
	r.At = ev.At
	var err error
	if ev.Fields, err = tables.ParseFields(fields); err != nil {
		return out, err
	}
	if r.Header, err = tables.ParseFields(headers); err != nil {
		return out, err
	}
	if ev.Decided, err = tables.ParseDecided(decided); err != nil {
		return out, err
	}
	r.Client = tables.ParseClient(client)
	out.event = &ev
	return out, nil
}

// queryEvents reads the events that the end of a query, behind WHERE, selects, in its order.
func (s *Store) queryEvents(ctx context.Context, db *sql.DB, selects string, args ...any) ([]stored, error) {
	rows, err := db.QueryContext(ctx, `SELECT `+eventColumns+` FROM events WHERE `+selects, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []stored
	for rows.Next() {
		ev, err := s.scanEvent(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, ev)
	}
	return out, translate(rows.Err())
}

// eventsAt reads the events of rows of the due table, by their places. Those that are not kept any more are missing.
func (s *Store) eventsAt(ctx context.Context, rows []dueRow) (map[int64]stored, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	places := make([]int64, len(rows))
	for i, row := range rows {
		places[i] = row.place
	}
	list, err := s.queryEvents(ctx, s.lanes, `place = ANY ($1)`, places)
	found := make(map[int64]stored, len(list))
	for _, ev := range list {
		found[ev.place] = ev
	}
	return found, err
}

// eventAt reads one event. It returns carom.ErrNotFound when it is not there.
func (s *Store) eventAt(ctx context.Context, ref carom.Ref) (stored, error) {
	list, err := s.queryEvents(ctx, s.r, `place = $1`, placeOf(ref))
	if err == nil && len(list) == 0 {
		err = errGone
	}
	if err != nil {
		return stored{}, err
	}
	return list[0], nil
}

// placeOfID is the place that an event's id names, if the id is of this database.
func (s *Store) placeOfID(id carom.EventID) (carom.Ref, error) {
	life, ref, err := id.Place()
	if err != nil {
		return ref, err
	}
	if !s.isOurs(life, ref) {
		return ref, fmt.Errorf("event %s is of another database: %w", id, carom.ErrNotFound)
	}
	return ref, nil
}

// Event returns an event. Its errors are those of [Store.Story].
func (s *Store) Event(ctx context.Context, id carom.EventID) (*carom.Event, error) {
	ref, err := s.placeOfID(id)
	if err != nil {
		return nil, err
	}
	ev, err := s.eventAt(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	return ev.event, nil
}
