package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"carom/internal/move"
	"carom/internal/store"

	"github.com/spf13/cobra"
)

// defaultSample is how many events are compared as the two stores tell them. Every column of every row is compared besides.
const defaultSample = 2000

func (c *cli) moveCommand() *cobra.Command {
	var from, to string
	var live, verify bool
	var keyFile string
	sample := defaultSample
	cmd := &cobra.Command{
		Use:   "move",
		Short: "Move a data folder to a PostgreSQL database, checked, with all ids",
		Long: `Moves everything that is in a data folder to an empty PostgreSQL database, and compares the two. Ids stay the same; copies of
old events, reversals of old transactions and views that wait are recognised there as they were here.

The server has to be stopped for the last run. With --live, most is moved while it still runs: what is left for the last run is the
open time bucket and what has changed since. A run that is interrupted goes on where it was when it is run again.

When both sides are the same, the folder is marked as moved, so that nobody starts with it by mistake. Until then nothing of it is changed,
and no node starts on the database. With --verify nothing is moved: everything is read again on both sides and compared.

Secrets are moved as they are sealed. The nodes need the key, which is in the folder's file secrets.key, or where secrets_key names it.

Without --to, the database is the one that CAROM_DATABASE names: so its password is in no list of processes.`,
		Example: `  carom move --live --from sqlite:///var/lib/carom --to postgres://carom@db.example.com/carom
  carom move --from sqlite:///var/lib/carom --to postgres://carom@db.example.com/carom
  carom move --verify --from sqlite:///var/lib/carom --to postgres://carom@db.example.com/carom`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			folder, isFolder := strings.CutPrefix(from, "sqlite://")
			switch {
			case from == "":
				folder = c.data
			case !isFolder || folder == "":
				return usagef("--from is sqlite:// and a data folder, such as sqlite:///var/lib/carom")
			}
			if to == "" {
				to = c.env("CAROM_DATABASE")
			}
			if !strings.HasPrefix(to, "postgres://") && !strings.HasPrefix(to, "postgresql://") {
				return usagef("--to is the URL of the database: postgres://user:password@host:5432/name")
			}
			if live && verify {
				return usagef("--verify compares what was moved as a whole: not with --live")
			}
			keys, err := c.secretsKeys(keyFile)
			if err != nil {
				return err
			}
			return c.move(ctx, move.Options{Folder: folder, URL: to, Keys: keys, Live: live, Verify: verify, Sample: sample, Clock: c.now})
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "the data folder: sqlite://FOLDER (default --data)")
	cmd.Flags().StringVar(&to, "to", "", "the database: postgres://… (better: the environment's CAROM_DATABASE)")
	cmd.Flags().BoolVar(&live, "live", false, "the server still runs: move what does not change any more")
	cmd.Flags().BoolVar(&verify, "verify", false, "move nothing, compare everything again")
	cmd.Flags().IntVar(&sample, "sample", defaultSample, "how many events, picked at random, are compared as each side tells them")
	addKeyFlag(cmd, &keyFile)
	return cmd
}

func (c *cli) move(ctx context.Context, o move.Options) error {
	if c.server != "" {
		return usagef("move works on this machine's data folder: run it on the server's machine, without --server")
	}
	var next time.Time
	o.Progress = func(p move.Progress) {
		if now := c.now(); now.After(next) {
			next = now.Add(time.Second)
			_, _ = fmt.Fprintln(c.errOut, p)
		}
	}
	r, err := move.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := c.print(r, func(w io.Writer) { writeMoved(w, r, o) }); err != nil {
		return err
	}
	if len(r.Differences) > 0 {
		return &exitError{code: exitProblem}
	}
	return nil
}

func writeMoved(w io.Writer, r *move.Report, o move.Options) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Moved %d rows in %d parts to %s; %d parts were there. Compared %d parts and the stories of %d events. It took %s, %s of it to compare.\n",
		r.Rows, r.Moved, r.To, r.Kept, r.Checked, r.Sampled, r.Took.Round(time.Millisecond), r.Check.Round(time.Millisecond))
	for _, d := range r.Differences {
		fmt.Fprintf(&b, "  %s\n", d)
	}
	switch {
	case len(r.Differences) > 0:
		fmt.Fprintf(&b, "\nThe two sides differ: the data folder is what counts. Run carom move again; if that does not help, move into an empty database.\n")
	case o.Live:
		fmt.Fprintf(&b, "\nNothing differs so far. Next: stop the server, and run carom move without --live.\n")
	case r.Ended:
		fmt.Fprintf(&b, "\nNothing differs. Next: carom serve --database with that URL, and on every node --secrets-key-file with the key %s, which is that of %s. The folder is marked by %s; keep it until the nodes have worked for a while.\n",
			r.Key, keyOrigin(o), move.MarkOf(o.Folder))
	default:
		fmt.Fprintf(&b, "\nNothing differs.\n")
	}
	_, _ = w.Write(b.Bytes())
}

// keyOrigin says where the key of a folder is found.
func keyOrigin(o move.Options) string {
	if o.Keys != nil {
		return "secrets_key here"
	}
	return filepath.Join(o.Folder, store.KeyFile)
}
