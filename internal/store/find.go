package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// Bounds of one page of events that are looked for by what no index knows, or among the many that share what an index does know.
const (
	findScan  = 60_000 // places of events that are looked at; a hit of an index costs as much as findHit of them
	findChunk = 5_000  // places that one query looks at
	findHit   = 10
)

// slack is how far the order in which events are stored may be off that of their times, which a clock that jumps back disturbs.
const slack = time.Minute

// FindEvents returns the events that f selects, newest first. It looks at so many events and no more: a page may be shorter than the
// limit, even empty, and yet have a next, which is where to go on. It returns carom.ErrInvalid when the cursor is not an event id.
func (s *Store) FindEvents(ctx context.Context, f carom.EventFilter) (list []*carom.Event, next carom.EventID, err error) {
	f.Limit = tables.PageSize(f.Limit)
	left := findScan
	err = s.spans(ctx, f, func(bucket, behind, end uint32) (bool, error) {
		for end > behind+1 {
			if left <= 0 {
				next = s.eventID(carom.Ref{Bucket: bucket, Seq: end})
				return false, nil
			}
			events, from, looked, err := s.findChunk(ctx, bucket, f, behind, end, f.Limit-len(list))
			if err != nil {
				return false, err
			}
			left -= looked
			end = from
			if list = append(list, events...); len(list) >= f.Limit {
				next = list[len(list)-1].ID
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("find events: %w", err)
	}
	return list, next, nil
}

// findChunk looks at the newest events behind one place and before another, as many as one query may. It says from which place on it
// has looked, and how much that was worth.
func (s *Store) findChunk(ctx context.Context, bucket uint32, f carom.EventFilter, behind, end uint32, limit int) (list []*carom.Event, from uint32, looked int, err error) {
	where, args := eventConditions(f)
	kind, value, indexed := searchKind(f)
	if !indexed {
		from = max(behind+1, end-min(end-1, findChunk))
		where, args = append(where, "seq >= ?", "seq < ?"), append(args, from, end)
		list, err = s.queryEvents(ctx, bucket, where, args, limit)
		return list, from, int(end - from), err
	}
	const step = 200
	seqs, err := s.findSeqs(bucket, kind, value, end, step)
	if err != nil {
		return nil, 0, 0, s.readErr(bucket, err)
	}
	if from = behind + 1; len(seqs) == step {
		from = max(from, seqs[step-1])
	}
	if len(seqs) == 0 {
		return nil, from, 0, nil
	}
	where, args = append(where, "seq > ?", "seq IN ("+strings.TrimSuffix(strings.Repeat("?,", len(seqs)), ",")+")"), append(args, behind)
	for _, seq := range seqs {
		args = append(args, seq)
	}
	list, err = s.queryEvents(ctx, bucket, where, args, limit)
	return list, from, len(seqs) * findHit, err
}

// spans calls look for the buckets in which something can lie that f selects by its times and its cursor, newest first, until it wants
// no more: with the places behind which and before which that is.
func (s *Store) spans(ctx context.Context, f carom.EventFilter, look func(bucket, behind, end uint32) (more bool, err error)) error {
	before := carom.Ref{Bucket: math.MaxUint32}
	if f.Before != "" {
		inc, ref, err := f.Before.Place()
		if err != nil || !s.isOurs(inc, ref.Bucket) {
			return fmt.Errorf("before: %w", carom.Invalid("before", "%q is not the id of an event of this data folder", f.Before))
		}
		before = ref
	}
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
		behind, end, err := s.spanOf(ctx, bucket, end, f.Since, f.To)
		more := true
		if err == nil && end > behind+1 {
			more, err = look(bucket, behind, end)
		}
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// spanOf says behind which place of a bucket and before which, at most end, its events of a stretch of time lie.
func (s *Store) spanOf(ctx context.Context, bucket, end uint32, since, to time.Time) (behind, before uint32, err error) {
	var newest uint32
	if err := s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce(max(seq), 0) FROM events_%d`, bucket)).Scan(&newest); err != nil {
		return 0, 0, s.readErr(bucket, err)
	}
	end = min(end, newest+1)
	// The first place whose event came at the time or later.
	at := func(t time.Time) (uint32, error) {
		var failed error
		place := sort.Search(int(newest), func(i int) bool {
			var ms int64
			if failed == nil {
				failed = s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT at FROM events_%d WHERE seq >= ? ORDER BY seq LIMIT 1`, bucket), i+1).Scan(&ms)
			}
			return ms >= t.UnixMilli()
		})
		if errors.Is(failed, sql.ErrNoRows) { // they are being dropped
			failed = errBucketGone
		}
		return uint32(place) + 1, s.readErr(bucket, failed)
	}
	if !since.IsZero() {
		first, err := at(since.Add(-slack))
		if err != nil {
			return 0, 0, err
		}
		behind = first - 1
	}
	if !to.IsZero() {
		first, err := at(to.Add(slack))
		if err != nil {
			return 0, 0, err
		}
		end = min(end, first)
	}
	return behind, end, nil
}

// eventConditions are what a query asks of events, but for their places.
func eventConditions(f carom.EventFilter) (where []string, args []any) {
	for _, c := range []struct{ where, value string }{
		{"app = ?", f.App}, {"source = ?", f.Source}, {"ymid = ?", f.YMID}, {userColumn + " = ?", f.User}, {"zone_id = ?", f.Zone},
		{"sub_zone_id = ?", f.SubZone}, {"request_var = ?", f.RequestVar}, {"event_type = ?", string(f.EventType)}, {"network = ?", f.Network},
	} {
		if c.value != "" {
			where, args = append(where, c.where), append(args, c.value)
		}
	}
	switch f.Outcome {
	case carom.OutcomeHeld:
		where = append(where, "held <> ''")
	case carom.OutcomeUnmatched:
		where = append(where, "held = '' AND source <> '"+carom.SourceCarom+"' AND endpoints NOT GLOB '*[0-9]*'")
	case carom.OutcomeAccepted:
		where = append(where, "held = '' AND endpoints GLOB '*[0-9]*'")
	}
	if !f.Since.IsZero() {
		where, args = append(where, "at >= ?"), append(args, f.Since.UnixMilli())
	}
	if !f.To.IsZero() {
		where, args = append(where, "at < ?"), append(args, f.To.UnixMilli())
	}
	return where, args
}
