package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) statsCommand() *cobra.Command {
	var s selector
	var by, since string
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count postbacks and deliveries",
		Example: `  carom stats
  carom stats --by source,event_type,outcome --since 1h
  carom stats --by day,app --since 30d -o json`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			back, err := carom.ParseDuration(since)
			if err != nil || back <= 0 {
				return usagef("--since needs a duration such as 90m, 24h or 30d")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			st, err := cl.stats(ctx, s, c.now().Add(-back), by)
			if err != nil {
				return err
			}
			return c.print(st, func(w io.Writer) { writeStats(w, &st, by) })
		}),
	}
	addSelector(cmd, &s)
	cmd.Flags().StringVar(&by, "by", "app,source,outcome",
		"what to count by: minute, hour, day, app, source, zone, request_var, event_type, value, outcome")
	cmd.Flags().StringVar(&since, "since", "24h", "how far back")
	return cmd
}

func writeStats(w io.Writer, st *api.Stats, by string) {
	_, _ = fmt.Fprintf(w, "Received from %s to %s UTC\n", clock(st.From), clock(st.To))
	dims := strings.Split(by, ",")
	writeCounts(w, st.Counts, dims)
	_, _ = fmt.Fprintln(w, "\nDeliveries")
	writeDeliveryCounts(w, st.Deliveries)
}

func writeCounts(w io.Writer, counts []carom.Count, dims []string) {
	if len(counts) == 0 {
		_, _ = fmt.Fprintln(w, "nothing")
		return
	}
	columns := []struct {
		name string
		of   func(*carom.Count) string
	}{
		{"time (UTC)", func(n *carom.Count) string { return minute(n.At) }},
		{"app", func(n *carom.Count) string { return n.App }},
		{"source", func(n *carom.Count) string { return n.Source }},
		{"zone", func(n *carom.Count) string { return n.Zone }},
		{"request_var", func(n *carom.Count) string { return n.RequestVar }},
		{"event_type", func(n *carom.Count) string { return n.EventType }},
		{"value", func(n *carom.Count) string { return n.Value }},
		{"outcome", func(n *carom.Count) string { return n.Outcome }},
		{"count", func(n *carom.Count) string { return strconv.FormatInt(n.N, 10) }},
		{"estimated price", func(n *carom.Count) string { return n.Price }},
	}
	rows := make([][]string, len(counts)+1)
	for _, col := range columns {
		used := asked(dims, col.name) || col.name == "count"
		for i := range counts {
			used = used || col.of(&counts[i]) != ""
		}
		if !used {
			continue
		}
		rows[0] = append(rows[0], strings.ToUpper(col.name))
		for i := range counts {
			rows[i+1] = append(rows[i+1], orDash(col.of(&counts[i])))
		}
	}
	table(w, rows)
}

func writeDeliveryCounts(w io.Writer, counts []carom.DeliveryCount) {
	if len(counts) == 0 {
		_, _ = fmt.Fprintln(w, "none ended")
		return
	}
	timed := !counts[0].At.IsZero()
	rows := [][]string{{"ENDPOINT", "OUTCOME", "COUNT"}}
	for _, n := range counts {
		rows = append(rows, []string{orDash(n.Endpoint), orDash(n.Outcome), strconv.FormatInt(n.N, 10)})
	}
	if timed {
		rows[0] = append([]string{"TIME (UTC)"}, rows[0]...)
		for i, n := range counts {
			rows[i+1] = append([]string{minute(n.At)}, rows[i+1]...)
		}
	}
	table(w, rows)
}

func asked(dims []string, name string) bool {
	for _, d := range dims {
		if strings.TrimSpace(d) == name {
			return true
		}
	}
	return false
}

func minute(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}
