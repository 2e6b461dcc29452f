// Command soak runs carom for a long time at half the rate that saturates it, while its receiver and its disk fail now and then
// and it is restarted and killed, and looks for what grows, what is lost and what is doubled.
//
// Three accounts are kept, as in the crash test: what was acknowledged, what the receiver accepted, and under which delivery ids.
// Memory and open files are sampled; they have to be as large in the last quarter of the run as in the one before. The plan
// of troubles repeats four times, so that both quarters have had the same.
//
// Buckets must close and be dropped within the run. The settings ask for a retention of a day at least, so this command is the
// server too: it runs the same code with a shorter one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"carom/internal/config"
	"carom/internal/server"

	"github.com/spf13/pflag"
)

// options are what the command line says.
type options struct {
	Dir     string
	Out     string
	Minutes float64
	Rate    float64
	Senders int
	DiskMB  int
	Drain   time.Duration
	Keep    bool
}

// length is how long the troubles last.
func (o options) length() time.Duration { return time.Duration(o.Minutes * float64(time.Minute)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		err = serve(ctx, os.Args[2:])
	} else {
		var o options
		if o, err = parseOptions(os.Args[1:], os.Stderr); errors.Is(err, flag.ErrHelp) {
			return
		}
		if err == nil {
			err = run(ctx, o, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// retentionVariable is how the part that serves learns its retention.
const retentionVariable = "SOAK_RETENTION"

// serve is `carom serve` with a retention that its settings would not allow.
func serve(ctx context.Context, args []string) error {
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	cfg, err := config.Load(fs, nil)
	if err != nil {
		return err
	}
	if cfg.Retention, err = time.ParseDuration(os.Getenv(retentionVariable)); err != nil {
		return fmt.Errorf("%s: %w", retentionVariable, err)
	}
	return server.Run(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.LogLevel})), "soak")
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Dir, "dir", "bench/out/soak", "folder for data; emptied first")
	f.StringVar(&o.Out, "out", "bench/out/soak.json", "file for the figures")
	f.Float64Var(&o.Minutes, "minutes", 20, "length of the run; each quarter has all troubles once")
	f.Float64Var(&o.Rate, "rate", 0, "postbacks per second; 0 is half of what saturates the server, measured for 10 s")
	f.IntVar(&o.Senders, "senders", 32, "connections")
	f.IntVar(&o.DiskMB, "disk", 4096, "megabytes of the file system of its own that the data lie on, which needs root; 0: none, and no full disk")
	f.DurationVar(&o.Drain, "drain", 5*time.Minute, "longest wait for the last delivery")
	f.BoolVar(&o.Keep, "keep", false, "keep the data folder when all is well; after a violation it is always kept")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Minutes < 0.5 || o.Rate < 0 || o.Senders < 1 || o.DiskMB < 0 {
		return o, errors.New("-minutes must be 0.5 at least, -senders positive, -rate and -disk not negative")
	}
	return o, nil
}

// errMissed says that a line does not hold. The table says which.
var errMissed = errors.New("a line is missed")

func run(ctx context.Context, o options, w io.Writer) (err error) {
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	s := &soak{options: o, w: w}
	d, err := mountDisk(ctx, o.Dir, o.DiskMB)
	if err != nil {
		return err
	}
	s.disk = d
	defer func() { err = errors.Join(err, d.unmount()) }()
	rep, err := s.soak(ctx)
	if err != nil {
		return err
	}
	rep.judge()
	rep.print(w)
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.Out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if rep.Missed > 0 {
		return fmt.Errorf("%w: %d. The log is kept: %s", errMissed, rep.Missed, o.Dir)
	}
	if o.Keep {
		return nil
	}
	return d.clear()
}
