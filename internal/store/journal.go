package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"carom"
)

// Refused returns the refused postbacks that f selects, newest first.
func (s *Store) Refused(ctx context.Context, f carom.RefusedFilter) ([]*carom.Refused, error) {
	limit := pageSize(f.Limit)
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

func (s *Store) bucketRefused(ctx context.Context, bucket uint32, f carom.RefusedFilter, end uint32, limit int) ([]*carom.Refused, error) {
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT seq, at, app, source, network, reason, detail, method, path, query, content_type,
		headers, body, client FROM refused_%d WHERE seq < ?1 AND (?2 = '' OR app = ?2) AND (?3 = '' OR source = ?3)
		ORDER BY seq DESC LIMIT ?4`, bucket), end, f.App, f.Source, limit)
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
		r.At, r.Client = time.UnixMilli(at).UTC(), parseClient(client)
		if r.Header, err = parseFields(headers); err != nil {
			return nil, err
		}
		out = append(out, &v)
	}
	return out, translate(rows.Err())
}

// UnverifiedSample returns the newest of the sample of received postbacks that proved nothing, newest first. Empty app and
// source select all.
func (s *Store) UnverifiedSample(ctx context.Context, app, source string, limit int) ([]*carom.Unverified, error) {
	key := ""
	if app != "" && source != "" {
		key = app + "/" + source
	}
	rows, err := s.r.QueryContext(ctx, `SELECT source, at, reason, method, path, query, content_type, body, client FROM unverified
		WHERE (?1 = '' OR source = ?1) AND (?2 = '' OR substr(source, 1, length(?2) + 1) = ?2 || '/') ORDER BY at DESC LIMIT ?3`, key, app, pageSize(limit))
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []*carom.Unverified
	for rows.Next() {
		var v carom.Unverified
		var at int64
		var source, client string
		r := &v.Received
		if err := rows.Scan(&source, &at, &v.Reason, &r.Method, &r.Path, &r.RawQuery, &r.ContentType, &r.Body, &client); err != nil {
			return nil, translate(err)
		}
		v.App, v.Source, _ = strings.Cut(source, "/")
		if source == unknownSourceKey {
			v.App = ""
		}
		r.At, r.Client = time.UnixMilli(at).UTC(), parseClient(client)
		out = append(out, &v)
	}
	return out, translate(rows.Err())
}

// groupColumns are the dimensions that counts can be grouped by, with how each is computed.
var groupColumns = map[string]string{
	"minute": "minute", "hour": "minute / 60 * 60", "day": "minute / 1440 * 1440",
	"app": "app", "source": "source", "zone": "zone_id", "request_var": "request_var", "event_type": "event_type", "value": "value",
	"outcome": "outcome",
}

// Counts returns how many received postbacks there were, by the dimensions asked for and by outcome, in that order. It
// returns carom.ErrInvalid for an unknown dimension.
func (s *Store) Counts(ctx context.Context, f carom.CountFilter) ([]carom.Count, error) {
	// Columns that are not grouped by are constant, so that every row has the same shape.
	columns := []string{"0", "''", "''", "''", "''", "''", "''", "outcome"}
	place := map[string]int{"minute": 0, "hour": 0, "day": 0, "app": 1, "source": 2, "zone": 3, "request_var": 4, "event_type": 5, "value": 6, "outcome": 7}
	groups := []string{"outcome"}
	for _, name := range f.GroupBy {
		column, ok := groupColumns[name]
		if ok && place[name] == 0 && columns[0] != "0" && columns[0] != column {
			return nil, fmt.Errorf("counts: %w", carom.Invalid("group_by", "group by one of minute, hour and day, not by several"))
		}
		if !ok {
			return nil, fmt.Errorf("counts: %w", carom.Invalid("group_by", "%q is no dimension: use minute, hour, day, app, source, zone, request_var, event_type, value or outcome", name))
		}
		columns[place[name]] = column
		groups = append(groups, column)
	}
	from, to := minutes(f)
	rows, err := s.r.QueryContext(ctx, `SELECT `+strings.Join(columns, ", ")+`, sum(n), sum(price_units), sum(price_nanos) FROM counts
		WHERE minute >= ?1 AND minute < ?2 AND (?3 = '' OR app = ?3) AND (?4 = '' OR source = ?4) AND (outcome LIKE 'reward:%') = ?5
		GROUP BY `+strings.Join(groups, ", ")+` ORDER BY 1, 2, 3, 4, 5, 6, 7, 8`, from, to, f.App, f.Source, f.Rewards)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []carom.Count
	for rows.Next() {
		var c carom.Count
		var minute, units, nanos int64
		if err := rows.Scan(&minute, &c.App, &c.Source, &c.Zone, &c.RequestVar, &c.EventType, &c.Value, &c.Outcome, &c.N, &units, &nanos); err != nil {
			return nil, translate(err)
		}
		if minute != 0 {
			c.At = time.Unix(minute*60, 0).UTC()
		}
		c.Price = sumText(units, nanos)
		out = append(out, c)
	}
	return out, translate(rows.Err())
}

// sumText writes units + nanos/10^9 exactly; nothing when it is zero. Prices are never negative.
func sumText(units, nanos int64) string {
	units, nanos = units+nanos/1_000_000_000, nanos%1_000_000_000
	if units == 0 && nanos == 0 {
		return ""
	}
	frac := carom.Nanos(nanos).String()
	return fmt.Sprint(units) + strings.TrimPrefix(frac, "0")
}

func minutes(f carom.CountFilter) (from, to int64) {
	to = math.MaxInt64
	if !f.From.IsZero() {
		from = f.From.Unix() / 60
	}
	if !f.To.IsZero() {
		to = (f.To.Unix() + 59) / 60
	}
	return from, to
}

// DeliveryCounts returns how many deliveries ended, and attempts failed, by endpoint and outcome, and by minute, hour or day
// if f groups by one.
func (s *Store) DeliveryCounts(ctx context.Context, f carom.CountFilter) ([]carom.DeliveryCount, error) {
	at := "0"
	for _, name := range f.GroupBy {
		if name == "minute" || name == "hour" || name == "day" {
			at = groupColumns[name]
		}
	}
	names, err := s.endpointNames(ctx)
	if err != nil {
		return nil, err
	}
	from, to := minutes(f)
	rows, err := s.r.QueryContext(ctx, `SELECT `+at+`, endpoint, outcome, sum(n) FROM delivery_counts WHERE minute >= ? AND minute < ?
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, from, to)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []carom.DeliveryCount
	for rows.Next() {
		var c carom.DeliveryCount
		var minute int64
		var endpoint int
		if err := rows.Scan(&minute, &endpoint, &c.Outcome, &c.N); err != nil {
			return nil, translate(err)
		}
		if c.Endpoint = names[endpoint]; c.Endpoint == "" {
			c.Endpoint = fmt.Sprintf("#%d", endpoint)
		}
		if f.App != "" && !strings.HasPrefix(c.Endpoint, f.App+"/") {
			continue
		}
		if minute != 0 {
			c.At = time.Unix(minute*60, 0).UTC()
		}
		out = append(out, c)
	}
	return out, translate(rows.Err())
}
