package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"carom"
)

// Resent says which deliveries are pending again.
type Resent struct {
	Resent  []carom.DeliveryID `json:"resent" nullable:"false"`
	Skipped []Skipped          `json:"skipped" nullable:"false"`
}

// Skipped is a delivery that was not resent, and why.
type Skipped struct {
	ID     carom.DeliveryID `json:"id"`
	Reason string           `json:"reason"`
}

type resendIn struct {
	ID string `path:"delivery_id" example:"dlv_0c5g21r0000010000000k00"`
}

type resentOut struct{ Body Resent }

func (s *service) resendDelivery(ctx context.Context, in *resendIn) (*resentOut, error) {
	id := carom.DeliveryID(in.ID)
	st, i, err := s.delivery(ctx, "delivery_id", id)
	if err != nil {
		return nil, err
	}
	if err := s.resend(ctx, &st.Deliveries[i]); err != nil {
		return nil, err
	}
	return &resentOut{Resent{Resent: []carom.DeliveryID{id}, Skipped: []Skipped{}}}, nil
}

func (s *service) resendEvent(ctx context.Context, in *eventIn) (*resentOut, error) {
	st, err := s.story(ctx, carom.EventID(in.ID))
	if err != nil {
		return nil, err
	}
	if len(st.Deliveries) == 0 {
		return nil, failf(carom.ErrConflict, "the event %s is owed to no endpoint, so there is nothing to resend", in.ID)
	}
	out := &resentOut{Resent{Resent: []carom.DeliveryID{}, Skipped: []Skipped{}}}
	for _, d := range st.Deliveries {
		err := s.resend(ctx, &d)
		var f *failure
		switch {
		case err == nil:
			out.Body.Resent = append(out.Body.Resent, d.ID)
		case errors.Is(err, carom.ErrConflict) && errors.As(err, &f):
			out.Body.Skipped = append(out.Body.Skipped, Skipped{ID: d.ID, Reason: f.detail})
		default:
			return nil, err
		}
	}
	return out, nil
}

// resendable says why a delivery cannot be sent again, or returns nil.
func resendable(d *carom.DeliveryStory) error {
	switch {
	case strings.HasPrefix(d.Endpoint, "#"):
		return failf(carom.ErrConflict, "the endpoint %s of the delivery %s no longer exists", d.Endpoint, d.ID)
	case d.State == carom.Pending:
		return failf(carom.ErrConflict, "the delivery %s is pending: it is on its way already; `carom resume %s` tries it at once", d.ID, d.Endpoint)
	}
	return nil
}

// resend makes one ended delivery pending again and wakes its lane.
func (s *service) resend(ctx context.Context, d *carom.DeliveryStory) error {
	if err := resendable(d); err != nil {
		return err
	}
	err := s.Store.Resend(ctx, d.ID)
	if errors.Is(err, carom.ErrConflict) {
		return failf(carom.ErrConflict, "the delivery %s is pending again already, or its endpoint was just deleted", d.ID)
	}
	if err != nil {
		return fmt.Errorf("resend %s: %w", d.ID, err)
	}
	for _, e := range s.Objects.Objects().Endpoints {
		if e.ID() == d.Endpoint {
			s.Lanes.Wake(e.No)
		}
	}
	return nil
}
