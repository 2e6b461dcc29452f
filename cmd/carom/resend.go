package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) resendCommand() *cobra.Command {
	var how consent
	var f api.ResendFilter
	var states []string
	var when span
	cmd := &cobra.Command{
		Use:   "resend [ID]",
		Short: "Send deliveries again: one, all of an event, or by filter",
		Long: `Makes ended deliveries pending again, with a fresh budget of attempts. They keep their ids, so that a receiver that
looks at the delivery id never grants twice.

Without an id, --app says which: those of the last 24 hours that are dead or expired, unless flags say otherwise.`,
		Example: `  carom resend evt_0c5g21r0000010000000k
  carom resend dlv_0c5g21r0000010000000k00
  carom resend --app shop --endpoint backend --from 12h --why "the backend was down"
  carom resend --app shop --state delivered --from 2026-03-04 --to 2026-03-05 --why "the backend lost a day" --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			var err error
			if f.App, f.Endpoint, err = inApp("endpoint", f.App, f.Endpoint); err != nil {
				return err
			}
			if err := needApp(args, f.App, f.Endpoint, f.EventType, strings.Join(states, ""), when.from, when.to); err != nil {
				return err
			}
			if len(args) == 1 {
				return c.resend(ctx, args[0])
			}
			if err := how.check(); err != nil {
				return err
			}
			sp, err := when.read(c.now())
			if err != nil {
				return err
			}
			f.From, f.To = sp.From, sp.To
			for _, state := range states {
				f.States = append(f.States, carom.DeliveryState(state))
			}
			return c.resendMany(ctx, api.Resend{Filter: f, Why: how.why}, &how)
		}),
	}
	how.flags(cmd)
	cmd.Flags().StringVar(&f.App, "app", "", "deliveries of this app")
	cmd.Flags().StringVar(&f.Endpoint, "endpoint", "", "only to this endpoint: its name, or APP/ENDPOINT")
	cmd.Flags().StringSliceVar(&states, "state", nil, "how they ended: dead, expired, delivered (dead,expired)")
	cmd.Flags().StringVar(&f.EventType, "event-type", "", "only for events of this type")
	when.flags(cmd, "those whose events were accepted")
	return cmd
}

// resend sends one delivery, or all of an event, again.
func (c *cli) resend(ctx context.Context, id string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	r, err := cl.resend(ctx, id)
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
}

func (c *cli) resendMany(ctx context.Context, request api.Resend, how *consent) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	r := repair[api.ResentMany]{
		ask: func(ctx context.Context, dryRun bool, before string) (api.ResentMany, error) {
			request.Before = carom.EventID(before)
			return call[api.ResentMany](ctx, cl, "POST", dryPath("/v1/resend", dryRun), request)
		},
		next: func(v *api.ResentMany) string { return string(v.Next) },
		merge: func(total, page *api.ResentMany) {
			total.Resent, total.Skipped, total.Next = append(total.Resent, page.Resent...), append(total.Skipped, page.Skipped...), page.Next
			for _, by := range page.By {
				i := slices.IndexFunc(total.By, func(b api.ResentBy) bool { return b.Endpoint == by.Endpoint && b.State == by.State })
				if i < 0 {
					total.By = append(total.By, by)
				} else {
					total.By[i].Deliveries += by.Deliveries
				}
			}
		},
		count: func(v *api.ResentMany) int { return len(v.Resent) },
		write: writeResent, question: "Send these again?",
	}
	return r.run(ctx, c, how)
}

func writeResent(w io.Writer, v *api.ResentMany) {
	_, _ = fmt.Fprintf(w, "%s %d\n", would(v.DryRun, "Deliveries that would be sent again:", "Deliveries that are pending again:"), len(v.Resent))
	var rows [][]string
	for _, by := range v.By {
		rows = append(rows, []string{"  " + by.Endpoint, fmt.Sprint(by.Deliveries), "was " + string(by.State)})
	}
	table(w, rows)
	skipped := map[string]int{}
	for _, s := range v.Skipped {
		skipped[s.Reason]++
	}
	writeTimes(w, "skipped", skipped)
}
