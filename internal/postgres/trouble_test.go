package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/pgtest"
)

// changed is a database's URL after a change.
func changed(t testing.TB, databaseURL string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// asRole makes a role with the given options, which is gone when the test ends, and returns a URL of a new database for it. The role
// owns the database if it is to.
func asRole(t *testing.T, role, options string, owns bool) string {
	t.Helper()
	server := pgtest.Server(t)
	admin := server.AdminURL("postgres")
	run(t, admin, "CREATE ROLE "+role+" LOGIN PASSWORD 'open sesame' "+options)
	t.Cleanup(func() { run(t, admin, "DROP ROLE "+role) })
	u := server.Database(t)
	if owns {
		run(t, admin, "ALTER DATABASE "+strings.TrimPrefix(mustParse(t, u).Path, "/")+" OWNER TO "+role)
	}
	return changed(t, u, func(u *url.URL) { u.User = url.UserPassword(role, "open sesame") })
}

func mustParse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// closedPort is an address at which nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it is the address that matters
	return l.Addr().String()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	alter := func(t *testing.T, setting string) string {
		u := database(t)
		run(t, pgtest.Server(t).AdminURL("postgres"), "ALTER DATABASE "+strings.TrimPrefix(mustParse(t, u).Path, "/")+" SET "+setting)
		return u
	}
	tests := []struct {
		name string
		url  func(t *testing.T) string
		kind error
		want string // what the text matches
	}{
		{"no URL", func(*testing.T) string { return "postgres://carom:secret@db:port/carom" }, carom.ErrInvalid, `^database: this is no URL of a PostgreSQL database: write postgres://user:password@host:5432/name`},
		{"another database's", func(*testing.T) string { return "mysql://carom:secret@db/carom" }, carom.ErrInvalid, `^database: this is no URL`},
		{"unknown host", func(t *testing.T) string {
			return changed(t, database(t), func(u *url.URL) { u.Host = "db.invalid:5432" })
		}, carom.ErrUnavailable, `^database: the name "db.invalid" is not known to the name server: look at the host`},
		{"closed port", func(t *testing.T) string {
			return changed(t, database(t), func(u *url.URL) { u.Host = closedPort(t) })
		}, carom.ErrUnavailable, `^database: nothing listens at 127.0.0.1 port \d+: is PostgreSQL running there`},
		{"wrong password", func(t *testing.T) string {
			return changed(t, database(t), func(u *url.URL) { u.User = url.UserPassword("carom", "wrong secret") })
		}, carom.ErrInvalid, "^database: the password of the role \"carom\" is wrong, or the role is not there: look at the URL, `database_file`"},
		{"unknown role", func(t *testing.T) string {
			return changed(t, database(t), func(u *url.URL) { u.User = url.UserPassword("nobody", "wrong secret") })
		}, carom.ErrInvalid, `^database: the password of the role "nobody" is wrong, or the role is not there`},
		{"unknown database", func(t *testing.T) string {
			return changed(t, database(t), func(u *url.URL) { u.Path = "/nowhere" })
		}, carom.ErrInvalid, `^database: there is no database "nowhere": .* CREATE DATABASE "nowhere" OWNER "carom"`},
		{"no right to make tables", func(t *testing.T) string { return asRole(t, "guest", "", false) }, carom.ErrInvalid,
			`^database: the role "guest" lacks a right: make it the owner of the database, or run GRANT CREATE`},
		{"no connection left", func(t *testing.T) string { return asRole(t, "narrow", "CONNECTION LIMIT 0", true) }, carom.ErrUnavailable,
			`^database: the server has no connection left: raise max_connections, or the role's CONNECTION LIMIT; a node needs 11`},
		{"read-only transactions", func(t *testing.T) string { return alter(t, "default_transaction_read_only = on") }, carom.ErrInvalid,
			`^database: transactions are read-only here: look at default_transaction_read_only`},
		{"commits that do not wait", func(t *testing.T) string { return alter(t, "synchronous_commit = off") }, carom.ErrInvalid,
			`^database: synchronous_commit is off here: .* ALTER ROLE … SET synchronous_commit = on`},
		{"another encoding", func(t *testing.T) string {
			server := pgtest.Server(t)
			admin := server.AdminURL("postgres")
			run(t, admin, "CREATE DATABASE latin OWNER carom ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
			t.Cleanup(func() { run(t, admin, "DROP DATABASE latin WITH (FORCE)") })
			return server.URL("latin")
		}, carom.ErrInvalid, `^database: the encoding of this database is LATIN1, .* ENCODING 'UTF8'`},
		{"statement pooling", func(t *testing.T) string { return pgtest.PgBouncer(t, database(t), "statement") }, carom.ErrInvalid,
			`^database: .* pool_mode = statement cannot be used, since it allows no transactions`},
		{"short limits behind a pooler", func(t *testing.T) string {
			return pgtest.PgBouncer(t, alter(t, "statement_timeout = '2s'"), "transaction")
		}, carom.ErrInvalid, `^database: statement_timeout is 2s here, and behind a pooler carom cannot choose it: run ALTER ROLE … SET statement_timeout = 0`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: test.url(t)})
			if err == nil {
				_ = s.Close() // it should not be there
				t.Fatal("the store opens")
			}
			if !errors.Is(err, test.kind) || !regexp.MustCompile(test.want).MatchString(err.Error()) {
				t.Errorf("Open says %q\nwant %v and %s", err, test.kind, test.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestAReplicaIsRefused(t *testing.T) {
	t.Parallel()
	primary, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = primary.Close() }() // it goes with the process anyway
	replica, err := primary.Replica(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Close() }() // it goes with the process anyway
	if _, err := Open(t.Context(), Options{URL: replica.URL("carom")}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "this server is a replica") {
		t.Errorf("Open on a replica: %v", err)
	}
	// Of several hosts the one that takes writes is meant.
	both := changed(t, replica.URL("carom"), func(u *url.URL) { u.Host += "," + mustParse(t, primary.URL("carom")).Host })
	n := join(t, both, "a", 3*time.Second).start(t)
	n.accept(t, event(n.Store, "before"))

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := replica.Promote(); err != nil {
		t.Fatal(err)
	}
	sub := event(n.Store, "after")
	eventually(t, "the node finds the promoted replica", func() bool { n.Accept(sub); return sub.Err == nil })
	n.stop()
}

func TestFit(t *testing.T) {
	good := server{version: 15_00_00, encoding: "UTF8", syncCommit: "on", pooled: true, limits: map[string]time.Duration{"statement_timeout": time.Hour, "idle_session_timeout": 1}}
	tests := []struct {
		name   string
		change func(*server)
		want   string // the beginning of the error; empty: none
	}{
		{"good", func(*server) {}, ""},
		{"old", func(v *server) { v.version = 14_00_21 }, "database: this server is PostgreSQL 14: carom needs 15 or newer"},
		{"lock_timeout", func(v *server) { v.limits = map[string]time.Duration{"lock_timeout": time.Second} }, "database: lock_timeout is 1s here"},
		{"lock_timeout that carom chooses", func(v *server) { v.limits, v.pooled = map[string]time.Duration{"lock_timeout": time.Second}, false }, ""},
		{"only written elsewhere", func(v *server) { v.syncCommit = "remote_apply" }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := good
			test.change(&v)
			got := ""
			if err := v.fit(); err != nil {
				got = err.Error()
			}
			if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
				t.Errorf("fit says %q, want %q", got, test.want)
			}
		})
	}
}

// Limits that somebody has set for everybody do not end what carom does.
func TestForeignLimits(t *testing.T) {
	t.Parallel()
	u := database(t)
	name := strings.TrimPrefix(mustParse(t, u).Path, "/")
	for _, setting := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} {
		run(t, pgtest.Server(t).AdminURL("postgres"), "ALTER DATABASE "+name+" SET "+setting+" = '100ms'") // long enough to find out whether a pooler stands between
	}
	run(t, pgtest.Server(t).AdminURL("postgres"), "ALTER DATABASE "+name+" SET default_transaction_isolation = 'serializable'")
	n := join(t, u, "a", 3*time.Second).start(t)
	for i := range 50 {
		n.accept(t, event(n.Store, fmt.Sprint(i)))
	}
	for range 2 {
		if _, err := n.lanes.Exec("SELECT pg_sleep(0.3)"); err != nil { // the connections for commits and reads are idle for as long
			t.Error(err)
		}
	}
	n.accept(t, event(n.Store, "after a while"))
	if failed := n.stats.Failed.Load(); failed > 0 {
		t.Errorf("%d commits failed", failed)
	}
}

func TestTwoDeploymentsOnOneDatabase(t *testing.T) {
	u := database(t)
	join(t, u, "a", time.Minute)
	_, err := Open(t.Context(), Options{URL: u, Deployment: "other.example"})
	if !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), `belongs to the deployment "carom", and this node is of "other.example": give each deployment a database of its own`) {
		t.Errorf("Open for another deployment: %v", err)
	}
}

// A right that is taken away while the node works makes callers try later: it is no fault of what they bring.
func TestARightIsTakenAway(t *testing.T) {
	u := database(t)
	db := connect(t, u)
	n := join(t, u, "a", time.Minute).start(t)
	execute(t, db, `REVOKE INSERT ON events FROM carom`)
	sub := event(n.Store, "1")
	n.Accept(sub)
	if !errors.Is(sub.Err, carom.ErrUnavailable) || errors.Is(sub.Err, carom.ErrInvalid) {
		t.Errorf("accept without the right: %v, want carom.ErrUnavailable alone", sub.Err)
	}
	eventually(t, "people are told why", func() bool { return strings.Contains(n.Trouble().Reason, "permission denied") })
	execute(t, db, `GRANT INSERT ON events TO carom`)
	eventually(t, "it is accepted", func() bool { n.Accept(sub); return sub.Err == nil })
	if sub.Receipt.Duplicate {
		t.Error("what failed was stored")
	}
}

func TestNoConnectionIsLeft(t *testing.T) {
	u := asRole(t, "crowded", "", true)
	admin := pgtest.Server(t).AdminURL("postgres")
	a := join(t, u, "a", time.Minute)
	pid := a.link.conn.PID()
	a.start(t)
	run(t, admin, `ALTER ROLE crowded CONNECTION LIMIT 0`, fmt.Sprintf(`SELECT pg_terminate_backend(%d)`, pid))
	sub := event(a.Store, "1")
	eventually(t, "people are told why nothing is stored", func() bool {
		a.Accept(sub)
		if sub.Err != nil && !errors.Is(sub.Err, carom.ErrUnavailable) {
			t.Fatalf("accept: %v, want carom.ErrUnavailable", sub.Err)
		}
		return strings.Contains(a.Trouble().Reason, "no connection left")
	})
	run(t, admin, `ALTER ROLE crowded CONNECTION LIMIT -1`)
	eventually(t, "it is accepted", func() bool { a.Accept(sub); return sub.Err == nil })
	a.stop()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// What lies in a partition that somebody drops or detaches is gone. Everything else goes on.
func TestAMissingPartition(t *testing.T) {
	u := database(t)
	db := connect(t, u)
	a := join(t, u, "a", time.Minute).start(t)
	accept := func(sub *carom.Submission) {
		t.Helper()
		eventually(t, sub.Event.YMID+" is accepted", func() bool { a.Accept(sub); return sub.Err == nil })
	}
	list := func() (ymids []string) {
		t.Helper()
		events, err := a.Events(t.Context(), carom.EventFilter{})
		if err != nil {
			t.Fatalf("list events: %v", err)
		}
		for _, ev := range events {
			ymids = append(ymids, ev.YMID)
		}
		return ymids
	}
	for i, remove := range []string{`DROP TABLE events_1, outcomes_1, refused_1`, `ALTER TABLE events DETACH PARTITION events_2`, `DROP TABLE refused_3`} {
		lost := event(a.Store, fmt.Sprint("lost", i), carom.Target{Endpoint: 1})
		accept(lost)
		execute(t, db, remove)
		if i == 2 {
			refused := &carom.Refused{App: "app", Source: "src", Network: "monetag", Reason: "test", Received: carom.Received{At: a.Now()}}
			eventually(t, "a refusal is journaled", func() bool { return a.Refuse(refused) == nil })
		}
		kept := event(a.Store, fmt.Sprint("kept", i))
		accept(kept)
		accept(lost) // its key outlives it
		if !lost.Receipt.Duplicate {
			t.Errorf("%s: what was dropped is accepted again", remove)
		}
	}
	if diff := cmp.Diff([]string{"kept2", "lost2", "kept1"}, list()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// Only lost2 is there still, so that it alone can be handed out.
	claimed := a.claim(t, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true})
	if len(claimed) != 1 || claimed[0].Event.YMID != "lost2" {
		t.Fatalf("%d deliveries are handed out, want that of lost2", len(claimed))
	}

	// An attempt of an event whose partition of outcomes is gone is not stored, and holds up nothing else.
	execute(t, db, fmt.Sprintf(`DROP TABLE outcomes_%d`, refOf(placeOfEvent(t, claimed[0].Event.ID)).Bucket))
	if err := a.Record(claimed[0], &carom.Attempt{Delivery: claimed[0].ID, Number: 1, At: a.Now(), State: carom.Delivered}); err != nil {
		t.Fatalf("record: %v", err)
	}
	eventually(t, "nothing waits", func() bool { return numberOf(t, db, `SELECT count(*) FROM due`) == 0 })
	accept(event(a.Store, "last"))

	// Neither does it keep others from taking the node over.
	b := join(t, u, "b", time.Minute)
	execute(t, db, `INSERT INTO due (endpoint, place, ordinal, due_at, scheduled_at, accepted_at, attempts, step, sending, node) VALUES (1, $1, 0, 0, 0, 0, 0, 0, 1, $2)`,
		placeOfEvent(t, claimed[0].Event.ID), int(a.lease.Load().no))
	execute(t, db, `UPDATE nodes SET ended_at = 1 WHERE no = $1`, int(a.lease.Load().no))
	if err := b.takeOver(t.Context(), int(a.lease.Load().no)); err != nil {
		t.Errorf("take over: %v", err)
	}
}

func placeOfEvent(t *testing.T, id carom.EventID) int64 {
	t.Helper()
	_, ref, err := id.Place()
	if err != nil {
		t.Fatal(err)
	}
	return placeOf(ref)
}

// What is stored has the database's time, whatever the clock of the machine says.
func TestAClockThatIsOff(t *testing.T) {
	u := database(t)
	db := connect(t, u)
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		s, err := Open(t.Context(), Options{URL: u, machine: func() time.Time { return time.Now().Add(off) }})
		if err != nil {
			t.Fatal(err)
		}
		n := (&node{Store: s}).start(t)
		n.accept(t, event(s, off.String(), carom.Target{Endpoint: 1}))
		if got := s.clock.ahead().Round(time.Minute); got != off {
			t.Errorf("the machine is %v ahead, want %v", got, off)
		}
		n.stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, column := range []string{"events.at", "due.due_at", "due.accepted_at", "buckets.opened_at", "nodes.began_at", "nodes.seen_at", "nodes.ended_at"} {
		table, name, _ := strings.Cut(column, ".")
		if n := numberOf(t, db, `SELECT count(*) FROM `+table+` WHERE `+name+` <> 0 AND abs(`+name+` - extract(epoch FROM clock_timestamp()) * 1000) > 1800000`); n > 0 {
			t.Errorf("%d rows have a %s that is off by more than half an hour", n, column)
		}
	}
}

// A process that is halted in the middle of a commit keeps locked what the commit has locked. The server ends that.
func TestHaltedInTheMiddleOfACommit(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"direct", "through PgBouncer"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := database(t)
			through := u
			if mode != "direct" {
				through = pgtest.PgBouncer(t, u, "transaction")
			}
			a := join(t, through, "a", 3*time.Second)
			b := &batch{owners: map[[16]byte]owner{}}
			b.accepts = append(b.accepts, &acceptOp{subs: []*carom.Submission{event(a.Store, "1")}, done: make(chan struct{}, 1)})
			if err := a.plan(b); err != nil {
				t.Fatal(err)
			}
			if err := a.claimPlaces(t.Context(), b); err != nil { // and nothing more
				t.Fatal(err)
			}
			other := join(t, u, "b", 3*time.Second).start(t)
			sub := event(other.Store, "1")
			eventually(t, "the other accepts what waited for the halted one", func() bool { other.Accept(sub); return sub.Err == nil })
			if sub.Receipt.Duplicate {
				t.Error("the halted node's commit counts")
			}
			eventually(t, "the halted node is taken over", other.hasShare(1, 0))
		})
	}
}
