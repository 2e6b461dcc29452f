package postgres

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// Each postback might be of a view that its app has opened with a ymid of its own. Most apps leave the ymid to carom, and to ask the
// database for each of their postbacks costs as much as a third of all that a node does. So every node knows which apps open such
// views, and asks about no others. An app is made known to all nodes before its first such view is opened, which may take a second or two;
// with a node that has just died, as long as its lease lasts.

// ownYMIDs are the apps that open views with ymids of their own. It is not changed once it is made.
type ownYMIDs struct {
	version int64
	apps    map[string]bool // true: all nodes know of the app
}

// ViewByYMID returns the view that the app opened with this ymid of its own, nil when there is none.
func (s *Store) ViewByYMID(ctx context.Context, app, ymid string) (*carom.View, error) {
	// Only under a lease that stands do the others wait for this node to know of an app. What was made known before they could see
	// the lease, the first commit under it has seen; from then on there is a share, in the end.
	if l := s.lease.Load(); l != nil && l.valid() && l.share.Load() != nil {
		own, err := s.knownOwn(ctx)
		if err != nil {
			return nil, err
		}
		if _, some := own.apps[app]; !some {
			return nil, nil
		}
	}
	return s.Tables.ViewByYMID(ctx, app, ymid)
}

// OpenView stores a view and gives it its id and, if it has none of its own, its ymid. A view that a network without ids may
// confirm ends the user's earlier one. It returns carom.ErrConflict when the app has opened a view with this ymid before.
func (s *Store) OpenView(ctx context.Context, v *carom.View) error {
	if v.YMID != "" {
		own, err := s.knownOwn(ctx)
		if err == nil && !own.apps[v.App] {
			err = s.announceOwn(ctx, v.App)
		}
		if err != nil {
			return fmt.Errorf("open view: %w", err)
		}
	}
	return s.Tables.OpenView(ctx, v)
}

// knownOwn returns the apps with ymids of their own, as the last commit of this node saw them or later.
func (s *Store) knownOwn(ctx context.Context) (*ownYMIDs, error) {
	if own := s.own.Load(); own != nil && own.version >= s.ownVersion.Load() {
		return own, nil
	}
	own := &ownYMIDs{apps: map[string]bool{}}
	if err := readRows(ctx, s.lanes, func(scan func(...any) error) error {
		var app string
		var known bool
		err := scan(&app, &known, &own.version)
		if app != "" {
			own.apps[app] = known
		}
		return err
	}, `SELECT coalesce(o.app, ''), coalesce(o.known, 0) = 1, coalesce((SELECT value FROM meta WHERE key = 'own_ymids'), 0)
		FROM (SELECT 1) AS one LEFT JOIN own_ymids o ON true`); err != nil {
		return nil, fmt.Errorf("which apps have ymids of their own: %w", err)
	}
	s.own.Store(own) // should an older one overwrite a newer, it is read again
	return own, nil
}

// announceOwn returns when every node knows that the app opens views with ymids of its own.
func (s *Store) announceOwn(ctx context.Context, app string) error {
	var version int64
	if err := s.transact(ctx, func(tx *tx) error {
		n, err := tx.count(`INSERT INTO own_ymids (app, known) VALUES ($1, 0) ON CONFLICT (app) DO NOTHING`, app)
		if err == nil && n > 0 {
			err = tx.exec(`INSERT INTO meta (key, value) VALUES ('own_ymids', 1) ON CONFLICT (key) DO UPDATE SET value = meta.value + 1`)
		}
		if err != nil {
			return err
		}
		return tx.row(`SELECT coalesce((SELECT value FROM meta WHERE key = 'own_ymids'), 0)`, nil, &version)
	}); err != nil {
		return err
	}
	s.seeOwn(version)
	// The commit that is under way may have begun before: the one behind it knows.
	for range 2 {
		if err := s.whenOthersCommitted(ctx); err != nil {
			return err
		}
	}
	_, err := s.lanes.ExecContext(ctx, `UPDATE own_ymids SET known = 1 WHERE app = $1`, app)
	s.own.Store(nil)
	return translate(err)
}

// seeOwn takes note of a version. Versions never go back.
func (s *Store) seeOwn(version int64) {
	for old := s.ownVersion.Load(); version > old && !s.ownVersion.CompareAndSwap(old, version); old = s.ownVersion.Load() {
	}
}

// whenOthersCommitted returns when each other node has made a commit since it was called, or has lost its lease.
func (s *Store) whenOthersCommitted(ctx context.Context) error {
	var now int64
	if err := s.lanes.QueryRowContext(ctx, `SELECT `+nowMS).Scan(&now); err != nil {
		return translate(err)
	}
	for {
		l := s.lease.Load()
		if l == nil {
			return errNoLink
		}
		var some bool
		if err := s.lanes.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM nodes WHERE ended_at = 0 AND no <> $1 AND seen_at <= $2)`, int(l.no), now).Scan(&some); err != nil {
			return translate(err)
		}
		if !some {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all nodes know yet that the app has ymids of its own, try again (%w): %w", context.Cause(ctx), carom.ErrUnavailable)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
