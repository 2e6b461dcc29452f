package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"carom"
	"carom/internal/config"
	"carom/internal/network"
	"carom/internal/objects"

	"github.com/spf13/cobra"
)

// checked is what check found in the settings and in an objects file.
type checked struct {
	Settings []setting          `json:"settings,omitempty"` // absent when they have faults
	File     string             `json:"file,omitempty"`     // the objects file, when there is one
	Apps     int                `json:"apps"`
	In       int                `json:"sources"`
	Out      int                `json:"endpoints"`
	Rules    int                `json:"rules"`
	Warnings []carom.FieldError `json:"warnings"` // no faults, and probably not meant
	Faults   []carom.FieldError `json:"faults"`
}

// setting is one setting in force. A secret value is masked.
type setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// settingsOf reads what the settings show of themselves: key, value and origin in columns.
func settingsOf(cfg config.Config) []setting {
	var list []setting
	for line := range strings.Lines(cfg.Show()) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		i := strings.LastIndexByte(rest, ' ')
		if i < 0 {
			continue
		}
		list = append(list, setting{key, strings.TrimSpace(rest[:i]), rest[i+1:]})
	}
	return list
}

// checkFile reads an objects file and adds what is in it, or all of its faults.
func (c *cli) checkFile(r *checked, file string, profiles map[string]*network.Profile) error {
	text, err := c.readFile(file)
	if err != nil {
		return err
	}
	r.File = file
	f, err := objects.Parse(file, text, objects.Env{Profiles: profiles, ReadFile: os.ReadFile, LookupEnv: func(name string) (string, bool) {
		value := c.env(name)
		return value, value != ""
	}})
	if err != nil {
		r.Faults = faultsOf(err, r.Faults)
		return nil
	}
	r.Apps, r.In, r.Out, r.Rules = len(f.Objects.Apps), len(f.Objects.Sources), len(f.Objects.Endpoints), len(f.Objects.Rules)
	for _, w := range f.Warnings {
		r.Warnings = append(r.Warnings, *w)
	}
	return nil
}

// faultsOf flattens what objects.Parse joined. Any other error becomes one fault.
func faultsOf(err error, found []carom.FieldError) []carom.FieldError {
	var many interface{ Unwrap() []error }
	var one *carom.FieldError
	switch {
	case errors.As(err, &many):
		for _, inner := range many.Unwrap() {
			found = faultsOf(inner, found)
		}
	case errors.As(err, &one):
		found = append(found, *one)
	case err != nil:
		found = append(found, carom.FieldError{Message: err.Error()})
	}
	return found
}

func writeChecked(w io.Writer, r checked) {
	rows := make([][]string, len(r.Settings))
	for i, s := range r.Settings {
		rows[i] = []string{s.Key, s.Value, s.Origin}
	}
	table(w, rows)
	for i := range r.Warnings {
		_, _ = fmt.Fprintln(w, "warning:", plain(r.Warnings[i].Error()))
	}
	for i := range r.Faults {
		_, _ = fmt.Fprintln(w, plain(r.Faults[i].Error()))
	}
	if len(r.Faults) > 0 {
		_, _ = fmt.Fprintf(w, "\nFaults: %d\n", len(r.Faults))
		return
	}
	if r.File != "" {
		_, _ = fmt.Fprintf(w, "\n%s: apps %d, sources %d, endpoints %d, rules %d\n", r.File, r.Apps, r.In, r.Out, r.Rules)
	}
	_, _ = fmt.Fprintln(w, "No fault.")
}

func (c *cli) checkCommand() *cobra.Command {
	var file, ntp string
	var ledger, machine bool
	cmd := &cobra.Command{
		Use:   "check [-f FILE]",
		Short: "Check the settings and an objects file without a server, or the ledger of one",
		Long: `Reads what serve would read with the same flags and environment, prints every setting with its origin, and lists every
fault. Without -f, the objects file is the one that the settings name. The exit code is 1 when there is a fault.

With --ledger, the running server proves its ledger instead: that every balance is the sum of its lines, that every line has its
cause, and that nothing was rewarded twice.

With --machine, the machine is examined instead, with the same settings and without a server: clock, disk, limits, memory, names,
certificate. The exit code is 1 when carom cannot keep its promises on it.`,
		Example: `  carom check
  carom check -f carom.yaml
  carom check --settings /etc/carom/settings.yaml
  carom check --ledger
  carom check --machine --data /var/lib/carom --ntp pool.ntp.org`,
		Args: cobra.NoArgs,
	}
	config.Flags(cmd.Flags())
	cmd.Flags().StringVarP(&file, "file", "f", "", "an objects file")
	cmd.Flags().BoolVar(&ledger, "ledger", false, "have the running server prove its ledger")
	cmd.Flags().BoolVar(&machine, "machine", false, "examine the machine: clock, disk, limits, names, certificate")
	cmd.Flags().StringVar(&ntp, "ntp", "", "with --machine: a time server to compare the clock with")
	cmd.RunE = run(func(ctx context.Context, _ []string) error {
		r := checked{Warnings: []carom.FieldError{}, Faults: []carom.FieldError{}}
		cfg, err := config.Load(cmd.Flags(), c.environ)
		switch {
		case ledger && file != "":
			return usagef("--ledger asks the server, and -f reads a file: give one of the two")
		case machine && (ledger || file != ""):
			return usagef("--machine looks at the machine alone: leave --ledger and -f out")
		case ntp != "" && !machine:
			return usagef("--ntp belongs to --machine: give both")
		case (ledger || machine) && err != nil:
			return &exitError{exitUsage, err}
		case machine:
			return c.checkMachine(ctx, cfg, ntp)
		case ledger:
			c.data = cfg.Data
			return c.checkLedger(ctx)
		}
		if err != nil {
			r.Faults = faultsOf(err, r.Faults)
		} else {
			r.Settings = settingsOf(cfg)
		}
		profiles, profilesErr := network.ProfilesIn(cfg.Profiles)
		r.Faults = faultsOf(profilesErr, r.Faults)
		if file == "" && err == nil {
			file = cfg.Objects
		}
		if file != "" && profilesErr == nil {
			if err := c.checkFile(&r, file, profiles); err != nil {
				return err
			}
		}
		if err := c.print(r, func(w io.Writer) { writeChecked(w, r) }); err != nil {
			return err
		}
		if len(r.Faults) > 0 {
			return &exitError{code: exitProblem}
		}
		return nil
	})
	return cmd
}

// checkLedger has the server prove its ledger.
func (c *cli) checkLedger(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	report, err := call[carom.LedgerReport](ctx, cl, "GET", "/v1/ledger/check", nil)
	if err != nil {
		return err
	}
	if err := c.print(report, func(w io.Writer) { writeLedgerReport(w, &report) }); err != nil {
		return err
	}
	if len(report.Faults) > 0 {
		return &exitError{code: exitProblem}
	}
	return nil
}

func writeLedgerReport(w io.Writer, r *carom.LedgerReport) {
	for _, fault := range r.Faults {
		_, _ = fmt.Fprintln(w, plain(fault))
	}
	_, _ = fmt.Fprintf(w, "Checked %d rewards, %d lines and %d balances.\n", r.Rewards, r.Lines, r.Balances)
	if len(r.Faults) > 0 {
		_, _ = fmt.Fprintf(w, "Faults: %d. Keep a copy of the data folder, and report them.\n", len(r.Faults))
		return
	}
	_, _ = fmt.Fprintln(w, "Every balance is the sum of its lines, and every line has its cause.")
}
