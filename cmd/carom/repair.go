package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

// consent is what a person says to a change by hand.
type consent struct {
	why         string
	yes, dryRun bool
}

func (how *consent) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&how.why, "why", "", "the reason, which is kept with what is changed")
	cmd.Flags().BoolVar(&how.yes, "yes", false, "do not show a preview, and do not ask")
	cmd.Flags().BoolVar(&how.dryRun, "dry-run", false, "only show what would change")
}

// check returns an error without a reason.
func (how *consent) check() error {
	if strings.TrimSpace(how.why) == "" {
		return usagef("say why with --why: the reason is kept with what is changed")
	}
	return nil
}

// repair is a change by hand that the server makes page by page.
type repair[T any] struct {
	ask      func(ctx context.Context, dryRun bool, before string) (T, error)
	next     func(*T) string         // where the page behind this one begins; empty: there is none
	merge    func(total *T, page *T) // adds a page that is not the first
	count    func(*T) int            // how many things change; 0: nothing is to be done
	write    func(w io.Writer, v *T)
	question string
}

// run shows what would change, asks, and changes it.
func (r *repair[T]) run(ctx context.Context, c *cli, how *consent) error {
	if how.dryRun || !how.yes {
		preview, err := r.pages(ctx, c, true)
		if err != nil {
			return err
		}
		if how.dryRun || r.count(&preview) == 0 {
			return c.print(preview, func(w io.Writer) { r.write(w, &preview) })
		}
		r.write(c.errOut, &preview)
		if err := c.confirm(r.question); err != nil {
			return err
		}
	}
	done, err := r.pages(ctx, c, false)
	if err != nil {
		if r.count(&done) > 0 {
			r.write(c.errOut, &done)
		}
		return err
	}
	return c.print(done, func(w io.Writer) { r.write(w, &done) })
}

// pages asks for one page after the other and adds them up. With an error it returns what came before it.
func (r *repair[T]) pages(ctx context.Context, c *cli, dryRun bool) (total T, err error) {
	for before, first := "", true; first || before != ""; first = false {
		page, err := r.ask(ctx, dryRun, before)
		if err != nil {
			return total, err
		}
		if before = r.next(&page); first {
			total = page
		} else {
			r.merge(&total, &page)
		}
		if before != "" {
			_, _ = fmt.Fprintf(c.errOut, "carom: %d so far\n", r.count(&total))
		}
	}
	return total, nil
}

// dryPath adds the query that asks for a preview.
func dryPath(path string, dryRun bool) string {
	if dryRun {
		return path + "?dry_run=true"
	}
	return path
}

// span is the flags --from and --to.
type span struct{ from, to string }

func (s *span) flags(cmd *cobra.Command, of string) {
	cmd.Flags().StringVar(&s.from, "from", "", "only "+of+" from then on: RFC 3339, a day such as 2026-03-04 (UTC), or how long ago: 6h, 2d")
	cmd.Flags().StringVar(&s.to, "to", "", "only "+of+" before then, written likewise")
}

// read returns both ends. An absent one is zero.
func (s *span) read(now time.Time) (api.Span, error) {
	from, err := moment("--from", s.from, now)
	if err != nil {
		return api.Span{}, err
	}
	to, err := moment("--to", s.to, now)
	return api.Span{From: from, To: to}, err
}

func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	if ago, err := carom.ParseDuration(text); err == nil && ago >= 0 {
		return now.UTC().Add(-ago), nil
	}
	return time.Time{}, usagef("%s needs a moment such as 2026-03-04T12:00:00Z, a day such as 2026-03-04, or how long ago, such as 6h or 2d", flag)
}

// needApp returns an error when a change by filter names no app, or when there are ids and a filter. further are the other
// parts of the filter.
func needApp(ids []string, app string, further ...string) error {
	if app == "" && len(ids) == 0 {
		return usagef("name the app with --app, or give ids")
	}
	if app+strings.Join(further, "") != "" && len(ids) > 0 {
		return usagef("give ids, or --app with further filters, not both")
	}
	return nil
}

// mergeSums adds up two lists of sums.
func mergeSums(a, b []api.Sum) []api.Sum {
	for _, s := range b {
		found := false
		for i := range a {
			if t := &a[i]; t.App == s.App && t.Currency == s.Currency && t.State == s.State {
				t.Rewards, t.Amount, found = t.Rewards+s.Rewards, addDecimals(t.Amount, s.Amount), true
			}
		}
		if !found {
			a = append(a, s)
		}
	}
	return a
}

// addDecimals adds two decimals above zero that have nine decimals at most, as the server writes them.
func addDecimals(a, b string) string {
	wholeA, fracA := splitDecimal(a)
	wholeB, fracB := splitDecimal(b)
	const unit = 1_000_000_000
	frac := fracA + fracB
	return strconv.FormatInt(wholeA+wholeB+frac/unit, 10) + strings.TrimPrefix(carom.Nanos(frac%unit).String(), "0")
}

func splitDecimal(s string) (whole, frac int64) {
	text, rest, _ := strings.Cut(s, ".")
	whole, _ = strconv.ParseInt(text, 10, 64) // the server writes nothing else
	frac, _ = strconv.ParseInt((rest + "000000000")[:9], 10, 64)
	return whole, frac
}

// sumRows are sums as rows of a table.
func sumRows(sums []api.Sum) [][]string {
	words := map[carom.RewardState]string{
		carom.RewardGranted: "credited", carom.RewardHeld: "held", carom.RewardReversed: "debited again", carom.RewardCanceled: "was held, and is canceled",
	}
	var rows [][]string
	for _, s := range sums {
		rows = append(rows, []string{"  " + s.Amount + " " + s.Currency, fmt.Sprint(s.Rewards) + " " + rewardsWord(s.Rewards), words[s.State]})
	}
	return rows
}

func rewardsWord(n int) string {
	if n == 1 {
		return "reward"
	}
	return "rewards"
}

// would is how a sentence about a change begins.
func would(dryRun bool, preview, done string) string {
	if dryRun {
		return preview
	}
	return done
}

// sourcePath is where a source lies in /v1.
func sourcePath(source, verb string) (string, error) {
	path, err := objectPath("source", source)
	return "/v1/sources/" + path + verb, err
}

// inApp takes a name that may be written as app/name, and returns the app and the bare name.
func inApp(kind, app, name string) (string, string, error) {
	a, bare, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		return app, name, nil
	case app != "" && app != a:
		return "", "", usagef("the %s %q is not of the app %q: give one of the two", kind, name, app)
	}
	return a, bare, nil
}

// query writes the parameters that have a value.
func query(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
