package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and delete API keys",
		Example: `  carom keys create --name ad-server --scope events --app shop
  carom keys create --name studio --scope publisher --publisher acme
  carom keys list
  carom keys delete key_0123456789ab`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.keysCreateCommand(), c.keysListCommand(), c.keysDeleteCommand())
	return cmd
}

func (c *cli) keysCreateCommand() *cobra.Command {
	var k api.NewKey
	var scope string
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Make an API key; it is shown only once",
		Example: `  carom keys create --name dashboard --scope read`,
		Args:    cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			k.Scope = carom.Scope(scope)
			made, err := cl.createKey(ctx, k)
			if err != nil {
				return err
			}
			return c.print(made, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "%s\n\nThis is the key %s (%s). It is shown only now; send it as: Authorization: Bearer KEY\n", made.Key, made.ID, made.Scope)
			})
		}),
	}
	cmd.Flags().StringVar(&k.Name, "name", "", "who will use it")
	cmd.Flags().StringVar(&k.App, "app", "", "limit it to one app")
	cmd.Flags().StringVar(&k.Publisher, "publisher", "", "whose key it is, with the scope publisher")
	cmd.Flags().StringVar(&scope, "scope", "", "events (report them), read, publisher (set up one publisher's own), or admin (everything)")
	_ = cmd.MarkFlagRequired("name")  // these fail only for flags that do not exist
	_ = cmd.MarkFlagRequired("scope") //
	return cmd
}

func (c *cli) keysListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List API keys, without the keys themselves",
		Args:  cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := cl.keys(ctx)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeKeys(w, list) })
		}),
	}
}

func writeKeys(w io.Writer, list api.KeyList) {
	if len(list.Keys) == 0 {
		_, _ = fmt.Fprintln(w, "No keys. Make one with: carom keys create --name NAME --scope SCOPE")
		return
	}
	rows := [][]string{{"ID", "NAME", "APP", "SCOPE", "CREATED", "LAST USED"}}
	for _, k := range list.Keys {
		app := k.App
		switch {
		case k.Publisher != "":
			app = "(of " + k.Publisher + ")"
		case app == "":
			app = "(all)"
		}
		used := "-"
		if !k.LastUsed.IsZero() {
			used = k.LastUsed.UTC().Format(time.DateOnly)
		}
		rows = append(rows, []string{k.ID, k.Name, app, string(k.Scope), k.Created.UTC().Format(time.DateOnly), used})
	}
	table(w, rows)
}

func (c *cli) keysDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete an API key: it counts no more at once",
		Args:  cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if err := cl.deleteKey(ctx, args[0]); err != nil {
				return err
			}
			return c.print(map[string]string{"deleted": args[0]}, func(w io.Writer) { _, _ = fmt.Fprintln(w, "deleted", args[0]) })
		}),
	}
}
