package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) rewardsCommand() *cobra.Command {
	var app, source, user, rule, state string
	var number int
	var when span
	cmd := &cobra.Command{
		Use:   "rewards [list]",
		Short: "List rewards, newest first",
		Long:  "One reward with its ledger lines: carom show rwd_…",
		Example: `  carom rewards --app game
  carom rewards --app game --user 279058397
  carom rewards list --app game --rule watch --state held -n 100`,
		ValidArgs: []string{"list"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: run(func(ctx context.Context, _ []string) error {
			sp, err := when.read(c.now())
			if err != nil {
				return err
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.RewardList](ctx, cl, "GET", "/v1/rewards"+query("app", app, "source", source, "user", user, "rule", rule,
				"state", state, "from", rfc3339(sp.From), "to", rfc3339(sp.To), "limit", strconv.Itoa(number)), nil)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeRewards(w, list.Rewards) })
		}),
	}
	cmd.Flags().StringVar(&app, "app", "", "only this app")
	cmd.Flags().StringVar(&source, "source", "", "only by events of this source: its name with --app, or APP/SOURCE")
	cmd.Flags().StringVar(&user, "user", "", "only this user's")
	cmd.Flags().StringVar(&rule, "rule", "", "only by this rule; - stands for those granted by hand")
	cmd.Flags().StringVar(&state, "state", "", "granted, held, canceled or reversed")
	cmd.Flags().IntVarP(&number, "number", "n", 20, "how many at most (1000)")
	when.flags(cmd, "rewards that were decided")
	return cmd
}

func writeRewards(w io.Writer, list []api.Reward) {
	if len(list) == 0 {
		_, _ = fmt.Fprintln(w, "No rewards match. Why an event earned nothing is in its story: carom show EVENT")
		return
	}
	rows := [][]string{{"TIME (UTC)", "APP", "RULE", "USER", "AMOUNT", "STATE", "REWARD"}}
	for i := range list {
		r := &list[i]
		rows = append(rows, []string{clock(r.At), r.App, r.Rule, clip(r.User, 40), r.Amount + " " + r.Currency, string(r.State), string(r.ID)})
	}
	table(w, rows)
}

func writeReward(w io.Writer, st *api.RewardStory) {
	r := &st.Reward
	rule := "by rule " + r.Rule
	if r.Rule == "-" {
		rule = "by hand"
	}
	rows := [][]string{
		{"Reward", string(r.ID)}, {"Amount", r.Amount + " " + r.Currency + " " + rule}, {"User", r.User + " of " + r.App},
		{"State", string(r.State) + " since " + clock(r.Changed) + " UTC"},
	}
	if !r.Until.IsZero() {
		rows = append(rows, []string{"Credited", clock(r.Until) + " UTC"})
	}
	for _, f := range []struct{ name, value string }{
		{"Why", r.Why}, {"Decided", clock(r.At) + " UTC"}, {"Source", r.Source}, {"Network", r.Network}, {"Event", string(r.Event)}, {"View", string(r.View)},
		{"ymid", r.YMID}, {"zone_id", r.ZoneID}, {"request_var", r.RequestVar}, {"Network's id", r.Transaction},
	} {
		if f.value != "" {
			rows = append(rows, []string{f.name, f.value})
		}
	}
	table(w, rows)
	_, _ = fmt.Fprintln(w, "\nLedger")
	writeLines(w, st.Lines)
}

func writeLines(w io.Writer, lines []api.LedgerLine) {
	if len(lines) == 0 {
		_, _ = fmt.Fprintln(w, "no lines")
		return
	}
	rows := [][]string{{"TIME (UTC)", "AMOUNT", "REWARD", "EVENT", "WHY"}}
	for i := range lines {
		l := &lines[i]
		rows = append(rows, []string{clock(l.At), l.Amount + " " + l.Currency, string(l.Reward), string(l.Event), l.Why})
	}
	table(w, rows)
}

func (c *cli) balanceCommand() *cobra.Command {
	var app string
	cmd := &cobra.Command{
		Use:     "balance --app APP USER",
		Short:   "Show what a user has, by currency",
		Example: `  carom balance --app game 279058397`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.BalanceList](ctx, cl, "GET", "/v1/balances"+query("app", app, "user", args[0]), nil)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) {
				if len(list.Balances) == 0 {
					_, _ = fmt.Fprintln(w, "Nothing was ever credited to this user.")
				}
				for _, b := range list.Balances {
					_, _ = fmt.Fprintln(w, plain(b.Amount+" "+b.Currency))
				}
			})
		}),
	}
	cmd.Flags().StringVar(&app, "app", "", "the app")
	_ = cmd.MarkFlagRequired("app") // it fails only for a flag that does not exist
	return cmd
}

func (c *cli) ledgerCommand() *cobra.Command {
	var app, currency string
	var number int
	cmd := &cobra.Command{
		Use:   "ledger --app APP USER",
		Short: "List the lines of a user's account, newest first",
		Long:  "The whole ledger is proved with: carom check --ledger",
		Example: `  carom ledger --app game 279058397
  carom ledger --app game --currency coins -n 100 279058397`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.Ledger](ctx, cl, "GET",
				"/v1/ledger"+query("app", app, "user", args[0], "currency", currency, "limit", strconv.Itoa(number)), nil)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeLines(w, list.Lines) })
		}),
	}
	cmd.Flags().StringVar(&app, "app", "", "the app")
	cmd.Flags().StringVar(&currency, "currency", "", "only this currency")
	cmd.Flags().IntVarP(&number, "number", "n", 20, "how many at most (1000)")
	_ = cmd.MarkFlagRequired("app") // it fails only for a flag that does not exist
	return cmd
}
