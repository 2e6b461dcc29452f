package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// The roles of every cluster. Both have the cluster's password.
const (
	superuser = "postgres"
	owner     = "carom" // owns the databases, may create no others, and is no superuser
)

// Options say what a cluster is. The zero value is a cluster with PostgreSQL's own settings but for fsync, which is off.
type Options struct {
	// Dir is a folder in which the data folder is made, to choose the disk: the user postgres must reach it. Empty: the
	// system's temporary folder. The data folder is removed in the end.
	Dir string

	// Port is where to listen, on loopback. 0: a free one.
	Port int

	// Durable turns fsync on: what was committed survives a power cut. Without it a commit still survives [Cluster.Kill], as
	// what was written is with the system.
	Durable bool

	// Settings are lines of postgresql.conf by name, with values as they would stand between quotes. [Cluster.Set] can change them.
	Settings map[string]string

	// Name is for replicas only: the application_name with which it streams, and so its name in the primary's
	// synchronous_standby_names. Empty: "replica".
	Name string
}

// Cluster is a PostgreSQL server with its data. URL, AdminURL, Database, CPU, Log and Set may be called at any time; the rest, which
// starts and stops it, by one goroutine at a time.
type Cluster struct {
	home     *home
	bin      string // folder of PostgreSQL's programs
	port     int
	password string // of both roles: random, so that the port is of no use to other users of this machine
	paused   bool

	prepare  sync.Once // of the database that those of DatabaseWith are copies of
	prepared error
}

// Mode says how a server is stopped.
type Mode string

// The modes of pg_ctl.
const (
	Smart     Mode = "smart"     // waits until every client has gone
	Fast      Mode = "fast"      // ends the clients' sessions, writes a checkpoint
	Immediate Mode = "immediate" // ends everything at once; the next start recovers
)

// Start makes a cluster and starts it. It has a database "carom", owned by a role that is no superuser. The caller closes it.
func Start(o Options) (*Cluster, error) {
	c, err := newCluster(o, rand.Text())
	if err != nil {
		return nil, err
	}
	if err := c.create(o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newCluster(o Options, password string) (*Cluster, error) {
	c := &Cluster{port: o.Port, password: password}
	var err error
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.port == 0 {
		if c.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	c.home, err = newHome(o.Dir)
	return c, err
}

func (c *Cluster) program(name string) string { return filepath.Join(c.bin, name) }

// create makes the data folder, the role and its database.
//
// Text is sorted as in English, as on most servers, and unlike in SQLite: a query that relies on the order of bytes is found out.
func (c *Cluster) create(o Options) error {
	secret, err := c.home.write("password", c.password)
	if err != nil {
		return err
	}
	err = c.home.run(c.program("initdb"), "--no-sync", "-D", c.home.data, "-U", superuser, "--pwfile", secret,
		"--auth-local", "trust", "--auth-host", "scram-sha-256", // the socket lies in a private folder
		"-E", "UTF8", "--locale", "C", "--locale-provider", "icu", "--icu-locale", "en-US")
	if err != nil {
		return err
	}
	settings := map[string]string{}
	if !o.Durable {
		// Not full_page_writes, too: a process that is killed may leave half a page behind.
		settings["fsync"] = "off"
	}
	maps.Copy(settings, o.Settings)
	if err := c.configure(settings); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		return err
	}
	return c.exec("CREATE ROLE "+owner+" LOGIN PASSWORD '"+c.password+"'", "CREATE DATABASE "+owner+" OWNER "+owner+" TEMPLATE template0")
}

// configure appends to the file that ALTER SYSTEM writes, so that Set can change what stands there. The last line of a name counts.
func (c *Cluster) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses": loopback, "port": strconv.Itoa(c.port), "unix_socket_directories": c.home.dir, "unix_socket_permissions": "0700",
		"dynamic_shared_memory_type": "mmap", // in the data folder: a server that is killed leaves nothing elsewhere
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, quote(all[name]))
	}
	f, err := os.OpenFile(filepath.Join(c.home.data, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text.String())
	return errors.Join(err, f.Close())
}

// quote makes a string of SQL, which is also one of postgresql.conf as long as it holds no backslash.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// run starts the server and waits until it takes connections.
func (c *Cluster) run() error {
	if err := c.home.start(c.program("postgres"), "-D", c.home.data); err != nil {
		return err
	}
	return until("PostgreSQL to start", func() (bool, error) {
		pid, err := c.home.running()
		if err != nil {
			return false, fmt.Errorf("PostgreSQL does not start; its log ends with:\n%s", c.Log())
		}
		// The server's own account: its pid in the first line, how far it is in the eighth. After a crash it is an older server's.
		text, _ := os.ReadFile(filepath.Join(c.home.data, "postmaster.pid")) // missing at first
		lines := strings.Split(string(text), "\n")
		return lines[0] == strconv.Itoa(pid) && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready", nil
	})
}

// URL is that of a database, for the role that owns it: postgres://…, with a password, over TCP on loopback.
func (c *Cluster) URL(database string) string { return c.url(owner, database) }

// AdminURL is that of a database, for the superuser.
func (c *Cluster) AdminURL(database string) string { return c.url(superuser, database) }

func (c *Cluster) url(role, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, c.password), Host: net.JoinHostPort(loopback, strconv.Itoa(c.port)),
		Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Stop ends the server and waits for it. A stopped one stays so: twice is safe. A paused one goes on, to end.
func (c *Cluster) Stop(mode Mode) error {
	pid, err := c.home.running()
	if err != nil {
		return nil // that is what was asked for
	}
	err = signal(pid, string(mode))
	if c.paused {
		err = errors.Join(err, c.Resume())
	}
	if err != nil {
		return err
	}
	return c.home.whenEnded()
}

// Restart stops the server and starts it at the same port. One that does not run is only started, as after [Cluster.Kill].
func (c *Cluster) Restart(mode Mode) error {
	if err := c.Stop(mode); err != nil {
		return err
	}
	return c.run()
}

// Kill ends all processes of the server at once, as a crash does, and waits until none is left. Restart then recovers.
func (c *Cluster) Kill() error {
	children, err := c.freeze()
	if err != nil {
		return err
	}
	pid, err := c.home.running()
	if err != nil {
		return err
	}
	if err := signalAll(append(children, pid), "kill"); err != nil {
		return err
	}
	c.paused = false
	if err := c.home.whenEnded(); err != nil {
		return err
	}
	// Whoever adopted them may never wait for them. They are gone all the same.
	return until("the server's processes to end", func() (bool, error) {
		return !slices.ContainsFunc(children, alive), nil
	})
}

// Pause halts all processes of the server, so that clients wait as for a machine that hangs. Stop, Kill and Close work on it.
func (c *Cluster) Pause() error {
	children, err := c.freeze()
	if err != nil {
		return err
	}
	c.paused = true
	return signalAll(children, "pause")
}

// Resume lets a paused server go on.
func (c *Cluster) Resume() error {
	pid, err := c.home.running()
	if err != nil {
		return err
	}
	children, err := childrenOf(pid)
	if err != nil {
		return err
	}
	c.paused = false
	return signalAll(append(children, pid), "resume")
}

// freeze halts the server's first process, so that it starts no others, and returns the others.
func (c *Cluster) freeze() ([]int, error) {
	pid, err := c.home.running()
	if err != nil {
		return nil, err
	}
	if err := signal(pid, "pause"); err != nil {
		return nil, err
	}
	return childrenOf(pid)
}

// Replica makes a copy of the running cluster that follows it by streaming, and answers queries that only read. The caller closes
// it. It has the primary's settings, but for o's and synchronous_standby_names, which is empty: once it is promoted, it would
// wait for itself.
func (c *Cluster) Replica(o Options) (*Cluster, error) {
	r, err := newCluster(o, c.password)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "replica"
	}
	settings := map[string]string{"synchronous_standby_names": ""}
	if o.Durable {
		settings["fsync"] = "on"
	}
	maps.Copy(settings, o.Settings)
	primary := fmt.Sprintf("host=%s port=%d user=%s application_name=%s", c.home.dir, c.port, superuser, o.Name)
	err = r.home.run(r.program("pg_basebackup"), "-d", primary, "-D", r.home.data, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if err == nil {
		err = r.configure(settings)
	}
	if err == nil {
		err = r.run()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Promote makes a replica a primary and returns when it takes writes. It fails on a primary.
func (c *Cluster) Promote() error {
	return c.admin(func(ctx context.Context, conn *pgx.Conn) error {
		var promoted bool
		if err := conn.QueryRow(ctx, "SELECT pg_promote(true, $1)", int(patience.Seconds())).Scan(&promoted); err != nil {
			return fmt.Errorf("promote the replica: %w", err)
		}
		if !promoted {
			return errors.New("the replica was not promoted: see its log")
		}
		return nil
	})
}

// Set changes settings for good, as ALTER SYSTEM does, and returns when new connections see them. Those that PostgreSQL reads at its
// start only need a Restart.
func (c *Cluster) Set(settings map[string]string) error {
	var before time.Time
	err := c.admin(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT pg_conf_load_time()").Scan(&before)
	})
	if err != nil {
		return err
	}
	var statements []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		statements = append(statements, "ALTER SYSTEM SET "+name+" = "+quote(settings[name]))
	}
	if err := c.exec(append(statements, "SELECT pg_reload_conf()")...); err != nil {
		return err
	}
	return until("the settings to be read", func() (read bool, err error) {
		err = c.admin(func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT pg_conf_load_time() > $1", before).Scan(&read)
		})
		return read, err
	})
}

// Log is the end of the server's log: some kilobytes.
func (c *Cluster) Log() string { return c.home.tail() }

// Close ends the server at once and removes its files. Closing twice is safe.
func (c *Cluster) Close() error { return errors.Join(c.Stop(Immediate), c.home.close()) }
