package tables

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"carom"
)

// quarterOf is the quarter of an hour that holds t, counted from 1970.
func quarterOf(t time.Time) int64 {
	const seconds = carom.QuarterMinutes * 60
	q := t.Unix() / seconds
	if t.Unix()%seconds < 0 {
		q--
	}
	return q
}

// QuarterCounts calls each for every count that f selects, the oldest quarter first. What each gets is used again for the next.
func (t *Tables) QuarterCounts(ctx context.Context, f carom.QuarterFilter, each func(*carom.QuarterCount) error) error {
	// The statement leaves out the conditions that let all through: they cost more than reading a row.
	where, args := "quarter >= ? AND quarter < ?", []any{quarterOf(f.From), quarterOf(f.To)}
	for _, c := range []struct{ column, value string }{{"app", f.App}, {"source", f.Source}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	var c carom.QuarterCount
	var quarter int64
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		if err := scan(&quarter, &c.App, &c.Source, &c.Zone, &c.EventType, &c.Value, &c.Outcome, &c.N, &c.Units, &c.Nanos); err != nil {
			return err
		}
		c.At = time.Unix(quarter*carom.QuarterMinutes*60, 0).UTC()
		return each(&c)
	}, `SELECT quarter, app, source, zone_id, event_type, value, outcome, n, price_units, price_nanos FROM quarter_counts WHERE `+where+` ORDER BY quarter`, args...)
	if err != nil {
		return fmt.Errorf("counts by the quarter: %w", err)
	}
	return nil
}

// OpenedViews counts the views that each app opened, or the one app that is not empty, from every bound up to the next. Views
// are kept for 90 days after they expired.
func (t *Tables) OpenedViews(ctx context.Context, app string, bounds []time.Time) ([]map[string]int64, error) {
	if len(bounds) < 2 {
		return nil, nil
	}
	numbers := make([]int64, len(bounds))
	for i, at := range bounds {
		var err error
		if numbers[i], err = t.firstView(ctx, at); err != nil {
			return nil, fmt.Errorf("count opened views: %w", err)
		}
	}
	out := make([]map[string]int64, len(bounds)-1)
	for i := range out {
		out[i] = map[string]int64{}
		if err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
			var name string
			var n int64
			if err := scan(&name, &n); err != nil {
				return err
			}
			out[i][name] = n
			return nil
		}, `SELECT app, count(*) FROM views WHERE no >= ?1 AND no < ?2 AND (?3 = '' OR app = ?3) GROUP BY app`, numbers[i], numbers[i+1], app); err != nil {
			return nil, fmt.Errorf("count opened views: %w", err)
		}
	}
	return out, nil
}

// firstView is the number of the first view that was opened at a moment or later. Views lie in the order in which they were
// opened, so it is found in a few steps.
func (t *Tables) firstView(ctx context.Context, at time.Time) (int64, error) {
	var low, high sql.NullInt64
	if err := t.o.Read.QueryRowContext(ctx, `SELECT min(no), max(no) + 1 FROM views`).Scan(&low, &high); err != nil || !low.Valid {
		return 0, t.o.Translate(err)
	}
	from, to := low.Int64, high.Int64
	for from < to {
		middle := from + (to-from)/2
		var no, opened int64
		if err := t.o.Read.QueryRowContext(ctx, `SELECT no, opened_at FROM views WHERE no >= ? ORDER BY no LIMIT 1`, middle).Scan(&no, &opened); err != nil {
			return 0, t.o.Translate(err)
		}
		if opened < at.UnixMilli() {
			from = no + 1
		} else {
			to = middle
		}
	}
	return from, nil
}

const statementColumns = `no, life, at, by, app, source, file, sha256, reading, map, currency, day_zone, first, last, rows, notes`

// AddStatement keeps a statement with its rows, and gives it its id. A file that was imported for the source before and is read
// in the same way is not kept again: again is true then, and made is the earlier one.
func (t *Tables) AddStatement(ctx context.Context, st carom.Statement, rows []carom.StatementRow) (made carom.Statement, again bool, err error) {
	notes, err := json.Marshal(st.Notes)
	if err != nil {
		return made, false, fmt.Errorf("add statement: %w", err)
	}
	err = t.o.Write(ctx, func(tx Tx) error {
		var no, life int64
		if err := tx.Query(`SELECT no, life FROM statements WHERE app = ? AND source = ? AND sha256 = ? AND reading = ?`, func(v []driver.Value) error {
			no, life = v[0].(int64), v[1].(int64)
			return nil
		}, st.App, st.Source, st.SHA256, st.Reading); err != nil {
			return err
		}
		if again = no > 0; again {
			st.ID = carom.NewStatementID(carom.Incarnation(life), no)
			return nil
		}
		now := t.o.Life()
		no, err := tx.Int64(`INSERT INTO statements (life, at, by, app, source, file, sha256, reading, map, currency, day_zone, first, last, rows, notes)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING no`, int64(now), st.At.UnixMilli(), st.By, st.App, st.Source, st.File, st.SHA256, st.Reading,
			st.Map, st.Currency, st.DayZone, st.From, st.To, int64(len(rows)), string(notes))
		if err != nil {
			return err
		}
		st.ID = carom.NewStatementID(now, no)
		return insertStatementRows(tx, no, rows)
	})
	if err != nil {
		return made, false, fmt.Errorf("add statement: %w", err)
	}
	if made, err = t.statement(ctx, st.ID); err != nil {
		return made, false, fmt.Errorf("add statement: %w", err)
	}
	return made, again, nil
}

// statementSlice is how many rows one statement of SQL inserts.
const statementSlice = 100

func insertStatementRows(tx Tx, no int64, rows []carom.StatementRow) error {
	orNull := func(n *int64) any {
		if n == nil {
			return nil
		}
		return *n
	}
	for slice := range slices.Chunk(rows, statementSlice) {
		var args []any
		for i := range slice {
			r := &slice[i]
			var revenue any
			if r.Revenue.Set {
				revenue = int64(r.Revenue.Nanos)
			}
			args = append(args, no, r.Day, r.Zone, r.SubZone, orNull(r.Impressions), orNull(r.Clicks), orNull(r.Valued), revenue)
		}
		if err := tx.Exec(`INSERT INTO statement_rows (statement, day, zone_id, sub_zone_id, impressions, clicks, valued, revenue) VALUES `+
			rowsOf(8, len(slice)), args...); err != nil {
			return err
		}
	}
	return nil
}

// Statements returns the statements that f selects, newest first, without their rows.
func (t *Tables) Statements(ctx context.Context, f carom.StatementFilter) ([]carom.Statement, error) {
	list, err := t.statementsWhere(ctx, `(?1 = '' OR app = ?1) AND (?2 = '' OR source = ?2) ORDER BY no DESC LIMIT ?3`, f.App, f.Source, PageSize(f.Limit))
	if err != nil {
		return nil, fmt.Errorf("list statements: %w", err)
	}
	return list, nil
}

// Statement returns a statement with its rows, by day. It returns carom.ErrNotFound when there is none, carom.ErrInvalid when id
// is not the id of one.
func (t *Tables) Statement(ctx context.Context, id carom.StatementID) (carom.Statement, []carom.StatementRow, error) {
	st, err := t.statement(ctx, id)
	if err != nil {
		return carom.Statement{}, nil, fmt.Errorf("statement %s: %w", id, err)
	}
	_, no, err := id.Number()
	if err != nil {
		return carom.Statement{}, nil, err
	}
	rows, err := t.statementRows(ctx, `statement = ? ORDER BY day, zone_id, sub_zone_id`, no)
	if err != nil {
		return carom.Statement{}, nil, fmt.Errorf("statement %s: %w", id, err)
	}
	return st, rows, nil
}

func (t *Tables) statement(ctx context.Context, id carom.StatementID) (carom.Statement, error) {
	_, no, err := id.Number()
	if err != nil {
		return carom.Statement{}, err
	}
	list, err := t.statementsWhere(ctx, `no = ?`, no)
	if err != nil {
		return carom.Statement{}, err
	}
	if len(list) == 0 || list[0].ID != id {
		return carom.Statement{}, carom.ErrNotFound
	}
	return list[0], nil
}

func (t *Tables) statementsWhere(ctx context.Context, where string, args ...any) ([]carom.Statement, error) {
	var out []carom.Statement
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var st carom.Statement
		var no, life, at int64
		var notes string
		if err := scan(&no, &life, &at, &st.By, &st.App, &st.Source, &st.File, &st.SHA256, &st.Reading, &st.Map, &st.Currency, &st.DayZone,
			&st.From, &st.To, &st.Rows, &notes); err != nil {
			return err
		}
		st.ID, st.At = carom.NewStatementID(carom.Incarnation(life), no), time.UnixMilli(at).UTC()
		out = append(out, st)
		return json.Unmarshal([]byte(notes), &out[len(out)-1].Notes)
	}, `SELECT `+statementColumns+` FROM statements WHERE `+where, args...)
	return out, err
}

func (t *Tables) statementRows(ctx context.Context, where string, args ...any) ([]carom.StatementRow, error) {
	var out []carom.StatementRow
	orNil := func(n sql.NullInt64) *int64 {
		if !n.Valid {
			return nil
		}
		return &n.Int64
	}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var r carom.StatementRow
		var impressions, clicks, valued, revenue sql.NullInt64
		if err := scan(&r.Day, &r.Zone, &r.SubZone, &impressions, &clicks, &valued, &revenue); err != nil {
			return err
		}
		r.Impressions, r.Clicks, r.Valued = orNil(impressions), orNil(clicks), orNil(valued)
		r.Revenue = carom.Price{Nanos: carom.Nanos(revenue.Int64), Set: revenue.Valid}
		out = append(out, r)
		return nil
	}, `SELECT day, zone_id, sub_zone_id, impressions, clicks, valued, revenue FROM statement_rows WHERE `+where, args...)
	return out, err
}

// StatedDays returns what the network says of the days from first to last, both included, for a source: of each day the rows of
// the latest statement that names it, with the statements that they come from, oldest first. Empty bounds are open.
func (t *Tables) StatedDays(ctx context.Context, app, source, first, last string) ([]carom.Statement, map[string][]carom.StatementRow, error) {
	latest := map[int64][]string{}
	err := t.readRows(ctx, t.o.Read, func(scan func(...any) error) error {
		var day string
		var no int64
		if err := scan(&day, &no); err != nil {
			return err
		}
		latest[no] = append(latest[no], day)
		return nil
	}, `SELECT r.day, max(r.statement) FROM statements s JOIN statement_rows r ON r.statement = s.no
		WHERE s.app = ?1 AND s.source = ?2 AND (?3 = '' OR r.day >= ?3) AND (?4 = '' OR r.day <= ?4) GROUP BY r.day`, app, source, first, last)
	if err != nil {
		return nil, nil, fmt.Errorf("stated days: %w", err)
	}
	var used []carom.Statement
	days := map[string][]carom.StatementRow{}
	for _, no := range slices.Sorted(maps.Keys(latest)) {
		list, err := t.statementsWhere(ctx, `no = ?`, no)
		if err == nil {
			used = append(used, list...)
			var rows []carom.StatementRow
			rows, err = t.statementRows(ctx, `statement = ? ORDER BY day, zone_id, sub_zone_id`, no)
			for _, r := range rows {
				if slices.Contains(latest[no], r.Day) {
					days[r.Day] = append(days[r.Day], r)
				}
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("stated days: %w", err)
		}
	}
	return used, days, nil
}
