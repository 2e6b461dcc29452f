package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carom"
	"carom/internal/api"
	"carom/internal/reconcile"

	"github.com/spf13/cobra"
)

// reconcileFlags are the flags of carom reconcile.
type reconcileFlags struct {
	selector
	file, network, columns  string // of the file to import
	from, to, dayZone       string
	measure, rate, currency string
	prices, list, statement string
	compare, dryRun, days   bool
}

func (c *cli) reconcileCommand() *cobra.Command {
	var f reconcileFlags
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Say what came in by day, and why a network's numbers differ",
		Long: `Without a file: report what carom saw, by app, network, source, zone and day.

With --network-csv: import the network's own statistics of a source, compare them with what carom counted, and explain the
difference. --compare does so with what was imported before. The exit code is 1 when some of the difference stays unexplained.`,
		Example: `  carom reconcile --app game --from 2026-03-01 --to 2026-03-31
  carom reconcile --network-csv march.csv --source game/ads
  carom reconcile --network-csv march.csv --source game/ads --map columns.yaml --day-zone Etc/GMT+5
  carom reconcile --compare --source game/ads --from 2026-03-10 --to 2026-03-12 -o csv
  carom reconcile --list game/ads`,
		Args: cobra.NoArgs,
		PersistentPreRunE: func(*cobra.Command, []string) error { // this command alone knows CSV
			if !slices.Contains([]string{"text", "json", "csv"}, c.output) {
				return usagef("--output is text, json or csv, not %q", c.output)
			}
			return nil
		},
		RunE: run(func(ctx context.Context, _ []string) error { return c.reconcile(ctx, &f) }),
	}
	addSelector(cmd, &f.selector)
	flags := cmd.Flags()
	flags.StringVar(&f.file, "network-csv", "", "the network's statistics; - reads the standard input")
	flags.StringVar(&f.network, "network", "", "whose column map reads the file (default: the profile of the source)")
	flags.StringVar(&f.columns, "map", "", "a file with a column map of your own")
	flags.StringVar(&f.from, "from", "", "the first day, such as 2026-03-01")
	flags.StringVar(&f.to, "to", "", "the last day, included")
	flags.StringVar(&f.dayZone, "day-zone", "", "the time zone of the days, such as Europe/Berlin (default: what the map says, or the app's)")
	flags.StringVar(&f.measure, "measure", "", "what is compared: valued, impressions or clicks (default: the first that the file has)")
	flags.StringVar(&f.currency, "currency", "", "the currency of the file's revenue (default: what the file or the map says)")
	flags.StringVar(&f.prices, "price-currency", "", "the currency of the source's estimated prices (default: USD)")
	flags.StringVar(&f.rate, "rate", "", "how many units of the prices' currency one unit of the file's is, such as 1.0842")
	flags.BoolVar(&f.compare, "compare", false, "compare with what was imported before")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only read the file, and keep nothing")
	flags.BoolVar(&f.days, "days", false, "also explain each day by itself")
	flags.StringVar(&f.list, "list", "", "list the statements of a source, APP/SOURCE")
	flags.StringVar(&f.statement, "statement", "", "show one statement by its id, stm_…")
	cmd.MarkFlagsMutuallyExclusive("network-csv", "compare", "list", "statement")
	cmd.MarkFlagsMutuallyExclusive("network", "map")
	return cmd
}

func (c *cli) reconcile(ctx context.Context, f *reconcileFlags) error {
	asCSV := c.output == "csv"
	if asCSV && (f.list != "" || f.statement != "" || f.dryRun) {
		return usagef("-o csv is for reports and comparisons: give -o text or -o json")
	}
	if f.dryRun && f.file == "" {
		return usagef("--dry-run needs --network-csv")
	}
	if (f.file != "" || f.compare) && f.source == "" {
		return usagef("--source is missing: name the source that the numbers are about, APP/SOURCE")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	switch {
	case f.list != "":
		return c.listStatements(ctx, cl, f.list)
	case f.statement != "":
		return c.showStatement(ctx, cl, f.statement)
	case f.file != "":
		return c.importAndCompare(ctx, cl, f)
	case f.compare:
		return c.compareStatements(ctx, cl, f)
	}
	path := "/v1/reconcile?" + f.query("app", "source", "from", "to", "day_zone")
	report, err := call[reconcile.Report](ctx, cl, "GET", path, nil)
	if err != nil {
		return err
	}
	if asCSV {
		return reconcile.WriteCSV(c.out, report.Table())
	}
	return c.print(report, func(w io.Writer) { writeReport(w, &report) })
}

// query writes the parameters of the given names that are set.
func (f *reconcileFlags) query(names ...string) string {
	values := map[string]string{
		"app": f.app, "source": f.source, "from": f.from, "to": f.to, "day_zone": f.dayZone, "measure": f.measure, "rate": f.rate,
		"price_currency": f.prices, "currency": f.currency, "network": f.network,
	}
	q := url.Values{}
	for _, name := range names {
		if values[name] != "" {
			q.Set(name, values[name])
		}
	}
	return q.Encode()
}

// importAndCompare sends the file to the server, and compares the days that stand in it.
func (c *cli) importAndCompare(ctx context.Context, cl *client, f *reconcileFlags) error {
	data, err := c.readInput(f.file, reconcile.MaxFileBytes)
	if err != nil {
		return err
	}
	q := f.query("app", "source", "network", "currency", "day_zone")
	if f.columns != "" {
		text, err := c.readInput(f.columns, 8<<10)
		if err != nil {
			return err
		}
		q += "&map=" + url.QueryEscape(string(text))
	}
	if f.file != "-" {
		q += "&file=" + url.QueryEscape(filepath.Base(f.file))
	}
	if f.dryRun {
		q += "&dry_run=true"
	}
	made, err := callRaw[api.ImportedStatement](ctx, cl, "POST", "/v1/reconcile/statements?"+q, "text/csv", data)
	if err != nil {
		return err
	}
	if f.dryRun {
		return c.print(made, func(w io.Writer) {
			writeStatement(w, &made.Statement)
			writeStatementRows(w, made.Rows)
		})
	}
	st := &made.Statement
	if c.output == "text" {
		kept := "kept as"
		if made.Again {
			kept = "was kept before as"
		}
		_, _ = fmt.Fprintf(c.out, "%s, %s to %s: %s %s\n", plain(orDash(st.File)), st.From, st.To, kept, st.ID)
		for _, note := range st.Notes {
			_, _ = fmt.Fprintln(c.out, plain(note))
		}
		_, _ = fmt.Fprintln(c.out)
	}
	if f.from == "" && f.to == "" {
		f.from, f.to = st.From, st.To
	}
	return c.compareStatements(ctx, cl, f)
}

// readInput reads a file of at most limit bytes; "-" is the standard input.
func (c *cli) readInput(name string, limit int64) ([]byte, error) {
	in := c.in
	if name != "-" {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("there is no file %s", name)
		}
		if err != nil {
			return nil, usagef("%v", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, usagef("%s cannot be read: %v", name, err)
	}
	if int64(len(data)) > limit {
		return nil, usagef("%s has more than %d KiB: export fewer days", name, limit>>10)
	}
	return data, nil
}

func (c *cli) compareStatements(ctx context.Context, cl *client, f *reconcileFlags) error {
	path := "/v1/reconcile/comparison?" + f.query("app", "source", "from", "to", "day_zone", "measure", "rate", "price_currency")
	got, err := call[reconcile.Comparison](ctx, cl, "GET", path, nil)
	if err != nil {
		return err
	}
	if c.output == "csv" {
		err = reconcile.WriteCSV(c.out, got.Table())
	} else {
		err = c.print(got, func(w io.Writer) { writeComparison(w, &got, f.days) })
	}
	if err == nil && got.Total.Unexplained != 0 {
		return &exitError{code: exitProblem}
	}
	return err
}

func (c *cli) listStatements(ctx context.Context, cl *client, source string) error {
	if _, err := objectPath("source", source); err != nil {
		return err
	}
	list, err := call[api.StatementList](ctx, cl, "GET", "/v1/reconcile/statements?source="+url.QueryEscape(source), nil)
	if err != nil {
		return err
	}
	return c.print(list, func(w io.Writer) {
		if len(list.Statements) == 0 {
			_, _ = fmt.Fprintf(w, "No statement of %s was imported: carom reconcile --source %s --network-csv FILE\n", plain(source), plain(source))
			return
		}
		rows := [][]string{{"IMPORTED (UTC)", "STATEMENT", "FROM", "TO", "ROWS", "CURRENCY", "FILE", "BY"}}
		for i := range list.Statements {
			st := &list.Statements[i]
			rows = append(rows, []string{minute(st.At), string(st.ID), st.From, st.To, number(int64(st.Rows)), orDash(st.Currency), orDash(st.File), st.By})
		}
		table(w, rows)
		_, _ = fmt.Fprintln(w, "\nOf each day the newest statement that names it counts.")
	})
}

func (c *cli) showStatement(ctx context.Context, cl *client, id string) error {
	if _, _, err := carom.StatementID(id).Number(); err != nil {
		return usagef("%q is not the id of a statement: carom reconcile --list APP/SOURCE prints them", id)
	}
	got, err := call[api.StatementStory](ctx, cl, "GET", "/v1/reconcile/statements/"+url.PathEscape(id), nil)
	if err != nil {
		return err
	}
	return c.print(got, func(w io.Writer) {
		writeStatement(w, &got.Statement)
		writeStatementRows(w, got.Rows)
	})
}

// sign writes a difference with its sign.
func sign(n int64) string {
	if n > 0 {
		return fmt.Sprintf("+%d", n)
	}
	return fmt.Sprint(n)
}

func moneyText(amount, currency string) string { return strings.TrimSpace(amount + " " + currency) }
