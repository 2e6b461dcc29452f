package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom/bench/proc"
)

// server is one life of carom under strace.
type server struct {
	addr    string
	logPath string        // of what it prints
	tracer  *exec.Cmd     // strace, whose child it is
	ended   chan struct{} // closed once strace has ended, and with it the server: its log is then complete
	process *os.Process   // the server itself

	killing sync.Once
}

// start starts the server with its calls recorded in the file at log, and waits until it is ready.
func (r *recorder) start(ctx context.Context, log string) (*server, error) {
	config := filepath.Join(r.Dir, "carom.yaml")
	if err := os.WriteFile(config, []byte(r.config()), 0o600); err != nil {
		return nil, err
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, logPath: filepath.Join(r.Dir, "carom.log"), ended: make(chan struct{})}
	out, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }() // the server holds its own
	// In hex, so that nothing needs to be told apart from what strace itself writes.
	s.tracer = exec.Command("strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", fmt.Sprint(maxTracedBytes), "-e", "trace="+tracedCalls, "-e", "signal=none",
		"-o", log, r.Carom, "serve", "--data", r.dir, "--config", config, "--listen", addr, "--bucket-events", fmt.Sprint(bucketEvents), "--log-level", "warn")
	s.tracer.Stdout, s.tracer.Stderr = out, out
	if err := s.tracer.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = s.tracer.Wait() // the server's own end is looked at in its log
		close(s.ended)
	}()
	if err := s.waitReady(ctx, log); err != nil {
		s.kill()
		return nil, fmt.Errorf("%w; the server's log ends with:\n%s", err, s.log())
	}
	return s, nil
}

// config is the server's file: one source, and one endpoint that retries soon, since it fails often.
func (r *recorder) config() string {
	return fmt.Sprintf(`apps:
  bench:
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
    endpoints:
      unsteady:
        url: "http://%s/postback?ymid={ymid}&d={delivery_id}"
        allow_private: true
        concurrency: 8
        schedule: ["1s", "1s", "2s"]
`, r.secret, r.receiver)
}

func (s *server) waitReady(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.process == nil {
			s.process = tracedProcess(log)
		}
		if s.process != nil && ready(ctx, s.addr) {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("the server ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// tracedProcess returns the process whose first call a log begins with, or nil while there is none.
func tracedProcess(log string) *os.Process {
	f, err := os.Open(log)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read
	head := make([]byte, 16)
	n, _ := f.Read(head) // what is not there yet comes later
	text, _, ok := strings.Cut(string(head[:n]), " ")
	pid, err := strconv.Atoi(text)
	if !ok || err != nil {
		return nil
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil
	}
	return p
}

func ready(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // the status is all that matters
	return resp.StatusCode == http.StatusOK
}

// stop asks the server to end and waits for it.
func (s *server) stop() error {
	_ = s.process.Signal(os.Interrupt) // it may have ended already
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-s.ended:
	case <-t.C:
		s.kill()
		return fmt.Errorf("the server did not stop within %v", stopTimeout)
	}
	if !s.tracer.ProcessState.Success() {
		return fmt.Errorf("the server ended with %v; its log ends with:\n%s", s.tracer.ProcessState, s.log())
	}
	return nil
}

// kill ends the server without warning and waits for strace to finish its log. A second call does nothing.
func (s *server) kill() {
	s.killing.Do(func() {
		select {
		case <-s.ended:
			return
		default:
		}
		if s.process == nil {
			_ = s.tracer.Process.Kill() // it has not started the server, or ends it with itself
		} else {
			_ = s.process.Kill() // it may have ended already
		}
		<-s.ended
	})
}

// log returns the end of what the server printed.
func (s *server) log() string {
	b, err := os.ReadFile(s.logPath)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}
