package caromtest

import (
	"context"
	"os"
	"sync"
	"testing"

	"carom/internal/pgtest"
	"carom/internal/postgres"
)

// OnPostgreSQL says that servers of tests keep things in PostgreSQL in place of SQLite: when CAROM_TEST_STORE is "postgres". The same
// tests then run once more.
func OnPostgreSQL() bool { return os.Getenv("CAROM_TEST_STORE") == "postgres" }

// SecretsKey is what seals secrets in the databases of tests, as the setting secrets_key takes it.
const SecretsKey = "5ec2e75b0a1d4c3f96e8d7c6b5a49382716051403f2e1d0c9b8a796857463524"

// Database makes a database of the test's own, with carom's tables, and returns its URL.
func Database(t testing.TB) string {
	t.Helper()
	return pgtest.Server(t).DatabaseWith(t, func(url string) error { return postgres.Migrate(context.Background(), url) })
}

// databases are those of data folders: a test that starts a server again on its folder finds what was there.
var databases sync.Map

// DatabaseOf is the URL of the database that goes with a data folder.
func DatabaseOf(t testing.TB, folder string) string {
	t.Helper()
	if url, known := databases.Load(folder); known {
		return url.(string)
	}
	url := Database(t)
	databases.Store(folder, url)
	return url
}

// NeedsFolder skips a test that is about data folders when servers use none.
func NeedsFolder(t testing.TB) {
	t.Helper()
	if OnPostgreSQL() {
		t.Skip("this is about data folders, and servers keep things in PostgreSQL here (CAROM_TEST_STORE)")
	}
}
