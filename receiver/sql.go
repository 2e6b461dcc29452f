package receiver

import (
	"context"
	"database/sql"
	"fmt"
)

// CreateTable makes the table in which [SQL] keeps the keys of what was granted. The statement is the same for SQLite and
// PostgreSQL and may be run at every start; apps with migrations of their own put it there.
//
// Rows are to be kept: an operator can have a delivery sent again as long as carom remembers it. A row takes about 60 bytes.
const CreateTable = `CREATE TABLE IF NOT EXISTS carom_granted (
	id TEXT PRIMARY KEY,
	at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
)`

// Dialect is how a database writes placeholders, which the drivers of database/sql leave to their caller. For databases that
// know no ON CONFLICT, such as MySQL, write a [Store].
type Dialect string

// The dialects.
const (
	SQLite     Dialect = "?"  // also for drivers that rewrite placeholders
	PostgreSQL Dialect = "$1" // pgx and lib/pq
)

// SQL is a [Store] in the app's own database, through database/sql. Make it with [NewSQL].
type SQL struct {
	db     *sql.DB
	insert string
}

// NewSQL returns a store in db. Its table has to be there: see [SQL.Create] and [CreateTable].
//
// With SQLite, give the connections a busy timeout, since only one transaction can write at a time; one that cannot begin
// in time is answered 500, and repeated by carom.
func NewSQL(db *sql.DB, d Dialect) *SQL {
	return &SQL{db, "INSERT INTO carom_granted (id) VALUES (" + string(d) + ") ON CONFLICT (id) DO NOTHING"}
}

// Create runs [CreateTable].
func (s *SQL) Create(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, CreateTable); err != nil {
		return fmt.Errorf("create the table carom_granted: %w", err)
	}
	return nil
}

// Once implements [Store]. grant uses the transaction, and neither commits it nor rolls it back.
func (s *SQL) Once(ctx context.Context, key string, grant func(context.Context, *sql.Tx) error) (first bool, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("begin the transaction of the grant: %w", err)
	}
	// Also when grant panics. After the commit it does nothing.
	defer func() { _ = tx.Rollback() }()
	// The mark is written before anything is read: of two copies in parallel the second waits here for the first one's
	// commit, and then finds its mark.
	result, err := tx.ExecContext(ctx, s.insert, key)
	if err != nil {
		return false, fmt.Errorf("mark as granted: %w", err)
	}
	marked, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("mark as granted: %w", err)
	}
	if marked == 0 {
		return false, nil
	}
	if err := grant(ctx, tx); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, fmt.Errorf("commit the grant: %w", err)
	}
	return true, nil
}
