// Command hostile abuses carom and measures what honest senders notice.
//
// It starts the real server with few files to open, sends honest postbacks at a steady rate, each tried once, and lets one
// attack after the other run beside them, at last all together: heads and bodies that trickle, idle connections up to the limit
// of open files, readers that do not read, oversized everything, random bytes, smuggled requests, floods of wrong secrets. The
// attackers have addresses of the loopback network other than that of the honest senders. They are a process of their own, paced and
// with a lower priority, since they share the machine: what is measured is whether the server keeps its order, not whether its
// processor can be filled.
//
// Honest postbacks must all be answered 200, with a p99 under 50 ms or five times their own alone; nothing of the attackers' may
// become an event; and when they are gone, descriptors and memory must be back where they were.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/signal"
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
	Carom  string
	Dir    string
	Out    string
	Rate   float64
	Window time.Duration
	Files  int
	Slow   int
	Idle   int
	Flood  float64
	Junk   float64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == partAttack {
		err = runAttack(ctx, os.Args[2:], os.Stdout)
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
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. Help and faults are written to w.
func parseOptions(args []string, w io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("hostile", flag.ContinueOnError)
	f.SetOutput(w)
	f.StringVar(&o.Carom, "carom", "bin/carom", "path of the server's binary")
	f.StringVar(&o.Dir, "dir", "bench/out/hostile", "folder for data; emptied first")
	f.StringVar(&o.Out, "out", "bench/out/hostile.json", "file for the figures")
	f.Float64Var(&o.Rate, "rate", 200, "honest postbacks per second")
	f.DurationVar(&o.Window, "window", 10*time.Second, "length of each attack, and of the honest senders alone")
	f.IntVar(&o.Files, "files", 1024, "files that the server may open")
	f.IntVar(&o.Slow, "slow", 400, "connections of each slow attack, opened anew when the server closes them")
	f.IntVar(&o.Idle, "idle", 2000, "idle connections; more than the server can have")
	f.Float64Var(&o.Flood, "flood", 1000, "wrong secrets per second")
	f.Float64Var(&o.Junk, "junk", 50, "requests per second of each attack that sends nonsense")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.Rate <= 0 || o.Window <= 0 || o.Files < 128 || o.Slow < 1 || o.Idle < 1 || o.Flood <= 0 || o.Junk <= 0 {
		return o, errors.New("all sizes and rates must be positive, and -files at least 128")
	}
	return o, nil
}

// figures are what honest senders noticed beside one attack.
type figures struct {
	Attack string `json:"attack"` // empty: none
	*once.Account
	Sent       int64              `json:"attacker_sent"`  // connections or requests of the attackers
	Closed     int64              `json:"attacker_ended"` // of them, those that the server closed or answered
	Shed       map[string]float64 `json:"shed"`
	MostFiles  int                `json:"most_files"`
	MostMemory int64              `json:"most_rss_mb"`
}

// report is what is written.
type report struct {
	At          string     `json:"at"`
	Limit       float64    `json:"limit_ms"` // of the honest p99
	Figures     []*figures `json:"figures"`
	FilesBefore int        `json:"files_before"`
	FilesAfter  int        `json:"files_after"`
	RSSBefore   int64      `json:"rss_before_mb"`
	RSSAfter    int64      `json:"rss_after_mb"`
	Strangers   int64      `json:"events_of_attackers"`
	Lost        int64      `json:"lost"`
	Twice       int64      `json:"twice"`
}

// What honest senders may notice, and what may be left when the attackers are gone.
const (
	limitMillis  = 50.0
	limitTimes   = 5.0
	filesLeft    = 40
	memoryLeftMB = 96
)

func run(ctx context.Context, o options, w io.Writer) error {
	if _, err := os.Stat(o.Carom); err != nil {
		return fmt.Errorf("the server's binary is missing: run `make build`, or say where it is with -carom: %w", err)
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	receiver := httptest.NewServer(sink.New(0))
	defer receiver.Close()
	secret := proc.NewSecret()
	limit := fmt.Sprintf("--nofile=%d:%d", o.Files, o.Files)
	server, err := proc.StartCarom(ctx, proc.Setup{
		Binary: o.Carom, Dir: o.Dir, Wrap: []string{"prlimit", limit},
		Args: []string{"--exempt-addresses="}, // the attackers are on this machine, and must not be spared for it
		Config: fmt.Sprintf(`apps:
  bench:
    sources:
      monetag: { profile: monetag, ymid: view, secret: "%s" }
    endpoints:
      backend:
        url: "%s/postback?ymid={ymid}&d={delivery_id}"
        allow_private: true
`, secret, receiver.URL),
	})
	if err != nil {
		return err
	}
	defer server.Kill()
	b := &bench{options: o, server: server, path: "/in/bench/monetag/" + secret + "?ymid=" + load.YMID + "&zone_id=1&event=click&value=valued"}
	rep, err := b.all(ctx, w)
	if err != nil {
		return fmt.Errorf("%w; the server's log ends with:\n%s", err, server.LogTail())
	}
	rep.print(w)
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.Out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	if faults := rep.faults(); len(faults) > 0 {
		for _, f := range faults {
			_, _ = fmt.Fprintln(w, "MISSED:", f)
		}
		return errors.New("a line is missed")
	}
	if err := server.Stop(time.Minute); err != nil {
		return err
	}
	return os.RemoveAll(o.Dir)
}

// faults says which lines are missed.
func (r *report) faults() (out []string) {
	miss := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, f := range r.Figures {
		if n := f.Failed(); n > 0 {
			miss("beside %s %d honest postbacks failed: %d refused, %d unanswered, %d broken, statuses %v (%s)", f.name(), n, f.Refused, f.Unanswered, f.Broken, f.Other, f.Error)
		}
		if f.Latency.P99 > r.Limit {
			miss("beside %s the honest p99 is %.1f ms, want %.1f at most", f.name(), f.Latency.P99, r.Limit)
		}
	}
	if r.FilesAfter > r.FilesBefore+filesLeft {
		miss("%d files are open after the attacks, %d were before", r.FilesAfter, r.FilesBefore)
	}
	if r.RSSAfter > r.RSSBefore+memoryLeftMB {
		miss("%d MB are in use after the attacks, %d were before", r.RSSAfter, r.RSSBefore)
	}
	if r.Strangers+r.Lost+r.Twice > 0 {
		miss("%d events of attackers, %d acknowledged events lost, %d stored twice", r.Strangers, r.Lost, r.Twice)
	}
	return out
}

func (f *figures) name() string {
	if f.Attack == "" {
		return "nothing"
	}
	return f.Attack
}

func (r *report) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "\nBESIDE\tHONEST\tFAILED\tP50\tP99\tLONGEST\tATTEMPTS\tENDED\tCLOSED FOR ROOM\tFOR ADDRESS\tTURNED AWAY\tFILES\tRSS")
	for _, f := range r.Figures {
		_, _ = fmt.Fprintf(tw, "%s\t%d\t%d\t%.1f ms\t%.1f ms\t%.0f ms\t%d\t%d\t%.0f\t%.0f\t%.0f\t%d\t%d MB\n", f.name(), f.Account.Sent, f.Failed(), f.Latency.P50, f.Latency.P99,
			f.Longest, f.Sent, f.Closed, f.Shed["full"], f.Shed["address"], f.Shed["unverified"], f.MostFiles, f.MostMemory)
	}
	_ = tw.Flush() // the exit code says the same
	_, _ = fmt.Fprintf(w, "\nlimit of the honest p99: %.1f ms\nfiles open: %d before, %d after\nmemory: %d MB before, %d MB after\nevents of attackers: %d, lost: %d, stored twice: %d\n",
		r.Limit, r.FilesBefore, r.FilesAfter, r.RSSBefore, r.RSSAfter, r.Strangers, r.Lost, r.Twice)
}
