package main

import (
	"context"
	"fmt"
	"io"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) reprocessCommand() *cobra.Command {
	var how consent
	var f api.ReprocessFilter
	var as, reason string
	var when span
	cmd := &cobra.Command{
		Use:   "reprocess [ID]...",
		Short: "Judge held events and refused postbacks again, after a fix",
		Long: `Judges by the objects that are in force now: what counts now becomes a new event, is rewarded and is sent. Each is reprocessed
once, however often it is asked for. It counts for the moment of reprocessing: so do caps per day, and cooldowns.

What a source in shadow held is left out unless --reason shadow says so: today's receiver has paid for it.`,
		Example: `  carom reprocess --app game --source monetag --kind held --why "thawed" --dry-run
  carom reprocess --app game --kind refused --reason unknown_event_type --why "the word is mapped now"
  carom reprocess --app game --kind held --reason unknown_value --as valued --why "the network's new word"
  carom reprocess evt_0c5g21r0000010000000k --why "checked by hand"`,
		RunE: run(func(ctx context.Context, ids []string) error {
			var err error
			if f.App, f.Source, err = inApp("source", f.App, f.Source); err != nil {
				return err
			}
			if err := needApp(ids, f.App, f.Source, reason, when.from, when.to); err != nil {
				return err
			}
			if err := how.check(); err != nil {
				return err
			}
			request := api.Reprocess{IDs: ids, As: as, Why: how.why}
			if len(ids) == 0 {
				f.Reason = carom.Reason(reason)
				if f.Span, err = when.read(c.now()); err != nil {
					return err
				}
				request.Filter = &f
			}
			return c.reprocess(ctx, request, &how)
		}),
	}
	how.flags(cmd)
	cmd.Flags().StringVar(&f.App, "app", "", "the app")
	cmd.Flags().StringVar(&f.Source, "source", "", "only this source: its name, or APP/SOURCE")
	cmd.Flags().StringVar(&f.Kind, "kind", "held", "held (events that wait) or refused (postbacks that were of no use)")
	cmd.Flags().StringVar(&reason, "reason", "", "only what is held or was refused for this reason, as carom show prints it")
	cmd.Flags().StringVar(&as, "as", "", "what held events of unknown value count as: valued, not_valued or empty")
	when.flags(cmd, "those that were received")
	return cmd
}

func (c *cli) reprocess(ctx context.Context, request api.Reprocess, how *consent) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	r := repair[api.Reprocessed]{
		ask: func(ctx context.Context, dryRun bool, before string) (api.Reprocessed, error) {
			request.Before = before
			return call[api.Reprocessed](ctx, cl, "POST", dryPath("/v1/reprocess", dryRun), request)
		},
		next: func(v *api.Reprocessed) string { return v.Next },
		merge: func(total, page *api.Reprocessed) {
			total.Reprocessed, total.Copies, total.Skipped = total.Reprocessed+page.Reprocessed, total.Copies+page.Copies, total.Skipped+page.Skipped
			total.Sums, total.Items, total.Next = mergeSums(total.Sums, page.Sums), append(total.Items, page.Items...), page.Next
		},
		count: func(v *api.Reprocessed) int { return v.Reprocessed },
		write: writeReprocessed, question: "Reprocess these?",
	}
	return r.run(ctx, c, how)
}

func writeReprocessed(w io.Writer, v *api.Reprocessed) {
	_, _ = fmt.Fprintf(w, "%s %d; %d were reprocessed before, %d %s of no use.\n", would(v.DryRun, "This would make events of", "Made events of"),
		v.Reprocessed, v.Copies, v.Skipped, would(v.DryRun, "would be", "were"))
	table(w, sumRows(v.Sums))
	declined := map[string]int{}
	skipped := map[string]int{}
	for i := range v.Items {
		if v.Items[i].Outcome == "skipped" {
			skipped[v.Items[i].Reason]++
		}
		for _, d := range v.Items[i].Decided {
			if d.State == carom.RewardDeclined {
				declined[d.Words]++
			}
		}
	}
	writeTimes(w, "of no use", skipped)
	writeTimes(w, "rewards", declined)
}

// writeTimes writes how often each of some sentences applies.
func writeTimes(w io.Writer, what string, times map[string]int) {
	const most = 20 // different ones: a person reads no more
	for i, text := range sorted(times) {
		if i == most {
			_, _ = fmt.Fprintf(w, "  and %d further reasons: -o json has them all\n", len(times)-most)
			return
		}
		_, _ = fmt.Fprintf(w, "  %d %s: %s\n", times[text], what, plain(text))
	}
}
