package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) alertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "List the alerts that are open and the newest that ended",
		Long: `Lists what people were told of by mail, Telegram or a Slack-compatible URL, and how these channels stand. The exit code is 1 while
an alert is open or a channel fails.`,
		Example: `  carom alerts
  carom alerts test`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.AlertList](ctx, cl, "GET", "/v1/alerts", nil)
			if err != nil {
				return err
			}
			if err := c.print(list, func(w io.Writer) { writeAlerts(w, &list) }); err != nil {
				return err
			}
			bad := len(list.Open) > 0
			for _, ch := range list.Channels {
				bad = bad || !ch.FailingSince.IsZero()
			}
			if bad {
				return &exitError{code: exitProblem}
			}
			return nil
		}),
	}
	cmd.AddCommand(c.alertsTestCommand())
	return cmd
}

func (c *cli) alertsTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test through every channel, and say what each answered",
		Long:  "Sends a test alert by every channel that is configured. The exit code is 1 when one of them fails.",
		Args:  cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			made, err := call[api.AlertTests](ctx, cl, "POST", "/v1/alerts/test", nil)
			if err != nil {
				return err
			}
			if err := c.print(made, func(w io.Writer) { writeAlertTests(w, made) }); err != nil {
				return err
			}
			for _, t := range made.Tests {
				if !t.OK {
					return &exitError{code: exitProblem}
				}
			}
			return nil
		}),
	}
}

func writeAlerts(w io.Writer, list *api.AlertList) {
	if len(list.Channels) == 0 {
		_, _ = fmt.Fprintln(w, "Nobody is told of alerts: no channel is configured. docs/alerts.md says how.")
	}
	for _, ch := range list.Channels {
		switch {
		case !ch.FailingSince.IsZero():
			_, _ = fmt.Fprintf(w, "%s fails since %s UTC, %d waiting: %s\n", ch.Name, onTheMinute(ch.FailingSince), ch.Waiting, plain(ch.Reason))
		case ch.LastSent.IsZero():
			_, _ = fmt.Fprintf(w, "%s: nothing was sent since the start\n", ch.Name)
		default:
			_, _ = fmt.Fprintf(w, "%s: last sent %s UTC\n", ch.Name, onTheMinute(ch.LastSent))
		}
	}
	if len(list.Open) == 0 {
		_, _ = fmt.Fprintln(w, "\nNo alert is open.")
	}
	for i := range list.Open {
		a := &list.Open[i]
		_, _ = fmt.Fprintf(w, "\n%s: %s (%s)\n", severity(a.Severity), plain(a.Subject), a.Kind)
		rows := [][]string{{"  what", a.What}}
		if a.HowMuch != "" {
			rows = append(rows, []string{"  how much", a.HowMuch})
		}
		table(w, append(rows, []string{"  opened", onTheMinute(a.Opened) + " UTC"}, []string{"  fault", fault(a.Fault)}, []string{"  next", a.Next}, []string{"  more", a.Runbook}))
	}
	if len(list.Ended) == 0 {
		return
	}
	rows := [][]string{{"ENDED (UTC)", "OPENED", "SUBJECT", "KIND"}}
	for _, a := range list.Ended[:min(len(list.Ended), maxFine)] {
		rows = append(rows, []string{onTheMinute(a.Ended), onTheMinute(a.Opened), a.Subject, string(a.Kind)})
	}
	_, _ = fmt.Fprintln(w)
	table(w, rows)
}

func writeAlertTests(w io.Writer, made api.AlertTests) {
	rows := [][]string{}
	for _, t := range made.Tests {
		result := "sent"
		if !t.OK {
			result = "FAILED"
		}
		rows = append(rows, []string{t.Channel, result, t.Answer, "in " + time.Duration(t.TookMS*float64(time.Millisecond)).Round(time.Millisecond).String()})
	}
	table(w, rows)
}
