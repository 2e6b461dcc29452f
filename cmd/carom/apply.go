package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) applyCommand() *cobra.Command {
	var file string
	var yes, prune, dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Put an objects file in force, after showing what changes",
		Example: `  carom apply -f carom.yaml
  carom apply -f carom.yaml --dry-run
  carom apply -f carom.yaml --prune --yes`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			return c.apply(ctx, file, yes, prune, dryRun)
		}),
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the objects file; - reads the standard input")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove what the file does not name")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what would change")
	_ = cmd.MarkFlagRequired("file") // it fails only for a flag that does not exist
	return cmd
}

func (c *cli) apply(ctx context.Context, file string, yes, prune, dryRun bool) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	yaml, err := c.readFile(file)
	if err != nil {
		return err
	}
	if file == "-" && !yes && !dryRun {
		return usagef("the standard input holds the file, so it cannot hold your answer: add --yes")
	}
	plan, err := cl.apply(ctx, yaml, true, prune)
	if err != nil {
		return inFile(err, file)
	}
	if !differs(plan.Changes) || dryRun {
		return c.print(plan, func(w io.Writer) {
			writeChanges(w, plan.Changes)
			if !differs(plan.Changes) {
				_, _ = fmt.Fprintln(w, "Nothing differs.")
			}
		})
	}
	if !yes {
		writeChanges(c.errOut, plan.Changes)
		if err := c.confirm("Apply this?"); err != nil {
			return err
		}
	}
	done, err := cl.apply(ctx, yaml, false, prune)
	if err != nil {
		return inFile(err, file)
	}
	return c.print(done, func(w io.Writer) {
		if yes {
			writeChanges(w, done.Changes)
		}
		_, _ = fmt.Fprintln(w, "Applied.")
		writeMade(w, done.Made)
	})
}

// inFile names the file in faults that have a line: the server saw only its text.
func inFile(err error, file string) error {
	var p *api.Problem
	if !errors.As(err, &p) {
		return err
	}
	for i := range p.Errors {
		if p.Errors[i].Line > 0 {
			p.Errors[i].File = file
		}
	}
	return err
}

// readFile reads a small file, or the standard input for "-".
func (c *cli) readFile(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(c.in)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("%w: name an objects file with -f", err)
	}
	return data, nil
}

// confirm asks a person a question. Anything but yes ends the command.
func (c *cli) confirm(question string) error {
	answer, err := c.ask(question+" [y/N]", "no", "--yes")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return &exitError{exitProblem, errors.New("nothing was changed")}
	}
	return nil
}

// ask asks a person for a line. Where nobody can answer, it fails and names the flag that does.
func (c *cli) ask(question, absent, flag string) (string, error) {
	if !c.terminal {
		return "", usagef("nobody can answer %q here: give %s", question, flag)
	}
	_, _ = fmt.Fprintf(c.errOut, "%s ", question)
	if _, ok := c.in.(*bufio.Reader); !ok {
		c.in = bufio.NewReader(c.in)
	}
	line, err := c.in.(*bufio.Reader).ReadString('\n')
	if err != nil && line == "" {
		return "", usagef("no answer came to %q: give %s", question, flag)
	}
	if line = strings.TrimSpace(line); line == "" {
		return absent, nil
	}
	return line, nil
}
