// Command carom runs the server and is its operator's tool.
//
// Each subcommand lives in a file of its own. All but serve, receive, check, verify, networks and version are clients of /v1: on the server's
// machine through the local socket in the data folder, elsewhere with --server and a key. Exit codes: 0 all is well, 1 a
// problem was found or the server said no, 2 the command was used wrongly or cannot work as given, 3 no server answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // days of caps are counted in the app's time zone, also where the system has no list of them

	"carom/internal/api"
	"carom/internal/config"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

// Exit codes.
const (
	exitOK          = 0
	exitProblem     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := &cli{
		in: os.Stdin, out: os.Stdout, errOut: os.Stderr, environ: os.Environ, now: time.Now,
		terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once
	code := c.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// cli is what all subcommands share: where they read and write, and the global flags.
type cli struct {
	in          io.Reader
	out, errOut io.Writer
	environ     func() []string // as os.Environ
	now         func() time.Time
	terminal    bool // whether a person answers on in

	data   string // the data folder, whose socket leads to the server
	server string // URL of a server elsewhere; empty for the local one
	key    string // API key for it
	output string // text or json
}

// exitError is an error with an exit code of its own. Without an err, the command has said all there is to say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef makes an error of a command that cannot work as it was given.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// runError is an error from a command that began its work. What cobra itself returns is a mistake in the usage.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

// run is the form of every subcommand's work.
func run(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := work(cmd.Context(), args); err != nil {
			return &runError{err}
		}
		return nil
	}
}

// main runs the command line and returns the exit code. It prints an error as one line, or one for each fault.
func (c *cli) main(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	var unreachable *unreachableError
	var ran *runError
	var problem *api.Problem
	code := exitProblem
	switch {
	case errors.As(err, &exit):
		code = exit.code
		if exit.err == nil {
			return code
		}
	case errors.As(err, &unreachable):
		code = exitUnreachable
	case !errors.As(err, &ran):
		code = exitUsage
		// cobra spreads its suggestions over several lines.
		err = fmt.Errorf("%s; `carom --help` lists what there is", strings.Join(strings.Fields(err.Error()), " "))
	}
	if errors.As(err, &problem) && len(problem.Errors) > 0 {
		for i := range problem.Errors {
			_, _ = fmt.Fprintln(c.errOut, "carom:", problem.Errors[i].Error())
		}
		return code
	}
	_, _ = fmt.Fprintln(c.errOut, "carom:", strings.ReplaceAll(err.Error(), "\n", "\ncarom: "))
	return code
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "carom",
		Short: "Ad postbacks, verified and paid once",
		Long: `carom receives postbacks from ad networks, verifies and deduplicates them, and passes them on.

On the server's machine the commands need no key: they use the socket in the data folder (--data).
Elsewhere, name the server with --server and give a key with CAROM_API_KEY or --key.

Exit codes: 0 all is well, 1 a problem was found or the server said no, 2 wrong usage, 3 no server answers.`,
		Example: `  carom quickstart monetag     connect a Monetag app in three questions
  carom status                 is money being lost, and what to do
  carom show                   the newest events
  carom show --ymid user123    what became of one view`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if c.output != "text" && c.output != "json" {
				return usagef("--output is text or json, not %q", c.output)
			}
			return nil
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.data, "data", c.defaultData(), "the server's data folder")
	flags.StringVar(&c.server, "server", c.env("CAROM_SERVER"), "URL of a server on another machine")
	flags.StringVar(&c.key, "key", "", "API key for --server (better: the environment's CAROM_API_KEY)")
	flags.StringVarP(&c.output, "output", "o", "text", "text or json")
	root.AddCommand(
		c.serveCommand(), c.quickstartCommand(), c.applyCommand(), c.checkCommand(), c.statusCommand(), c.showCommand(),
		c.tailCommand(), c.statsCommand(), c.rewardsCommand(), c.balanceCommand(), c.ledgerCommand(), c.sendCommand(), c.resendCommand(),
		c.pauseCommand(), c.resumeCommand(), c.freezeCommand(), c.thawCommand(), c.reprocessCommand(), c.voidCommand(), c.grantCommand(),
		c.rotateCommand(), c.keysCommand(), c.networksCommand(), c.verifyCommand(), c.receiveCommand(), c.versionCommand(),
		c.shadowCommand(), c.reconcileCommand(), c.probeCommand(), c.backupCommand(), c.restoreCommand(), c.userCommand(),
		c.alertsCommand(), c.importCommand(), c.linkCommand(), c.moveCommand(), c.nodesCommand(), c.membersCommand(),
		c.setupLinkCommand(),
	)
	return root
}

// env returns an environment variable, or nothing.
func (c *cli) env(name string) string {
	for _, pair := range c.environ() {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// packageData is the data folder of the Debian package.
const packageData = "/var/lib/carom"

// defaultData is the data folder that serve would use with the same environment; if nothing names one and there is none here, that
// of the package. Settings that serve would refuse are told by check, not here.
func (c *cli) defaultData() string {
	const here = "./carom-data"
	cfg, err := config.Load(nil, c.environ)
	if err == nil && cfg.Data != "" && cfg.Data != here {
		return cfg.Data
	}
	if _, err := os.Stat(here); err != nil {
		if _, err := os.Stat(packageData); err == nil {
			return packageData
		}
	}
	return here
}

// buildVersion is what this binary is.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
