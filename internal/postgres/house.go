package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carom"
)

// How often a node looks after what nobody waits for.
const (
	reapEvery  = time.Second
	tidyEvery  = time.Minute
	dutyHouse  = "house" // retention: one node does it for all
	sweepSlice = 2000    // blocks of a table that one statement looks at
	pruneSlice = 1000    // rows that one statement deletes
)

// keepHouse ends the leases of dead nodes, finds what lost claims have taken, follows what others have done to API keys, makes partitions before they are needed, and, on the one node whose duty it is, drops
// what retention no longer keeps, until ctx ends.
func (s *Store) keepHouse(ctx context.Context) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	var tidied time.Time
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.reap(ctx)
		if err == nil {
			err = s.findLost(ctx)
		}
		if err == nil {
			err = s.follow(ctx)
		}
		if err == nil && time.Since(tidied) >= tidyEvery {
			if err = s.makeAhead(ctx); err == nil {
				err = errors.Join(s.pruneOnDuty(ctx), s.StoreUses(ctx))
			}
			tidied = time.Now()
		}
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("housekeeping failed, will try again", "error", err)
		}
		failing = err != nil
	}
}

// follow takes up what other nodes have done to API keys.
func (s *Store) follow(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.LoadKeys(ctx)
}

// makeAhead makes the partitions of the next buckets.
func (s *Store) makeAhead(ctx context.Context) error {
	var open, made int
	if err := s.lanes.QueryRowContext(ctx, `SELECT coalesce(max(bucket) FILTER (WHERE opened_at > 0), 0), coalesce(max(bucket), 0) FROM buckets`).Scan(&open, &made); err != nil {
		return translate(err)
	}
	if open+bucketsAhead <= made {
		return nil
	}
	return s.makeBuckets(ctx, uint32(open+bucketsAhead))
}

// OnDuty says whether this node is the one that does something for all. It takes the duty up if nobody has it. It returns
// carom.ErrUnavailable when that is not certain, since the node's lease may have ended.
func (s *Store) OnDuty(ctx context.Context, name string) (bool, error) {
	l := s.lease.Load()
	if l == nil || !l.valid() {
		return false, fmt.Errorf("the duty %q: this node's lease may have ended: %w", name, carom.ErrUnavailable)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var node int
	err := s.lanes.QueryRowContext(ctx, `INSERT INTO duties AS d (name, node) VALUES ($1, $2) ON CONFLICT (name)
		DO UPDATE SET node = CASE WHEN EXISTS (SELECT 1 FROM nodes WHERE no = d.node AND ended_at = 0) THEN d.node ELSE excluded.node END RETURNING node`,
		name, int(l.no)).Scan(&node)
	return node == int(l.no), translate(err)
}

// LoadDuty returns what whoever had a duty last has saved for who has it now; nothing when nobody has.
func (s *Store) LoadDuty(ctx context.Context, name string) (memory []byte, err error) {
	err = translate(s.lanes.QueryRowContext(ctx, `SELECT memory FROM duties WHERE name = $1`, name).Scan(&memory))
	if errors.Is(err, carom.ErrNotFound) {
		return nil, nil
	}
	return memory, err
}

// SaveDuty keeps something for whoever has a duty after this node. It returns carom.ErrConflict when another node has it.
func (s *Store) SaveDuty(ctx context.Context, name string, memory []byte) error {
	l := s.lease.Load()
	if l == nil {
		return fmt.Errorf("the duty %q: this node has no lease: %w", name, carom.ErrUnavailable)
	}
	r, err := s.lanes.ExecContext(ctx, `UPDATE duties SET memory = $3 WHERE name = $1 AND node = $2`, name, int(l.no), memory)
	if err != nil {
		return translate(err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("the duty %q is another node's: %w", name, carom.ErrConflict))
	}
	return nil
}

func (s *Store) pruneOnDuty(ctx context.Context) error {
	mine, err := s.OnDuty(ctx, dutyHouse)
	if err != nil || !mine {
		return err
	}
	return s.Prune(ctx)
}

// Prune drops time buckets whose newest event is older than the retention, and with them their attempts; then keys, counts and
// samples that nothing needs any more. It adds up the counts of hours that are over. [Store.Run] calls it every minute, on one node.
func (s *Store) Prune(ctx context.Context) error {
	s.pruning.Lock() // one partition is not detached twice at a time
	defer s.pruning.Unlock()
	now := s.Now()
	old, err := s.oldBuckets(ctx, now.Add(-s.opts.Retention).UnixMilli())
	if err != nil {
		return err
	}
	gone, err := s.numbers(ctx, `SELECT bucket FROM buckets WHERE dropped = 1 ORDER BY bucket`)
	if err != nil {
		return err
	}
	for _, bucket := range append(gone, old...) {
		if err := s.dropBucket(ctx, uint32(bucket)); err != nil {
			return fmt.Errorf("time bucket %d: %w", bucket, err)
		}
	}
	if err := s.sweepKeys(ctx, now); err != nil {
		return fmt.Errorf("dedupe keys: %w", err)
	}
	if err := s.PruneCounts(ctx, now.Add(-s.opts.CountRetention), now.Add(-s.opts.UnverifiedRetention)); err != nil {
		return err
	}
	if err := s.RollUp(ctx, now); err != nil {
		return err
	}
	if err := s.PruneShadow(ctx, now, now.Add(-s.opts.CountRetention)); err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	if err := s.PruneAnswers(ctx, now); err != nil {
		return err
	}
	if err := s.PrunePeople(ctx, now, now.Add(-s.opts.AuditRetention)); err != nil {
		return err
	}
	return s.tidyRewards(ctx, now)
}

// How long what stands beside rewards is kept. Rewards, lines and balances are kept for ever.
const (
	keepViews    = 90 * 24 * time.Hour // views with a ymid of carom's own, after they expired; an app's own ymids are kept for ever
	keepCounters = 40                  // days of caps that count by the day
	keepJoins    = 31 * 24 * time.Hour // views whose ymid repeats: longer than any window in which an event may join
	tidyAll      = 24 * time.Hour
)

// tidyRewards drops views that nobody can ask for any more and counters of days that are over, once a day.
func (s *Store) tidyRewards(ctx context.Context, now time.Time) error {
	if now.Sub(s.tidied) < tidyAll {
		return nil
	}
	if err := s.DropViews(ctx, now.Add(-keepViews)); err != nil {
		return fmt.Errorf("views: %w", err)
	}
	year, month, day := now.AddDate(0, 0, -keepCounters).Date()
	for _, d := range []struct {
		where string
		arg   int64
	}{
		{"counters WHERE day > 0 AND day < $1", int64(year*10_000 + int(month)*100 + day)}, {"joins WHERE at < $1", now.Add(-keepJoins).UnixMilli()},
	} {
		if _, err := s.lanes.ExecContext(ctx, "DELETE FROM "+d.where, d.arg); err != nil {
			return translate(err)
		}
	}
	s.tidied = now
	return nil
}

// oldBuckets are those whose newest row was received before a moment, oldest first.
func (s *Store) oldBuckets(ctx context.Context, before int64) ([]int, error) {
	closed, err := s.numbers(ctx, `SELECT bucket FROM buckets WHERE closed_at > 0 AND opened_at < $1 AND dropped = 0 ORDER BY bucket`, before)
	if err != nil {
		return nil, err
	}
	for i, bucket := range closed {
		from, to := bucketStart(uint32(bucket)), bucketStart(uint32(bucket)+1)
		var newest int64
		if err := s.lanes.QueryRowContext(ctx, `SELECT greatest((SELECT max(at) FROM events WHERE place >= $1 AND place < $2), (SELECT max(at) FROM refused WHERE place >= $1 AND place < $2), 0)`,
			from, to).Scan(&newest); err != nil {
			return nil, translate(err)
		}
		if newest >= before {
			return closed[:i], nil // the others are younger
		}
	}
	return closed, nil
}

// dropBucket ends the deliveries of the bucket's events that still wait, then drops its partitions. Interrupted anywhere, it goes
// on when it is called again, by any node.
func (s *Store) dropBucket(ctx context.Context, number uint32) error {
	from, to := bucketStart(number), bucketStart(number+1)
	now := s.Now().UnixMilli()
	if _, err := s.lanes.ExecContext(ctx, `UPDATE buckets SET dropped = 1 WHERE bucket = $1`, int(number)); err != nil {
		return translate(err)
	}
	for more := true; more; { // nothing ends in silence. There are some only if an endpoint's deadline is longer than the retention
		if err := s.transact(ctx, func(tx *tx) error {
			n, err := tx.count(`WITH gone AS (DELETE FROM due WHERE (endpoint, place, ordinal) IN (SELECT endpoint, place, ordinal FROM due
				WHERE place >= $1 AND place < $2 AND node = 0 LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING endpoint)
				INSERT INTO delivery_counts AS c (minute, endpoint, outcome, node, n) SELECT CAST($4 AS bigint) / 60000, endpoint, 'expired', 0, count(*) FROM gone GROUP BY endpoint ORDER BY endpoint
				ON CONFLICT (minute, endpoint, outcome, node) DO UPDATE SET n = c.n + excluded.n`, from, to, pruneSlice, now)
			more = n > 0
			return err
		}); err != nil {
			return err
		}
	}
	for _, table := range partitioned {
		if err := s.dropPartition(ctx, table, fmt.Sprintf("%s_%d", table, number)); err != nil {
			return err
		}
	}
	if _, err := s.lanes.ExecContext(ctx, `UPDATE buckets SET dropped = 2 WHERE bucket = $1`, int(number)); err != nil {
		return translate(err)
	}
	s.log.Info("retention: time bucket dropped", "bucket", number)
	return nil
}

// dropPartition takes a partition out of its table and drops it. Nobody who reads or writes the others waits for it.
func (s *Store) dropPartition(ctx context.Context, table, name string) error {
	var attached, pending, there bool
	if err := s.lanes.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL,
		EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1)),
		EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhdetachpending)`, name).Scan(&there, &attached, &pending); err != nil {
		return translate(err)
	}
	var statements []string
	switch {
	case !there:
		return nil // dropped by hand
	case pending: // a detachment was interrupted
		statements = append(statements, `ALTER TABLE `+table+` DETACH PARTITION `+name+` FINALIZE`)
	case attached:
		statements = append(statements, `ALTER TABLE `+table+` DETACH PARTITION `+name+` CONCURRENTLY`)
	}
	for _, statement := range append(statements, `DROP TABLE IF EXISTS `+name) {
		if _, err := s.lanes.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, translate(err))
		}
	}
	return nil
}

// sweepKeys deletes dedupe keys that have expired. Nothing finds them by their time, which an index that grows with every event
// would have to: so all of the table is looked at, block by block, in as many calls as a day has minutes.
func (s *Store) sweepKeys(ctx context.Context, now time.Time) error {
	table := fmt.Sprintf("keys_%d", now.Unix()/60%hashParts)
	var blocks int64
	if err := s.lanes.QueryRowContext(ctx, `SELECT pg_relation_size(CAST($1 AS regclass)) / current_setting('block_size')::bigint`, table).Scan(&blocks); err != nil {
		return translate(err)
	}
	// So many turns of it has a day, one of which may be missed in nine.
	const turns = 24 * 60 / hashParts * 8 / 9
	share := max(blocks/turns, sweepSlice)
	from := s.swept[table]
	if from >= blocks {
		from = 0
	}
	to := min(from+share, blocks)
	for at := from; at < to; at += sweepSlice {
		if _, err := s.lanes.ExecContext(ctx, `DELETE FROM `+table+` WHERE ctid >= CAST($1 AS tid) AND ctid < CAST($2 AS tid) AND until <= $3`,
			fmt.Sprintf("(%d,0)", at), fmt.Sprintf("(%d,0)", min(at+sweepSlice, to)), secondsOf(now)); err != nil {
			return translate(err)
		}
	}
	s.swept[table] = to
	return nil
}
