package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"carom"
	"carom/internal/api"
	"carom/internal/config"
	"carom/internal/seal"

	"github.com/spf13/cobra"
)

func (c *cli) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and delete API keys; make a key that seals secrets",
		Example: `  carom keys create --name ad-server --scope events --app shop
  carom keys create --name studio --scope publisher --publisher acme
  carom keys list
  carom keys delete key_0123456789ab`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(c.keysCreateCommand(), c.keysListCommand(), c.keysDeleteCommand(), c.keysSecretCommand())
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

// sealing is what keys secret reports.
type sealing struct {
	ID   string `json:"id"`
	Key  string `json:"secrets_key,omitempty"` // absent when it is in a file
	File string `json:"file,omitempty"`
}

func (c *cli) keysSecretCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secret [FILE]",
		Short: "Make a key that stored secrets are sealed by, for secrets_key_file",
		Long: `Makes a key of 256 bits for the setting secrets_key_file, in a new file that its owner alone can read; a file that is there
is left alone. Without FILE the key is printed. What it has sealed cannot be opened without it: keep it in a second place.

To replace a key, put the new one in front of it, restart every node, and take the old one away with the next restart. With
several nodes, add the new key behind the old one first, on all of them, so that every node can open what another seals.`,
		Example: `  carom keys secret /etc/carom/secrets.key
  carom keys secret`,
		Args: cobra.MaximumNArgs(1),
		RunE: run(func(_ context.Context, args []string) error {
			made := sealing{Key: seal.NewKey()}
			keys, err := seal.Parse(made.Key)
			if err != nil {
				return err
			}
			made.ID = keys.ID()
			if len(args) == 0 {
				return c.print(made, func(w io.Writer) { _, _ = fmt.Fprintln(w, made.Key) })
			}
			made.File = args[0]
			if err := writeNew(made.File, made.Key+"\n"); err != nil {
				return usagef("the file of the key cannot be made: %w", err)
			}
			made.Key = ""
			return c.print(made, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "The key %s is in %s. Keep a copy of it apart from those of the data, which are of no use without it.\n", made.ID, made.File)
			})
		}),
	}
}

// writeNew writes a file that is not there yet, for its owner alone.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// addKeyFlag adds the flag of commands that work on a data folder without a server.
func addKeyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "secrets-key-file", "", "file with the keys that secrets are sealed by (default: as serve finds them)")
}

// secretsKeys are the keys of the file, or, without one, those that serve would use with the same environment.
func (c *cli) secretsKeys(file string) (*seal.Ring, error) {
	names := []string{"CAROM_SETTINGS", "CAROM_SECRETS_KEY", "CAROM_SECRETS_KEY_FILE"}
	var environ []string // other settings have nothing to say
	if file != "" {
		environ = []string{"CAROM_SECRETS_KEY_FILE=" + file}
		names = nil
	}
	for _, name := range names {
		if value := c.env(name); value != "" {
			environ = append(environ, name+"="+value)
		}
	}
	cfg, err := config.Load(nil, func() []string { return environ })
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return cfg.SecretsKeys, nil
}
