package main

import (
	"context"
	"fmt"
	"io"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) voidCommand() *cobra.Command {
	var how consent
	var f api.VoidFilter
	var when span
	cmd := &cobra.Command{
		Use:   "void [REWARD]...",
		Short: "Take rewards back, by their ids or by filter",
		Long: `Debits what was credited and cancels what is held, shows it first, and tells the endpoints that get rewards. What was taken
back before stays as it is, so that the same command twice does no harm.`,
		Example: `  carom void rwd_0c5g21r0000010000000k --why "paid twice"
  carom void --app game --rule offers --from 6h --why "the network sent test offers as real ones" --dry-run
  carom void --app game --user 279058397 --why "emulator farm" --yes`,
		RunE: run(func(ctx context.Context, ids []string) error {
			request := api.Void{Why: how.why}
			var err error
			if f.App, f.Source, err = inApp("source", f.App, f.Source); err != nil {
				return err
			}
			if err := needApp(ids, f.App, f.User, f.Rule, f.Source, when.from, when.to); err != nil {
				return err
			}
			if err := how.check(); err != nil {
				return err
			}
			if len(ids) == 0 {
				if f.Span, err = when.read(c.now()); err != nil {
					return err
				}
				request.Filter = &f
			}
			for _, id := range ids {
				request.IDs = append(request.IDs, carom.RewardID(id))
			}
			return c.void(ctx, request, &how)
		}),
	}
	how.flags(cmd)
	cmd.Flags().StringVar(&f.App, "app", "", "the app")
	cmd.Flags().StringVar(&f.User, "user", "", "only this user's")
	cmd.Flags().StringVar(&f.Rule, "rule", "", "only by this rule; - stands for those granted by hand")
	cmd.Flags().StringVar(&f.Source, "source", "", "only by events of this source: its name, or APP/SOURCE")
	when.flags(cmd, "rewards that were decided")
	return cmd
}

func (c *cli) void(ctx context.Context, request api.Void, how *consent) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	r := repair[api.Voided]{
		ask: func(ctx context.Context, dryRun bool, before string) (api.Voided, error) {
			request.Before = carom.RewardID(before)
			return call[api.Voided](ctx, cl, "POST", dryPath("/v1/rewards/void", dryRun), request)
		},
		next:  func(v *api.Voided) string { return string(v.Next) },
		merge: mergeVoided,
		count: func(v *api.Voided) int { return len(v.Rewards) },
		write: writeVoided, question: "Take these back?",
	}
	return r.run(ctx, c, how)
}

func mergeVoided(total, page *api.Voided) {
	total.Rewards, total.Sums = append(total.Rewards, page.Rewards...), mergeSums(total.Sums, page.Sums)
	total.Skipped, total.Next = total.Skipped+page.Skipped, page.Next
}

func writeVoided(w io.Writer, v *api.Voided) {
	if len(v.Rewards) == 0 {
		_, _ = fmt.Fprintf(w, "No rewards to take back; %d had been taken back before.\n", v.Skipped)
		return
	}
	_, _ = fmt.Fprintf(w, "%s %d %s:\n", would(v.DryRun, "This would take back", "Took back"), len(v.Rewards), rewardsWord(len(v.Rewards)))
	table(w, sumRows(v.Sums))
	if v.Skipped > 0 {
		_, _ = fmt.Fprintf(w, "%d had been taken back before.\n", v.Skipped)
	}
}
