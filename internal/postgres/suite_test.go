package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"carom/internal/pgtest"
	"carom/internal/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, o storetest.Options) storetest.Place {
		p := &place{url: database(t), options: o}
		p.direct = p.url
		t.Cleanup(func() { p.leave(t) })
		return p
	})
}

// A part of the suite again, where no connection to the server stays with who uses it: commits of events and of what they earn, claims,
// take-overs, changes of objects. That is all that prepares statements or needs something of its session where there is no pooler. The
// oldest PgBouncer that is in use, 1.18, knows nothing of prepared statements then.
func TestStoreThroughPgBouncer(t *testing.T) {
	pooler := mustParse(t, pgtest.PgBouncer(t, database(t), "transaction")).Host
	storetest.Run(t, func(t testing.TB, o storetest.Options) storetest.Place {
		direct := database(t)
		p := &place{url: changed(t, direct, func(u *url.URL) { u.Host = pooler }), direct: direct, options: o}
		t.Cleanup(func() { p.leave(t) })
		return p
	}, "accept", "claims", "objects", "ledger/balances are exact", "ledger/the check counts", "rewards/one in every order of events", "rewards/a reward tells its story",
		"recover/a crash loses nothing", "recover/a clean end leaves little")
}

// place is a database in which one node at a time works.
type place struct {
	url     string    // with which stores are opened
	direct  string    // past the pooler, if there is one
	beside  *pgx.Conn // to look and change past the store; nil: not used yet
	options storetest.Options

	store *Store // nil: none is open
	stop  context.CancelCauseFunc
	done  chan error
}

// Open implements storetest.Place. A node that has crashed is silent, and its lease has run out.
func (p *place) Open(t testing.TB) storetest.Store {
	t.Helper()
	s, err := Open(t.Context(), Options{
		URL: p.url, BucketEvents: p.options.BucketEvents, Retention: p.options.Retention, CountRetention: p.options.CountRetention,
		UnverifiedRetention: p.options.UnverifiedRetention, AuditRetention: p.options.AuditRetention, MaxQueue: p.options.MaxQueue, Clock: p.options.Clock, Decide: p.options.Decide, Keys: p.options.Keys,
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	s.sighted = time.Now().Add(-time.Hour) // the database has been there for long: it was the node that was silent
	if err := s.reap(t.Context()); err != nil {
		t.Fatalf("take over what was left: %v", err)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	p.store, p.stop, p.done = s, stop, make(chan error, 1)
	go func() { p.done <- s.Run(ctx) }()
	return s
}

// leave ends what is open.
func (p *place) leave(t testing.TB) {
	t.Helper()
	p.end(t, nil)
	if p.beside != nil {
		_ = p.beside.Close(context.Background()) // the database goes with it
	}
}

// end ends the store, if one is open.
func (p *place) end(t testing.TB, cause error) {
	t.Helper()
	if p.store == nil {
		return
	}
	p.stop(cause)
	if err := <-p.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := p.store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	p.store = nil
}

// Stop implements storetest.Place.
func (p *place) Stop(t testing.TB) {
	t.Helper()
	p.end(t, nil)
}

// Crash implements storetest.Place.
func (p *place) Crash(t testing.TB) {
	t.Helper()
	p.end(t, errKilled)
	if _, err := p.conn(t).Exec(context.Background(), `UPDATE nodes SET seen_at = 0 WHERE ended_at = 0`); err != nil {
		t.Fatal(err)
	}
}

// conn connects to the database, once: what a connection has read of the catalog is half of the work of a check.
func (p *place) conn(t testing.TB) *pgx.Conn {
	t.Helper()
	if p.beside == nil {
		var err error
		if p.beside, err = pgx.Connect(context.Background(), p.direct); err != nil {
			t.Fatal(err)
		}
	}
	return p.beside
}

// Settle implements storetest.Place.
func (p *place) Settle(t testing.TB) {
	t.Helper()
	for waiting := true; waiting; {
		op := &acceptOp{done: make(chan struct{}, 1)} // of nothing: answered with the commit that it comes to
		if err := p.store.queue.putAccept(op); err != nil {
			t.Fatal(err)
		}
		<-op.done
		p.store.queue.mu.Lock()
		waiting = len(p.store.queue.results) > 0 || p.store.returned.waiting()
		p.store.queue.mu.Unlock()
	}
}

// Invariants implements storetest.Place.
func (p *place) Invariants(t testing.TB) {
	t.Helper()
	rows, err := p.conn(t).Query(context.Background(), `
		SELECT 'a key of no event: ' || k.sum::text FROM keys k LEFT JOIN events e USING (place) LEFT JOIN buckets b ON b.bucket = k.place >> 40 WHERE e.place IS NULL AND b.dropped = 0
		UNION ALL SELECT 'an outcome of no event: ' || o.place FROM outcomes o LEFT JOIN events e USING (place) WHERE e.place IS NULL
		UNION ALL SELECT 'a waiting delivery of none: ' || d.place FROM due d LEFT JOIN events e USING (place) LEFT JOIN buckets b ON b.bucket = d.place >> 40 WHERE e.place IS NULL AND b.dropped = 0
		UNION ALL SELECT 'a claim of no reward: ' || c.sum::text FROM claims c LEFT JOIN rewards r ON r.no = c.reward WHERE c.reward <> 0 AND r.no IS NULL
		UNION ALL SELECT 'a claim that holds nothing: ' || sum::text FROM claims WHERE reward = 0 AND beside = '' AND reversed = 0
		UNION ALL SELECT 'a join that holds nothing: ' || sum::text FROM joins WHERE views = ''
		UNION ALL SELECT 'a delivery in nobody''s hands: ' || d.place FROM due d JOIN nodes n ON n.no = d.node WHERE d.node <> 0 AND n.taken_at > 0`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range list {
		t.Error(found)
	}
}

// Find implements storetest.Place.
func (p *place) Find(t testing.TB, text string) []string {
	t.Helper()
	db := p.store.r
	rows, err := db.Query(`SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = current_schema() AND c.data_type IN ('text', 'bytea') AND t.table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var table, column, kind string
		if err := rows.Scan(&table, &column, &kind); err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf(`position($1 IN %q)`, column)
		if kind == "bytea" {
			where = fmt.Sprintf(`position(convert_to($1, 'UTF8') IN %q)`, column)
		}
		found = append(found, values(t, db, fmt.Sprintf(`SELECT %q FROM %q WHERE %s > 0`, column, table, where), text, table+"."+column)...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func values(t testing.TB, db *sql.DB, query, text, where string) []string {
	t.Helper()
	rows, err := db.Query(query, text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var value []byte
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		found = append(found, where+": "+strings.ToValidUTF8(string(value), "?"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
