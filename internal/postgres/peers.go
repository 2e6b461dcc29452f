package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"carom"
)

// share is a node's part of what all nodes do together.
type share struct{ nodes, rank int }

// Share says how many nodes there are and which of them this one is, from 0 on, as of its last commit, a second ago at most. The rank
// is below zero while the node has no share yet.
//
// A newcomer has none until all others have made a commit since they could see it, and so have shrunk theirs: about a second, and
// never longer than a lease lasts, after which one that is silent is a node no more. The first node of all has its share at once.
// When a node leaves or dies the others take over its share at their next commit, so for up to a second two of them may count the
// same place of an endpoint's concurrency as theirs; and what was under way when a share shrank is finished.
func (s *Store) Share() (nodes, rank int) {
	if l := s.lease.Load(); l != nil {
		if p := l.share.Load(); p != nil {
			return p.nodes, p.rank
		}
	}
	return 1, -1
}

// follow takes up who is there: at now, the database's time, the node with the given rank of so many. slowest is when the other that
// has been silent for the longest was last seen; 0 when there is no other.
func (l *lease) follow(now int64, nodes, rank int, slowest int64) {
	if l.since == 0 {
		l.since = now
	}
	old := l.share.Load()
	if old == nil && nodes > 1 && slowest <= l.since {
		rank = -1
	}
	if p := (share{nodes, rank}); rank >= 0 && (old == nil || *old != p) {
		l.share.Store(&p)
	}
}

// Holds says whether this node may act for a delivery: nobody else does, and nobody will before the node's lease ends. A lane asks
// right before each attempt. It looks into memory only.
func (s *Store) Holds(d *carom.Delivery) carom.Hold {
	l := s.lease.Load()
	_, ref, _, err := d.ID.Place()
	switch {
	case l == nil || err != nil || !s.has(l, d, ref):
		return carom.HoldLost
	case !l.valid():
		return carom.HoldUnsure
	}
	return carom.HoldSure
}

// Pace reserves n consecutive turns of an endpoint's rate, which is per second and that of all nodes together. The first turn may be
// used that long from now, the others follow at the rate. It returns carom.ErrUnavailable when the database does not answer.
func (s *Store) Pace(ctx context.Context, endpoint int, rate float64, n int) (first time.Duration, err error) {
	taken := int64(math.Ceil(float64(n) / rate * 1e6))
	// Nodes reserve about a fifth of a second ahead, or one turn. What is further ahead than all of them together would reserve twice
	// over is left from a lower rate, or from before the database's clock was set back.
	nodes, _ := s.Share()
	most := int64(float64(4*(nodes+1)) * math.Max(1e6/rate, 2e5))
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	var us int64
	if err := s.lanes.QueryRowContext(ctx, `INSERT INTO paces AS p (endpoint, next_us) VALUES ($1, `+nowUS+` + $2)
		ON CONFLICT (endpoint) DO UPDATE SET next_us = greatest(least(p.next_us, `+nowUS+` + $3), `+nowUS+`) + $2
		RETURNING next_us - $2 - `+nowUS, endpoint, taken, most).Scan(&us); err != nil {
		return 0, fmt.Errorf("reserve turns of endpoint %d: %w", endpoint, translate(err))
	}
	return max(0, time.Duration(us)*time.Microsecond), nil
}

// nowUS is the database's clock, in microseconds.
const nowUS = `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)`

// DueEndpoints returns the numbers of the endpoints for which something waits that is due now and in nobody's hands, whoever
// put it there: lanes of all nodes ask every second or so.
func (s *Store) DueEndpoints(ctx context.Context) ([]int, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	// One look into the index for each endpoint, however much waits.
	return s.numbers(ctx, `WITH RECURSIVE e (no) AS (SELECT min(endpoint) FROM due WHERE node = 0
		UNION ALL SELECT (SELECT min(endpoint) FROM due WHERE node = 0 AND endpoint > no) FROM e WHERE no IS NOT NULL)
		SELECT no FROM e WHERE no IS NOT NULL AND EXISTS (SELECT 1 FROM due WHERE node = 0 AND endpoint = no AND due_at <= $1)`, s.Now().UnixMilli())
}

// Breakers returns when the endpoints whose breaker is open opened it, on any node.
func (s *Store) Breakers(ctx context.Context) (map[int]time.Time, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.Tables.Breakers(ctx)
}

// SetBreaker notes that an endpoint's breaker was opened; zero closes it.
func (s *Store) SetBreaker(ctx context.Context, endpoint int, openedAt time.Time) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.Tables.SetBreaker(ctx, endpoint, openedAt)
}
