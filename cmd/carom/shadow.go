package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) shadowCommand() *cobra.Command {
	var span string
	cmd := &cobra.Command{
		Use:   "shadow SOURCE",
		Short: "Say where today's receiver and carom would differ, of a source in shadow",
		Long: `Say where today's receiver and carom would differ, of a source with ` + "`mode: shadow`" + ` and a shadow_url.

The exit code is 1 when something differs.`,
		Example: `  carom shadow shop/monetag
  carom shadow shop/monetag --since 24h -o json`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			back, err := carom.ParseDuration(span)
			if err != nil || back <= 0 {
				return usagef("--since needs a duration such as 90m, 24h or 7d")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			report, err := cl.shadow(ctx, args[0], c.now().Add(-back))
			if err != nil {
				return err
			}
			if err := c.print(report, func(w io.Writer) { writeShadow(w, &report) }); err != nil {
				return err
			}
			if len(report.Differences) > 0 {
				return &exitError{code: exitProblem}
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&span, "since", "7d", "how far back")
	return cmd
}

func (c *client) shadow(ctx context.Context, source string, since time.Time) (api.ShadowReport, error) {
	path, err := objectPath("source", source)
	if err != nil {
		return api.ShadowReport{}, err
	}
	return call[api.ShadowReport](ctx, c, "GET", "/v1/sources/"+path+"/shadow?since="+url.QueryEscape(since.UTC().Format(time.RFC3339)), nil)
}

func writeShadow(w io.Writer, r *api.ShadowReport) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("%s (%s) since %s UTC", plain(r.Source), plain(r.Mode), minute(r.Since))
	rows := [][]string{{"requests", number(r.Requests)}, {"compared", number(r.Compared)}, {"agreed", number(r.Agreed)}}
	if r.Missed > 0 {
		rows = append(rows, []string{"missed", number(r.Missed) + " (came too fast, or could not be stored)"})
	}
	for _, g := range r.WouldGrant {
		rows = append(rows, []string{"would grant", g.Amount + " " + g.Currency + " in " + number(g.Rewards) + " rewards"})
	}
	table(w, rows)
	switch {
	case r.Requests == 0:
		p("\nNothing came. A report needs `mode: shadow` on the source, and the network's requests.")
	case r.Compared == 0:
		p("\nNothing was compared: give the source a shadow_url, the URL of today's receiver.")
	case len(r.Differences) == 0:
		p("\nNo difference was seen.")
	}
	for _, d := range r.Differences {
		p("\n%s: %d", plain(string(d.Kind)), d.Count)
		p("  %s", plain(d.What))
		p("  %s", plain(d.Costs))
		for _, x := range d.Examples {
			p("  %s  %s", clock(x.At), plain(orDash(x.ID)))
			p("    carom: %s", plain(x.Judged))
			p("    today: %s", plain(clip(x.Answered, 160)))
		}
	}
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
