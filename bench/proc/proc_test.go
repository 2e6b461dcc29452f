package proc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary stand in for the processes that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "part":
			fmt.Println(Announce + "127.0.0.1:7")
			_, _ = io.Copy(io.Discard, os.Stdin)
			return
		case "silent":
			fmt.Fprintln(os.Stderr, "no port is free")
			return
		case "echo":
			_, _ = io.Copy(os.Stdout, os.Stdin)
			return
		case "serve":
			standIn()
			return
		}
	}
	// Under the race detector each process would linger for a second at its end.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// standIn serves /readyz at the address after --listen, as carom does.
func standIn() {
	for i, a := range os.Args {
		if a == "--listen" {
			l, err := net.Listen("tcp", os.Args[i+1])
			if err != nil {
				os.Exit(1)
			}
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(os.Args[2:]) }))
		}
	}
}

func TestPartSaysWhereItListensAndEndsWithItsInput(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p, err := StartPart(log, "part")
	if err != nil {
		t.Fatal(err)
	}
	if p.Addr != "127.0.0.1:7" {
		t.Errorf("address %q", p.Addr)
	}
	if u, err := p.Usage(); err != nil || u.RSS == 0 || u.PeakRSS < u.RSS {
		t.Errorf("usage = %+v, %v", u, err)
	}
	if err := p.Stop(time.Minute); err != nil {
		t.Error(err)
	}
	if err := p.Stop(time.Minute); err != nil {
		t.Errorf("stopped twice: %v", err)
	}
	if _, err := StartPart(log, "silent"); err == nil || !strings.Contains(err.Error(), "no port is free") {
		t.Errorf("a silent part: %v", err)
	}
	out, _, err := RunPart(log, []byte("hello"), "echo")
	if err != nil || string(out) != "hello" {
		t.Errorf("RunPart = %q, %v", out, err)
	}
}

func TestCaromStartAndKill(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := StartCarom(context.Background(), Setup{Binary: self, Dir: dir, Config: "apps: {}\n"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.get(context.Background(), "/")
	var args []string
	if err != nil || json.Unmarshal([]byte(text), &args) != nil {
		t.Fatalf("%q, %v", text, err)
	}
	want := []string{"--data", filepath.Join(dir, "data"), "--config", filepath.Join(dir, "carom.yaml"), "--listen", c.Addr, "--log-level", "warn"}
	if diff := cmp.Diff(want, args); diff != "" || c.Ready <= 0 {
		t.Errorf("ready %v, arguments (-want +got):\n%s", c.Ready, diff)
	}
	c.Kill()
	c.Kill()
	if err := c.WaitReady(context.Background()); err == nil {
		t.Error("a dead server is ready")
	}
}

func TestCounters(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(dir, "carom.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "# HELP a_total x\na_total{k=\"}\"} 3\na_total{k=\"2\"} 4.5 1700000000000\na_total_more 9\nb 1e3\n")
	}))
	srv.Listener = socket
	srv.Start()
	defer srv.Close()
	c := &Carom{dataDir: dir}
	got := c.Counters(context.Background(), "a_total", "b", "absent")
	if diff := cmp.Diff(map[string]float64{"a_total": 7.5, "b": 1000}, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

func TestUsageParsing(t *testing.T) {
	cpu, err := cpuOf("42 (a b) c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 8 0 1 2 3")
	if err != nil || cpu != 2*time.Second {
		t.Errorf("cpu = %v, %v; want 2s", cpu, err)
	}
	if _, err := cpuOf("42 (x) S 1"); err == nil {
		t.Error("a short account was accepted")
	}
	if got := kib("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t1024 kB\n", "VmRSS:"); got != 1<<20 {
		t.Errorf("VmRSS = %d, want 1 MiB", got)
	}
}

func TestFileSystemHasAName(t *testing.T) {
	dir := t.TempDir()
	if name, _, err := FileSystem(dir); err != nil || name == "" {
		t.Errorf("file system %q, %v", name, err)
	}
}

func TestWhatARunningProcessHas(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: what a process has is read from /proc")
	}
	p := &Process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	files, err := p.OpenFiles()
	if err != nil || files < 3 {
		t.Errorf("%d files are open, %v", files, err)
	}
	if own, err := p.AnonymousRSS(); err != nil || own < 1<<20 {
		t.Errorf("%d bytes are its own, %v", own, err)
	}
}
