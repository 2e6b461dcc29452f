package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carom"
)

// bucket is where the committer writes: the newest time bucket that it has heard of. All nodes write to the same one, but for the
// moments in which a new one is opened.
type bucket struct {
	number     uint32
	seq        uint32 // this node's newest event in it
	refusedSeq uint32 // and its newest refused postback

	openedAt time.Time
	broken   bool // a partition of it is missing

	oldest uint32 // that is kept

	// As the commit under way has seen it.
	newest       uint32
	newestOpened time.Time
	asked        time.Time // when it began
}

func errBucketFull(number uint32) error {
	return fmt.Errorf("time bucket %d is full, and the next is not there yet: %w", number, carom.ErrUnavailable)
}

// bucketsAhead is how many buckets have their partitions before they are needed.
const bucketsAhead = 2

// partitioned are the tables with a partition for each time bucket.
var partitioned = []string{"events", "outcomes", "refused"}

// makeBuckets makes the partitions of buckets up to one. Each is made as a table of its own and attached, which keeps nobody from
// reading or writing the others.
func (s *Store) makeBuckets(ctx context.Context, upTo uint32) error {
	return s.transact(ctx, func(tx *tx) error {
		if err := tx.exec(`SELECT pg_advisory_xact_lock($1)`, int64(lockBuckets)); err != nil {
			return err
		}
		newest := 0
		if err := tx.row(`SELECT coalesce(max(bucket), 0) FROM buckets`, nil, &newest); err != nil {
			return err
		}
		for n := uint32(newest) + 1; n <= upTo; n++ {
			if n > maxBucket {
				return fmt.Errorf("time bucket %d: there are no more numbers: %w", n, carom.ErrUnavailable)
			}
			for _, table := range partitioned {
				name := fmt.Sprintf("%s_%d", table, n)
				from, to := bucketStart(n), bucketStart(n+1)
				for _, statement := range []string{
					`CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)`,
					`ALTER TABLE {name} ADD CONSTRAINT {name}_range CHECK (place >= {from} AND place < {to})`,
					`ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to})`,
					`ALTER TABLE {name} DROP CONSTRAINT {name}_range`,
				} {
					if err := tx.exec(strings.NewReplacer("{name}", name, "{table}", table, "{from}", fmt.Sprint(from), "{to}", fmt.Sprint(to)).Replace(statement)); err != nil {
						return fmt.Errorf("make the partition %s: %w", name, err)
					}
				}
			}
			if err := tx.exec(`INSERT INTO buckets (bucket) VALUES ($1)`, int(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// openFirstBucket sees to it that there is a bucket to write to.
func (s *Store) openFirstBucket(ctx context.Context) error {
	var newest int
	var opened int64
	if err := s.lanes.QueryRowContext(ctx, `SELECT coalesce(max(bucket), 0), coalesce(max(opened_at), 0) FROM buckets WHERE opened_at > 0`).Scan(&newest, &opened); err != nil {
		return translate(err)
	}
	if newest == 0 {
		if err := s.makeBuckets(ctx, bucketsAhead); err != nil {
			return err
		}
		if err := s.openBucket(ctx, 1); err != nil {
			return err
		}
		newest, opened = 1, s.Now().UnixMilli()
	}
	s.enter(uint32(newest), time.UnixMilli(opened))
	return nil
}

// openBucket opens a bucket for all nodes, if it is not open yet. It returns carom.ErrNotFound when it has no partitions.
func (s *Store) openBucket(ctx context.Context, number uint32) error {
	return s.transact(ctx, func(tx *tx) error {
		now, there := s.Now().UnixMilli(), 0
		if err := tx.row(`SELECT count(*) FROM buckets WHERE bucket = $1`, []any{int(number)}, &there); err != nil {
			return err
		}
		if there == 0 {
			return fmt.Errorf("time bucket %d: %w", number, carom.ErrNotFound)
		}
		if err := tx.exec(`UPDATE buckets SET closed_at = $2 WHERE bucket < $1 AND closed_at = 0`, int(number), now); err != nil {
			return err
		}
		return tx.exec(`UPDATE buckets SET opened_at = $2 WHERE bucket = $1 AND opened_at = 0`, int(number), now)
	})
}

// rotate opens the next bucket when this node has filled its part of the open one, or it is old enough.
func (s *Store) rotate() error {
	b := &s.bucket
	full := int(max(b.seq, b.refusedSeq)) >= s.opts.BucketEvents
	old := (b.seq > 0 || b.refusedSeq > 0) && s.Now().Sub(b.openedAt) >= s.opts.BucketAge
	if !full && !old && !b.broken {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.openBucket(ctx, b.number+1)
	if errors.Is(err, carom.ErrNotFound) {
		if err = s.makeBuckets(ctx, b.number+1); err == nil {
			err = s.openBucket(ctx, b.number+1)
		}
	}
	if err != nil {
		return err
	}
	s.enter(b.number+1, s.Now())
	return nil
}

// enter makes a bucket the one that the committer writes to.
func (s *Store) enter(number uint32, openedAt time.Time) {
	s.bucket.number, s.bucket.seq, s.bucket.refusedSeq, s.bucket.openedAt, s.bucket.broken = number, 0, 0, openedAt, false
	s.openNumber.Store(number)
}

// leaveMissing takes up that a commit failed for want of a partition, which somebody has dropped or detached: what comes goes to the
// next bucket, and attempts of events whose partition is gone are not stored any more.
func (s *Store) leaveMissing(b *batch, err error) {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "23514" || pe.ConstraintName != "" { // check_violation, of no constraint: no partition takes the row
		return
	}
	s.log.Error("a partition is missing, which somebody has dropped or detached: what it would hold goes to the next time bucket", "table", pe.TableName, "bucket", s.bucket.number)
	if pe.TableName != "outcomes" {
		s.bucket.broken = true
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	there, err := s.numbers(ctx, `SELECT bucket FROM buckets WHERE `+hasOutcomes("bucket"))
	if err != nil {
		return // it is tried again with the next commit
	}
	for _, op := range b.results {
		if op.attempt != nil && !slices.Contains(there, int(op.ref.Bucket)) {
			op.gone = true
		}
	}
}

// hasOutcomes is a condition: the bucket has its partition of outcomes.
func hasOutcomes(bucket string) string {
	return `EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = to_regclass('outcomes') AND inhrelid = to_regclass('outcomes_' || ` + bucket + `))`
}
