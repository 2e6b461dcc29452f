package store

import (
	"fmt"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// openBucket is the bucket that new rows go to. The committer alone changes it, under searchMu where readers look.
type openBucket struct {
	number     uint32
	openedAt   time.Time
	seq        uint32 // of the newest event
	refusedSeq uint32 // of the newest refused postback
	lastAt     time.Time
	keys       *openKeys
	life       carom.Incarnation // in which its ids are given out
}

// closedBucket takes no more rows. While it is being sealed it has keys and no index, afterwards an index and no keys.
// It is immutable: sealing replaces it.
type closedBucket struct {
	number uint32
	lastAt time.Time // receipt of its newest event
	events int
	life   carom.Incarnation
	keys   *openKeys
	index  *index
	// state says whether its rows are there; its index still answers for copies while a dedupe window covers it.
	state bucketState
}

// bucketState is how far retention has come with a closed bucket. The numbers are stored.
type bucketState int64

const (
	bucketKept     bucketState = iota
	bucketDropping             // its rows are being deleted, and nobody reads them any more
	bucketDropped              // its tables are gone
)

func (b *closedBucket) readable() bool { return b.state == bucketKept }

// statements are the writer's prepared statements. Those of the open bucket are replaced when it closes.
type statements struct {
	w             *writer
	event         *stmt
	refused       *stmt
	outcomes      map[uint32]*stmt // by bucket
	count         *stmt
	deliveryCount *stmt
	quarterCount  *stmt
	sourceCount   *stmt
	spotCount     *stmt
	detailCount   *stmt
	putDue        *stmt
	deleteDue     *stmt
	reward        *stmt
	getReward     *stmt
	changeReward  *stmt
	line          *stmt
	lines         *stmt
	balance       *stmt
	getCounter    *stmt
	counter       *stmt
	balances      *stmt // of foldRows at once, as are counters
	counters      *stmt
	getLast       *stmt
	last          *stmt
	putMark       *stmt
	begin         *stmt
	commit        *stmt
	rollback      *stmt
}

const (
	insertEvent = `INSERT INTO events_%d (seq, at, app, source, network, event_type, value, ymid, zone_id, sub_zone_id, request_var,
		telegram_id, price, external_id, fields, flags, held, strength, endpoints, key, key_check, method, path, query, content_type,
		headers, body, client, user_id, also, view, decided, origin)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	insertRefused = `INSERT INTO refused_%d (seq, at, app, source, network, reason, detail, method, path, query, content_type, headers,
		body, client) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	insertOutcome = `INSERT OR REPLACE INTO outcomes_%d (id, endpoint, at, took_us, state, due_at, reason, flags, method, url, sent,
		status, answer) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)`
	upsertDue = `INSERT INTO due (endpoint, event, ordinal, due_at, scheduled_at, accepted_at, attempts, step, sending)
		VALUES (?,?,?,?,?,?,?,?,?)
		ON CONFLICT (endpoint, event, ordinal) DO UPDATE SET due_at = excluded.due_at, scheduled_at = excluded.scheduled_at,
		accepted_at = excluded.accepted_at, attempts = excluded.attempts, step = excluded.step, sending = excluded.sending`
	removeDue = `DELETE FROM due WHERE endpoint = ? AND event = ? AND ordinal = ?`
	storeMark = `INSERT INTO meta (key, value) VALUES ('mark', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1`
)

func (s *Store) prepareStatements() error {
	st := &statements{w: s.w, outcomes: map[uint32]*stmt{}}
	s.st = st // also when it is not complete, so that closing frees what there is
	for _, p := range []struct {
		stmt **stmt
		sql  string
	}{
		{&st.count, upsertCount}, {&st.deliveryCount, upsertDeliveryCount}, {&st.quarterCount, upsertQuarterCount},
		{&st.sourceCount, upsertSums("source_counts", []string{"span", "quarter", "app", "source", "event_type", "currency"}, tables.MeasureColumns()...)},
		{&st.spotCount, upsertSums("spot_counts", []string{"span", "quarter", "app", "zone_id", "sub_zone_id", "request_var", "currency"}, tables.MeasureColumns()...)},
		{&st.detailCount, upsertSums("detail_counts", []string{"span", "quarter", "app", "source", "kind", "detail"}, "n")},
		{&st.putDue, upsertDue}, {&st.deleteDue, removeDue}, {&st.putMark, storeMark},
		{&st.reward, insertReward}, {&st.getReward, selectReward}, {&st.changeReward, changeReward}, {&st.line, insertLines(1)}, {&st.lines, insertLines(foldRows)},
		{&st.balance, upsertBalances(1)}, {&st.balances, upsertBalances(foldRows)}, {&st.counters, upsertCounters(foldRows)}, {&st.getCounter, selectCounter}, {&st.counter, upsertCounters(1)},
		{&st.getLast, selectLast}, {&st.last, upsertLast},
		{&st.begin, "BEGIN IMMEDIATE"}, {&st.commit, "COMMIT"}, {&st.rollback, "ROLLBACK"},
	} {
		var err error
		if *p.stmt, err = s.w.prepare(p.sql); err != nil {
			return err
		}
	}
	event, refused, err := s.w.prepareBucket(s.open.number)
	st.use(event, refused)
	return err
}

// prepareBucket prepares the statements that append to a bucket.
func (w *writer) prepareBucket(bucket uint32) (event, refused *stmt, err error) {
	if event, err = w.prepare(fmt.Sprintf(insertEvent, bucket)); err != nil {
		return nil, nil, err
	}
	if refused, err = w.prepare(fmt.Sprintf(insertRefused, bucket)); err != nil {
		event.Close()
		return nil, nil, err
	}
	return event, refused, nil
}

// use makes the statements those of the open bucket.
func (st *statements) use(event, refused *stmt) {
	st.event.Close()
	st.refused.Close()
	st.event, st.refused = event, refused
}

// outcome returns the statement that records an attempt for an event of the bucket.
func (st *statements) outcome(bucket uint32) (*stmt, error) {
	if got := st.outcomes[bucket]; got != nil {
		return got, nil
	}
	made, err := st.w.prepare(fmt.Sprintf(insertOutcome, bucket))
	if err != nil {
		return nil, err
	}
	st.outcomes[bucket] = made
	return made, nil
}

// Close frees all statements. Those of a store that did not open are nil.
func (st *statements) Close() {
	if st == nil {
		return
	}
	for _, one := range st.outcomes {
		one.Close()
	}
	for _, one := range []*stmt{st.event, st.refused, st.count, st.deliveryCount, st.quarterCount, st.sourceCount, st.spotCount, st.detailCount, st.putDue,
		st.deleteDue, st.putMark, st.begin, st.commit, st.rollback, st.reward, st.getReward, st.changeReward, st.line, st.lines, st.balance, st.balances, st.counters, st.getCounter, st.counter, st.getLast, st.last} {
		one.Close()
	}
}

// forget closes the statements of a bucket whose tables are about to go.
func (st *statements) forget(bucket uint32) {
	if got := st.outcomes[bucket]; got != nil {
		got.Close()
		delete(st.outcomes, bucket)
	}
}

// createBucket makes the tables of a new bucket and lists it.
func createBucket(w *writer, number uint32, life carom.Incarnation, now time.Time) error {
	if err := w.script(strings.ReplaceAll(bucketSchema, "{n}", fmt.Sprint(number))); err != nil {
		return err
	}
	return w.exec(`INSERT INTO buckets (bucket, version, opened_at, life) VALUES (?, ?, ?, ?)`, int64(number), int64(bucketVersion),
		now.UnixMilli(), int64(life))
}

// rotate closes the open bucket and opens the next when it is full or old enough. A clock that jumped back opens none:
// numbers only grow.
func (s *Store) rotate(now time.Time) error {
	b := s.open
	full := int(max(b.seq, b.refusedSeq)) >= s.opts.BucketEvents
	old := now.Sub(b.openedAt) >= s.opts.BucketAge && (b.seq > 0 || b.refusedSeq > 0)
	if !full && !old {
		return nil
	}
	next := b.number + 1
	var event, refused *stmt
	if err := s.w.tx(func() (err error) {
		if err := s.w.exec(`UPDATE buckets SET closed_at = ?, last_at = ?, events = ? WHERE bucket = ?`,
			now.UnixMilli(), b.lastAt.UnixMilli(), int64(b.seq), int64(b.number)); err != nil {
			return err
		}
		if err := createBucket(s.w, next, s.inc, now); err != nil {
			return err
		}
		event, refused, err = s.w.prepareBucket(next) // before the commit, after which nothing may fail
		return err
	}); err != nil {
		event.Close()
		refused.Close()
		return fmt.Errorf("open bucket %d: %w", next, err)
	}
	s.st.use(event, refused)
	s.replaceClosed(func(list []*closedBucket) []*closedBucket {
		return append(list, &closedBucket{number: b.number, lastAt: b.lastAt, events: int(b.seq), life: b.life, keys: b.keys})
	})
	s.searchMu.Lock()
	s.open = &openBucket{number: next, openedAt: now, lastAt: now, keys: newOpenKeys(s.opts.BucketEvents), life: s.inc}
	s.searchMu.Unlock()
	select {
	case s.sealed <- struct{}{}:
	default: // the janitor already knows
	}
	return nil
}

// replaceClosed swaps the list of closed buckets for change's result, which must not be the same slice grown in place.
func (s *Store) replaceClosed(change func([]*closedBucket) []*closedBucket) {
	s.sealMu.Lock()
	defer s.sealMu.Unlock()
	old := *s.closed.Load()
	list := change(append(make([]*closedBucket, 0, len(old)+1), old...))
	s.closed.Store(&list)
}

// seal builds the index of every bucket that was closed without one. A bucket keeps its keys in memory until its index is
// synced; if the process dies before, the next start builds it.
func (s *Store) seal() {
	s.houseMu.Lock()
	defer s.houseMu.Unlock()
	s.sealSegments()
	for _, b := range *s.closed.Load() {
		if b.index != nil {
			continue
		}
		began := time.Now()
		index, err := buildAndOpen(indexPath(s.dir, b.number), b.number, b.keys)
		if err != nil {
			s.log.Error("cannot build the index of a closed bucket; its keys stay in memory, will try again", "bucket", b.number, "error", err)
			return
		}
		s.replaceClosed(func(list []*closedBucket) []*closedBucket {
			for i := range list {
				if list[i].number == b.number {
					sealed := *list[i]
					sealed.keys, sealed.index = nil, index
					list[i] = &sealed
				}
			}
			return list
		})
		s.log.Info("bucket sealed", "bucket", b.number, "events", b.events, "took", time.Since(began))
	}
}

func buildAndOpen(path string, number uint32, keys *openKeys) (*index, error) {
	if err := buildIndex(path, number, keys); err != nil {
		return nil, err
	}
	return openIndex(path, number)
}

// lifeOf is the life in which the ids of a bucket were given out; 0 for a bucket that is forgotten. The committer's goroutine
// and those that hold no lock may ask.
func (s *Store) lifeOf(number uint32) carom.Incarnation {
	s.searchMu.RLock()
	open, life := s.open.number, s.open.life
	s.searchMu.RUnlock()
	if number == open {
		return life
	}
	for _, b := range *s.closed.Load() {
		if b.number == number {
			return b.life
		}
	}
	return 0
}

// isOurs says whether an id of the given life can name a row of the bucket.
func (s *Store) isOurs(inc carom.Incarnation, bucket uint32) bool {
	life := s.lifeOf(bucket)
	return life == inc || life == 0
}

// eventID is the id of the event at ref.
func (s *Store) eventID(ref carom.Ref) carom.EventID {
	return carom.NewEventID(s.lifeOf(ref.Bucket), ref)
}

// bucketExists says whether the bucket's tables are there and not being dropped.
func (s *Store) bucketExists(number uint32) bool {
	if number == s.open.number {
		return true
	}
	for _, b := range *s.closed.Load() {
		if b.number == number {
			return b.readable()
		}
	}
	return false
}

// outcomeID packs the place of an attempt: the outcomes of an event lie together, in order.
func outcomeID(seq uint32, ordinal, attempt int) int64 {
	return int64(seq)<<26 | int64(ordinal)<<16 | int64(min(attempt, 1<<16-1))
}

func splitOutcomeID(id int64) (seq uint32, ordinal, attempt int) {
	return uint32(id >> 26), int(id >> 16 & (carom.MaxFanOut - 1)), int(id & (1<<16 - 1))
}
