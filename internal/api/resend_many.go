package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"carom"
)

// ResendFilter selects deliveries that have ended. An empty field lets all through, but for States and From.
type ResendFilter struct {
	App       string                `json:"app,omitempty" doc:"Needed unless the key is limited to one"`
	Endpoint  string                `json:"endpoint,omitempty" doc:"The endpoint's name"`
	States    []carom.DeliveryState `json:"states,omitempty" nullable:"false" enum:"dead,expired,delivered" doc:"How they ended; without it dead and expired"`
	EventType string                `json:"event_type,omitempty"`
	From      time.Time             `json:"from,omitzero" required:"false" doc:"When their events were accepted, RFC 3339. Without it: 24 hours before to"`
	To        time.Time             `json:"to,omitzero" required:"false" doc:"End, RFC 3339, not included. Without it: now"`
}

// Resend asks to send deliveries again under their ids.
type Resend struct {
	Filter ResendFilter  `json:"filter"`
	Before carom.EventID `json:"before,omitempty" doc:"The next of the answer before, to go on"`
	Why    string        `json:"why" minLength:"1" maxLength:"500" doc:"Kept in the server's log"`
}

// ResentMany says which deliveries are pending again, or with dry_run would be.
type ResentMany struct {
	DryRun  bool               `json:"dry_run"`
	Resent  []carom.DeliveryID `json:"resent" nullable:"false"`
	By      []ResentBy         `json:"by" nullable:"false" doc:"How many, by endpoint and by how they had ended"`
	Skipped []Skipped          `json:"skipped" nullable:"false"`
	Next    carom.EventID      `json:"next,omitempty" doc:"There is more: send the same request with this as before"`
}

// ResentBy is how many deliveries of one endpoint that ended in one way are sent again.
type ResentBy struct {
	Endpoint   string              `json:"endpoint" doc:"app/endpoint"`
	State      carom.DeliveryState `json:"state"`
	Deliveries int                 `json:"deliveries"`
}

func (r *ResentMany) add(d *carom.DeliveryStory) {
	r.Resent = append(r.Resent, d.ID)
	i := slices.IndexFunc(r.By, func(b ResentBy) bool { return b.Endpoint == d.Endpoint && b.State == d.State })
	if i < 0 {
		i, r.By = len(r.By), append(r.By, ResentBy{Endpoint: d.Endpoint, State: d.State})
	}
	r.By[i].Deliveries++
}

type resendManyIn struct {
	Preview
	Body Resend
}

type resentManyOut struct{ Body ResentMany }

func (s *service) resendMany(ctx context.Context, in *resendManyIn) (*resentManyOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	f := in.Body.Filter
	if err := s.completeResend(ctx, &f, in.Body.Before); err != nil {
		return nil, err
	}
	out := &resentManyOut{ResentMany{DryRun: in.DryRun, Resent: []carom.DeliveryID{}, By: []ResentBy{}, Skipped: []Skipped{}}}
	err = s.eachEnded(ctx, &f, in.Body.Before, &out.Body, func(d *carom.DeliveryStory) error {
		var refused *failure
		err := resendable(d)
		if err == nil && !in.DryRun {
			err = s.resend(ctx, d)
		}
		if errors.Is(err, carom.ErrConflict) && errors.As(err, &refused) {
			out.Body.Skipped = append(out.Body.Skipped, Skipped{ID: d.ID, Reason: refused.detail})
			return nil
		}
		if err == nil {
			out.Body.add(d)
		}
		return err
	})
	if !in.DryRun && len(out.Body.Resent) > 0 {
		s.audit(ctx, "resend", by, "app", f.App, "deliveries", len(out.Body.Resent))
	}
	if err != nil {
		return nil, partly(err, len(out.Body.Resent), "delivery")
	}
	return out, nil
}

// completeResend checks a filter and fills in what it leaves open.
func (s *service) completeResend(ctx context.Context, f *ResendFilter, before carom.EventID) (err error) {
	if f.App, err = callerOf(ctx).appOf(f.App, ""); err != nil {
		return err
	}
	if before != "" {
		if _, _, err := before.Place(); err != nil {
			return carom.Invalid("before", "this is not an event id: give the `next` of the answer before")
		}
	}
	if f.Endpoint != "" && !slices.ContainsFunc(s.Objects.Objects().Endpoints, func(e carom.Endpoint) bool { return e.App == f.App && e.Name == f.Endpoint }) {
		return carom.Invalid("filter.endpoint", "there is no endpoint %s/%s: GET /v1/endpoints lists them", f.App, f.Endpoint)
	}
	if len(f.States) == 0 {
		f.States = []carom.DeliveryState{carom.Dead, carom.Expired}
	}
	if f.To.IsZero() {
		f.To = s.now()
	}
	if f.From.IsZero() {
		f.From = f.To.Add(-24 * time.Hour)
	}
	return Span{From: f.From, To: f.To}.check()
}

// eachEnded calls do with the deliveries that f selects, by their events from new to old, until out holds as many as one
// request may resend or enough was looked at. It notes in out where to go on. carom's own events are of the app that they
// concern, so their deliveries are found as well.
func (s *service) eachEnded(ctx context.Context, f *ResendFilter, before carom.EventID, out *ResentMany, do func(*carom.DeliveryStory) error) error {
	looked := 0
	for range scanEvents / scanPage {
		page, err := s.Store.Events(ctx, carom.EventFilter{App: f.App, Since: f.From, Before: before, Limit: scanPage})
		if err != nil {
			return fmt.Errorf("find events: %w", err)
		}
		for _, ev := range page {
			before = ev.ID
			if !ev.At.Before(f.To) || ev.Held != "" || f.EventType != "" && string(ev.Type) != f.EventType {
				continue
			}
			st, err := s.Store.Story(ctx, ev.ID)
			if errors.Is(err, carom.ErrNotFound) {
				continue // retention was faster
			}
			if err != nil {
				return fmt.Errorf("get event %s: %w", ev.ID, err)
			}
			for i := range st.Deliveries {
				d := &st.Deliveries[i]
				if (f.Endpoint == "" || d.Endpoint == f.App+"/"+f.Endpoint) && slices.Contains(f.States, d.State) {
					if err := do(d); err != nil {
						return err
					}
				}
			}
			if looked++; looked >= scanStories || len(out.Resent) >= maxResends {
				out.Next = before
				return nil
			}
		}
		if len(page) < scanPage {
			return nil
		}
	}
	out.Next = before
	return nil
}
