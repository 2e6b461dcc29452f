package api

import (
	"context"
	"fmt"
	"slices"

	"carom"
)

// VoidFilter selects the rewards of an app that are to be taken back. An empty field lets all through.
type VoidFilter struct {
	App    string `json:"app,omitempty" doc:"Needed unless the key is limited to one"`
	User   string `json:"user,omitempty"`
	Rule   string `json:"rule,omitempty" doc:"The rule's name; - for those granted by hand"`
	Source string `json:"source,omitempty" doc:"The source's name"`
	Span
}

// Void asks to take rewards back.
type Void struct {
	Filter *VoidFilter      `json:"filter,omitempty"`
	IDs    []carom.RewardID `json:"ids,omitempty" maxItems:"1000" nullable:"false" doc:"Instead of a filter"`
	Before carom.RewardID   `json:"before,omitempty" doc:"With a filter: the next of the answer before, to go on"`
	Why    string           `json:"why" minLength:"1" maxLength:"500" doc:"Kept in the ledger, and shown with each reward"`
}

// Voided says which rewards were taken back, or with dry_run would be.
type Voided struct {
	DryRun  bool             `json:"dry_run"`
	Rewards []carom.RewardID `json:"rewards" nullable:"false"`
	Sums    []Sum            `json:"sums" nullable:"false" doc:"reversed: was credited, and is debited. canceled: was held, and never is credited"`
	Skipped int              `json:"skipped" doc:"How many had been taken back before"`
	Next    carom.RewardID   `json:"next,omitempty" doc:"There is more: send the same request with this as before"`
}

type voidIn struct {
	Preview
	Body Void
}

type voidOut struct{ Body Voided }

func (s *service) voidRewards(ctx context.Context, in *voidIn) (*voidOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	out := &voidOut{Voided{DryRun: in.DryRun, Rewards: []carom.RewardID{}}}
	list, err := s.voidable(ctx, &in.Body, &out.Body)
	if err != nil {
		return nil, err
	}
	total := sums{}
	if in.DryRun {
		for _, r := range list {
			out.Body.Rewards = append(out.Body.Rewards, r.ID)
			state := carom.RewardReversed
			if r.State == carom.RewardHeld {
				state = carom.RewardCanceled
			}
			total.add(r, state)
		}
		out.Body.Sums = total.list()
		return out, nil
	}
	done, err := s.Door.Void(list, by)
	for i := range done {
		switch state := done[i].State; state {
		case carom.RewardReversed, carom.RewardCanceled:
			out.Body.Rewards = append(out.Body.Rewards, list[i].ID)
			total.add(list[i], state)
		default: // somebody else was faster
			out.Body.Skipped++
		}
	}
	if len(done) > 0 {
		s.audit(ctx, "void", by, "rewards", len(out.Body.Rewards))
	}
	if err != nil {
		return nil, partly(err, len(out.Body.Rewards), "reward")
	}
	out.Body.Sums = total.list()
	return out, nil
}

// voidable finds the rewards that a request is about and that can be taken back. It notes in out what it skips, and where to
// go on.
func (s *service) voidable(ctx context.Context, in *Void, out *Voided) ([]*carom.Reward, error) {
	if err := filterOrIDs(in.Filter != nil, len(in.IDs)); err != nil {
		return nil, err
	}
	var list []*carom.Reward
	take := func(r *carom.Reward) {
		if r.State == carom.RewardGranted || r.State == carom.RewardHeld {
			list = append(list, r)
		} else {
			out.Skipped++
		}
	}
	if in.Filter == nil {
		for _, id := range slices.Compact(slices.Sorted(slices.Values(in.IDs))) {
			r, _, err := s.reward(ctx, "ids", id)
			if err != nil {
				return nil, err
			}
			take(r)
		}
		return list, nil
	}
	app, err := callerOf(ctx).appOf(in.Filter.App, in.Filter.Source)
	if err != nil {
		return nil, err
	}
	if err := in.Filter.check(); err != nil {
		return nil, err
	}
	f := carom.RewardFilter{
		App: app, User: in.Filter.User, Rule: in.Filter.Rule, Source: in.Filter.Source, From: in.Filter.From, To: in.Filter.To,
		Before: in.Before, Limit: scanPage,
	}
	if f.Before != "" {
		if _, _, err := f.Before.Number(); err != nil {
			return nil, carom.Invalid("before", "this is not a reward id: give the `next` of the answer before")
		}
	}
	for range scanRewards / scanPage {
		page, err := s.Store.Rewards(ctx, f)
		if err != nil {
			return nil, fmt.Errorf("find rewards: %w", err)
		}
		for _, r := range page {
			take(r)
		}
		if len(page) < scanPage {
			return list, nil
		}
		f.Before = page[len(page)-1].ID
		if len(list) > maxVoids-scanPage {
			break
		}
	}
	out.Next = f.Before
	return list, nil
}
