package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"carom"
	"carom/internal/books"
	"carom/internal/tables"
)

// maxBatch is about how many events share a commit, and maxSubmissions how many one accept may bring at once.
const (
	maxBatch       = 1024
	maxSubmissions = 256
)

// beatEvery is how long a node lets pass between two commits: each proves that it is alive. Counts and samples of unverified ones
// wait no longer.
const beatEvery = time.Second

// patience is how long the committer waits for an answer of the database before it tells its callers to try later.
const patience = 5 * time.Second

// batch is the work of one commit. The committer reuses one.
type batch struct {
	accepts  []*acceptOp
	refusals []*refuseOp
	results  []*resultOp
	flush    bool // the gathered counts and samples of unverified ones go with it
	spots    bool // so do the measures by spot

	entries []entry            // the submissions of accepts, in their order
	owners  map[[16]byte]owner // of the dedupe keys that they ask for
}

// entry is a submission on its way through a commit.
type entry struct {
	sub   *carom.Submission
	place int64 // what it gets, unless it is a copy
	copy  bool
	view  [16]byte // the sum that rewards of its view claim
}

// owner is the event that has a dedupe key.
type owner struct {
	place     int64
	at        int32 // seconds since 2020
	agreement uint32
}

// output is what one commit writes, row by row: first what it locks, then what it changes.
type output struct {
	keys, lockJoins, lockClaims, lockCounters, lockLasts *rows

	give, back, events, refused, outcomes, due, done, returned                                           *rows
	putJoins, dropJoins, putClaims, dropClaims, putCounters, putLasts, rewards, changes, lines, balances *rows
	counts, quarters, deliveries, sources, spots, details                                                *rows

	all []*rows
}

func newOutput() *output {
	o := &output{}
	for _, r := range []struct {
		rows **rows
		st   *statement
	}{
		{&o.keys, claimKeys}, {&o.lockJoins, lockJoins}, {&o.lockClaims, lockClaims}, {&o.lockCounters, lockCounters}, {&o.lockLasts, lockLasts},
		{&o.give, giveKeys}, {&o.back, returnKeys}, {&o.events, insertEvents}, {&o.refused, insertRefused}, {&o.outcomes, insertOutcomes},
		{&o.due, putDue}, {&o.done, deleteDue}, {&o.returned, returnDue},
		{&o.putJoins, putJoins}, {&o.dropJoins, dropJoins}, {&o.putClaims, putClaims}, {&o.dropClaims, dropClaims}, {&o.putCounters, putCounters},
		{&o.putLasts, putLasts}, {&o.rewards, insertRewards}, {&o.changes, changeRewards}, {&o.lines, insertLines}, {&o.balances, addBalances},
		{&o.counts, addCounts}, {&o.quarters, addQuarterCounts}, {&o.deliveries, addDeliveryCounts},
		{&o.sources, addSourceCounts}, {&o.spots, addSpotCounts}, {&o.details, addDetailCounts},
	} {
		*r.rows = newRows(r.st)
		o.all = append(o.all, *r.rows)
	}
	return o
}

// locks is how many of all only lock.
const locks = 5

// written are the rows that go out with the commit, in the order of the statements.
func (o *output) written() []*rows { return o.all[locks:] }

func (o *output) reset() {
	for _, r := range o.all {
		r.reset()
	}
}

// commitUntil is the committer: it commits batches until ctx ends and the queue is empty.
func (s *Store) commitUntil(ctx context.Context) {
	b := &batch{owners: map[[16]byte]owner{}}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	failing, ending := false, false
	var g gathering
	for {
		select {
		case <-s.queue.wake:
		case <-beat.C:
			b.flush = true
		case d := <-s.dialed:
			s.takeLink(d)
			b.flush = true
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errKilled) {
				s.abandon(b, errClosed)
				return
			}
			s.queue.close()
			b.flush = !ending // once: a flood of unverified ones does not keep the store from ending
			ending = true
		}
		// Let the handlers and lanes that are ready to run queue what they have: under load a commit then carries more, and
		// when nothing else is ready to run this costs nothing.
		runtime.Gosched()
		if !ending {
			s.queue.gather(g.want, g.until)
		}
		s.queue.take(b)
		b.leaveWithdrawn()
		if b.empty() && !b.flush && !s.returned.waiting() {
			if ending && s.queue.empty() {
				return
			}
			continue
		}
		began := time.Now()
		err := s.commitBatch(b)
		g = gathering{}
		if err == nil {
			g.want = b.submissions() + s.queue.waiting()
			g.until = time.Now().Add(min(time.Since(began)/2, gatherFor))
		}
		s.answer(b, err)
		switch {
		case err == nil && failing:
			s.log.Info("commits succeed again")
			failing = false
			s.trouble.Store(nil)
		case err != nil && !failing:
			s.log.Error("commit failed: callers are told to try later", "error", err)
			failing = true
			s.trouble.Store(&carom.Trouble{Since: s.Now().UTC(), Reason: err.Error()})
		case err != nil: // why it still fails is often known only when connecting anew fails too
			s.trouble.Store(&carom.Trouble{Since: s.Trouble().Since, Reason: err.Error()})
		}
		if err == nil {
			b.flush = false
			continue
		}
		if ending {
			s.abandon(b, err)
			return
		}
		// What waits for the database is only outcomes: do not spin. Accepts wake the committer at once and fail fast.
		select {
		case <-s.queue.wake:
		case d := <-s.dialed:
			s.takeLink(d)
		case <-time.After(200 * time.Millisecond):
		}
		s.queue.signal()
	}
}

// gathering is how long the next commit is put off. Who has sent as many postbacks as it takes answers for sends the next ones at
// once: without a pause, one half of them would be committed while the other half waits, again and again, with twice the commits.
type gathering struct {
	want  int       // submissions for which nothing more is waited for: those that waited at the last commit, and as many as it answered
	until time.Time // half as long as the last commit took
}

// gatherFor is how long a commit is put off at most.
const gatherFor = 5 * time.Millisecond

// errKilled is the cause with which a test ends a store as a kill would: nothing more is committed, and the lease is left behind.
var errKilled = errors.New("killed")

// abandon refuses what waits and all that comes later. Outcomes that could not be stored are forgotten: whoever takes this node
// over hands their deliveries out again.
func (s *Store) abandon(b *batch, err error) {
	s.queue.close()
	s.queue.takeAll(b)
	b.leaveWithdrawn()
	s.answer(b, err)
}

// leaveWithdrawn removes the ops whose callers have stopped waiting, and makes the others the committer's to answer.
func (b *batch) leaveWithdrawn() {
	b.results = slices.DeleteFunc(b.results, func(op *resultOp) bool { return op.done != nil && !op.take() })
}

// submissions is how many the batch's callers have brought.
func (b *batch) submissions() (n int) {
	for _, op := range b.accepts {
		n += len(op.subs)
	}
	return n
}

func (b *batch) empty() bool { return len(b.accepts)+len(b.refusals)+len(b.results) == 0 }

// errNoLink is for callers while there is no connection.
var errNoLink = fmt.Errorf("the database cannot be reached: %w", carom.ErrUnavailable)

// commitBatch writes the batch in one transaction: one round trip that proves the lease and claims the keys, one that writes what
// follows from it. When it fails, nothing of it is in memory, nor in the database, unless the outcome is unknown: then it is found
// out before anything else is committed.
func (s *Store) commitBatch(b *batch) error {
	err := s.tryBatch(b)
	if isRepeatedOutcome(err) {
		s.out.outcomes.st = replaceOutcomes
		err = s.tryBatch(b)
		s.out.outcomes.st = insertOutcomes
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFenced):
		s.loseLease()
	case !isServerError(err) || !s.link.alive() || isReadOnly(err): // another server may be the primary now
		s.hangUp()
	default:
		s.leaveMissing(b, err)
	}
	s.stats.Failed.Add(1)
	return translate(err)
}

func (s *Store) tryBatch(b *batch) error {
	if !s.link.alive() {
		s.redial()
		return s.errNoLink()
	}
	if s.lease.Load() == nil {
		if err := s.rejoin(); err != nil {
			return err
		}
	}
	if err := s.settleDoubt(); err != nil {
		return err
	}
	if err := s.rotate(); err != nil {
		s.log.Warn("cannot open the next time bucket: the old one goes on", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := s.Now()
	s.out.reset()
	s.books.reset()
	s.counts.Reset()
	b.spots = b.flush || s.counts.SpotsDue()
	if err := s.plan(b); err != nil {
		return err
	}
	if err := s.claimPlaces(ctx, b); err != nil {
		return s.rollBack(err)
	}
	if err := s.settleBatch(ctx, b); err != nil {
		return s.rollBack(err)
	}
	if err := s.writeBatch(b, now); err != nil {
		return s.rollBack(err)
	}
	queries := make([]query, 0, len(s.out.all))
	for _, r := range s.out.written() {
		if r.n > 0 {
			queries = append(queries, query{st: r.st, params: r.values()})
		}
	}
	queries = append(queries, query{st: commit})
	s.link.warned.Store(false)
	err := s.link.exchange(ctx, queries...)
	if err == nil && s.link.warned.Load() {
		err = errWarned // committed here, but not on the replica that a commit is to wait for
	}
	if err != nil && !isServerError(err) {
		s.hangUp()
		if b.spots { // they may be stored: better to lose them than to count them twice
			s.counts.Committed(true)
		}
		s.doubt = s.doubtful(b)
		s.returning = nil
		return err
	}
	if err != nil {
		return s.rollBack(err)
	}
	s.totals = s.next()
	s.stats.Commits.Add(1)
	s.stats.Syncs.Add(1)
	s.counts.Committed(b.spots)
	s.proven()
	s.applyMemory(b)
	return nil
}

var errWarned = errors.New("the database warned at the commit")

// isServerError says whether the database itself refused, so that the transaction is over and nothing of it was stored.
func isServerError(err error) bool {
	var pe *pgconn.PgError
	return errors.Is(err, errUncommitted) || errors.As(err, &pe) && pe.SeverityUnlocalized == "ERROR"
}

// isRepeatedOutcome says whether the outcome of an attempt was there already.
func isRepeatedOutcome(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "23505" && strings.HasPrefix(pe.TableName, "outcomes_") // unique_violation
}

// rollBack ends the failed transaction, if the connection is still good, and gives back what the batch took from memory.
func (s *Store) rollBack(err error) error {
	s.unverified.GiveBack()
	s.returned.again(s.returning)
	s.returning = nil
	if s.link.alive() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.link.exchange(ctx, query{st: rollback}); err != nil {
			s.hangUp()
		}
	}
	return err
}

// next is what the totals are when this commit is made.
func (s *Store) next() totals {
	t := s.totals
	t.commits++
	t.rewards = s.rewardSeq
	return t
}

// plan gives every submission a place, and gathers the keys that they ask for, each once.
func (s *Store) plan(b *batch) error {
	b.entries = b.entries[:0]
	clear(b.owners)
	if int(s.bucket.seq)+b.submissions() > maxSeq {
		return fmt.Errorf("time bucket %d is full, and the next is not there yet: %w", s.bucket.number, carom.ErrUnavailable)
	}
	node := s.lease.Load().no
	type asked struct {
		sum [16]byte
		owner
		until int32
	}
	var keys []asked
	for _, op := range b.accepts {
		for _, sub := range op.subs {
			ev := sub.Event
			ev.At = ev.Received.At.UTC().Truncate(time.Millisecond)
			s.bucket.seq++
			e := entry{sub: sub, place: placeOf(carom.Ref{Bucket: s.bucket.number, Node: node, Seq: s.bucket.seq})}
			b.entries = append(b.entries, e)
			at := secondsOf(ev.At)
			for _, sum := range [...][16]byte{sub.Key.Sum, sub.Key.Also} {
				if sum == ([16]byte{}) {
					continue
				}
				if _, known := b.owners[sum]; known {
					continue
				}
				o := owner{e.place, at, sub.Key.Check}
				b.owners[sum] = o
				keys = append(keys, asked{sum, o, at + seconds(sub.Key.Window)})
			}
		}
	}
	slices.SortFunc(keys, func(x, y asked) int { return bytes.Compare(x.sum[:], y.sum[:]) })
	for i := range keys {
		k := &keys[i]
		s.writeKey(s.out.keys, k.sum, k.owner, k.until)
	}
	return nil
}

func (s *Store) writeKey(r *rows, sum [16]byte, o owner, until int32) {
	r.uuid(sum)
	r.int8(o.place)
	r.int4(int(o.at))
	r.int4(int(until))
	r.int4(int(int32(o.agreement)))
}

// since2020 is the beginning of the seconds in which keys count.
const since2020 = 1_577_836_800

// seconds is a window in seconds. One that is for ever is 34 years, so that its end is a number that a key has room for.
func seconds(window time.Duration) int32 { return int32(min(window/time.Second, 1<<30)) }

func secondsOf(t time.Time) int32 { return int32(t.Unix() - since2020) }

// claimPlaces begins the transaction, proves the lease, and asks who has each key.
func (s *Store) claimPlaces(ctx context.Context, b *batch) error {
	l, t := s.lease.Load(), s.next()
	asked := time.Now()
	found := false
	queries := append(make([]query, 0, 6), query{st: begin})
	if s.link.limit != nil {
		queries = append(queries, query{st: s.link.limit})
	}
	queries = append(queries, query{
		st: fence,
		params: [][]byte{int4Param(int(l.no)), int8Param(int64(l.life)), int8Param(t.commits), int8Param(s.lowMark(b)),
			int8Param(t.events), int8Param(t.attempts), int8Param(t.rewards), int8Param(s.clock.ahead().Milliseconds())},
		row: func(v [][]byte) error {
			found = true
			s.beat(v, asked)
			return nil
		},
	})
	if s.out.keys.n > 0 {
		queries = append(queries, query{st: claimKeys, params: s.out.keys.values(), row: func(v [][]byte) error {
			b.owners[sumOf(v[0])] = owner{int8Of(v[1]), int32(int8Of(v[2])), uint32(int8Of(v[3]))}
			return nil
		}})
	}
	if s.books.joinsOf(b.entries); s.out.lockJoins.n > 0 {
		queries = append(queries, query{st: lockJoins, params: s.out.lockJoins.values(), row: s.books.readJoin})
	}
	if err := s.link.exchange(ctx, queries...); err != nil {
		return err
	}
	if !found {
		return errFenced
	}
	return nil
}

// settleBatch decides what is a copy, and what the others earn and change.
func (s *Store) settleBatch(ctx context.Context, b *batch) error {
	for i := range b.entries {
		s.decideCopy(b, &b.entries[i])
	}
	s.returnKeys(b)
	life := s.lease.Load().life
	for i := range b.entries {
		if e := &b.entries[i]; !e.copy {
			e.sub.Event.ID = carom.NewEventID(life, refOf(e.place))
			e.sub.Receipt = carom.Receipt{ID: e.sub.Event.ID}
			e.view = s.books.view(e)
		}
	}
	if err := s.books.lock(ctx, b.entries); err != nil {
		return err
	}
	settler := books.Settler{Books: s.books, Decide: s.opts.Decide, Counts: s.counts}
	for i := range b.entries {
		if e := &b.entries[i]; !e.copy && !books.Idle(e.sub) {
			if err := settler.Settle(e.sub, life, refOf(e.place), e.view); err != nil {
				return err
			}
		}
	}
	return s.books.write()
}

// writeBatch writes out the rows of everything else.
func (s *Store) writeBatch(b *batch, now time.Time) error {
	for i := range b.entries {
		if e := &b.entries[i]; !e.copy {
			s.writeEvent(e)
		}
	}
	for _, op := range b.refusals {
		if err := s.writeRefused(op.refused); err != nil {
			return err
		}
	}
	s.writeResults(b, now)
	if b.flush {
		if err := s.flushUnverified(now); err != nil {
			return err
		}
	}
	s.writeCounts(b.spots)
	return nil
}

// flushUnverified counts what proved nothing, and stores its sample: beside the commit, since nothing depends on it.
func (s *Store) flushUnverified(now time.Time) error {
	if !s.unverified.Waiting() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.transact(ctx, func(tx *tx) error { return s.unverified.Write(tx, s.counts, now) })
}

// writeCounts writes out what the batch has counted, by spot if that goes with it.
func (s *Store) writeCounts(spots bool) {
	node := int(s.lease.Load().no)
	for k, n := range s.counts.Received() {
		r := s.out.counts
		r.int8(k.Minute)
		for _, text := range [...]string{k.App, k.Source, k.Zone, k.RequestVar, k.EventType, k.Value, k.Outcome} {
			r.text(text)
		}
		r.int4(node)
		r.int8(n.N)
		r.int8(n.Units)
		r.int8(n.Nanos)
	}
	for k, n := range s.counts.Quarters() {
		r := s.out.quarters
		r.int8(k.Quarter)
		for _, text := range [...]string{k.App, k.Source, k.Zone, k.EventType, k.Value, k.Outcome} {
			r.text(text)
		}
		r.int4(node)
		r.int8(n.N)
		r.int8(n.Units)
		r.int8(n.Nanos)
	}
	for k, n := range s.counts.Deliveries() {
		r := s.out.deliveries
		r.int8(k.Minute)
		r.int8(int64(k.Endpoint))
		r.text(k.Outcome)
		r.int4(node)
		r.int8(n)
	}
	s.writeReports(node, spots)
}

// writeReports writes out what reports read.
func (s *Store) writeReports(node int, spots bool) {
	for k, m := range s.counts.Sources() {
		texts := k.Texts()
		writeSums(s.out.sources, k.Quarter, texts[:], node, tables.MeasureValues(&m))
	}
	if spots {
		for k, m := range s.counts.Spots() {
			texts := k.Texts()
			writeSums(s.out.spots, k.Quarter, texts[:], node, tables.MeasureValues(&m))
		}
	}
	for k, n := range s.counts.Details() {
		r, texts := s.out.details, k.Texts()
		r.int8(1)
		r.int8(k.Quarter)
		for _, text := range texts {
			r.text(text)
		}
		r.int4(node)
		r.int8(n)
	}
}

func writeSums(r *rows, quarter int64, texts []string, node int, sums [16]int64) {
	r.int8(1)
	r.int8(quarter)
	for _, text := range texts {
		r.text(text)
	}
	r.int4(node)
	for _, n := range sums {
		r.int8(n)
	}
}

// answer tells the callers of a batch what came of it, and keeps what nobody waits for until it is stored.
func (s *Store) answer(b *batch, err error) {
	for _, op := range b.accepts {
		for _, sub := range op.subs {
			sub.Err = err
			if err != nil { // what it was given was taken back
				sub.Event.ID, sub.Receipt = "", carom.Receipt{}
				sub.Targets = slices.DeleteFunc(sub.Targets, func(t carom.Target) bool { return t.Candidate > len(sub.Candidates) })
			}
		}
		op.done <- struct{}{}
	}
	clear(b.accepts)
	b.accepts = b.accepts[:0]
	for _, op := range b.refusals {
		op.err = err
		close(op.done)
	}
	clear(b.refusals)
	b.refusals = b.refusals[:0]
	kept := b.results[:0]
	for _, op := range b.results {
		switch {
		case op.done != nil && err == nil && op.lost:
			op.done <- errFenced
		case op.done != nil: // whoever waits decides what to do
			op.done <- err
		case err != nil && !s.doubt.holds(op):
			kept = append(kept, op)
		}
	}
	clear(b.results[len(kept):])
	b.results = kept
	clear(b.entries)
	b.entries = b.entries[:0]
	s.stats.Queued.Store(int64(s.queue.waiting()))
}

// applyMemory takes up what the committed batch changed.
func (s *Store) applyMemory(b *batch) {
	for i := range b.entries {
		e := &b.entries[i]
		if e.copy {
			s.stats.Duplicates.Add(1)
			continue
		}
		s.stats.Events.Add(1)
		s.totals.events++
		if e.sub.View.View != nil {
			signal(s.toTell)
		}
		if n := directTargets(e.sub.Targets); n > 0 {
			e.sub.Receipt.Ticket = s.mark.Add(refOf(e.place), n)
		}
	}
	for _, op := range b.results {
		s.settle(op)
	}
	clear(s.orphans)
	s.orphans = s.orphans[:0]
	s.returned.done(s.returning)
	s.returning = nil
	s.unverified.Written()
}
