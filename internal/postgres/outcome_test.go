package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"
	"carom/internal/pgtest"
)

// proxy stands between a node and its database, and cuts one connection in the middle of a commit.
type proxy struct {
	listener net.Listener
	server   string
	conns    sync.WaitGroup

	mu  sync.Mutex // guards all below
	cut *cut       // nil: everything passes
}

// cut says at which commit, and where in it, a connection ends.
type cut struct {
	text    string        // that the connection has carried before: a word of the event that the commit is of
	forward bool          // the commit reaches the database; its answer never comes back
	wait    func()        // called before the node notices; nil: at once
	done    chan struct{} // closed when the connection is cut
}

func startProxy(t *testing.T, databaseURL string) (p *proxy, through string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &proxy{listener: l, server: mustParse(t, databaseURL).Host}
	p.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			p.conns.Go(func() { p.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // nobody connects any more
		p.conns.Wait()
	})
	return p, changed(t, databaseURL, func(u *url.URL) { u.Host = l.Addr().String() })
}

// pass hands on what either side sends until one of them ends.
func (p *proxy) pass(client net.Conn) {
	defer func() { _ = client.Close() }() // either side may have ended it
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	var answers sync.WaitGroup
	var deaf atomic.Bool // the node hears nothing any more
	var severed sync.Once
	sever := func() { severed.Do(func() { _ = client.Close() }) } // the other side may have ended it
	answers.Go(func() {
		_, _ = io.Copy(valve{client, &deaf}, server) // it ends with either side
		sever()
	})
	defer answers.Wait()
	defer func() { _ = server.Close() }() // either side may have ended it
	var carried []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		carried = append(carried, buffer[:n]...)
		if c := p.due(carried); c != nil {
			if c.forward {
				deaf.Store(true)
				_, _ = server.Write(buffer[:n]) // the test looks whether it arrived
			}
			defer close(c.done)
			defer sever()
			if c.wait != nil {
				c.wait()
			}
			return
		}
		if len(carried) > 1<<20 {
			carried = carried[len(carried)-1<<16:]
		}
		if err != nil {
			return
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// valve passes on what is written until it is shut, and swallows the rest.
type valve struct {
	to   io.Writer
	shut *atomic.Bool
}

func (v valve) Write(b []byte) (int, error) {
	if v.shut.Load() {
		return len(b), nil
	}
	return v.to.Write(b)
}

// due returns the cut that what a connection has carried calls for, once.
func (p *proxy) due(carried []byte) *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.cut
	if c == nil {
		return nil
	}
	at := bytes.LastIndex(carried, []byte(c.text))
	// The committer's statement is prepared under its name.
	if at < 0 || !bytes.Contains(carried[at:], []byte("\x00carom_commit\x00")) {
		return nil
	}
	p.cut = nil
	return c
}

func (p *proxy) arm(c *cut) {
	c.done = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
}

// When a connection breaks after COMMIT was sent nobody knows what became of it. The node finds out before it commits anything else:
// what was stored is answered as a copy, and its deliveries are in the due table, once; what was not stored was never there.
func TestCommitOfUnknownOutcome(t *testing.T) {
	tests := []struct {
		name  string
		made  bool // the commit was
		late  bool // if at all, only after the node has noticed that the connection is gone: it is cancelled then
		ended bool // the node's lease is ended meanwhile
	}{
		{name: "the commit never arrived"},
		{name: "the commit was made", made: true},
		{name: "the commit is under way still", made: true, late: true},
		{name: "the commit was made, and another node has taken over", made: true, ended: true},
		{name: "the commit never arrived, and another node has taken over", ended: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u := database(t)
			db := connect(t, u)
			p, through := startProxy(t, u)
			a := join(t, through, "a", time.Minute).start(t)
			other := join(t, u, "b", time.Minute) // not started: it does what it is told
			no := int(a.lease.Load().no)

			// The commit carries an outcome as well.
			earlier := event(a.Store, "earlier", carom.Target{Endpoint: 2})
			a.accept(t, earlier)
			claimed := a.claim(t, carom.Claim{Endpoint: 2, Limit: 1, InOrder: true})[0]

			c := &cut{text: "doubtful-ymid", forward: test.made}
			if test.ended {
				c.wait = func() {
					if test.made {
						eventually(t, "the commit is made", func() bool { return numberOf(t, db, `SELECT count(*) FROM events WHERE ymid = 'doubtful-ymid'`) == 1 })
					} else { // whatever the database still has of it ends with the connection
						execute(t, db, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`)
					}
					execute(t, db, `UPDATE nodes SET ended_at = 1 WHERE no = $1`, no)
					if err := other.takeOver(t.Context(), no); err != nil {
						t.Errorf("take over: %v", err)
					}
				}
			} else if test.made && !test.late {
				c.wait = func() {
					eventually(t, "the commit is made", func() bool { return numberOf(t, db, `SELECT count(*) FROM events WHERE ymid = 'doubtful-ymid'`) == 1 })
				}
			}
			release := func() {}
			if test.late { // what the commit has to write is locked by somebody
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.ExecContext(t.Context(), `LOCK TABLE outcomes IN SHARE MODE`); err != nil {
					t.Fatal(err)
				}
				release = func() { _ = tx.Rollback() } // it has changed nothing
				defer release()
			}
			p.arm(c)
			sub := event(a.Store, "doubtful-ymid", carom.Target{Endpoint: 1, Direct: true})
			a.queue.mu.Lock() // so that both are in one commit
			a.queue.results = append(a.queue.results, &resultOp{delivery: *claimed, ref: refOf(placeOfEvent(t, earlier.Receipt.ID)),
				attempt: &carom.Attempt{Delivery: claimed.ID, Number: 1, At: a.Now(), State: carom.Delivered}})
			a.queue.mu.Unlock()
			a.Accept(sub)
			select {
			case <-c.done:
			case <-time.After(20 * time.Second):
				t.Fatalf("no connection was cut; accept: %v", sub.Err)
			}
			if !errors.Is(sub.Err, carom.ErrUnavailable) || sub.Receipt.ID != "" {
				t.Fatalf("the caller gets %v and the receipt %q, want to try later", sub.Err, sub.Receipt.ID)
			}
			release()

			again := event(a.Store, "doubtful-ymid", carom.Target{Endpoint: 1, Direct: true})
			eventually(t, "the repeat is accepted", func() bool { a.Accept(again); return again.Err == nil })
			made := again.Receipt.Duplicate
			if made != test.made && !test.late {
				t.Errorf("the repeat is a copy: %v, want %v", made, test.made)
			}
			if n := numberOf(t, db, `SELECT count(*) FROM events WHERE ymid = 'doubtful-ymid'`); n != 1 {
				t.Errorf("the event is stored %d times", n)
			}
			a.accept(t, event(a.Store, "later")) // so that what was found out is written
			rows := numberOf(t, db, `SELECT count(*) FROM due WHERE endpoint = 1`)
			inMemory := 0
			if again.Receipt.Ticket != 0 {
				inMemory = 1
			}
			if rows+inMemory != 1 {
				t.Errorf("the delivery has %d owners in memory and %d rows, want one of either", inMemory, rows)
			}
			if made == (inMemory == 1) {
				t.Errorf("the commit was made: %v, and the delivery is in memory: %v", made, inMemory == 1)
			}
			// The outcome that the commit carried is stored once, unless the node has lost the delivery.
			outcomes := numberOf(t, db, `SELECT count(*) FROM outcomes WHERE endpoint = 2`)
			waiting := numberOf(t, db, `SELECT count(*) FROM due WHERE endpoint = 2`)
			if outcomes+waiting != 1 || test.ended && !test.made && waiting != 1 || !test.ended && outcomes != 1 {
				t.Errorf("the other delivery has %d outcomes and %d rows", outcomes, waiting)
			}
			for range 2 { // whoever takes over now finds it, once
				n := len(other.claim(t, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true}))
				if n > rows {
					t.Errorf("%d deliveries are handed out, of %d", n, rows)
				}
				rows -= n
			}
		})
	}
}

// The primary is restarted, and killed, while events come. Callers try later and repeat; every event is stored once, and the node
// comes back by itself.
func TestThePrimaryRestarts(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // it goes with the process anyway
	u := server.URL("carom")
	n := join(t, u, "a", 10*time.Second).start(t)
	const callers, each = 4, 60
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused, accepted := 0, 0
	ids := map[string]carom.EventID{}
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				ymid := fmt.Sprintf("%d-%d", c, i)
				for tries := 0; ; tries++ {
					sub := event(n.Store, ymid, carom.Target{Endpoint: 1})
					n.Accept(sub)
					mu.Lock()
					if sub.Err == nil {
						ids[ymid] = sub.Receipt.ID
						accepted++
						mu.Unlock()
						break
					}
					refused++
					mu.Unlock()
					if !errors.Is(sub.Err, carom.ErrUnavailable) || tries > 10_000 {
						t.Errorf("accept: %v, want carom.ErrUnavailable", sub.Err)
						return
					}
					<-time.After(10 * time.Millisecond)
				}
			}
		})
	}
	count := func() (int, int) { mu.Lock(); defer mu.Unlock(); return accepted, refused }
	for i, restart := range []func() error{
		func() error { return server.Restart(pgtest.Fast) },
		func() error { return errors.Join(server.Kill(), server.Restart(pgtest.Fast)) },
	} {
		eventually(t, "events are accepted", func() bool { got, _ := count(); return got >= (i+1)*callers*each/4 })
		if err := restart(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if _, refused := count(); refused == 0 {
		t.Error("nobody noticed that the server was away")
	}
	stored := look(t, u, `SELECT ymid FROM events ORDER BY place`)
	if len(stored) != callers*each || len(ids) != callers*each {
		t.Errorf("%d events are stored and %d acknowledged, want %d of each", len(stored), len(ids), callers*each)
	}
	for ymid, id := range ids {
		if ev, err := n.Story(t.Context(), id); err != nil || ev.Event.YMID != ymid {
			t.Errorf("event %s of %s: %v", id, ymid, err)
		}
	}
	if twice := look(t, u, `SELECT place::text FROM due GROUP BY place HAVING count(*) <> 1`); len(twice) > 0 {
		t.Errorf("deliveries that wait more than once: %s", strings.Join(twice, " "))
	}
	n.stop()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
