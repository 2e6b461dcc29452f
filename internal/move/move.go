// Package move brings a deployment from a data folder to a PostgreSQL database, with all ids, and proves that nothing is missing.
//
// What there is to move is a list of parts: a table of a time bucket, a range of a long table, a short table as a whole. Each is read
// with one statement, copied in one transaction with a note that it was brought, and brought again if the folder says that its rows have
// changed since. So a move that is interrupted anywhere goes on with the next part, and most of it can be done while the server still
// runs: the parts that do not grow any more. It promises nothing about a folder that is written to after the last run.
package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/books"
	"carom/internal/postgres"
	"carom/internal/seal"
	"carom/internal/store"
)

// Options say what to move, and how.
type Options struct {
	Folder string     // the data folder
	URL    string     // of the database: postgres://…
	Live   bool       // the server goes on working in the folder: only what does not grow any more is moved
	Verify bool       // nothing is moved: everything is read again on both sides and compared
	Keys   *seal.Ring // of the settings, by which secrets are sealed; nil: the folder has its own
	Sample int        // how many events, picked at random, are compared as the two stores tell them
	Clock  func() time.Time
	Log    *slog.Logger
	// Progress is called when a part was moved or compared; nil: nobody wants to know.
	Progress func(Progress)

	interrupt func(part string) error // tests end a move before a part
}

// Progress is how far a move has come.
type Progress struct {
	Checking    bool   // parts are being compared; else moved
	Part        string // the newest that is done
	Done, Parts int
	Rows        int64 // done in this run
	Left        int64 // rows that are left, about
	Took        time.Duration
}

// Report is what a move did.
type Report struct {
	To      string        `json:"to"`          // the database, without its password
	Moved   int           `json:"moved"`       // parts
	Rows    int64         `json:"rows"`        // in them
	Kept    int           `json:"kept"`        // parts that an earlier run had brought and that have not changed
	Checked int           `json:"checked"`     // parts that were compared
	Sampled int           `json:"sampled"`     // events that were compared as the two stores tell them
	Took    time.Duration `json:"took_ns"`     // of all
	Check   time.Duration `json:"check_ns"`    // of comparing
	Ended   bool          `json:"ended"`       // the database has everything, and the folder is not used any more
	Key     string        `json:"secrets_key"` // id of the key that the nodes need: the folder's secrets are moved as they were sealed
	// Differences say in words what is not the same on both sides. With any, the move has not ended.
	Differences []string `json:"differences"`
}

// keepAll keeps retention from dropping what is to be moved.
const keepAll = 100 * 365 * 24 * time.Hour

// mover is one run.
type mover struct {
	Options
	began  time.Time
	store  *store.Store // nil while the server works in the folder
	src    *store.Source
	target *postgres.Target
	report Report
}

// Run moves what is in the folder and has not been moved yet, compares both sides, marks the folder as moved, and opens the database for
// nodes. With Live it stops before the last two, with Verify it only compares.
//
// It returns carom.ErrConflict for a folder in use, and for a database that is not empty and was not begun by a move from this folder;
// carom.ErrInvalid for what is no folder or no database; carom.ErrUnavailable when one cannot be reached: then the next run goes on. That
// the two sides differ is no error: the report says so.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.interrupt == nil {
		o.interrupt = func(string) error { return nil }
	}
	m := &mover{Options: o, began: time.Now()}
	defer func() { err = errors.Join(err, m.close()) }()
	if err := m.open(ctx); err != nil {
		return nil, err
	}
	ended, err := m.target.Begin(ctx, m.src.Life, m.src.Seal, m.src.Keys)
	if err != nil {
		return nil, err
	}
	m.report.To, m.report.Key, m.report.Differences = m.target.Name(), m.src.Keys.ID(), []string{}
	if ended && o.Live {
		return nil, fmt.Errorf("everything was moved to %s before: %w", m.report.To, carom.ErrConflict)
	}
	var recent map[[16]byte][]books.RecentView
	if m.store != nil {
		recent = m.store.Recent()
	}
	parts, err := list(ctx, m.src, o.Clock(), recent, o.Live)
	if err != nil {
		return nil, err
	}
	if !ended && !o.Verify {
		if err := m.bring(ctx, parts); err != nil {
			return nil, err
		}
	}
	if err := m.compare(ctx, parts, ended || o.Verify); err != nil {
		return nil, err
	}
	m.report.Ended = ended
	if !ended && !o.Verify && !o.Live && len(m.report.Differences) == 0 {
		if err := m.end(ctx); err != nil {
			return nil, err
		}
	}
	m.report.Took = time.Since(m.began)
	return &m.report, nil
}

// open opens both sides. Unless the server goes on working in the folder, the store is opened first, as a start of the server would: what
// a crash left is recovered, what waits in memory is in the tables, and the folder's lock is held to the end.
func (m *mover) open(ctx context.Context) (err error) {
	if !store.Holds(m.Folder) {
		return carom.Invalid("from", "there is no database of carom in the folder %s", m.Folder)
	}
	if !m.Live {
		m.store, err = store.Open(m.Folder, store.Options{
			Retention: keepAll, CountRetention: keepAll, UnverifiedRetention: keepAll, BucketAge: keepAll, Clock: m.Clock, Log: m.Log, Keys: m.Keys, Moved: true,
		})
		if errors.Is(err, carom.ErrConflict) {
			return fmt.Errorf("%w; stop the server before the last run of the move; `carom move --live` moves most of it while the server runs", err)
		}
		if err != nil {
			return err
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		if err := m.store.Run(over); err != nil {
			return err
		}
	}
	if m.src, err = store.OpenSource(m.Folder, m.Keys); err != nil {
		return err
	}
	m.target, err = postgres.OpenTarget(ctx, m.URL, m.Log)
	return err
}

func (m *mover) close() error {
	var errs []error
	if m.target != nil {
		errs = append(errs, m.target.Close())
	}
	if m.src != nil {
		errs = append(errs, m.src.Close())
	}
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	return errors.Join(errs...)
}

// bring moves the parts that were not brought, or have changed since.
func (m *mover) bring(ctx context.Context, parts []part) error {
	brought, err := m.target.Brought(ctx)
	if err != nil {
		return err
	}
	if !m.Live {
		if err := m.forget(ctx, parts, brought); err != nil {
			return err
		}
	}
	waiting := slices.DeleteFunc(slices.Clone(parts), func(p part) bool {
		have, there := brought[p.Name]
		return there && p.Version != always && have.Version == p.Version
	})
	m.report.Kept = len(parts) - len(waiting)
	left, began := int64(0), time.Now()
	for i := range waiting {
		left += waiting[i].estimate
	}
	for i := range waiting {
		p := &waiting[i]
		if err := m.interrupt(p.Name); err != nil {
			return err
		}
		b, err := m.target.Bring(ctx, &p.Part)
		if err != nil {
			return err
		}
		left -= p.estimate
		m.report.Moved++
		m.report.Rows += b.Rows
		m.Progress(Progress{Part: p.Name, Done: i + 1, Parts: len(waiting), Rows: m.report.Rows, Left: left, Took: time.Since(began)})
	}
	return nil
}

// forget deletes from the database what retention has dropped from the folder since it was brought.
func (m *mover) forget(ctx context.Context, parts []part, brought map[string]postgres.Brought) error {
	there := map[string]bool{}
	for i := range parts {
		there[parts[i].Name] = true
	}
	for name := range brought {
		if there[name] {
			continue
		}
		p, err := gone(name)
		if err != nil {
			return err
		}
		if err := m.target.Forget(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}

// gone is a part of which nothing is in the folder any more, by its name.
func gone(name string) (postgres.Part, error) {
	table, number, ranged := strings.Cut(name, "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ranged || err != nil {
		return postgres.Part{}, fmt.Errorf("the database lists a part %q that this release does not know: use the release that began the move: %w", name, carom.ErrInvalid)
	}
	p := postgres.Part{Name: name, Table: table}
	days := func(column string, day int64) string {
		return fmt.Sprintf(`%[1]s >= %[2]d AND %[1]s < %[3]d`, column, n*day, (n+1)*day)
	}
	switch table {
	case events.name, refused.name, outcomes.name:
		p.Bucket = uint32(n)
	case counts.name, deliveryCounts.name:
		p.Where = days("minute", dayMinutes)
	case quarterCounts.name:
		p.Where = days("quarter", dayMinutes/15)
	case views.name:
		p.Where = fmt.Sprintf(`no BETWEEN %d AND %d`, n*rangeRows+1, (n+1)*rangeRows)
	case keys.name: // they expire by themselves
		p.Merge = `SELECT 1`
	default:
		return p, fmt.Errorf("the folder has lost %s, which is never dropped: look at it with `carom check --ledger`: %w", name, carom.ErrInvalid)
	}
	return p, nil
}

// end closes the folder and opens the database, in this order: nobody can work on both.
func (m *mover) end(ctx context.Context) error {
	newest := map[string]int64{}
	for _, table := range numbered {
		var err error
		if newest[table], err = m.src.Int64(`SELECT seq FROM sqlite_sequence WHERE name = ?`, table); err != nil {
			return fmt.Errorf("read the data folder: %w", err)
		}
	}
	if err := m.interrupt("mark"); err != nil {
		return err
	}
	if err := m.store.MarkMoved(m.target.Name()); err != nil {
		return fmt.Errorf("mark the data folder as moved: %w", err)
	}
	if err := m.interrupt("end"); err != nil {
		return err
	}
	if err := m.target.End(ctx, newest); err != nil {
		return fmt.Errorf("open the database for nodes: %w", err)
	}
	m.report.Ended = true
	return nil
}

// MarkOf is the file that says that a folder was moved.
func MarkOf(folder string) string { return filepath.Join(folder, store.MovedFile) }

// maxDifferences is how many differences a report lists of one part.
const maxDifferences = 10

// perSecond is a rate for people.
func (p Progress) perSecond() float64 {
	return float64(p.Rows) / math.Max(p.Took.Seconds(), 0.001)
}

// String says how far the move has come, in a line.
func (p Progress) String() string {
	what := "moved"
	if p.Checking {
		what = "compared"
	}
	return fmt.Sprintf("%s %d of %d parts (%s), %d rows, %.0f a second, about %d rows left", what, p.Done, p.Parts, p.Part, p.Rows, p.perSecond(), p.Left)
}
