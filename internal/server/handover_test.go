//go:build unix

package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carom/internal/caromtest"
)

// process is a server in a process of its own.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its log; closed when it has ended
	mu    sync.Mutex  // guards log
	log   strings.Builder
}

// spawn starts the test binary as a server. before may change the command.
func spawn(t *testing.T, before func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"serve"}, args...)...), lines: make(chan string, 10_000)}
	p.cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	if i := slices.Index(args, "--data"); i >= 0 && caromtest.OnPostgreSQL() {
		p.cmd.Env = append(p.cmd.Env, "CAROM_DATABASE="+caromtest.DatabaseOf(t, args[i+1]), "CAROM_SECRETS_KEY="+caromtest.SecretsKey)
	}
	if before != nil {
		before(p.cmd)
	}
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.mu.Lock()
			p.log.WriteString(scan.Text() + "\n")
			p.mu.Unlock()
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.mu.Lock()
			defer p.mu.Unlock()
			t.Logf("log of the process %d:\n%s", p.cmd.Process.Pid, p.log.String())
		}
	})
	return p
}

// patience is how long a test waits before it says that something hangs. How fast things are depends on what else the machine does:
// bench/upgrade measures that.
const patience = 2 * time.Minute

// until waits for a line of the log that holds text. What came before it is gone.
func (p *process) until(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the process ended and never said %q", text)
			}
			if strings.Contains(line, text) {
				return line
			}
		case <-deadline:
			t.Fatalf("the process does not say %q", text)
		}
	}
}

// ended waits for the end of the process.
func (p *process) ended(t *testing.T) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-p.lines:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the process does not end")
		}
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	for range p.lines {
	}
	_ = p.cmd.Wait() // it was killed
}

// folderWith makes a data folder in which objects are in force.
func folderWith(t *testing.T, objects string) string {
	t.Helper()
	s := caromtest.Start(t, caromtest.Options{Objects: objects})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return s.Data
}

// freeAddress is an address of loopback at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// senders send each postback once: half of them on a connection of its own, half on one that is used for as long as the
// server allows it.
type senders struct {
	address string
	stop    chan struct{}
	wg      sync.WaitGroup
	sent    atomic.Int64
	longest atomic.Int64 // nanoseconds that an answer took

	mu           sync.Mutex // guards both below
	acknowledged []string
	failed       []string
}

// send starts the senders, which send about 200 postbacks a second together.
func send(address string) *senders {
	s := &senders{address: address, stop: make(chan struct{})}
	for n := range 8 {
		s.wg.Go(func() { s.run(n) })
	}
	return s
}

func (s *senders) run(n int) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	var kept net.Conn
	for i := 0; ; i++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		ymid := fmt.Sprintf("s%d-%d", n, i)
		began := time.Now()
		conn, err := s.once(kept, ymid)
		if kept = conn; n%2 == 0 && conn != nil {
			_ = conn.Close() // the next one has its own
			kept = nil
		}
		took := time.Since(began).Nanoseconds()
		for was := s.longest.Load(); took > was && !s.longest.CompareAndSwap(was, took); was = s.longest.Load() {
		}
		s.sent.Add(1)
		s.mu.Lock()
		if err != nil {
			s.failed = append(s.failed, ymid+": "+err.Error())
		} else {
			s.acknowledged = append(s.acknowledged, ymid)
		}
		s.mu.Unlock()
	}
}

// once sends one postback, without ever repeating it, and returns the connection if it may be used again.
func (s *senders) once(conn net.Conn, ymid string) (net.Conn, error) {
	if conn == nil {
		var err error
		if conn, err = net.DialTimeout("tcp", s.address, patience); err != nil {
			return nil, err
		}
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s?ymid=%s&event=click HTTP/1.1\r\nHost: carom\r\n\r\n", caromtest.Door, ymid); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // "OK", which was read with the head
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	if resp.Close {
		_ = conn.Close() // as the server asks
		return nil, nil
	}
	return conn, nil
}

// end stops the senders.
func (s *senders) end() {
	close(s.stop)
	s.wg.Wait()
}

// check fails the test unless nothing failed and the server on the data folder has each acknowledged postback once.
func (s *senders) check(t *testing.T, data string) {
	t.Helper()
	t.Logf("%d postbacks sent, the longest answer took %s", s.sent.Load(), time.Duration(s.longest.Load()))
	for i, f := range s.failed {
		if i < 10 {
			t.Errorf("a postback failed: %s", f)
		}
	}
	if len(s.failed) > 0 || len(s.acknowledged) == 0 {
		t.Errorf("%d of %d postbacks failed", len(s.failed), s.sent.Load())
	}
	books := caromtest.Start(t, caromtest.Options{Data: data})
	stored := map[string]int{}
	for _, e := range books.Events(t, "") {
		stored[e.YMID]++
	}
	for _, ymid := range s.acknowledged {
		if stored[ymid] != 1 {
			t.Errorf("%s was acknowledged and is stored %d times", ymid, stored[ymid])
		}
	}
}

// more waits until the senders have sent n more.
func (s *senders) more(t *testing.T, n int64) {
	t.Helper()
	want := s.sent.Load() + n
	caromtest.Until(t, "more postbacks", func() bool { return s.sent.Load() >= want })
}

// Senders that try each postback once notice nothing of an upgrade.
func TestAnUpgradeRefusesNobody(t *testing.T) {
	t.Parallel()
	hanging := caromtest.NewEndpoint(t)
	hanging.Script("/p", caromtest.Hang) // attempts under way do not hold the hand-over up
	data := folderWith(t, caromtest.Monetag("", hanging.URL+"/p?ymid={ymid}"))
	address := freeAddress(t)
	running := spawn(t, nil, "--data", data, "--listen", address)
	running.until(t, "carom serves")
	load := send(address)
	for range 3 {
		load.more(t, 100)
		next := spawn(t, nil, "--data", data, "--listen", address, "--takeover")
		next.until(t, "carom serves")
		running.ended(t)
		running = next
	}
	load.more(t, 100)
	load.end()
	running.kill()
	load.check(t, data)
}

// When the next process dies at a step, or cannot serve, the running one goes on, and nobody was refused.
func TestAFailedUpgradeChangesNothing(t *testing.T) {
	t.Parallel()
	data := folderWith(t, caromtest.Monetag(""))
	address := freeAddress(t)
	running := spawn(t, nil, "--data", data, "--listen", address)
	running.until(t, "carom serves")
	load := send(address)
	load.more(t, 20)

	// It dies once it has the sockets.
	gone := askForSockets(t, data)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	running.until(t, "asked to take over and then did not")

	// It dies while callers are told to connect anew.
	gone = askForSockets(t, data)
	if _, err := gone.Write([]byte("ready\n")); err != nil {
		t.Fatal(err)
	}
	caromtest.Until(t, "callers to be told", func() bool { return lastRequest(address) })
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	running.until(t, "was gone when it was its turn")
	load.more(t, 100)

	// It has everything, and then its objects file has a fault.
	bad := filepath.Join(caromtest.Folder(t), "carom.yaml")
	if err := os.WriteFile(bad, []byte("apps: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := spawn(t, nil, "--data", data, "--listen", address, "--takeover", "--config", bad)
	running.until(t, "this one serves again")
	running.until(t, "carom serves")
	broken.ended(t)
	load.more(t, 100)

	// And the next one that is right takes over after all.
	next := spawn(t, nil, "--data", data, "--listen", address, "--takeover")
	next.until(t, "carom serves")
	running.ended(t)
	load.more(t, 100)
	load.end()
	next.kill()
	load.check(t, data)
}

// A predecessor that is killed leaves the sockets to its successor.
func TestAPredecessorThatDies(t *testing.T) {
	t.Parallel()
	data := folderWith(t, caromtest.Monetag(""))
	address := freeAddress(t)
	running := spawn(t, nil, "--data", data, "--listen", address)
	running.until(t, "carom serves")
	next := spawn(t, nil, "--data", data, "--listen", address, "--takeover")
	caromtest.Until(t, "the successor to be ready", func() bool { return lastRequest(address) })
	running.kill()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("between two processes a caller was refused: %v", err)
	}
	defer func() { _ = conn.Close() }() // the test is over
	if _, err := fmt.Fprintf(conn, "GET %s?ymid=v1&event=click HTTP/1.1\r\nHost: carom\r\n\r\n", caromtest.Door); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the caller who waited has no answer: %v", err)
	}
	_ = resp.Body.Close() // not read
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the caller who waited was answered %s", resp.Status)
	}
	next.until(t, "carom serves")
}

// askForSockets begins a hand-over as the next process does.
func askForSockets(t *testing.T, data string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(data, "takeover.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("carom takeover 1\n")); err != nil {
		t.Fatal(err)
	}
	names := make([]byte, 64) // the sockets that come along are dropped
	if n, err := conn.Read(names); err != nil || !strings.Contains(string(names[:n]), "public") {
		t.Fatalf("the running server hands over %q, %v", names[:n], err)
	}
	return conn
}

// lastRequest says whether the server tells callers to connect anew.
func lastRequest(address string) bool {
	resp, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // not read
	return resp.Close
}

func TestATakeoverOfNobodyStartsAsUsual(t *testing.T) {
	t.Parallel()
	s := caromtest.Start(t, caromtest.Options{Objects: caromtest.Monetag(""), Config: func(c *cfg) { c.Takeover = true }})
	s.Accepted(t, "ymid=v1&event=click")
	if !strings.Contains(s.Log(), "there is nothing to take over") {
		t.Error("the log does not say that there was nobody")
	}
}
