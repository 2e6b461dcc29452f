package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sort"
	"time"

	"carom"
	"carom/internal/tables"
)

// Refused returns the refused postbacks that f selects, newest first.
func (s *Store) Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error) {
	limit := tables.PageSize(f.Limit)
	before := carom.Ref{Bucket: math.MaxUint32}
	if f.Before != "" {
		inc, ref, err := f.Before.Place()
		if err != nil || !s.isOurs(inc, ref.Bucket) {
			return nil, fmt.Errorf("before: %w", carom.Invalid("before", "%q is not the id of a refused postback of this data folder", f.Before))
		}
		before = ref
	}
	var out []*carom.Refused
	for _, bucket := range s.readableBuckets() {
		if bucket > before.Bucket {
			continue
		}
		end := uint32(math.MaxInt32)
		if bucket == before.Bucket {
			end = before.Seq
		}
		list, err := s.bucketRefused(ctx, bucket, f, end, limit-len(out))
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return nil, fmt.Errorf("search refused postbacks: %w", err)
		}
		if out = append(out, list...); len(out) >= limit {
			break
		}
	}
	return out, nil
}

// RefusedByID returns a refused postback. It returns carom.ErrNotFound when it is not there, carom.ErrInvalid when id is not the id
// of one.
func (s *Store) RefusedByID(ctx context.Context, id carom.ReceivedID) (*carom.Refused, error) {
	inc, ref, err := id.Place()
	if err != nil {
		return nil, err
	}
	var list []*carom.Refused
	if err = errBucketGone; ref.Node == 0 && s.isOurs(inc, ref.Bucket) && s.readable(ref.Bucket) {
		list, err = s.bucketRefused(ctx, ref.Bucket, carom.RefusedFilter{}, ref.Seq+1, 1) // the newest before the next one is itself
	}
	if err == nil && (len(list) == 0 || list[0].ID != id) {
		err = carom.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("refused postback %s: %w", id, err)
	}
	return list[0], nil
}

func (s *Store) bucketRefused(ctx context.Context, bucket uint32, f carom.RefusedFilter, end uint32, limit int) ([]*carom.Refused, error) {
	behind, end, err := s.refusedSpan(ctx, bucket, end, f.From, f.To)
	if err != nil || end <= behind+1 {
		return nil, err
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = f.From.UnixMilli()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMilli()
	}
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT seq, at, app, source, network, reason, detail, method, path, query, content_type,
		headers, body, client FROM refused_%d WHERE seq > ?1 AND seq < ?2 AND (?3 = '' OR app = ?3) AND (?4 = '' OR source = ?4)
		AND (?5 = '' OR reason = ?5) AND at >= ?6 AND at < ?7 ORDER BY seq DESC LIMIT ?8`, bucket), behind, end, f.App, f.Source, string(f.Reason), from, to, limit)
	if err != nil {
		return nil, s.readErr(bucket, err)
	}
	defer rows.Close()
	var out []*carom.Refused
	for rows.Next() {
		var v carom.Refused
		var seq uint32
		var at int64
		var headers sql.NullString
		var client string
		r := &v.Received
		if err := rows.Scan(&seq, &at, &v.App, &v.Source, &v.Network, &v.Reason, &v.Detail, &r.Method, &r.Path, &r.RawQuery,
			&r.ContentType, &headers, &r.Body, &client); err != nil {
			return nil, translate(err)
		}
		v.ID = carom.NewReceivedID(s.lifeOf(bucket), carom.Ref{Bucket: bucket, Seq: seq})
		r.At, r.Client = time.UnixMilli(at).UTC(), tables.ParseClient(client)
		if r.Header, err = tables.ParseFields(headers); err != nil {
			return nil, err
		}
		out = append(out, &v)
	}
	return out, translate(rows.Err())
}

// refusedSpan says behind which place of a bucket and before which, at most end, its refused postbacks of a stretch of time lie. No index
// knows their times, but their order does.
func (s *Store) refusedSpan(ctx context.Context, bucket, end uint32, from, to time.Time) (behind, before uint32, err error) {
	if from.IsZero() && to.IsZero() {
		return 0, end, nil
	}
	var newest uint32
	if err := s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce(max(seq), 0) FROM refused_%d`, bucket)).Scan(&newest); err != nil {
		return 0, 0, s.readErr(bucket, err)
	}
	end = min(end, newest+1)
	var failed error
	first := func(t time.Time) uint32 { // the place of the first that came at the time or later
		return 1 + uint32(sort.Search(int(newest), func(i int) bool {
			var ms int64
			if failed == nil {
				failed = s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT at FROM refused_%d WHERE seq >= ? ORDER BY seq LIMIT 1`, bucket), i+1).Scan(&ms)
			}
			return ms >= t.UnixMilli()
		}))
	}
	if !from.IsZero() {
		behind = first(from.Add(-slack)) - 1
	}
	if !to.IsZero() {
		end = min(end, first(to.Add(slack)))
	}
	if errors.Is(failed, sql.ErrNoRows) { // they are being dropped
		failed = errBucketGone
	}
	return behind, end, s.readErr(bucket, failed)
}
