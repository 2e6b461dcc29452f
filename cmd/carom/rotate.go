package main

import (
	"context"
	"fmt"
	"io"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) rotateCommand() *cobra.Command {
	var span string
	cmd := &cobra.Command{
		Use:   "rotate SOURCE",
		Short: "Make a new URL for a source; the old one goes on counting for a while",
		Example: `  carom rotate shop/monetag
  carom rotate shop/monetag --for 0s     the old URL leaked: it ends now`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			overlap, err := carom.ParseDuration(span)
			if err != nil || overlap < 0 {
				return usagef("--for needs a duration such as 30m, 24h or 7d")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := cl.rotate(ctx, args[0], overlap)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) {
				if overlap > 0 {
					_, _ = fmt.Fprintf(w, "The old URL counts until %s UTC.\n", clock(c.now().Add(overlap)))
				} else {
					_, _ = fmt.Fprintln(w, "The old URL counts no more.")
				}
				writeMade(w, []api.MadeSecret{made})
			})
		}),
	}
	cmd.Flags().StringVar(&span, "for", "24h", "how long the old URL goes on counting")
	return cmd
}
