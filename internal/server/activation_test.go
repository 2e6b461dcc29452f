//go:build unix

package server_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"carom/internal/caromtest"
)

// The service manager passes the sockets, holds them while nobody serves, and is told when the server is ready.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	data := folderWith(t, caromtest.Monetag(""))
	public, private := activation(t), activation(t)
	notify := filepath.Join(data, "notify.sock")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }() // the test is over
	activated := func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{public.file, private.file}
		// LISTEN_PID is the process's own id, which a shell knows before it becomes the server.
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(cmd.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=public:private", "NOTIFY_SOCKET="+notify, "WATCHDOG_USEC=200000")
	}
	p := spawn(t, activated, "--data", data)
	line := p.until(t, "carom serves")
	if !strings.Contains(line, " listen="+public.address) || !strings.Contains(line, " private_listen="+private.address) {
		t.Errorf("the server listens elsewhere: %s", line)
	}
	tells := func(want ...string) {
		t.Helper()
		told := map[string]bool{}
		for buf := make([]byte, 256); slices.ContainsFunc(want, func(w string) bool { return !told[w] }); {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			state, _, _ := strings.Cut(string(buf[:n]), "\n")
			told[state] = true
		}
	}
	tells("READY=1", "WATCHDOG=1")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	tells("RELOADING=1", "READY=1")
	if got := caromtest.Do(t, "GET", "http://"+public.address+caromtest.Door+"?ymid=v1&event=click", ""); got.Status != http.StatusOK {
		t.Errorf("a postback was answered %d", got.Status)
	}
	if got := caromtest.Do(t, "GET", "http://"+public.address+"/v1/status", ""); got.Status != http.StatusNotFound {
		t.Errorf("the public address answers /v1 with %d, want 404: the private one is there", got.Status)
	}
	if got := caromtest.Do(t, "GET", "http://"+private.address+"/metrics", ""); got.Status != http.StatusOK {
		t.Errorf("the private address answers /metrics with %d", got.Status)
	}
	p.kill()

	// Nobody serves. Who connects now waits.
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + public.address + caromtest.Door + "?ymid=v2&event=click")
		if err == nil {
			_ = resp.Body.Close() // not read
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		answered <- err
	}()
	spawn(t, activated, "--data", data).until(t, "carom serves")
	if err := <-answered; err != nil {
		t.Errorf("a postback between two servers: %v", err)
	}
}

// With the sockets in the service manager's hands a restart is an upgrade: nobody is refused, whatever is under way.
func TestARestartUnderAServiceManagerRefusesNobody(t *testing.T) {
	t.Parallel()
	hanging := caromtest.NewEndpoint(t)
	hanging.Script("/p", caromtest.Hang)
	data := folderWith(t, caromtest.Monetag("", hanging.URL+"/p?ymid={ymid}"))
	public := activation(t)
	activated := func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{public.file}
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=carom.socket") // a unit that says no name
	}
	running := spawn(t, activated, "--data", data)
	running.until(t, "carom serves")
	load := send(public.address)
	load.more(t, 100)
	if err := running.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	running.ended(t)
	running = spawn(t, activated, "--data", data)
	running.until(t, "carom serves")
	load.more(t, 100)
	load.end()
	running.kill()
	load.check(t, data)
}

// unit is a socket as a service manager holds it.
type unit struct {
	address string
	file    *os.File
}

func activation(t *testing.T) unit {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close() // its copy is closed too
		_ = f.Close() // nothing was written
	})
	return unit{l.Addr().String(), f}
}

// A socket with a name that is none of ours would never be accepted from.
func TestSocketActivationWithUnknownNames(t *testing.T) {
	t.Parallel()
	public, other := activation(t), activation(t)
	p := spawn(t, func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{public.file, other.file}
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.Env = append(cmd.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=public:dashboard")
	}, "--data", caromtest.Folder(t))
	p.until(t, `passes a socket named "dashboard"`)
}
