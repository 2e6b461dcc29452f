package postgres

import (
	"context"
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"carom/internal/pgtest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeProcess); url != "" {
		os.Exit(workAsNode(url))
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = flag.Set(f.Name, strconv.Itoa(2*runtime.GOMAXPROCS(0))) // tests wait for the database and for leases more than they compute
	}
	goleak.VerifyTestMain(m)
}

// database makes a database of the test's own, with tables, and returns its URL.
func database(t testing.TB) string {
	return pgtest.Server(t).DatabaseWith(t, func(url string) error { return Migrate(context.Background(), url) })
}

// run runs statements beside all stores.
func run(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.Background() // also when the test has ended
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // what it did is done
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// look returns the rows of a query with one column of text.
func look(t testing.TB, url, query string, args ...any) []string {
	t.Helper()
	ctx := context.Background() // also when the test has ended
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // it only read
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return list
}
