// Package store keeps everything that carom must not lose, in a data folder, on SQLite. Its plain tables are those of internal/tables.
//
// One goroutine, the committer, writes: it takes whatever has queued while its last commit ran, decides which events are
// copies, appends, commits, syncs, and only then answers. Accepts, refusals, outcomes of attempts and changes of objects
// share commits. Reads run on connections of their own and never wait for it.
//
// The store promises that what [Store.Accept] acknowledged survives a crash or power cut at any moment, that within its
// window a dedupe key has one event, and that every delivery of an accepted event is delivered, recorded as ended, or handed
// out again after a restart. It does not promise that a delivery is attempted only once: see docs/decisions/0001-engine.md.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"carom"
	"carom/internal/seal"
	"carom/internal/tables"
)

// Options are the settings of a store. The zero value of a field means its default.
type Options struct {
	BucketEvents        int           // events after which a bucket closes; 1,000,000
	BucketAge           time.Duration // age at which it closes; 24 h
	Retention           time.Duration // of events, their attempts, refused postbacks; 30 days
	UnverifiedRetention time.Duration // of the unverified sample; 7 days
	CountRetention      time.Duration // of counts; 400 days
	AuditRetention      time.Duration // of the audit log; 400 days
	SegmentRewards      int           // rewards whose keys share an index file; 500,000
	MaxQueue            int           // submissions that may wait for a commit; 16,384
	CacheMB             int           // page cache of the writing connection; 16
	Clock               func() time.Time
	// Decide says what becomes of a candidate; see internal/reward. Nil declines all.
	Decide func(*carom.Candidate, *carom.RewardFacts) carom.Decision
	Log    *slog.Logger
	// Keys seal the secrets of the folder, the newest first. Nil: the folder has a file with a key of its own.
	Keys    *seal.Ring
	Inspect bool // seals nothing, and opens the folder also without its keys: for what only checks a copy
	Moved   bool // opens the folder also when it was moved to a database: for what compares the two

	foldAt    int                                    // see foldAt; tests fold more often
	foldSlice int                                    // see foldSlice
	markEvery int                                    // see markEvery; tests store it more often
	identity  func(path string, changed bool) string // see identity; to some tests a copy is the folder itself
}

func (o Options) withDefaults() Options {
	set(&o.BucketEvents, 1_000_000)
	set(&o.BucketAge, 24*time.Hour)
	set(&o.Retention, 30*24*time.Hour)
	set(&o.UnverifiedRetention, 7*24*time.Hour)
	set(&o.CountRetention, 400*24*time.Hour)
	set(&o.AuditRetention, 400*24*time.Hour)
	set(&o.SegmentRewards, 500_000)
	set(&o.MaxQueue, 16_384)
	set(&o.CacheMB, 16)
	set(&o.markEvery, markEvery)
	set(&o.foldAt, foldAt)
	set(&o.foldSlice, foldSlice)
	o.BucketEvents = min(o.BucketEvents, MaxBucketEvents)
	o.SegmentRewards = min(o.SegmentRewards, MaxBucketEvents)
	if o.Decide == nil {
		o.Decide = func(*carom.Candidate, *carom.RewardFacts) carom.Decision {
			return carom.Decision{State: carom.RewardDeclined}
		}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.identity == nil {
		o.identity = identity
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func set[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// Store is an open data folder. All methods are safe for concurrent use; those that write need [Store.Run] to be running.
type Store struct {
	*tables.Tables

	dir  string
	opts Options
	log  *slog.Logger
	lock *flock.Flock
	inc  carom.Incarnation // the folder's life

	keys    *seal.Ring // that its secrets are sealed by
	keyFile []byte     // what is in the file with the folder's own keys; nil: they come from elsewhere
	lacks   string     // id of a key that is missing; to who inspects the folder alone

	restored bool      // the folder began a new life at this start
	marked   time.Time // when its mark was last changed; the committer's after the start
	tidied   time.Time // when tidyRewards last did its work; houseMu guards it

	w     *writer // the committer's
	check *writer // the checkpointer's
	r     *sql.DB // of searches, stories and reports
	lanes *sql.DB // of claims, which a long search must not hold up

	queue  queue
	claims claims
	stats  tables.Stats

	// The committer alone uses these.
	open        *openBucket
	st          *statements
	counts      *tables.Counts
	tallies     tallies
	newLines    []driver.Value // of the ledger, by the batch that is being written
	rewards     segments
	recent      recentViews
	mark        tables.Mark
	storedMark  uint64
	unsavedMark int // commits since the mark was stored

	closed  atomic.Pointer[[]*closedBucket] // in order of number; replaced as a whole by the committer and the janitor under sealMu
	sealMu  sync.Mutex                      // guards replacing closed
	sealed  chan struct{}                   // the committer sends when there is a bucket to seal; capacity 1
	houseMu sync.Mutex                      // held while buckets are sealed or dropped: one at a time

	// searchMu guards the headers of open.keys.search and the field open itself against readers.
	searchMu sync.RWMutex

	trouble   atomic.Pointer[carom.Trouble] // nil while commits succeed
	finishLog atomic.Bool                   // the checkpointer asks the committer to carry over the last pages
	windows   atomic.Int64                  // the longest dedupe window of any source, in nanoseconds
	repeats   atomic.Int64                  // the longest repeat window of any source, likewise

	unverified *tables.Unverified
	recovered  Recovered

	closing  sync.Once
	closeErr error // of closing; set once
}

// Trouble says since when nothing can be stored; the zero value when all is well.
func (s *Store) Trouble() carom.Trouble {
	if t := s.trouble.Load(); t != nil {
		return *t
	}
	return carom.Trouble{}
}

// Stats returns the store's counters; they go on counting.
func (s *Store) Stats() *tables.Stats { return &s.stats }

// Recovered is what opening a data folder found.
type Recovered struct {
	Buckets     int // kept
	Events      int // in the open bucket
	Pending     int // deliveries that lived in memory only when the process ended: due now
	Interrupted int // deliveries that must not be repeated and may have been sent: ended as dead
	Rebuilt     int // indexes that were missing or damaged
	Took        time.Duration
}

// Recovered says what [Open] found.
func (s *Store) Recovered() Recovered { return s.recovered }

// Incarnation returns the number of this data folder's life.
func (s *Store) Incarnation() carom.Incarnation { return s.inc }

// Now is the time that everything is stored by.
func (s *Store) Now() time.Time { return s.opts.Clock() }

// Dir returns the data folder.
func (s *Store) Dir() string { return s.dir }

// The names of files in a data folder that others than the store look at.
const (
	LockFile      = "carom.lock"      // locked while the folder is in use
	RestoringFile = "carom.restoring" // there while a backup takes the place of what was in the folder
	MovedFile     = "carom.moved"     // there once everything was moved to a database, whose name is in it

	databaseFile = "carom.db"
)

// Open opens the data folder dir, making it when it does not exist, and recovers what a crash left behind. It starts
// nothing: call [Store.Run], then [Store.Close].
//
// It returns carom.ErrConflict when another process uses the folder, carom.ErrInvalid when it was written by a newer
// version or a key of its secrets is missing, and carom.ErrUnavailable when it cannot be read or written.
func Open(dir string, opts Options) (_ *Store, err error) {
	began := time.Now()
	s := &Store{dir: dir, opts: opts.withDefaults(), counts: tables.NewCounts(), unverified: tables.NewUnverified(), sealed: make(chan struct{}, 1)}
	s.log = s.opts.Log
	s.queue.init(s.opts.MaxQueue)
	s.claims.init()
	s.closed.Store(&[]*closedBucket{})
	defer func() {
		if err != nil {
			_ = s.Close() // the first error says more
		}
	}()
	if s.lock, err = LockFolder(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, RestoringFile)); err == nil {
		return nil, fmt.Errorf("a restore into the data folder %s did not end: run `carom restore --replace` again; what was there before is in its newest before- folder: %w",
			dir, carom.ErrConflict)
	}
	if err := s.checkMoved(); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseFile)
	if err := makePrivate(path); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be written: %w: %w", dir, carom.ErrUnavailable, err)
	}
	if s.w, err = openWriter(path, s.opts.CacheMB); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := s.findKeys(); err != nil { // before anything is written
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	if err := migrate(s.w); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.check, err = openWriter(path, 1); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if s.r, err = openReader(path, 4); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if s.lanes, err = openReader(path, 2); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.Tables = tables.New(tables.Options{
		Read: s.r, Lanes: s.lanes, Write: s.writePlain, Translate: translate,
		Life: func() carom.Incarnation { return s.inc }, Clock: s.opts.Clock, RefOf: refOf, Archive: archive{s}, Keys: s.keys, Alone: true,
	})
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("recover %s: %w", path, err)
	}
	s.recovered.Took = time.Since(began)
	return s, nil
}

// writePlain is how the plain tables are written: with the committer's next transaction.
func (s *Store) writePlain(ctx context.Context, f func(tables.Tx) error) error {
	return s.control(ctx, func(w *writer) error { return f(tx{w}) })
}

// Unverified counts a received postback that proved nothing, and may keep it in the sample. It never waits for the disk:
// counts and samples are stored within about a second.
func (s *Store) Unverified(v carom.Unverified) { s.unverified.Add(v) }

// LockFolder makes the data folder dir, if it is not there, and this process the only one that uses it, until the lock is unlocked. It is the
// operating system's: it ends with the process. It returns carom.ErrConflict when another process has it.
func LockFolder(dir string) (*flock.Flock, error) {
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("data folder: %w: %w", carom.ErrUnavailable, err)
	}
	lock := flock.New(filepath.Join(dir, LockFile))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("data folder %s cannot be written: %w: %w", dir, carom.ErrUnavailable, err)
	}
	if !ok {
		return nil, fmt.Errorf("data folder %s is in use by another carom: stop that one, or choose another folder with --data: %w", dir, carom.ErrConflict)
	}
	return lock, nil
}

// makeFolder makes dir and the folders above it, so that their names survive a power cut.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// makePrivate makes an empty database that only its owner can read, as it will hold signing secrets. SQLite gives the files
// beside it the same mode.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close releases the folder. Call it after Run has returned; twice is safe. What still waits for a commit is refused.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.closeAll() })
	return s.closeErr
}

func (s *Store) closeAll() error {
	s.abandon(&batch{}, errClosed)
	var errs []error
	for _, db := range []*sql.DB{s.lanes, s.r} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	s.st.Close()
	for _, w := range []*writer{s.check, s.w} {
		if w != nil {
			errs = append(errs, w.Close())
		}
	}
	closed := *s.closed.Swap(&[]*closedBucket{})
	for _, b := range closed {
		if b.index != nil {
			errs = append(errs, b.index.Close())
		}
	}
	if segs := s.rewards.closed.Load(); segs != nil {
		for _, seg := range *segs {
			if seg.index != nil {
				errs = append(errs, seg.index.Close())
			}
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Unlock())
	}
	return errors.Join(errs...)
}

// newIncarnation makes a number that grows with time: 32 bits of seconds since 2020 and 8 random ones.
func newIncarnation(now time.Time) carom.Incarnation {
	var b [8]byte
	_, _ = rand.Read(b[7:]) // crypto/rand never fails
	since := uint64(max(now.Unix()-1_577_836_800, 1))
	return carom.Incarnation(since<<8 | binary.BigEndian.Uint64(b[:]))
}

// Run commits, checkpoints and keeps house until ctx ends; then it commits what is queued and returns. Nothing is accepted
// after that.
func (s *Store) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.keepCheckpoints(inner) })
	wg.Go(func() { s.keepHouse(inner) })
	s.commitUntil(ctx)
	cancel()
	wg.Wait()
	if err := s.foldAll(); err != nil {
		s.log.Warn("balances cannot be folded; the next start takes longer", "error", err)
	}
	return s.finalCheckpoint()
}
