package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"carom/internal/backup"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (c *cli) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the data folder to one file while the server runs",
		Long: `Has the running server write its data folder, as it is at this moment, to one file (tar and zstd). Everything that was
acknowledged before is in it. The file is checked while it is written, and gets its name only when it is whole. With - it goes
to the standard output, to be encrypted or sent elsewhere; the exit code says whether it is whole.

Users' ids are in a backup as they are in the folder. Secrets are sealed in both; the key is in the backup, unless the server has
it from the setting secrets_key: then keep it elsewhere. Settings, the objects file and certificates are not in a backup.
With the server stopped, the data folder itself is the backup.`,
		Example: `  carom backup /backup/carom-$(date +%F).backup
  carom backup - | ssh store.example.com 'cat > carom.backup'`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error { return c.backup(ctx, args[0]) }),
	}
	return cmd
}

// made is what backup reports.
type made struct {
	File  string    `json:"file"`
	At    time.Time `json:"at"`                // everything acknowledged before is in it
	Bytes int64     `json:"bytes"`             // of the file
	Data  int64     `json:"data"`              // bytes of the data in it
	Key   string    `json:"secrets_key"`       // id of the key that its secrets are sealed by
	Holds bool      `json:"holds_secrets_key"` // the key is in it
}

func (c *cli) backup(ctx context.Context, file string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	resp, err := cl.request(ctx, "POST", "/v1/backup", "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end, or not wanted
	if file == "-" {
		if c.outIsTerminal() {
			return usagef("a backup is not for the terminal: name a file, or send it on with |")
		}
		_, err := c.receiveBackup(ctx, resp.Body, c.out)
		return err
	}
	r := made{File: file}
	m, err := c.writeBackup(ctx, file, resp.Body, &r.Bytes)
	if err != nil {
		return err
	}
	r.At, r.Data, r.Key, r.Holds = m.At, m.Written, m.Key, m.HasKey()
	return c.print(r, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s: %s of data in %s, checked. What was acknowledged before %s is in it.\n", r.File, size(r.Data), size(r.Bytes), clock(r.At))
		if r.Key != "" && !r.Holds {
			_, _ = fmt.Fprintf(w, "Its secrets are sealed by the key %s of the server's settings, which is not in it: keep that key elsewhere.\n", r.Key)
		}
	})
}

// writeBackup writes a backup beside file and renames it when it is whole and on the disk.
func (c *cli) writeBackup(ctx context.Context, file string, content io.Reader, bytes *int64) (m backup.Manifest, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".partial-")
	if err != nil {
		return m, fmt.Errorf("the file cannot be made: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if m, err = c.receiveBackup(ctx, content, f); err == nil {
		err = f.Sync()
	}
	if info, statErr := f.Stat(); statErr == nil {
		*bytes = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return m, err
	}
	return m, os.Rename(f.Name(), file)
}

// receiveBackup copies a backup from the server to w and checks it on the way.
func (c *cli) receiveBackup(ctx context.Context, content io.Reader, w io.Writer) (backup.Manifest, error) {
	read, write := io.Pipe()
	done := make(chan struct{})
	var m backup.Manifest
	var checkErr error
	go func() {
		defer close(done)
		m, checkErr = backup.Verify(ctx, read)
		_ = read.CloseWithError(checkErr) // always nil
	}()
	p := c.progress("backup")
	_, err := io.Copy(io.MultiWriter(w, write, p), content)
	_ = write.CloseWithError(err) // always nil; without err the check sees the end
	<-done
	p.end()
	switch {
	case err != nil && !errors.Is(err, checkErr):
		return m, fmt.Errorf("the backup is cut off: %w", err)
	case checkErr != nil:
		return m, fmt.Errorf("the backup is not whole: %w", checkErr)
	}
	return m, nil
}

// progress counts the bytes that go by, for a person who waits.
type progress struct {
	c    *cli
	what string
	n    int64
	next time.Time
	told bool
}

func (c *cli) progress(what string) *progress {
	return &progress{c: c, what: what, next: c.now().Add(time.Second)}
}

func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := p.c.now(); p.c.errIsTerminal() && now.After(p.next) {
		p.next, p.told = now.Add(time.Second), true
		_, _ = fmt.Fprintf(p.c.errOut, "\r%s: %s … ", p.what, size(p.n))
	}
	return len(b), nil
}

func (p *progress) end() {
	if p.told {
		_, _ = fmt.Fprintln(p.c.errOut)
	}
}

func (c *cli) outIsTerminal() bool { return isTerminal(c.out) }
func (c *cli) errIsTerminal() bool { return isTerminal(c.errOut) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// size writes a number of bytes for a person.
func size(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d bytes", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d KB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
