package store

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"carom"
	"carom/internal/tables"
)

// maxBatch is about how many events share a commit, and maxSubmissions how many one accept may bring at once. A batch of
// this size takes about 15 ms, most of it inserting.
const (
	maxBatch       = 1024
	maxSubmissions = 256
)

// markEvery is how many commits may pass before the low-water mark is stored again. Stored late it makes recovery look at
// a few more rows, never at too few.
const markEvery = 32

// flushEvery is how long counts and samples of unverified ones wait at most.
const flushEvery = time.Second

// batch is the work of one commit. The committer reuses one.
type batch struct {
	accepts  []*acceptOp
	refusals []*refuseOp
	results  []*resultOp
	controls []*controlOp
	flush    bool // the gathered counts and samples of unverified ones go with it
	spots    bool // so do the measures by spot

	rewards []*tables.RewardRow // that this batch made

	undo       []undoFirst // keys that this batch claimed, to be given back if it fails
	undoJoins  []undoJoin
	undoReward int64
	undoSeq    uint32
	undoRef    uint32
	undoLast   time.Time
}

type undoFirst struct {
	keys *keyTable
	sum  [16]byte
	old  first
	had  bool
}

// control runs f inside the committer's next transaction and waits for its commit. If f fails, only its own changes are
// undone. If ctx ends before the committer takes it up, f does not run.
func (s *Store) control(ctx context.Context, f func(*writer) error) error {
	return s.controlThen(ctx, f, nil)
}

// controlThen is control with a change of memory that goes with f's: after runs at its commit, holding the tallies' lock,
// before what the batch adds is taken up.
func (s *Store) controlThen(ctx context.Context, f func(*writer) error, after func()) error {
	op := &controlOp{run: f, after: after, waiter: waiter{done: make(chan error, 1)}}
	if err := s.queue.putControl(op); err != nil {
		return err
	}
	return op.wait(ctx)
}

// commitUntil is the committer: it commits batches until ctx ends and the queue is empty.
func (s *Store) commitUntil(ctx context.Context) {
	b := &batch{}
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	failing, ending := false, false
	for {
		select {
		case <-s.queue.wake:
		case <-flush.C:
			b.flush = true
		case <-ctx.Done():
			s.queue.close()
			b.flush = !ending // once: a flood of unverified ones does not keep the store from ending
			ending = true
		}
		s.finishCheckpoint()
		// Let the handlers and lanes that are ready to run queue what they have: under load a commit then carries more, and
		// when nothing else is ready to run this costs nothing.
		runtime.Gosched()
		s.queue.take(b)
		b.leaveWithdrawn()
		if failing && b.flush {
			// Whoever asks whether we are ready may send nothing until we are: try the disk with a write of our own.
			s.storedMark, s.unsavedMark = 0, s.opts.markEvery
		} else if b.empty() && !(b.flush && (s.unverified.Waiting() || s.counts.SpotsWait() || s.tallies.wait(s.opts.Clock()))) {
			b.flush = false
			if ending && s.queue.empty() {
				s.saveMark()
				return
			}
			continue
		}
		err := s.commitBatch(b)
		s.answer(b, err)
		switch {
		case err == nil && failing:
			s.log.Info("commits succeed again")
			failing = false
			s.trouble.Store(nil)
		case err != nil && !failing:
			s.log.Error("commit failed: callers are told to try later", "error", err)
			failing = true
			s.trouble.Store(&carom.Trouble{Since: s.opts.Clock().UTC(), Reason: err.Error()})
		}
		if err != nil && ending {
			s.abandon(b, err)
			return
		}
		if err != nil {
			// What waits for the disk is only outcomes: do not spin. Accepts wake the committer at once and fail fast.
			select {
			case <-s.queue.wake:
			case <-time.After(200 * time.Millisecond):
			}
			s.queue.signal()
		}
	}
}

// abandon refuses what waits and all that comes later. Outcomes that could not be stored are forgotten: their deliveries
// are handed out again after the next start.
func (s *Store) abandon(b *batch, err error) {
	s.queue.close()
	s.queue.takeAll(b)
	b.leaveWithdrawn()
	s.answer(b, err)
}

// leaveWithdrawn removes the ops whose callers have stopped waiting, and makes the others the committer's to answer.
func (b *batch) leaveWithdrawn() {
	b.results = slices.DeleteFunc(b.results, func(op *resultOp) bool { return op.done != nil && !op.take() })
	b.controls = slices.DeleteFunc(b.controls, func(op *controlOp) bool { return !op.take() })
}

func (b *batch) empty() bool {
	return len(b.accepts)+len(b.refusals)+len(b.results)+len(b.controls) == 0
}

// commitBatch writes the batch in one transaction. When it fails, nothing of it is in the database or in memory.
func (s *Store) commitBatch(b *batch) error {
	now := s.opts.Clock()
	if err := errors.Join(s.rotate(now), s.rotateSegment()); err != nil {
		s.stats.Failed.Add(1)
		return err
	}
	b.undo, b.undoSeq, b.undoRef, b.undoLast = b.undo[:0], s.open.seq, s.open.refusedSeq, s.open.lastAt
	b.undoJoins, b.undoReward = b.undoJoins[:0], s.rewards.newest
	clear(b.rewards)
	b.rewards = b.rewards[:0]
	s.counts.Reset()
	b.spots = b.flush || s.counts.SpotsDue()
	s.tallies.batch.clear()
	s.newLines = s.newLines[:0]
	if f := s.tallies.older; f != nil {
		f.writing = 0
	}
	s.tallies.beginFold(s.rewards.newest, now, s.opts.foldAt)
	controlErrs, err := s.writeBatch(b, now)
	s.tallies.mu.Lock() // readers see the tables and the tallies change at once
	if err == nil {
		err = s.st.commit.exec()
	}
	if err == nil {
		for i, op := range b.controls {
			if op.after != nil && controlErrs[i] == nil {
				op.after()
			}
		}
		s.tallies.committed()
	}
	s.tallies.mu.Unlock()
	if err != nil {
		_ = s.st.rollback.exec() // fails when SQLite has rolled back by itself
		s.rollBackMemory(b)
		s.stats.Failed.Add(1)
		return err
	}
	s.stats.Commits.Add(1)
	s.stats.Syncs.Add(1)
	s.counts.Committed(b.spots)
	s.applyMemory(b)
	for i, op := range b.controls {
		op.done <- controlErrs[i]
	}
	b.controls = b.controls[:0]
	return nil
}

func (s *Store) writeBatch(b *batch, now time.Time) ([]error, error) {
	if err := s.st.begin.exec(); err != nil {
		return nil, err
	}
	for _, op := range b.accepts {
		for _, sub := range op.subs {
			if err := s.writeEvent(b, sub); err != nil {
				return nil, err
			}
		}
	}
	for _, op := range b.refusals {
		if err := s.writeRefused(op.refused); err != nil {
			return nil, err
		}
	}
	// Outcomes in the order of their events: nearly an append.
	slices.SortStableFunc(b.results, func(x, y *resultOp) int {
		if c := cmp.Compare(x.ref.Uint64(), y.ref.Uint64()); c != 0 {
			return c
		}
		return cmp.Compare(x.delivery.Ordinal, y.delivery.Ordinal)
	})
	for _, op := range b.results {
		if err := s.writeResult(op, now); err != nil {
			return nil, err
		}
	}
	controlErrs, err := s.runControls(b)
	if err != nil {
		return nil, err
	}
	if b.flush {
		if err := s.unverified.Write(tx{s.w}, s.counts, now); err != nil {
			return nil, err
		}
	}
	if err := s.writeLines(); err != nil {
		return nil, err
	}
	if err := s.tallies.writeSlice(s.w, s.st, s.opts.foldSlice); err != nil {
		return nil, err
	}
	if err := s.writeCounts(b.spots); err != nil {
		return nil, err
	}
	return controlErrs, s.writeMark(b.undoSeq + 1)
}

// runControls runs each control operation in a savepoint of its own. The first error result is per operation, the second
// fails the batch.
func (s *Store) runControls(b *batch) ([]error, error) {
	errs := make([]error, len(b.controls))
	for i, op := range b.controls {
		if err := s.w.exec("SAVEPOINT control"); err != nil {
			return nil, err
		}
		if errs[i] = op.run(s.w); errs[i] != nil {
			if err := s.w.exec("ROLLBACK TO control"); err != nil {
				return nil, err
			}
		}
		if err := s.w.exec("RELEASE control"); err != nil {
			return nil, err
		}
	}
	return errs, nil
}

// rollBackMemory gives back what the failed batch claimed.
func (s *Store) rollBackMemory(b *batch) {
	for _, u := range slices.Backward(b.undo) {
		u.keys.takeBack(u.sum, u.old, u.had)
	}
	for _, u := range slices.Backward(b.undoJoins) {
		s.recent.takeBack(u)
	}
	s.rewards.newest = b.undoReward
	s.open.seq, s.open.refusedSeq, s.open.lastAt = b.undoSeq, b.undoRef, b.undoLast
	s.unverified.GiveBack()
}

// applyMemory takes up what the committed batch changed.
func (s *Store) applyMemory(b *batch) {
	s.searchMu.Lock()
	for _, op := range b.accepts {
		for _, sub := range op.subs {
			if ev := sub.Event; !sub.Receipt.Duplicate {
				_, ref, _ := sub.Receipt.ID.Place() // made above
				s.open.keys.addSearch(ev.YMID, cmp.Or(ev.TelegramID, ev.UserID), ev.ZoneID, ref.Seq)
				s.stats.Events.Add(1)
				if n := directTargets(sub.Targets); n > 0 {
					sub.Receipt.Ticket = s.mark.Add(ref, n)
				}
			} else {
				s.stats.Duplicates.Add(1)
			}
		}
	}
	for _, r := range b.rewards {
		addSearch(s.rewards.open.keys, r, uint32(r.No-s.rewards.open.first+1))
	}
	s.searchMu.Unlock()
	for _, op := range b.results {
		s.settle(op)
	}
	if b.flush {
		s.unverified.Written()
		b.flush = false
	}
}

// answer tells every caller of the batch what became of it, and keeps the outcomes of a failed batch that nobody waits
// for: they are written with the next one.
func (s *Store) answer(b *batch, err error) {
	for _, op := range b.accepts {
		for _, sub := range op.subs {
			sub.Err = err
			if err != nil { // what it was given was taken back
				sub.Event.ID, sub.Receipt = "", carom.Receipt{}
				sub.Targets = slices.DeleteFunc(sub.Targets, func(t carom.Target) bool { return t.Candidate > len(sub.Candidates) }) // see owe
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
	for _, op := range b.controls { // a committed batch has answered them
		op.done <- err
	}
	b.controls = b.controls[:0]
	kept := b.results[:0]
	for _, op := range b.results {
		switch {
		case op.done != nil: // whoever waits decides what to do
			op.done <- err
		case err != nil:
			kept = append(kept, op)
		}
	}
	clear(b.results[len(kept):])
	b.results = kept
	s.stats.Queued.Store(int64(s.queue.waiting()))
}

// writeMark stores the low-water mark now and then.
func (s *Store) writeMark(next uint32) error {
	s.unsavedMark++
	if s.unsavedMark < s.opts.markEvery {
		return nil
	}
	low := s.lowMark(next)
	if low == s.storedMark {
		return nil
	}
	if err := s.st.putMark.exec(int64(low)); err != nil {
		return err
	}
	s.storedMark, s.unsavedMark = low, 0 // a failed commit leaves the older one in the database, which is safe
	return nil
}

// lowMark is the place before which nothing lives in memory only: that of the oldest event that waits, else that of the
// next one, next being the first sequence of the batch that is being written.
func (s *Store) lowMark(next uint32) uint64 {
	if ref, ok := s.mark.Low(); ok {
		return ref.Uint64()
	}
	return carom.Ref{Bucket: s.open.number, Seq: next}.Uint64()
}

func (s *Store) saveMark() {
	s.unsavedMark = s.opts.markEvery
	if err := s.w.tx(func() error { return s.writeMark(s.open.seq + 1) }); err != nil {
		s.log.Warn("cannot store the low-water mark; the next start looks at more rows", "error", err)
	}
}
