package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"carom"
	"carom/internal/tables"
)

// lease is this node's right to work: a number that is its own for as long as it shows a sign of life, and never anybody's again
// while a row still names it. Who finds it silent for longer ends it, and takes over what it left.
type lease struct {
	no   uint16
	life carom.Incarnation // in which its ids are given out

	until atomic.Pointer[time.Time] // it stands at least until then, by this machine's clocks
	share atomic.Pointer[share]     // of what all nodes do together; nil: none yet. The committer writes it
	since int64                     // the database's time at the first beat, when all see the node; 0: before. The committer's alone
}

// valid says whether the lease stands for certain. When the database has not answered for long, it may have ended. Both clocks of
// the machine have to agree: the steady one stands still while a machine sleeps, and the other one may be set back.
func (l *lease) valid() bool {
	now, until := time.Now(), *l.until.Load()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

func (l *lease) prolong(until time.Time) { l.until.Store(&until) }

// errFenced says that the node's lease was ended by another node.
var errFenced = fmt.Errorf("another node has ended this node's lease, since it showed no sign of life: %w", carom.ErrUnavailable)

// margin is how much sooner a node stops to rely on its lease than others begin to doubt it.
const margin = 2 * time.Second

// join takes a lease on a number that no row names any more.
func (s *Store) join(ctx context.Context) error {
	asked := time.Now()
	var now, newest int64
	var life carom.Incarnation
	no, others := 0, 0
	err := s.transact(ctx, func(tx *tx) error {
		if err := tx.exec(`SELECT pg_advisory_xact_lock($1)`, int64(lockNodes)); err != nil {
			return err
		}
		if err := refuseHalfMoved(tx); err != nil {
			return err
		}
		if err := tx.row(`SELECT coalesce(max(no), 0), coalesce(max(life), 0), `+nowMS+` FROM nodes`, nil, &no, &newest, &now); err != nil {
			return err
		}
		life = max(newLife(time.UnixMilli(now)), carom.Incarnation(newest)+1)
		if no++; no > maxNode { // around: one that retention has forgotten
			if err := tx.row(`SELECT coalesce(min(g), 0) FROM generate_series(1, $1) g WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE no = g)`, []any{maxNode}, &no); err != nil {
				return err
			}
			if no == 0 {
				return fmt.Errorf("all %d numbers of nodes are taken: too many leases began within the retention: %w", maxNode, carom.ErrUnavailable)
			}
		}
		if err := tx.row(`SELECT count(*) FROM nodes WHERE ended_at = 0`, nil, &others); err != nil {
			return err
		}
		return tx.row(`INSERT INTO nodes (no, life, name, version, schema, first_bucket, began_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, `+nowMS+`, `+nowMS+`) RETURNING seen_at`,
			[]any{no, int64(life), s.opts.Name, s.opts.Version, schemaVersion(), int(s.bucket.number)}, &now)
	})
	if err != nil {
		return fmt.Errorf("take a node's number: %w", err)
	}
	s.clock.note(time.UnixMilli(now), asked, time.Now())
	s.lives.Store(origin{node: uint16(no)}, life)
	l := &lease{no: uint16(no), life: life}
	l.prolong(asked.Add(s.opts.leaseTime - margin))
	if others == 0 {
		l.share.Store(&share{nodes: 1})
	}
	s.totals, s.mark, s.rewardSeq, s.bucket.seq, s.bucket.refusedSeq = totals{}, tables.Mark{}, 0, 0, 0
	s.life.Store(uint64(life))
	s.lease.Store(l)
	s.log.Info("node joined", "node", no, "name", s.opts.Name)
	return nil
}

// newLife makes a number that grows with time: 32 bits of seconds since 2020 and 8 random ones.
func newLife(now time.Time) carom.Incarnation {
	var b [1]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return carom.Incarnation(uint64(max(now.Unix()-since2020, 1))<<8 | uint64(b[0]))
}

// loseLease drops what the lease stood for. What this node held belongs to others from now on.
func (s *Store) loseLease() {
	s.log.Error("this node's lease was ended by another node, since it showed no sign of life: it drops what it holds and joins again")
	s.lease.Store(nil)
	s.claims.forget()
	s.returned.forget()
	s.doubt, s.orphans, s.returning = nil, nil, nil
	s.mark = tables.Mark{}
}

// rejoin takes a new lease after one was lost.
func (s *Store) rejoin() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.join(ctx)
}

// beat takes up what the fence of a commit returned: the time, the newest time bucket and when it was opened, the oldest bucket that
// is kept, the version of the objects, how many nodes there are, this one's place among them, and when the other that has been silent
// for the longest was last seen.
func (s *Store) beat(v [][]byte, asked time.Time) {
	s.clock.note(time.UnixMilli(int8Of(v[0])), asked, time.Now())
	b := &s.bucket
	b.newest, b.newestOpened, b.oldest, b.asked = uint32(int8Of(v[1])), time.UnixMilli(int8Of(v[2])), uint32(int8Of(v[3])), asked
	s.version.Store(int8Of(v[4]))
	s.seeOwn(int8Of(v[5]))
	s.lease.Load().follow(int8Of(v[0]), int(int8Of(v[6])), int(int8Of(v[7])), int8Of(v[8]))
}

// proven takes up that a commit has proven the lease.
func (s *Store) proven() {
	b := &s.bucket
	s.hosts.proven(s.link.conn.Conn().RemoteAddr())
	s.lease.Load().prolong(b.asked.Add(s.opts.leaseTime - margin))
	if b.newest > b.number {
		s.enter(b.newest, b.newestOpened)
	}
}

// leave gives the lease back at the end, if nothing is left that others would have to take over by force.
func (s *Store) leave() {
	l := s.lease.Load()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.transact(ctx, func(tx *tx) error {
		return tx.exec(`UPDATE nodes SET ended_at = `+nowMS+` WHERE no = $1 AND life = $2 AND ended_at = 0`, int(l.no), int64(l.life))
	}); err != nil {
		s.log.Warn("the node's lease was not given back: others end it when it has been silent for long enough", "error", err)
		return
	}
	if err := s.takeOver(ctx, int(l.no)); err != nil {
		s.log.Warn("what this node left is taken over by others", "error", err)
	}
}

// doubt is a commit of unknown outcome: the connection broke when it was sent.
type doubt struct {
	commits int64
	due     []dueRow    // what its direct deliveries need if it was made: nobody has them in memory
	results []*resultOp // whose outcomes it carries
	events  int64
	// What it lets go of.
	returning []dueRow
}

// holds says whether the outcome waits for what became of the commit.
func (d *doubt) holds(op *resultOp) bool {
	if d != nil {
		for _, held := range d.results {
			if held == op {
				return true
			}
		}
	}
	return false
}

// doubtful notes what has to be known of a batch when it turns out that it was committed.
func (s *Store) doubtful(b *batch) *doubt {
	d := &doubt{commits: s.next().commits, returning: s.returning}
	for _, op := range b.results {
		if op.done == nil {
			d.results = append(d.results, op)
		}
	}
	for i := range b.entries {
		e := &b.entries[i]
		if e.copy {
			continue
		}
		d.events++
		at := e.sub.Event.At.UnixMilli()
		for ordinal, t := range e.sub.Targets {
			if t.Direct && !t.Unowed {
				d.due = append(d.due, dueRow{endpoint: t.Endpoint, place: e.place, ordinal: ordinal, due: at, scheduled: at, accepted: at})
			}
		}
	}
	return d
}

var provenCommits = one("proven_commits", `UPDATE nodes SET seen_at = `+nowMS+` WHERE no = $1 AND life = $2 AND ended_at = 0 RETURNING commits`, kindInt4, kindInt8)

// settleDoubt finds out whether a commit of unknown outcome was made. Changing the node's row waits for one that is still under
// way, and its own commit for what the commit before has to wait for.
func (s *Store) settleDoubt() error {
	d := s.doubt
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, made := s.lease.Load(), int64(-1)
	s.link.warned.Store(false)
	if err := s.link.exchange(ctx, query{st: provenCommits, params: [][]byte{int4Param(int(l.no)), int8Param(int64(l.life))}, row: func(v [][]byte) error {
		made = int8Of(v[0])
		return nil
	}}); err != nil {
		return fmt.Errorf("find out what became of the last commit: %w", err)
	}
	if s.link.warned.Load() {
		return fmt.Errorf("find out what became of the last commit: %w", errors.Join(errWarned, carom.ErrUnavailable))
	}
	if made < 0 {
		return errFenced
	}
	s.doubt = nil
	if made != d.commits {
		s.log.Info("the commit of unknown outcome was not made")
		s.unverified.GiveBack()
		s.queue.putBack(d.results)
		s.returned.again(d.returning)
		return nil
	}
	s.log.Info("the commit of unknown outcome was made", "events", d.events)
	s.totals.commits = made
	s.totals.events += d.events
	s.returned.done(d.returning)
	s.orphans = append(s.orphans, d.due...)
	for _, op := range d.results {
		s.settle(op)
	}
	s.unverified.Written()
	s.stats.Commits.Add(1)
	s.stats.Events.Add(d.events)
	return nil
}

// origin is where the life of ids is looked up: a node has one for all that it gives out. What was moved from a data folder has the
// node 0, and each bucket the life that the folder had then.
type origin struct {
	node   uint16
	bucket uint32 // 0 unless the node is
}

func originOf(ref carom.Ref) origin {
	if ref.Node == 0 {
		return origin{bucket: ref.Bucket}
	}
	return origin{node: ref.Node}
}

// lifeAt is the life in which the id of what lies at ref was given out. It returns carom.ErrNotFound where nobody gave out ids.
func (s *Store) lifeAt(ctx context.Context, ref carom.Ref) (carom.Incarnation, error) {
	o := originOf(ref)
	if life, known := s.lives.Load(o); known {
		return life.(carom.Incarnation), nil
	}
	query, no := `SELECT life FROM nodes WHERE no = $1`, int64(o.node)
	if o.node == 0 {
		query, no = `SELECT life FROM buckets WHERE bucket = $1 AND life <> 0`, int64(o.bucket)
	}
	var life int64
	if err := s.lanes.QueryRowContext(ctx, query, no).Scan(&life); err != nil {
		return 0, fmt.Errorf("bucket %d of node %d: %w", ref.Bucket, ref.Node, translate(err))
	}
	s.lives.Store(o, carom.Incarnation(life))
	return carom.Incarnation(life), nil
}

// lifeOf is lifeAt where there is no telling of errors: 0 then.
func (s *Store) lifeOf(ref carom.Ref) carom.Incarnation {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	life, err := s.lifeAt(ctx, ref)
	if err != nil {
		return 0 // it is asked again the next time
	}
	return life
}

// eventID is the id of the event at ref.
func (s *Store) eventID(ref carom.Ref) carom.EventID {
	return carom.NewEventID(s.lifeOf(ref), ref)
}

// isOurs says whether an id of the given life can name what lies at ref.
func (s *Store) isOurs(ctx context.Context, life carom.Incarnation, ref carom.Ref) (bool, error) {
	if ref.Bucket > maxBucket {
		return false, nil
	}
	known, err := s.lifeAt(ctx, ref)
	if errors.Is(err, carom.ErrNotFound) {
		return false, nil
	}
	return known == life, err
}

// lowMark is the place before which nothing of this node lives in memory only once the batch is committed: that of its oldest event
// that waits, else that of its next one, which may be in the batch.
func (s *Store) lowMark(b *batch) int64 {
	if ref, ok := s.mark.Low(); ok {
		return placeOf(ref)
	}
	if len(b.entries) > 0 {
		return b.entries[0].place
	}
	first := s.bucket.seq + 1
	return placeOf(carom.Ref{Bucket: s.bucket.number, Node: s.lease.Load().no, Seq: first})
}
