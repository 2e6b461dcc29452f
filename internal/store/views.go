package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"carom"
)

// ViewOutcome says what has become of an opened view.
func (s *Store) ViewOutcome(ctx context.Context, v *carom.View) (carom.ViewOutcome, error) {
	out, err := s.confirmed(ctx, v)
	if err == nil && out.State == "" {
		out, err = s.unconfirmed(ctx, v)
	}
	if err == nil && out.State == carom.ViewConfirmed && out.Reward.User == "" { // it came in between, and its event tells only the id
		out, err = s.confirmed(ctx, v)
	}
	if err != nil {
		return carom.ViewOutcome{}, fmt.Errorf("view %s: %w", v.ID, err)
	}
	return out, nil
}

// confirmed is the outcome of a view that has a reward, and the zero one of any other.
func (s *Store) confirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	sum := v.Sum()
	numbers, err := s.findRewards(searchRewardView, string(sum[:]), math.MaxInt64, maxOfOneSum)
	if err != nil {
		return out, err
	}
	for _, no := range slices.Backward(numbers) { // the oldest first
		r, err := s.RewardByNumber(ctx, s.r, no)
		if err != nil {
			return out, err
		}
		if r.Reward.View == v.ID && (out.Reward == nil || !r.Additional) {
			out.State, out.Reward = carom.ViewConfirmed, &r.Reward
			if !r.Additional {
				break
			}
		}
	}
	return out, nil
}

// unconfirmed is the outcome of a view as its events tell it.
func (s *Store) unconfirmed(ctx context.Context, v *carom.View) (out carom.ViewOutcome, err error) {
	searches := []carom.EventFilter{{YMID: v.YMID}}
	if v.ByUser { // some networks send the user as the ymid
		searches = append(searches, carom.EventFilter{User: v.User}, carom.EventFilter{YMID: v.User})
	}
	var events []*carom.Event
	for _, f := range searches {
		f.App, f.Since, f.Limit = v.App, v.OpenedAt, 50
		list, err := s.Events(ctx, f)
		if err != nil {
			return out, err
		}
		events = append(events, list...)
	}
	slices.SortFunc(events, func(x, y *carom.Event) int { return cmp.Compare(x.ID, y.ID) }) // the oldest first; twice is no harm
	for _, ev := range events {
		if ev.View == v.ID {
			out = out.After(ev)
		}
	}
	if out.State == "" || out.State == carom.ViewOpen {
		out.State = carom.ViewOpen
		if !s.opts.Clock().Before(v.ExpiresAt) {
			out.State = carom.ViewExpired
		}
	}
	return out, nil
}
