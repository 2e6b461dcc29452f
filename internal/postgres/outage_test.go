package postgres

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"carom"
)

// deafConn hears nothing of the next answer, and is broken from then on.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.deaf.Load() {
		_ = c.Close() // that is what is wanted
		return 0, errors.New("the connection broke")
	}
	return n, err
}

// A claim that the database has carried out and whose answer was lost keeps nothing from being sent.
func TestLostClaimIsFound(t *testing.T) {
	t.Parallel()
	n := join(t, database(t), "a", time.Minute)
	var deaf atomic.Bool
	config := n.config.Copy()
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return deafConn{c, &deaf}, err
	}
	healthy := n.lanes
	broken := stdlib.OpenDB(*config)
	defer func() { _ = broken.Close() }() // it is broken
	broken.SetMaxOpenConns(1)

	n.start(t)
	n.accept(t, event(n.Store, "a", carom.Target{Endpoint: 7}), event(n.Store, "b", carom.Target{Endpoint: 7}))
	n.stop() // a committer at rest: the test is the janitor
	lease := n.lease.Load()
	if err := runOn(t, n, `UPDATE nodes SET ended_at = 0, taken_at = 0`); err != nil {
		t.Fatal(err)
	}
	n.lanes = broken
	if list := n.claim(t, carom.Claim{Endpoint: 7, Limit: 1, DueBy: n.Now()}); len(list) != 1 { // has the statement prepared
		t.Fatalf("claimed %d deliveries, want 1", len(list))
	}
	deaf.Store(true)
	if list, _, err := n.Claim(t.Context(), carom.Claim{Endpoint: 7, Limit: 1, DueBy: n.Now()}); !errors.Is(err, carom.ErrUnavailable) || len(list) > 0 {
		t.Fatalf("the claim whose answer is lost: %d deliveries, %v, want carom.ErrUnavailable", len(list), err)
	}
	n.lanes = healthy
	inHand := func() int { return numberOf(t, n.lanes, `SELECT count(*) FROM due WHERE node = $1`, int(lease.no)) }
	if got := inHand(); got != 2 {
		t.Fatalf("%d rows say that they are in the node's hands, want 2: the database has carried the claim out", got)
	}
	find := func() {
		t.Helper()
		if err := n.findLost(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if find(); inHand() != 2 {
		t.Error("given back while the lost claim may still arrive")
	}
	n.claims.lose(7, n.Now().Add(-time.Second)) // as if that time were over
	if find(); inHand() != 1 {
		t.Errorf("%d rows are in the node's hands, want the one that was claimed", inHand())
	}
	if list := n.claim(t, carom.Claim{Endpoint: 7, Limit: 9, DueBy: n.Now()}); len(list) != 1 {
		t.Errorf("claimed %d deliveries, want the one that was lost", len(list))
	}
}

// Connections that the server ended while they lay idle, as a restart does, are found out before they are used: nobody is told of them.
func TestIdleConnectionsThatEnded(t *testing.T) {
	t.Parallel()
	url := database(t)
	n := join(t, url, "a", time.Minute)
	n.claim(t, carom.Claim{Endpoint: 7, Limit: 1, DueBy: n.Now()})
	if _, err := n.Nodes(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := connect(t, url)
	execute(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	eventually(t, "the connections have ended", func() bool {
		return numberOf(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`) == 0
	})
	<-time.After(trustedFor)
	n.claim(t, carom.Claim{Endpoint: 7, Limit: 1, DueBy: n.Now()})
	if _, err := n.Nodes(t.Context()); err != nil {
		t.Errorf("a read after its connection ended: %v", err)
	}
}

func runOn(t *testing.T, n *node, statement string) error {
	t.Helper()
	_, err := n.lanes.ExecContext(t.Context(), statement)
	return err
}

// A host of the URL that does not even refuse, as a machine that has gone, keeps nobody from the next one.
func TestSilentHostIsPassed(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	ended := make(chan struct{})
	go func() { // it takes calls, and says nothing
		defer close(ended)
		for {
			c, err := gone.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }() // nothing was said
			calls.Add(1)
		}
	}()
	defer func() {
		_ = gone.Close() // so that nothing is accepted any more
		<-ended
	}()
	u, err := url.Parse(database(t))
	if err != nil {
		t.Fatal(err)
	}
	n := join(t, u.String(), "a", time.Minute)
	u.Host = gone.Addr().String() + "," + u.Host
	u.RawQuery += "&target_session_attrs=read-write"
	if n.config, err = parseURL(u.String()); err != nil {
		t.Fatal(err)
	}
	n.hosts = hosts{}
	n.hosts.follow(n.config)
	for range 3 { // the second host, once found, is asked first
		n.dialing = false
		n.redial()
		l := (<-n.dialed).link
		if l == nil {
			t.Fatal("no connection to the second host")
		}
		if err := l.conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("the host that is gone was called %d times, want once", got)
	}
}

// After the database was away every node has been silent. None is taken for dead before it has had the time to come back.
func TestNobodyDiesOfTheDatabase(t *testing.T) {
	t.Parallel()
	url := database(t)
	join(t, url, "a", time.Minute)
	b := join(t, url, "b", time.Minute)
	if err := runOn(t, b, `UPDATE nodes SET seen_at = seen_at - 120000 WHERE name = 'a'`); err != nil {
		t.Fatal(err)
	}
	ended := func() int {
		t.Helper()
		if err := b.reap(t.Context()); err != nil {
			t.Fatal(err)
		}
		return numberOf(t, b.lanes, `SELECT count(*) FROM nodes WHERE ended_at > 0`)
	}
	if n := ended(); n != 0 {
		t.Errorf("%d leases end when the database is found, want 0", n)
	}
	b.sighted = time.Now().Add(-time.Minute) // it has been there for long
	if n := ended(); n != 1 {
		t.Errorf("%d leases end when a node stays silent, want 1", n)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.reap(gone); err == nil || !b.sighted.IsZero() {
		t.Errorf("a reap without a database: %v, sighted since %v, want an error and no time", err, b.sighted)
	}
}

// What another node ends while a node is taken over is not handed out again.
func TestTakeOverLeavesWhatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	url := database(t)
	a := join(t, url, "a", time.Minute).start(t)
	a.accept(t, event(a.Store, "first", carom.Target{Endpoint: 7, Direct: true}), event(a.Store, "second", carom.Target{Endpoint: 7}))
	b := join(t, url, "b", time.Minute)
	if err := runOn(t, b, `UPDATE nodes SET ended_at = 1 WHERE name = 'a'`); err != nil {
		t.Fatal(err)
	}
	a.stop() // what it does about that is no part of this
	if err := runOn(t, b, `DELETE FROM due WHERE place = (SELECT min(place) FROM events)`); err != nil {
		t.Fatal(err)
	}
	if err := runOn(t, b, `UPDATE nodes SET ended_at = 1, taken_at = 0, mark = 0 WHERE name = 'a'`); err != nil {
		t.Fatal(err)
	}
	other, err := b.r.BeginTx(t.Context(), nil) // the commit in which another node ends the second delivery
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback() }() // it is over, if all went well
	for _, statement := range []string{
		`INSERT INTO outcomes (place, ordinal, attempt, endpoint, at, took_us, state, due_at, reason, flags, method, url, sent, status, node)
			SELECT place, ordinal, 1, endpoint, 1, 1, 'delivered', 0, '', 0, '', '', '', 200, 9 FROM due`,
		`DELETE FROM due`,
	} {
		if _, err := other.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	taken := make(chan error, 1)
	go func() { taken <- b.takeOver(context.WithoutCancel(t.Context()), 1) }()
	var failed error
	over := false
	eventually(t, "b takes a over, or waits for the other commit", func() bool {
		select {
		case failed = <-taken:
			over = true
		default:
		}
		return over || numberOf(t, b.lanes, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.datname = current_database() JOIN pg_stat_activity s ON s.pid = l.pid AND s.datid = d.oid WHERE NOT l.granted`) > 0
	})
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if !over {
		failed = <-taken
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if got := look(t, url, `SELECT e.ymid FROM due d JOIN events e USING (place)`); len(got) != 1 || got[0] != "first" {
		t.Errorf("%q are due after the take-over, want the one alone that lived in memory", got)
	}
}
