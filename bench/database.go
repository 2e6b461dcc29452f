package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"carom/bench/proc"
	"carom/internal/pgtest"

	"github.com/jackc/pgx/v5"
)

// database is the PostgreSQL server of a run, durable and on a real disk. Each deployment of carom gets a database of its own in it.
type database struct {
	cluster *pgtest.Cluster
	dir     string // the folder that its data folder lies in
	facts   string // which server it is and how it is set
	made    int    // databases so far
}

// settingsFor are the settings that a server of its own for carom should have on a machine with so much memory: a cache that holds
// the keys' indexes, checkpoints that come seldom, since every page that changes after one is logged whole, and these compressed.
func settingsFor(memory int64) map[string]string {
	const mib = 1 << 20
	shared := min(max(memory/4, 128*mib), 8<<10*mib)
	return map[string]string{
		"shared_buffers":       fmt.Sprintf("%dMB", shared/mib),
		"effective_cache_size": fmt.Sprintf("%dMB", max(memory/2, 256*mib)/mib),
		"max_wal_size":         "8GB",
		"min_wal_size":         "1GB",
		"wal_buffers":          "64MB",
		"wal_compression":      "lz4",
		"checkpoint_timeout":   "15min",
		"random_page_cost":     "1.1", // no disk that spins
		"jit":                  "off", // no query is worth a compiler
	}
}

// startDatabase starts the server, with its data below dir, which the user postgres must be able to reach.
func startDatabase(dir string) (*database, error) {
	dir, err := filepath.Abs(filepath.Join(dir, "postgres"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	settings := settingsFor(proc.Memory())
	cluster, err := pgtest.Start(pgtest.Options{Dir: dir, Durable: true, Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL in %s (the user postgres must be able to reach it: choose another folder with -dir): %w", dir, err)
	}
	d := &database{cluster: cluster, dir: dir}
	err = d.query(context.Background(), "postgres", `SELECT split_part(current_setting('server_version'), ' ', 1)`, &d.facts)
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	d.facts = "PostgreSQL " + d.facts + " with"
	for i, name := range []string{"shared_buffers", "max_wal_size", "wal_compression"} {
		d.facts += []string{" ", ", ", " and "}[i] + name + " = " + settings[name]
	}
	return d, nil
}

// databaseReading is the state of the server at one moment.
type databaseReading struct {
	cpu    time.Duration
	wal    int64   // bytes, from the beginning
	images int64   // of whole pages in them
	busy   float64 // milliseconds that sessions have spent in transactions; the last second may be missing
}

// databaseAccount is what the database did for one measurement.
type databaseAccount struct {
	CPUPer1000      float64 `json:"cpu_s_per_1000"`       // of all its processes, until everything was delivered
	WALPerEvent     float64 `json:"wal_bytes_per_event"`  // the same
	ImagesPerEvent  float64 `json:"wal_images_per_event"` // of whole pages; the same
	CommitsPerSec   float64 `json:"commits_per_s"`        // of the nodes, in the window
	EventsPerCommit float64 `json:"events_per_commit"`    // delivered in the window, to those
	CommitMS        float64 `json:"commit_ms"`            // that sessions spent in transactions in the window, to those
	RowsPerCommit   float64 `json:"rows_per_commit"`      // written, from the start of the nodes to their end
	Ready           float64 `json:"ready_s"`              // from the start of the first node until it was ready
}

// accountOf compares readings: those at the ends of the window of so many seconds, of which commits, nil when the nodes do not
// tell, and delivered are, and the one when all events were delivered.
func accountOf(first, last, end databaseReading, events float64, commits *float64, delivered, seconds float64) *databaseAccount {
	a := &databaseAccount{}
	if events > 0 {
		a.CPUPer1000 = (end.cpu - first.cpu).Seconds() / events * 1000
		a.WALPerEvent = float64(end.wal-first.wal) / events
		a.ImagesPerEvent = float64(end.images-first.images) / events
	}
	if commits != nil && *commits > 0 {
		a.CommitsPerSec, a.EventsPerCommit = *commits/seconds, delivered / *commits
		a.CommitMS = (last.busy - first.busy) / *commits
	}
	return a
}

func (d *database) read(ctx context.Context) (x databaseReading, err error) {
	// On the way of events the nodes' committers are the only ones with transactions, so what all sessions spend in them is theirs.
	if err = d.query(ctx, "postgres", `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, (SELECT wal_fpi FROM pg_stat_wal),
		(SELECT sum(active_time + idle_in_transaction_time) FROM pg_stat_database)`, &x.wal, &x.images, &x.busy); err == nil {
		x.cpu, err = d.cluster.CPU()
	}
	return x, err
}

// written is how many rows were inserted, updated and deleted in a database. What sessions did that stand still or have ended is in
// it; of the others the last second may be missing.
func (d *database) written(ctx context.Context, name string) (rows int64, err error) {
	err = d.query(ctx, "postgres", `SELECT tup_inserted + tup_updated + tup_deleted FROM pg_stat_database WHERE datname = '`+name+`'`, &rows)
	return rows, err
}

// create makes an empty database and returns its name.
func (d *database) create(ctx context.Context) (string, error) {
	d.made++
	name := "carom" + strconv.Itoa(d.made)
	// A checkpoint now, so that none comes during the round because of what was before it.
	return name, d.exec(ctx, "postgres", "CREATE DATABASE "+name+" OWNER carom TEMPLATE template0", "CHECKPOINT")
}

func (d *database) drop(ctx context.Context, name string) error {
	return d.exec(ctx, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
}

// restart starts the server anew with nothing in memory of what it had read, and says how; see [proc.DropCache].
func (d *database) restart() (how string, err error) {
	if err = d.cluster.Stop(pgtest.Fast); err != nil {
		return "", err
	}
	how, err = proc.DropCache(d.dir)
	return how, errors.Join(err, d.cluster.Restart(pgtest.Fast))
}

// use calls f with a connection of the superuser.
func (d *database) use(ctx context.Context, name string, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, d.cluster.AdminURL(name))
	if err != nil {
		return err
	}
	return errors.Join(f(conn), conn.Close(context.WithoutCancel(ctx)))
}

// exec runs statements one by one.
func (d *database) exec(ctx context.Context, name string, statements ...string) error {
	return d.use(ctx, name, func(conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// query reads the one row of a query.
func (d *database) query(ctx context.Context, name, sql string, into ...any) error {
	return d.use(ctx, name, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(into...) })
}

// onDatabase starts nodes on a database, with the sink as their only endpoint. Their folders hold nothing that matters.
func (r *rig) onDatabase(ctx context.Context, name, secret string, nodes int, env ...string) (t target, err error) {
	t = target{name: "carom", sends: true, onDB: true}
	t.traffic.Paths = []string{postback(secret, zoneMain)}
	for i := range nodes {
		dir, err := r.fresh()
		if err != nil {
			return t, err
		}
		c, err := r.launch(ctx, proc.Setup{Dir: dir, Config: objectsFile(secret, r.toSink()),
			Env: slices.Concat(env, []string{"CAROM_DATABASE=" + r.db.cluster.URL(name), "CAROM_NODE_NAME=node" + strconv.Itoa(i+1)})})
		if err != nil {
			return t, errors.Join(err, t.stop())
		}
		if i == 0 {
			t.addr, t.process, t.carom = c.Addr, c.Process, c
		} else {
			t.others = append(t.others, c)
		}
	}
	return t, nil
}

// stop ends all nodes.
func (t *target) stop() error {
	var errs []error
	for _, c := range t.nodes() {
		errs = append(errs, c.Stop(stopGrace))
	}
	return errors.Join(errs...)
}

// measureNodes starts nodes on an empty database, saturates them or sends at a rate, and stops them.
func (r *rig) measureNodes(ctx context.Context, nodes int, pl plan, p *part) (m measurement, err error) {
	name, err := r.db.create(ctx)
	if err != nil {
		return m, err
	}
	if m, err = r.measureDatabase(ctx, name, nodes, proc.NewSecret(), pl, p); err != nil {
		return m, err
	}
	return m, r.db.drop(ctx, name)
}

// measureDatabase is measureNodes on a database that is there.
func (r *rig) measureDatabase(ctx context.Context, name string, nodes int, secret string, pl plan, p *part) (m measurement, err error) {
	t, err := r.onDatabase(ctx, name, secret, nodes)
	if err != nil {
		return m, err
	}
	if note := r.db.facts; !slices.Contains(p.Notes, note) {
		p.note("%s", note)
	}
	commits := func() (n float64) {
		for _, c := range t.nodes() {
			n += c.Counters(ctx, metricCommits)[metricCommits]
		}
		return n
	}
	committed := commits()
	wrote, err := r.db.written(ctx, name)
	if err == nil {
		m, err = r.measure(ctx, t, pl)
	}
	committed = commits() - committed
	if stopErr := t.stop(); stopErr != nil {
		p.note("%v", stopErr)
	}
	if err != nil {
		return m, err
	}
	m.Database.Ready = t.carom.Ready.Seconds()
	after, err := r.db.written(ctx, name)
	if committed > 0 {
		m.Database.RowsPerCommit = float64(after-wrote) / committed
	}
	return m, err
}
