package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"

	"carom"
	"carom/internal/pgtest"
)

func connect(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is lost with it
	return db
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func numberOf(t *testing.T, db *sql.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// node is a store of its own, as another process would open it.
type node struct {
	*Store
	stop func() // ends it as a process ends: it gives its lease back. Twice is safe
}

// join opens a node. It takes part from start on; until then it is like a process that is halted.
func join(t *testing.T, url, name string, lease time.Duration) *node {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Name: name, leaseTime: lease})
	if err != nil {
		t.Fatalf("open the store of node %s: %v", name, err)
	}
	n := &node{Store: s, stop: func() {}}
	t.Cleanup(func() {
		n.stop()
		if err := s.Close(); err != nil {
			t.Errorf("close the store of node %s: %v", name, err)
		}
	})
	return n
}

func (n *node) start(t *testing.T) *node {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = func() {
		n.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return n
}

// event is a submission that is owed to the targets.
func event(s *Store, ymid string, targets ...carom.Target) *carom.Submission {
	sum := sha256.Sum256([]byte(ymid))
	return &carom.Submission{
		Event: &carom.Event{App: "app", Source: "src", Network: "monetag", Type: carom.Click, YMID: ymid, Strength: carom.Secret,
			Received: carom.Received{At: s.Now(), Method: "GET", Path: "/in/app/src"}},
		Key: carom.DedupeKey{Sum: [16]byte(sum[:16]), Window: time.Hour}, Targets: targets,
	}
}

func (n *node) accept(t *testing.T, subs ...*carom.Submission) {
	t.Helper()
	n.Accept(subs...)
	for _, sub := range subs {
		if sub.Err != nil {
			t.Fatalf("accept %s: %v", sub.Event.YMID, sub.Err)
		}
	}
}

func (n *node) claim(t *testing.T, c carom.Claim) []*carom.Delivery {
	t.Helper()
	list, _, err := n.Claim(t.Context(), c)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return list
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}

func (n *node) hasShare(nodes, rank int) func() bool {
	return func() bool {
		gotNodes, gotRank := n.Share()
		return gotNodes == nodes && gotRank == rank
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	url := database(t)
	a := join(t, url, "a", time.Minute)
	if nodes, rank := a.Share(); nodes != 1 || rank != 0 {
		t.Fatalf("the first node begins with rank %d of %d, want 0 of 1", rank, nodes)
	}
	b := join(t, url, "b", time.Minute).start(t)
	eventually(t, "b has made three commits", func() bool { return b.stats.Commits.Load() >= 3 })
	if _, rank := b.Share(); rank >= 0 {
		t.Errorf("a newcomer has rank %d before the other has made a commit, want none", rank)
	}
	a.start(t)
	eventually(t, "a and b share", func() bool { return a.hasShare(2, 0)() && b.hasShare(2, 1)() })
	c := join(t, url, "c", time.Minute).start(t)
	eventually(t, "a, b and c share", func() bool { return a.hasShare(3, 0)() && b.hasShare(3, 1)() && c.hasShare(3, 2)() })
	b.stop()
	eventually(t, "a and c share", func() bool { return a.hasShare(2, 0)() && c.hasShare(2, 1)() })
}

func TestDeadNodesShareIsTakenOver(t *testing.T) {
	t.Parallel()
	url := database(t)
	join(t, url, "a", 3*time.Second) // never shows a sign of life
	b := join(t, url, "b", 3*time.Second).start(t)
	eventually(t, "b is alone", b.hasShare(1, 0))
}

func TestHolds(t *testing.T) {
	t.Parallel()
	url := database(t)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	direct, waits := event(a.Store, "direct", carom.Target{Endpoint: 1, Direct: true}), event(a.Store, "waits", carom.Target{Endpoint: 2})
	a.accept(t, direct, waits)
	memory := &carom.Delivery{ID: direct.Receipt.ID.Delivery(0), Event: direct.Event, Endpoint: 1, Since: direct.Event.At, Ticket: direct.Receipt.Ticket}
	claimed := a.claim(t, carom.Claim{Endpoint: 2, Limit: 1, InOrder: true})[0]
	check := func(when string, wantMemory, wantClaimed carom.Hold) {
		t.Helper()
		if diff := cmp.Diff([]carom.Hold{wantMemory, wantClaimed}, []carom.Hold{a.Holds(memory), a.Holds(claimed)}); diff != "" {
			t.Errorf("%s: Holds of what is in memory and of what is claimed (-want +got):\n%s", when, diff)
		}
	}
	check("at first", carom.HoldSure, carom.HoldSure)
	if got := b.Holds(memory); got != carom.HoldLost {
		t.Errorf("another node holds what is in this one's memory: %v", got)
	}
	if got := b.Holds(claimed); got != carom.HoldLost {
		t.Errorf("another node holds what this one has claimed: %v", got)
	}

	if err := a.Begin(t.Context(), memory); err != nil {
		t.Fatalf("begin: %v", err)
	}
	check("after Begin", carom.HoldSure, carom.HoldSure)
	if err := a.Record(memory, &carom.Attempt{Delivery: memory.ID, Number: 1, At: a.Now(), State: carom.Delivered}); err != nil {
		t.Fatalf("record: %v", err)
	}
	eventually(t, "what has ended is not held", func() bool { return a.Holds(memory) == carom.HoldLost })
	a.Release(claimed)
	check("after the end, and after Release", carom.HoldLost, carom.HoldLost)
}

// A node whose process was halted for longer than its lease lasts must not act for what it held, nor when it has the same delivery anew.
func TestHaltedNodeHoldsNothing(t *testing.T) {
	t.Parallel()
	url := database(t)
	db := connect(t, url)
	b := join(t, url, "b", 3*time.Second).start(t)
	waits := event(b.Store, "waits", carom.Target{Endpoint: 1})
	b.accept(t, waits)
	a := join(t, url, "a", 3*time.Second) // halted as long as it is not started
	old := a.claim(t, carom.Claim{Endpoint: 1, Limit: 1, InOrder: true})[0]
	if got := a.Holds(old); got != carom.HoldSure {
		t.Fatalf("Holds right after the claim: %v, want sure", got)
	}
	eventually(t, "b ends a's lease", func() bool {
		ended := numberOf(t, db, `SELECT count(*) FROM nodes WHERE name = 'a' AND taken_at > 0`) == 1
		if got := a.Holds(old); ended && got == carom.HoldSure {
			t.Fatalf("Holds when others may have the delivery: %v", got)
		}
		return ended
	})
	if got := a.Holds(old); got != carom.HoldUnsure {
		t.Errorf("Holds before the database has answered again: %v, want unsure", got)
	}
	a.start(t)
	eventually(t, "a finds out", func() bool { return a.Holds(old) == carom.HoldLost })
	eventually(t, "a has a lease again", func() bool { l := a.lease.Load(); return l != nil && l.valid() })

	var again *carom.Delivery
	eventually(t, "a claims the delivery again", func() bool {
		list := a.claim(t, carom.Claim{Endpoint: 1, Limit: 1, InOrder: true})
		if len(list) == 1 {
			again = list[0]
		}
		return again != nil
	})
	if got := []carom.Hold{a.Holds(old), a.Holds(again)}; got[0] != carom.HoldLost || got[1] != carom.HoldSure {
		t.Errorf("Holds of the old claim and the new one: %v, want lost and sure", got)
	}
	if err := a.Begin(t.Context(), old); !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("Begin of what was lost: %v, want carom.ErrUnavailable", err)
	}
	a.Release(old)
	if err := a.Record(old, &carom.Attempt{Delivery: old.ID, Number: 1, At: a.Now(), State: carom.Delivered}); err != nil {
		t.Errorf("record what was lost: %v", err)
	}
	a.accept(t, event(a.Store, "later")) // so that what was queued before is settled
	if got := a.Holds(again); got != carom.HoldSure {
		t.Errorf("Holds of the new claim after all of that: %v, want sure", got)
	}
	if n := numberOf(t, db, `SELECT count(*) FROM due WHERE node = $1 AND sending = 0`, int(a.lease.Load().no)); n != 1 {
		t.Errorf("%d rows of the due table are claimed by the node, want 1", n)
	}
}

func TestLostMemoryDoesNotBegin(t *testing.T) {
	t.Parallel()
	url := database(t)
	db := connect(t, url)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute)
	sub := event(a.Store, "direct", carom.Target{Endpoint: 1, Direct: true})
	a.accept(t, sub)
	d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: 1, Since: sub.Event.At, Ticket: sub.Receipt.Ticket}
	no := int(a.lease.Load().no)
	execute(t, db, `UPDATE nodes SET ended_at = 1 WHERE no = $1`, no)
	if err := b.takeOver(t.Context(), no); err != nil {
		t.Fatalf("take over: %v", err)
	}
	eventually(t, "a has another lease", func() bool { l := a.lease.Load(); return l != nil && int(l.no) != no })
	if got := a.Holds(d); got != carom.HoldLost {
		t.Errorf("Holds of what was in memory: %v, want lost", got)
	}
	if err := a.Begin(t.Context(), d); !errors.Is(err, carom.ErrUnavailable) || d.Ticket == 0 {
		t.Errorf("Begin: %v, ticket %d; want carom.ErrUnavailable and the delivery as it was", err, d.Ticket)
	}
	if list := b.claim(t, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true}); len(list) != 1 || b.Holds(list[0]) != carom.HoldSure {
		t.Errorf("the other node claims %d deliveries, want the one that was lost", len(list))
	}
}

// A claim that runs while its node is taken over must leave nothing in the hands of a node that is no more.
func TestClaimWhileTheNodeIsTakenOver(t *testing.T) {
	t.Parallel()
	url := database(t)
	db := connect(t, url)
	b := join(t, url, "b", time.Minute).start(t)
	b.accept(t, event(b.Store, "waits", carom.Target{Endpoint: 1}))
	a := join(t, url, "a", time.Minute)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	defer func() { _ = tx.Rollback() }() // committed below
	no := int(a.lease.Load().no)
	if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM nodes WHERE no = $1 FOR UPDATE`, no); err != nil { // as takeOver does
		t.Fatalf("lock the node: %v", err)
	}
	claimed := make(chan int, 1)
	go func() {
		list, _, err := a.Claim(t.Context(), carom.Claim{Endpoint: 1, Limit: 10, InOrder: true})
		if err != nil {
			t.Errorf("claim: %v", err)
		}
		claimed <- len(list)
	}()
	eventually(t, "the claim waits", func() bool {
		return numberOf(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'WITH lease AS%'`) > 0
	})
	if _, err := tx.ExecContext(t.Context(), `UPDATE nodes SET ended_at = 1, taken_at = 1 WHERE no = $1`, no); err != nil {
		t.Fatalf("end the lease: %v", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatalf("commit: %v", err)
	}
	if n := <-claimed; n != 0 {
		t.Errorf("a node that was taken over claims %d deliveries", n)
	}
	if list := b.claim(t, carom.Claim{Endpoint: 1, Limit: 10, InOrder: true}); len(list) != 1 {
		t.Errorf("the other node claims %d deliveries, want 1", len(list))
	}
}

func TestNodesClaimDifferentDeliveries(t *testing.T) {
	t.Parallel()
	url := database(t)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	var subs []*carom.Submission
	at := a.Now()
	for i := range 40 { // all in one millisecond
		sub := event(a.Store, fmt.Sprint(i), carom.Target{Endpoint: 1})
		sub.Event.Received.At = at
		subs = append(subs, sub)
	}
	a.accept(t, subs...)
	due, err := b.DueEndpoints(t.Context())
	if diff := cmp.Diff([]int{1}, due); err != nil || diff != "" {
		t.Errorf("DueEndpoints: %v (-want +got):\n%s", err, diff)
	}

	var cursor uint64 // as probes do: each the next one
	var probed []string
	for range 10 {
		list, next, err := a.Claim(t.Context(), carom.Claim{Endpoint: 1, Limit: 1, InOrder: true, Cursor: cursor})
		if err != nil || len(list) != 1 {
			t.Fatalf("claim after %d: %d deliveries, %v", cursor, len(list), err)
		}
		probed, cursor = append(probed, list[0].Event.YMID), next
		a.Release(list[0])
	}
	if got := strings.Join(probed, " "); got != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("probes took %s, want each the next one", got)
	}

	db := connect(t, url)
	eventually(t, "all are let go of", func() bool { return numberOf(t, db, `SELECT count(*) FROM due WHERE node <> 0`) == 0 })
	seen := map[string]bool{}
	for range 5 { // catching up, in turns
		for _, n := range []*node{a, b} {
			for _, d := range n.claim(t, carom.Claim{Endpoint: 1, Limit: 4, InOrder: true, ScheduledBefore: a.Now().Add(time.Second)}) {
				if seen[d.Event.YMID] {
					t.Errorf("%s was claimed twice", d.Event.YMID)
				}
				seen[d.Event.YMID] = true
			}
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d deliveries were claimed, want 40", len(seen))
	}
	if due, err := b.DueEndpoints(t.Context()); err != nil || len(due) != 0 {
		t.Errorf("DueEndpoints when all is claimed: %v, %v; want none", due, err)
	}
}

// What a commit that fails was to let go of is let go of by a later one, whether the database refused it or the connection broke.
func TestReleaseOutlivesAFailedCommit(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"pg_cancel_backend", "pg_terminate_backend"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			db := connect(t, url)
			a := join(t, url, "a", time.Minute).start(t)
			a.accept(t, event(a.Store, "waits", carom.Target{Endpoint: 1}))
			d := a.claim(t, carom.Claim{Endpoint: 1, Limit: 1, InOrder: true})[0]
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatalf("begin: %v", err)
			}
			defer func() { _ = tx.Rollback() }() // ended below
			if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM due FOR UPDATE`); err != nil {
				t.Fatalf("lock the row: %v", err)
			}
			a.Release(d)
			eventually(t, "the commit that lets go of it fails", func() bool {
				return numberOf(t, db, `SELECT count(`+how+`(pid)) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE due%'`) > 0
			})
			if err := tx.Rollback(); err != nil {
				t.Fatalf("unlock the row: %v", err)
			}
			eventually(t, "nobody has it", func() bool { return numberOf(t, db, `SELECT count(*) FROM due WHERE node = 0`) == 1 })
		})
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	url := database(t)
	nodes := []*node{join(t, url, "a", time.Minute), join(t, url, "b", time.Minute), join(t, url, "c", time.Minute)}
	began := time.Now()
	for i := range 30 { // 20 turns at 100 per second take 200 ms
		first, err := nodes[i%3].Pace(t.Context(), 7, 100, 20)
		if err != nil {
			t.Fatalf("pace: %v", err)
		}
		// However late the answer comes, a turn is not earlier than the ones before it allow: but no more is kept for anybody than
		// all together reserve.
		want := min(time.Duration(i)*200*time.Millisecond, 4*2*200*time.Millisecond)
		if at := time.Since(began) + first; at < want {
			t.Errorf("the first turn of reservation %d is %v after the beginning, want %v or later", i, at, want)
		}
	}
	if first, err := nodes[0].Pace(t.Context(), 8, 100, 20); err != nil || first != 0 {
		t.Errorf("another endpoint waits for %v (%v), want not at all", first, err)
	}
	db := connect(t, url)
	execute(t, db, `UPDATE paces SET next_us = next_us + 3600000000 WHERE endpoint = 8`)
	if first, err := nodes[0].Pace(t.Context(), 8, 100, 20); err != nil || first > 2*time.Second {
		t.Errorf("after the database's clock was set back an hour the first turn waits for %v (%v), want no more than 2 s", first, err)
	}
}

// What one node stores late, though it received it earlier, is shown: behind a cursor, and behind an event of another node.
func TestFeedOverNodes(t *testing.T) {
	url := database(t)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	f := carom.EventFilter{Limit: 100}
	shown := func(feed carom.Feed, err error) (carom.FeedCursor, []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var ymids []string
		for _, ev := range feed.Events {
			ymids = append(ymids, ev.YMID)
		}
		return feed.Next, ymids
	}
	check := func(when string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	a.accept(t, event(a.Store, "before"))
	cursor, got := shown(a.StartFeed(t.Context(), f, ""))
	check("at the start", got)

	early := event(b.Store, "b early")
	old := event(b.Store, "b old")
	old.Event.Received.At = old.Event.Received.At.Add(-30 * time.Second)
	first, second := event(a.Store, "a1"), event(a.Store, "a2")
	second.Event.Received.At = first.Event.Received.At.Add(time.Millisecond)
	a.accept(t, first)
	a.accept(t, second)
	cursor, got = shown(a.EventsBehind(t.Context(), f, cursor))
	check("of the one node", got, "a1", "a2")
	b.accept(t, early, old)
	cursor, got = shown(a.EventsBehind(t.Context(), f, cursor))
	check("what the other stored late, in its order", got, "b early", "b old")
	_, got = shown(b.StartFeed(t.Context(), f, first.Receipt.ID))
	check("on the other node, behind an event of the one", got, "b early", "b old", "a2")

	c := join(t, url, "c", time.Minute).start(t)
	c.accept(t, event(c.Store, "c"))
	cursor, got = shown(a.EventsBehind(t.Context(), f, cursor))
	check("of a node that has joined since", got, "c")
	c.accept(t, event(c.Store, "c last"))
	c.stop()
	d := join(t, url, "d", time.Minute).start(t)
	d.accept(t, event(d.Store, "d"))
	d.stop()
	cursor, got = shown(a.EventsBehind(t.Context(), f, cursor))
	check("of nodes that have left since", got, "c last", "d")
	_, got = shown(a.EventsBehind(t.Context(), f, cursor))
	check("once", got)
}

// What several nodes store at once is shown once, each node's in its order, whichever commits first.
func TestFeedMissesNothing(t *testing.T) {
	url := database(t)
	reader := join(t, url, "reader", time.Minute).start(t)
	feed, err := reader.StartFeed(t.Context(), carom.EventFilter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	const nodes, each = 3, 80
	var wg sync.WaitGroup
	var done atomic.Int32
	for i := range nodes {
		n := join(t, url, fmt.Sprint(i), time.Minute)
		n.opts.BucketEvents = 50 // buckets change meanwhile
		n.start(t)
		wg.Go(func() {
			defer done.Add(1) // also when an accept fails
			for j := range each {
				n.accept(t, event(n.Store, fmt.Sprintf("%d-%02d", i, j)))
			}
		})
	}
	shown := make([][]string, nodes)
	for last := false; !last; {
		last = done.Load() == nodes
		if feed, err = reader.EventsBehind(t.Context(), carom.EventFilter{Limit: nodes * each}, feed.Next); err != nil {
			t.Fatal(err)
		}
		for _, ev := range feed.Events {
			shown[ev.YMID[0]-'0'] = append(shown[ev.YMID[0]-'0'], ev.YMID)
		}
	}
	wg.Wait()
	for i := range nodes {
		if len(shown[i]) != each || !slices.IsSorted(shown[i]) || len(slices.Compact(shown[i])) != each {
			t.Errorf("shown of node %d: %v", i, shown[i])
		}
	}
}

// What the node on duty keeps is there for the next one, and nobody else changes it.
func TestDutyMovesWithItsMemory(t *testing.T) {
	url := database(t)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	onDuty := func(n *node) bool {
		t.Helper()
		mine, err := n.OnDuty(t.Context(), "alerts")
		if err != nil {
			t.Fatal(err)
		}
		return mine
	}
	if err := a.SaveDuty(t.Context(), "alerts", []byte("x")); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("save what nobody is on duty for: %v, want carom.ErrConflict", err)
	}
	if memory, err := a.LoadDuty(t.Context(), "alerts"); memory != nil || err != nil {
		t.Errorf("at first: %q, %v", memory, err)
	}
	if !onDuty(a) || onDuty(b) || !onDuty(a) {
		t.Fatal("the first that asks is on duty, and no other")
	}
	if err := a.SaveDuty(t.Context(), "alerts", []byte("told")); err != nil {
		t.Fatal(err)
	}
	if err := b.SaveDuty(t.Context(), "alerts", []byte("y")); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("save for another: %v, want carom.ErrConflict", err)
	}
	a.stop()
	if !onDuty(b) {
		t.Error("the duty of a node that has left is taken up by none")
	}
	if memory, err := b.LoadDuty(t.Context(), "alerts"); string(memory) != "told" || err != nil {
		t.Errorf("the next on duty loads %q, %v", memory, err)
	}
}

func TestNodes(t *testing.T) {
	url := database(t)
	a, b := join(t, url, "a", time.Minute).start(t), join(t, url, "b", time.Minute).start(t)
	mine, err := b.OnDuty(t.Context(), "alerts")
	if err != nil || !mine {
		t.Fatalf("b is on duty: %t, %v", mine, err)
	}
	a.accept(t, event(a.Store, "1", carom.Target{Endpoint: 1}), event(a.Store, "2", carom.Target{Endpoint: 1}))
	d := a.claim(t, carom.Claim{Endpoint: 1, Limit: 2, InOrder: true})
	if err := a.Record(d[0], &carom.Attempt{Delivery: d[0].ID, Number: 1, At: a.Now(), State: carom.Delivered}); err != nil {
		t.Fatal(err)
	}
	gone := join(t, url, "gone", time.Minute).start(t)
	eventually(t, "a commit of the one that leaves", func() bool { return gone.stats.Commits.Load() > 0 })
	gone.stop()
	dead := join(t, url, "dead", time.Minute) // not one sign of life
	execute(t, connect(t, url), `UPDATE nodes SET seen_at = seen_at - 5000 WHERE name = 'dead'`)
	var list []carom.Node
	// The rows are those of the nodes' latest commits.
	eventually(t, "the nodes show what they did", func() bool {
		var err error
		if list, err = a.Nodes(t.Context()); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(n carom.Node) bool { return n.Name == "a" })
		return list[i].Events == 2 && list[i].Attempts == 1
	})
	ours := int(a.lease.Load().no)
	want := []carom.Node{
		{No: int(dead.lease.Load().no), Name: "dead", State: carom.NodeSilent, Duties: []string{}},
		{Name: "gone", State: carom.NodeEnded, Duties: []string{}},
		{No: int(b.lease.Load().no), Name: "b", State: carom.NodeAlive, Duties: []string{"alerts"}},
		{No: ours, Name: "a", State: carom.NodeAlive, Self: true, Events: 2, Attempts: 1, Claimed: 1, Duties: []string{}},
	}
	for i := range list {
		n := &list[i]
		if n.Began.IsZero() || n.Seen.IsZero() || n.Schema != schemaVersion() || (n.State == carom.NodeEnded) != !n.Ended.IsZero() || max(n.ClockAheadMS, -n.ClockAheadMS) > 1000 {
			t.Errorf("node %+v", n)
		}
		n.Began, n.Seen, n.Ended, n.Schema, n.ClockAheadMS = time.Time{}, time.Time{}, time.Time{}, 0, 0
		if n.Name == "gone" {
			n.No = 0
		}
		n.Duties = slices.DeleteFunc(n.Duties, func(duty string) bool { return duty == "house" }) // whoever came first
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestAdopt(t *testing.T) {
	url := pgtest.Server(t).Database(t)
	if _, _, err := Adopt(t.Context(), url, "new"); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("a database without tables: %v, want carom.ErrInvalid", err)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if was, is, err := Adopt(t.Context(), url, "carom"); was != "" || is != "carom" || err != nil {
		t.Errorf("a database that no node has worked on: was %q, is %q, %v, want nothing and carom", was, is, err)
	}
	a := join(t, url, "a", 3*time.Second).start(t)
	if _, _, err := Adopt(t.Context(), url, "new"); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("while a node works: %v, want carom.ErrConflict", err)
	}
	a.stop()
	for _, tt := range []struct{ to, was, is string }{{"new", "carom", "new"}, {"new", "new", "new"}, {"", "new", "carom"}, {"new", "carom", "new"}} {
		if was, is, err := Adopt(t.Context(), url, tt.to); was != tt.was || is != tt.is || err != nil {
			t.Errorf("Adopt for %q: was %q, is %q, %v, want %q and %q", tt.to, was, is, err, tt.was, tt.is)
		}
	}
	if _, err := Open(t.Context(), Options{URL: url}); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("a node of the old name: %v, want carom.ErrConflict", err)
	}
}
