package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// userColumn is the user that events are searched by.
const userColumn = `iif(telegram_id = '', user_id, telegram_id)`

const eventColumns = `seq, at, app, source, network, event_type, value, ymid, zone_id, sub_zone_id, request_var, telegram_id, price,
	external_id, fields, flags, held, strength, endpoints, method, path, query, content_type, headers, body, client, user_id, view, decided, origin`

// scanEvent reads a row of eventColumns. The second result is the numbers of its endpoints.
func (s *Store) scanEvent(bucket uint32, scan func(...any) error) (*carom.Event, string, error) {
	var ev carom.Event
	var seq uint32
	var at int64
	var price sql.NullInt64
	var fields, headers sql.NullString
	var endpoints, client, decided string
	r := &ev.Received
	if err := scan(&seq, &at, &ev.App, &ev.Source, &ev.Network, &ev.Type, &ev.Value, &ev.YMID, &ev.ZoneID, &ev.SubZoneID, &ev.RequestVar,
		&ev.TelegramID, &price, &ev.ExternalID, &fields, &ev.Flags, &ev.Held, &ev.Strength, &endpoints, &r.Method, &r.Path, &r.RawQuery,
		&r.ContentType, &headers, &r.Body, &client, &ev.UserID, &ev.View, &decided, &ev.Origin); err != nil {
		return nil, "", translate(err)
	}
	ev.ID = s.eventID(carom.Ref{Bucket: bucket, Seq: seq})
	ev.At = time.UnixMilli(at).UTC()
	ev.Price = carom.Price{Nanos: carom.Nanos(price.Int64), Set: price.Valid}
	r.At = ev.At
	var err error
	if ev.Fields, err = tables.ParseFields(fields); err != nil {
		return nil, "", err
	}
	if r.Header, err = tables.ParseFields(headers); err != nil {
		return nil, "", err
	}
	if ev.Decided, err = tables.ParseDecided(decided); err != nil {
		return nil, "", err
	}
	r.Client = tables.ParseClient(client)
	return &ev, endpoints, nil
}

// eventAt reads one event and the numbers of its endpoints. It returns carom.ErrNotFound when its bucket or it is not there.
func (s *Store) eventAt(ctx context.Context, db *sql.DB, ref carom.Ref) (*carom.Event, string, error) {
	if ref.Node != 0 || !s.readable(ref.Bucket) {
		return nil, "", errBucketGone
	}
	row := db.QueryRowContext(ctx, fmt.Sprintf(`SELECT %s FROM events_%d WHERE seq = ?`, eventColumns, ref.Bucket), ref.Seq)
	ev, endpoints, err := s.scanEvent(ref.Bucket, row.Scan)
	return ev, endpoints, s.readErr(ref.Bucket, err)
}

// readErr gives an error of reading a bucket's tables its kind: when the bucket is going, they may be missing in the middle
// of a read, and that is carom.ErrNotFound.
func (s *Store) readErr(bucket uint32, err error) error {
	if err != nil && !s.readable(bucket) {
		return fmt.Errorf("%w: %w", errBucketGone, err)
	}
	return translate(err)
}

var errBucketGone = fmt.Errorf("its time bucket is gone: %w", carom.ErrNotFound)

// readable is bucketExists for goroutines other than the committer.
func (s *Store) readable(number uint32) bool {
	s.searchMu.RLock()
	open := s.open.number
	s.searchMu.RUnlock()
	if number == open {
		return true
	}
	for _, b := range *s.closed.Load() {
		if b.number == number {
			return b.readable()
		}
	}
	return false
}

// readableBuckets lists the buckets that have rows, newest first.
func (s *Store) readableBuckets() []uint32 {
	s.searchMu.RLock()
	numbers := []uint32{s.open.number}
	closed := *s.closed.Load()
	s.searchMu.RUnlock()
	for i := len(closed) - 1; i >= 0; i-- {
		if closed[i].readable() && closed[i].number != numbers[0] {
			numbers = append(numbers, closed[i].number)
		}
	}
	return numbers
}

// Events returns the events that f selects, newest first. It returns carom.ErrInvalid when the cursor is not an event id.
func (s *Store) Events(ctx context.Context, f carom.EventFilter) ([]*carom.Event, error) {
	f.Limit = tables.PageSize(f.Limit)
	before := carom.Ref{Bucket: math.MaxUint32}
	if f.Before != "" {
		inc, ref, err := f.Before.Place()
		if err != nil || !s.isOurs(inc, ref.Bucket) {
			return nil, fmt.Errorf("before: %w", carom.Invalid("before", "%q is not the id of an event of this data folder", f.Before))
		}
		before = ref
	}
	var out []*carom.Event
	for _, bucket := range s.readableBuckets() {
		if bucket > before.Bucket {
			continue
		}
		if s.endedBefore(bucket, f.Since) {
			break
		}
		end := uint32(1<<searchSeqBits - 1)
		if bucket == before.Bucket {
			end = before.Seq
		}
		events, err := s.bucketEvents(ctx, bucket, f, 0, end, f.Limit-len(out))
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return nil, fmt.Errorf("search events: %w", err)
		}
		if out = append(out, events...); len(out) >= f.Limit {
			break
		}
	}
	return out, nil
}

// endedBefore says whether all of the bucket's events were received before since.
func (s *Store) endedBefore(bucket uint32, since time.Time) bool {
	for _, b := range *s.closed.Load() {
		if b.number == bucket {
			return b.lastAt.Before(since)
		}
	}
	return false
}

// searchKind picks the most selective search key that f has.
func searchKind(f carom.EventFilter) (kind int, value string, ok bool) {
	switch {
	case f.YMID != "":
		return searchYMID, f.YMID, true
	case f.User != "":
		return searchUser, f.User, true
	case f.Zone != "":
		return searchZone, f.Zone, true
	}
	return 0, "", false
}

// bucketEvents finds the bucket's events behind one place and before another that f selects, newest first.
func (s *Store) bucketEvents(ctx context.Context, bucket uint32, f carom.EventFilter, behind, end uint32, limit int) ([]*carom.Event, error) {
	where, args := eventConditions(f)
	where, args = append(where, "seq > ?", "seq < ?"), append(args, behind, end)
	kind, value, indexed := searchKind(f)
	if !indexed {
		return s.queryEvents(ctx, bucket, where, args, limit)
	}
	var out []*carom.Event
	for len(out) < limit {
		// Hits are few and may be false or fail another filter: go on in steps until there are enough.
		const step = 200
		seqs, err := s.findSeqs(bucket, kind, value, end, step)
		if err != nil {
			return nil, s.readErr(bucket, err)
		}
		if len(seqs) == 0 {
			break
		}
		end = seqs[len(seqs)-1]
		marks := strings.TrimSuffix(strings.Repeat("?,", len(seqs)), ",")
		in, inArgs := append(where[:len(where):len(where)], "seq IN ("+marks+")"), args[:len(args):len(args)]
		for _, seq := range seqs {
			inArgs = append(inArgs, seq)
		}
		events, err := s.queryEvents(ctx, bucket, in, inArgs, limit-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
		if len(seqs) < step {
			break
		}
	}
	return out, nil
}

// findSeqs asks the bucket's index, or the keys in memory while it has none.
func (s *Store) findSeqs(bucket uint32, kind int, value string, before uint32, limit int) ([]uint32, error) {
	s.searchMu.RLock()
	if bucket == s.open.number {
		keys := s.open.keys.search[kind] // a copy: the committer appends to the original
		s.searchMu.RUnlock()
		return findOpen(&keys, value, before, limit), nil
	}
	s.searchMu.RUnlock()
	for _, b := range *s.closed.Load() {
		if b.number != bucket {
			continue
		}
		if b.index != nil {
			return b.index.find(kind, value, before, limit)
		}
		return findOpen(&b.keys.search[kind], value, before, limit), nil
	}
	return nil, nil
}

func (s *Store) queryEvents(ctx context.Context, bucket uint32, where []string, args []any, limit int) ([]*carom.Event, error) {
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT %s FROM events_%d WHERE %s ORDER BY seq DESC LIMIT %d`,
		eventColumns, bucket, strings.Join(where, " AND "), limit), args...)
	if err != nil {
		return nil, s.readErr(bucket, err)
	}
	defer rows.Close()
	var out []*carom.Event
	for rows.Next() {
		ev, _, err := s.scanEvent(bucket, rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, ev)
	}
	return out, translate(rows.Err())
}

// archive is what the store finds by its own ways, for what internal/tables puts together.
type archive struct{ *Store }

// StoredEvent implements tables.Archive.
func (s archive) StoredEvent(ctx context.Context, id carom.EventID) (*carom.Event, string, error) {
	inc, ref, err := id.Place()
	if err != nil {
		return nil, "", err
	}
	if !s.isOurs(inc, ref.Bucket) {
		return nil, "", fmt.Errorf("event %s is of another data folder: %w", id, carom.ErrNotFound)
	}
	ev, endpoints, err := s.eventAt(ctx, s.r, ref)
	if err != nil {
		return nil, "", fmt.Errorf("event %s: %w", id, err)
	}
	return ev, endpoints, nil
}

// Attempts implements tables.Archive.
func (s archive) Attempts(ctx context.Context, id carom.DeliveryID, endpoint int) (list []carom.Attempt, due time.Time, err error) {
	_, ref, ordinal, err := id.Place()
	if err != nil {
		return nil, due, err
	}
	rows, err := s.r.QueryContext(ctx, fmt.Sprintf(`SELECT id, at, took_us, state, due_at, reason, flags, method, url, sent, status, answer
		FROM outcomes_%d WHERE id BETWEEN ? AND ? ORDER BY id`, ref.Bucket), outcomeID(ref.Seq, ordinal, 0), outcomeID(ref.Seq, ordinal, 1<<16-1))
	if err != nil {
		return nil, due, s.readErr(ref.Bucket, err)
	}
	defer rows.Close()
	for rows.Next() {
		a := carom.Attempt{Delivery: id}
		var row, at, took, next int64
		var answer []byte
		if err := rows.Scan(&row, &at, &took, &a.State, &next, &a.Reason, &a.Flags, &a.Method, &a.URL, &a.Sent, &a.Status, &answer); err != nil {
			return nil, due, translate(err)
		}
		_, _, a.Number = splitOutcomeID(row)
		a.At, a.Took, a.Due, a.Answer = time.UnixMilli(at).UTC(), time.Duration(took)*time.Microsecond, tables.Instant(next), string(answer)
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, due, translate(err)
	}
	var at int64
	switch err := s.r.QueryRowContext(ctx, `SELECT due_at FROM due WHERE endpoint = ? AND event = ? AND ordinal = ?`,
		endpoint, int64(ref.Uint64()), ordinal).Scan(&at); {
	case err == nil:
		due = time.UnixMilli(at).UTC()
	case !errors.Is(err, sql.ErrNoRows):
		return nil, due, translate(err)
	}
	return list, due, nil
}

// RewardsOfView implements tables.Archive.
func (s archive) RewardsOfView(ctx context.Context, sum [16]byte) ([]*tables.RewardRow, error) {
	numbers, err := s.findRewards(searchRewardView, string(sum[:]), math.MaxInt64, maxOfOneSum)
	if err != nil {
		return nil, err
	}
	var out []*tables.RewardRow
	for _, no := range slices.Backward(numbers) { // the oldest first
		r, err := s.RewardByNumber(ctx, s.r, no)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// Backlogs returns what waits in the due table, per endpoint that has something waiting.
func (s *Store) Backlogs(ctx context.Context) ([]carom.Backlog, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT endpoint, count(*), min(accepted_at), min(due_at) FROM due GROUP BY endpoint`)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []carom.Backlog
	for rows.Next() {
		var b carom.Backlog
		var oldest, due int64
		if err := rows.Scan(&b.Endpoint, &b.Waiting, &oldest, &due); err != nil {
			return nil, translate(err)
		}
		b.Oldest, b.NextDue = time.UnixMilli(oldest).UTC(), time.UnixMilli(due).UTC()
		out = append(out, b)
	}
	return out, translate(rows.Err())
}
