package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"carom/internal/api"
	"carom/internal/reconcile"
)

// writeReport prints a report by day, app and source; CSV and JSON have the zones and reasons as well.
func writeReport(w io.Writer, r *reconcile.Report) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("From %s to %s, days of %s", r.From, r.To, plain(r.DayZone))
	if len(r.Rows) == 0 {
		p("Nothing came in.")
	}
	rows := [][]string{{"DAY", "SOURCE", "ZONE", "RECEIVED", "VERIFIED", "VALUED", "UNPAID", "COPIES", "HELD", "REFUSED", "UNVERIFIED", "GRANTED", "REVERSED", "REVENUE"}}
	for i := range r.Rows {
		d := &r.Rows[i]
		rows = append(rows, []string{
			d.Day, orDash(d.App) + "/" + orDash(d.Source), orDash(d.Zone), number(d.Received), number(d.Verified), number(d.Valued), number(d.NotValued),
			number(d.Duplicates), number(d.Held), number(d.Refused), number(d.Unverified), number(d.Granted), number(d.Reversed), d.Revenue,
		})
	}
	if len(rows) > 1 {
		table(w, rows)
	}
	if reasons := reasonsOf(r); len(reasons) > 0 {
		p("\nBy reason")
		table(w, reasons)
	}
	if len(r.Apps) > 0 {
		p("\nBy app")
		rows := [][]string{{"DAY", "APP", "OPENED", "DELIVERED", "DEAD", "EXPIRED"}}
		for _, a := range r.Apps {
			opened := "-"
			if a.Opened != nil {
				opened = number(*a.Opened)
			}
			rows = append(rows, []string{a.Day, orDash(a.App), opened, number(a.Delivered), number(a.Dead), number(a.Expired)})
		}
		table(w, rows)
	}
}

// reasonsOf adds up why postbacks were refused or proved nothing, and why rules declined.
func reasonsOf(r *reconcile.Report) [][]string {
	type key struct{ source, kind, reason string }
	sums := map[key]int64{}
	for i := range r.Rows {
		row := &r.Rows[i]
		for kind, by := range map[string]map[string]int64{"refused": row.RefusedBy, "unverified": row.UnverifiedBy, "declined": row.DeclinedBy} {
			for reason, n := range by {
				sums[key{row.App + "/" + row.Source, kind, reason}] += n
			}
		}
	}
	var rows [][]string
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
		return strings.Compare(a.source+"\x00"+a.kind+"\x00"+a.reason, b.source+"\x00"+b.kind+"\x00"+b.reason)
	}) {
		rows = append(rows, []string{k.source, k.kind, k.reason, number(sums[k])})
	}
	return rows
}

// writeComparison prints where two books differ, and why.
func writeComparison(w io.Writer, c *reconcile.Comparison, days bool) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("%s, %s, from %s to %s, days of %s", plain(c.Source), c.Measure, c.From, c.To, plain(c.DayZone))
	if c.Rate != "" {
		p("The network's amounts were multiplied by %s to be %s.", c.Rate, c.Currency)
	}
	writeBalance(w, &c.Total, c.Currency)
	for _, note := range c.Notes {
		p("\n%s", plain(note))
	}
	if c.Propose != "" {
		p("\nTry the time zone: carom reconcile --compare --source %s --day-zone %s", plain(c.Source), c.Propose)
	}
	if len(c.Zones) > 1 || len(c.Days) > 1 {
		p("\nBy day and zone")
		rows := [][]string{{"DAY", "ZONE", "THEIRS", "OURS", "DIFFERENCE", "%", "MONEY"}}
		for i := range c.Zones {
			z := &c.Zones[i]
			rows = append(rows, []string{z.Day, orDash(z.Zone), number(z.Theirs), number(z.Ours), sign(z.Difference), orDash(z.Percent), orDash(z.MoneyDifference)})
		}
		table(w, rows)
	}
	if days {
		for i := range c.Days {
			p("\n%s", c.Days[i].Day)
			writeBalance(w, &c.Days[i], c.Currency)
		}
	}
}

// writeBalance prints one difference with its explanations, and what to type for each.
func writeBalance(w io.Writer, b *reconcile.DayBalance, currency string) {
	rows := [][]string{
		{"theirs", number(b.Theirs), moneyText(b.TheirMoney, currencyOf(b, currency))}, {"ours", number(b.Ours), b.OurMoney},
		{"difference", sign(b.Difference), b.MoneyDifference},
	}
	if b.Percent != "" {
		rows[2] = append(rows[2], b.Percent+" % of theirs")
	}
	for i := range b.Explained {
		e := &b.Explained[i]
		money := e.Money
		if e.Estimated && (money != "" && money != "0" || e.Cause == reconcile.CauseOutage) {
			money = strings.TrimSpace(money + " (estimated)")
		}
		rows = append(rows, []string{"  " + string(e.Cause), sign(e.N), money, e.What})
	}
	rows = append(rows, []string{"unexplained", sign(b.Unexplained), b.UnexplainedMoney})
	table(w, rows)
	if len(b.Explained) > 0 {
		_, _ = fmt.Fprintln(w, "\nTo see them")
		var next [][]string
		for i := range b.Explained {
			e := &b.Explained[i]
			next = append(next, []string{"  " + strings.TrimSuffix(string(e.Cause)+" "+e.Reason, " "), e.Next})
		}
		table(w, next)
	}
}

func currencyOf(b *reconcile.DayBalance, currency string) string {
	if b.TheirMoney == "" {
		return ""
	}
	return currency
}

func writeStatement(w io.Writer, st *api.Statement) {
	rows := [][]string{
		{"statement", orDash(string(st.ID))}, {"source", st.Source}, {"file", orDash(st.File)}, {"imported", strings.TrimSpace(orDash(minute(st.At)) + orEmpty(" by ", st.By))},
		{"days", st.From + " to " + st.To + orEmpty(", ", st.DayZone)}, {"read with", st.Map}, {"currency", orDash(st.Currency)}, {"sha256", st.SHA256},
	}
	table(w, rows)
	for _, note := range st.Notes {
		_, _ = fmt.Fprintln(w, plain(note))
	}
	_, _ = fmt.Fprintln(w)
}

func writeStatementRows(w io.Writer, list []api.StatementRow) {
	text := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return number(*n)
	}
	rows := [][]string{{"DAY", "ZONE", "SUB-ZONE", "IMPRESSIONS", "CLICKS", "VALUED", "REVENUE"}}
	for i := range list {
		r := &list[i]
		rows = append(rows, []string{r.Day, orDash(r.Zone), orDash(r.SubZone), text(r.Impressions), text(r.Clicks), text(r.Valued), orDash(r.Revenue)})
	}
	table(w, rows)
}
