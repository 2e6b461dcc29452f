package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func (c *cli) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause ENDPOINT",
		Short:   "Send nothing to an endpoint until it is resumed",
		Long:    "Deliveries to a paused endpoint wait. Their deadlines run: what waits longer expires.",
		Example: `  carom pause shop/backend`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			return c.setPaused(ctx, args[0], true, "is paused; go on with: carom resume "+args[0])
		}),
	}
}

func (c *cli) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume ENDPOINT",
		Short:   "Go on with a paused endpoint, or try a failing one at once",
		Example: `  carom resume shop/backend`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			return c.setPaused(ctx, args[0], false, "is running: what waits for it is due now")
		}),
	}
}

func (c *cli) setPaused(ctx context.Context, endpoint string, paused bool, done string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.setPaused(ctx, endpoint, paused); err != nil {
		return err
	}
	return c.print(map[string]any{"endpoint": endpoint, "paused": paused}, func(w io.Writer) {
		_, _ = fmt.Fprintln(w, plain(endpoint), done)
	})
}
