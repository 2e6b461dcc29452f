package tables

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"carom"
	"carom/internal/pgtest"
)

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// place is a database with the plain tables, for one test.
type place struct {
	*Tables
	db      *sql.DB
	rewrite func(string) string // of a query, for its driver
	now     time.Time           // what its clock says
}

// QueryContext implements Reader.
func (p *place) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return p.db.QueryContext(ctx, p.rewrite(query), args...)
}

// QueryRowContext implements Reader.
func (p *place) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p.db.QueryRowContext(ctx, p.rewrite(query), args...)
}

// write runs f in a transaction.
func (p *place) write(ctx context.Context, f func(Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(&placeTx{ctx, tx, p.rewrite}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// again makes tables of the same database, as another process would.
func (p *place) again(t *testing.T, alone bool) *Tables {
	t.Helper()
	made := New(Options{
		Read: p, Lanes: p, Write: p.write, Translate: kindOf, Life: func() carom.Incarnation { return 7 }, Clock: func() time.Time { return p.now },
		RefOf: func(n int64) carom.Ref { return carom.RefOf(uint64(n)) }, Alone: alone,
	})
	if err := errors.Join(made.LoadKeys(t.Context()), p.write(t.Context(), made.LoadViews)); err != nil {
		t.Fatalf("load: %v", err)
	}
	return made
}

// placeTx is a transaction through database/sql.
type placeTx struct {
	ctx     context.Context
	tx      *sql.Tx
	rewrite func(string) string
}

func (x *placeTx) Exec(query string, args ...any) error {
	_, err := x.ExecCount(query, args...)
	return err
}

func (x *placeTx) ExecCount(query string, args ...any) (int64, error) {
	result, err := x.tx.ExecContext(x.ctx, x.rewrite(query), args...)
	if err != nil {
		return 0, kindOf(err)
	}
	return result.RowsAffected()
}

func (x *placeTx) Query(query string, row func([]driver.Value) error, args ...any) error {
	rows, err := x.tx.QueryContext(x.ctx, x.rewrite(query), args...)
	if err != nil {
		return kindOf(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([]driver.Value, len(columns)), make([]any, len(columns))
	for rows.Next() {
		for i := range to {
			to[i] = new(any)
		}
		if err := rows.Scan(to...); err != nil {
			return err
		}
		for i := range to {
			switch v := (*to[i].(*any)).(type) {
			case nil, int64, string, []byte:
				values[i] = v
			default:
				return fmt.Errorf("column %s holds a %T: cast it", columns[i], v)
			}
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return kindOf(rows.Err())
}

func (x *placeTx) Int64(query string, args ...any) (int64, error) {
	var n int64
	err := x.Query(query, func(v []driver.Value) error {
		n, _ = v[0].(int64)
		return nil
	}, args...)
	return n, err
}

// kindOf gives an error of either driver its kind.
func kindOf(err error) error {
	var ofSQLite *sqlite.Error
	var ofPostgres *pgconn.PgError
	const uniqueViolation = "23505"
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %w", carom.ErrNotFound, err)
	case errors.As(err, &ofSQLite) && ofSQLite.Code()&0xff == sqlite3.SQLITE_CONSTRAINT, errors.As(err, &ofPostgres) && ofPostgres.Code == uniqueViolation:
		return fmt.Errorf("%w: %w", carom.ErrConflict, err)
	}
	return err
}

// onEach runs test on every database that there is.
func onEach(t *testing.T, test func(t *testing.T, p *place)) {
	for name, open := range map[string]func(*testing.T) *place{"sqlite": openSQLite, "postgres": openPostgres} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			p.now = noon
			p.Tables = p.again(t, true)
			test(t, p)
		})
	}
}

// schema is the store's, one text for each migration.
func schema(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../store/migrations/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatalf("the store's migrations: %v, %v", paths, err)
	}
	var all []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

func openSQLite(t *testing.T) *place {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "plain.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, text := range schema(t) {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	return &place{db: db, rewrite: func(query string) string { return query }}
}

// openPostgres makes the same tables in a database of their own.
func openPostgres(t *testing.T) *place {
	db, err := sql.Open("pgx", pgtest.Server(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, text := range schema(t) {
		if _, err := db.ExecContext(t.Context(), forPostgres(text)); err != nil {
			t.Fatal(err)
		}
	}
	return &place{db: db, rewrite: Numbered}
}

// forPostgres writes the schema of SQLite as PostgreSQL would have it: the same columns, with matching types.
func forPostgres(text string) string {
	for _, r := range []struct{ from, to string }{
		{`INTEGER PRIMARY KEY AUTOINCREMENT`, `INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY`},
		{` WITHOUT ROWID`, ``}, {`\bINTEGER\b`, `BIGINT`}, {`\bBLOB\b`, `BYTEA`}, {`\bTEXT\b`, `TEXT COLLATE "C"`}, {`\buser\b`, `"user"`},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, r.to)
	}
	return text
}
