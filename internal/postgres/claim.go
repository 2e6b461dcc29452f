package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"carom"
)

// Claim hands out waiting deliveries of one endpoint, with their events, and returns the cursor for the next claim in order. What
// is claimed is in this node's hands: its rows say so until an outcome is recorded, it is released, or the node's lease ends. Other
// nodes may claim at the same time, and get others. With an error, nothing is claimed and the cursor stands.
func (s *Store) Claim(ctx context.Context, c carom.Claim) (_ []*carom.Delivery, next uint64, err error) {
	l := s.lease.Load()
	if l == nil || !l.valid() {
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", errNoLink)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.giveBack(ctx, c.Endpoint); err != nil {
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
	}
	number := s.claims.number()
	s.claims.making.RLock()
	until := s.clock.now().Add(s.answerIn())
	rows, err := s.claimRows(ctx, c, l, until)
	for _, row := range rows {
		s.claims.take(c.Endpoint, claimKey{row.place, row.ordinal}, number)
	}
	if err != nil && !isServerError(err) {
		s.claims.lose(c.Endpoint, until)
	}
	s.claims.making.RUnlock()
	if err != nil {
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", translate(err))
	}
	defer func() {
		if err != nil {
			for _, row := range rows {
				s.claims.release(c.Endpoint, claimKey{row.place, row.ordinal}, number)
			}
			s.letGo(rows)
		}
	}()
	if s.lease.Load() != l { // it was lost meanwhile, and with it what was claimed
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", errFenced)
	}
	events, err := s.eventsAt(ctx, rows)
	if err != nil {
		return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
	}
	cursor := c.Cursor
	var out []*carom.Delivery
	for _, row := range rows {
		cursor = max(cursor, uint64(row.place))
		ref := refOf(row.place)
		stored, there := events[row.place]
		if !there { // its bucket is gone: so is the delivery
			gone := &resultOp{ref: ref, delivery: carom.Delivery{Endpoint: c.Endpoint, Ordinal: row.ordinal, Claimed: number}, gone: true}
			if err := s.queue.putResult(gone); err != nil {
				return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
			}
			continue
		}
		reward, err := s.Owed(ctx, numbered{s.lanes}, stored.event, stored.endpoints, row.ordinal)
		if err != nil {
			return nil, c.Cursor, fmt.Errorf("claim deliveries: %w", err)
		}
		out = append(out, &carom.Delivery{
			ID: stored.event.ID.Delivery(row.ordinal), Event: stored.event, Reward: reward, Endpoint: c.Endpoint, Ordinal: row.ordinal,
			Attempts: row.attempts, Step: row.step, Since: time.UnixMilli(row.accepted).UTC(), Claimed: number,
		})
	}
	return out, cursor, nil
}

// claimRows takes rows of the due table for this node. Rows that another node has locked, to claim or to change them, are left to it.
// The order in which an update returns its rows is not that of its query, so they are sorted again.
//
// The key of the node's row is locked, so that whoever takes the node over waits for this claim, and finds its rows; a claim that
// comes later finds the lease ended, and takes nothing. Commits of the node are not held up by that. Nor does a claim take anything that
// reaches the database after until, when nobody waits for it any more. It returns no rows with an error.
func (s *Store) claimRows(ctx context.Context, c carom.Claim, l *lease, until time.Time) ([]dueRow, error) {
	where, order := `due_at > $4 AND due_at <= $5`, `due_at, place`
	args := []any{c.Endpoint, int(l.no), c.Limit, milliOr(c.DueAfter, -1), milliOr(c.DueBy, math.MaxInt64)}
	switch {
	case c.InOrder && c.ScheduledBefore.IsZero() && c.SinceBefore.IsZero():
		// What comes back soon shows up again, so a cursor is needed, and one that tells apart what was accepted in the same
		// millisecond. Places are in order of acceptance on each node.
		where, order = `place > $4 AND due_at <= $5`, `place, ordinal`
		args[3] = int64(c.Cursor)
	case c.InOrder: // what was claimed before does not show up again: the oldest that nobody has, whatever the cursor
		where, order = `scheduled_at < $4 AND due_at <= $5 AND accepted_at < $6`, `accepted_at, place, ordinal`
		args[3] = milliOr(c.ScheduledBefore, math.MaxInt64)
		args = append(args, milliOr(c.SinceBefore, math.MaxInt64))
	}
	if places, ordinals := s.returned.openOf(c.Endpoint); len(places) > 0 {
		where += fmt.Sprintf(` AND NOT EXISTS (SELECT 1 FROM unnest($%d::bigint[], $%d::int[]) AS r (place, ordinal) WHERE r.place = due.place AND r.ordinal = due.ordinal)`,
			len(args)+1, len(args)+2)
		args = append(args, places, ordinals)
	}
	args = append(args, until.UnixMilli())
	rows, err := s.lanes.QueryContext(ctx, `WITH lease AS (SELECT no FROM nodes WHERE no = $2 AND ended_at = 0 AND `+nowMS+` < $`+strconv.Itoa(len(args))+` FOR KEY SHARE),
		mine AS (SELECT endpoint, place, ordinal FROM due WHERE endpoint = $1 AND node = 0 AND `+where+`
			ORDER BY `+order+` LIMIT $3 FOR UPDATE SKIP LOCKED),
		taken AS (UPDATE due d SET node = l.no FROM mine m, lease l WHERE d.endpoint = m.endpoint AND d.place = m.place AND d.ordinal = m.ordinal
			RETURNING d.place, d.ordinal, d.due_at, d.accepted_at, d.attempts, d.step)
		SELECT place, ordinal, due_at, accepted_at, attempts, step FROM taken ORDER BY `+order, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []dueRow
	for rows.Next() {
		row := dueRow{endpoint: c.Endpoint, node: int(l.no)}
		if err := rows.Scan(&row.place, &row.ordinal, &row.due, &row.accepted, &row.attempts, &row.step); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

// findLost gives back what lost claims have taken: those whose answer never came, since the connection broke. Their rows say that
// they are in this node's hands, and nobody else would ever send them. It locks claims out meanwhile.
func (s *Store) findLost(ctx context.Context) error {
	lost, l := s.claims.lostBefore(s.clock.now()), s.lease.Load()
	if len(lost) == 0 || l == nil {
		return nil
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	s.claims.making.Lock()
	defer s.claims.making.Unlock()
	for _, endpoint := range lost {
		n, err := s.findLostOf(ctx, endpoint, l)
		if err != nil {
			return fmt.Errorf("look for what a lost claim took: %w", err)
		}
		s.claims.found(endpoint)
		if n > 0 {
			s.log.Info("given back what a claim had taken whose answer was lost", "endpoint", endpoint, "deliveries", n)
		}
	}
	return nil
}

// findLostOf gives back the rows of an endpoint that say to be in this node's hands and are not. Those of attempts that must not be
// repeated are not touched: they were claimed before, or are the committer's.
func (s *Store) findLostOf(ctx context.Context, endpoint int, l *lease) (int, error) {
	rows, err := s.lanes.QueryContext(ctx, `SELECT place, ordinal FROM due WHERE endpoint = $1 AND node = $2 AND sending = 0`, endpoint, int(l.no))
	if err != nil {
		return 0, translate(err)
	}
	defer rows.Close()
	var places []int64
	var ordinals []int32
	for rows.Next() {
		var k claimKey
		if err := rows.Scan(&k.place, &k.ordinal); err != nil {
			return 0, translate(err)
		}
		if !s.claims.knows(endpoint, k) && !s.returned.knows(returnKey{endpoint, k}) {
			places, ordinals = append(places, k.place), append(ordinals, int32(k.ordinal))
		}
	}
	if err := rows.Err(); err != nil || len(places) == 0 {
		return 0, translate(err)
	}
	_, err = s.lanes.ExecContext(ctx, `UPDATE due d SET node = 0 FROM unnest($3::bigint[], $4::int[]) AS r (place, ordinal)
		WHERE d.endpoint = $1 AND d.node = $2 AND d.sending = 0 AND d.place = r.place AND d.ordinal = r.ordinal`, endpoint, int(l.no), places, ordinals)
	return len(places), translate(err)
}

func milliOr(t time.Time, absent int64) int64 {
	if t.IsZero() {
		return absent
	}
	return t.UnixMilli()
}

// Release gives back a claimed delivery for which no attempt was made.
func (s *Store) Release(d *carom.Delivery) {
	_, ref, _, err := d.ID.Place()
	l := s.lease.Load()
	if err != nil || d.Ticket != 0 || l == nil {
		return
	}
	key := claimKey{placeOf(ref), d.Ordinal}
	if !s.claims.has(d.Endpoint, key, d.Claimed) {
		return
	}
	s.claims.release(d.Endpoint, key, d.Claimed)
	s.letGo([]dueRow{{endpoint: d.Endpoint, place: key.place, ordinal: key.ordinal, node: int(l.no)}})
}

// letGo has the committer give rows back.
func (s *Store) letGo(rows []dueRow) {
	if len(rows) > 0 {
		s.returned.put(rows)
		s.queue.signal()
	}
}

// giveBack gives back at once what the endpoint's lane has let go of, for a claim that is to find it.
func (s *Store) giveBack(ctx context.Context, endpoint int) error {
	rows := s.returned.of(endpoint)
	if len(rows) == 0 {
		return nil
	}
	places, ordinals, nodes := make([]int64, len(rows)), make([]int32, len(rows)), make([]int32, len(rows))
	for i, row := range rows {
		places[i], ordinals[i], nodes[i] = row.place, int32(row.ordinal), int32(row.node)
	}
	if _, err := s.lanes.ExecContext(ctx, `UPDATE due d SET node = 0 FROM unnest($2::bigint[], $3::int[], $4::int[]) AS r (place, ordinal, node)
		WHERE d.endpoint = $1 AND d.place = r.place AND d.ordinal = r.ordinal AND d.node = r.node`, endpoint, places, ordinals, nodes); err != nil {
		s.returned.again(rows)
		s.queue.signal()
		return translate(err)
	}
	s.returned.done(rows)
	return nil
}

// NextDue returns when the endpoint's next waiting delivery is due after now; zero when none is.
func (s *Store) NextDue(ctx context.Context, endpoint int, now time.Time) (time.Time, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var ms int64
	err := s.lanes.QueryRowContext(ctx, `SELECT coalesce(min(due_at), 0) FROM due WHERE endpoint = $1 AND node = 0 AND due_at > $2`,
		endpoint, now.UnixMilli()).Scan(&ms)
	if err != nil || ms == 0 {
		return time.Time{}, translate(err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// Backlogs returns what waits in the due table, per endpoint that has something waiting.
func (s *Store) Backlogs(ctx context.Context) ([]carom.Backlog, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	rows, err := s.r.QueryContext(ctx, `SELECT endpoint, count(*), min(accepted_at), min(due_at) FROM due GROUP BY endpoint ORDER BY endpoint`)
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	var out []carom.Backlog
	for rows.Next() {
		var b carom.Backlog
		var oldest, due int64
		if err := rows.Scan(&b.Endpoint, &b.Waiting, &oldest, &due); err != nil {
			return nil, translate(err)
		}
		b.Oldest, b.NextDue = time.UnixMilli(oldest).UTC(), time.UnixMilli(due).UTC()
		out = append(out, b)
	}
	return out, translate(rows.Err())
}

// errGone says that an event's bucket is not kept any more.
var errGone = fmt.Errorf("its time bucket is gone: %w", carom.ErrNotFound)
