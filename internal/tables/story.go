package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carom"
)

// Event returns an event. Its errors are those of [Tables.Story].
func (t *Tables) Event(ctx context.Context, id carom.EventID) (*carom.Event, error) {
	ev, _, err := t.o.Archive.StoredEvent(ctx, id)
	return ev, err
}

// Story returns everything that is known about an event. It returns carom.ErrNotFound when it is not there, carom.ErrInvalid
// when id is not an event id.
func (t *Tables) Story(ctx context.Context, id carom.EventID) (*carom.Story, error) {
	ev, endpoints, err := t.o.Archive.StoredEvent(ctx, id)
	if err != nil {
		return nil, err
	}
	names, err := t.EndpointNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range ev.Decided {
		if d.Reward == nil {
			continue
		}
		if r, _, err := t.Reward(ctx, d.Reward.ID); err == nil {
			*d.Reward = *r
		} else if !errors.Is(err, carom.ErrNotFound) {
			return nil, fmt.Errorf("event %s: %w", id, err)
		}
	}
	targets, err := ParseTargets(endpoints)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	story := &carom.Story{Event: ev}
	for ordinal, target := range targets {
		if target.Endpoint < 0 {
			continue
		}
		d, err := t.deliveryStory(ctx, ev, ordinal, target)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", id, err)
		}
		d.Endpoint = NameOf(names, target.Endpoint)
		story.Deliveries = append(story.Deliveries, d)
	}
	return story, nil
}

// NameOf is how the endpoint of a number is shown.
func NameOf(names map[int]string, endpoint int) string {
	if name := names[endpoint]; name != "" {
		return name
	}
	return "#" + strconv.Itoa(endpoint)
}

// EndpointNumbers are the numbers of the endpoint of a number or, with 0, of all endpoints of an app, or of all apps.
func EndpointNumbers(names map[int]string, app string, endpoint int) []int {
	if endpoint != 0 {
		return []int{endpoint}
	}
	var out []int
	for no, name := range names {
		if app == "" || strings.HasPrefix(name, app+"/") {
			out = append(out, no)
		}
	}
	return out
}

// deliveryStory is all of a delivery but its endpoint's name.
func (t *Tables) deliveryStory(ctx context.Context, ev *carom.Event, ordinal int, target Target) (carom.DeliveryStory, error) {
	d := carom.DeliveryStory{ID: ev.ID.Delivery(ordinal), State: carom.Pending}
	var err error
	if d.Attempts, d.Due, err = t.o.Archive.Attempts(ctx, d.ID, target.Endpoint); err != nil {
		return d, err
	}
	if n := len(d.Attempts); n > 0 && d.Due.IsZero() { // one that was asked for again waits, whatever it came to before
		d.State = d.Attempts[n-1].State
	}
	if target.Reward != 0 {
		if r, err := t.RewardByNumber(ctx, t.o.Read, target.Reward); err == nil {
			d.Reward = r.ID
		}
	}
	return d, nil
}

// StoryFor returns an event with those of its deliveries to one endpoint, by its number, or to any with 0, that are in a state; an
// empty one lets all through. names are those of all endpoints. read is how many deliveries had to be looked at. Its errors are those
// of [Tables.Story].
func (t *Tables) StoryFor(ctx context.Context, id carom.EventID, endpoint int, names map[int]string, state carom.DeliveryState) (story *carom.Story, read int, err error) {
	ev, endpoints, err := t.o.Archive.StoredEvent(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	targets, err := ParseTargets(endpoints)
	if err != nil {
		return nil, 0, fmt.Errorf("event %s: %w", id, err)
	}
	story = &carom.Story{Event: ev}
	for ordinal, target := range targets {
		if target.Endpoint < 0 || endpoint != 0 && target.Endpoint != endpoint {
			continue
		}
		read++
		d, err := t.deliveryStory(ctx, ev, ordinal, target)
		if err != nil {
			return nil, read, fmt.Errorf("event %s: %w", id, err)
		}
		if d.Endpoint = NameOf(names, target.Endpoint); state == "" || d.State == state {
			story.Deliveries = append(story.Deliveries, d)
		}
	}
	return story, read, nil
}

// Ended says what a store has to know to make a delivery that has ended pending again: its endpoint, and how many attempts were
// made. It returns carom.ErrNotFound when there is no such delivery, carom.ErrConflict when it has not ended or its endpoint is
// deleted.
func (t *Tables) Ended(ctx context.Context, id carom.DeliveryID) (endpoint, attempts int, err error) {
	life, ref, _, err := id.Place()
	if err != nil {
		return 0, 0, err
	}
	story, err := t.Story(ctx, carom.NewEventID(life, ref))
	if err != nil {
		return 0, 0, err
	}
	i := slices.IndexFunc(story.Deliveries, func(d carom.DeliveryStory) bool { return d.ID == id })
	if i < 0 {
		return 0, 0, fmt.Errorf("the event has no delivery %s: %w", id, carom.ErrNotFound)
	}
	d := story.Deliveries[i]
	if d.State == carom.Pending {
		return 0, 0, fmt.Errorf("delivery %s is still pending: %w", id, carom.ErrConflict)
	}
	o, err := t.Objects(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, e := range o.Endpoints {
		if e.ID() == d.Endpoint {
			return e.No, len(d.Attempts), nil
		}
	}
	return 0, 0, fmt.Errorf("the endpoint of delivery %s is deleted: %w", id, carom.ErrConflict)
}
