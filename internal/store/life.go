package store

import (
	"bytes"
	"crypto/rand"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"carom"
)

// A folder that was restored from a copy has forgotten which ids it gave out since. So it begins a new life, and ids name the
// life they were given out in: buckets and rewards keep theirs. That a folder was restored shows in a small file beside the
// database. Both hold the same random mark, which changes every hour, and the database remembers when the file was last
// written and which file it is itself: no way to copy files back brings all of that back.

const (
	lifeFile = "carom.life"
	lifeMark = "life" // its name among the secrets

	// remarkEvery is how old a copy must be to be recognised if the database alone is put back over itself.
	remarkEvery = time.Hour
)

// loadLife reads the number of the folder's life, and begins a new one if the folder was restored.
func (s *Store) loadLife(now time.Time) error {
	have, err := s.w.int64(`SELECT value FROM meta WHERE key = 'incarnation'`)
	if err != nil {
		return err
	}
	s.inc = carom.Incarnation(have)
	var stored []byte
	if err := s.w.query(`SELECT value FROM secrets WHERE name = ?`, func(v []driver.Value) error {
		stored = slices.Clone(v[0].([]byte))
		return nil
	}, lifeMark); err != nil {
		return err
	}
	s.restored = len(stored) > 0 && !bytes.Equal(stored, s.lifeNow())
	if have == 0 || s.restored {
		s.inc = max(newIncarnation(now), s.inc+1)
		if err := s.w.exec(`INSERT INTO meta (key, value) VALUES ('incarnation', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1`, int64(s.inc)); err != nil {
			return err
		}
	}
	if s.restored {
		// A copy does not know what has ended since: whoever was signed out or removed would be back.
		for _, table := range []string{"sessions", "links"} {
			if err := s.w.exec(`DELETE FROM ` + table); err != nil {
				return err
			}
		}
		s.log.Warn("the data folder was restored or copied: it begins a new life, so that no id is given out twice")
	}
	return s.remark(s.w)
}

// lifeNow is what the database should have stored of the folder as it is.
func (s *Store) lifeNow() []byte {
	path := filepath.Join(s.dir, lifeFile)
	mark, err := os.ReadFile(path)
	if err != nil {
		return nil // it is missing: the folder is not the one that it was
	}
	return fmt.Appendf(mark, " %s %s", s.opts.identity(path, true), s.opts.identity(filepath.Join(s.dir, databaseFile), false))
}

// writeMark writes the file in place, so that it stays the file that it is, and syncs it.
func writeMark(path, mark string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(mark)
	return errors.Join(err, f.Sync(), f.Close())
}

// remark gives the folder a new mark. If the process dies between its two halves, the next start takes the folder for a copy,
// which costs no more than a new bucket.
func (s *Store) remark(w *writer) error {
	var mark [16]byte
	_, _ = rand.Read(mark[:]) // crypto/rand never fails
	path := filepath.Join(s.dir, lifeFile)
	if err := writeMark(path, hex.EncodeToString(mark[:])); err != nil {
		return fmt.Errorf("%w: %w", carom.ErrUnavailable, err)
	}
	s.marked = s.opts.Clock()
	return w.exec(`INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2`, lifeMark, s.lifeNow())
}
