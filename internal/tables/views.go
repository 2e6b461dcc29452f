package tables

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"carom"
)

// LoadViews reads the key of the seal, making it at the first start, and which apps have ymids of their own, where nobody else
// opens views.
func (t *Tables) LoadViews(tx Tx) error {
	made := make([]byte, len(t.viewSeal))
	_, _ = rand.Read(made) // crypto/rand never fails
	if err := tx.Exec(`INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, viewSealName, t.o.Keys.Seal(viewSealPlace, made)); err != nil {
		return err
	}
	stored, err := storedViewSeal(tx)
	if err != nil {
		return err
	}
	key, err := OpenViewSeal(t.o.Keys, stored)
	if err != nil {
		return err
	}
	t.viewSeal = key
	if !t.o.Alone {
		return nil
	}
	return tx.Query(`SELECT DISTINCT app FROM views WHERE own = 1`, func(v []driver.Value) error {
		t.ownYMIDs.Store(v[0].(string), nil)
		return nil
	})
}

// ViewSeal returns the key of this database's views.
func (t *Tables) ViewSeal() carom.ViewSeal { return t.viewSeal }

const viewColumns = `no, life, app, "user", ymid, placement, fixed, by_user, sources, opened_at, expires_at`

// OpenView stores a view and gives it its id and, if it has none of its own, its ymid. A view that a network without ids may
// confirm ends the user's earlier one. It returns carom.ErrConflict when the app has opened a view with this ymid before.
func (t *Tables) OpenView(ctx context.Context, v *carom.View) error {
	own := v.YMID != ""
	var made carom.View
	if err := t.o.Write(ctx, func(tx Tx) error {
		made = *v
		return t.openView(tx, &made, own)
	}); err != nil {
		return fmt.Errorf("open view: %w", err)
	}
	if *v = made; own && t.o.Alone {
		t.ownYMIDs.Store(v.App, nil)
	}
	return nil
}

func (t *Tables) openView(tx Tx, v *carom.View, own bool) error {
	if own {
		twice, err := tx.Int64(`SELECT count(*) FROM views WHERE app = ? AND ymid = ? AND own = 1`, v.App, v.YMID)
		if err != nil {
			return err
		}
		if twice > 0 {
			return fmt.Errorf("a view with this ymid was opened before: give each showing an id of its own: %w", carom.ErrConflict)
		}
	}
	if v.ByUser {
		if err := tx.Exec(`UPDATE views SET expires_at = ?1 WHERE expires_at > ?1 AND
			no = (SELECT no FROM views WHERE app = ?2 AND "user" = ?3 AND by_user = 1 ORDER BY no DESC LIMIT 1)`,
			v.OpenedAt.UnixMilli(), v.App, v.User); err != nil {
			return err
		}
	}
	life := t.o.Life()
	no, err := tx.Int64(`INSERT INTO views (life, app, "user", ymid, own, placement, fixed, by_user, sources, opened_at, expires_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) RETURNING no`, int64(life), v.App, v.User, v.YMID, Truth(own), v.Placement, Truth(v.Fixed),
		Truth(v.ByUser), strings.Join(v.Sources, " "), v.OpenedAt.UnixMilli(), v.ExpiresAt.UnixMilli())
	if err != nil {
		return err
	}
	if v.ID = carom.NewOpenedViewID(life, no); own {
		return nil
	}
	v.YMID = t.viewSeal.YMID(v.ID)
	return tx.Exec(`UPDATE views SET ymid = ? WHERE no = ?`, v.YMID, no)
}

// View returns an opened view. It returns carom.ErrNotFound when there is none, carom.ErrInvalid when id is not a view id.
func (t *Tables) View(ctx context.Context, id carom.ViewID) (*carom.View, error) {
	_, no, _, err := id.Place()
	if err != nil {
		return nil, err
	}
	v, err := t.viewWhere(ctx, `no = ?`, no)
	if err == nil && v.ID != id {
		err = carom.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", id, err)
	}
	return v, nil
}

// ViewByYMID returns the view that the app opened with this ymid of its own, nil when there is none.
func (t *Tables) ViewByYMID(ctx context.Context, app, ymid string) (*carom.View, error) {
	if _, some := t.ownYMIDs.Load(app); !some && t.o.Alone {
		return nil, nil
	}
	return orNone(t.viewWhere(ctx, `app = ? AND ymid = ? AND own = 1`, app, ymid))
}

// ViewOfUser returns the newest view of the user that a network without ids may confirm, nil when there is none.
func (t *Tables) ViewOfUser(ctx context.Context, app, user string) (*carom.View, error) {
	return orNone(t.viewWhere(ctx, `app = ? AND "user" = ? AND by_user = 1 ORDER BY no DESC`, app, user))
}

func orNone(v *carom.View, err error) (*carom.View, error) {
	if errors.Is(err, carom.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

func (t *Tables) viewWhere(ctx context.Context, where string, args ...any) (*carom.View, error) {
	v, err := scanView(t.o.Lanes.QueryRowContext(ctx, `SELECT `+viewColumns+` FROM views WHERE `+where+` LIMIT 1`, args...).Scan)
	return v, t.o.Translate(err)
}

// ViewsOf returns the views of a user of an app, newest first.
func (t *Tables) ViewsOf(ctx context.Context, app, user string) ([]*carom.View, error) {
	var all []*carom.View
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		v, err := scanView(scan)
		all = append(all, v)
		return err
	}, `SELECT `+viewColumns+` FROM views WHERE app = ? AND "user" = ? ORDER BY no DESC`, app, user)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Bounds of one page of views that are looked for.
const (
	viewScan  = 40_000
	viewChunk = 5_000
)

// Views returns the opened views that f selects, newest first. It looks at so many and no more: a page may be shorter than the limit,
// even empty, and yet have a next, which is where to go on. It returns carom.ErrInvalid when the cursor is not the id of an opened view.
func (t *Tables) Views(ctx context.Context, f carom.ViewFilter) (list []*carom.View, next carom.ViewID, err error) {
	if id, sealed := t.viewSeal.ViewOf(f.YMID); sealed { // which says where it is
		return t.viewOfYMID(ctx, id, f)
	}
	from, end, err := t.viewSpan(ctx, f)
	if err != nil {
		return nil, "", fmt.Errorf("list views: %w", err)
	}
	where, args := "no >= ? AND no < ?", []any{}
	for _, c := range []struct{ column, value string }{{"app", f.App}, {`"user"`, f.User}, {"ymid", f.YMID}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	limit := PageSize(f.Limit)
	for left := viewScan; end > from; left -= viewChunk {
		begin := max(from, end-viewChunk)
		if left <= 0 {
			return list, carom.NewOpenedViewID(t.o.Life(), end), nil
		}
		if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			v, err := scanView(scan)
			list = append(list, v)
			return err
		}, `SELECT `+viewColumns+` FROM views WHERE `+where+` ORDER BY no DESC LIMIT ?`, append(append([]any{begin, end}, args...), limit-len(list))...); err != nil {
			return nil, "", fmt.Errorf("list views: %w", err)
		}
		if len(list) >= limit {
			return list, list[len(list)-1].ID, nil
		}
		end = begin
	}
	return list, "", nil
}

// viewOfYMID is the page of the one view that has a ymid, if f selects it.
func (t *Tables) viewOfYMID(ctx context.Context, id carom.ViewID, f carom.ViewFilter) ([]*carom.View, carom.ViewID, error) {
	v, err := orNone(t.View(ctx, id))
	if err != nil || v == nil || f.App != "" && v.App != f.App || f.User != "" && v.User != f.User || f.Before != "" ||
		v.OpenedAt.Before(f.From) || !f.To.IsZero() && !v.OpenedAt.Before(f.To) {
		return nil, "", err
	}
	return []*carom.View{v}, "", nil
}

// viewSpan is from which number on, and before which, views lie that f selects by its times and its cursor.
func (t *Tables) viewSpan(ctx context.Context, f carom.ViewFilter) (from, end int64, err error) {
	var newest sql.NullInt64
	if err := t.o.Read.QueryRowContext(ctx, `SELECT max(no) + 1 FROM views`).Scan(&newest); err != nil {
		return 0, 0, t.o.Translate(err)
	}
	from, end = 1, newest.Int64
	if f.Before != "" {
		_, no, _, err := f.Before.Place()
		if err == nil && no == 0 {
			err = carom.Invalid("before", "%q is not the id of a view that was opened", f.Before)
		}
		if err != nil {
			return 0, 0, err
		}
		end = min(end, no)
	}
	if !f.To.IsZero() {
		no, err := t.firstView(ctx, f.To)
		if err != nil {
			return 0, 0, err
		}
		end = min(end, no)
	}
	if !f.From.IsZero() {
		from, err = t.firstView(ctx, f.From)
	}
	return from, end, err
}

// scanView reads a row of viewColumns.
func scanView(scan func(...any) error) (*carom.View, error) {
	var v carom.View
	var no, life, opened, expires int64
	var sources string
	if err := scan(&no, &life, &v.App, &v.User, &v.YMID, &v.Placement, &v.Fixed, &v.ByUser, &sources, &opened, &expires); err != nil {
		return nil, err
	}
	v.ID = carom.NewOpenedViewID(carom.Incarnation(life), no)
	v.Sources = strings.Fields(sources)
	v.OpenedAt, v.ExpiresAt = time.UnixMilli(opened).UTC(), time.UnixMilli(expires).UTC()
	return &v, nil
}

// DropViews deletes what expired before a moment, in slices. Views whose ymid the app chose are kept for ever.
func (t *Tables) DropViews(ctx context.Context, before time.Time) error {
	for from, more := int64(0), true; more; {
		next := from
		if err := t.o.Write(ctx, func(tx Tx) error {
			last, err := tx.Int64(`SELECT max(no) FROM (SELECT no FROM views WHERE no > ? ORDER BY no LIMIT ?) AS slice`, from, int64(PruneSlice))
			if err != nil {
				return err
			}
			young, err := tx.Int64(`SELECT count(*) FROM views WHERE no > ? AND no <= ? AND expires_at >= ?`, from, last, before.UnixMilli())
			if err != nil {
				return err
			}
			// Views lie in the order in which they were opened: behind a slice with young ones there are hardly any old ones.
			more, next = last > from && young == 0, last
			return tx.Exec(`DELETE FROM views WHERE no > ? AND no <= ? AND own = 0 AND expires_at < ?`, from, last, before.UnixMilli())
		}); err != nil {
			return err
		}
		from = next
	}
	return nil
}
