package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"carom"
)

// queue is what waits for the committer: bounded, so that a slow database makes callers try later instead of filling memory.
type queue struct {
	mu       sync.Mutex // guards all below
	accepts  []*acceptOp
	refusals []*refuseOp
	results  []*resultOp
	closed   bool
	waits    int        // submissions in accepts, and refusals
	max      int        // of those
	room     *sync.Cond // results fell below maxResults
	want     int        // so many submissions are waited for by gather; 0: it does not wait

	wake   chan struct{} // capacity 1: something was queued
	enough chan struct{} // capacity 1: what gather waits for
}

// maxResults bounds the outcomes that wait for a commit. Beyond it lanes wait: they pause what cannot be recorded.
const maxResults = 16_384

// acceptOp is submissions of one caller, at most maxSubmissions, who waits on done.
type acceptOp struct {
	subs []*carom.Submission
	done chan struct{} // capacity 1, sent once all are decided; reused
}

type refuseOp struct {
	refused *carom.Refused
	err     error
	done    chan struct{} // closed when decided
}

// resultOp is the outcome of an attempt, or a change of a delivery's place without one.
type resultOp struct {
	delivery carom.Delivery
	ref      carom.Ref
	attempt  *carom.Attempt // nil: only the due row changes
	due      time.Time      // of the due row, when there is no attempt
	sending  bool           // the attempt begins now and must not be repeated
	claim    uint64         // under which it is made then
	lost     bool           // the node has lost the delivery with its lease: nothing of this is stored. The committer's alone
	gone     bool           // its event is not there any more: the due row goes
	waiter                  // without a channel: nobody waits
}

// waiter is the caller of an op, who may stop waiting.
type waiter struct {
	done  chan error  // capacity 1; the committer sends once, if it has taken the op
	taken atomic.Bool // by the committer, which writes and answers it, or by the caller, who has withdrawn it
}

func (w *waiter) take() bool { return w.taken.CompareAndSwap(false, true) }

// wait returns the op's answer. If ctx ends before the committer has taken the op, it is withdrawn: nothing is written.
func (w *waiter) wait(ctx context.Context) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if w.take() {
			return context.Cause(ctx)
		}
		return <-w.done
	}
}

func (q *queue) init(limit int) {
	q.max = limit
	q.room = sync.NewCond(&q.mu)
	q.wake = make(chan struct{}, 1)
	q.enough = make(chan struct{}, 1)
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it is awake, or about to be
	}
}

var errQueueFull = fmt.Errorf("too many events wait for the database: %w", carom.ErrUnavailable)
var errClosed = fmt.Errorf("the store is closing: %w", carom.ErrUnavailable)

// admit counts n submissions in, or says why they cannot wait. The caller holds mu.
func (q *queue) admit(n int) error {
	switch {
	case q.closed:
		return errClosed
	case n > 0 && q.waits >= q.max:
		return errQueueFull
	}
	q.waits += n
	q.signal()
	if q.want > 0 && q.waits >= q.want {
		signal(q.enough)
	}
	return nil
}

// gather waits until so many submissions wait, or until a moment.
func (q *queue) gather(want int, until time.Time) {
	q.mu.Lock()
	q.want = want
	have := q.waits
	q.mu.Unlock()
	if have < want {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		select {
		case <-q.enough:
		case <-timer.C:
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.want = 0
	select {
	case <-q.enough:
	default:
	}
}

func (q *queue) putAccept(op *acceptOp) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admit(len(op.subs)); err != nil {
		return err
	}
	q.accepts = append(q.accepts, op)
	return nil
}

func (q *queue) putRefusal(op *refuseOp) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.admit(1); err != nil {
		return err
	}
	q.refusals = append(q.refusals, op)
	return nil
}

// putResult waits while too many outcomes wait. After the store has closed it drops op: whoever takes the node over hands the
// delivery out again.
func (q *queue) putResult(op *resultOp) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.results) >= maxResults && !q.closed {
		q.room.Wait()
	}
	if err := q.admit(0); err != nil {
		return err
	}
	q.results = append(q.results, op)
	return nil
}

// take moves up to a batch's worth of work into b, which keeps what it already holds.
func (q *queue) take(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, events := 0, 0
	for n < len(q.accepts) && events < maxBatch {
		events += len(q.accepts[n].subs)
		n++
	}
	b.accepts, q.accepts = move(b.accepts, q.accepts, len(b.accepts)+n)
	refusals := len(q.refusals)
	b.refusals, q.refusals = move(b.refusals, q.refusals, maxBatch)
	q.waits -= events + refusals - len(q.refusals)
	b.results, q.results = move(b.results, q.results, 2*maxBatch)
	q.room.Broadcast()
	if len(q.accepts)+len(q.refusals)+len(q.results) > 0 {
		q.signal()
	}
}

// takeAll moves all that waits into b.
func (q *queue) takeAll(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.accepts, q.accepts = append(b.accepts, q.accepts...), nil
	b.refusals, q.refusals = append(b.refusals, q.refusals...), nil
	b.results, q.results = append(b.results, q.results...), nil
	q.waits = 0
	q.room.Broadcast()
}

// move appends to dst from the front of src until dst holds limit.
func move[T any](dst, src []T, limit int) (newDst, rest []T) {
	n := min(len(src), max(limit-len(dst), 0))
	dst = append(dst, src[:n]...)
	rest = append(src[:0], src[n:]...)
	clear(rest[len(rest):len(src)])
	return dst, rest
}

// close refuses all that comes later. What waits stays.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
}

func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.accepts)+len(q.refusals)+len(q.results) == 0
}

func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waits
}

// putBack has outcomes wait again, before all others.
func (q *queue) putBack(results []*resultOp) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.results = append(results, q.results...)
	q.signal()
}
