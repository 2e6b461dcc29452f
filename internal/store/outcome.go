package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carom"
	"carom/internal/tables"
)

// Record stores the outcome of an attempt in the committer's next transaction and does not wait for it. With State Pending
// the delivery waits in the due table until a.Due; with any other it has ended.
//
// It waits while too many outcomes wait to be stored. It returns carom.ErrUnavailable after the store has closed: the
// delivery is then handed out again after the next start. A delivery of a bucket that is gone is forgotten.
func (s *Store) Record(d *carom.Delivery, a *carom.Attempt) error {
	return s.queueResult(&resultOp{delivery: *d, attempt: a})
}

// Defer moves a delivery that lived in memory to the due table, without an attempt.
func (s *Store) Defer(d *carom.Delivery, due time.Time) error {
	return s.queueResult(&resultOp{delivery: *d, due: due})
}

// Begin notes that an attempt which must not be repeated is about to begin, and returns once that is synced. From then on
// the delivery is claimed and has a row in the due table: its Ticket becomes zero.
//
// When it returns an error, nothing is stored and d is as it was: carom.ErrUnavailable when the disk or the store's end
// prevents it, the cause of ctx when that ended first.
func (s *Store) Begin(ctx context.Context, d *carom.Delivery) error {
	op := &resultOp{delivery: *d, sending: true, waiter: waiter{done: make(chan error, 1)}}
	_, ref, _, err := d.ID.Place()
	if err != nil {
		return err
	}
	key := claimKey{ref.Uint64(), d.Ordinal}
	// Before the row can be seen, so that no claim hands it out a second time.
	s.claims.take(d.Endpoint, key)
	if err = s.queueResult(op); err == nil {
		err = op.wait(ctx)
	}
	if err != nil {
		if d.Ticket != 0 {
			s.claims.release(d.Endpoint, key)
		}
		return fmt.Errorf("begin attempt: %w", err)
	}
	d.Ticket = 0
	return nil
}

func (s *Store) queueResult(op *resultOp) error {
	_, ref, _, err := op.delivery.ID.Place()
	if err != nil {
		return err
	}
	op.ref = ref
	return s.queue.putResult(op)
}

// Outcomes of deliveries as counted; see carom.DeliveryCount.
const outcomeRetry = "retry"

// writeResult writes one outcome into the open transaction.
func (s *Store) writeResult(op *resultOp, now time.Time) error {
	d := &op.delivery
	a := op.attempt
	if op.gone || !s.bucketExists(op.ref.Bucket) {
		if a == nil || a.State == carom.Pending {
			return s.expire(d.Endpoint, claimKey{op.ref.Uint64(), d.Ordinal}, now)
		}
		s.counts.Delivery(d.Endpoint, d.Event, string(a.State), now) // it has ended, though its story is gone
		return s.st.deleteDue.exec(int64(d.Endpoint), int64(op.ref.Uint64()), int64(d.Ordinal))
	}
	if a == nil {
		if op.sending {
			return s.putDue(op, now, now, d.Attempts, d.Step, 1)
		}
		return s.putDue(op, op.due, now, d.Attempts, d.Step, 0)
	}
	st, err := s.st.outcome(op.ref.Bucket)
	if err != nil {
		return err
	}
	var due int64
	if a.State == carom.Pending {
		due = a.Due.UnixMilli()
	}
	if err := st.exec(outcomeID(op.ref.Seq, d.Ordinal, a.Number), int64(d.Endpoint), a.At.UnixMilli(), a.Took.Microseconds(), string(a.State),
		due, a.Reason, int64(a.Flags), a.Method, a.URL, a.Sent, int64(a.Status), tables.Blob([]byte(a.Answer))); err != nil {
		return err
	}
	if a.State == carom.Pending {
		s.counts.Delivery(d.Endpoint, d.Event, outcomeRetry, now)
		return s.putDue(op, a.Due, now, a.Number, d.Step, 0)
	}
	s.counts.Delivery(d.Endpoint, d.Event, string(a.State), now)
	if d.Ticket != 0 {
		return nil // it never had a row
	}
	return s.st.deleteDue.exec(int64(d.Endpoint), int64(op.ref.Uint64()), int64(d.Ordinal))
}

// expire ends a waiting delivery whose event is not kept any more.
func (s *Store) expire(endpoint int, k claimKey, now time.Time) error {
	n, err := s.st.deleteDue.execCount(int64(endpoint), int64(k.event), int64(k.ordinal))
	if n > 0 {
		s.counts.Delivery(endpoint, nil, string(carom.Expired), now)
	}
	return err
}

func (s *Store) putDue(op *resultOp, due, now time.Time, attempts, step int, sending int64) error {
	d := &op.delivery
	return s.st.putDue.exec(int64(d.Endpoint), int64(op.ref.Uint64()), int64(d.Ordinal), due.UnixMilli(), now.UnixMilli(),
		d.Since.UnixMilli(), int64(attempts), int64(step), sending)
}

// settle takes up in memory what a committed result changed.
func (s *Store) settle(op *resultOp) {
	if op.attempt != nil {
		s.stats.Attempts.Add(1)
	}
	if op.delivery.Ticket != 0 {
		s.mark.Done(op.delivery.Ticket)
	} else if !op.sending {
		s.claims.release(op.delivery.Endpoint, claimKey{op.ref.Uint64(), op.delivery.Ordinal})
	}
}

// Release gives back a claimed delivery for which no attempt was made.
func (s *Store) Release(d *carom.Delivery) {
	if _, ref, _, err := d.ID.Place(); err == nil && d.Ticket == 0 {
		s.claims.release(d.Endpoint, claimKey{ref.Uint64(), d.Ordinal})
	}
}

// Claim hands out waiting deliveries of one endpoint, with their events, and returns the cursor for the next claim in
// order. Only one goroutine may claim for an endpoint at a time. With an error, nothing is claimed and the cursor stands.
func (s *Store) Claim(ctx context.Context, c carom.Claim) (_ []*carom.Delivery, next uint64, err error) {
	held := s.claims.held(c.Endpoint)
	rows, err := s.dueRows(ctx, c, len(held))
	if err != nil {
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
	}
	cursor := c.Cursor
	var out []*carom.Delivery
	defer func() {
		if err != nil {
			for _, d := range out {
				s.Release(d)
			}
		}
	}()
	for _, row := range rows {
		if len(out) == c.Limit {
			break
		}
		cursor = row.event
		if _, ok := held[claimKey{row.event, row.ordinal}]; ok {
			continue
		}
		ref := carom.RefOf(row.event)
		ev, targets, err := s.eventAt(ctx, s.lanes, ref)
		if errors.Is(err, carom.ErrNotFound) { // its bucket is gone: so is the delivery
			s.claims.take(c.Endpoint, claimKey{row.event, row.ordinal}) // until that is committed
			gone := &resultOp{ref: ref, delivery: carom.Delivery{Endpoint: c.Endpoint, Ordinal: row.ordinal}, gone: true}
			if err := s.queue.putResult(gone); err != nil {
				return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
			}
			continue
		}
		if err != nil {
			return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
		}
		reward, err := s.Owed(ctx, s.lanes, ev, targets, row.ordinal)
		if err != nil {
			return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
		}
		s.claims.take(c.Endpoint, claimKey{row.event, row.ordinal})
		out = append(out, &carom.Delivery{
			ID: carom.NewDeliveryID(s.lifeOf(ref.Bucket), ref, row.ordinal), Event: ev, Reward: reward, Endpoint: c.Endpoint, Ordinal: row.ordinal,
			Attempts: row.attempts, Step: row.step, Since: time.UnixMilli(row.since).UTC(),
		})
	}
	return out, cursor, nil
}

type dueRow struct {
	event          uint64
	ordinal        int
	attempts, step int
	since          int64
}

func (s *Store) dueRows(ctx context.Context, c carom.Claim, held int) ([]dueRow, error) {
	const columns = `SELECT event, ordinal, attempts, step, accepted_at FROM due WHERE endpoint = ? AND `
	const forever = int64(1) << 62
	milli := func(t time.Time, absent int64) int64 {
		if t.IsZero() {
			return absent
		}
		return t.UnixMilli()
	}
	query := columns + `due_at > ? AND due_at <= ? ORDER BY due_at, event LIMIT ?`
	args := []any{c.Endpoint, milli(c.DueAfter, -1), milli(c.DueBy, forever), c.Limit + held}
	if c.InOrder {
		query = columns + `event > ? AND due_at <= ? AND scheduled_at < ? AND accepted_at < ? ORDER BY event, ordinal LIMIT ?`
		args = []any{c.Endpoint, int64(c.Cursor), milli(c.DueBy, forever), milli(c.ScheduledBefore, forever),
			milli(c.SinceBefore, forever), c.Limit + held}
	}
	rows, err := s.lanes.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []dueRow
	for rows.Next() {
		var row dueRow
		if err := rows.Scan(&row.event, &row.ordinal, &row.attempts, &row.step, &row.since); err != nil {
			return nil, translate(err)
		}
		out = append(out, row)
	}
	return out, translate(rows.Err())
}

// NextDue returns when the endpoint's next waiting delivery is due after now; zero when none is.
func (s *Store) NextDue(ctx context.Context, endpoint int, now time.Time) (time.Time, error) {
	var ms int64
	err := s.lanes.QueryRowContext(ctx, `SELECT coalesce(min(due_at), 0) FROM due WHERE endpoint = ? AND due_at > ?`,
		endpoint, now.UnixMilli()).Scan(&ms)
	if err != nil || ms == 0 {
		return time.Time{}, translate(err)
	}
	return time.UnixMilli(ms).UTC(), nil
}
