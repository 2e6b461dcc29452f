package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carom"
)

// silentAfter is how long a node may show no sign of life before people are told: it commits every second.
const silentAfter = 4 * time.Second

// keepNodes is for how long nodes whose lease has ended are listed.
const keepNodes = 24 * time.Hour

// Nodes returns the nodes that work on the database, and those whose lease ended within the last day, newest first.
func (s *Store) Nodes(ctx context.Context) ([]carom.Node, error) {
	rows, err := s.r.QueryContext(ctx, `SELECT n.no, n.name, n.version, n.schema, n.began_at, n.seen_at, n.ended_at, n.taken_at, n.events, n.attempts, n.ahead_ms,
		(SELECT count(*) FROM due WHERE node = n.no AND node <> 0), coalesce((SELECT string_agg(d.name, ' ' ORDER BY d.name) FROM duties d WHERE d.node = n.no), ''), `+nowMS+`
		FROM nodes n WHERE n.ended_at = 0 OR n.taken_at = 0 OR n.ended_at > `+nowMS+` - $1 ORDER BY n.began_at DESC, n.no DESC`, keepNodes.Milliseconds())
	if err != nil {
		return nil, translate(err)
	}
	defer rows.Close()
	self := s.lease.Load()
	var out []carom.Node
	for rows.Next() {
		var n carom.Node
		var began, seen, ended, taken, now int64
		var duties string
		if err := rows.Scan(&n.No, &n.Name, &n.Version, &n.Schema, &began, &seen, &ended, &taken, &n.Events, &n.Attempts, &n.ClockAheadMS, &n.Claimed, &duties, &now); err != nil {
			return nil, translate(err)
		}
		n.Began, n.Seen, n.Duties = time.UnixMilli(began).UTC(), time.UnixMilli(seen).UTC(), append([]string{}, strings.Fields(duties)...)
		n.Self = self != nil && n.No == int(self.no)
		switch {
		case ended > 0 && taken == 0:
			n.State, n.Ended = carom.NodeLeft, time.UnixMilli(ended).UTC()
		case ended > 0:
			n.State, n.Ended = carom.NodeEnded, time.UnixMilli(ended).UTC()
		case now-seen > silentAfter.Milliseconds():
			n.State = carom.NodeSilent
		default:
			n.State = carom.NodeAlive
		}
		out = append(out, n)
	}
	return out, translate(rows.Err())
}

// identify keeps two deployments from working on one database by mistake: it belongs to the one that used it first.
func (s *Store) identify(ctx context.Context) error {
	mine := s.opts.Deployment
	return s.transact(ctx, func(tx *tx) error {
		if err := refuseHalfMoved(tx); err != nil {
			return err
		}
		if err := tx.exec(`INSERT INTO secrets (name, value) VALUES ('deployment', $1) ON CONFLICT (name) DO NOTHING`, []byte(mine)); err != nil {
			return err
		}
		var owner []byte
		if err := tx.row(`SELECT value FROM secrets WHERE name = 'deployment'`, nil, &owner); err != nil {
			return err
		}
		if string(owner) != mine {
			return fmt.Errorf("this database belongs to the deployment %q, and this node is of %q: give each deployment a database of its own; if it was renamed or copied on purpose, run `carom nodes adopt`: %w",
				owner, mine, carom.ErrConflict)
		}
		return nil
	})
}

// Migrate makes the tables of a database, or brings them up to date, as a node does when it starts.
func Migrate(ctx context.Context, url string) (err error) {
	s, err := aside(ctx, Options{URL: url})
	if err != nil {
		return err
	}
	if err := errors.Join(s.migrate(ctx), s.Close()); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// Adopt makes a database that of another deployment, such as a copy of one, and returns the name of the one that it belonged to, and of
// the one that it belongs to now: "carom" for an empty one. It returns carom.ErrConflict while nodes work on it, and carom.ErrInvalid for
// what is no database of carom.
func Adopt(ctx context.Context, url, deployment string) (was, is string, err error) {
	s, err := aside(ctx, Options{URL: url, Deployment: deployment})
	if err != nil {
		return "", "", err
	}
	defer func() { _ = s.Close() }() // the error of the change says more
	err = s.transact(ctx, func(tx *tx) error {
		have, err := schemaOf(tx)
		if err != nil {
			return err
		}
		if have == 0 {
			return fmt.Errorf("there are no tables of carom in this database: %w", carom.ErrInvalid)
		}
		alive := 0
		if err := tx.row(`SELECT count(*) FROM nodes WHERE ended_at = 0 AND seen_at > `+nowMS+` - $1`, []any{s.opts.leaseTime.Milliseconds()}, &alive); err != nil {
			return err
		}
		if alive > 0 {
			return fmt.Errorf("%d nodes work on this database: stop them first: %w", alive, carom.ErrConflict)
		}
		var owner []byte
		if err := tx.row(`SELECT coalesce((SELECT value FROM secrets WHERE name = 'deployment'), '')`, nil, &owner); err != nil {
			return err // empty: no node has worked on it yet
		}
		was = string(owner)
		return tx.exec(`INSERT INTO secrets (name, value) VALUES ('deployment', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, []byte(s.opts.Deployment))
	})
	if err != nil {
		return "", "", fmt.Errorf("adopt the database: %w", err)
	}
	return was, s.opts.Deployment, nil
}

// aside connects to a database without working on it: it takes no lease. The caller closes it.
func aside(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{opts: opts.withDefaults(), dialed: make(chan dialed, 1)}
	s.log, s.clock.machine = s.opts.Log, s.opts.machine
	s.queue.init(1)
	var err error
	if s.config, err = parseURL(opts.URL); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		_ = s.Close() // the first error says more
		return nil, explain(s.config, err)
	}
	return s, nil
}
