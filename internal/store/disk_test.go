package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom"
)

// rig is a clock through which tests get at the committer: it reads the clock at the start of every commit, between two
// transactions.
type rig struct {
	clock
	before atomic.Pointer[func()] // run once, before the next commit
}

func newRig() *rig {
	r := &rig{}
	r.set(noon)
	return r
}

func (r *rig) now() time.Time {
	if f := r.before.Swap(nil); f != nil {
		(*f)()
	}
	return r.clock.now()
}

// run has the committer run f between two commits, and returns when it has.
func (r *rig) run(t testing.TB, s *Store, f func()) {
	t.Helper()
	done := make(chan struct{})
	g := func() { f(); close(done) }
	r.before.Store(&g)
	s.queue.mu.Lock()
	s.queue.controls = append(s.queue.controls, nop())
	s.queue.mu.Unlock()
	s.queue.signal()
	<-done
}

func nop() *controlOp {
	return &controlOp{run: func(*writer) error { return nil }, waiter: waiter{done: make(chan error, 1)}}
}

// hold keeps the committer from committing until the returned function is called.
func (r *rig) hold(t testing.TB, s *Store) (release func()) {
	t.Helper()
	held, gate := make(chan struct{}), make(chan struct{})
	f := func() { close(held); <-gate }
	r.before.Store(&f)
	s.queue.mu.Lock()
	s.queue.controls = append(s.queue.controls, nop())
	s.queue.mu.Unlock()
	s.queue.signal()
	<-held
	return sync.OnceFunc(func() { close(gate) })
}

// fill makes the disk full: the database may grow by no page more. Then free gives it room again.
func (r *rig) fill(t testing.TB, s *Store) { r.setPages(t, s, 1) } // less than it has means: what it has
func (r *rig) free(t testing.TB, s *Store) { r.setPages(t, s, 1<<30) }

func (r *rig) setPages(t testing.TB, s *Store, n int) {
	t.Helper()
	r.run(t, s, func() {
		if err := s.w.exec(fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Errorf("limit the size of the database: %v", err)
		}
	})
}

// large is an event that needs new pages.
func large(ymid string, targets ...carom.Target) *carom.Submission {
	sub := submission(ymid, noon, targets...)
	sub.Event.Received.Body = make([]byte, 64<<10)
	return sub
}

func wantUnavailable(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, carom.ErrUnavailable) {
		t.Errorf("%s: %v, want carom.ErrUnavailable", what, err)
	}
}

func TestFullDiskTakesNothingAndLosesNothing(t *testing.T) {
	r := newRig()
	dir := t.TempDir()
	s, stop := open(t, dir, Options{Clock: r.now})
	a := accept(t, s, submission("a", noon, direct(1), direct(1)))
	r.fill(t, s)

	// Nothing that would be lost is acknowledged, and the original and its copy are told the same.
	b, copied := large("b", direct(1)), large("b")
	s.Accept(b, copied)
	for _, sub := range []*carom.Submission{b, copied} {
		wantUnavailable(t, "Accept", sub.Err)
		if sub.Receipt.ID != "" || sub.Receipt.Ticket != 0 || sub.Event.ID != "" {
			t.Errorf("receipt %+v, event id %q after a failed commit, want neither", sub.Receipt, sub.Event.ID)
		}
	}
	bad := refused("app", "monetag", noon)
	bad.Received.Body = make([]byte, 64<<10)
	wantUnavailable(t, "Refuse", s.Refuse(bad))
	for range 3 {
		s.Unverified(carom.Unverified{App: "app", Source: "monetag", Reason: carom.ReasonWrongSecret, Received: carom.Received{At: noon}})
	}
	// Once a second the counts go with a commit; this one fails.
	r.run(t, s, func() {
		if err := errors.Join(s.st.begin.exec(), s.unverified.Write(tx{s.w}, s.counts, noon), s.st.rollback.exec()); err != nil {
			t.Errorf("write what is unverified: %v", err)
		}
		s.rollBackMemory(&batch{undoSeq: s.open.seq, undoRef: s.open.refusedSeq, undoLast: s.open.lastAt})
	})
	// Outcomes wait for room.
	d := delivery(a, 0)
	outcome := attempt(d, carom.Delivered, noon, time.Time{})
	outcome.Answer = strings.Repeat("x", 64<<10)
	record(t, s, d, outcome)
	begun := delivery(a, 1)
	wantUnavailable(t, "Begin", s.Begin(t.Context(), begun))
	if begun.Ticket == 0 {
		t.Error("Begin took the ticket away although nothing is stored")
	}
	if s.Stats().Failed.Load() == 0 {
		t.Error("Stats.Failed = 0")
	}
	// What is stored can be read, and copies of it are told once a commit is possible.
	if _, err := s.Story(t.Context(), a.Receipt.ID); err != nil {
		t.Errorf("Story on a full disk: %v", err)
	}

	r.free(t, s)
	b = accept(t, s, large("b", direct(1))) // the failed one claimed nothing
	wantCopy(t, s, large("b"), b.Receipt.ID)
	wantCopy(t, s, submission("a", noon), a.Receipt.ID)
	settled(t, s)
	if got := deliveryOf(t, s, a.Receipt.ID, 0); got.State != carom.Delivered || len(got.Attempts) != 1 {
		t.Errorf("the outcome that waited for room: %+v, want delivered", got)
	}
	if events, err := s.Events(t.Context(), carom.EventFilter{YMID: "b"}); err != nil || len(events) != 1 {
		t.Errorf("search for b: %d events, %v, want 1", len(events), err)
	}
	stop()
	s, _ = open(t, dir, Options{})
	wantCopy(t, s, submission("b", noon), b.Receipt.ID)
	if got := outcomes(t, s)[carom.OutcomeUnverified+":"+string(carom.ReasonWrongSecret)]; got != 3 {
		t.Errorf("%d unverified ones counted, want 3", got)
	}
}

func TestFullDiskWhenABucketCloses(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now, BucketEvents: 10})
	acceptSingly(t, s, "a", 10)
	r.fill(t, s)
	for range 3 {
		sub := submission("b", noon)
		s.Accept(sub)
		wantUnavailable(t, "Accept", sub.Err)
	}
	r.free(t, s)
	if got := place(t, accept(t, s, submission("b", noon)).Receipt.ID); got != (carom.Ref{Bucket: 2, Seq: 1}) {
		t.Errorf("the first event with room lies at %+v, want the start of bucket 2", got)
	}
	acceptSingly(t, s, "c", 20)
}

// A full disk does not lose what several accepts in one batch had claimed, in whatever order keys were replaced.
func TestFailedCommitGivesBackReplacedKeys(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now})
	a := accept(t, s, repeating("a", noon))
	r.fill(t, s)
	again := large("a")
	again.Key.Window, again.Event.Received.At = session, noon.Add(11*time.Minute) // after the window: would be new
	third := large("a")
	third.Key.Window, third.Event.Received.At = session, noon.Add(22*time.Minute)
	s.Accept(again, third)
	wantUnavailable(t, "Accept", again.Err)
	wantUnavailable(t, "Accept", third.Err)
	r.free(t, s)
	wantCopy(t, s, repeating("a", noon.Add(9*time.Minute)), a.Receipt.ID)
}

func TestEndOnAFullDiskAnswersEverybody(t *testing.T) {
	r := newRig()
	s, err := Open(t.TempDir(), Options{Clock: r.now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	a := accept(t, s, submission("a", noon, direct(1)))
	r.fill(t, s)
	release := r.hold(t, s)
	var wg sync.WaitGroup
	const callers = 3 * maxBatch // more than the next commit takes
	for i := range callers {
		wg.Go(func() {
			sub := large(fmt.Sprint(i))
			s.Accept(sub)
			wantUnavailable(t, "Accept", sub.Err)
		})
	}
	for range 40 { // more than the next commit takes
		wg.Go(func() {
			wantUnavailable(t, "control", s.control(context.Background(), func(w *writer) error {
				return w.exec(`INSERT INTO objects VALUES ('app', 'x', zeroblob(100000))`)
			}))
		})
	}
	wg.Go(func() { wantUnavailable(t, "Begin", s.Begin(context.Background(), delivery(a, 0))) })
	for s.queue.waiting() < callers {
		runtime.Gosched()
	}
	cancel()
	release()
	wg.Wait()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	checkInvariants(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	r := newRig()
	s, _ := open(t, t.TempDir(), Options{Clock: r.now, MaxQueue: 4})
	release := r.hold(t, s)
	defer release()
	var wg sync.WaitGroup
	subs := []*carom.Submission{submission("a", noon), submission("b", noon), submission("c", noon), submission("d", noon)}
	wg.Go(func() { s.Accept(subs[:3]...) }) // counted by submission, not by call
	for s.queue.waiting() < 3 {
		runtime.Gosched()
	}
	wg.Go(func() { s.Accept(subs[3]) })
	for s.queue.waiting() < 4 {
		runtime.Gosched()
	}
	late := submission("late", noon)
	s.Accept(late)
	wantUnavailable(t, "Accept", late.Err)
	wantUnavailable(t, "Refuse", s.Refuse(refused("app", "monetag", noon)))
	release()
	wg.Wait()
	for _, sub := range subs {
		if sub.Err != nil {
			t.Errorf("%s, which had a place in the queue: %v", sub.Event.YMID, sub.Err)
		}
	}
	accept(t, s, submission("late", noon))
}

func TestEndStoresWhatIsQueued(t *testing.T) {
	r := newRig()
	dir := t.TempDir()
	s, err := Open(dir, Options{Clock: r.now, identity: noIdentity})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	release := r.hold(t, s)
	var wg sync.WaitGroup
	const callers = 3 * maxBatch
	for i := range callers {
		wg.Go(func() {
			sub := submission(fmt.Sprint(i), noon)
			s.Accept(sub)
			if sub.Err != nil {
				t.Errorf("Accept: %v", sub.Err)
			}
		})
	}
	for s.queue.waiting() < callers {
		runtime.Gosched()
	}
	cancel()
	release()
	wg.Wait()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	late := submission("late", noon)
	s.Accept(late)
	wantUnavailable(t, "Accept after the end", late.Err)
	d := &carom.Delivery{ID: carom.NewDeliveryID(s.inc, carom.Ref{Bucket: 1, Seq: 1}, 0)}
	wantUnavailable(t, "Record after the end", s.Record(d, &carom.Attempt{Number: 1, State: carom.Delivered}))
	wantUnavailable(t, "Begin after the end", s.Begin(context.Background(), d))
	wantUnavailable(t, "Refuse after the end", s.Refuse(refused("app", "monetag", noon)))
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s, _ = open(t, dir, Options{})
	if got := s.Recovered().Events; got != callers {
		t.Errorf("%d events after the end, want %d", got, callers)
	}
}

func TestCloseTwiceAndWithoutRun(t *testing.T) {
	s, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	sub := submission("a", noon)
	var wg sync.WaitGroup
	wg.Go(func() { s.Accept(sub) })
	for s.queue.waiting() < 1 {
		runtime.Gosched()
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	wg.Wait()
	wantUnavailable(t, "Accept that nobody ran for", sub.Err)
	if _, err := s.Events(t.Context(), carom.EventFilter{}); err == nil {
		t.Error("Events after Close: no error")
	}
	if names, err := filepath.Glob(filepath.Join(s.dir, "*-wal")); err != nil || len(names) != 0 {
		t.Errorf("left behind after Close: %v, %v, want no log: a connection was not closed", names, err)
	}
}

func TestOpenRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, carom.ErrConflict) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Open: %v, want carom.ErrConflict that says that it is in use", err)
	}
	accept(t, s, submission("a", noon)) // the first goes on
	stop()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatalf("Open after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestOpenRefusesAReadOnlyFolder(t *testing.T) {
	for _, name := range []string{"new", "used"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name == "used" {
				s, stop := open(t, dir, Options{})
				accept(t, s, submission("a", noon))
				stop()
			}
			makeReadOnly(t, dir)
			s, err := Open(dir, Options{})
			if err == nil {
				_ = s.Close() // the missing error says enough
			}
			wantUnavailable(t, "Open", err)
		})
	}
}

// makeReadOnly keeps everybody from making files in dir, until the test ends.
func makeReadOnly(t testing.TB, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("folders have no write permission on Windows")
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) // so that it can be removed
		return
	}
	if out, err := exec.Command("chattr", "+i", dir).CombinedOutput(); err != nil {
		t.Skipf("root writes anywhere, and chattr +i does not work here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", dir).Run() }) // so that it can be removed
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	dir := t.TempDir()
	_, stop := open(t, dir, Options{})
	stop()
	w, err := openWriter(filepath.Join(dir, databaseFile), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.exec("PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, carom.ErrInvalid) || !strings.Contains(err.Error(), "newer") {
		t.Errorf("Open of a newer schema: %v, want carom.ErrInvalid that says so", err)
	}

	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, databaseFile), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, carom.ErrInvalid) {
		t.Errorf("Open of a file that is no database: %v, want carom.ErrInvalid", err)
	}
}

func TestOpenMakesAFolderThatOnlyItsOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "odd ?name#with%20[signs]é")
	s, stop := open(t, dir, Options{BucketEvents: 10})
	acceptSingly(t, s, "a", 15)
	s.seal()
	stop()
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode on Windows")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || e.Name() != "carom.lock" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", e.Name(), info.Mode(), err)
		}
	}
	if strings.Join(names, " ") != "carom.db carom.life carom.lock index_1 secrets.key" {
		t.Errorf("the folder holds %v, want carom.db, carom.life, carom.lock, index_1 and secrets.key", names)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v, want 0700", info.Mode(), err)
	}
}
