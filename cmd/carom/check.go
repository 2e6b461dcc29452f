package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/network"
	"carom/internal/objects"
	"carom/internal/survey"

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
	var ledger, machine, endpoints bool
	var selection api.EndpointSelection
	cmd := &cobra.Command{
		Use:   "check [-f FILE]",
		Short: "Check the settings and an objects file without a server, or the ledger or the endpoints of one",
		Long: `Reads what serve would read with the same flags and environment, prints every setting with its origin, and lists every
fault. Without -f, the objects file is the one that the settings name. The exit code is 1 when there is a fault.

With --ledger, the running server proves its ledger instead: that every balance is the sum of its lines, that every line has its
cause, and that nothing was rewarded twice.

With --machine, the machine is examined instead, with the same settings and without a server: clock, disk, limits, memory, names,
certificate. The exit code is 1 when carom cannot keep its promises on it.

With --endpoints, the running server says which of its endpoints would lose postbacks, and why: all of them, or those that are
selected or named as APP/NAME. It looks at their configuration, at what their receivers answered lately, and visits their hosts,
asking each once for a path that nobody has. Nothing is sent that could count as an event. The exit code is 1 when there is a fault;
docs/check-endpoints.md explains every finding.`,
		Example: `  carom check
  carom check -f carom.yaml
  carom check --settings /etc/carom/settings.yaml
  carom check --ledger
  carom check --machine --data /var/lib/carom --ntp pool.ntp.org
  carom check --endpoints
  carom check --endpoints --app shop --no-network
  carom check --endpoints shop/backend shop/tracker`,
	}
	config.Flags(cmd.Flags())
	cmd.Flags().StringVarP(&file, "file", "f", "", "an objects file")
	cmd.Flags().BoolVar(&ledger, "ledger", false, "have the running server prove its ledger")
	cmd.Flags().BoolVar(&machine, "machine", false, "examine the machine: clock, disk, limits, names, certificate")
	cmd.Flags().StringVar(&ntp, "ntp", "", "with --machine: a time server to compare the clock with")
	cmd.Flags().BoolVar(&endpoints, "endpoints", false, "have the running server say which endpoints would lose postbacks")
	cmd.Flags().StringVar(&selection.App, "app", "", "with --endpoints: those of this app")
	cmd.Flags().StringVar(&selection.Publisher, "publisher", "", "with --endpoints: those of this publisher's apps")
	cmd.Flags().BoolVar(&selection.NoNetwork, "no-network", false, "with --endpoints: visit no host")
	cmd.RunE = run(func(ctx context.Context, args []string) error {
		r := checked{Warnings: []carom.FieldError{}, Faults: []carom.FieldError{}}
		cfg, err := config.Load(cmd.Flags(), c.environ)
		switch {
		case ledger && file != "":
			return usagef("--ledger asks the server, and -f reads a file: give one of the two")
		case machine && (ledger || file != ""):
			return usagef("--machine looks at the machine alone: leave --ledger and -f out")
		case ntp != "" && !machine:
			return usagef("--ntp belongs to --machine: give both")
		case endpoints && (ledger || machine || file != ""):
			return usagef("--endpoints asks the server about its endpoints alone: leave --ledger, --machine and -f out")
		case !endpoints && len(args) > 0:
			return usagef("%q is no flag: endpoints are named with --endpoints, a file with -f", args[0])
		case !endpoints && !reflect.DeepEqual(selection, api.EndpointSelection{}):
			return usagef("--app, --publisher and --no-network belong to --endpoints: give it as well")
		case (ledger || machine || endpoints) && err != nil:
			return &exitError{exitUsage, err}
		case endpoints:
			c.data, selection.Endpoints = cfg.Data, args
			return c.checkEndpoints(ctx, selection)
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
			if cfg.InClear() {
				r.Warnings = append(r.Warnings, carom.FieldError{Field: "secrets_key", Message: "secrets lie in the database as they are: make a key with `carom keys secret`, and name it by secrets_key_file on every node"})
			}
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

// checkEndpoints has the server say which endpoints would lose postbacks.
func (c *cli) checkEndpoints(ctx context.Context, selection api.EndpointSelection) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	for _, id := range selection.Endpoints {
		if _, err := objectPath("endpoint", id); err != nil {
			return err
		}
	}
	report, err := call[survey.EndpointReport](ctx, cl, "POST", "/v1/endpoints/check", selection)
	if err != nil {
		return err
	}
	if err := c.print(report, func(w io.Writer) { writeSurvey(w, &report, len(selection.Endpoints) > 0) }); err != nil {
		return err
	}
	if report.Summary.Faults > 0 {
		return &exitError{code: exitProblem}
	}
	return nil
}

// writeSurvey lists what was found. Endpoints about which there is nothing to say are listed when they were named.
func writeSurvey(w io.Writer, r *survey.EndpointReport, named bool) {
	list := func(title string, findings []survey.Finding) {
		_, _ = fmt.Fprintln(w, plain(title))
		for _, f := range findings {
			_, _ = fmt.Fprintf(w, "  %-7s  %s  %s\n%11sfix: %s\n", f.Level, f.Kind, plain(f.What), "", plain(f.Fix))
		}
	}
	for _, a := range r.Apps {
		list("app "+a.App, a.Findings)
	}
	for _, e := range r.Endpoints {
		switch {
		case len(e.Findings) > 0:
			list(e.Endpoint, e.Findings)
		case named:
			_, _ = fmt.Fprintln(w, plain(e.Endpoint)+"\n  fine")
		}
	}
	s := &r.Summary
	if len(r.Apps) > 0 || s.Fine < s.Endpoints || named {
		_, _ = fmt.Fprintln(w)
	}
	_, _ = fmt.Fprintf(w, "Endpoints: %d, with faults %d, with warnings %d, fine %d\n", s.Endpoints, s.Faulty, s.Warned, s.Fine)
	_, _ = fmt.Fprintf(w, "Looked at %d attempts and %d events, and visited %d hosts.\n", s.Attempts, s.Events, s.Visits)
}
