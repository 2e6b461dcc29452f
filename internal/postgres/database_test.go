package postgres

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"carom/internal/pgtest"
)

// database makes a database of the test's own, and returns its URL.
func database(t testing.TB) string { return pgtest.Server(t).Database(t) }

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

// withHost gives a URL another host and port.
func withHost(t testing.TB, from, host string) string {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	return u.String()
}

// hostOf is the host and port of a URL.
func hostOf(t testing.TB, from string) string {
	t.Helper()
	u, err := url.Parse(from)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(u.Host, ":") {
		u.Host += ":5432"
	}
	return u.Host
}
