package main

import (
	"context"
	"io"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Is money being lost, since when, whose fault, what next",
		Long:  "Says whether money is being lost. The exit code is 1 unless all is well, so that a monitor can use it.",
		Example: `  carom status
  carom status -o json`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			st, err := cl.status(ctx)
			if err != nil {
				return err
			}
			if err := c.print(st, func(w io.Writer) { writeStatus(w, &st) }); err != nil {
				return err
			}
			if st.Verdict != api.OK {
				return &exitError{code: exitProblem}
			}
			return nil
		}),
	}
}
