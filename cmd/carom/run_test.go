package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asCommand is the variable under which the test binary is the command itself, so that scripts can run it.
const asCommand = "CAROM_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// example is a running scripts/run.sh.
type example struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner // of its standard output, with those of the receiver among them
	seen  []string
	dir   string
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startExample starts the script and returns once it has printed what to try.
func startExample(t *testing.T, dir, port, receiverPort string) *example {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", filepath.Join("..", "..", "scripts", "run.sh"))
	cmd.Env = append(os.Environ(), "CAROM="+self, asCommand+"=yes", "RUN_DIR="+dir, "PORT="+port, "RECEIVER_PORT="+receiverPort)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil { // the test failed on its way
			_ = cmd.Process.Signal(os.Interrupt)
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("standard error of the script:\n%s", errOut.String())
		}
	})
	e := &example{t: t, cmd: cmd, lines: bufio.NewScanner(out), dir: dir}
	e.until("Ctrl-C stops everything")
	e.until("http://127.0.0.1:" + port + "/welcome#") // nobody has signed in yet
	return e
}

// until reads the script's output up to a line that holds text, and returns that line.
func (e *example) until(text string) string {
	e.t.Helper()
	for e.lines.Scan() {
		e.seen = append(e.seen, e.lines.Text())
		if strings.Contains(e.lines.Text(), text) {
			return e.lines.Text()
		}
	}
	e.t.Fatalf("the script never printed %q, but:\n%s", text, strings.Join(e.seen, "\n"))
	return ""
}

// curl returns the URL of the line that the script says to try.
func (e *example) curl() string {
	e.t.Helper()
	for _, line := range e.seen {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "curl '"); ok {
			return strings.TrimSuffix(rest, "'")
		}
	}
	e.t.Fatalf("the script printed no curl line, but:\n%s", strings.Join(e.seen, "\n"))
	return ""
}

func (e *example) get(target string) {
	e.t.Helper()
	resp, err := http.Get(target)
	if err != nil {
		e.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if got, want := fmt.Sprint(resp.StatusCode, " ", string(body)), "200 OK"; got != want || err != nil {
		e.t.Errorf("GET %s = %q, %v, want %q", target, got, err, want)
	}
}

// stop interrupts the script, waits for its end, and returns all that it printed.
func (e *example) stop() string {
	e.t.Helper()
	if err := e.cmd.Process.Signal(os.Interrupt); err != nil {
		e.t.Fatal(err)
	}
	for e.lines.Scan() {
		e.seen = append(e.seen, e.lines.Text())
	}
	if err := e.cmd.Wait(); err != nil {
		e.t.Errorf("the script ended with %v, want a clean end; it printed:\n%s", err, strings.Join(e.seen, "\n"))
	}
	return strings.Join(e.seen, "\n")
}

func (e *example) show(ymid string) string {
	e.t.Helper()
	r := carom1(e.t, "", "show", "--ymid", ymid, "--data", filepath.Join(e.dir, "data"))
	if r.code != exitOK {
		e.t.Errorf("carom show --ymid %s ended with %d: %s", ymid, r.code, r.errOut)
	}
	return r.out
}

// TestRunScript is `make run` as a person meets it: start, the postbacks of docs/start-publisher.md, stop, start again.
func TestRunScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is missing, which scripts/run.sh needs:", err)
	}
	dir, err := os.MkdirTemp("", "carom") // t.TempDir is too long for the path of a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	port, receiverPort := freePort(t), freePort(t)
	e := startExample(t, dir, port, receiverPort)
	sample := e.curl()
	monetag, _, _ := strings.Cut(sample, "?")
	secret, err := os.ReadFile(filepath.Join(dir, "own-names.secret"))
	if err != nil {
		t.Fatal(err)
	}
	ownNames := "http://127.0.0.1:" + port + "/in/example/own-names/" + string(secret)

	postbacks := []struct{ ymid, url, want string }{
		{"user123", sample, "ymid=user123&zone_id=8790478&sub_zone_id=&request_var=bonus-btn&telegram_id=&event_type=click&reward_event_type=&estimated_price=&"},
		{"user124", monetag + "?ymid=user124&event_type=click&zone_id=8790478&request_var=bonus-btn",
			"ymid=user124&zone_id=8790478&sub_zone_id=&request_var=bonus-btn&telegram_id=&event_type=click&reward_event_type=&estimated_price=&"},
		{"user125", monetag + "?ymid=user125&zone=8790478&event=impression&value=valued&amount=0.0023",
			"ymid=user125&zone_id=8790478&sub_zone_id=&request_var=&telegram_id=&event_type=impression&reward_event_type=valued&estimated_price=0.0023&"},
		{"user126", ownNames + "?uid=user126&source=bonus-btn&event=click",
			"ymid=user126&zone_id=&sub_zone_id=&request_var=bonus-btn&telegram_id=&event_type=click&reward_event_type=&estimated_price=&"},
	}
	for _, p := range postbacks {
		e.get(p.url)
		line := e.until("GET /postback?ymid=" + p.ymid)
		if !strings.Contains(line, p.want) {
			t.Errorf("for %s the receiver got\n%s\nwant in it\n%s", p.url, line, p.want)
		}
		if story := e.show(p.ymid); !strings.Contains(story, "200") && !strings.Contains(story, "pending") {
			t.Errorf("the story of %s tells of no delivery:\n%s", p.ymid, story)
		}
	}
	e.get(sample) // a copy
	printed := e.stop()
	if got := strings.Count(printed, "GET /postback?"); got != len(postbacks) {
		t.Errorf("the receiver got %d postbacks, want %d: the copy is not passed on", got, len(postbacks))
	}
	if !strings.Contains(printed, "stopped;") {
		t.Errorf("the script does not say that it stopped:\n%s", printed)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "carom.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the stop the server's socket is still there (%v): it was not stopped cleanly", err)
	}

	e = startExample(t, dir, port, receiverPort)
	if got := e.curl(); got != sample {
		t.Errorf("the second start says to try %s, want the URL of the first: %s", got, sample)
	}
	for _, p := range postbacks {
		if story := e.show(p.ymid); !strings.Contains(story, "accepted, owed to 1 endpoint: 1 delivered") || !strings.Contains(story, p.want) {
			t.Errorf("after a restart the story of %s is not that of a delivery:\n%s", p.ymid, story)
		}
	}
	e.stop()
}

// TestRunScriptUsedPort: a port that is taken is told with the fix, and nothing is started or written.
func TestRunScriptUsedPort(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is missing, which scripts/run.sh needs:", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "run")
	cmd := exec.Command("bash", filepath.Join("..", "..", "scripts", "run.sh"))
	cmd.Env = append(os.Environ(), "CAROM="+self, asCommand+"=yes", "RUN_DIR="+dir, "PORT="+port)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("with a used port the script ended with %v, want exit code 1", err)
	}
	if want := "the port " + port + " is in use by another program. Take another one: PORT="; !strings.Contains(string(out), want) {
		t.Errorf("with a used port the script prints\n%s\nwant in it\n%s", out, want)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with a used port the folder was made (%v), want nothing written", err)
	}
}
