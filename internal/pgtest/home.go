package pgtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// home is a private folder, one for data, and the server that runs in them. The path of the first is short, as the one of a socket
// has to be.
//
// Both go when this process ends, however it ends: a small shell waits for the end of its input, whose other end this process
// holds, and then ends the server and removes the folders. It is in a session of its own, so that what interrupts this
// process does not reach it.
//
// PostgreSQL and PgBouncer refuse to run as root. Then the folders belong to the user postgres, who runs them.
type home struct {
	dir   string
	data  string // in dir, or in the folder that was asked for
	shell *exec.Cmd
	input *os.File // of the shell: a line for each server that starts, with its pid, and an empty one when it has ended

	mu    sync.Mutex    // guards what follows
	pid   int           // of the server; 0: it does not run
	spent time.Duration // processor time of the servers that ended, and of their children
}

// keeper is the shell's script. Its arguments are the folders. A server that was paused has to go on to end. One that was killed
// leaves, beside its files, a piece of shared memory, whose number is in the seventh line of its account.
const keeper = `
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
	kill -QUIT "$pid" && kill -CONT "$pid"
	n=0
	while [ $n -lt 100 ] && kill -0 "$pid"; do sleep 0.1; n=$((n + 1)); done
	kill -KILL "$pid"
fi
[ -f "$2/postmaster.pid" ] && ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$2/postmaster.pid")"
rm -rf "$@"
`

// newHome makes a folder, and another for data in parent if that is not empty.
func newHome(parent string) (*home, error) {
	dir, err := os.MkdirTemp("", "carompg")
	if err != nil {
		return nil, err
	}
	h := &home{dir: dir, data: filepath.Join(dir, "data")}
	if parent == "" {
		err = os.Mkdir(h.data, 0o700)
	} else {
		h.data, err = os.MkdirTemp(parent, "carompg")
	}
	if err == nil {
		err = errors.Join(giveAway(h.dir), giveAway(h.data))
	}
	if err == nil {
		err = h.keep()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(h.dir), os.RemoveAll(h.data))
	}
	return h, nil
}

// keep starts the shell.
func (h *home) keep() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // the shell has its own
	h.shell, h.input = exec.Command("/bin/sh", "-c", keeper, "sh", h.dir, h.data), in
	h.shell.Stdin = out
	detach(h.shell)
	if err := h.shell.Start(); err != nil {
		return errors.Join(err, in.Close())
	}
	return nil
}

// write writes a file into the folder, which only who runs the servers can read, and returns its path.
func (h *home) write(name, text string) (path string, err error) {
	path = filepath.Join(h.dir, name)
	return path, errors.Join(os.WriteFile(path, []byte(text), 0o600), giveAway(path))
}

// run runs a program as who owns the folder, and returns with its output as the error when it fails.
func (h *home) run(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = h.dir
	if err := asOwner(cmd); err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}

// start starts the server, whose output is appended to the log.
func (h *home) start(program string, args ...string) error {
	log, err := os.OpenFile(h.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.dir, log, log
	if err := asOwner(cmd); err != nil {
		return err
	}
	detach(cmd)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	h.pid = cmd.Process.Pid
	_, err = fmt.Fprintln(h.input, h.pid)
	return errors.Join(err, cmd.Process.Release()) // it is waited for by its pid, without a goroutine
}

// ended says whether the server does not run, and takes note of its end.
func (h *home) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pid == 0 {
		return true
	}
	spent, ended := reap(h.pid)
	if ended {
		h.pid, h.spent = 0, h.spent+spent
		_, _ = fmt.Fprintln(h.input) // the shell may be gone, and then has nothing left to do
	}
	return ended
}

// running returns the pid of the server.
func (h *home) running() (int, error) {
	if h.ended() {
		return 0, errEnded
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pid, nil
}

// errEnded says that there is no server to speak to.
var errEnded = errors.New("the server does not run")

// whenEnded waits for the end of the server.
func (h *home) whenEnded() error {
	return until("the server to end", func() (bool, error) { return h.ended(), nil })
}

// close lets the shell end the server and remove the folders. Closing twice is safe.
func (h *home) close() error {
	if err := h.input.Close(); errors.Is(err, os.ErrClosed) {
		return nil
	}
	return errors.Join(h.whenEnded(), h.shell.Wait())
}

func (h *home) log() string { return filepath.Join(h.dir, "log") }

// tail is the end of the log.
func (h *home) tail() string {
	text, err := os.ReadFile(h.log())
	if err != nil {
		return err.Error()
	}
	const shown = 8 << 10
	return string(text[max(0, len(text)-shown):])
}

// freePort returns a port of loopback that nobody listens at now.
//
// It is below those that systems give to outgoing connections (from 32768 on Linux, 49152 elsewhere). Otherwise one of them could
// take the port while the server is down, even one that tries to reach just this port: it would be connected to itself.
func freePort() (int, error) {
	const lowest, highest = 20000, 32000
	var err error
	for range 100 {
		port := lowest + rand.IntN(highest-lowest)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// loopback is where everything listens.
const loopback = "127.0.0.1"
