package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"carom"
)

// writer is the one connection that writes. It uses the driver's own interface, without database/sql between: that saves
// about 2 us and ten allocations per row, and the committer is the only goroutine that touches it.
type writer struct {
	conn driver.Conn
}

// openWriter opens the database at path for writing, with every commit synced.
func openWriter(path string, cacheMB int) (*writer, error) {
	conn, err := new(sqlite.Driver).Open(dsn(path, nil))
	if err != nil {
		return nil, translate(err)
	}
	w := &writer{conn: conn}
	if err := w.useLog(); err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	for _, pragma := range []string{
		"PRAGMA synchronous = FULL", // a commit that returned survives a power cut
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA foreign_keys = OFF",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA busy_timeout = 10000",
		// After a long search has kept the log from starting over, it shrinks to this again: four usual rounds.
		fmt.Sprintf("PRAGMA journal_size_limit = %d", 2*finishLog*4096),
		fmt.Sprintf("PRAGMA cache_size = -%d", cacheMB*1024),
	} {
		if err := w.exec(pragma); err != nil {
			_ = conn.Close() // the first error says more
			return nil, fmt.Errorf("%s: %w", pragma, err)
		}
	}
	return w, nil
}

// useLog puts the database in write-ahead mode, which file systems without shared memory refuse without an error.
func (w *writer) useLog() error {
	mode := ""
	if err := w.query("PRAGMA journal_mode = WAL", func(v []driver.Value) error {
		mode, _ = v[0].(string)
		return nil
	}); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system cannot hold a database with a write-ahead log: use a local disk: %w", carom.ErrUnavailable)
	}
	return nil
}

// openReader opens a pool of read-only connections. Readers never block the writer and are never blocked by it.
func openReader(path string, conns int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, url.Values{
		"mode":    {"ro"},
		"_pragma": {"query_only(1)", "busy_timeout(10000)", "cache_size(-4096)", "temp_store(MEMORY)"},
	}))
	if err != nil {
		return nil, translate(err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func dsn(path string, params url.Values) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: params.Encode()}
	return u.String()
}

func (w *writer) Close() error { return w.conn.Close() }

// exec runs one statement, or several separated by semicolons, without results.
func (w *writer) exec(query string, args ...driver.Value) error {
	st, err := w.prepare(query)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.exec(args...)
}

// execCount is exec for a statement that changes rows: it returns how many.
func (w *writer) execCount(query string, args ...driver.Value) (int64, error) {
	st, err := w.prepare(query)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	return st.execCount(args...)
}

// tx is the writer as the plain tables use it.
type tx struct{ w *writer }

func (t tx) Exec(query string, args ...any) error { return t.w.exec(query, values(args)...) }

func (t tx) ExecCount(query string, args ...any) (int64, error) {
	return t.w.execCount(query, values(args)...)
}

func (t tx) Query(query string, row func([]driver.Value) error, args ...any) error {
	return t.w.query(query, row, values(args)...)
}

func (t tx) Int64(query string, args ...any) (int64, error) {
	return t.w.int64(query, values(args)...)
}

func values(args []any) []driver.Value {
	out := make([]driver.Value, len(args))
	for i, v := range args {
		out[i] = v
	}
	return out
}

// stmt is a prepared statement with a reusable list of arguments.
type stmt struct {
	st   driver.Stmt
	args []driver.NamedValue
}

func (w *writer) prepare(query string) (*stmt, error) {
	st, err := w.conn.Prepare(query)
	if err != nil {
		return nil, translate(err)
	}
	return &stmt{st: st}, nil
}

// Close frees the statement, which is not running: that cannot fail. A nil one is ignored.
func (s *stmt) Close() {
	if s != nil {
		_ = s.st.Close() // cannot fail, see above
	}
}

func (s *stmt) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, v := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s.args
}

func (s *stmt) exec(args ...driver.Value) error {
	_, err := s.st.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	return translate(err)
}

// execCount is exec for a statement that changes rows: it returns how many.
func (s *stmt) execCount(args ...driver.Value) (int64, error) {
	result, err := s.st.(driver.StmtExecContext).ExecContext(context.Background(), s.bind(args))
	if err != nil {
		return 0, translate(err)
	}
	return result.RowsAffected()
}

// query runs a statement that is not prepared, see [stmt.query].
func (w *writer) query(query string, row func(dest []driver.Value) error, args ...driver.Value) error {
	st, err := w.prepare(query)
	if err != nil {
		return err
	}
	defer st.Close()
	return st.query(row, args...)
}

// query calls row for each row of the result, until it returns an error. dest is reused between rows.
func (s *stmt) query(row func(dest []driver.Value) error, args ...driver.Value) error {
	rows, err := s.st.(driver.StmtQueryContext).QueryContext(context.Background(), s.bind(args))
	if err != nil {
		return translate(err)
	}
	defer rows.Close()
	dest := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(dest); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return translate(err)
		}
		if err := row(dest); err != nil {
			return err
		}
	}
}

// int64 returns the first column of the first row, or 0 when there is none.
func (w *writer) int64(query string, args ...driver.Value) (int64, error) {
	var n int64
	err := w.query(query, func(dest []driver.Value) error {
		n, _ = dest[0].(int64) // NULL counts as 0
		return nil
	}, args...)
	return n, err
}

// translate turns a driver's error into one of carom's kinds, by its code. The driver's text stays in the chain. An error
// that has its kind stays as it is.
func translate(err error) error {
	if err == nil || errors.Is(err, carom.ErrUnavailable) || errors.Is(err, carom.ErrNotFound) {
		return err
	}
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
			sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
			return fmt.Errorf("%w: %w", carom.ErrUnavailable, err)
		case sqlite3.SQLITE_CONSTRAINT:
			return fmt.Errorf("%w: %w", carom.ErrConflict, err)
		case sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", carom.ErrInvalid, err)
		}
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %w", carom.ErrNotFound, err)
	}
	var errno syscall.Errno
	var perr *fs.PathError
	if errors.As(err, &errno) || errors.As(err, &perr) {
		return fmt.Errorf("%w: %w", carom.ErrUnavailable, err)
	}
	return err
}
