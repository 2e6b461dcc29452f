package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"carom"
	"carom/internal/seal"
	"carom/internal/tables"
)

// KeyFile is the file in a data folder with the keys that its secrets are sealed by, unless the settings name others: [seal.Parse] reads
// it. It is made at the first start, and belongs to every copy of the folder.
const KeyFile = "secrets.key"

const keyFileHead = "# Opens the secrets in the database beside it, which is worth nothing without this file. See docs/backup.md.\n"

// findKeys finds the keys that what is stored needs: those of the settings, and behind them the folder's own, so that a folder which gets a
// setting later is sealed anew by it. It makes the folder's own when there are no others and nothing is sealed yet.
func (s *Store) findKeys() error {
	own, text, err := readKeys(s.dir)
	if err != nil {
		return err
	}
	needed, err := sealedBy(s.w)
	if err != nil {
		return err
	}
	s.keys = s.opts.Keys.With(own)
	if missing := slices.DeleteFunc(needed, s.keys.Opens); len(missing) > 0 {
		if s.lacks = missing[0]; s.opts.Inspect {
			return nil
		}
		return &seal.UnknownKeyError{ID: s.lacks}
	}
	if s.keys == nil && !s.opts.Inspect {
		if s.keys, text, err = makeKeys(s.dir); err != nil {
			return fmt.Errorf("make the key of the data folder: %w", translate(err))
		}
		s.log.Info("a key was made for the secrets of the data folder: keep the file with every copy of the folder", "file", filepath.Join(s.dir, KeyFile), "key", s.keys.ID())
	}
	if s.opts.Keys == nil {
		s.keyFile = text
	}
	return nil
}

// readKeys reads the folder's own keys. Without the file there are none.
func readKeys(dir string) (*seal.Ring, []byte, error) {
	path := filepath.Join(dir, KeyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, translate(err)
	}
	keys, err := seal.Parse(string(text))
	if err == nil && keys == nil {
		err = fmt.Errorf("there is no key in it: put the file back as it was: %w", carom.ErrInvalid)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, text, nil
}

// makeKeys makes the folder's own key. It is on the disk before anything is sealed by it.
func makeKeys(dir string) (*seal.Ring, []byte, error) {
	text := []byte(keyFileHead + seal.NewKey() + "\n")
	if err := writeSynced(filepath.Join(dir, KeyFile), func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}); err != nil {
		return nil, nil, err
	}
	keys, err := seal.Parse(string(text))
	return keys, text, err
}

// sealedBy lists the ids of the keys by which what is stored is sealed; an empty one stands for what lies as it is. Before the first
// start there is nothing.
func sealedBy(w *writer) (ids []string, err error) {
	tables, err := w.int64(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('objects', 'secrets')`)
	if err != nil || tables < 2 {
		return nil, err
	}
	return ids, w.query(`SELECT CAST(body AS BLOB) FROM objects UNION ALL SELECT value FROM secrets WHERE name = 'view_seal'`, func(v []driver.Value) error {
		stored, _ := v[0].([]byte)
		if id, _ := seal.SealedBy(stored); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return nil
	})
}

// unseal opens the key of views, and seals in one transaction what lies as it is or is sealed by an older key. What was there before is
// zeroed where it lay. Tails of pages that other tables have taken since it was let go of are not reached.
func (s *Store) unseal() error {
	if s.lacks != "" {
		return nil // who inspects the folder can do without
	}
	ids, err := sealedBy(s.w)
	if err != nil {
		return err
	}
	if err := s.LoadViews(tx{s.w}); err != nil || s.opts.Inspect || !slices.ContainsFunc(ids, func(id string) bool { return id != s.keys.ID() }) {
		return err
	}
	// First, so that no page that is used for what is sealed has a tail of what was not.
	if err := s.scrub(); err != nil {
		s.log.Warn("pages that are not used cannot be written over: secrets may be left in them as they were", "error", err)
	}
	if err := s.w.exec("PRAGMA secure_delete = ON"); err != nil {
		return err
	}
	if err := s.w.tx(func() error {
		_, err := s.Reseal(tx{s.w})
		return err
	}); err != nil {
		return err
	}
	s.log.Info("the secrets in the data folder were sealed", "key", s.keys.ID())
	return errors.Join(s.w.exec("PRAGMA secure_delete = OFF"), s.finalCheckpoint())
}

// scrubPages is how much is written over in one commit: 16 MiB.
const scrubPages = 4096

// scrub zeroes the pages that the database does not use, and the log.
func (s *Store) scrub() error {
	size, err := s.w.int64("PRAGMA page_size")
	if err != nil {
		return err
	}
	// A table may be left of a start that was killed.
	for _, statement := range []string{`DROP TABLE IF EXISTS scrub`, "PRAGMA secure_delete = ON", `CREATE TABLE scrub (zeros BLOB NOT NULL)`} {
		if err := s.w.exec(statement); err != nil {
			return err
		}
	}
	for {
		free, err := s.w.int64("PRAGMA freelist_count")
		if err != nil {
			return err
		}
		if free == 0 {
			break
		}
		// A page has four bytes that lead to the next. SQLite keeps the half page beside the row, so that all others are full.
		if err := s.w.exec(`INSERT INTO scrub (zeros) VALUES (zeroblob(?))`, min(free, scrubPages)*(size-4)+size/2); err != nil {
			return err
		}
		if _, _, err := walCheckpoint(s.w, "PASSIVE"); err != nil {
			return err
		}
	}
	for _, statement := range []string{"PRAGMA secure_delete = OFF", `DROP TABLE scrub`} { // which is zero already
		if err := s.w.exec(statement); err != nil {
			return err
		}
	}
	return s.finalCheckpoint()
}

// viewSeal reads the key of views as it is stored; nil: there is none.
func viewSeal(w *writer) (stored []byte, err error) {
	return stored, w.query(tables.ViewSealQuery, func(v []driver.Value) error {
		value, _ := v[0].([]byte)
		stored = slices.Clone(value)
		return nil
	})
}
