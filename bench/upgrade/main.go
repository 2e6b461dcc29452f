// Command upgrade replaces carom under load, over and over, and counts what its callers notice.
//
// Senders try each postback once, half of them on connections of their own, with a connect timeout of a second, and give up
// after five. Meanwhile the server is upgraded several times: first by `carom serve --takeover`, then by restarts while
// another process, as systemd would, holds the socket. Nobody may be refused, nobody may go unanswered, and what was
// acknowledged has to be stored once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"carom/bench/load"
	"carom/bench/once"
	"carom/bench/proc"
	"carom/bench/sink"
)

// options are what the command line says.
type options struct {
	Carom    string
	Dir      string
	Out      string
	Rate     float64
	Upgrades int
	Window   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("upgrade", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/upgrade", "folder for data; emptied first")
	f.StringVar(&o.Out, "out", "bench/out/upgrade.json", "file for the figures")
	f.Float64Var(&o.Rate, "rate", 1000, "postbacks per second")
	f.IntVar(&o.Upgrades, "upgrades", 5, "upgrades of each kind")
	f.DurationVar(&o.Window, "window", time.Minute, "length of the load of each kind, over which the upgrades are spread")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Rate <= 0 || o.Upgrades < 1 || o.Window <= 0 {
		return o, errors.New("-rate, -upgrades and -window must be positive")
	}
	return o, nil
}

// figures are what came of one kind of upgrade.
type figures struct {
	Kind     string `json:"kind"`
	Upgrades int    `json:"upgrades"`
	*once.Account
	Lost  int64 `json:"lost"`  // acknowledged and not stored
	Twice int64 `json:"twice"` // stored more than once
}

// wrong says which lines do not hold; none when all do.
func (f *figures) wrong() (faults []string) {
	for _, line := range []struct {
		what string
		n    int64
	}{
		{"refused", f.Refused}, {"unanswered", f.Unanswered}, {"broken", f.Broken}, {"answered other than 200", f.Failed() - f.Refused - f.Unanswered - f.Broken},
		{"acknowledged and lost", f.Lost}, {"stored twice", f.Twice},
	} {
		if line.n != 0 {
			faults = append(faults, fmt.Sprintf("%s: %d %s", f.Kind, line.n, line.what))
		}
	}
	return faults
}

// The kinds of upgrades.
const (
	kindTakeover   = "takeover"
	kindActivation = "socket activation"
)

func run(ctx context.Context, o options, w io.Writer) error {
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	var all []*figures
	var faults []string
	for i, kind := range []string{kindTakeover, kindActivation} {
		_, _ = fmt.Fprintf(w, "%s: %d upgrades in %v at %.0f postbacks/s\n", kind, o.Upgrades, o.Window, o.Rate)
		f, err := measure(ctx, o, kind, uint32(i+1))
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		all = append(all, f)
		faults = append(faults, f.wrong()...)
	}
	print(w, all)
	text, err := json.MarshalIndent(map[string]any{"at": time.Now().UTC().Format(time.RFC3339), "rate": o.Rate, "kinds": all}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.Out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("callers noticed: %v. The data folder is kept: %s", faults, o.Dir)
	}
	return os.RemoveAll(o.Dir)
}

func print(w io.Writer, all []*figures) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "\nKIND\tUPGRADES\tSENT\tACKNOWLEDGED\tREFUSED\tUNANSWERED\tBROKEN\tLOST\tTWICE\tP50\tP99\tLONGEST")
	for _, f := range all {
		_, _ = fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f ms\t%.0f ms\t%.0f ms\n", f.Kind, f.Upgrades, f.Sent, f.Acked, f.Refused,
			f.Unanswered, f.Broken, f.Lost, f.Twice, f.Latency.P50, f.Latency.P99, f.Longest)
	}
	_ = tw.Flush() // the exit code says the same
}

// measure makes the upgrades of one kind under load.
func measure(ctx context.Context, o options, kind string, runID uint32) (*figures, error) {
	receiver := httptest.NewServer(sink.New(0))
	defer receiver.Close()
	secret := proc.NewSecret()
	dir := filepath.Join(o.Dir, fmt.Sprint(runID))
	s := proc.Setup{Binary: o.Carom, Dir: dir, Config: fmt.Sprintf(`apps:
  bench:
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
    endpoints:
      backend:
        url: "%s/postback?ymid={ymid}&d={delivery_id}"
        allow_private: true
`, secret, receiver.URL)}
	held, err := holdSocket(&s, kind)
	if err != nil {
		return nil, err
	}
	defer held()
	server, err := proc.StartCarom(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { server.Kill() }() // the newest; it has ended by then, if all went well
	sending, stop := context.WithCancel(ctx)
	defer stop()
	f := &figures{Kind: kind}
	var wg sync.WaitGroup
	wg.Go(func() {
		f.Account = once.Run(sending, once.Config{Addr: s.Listen, Path: "/in/bench/monetag/" + secret + "?ymid=" + load.YMID + "&zone_id=1&event=click&value=valued",
			Run: runID, Rate: o.Rate})
	})
	every := o.Window / time.Duration(o.Upgrades+1)
	for ; f.Upgrades < o.Upgrades && err == nil; f.Upgrades++ {
		if err = pause(ctx, every); err == nil {
			server, err = upgrade(ctx, s, server, kind)
		}
	}
	if err == nil {
		err = pause(ctx, every)
	}
	stop()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	client := server.LocalClient()
	defer client.CloseIdleConnections()
	books, err := once.ReadBooks(ctx, client)
	if err != nil {
		return nil, err
	}
	f.Lost, _ = books.Of(runID).Missing(&f.AckedSet)
	f.Twice = books.Twice
	return f, server.Stop(time.Minute)
}

// holdSocket settles where the server listens. For socket activation this process holds the socket, as a service manager
// does, and the returned function lets go of it.
func holdSocket(s *proc.Setup, kind string) (release func(), err error) {
	if kind != kindActivation {
		s.Listen, err = proc.FreeAddr()
		return func() {}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	s.Listen = l.Addr().String()
	s.Files = []*os.File{file}
	// LISTEN_PID is the process's own id, which a shell knows before it becomes the server.
	s.Wrap = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}
	s.Env = []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=public"}
	return func() {
		_ = file.Close() // nothing was written
		_ = l.Close()    // likewise
	}, nil
}

// upgrade replaces the server by the next and returns it once it serves.
func upgrade(ctx context.Context, s proc.Setup, old *proc.Carom, kind string) (*proc.Carom, error) {
	if kind == kindActivation { // systemctl restart
		if err := old.Stop(time.Minute); err != nil {
			return old, err
		}
		next, err := proc.StartCarom(ctx, s)
		if err != nil {
			return old, err
		}
		return next, nil
	}
	s.Args = []string{"--takeover"}
	next, err := proc.Launch(s)
	if err != nil {
		return old, err
	}
	select {
	case <-old.Ended(): // it ends once the next one serves
		return next, next.WaitReady(ctx)
	case <-next.Ended():
		return old, fmt.Errorf("the next server ended instead of taking over; the log ends with:\n%s", next.LogTail())
	case <-ctx.Done():
		return next, context.Cause(ctx)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
