package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"carom/internal/backup"
	"carom/internal/store"

	"github.com/spf13/cobra"
)

func (c *cli) restoreCommand() *cobra.Command {
	var replace, check bool
	var keyFile string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a data folder of a backup, checked, with the server stopped",
		Long: `Makes the data folder (--data) of a backup. Every sum in the backup, the database and the ledger are checked first; until
then nothing is changed. A folder that holds data is refused, or, with --replace, what is in it is moved into a folder
before-… within it. A folder in use by a running server is always refused.

What was acknowledged after the backup was made is not in it. Deliveries that had not ended then are sent again, with the same
ids; networks may repeat postbacks that the first folder has taken since. The restored folder begins a new life: ids that it
gives out from now on were never given out before.

Secrets in a backup are sealed. The key is in it, unless the server had it from the setting secrets_key: then the restored
folder needs the same setting, and the command says which key.`,
		Example: `  carom restore /backup/carom-2026-11-22.backup --data /var/lib/carom
  carom restore --check /backup/carom-2026-11-22.backup`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			return c.restore(ctx, args[0], replace, check, keyFile)
		}),
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "move what is in the data folder aside")
	cmd.Flags().BoolVar(&check, "check", false, "only check whether the backup is whole")
	addKeyFlag(cmd, &keyFile)
	return cmd
}

// restored is what restore reports.
type restored struct {
	At       time.Time `json:"at"`                    // everything acknowledged before is there
	Carom    string    `json:"carom"`                 // version that wrote the backup
	Bytes    int64     `json:"bytes"`                 // of data
	Newest   time.Time `json:"newest,omitzero"`       // when the newest event was received
	Rewards  int64     `json:"rewards"`               // checked
	Lines    int64     `json:"lines"`                 // of the ledger, checked
	Balances int64     `json:"balances"`              // checked
	Key      string    `json:"secrets_key,omitempty"` // id of the key that its secrets are sealed by
	NeedsKey bool      `json:"needs_secrets_key"`     // the key is neither in the backup nor in the settings: the server needs it
	Folder   string    `json:"folder,omitempty"`      // restored; absent after --check
	Aside    string    `json:"aside,omitempty"`       // where what was there before lies
}

func (c *cli) restore(ctx context.Context, file string, replace, check bool, keyFile string) error {
	keys, err := c.secretsKeys(keyFile)
	if err != nil {
		return err
	}
	if c.server != "" {
		return usagef("restore works on this machine's data folder: run it on the server's machine, without --server")
	}
	from, closeFile := c.in, func() error { return nil }
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return usagef("the backup cannot be read: %w", err)
		}
		from, closeFile = f, f.Close
	}
	p := c.progress("restore")
	from = io.TeeReader(from, p)
	var r restored
	if check {
		var m backup.Manifest
		if m, err = backup.Verify(ctx, from); err == nil {
			r = restored{At: m.At, Carom: m.Carom, Bytes: m.Written, Key: m.Key, NeedsKey: !m.HasKey() && !keys.Opens(m.Key)}
		}
	} else {
		var out backup.Restored
		if out, err = backup.Restore(ctx, from, c.data, replace, store.Options{Keys: keys}); err == nil {
			r = restored{At: out.At, Carom: out.Carom, Bytes: out.Written, Newest: out.Newest, Rewards: out.Ledger.Rewards, Lines: out.Ledger.Lines,
				Balances: out.Ledger.Balances, Key: out.Key, NeedsKey: out.Lacks != "", Folder: out.Folder, Aside: out.Aside}
		}
	}
	p.end()
	if err = errors.Join(err, closeFile()); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return c.print(r, func(w io.Writer) { writeRestored(w, &r, file) })
}

func writeRestored(w io.Writer, r *restored, file string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s is whole: %s of data, written by carom %s. What was acknowledged before %s is in it.\n", file, size(r.Bytes), r.Carom, clock(r.At))
	if r.NeedsKey {
		fmt.Fprintf(&b, "Its secrets are sealed by the key %s, which is not in it: the server needs that key, by secrets_key_file.\n", r.Key)
	}
	if r.Folder != "" {
		fmt.Fprintf(&b, "Checked: the database, %d rewards, %d ledger lines, %d balances. The newest event is from %s.\n", r.Rewards, r.Lines, r.Balances, clock(r.Newest))
		if r.Aside != "" {
			fmt.Fprintf(&b, "What was there before is in %s: delete it when you do not need it.\n", r.Aside)
		}
		fmt.Fprintf(&b, "\nRestored. Next: carom serve --data %s\n", r.Folder)
	}
	_, _ = w.Write(b.Bytes())
}
