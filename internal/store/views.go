package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"carom"
)

// loadViews reads the key of the seal, making it at the first start, and which apps have ymids of their own.
func (s *Store) loadViews() error {
	var seal []byte
	if err := s.w.query(`SELECT value FROM secrets WHERE name = 'view_seal'`, func(v []driver.Value) error {
		seal = slices.Clone(v[0].([]byte))
		return nil
	}); err != nil {
		return err
	}
	if len(seal) == 0 {
		seal = make([]byte, len(s.viewSeal))
		_, _ = rand.Read(seal) // crypto/rand never fails
		if err := s.w.exec(`INSERT INTO secrets (name, value) VALUES ('view_seal', ?)`, seal); err != nil {
			return err
		}
	}
	if copy(s.viewSeal[:], seal) != len(s.viewSeal) {
		return fmt.Errorf("stored key of views: it has %d bytes: %w", len(seal), carom.ErrInvalid)
	}
	return s.w.query(`SELECT DISTINCT app FROM views WHERE own = 1`, func(v []driver.Value) error {
		s.ownYMIDs.Store(v[0].(string), nil)
		return nil
	})
}

// ViewSeal returns the key of this data folder's views.
func (s *Store) ViewSeal() carom.ViewSeal { return s.viewSeal }

const viewColumns = `no, life, app, user, ymid, placement, fixed, by_user, sources, opened_at, expires_at`

// OpenView stores a view and gives it its id and, if it has none of its own, its ymid. A view that a network without ids may
// confirm ends the user's earlier one. It returns carom.ErrConflict when the app has opened a view with this ymid before.
func (s *Store) OpenView(ctx context.Context, v *carom.View) error {
	made := *v
	own := made.YMID != ""
	err := s.control(ctx, func(w *writer) error {
		if own {
			twice, err := w.int64(`SELECT count(*) FROM views WHERE app = ? AND ymid = ? AND own = 1`, made.App, made.YMID)
			if err != nil {
				return err
			}
			if twice > 0 {
				return fmt.Errorf("a view with this ymid was opened before: give each showing an id of its own: %w", carom.ErrConflict)
			}
		}
		if made.ByUser {
			if err := w.exec(`UPDATE views SET expires_at = ?1 WHERE expires_at > ?1 AND
				no = (SELECT no FROM views WHERE app = ?2 AND user = ?3 AND by_user = 1 ORDER BY no DESC LIMIT 1)`,
				made.OpenedAt.UnixMilli(), made.App, made.User); err != nil {
				return err
			}
		}
		if err := w.exec(`INSERT INTO views (life, app, user, ymid, own, placement, fixed, by_user, sources, opened_at, expires_at)
			VALUES (?,?,?,?,?,?,?,?,?,?,?)`, int64(s.inc), made.App, made.User, made.YMID, truth(own), made.Placement, truth(made.Fixed),
			truth(made.ByUser), strings.Join(made.Sources, " "), made.OpenedAt.UnixMilli(), made.ExpiresAt.UnixMilli()); err != nil {
			return err
		}
		no, err := w.int64(`SELECT last_insert_rowid()`)
		if err != nil {
			return err
		}
		if made.ID = carom.NewOpenedViewID(s.inc, no); own {
			return nil
		}
		made.YMID = s.viewSeal.YMID(made.ID)
		return w.exec(`UPDATE views SET ymid = ? WHERE no = ?`, made.YMID, no)
	})
	if err != nil {
		return fmt.Errorf("open view: %w", err)
	}
	if *v = made; own {
		s.ownYMIDs.Store(v.App, nil)
	}
	return nil
}

// View returns an opened view. It returns carom.ErrNotFound when there is none, carom.ErrInvalid when id is not a view id.
func (s *Store) View(ctx context.Context, id carom.ViewID) (*carom.View, error) {
	_, no, _, err := id.Place()
	if err != nil {
		return nil, err
	}
	v, err := s.viewWhere(ctx, `no = ?`, no)
	if err == nil && v.ID != id {
		err = carom.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", id, err)
	}
	return v, nil
}

// ViewByYMID returns the view that the app opened with this ymid of its own, nil when there is none.
func (s *Store) ViewByYMID(ctx context.Context, app, ymid string) (*carom.View, error) {
	if _, some := s.ownYMIDs.Load(app); !some {
		return nil, nil
	}
	return orNone(s.viewWhere(ctx, `app = ? AND ymid = ? AND own = 1`, app, ymid))
}

// ViewOfUser returns the newest view of the user that a network without ids may confirm, nil when there is none.
func (s *Store) ViewOfUser(ctx context.Context, app, user string) (*carom.View, error) {
	return orNone(s.viewWhere(ctx, `app = ? AND user = ? AND by_user = 1 ORDER BY no DESC`, app, user))
}

func orNone(v *carom.View, err error) (*carom.View, error) {
	if errors.Is(err, carom.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func (s *Store) viewWhere(ctx context.Context, where string, args ...any) (*carom.View, error) {
	return scanView(s.lanes.QueryRowContext(ctx, `SELECT `+viewColumns+` FROM views WHERE `+where+` LIMIT 1`, args...).Scan)
}

// scanView reads a row of viewColumns.
func scanView(scan func(...any) error) (*carom.View, error) {
	var v carom.View
	var no, life, opened, expires int64
	var sources string
	if err := scan(&no, &life, &v.App, &v.User, &v.YMID, &v.Placement, &v.Fixed, &v.ByUser, &sources, &opened, &expires); err != nil {
		return nil, translate(err)
	}
	v.ID = carom.NewOpenedViewID(carom.Incarnation(life), no)
	v.Sources = strings.Fields(sources)
	v.OpenedAt, v.ExpiresAt = time.UnixMilli(opened).UTC(), time.UnixMilli(expires).UTC()
	return &v, nil
}

// ViewOutcome says what has become of an opened view.
func (s *Store) ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error) {
	out, err := s.confirmed(ctx, v)
	if err == nil && out.State == "" {
		out, err = s.unconfirmed(ctx, v)
	}
	if err == nil && out.State == carom.ViewConfirmed && out.Reward.User == "" { // it came in between, and its event tells only the id
		out, err = s.confirmed(ctx, v)
	}
	if err != nil {
		return carom.ViewOutcome{}, fmt.Errorf("view %s: %w", v.ID, err)
	}
	return out, nil
}

// confirmed is the outcome of a view that has a reward, and the zero one of any other.
func (s *Store) confirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	sum := v.Sum()
	numbers, err := s.findRewards(searchRewardView, string(sum[:]), math.MaxInt64, maxOfOneSum)
	if err != nil {
		return out, err
	}
	for _, no := range slices.Backward(numbers) { // the oldest first
		r, err := rewardByNumber(ctx, s.r, no)
		if err != nil {
			return out, err
		}
		if r.View == v.ID && (out.Reward == nil || !r.additional) {
			out.State, out.Reward = carom.ViewConfirmed, &r.Reward
			if !r.additional {
				break
			}
		}
	}
	return out, nil
}

// unconfirmed is the outcome of a view as its events tell it.
func (s *Store) unconfirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	searches := []carom.EventFilter{{YMID: v.YMID}}
	if v.ByUser { // some networks send the user as the ymid
		searches = append(searches, carom.EventFilter{User: v.User}, carom.EventFilter{YMID: v.User})
	}
	var events []*carom.Event
	for _, f := range searches {
		f.App, f.Since, f.Limit = v.App, v.OpenedAt, 50
		list, err := s.Events(ctx, f)
		if err != nil {
			return out, err
		}
		events = append(events, list...)
	}
	slices.SortFunc(events, func(x, y *carom.Event) int { return cmp.Compare(x.ID, y.ID) }) // the oldest first; twice is no harm
	for _, ev := range events {
		if ev.View == v.ID {
			out = out.After(ev)
		}
	}
	if out.State == "" || out.State == carom.ViewOpen {
		out.State = carom.ViewOpen
		if !s.opts.Clock().Before(v.ExpiresAt) {
			out.State = carom.ViewExpired
		}
	}
	return out, nil
}
