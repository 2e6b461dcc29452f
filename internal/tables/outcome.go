package tables

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"carom"
)

// ViewOutcome says what has become of an opened view.
func (t *Tables) ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error) {
	out, err := t.confirmed(ctx, v)
	if err == nil && out.State == "" {
		out, err = t.unconfirmed(ctx, v)
	}
	if err == nil && out.State == carom.ViewConfirmed && out.Reward.User == "" { // it came in between, and its event tells only the id
		out, err = t.confirmed(ctx, v)
	}
	if err != nil {
		return carom.ViewOutcome{}, fmt.Errorf("view %s: %w", v.ID, err)
	}
	return out, nil
}

// confirmed is the outcome of a view that has a reward, and the zero one of any other.
func (t *Tables) confirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	rewards, err := t.o.Archive.RewardsOfView(ctx, v.Sum())
	for _, r := range rewards { // the oldest first
		if r.Reward.View == v.ID && (out.Reward == nil || !r.Additional) {
			out.State, out.Reward = carom.ViewConfirmed, &r.Reward
			if !r.Additional {
				break
			}
		}
	}
	return out, err
}

// unconfirmed is the outcome of a view as its events tell it.
func (t *Tables) unconfirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	searches := []carom.EventFilter{{YMID: v.YMID}}
	if v.ByUser { // some networks send the user as the ymid
		searches = append(searches, carom.EventFilter{User: v.User}, carom.EventFilter{YMID: v.User})
	}
	var events []*carom.Event
	for _, f := range searches {
		f.App, f.Since, f.Limit = v.App, v.OpenedAt, 50
		list, err := t.o.Archive.Events(ctx, f)
		if err != nil {
			return out, err
		}
		events = append(events, list...)
	}
	slices.SortFunc(events, t.older) // twice is no harm
	for _, ev := range events {
		if ev.View == v.ID {
			out = out.After(ev)
		}
	}
	if out.State == "" || out.State == carom.ViewOpen {
		out.State = carom.ViewOpen
		if !t.o.Clock().Before(v.ExpiresAt) {
			out.State = carom.ViewExpired
		}
	}
	return out, nil
}

// older orders events by when they came, the oldest first. Where one process accepts all of them, ids tell that best.
func (t *Tables) older(x, y *carom.Event) int {
	if t.o.Alone {
		return cmp.Compare(x.ID, y.ID)
	}
	return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID))
}
