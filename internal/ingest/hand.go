package ingest

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// What happens to rewards without a network's event is an event as well, of carom's own source: so it has a story, is
// delivered like others, and is written once. It is owed to endpoints that get rewards alone.

// forever is longer than any folder lives: what is done to a reward once is not done again.
const forever = 100 * 365 * 24 * time.Hour

// Holds is where held rewards are found.
type Holds interface {
	HeldDue(ctx context.Context, now time.Time, limit int) ([]*carom.Reward, error)
}

// holdsEvery is how often the door looks for holds that have ended, and holdsAtOnce how many it credits in one go.
const (
	holdsEvery  = time.Second
	holdsAtOnce = 256
)

// Run credits held rewards as their holds end, until ctx ends.
func (d *Door) Run(ctx context.Context, holds Holds) error {
	tick := time.NewTicker(holdsEvery)
	defer tick.Stop()
	for {
		if err := d.endHolds(ctx, holds); err != nil && ctx.Err() == nil {
			d.opts.Log.Warn("held rewards cannot be credited now, will try again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *Door) endHolds(ctx context.Context, holds Holds) error {
	for {
		now := d.opts.Clock().UTC()
		due, err := holds.HeldDue(ctx, now, holdsAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		subs := make([]*carom.Submission, len(due))
		for i, r := range due {
			subs[i] = d.about(r, carom.HoldEnded, "the hold has ended", now)
			subs[i].Change.Mature = r.ID
		}
		d.accept(d.catalog.Load(), subs...)
		for _, s := range subs {
			if s.Err != nil {
				return s.Err
			}
		}
		if len(due) < holdsAtOnce {
			return nil
		}
	}
}

// about makes carom's own event about a reward.
func (d *Door) about(r *carom.Reward, what carom.EventType, why string, now time.Time) *carom.Submission {
	c := d.catalog.Load()
	return &carom.Submission{
		Event: &carom.Event{
			App: r.App, Source: carom.SourceCarom, Network: "carom", Type: what, YMID: r.YMID, ZoneID: r.ZoneID, RequestVar: r.RequestVar,
			UserID: r.User, ExternalID: string(r.ID), View: r.View, Strength: carom.Secret,
			Fields: []carom.Field{{Name: "why", Value: why}}, Received: carom.Received{At: now},
		},
		Key:           carom.DedupeKey{Sum: carom.SumOf("carom", string(what), string(r.ID)), Window: forever},
		Change:        carom.RewardChange{Why: why},
		RewardTargets: c.rewardTargets,
	}
}

// Void takes rewards back: what is credited is debited, what is held is canceled. It returns what became of each, in their
// order; what had come to its end before stays as it is. An error says that those behind it were not taken back.
func (d *Door) Void(rewards []*carom.Reward, by carom.By) ([]carom.Decided, error) {
	now := d.opts.Clock().UTC()
	out := make([]carom.Decided, 0, len(rewards))
	for i := 0; i < len(rewards); i += holdsAtOnce {
		part := rewards[i:min(i+holdsAtOnce, len(rewards))]
		subs := make([]*carom.Submission, len(part))
		for i, r := range part {
			subs[i] = d.about(r, carom.Reversal, by.String(), now)
			subs[i].Change.Void = r.ID
		}
		d.accept(d.catalog.Load(), subs...)
		for i, s := range subs {
			if s.Err != nil {
				return out, fmt.Errorf("void reward %s: %w", part[i].ID, s.Err)
			}
			done := carom.Decided{Rule: part[i].Rule, State: part[i].State, Reward: part[i]}
			if len(s.Receipt.Decided) > 0 {
				done = s.Receipt.Decided[0]
			}
			out = append(out, done)
		}
	}
	return out, nil
}

// Grant credits an amount to a user by hand. Two calls with one key grant once: the second returns the id of the first's
// event and no reward.
func (d *Door) Grant(r carom.Reward, key string, by carom.By) (*carom.Reward, carom.EventID, error) {
	s := d.about(&r, carom.Completion, by.String(), d.opts.Clock().UTC())
	s.Event.ExternalID = key
	s.Key.Sum = carom.SumOf("carom", "grant", r.App, key)
	s.Transaction = s.Key.Sum // which the reward claims for ever, also when retention has dropped its event
	s.Change.Grant = &r
	d.accept(d.catalog.Load(), s)
	switch {
	case s.Err != nil:
		return nil, "", fmt.Errorf("grant: %w", s.Err)
	case s.Receipt.Duplicate:
		return nil, s.Receipt.ID, nil
	}
	made := s.Receipt.Decided[0]
	if made.State == carom.RewardDeclined {
		return nil, made.Reward.Event, nil
	}
	return made.Reward, s.Receipt.ID, nil
}
