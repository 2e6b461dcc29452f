package api

import (
	"context"
	"fmt"
	"time"

	"carom"
)

// ViewRow is an opened view with what has become of it.
type ViewRow struct {
	ViewID    carom.ViewID        `json:"view_id"`
	App       string              `json:"app"`
	User      string              `json:"user"`
	YMID      string              `json:"ymid"`
	Placement string              `json:"placement,omitempty" doc:"The spot that the backend fixed"`
	Sources   []string            `json:"sources" nullable:"false" doc:"Names of the sources that may confirm it; empty: any of the app"`
	OpenedAt  time.Time           `json:"opened_at"`
	ExpiresAt time.Time           `json:"expires_at"`
	State     carom.ViewState     `json:"state" enum:"open,confirmed,declined,expired"`
	Unpaid    bool                `json:"unpaid" doc:"An event came that the network does not pay for, and none that it pays for"`
	Reward    *Reward             `json:"reward,omitempty" doc:"When confirmed"`
	Reason    carom.DeclineReason `json:"reason,omitempty" doc:"When declined"`
	Words     string              `json:"words" doc:"How it stands, in words"`
}

// ViewList is a page of opened views, newest first.
type ViewList struct {
	Views []ViewRow    `json:"views" nullable:"false"`
	Next  carom.ViewID `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one. A page may be short, even empty, and have one: each looks at so many views"`
}

type viewsIn struct {
	App string `query:"app" doc:"Only those of this app"`
	Span
	User   string `query:"user" doc:"To whom their rewards are credited"`
	YMID   string `query:"ymid"`
	State  string `query:"state" enum:"open,confirmed,declined,expired"`
	Before string `query:"before" doc:"The cursor: only views opened before the one with this id"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
}

type viewsOut struct{ Body ViewList }

// listViews lists opened views. Of how many it looks up what has become of them is bounded: with a state, a page may be short.
func (s *service) listViews(ctx context.Context, in *viewsIn) (*viewsOut, error) {
	app, err := callerOf(ctx).narrow(in.App)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	before := carom.ViewID(in.Before)
	if before != "" {
		if _, opened, _, err := before.Place(); err != nil || opened == 0 {
			return nil, carom.Invalid("before", "this is not the id of an opened view: give the `next` of the page before")
		}
	}
	const most = 50 // outcomes that are looked up, at about 2 ms each
	f := carom.ViewFilter{App: app, User: in.User, YMID: in.YMID, From: in.From, To: in.To, Before: before, Limit: in.Limit}
	if in.State != "" {
		f.Limit = most
	}
	list, next, err := s.Store.Views(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("list views: %w", err)
	}
	out := &viewsOut{ViewList{Views: []ViewRow{}, Next: next}}
	for _, v := range list {
		row, err := s.viewRow(ctx, v)
		if err != nil {
			return nil, err
		}
		if in.State != "" && string(row.State) != in.State {
			continue
		}
		if out.Body.Views = append(out.Body.Views, row); len(out.Body.Views) == in.Limit {
			if v != list[len(list)-1] || next != "" {
				out.Body.Next = v.ID
			}
			break
		}
	}
	return out, nil
}

// viewRow says what has become of a view.
func (s *service) viewRow(ctx context.Context, v *carom.View) (ViewRow, error) {
	o, err := s.Store.ViewOutcome(ctx, v)
	if err != nil {
		return ViewRow{}, fmt.Errorf("list views: %w", err)
	}
	row := ViewRow{
		ViewID: v.ID, App: v.App, User: v.User, YMID: v.YMID, Placement: v.Placement, Sources: append([]string{}, v.Sources...),
		OpenedAt: v.OpenedAt.UTC(), ExpiresAt: v.ExpiresAt.UTC(), State: o.State, Unpaid: o.Unpaid, Reason: o.Reason, Words: viewWords(&o),
	}
	if o.Reward != nil {
		r := rewardOf(o.Reward)
		row.Reward = &r
	}
	return row, nil
}

// viewWords says how a view stands.
func viewWords(o *carom.ViewOutcome) string {
	switch {
	case o.State == carom.ViewConfirmed && o.Reward != nil:
		return fmt.Sprintf("confirmed: %s %s by rule %s, %s", o.Reward.Amount, o.Reward.Currency, o.Reward.Rule, o.Reward.State)
	case o.State == carom.ViewDeclined:
		return "declined: " + explained(o.Reason)
	case o.Unpaid && o.State == carom.ViewExpired:
		return "expired: an event came that the network does not pay for, and none that it pays for"
	case o.Unpaid:
		return "open: an event came that the network does not pay for; one that it pays for may follow"
	case o.State == carom.ViewExpired:
		return "expired: nothing that earns came in time; it still counts if it comes"
	}
	return "open: nothing that earns has come yet"
}
