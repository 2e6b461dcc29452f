package api

import (
	"context"
	"fmt"

	"carom"
)

// Refusal is a received postback that became no event: verified but unusable, or not verified at all.
type Refusal struct {
	ID       carom.ReceivedID `json:"id,omitempty" doc:"Absent for an unverified one"`
	App      string           `json:"app"`
	Source   string           `json:"source"`
	Network  string           `json:"network,omitempty"`
	Reason   carom.Reason     `json:"reason"`
	Detail   string           `json:"detail,omitempty" doc:"What is wrong, and the fix"`
	Received Received         `json:"received"`

	ReprocessedAs carom.EventID `json:"reprocessed_as,omitempty" doc:"Of one that was asked for by its id: the event that reprocessing made of it"`
}

// RefusalList is a page of refusals, newest first.
type RefusalList struct {
	Received []Refusal        `json:"received" nullable:"false"`
	Next     carom.ReceivedID `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one"`
}

type receivedIn struct {
	Selection
	Span
	Reason string `query:"reason" doc:"Only those with this reason, such as literal_macro"`
	Kind   string `query:"kind" enum:"refused,unverified" default:"refused" doc:"refused: verified but unusable, all kept. unverified: a bounded sample"`
	Before string `query:"before" doc:"The cursor: only refused ones older than this one"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

type receivedOut struct{ Body RefusalList }

func (s *service) listReceived(ctx context.Context, in *receivedIn) (*receivedOut, error) {
	app, source, err := in.resolve(callerOf(ctx))
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &receivedOut{RefusalList{Received: []Refusal{}}}
	if in.Kind == "unverified" {
		const sample = 1000 // the newest, in which a reason or a time is looked for
		list, err := s.Store.Unverified(ctx, app, source, sample)
		if err != nil {
			return nil, fmt.Errorf("list unverified postbacks: %w", err)
		}
		for _, u := range list {
			if len(out.Body.Received) == in.Limit {
				break
			}
			if in.Reason != "" && in.Reason != string(u.Reason) || !in.holds(u.Received.At) {
				continue
			}
			out.Body.Received = append(out.Body.Received, Refusal{
				App: u.App, Source: u.Source, Reason: u.Reason, Received: receivedOf(&u.Received),
			})
		}
		return out, nil
	}
	before := carom.ReceivedID(in.Before)
	if before != "" {
		if _, _, err := before.Place(); err != nil {
			return nil, carom.Invalid("before", "this is not the id of a refused postback: give the `next` of the page before")
		}
	}
	list, err := s.Store.Refused(ctx, carom.RefusedFilter{
		App: app, Source: source, Reason: carom.Reason(in.Reason), From: in.From, To: in.To, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list refused postbacks: %w", err)
	}
	for _, r := range list {
		out.Body.Received = append(out.Body.Received, refusalOf(r))
	}
	if len(list) > 0 && len(list) == in.Limit {
		out.Body.Next = list[len(list)-1].ID
	}
	return out, nil
}

func refusalOf(r *carom.Refused) Refusal {
	return Refusal{
		ID: r.ID, App: r.App, Source: r.Source, Network: r.Network, Reason: r.Reason, Detail: r.Detail, Received: receivedOf(&r.Received),
	}
}

type refusedIn struct {
	ID string `path:"received_id" example:"rcv_0c5g21r0000010000000k"`
}

type refusedOut struct{ Body Refusal }

// getRefused gets one refused postback. What reprocessing made of it is looked for among the newest events of its source.
func (s *service) getRefused(ctx context.Context, in *refusedIn) (*refusedOut, error) {
	r, err := s.refusal(ctx, carom.ReceivedID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &refusedOut{refusalOf(r)}
	const pages = 20
	out.Body.ReprocessedAs, err = s.madeOf(ctx, carom.EventFilter{App: r.App, Source: r.Source, Since: r.Received.At, Limit: scanPage}, string(r.ID), pages)
	return out, err
}

// refusal finds a refused postback that the caller may see.
func (s *service) refusal(ctx context.Context, id carom.ReceivedID) (*carom.Refused, error) {
	if _, _, err := id.Place(); err != nil {
		return nil, carom.Invalid("received_id", "%q is not the id of a refused postback: one begins with rcv_ and has 25 characters", string(id))
	}
	r, err := s.Store.RefusedByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if !callerOf(ctx).sees(r.App) {
		return nil, fmt.Errorf("refused postback %s: %w", id, carom.ErrNotFound)
	}
	return r, nil
}
