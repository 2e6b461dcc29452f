package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"carom"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Keys of advisory locks, which end with their transaction: "carom" in ASCII, and a number.
const (
	lockMigrate = 0x6361_726f_6d00_0001
	lockBuckets = 0x6361_726f_6d00_0002
	lockNodes   = 0x6361_726f_6d00_0003
	lockMove    = 0x6361_726f_6d00_0008 // this one ends with its connection
)

// oldestServer is the release of PostgreSQL from which on everything is there that carom uses.
const oldestServer = 15

// examine looks at what the URL leads to, and says what is wrong with it in words.
func (s *Store) examine(ctx context.Context) error {
	var version int
	var readOnly, standby bool
	if err := s.lanes.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('transaction_read_only')::bool, pg_is_in_recovery()`).Scan(
		&version, &readOnly, &standby); err != nil {
		return translate(err)
	}
	switch {
	case version/10000 < oldestServer:
		return carom.Invalid("database", "this server is PostgreSQL %d: carom needs %d or newer", version/10000, oldestServer)
	case standby:
		return carom.Invalid("database", "this server is a replica, which can only be read: name the primary, or all servers with target_session_attrs=read-write")
	case readOnly:
		return carom.Invalid("database", "transactions are read-only here: look at default_transaction_read_only of the server, the database and the role")
	}
	return nil
}

// migrate makes the tables, or brings them up to date: one transaction a step. Nodes that start together take turns.
func (s *Store) migrate(ctx context.Context) error {
	names, err := migrationNames()
	if err != nil {
		return err
	}
	for {
		done := false
		if err := s.transact(ctx, func(tx *tx) error {
			if err := tx.exec(`SELECT pg_advisory_xact_lock($1)`, int64(lockMigrate)); err != nil {
				return err
			}
			have, err := schemaOf(tx)
			if err != nil {
				return err
			}
			if have > len(names) {
				return fmt.Errorf("this database was written by a newer carom (schema %d, this one knows %d): install that version or a later one: %w", have, len(names), carom.ErrInvalid)
			}
			if done = have == len(names); done {
				return nil
			}
			return step(tx, names[have], have+1)
		}); err != nil {
			return forRights(err)
		}
		if done {
			return nil
		}
	}
}

// forRights says what to do about missing rights.
func forRights(err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && pe.Code == "42501" {
		return fmt.Errorf("the role may not make tables here: run GRANT CREATE ON SCHEMA public TO it, or make it the owner of the database: %w", err)
	}
	return err
}

// schemaOf is the number of the newest step that was taken.
func schemaOf(tx *tx) (int, error) {
	var some bool
	if err := tx.row(`SELECT to_regclass('meta') IS NOT NULL`, nil, &some); err != nil || !some {
		return 0, err
	}
	var have int
	return have, tx.row(`SELECT coalesce((SELECT value FROM meta WHERE key = 'schema'), 0)`, nil, &have)
}

// hashParts is how many partitions a table has that is partitioned by hash.
const hashParts = 16

func step(tx *tx, name string, number int) error {
	text, err := migrations.ReadFile("migrations/" + name)
	if err != nil {
		return err
	}
	script := string(text)
	for _, table := range []string{"keys", "claims"} {
		var parts strings.Builder
		for i := range hashParts {
			fmt.Fprintf(&parts, "CREATE TABLE %[1]s_%[2]d PARTITION OF %[1]s FOR VALUES WITH (MODULUS %[3]d, REMAINDER %[2]d) WITH (fillfactor = 95);\n", table, i, hashParts)
		}
		script = strings.ReplaceAll(script, "{"+table+"}", parts.String())
	}
	for statement := range statementsOf(script) {
		if err := tx.exec(statement); err != nil {
			return fmt.Errorf("migration %s: %.60s…: %w", name, statement, err)
		}
	}
	return tx.exec(`INSERT INTO meta (key, value) VALUES ('schema', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, number)
}

// statementsOf yields the statements of a script one by one, without comments.
func statementsOf(script string) func(func(string) bool) {
	var lines []string
	for line := range strings.Lines(script) {
		code, _, _ := strings.Cut(line, "--")
		lines = append(lines, code)
	}
	return func(yield func(string) bool) {
		for statement := range strings.SplitSeq(strings.Join(lines, "\n"), ";") {
			if statement = strings.TrimSpace(statement); statement != "" && !yield(statement) {
				return
			}
		}
	}
}

func migrationNames() ([]string, error) {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// schemaVersion is the schema that this release knows.
func schemaVersion() int {
	names, err := migrationNames()
	if err != nil {
		return 0 // the files are in the binary
	}
	return len(names)
}
