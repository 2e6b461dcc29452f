//go:build unix

package examples_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"carom/internal/caromtest"
	"carom/receiver"
)

// The secrets of the tests: one of each form, so that both are tried.
const (
	caromSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	previousSecret = "correct horse battery"
	networkSecret  = "staple-of-the-network"
)

// runtime is what an example is run with.
type runtime struct {
	command []string
	dir     string
}

// missing skips the test for want of a program, or fails it where everything has to run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CAROM_TEST_ALL") != "" {
		t.Fatalf("%s, and CAROM_TEST_ALL is set", what)
	}
	t.Skipf("skipped: %s", what)
}

// works says whether a program runs and ends well.
func works(name string, args ...string) bool { return exec.Command(name, args...).Run() == nil }

func goRuntime(t *testing.T) runtime {
	program := filepath.Join(t.TempDir(), "backend")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	return runtime{[]string{program}, "go"}
}

func nodeRuntime(t *testing.T) runtime {
	if !works("node", "--version") {
		missing(t, "Node.js is not installed: apt-get install nodejs")
	}
	if _, err := os.Stat("node/node_modules/express"); err != nil {
		missing(t, "express is not installed: run `npm ci` in examples/node")
	}
	return runtime{[]string{"node", "app.js"}, "node"}
}

func phpRuntime(t *testing.T) runtime {
	if !works("php", "-r", "exit(extension_loaded('pdo_sqlite') ? 0 : 1);") {
		missing(t, "PHP with SQLite is not installed: apt-get install php-cli php-sqlite3")
	}
	return runtime{[]string{"php", "-S", "127.0.0.1:PORT", "index.php"}, "php"}
}

func pythonRuntime(t *testing.T) runtime {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if works(python, "-c", "import flask") {
			return runtime{[]string{python, "-B", "app.py"}, "python"} // -B leaves no __pycache__ behind
		}
	}
	missing(t, "Flask is not installed: apt-get install python3-flask")
	return runtime{}
}

// backend is an example, run with its real runtime. Its methods are for one goroutine.
type backend struct {
	runtime
	url      string
	address  string
	database string

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	log   *output
}

// newBackend prepares an example that is not running yet. It keeps its port, as an app does.
func newBackend(t *testing.T, r runtime) *backend {
	t.Helper()
	port := freePort(t)
	b := &backend{
		runtime: r, address: "127.0.0.1:" + port, url: "http://127.0.0.1:" + port,
		database: filepath.Join(t.TempDir(), "app.db"), log: &output{},
	}
	b.command = append([]string(nil), r.command...)
	for i := range b.command {
		b.command[i] = strings.ReplaceAll(b.command[i], "PORT", port)
	}
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("output of the example:\n%s", b.log)
		}
	})
	return b
}

// freePort finds a port below those that the system gives out for outgoing connections, since the example has to get it again
// after each crash.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("found no free port")
	return ""
}

// launch starts the process with the test's secrets and more variables, those of a later mention winning.
func (b *backend) launch(t *testing.T, env ...string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(b.address)
	b.cmd = exec.Command(b.command[0], b.command[1:]...)
	b.cmd.Dir = b.dir
	b.cmd.Env = append(os.Environ(), "CAROM_SECRET="+caromSecret, "CAROM_SECRET_PREVIOUS="+previousSecret,
		"NETWORK_SECRET="+networkSecret, "DATABASE="+b.database, "PORT="+port, "CRASH_AT=", "CAROM_RULES=")
	b.cmd.Env = append(b.cmd.Env, env...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	// A group of its own, so that PHP's workers end with it.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("start the example: %v", err)
	}
	ended, cmd := make(chan struct{}), b.cmd
	b.ended = ended
	go func() {
		_ = cmd.Wait() // it is killed, so this is an error
		close(ended)
	}()
}

// start starts the process and waits until it serves.
func (b *backend) start(t *testing.T, env ...string) {
	t.Helper()
	b.launch(t, env...)
	caromtest.Until(t, "the example to serve", func() bool {
		if b.isGone() {
			t.Fatal("the example ended before it served")
		}
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was sent
		return true
	})
}

// restart kills the process, if it lives, and starts it anew.
func (b *backend) restart(t *testing.T, env ...string) {
	t.Helper()
	b.kill()
	b.start(t, env...)
}

func (b *backend) kill() {
	if b.cmd == nil {
		return
	}
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // it may be gone
	<-b.ended
	b.cmd = nil
}

func (b *backend) isGone() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// dies waits until the process has killed itself.
func (b *backend) dies(t *testing.T) {
	t.Helper()
	caromtest.Until(t, "the example to crash", b.isGone)
	status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the example ended with %v, want a SIGKILL", b.cmd.ProcessState)
	}
	b.cmd = nil
}

// open opens the example's database beside it.
func (b *backend) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.database+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// coins reads a balance. A database that is not there yet has none.
func (b *backend) coins(t *testing.T, user string) int {
	t.Helper()
	db := b.open(t)
	defer func() { _ = db.Close() }() // it was only read
	var coins int
	err := db.QueryRow("SELECT coins FROM balances WHERE user = ?", user).Scan(&coins)
	if err != nil && !errors.Is(err, sql.ErrNoRows) && !strings.Contains(err.Error(), "no such table") {
		t.Fatalf("read the balance: %v", err)
	}
	return coins
}

// execute changes the example's database behind its back.
func (b *backend) execute(t *testing.T, statement string) {
	t.Helper()
	db := b.open(t)
	defer func() { _ = db.Close() }() // what was executed is committed
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// request is one request to the example.
type request struct {
	method, path, body string
	header             http.Header
}

// get is a postback of the network with a query.
func get(query string) request { return request{"GET", "/postback?" + query, "", nil} }

// paid is a paid postback of the network with its secret.
func paid(eventType, ymid string) request {
	return get("secret=" + networkSecret + "&ymid=" + ymid + "&zone_id=1&event_type=" + eventType + "&reward_event_type=valued")
}

// signed is an attempt of carom's for a delivery, signed at a moment.
func signed(t *testing.T, secret, delivery, body string, at time.Time) request {
	t.Helper()
	signature, err := receiver.SignStandard(delivery, at, []byte(body), secret)
	if err != nil {
		t.Fatal(err)
	}
	return request{"POST", "/carom", body, http.Header{
		"Content-Type": {"application/json"}, receiver.HeaderID: {delivery},
		receiver.HeaderTimestamp: {strconv.FormatInt(at.Unix(), 10)}, receiver.HeaderSignature: {signature},
	}}
}

// event is the body of a paid event.
func event(delivery, eventType, ymid string) string {
	return fmt.Sprintf(`{"type":"event.%s","data":{"delivery_id":%q,"event_type":%q,"reward_event_type":"valued","ymid":%q,"zone_id":"1"}}`,
		eventType, delivery, eventType, ymid)
}

// ask sends a request and returns the status, or an error when no answer came.
func (b *backend) ask(r request) (status int, err error) {
	req, err := http.NewRequest(r.method, b.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	if r.header != nil {
		req.Header = r.header
	}
	// A connection of its own: one that is kept could belong to a process that is gone.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// answers sends a request that has to be answered with a status.
func (b *backend) answers(t *testing.T, r request, want int) {
	t.Helper()
	if got, err := b.ask(r); err != nil || got != want {
		t.Errorf("%s %s %s was answered %d (%v), want %d", r.method, r.path, r.body, got, err, want)
	}
}

// output is what a process wrote. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is everything that was written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
