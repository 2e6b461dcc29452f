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

func runOn(t *testing.T, n *node, statement string) error {
	t.Helper()
	_, err := n.lanes.ExecContext(t.Context(), statement)
	return err
}

// A host of the URL that does not even refuse, as a machine that has gone, keeps nobody from the next one.
func TestSilentHostIsPassed(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Close() }() // nothing is written
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
	n.redial()
	l := (<-n.dialed).link
	if l == nil {
		t.Fatal("no connection to the second host")
	}
	if err := l.conn.Close(t.Context()); err != nil {
		t.Error(err)
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
