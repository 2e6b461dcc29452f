package postgres

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"carom/internal/pgtest"
)

// What docs/postgresql.md tells people to type into psql works, and makes a database that a node can use.
func TestSQLOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	server := pgtest.Server(t)
	admin := server.AdminURL("postgres")
	t.Cleanup(func() { run(t, admin, "DROP DATABASE IF EXISTS paged WITH (FORCE)", "DROP ROLE IF EXISTS paged") })
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page has no SQL")
	}
	for _, block := range blocks {
		text := regexp.MustCompile(`\bcarom\b`).ReplaceAllString(string(block[1]), "paged") // beside the role of all tests
		for statement := range strings.SplitSeq(text, ";") {
			if strings.TrimSpace(statement) != "" {
				run(t, admin, statement)
			}
		}
	}
	u := mustParse(t, server.URL("paged"))
	password := regexp.MustCompile(`PASSWORD '([^']*)'`).FindSubmatch(page)
	n := join(t, "postgres://paged:"+string(password[1])+"@"+u.Host+"/paged?sslmode=disable", "a", time.Minute).start(t)
	n.accept(t, event(n.Store, "1"))
	n.stop()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
