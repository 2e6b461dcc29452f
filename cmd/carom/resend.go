package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) resendCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resend ID",
		Short: "Send a delivery again, or all ended deliveries of an event",
		Long: `Makes ended deliveries pending again, with a fresh budget of attempts. They keep their ids, so that a receiver that
looks at the delivery id never grants twice.`,
		Example: `  carom resend evt_0c5g21r0000010000000k
  carom resend dlv_0c5g21r0000010000000k00`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			r, err := cl.resend(ctx, args[0])
			if err != nil {
				return err
			}
			if err := c.print(r, func(w io.Writer) {
				for _, id := range r.Resent {
					_, _ = fmt.Fprintf(w, "%s is pending again\n", id)
				}
				for _, s := range r.Skipped {
					_, _ = fmt.Fprintf(w, "%s skipped: %s\n", s.ID, plain(s.Reason))
				}
			}); err != nil {
				return err
			}
			if len(r.Resent) == 0 {
				return &exitError{code: exitProblem}
			}
			return nil
		}),
	}
}
