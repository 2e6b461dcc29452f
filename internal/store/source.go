package store

import (
	"bufio"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"

	"carom"
	"carom/internal/books"
	"carom/internal/seal"
	"carom/internal/tables"
)

// Source reads a data folder row by row, for what moves it to another store. Nothing of it writes, and who works in the folder is not
// held up. One goroutine may use it at a time.
type Source struct {
	Life carom.Incarnation // of the folder: what was read in another one may not be mixed with this
	Keys *seal.Ring        // that its secrets are sealed by
	Seal []byte            // the key of its views, as it is stored

	dir string
	w   *writer // only reads
}

// Holds says whether there is a database of carom in a folder.
func Holds(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, databaseFile))
	return err == nil
}

// OpenSource opens a data folder to read it, in use or not. keys are those of the settings; the folder may have its own. It returns
// carom.ErrInvalid for a folder without a database, of another release's schema, or sealed by a key that is missing.
func OpenSource(dir string, keys *seal.Ring) (_ *Source, err error) {
	s := &Source{dir: dir}
	path := filepath.Join(dir, databaseFile)
	if !Holds(dir) {
		return nil, fmt.Errorf("there is no database of carom in the folder %s: %w", dir, carom.ErrInvalid)
	}
	conn, err := new(sqlite.Driver).Open(dsn(path, url.Values{
		"mode": {"ro"}, "_pragma": {"query_only(1)", "busy_timeout(10000)", "cache_size(-16384)", "temp_store(MEMORY)"},
	}))
	if err != nil {
		return nil, translate(err)
	}
	s.w = &writer{conn: conn}
	defer func() {
		if err != nil {
			_ = s.Close() // the first error says more
			err = fmt.Errorf("data folder %s: %w", dir, err)
		}
	}()
	names, err := migrationNames()
	if err != nil {
		return nil, err
	}
	have, err := s.w.int64("PRAGMA user_version")
	if err != nil {
		return nil, err
	}
	old, err := s.w.int64(`SELECT count(*) FROM buckets WHERE version <> ? AND dropped = 0`, int64(bucketVersion))
	if err != nil {
		return nil, err
	}
	if int(have) != len(names) || old > 0 {
		return nil, fmt.Errorf("its tables are those of another release (schema %d, this one's is %d): upgrade the server first: %w", have, len(names), carom.ErrInvalid)
	}
	life, err := s.w.int64(`SELECT value FROM meta WHERE key = 'incarnation'`)
	if err != nil {
		return nil, err
	}
	s.Life = carom.Incarnation(life)
	own, _, err := readKeys(dir)
	if err != nil {
		return nil, err
	}
	s.Keys = keys.With(own)
	if s.Seal, err = viewSeal(s.w); err != nil {
		return nil, err
	}
	_, err = tables.OpenViewSeal(s.Keys, s.Seal)
	return s, err
}

// Query calls row for each row of the result, until it returns an error. Values are int64, string, []byte or nil; the slice is used
// again for the next row.
func (s *Source) Query(query string, row func([]driver.Value) error, args ...driver.Value) error {
	return s.w.query(query, row, args...)
}

// Int64 returns the first column of the first row, or 0 when there is none or it is NULL.
func (s *Source) Int64(query string, args ...driver.Value) (int64, error) {
	return s.w.int64(query, args...)
}

// IndexKey is the first event of a dedupe key, as the index of a bucket holds it.
type IndexKey struct {
	Sum   [16]byte
	Seq   uint32 // of the event in its bucket
	At    uint32 // seconds since 1970 UTC
	Check uint32
}

// IndexKeys calls each for the dedupe keys of a closed bucket whose rows retention has dropped, in the order of their sums. Without an
// index there are none.
func (s *Source) IndexKeys(bucket uint32, each func(IndexKey) error) error {
	x, err := openIndex(indexPath(s.dir, bucket), bucket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBadIndex) {
		return nil // copies of its events cannot be told any more: the store has said so
	}
	if err != nil {
		return translate(err)
	}
	defer func() { _ = x.Close() }() // it only read
	r := bufio.NewReaderSize(io.NewSectionReader(x.file, x.firsts.off, int64(x.firsts.n)*firstBytes), 1<<20)
	var b [firstBytes]byte
	for range x.firsts.n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("read an index file: %w", err)
		}
		k := IndexKey{[16]byte(b[:16]), binary.LittleEndian.Uint32(b[16:]), binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint32(b[24:])}
		if err := each(k); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the reading.
func (s *Source) Close() error { return s.w.Close() }

// Recent are the views whose ymid repeats and which an event may still join, by the sum that they claim. It may be called only after
// Run has returned: the committer changes them.
func (s *Store) Recent() map[[16]byte][]books.RecentView { return maps.Clone(s.recent.views) }

// MarkMoved notes in the folder that everything was moved to a database, so that nobody starts with the folder by mistake: [Open] refuses
// it from now on. to is for people, and holds no password.
func (s *Store) MarkMoved(to string) error {
	return writeSynced(filepath.Join(s.dir, MovedFile), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, to)
		return err
	})
}

// checkMoved refuses a folder that was moved to a database, unless that is what the caller wants.
func (s *Store) checkMoved() error {
	path := filepath.Join(s.dir, MovedFile)
	to, err := os.ReadFile(path)
	if s.opts.Moved || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return translate(err)
	}
	return fmt.Errorf("this data folder was moved to %s: start with --database instead of the folder. What was accepted there since is not here; if no server has worked on the database yet, and you want the folder back, delete the file %s: %w",
		strings.TrimSpace(string(to)), path, carom.ErrConflict)
}
