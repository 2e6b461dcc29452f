package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

// Refused returns the refused postbacks that f selects, newest first.
func (s *Store) Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error) {
	before := newest()
	if f.Before != "" {
		life, ref, err := f.Before.Place()
		if before, err = s.before(ctx, "refused", string(f.Before), life, ref, err); err != nil {
			return nil, err
		}
	}
	var c conditions
	if f.App != "" {
		c.add(`app = ?`, f.App)
	}
	if f.Source != "" {
		c.add(`source = ?`, f.Source)
	}
	if f.Reason != "" {
		c.add(`reason = ?`, string(f.Reason))
	}
	if !f.From.IsZero() {
		c.add(`at >= ?`, f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		c.add(`at < ?`, f.To.UnixMilli())
	}
	limit := tables.PageSize(f.Limit)
	var out []*carom.Refused
	if err := s.newestBuckets(ctx, before, f.From, func(r span) (bool, error) {
		in := c.within(r)
		list, err := s.queryRefused(ctx, in.where+` ORDER BY at DESC, place DESC LIMIT ?`, append(in.args, limit-len(out))...)
		out = append(out, list...)
		return len(out) < limit, err
	}); err != nil {
		return nil, fmt.Errorf("search refused postbacks: %w", err)
	}
	return out, nil
}

// RefusedByID returns a refused postback. It returns carom.ErrNotFound when it is not there, carom.ErrInvalid when id is not the id
// of one.
func (s *Store) RefusedByID(ctx context.Context, id carom.ReceivedID) (*carom.Refused, error) {
	_, ref, err := id.Place()
	if err != nil {
		return nil, err
	}
	list, err := s.queryRefused(ctx, `place = ?`, placeOf(ref))
	if err == nil && (len(list) == 0 || list[0].ID != id) {
		err = carom.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("refused postback %s: %w", id, err)
	}
	return list[0], nil
}

// queryRefused reads the refused postbacks that the end of a query, behind WHERE, selects, in its order.
func (s *Store) queryRefused(ctx context.Context, selects string, args ...any) ([]*carom.Refused, error) {
	var out []*carom.Refused
	var refs []carom.Ref
	if err := readRows(ctx, s.r, func(scan func(...any) error) error {
		var v carom.Refused
		var place, at int64
		var headers sql.NullString
		var client string
		r := &v.Received
		err := scan(&place, &at, &v.App, &v.Source, &v.Network, &v.Reason, &v.Detail, &r.Method, &r.Path, &r.RawQuery, &r.ContentType, &headers, &r.Body, &client)
		if err != nil {
			return err
		}
		r.At, r.Client = time.UnixMilli(at).UTC(), tables.ParseClient(client)
		r.Header, err = tables.ParseFields(headers)
		out, refs = append(out, &v), append(refs, refOf(place))
		return err
	}, `SELECT place, at, app, source, network, reason, detail, method, path, query, content_type, headers, body, client FROM refused WHERE `+selects, args...); err != nil {
		return nil, err
	}
	for i, v := range out { // now that the connection is given back: to ask for a life needs one
		life, err := s.lifeAt(ctx, refs[i])
		if err != nil {
			return nil, err
		}
		v.ID = carom.NewReceivedID(life, refs[i])
	}
	return out, nil
}
