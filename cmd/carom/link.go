package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) linkCommand() *cobra.Command {
	var span string
	cmd := &cobra.Command{
		Use:   "link PUBLISHER",
		Short: "Make a link with which a publisher sets up its own apps, zones and endpoints",
		Long: `carom link prints a signed link to the page on which a publisher sets up what is its own. Whoever has the link acts as that
publisher until it ends. Nothing is stored: it ends with its time, or when the publisher is removed.`,
		Example: `  carom link acme
  carom link acme --for 7d`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			if valid, err := carom.ParseDuration(span); err != nil || valid <= 0 {
				return usagef("--for needs a duration such as 30m, 24h or 7d")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := cl.link(ctx, args[0], span)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%s\n\nThis link is %s. It ends at %s; until then, whoever has it acts as %s.\n",
					made.URL, made.ID, made.ExpiresAt.UTC().Format(time.DateTime+" UTC"), made.Publisher)
			})
		}),
	}
	cmd.Flags().StringVar(&span, "for", "24h", "how long it counts, at most 90d")
	return cmd
}

// link makes a link for a publisher.
func (c *client) link(ctx context.Context, publisher, span string) (api.MadeLink, error) {
	return call[api.MadeLink](ctx, c, "POST", "/v1/publishers/"+url.PathEscape(publisher)+"/links", api.NewLink{For: span})
}
