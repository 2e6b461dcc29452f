package main

import (
	"context"
	"fmt"
	"io"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) freezeCommand() *cobra.Command {
	return c.modeCommand(&cobra.Command{
		Use:   "freeze SOURCE",
		Short: "Keep a source's events without granting or sending anything",
		Long: `Events of a frozen source are verified, answered and kept, so that the network is content and nothing is lost. Nothing is granted
or sent for them until you thaw the source and reprocess them.`,
		Example: `  carom freeze game/monetag --why "the prices are ten times too high"`,
	}, "/freeze")
}

func (c *cli) thawCommand() *cobra.Command {
	return c.modeCommand(&cobra.Command{
		Use:   "thaw SOURCE",
		Short: "Let a frozen source go on",
		Long:  "New events count again. Those that were held meanwhile stay held: what it prints says how many, and the command that counts them.",
		Example: `  carom thaw game/monetag --why "the prices are right again"
  carom reprocess --app game --source monetag --kind held --reason frozen --why "thawed"`,
	}, "/thaw")
}

func (c *cli) modeCommand(cmd *cobra.Command, verb string) *cobra.Command {
	var how consent
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = run(func(ctx context.Context, args []string) error {
		path, err := sourcePath(args[0], verb)
		if err != nil {
			return err
		}
		if err := how.check(); err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		f, err := call[api.Frozen](ctx, cl, "POST", dryPath(path, how.dryRun), api.Reason{Why: how.why})
		if err != nil {
			return err
		}
		return c.print(f, func(w io.Writer) { writeFrozen(w, &f) })
	})
	cmd.Flags().StringVar(&how.why, "why", "", "the reason, which is kept in the server's log")
	cmd.Flags().BoolVar(&how.dryRun, "dry-run", false, "only show what would change")
	return cmd
}

func writeFrozen(w io.Writer, f *api.Frozen) {
	verb := would(f.DryRun, "would be", "is")
	if !f.Changed {
		verb = "was before, and is still,"
	}
	_, _ = fmt.Fprintf(w, "%s %s %s.\n", plain(f.Source), verb, f.Mode)
	more := ""
	if f.More {
		more = "at least "
	}
	_, _ = fmt.Fprintf(w, "Events that are held since it was frozen: %s%d\nNext: %s\n", more, f.Waiting, plain(f.Next))
}
