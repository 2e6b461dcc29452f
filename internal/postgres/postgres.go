// Package postgres keeps everything that carom must not lose in a PostgreSQL database, which several nodes share.
//
// It does what package store does on SQLite, by the same methods. Each node has one committer: it takes whatever has queued
// while its last commit ran, claims the dedupe keys of all of it, decides, and writes and commits the rest; only then it answers.
// The database decides between nodes: by the rows of keys and claims, which are locked in one order.
//
// A node works under a lease on a number, which is never given to another. Every commit proves the lease; who ends it, when its
// node is dead or cut off, waits for a commit under way, and takes over what the node's memory held. Time is the database's.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"carom"
	"carom/internal/seal"
	"carom/internal/tables"
)

// Options are the settings of a store. The zero value of a field means its default.
type Options struct {
	URL                 string           // of the database: postgres://…
	Name                string           // of this node, for people; the machine's
	Version             string           // of this release
	Deployment          string           // to which the database has to belong; empty: "carom"
	BucketEvents        int              // events of one node after which a time bucket closes for all; 1,000,000
	BucketAge           time.Duration    // age at which it closes; 24 h
	Retention           time.Duration    // of events, their attempts, refused postbacks; 30 days
	UnverifiedRetention time.Duration    // of the unverified sample; 7 days
	CountRetention      time.Duration    // of counts; 400 days
	AuditRetention      time.Duration    // of the audit log; 400 days
	MaxQueue            int              // submissions that may wait for a commit; 16,384
	Clock               func() time.Time // of what is stored; nil: the database's. Leases run by the database's alone
	Keys                *seal.Ring       // seal the secrets in the database, the newest first; nil: they are stored as they are
	// Decide says what becomes of a candidate; see internal/reward. Nil declines all.
	Decide func(*carom.Candidate, *carom.RewardFacts) carom.Decision
	Log    *slog.Logger

	leaseTime time.Duration    // tests let leases end sooner
	machine   func() time.Time // the clock of this machine, which tests set wrong
}

// DefaultLease is how long a node is taken for alive after its last commit. A node commits at least every second.
const DefaultLease = 10 * time.Second

func (o Options) withDefaults() Options {
	set(&o.BucketEvents, 1_000_000)
	set(&o.BucketAge, 24*time.Hour)
	set(&o.Retention, 30*24*time.Hour)
	set(&o.UnverifiedRetention, 7*24*time.Hour)
	set(&o.CountRetention, 400*24*time.Hour)
	set(&o.AuditRetention, 400*24*time.Hour)
	set(&o.MaxQueue, 16_384)
	set(&o.leaseTime, DefaultLease)
	set(&o.Deployment, "carom")
	o.BucketEvents = min(o.BucketEvents, maxSeq-2*maxBatch)
	if o.Name == "" {
		o.Name, _ = os.Hostname() // a node without a name has its number
	}
	if o.machine == nil {
		o.machine = time.Now
	}
	if o.Decide == nil {
		o.Decide = func(*carom.Candidate, *carom.RewardFacts) carom.Decision {
			return carom.Decision{State: carom.RewardDeclined}
		}
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

// Store is one node's way into the database. All methods are safe for concurrent use; those that write need [Store.Run] to be
// running.
type Store struct {
	*tables.Tables // what is plain

	opts   Options
	log    *slog.Logger
	config *pgx.ConnConfig
	hosts  hosts
	pooled bool // a pooler stands between

	r     *sql.DB // of searches, stories and reports
	lanes *sql.DB // of claims and of changes, which a long search must not hold up

	clock  clock
	lease  atomic.Pointer[lease] // nil after one was lost, until there is another
	life   atomic.Uint64         // of the newest lease, in which views and statements get their ids
	queue  queue
	claims claims
	stats  tables.Stats

	// The committer alone uses these.
	link    *link
	dialed  chan dialed
	dialing bool
	unheard error // why the last attempt to connect failed; nil: it did not
	bucket  bucket
	counts  *tables.Counts
	mark    tables.Mark
	totals  totals
	doubt   *doubt // the commit of unknown outcome, until it is known
	orphans []dueRow
	// What the commit under way lets go of. It has to be let go of again when the commit fails.
	returning []dueRow
	out       *output
	books     *ledger

	rewardSeq int64 // of the newest reward of this lease: never goes back, also when a commit fails

	news, toTell chan struct{} // capacity 1: others told us, we have to tell them

	openNumber atomic.Uint32 // of the bucket that the committer writes to, for others

	version    atomic.Int64 // of the objects, as the last commit saw it
	own        atomic.Pointer[ownYMIDs]
	ownVersion atomic.Int64 // of own, as the last commit saw it

	lives sync.Map // by node: in which life its ids were given out

	trouble    atomic.Pointer[carom.Trouble] // nil while commits succeed
	unverified *tables.Unverified
	returned   returned
	pruning    sync.Mutex       // held by Prune
	sighted    time.Time        // since when the database answers the janitor, who uses this alone; zero: it does not
	tidied     time.Time        // when tidyRewards last did its work; the janitor's alone
	swept      map[string]int64 // how far sweepKeys has come, in blocks, by table; the janitor's alone

	closing  sync.Once
	closeErr error // of closing; set once
}

// totals are what this lease has counted; they stand in its row.
type totals struct{ commits, events, attempts, rewards int64 }

// Stats returns the store's counters; they go on counting.
func (s *Store) Stats() *tables.Stats { return &s.stats }

// Trouble says since when nothing can be stored; the zero value when all is well.
func (s *Store) Trouble() carom.Trouble {
	if t := s.trouble.Load(); t != nil {
		return *t
	}
	return carom.Trouble{}
}

// ObjectsVersion is the version of the objects in the database, as of about a second ago: what another node has changed shows here.
func (s *Store) ObjectsVersion() int64 { return s.version.Load() }

// Now is the time that everything is stored by: the database's, whatever the clock of this machine says.
func (s *Store) Now() time.Time {
	if s.opts.Clock != nil {
		return s.opts.Clock()
	}
	return s.clock.now()
}

// Open connects to the database, makes its tables or brings them up to date, and takes a lease. It starts nothing: call
// [Store.Run], then [Store.Close].
//
// It returns carom.ErrInvalid for a URL, a database or rights that cannot be used, and when a key of its secrets is missing;
// carom.ErrConflict for a database of another deployment, and carom.ErrUnavailable when it cannot be reached now.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	s := &Store{opts: opts.withDefaults(), dialed: make(chan dialed, 1), news: make(chan struct{}, 1), toTell: make(chan struct{}, 1), counts: tables.NewCounts(), out: newOutput(), unverified: tables.NewUnverified(), swept: map[string]int64{}}
	s.log, s.books, s.clock.machine = s.opts.Log, newLedger(s), s.opts.machine
	s.queue.init(s.opts.MaxQueue)
	s.claims.init()
	s.returned.init()
	if s.config, err = parseURL(opts.URL); err != nil {
		return nil, err
	}
	s.hosts.follow(s.config)
	defer func() {
		if err != nil {
			_ = s.Close() // the first error says more
		}
	}()
	for _, step := range []func(context.Context) error{s.connect, s.migrate, s.identify, s.unseal, s.openFirstBucket, s.join, s.load} {
		if err := step(ctx); err != nil {
			return nil, explain(s.config, err)
		}
	}
	return s, nil
}

// load reads what stays in memory.
func (s *Store) load(ctx context.Context) error {
	if err := s.link.prepare(ctx, statements()...); err != nil {
		return translate(err)
	}
	return errors.Join(s.LoadKeys(ctx), s.LoadLabels(ctx, s.counts))
}

// unseal opens the secrets, and seals what lies as it is or is sealed by an older key. A node that lacks a key gets no further.
func (s *Store) unseal(ctx context.Context) error {
	changed := false
	if err := s.write(ctx, func(tx tables.Tx) (err error) {
		if err = s.LoadViews(tx); err == nil {
			changed, err = s.Reseal(tx)
		}
		return err
	}); err != nil {
		return err
	}
	switch {
	case changed:
		s.log.Info("the secrets in the database were sealed", "key", s.opts.Keys.ID())
	case s.opts.Keys == nil:
		s.log.Warn("secrets are in the database as they are: anybody with a copy of it can read them. Set secrets_key_file on every node, see docs/security.md")
	}
	return nil
}

// connect opens the pools and the committer's link, and looks at what answers.
func (s *Store) connect(ctx context.Context) error {
	first, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.link = first
	if s.pooled = first.pooled; s.pooled {
		s.config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // nothing that a connection would have to keep
	} else {
		s.choose(first)
		_ = first.conn.Close(ctx) // it began with other settings, and has done nothing
		if s.link, err = s.dial(ctx); err != nil {
			return err
		}
	}
	// Searches are planned anew each time, by what they look for and in which bucket: a plan for any bucket reads too much of each.
	s.r, s.lanes = s.pool(poolSize, pgx.QueryExecModeCacheDescribe), s.pool(poolSize, s.config.DefaultQueryExecMode)
	s.Tables = tables.New(tables.Options{
		Read: numbered{s.r}, Lanes: numbered{s.lanes}, Write: s.write, Translate: translate, Life: func() carom.Incarnation { return carom.Incarnation(s.life.Load()) },
		Clock: s.Now, RefOf: refOf, Archive: archive{s}, Keys: s.opts.Keys,
	})
	return s.examine(ctx)
}

// poolSize is how many connections each of the two pools has at most, and connections how many a node has in all: beside the pools the
// committer's, that on which it hears of others, and one that is made while another ends.
const (
	poolSize    = 4
	connections = 2*poolSize + 3
)

// trustedFor is how long after its last use a connection of a pool is used again without a look at whether it still lives: so that nobody is
// told of one that a restart, a failover or an administrator ended while it lay idle, and what is often used costs no second round trip.
// No server is back sooner than that.
const trustedFor = 20 * time.Millisecond

func (s *Store) pool(conns int, mode pgx.QueryExecMode) *sql.DB {
	config := s.config.Copy()
	config.DefaultQueryExecMode = mode
	db := stdlib.OpenDB(*config, stdlib.OptionShouldPing(func(_ context.Context, p stdlib.ShouldPingParams) bool { return p.IdleDuration > trustedFor }))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute) // so that a connection to a server which another has replaced ends some time
	return db
}

// dial makes a link of the committer, with its statements prepared once the tables are there.
func (s *Store) dial(ctx context.Context) (*link, error) {
	l := &link{}
	config := s.config.Config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			l.warned.Store(true)
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, translate(err)
	}
	l.conn = conn
	var pid int64
	whoAmI := one("pid", "SELECT pg_backend_pid()")
	l.pooled = true // until it is known
	if err := l.exchange(ctx, query{st: whoAmI, row: func(v [][]byte) error { pid = int8Of(v[0]); return nil }}); err != nil {
		_ = conn.Close(ctx) // the first error says more
		return nil, translate(err)
	}
	// A pooler tells every client a process of its own making.
	if l.pooled = uint32(pid) != conn.PID(); l.pooled {
		l.limit = s.limitTransaction()
	}
	return l, nil
}

// Close gives the lease back and ends the connections. Call it after Run has returned; twice is safe. What still waits for a
// commit is refused.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.closeAll() })
	return s.closeErr
}

func (s *Store) closeAll() error {
	s.abandon(&batch{}, errClosed)
	var errs []error
	if s.link != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.link.conn.Close(ctx); err != nil {
			s.log.Debug("the database connection ended badly", "error", err)
		}
	}
	select {
	case d := <-s.dialed:
		if d.link != nil {
			_ = d.link.conn.Close(context.Background()) // never used
		}
	default:
	}
	for _, db := range []*sql.DB{s.lanes, s.r} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Run commits and keeps house until ctx ends; then it commits what is queued, gives the lease back, and returns. Nothing is
// accepted after that.
func (s *Store) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.keepHouse(inner) })
	wg.Go(func() { s.tellOthers(inner) })
	wg.Go(func() { s.listen(inner) })
	s.commitUntil(ctx)
	cancel()
	wg.Wait()
	if !errors.Is(context.Cause(ctx), errKilled) {
		s.leave()
	}
	return nil
}
