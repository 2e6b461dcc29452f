package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"carom"
)

// Newest first is by bucket, then by the time of acceptance, then by place: what several nodes accept lies interleaved in a bucket,
// each node's by itself, so that places alone are no order of time. A list walks the buckets, with queries that are each bounded to
// the places of one bucket: PostgreSQL then looks at that partition and no other.

// position is where a list goes on: with what lies in an older bucket, or in this one before a time and place.
type position struct {
	bucket    int64
	at, place int64
}

// newest is where a list begins.
func newest() position { return position{bucket: maxBucket, at: math.MaxInt64, place: math.MaxInt64} }

// before is the position of a row that an id names, of which err says whether it is one. When the row is gone, its bucket is too: the
// list goes on below it. It returns carom.ErrInvalid when the id is not of this database.
func (s *Store) before(ctx context.Context, table, id string, life carom.Incarnation, ref carom.Ref, err error) (position, error) {
	ours := false
	if err == nil {
		ours, err = s.isOurs(ctx, life, ref)
	}
	if err != nil && !errors.Is(err, carom.ErrInvalid) {
		return position{}, fmt.Errorf("before: %w", err)
	}
	if !ours {
		return position{}, fmt.Errorf("before: %w", carom.Invalid("before", "%q is not an id that a list of this database has returned", id))
	}
	p := position{bucket: int64(ref.Bucket), place: placeOf(ref)}
	err = translate(numbered{s.r}.QueryRowContext(ctx, `SELECT at FROM `+table+` WHERE place = ?`, p.place).Scan(&p.at))
	if errors.Is(err, carom.ErrNotFound) {
		return position{p.bucket - 1, math.MaxInt64, math.MaxInt64}, nil
	}
	return p, err
}

// span is what one query of a list looks at: the rows of a bucket before a time and place.
type span struct {
	bucket    int64
	at, place int64
}

// lag is how much later than a bucket was closed something may have come that lies in it: on a node that had not heard of it yet.
const lag = time.Minute

// newestBuckets calls look for the buckets that are kept, newest first, until it wants no more. Buckets in which nothing can have come
// since a moment are left out; none are when that is zero.
func (s *Store) newestBuckets(ctx context.Context, from position, since time.Time, look func(span) (more bool, err error)) error {
	var spans []span
	if err := readRows(ctx, s.r, func(scan func(...any) error) error {
		r := span{at: math.MaxInt64, place: math.MaxInt64}
		err := scan(&r.bucket)
		if r.bucket == from.bucket {
			r.at, r.place = from.at, from.place
		}
		spans = append(spans, r)
		return err
	}, `SELECT bucket FROM buckets WHERE bucket <= ? AND opened_at > 0 AND dropped = 0 AND (closed_at = 0 OR closed_at >= ?) ORDER BY bucket DESC`,
		from.bucket, milliOr(since, 0)-lag.Milliseconds()); err != nil {
		return err
	}
	for _, r := range spans {
		if more, err := look(r); err != nil || !more {
			return err
		}
	}
	return nil
}

// conditions are what a query asks of rows, to stand behind WHERE.
type conditions struct {
	where string
	args  []any
}

func (c *conditions) add(where string, args ...any) {
	if c.where != "" {
		c.where += ` AND `
	}
	c.where, c.args = c.where+where, append(c.args, args...)
}

// within are the conditions with those of a span.
func (c *conditions) within(r span) conditions {
	in := conditions{c.where, c.args[:len(c.args):len(c.args)]}
	from, to := bucketStart(uint32(r.bucket)), bucketStart(uint32(r.bucket+1))
	in.add(`place >= ? AND place < ? AND (at, place) < (?, ?)`, from, to, r.at, r.place)
	return in
}
