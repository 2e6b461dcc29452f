// Package proc starts, watches and ends the processes of a benchmark: carom itself, and the benchmark's own parts, which run
// apart so that the processor time of each can be told from the others'.
package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Process is one that this package started. Its methods may be called by several goroutines.
type Process struct {
	cmd   *exec.Cmd
	log   string        // path of the file with its output
	stdin io.Closer     // nil for a server; closing it ends a part
	ended chan struct{} // closed once it ended, after which cmd.ProcessState is set
}

// Pid returns the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended is closed once the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process at once, without a chance to tidy up, and waits for it. A second call does nothing.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

// Stop asks the process to end and waits for it; after grace it kills it and says so. A second call does nothing.
func (p *Process) Stop(grace time.Duration) error {
	if p.stdin != nil {
		_ = p.stdin.Close() // a part ends when its input does
	} else {
		_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended already
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.ended:
		return nil
	case <-t.C:
		p.Kill()
		return fmt.Errorf("%s did not stop within %v and was killed", filepath.Base(p.cmd.Path), grace)
	}
}

// CPU returns the processor time that an ended process took, or zero while it runs.
func (p *Process) CPU() time.Duration {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	default:
		return 0
	}
}

// LogTail returns the last lines of what the process wrote.
func (p *Process) LogTail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	const shown = 2000
	if len(b) > shown {
		b = b[len(b)-shown:]
	}
	return strings.TrimSpace(string(b))
}

// start runs cmd with its output appended to the file at log.
func start(cmd *exec.Cmd, log string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", filepath.Base(cmd.Path), err)
	}
	defer func() { _ = f.Close() }() // the process holds its own
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return &Process{cmd: cmd, log: log, ended: make(chan struct{})}, nil
}

func (p *Process) reap() {
	_ = p.cmd.Wait() // how it ended is in ProcessState
	close(p.ended)
}

// Part is a process of the benchmark's own binary that serves HTTP.
type Part struct {
	*Process
	Addr string // host and port that it listens at
}

// Announce is how a part says on its standard output where it listens.
const Announce = "listening at "

// StartPart runs this very binary with args and waits until it says where it listens. The part ends when its standard input
// does, so it never outlives the process that started it.
func StartPart(log string, args ...string) (*Part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // one line is read from it
	cmd.Stdout = in
	p, err := start(cmd, log)
	_ = in.Close() // the process holds its own
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	go p.reap()
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), Announce)
	if err != nil || !ok {
		p.Kill()
		return nil, fmt.Errorf("%s did not say where it listens: %s", args[0], p.LogTail())
	}
	return &Part{Process: p, Addr: addr}, nil
}

// RunPart runs this very binary with args, gives it input and returns what it printed, with the processor time it took.
func RunPart(log string, input []byte, args ...string) (output []byte, cpu time.Duration, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin = strings.NewReader(string(input))
	var out strings.Builder
	cmd.Stdout = &out
	p, err := start(cmd, log)
	if err != nil {
		return nil, 0, err
	}
	p.reap()
	if !cmd.ProcessState.Success() {
		return nil, 0, fmt.Errorf("%s ended with %v: %s", args[0], cmd.ProcessState, p.LogTail())
	}
	return []byte(out.String()), p.CPU(), nil
}

// errEnded says that a process ended while it was waited for.
var errEnded = errors.New("the process ended")
