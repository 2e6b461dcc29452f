package store

import (
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

// bucketVersion numbers the schema of new buckets' tables. Older buckets keep theirs; readers know each version.
const bucketVersion = 1

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
