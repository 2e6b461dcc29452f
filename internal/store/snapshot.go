package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carom"
)

// Snapshot is the data folder as it was at one moment, while it goes on being written. It holds a read transaction and open
// files until it is closed; the write-ahead log grows meanwhile.
type Snapshot struct {
	At     time.Time // everything that was acknowledged before it is in the snapshot
	Schema int       // of the permanent tables
	Key    string    // id of the key that the secrets in it are sealed by
	HasKey bool      // the file with that key is in the snapshot; else the key comes from the settings

	dir     string
	db      *sql.DB
	tx      *sql.Tx
	size    int64 // of the database, in bytes
	indexes []*os.File
	keyFile []byte
}

// maxSnapshotLog is how long the write-ahead log may get while a snapshot is read: what reads it is too slow then.
const maxSnapshotLog = 4 << 30

// Snapshot begins a snapshot. The caller closes it.
//
// It returns carom.ErrUnavailable when the folder cannot be read.
func (s *Store) Snapshot(ctx context.Context) (_ *Snapshot, err error) {
	s.houseMu.Lock() // no index is removed before it is open
	defer s.houseMu.Unlock()
	snap := &Snapshot{At: s.opts.Clock().UTC(), Key: s.keys.ID(), HasKey: s.keyFile != nil, dir: s.dir, keyFile: s.keyFile}
	defer func() {
		if err != nil {
			err = fmt.Errorf("snapshot: %w", translate(errors.Join(err, snap.Close())))
		}
	}()
	if snap.db, err = openReader(filepath.Join(s.dir, databaseFile), 1); err != nil {
		return nil, err
	}
	// The transaction outlives ctx's end: Close ends it. It sees what was committed when its first statement ran.
	if snap.tx, err = snap.db.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true}); err != nil {
		return nil, err
	}
	var pages, pageSize int64
	for _, v := range []struct {
		pragma string
		to     any
	}{{"user_version", &snap.Schema}, {"page_count", &pages}, {"page_size", &pageSize}} {
		if err = snap.tx.QueryRowContext(ctx, "PRAGMA "+v.pragma).Scan(v.to); err != nil {
			return nil, err
		}
	}
	snap.size = pages * pageSize
	for _, b := range *s.closed.Load() {
		if err = snap.add(indexPath(s.dir, b.number)); err != nil {
			return nil, err
		}
	}
	for _, seg := range *s.rewards.closed.Load() {
		if err = snap.add(segmentPath(s.dir, seg.number)); err != nil {
			return nil, err
		}
	}
	return snap, nil
}

// add opens an index file, unless it was not built yet: who restores the snapshot builds it from the rows.
func (snap *Snapshot) add(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		snap.indexes = append(snap.indexes, f)
	}
	return err
}

// Files calls visit for each file of the snapshot with its name in the folder, its size in bytes, and its content, which
// has to be read at once. It ends at the first error of visit.
func (snap *Snapshot) Files(ctx context.Context, visit func(name string, size int64, content io.Reader) error) error {
	for _, f := range snap.indexes {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("snapshot: %w", translate(err))
		}
		if err := visit(info.Name(), info.Size(), io.NewSectionReader(f, 0, info.Size())); err != nil {
			return err
		}
	}
	if snap.HasKey {
		if err := visit(KeyFile, int64(len(snap.keyFile)), bytes.NewReader(snap.keyFile)); err != nil {
			return err
		}
	}
	pages, err := snap.pages(ctx)
	if err != nil {
		return fmt.Errorf("snapshot: %w", translate(err))
	}
	return errors.Join(visit(databaseFile, snap.size, pages), pages.rows.Close())
}

// pages reads the database page by page. SQLite itself hands out the pages of a transaction, wherever they lie; copying the file
// would need to keep the log out of it, and closing a second handle of it would drop SQLite's locks.
func (snap *Snapshot) pages(ctx context.Context) (*pageReader, error) {
	//lint:ignore rowserrcheck the reader asks for it, see pageReader.Read
	rows, err := snap.tx.QueryContext(ctx, `SELECT data FROM sqlite_dbpage`)
	if err != nil {
		return nil, err
	}
	return &pageReader{rows: rows, log: filepath.Join(snap.dir, databaseFile+"-wal")}, nil
}

// Close ends the snapshot. Twice is safe.
func (snap *Snapshot) Close() error {
	var errs []error
	if snap.tx != nil {
		errs = append(errs, snap.tx.Rollback())
		snap.tx = nil
	}
	if snap.db != nil {
		errs = append(errs, snap.db.Close())
		snap.db = nil
	}
	for _, f := range snap.indexes {
		errs = append(errs, f.Close())
	}
	snap.indexes = nil
	return errors.Join(errs...)
}

// pageReader is a database as a stream of bytes.
type pageReader struct {
	rows *sql.Rows
	log  string       // path of the write-ahead log
	page sql.RawBytes // what is left of the current page
	n    int          // pages read
}

func (r *pageReader) Read(p []byte) (int, error) {
	for len(r.page) == 0 {
		if !r.rows.Next() {
			if err := r.rows.Err(); err != nil {
				return 0, translate(err)
			}
			return 0, io.EOF
		}
		if err := r.rows.Scan(&r.page); err != nil {
			return 0, translate(err)
		}
		if r.n++; r.n%10_000 == 0 {
			if info, err := os.Stat(r.log); err == nil && info.Size() > maxSnapshotLog {
				return 0, fmt.Errorf("the write-ahead log grew to %d MiB while the database was read: write the backup to a faster place: %w",
					info.Size()>>20, carom.ErrUnavailable)
			}
		}
	}
	n := copy(p, r.page)
	r.page = r.page[n:]
	return n, nil
}

// Owns says whether a file of this name in a data folder is the store's.
func Owns(name string) bool {
	switch name {
	case databaseFile + "-wal", databaseFile + "-shm", lifeFile, MovedFile:
		return true
	}
	return SnapshotFile(name)
}

// SnapshotFile says whether a file of this name can be part of a snapshot.
func SnapshotFile(name string) bool {
	if name == databaseFile || name == KeyFile {
		return true
	}
	for _, prefix := range []string{"index_", "rewards_"} {
		if number, ok := strings.CutPrefix(name, prefix); ok {
			return number != "" && strings.Trim(number, "0123456789") == ""
		}
	}
	return false
}

// Check opens a data folder that nobody uses, as a start of carom would, and says what is in it: whether SQLite finds the
// database whole, and what the check of the ledger finds. Nothing is dropped for its age. Its secrets stay sealed as they are.
//
// It returns the errors of [Open], and carom.ErrInvalid when the database is damaged.
func Check(ctx context.Context, dir string, opts Options) (_ Checked, err error) {
	const forever = 100 * 365 * 24 * time.Hour
	opts.Retention, opts.CountRetention, opts.UnverifiedRetention = forever, forever, forever
	opts.Inspect = true
	s, err := Open(dir, opts)
	if err != nil {
		return Checked{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var said string
	if err := s.r.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&said); err != nil {
		return Checked{}, fmt.Errorf("check the database: %w", translate(err))
	}
	if said != "ok" {
		return Checked{}, fmt.Errorf("check the database: %s: %w", said, carom.ErrInvalid)
	}
	running, stop := context.WithCancel(ctx) // the committer answers for what is in memory
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	out := Checked{Lacks: s.lacks}
	if out.Ledger, err = s.CheckLedger(ctx); err != nil {
		return Checked{}, err
	}
	newest, err := s.Events(ctx, carom.EventFilter{Limit: 1})
	if err == nil && len(newest) > 0 {
		out.Newest = newest[0].At
	}
	return out, err
}

// Checked is what [Check] found in a data folder.
type Checked struct {
	Newest time.Time // when its newest event was received; zero: it has none
	Lacks  string    // id of a key that its secrets are sealed by and that is neither in it nor in the options; empty: they can be opened
	Ledger carom.LedgerReport
}
