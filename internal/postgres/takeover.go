package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"carom"
)

// reap ends the leases of nodes that have shown no sign of life for too long, and takes over what they left. Any node does it for
// any other; the rows of nodes see to it that one does.
func (s *Store) reap(ctx context.Context) error {
	if err := s.endLeases(ctx); err != nil {
		s.sighted = time.Time{}
		return err
	}
	left, err := s.left(ctx)
	if err != nil {
		return err
	}
	for _, no := range left {
		if err := s.takeOver(ctx, no); err != nil {
			return fmt.Errorf("take over node %d: %w", no, err)
		}
	}
	return nil
}

// endLeases ends the leases of the silent. While the database itself was away, all nodes were silent and none of them is dead for that: so
// a node that has just found it again gives the others time to do so too. For the same reason an order that the database
// carries out late, since it hung, does nothing.
func (s *Store) endLeases(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if s.sighted.IsZero() {
		if _, err := s.lanes.ExecContext(ctx, `SELECT 1`); err != nil {
			return translate(err)
		}
		s.sighted = time.Now()
	}
	if time.Since(s.sighted) < s.opts.leaseTime/2 {
		return nil
	}
	return readRows(ctx, s.lanes, func(scan func(...any) error) error {
		var no int
		var name string
		if err := scan(&no, &name); err != nil {
			return err
		}
		s.log.Warn("a node showed no sign of life: its lease is ended", "node", no, "name", name)
		return nil
	}, `UPDATE nodes SET ended_at = `+nowMS+` WHERE no IN
		(SELECT no FROM nodes WHERE ended_at = 0 AND seen_at < `+nowMS+` - ?1 AND `+nowMS+` < ?2 FOR UPDATE SKIP LOCKED) RETURNING no, name`,
		s.opts.leaseTime.Milliseconds(), s.clock.now().Add(s.opts.leaseTime/5).UnixMilli())
}

// left are the nodes whose leases have ended and which nobody has taken over.
func (s *Store) left(ctx context.Context) ([]int, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.numbers(ctx, `SELECT no FROM nodes WHERE ended_at > 0 AND taken_at = 0`)
}

// numbers reads a column of small numbers.
func (s *Store) numbers(ctx context.Context, query string, args ...any) ([]int, error) {
	rows, err := s.lanes.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []int
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, translate(err)
		}
		out = append(out, n)
	}
	return out, translate(rows.Err())
}

// ReasonInterrupted ends a delivery that must not be repeated and may have been sent when its node died.
const ReasonInterrupted = "interrupted after sending; not repeated, as the endpoint asks"

// takeOverIn is how long taking a node over may take: as many events as a lane has room for are read, on a database that has other things
// to do.
const takeOverIn = time.Minute

// takeOver gives every delivery that lived in the memory of a node whose lease has ended a row in the due table, due now; lets go
// of those that it had claimed; and ends those that must not be repeated and may have been sent. All of it happens at once, or not.
func (s *Store) takeOver(ctx context.Context, no int) error {
	ctx, cancel := context.WithTimeout(ctx, takeOverIn)
	defer cancel()
	var waiting, claimed, interrupted int64
	name, began := "", time.Now()
	err := s.transact(ctx, func(tx *tx) error {
		var mark int64
		if err := tx.row(`SELECT mark, name FROM nodes WHERE no = $1 AND ended_at > 0 AND taken_at = 0 FOR UPDATE`, []any{no}, &mark, &name); err != nil {
			return err
		}
		var err error
		if waiting, err = s.takeUpMemory(tx, uint16(no), refOf(mark)); err != nil {
			return err
		}
		now := s.Now().UnixMilli()
		if interrupted, err = tx.count(`WITH cut AS (DELETE FROM due WHERE node = $1 AND sending = 1 RETURNING endpoint, place, ordinal, attempts),
			counted AS (INSERT INTO delivery_counts AS c (minute, endpoint, outcome, node, n) SELECT CAST($2 AS bigint) / 60000, endpoint, 'dead', $1, count(*) FROM cut GROUP BY endpoint
				ON CONFLICT (minute, endpoint, outcome, node) DO UPDATE SET n = c.n + excluded.n)
			INSERT INTO outcomes (place, ordinal, attempt, endpoint, at, took_us, state, due_at, reason, flags, method, url, sent, status, answer, node)
			SELECT place, ordinal, attempts + 1, endpoint, CAST($2 AS bigint), 0, 'dead', 0, $3, 0, '', '', '', 0, NULL, $1 FROM cut WHERE `+hasOutcomes("(place >> "+fmt.Sprint(nodeBits+seqBits)+")")+`
			ON CONFLICT (place, ordinal, attempt) DO NOTHING`, no, now, ReasonInterrupted); err != nil {
			return err
		}
		if claimed, err = tx.count(`UPDATE due SET node = 0 WHERE node = $1`, no); err != nil {
			return err
		}
		if err := tx.exec(`UPDATE duties SET node = 0 WHERE node = $1`, no); err != nil {
			return err
		}
		return tx.exec(`UPDATE nodes SET taken_at = `+nowMS+` WHERE no = $1`, no)
	})
	if errors.Is(err, carom.ErrNotFound) {
		return nil // another has done it
	}
	if err == nil && waiting+claimed+interrupted > 0 {
		level := slog.LevelWarn
		if l := s.lease.Load(); l != nil && no == int(l.no) { // this one, which stops: what its lanes had no time for is due for others
			level = slog.LevelInfo
		}
		s.log.Log(ctx, level, "what a node left is taken over", "node", no, "name", name, "deliveries", waiting, "claimed", claimed, "interrupted", interrupted, "took", time.Since(began))
	}
	return err
}

// takeUpMemory finds the deliveries of a node's events from the mark on that neither have ended nor have a row in the due table.
//
// Both are looked for in one snapshot. A conflict of keys alone would tell of a row as it is later, when another node may just have
// ended the delivery and deleted it.
func (s *Store) takeUpMemory(tx *tx, node uint16, mark carom.Ref) (n int64, err error) {
	var newest int
	if err := tx.row(`SELECT coalesce(max(bucket), 0) FROM buckets WHERE opened_at > 0 AND dropped = 0`, nil, &newest); err != nil {
		return 0, err
	}
	var oldest int
	if err := tx.row(`SELECT coalesce(min(bucket), 1) FROM buckets WHERE dropped = 0`, nil, &oldest); err != nil {
		return 0, err
	}
	now := s.Now().UnixMilli()
	for bucket := max(mark.Bucket, uint32(oldest)); bucket <= uint32(newest); bucket++ {
		from, to := placeOf(carom.Ref{Bucket: bucket, Node: node}), placeOf(carom.Ref{Bucket: bucket, Node: node, Seq: maxSeq})
		if bucket == mark.Bucket {
			from = max(from, placeOf(mark))
		}
		found, err := tx.count(`INSERT INTO due (endpoint, place, ordinal, due_at, scheduled_at, accepted_at, attempts, step, sending, node)
			SELECT CAST(split_part(t.word, ':', 1) AS integer), e.place, CAST(t.n - 1 AS smallint), $3, $3, e.at, coalesce(o.attempt, 0), coalesce(o.attempt, 0), 0, 0
			FROM events e CROSS JOIN LATERAL string_to_table(e.endpoints, ' ') WITH ORDINALITY AS t (word, n)
			LEFT JOIN LATERAL (SELECT attempt, state FROM outcomes WHERE place = e.place AND ordinal = t.n - 1 ORDER BY attempt DESC LIMIT 1) o ON true
			WHERE e.place BETWEEN $1 AND $2 AND e.endpoints <> '' AND t.word <> '-' AND (o.state IS NULL OR o.state = 'pending')
			AND NOT EXISTS (SELECT 1 FROM due d WHERE d.endpoint = CAST(split_part(t.word, ':', 1) AS integer) AND d.place = e.place AND d.ordinal = t.n - 1)
			ON CONFLICT (endpoint, place, ordinal) DO NOTHING`, from, to, now)
		if err != nil {
			return 0, err
		}
		n += found
	}
	return n, nil
}
