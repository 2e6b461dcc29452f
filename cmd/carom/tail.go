package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) tailCommand() *cobra.Command {
	var s selector
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow events as they are accepted",
		Long:  "Prints one line for each event from now on, until it is interrupted. With -o json, one JSON object a line.",
		Example: `  carom tail
  carom tail --app shop -o json`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			return cl.tail(ctx, s, c.showTailed, func() {
				_, _ = fmt.Fprintln(c.errOut, "carom: events come faster than they can be shown: some are left out")
			})
		}),
	}
	addSelector(cmd, &s)
	return cmd
}

func (c *cli) showTailed(e api.Event) error {
	if c.output == "json" {
		return json.NewEncoder(c.out).Encode(e)
	}
	row := eventRow(&e)
	for i := range row {
		row[i] = plain(row[i])
	}
	_, err := fmt.Fprintln(c.out, strings.Join(row, "  "))
	return err
}
