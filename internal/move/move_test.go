package move

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"carom"
	"carom/internal/pgtest"
	"carom/internal/postgres"
	"carom/internal/reward"
	"carom/internal/store"
)

var noon = time.Date(2026, 3, 1, 12, 30, 30, 0, time.UTC)

// clock is a clock that tests set.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(noon.UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// folder opens the data folder as a server would, and returns how to stop it.
func folder(t testing.TB, dir string, c *clock, bucketEvents int) (s *store.Store, stop func()) {
	t.Helper()
	s, err := store.Open(dir, store.Options{BucketEvents: bucketEvents, Clock: c.now, Decide: reward.Decide, Keys: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	return s, running(t, s.Run, s.Close)
}

// node opens the database as a server would.
func node(t testing.TB, url string, c *clock) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Clock: c.now, Decide: reward.Decide, Keys: testKeys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running(t, s.Run, s.Close))
	return s
}

// running runs a store until the function that it returns is called; twice is once.
func running(t testing.TB, run func(context.Context) error, end func() error) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	return func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, end()); err != nil {
			t.Error(err)
		}
	}
}

// paid makes an event for which rules pay, within a transaction of its own.
func paid(name, user string, at time.Time, candidates ...carom.Candidate) *carom.Submission {
	ev := &carom.Event{App: "app", Source: "ads", Network: "monetag", Type: carom.Impression, Value: carom.Valued, YMID: name, ZoneID: "1", TelegramID: user,
		ExternalID: name, Price: carom.Price{Nanos: 2_300_000, Set: true}, Strength: carom.Signed, Fields: []carom.Field{{Name: "extra", Value: "ü\n" + name}},
		Received: carom.Received{At: at, Method: "POST", Path: "/in/app/ads/***", RawQuery: "ymid=" + name, Body: []byte{0, 255, 'b'}}}
	sub := &carom.Submission{Event: ev, Transaction: carom.SumOf("transaction", name),
		Key:     carom.DedupeKey{Sum: carom.SumOf(name), Also: carom.SumOf("also", name), Window: carom.DefaultDedupeWindow, Check: 0xfffffff0},
		Targets: []carom.Target{{Endpoint: 1}}}
	sub.View = carom.ViewClaim{Sum: ev.RepeatSum(), User: user}
	for _, c := range candidates {
		c.At, c.Day = at, 20260301
		sub.Candidates = append(sub.Candidates, c)
	}
	return sub
}

func pays(rule string, change func(*carom.Candidate)) carom.Candidate {
	c := carom.Candidate{Rule: "app/" + rule, Currency: "coins", Amount: 1_500_000_000}
	if change != nil {
		change(&c)
	}
	return c
}

type accepter interface {
	Accept(subs ...*carom.Submission)
}

func accept(t testing.TB, s accepter, subs ...*carom.Submission) {
	t.Helper()
	s.Accept(subs...)
	for _, sub := range subs {
		if sub.Err != nil || sub.Receipt.Duplicate {
			t.Fatalf("Accept(%s): err %v, receipt %+v, want a new event", sub.Event.YMID, sub.Err, sub.Receipt)
		}
	}
}

// filled is a data folder with something of everything, in several time buckets and two lives.
type filled struct {
	dir    string
	clock  *clock
	subs   []*carom.Submission
	held   *carom.Submission
	opened *carom.View
	own    *carom.View // with a ymid that the app chose
}

func fill(t testing.TB, c *clock) *filled {
	t.Helper()
	f := &filled{dir: filepath.Join(t.TempDir(), "first"), clock: c}
	s, stop := folder(t, f.dir, c, 40)
	o, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Apps = []carom.App{{Name: "app"}}
	o.Sources = []carom.Source{{App: "app", Name: "ads", Profile: "monetag", YMID: carom.YMIDView}}
	o.Endpoints = []carom.Endpoint{{App: "app", Name: "backend"}}
	if _, err := s.SetObjects(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f.add(t, s, "a", 130)
	stop()
	second := filepath.Join(t.TempDir(), "second") // a copy begins a life of its own
	if err := os.CopyFS(second, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	f.dir = second
	s, stop = folder(t, f.dir, c, 40)
	f.add(t, s, "b", 90)
	f.held = paid("held", "7", c.now(), pays("slow", func(c *carom.Candidate) { c.Hold = time.Hour }))
	accept(t, s, f.held)
	f.opened = &carom.View{App: "app", User: "7", OpenedAt: c.now(), ExpiresAt: c.now().Add(time.Hour)}
	if err := s.OpenView(t.Context(), f.opened); err != nil {
		t.Fatal(err)
	}
	f.own = &carom.View{App: "app", User: "8", YMID: "own", OpenedAt: c.now(), ExpiresAt: c.now().Add(time.Hour)}
	if err := s.OpenView(t.Context(), f.own); err != nil {
		t.Fatal(err)
	}
	if err := s.Refuse(&carom.Refused{App: "app", Source: "ads", Reason: carom.ReasonTooLarge, Received: carom.Received{At: c.now(), RawQuery: "nul\x00, no UTF-8 \xff\xfe"}}); err != nil {
		t.Fatal(err)
	}
	n := int64(3)
	if _, _, err := s.AddStatement(t.Context(), carom.Statement{At: c.now(), App: "app", Source: "ads", SHA256: "aa", From: "2026-03-01", To: "2026-03-01", Rows: 1},
		[]carom.StatementRow{{Day: "2026-03-01", Zone: "1", Clicks: &n}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Compare(t.Context(), []carom.ShadowEntry{{App: "app", Source: "ads", At: c.now(), N: 1, View: carom.SumOf("v"), Judge: func(_, _ []byte) carom.ShadowFinding {
		return carom.ShadowFinding{Compared: true, Kinds: []carom.ShadowKind{carom.ShadowWords}}
	}}}); err != nil {
		t.Fatal(err)
	}
	stop()
	return f
}

// add accepts events one by one, each in a millisecond of its own, with outcomes, reversals, caps, cooldowns and additional rules.
func (f *filled) add(t testing.TB, s *store.Store, prefix string, n int) {
	t.Helper()
	for i := range n {
		f.clock.advance(time.Millisecond)
		name, at := fmt.Sprint(prefix, i), f.clock.now()
		sub := paid(name, fmt.Sprint(i%5), at, pays("watch", func(c *carom.Candidate) {
			c.Caps = []carom.CapAt{{Scope: "app/watch all", Rewards: 60}}
		}), pays("bonus", func(c *carom.Candidate) { c.Additional, c.Cooldown = true, 10*time.Millisecond }))
		sub.Targets[0].Direct = i%3 == 0 // these live in memory, and recovery finds them
		accept(t, s, sub)
		f.subs = append(f.subs, sub)
		if i%3 == 1 {
			d := &carom.Delivery{ID: sub.Receipt.ID.Delivery(0), Event: sub.Event, Endpoint: 1, Since: at}
			if err := s.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: at, State: carom.Delivered, Status: 200, Answer: "o\x00k\xff"}); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 4 {
			accept(t, s, reversalOf(sub, at))
		}
	}
}

func reversalOf(sub *carom.Submission, at time.Time) *carom.Submission {
	back := paid("reversal of "+sub.Event.YMID, "", at)
	back.Event.Type, back.Transaction = carom.Reversal, [16]byte{}
	back.Change = carom.RewardChange{Reverse: sub.Transaction, Why: "the network took it back"}
	return back
}

// content is what a store tells of everything.
func content(t testing.TB, s either) map[string]any {
	t.Helper()
	ctx, out := t.Context(), map[string]any{}
	note := func(name string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = plain(v)
	}
	list, err := s.Events(ctx, carom.EventFilter{Limit: 1000})
	note("events", list, err)
	for _, ev := range list {
		story, err := s.Story(ctx, ev.ID)
		note(string(ev.ID), story, err)
	}
	refused, err := s.Refused(ctx, carom.RefusedFilter{})
	note("refused", refused, err)
	rewards, err := s.Rewards(ctx, carom.RewardFilter{Limit: 1000})
	note("rewards", rewards, err)
	for i := range 8 {
		user := fmt.Sprint(i)
		balances, err := s.Balances(ctx, "app", user)
		note("balances of "+user, balances, err)
		lines, err := s.Ledger(ctx, carom.LedgerFilter{App: "app", User: user, Limit: 1000})
		note("ledger of "+user, lines, err)
	}
	report, err := s.CheckLedger(ctx)
	note("check of the ledger", report, err)
	backlogs, err := s.Backlogs(ctx)
	note("backlogs", backlogs, err)
	objects, err := s.Objects(ctx)
	note("objects", objects, err)
	statements, err := s.Statements(ctx, carom.StatementFilter{})
	note("statements", statements, err)
	shadow, err := s.ShadowReport(ctx, "app", "ads", noon.Add(-time.Hour))
	note("shadow", shadow, err)
	counts, err := s.Counts(ctx, carom.CountFilter{From: noon.Add(-time.Hour), To: noon.Add(time.Hour)})
	note("counts", counts, err)
	return out
}

// contentOf opens the folder once more, to tell what is in it.
func (f *filled) content(t testing.TB) map[string]any {
	t.Helper()
	s, stop := folder(t, f.dir, f.clock, 40)
	defer stop()
	return content(t, s)
}

func (f *filled) options(url string) Options {
	return Options{Folder: f.dir, URL: url, Clock: f.clock.now, Keys: testKeys, Sample: 1000}
}

var errCut = errors.New("cut")

// A move that is cut off before every part, one after another, ends with everything where it was, and the database works on as the
// folder did.
func TestMoveCutOffEverywhere(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := fill(t, c)
	url := pgtest.Server(t).Database(t) // without tables
	want := f.content(t)
	if len(want) < 200 {
		t.Fatalf("only %d things to compare", len(want))
	}
	o, cuts := f.options(url), 0
	seen := map[string]bool{}
	o.interrupt = func(part string) error {
		if seen[part] || cuts > 0 && len(seen)%4 != 0 && part != "mark" && part != "end" { // every fourth, and the last ones
			seen[part] = true
			return nil
		}
		seen[part] = true
		return errCut
	}
	var r *Report
	for r == nil || !r.Ended {
		var err error
		if r, err = Run(t.Context(), o); err != nil {
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			if cuts++; cuts > 200 {
				t.Fatal("it never ends")
			}
			if _, err := postgres.Open(t.Context(), postgres.Options{URL: url, Keys: testKeys}); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "carom move") {
				t.Fatalf("a node that starts on half of it: %v", err)
			}
			continue
		}
		if len(r.Differences) > 0 {
			t.Fatalf("the two sides differ:\n%s", strings.Join(r.Differences, "\n"))
		}
	}
	if cuts < 5 {
		t.Errorf("cut off %d times only", cuts)
	}
	if _, err := store.Open(f.dir, store.Options{Keys: testKeys}); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "--database") {
		t.Errorf("a start with the folder: %v", err)
	}
	o.interrupt, o.Verify = nil, true
	if r := moved(t, o); r.Sampled == 0 || r.Moved != 0 {
		t.Errorf("verified: %+v", r)
	}

	s := node(t, url, c)
	if diff := cmp.Diff(want, content(t, s)); diff != "" {
		t.Errorf("what is told of everything (-folder +database):\n%.4000s", diff)
	}
	for _, sub := range f.subs {
		again := paid(sub.Event.YMID, sub.Event.TelegramID, c.now(), pays("watch", nil))
		if s.Accept(again); again.Err != nil || !again.Receipt.Duplicate || again.Receipt.ID != sub.Receipt.ID {
			t.Fatalf("%s again: %+v, %v, want a copy of %s", sub.Event.YMID, again.Receipt, again.Err, sub.Receipt.ID)
		}
		also := paid(sub.Event.YMID, sub.Event.TelegramID, c.now(), pays("watch", nil))
		also.Key.Sum = carom.SumOf("other", sub.Event.YMID)
		if s.Accept(also); !also.Receipt.Duplicate || also.Receipt.ID != sub.Receipt.ID {
			t.Fatalf("%s by its second key: %+v", sub.Event.YMID, also.Receipt)
		}
	}
	other := paid(f.subs[0].Event.YMID, "0", c.now(), pays("watch", nil), pays("bonus", func(c *carom.Candidate) { c.Additional = true }))
	other.Key = carom.DedupeKey{Sum: carom.SumOf("another event of the view"), Window: time.Hour}
	accept(t, s, other)
	for _, d := range other.Receipt.Decided {
		if d.State != carom.RewardDeclined {
			t.Errorf("%s rewards a view of the folder again: %+v", d.Rule, d)
		}
	}
	accept(t, s, reversalOf(f.subs[1], c.now()))
	back, lines, err := s.Reward(t.Context(), f.subs[1].Receipt.Decided[0].Reward.ID)
	if err != nil || back.State != carom.RewardReversed || len(lines) != 2 {
		t.Errorf("a reward of the folder that the network takes back: %+v, %d lines, %v", back, len(lines), err)
	}
	due, err := s.HeldDue(t.Context(), c.now().Add(2*time.Hour), 10)
	if err != nil || len(due) != 1 || due[0].ID != f.held.Receipt.Decided[0].Reward.ID {
		t.Errorf("held rewards that are due: %+v, %v", due, err)
	}
	view, err := s.View(t.Context(), f.opened.ID)
	if err != nil || view.YMID != f.opened.YMID {
		t.Errorf("View: %+v, %v", view, err)
	}
	if id, ok := s.ViewSeal().ViewOf(f.opened.YMID); !ok || id != f.opened.ID {
		t.Errorf("the ymid %s leads to %s, %v", f.opened.YMID, id, ok)
	}
	if own, err := s.ViewByYMID(t.Context(), "app", f.own.YMID); err != nil || own == nil || own.ID != f.own.ID {
		t.Errorf("ViewByYMID(%s): %+v, %v, want %s", f.own.YMID, own, err, f.own.ID)
	}
	if v, err := s.ViewByYMID(t.Context(), "other", f.own.YMID); v != nil || err != nil {
		t.Errorf("ViewByYMID of another app: %+v, %v", v, err)
	}
	fresh := &carom.View{App: "app", User: "9", OpenedAt: c.now(), ExpiresAt: c.now().Add(time.Hour)}
	if err := s.OpenView(t.Context(), fresh); err != nil || fresh.ID == f.opened.ID {
		t.Errorf("a new view: %s, %v", fresh.ID, err)
	}
	claimed, _, err := s.Claim(t.Context(), carom.Claim{Endpoint: 1, Limit: 1000, DueBy: c.now()})
	if err != nil || len(claimed) < len(f.subs)/2 || !slices.ContainsFunc(claimed, func(d *carom.Delivery) bool { return d.ID == f.subs[0].Receipt.ID.Delivery(0) }) {
		t.Errorf("%d deliveries are handed out, %v", len(claimed), err)
	}
	if _, err := Run(t.Context(), o); !errors.Is(err, carom.ErrConflict) {
		t.Errorf("a move to a database that nodes have worked on: %v", err)
	}
}

// Most is moved while the server runs; what has changed since is moved when it is stopped, and nothing else.
func TestMoveAhead(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := fill(t, c)
	url := database(t)
	s, stop := folder(t, f.dir, c, 40)
	if _, err := Run(t.Context(), f.options(url)); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "stop the server") {
		t.Fatalf("a move of a folder in use: %v", err)
	}
	o := f.options(url)
	o.Live = true
	ahead := moved(t, o)
	if ahead.Moved < 10 || ahead.Ended {
		t.Errorf("moved ahead: %+v", ahead)
	}
	f.add(t, s, "c", 50)
	old := f.subs[0] // of a bucket that was moved
	d := &carom.Delivery{ID: old.Receipt.ID.Delivery(0), Event: old.Event, Endpoint: 1, Attempts: 0, Since: old.Event.At}
	if err := s.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: c.now(), State: carom.Delivered, Status: 200}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), "app", "3"); err != nil {
		t.Fatal(err)
	}
	stop()
	want := f.content(t)
	last := moved(t, f.options(url))
	if last.Moved == 0 {
		t.Errorf("moved at the end: %+v", last)
	}
	if diff := cmp.Diff(want, content(t, node(t, url, c))); diff != "" {
		t.Errorf("what is told of everything (-folder +database):\n%.4000s", diff)
	}
}

func run(t testing.TB, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }() // what it did is done
	tag, err := conn.Exec(t.Context(), statement)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %s, %v", statement, tag, err)
	}
}

// What was changed in the database behind the move's back is found, and said in words.
func TestMoveFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := fill(t, c)
	url := database(t)
	o := f.options(url)
	moved(t, o)
	o.Verify = true
	for _, tt := range []struct{ change, back, says string }{
		{`UPDATE rewards SET amount = amount + 1 WHERE no = 3`, `UPDATE rewards SET amount = amount - 1 WHERE no = 3`, "rewards/0: the row no 3 differs in amount"},
		{`UPDATE events SET body = 'x' WHERE ymid = 'a7'`, `UPDATE events SET body = '\x00ff62' WHERE ymid = 'a7'`, "differs in body"},
		{`UPDATE balances SET units = units + 1 WHERE "user" = '2'`, `UPDATE balances SET units = units - 1 WHERE "user" = '2'`, "user 2"},
		{`UPDATE keys SET place = place - 1`, `UPDATE keys SET place = place + 1`, "dedupe keys"},
		{`UPDATE claims SET reward = -reward WHERE reward > 0`, `UPDATE claims SET reward = -reward WHERE reward < 0`, "could earn again"},
		{`DELETE FROM due WHERE ctid = (SELECT ctid FROM due LIMIT 1)`, "", "the database lacks a row"},
	} {
		run(t, url, tt.change)
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(r.Differences, func(d string) bool { return strings.Contains(d, tt.says) }) {
			t.Errorf("%s: want %q among %q", tt.change, tt.says, r.Differences)
		}
		if tt.back != "" {
			run(t, url, tt.back)
		}
	}
}

func TestMoveRefuses(t *testing.T) {
	c := newClock()
	f := fill(t, c)
	t.Run("no folder", func(t *testing.T) {
		o := f.options(database(t))
		o.Folder = t.TempDir()
		if _, err := Run(t.Context(), o); !errors.Is(err, carom.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a database that a node has worked on", func(t *testing.T) {
		url := database(t)
		s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Keys: testKeys})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), f.options(url)); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a move that another folder has begun", func(t *testing.T) {
		url := database(t)
		o := f.options(url)
		o.interrupt = func(string) error { return errCut }
		if _, err := Run(t.Context(), o); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		other := fill(t, c)
		if _, err := Run(t.Context(), other.options(url)); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "another data folder") {
			t.Errorf("%v", err)
		}
	})
}

var many = flag.Int("events", 0, "how many events TestMoveMany moves; with 0 it is left out")

// TestMoveMany moves many events, cut off twice: go test ./internal/move -run TestMoveMany -events 1000000 -v -timeout 30m
func TestMoveMany(t *testing.T) {
	if *many == 0 {
		t.Skip("moves many events with -events 1000000")
	}
	c := newClock()
	dir, url := filepath.Join(t.TempDir(), "data"), database(t)
	s, stop := folder(t, dir, c, 300_000)
	first := map[string]carom.Receipt{} // of each thousand, by its ymid
	for from := 0; from < *many; from += 1000 {
		c.advance(time.Second)
		var subs []*carom.Submission
		for i := from; i < min(from+1000, *many); i++ {
			subs = append(subs, paid(fmt.Sprint("view-", i), fmt.Sprint(i%10_000), c.now(), pays("watch", nil)))
		}
		accept(t, s, subs...)
		first[subs[0].Event.YMID] = subs[0].Receipt
	}
	stop()
	o := Options{Folder: dir, URL: url, Clock: c.now, Keys: testKeys, Sample: 2000}
	o.Progress = func(p Progress) { t.Log(p) }
	began := time.Now()
	for _, at := range []string{"outcomes/1", "ledger/0"} {
		o.interrupt = func(part string) error {
			if part == at {
				return errCut
			}
			return nil
		}
		if _, err := Run(t.Context(), o); !errors.Is(err, errCut) {
			t.Fatalf("cut off before %s: %v", at, err)
		}
	}
	o.interrupt = nil
	r := moved(t, o)
	t.Logf("%d events moved and compared in %v, of it %v to compare", *many, time.Since(began).Round(time.Millisecond), r.Check.Round(time.Millisecond))
	o.Verify = true
	r = moved(t, o)
	t.Logf("verified in %v", r.Took.Round(time.Millisecond))
	there := node(t, url, c)
	for ymid, was := range first {
		again := paid(ymid, "", c.now(), pays("watch", nil))
		if there.Accept(again); again.Err != nil || !again.Receipt.Duplicate || again.Receipt.ID != was.ID {
			t.Errorf("%s again: %+v, %v, want a copy of %s", ymid, again.Receipt, again.Err, was.ID)
		}
		got, _, err := there.Reward(t.Context(), was.Decided[0].Reward.ID)
		if err != nil || got.Event != was.ID {
			t.Errorf("the reward %s: %+v, %v, want that of %s", was.Decided[0].Reward.ID, got, err, was.ID)
		}
	}
}
