package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Export or erase what is kept about a user",
		Example: `  carom user export --app game 279058397 >user.json
  carom user erase --app game 279058397 --why "asked for it on 3 March"`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.userExportCommand(), c.userEraseCommand())
	return cmd
}

func (c *cli) userExportCommand() *cobra.Command {
	var app string
	cmd := &cobra.Command{
		Use:   "export USER",
		Short: "Write everything that is kept about a user, as JSON",
		Long: `Writes balances, ledger lines, rewards, opened views, events with what was received and sent for them, and refused postbacks
that name the user. What retention has dropped is not there any more.`,
		Example: `  carom user export --app game 279058397 >user.json`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			p, err := call[api.Person](ctx, cl, "GET", "/v1/users/export?"+url.Values{"app": {app}, "user": {args[0]}}.Encode(), nil)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(c.out)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			return enc.Encode(p)
		}),
	}
	cmd.Flags().StringVar(&app, "app", "", "the app")
	_ = cmd.MarkFlagRequired("app") // it fails only for a flag that does not exist
	return cmd
}

func (c *cli) userEraseCommand() *cobra.Command {
	var how consent
	var e api.Erasure
	cmd := &cobra.Command{
		Use:   "erase USER",
		Short: "Erase a user: ledger lines stay, the person goes",
		Long: `Removes the user from events, what was received and sent for them, views, and refused postbacks. Rewards, ledger lines and
balances stay under a name that says nothing, so that every sum stays right, and copies of old postbacks still earn nothing.

It cannot be undone. Not reached are backups, the networks, your own backend, and bytes in unused parts of the database file.
Should the same user come back, it is a new one.`,
		Example: `  carom user erase --app game 279058397 --why "asked for it on 3 March" --dry-run`,
		Args:    cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			if err := how.check(); err != nil {
				return err
			}
			e.User, e.Why = args[0], how.why
			cl, err := c.client()
			if err != nil {
				return err
			}
			r := repair[api.Erased]{
				ask: func(ctx context.Context, dryRun bool, _ string) (api.Erased, error) {
					return call[api.Erased](ctx, cl, "POST", dryPath("/v1/users/erase", dryRun), e)
				},
				next:  func(*api.Erased) string { return "" },
				merge: func(_, _ *api.Erased) {},
				count: func(v *api.Erased) int {
					if v.Waiting > 0 {
						return 0
					}
					return v.Rewards + v.Views + v.Events + v.Refused
				},
				write: writeErased, question: "Erase this user for good?",
			}
			return r.run(ctx, c, &how)
		}),
	}
	how.flags(cmd)
	cmd.Flags().StringVar(&e.App, "app", "", "the app")
	_ = cmd.MarkFlagRequired("app") // it fails only for a flag that does not exist
	return cmd
}

func writeErased(w io.Writer, v *api.Erased) {
	if v.Waiting > 0 {
		_, _ = fmt.Fprintf(w, "Nothing is erased yet: %d deliveries or held rewards of this user are not over. Erase when they have ended.\n", v.Waiting)
		return
	}
	what := fmt.Sprintf("%d events, %d views and %d refused postbacks", v.Events, v.Views, v.Refused)
	if v.DryRun {
		_, _ = fmt.Fprintf(w, "This would erase the user from %s, and keep %d rewards under another name.\n", what, v.Rewards)
	} else {
		_, _ = fmt.Fprintf(w, "Erased the user from %s. %d rewards stay, as those of %s.\n", what, v.Rewards, v.As)
	}
}
