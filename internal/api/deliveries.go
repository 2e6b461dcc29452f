package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
)

// DeliveryRow is a delivery in a list, with the last of its attempts.
type DeliveryRow struct {
	ID        carom.DeliveryID    `json:"id"`
	Event     carom.EventID       `json:"event"`
	Reward    carom.RewardID      `json:"reward,omitempty" doc:"The reward that it is about; absent when it is about the event"`
	Endpoint  string              `json:"endpoint" doc:"app/endpoint; #7 when the endpoint is deleted"`
	State     carom.DeliveryState `json:"state" enum:"pending,delivered,dead,expired"`
	Due       time.Time           `json:"due,omitzero" required:"false" doc:"When the next attempt is due"`
	At        time.Time           `json:"at" doc:"When its event was accepted"`
	App       string              `json:"app"`
	Source    string              `json:"source"`
	EventType string              `json:"event_type"`
	YMID      string              `json:"ymid"`
	User      string              `json:"user,omitempty" doc:"The telegram_id, or the user_id where there is none"`
	Attempts  int                 `json:"attempts" doc:"How many were made"`
	Last      *Attempt            `json:"last,omitempty" doc:"The last attempt; absent before the first"`
}

// DeliveryPage is a page of deliveries, newest event first.
type DeliveryPage struct {
	Deliveries []DeliveryRow `json:"deliveries" nullable:"false"`
	Next       carom.EventID `json:"next,omitempty" doc:"Give it as before to get the next page; absent on the last one. A page may be short, even empty, and have one: each looks at so many events"`
}

// DeliveryStory is one delivery with all of its attempts, and the event that it is about.
type DeliveryStory struct {
	Delivery Delivery `json:"delivery"`
	Event    Event    `json:"event"`
}

type findDeliveriesIn struct {
	App string `query:"app" doc:"Only those of this app"`
	EndpointSelector
	Span
	State  string `query:"state" enum:"pending,delivered,dead,expired"`
	Before string `query:"before" doc:"The cursor: only deliveries of events older than the one with this id"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

type findDeliveriesOut struct{ Body DeliveryPage }

// findDeliveries lists deliveries of all endpoints that the caller may see, or of one.
func (s *service) findDeliveries(ctx context.Context, in *findDeliveriesIn) (*findDeliveriesOut, error) {
	o := s.Objects.Objects()
	app, no, err := in.resolve(callerOf(ctx), &o, in.App)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	before, err := eventCursor(in.Before)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.Deliveries(ctx, no, carom.DeliveryState(in.State), carom.EventFilter{App: app, Since: in.From, To: in.To, Before: before, Limit: in.Limit})
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	out := &findDeliveriesOut{DeliveryPage{Deliveries: []DeliveryRow{}, Next: next}}
	for _, st := range list {
		for _, d := range storyOf(st).Deliveries {
			out.Body.Deliveries = append(out.Body.Deliveries, deliveryRow(st.Event, d))
		}
	}
	return out, nil
}

// deliveryRow is how a delivery of an event is listed.
func deliveryRow(ev *carom.Event, d Delivery) DeliveryRow {
	row := DeliveryRow{
		ID: d.ID, Event: ev.ID, Reward: d.Reward, Endpoint: d.Endpoint, State: d.State, Due: d.Due, At: ev.At.UTC(), App: ev.App, Source: ev.Source,
		EventType: string(ev.Type), YMID: ev.YMID, User: ev.User(false), Attempts: len(d.Attempts),
	}
	if n := len(d.Attempts); n > 0 {
		last := d.Attempts[n-1]
		last.Answer = cutText(last.Answer, maxShownAnswer)
		row.Last = &last
	}
	return row
}

type deliveryIn struct {
	ID string `path:"delivery_id" example:"dlv_0c5g21r0000010000000k00"`
}

type deliveryOut struct{ Body DeliveryStory }

// getDelivery gets one delivery, with every attempt.
func (s *service) getDelivery(ctx context.Context, in *deliveryIn) (*deliveryOut, error) {
	st, i, err := s.delivery(ctx, "delivery_id", carom.DeliveryID(in.ID))
	if err != nil {
		return nil, err
	}
	v := storyOf(st)
	return &deliveryOut{DeliveryStory{Delivery: v.Deliveries[i], Event: v.Event}}, nil
}

// delivery gets the story of the event of a delivery that the caller may see, and which of its deliveries it is. field is where its id
// was given.
func (s *service) delivery(ctx context.Context, field string, id carom.DeliveryID) (st *carom.Story, i int, err error) {
	life, ref, _, err := id.Place()
	if err != nil {
		return nil, 0, carom.Invalid(field, "this is not a delivery id: one begins with dlv_ and has 27 characters")
	}
	if st, err = s.story(ctx, carom.NewEventID(life, ref)); err != nil {
		return nil, 0, err
	}
	if i = slices.IndexFunc(st.Deliveries, func(d carom.DeliveryStory) bool { return d.ID == id }); i < 0 {
		return nil, 0, failf(carom.ErrNotFound, "there is no delivery %s: its event is owed to %s", id, plural(len(st.Deliveries), "endpoint"))
	}
	return st, i, nil
}
