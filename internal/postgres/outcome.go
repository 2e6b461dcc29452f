package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
)

// Record stores the outcome of an attempt in the committer's next transaction and does not wait for it. With State Pending
// the delivery waits in the due table until a.Due; with any other it has ended.
//
// It waits while too many outcomes wait to be stored. It returns carom.ErrUnavailable after the store has closed: the
// delivery is then handed out again. The outcome of a delivery that this node has lost with its lease is not stored: another has
// taken it up. A delivery of a bucket that is gone is forgotten.
func (s *Store) Record(d *carom.Delivery, a *carom.Attempt) error {
	return s.queueResult(&resultOp{delivery: *d, attempt: a})
}

// Defer moves a delivery that lived in memory to the due table, without an attempt.
func (s *Store) Defer(d *carom.Delivery, due time.Time) error {
	return s.queueResult(&resultOp{delivery: *d, due: due})
}

// Begin notes that an attempt which must not be repeated is about to begin, and returns once that is committed. From then on
// the delivery is claimed and has a row in the due table: its Ticket becomes zero.
//
// When it returns an error, d is as it was: carom.ErrUnavailable when the database or the store's end prevents it, or when the node
// has lost the delivery with its lease; the cause of ctx when that ended first.
func (s *Store) Begin(ctx context.Context, d *carom.Delivery) error {
	op := &resultOp{delivery: *d, sending: true, claim: d.Claimed, waiter: waiter{done: make(chan error, 1)}}
	if d.Ticket != 0 {
		op.claim = s.claims.number()
	}
	err := s.queueResult(op)
	if err == nil {
		err = op.wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("begin attempt: %w", err)
	}
	d.Ticket, d.Claimed = 0, op.claim
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

// owns is Holds without the lease's time: the commit itself proves that.
func (s *Store) owns(op *resultOp) bool { return s.has(s.lease.Load(), &op.delivery, op.ref) }

// has says whether what the node was handed is still in its hands under a lease.
func (s *Store) has(l *lease, d *carom.Delivery, ref carom.Ref) bool {
	if d.Ticket != 0 {
		return ref.Node == l.no
	}
	return s.claims.has(d.Endpoint, claimKey{placeOf(ref), d.Ordinal}, d.Claimed)
}

// outcomeRetry is the outcome of a delivery as counted when an attempt failed; see carom.DeliveryCount.
const outcomeRetry = "retry"

// dueRow is a row of the due table.
type dueRow struct {
	endpoint                 int
	place                    int64
	ordinal                  int
	due, scheduled, accepted int64 // milliseconds
	attempts, step, sending  int
	node                     int
}

// writeResults writes out what attempts came to, in the order of rows, each row once.
func (s *Store) writeResults(b *batch, now time.Time) {
	node := int(s.lease.Load().no)
	type place struct {
		endpoint int
		claimKey
	}
	last := make(map[place]*resultOp, len(b.results))
	for _, op := range b.results {
		if op.lost = !s.owns(op); !op.lost {
			last[place{op.delivery.Endpoint, claimKey{placeOf(op.ref), op.delivery.Ordinal}}] = op
		}
	}
	ops := make([]*resultOp, 0, len(last))
	for _, op := range b.results {
		if last[place{op.delivery.Endpoint, claimKey{placeOf(op.ref), op.delivery.Ordinal}}] == op {
			ops = append(ops, op)
		}
	}
	slices.SortFunc(ops, func(x, y *resultOp) int {
		return cmp.Or(cmp.Compare(placeOf(x.ref), placeOf(y.ref)), cmp.Compare(x.delivery.Ordinal, y.delivery.Ordinal))
	})
	for _, op := range ops {
		s.writeResult(op, now, node)
	}
	for _, d := range s.orphans {
		s.out.putDue(d)
	}
	s.returning = append(s.returning, s.returned.take()...)
	for _, d := range s.returning {
		r := s.out.returned
		r.int4(d.endpoint)
		r.int8(d.place)
		r.int2(d.ordinal)
		r.int4(d.node)
	}
}

func (s *Store) writeResult(op *resultOp, now time.Time, node int) {
	d, a := &op.delivery, op.attempt
	place := placeOf(op.ref)
	if op.gone || op.ref.Bucket < s.bucket.oldest {
		s.out.dropDue(d.Endpoint, place, d.Ordinal)
		state := carom.Expired // a delivery whose event is not kept any more
		if a != nil && a.State != carom.Pending {
			state = a.State
		}
		s.counts.Delivery(d.Endpoint, d.Event, string(state), now)
		return
	}
	row := dueRow{endpoint: d.Endpoint, place: place, ordinal: d.Ordinal, scheduled: now.UnixMilli(), accepted: d.Since.UnixMilli(),
		attempts: d.Attempts, step: d.Step}
	if a == nil {
		if row.due = op.due.UnixMilli(); op.sending {
			row.due, row.sending, row.node = now.UnixMilli(), 1, node
		}
		s.out.putDue(row)
		return
	}
	s.writeOutcome(op, place, node)
	if a.State == carom.Pending {
		s.counts.Delivery(d.Endpoint, d.Event, outcomeRetry, now)
		row.due, row.attempts = a.Due.UnixMilli(), a.Number
		s.out.putDue(row)
		return
	}
	s.counts.Delivery(d.Endpoint, d.Event, string(a.State), now)
	if d.Ticket == 0 {
		s.out.dropDue(d.Endpoint, place, d.Ordinal)
	}
}

func (s *Store) writeOutcome(op *resultOp, place int64, node int) {
	d, a, r := &op.delivery, op.attempt, s.out.outcomes
	var due int64
	if a.State == carom.Pending {
		due = a.Due.UnixMilli()
	}
	r.int8(place)
	r.int2(d.Ordinal)
	r.int4(a.Number)
	r.int4(d.Endpoint)
	r.int8(a.At.UnixMilli())
	r.int8(a.Took.Microseconds())
	r.text(string(a.State))
	r.int8(due)
	r.text(a.Reason)
	r.int4(int(a.Flags))
	r.text(a.Method)
	r.text(a.URL)
	r.text(a.Sent)
	r.int4(a.Status)
	r.bytes([]byte(a.Answer))
	r.int4(node)
}

func (o *output) putDue(d dueRow) {
	r := o.due
	r.int4(d.endpoint)
	r.int8(d.place)
	r.int2(d.ordinal)
	r.int8(d.due)
	r.int8(d.scheduled)
	r.int8(d.accepted)
	r.int4(d.attempts)
	r.int4(d.step)
	r.int4(d.sending)
	r.int4(d.node)
}

func (o *output) dropDue(endpoint int, place int64, ordinal int) {
	o.done.int4(endpoint)
	o.done.int8(place)
	o.done.int2(ordinal)
}

// settle takes up in memory what a committed result changed.
func (s *Store) settle(op *resultOp) {
	if !s.owns(op) {
		return
	}
	if op.attempt != nil {
		s.stats.Attempts.Add(1)
		s.totals.attempts++
	}
	d, key := &op.delivery, claimKey{placeOf(op.ref), op.delivery.Ordinal}
	if op.sending { // before Begin returns: from then on it is claimed
		s.claims.take(d.Endpoint, key, op.claim)
	}
	if d.Ticket != 0 {
		s.mark.Done(d.Ticket)
	} else if !op.sending {
		s.claims.release(d.Endpoint, key, d.Claimed)
	}
}
