package main

import (
	"context"
	"fmt"
	"io"

	"carom/internal/config"
	"carom/internal/machine"
)

// machineReport is what `check --machine` found.
type machineReport struct {
	Checks []machine.Finding `json:"checks"`
}

// checkMachine examines the machine with the settings that serve would use. No server is needed.
func (c *cli) checkMachine(ctx context.Context, cfg config.Config, ntp string) error {
	r := machineReport{machine.Check(ctx, machine.Options{
		Data: cfg.Data, BaseURL: cfg.BaseURL, Domains: cfg.Domains, TLSCert: cfg.TLSCert, TLSKey: cfg.TLSKey,
		MaxConnections: cfg.MaxConnections, MaxInFlight: cfg.MaxInFlight, Version: buildVersion(), NTP: ntp, Now: c.now,
	})}
	if err := c.print(r, func(w io.Writer) { writeMachine(w, r) }); err != nil {
		return err
	}
	for _, f := range r.Checks {
		if f.Result == machine.Fail {
			return &exitError{code: exitProblem}
		}
	}
	return nil
}

func writeMachine(w io.Writer, r machineReport) {
	rows := [][]string{}
	counts := map[machine.Result]int{}
	for _, f := range r.Checks {
		counts[f.Result]++
		rows = append(rows, []string{string(f.Result), f.Name, f.Found})
		if f.Meaning != "" {
			rows = append(rows, []string{"", "", "means: " + f.Meaning}, []string{"", "", "fix: " + f.Fix})
		}
	}
	table(w, rows)
	_, _ = fmt.Fprintf(w, "\nok %d, warn %d, fail %d, skip %d\n", counts[machine.OK], counts[machine.Warn], counts[machine.Fail], counts[machine.Skip])
}
