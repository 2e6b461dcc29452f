package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"carom"
	"carom/internal/api"

	"github.com/spf13/cobra"
)

func (c *cli) showCommand() *cobra.Command {
	var s selector
	var refused, unverified bool
	cmd := &cobra.Command{
		Use:   "show [ID]",
		Short: "Show the whole story of an event, or list the newest",
		Long: `With the id of an event or a delivery: its whole story, from the received request to every attempt.
With --ymid or --user and a single match: its story. Else a list, newest first.`,
		Example: `  carom show
  carom show evt_0c5g21r0000010000000k
  carom show --ymid user123
  carom show --app shop --source monetag -n 5
  carom show --refused
  carom show --unverified --app shop --source monetag`,
		Args: cobra.MaximumNArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			if refused && unverified {
				return usagef("give --refused or --unverified, not both")
			}
			if (refused || unverified) && (s.ymid != "" || s.user != "" || s.zone != "" || len(args) > 0) {
				return usagef("--refused and --unverified go with --app, --source and -n: what was refused has no ymid, user or zone to search by")
			}
			cl, err := c.client()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 1:
				return c.showID(ctx, cl, args[0])
			case refused:
				return c.showReceived(ctx, cl, s, "refused")
			case unverified:
				return c.showReceived(ctx, cl, s, "unverified")
			}
			return c.showEvents(ctx, cl, s)
		}),
	}
	addSelector(cmd, &s)
	cmd.Flags().StringVar(&s.ymid, "ymid", "", "only events with this ymid")
	cmd.Flags().StringVar(&s.user, "user", "", "only events of this telegram_id, or user_id where there is none")
	cmd.Flags().StringVar(&s.zone, "zone", "", "only events of this zone_id")
	cmd.Flags().IntVarP(&s.limit, "number", "n", 20, "how many at most (1000)")
	cmd.Flags().BoolVar(&refused, "refused", false, "postbacks that had the right secret and cannot be used")
	cmd.Flags().BoolVar(&unverified, "unverified", false, "a sample of postbacks that proved nothing")
	return cmd
}

// addSelector gives a command the flags --app and --source.
func addSelector(cmd *cobra.Command, s *selector) {
	cmd.Flags().StringVar(&s.app, "app", "", "only this app")
	cmd.Flags().StringVar(&s.source, "source", "", "only this source: its name with --app, or APP/SOURCE")
}

func (c *cli) showID(ctx context.Context, cl *client, id string) error {
	switch {
	case strings.HasPrefix(id, "rcv_"):
		return c.showRefused(ctx, cl, carom.ReceivedID(id))
	case strings.HasPrefix(id, "dlv_"):
		inc, ref, _, err := carom.DeliveryID(id).Place()
		if err != nil {
			return usagef("%q is not a whole delivery id: it has 27 characters", id)
		}
		id = string(carom.NewEventID(inc, ref))
	case !strings.HasPrefix(id, "evt_"):
		return usagef("%q is not an id (evt_…, dlv_… or rcv_…): to search, give --ymid, --user or --zone", id)
	}
	st, err := cl.story(ctx, carom.EventID(id))
	if err != nil {
		return err
	}
	return c.print(st, func(w io.Writer) { writeStory(w, &st) })
}

// showRefused finds one refused postback by its id, from the newest backwards.
func (c *cli) showRefused(ctx context.Context, cl *client, id carom.ReceivedID) error {
	s := selector{limit: 1000}
	for {
		list, err := cl.received(ctx, s)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list.Received, func(r api.Refusal) bool { return r.ID == id })
		if i >= 0 {
			one := api.RefusalList{Received: list.Received[i : i+1]}
			return c.print(one.Received[0], func(w io.Writer) { writeRefusals(w, one, "refused") })
		}
		if list.Next == "" || list.Next < id {
			return fmt.Errorf("there is no refused postback %s, or it is older than what is kept", id)
		}
		s.before = string(list.Next)
	}
}

func (c *cli) showReceived(ctx context.Context, cl *client, s selector, kind string) error {
	s.kind = kind
	list, err := cl.received(ctx, s)
	if err != nil {
		return err
	}
	return c.print(list, func(w io.Writer) { writeRefusals(w, list, kind) })
}

func (c *cli) showEvents(ctx context.Context, cl *client, s selector) error {
	list, err := cl.events(ctx, s)
	if err != nil {
		return err
	}
	if len(list.Events) == 1 && (s.ymid != "" || s.user != "") {
		return c.showID(ctx, cl, string(list.Events[0].ID))
	}
	return c.print(list, func(w io.Writer) { writeEvents(w, list) })
}
