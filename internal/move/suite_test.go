package move

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"carom/internal/pgtest"
	"carom/internal/postgres"
	"carom/internal/seal"
	"carom/internal/store"
	"carom/internal/storetest"
	"carom/internal/tables"
)

// TestStore is what every store has to find again after a restart, where the first one that is opened works in a data folder, and all
// later ones in the database that the folder was moved to. Of the tests whose only question is whether a row is as it was there are few: a
// move compares every row by itself. What it makes anew, keys, claims and joins, decides about what comes after it.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, o storetest.Options) storetest.Place {
		p := &place{dir: t.TempDir(), options: o}
		t.Cleanup(func() { p.Stop(t) })
		return p
	}, "accept/once, and after a restart", "accept/every field", "dedupe", "outcomes/begin claims", "outcomes/begin is kept over a crash",
		"outcomes/resend is kept over a crash", "recover/a crash loses nothing", "recover/a clean end leaves little",
		"search/finds all and nothing twice", "feed/follows what is stored", "feed/goes on behind an event",
		"journal/refused ones are kept and paged", "counts/request vars beyond the bound", "rewards/what events earn", "rewards/agree with plain books",
		"ledger/the check counts", "ledger/sums at every moment", "repeating ymids/events find their views", "views/come back as they were opened",
		"retention/drops events and still tells copies", "retention/rewards outlive their events", "retention/a grant is made once for ever",
		"retention/the unverified sample", "objects", "keys", "members/come back as they were", "members/links count once", "members/filters", "audit",
		"breakers", "shadow/report", "person/erase")
}

// testKeys seal what is moved, in the folder and in the database.
var testKeys, _ = seal.Parse(seal.NewKey())

// database makes a database of the test's own, with tables, and returns its URL.
func database(t testing.TB) string {
	return pgtest.Server(t).DatabaseWith(t, func(url string) error { return postgres.Migrate(context.Background(), url) })
}

// either is a store of either kind.
type either interface {
	storetest.Store
	Stats() *tables.Stats
}

// place is a folder at first, and a database later.
type place struct {
	dir     string
	url     string // empty until something is moved
	options storetest.Options

	store either // nil: none is open
	stop  context.CancelFunc
	done  chan error
}

// Open implements storetest.Place.
func (p *place) Open(t testing.TB) storetest.Store {
	t.Helper()
	o := p.options
	if !store.Holds(p.dir) {
		s, err := store.Open(p.dir, store.Options{BucketEvents: o.BucketEvents, Retention: o.Retention, CountRetention: o.CountRetention,
			UnverifiedRetention: o.UnverifiedRetention, AuditRetention: o.AuditRetention, MaxQueue: o.MaxQueue, SegmentRewards: o.SegmentRewards, Clock: o.Clock, Decide: o.Decide, Keys: o.Keys})
		if err != nil {
			t.Fatal(err)
		}
		p.run(s)
		return sealing{s, p}
	}
	if p.url == "" {
		p.url = database(t)
		moved(t, Options{Folder: p.dir, URL: p.url, Clock: o.Clock, Keys: o.Keys, Sample: 1000})
	}
	s, err := postgres.Open(t.Context(), postgres.Options{URL: p.url, BucketEvents: o.BucketEvents, Retention: o.Retention,
		CountRetention: o.CountRetention, UnverifiedRetention: o.UnverifiedRetention, AuditRetention: o.AuditRetention, MaxQueue: o.MaxQueue, Clock: o.Clock, Decide: o.Decide, Keys: o.Keys})
	if err != nil {
		t.Fatal(err)
	}
	p.run(s)
	return s
}

// sealing is a folder's store that has sealed what is closed before it prunes: only that is dropped.
type sealing struct {
	*store.Store
	place *place
}

// Prune implements storetest.Store.
func (s sealing) Prune(ctx context.Context) error {
	src, err := store.OpenSource(s.place.dir, s.place.options.Keys)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it only read
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	// Whoever seals holds up who prunes, until all is sealed that was closed when it began; it begins with the oldest.
	if err := src.Query(`SELECT bucket FROM buckets WHERE closed_at > 0 AND dropped = 0`, func(v []driver.Value) error {
		for {
			_, err := os.Stat(filepath.Join(s.place.dir, fmt.Sprint("index_", v[0])))
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			<-tick.C
		}
	}); err != nil {
		return err
	}
	return s.Store.Prune(ctx)
}

func (p *place) run(s either) {
	ctx, stop := context.WithCancel(context.Background())
	p.store, p.stop, p.done = s, stop, make(chan error, 1)
	go func() { p.done <- s.Run(ctx) }()
}

// moved moves, and fails the test unless the move ends without a difference.
func moved(t testing.TB, o Options) *Report {
	t.Helper()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("move: %v", err)
	}
	if len(r.Differences) > 0 {
		t.Fatalf("the two sides differ:\n%s", strings.Join(r.Differences, "\n"))
	}
	if !r.Ended && !o.Live {
		t.Fatalf("the move has not ended: %+v", r)
	}
	return r
}

// Stop implements storetest.Place.
func (p *place) Stop(t testing.TB) {
	t.Helper()
	if p.store == nil {
		return
	}
	p.stop()
	if err := <-p.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := p.store.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	p.store = nil
}

// Crash implements storetest.Place. Crashes of each store are tested beside it.
func (p *place) Crash(t testing.TB) {
	t.Helper()
	p.Stop(t)
}

// Settle implements storetest.Place: what was queued before is in the next commit, or in the one behind it.
func (p *place) Settle(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	s, isFolder := p.store.(*store.Store)
	if isFolder { // any change waits for its commit, with which goes all that was queued before
		if err := s.SetBreaker(t.Context(), 9_999, time.Time{}); err != nil {
			t.Fatal(err)
		}
		return
	}
	for from := p.store.Stats().Commits.Load(); p.store.Stats().Commits.Load() < from+2; {
		<-tick.C
	}
}

// Invariants implements storetest.Place: they are those of each store.
func (p *place) Invariants(testing.TB) {}

// Find implements storetest.Place.
func (p *place) Find(t testing.TB, text string) (found []string) {
	t.Helper()
	engine, at, tables := "pgx", p.url, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	if p.url == "" {
		engine, at, tables = "sqlite", p.dir+"/carom.db", `SELECT name FROM sqlite_master WHERE type = 'table'`
	}
	db, err := sql.Open(engine, at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it only read
	for _, table := range values(t, db, tables) {
		for _, value := range values(t, db, `SELECT * FROM "`+table+`"`) {
			if strings.Contains(value, text) {
				found = append(found, table+": "+value)
			}
		}
	}
	return found
}

// values are all values of a query's rows, as text.
func values(t testing.TB, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }() // it only read
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	to, row := make([]any, len(columns)), make([]any, len(columns))
	for i := range to {
		to[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		for _, v := range row {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			out = append(out, fmt.Sprint(v))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
