package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"carom"
	"carom/internal/probe"

	"github.com/spf13/cobra"
)

// probeFlags say what is probed, and where the report goes.
type probeFlags struct {
	target                    probe.Target
	ymid                      string
	set                       []string // NAME=VALUE: values of macros
	balance, command, field   string
	balanceHeader             string
	settle, timeout, maxTotal string
	junit, html               string
	full, yes                 bool
}

// probeRequests is about how many requests a probe sends, for the question before it.
const probeRequests = 150

func (c *cli) probeCommand() *cobra.Command {
	var f probeFlags
	cmd := &cobra.Command{
		Use:   "probe URL",
		Short: "Find out whether a receiver of postbacks is right: play the network, and say what its answers mean for money",
		Long: `Plays Monetag against any receiver of plain GET postbacks, carom or not: the URL is the one that you entered at the network, with
its macros. It sends paid and unpaid events, copies, forgeries and odd input, and reports each answer like a test runner. With
--balance or --balance-command it also reads the receiver's books, and proves what answers alone only let one suspect.

What it sends looks real: try it on a receiver for tests, or with users that do not matter. Their names begin with carom-probe-.
On hosts other than this machine it asks first. docs/probe.md explains every check.

Exit codes: 0 no fault, 1 faults were found, 2 wrong usage, 3 nothing can be reached at the URL.`,
		Example: `  carom probe 'http://127.0.0.1:3000/postback?token=SECRET&ymid={ymid}&event={event_type}&value={reward_event_type}'
  carom probe 'http://127.0.0.1:3000/postback?token=SECRET' --balance 'http://127.0.0.1:3000/balance/{user}' --html report.html
  carom probe 'http://127.0.0.1:3000/postback?token=SECRET' --balance-command './balance.sh {user}'`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			f.target.URL = args[0]
			return c.probe(ctx, &f)
		}),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.target.Network, "network", "monetag", "the network to play")
	fl.StringVar(&f.target.SecretParam, "secret-param", "", "the URL's secret: a parameter, or path:2 for the second part of its path (default: guessed)")
	fl.StringVar(&f.ymid, "ymid", string(carom.YMIDView), "what your ymid is: view (unique for each showing), session or user")
	fl.StringVar(&f.target.YMIDFormat, "ymid-format", "", "what your ymids look like, with {user} and {id} (default {user}.{id})")
	fl.StringVar(&f.target.User, "user", "", "a user that the receiver knows, for receivers that pay nobody else; slower")
	fl.StringArrayVar(&f.set, "set", nil, "a fixed value for a macro, such as zone_id=8790478; may be repeated")
	fl.StringVar(&f.balance, "balance", "", "URL that answers with a balance; {user}, {ymid} and {telegram_id} stand for whose")
	fl.StringVar(&f.command, "balance-command", "", "program that prints a balance, with the same placeholders; no shell runs it")
	fl.StringVar(&f.field, "balance-field", "", "where the balance is in JSON, such as user.coins or balances.0.amount")
	fl.StringVar(&f.balanceHeader, "balance-header", "", "a header for --balance, such as 'Authorization: Bearer KEY'")
	fl.StringVar(&f.settle, "settle", carom.FormatDuration(probe.DefaultSettle), "how long crediting may take after an answer")
	fl.StringVar(&f.timeout, "timeout", carom.FormatDuration(probe.DefaultTimeout), "when the network gives up on an answer")
	fl.StringVar(&f.maxTotal, "limit", carom.FormatDuration(probe.DefaultLimit), "when the whole run ends")
	fl.StringVar(&f.junit, "junit", "", "also write the report to this file, as JUnit XML")
	fl.StringVar(&f.html, "html", "", "also write the report to this file, as one HTML page")
	fl.BoolVar(&f.full, "full", false, "show all requests, also of what is well")
	fl.BoolVar(&f.yes, "yes", false, "do not ask before another host is probed")
	return cmd
}

func (c *cli) probe(ctx context.Context, f *probeFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	f.target.YMID = carom.YMIDKind(f.ymid)
	if host := probe.Host(f.target.URL); host != "" && !probe.IsLoopback(f.target.URL) && !f.yes {
		if err := c.consent(host, &f.target); err != nil {
			return err
		}
	}
	if c.terminal && c.output == "text" {
		o.Done = func(check *probe.Check, tried, of int) {
			_, _ = fmt.Fprintf(c.errOut, "\r\x1b[K%d/%d %s", tried, of, check.ID)
		}
	}
	report, err := probe.Run(ctx, f.target, o)
	if o.Done != nil {
		_, _ = fmt.Fprint(c.errOut, "\r\x1b[K")
	}
	if errors.Is(err, carom.ErrInvalid) || errors.Is(err, carom.ErrUnavailable) {
		return usagef("%w", err)
	}
	if err != nil {
		return err
	}
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{{f.junit, report.WriteJUnit}, {f.html, report.WriteHTML}} {
		if err := writeFile(file.path, file.write); err != nil {
			return err
		}
	}
	if err := c.print(report, func(w io.Writer) { err = report.WriteText(w, f.full) }); err != nil {
		return err
	}
	switch {
	case err != nil:
		return err
	case !report.Reached && report.Ended == "":
		return &exitError{code: exitUnreachable}
	case len(report.Harms()) > 0 || report.Ended != "":
		return &exitError{code: exitProblem}
	}
	return nil
}

// consent asks before another host than this machine is probed.
func (c *cli) consent(host string, target *probe.Target) error {
	users := "users and ymids that begin with " + probe.Marker
	if target.User != "" {
		users = "the user " + target.User
	}
	answer, err := c.ask(fmt.Sprintf("Send about %d requests to %s? They look like real paid events, for %s. [y/N]", probeRequests, plain(host), plain(users)), "no", "--yes")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return &exitError{exitProblem, errors.New("nothing was sent")}
	}
	return nil
}

// options reads the flags into the options of a run.
func (f *probeFlags) options() (o probe.Options, err error) {
	for _, d := range []struct {
		flag, text string
		set        func(*probe.Options) error
	}{
		{"--settle", f.settle, func(o *probe.Options) (err error) { o.Settle, err = carom.ParseDuration(f.settle); return err }},
		{"--timeout", f.timeout, func(o *probe.Options) (err error) { o.Timeout, err = carom.ParseDuration(f.timeout); return err }},
		{"--limit", f.maxTotal, func(o *probe.Options) (err error) { o.Limit, err = carom.ParseDuration(f.maxTotal); return err }},
	} {
		if err := d.set(&o); err != nil {
			return o, usagef("%s needs a duration such as 500ms or 2s, not %q", d.flag, d.text)
		}
	}
	if o.Settle <= 0 || o.Timeout <= 0 || o.Limit <= 0 {
		return o, usagef("--settle, --timeout and --limit are longer than nothing")
	}
	f.target.Values = map[string]string{}
	for _, pair := range f.set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return o, usagef("--set needs NAME=VALUE, such as zone_id=8790478, not %q", pair)
		}
		f.target.Values[strings.Trim(name, "{}")] = value
	}
	o.Books, err = f.books()
	return o, err
}

// books are how balances are read; nil when no flag says.
func (f *probeFlags) books() (books probe.Books, err error) {
	switch {
	case f.balance != "" && f.command != "":
		return nil, usagef("--balance and --balance-command are two ways to the same: give one of them")
	case f.command != "":
		books, err = probe.NewCommandBooks(f.command, f.field)
	case f.balance != "":
		var header http.Header
		if f.balanceHeader != "" {
			name, value, ok := strings.Cut(f.balanceHeader, ":")
			if !ok || strings.ContainsAny(f.balanceHeader, "\r\n") {
				return nil, usagef("--balance-header needs a name and a value, such as 'Authorization: Bearer KEY'")
			}
			header = http.Header{}
			header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		books, err = probe.NewURLBooks(f.balance, f.field, header)
	case f.field != "" || f.balanceHeader != "":
		return nil, usagef("--balance-field and --balance-header belong to --balance: give it as well")
	default:
		return nil, nil
	}
	if err != nil {
		return nil, usagef("%w", err)
	}
	return books, nil
}

// writeFile writes a report to a file, unless its path is empty.
func writeFile(path string, write func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	file, err := os.Create(path)
	if err != nil {
		return usagef("the report cannot be written: %w", err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("write the report to %s: %w", path, err)
	}
	return nil
}
