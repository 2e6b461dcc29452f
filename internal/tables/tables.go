// Package tables holds what is the same in every database: how nouns are written in rows, and the tables that are plain.
//
// A store embeds [Tables], which reads and writes the plain ones: objects, API keys, members, the audit log, breakers, views, statements, what comparing in
// shadow found, and counts as they are read. What a store does by its own ways, such as accepting events, uses the codec, [Counts] and
// [Unverified] of this package, so that both ends of a row agree in every database. What it finds by its own ways, its [Archive], is
// put together here: the story of an event, the outcome of a view, all that is kept of a person.
//
// Its queries are read the same way by SQLite 3.50 and PostgreSQL 15. They name parameters with ? and ?3, see [Numbered]. Columns
// have the same names everywhere and are 64-bit integers, text or bytes; text compares by its bytes, in PostgreSQL by COLLATE "C".
// The package opens no database and begins no transaction by itself.
package tables

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carom"
	"carom/internal/seal"
)

// Options are what tables need of the store that embeds them. All but Alone must be given.
type Options struct {
	Read  Reader // searches, stories, reports
	Lanes Reader // look-ups that a long search must not hold up
	// Write runs f in a transaction. It returns once that is committed and synced; when f or the commit fails, nothing of it stays.
	// What f reads stays as it is until the commit: transactions that touch plain tables run as if one after another. When it could
	// not be committed for that, f may run again. Its errors, and those of the Tx, have their kinds.
	Write func(ctx context.Context, f func(Tx) error) error
	// Translate gives an error of a Reader its kind, as carom.ErrNotFound for sql.ErrNoRows. An error that has its kind, and nil, it
	// returns as they are.
	Translate func(error) error
	Life      func() carom.Incarnation // in which ids are given out now
	Clock     func() time.Time
	RefOf     func(int64) carom.Ref // of what the column event of a reward holds
	Archive   Archive
	Keys      *seal.Ring // by which objects and the key of views are sealed; nil: they are stored as they are
	// Alone says that nobody else writes to the database: what is known in memory saves look-ups.
	Alone bool
}

// Reader reads from a database. *sql.DB is one for SQLite.
type Reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Tx is a transaction that writes. Arguments are int64, string, []byte or nil.
type Tx interface {
	// Exec runs a statement without results.
	Exec(query string, args ...any) error
	// ExecCount runs a statement that changes rows, and returns how many.
	ExecCount(query string, args ...any) (int64, error)
	// Query calls row for each row of the result, until it returns an error. A row's values are int64, string, []byte or nil; the
	// slice and its bytes are used again for the next row. row must not use the Tx.
	Query(query string, row func([]driver.Value) error, args ...any) error
	// Int64 returns the first column of the first row, 0 when that is NULL or there is none. The statement is run to its end.
	Int64(query string, args ...any) (int64, error)
}

// Tables are the plain tables of a database. All methods are safe for concurrent use; those that write wait for their commit.
type Tables struct {
	o Options

	keysMu  sync.Mutex // held while keys are replaced
	keys    atomic.Pointer[map[[32]byte]carom.APIKey]
	revoked map[string]bool // ids of keys that were deleted and may be stored still; guarded by keysMu

	uses uses

	viewSeal carom.ViewSeal
	ownYMIDs sync.Map // names of the apps that have opened views with ymids of their own, where nobody else opens any
}

// New makes tables. Before they are used, [Tables.LoadViews] and [Tables.LoadKeys] read what stays in memory, and [Tables.Reseal] looks
// whether all can be opened.
func New(o Options) *Tables {
	t := &Tables{o: o, revoked: map[string]bool{}}
	t.keys.Store(&map[[32]byte]carom.APIKey{})
	return t
}

// PruneSlice is how many rows one transaction deletes: about 2 ms of SQLite's committer, so that accepts hardly notice.
const PruneSlice = 1000

// PageSize is how long a page is for which n was asked: 50 for none, at most 1000.
func PageSize(n int) int {
	if n <= 0 {
		return 50
	}
	return min(n, 1000)
}

// readRows calls row for each row of a query. Its errors have their kinds.
func (t *Tables) readRows(ctx context.Context, db Reader, row func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return t.o.Translate(err)
	}
	defer func() { _ = rows.Close() }() // it only read
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return t.o.Translate(err)
		}
	}
	return t.o.Translate(rows.Err())
}

// marks is a list of n parameters: (?,?,?).
func marks(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?,", n), ",") + ")" }

// rowsOf is n lists of parameters for rows of a width, to insert them at once.
func rowsOf(width, n int) string { return strings.TrimSuffix(strings.Repeat(marks(width)+",", n), ",") }
