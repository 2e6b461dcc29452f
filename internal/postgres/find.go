package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"carom"
	"carom/internal/tables"
)

// Bounds of one page of events that are looked for by what no index knows.
const (
	findScan  = 60_000 // events that are looked at
	findChunk = 5_000  // events that one query looks at
)

// FindEvents returns the events that f selects, newest first. It looks at so many events and no more: a page may be shorter than the
// limit, even empty, and yet have a next, which is where to go on. It returns carom.ErrInvalid when the cursor is not an event id.
func (s *Store) FindEvents(ctx context.Context, f carom.EventFilter) (list []*carom.Event, next carom.EventID, err error) {
	before, err := s.beforeEvent(ctx, f.Before)
	if err != nil {
		return nil, "", err
	}
	indexed := f.YMID != "" || f.User != ""
	c, limit, left := eventConditions(f), tables.PageSize(f.Limit), findScan
	bounds := timeConditions(f)
	if err := s.newestBuckets(ctx, before, f.Since, func(r span) (bool, error) {
		for {
			end := span{r.bucket, math.MinInt64, math.MinInt64} // behind which the chunk ends
			if !indexed {
				if end, err = s.chunkEnd(ctx, bounds, r, findChunk); err != nil {
					return false, err
				}
			}
			in := c.within(r)
			order := ` ORDER BY at DESC, place DESC LIMIT ?`
			if indexed { // few of many: through their index and never through that by time, in whose order this is not
				order = ` ORDER BY at + 0 DESC, place DESC LIMIT ?`
			} else if end.place != math.MinInt64 {
				in.add(`(at, place) >= (?, ?)`, end.at, end.place)
			}
			found, err := s.queryEvents(ctx, s.r, in.where+order, append(in.args, limit-len(list))...)
			if err != nil {
				return false, err
			}
			for _, ev := range found {
				list = append(list, ev.event)
			}
			left -= findChunk
			switch {
			case len(list) >= limit:
				next = list[len(list)-1].ID
				return false, nil
			case end.place == math.MinInt64:
				return true, nil
			case left <= 0:
				next, err = s.idAt(ctx, end.place)
				return false, err
			}
			r = end
		}
	}); err != nil {
		return nil, "", fmt.Errorf("find events: %w", err)
	}
	return list, next, nil
}

// chunkEnd is the last of the next so many events of a span; one before all of them when there are fewer.
func (s *Store) chunkEnd(ctx context.Context, bounds conditions, r span, chunk int) (span, error) {
	in := bounds.within(r)
	end := span{r.bucket, math.MinInt64, math.MinInt64}
	err := translate(numbered{s.r}.QueryRowContext(ctx, `SELECT at, place FROM events WHERE `+in.where+` ORDER BY at DESC, place DESC LIMIT 1 OFFSET ?`,
		append(in.args, chunk-1)...).Scan(&end.at, &end.place))
	if errors.Is(err, carom.ErrNotFound) {
		err = nil
	}
	return end, err
}

// idAt is the id of the event at a place.
func (s *Store) idAt(ctx context.Context, place int64) (carom.EventID, error) {
	ref := refOf(place)
	life, err := s.lifeAt(ctx, ref)
	return carom.NewEventID(life, ref), err
}

// eventConditions are what a query asks of events.
func eventConditions(f carom.EventFilter) (c conditions) {
	for _, equal := range []struct{ where, value string }{
		{`app = ?`, f.App}, {`source = ?`, f.Source},
		// The second halves are what the indexes are limited to.
		{`ymid = ? AND ymid <> ''`, f.YMID}, {`zone_id = ? AND zone_id <> ''`, f.Zone},
		{`CASE telegram_id WHEN '' THEN user_id ELSE telegram_id END = ? AND (telegram_id <> '' OR user_id <> '')`, f.User},
		{`sub_zone_id = ?`, f.SubZone}, {`request_var = ?`, f.RequestVar}, {`event_type = ?`, string(f.EventType)}, {`network = ?`, f.Network},
	} {
		if equal.value != "" {
			c.add(equal.where, equal.value)
		}
	}
	switch f.Outcome {
	case carom.OutcomeHeld:
		c.add(`held <> ''`)
	case carom.OutcomeUnmatched:
		c.add(`held = '' AND source <> ? AND endpoints !~ '[0-9]'`, carom.SourceCarom)
	case carom.OutcomeAccepted:
		c.add(`held = '' AND endpoints ~ '[0-9]'`)
	}
	times := timeConditions(f)
	if times.where != "" {
		c.add(times.where, times.args...)
	}
	return c
}

// timeConditions are those of when events came.
func timeConditions(f carom.EventFilter) (c conditions) {
	if !f.Since.IsZero() {
		c.add(`at >= ?`, f.Since.UnixMilli())
	}
	if !f.To.IsZero() {
		c.add(`at < ?`, f.To.UnixMilli())
	}
	return c
}

// SentAttempts returns the attempts that f selects: those of the newest events first, and of a delivery the last one first. It looks at
// those of so many events and no more; next, when there is one, is where to go on. It returns carom.ErrInvalid when the cursor is not of
// this database.
func (s *Store) SentAttempts(ctx context.Context, f carom.AttemptFilter) (list []carom.SentAttempt, next carom.AttemptCursor, err error) {
	limit, left := tables.PageSize(f.Limit), findScan
	names, err := s.EndpointNames(ctx)
	if err != nil {
		return nil, next, fmt.Errorf("list attempts: %w", err)
	}
	from, cursor := newest(), struct{ place, ordinal, number int64 }{-1, 0, 0}
	if f.Before.Delivery != "" {
		life, ref, ordinal, err := f.Before.Delivery.Place()
		if from, err = s.before(ctx, "events", string(f.Before.Delivery), life, ref, err); err != nil {
			return nil, next, err
		}
		cursor.place, cursor.ordinal, cursor.number = placeOf(ref), int64(ordinal), int64(f.Before.Number)
		if from.place == cursor.place {
			from.place++ // the rest of its own event is behind it
		}
	}
	var of conditions
	if f.App != "" || f.Endpoint != 0 {
		of.add(`o.endpoint = ANY (?)`, tables.EndpointNumbers(names, f.App, f.Endpoint))
	}
	if f.State != "" {
		of.add(`o.state = ?`, string(f.State))
	}
	if err := s.newestBuckets(ctx, from, time.Time{}, func(r span) (bool, error) {
		for {
			end, err := s.chunkEnd(ctx, conditions{}, r, findChunk)
			if err != nil {
				return false, err
			}
			in := conditions{}
			in = in.within(r)
			if end.place != math.MinInt64 {
				in.add(`(at, place) >= (?, ?)`, end.at, end.place)
			}
			lo, hi := bucketStart(uint32(r.bucket)), bucketStart(uint32(r.bucket+1))
			what := conditions{`o.place >= ? AND o.place < ? AND (o.place <> ? OR (o.ordinal, o.attempt) < (?, ?))`,
				[]any{lo, hi, cursor.place, cursor.ordinal, cursor.number}}
			if of.where != "" {
				what.add(of.where, of.args...)
			}
			var looked int
			args := append(append([]any{tables.SurveyAnswer}, in.args...), what.args...)
			if err := s.attempts(ctx, func(endpoint int, a carom.Attempt) {
				list = append(list, carom.SentAttempt{Attempt: a, Endpoint: tables.NameOf(names, endpoint)})
			}, &looked, `SELECT `+attemptColumns+`, substr(o.answer, 1, ?), 0 FROM (SELECT at, place FROM events WHERE `+in.where+`) e
				JOIN outcomes o ON o.place = e.place WHERE `+what.where+` ORDER BY e.at DESC, e.place DESC, o.ordinal DESC, o.attempt DESC LIMIT ?`,
				append(args, limit-len(list))...); err != nil {
				return false, err
			}
			left -= findChunk
			switch {
			case len(list) >= limit:
				last := &list[len(list)-1]
				next = carom.AttemptCursor{Delivery: last.Delivery, Number: last.Number}
				return false, nil
			case end.place == math.MinInt64:
				return true, nil
			case left <= 0:
				id, err := s.idAt(ctx, end.place)
				next = carom.AttemptCursor{Delivery: id.Delivery(0)}
				return false, err
			}
			r = end
		}
	}); err != nil {
		return nil, next, fmt.Errorf("list attempts: %w", err)
	}
	return list, next, nil
}
