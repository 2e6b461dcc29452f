package postgres

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

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

// server is what the URL leads to.
type server struct {
	version                  int // 150019
	encoding                 string
	readOnly, standby        bool
	syncCommit, fsync, pages string
	pooled                   bool
	limits                   map[string]time.Duration // in force in a session, by the names of limits; 0: none
}

// fit says what makes the server unfit, and what to do.
func (v *server) fit() error {
	switch {
	case v.version/10000 < oldestServer:
		return carom.Invalid("database", "this server is PostgreSQL %d: carom needs %d or newer", v.version/10000, oldestServer)
	case v.encoding != "UTF8":
		return carom.Invalid("database", "the encoding of this database is %s, which cannot hold every text: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", v.encoding)
	case v.standby:
		return carom.Invalid("database", "this server is a replica, which can only be read: name the primary, or all servers with target_session_attrs=read-write")
	case v.readOnly:
		return carom.Invalid("database", "transactions are read-only here: look at default_transaction_read_only of the server, the database and the role")
	case v.syncCommit == "off":
		return carom.Invalid("database", "synchronous_commit is off here: what was answered with success could be lost when the server crashes. Run ALTER ROLE … SET synchronous_commit = on for carom's role")
	}
	for _, name := range limits {
		if limit := v.limits[name]; v.pooled && name != "idle_session_timeout" && limit > 0 && limit < shortest {
			return carom.Invalid("database", "%s is %v here, and behind a pooler carom cannot choose it: run ALTER ROLE … SET %[1]s = 0 for carom's role, or reach PostgreSQL without the pooler", name, limit)
		}
	}
	return nil
}

// examine looks at what the URL leads to, and says what is wrong with it in words.
func (s *Store) examine(ctx context.Context) error {
	v := server{pooled: s.pooled, limits: map[string]time.Duration{}}
	asked := time.Now()
	var now int64
	if err := s.lanes.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), current_setting('transaction_read_only')::bool,
		pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync'), current_setting('full_page_writes'), `+nowMS).Scan(
		&v.version, &v.encoding, &v.readOnly, &v.standby, &v.syncCommit, &v.fsync, &v.pages, &now); err != nil {
		return translate(err)
	}
	s.clock.note(time.UnixMilli(now), asked, time.Now())
	for _, name := range limits {
		var ms int64
		if err := s.lanes.QueryRowContext(ctx, `SELECT setting::bigint FROM pg_settings WHERE name = $1`, name).Scan(&ms); err != nil {
			return translate(err)
		}
		v.limits[name] = time.Duration(ms) * time.Millisecond
	}
	if err := v.fit(); err != nil {
		return err
	}
	if v.fsync == "off" || v.pages == "off" {
		s.log.Warn("fsync or full_page_writes of the database server is off: what was answered with success may be lost when its machine loses power")
	}
	return s.transact(ctx, func(*tx) error { return nil }) // a pooler may allow none
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
			return err
		}
		if done {
			return nil
		}
	}
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

// hashParts is how many partitions a table has that is partitioned by hash. Vacuum goes from one to the next, so that none is as large as
// the whole; and each costs every commit that touches it, since PostgreSQL prepares it for writing anew: 10 µs and more.
const hashParts = 4

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
