//go:build unix

package postgres

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"carom"
)

// A process that is halted for longer than its lease lasts, as a machine that is paused, and goes on: it does not send what it held,
// joins with another number, and works on. Only what was in flight when it was halted is sent twice.
func TestAHaltedProcess(t *testing.T) {
	const events, early = 200, 5
	u := database(t)
	db := connect(t, u)
	b := join(t, u, "b", processLease).start(t)
	for i := range events {
		b.accept(t, event(b.Store, fmt.Sprint(i), carom.Target{Endpoint: 1}))
	}

	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), nodeProcess+"="+u)
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Process.Kill() }() // it has ended already, unless the test fails
	lines := bufio.NewScanner(out)
	sent := map[string]int{}
	var numbers []string
	// read takes the process's words until is says that it is enough.
	read := func(what string, is func() bool) {
		t.Helper()
		for !is() {
			if !lines.Scan() {
				t.Fatalf("the process ends before %s", what)
			}
			switch word, rest, _ := strings.Cut(lines.Text(), " "); word {
			case "sent":
				sent[rest]++
			case "node":
				numbers = append(numbers, rest)
			default:
				t.Fatalf("the process says %q", lines.Text())
			}
		}
	}
	read("it has sent some", func() bool { return len(sent) >= early })
	if err := process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the halted node is taken over", func() bool {
		return numberOf(t, db, `SELECT count(*) FROM nodes WHERE name = 'process' AND taken_at > 0`) == 1
	})
	again := map[string]bool{}
	eventually(t, "the other node has sent all", func() bool {
		for _, d := range b.claim(t, carom.Claim{Endpoint: 1, Limit: 50, InOrder: true}) {
			again[string(d.ID)] = true
			if err := b.Record(d, &carom.Attempt{Delivery: d.ID, Number: 1, At: b.Now(), State: carom.Delivered}); err != nil {
				t.Fatal(err)
			}
		}
		return numberOf(t, db, `SELECT count(*) FROM due`) == 0
	})
	if err := process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	read("it has joined again", func() bool { return len(numbers) == 2 })
	if numbers[0] == numbers[1] {
		t.Errorf("the process joins with its old number %s", numbers[0])
	}
	for i := range early {
		b.accept(t, event(b.Store, fmt.Sprint("new", i), carom.Target{Endpoint: 1}))
	}
	eventually(t, "the process works on", func() bool { return numberOf(t, db, `SELECT count(*) FROM due`) == 0 })
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "sent "); ok {
			sent[id]++
		}
	}
	if err := process.Wait(); err != nil {
		t.Errorf("the process ends with %v", err)
	}
	all, twice := map[string]bool{}, 0
	for id, n := range sent {
		all[id] = true
		twice += n - 1
		if again[id] {
			twice++
		}
	}
	for id := range again {
		all[id] = true
	}
	if len(all) != events+early {
		t.Errorf("%d deliveries were sent, want %d", len(all), events+early)
	}
	if twice > 1 {
		t.Errorf("%d deliveries were sent twice, want the one that was in flight at most", twice)
	}
}
