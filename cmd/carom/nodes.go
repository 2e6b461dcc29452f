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
	"carom/internal/config"
	"carom/internal/postgres"

	"github.com/spf13/cobra"
)

func (c *cli) nodesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the nodes that share the database",
		Long: `Lists the nodes that work on the database, and those that left within a day, newest first: since when, which version, what each has
accepted and sent since it joined, how many waiting deliveries are in its hands, how far its clock is off, and what it does for all. A
server with a data folder of its own is the only one.

A node that dies is silent for ten seconds at most; then the others take over what it had in its hands, and it has ended.`,
		Example: `  carom nodes
  carom nodes -o json
  carom nodes adopt --database postgres://carom@db.internal/carom --deployment ads.example.com`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			list, err := call[api.NodeList](ctx, cl, "GET", "/v1/nodes", nil)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeNodes(w, &list) })
		}),
	}
	cmd.AddCommand(c.nodesAdoptCommand())
	return cmd
}

func writeNodes(w io.Writer, list *api.NodeList) {
	rows := [][]string{{"NO", "NAME", "STATE", "VERSION", "JOINED (UTC)", "EVENTS", "ATTEMPTS", "IN HAND", "CLOCK", "DUTIES"}}
	for i := range list.Nodes {
		n := &list.Nodes[i]
		name := api.NodeName(n)
		if n.Self {
			name += " (answers)"
		}
		rows = append(rows, []string{
			strconv.Itoa(n.No), name, nodeState(n), orDash(n.Version), onTheMinute(n.Began), strconv.FormatInt(n.Events, 10), strconv.FormatInt(n.Attempts, 10),
			strconv.FormatInt(n.Claimed, 10), clockOf(n), orDash(strings.Join(n.Duties, ", ")),
		})
	}
	table(w, rows)
}

// nodeState says how a node stands, and since when if it is not alive.
func nodeState(n *carom.Node) string {
	switch n.State {
	case carom.NodeSilent:
		return "SILENT since " + n.Seen.UTC().Format(time.TimeOnly)
	case carom.NodeLeft:
		return "LEFT, not taken over"
	case carom.NodeEnded:
		return "ended " + onTheMinute(n.Ended)
	}
	return string(n.State)
}

// clockOf says how far the clock of a node that is there is off.
func clockOf(n *carom.Node) string {
	ahead := (time.Duration(n.ClockAheadMS) * time.Millisecond).Round(time.Second)
	switch {
	case n.State != carom.NodeAlive:
		return "-"
	case ahead == 0:
		return "ok"
	case ahead > 0:
		return "+" + ahead.String()
	}
	return ahead.String()
}

// adopted is what adopting a database has changed.
type adopted struct {
	Was        string `json:"was"`
	Deployment string `json:"deployment"`
}

func (c *cli) nodesAdoptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adopt --database URL --deployment NAME",
		Short: "Make a database that of another deployment, such as a copy of one",
		Long: `A database belongs to the deployment that used it first, and refuses the nodes of another, so that two never work on one by mistake.
After it was copied or the deployment was renamed on purpose, this makes it that of the settings: the name that serve would use with the
same flags, environment and settings file. It works on the database directly, without a server, and not while nodes work on it.`,
		Example: `  carom nodes adopt --database postgres://carom@db.internal/carom --deployment ads.example.com
  carom nodes adopt --settings /etc/carom/settings.yaml`,
		Args: cobra.NoArgs,
	}
	config.Flags(cmd.Flags())
	cmd.RunE = run(func(ctx context.Context, _ []string) error {
		cfg, err := config.Load(cmd.Flags(), c.environ)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		if cfg.Database == "" {
			return usagef("no database is named: give --database, CAROM_DATABASE, or --settings with the file that serve reads")
		}
		was, is, err := postgres.Adopt(ctx, cfg.Database, cfg.DeploymentName())
		if err != nil {
			return err
		}
		return c.print(adopted{was, is}, func(w io.Writer) { writeAdopted(w, was, is) })
	})
	return cmd
}

func writeAdopted(w io.Writer, was, is string) {
	if was == is {
		_, _ = fmt.Fprintf(w, "The database belongs to the deployment %q, as before. Nothing was changed.\n", is)
		return
	}
	_, _ = fmt.Fprintf(w, "The database belonged to the deployment %q, and belongs to %q from now on: nodes of that one may start.\n", was, is)
}
