package main

import (
	"context"
	"io"
	"net/url"
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
		Long: `With the id of an event or a delivery: its whole story, from the received request to every attempt. With the id of a reward: it,
and its ledger lines; of a view: how it stands; of a refused postback: what came.
With --ymid or --user and a single match: its story. Else a list, newest first.`,
		Example: `  carom show
  carom show evt_0c5g21r0000010000000k
  carom show rwd_0c5g21r0000010000000k
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
		return c.showRefused(ctx, cl, id)
	case strings.HasPrefix(id, "rwd_"):
		st, err := call[api.RewardStory](ctx, cl, "GET", "/v1/rewards/"+url.PathEscape(id), nil)
		if err != nil {
			return err
		}
		return c.print(st, func(w io.Writer) { writeReward(w, &st) })
	case strings.HasPrefix(id, "vw_"):
		inc, opened, ref, err := carom.ViewID(id).Place()
		if err != nil {
			return usagef("%q is not a whole view id: it has 24 characters", id)
		}
		if opened != 0 {
			return c.showView(ctx, cl, id)
		}
		id = string(carom.NewEventID(inc, ref)) // the one that made it
	case strings.HasPrefix(id, "dlv_"):
		inc, ref, _, err := carom.DeliveryID(id).Place()
		if err != nil {
			return usagef("%q is not a whole delivery id: it has 27 characters", id)
		}
		id = string(carom.NewEventID(inc, ref))
	case !strings.HasPrefix(id, "evt_"):
		return usagef("%q is not an id (evt_…, dlv_…, rcv_…, rwd_… or vw_…): to search, give --ymid, --user or --zone", id)
	}
	st, err := cl.story(ctx, carom.EventID(id))
	if err != nil {
		return err
	}
	return c.print(st, func(w io.Writer) { writeStory(w, &st) })
}

func (c *cli) showRefused(ctx context.Context, cl *client, id string) error {
	r, err := call[api.Refusal](ctx, cl, "GET", "/v1/received/"+url.PathEscape(id), nil)
	if err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) { writeRefusals(w, api.RefusalList{Received: []api.Refusal{r}}, "refused") })
}

// showView asks how an opened view stands.
func (c *cli) showView(ctx context.Context, cl *client, id string) error {
	v, err := call[api.View](ctx, cl, "GET", "/v1/views/"+url.PathEscape(id), nil)
	if err != nil {
		return err
	}
	return c.print(v, func(w io.Writer) {
		state := string(v.State)
		if v.Reason != "" {
			state += " (" + string(v.Reason) + ")"
		}
		if v.Unpaid {
			state += ", unpaid so far"
		}
		if v.Late {
			state += ", late"
		}
		rows := [][]string{{"View", string(v.ViewID)}, {"State", state}, {"Expires", clock(v.ExpiresAt) + " UTC"}}
		if r := v.Reward; r != nil {
			rows = append(rows, []string{"Reward", r.Amount + " " + r.Currency + " by rule " + r.Rule + ", " + string(r.State) + "  " + string(r.ID)})
		}
		table(w, rows)
	})
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
