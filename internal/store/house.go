package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"carom"
	"carom/internal/tables"
)

// When the write-ahead log is carried over into the database. Done by the committing connection itself, checkpoints set
// the p99 of accepts; so another connection does the bulk, and the committer only the last few pages, after which SQLite
// starts the log from its beginning again and the file does not grow.
const (
	checkpointEvery = 250 * time.Millisecond
	checkpointPages = 4000 // 16 MB in the log before it is worth the syncs
	// The committer's part costs two syncs between two commits, so it waits until the log is long; most often SQLite finds the
	// log carried over at some commit before that, and starts over by itself.
	finishLog   = 4 * checkpointPages
	finishPages = 400 // pages left at which the committer finishes
)

// keepCheckpoints carries the log over in the background until ctx ends.
func (s *Store) keepCheckpoints(ctx context.Context) {
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	var commits int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := s.stats.Commits.Load(); now == commits {
			continue
		}
		if log, done, err := walCheckpoint(s.check, "NOOP"); err == nil && log-done < checkpointPages {
			continue // small: nothing to gain
		}
		commits = s.stats.Commits.Load()
		if err := s.checkpoint(); err != nil {
			s.log.Warn("checkpoint failed, will try again", "error", err)
		}
	}
}

// checkpoint runs passes that get shorter, then lets the committer finish.
func (s *Store) checkpoint() error {
	for range 5 {
		log, done, err := walCheckpoint(s.check, "PASSIVE")
		if err != nil {
			return err
		}
		s.stats.Syncs.Add(2) // of the log and of the database
		s.stats.Checkpoints.Add(1)
		if log < finishLog {
			return nil
		}
		if log-done <= finishPages {
			break
		}
	}
	s.finishLog.Store(true)
	s.queue.signal()
	return nil
}

// finishCheckpoint is the committer's part, between two commits.
func (s *Store) finishCheckpoint() {
	if !s.finishLog.Swap(false) {
		return
	}
	s.stats.Syncs.Add(2)
	if _, _, err := walCheckpoint(s.w, "PASSIVE"); err != nil {
		s.log.Warn("checkpoint failed, will try again", "error", err)
	}
}

// walCheckpoint runs a checkpoint in a mode that waits for nobody: PASSIVE carries over what it can, NOOP nothing. It
// returns how many pages the log holds and how many of them are in the database.
func walCheckpoint(w *writer, mode string) (log, done int64, err error) {
	err = w.query("PRAGMA wal_checkpoint("+mode+")", func(v []driver.Value) error {
		log, _ = v[1].(int64)
		done, _ = v[2].(int64)
		return nil
	})
	return log, done, err
}

// finalCheckpoint leaves a small log behind a clean stop.
func (s *Store) finalCheckpoint() error {
	return s.w.query("PRAGMA wal_checkpoint(TRUNCATE)", func([]driver.Value) error { return nil })
}

// keepHouse seals closed buckets as they come, and drops what retention no longer keeps, until ctx ends.
func (s *Store) keepHouse(ctx context.Context) {
	s.seal()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.sealed:
			s.seal()
		case <-tick.C:
			s.seal() // one that failed before
			if err := s.control(ctx, func(w *writer) error {
				if s.opts.Clock().Sub(s.marked) < remarkEvery {
					return nil
				}
				return s.remark(w)
			}); err != nil && !errors.Is(err, errClosed) && ctx.Err() == nil {
				s.log.Warn("cannot mark the data folder, will try again", "error", err)
			}
			if err := s.Prune(ctx); err != nil && !errors.Is(err, errClosed) && ctx.Err() == nil {
				s.log.Warn("retention: cannot drop what is too old, will try again", "error", err)
			}
			if err := s.StoreUses(ctx); err != nil && !errors.Is(err, errClosed) && ctx.Err() == nil {
				s.log.Warn("cannot note what was used, will try again", "error", err)
			}
		}
	}
}

// Prune drops closed buckets whose newest event is older than the retention, in slices, and with them their attempts; then
// counts, samples and indexes that nothing needs any more. It adds up the counts of hours that are over. [Store.Run] calls it every minute.
func (s *Store) Prune(ctx context.Context) error {
	s.houseMu.Lock()
	defer s.houseMu.Unlock()
	now := s.opts.Clock()
	for _, b := range *s.closed.Load() {
		age := now.Sub(b.lastAt)
		var err error
		switch {
		case b.index == nil: // still being sealed
		case b.state == bucketDropping, b.state == bucketKept && age >= s.opts.Retention:
			err = s.dropBucket(ctx, b.number)
		case b.state == bucketDropped && age >= max(s.opts.Retention, s.longestWindow()):
			err = s.forgetBucket(ctx, b)
		}
		if err != nil {
			return fmt.Errorf("bucket %d: %w", b.number, err)
		}
	}
	if err := s.tidyRewards(ctx, now); err != nil {
		return fmt.Errorf("views and counters: %w", err)
	}
	counts := now.Add(-s.opts.CountRetention)
	if err := s.PruneShadow(ctx, now, counts); err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	if err := s.PruneAnswers(ctx, now); err != nil {
		return err
	}
	if err := s.PrunePeople(ctx, now, now.Add(-s.opts.AuditRetention)); err != nil {
		return err
	}
	if err := s.PruneCounts(ctx, counts, now.Add(-s.opts.UnverifiedRetention)); err != nil {
		return err
	}
	return s.RollUp(ctx, now)
}

// dropBucket ends the deliveries of the bucket's events that still wait, deletes its rows slice by slice, then its tables.
// Interrupted anywhere, it goes on when it is called again, also after a restart.
func (s *Store) dropBucket(ctx context.Context, number uint32) error {
	if err := s.setState(ctx, number, bucketDropping, func(*writer) error { return nil }); err != nil {
		return err
	}
	if err := s.expireDue(ctx, number); err != nil {
		return err
	}
	for _, t := range []struct{ table, key string }{{"events", "seq"}, {"outcomes", "id"}, {"refused", "seq"}} {
		for left := int64(1); left > 0; {
			if err := s.control(ctx, func(w *writer) (err error) {
				if err := w.exec(fmt.Sprintf(`DELETE FROM %[1]s_%[2]d WHERE %[3]s IN (SELECT %[3]s FROM %[1]s_%[2]d ORDER BY %[3]s LIMIT %[4]d)`,
					t.table, number, t.key, tables.PruneSlice)); err != nil {
					return err
				}
				left, err = w.int64(fmt.Sprintf(`SELECT count(*) FROM (SELECT 1 FROM %s_%d LIMIT 1)`, t.table, number))
				return err
			}); err != nil {
				return err
			}
		}
	}
	if err := s.setState(ctx, number, bucketDropped, func(w *writer) error {
		s.st.forget(number)
		for _, table := range []string{"events", "outcomes", "refused"} {
			if err := w.exec(fmt.Sprintf(`DROP TABLE %s_%d`, table, number)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	s.log.Info("retention: bucket dropped", "bucket", number)
	return nil
}

// setState stores the bucket's new state in one transaction with what change does, then takes it up in memory.
func (s *Store) setState(ctx context.Context, number uint32, state bucketState, change func(*writer) error) error {
	if err := s.control(ctx, func(w *writer) error {
		if err := change(w); err != nil {
			return err
		}
		return w.exec(`UPDATE buckets SET dropped = ? WHERE bucket = ?`, int64(state), int64(number))
	}); err != nil {
		return err
	}
	s.replaceClosed(func(list []*closedBucket) []*closedBucket {
		for i := range list {
			if list[i].number == number {
				changed := *list[i]
				changed.state = state
				list[i] = &changed
			}
		}
		return list
	})
	return nil
}

// expireDue ends the deliveries that still wait for events of the bucket: nothing ends in silence. There are some only if
// an endpoint's deadline is longer than the retention. Those in somebody's hands end there.
func (s *Store) expireDue(ctx context.Context, number uint32) error {
	from, to := carom.Ref{Bucket: number}.Uint64(), carom.Ref{Bucket: number + 1}.Uint64()
	backlogs, err := s.Backlogs(ctx)
	if err != nil {
		return err
	}
	for _, b := range backlogs {
		held := s.claims.held(b.Endpoint)
		for more := true; more; {
			if err := s.control(ctx, func(w *writer) error {
				var keys []claimKey
				if err := w.query(`SELECT event, ordinal FROM due WHERE endpoint = ? AND event >= ? AND event < ? ORDER BY event, ordinal LIMIT ?`,
					func(v []driver.Value) error {
						keys = append(keys, claimKey{uint64(v[0].(int64)), int(v[1].(int64))})
						return nil
					}, int64(b.Endpoint), int64(from), int64(to), int64(tables.PruneSlice)); err != nil {
					return err
				}
				for _, k := range keys {
					if _, ok := held[k]; ok {
						continue
					}
					if err := s.expire(b.Endpoint, k, s.opts.Clock()); err != nil {
						return err
					}
				}
				more = len(keys) == tables.PruneSlice
				if more {
					from = keys[len(keys)-1].event + 1
				}
				return nil
			}); err != nil {
				return err
			}
		}
		from = carom.Ref{Bucket: number}.Uint64()
	}
	return nil
}

// forgetBucket removes the index of a dropped bucket once no dedupe window covers it.
func (s *Store) forgetBucket(ctx context.Context, b *closedBucket) error {
	if err := s.control(ctx, func(w *writer) error {
		return w.exec(`DELETE FROM buckets WHERE bucket = ?`, int64(b.number))
	}); err != nil {
		return err
	}
	s.replaceClosed(func(list []*closedBucket) []*closedBucket {
		return slices.DeleteFunc(list, func(c *closedBucket) bool { return c.number == b.number })
	})
	// The committer may still be looking at the old list: it closes the file itself. A search finds it closed.
	if err := s.control(ctx, func(*writer) error { return b.index.Close() }); err != nil {
		return err // a stray file, which the next start removes
	}
	if err := os.Remove(indexPath(s.dir, b.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
