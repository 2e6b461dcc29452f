// Package pgtest starts real PostgreSQL servers for tests and benchmarks, and PgBouncer in front of them.
//
// Tests use [Server] and (*Cluster).Database: one cluster per test process, and as many empty databases as there are tests.
// Benchmarks and tests of crashes use [Start], and then restart, kill, pause, copy and promote the cluster.
//
// Everything listens on loopback only, at free ports, with passwords of its own. All files of a cluster lie in private folders,
// which are temporary. Cluster and folders go when the process ends, even when it is killed: see [home]. No goroutine
// stays behind, so that packages which look for leaks can use this one.
//
// It works on Linux; on macOS without Kill of more than the postmaster, Pause and CPU. Elsewhere tests are skipped.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Oldest is the oldest major version of PostgreSQL that carom works with. The newest that is installed is what starts.
const Oldest = 15

// shared is the cluster of [Server]. It is the state of the process that tests share on purpose, and is written once.
var shared = sync.OnceValues(func() (*Cluster, error) {
	return Start(Options{Dir: inMemory(), Settings: map[string]string{
		"max_connections": "300",   // many tests at once, with pools
		"max_wal_size":    "256MB", // it may take memory
		"jit":             "off",   // no query of a test is worth a compiler
	}})
})

// databases counts the databases of (*Cluster).Database in this process, to name them.
var databases atomic.Int64

// Server returns the cluster of this test process, which starts at the first call and ends with the process. It is not durable:
// see [Options]; where there is room for it in memory, its data lies there. It may be called by several tests at once, which therefore must neither stop nor set it.
//
// Without PostgreSQL the test is skipped; with CAROM_TEST_ALL=1 it fails.
func Server(t testing.TB) *Cluster {
	t.Helper()
	if _, err := binaries(); err != nil {
		missing(t, err)
	}
	c, err := shared()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	return c
}

// missing skips the test, or fails it where nothing may be skipped.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CAROM_TEST_ALL") == "1" {
		t.Fatalf("%v, and CAROM_TEST_ALL is set: run scripts/setup.sh", err)
	}
	t.Skipf("skipped: %v: run scripts/setup.sh", err)
}

// Database makes an empty database, which is dropped when the test ends, and returns its URL: postgres://…. The role in it owns
// the database and is no superuser. It may be called by several tests at once.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	return c.copyOf(t, "template0")
}

// DatabaseWith is [Cluster.Database] with what prepare leaves in the database that it is given the URL of. It runs once in the process, and
// has to have closed its connections when it returns: every database is a copy of that one, which takes a fifth of the time.
func (c *Cluster) DatabaseWith(t testing.TB, prepare func(url string) error) string {
	t.Helper()
	c.prepare.Do(func() {
		if c.prepared = c.exec("CREATE DATABASE prepared OWNER " + owner + " TEMPLATE template0"); c.prepared == nil {
			c.prepared = prepare(c.URL("prepared"))
		}
	})
	if c.prepared != nil {
		t.Fatalf("prepare a database for tests: %v", c.prepared)
	}
	return c.copyOf(t, "prepared")
}

func (c *Cluster) copyOf(t testing.TB, template string) string {
	t.Helper()
	name := "test" + strconv.FormatInt(databases.Add(1), 10)
	if err := c.exec("CREATE DATABASE " + name + " OWNER " + owner + " TEMPLATE " + template + " STRATEGY file_copy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil { // a pool may be open still
			t.Error(err)
		}
	})
	return c.URL(name)
}

// binaries returns the folder with the programs of the newest PostgreSQL that is installed.
func binaries() (string, error) {
	dir, newest := "", Oldest-1
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian
	if err != nil {
		return "", err
	}
	for _, initdb := range found {
		bin := filepath.Dir(initdb)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > newest {
			dir, newest = bin, v
		}
	}
	if dir != "" {
		return dir, nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL %d or newer is not installed", Oldest)
	}
	return filepath.Dir(initdb), nil
}

// exec runs statements one by one as superuser.
func (c *Cluster) exec(statements ...string) error {
	return c.admin(func(ctx context.Context, conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// admin calls f with a connection of the superuser to the database postgres, through the socket in the private folder.
func (c *Cluster) admin(f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, fmt.Sprintf("host=%s port=%d user=%s dbname=postgres sslmode=disable", c.home.dir, c.port, superuser))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return errors.Join(f(ctx, conn), conn.Close(ctx))
}

// patience is how long anything here may take. Recovery from a long log takes longest, on a slow disk.
const patience = 2 * time.Minute

// until polls until done returns true; what ends the sentence of the error that says that it never did.
func until(what string, done func() (bool, error)) error {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if is, err := done(); is || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain for %s", patience, what)
		}
		time.Sleep(pause)
	}
}
