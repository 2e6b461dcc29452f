package receiver_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"carom/receiver"
)

// recorder is a driver that notes the statements it is given, in place of a PostgreSQL server.
type recorder struct {
	statements []string
	err        error // of every statement
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return r, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }
func (r *recorder) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (r *recorder) Close() error                                 { return nil }
func (r *recorder) Begin() (driver.Tx, error)                    { return r, nil }
func (r *recorder) Commit() error                                { r.statements = append(r.statements, "COMMIT"); return nil }
func (r *recorder) Rollback() error                              { r.statements = append(r.statements, "ROLLBACK"); return nil }
func (r *recorder) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	r.statements = append(r.statements, query)
	return driver.RowsAffected(1), r.err
}

func TestPlaceholders(t *testing.T) {
	for dialect, want := range map[receiver.Dialect]string{
		receiver.SQLite:     "INSERT INTO carom_granted (id) VALUES (?) ON CONFLICT (id) DO NOTHING; COMMIT",
		receiver.PostgreSQL: "INSERT INTO carom_granted (id) VALUES ($1) ON CONFLICT (id) DO NOTHING; COMMIT",
	} {
		r := &recorder{}
		db := sql.OpenDB(r)
		first, err := receiver.NewSQL(db, dialect).Once(t.Context(), "dlv_1", func(context.Context, *sql.Tx) error { return nil })
		if got := strings.Join(r.statements, "; "); !first || err != nil || got != want {
			t.Errorf("Once = %v, %v by %q, want true by %q", first, err, got, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOnceReturnsErrors(t *testing.T) {
	gone := errors.New("gone")
	tests := []struct {
		name     string
		database error
		grant    error
		want     string
	}{
		{"of the database", gone, nil, "mark as granted: gone"},
		{"of the grant, as it is", nil, gone, "gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &recorder{err: tt.database}
			db := sql.OpenDB(r)
			first, err := receiver.NewSQL(db, receiver.PostgreSQL).Once(t.Context(), "k", func(context.Context, *sql.Tx) error { return tt.grant })
			if first || !errors.Is(err, gone) || err.Error() != tt.want {
				t.Errorf("Once = %v, %v; want %q", first, err, tt.want)
			}
			if last := r.statements[len(r.statements)-1]; last != "ROLLBACK" {
				t.Errorf("its last statement is %q, want ROLLBACK", last)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
