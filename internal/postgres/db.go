package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"carom"
	"carom/internal/tables"
)

// parseURL reads the URL of a database, or a DSN in the other notation that PostgreSQL's tools take.
func parseURL(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, carom.Invalid("database", "this is no URL of a PostgreSQL database: write postgres://user:password@host:5432/name (%s)", reason(err))
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "carom"
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = patience
		if severalHosts(&config.Config) {
			config.ConnectTimeout = patience / 2
		}
	}
	config.RuntimeParams["client_encoding"] = "UTF8"
	if severalHosts(&config.Config) && config.ValidateConnect == nil { // after a failover, another of them is meant
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return config, nil
}

// reason is what a library says of a URL, without the URL: it may hold a password.
func reason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		return text[i+3:]
	}
	return "it cannot be read"
}

// tx is a transaction beside the committer's: of what is rare.
type tx struct {
	ctx context.Context
	tx  *sql.Tx
}

// transact runs f in a transaction, which it commits, or rolls back when f fails.
func (s *Store) transact(ctx context.Context, f func(*tx) error) error {
	return s.transactAs(ctx, sql.LevelReadCommitted, f)
}

func (s *Store) transactAs(ctx context.Context, level sql.IsolationLevel, f func(*tx) error) error {
	t, err := s.lanes.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		return translate(err)
	}
	if s.pooled {
		if _, err := t.ExecContext(ctx, s.limitTransaction().sql); err != nil {
			_ = t.Rollback() // the first error says more
			return translate(err)
		}
	}
	if err := f(&tx{ctx, t}); err != nil {
		_ = t.Rollback() // the first error says more
		return translate(err)
	}
	return translate(t.Commit())
}

// write runs f in a transaction that is as if alone: when another one that ran at the same time got in its way, it runs again.
func (s *Store) write(ctx context.Context, f func(tables.Tx) error) error {
	for tries := 1; ; tries++ {
		err := s.transactAs(ctx, sql.LevelSerializable, func(tx *tx) error { return f(tx) })
		var pe *pgconn.PgError
		if !errors.As(err, &pe) || pe.Code != "40001" && pe.Code != "40P01" || tries == maxTries {
			return err
		}
	}
}

// maxTries is how often a transaction that others got in the way of is tried.
const maxTries = 20

// numbered is a reader whose queries name their parameters as tables does.
type numbered struct{ db tables.Reader }

// QueryContext implements tables.Reader.
func (n numbered) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return n.db.QueryContext(ctx, tables.Numbered(query), cleaned(args)...)
}

// QueryRowContext implements tables.Reader.
func (n numbered) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return n.db.QueryRowContext(ctx, tables.Numbered(query), cleaned(args)...)
}

// cleaned are the arguments of a query with their texts as they are stored, so that what was cleaned is found again.
func cleaned(args []any) []any {
	out := args
	for i, arg := range args {
		if text, ok := arg.(string); ok && clean(text) != text {
			if &out[0] == &args[0] {
				out = slices.Clone(args)
			}
			out[i] = clean(text)
		}
	}
	return out
}

// Exec implements tables.Tx.
func (t *tx) Exec(query string, args ...any) error {
	return translate(t.exec(tables.Numbered(query), cleaned(args)...))
}

// ExecCount implements tables.Tx.
func (t *tx) ExecCount(query string, args ...any) (int64, error) {
	n, err := t.count(tables.Numbered(query), cleaned(args)...)
	return n, translate(err)
}

// Query implements tables.Tx.
func (t *tx) Query(query string, row func([]driver.Value) error, args ...any) error {
	rows, err := t.tx.QueryContext(t.ctx, tables.Numbered(query), cleaned(args)...)
	if err != nil {
		return translate(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return translate(err)
	}
	values, scanned, to := make([]driver.Value, len(columns)), make([]any, len(columns)), make([]any, len(columns))
	for i := range to {
		to[i] = &scanned[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return translate(err)
		}
		for i, v := range scanned {
			values[i] = v
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return translate(rows.Err())
}

// Int64 implements tables.Tx.
func (t *tx) Int64(query string, args ...any) (int64, error) {
	var n sql.NullInt64
	first := true
	err := t.Query(query, func(v []driver.Value) error {
		if first {
			n.Int64, _ = v[0].(int64) // NULL counts as 0
		}
		first = false
		return nil
	}, args...)
	return n.Int64, err
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return err
}

// count is exec for a statement that changes rows: it returns how many.
func (t *tx) count(query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads the one row of a query.
func (t *tx) row(query string, args []any, to ...any) error {
	return t.tx.QueryRowContext(t.ctx, query, args...).Scan(to...)
}

// translate turns an error of the database, or of the way to it, into one of carom's kinds. The text stays in the chain. An error that
// has its kind stays as it is.
func translate(err error) error {
	if err == nil {
		return nil
	}
	for _, kind := range []error{carom.ErrUnavailable, carom.ErrNotFound, carom.ErrInvalid, carom.ErrConflict} {
		if errors.Is(err, kind) {
			return err
		}
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return fmt.Errorf("%w: %w", kindOf(pe), err)
	}
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%w: %w", carom.ErrNotFound, err)
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	if errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded) || pgconn.SafeToRetry(err) {
		return fmt.Errorf("the database cannot be reached: %w: %w", carom.ErrUnavailable, err)
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %w", carom.ErrUnavailable, err) // a connection that broke, most often
}

// kindOf tells a fault of the caller's data from one of the database, such as a right that was taken away: whoever brings something
// meanwhile has to try later, however long it takes until somebody mends it.
func kindOf(pe *pgconn.PgError) error {
	if pe.Code == "23505" { // unique_violation
		return carom.ErrConflict
	}
	return carom.ErrUnavailable
}

// isReadOnly says whether a server refused to write: one that was a primary, most often.
func isReadOnly(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "25006" // read_only_sql_transaction
}

// redial begins to connect anew, beside the committer, unless that is under way.
func (s *Store) redial() {
	if s.dialing {
		return
	}
	s.dialing = true
	go func() {
		// Each of the hosts gets its time: the first may be the one that does not answer any more.
		ctx, cancel := context.WithTimeout(context.Background(), patience+s.config.ConnectTimeout*time.Duration(1+len(s.config.Fallbacks)))
		defer cancel()
		l, err := s.dial(ctx)
		if err == nil {
			err = l.prepare(ctx, statements()...)
		}
		if err != nil {
			s.log.Debug("the database cannot be reached", "error", err)
			if l != nil {
				_ = l.conn.Close(ctx) // the first error says more
			}
			l = nil
		}
		s.dialed <- dialed{l, err}
	}()
}

// dialed is what redial came to.
type dialed struct {
	link *link // nil: none
	err  error
}

// takeLink takes up what redial came to.
func (s *Store) takeLink(d dialed) {
	s.dialing = false
	if s.unheard = d.err; d.link != nil {
		s.link = d.link
	}
}

// errNoLink is for callers while there is no connection. People are told why there is none.
func (s *Store) errNoLink() error {
	if s.unheard != nil {
		return explain(s.config, s.unheard)
	}
	return errNoLink
}

// hangUp ends the committer's connection, of which nothing is known any more.
func (s *Store) hangUp() {
	if s.link == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no farewell
	_ = s.link.conn.Close(ctx)
	s.link = nil
	s.redial()
}
