package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// load reads what the committer keeps in memory and recovers what a crash left behind.
func (s *Store) load() error {
	now := s.opts.Clock()
	if err := s.unseal(); err != nil {
		return err
	}
	if err := s.loadLife(now); err != nil {
		return err
	}
	if err := s.loadBuckets(now); err != nil {
		return err
	}
	if err := s.loadSegments(); err != nil {
		return err
	}
	s.removeStrays()
	if err := s.prepareStatements(); err != nil {
		return err
	}
	if err := s.loadTallies(now); err != nil {
		return err
	}
	if err := s.LoadLabels(context.Background(), s.counts); err != nil {
		return err
	}
	if err := s.LoadKeys(context.Background()); err != nil {
		return err
	}
	if s.lacks == "" {
		objects, err := s.Objects(context.Background())
		if err != nil {
			return err
		}
		s.noteWindows(objects.Sources)
	}
	if err := s.loadRecent(now); err != nil {
		return err
	}
	return s.recover(now)
}

// loadBuckets opens the index of each closed bucket that still matters to dedupe or search, building what is missing, and
// reads the keys of the open one.
func (s *Store) loadBuckets(now time.Time) error {
	type row struct {
		number       uint32
		opened, last time.Time
		events       int
		closed       bool
		state        bucketState
		life         carom.Incarnation
	}
	var rows []row
	if err := s.w.query(`SELECT bucket, opened_at, closed_at, last_at, events, dropped, life FROM buckets ORDER BY bucket`,
		func(v []driver.Value) error {
			rows = append(rows, row{
				number: uint32(v[0].(int64)), opened: time.UnixMilli(v[1].(int64)).UTC(), closed: v[2].(int64) != 0,
				last: time.UnixMilli(v[3].(int64)).UTC(), events: int(v[4].(int64)), state: bucketState(v[5].(int64)), life: carom.Incarnation(v[6].(int64)),
			})
			return nil
		}); err != nil {
		return err
	}
	if len(rows) == 0 || rows[len(rows)-1].closed {
		next := uint32(1)
		last, err := s.w.int64(`SELECT max(bucket) FROM buckets`)
		if err != nil {
			return err
		}
		next += uint32(last)
		if err := s.w.tx(func() error { return createBucket(s.w, next, s.inc, now) }); err != nil {
			return err
		}
		rows = append(rows, row{number: next, opened: now, last: now, life: s.inc})
	}
	if last := &rows[len(rows)-1]; last.life != s.inc { // the folder was restored: what is new gets names of the new life
		if err := s.closeForNewLife(last.number, now); err != nil {
			return err
		}
		rows = append(rows, row{number: last.number + 1, opened: now, last: now, life: s.inc})
		closed := &rows[len(rows)-2]
		var err error
		if closed.last, closed.events, err = s.closedAs(closed.number); err != nil {
			return err
		}
		closed.closed = true
	}
	for _, r := range rows {
		if !r.closed {
			if err := s.loadOpenBucket(r.number, r.opened, r.life); err != nil {
				return err
			}
			continue
		}
		b := &closedBucket{number: r.number, lastAt: r.last, events: r.events, state: r.state, life: r.life}
		if err := s.loadIndex(b); err != nil {
			return err
		}
		s.replaceClosed(func(list []*closedBucket) []*closedBucket { return append(list, b) })
	}
	s.recovered.Buckets = len(rows)
	s.recovered.Events = int(s.open.seq)
	return nil
}

// closeForNewLife closes the bucket that was open and opens the next.
func (s *Store) closeForNewLife(number uint32, now time.Time) error {
	return s.w.tx(func() error {
		if err := s.w.exec(fmt.Sprintf(`UPDATE buckets SET closed_at = ?1, last_at = coalesce((SELECT max(at) FROM events_%[1]d), opened_at),
			events = coalesce((SELECT max(seq) FROM events_%[1]d), 0) WHERE bucket = ?2`, number), now.UnixMilli(), int64(number)); err != nil {
			return err
		}
		return createBucket(s.w, number+1, s.inc, now)
	})
}

// closedAs reads when the newest event of a closed bucket was received, and how many it has.
func (s *Store) closedAs(number uint32) (last time.Time, events int, err error) {
	err = s.w.query(`SELECT last_at, events FROM buckets WHERE bucket = ?`, func(v []driver.Value) error {
		last, events = time.UnixMilli(v[0].(int64)).UTC(), int(v[1].(int64))
		return nil
	}, int64(number))
	return last, events, err
}

// removeStrays deletes index files that belong to no bucket any more, and half-written ones.
func (s *Store) removeStrays() {
	wanted := map[string]bool{}
	for _, b := range *s.closed.Load() {
		wanted[filepath.Base(indexPath(s.dir, b.number))] = true
	}
	for _, seg := range *s.rewards.closed.Load() {
		wanted[filepath.Base(segmentPath(s.dir, seg.number))] = true
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return // what could not be listed only takes space
	}
	for _, e := range entries {
		if (strings.HasPrefix(e.Name(), "index_") || strings.HasPrefix(e.Name(), "rewards_")) && !wanted[e.Name()] {
			_ = os.Remove(filepath.Join(s.dir, e.Name())) // it only takes space
		}
	}
}

// loadIndex opens the bucket's index, building it anew when it is missing or damaged.
func (s *Store) loadIndex(b *closedBucket) error {
	var err error
	if b.index, err = openIndex(indexPath(s.dir, b.number), b.number); err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errBadIndex) {
		return err
	}
	s.recovered.Rebuilt++
	if !b.readable() {
		s.log.Error("the index of a bucket is gone and so are its rows: copies of its events cannot be told any more", "bucket", b.number, "error", err)
		b.index = &index{}
		return nil
	}
	keys, _, _, err := s.scanKeys(b.number, 0)
	if err != nil {
		return err
	}
	if b.index, err = buildAndOpen(indexPath(s.dir, b.number), b.number, keys); err != nil { // the disk may be full
		s.log.Error("cannot build the index of a closed bucket; its keys stay in memory, will try again", "bucket", b.number, "error", err)
		b.keys = keys
	}
	return nil
}

func (s *Store) loadOpenBucket(number uint32, opened time.Time, life carom.Incarnation) error {
	keys, seq, last, err := s.scanKeys(number, s.opts.BucketEvents)
	if err != nil {
		return err
	}
	refused, err := s.w.int64(fmt.Sprintf(`SELECT max(seq) FROM refused_%d`, number))
	if err != nil {
		return err
	}
	if last.Before(opened) {
		last = opened
	}
	s.open = &openBucket{number: number, openedAt: opened, seq: seq, refusedSeq: uint32(refused), lastAt: last, keys: keys, life: life}
	return nil
}

// scanKeys reads the keys of a bucket's events from its rows, with room for at least so many: about 2 s for a million, warm,
// most of it in SQLite.
func (s *Store) scanKeys(bucket uint32, room int) (keys *openKeys, newest uint32, last time.Time, err error) {
	events, err := s.w.int64(fmt.Sprintf(`SELECT max(seq) FROM events_%d`, bucket))
	if err != nil {
		return nil, 0, time.Time{}, err
	}
	keys = newOpenKeys(max(room, int(events)))
	var lastMS int64
	// The driver's own rows: through database/sql it takes twice as long.
	err = s.w.query(fmt.Sprintf(`SELECT seq, at, ymid, %s, zone_id, key, key_check, also FROM events_%d ORDER BY seq`, userColumn, bucket),
		func(v []driver.Value) error {
			seq, _ := v[0].(int64)
			at, _ := v[1].(int64)
			ymid, _ := v[2].(string)
			user, _ := v[3].(string)
			zone, _ := v[4].(string)
			sum, _ := v[5].([]byte)
			check, _ := v[6].(int64)
			if len(sum) != 16 {
				return fmt.Errorf("event %d of bucket %d: its dedupe key is not 16 bytes: %w", seq, bucket, carom.ErrInvalid)
			}
			// A later one with the same key came after the window: it counts from then on.
			f := first{seq: uint32(seq), at: uint32(at / 1000), check: uint32(check)}
			keys.firsts.put([16]byte(sum), f)
			if also, _ := v[7].([]byte); len(also) == 16 {
				keys.firsts.put([16]byte(also), f)
			}
			keys.addSearch(ymid, user, zone, uint32(seq))
			newest, lastMS = uint32(seq), max(lastMS, at)
			return nil
		})
	return keys, newest, time.UnixMilli(lastMS).UTC(), err
}

// recover gives every delivery that lived in memory only a row in the due table, due now, and ends those that must not be
// repeated and may have been sent.
func (s *Store) recover(now time.Time) error {
	stored, err := s.w.int64(`SELECT value FROM meta WHERE key = 'mark'`)
	if err != nil {
		return err
	}
	mark := carom.RefOf(uint64(stored))
	s.storedMark = uint64(stored)
	if err := s.w.tx(func() error {
		for _, number := range s.bucketNumbers() {
			if number < mark.Bucket {
				continue
			}
			from := uint32(1)
			if number == mark.Bucket {
				from = max(mark.Seq, 1)
			}
			if err := s.recoverBucket(number, from, now); err != nil {
				return err
			}
		}
		if err := s.endInterrupted(now); err != nil {
			return err
		}
		if err := s.writeCounts(true); err != nil {
			return err
		}
		s.unsavedMark = s.opts.markEvery
		return s.writeMark(s.open.seq + 1)
	}); err != nil {
		return err
	}
	return nil
}

func (s *Store) recoverBucket(number, from uint32, now time.Time) error {
	// What each delivery's newest outcome left: its number of attempts, and whether that was the end.
	type last struct {
		attempt int
		ended   bool
	}
	outcomes := map[int64]last{} // by seq << 10 | ordinal
	if err := s.w.query(fmt.Sprintf(`SELECT id, state FROM outcomes_%d WHERE id >= ? ORDER BY id`, number), func(v []driver.Value) error {
		_, _, attempt := splitOutcomeID(v[0].(int64))
		outcomes[v[0].(int64)>>16] = last{attempt, v[1].(string) != string(carom.Pending)}
		return nil
	}, outcomeID(from, 0, 0)); err != nil {
		return err
	}
	due := map[int64]bool{}
	low, high := carom.Ref{Bucket: number, Seq: from}.Uint64(), carom.Ref{Bucket: number + 1}.Uint64()
	if err := s.w.query(`SELECT event, ordinal FROM due WHERE event >= ? AND event < ?`, func(v []driver.Value) error {
		due[int64(carom.RefOf(uint64(v[0].(int64))).Seq)<<10|v[1].(int64)] = true
		return nil
	}, int64(low), int64(high)); err != nil {
		return err
	}
	return s.w.query(fmt.Sprintf(`SELECT seq, at, endpoints FROM events_%d WHERE seq >= ? AND endpoints <> '' ORDER BY seq`, number), func(v []driver.Value) error {
		seq, at := v[0].(int64), v[1].(int64)
		targets, err := tables.ParseTargets(v[2].(string))
		if err != nil {
			return fmt.Errorf("event %d of bucket %d: %w", seq, number, err)
		}
		for ordinal, t := range targets {
			key := seq<<10 | int64(ordinal)
			if t.Endpoint < 0 || outcomes[key].ended || due[key] {
				continue
			}
			s.recovered.Pending++
			event := carom.Ref{Bucket: number, Seq: uint32(seq)}.Uint64()
			if err := s.st.putDue.exec(int64(t.Endpoint), int64(event), int64(ordinal), now.UnixMilli(), now.UnixMilli(), at,
				int64(outcomes[key].attempt), int64(outcomes[key].attempt), int64(0)); err != nil {
				return err
			}
		}
		return nil
	}, int64(from))
}

// ReasonInterrupted ends a delivery that must not be repeated and may have been sent when the process died.
const ReasonInterrupted = "interrupted after sending; not repeated, as the endpoint asks"

func (s *Store) endInterrupted(now time.Time) error {
	type row struct{ endpoint, event, ordinal, attempts int64 }
	var rows []row
	if err := s.w.query(`SELECT endpoint, event, ordinal, attempts FROM due WHERE sending = 1`, func(v []driver.Value) error {
		rows = append(rows, row{v[0].(int64), v[1].(int64), v[2].(int64), v[3].(int64)})
		return nil
	}); err != nil {
		return err
	}
	for _, r := range rows {
		op := &resultOp{
			ref:      carom.RefOf(uint64(r.event)),
			delivery: carom.Delivery{Endpoint: int(r.endpoint), Ordinal: int(r.ordinal)},
			attempt:  &carom.Attempt{Number: int(r.attempts) + 1, At: now, State: carom.Dead, Reason: ReasonInterrupted},
		}
		if err := s.writeResult(op, now); err != nil {
			return err
		}
	}
	s.recovered.Interrupted = len(rows)
	return nil
}

// bucketNumbers lists the buckets whose tables exist, oldest first.
func (s *Store) bucketNumbers() []uint32 {
	numbers := map[uint32]bool{s.open.number: true}
	for _, b := range *s.closed.Load() {
		if b.readable() {
			numbers[b.number] = true
		}
	}
	return slices.Sorted(maps.Keys(numbers))
}
