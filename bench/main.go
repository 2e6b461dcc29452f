// Command bench measures carom against fixed references and writes the figures to bench/out/latest.json.
//
// It talks to the real server, a process of its own, over HTTP. The references, the load generator and the sink are
// processes too: this binary starts itself anew for each. With -postgres the server keeps its data in a PostgreSQL that the
// benchmark starts, alone or as one of two nodes. docs/performance.md says what is measured and how to read it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"carom/bench/proc"
)

// options are what the command line says.
type options struct {
	Suite          suite
	Carom          string
	Dir            string
	Out            string
	GrowthDir      string
	Markdown       string
	DashboardPages string // the file that says which data each of them reads
	Only           []string
	Rounds         int
	Pairs          int
	Senders        int
	Pages          int // senders of beacons
	GrowthEvents   uint64
	DeadEvents     uint64
	Views          int
	WarmUp         time.Duration
	GrowthWarmUp   time.Duration // further time before the growth part of PostgreSQL measures
	Window         time.Duration
	PairWindow     time.Duration
	IdleAfter      time.Duration // when the memory of an idle server is read
	Connect        time.Duration // how long before the first event the load generator is started, so that it is connected by then
	OpenWait       time.Duration // how long a breaker may stay open after its endpoint's return: what comes then joins the backlog and does not count as new
	Quick          bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if isPart(os.Args) {
		fail(runPart(ctx, os.Args[1], os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	fail(err)
	if o.Markdown != "" {
		fail(updateMarkdown(o.Suite, o.Markdown, o.Out))
		return
	}
	fail(bench(ctx, o, os.Stdout))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	o := options{Senders: 64, Pages: 256, IdleAfter: 5 * time.Second, Connect: 400 * time.Millisecond, OpenWait: 8 * time.Second}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(w)
	var only string
	var onPostgres bool
	folder, postgres := folderSuite(), postgresSuite()
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/tmp", "folder for data, on a real disk")
	f.StringVar(&o.Out, "out", "", "file for the figures (default "+folder.out+", with -postgres "+postgres.out+")")
	f.BoolVar(&onPostgres, "postgres", false, "measure carom on PostgreSQL, which is started for it")
	f.StringVar(&o.GrowthDir, "growth-dir", "", "keep the loaded folders of the growth and readers parts here, and use them again")
	f.StringVar(&o.Markdown, "markdown", "", "write the figures of -out into the results table of this file, and measure nothing")
	f.StringVar(&only, "only", "", "parts to run, with commas between: "+strings.Join(folder.names(), ",")+
		"; with -postgres "+strings.Join(postgres.names(), ",")+"; the figures of the others are kept")
	f.StringVar(&o.DashboardPages, "dashboard-pages", "web/dashboard/pages.json", "file that says which data each page of the dashboard reads")
	f.IntVar(&o.Rounds, "rounds", 3, "rounds of each measurement")
	f.IntVar(&o.Pairs, "pairs", 5, "alternated pairs of the isolation, endpoints300 and readers parts")
	f.Uint64Var(&o.GrowthEvents, "growth-events", 10_000_000, "events to load in the growth and readers parts")
	f.Uint64Var(&o.DeadEvents, "dead-events", 1_000_000, "pending deliveries of the dead endpoint")
	f.IntVar(&o.Views, "views", 5000, "views that somebody waits for in the views part")
	f.DurationVar(&o.WarmUp, "warm-up", 2*time.Second, "time before each measurement")
	f.DurationVar(&o.GrowthWarmUp, "growth-warm-up", 20*time.Second, "with -postgres, further time before the growth part measures, in which keys are read into memory and logged for the first time")
	f.DurationVar(&o.Window, "window", 8*time.Second, "length of each measurement")
	f.DurationVar(&o.PairWindow, "pair-window", 10*time.Second, "length of each measurement of those parts; readers at a rate are measured three times as long")
	f.BoolVar(&o.Quick, "quick", false, "a trial run: one round, short windows, little data; the figures prove nothing")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", f.Arg(0))
	}
	if o.Quick {
		o.Rounds, o.Pairs = 1, 1
		o.GrowthEvents, o.DeadEvents = min(o.GrowthEvents, 200_000), min(o.DeadEvents, 20_000)
		o.Views = min(o.Views, 500)
		o.GrowthWarmUp = time.Second
		o.WarmUp, o.Window, o.PairWindow = 500*time.Millisecond, 2*time.Second, 2*time.Second
	}
	if o.Rounds < 1 || o.Pairs < 1 || o.Views < 1 {
		return o, errors.New("-rounds, -pairs and -views must be at least 1")
	}
	if o.Suite = folder; onPostgres {
		o.Suite, o.Senders = postgres, 2*o.Senders // a commit takes longer there: with fewer, processors stand idle while all senders wait
	}
	if o.GrowthDir != "" && onPostgres {
		return o, errors.New("-growth-dir is of no use with -postgres: the database is loaded anew each time, which takes minutes")
	}
	o.Out = cmp.Or(o.Out, o.Suite.out)
	o.Only = o.Suite.names()
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	for _, p := range o.Only {
		if !slices.Contains(o.Suite.names(), p) {
			return o, fmt.Errorf("-only names the part %q: the parts are %s", p, strings.Join(o.Suite.names(), ", "))
		}
	}
	return o, nil
}

// bench runs the parts and writes the figures after each, so that a later failure does not lose the earlier ones.
func bench(ctx context.Context, o options, w io.Writer) error {
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	fsName, inMemory, err := proc.FileSystem(o.Dir)
	if err != nil {
		return err
	}
	if inMemory {
		return fmt.Errorf("%s lies in memory (%s), where a sync costs nothing: choose a folder on a real disk with -dir", o.Dir, fsName)
	}
	rep, err := readReport(o.Suite, o.Out)
	if err != nil {
		return err
	}
	rep.Machine = machineFacts(fsName)
	r, err := newRig(o, w)
	if err != nil {
		return err
	}
	defer r.close()
	for _, sp := range o.Suite.parts {
		if !r.ran(sp.name) {
			continue
		}
		began := time.Now()
		r.say("%s", sp.name)
		p := &part{At: began.UTC().Format(time.RFC3339), Carom: version(o.Carom), Quick: o.Quick}
		if err := sp.run(r, ctx, rep, p); err != nil {
			return fmt.Errorf("part %s: %w", sp.name, err)
		}
		p.Seconds = time.Since(began).Round(time.Second).Seconds()
		rep.Parts[sp.name] = p
		if err := rep.write(o.Out); err != nil {
			return err
		}
	}
	rep.print(w)
	_, err = fmt.Fprintln(w, "written to", filepath.ToSlash(o.Out))
	return err
}
