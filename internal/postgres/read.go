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

// scanEvent reads a row of eventColumns. The id is left out.
func scanEvent(scan func(...any) error) (stored, error) {
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
	return s.readEvents(ctx, db, `SELECT `+eventColumns+` FROM events WHERE `+selects, args...)
}

// readEvents reads the events that a query of eventColumns returns, in its order.
func (s *Store) readEvents(ctx context.Context, db *sql.DB, query string, args ...any) ([]stored, error) {
	var out []stored
	if err := readRows(ctx, db, func(scan func(...any) error) error {
		ev, err := scanEvent(scan)
		out = append(out, ev)
		return err
	}, query, args...); err != nil {
		return nil, err
	}
	for _, ev := range out { // now that the connection is given back: to ask for a life needs one
		ref := refOf(ev.place)
		life, err := s.lifeAt(ctx, ref)
		if err != nil {
			return nil, err
		}
		ev.event.ID = carom.NewEventID(life, ref)
	}
	return out, nil
}

// readRows calls row for each row of a query. Its errors have their kinds.
func readRows(ctx context.Context, db *sql.DB, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := numbered{db}.QueryContext(ctx, query, args...)
	if err != nil {
		return translate(err)
	}
	defer func() { _ = rows.Close() }() // it only read
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return translate(err)
		}
	}
	return translate(rows.Err())
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

// archive is what the store finds by its own ways, for what internal/tables puts together.
type archive struct{ *Store }

// StoredEvent implements tables.Archive.
func (s archive) StoredEvent(ctx context.Context, id carom.EventID) (*carom.Event, string, error) {
	life, ref, err := id.Place()
	if err != nil {
		return nil, "", err
	}
	ours, err := s.isOurs(ctx, life, ref)
	if err == nil && !ours {
		return nil, "", fmt.Errorf("event %s is of another database: %w", id, carom.ErrNotFound)
	}
	var list []stored
	if err == nil {
		list, err = s.queryEvents(ctx, s.r, `place = ?`, placeOf(ref))
	}
	if err == nil && len(list) == 0 {
		err = errGone
	}
	if err != nil {
		return nil, "", fmt.Errorf("event %s: %w", id, err)
	}
	return list[0].event, list[0].endpoints, nil
}

// attemptColumns are the columns of an attempt, in the order in which scanAttempt reads them, but for its answer.
const attemptColumns = `o.place, o.ordinal, o.attempt, o.endpoint, o.at, o.took_us, o.state, o.due_at, o.reason, o.flags, o.method, o.url, o.sent, o.status`

// scanAttempt reads a row of attemptColumns and the answer. The id of the delivery is left out.
func scanAttempt(scan func(...any) error) (place int64, ordinal, endpoint int, a carom.Attempt, err error) {
	var at, took, due int64
	var answer []byte
	err = scan(&place, &ordinal, &a.Number, &endpoint, &at, &took, &a.State, &due, &a.Reason, &a.Flags, &a.Method, &a.URL, &a.Sent, &a.Status, &answer)
	a.At, a.Took, a.Due, a.Answer = time.UnixMilli(at).UTC(), time.Duration(took)*time.Microsecond, tables.Instant(due), string(answer)
	return place, ordinal, endpoint, a, err
}

// Attempts implements tables.Archive.
func (s archive) Attempts(ctx context.Context, id carom.DeliveryID, endpoint int) (list []carom.Attempt, due time.Time, err error) {
	_, ref, ordinal, err := id.Place()
	if err != nil {
		return nil, due, err
	}
	place := placeOf(ref)
	if err := readRows(ctx, s.r, func(scan func(...any) error) error {
		_, _, _, a, err := scanAttempt(scan)
		a.Delivery = id
		list = append(list, a)
		return err
	}, `SELECT `+attemptColumns+`, o.answer FROM outcomes o WHERE o.place = ? AND o.ordinal = ? ORDER BY o.attempt`, place, ordinal); err != nil {
		return nil, due, err
	}
	err = readRows(ctx, s.r, func(scan func(...any) error) error {
		var ms int64
		err := scan(&ms)
		due = time.UnixMilli(ms).UTC()
		return err
	}, `SELECT due_at FROM due WHERE endpoint = ? AND place = ? AND ordinal = ?`, endpoint, place, ordinal)
	return list, due, err
}

// RewardsOfView implements tables.Archive.
func (s archive) RewardsOfView(ctx context.Context, sum [16]byte) ([]*tables.RewardRow, error) {
	return s.RewardRows(ctx, `view = ? ORDER BY at, no`, sum[:])
}

// Events returns the events that f selects, newest first. It returns carom.ErrInvalid when the cursor is not an event id.
func (s *Store) Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error) {
	before, err := s.beforeEvent(ctx, f.Before)
	if err != nil {
		return nil, err
	}
	c := eventConditions(f)
	order := ` ORDER BY at DESC, place DESC LIMIT ?`
	if f.YMID != "" || f.User != "" { // few of many: through their index and never through that by time, in whose order this is not
		order = ` ORDER BY at + 0 DESC, place DESC LIMIT ?`
	}
	limit := tables.PageSize(f.Limit)
	var out []*carom.Event
	if err := s.newestBuckets(ctx, before, f.Since, func(r span) (bool, error) {
		in := c.within(r)
		list, err := s.queryEvents(ctx, s.r, in.where+order, append(in.args, limit-len(out))...)
		for _, ev := range list {
			out = append(out, ev.event)
		}
		return len(out) < limit, err
	}); err != nil {
		return nil, fmt.Errorf("search events: %w", err)
	}
	return out, nil
}

// beforeEvent is where a list goes on behind an event; from the newest on when there is none.
func (s *Store) beforeEvent(ctx context.Context, id carom.EventID) (position, error) {
	if id == "" {
		return newest(), nil
	}
	life, ref, err := id.Place()
	return s.before(ctx, "events", string(id), life, ref, err)
}
