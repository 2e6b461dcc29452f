package move

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"carom"
	"carom/internal/pgtest"
	"carom/internal/seal"
)

// moveProcess names the variable that makes this test's binary a process that moves what the variable says.
const moveProcess = "CAROM_TEST_MOVE"

// order is what such a process moves.
type order struct {
	Folder, URL, Keys string
	Now               time.Time
}

func TestMain(m *testing.M) {
	if text := os.Getenv(moveProcess); text != "" {
		os.Exit(moveAsProcess(text))
	}
	goleak.VerifyTestMain(m)
}

func moveAsProcess(text string) int {
	var o order
	var keys *seal.Ring
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		keys, err = seal.Parse(o.Keys)
	}
	if err == nil {
		_, err = Run(context.Background(), Options{Folder: o.Folder, URL: o.URL, Keys: keys, Clock: func() time.Time { return o.Now }, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process starts a process that moves f.
func (f *filled) process(t *testing.T, url string) (p *exec.Cmd, says *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(order{f.dir, url, testKeys.Text(), f.clock.now()})
	if err != nil {
		t.Fatal(err)
	}
	p, says = exec.Command(exe), &bytes.Buffer{}
	p.Env, p.Stderr = append(os.Environ(), moveProcess+"="+string(text)), says
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // in case the test has failed before
		_ = p.Process.Kill()
		_ = p.Wait()
	})
	return p, says
}

// The rows of the folder at which a copy is made to wait: one of a partition that is made for it, and one of a table that is there.
var stops = []struct{ name, table, row string }{
	{"of a time bucket", "events", "ymid = 'b20'"},
	{"of a range", "rewards", "no = 100"},
}

// stopAt makes whoever copies that row into the table wait, in the middle of its copy. waits says whether somebody does; free lets all
// go on, now and later.
func stopAt(t *testing.T, url, table, row string) (waits func() bool, free func()) {
	t.Helper()
	const lock = 4711
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	do := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	do(fmt.Sprintf(`SELECT pg_advisory_lock(%d)`, lock))
	do(fmt.Sprintf(`CREATE FUNCTION waits(here boolean) RETURNS boolean LANGUAGE plpgsql AS
		$$ BEGIN IF here THEN PERFORM pg_advisory_xact_lock(%d); END IF; RETURN true; END $$`, lock))
	do(fmt.Sprintf(`ALTER TABLE %s ADD CONSTRAINT waits CHECK (waits(%s))`, table, row)) // partitions are made with the constraints of their table
	waits = func() bool {
		t.Helper()
		var n int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, lock).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	return waits, func() { _ = conn.Close(context.Background()) } // the lock goes with the connection, or has gone with the server
}

// until waits for what is said to happen.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, look := time.After(time.Minute), time.NewTicker(2*time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited for a minute in vain: %s", what)
		}
	}
}

// ends moves once more, after an interruption, to the end, and checks that everything is there under its id.
func (f *filled) ends(t *testing.T, url string, want map[string]any) {
	t.Helper()
	o := f.options(url)
	r := moved(t, o)
	if r.Kept == 0 {
		t.Error("everything was moved once more, also what had come before the interruption")
	}
	o.Verify = true
	if r := moved(t, o); r.Moved != 0 || r.Checked == 0 {
		t.Errorf("verified: %+v", r)
	}
	if diff := cmp.Diff(want, content(t, node(t, url, f.clock))); diff != "" {
		t.Errorf("what is told of everything (-folder +database):\n%.4000s", diff)
	}
}

// A move whose process is killed in the middle of a copy ends with everything when it is run again.
func TestMoveIsKilledWhileItCopies(t *testing.T) {
	for _, stop := range stops {
		t.Run(stop.name, func(t *testing.T) {
			t.Parallel()
			f := fill(t, newClock())
			url, want := database(t), f.content(t)
			waits, free := stopAt(t, url, stop.table, stop.row)
			defer free()
			p, says := f.process(t, url)
			until(t, "the process waits in the middle of a copy", waits)
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(); err == nil {
				t.Fatalf("the process has ended by itself: %s", says)
			}
			free()
			// Until the server has noticed, the dead process still keeps others away.
			until(t, "the database can be moved to again", func() bool {
				err := f.look(t, url)
				if err != nil && !errors.Is(err, carom.ErrConflict) {
					t.Fatal(err)
				}
				return err == nil
			})
			f.ends(t, url, want)
		})
	}
}

// look begins a move, which brings nothing.
func (f *filled) look(t *testing.T, url string) error {
	t.Helper()
	o := f.options(url)
	o.interrupt = func(string) error { return errCut }
	_, err := Run(t.Context(), o)
	if errors.Is(err, errCut) {
		return nil
	}
	return err
}

// A move whose database goes away in the middle of a copy says so, and ends with everything when it is run again.
func TestDatabaseRestartsWhileItIsMovedTo(t *testing.T) {
	pgtest.Server(t) // skips the test where there is no PostgreSQL
	for _, stop := range stops {
		for _, how := range []struct {
			name string
			end  func(*pgtest.Cluster) error
		}{
			{"stopped in order", func(c *pgtest.Cluster) error { return c.Stop(pgtest.Fast) }},
			{"killed", (*pgtest.Cluster).Kill},
		} {
			t.Run(stop.name+", "+how.name, func(t *testing.T) {
				t.Parallel()
				c, err := pgtest.Start(pgtest.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := c.Close(); err != nil {
						t.Error(err)
					}
				})
				f := fill(t, newClock())
				url, want := c.URL("carom"), f.content(t)
				if err := f.look(t, url); err != nil { // makes the tables
					t.Fatal(err)
				}
				waits, free := stopAt(t, url, stop.table, stop.row)
				defer free()
				ended := make(chan error, 1)
				go func() {
					_, err := Run(t.Context(), f.options(url))
					ended <- err
				}()
				until(t, "the move waits in the middle of a copy", waits)
				if err := how.end(c); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; !errors.Is(err, carom.ErrUnavailable) {
					t.Errorf("the move ended with %v, want carom.ErrUnavailable", err)
				}
				if _, err := Run(t.Context(), f.options(url)); !errors.Is(err, carom.ErrUnavailable) {
					t.Errorf("a move while the database is away: %v, want carom.ErrUnavailable", err)
				}
				if err := c.Restart(pgtest.Fast); err != nil {
					t.Fatal(err)
				}
				f.ends(t, url, want)
			})
		}
	}
}

// Of two moves at once the second is refused, whichever it is, and takes nothing from the first.
func TestTwoMovesAtOnce(t *testing.T) {
	t.Parallel()
	f := fill(t, newClock())
	url, want := database(t), f.content(t)
	waits, free := stopAt(t, url, stops[1].table, stops[1].row)
	defer free()
	live := f.options(url)
	live.Live = true
	other := fill(t, newClock()).options(url)
	ended := make(chan error, 1)
	go func() {
		r, err := Run(t.Context(), f.options(url))
		if err == nil && !r.Ended {
			err = fmt.Errorf("it has not ended: %+v", r)
		}
		ended <- err
	}()
	until(t, "the first move is under way", waits)
	for _, tt := range []struct {
		name string
		Options
	}{{"from the same folder", f.options(url)}, {"while the server runs", live}, {"from another folder", other}} {
		if _, err := Run(t.Context(), tt.Options); !errors.Is(err, carom.ErrConflict) {
			t.Errorf("a second move, %s: %v, want carom.ErrConflict", tt.name, err)
		}
	}
	free()
	if err := <-ended; err != nil {
		t.Errorf("the first move: %v", err)
	}
	if diff := cmp.Diff(want, content(t, node(t, url, f.clock))); diff != "" {
		t.Errorf("what is told of everything (-folder +database):\n%.4000s", diff)
	}
}
