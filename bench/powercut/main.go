// Command powercut cuts the power of carom, as near as a program can, and checks that nothing acknowledged is lost.
//
// It runs the real server under strace, which writes down every call that changes the data folder, every sync, and every
// answer to a postback, in the order in which they happened. The server lives three times on one folder: it is stopped,
// killed in the middle of its work, started again on what that left, and stopped. Postbacks are sent in parallel with
// copies and repeats among them, some are refused, the endpoint fails now and then, and there are enough of all that time
// buckets close and the write-ahead log is carried over.
//
// Then, for thousands of moments in the recording, it rebuilds the folder that a disk could hold if the power went at that
// moment, opens it with carom's own store and checks:
//   - every event and every refusal that was answered 200 before the moment is there, and nothing that was never sent;
//   - no dedupe key is there twice, and a copy of any stored event is still recognised as a copy;
//   - every delivery has ended, or waits to be sent, and not both;
//   - SQLite finds nothing wrong with the database.
//
// What a disk could hold: all that was synced before the moment, which is what was written before a sync began that had
// ended by then. What was not synced is lost altogether, or some of it is there: see the list of variants. The names of
// files (made, renamed, removed) count only once the folder was synced, in some variants; in others they are there with
// their contents lost.
//
// What this does not show: a disk that loses what it said was synced, or that damages what it was not writing to; a file
// system that reorders beyond one block the versions of that block; stale contents of other files in blocks that were
// never written (noise stands in for them). SQLite's shared memory beside the log is left out, as it is made anew by the
// first to open the database. The loss of power to the endpoint and to the senders is not looked at either.
//
// The long form, go run ./bench/powercut, takes about seven minutes of processor time; go test runs a short one.
//
// That the harness can fail is shown by -forget-syncs, which takes the syncs of one file as not having happened.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
)

// options are what the command line says.
type options struct {
	Carom   string
	Dir     string
	Scratch string
	Events  int
	Refused int
	Cuts    int
	Senders int
	Seed    uint64
	Forget  string
	Keep    bool
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
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("powercut", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/powercut", "folder for the recording; emptied first")
	f.StringVar(&o.Scratch, "scratch", "", "folder in which rebuilt data folders are opened; empty takes one in memory, if there is one")
	f.IntVar(&o.Events, "events", 3000, "different events to send; a time bucket closes after 1,000")
	f.IntVar(&o.Refused, "refused", 100, "postbacks of 200 KB to send that are refused and journaled, in the first life; 80 of them fill the write-ahead log once")
	f.IntVar(&o.Cuts, "cuts", 5000, "power cuts to try, each at one moment and in one variant; 0 tries every moment in every variant")
	f.IntVar(&o.Senders, "senders", 8, "connections")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of the moments and of what survives; 0 takes a new one, which is printed")
	f.StringVar(&o.Forget, "forget-syncs", "", "take the syncs of this file of the data folder as not having happened (carom.db-wal; . for the folder itself): the test must fail")
	f.BoolVar(&o.Keep, "keep", false, "keep the recording when all is well; after a violation the rebuilt folder is always kept")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Events < 1 || o.Senders < 1 || o.Refused < 0 || o.Cuts < 0 {
		return o, errors.New("-events and -senders must be positive, and -refused and -cuts not negative")
	}
	for o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	return o, nil
}

// errViolated says that a power cut would have broken a promise. The ledger says which.
var errViolated = errors.New("a power cut would have broken a promise")

// run is the whole test.
func run(ctx context.Context, o options, w io.Writer) error {
	if err := canTrace(ctx); err != nil {
		return err
	}
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	_, _ = fmt.Fprintf(w, "%d events and %d refusals over %d connections, seed %d\n", o.Events, o.Refused, o.Senders, o.Seed)
	rec, err := record(ctx, o)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, _ = fmt.Fprintf(w, "recorded: %s\n", rec.summary())
	if o.Forget != "" {
		_, _ = fmt.Fprintf(w, "syncs of %s are taken as not having happened\n", o.Forget)
	}
	if _, err := judge(ctx, o, rec, w); err != nil || o.Keep {
		return err
	}
	return os.RemoveAll(o.Dir)
}

// judge cuts the power of a recording and prints the ledger. It returns errViolated when a promise was broken.
func judge(ctx context.Context, o options, rec *recording, w io.Writer) (ledger, error) {
	l, err := cutAll(ctx, o, rec, w)
	if err != nil {
		return l, fmt.Errorf("with seed %d: %w", o.Seed, err)
	}
	l.print(w)
	if l.violations() > 0 {
		return l, fmt.Errorf("with seed %d: %w", o.Seed, errViolated)
	}
	return l, nil
}
