package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"carom/bench/proc"
	"carom/internal/pgtest"
)

// replicaName is that of the replica whose answer commits wait for.
const replicaName = "second"

// databases are a primary and the replica that each of its commits waits for. Both are durable.
type databases struct {
	first, second *pgtest.Cluster
	primary       *pgtest.Cluster // the one of them that takes writes
	lost          bool            // the first has gone for good
}

func startDatabases() (_ *databases, err error) {
	d := &databases{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.first, err = pgtest.Start(pgtest.Options{Durable: true}); err != nil {
		return nil, err
	}
	d.primary = d.first
	if d.second, err = d.first.Replica(pgtest.Options{Durable: true, Name: replicaName}); err != nil {
		return nil, err
	}
	return d, d.first.Set(map[string]string{"synchronous_standby_names": replicaName})
}

func (d *databases) close() error {
	var errs []error
	for _, c := range []*pgtest.Cluster{d.second, d.first} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// failOver loses the primary for good, and makes the replica the primary. away is called in between.
func (d *databases) failOver(away func() error) error {
	if err := d.first.Kill(); err != nil {
		return err
	}
	d.lost = true
	if err := away(); err != nil {
		return err
	}
	d.primary = d.second
	return d.second.Promote()
}

// node is one process of carom, with its own ways to both databases.
type node struct {
	name   string
	number int // from 0
	setup  proc.Setup
	ways   []*proxy
	server *proc.Carom // the newest; perhaps ended
}

// newNode prepares a node, which does not run yet.
func (c *chaos) newNode(number int, secret string) (_ *node, err error) {
	n := &node{name: fmt.Sprintf("node%d", number+1), number: number}
	n.setup = proc.Setup{Binary: c.Carom, Dir: filepath.Join(c.Dir, n.name), Config: configFile(secret, c.sink.addr, c.Rate), Args: []string{"--node-name=" + n.name}}
	if c.network != nil {
		n.setup.Wrap, n.setup.Listen = c.network.wrap(number), c.network.node(number)+":8080"
	} else if n.setup.Listen, err = proc.FreeAddr(); err != nil {
		return nil, err
	}
	var hosts []string
	dsn := &url.URL{}
	for _, server := range []*pgtest.Cluster{c.databases.first, c.databases.second} {
		if dsn, err = url.Parse(server.URL("carom")); err != nil {
			return nil, err
		}
		way, err := newProxy(c.host(), dsn.Host)
		if err != nil {
			return nil, err
		}
		n.ways = append(n.ways, way)
		hosts = append(hosts, way.addr())
	}
	dsn.Host, dsn.RawQuery = strings.Join(hosts, ","), "sslmode=disable&target_session_attrs=read-write"
	n.setup.Env = []string{"CAROM_DATABASE=" + dsn.String()}
	return n, nil
}

// start starts the node and waits until it is ready.
func (n *node) start(ctx context.Context) (err error) {
	n.server, err = proc.StartCarom(ctx, n.setup)
	return err
}

// running says whether the process has not ended.
func (n *node) running() bool {
	if n.server == nil {
		return false
	}
	select {
	case <-n.server.Ended():
		return false
	default:
		return true
	}
}

// cut sets the ways to both databases, or to the second alone when the first has gone for good.
func (n *node) cut(how cut, d *databases) {
	ways := n.ways
	if d.lost {
		ways = ways[1:]
	}
	for _, w := range ways {
		w.set(how)
	}
}

func (n *node) close() {
	if n.server != nil {
		n.server.Kill()
	}
	for _, w := range n.ways {
		w.close()
	}
}

// books asks the primary itself, by no node's way.
func (d *databases) books() (*sql.DB, error) { return sql.Open("pgx", d.primary.AdminURL("carom")) }

// unrecorded counts the deliveries among those accepted by the sink since a moment whose outcome is in no commit. It waits until the
// database answers.
func (d *databases) unrecorded(ctx context.Context, accepted []delivery) (int, error) {
	left, err := d.without(ctx, accepted)
	return len(left), err
}

// without returns those of the deliveries that have not ended.
func (d *databases) without(ctx context.Context, list []delivery) ([]delivery, error) {
	places, ordinals := make([]int64, len(list)), make([]int32, len(list))
	for i, x := range list {
		places[i], ordinals[i] = x.place, int32(x.ordinal)
	}
	db, err := d.books()
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // only read
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	rows, err := db.QueryContext(ctx, `SELECT l.place, l.ordinal FROM unnest($1::bigint[], $2::int[]) AS l (place, ordinal)
		WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.place = l.place AND o.ordinal = l.ordinal AND o.state <> 'pending')`, places, ordinals)
	if err != nil {
		return nil, fmt.Errorf("ask for outcomes: %w", err)
	}
	return scan(rows)
}

// held returns the deliveries that a node has in its hands, in memory or in the due table, by the name of the node.
func (d *databases) held(ctx context.Context, name string) ([]delivery, error) {
	db, err := d.books()
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // only read
	rows, err := db.QueryContext(ctx, `WITH n AS (SELECT no, mark FROM nodes WHERE name = $1 AND ended_at = 0)
		SELECT d.place, d.ordinal FROM due d JOIN n ON d.node = n.no
		UNION
		SELECT e.place, CAST(t.n - 1 AS smallint) FROM n JOIN events e ON e.place >= n.mark AND e.place >> 25 & 32767 = n.no
			CROSS JOIN LATERAL string_to_table(e.endpoints, ' ') WITH ORDINALITY AS t (word, n)
			WHERE e.endpoints <> '' AND t.word <> '-'
			AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.place = e.place AND o.ordinal = t.n - 1)
			AND NOT EXISTS (SELECT 1 FROM due d WHERE d.place = e.place AND d.ordinal = t.n - 1)`, name)
	if err != nil {
		return nil, fmt.Errorf("ask what a node holds: %w", err)
	}
	return scan(rows)
}

func scan(rows *sql.Rows) (out []delivery, err error) {
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var x delivery
		if err := rows.Scan(&x.place, &x.ordinal); err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, rows.Err()
}
