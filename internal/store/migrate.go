package store

import (
	"database/sql/driver"
	"embed"
	"fmt"
	"slices"
	"strings"

	"carom"
)

//go:embed migrations/*.sql
var migrations embed.FS

//go:embed bucket.sql
var bucketSchema string

// bucketVersion numbers the schema of buckets' tables. Older buckets are brought up to it when the folder opens, by columns
// that SQLite adds without touching a row.
const bucketVersion = 3

// bucketSteps are what brings a bucket from one version to the next, {n} being its number.
func bucketSteps() map[int64]string {
	return map[int64]string{
		1: `ALTER TABLE events_{n} ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
		ALTER TABLE events_{n} ADD COLUMN also BLOB`,
		2: `ALTER TABLE events_{n} ADD COLUMN view TEXT NOT NULL DEFAULT '';
		ALTER TABLE events_{n} ADD COLUMN decided TEXT NOT NULL DEFAULT '';
		ALTER TABLE events_{n} ADD COLUMN origin TEXT NOT NULL DEFAULT ''`,
	}
}

// migrate brings the permanent tables up to date: one transaction a step, numbered by the database's user_version.
func migrate(w *writer) error {
	names, err := migrationNames()
	if err != nil {
		return err
	}
	have, err := w.int64("PRAGMA user_version")
	if err != nil {
		return err
	}
	if int(have) > len(names) {
		return fmt.Errorf("this data folder was written by a newer carom (schema %d, this one knows %d): install that version or a later one: %w",
			have, len(names), carom.ErrInvalid)
	}
	for i := int(have); i < len(names); i++ {
		text, err := migrations.ReadFile("migrations/" + names[i])
		if err != nil {
			return err
		}
		if err := w.tx(func() error {
			if err := w.script(string(text)); err != nil {
				return err
			}
			return w.exec(fmt.Sprintf("PRAGMA user_version = %d", i+1))
		}); err != nil {
			return fmt.Errorf("migration %s: %w", names[i], err)
		}
	}
	return migrateBuckets(w)
}

// migrateBuckets brings the tables of older buckets up to date, each bucket in a transaction with its version.
func migrateBuckets(w *writer) error {
	type bucket struct{ number, version int64 }
	var old []bucket
	if err := w.query(`SELECT bucket, version FROM buckets WHERE version < ? AND dropped < ?`, func(v []driver.Value) error {
		old = append(old, bucket{v[0].(int64), v[1].(int64)})
		return nil
	}, int64(bucketVersion), int64(bucketDropped)); err != nil {
		return err
	}
	for _, b := range old {
		if err := w.tx(func() error {
			for v := b.version; v < bucketVersion; v++ {
				if err := w.script(strings.ReplaceAll(bucketSteps()[v], "{n}", fmt.Sprint(b.number))); err != nil {
					return err
				}
			}
			return w.exec(`UPDATE buckets SET version = ? WHERE bucket = ?`, int64(bucketVersion), b.number)
		}); err != nil {
			return fmt.Errorf("bring bucket %d up to date: %w", b.number, err)
		}
	}
	return nil
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

// tx runs f in a transaction, which it commits, or rolls back when f fails.
func (w *writer) tx(f func() error) error {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := f()
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		_ = w.exec("ROLLBACK") // the first error says more; SQLite may have rolled back by itself
	}
	return err
}

// script runs the statements of an SQL file one by one.
func (w *writer) script(text string) error {
	var lines []string
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "--")
		lines = append(lines, code)
	}
	for statement := range strings.SplitSeq(strings.Join(lines, "\n"), ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if err := w.exec(statement); err != nil {
			return fmt.Errorf("%.60s…: %w", statement, err)
		}
	}
	return nil
}
