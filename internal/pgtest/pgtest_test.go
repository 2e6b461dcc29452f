package pgtest

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a cluster until the test ends.
func start(t *testing.T, o Options) *Cluster {
	t.Helper()
	if _, err := binaries(); err != nil {
		missing(t, err)
	}
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, c)
	return c
}

func closeAtEnd(t *testing.T, c *Cluster) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of PostgreSQL:\n%s", c.Log())
		}
		dir, data := c.home.dir, c.home.data
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		for _, path := range []string{dir, data} {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is still there: %v", path, err)
			}
		}
	})
}

// connect opens a connection, which is closed when the test ends at the latest.
func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // older PgBouncers keep no prepared statements
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server may have gone before it
	return conn
}

// askOver returns the only value that a query gives, as text.
func askOver(t *testing.T, conn *pgx.Conn, query string) (value string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// ask is askOver with a connection of its own.
func ask(t *testing.T, databaseURL, query string) string {
	t.Helper()
	conn := connect(t, databaseURL)
	defer func() { _ = conn.Close(t.Context()) }() // the answer is there
	return askOver(t, conn, query)
}

// do executes a statement over a connection of its own.
func do(t *testing.T, databaseURL, statement string) {
	t.Helper()
	conn := connect(t, databaseURL)
	_, err := conn.Exec(t.Context(), statement)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestDatabase(t *testing.T) {
	const isOwner = `SELECT concat_ws(' ', current_user = pg_get_userbyid(datdba), rolsuper, rolcreatedb)
		FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = current_user`
	var urls []string
	t.Run("each is empty and its role owns it and nothing else", func(t *testing.T) {
		for range 2 {
			u := Server(t).Database(t)
			urls = append(urls, u)
			do(t, u, "CREATE TABLE a (b int)")
			if got, want := ask(t, u, isOwner), "t f f"; got != want {
				t.Errorf("owner, superuser, creates databases: got %q, want %q", got, want)
			}
			if got := ask(t, u, "SELECT string_agg(b, '' ORDER BY b) FROM (VALUES ('B'), ('a')) v (b)"); got != "aB" {
				t.Errorf("text is sorted as %q, want as people do: aB", got)
			}
		}
	})
	for _, u := range urls {
		if conn, err := pgx.Connect(t.Context(), u); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s is still there", u)
		}
	}
	t.Run("the password counts", func(t *testing.T) {
		u, err := url.Parse(Server(t).Database(t))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(u.User.Username(), "wrong")
		if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
			_ = conn.Close(t.Context())
			t.Error("a wrong password opens the database")
		}
	})
}

func TestStopAndStart(t *testing.T) {
	parent, err := os.MkdirTemp("", "carompg-test") // not t.TempDir: the user postgres has to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(parent) }) // empty, or the check of the cluster has failed
	if err := giveAway(parent); err != nil {
		missing(t, err)
	}
	c := start(t, Options{Dir: parent, Durable: true, Settings: map[string]string{"application_name": "it's"}})
	u := c.URL("carom")
	do(t, u, "CREATE TABLE a (b int)")

	if got := filepath.Dir(c.home.data); got != parent {
		t.Errorf("the data lies in %s, want %s", got, parent)
	}
	got := ask(t, c.AdminURL("postgres"), "SELECT concat_ws(' ', current_user, current_setting('fsync'), reset_val) FROM pg_settings WHERE name = 'application_name'")
	if want := "postgres on it's"; got != want {
		t.Errorf("role and settings: got %q, want %q", got, want)
	}

	var cpu time.Duration
	grows := func(t *testing.T) {
		t.Helper()
		now, err := c.CPU()
		if err != nil || now < cpu || now == 0 {
			t.Errorf("CPU() = %v, %v after %v", now, err, cpu)
		}
		cpu = now
	}
	rows := 0
	for _, mode := range []Mode{Smart, Fast, Immediate} {
		do(t, u, "INSERT INTO a VALUES (1)")
		rows++
		grows(t)
		if err := c.Restart(mode); err != nil {
			t.Fatalf("restart %s: %v", mode, err)
		}
		grows(t)
		if got := ask(t, u, "SELECT count(*)::text FROM a"); got != strconv.Itoa(rows) {
			t.Errorf("after a restart %s there are %s rows, want %d", mode, got, rows)
		}
	}

	t.Run("kill", func(t *testing.T) {
		do(t, u, "INSERT INTO a VALUES (1)")
		rows++
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(t.Context(), u); err == nil {
			_ = conn.Close(t.Context())
			t.Error("a killed server takes a connection")
		}
		grows(t)
		if err := c.Kill(); !errors.Is(err, errEnded) {
			t.Errorf("kill again: %v, want %v", err, errEnded)
		}
		if err := c.Restart(Fast); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, u, "SELECT count(*)::text FROM a"); got != strconv.Itoa(rows) {
			t.Errorf("after a crash there are %s rows, want %d", got, rows)
		}
		if !strings.Contains(c.Log(), "automatic recovery in progress") {
			t.Errorf("the server did not recover; its log: %s", c.Log())
		}
	})

	t.Run("pause", func(t *testing.T) {
		conn := connect(t, u)
		if err := c.Pause(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if other, err := pgx.Connect(ctx, u); !errors.Is(err, context.DeadlineExceeded) {
			if err == nil {
				_ = other.Close(ctx)
			}
			t.Errorf("connect to a paused server: %v, want it to wait", err)
		}
		if err := c.Resume(); err != nil {
			t.Fatal(err)
		}
		askOver(t, conn, "SELECT 'goes on'")
	})

	t.Run("set", func(t *testing.T) {
		if err := c.Set(map[string]string{"work_mem": "7MB", "application_name": "x"}); err != nil {
			t.Fatal(err)
		}
		if got, want := ask(t, u, "SHOW work_mem"), "7MB"; got != want {
			t.Errorf("work_mem is %s, want %s", got, want)
		}
		if err := c.Set(map[string]string{"no_such": "1"}); err == nil {
			t.Error("a setting that does not exist can be set")
		}
	})

	t.Run("stop", func(t *testing.T) {
		if err := c.Pause(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Stop(Fast); err != nil {
				t.Fatal(err)
			}
		}
		grows(t)
	})
}

func TestReplica(t *testing.T) {
	primary := start(t, Options{})
	replica, err := primary.Replica(Options{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, replica)
	if err := primary.Promote(); err == nil {
		t.Error("a primary can be promoted")
	}
	if err := primary.Set(map[string]string{"synchronous_standby_names": "second", "synchronous_commit": "remote_apply"}); err != nil {
		t.Fatal(err)
	}
	err = until("the replica to be synchronous", func() (bool, error) {
		return ask(t, primary.AdminURL("postgres"), "SELECT count(*)::text FROM pg_stat_replication WHERE application_name = 'second' AND sync_state = 'sync'") == "1", nil
	})
	if err != nil {
		t.Fatal(err)
	}

	do(t, primary.URL("carom"), "CREATE TABLE a AS SELECT 'kept' AS b")
	if got := ask(t, replica.URL("carom"), "SELECT b FROM a"); got != "kept" {
		t.Errorf("the replica has %q, want what the primary committed", got)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := replica.Promote(); err != nil {
		t.Fatal(err)
	}
	do(t, replica.URL("carom"), "UPDATE a SET b = b || ', and goes on'")
	if got, want := ask(t, replica.URL("carom"), "SELECT b FROM a"), "kept, and goes on"; got != want {
		t.Errorf("the new primary has %q, want %q", got, want)
	}
}

func TestPgBouncer(t *testing.T) {
	u := PgBouncer(t, Server(t).Database(t), "transaction")
	const which = "SELECT pg_backend_pid()::text"
	first, second := connect(t, u), connect(t, u)
	if diff := cmp.Diff(askOver(t, first, which), askOver(t, second, which)); diff != "" {
		t.Errorf("two clients outside transactions have two connections to the server:\n%s", diff)
	}
	tx, err := first.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := askOver(t, tx.Conn(), which), askOver(t, second, which); a == b {
		t.Error("a client gets the connection that another has a transaction on")
	}
}

// inChild marks the process that TestKilledProcess kills.
const inChild = "CAROM_PGTEST_CHILD"

// TestKilledProcess shows that a process which is killed leaves no server and no files.
func TestKilledProcess(t *testing.T) {
	if os.Getenv(inChild) != "" {
		c := Server(t)
		pid, err := c.home.running()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString(c.home.dir + " " + c.home.data + " " + strconv.Itoa(pid) + "\n") // read by the parent, or nobody is there
		select {}
	}
	Server(t) // skips where there is none
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestKilledProcess$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), inChild+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err := errors.Join(err, cmd.Process.Kill()); err != nil || len(words) != 3 {
		t.Fatalf("the child prints %q, %v", line, err)
	}
	_ = cmd.Wait() // it was killed
	pid, err := strconv.Atoi(words[2])
	if err != nil {
		t.Fatal(err)
	}
	err = until("server and folders to go", func() (bool, error) {
		_, err1 := os.Stat(words[0])
		_, err2 := os.Stat(words[1])
		return errors.Is(err1, fs.ErrNotExist) && errors.Is(err2, fs.ErrNotExist) && !alive(pid), nil
	})
	if err != nil {
		t.Error(err)
	}
}
