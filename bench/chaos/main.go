// Command chaos runs three nodes of carom on one PostgreSQL database with a replica, under load, through every fault that
// machines and networks have, and then compares their books.
//
// A small balancer spreads postbacks over the nodes and tries another node when one is gone or says "try later"; what is not
// acknowledged is sent again by its sender. Meanwhile nodes are killed, paused for less and for more than their lease lasts, and
// cut off from the database; the primary is restarted, killed and paused; the replica goes away; the primary is lost for good and the
// replica promoted; all nodes are restarted one after another. Each fault is drawn by a seed and printed. In the end what was
// acknowledged, what the endpoints received and what the database holds have to agree. With -only a run is of one kind of fault.
//
// Each node is cut off from the database alone by proxies of its own in this program, one for each database server: connections are
// reset, or bytes just stop to arrive, as when packets are lost. Where the machine allows it (Linux, root, the program ip) each node
// lives in a network namespace of its own, whose cable is taken out as well: then it is cut off from everything.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	Carom    string
	Dir      string
	Out      string
	Duration time.Duration
	Rate     float64
	Senders  int
	Seed     uint64
	Drain    time.Duration
	Keep     bool
	Only     string // the name of the one fault to make; empty: all
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
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/chaos", "folder for data and logs; emptied first")
	f.StringVar(&o.Out, "out", "bench/out/chaos.json", "file for the ledger")
	f.DurationVar(&o.Duration, "duration", 5*time.Minute, "how long the load and the faults last; a minute at least")
	f.Float64Var(&o.Rate, "rate", 1000, "different events per second; copies and repeats come on top")
	f.IntVar(&o.Senders, "senders", 384, "senders, each with a connection to each node")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of all that is random; 0 takes a new one, which is printed")
	f.DurationVar(&o.Drain, "drain", 5*time.Minute, "longest wait for the last delivery")
	f.BoolVar(&o.Keep, "keep", false, "keep the nodes' logs when all is well; after a violation they are always kept")
	f.StringVar(&o.Only, "only", "", "make this one fault over and over, by its name as it is printed, in place of all")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Only != "" && !slices.ContainsFunc(alone, func(x fault) bool { return x.name == o.Only }) {
		var names []string
		for _, x := range alone {
			names = append(names, x.name)
		}
		return o, fmt.Errorf("-only is %q: name one of: %s", o.Only, strings.Join(names, "; "))
	}
	if o.Duration < time.Minute || o.Rate <= 0 || o.Senders < 1 {
		return o, errors.New("-duration must be a minute at least, -rate and -senders positive")
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o, nil
}

// errViolated says that the ledger does not add up. The table says how.
var errViolated = errors.New("the books do not agree")

func run(ctx context.Context, o options, w io.Writer) error {
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	if err := errors.Join(os.RemoveAll(o.Dir), os.MkdirAll(o.Dir, 0o755), os.MkdirAll(filepath.Dir(o.Out), 0o755)); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "3 nodes, each with a proxy of its own to each database server; %.0f events/s for %v, seed %d\n", o.Rate, o.Duration, o.Seed)
	c, err := newChaos(o, w)
	if err != nil {
		return err
	}
	f, err := c.run(ctx)
	err = errors.Join(err, c.close())
	if err != nil {
		return fmt.Errorf("with seed %d: %w", o.Seed, err)
	}
	rep := f.report(o)
	rep.print(w)
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.Out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if rep.Violated > 0 {
		return fmt.Errorf("with seed %d: %w: %d lines do not hold. The logs are kept: %s", o.Seed, errViolated, rep.Violated, o.Dir)
	}
	if o.Keep {
		return nil
	}
	return os.RemoveAll(o.Dir)
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
