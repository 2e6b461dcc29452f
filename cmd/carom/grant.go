package main

import (
	"context"
	"fmt"
	"io"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) grantCommand() *cobra.Command {
	var how consent
	var g api.Grant
	cmd := &cobra.Command{
		Use:   "grant AMOUNT CURRENCY",
		Short: "Credit an amount to a user by hand",
		Long: `Credits an amount, and tells the endpoints that get rewards. --key is a name of your own for this one grant, such as the number
of a ticket: the same command twice grants once.`,
		Example: `  carom grant 50 coins --app game --user 279058397 --key ticket-4711 --why "lost on 3 March"
  carom grant 0.25 USD --app game --user 279058397 --key ticket-4712 --why "survey was not credited" --dry-run`,
		Args: cobra.ExactArgs(2),
		RunE: run(func(ctx context.Context, args []string) error {
			if err := how.check(); err != nil {
				return err
			}
			g.Amount, g.Currency, g.Why = args[0], args[1], how.why
			cl, err := c.client()
			if err != nil {
				return err
			}
			r := repair[api.Granted]{
				ask: func(ctx context.Context, dryRun bool, _ string) (api.Granted, error) {
					return call[api.Granted](ctx, cl, "POST", dryPath("/v1/rewards/grant", dryRun), g)
				},
				next:  func(*api.Granted) string { return "" },
				merge: func(_, _ *api.Granted) {},
				count: func(v *api.Granted) int {
					if v.Duplicate || !v.DryRun && v.Reward.ID == "" { // granted before, or not at all
						return 0
					}
					return 1
				},
				write: writeGranted, question: "Grant this?",
			}
			return r.run(ctx, c, &how)
		}),
	}
	how.flags(cmd)
	cmd.Flags().StringVar(&g.App, "app", "", "the app")
	cmd.Flags().StringVar(&g.User, "user", "", "to whom")
	cmd.Flags().StringVar(&g.Key, "key", "", "a name of your own for this grant")
	_ = cmd.MarkFlagRequired("app") // these fail only for flags that do not exist
	_ = cmd.MarkFlagRequired("user")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func writeGranted(w io.Writer, v *api.Granted) {
	r := &v.Reward
	what := plain(r.Amount + " " + r.Currency + " to user " + r.User + " of " + r.App)
	switch {
	case v.Duplicate:
		_, _ = fmt.Fprintf(w, "Nothing is granted: this key granted %s before, as %s.\n", what, r.ID)
	case v.DryRun:
		_, _ = fmt.Fprintf(w, "This would grant %s.\n", what)
	default:
		_, _ = fmt.Fprintf(w, "Granted %s: %s\n", what, r.ID)
	}
}
