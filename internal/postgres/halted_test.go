//go:build unix

package postgres

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"carom"
)

// A process that is halted for longer than its lease lasts, as a machine that is paused, and goes on: it does not send what it held,
// joins with another number, and works on. Only what was in flight when it was halted is sent twice.
func TestAHaltedProcess(t *testing.T) {
	t.Parallel()
	const events, early = 200, 5
	u := database(t)
	db := connect(t, u)
	b := join(t, u, "b", processLease).start(t)
	for i := range events {
		b.accept(t, event(b.Store, fmt.Sprint(i), carom.Target{Endpoint: 1}))
	}

	p := startProcess(t, u)
	p.read(t, "it has sent some", func() bool { return len(p.sent) >= early })
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the halted node is taken over", func() bool {
		return numberOf(t, db, `SELECT count(*) FROM nodes WHERE name = 'process' AND taken_at > 0`) == 1
	})
	again := map[string]bool{}
	eventually(t, "the other node has sent all", func() bool {
		b.sendWaiting(t, again)
		return numberOf(t, db, `SELECT count(*) FROM due`) == 0
	})
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.read(t, "it has joined again", func() bool { return len(p.numbers) == 2 })
	if p.numbers[0] == p.numbers[1] {
		t.Errorf("the process joins with its old number %s", p.numbers[0])
	}
	for i := range early {
		b.accept(t, event(b.Store, fmt.Sprint("new", i), carom.Target{Endpoint: 1}))
	}
	eventually(t, "the process works on", func() bool { return numberOf(t, db, `SELECT count(*) FROM due`) == 0 })
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the process ends with %v", err)
	}
	p.compare(t, again, events+early+inMemory)
}

// A process that is killed with deliveries in its memory and others that it has claimed: another node sends them all, and none but the
// one in flight is sent twice.
func TestAKilledProcess(t *testing.T) {
	t.Parallel()
	const events, early = 200, 5
	u := database(t)
	db := connect(t, u)
	b := join(t, u, "b", processLease).start(t)
	for i := range events {
		b.accept(t, event(b.Store, fmt.Sprint(i), carom.Target{Endpoint: 1}))
	}
	p := startProcess(t, u)
	p.read(t, "it has sent some", func() bool { return len(p.sent) >= early })
	killed := time.Now()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.end(t)
	_ = p.cmd.Wait() // it was killed
	const claimed = `SELECT count(*) FROM due d JOIN nodes n ON n.no = d.node WHERE n.name = 'process'`
	if n := numberOf(t, db, claimed); n == 0 {
		t.Error("the process had claimed nothing when it was killed: this test shows nothing")
	}
	again := map[string]bool{}
	eventually(t, "the other node has sent all", func() bool {
		b.sendWaiting(t, again)
		return numberOf(t, db, `SELECT count(*) FROM outcomes WHERE state = 'delivered'`) >= events+inMemory
	})
	t.Logf("%.1f s from the kill to the last delivery, with a lease of %v", time.Since(killed).Seconds(), processLease)
	if n := numberOf(t, db, `SELECT count(DISTINCT (place, ordinal)) FROM outcomes`); n != events+inMemory {
		t.Errorf("%d deliveries have ended, want %d, each once", n, events+inMemory)
	}
	if n := numberOf(t, db, `SELECT count(*) FROM due`); n != 0 {
		t.Errorf("%d deliveries still wait", n)
	}
	p.compare(t, again, events+inMemory)
}

// process is this test's binary as a node on a database.
type process struct {
	cmd     *exec.Cmd
	in      io.Closer // its end ends the node
	lines   *bufio.Scanner
	sent    map[string]int // how often it sent what
	numbers []string       // of its leases
}

func startProcess(t *testing.T, databaseURL string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), sent: map[string]int{}}
	p.cmd.Env = append(os.Environ(), nodeProcess+"="+databaseURL)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.lines = in, bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it has ended already, unless the test fails
	return p
}

// read takes the process's words until is says that it is enough.
func (p *process) read(t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		if !p.next(t) {
			t.Fatalf("the process ends before %s", what)
		}
	}
}

// end takes the words that are left.
func (p *process) end(t *testing.T) {
	t.Helper()
	for p.next(t) {
	}
}

func (p *process) next(t *testing.T) bool {
	t.Helper()
	if !p.lines.Scan() {
		return false
	}
	switch word, rest, _ := strings.Cut(p.lines.Text(), " "); word {
	case "sent":
		p.sent[rest]++
	case "node":
		p.numbers = append(p.numbers, rest)
	default:
		t.Fatalf("the process says %q", p.lines.Text())
	}
	return true
}

// compare checks that the process and another node together have sent so many deliveries, and one of them twice at most.
func (p *process) compare(t *testing.T, others map[string]bool, want int) {
	t.Helper()
	all, twice := maps.Clone(others), 0
	for id, n := range p.sent {
		all[id] = true
		twice += n - 1
		if others[id] {
			twice++
		}
	}
	if len(all) != want {
		t.Errorf("%d deliveries were sent, want %d", len(all), want)
	}
	if twice > 1 {
		t.Errorf("%d deliveries were sent twice, want the one that was in flight at most", twice)
	}
}

// sendWaiting claims some of what waits for endpoint 1, and sends it, which is to say that it notes the ids.
func (n *node) sendWaiting(t *testing.T, sent map[string]bool) {
	t.Helper()
	list, _, err := n.Claim(t.Context(), carom.Claim{Endpoint: 1, Limit: 50, InOrder: true})
	if err != nil && !errors.Is(err, carom.ErrUnavailable) { // on a busy machine it cannot always show in time that it has its lease
		t.Fatal(err)
	}
	for _, d := range list {
		sent[string(d.ID)] = true
		if err := n.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: n.Now(), State: carom.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
}
