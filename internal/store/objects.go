package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/tables"
)

// SetObjects is [tables.Tables.SetObjects]; it also remembers the windows of the sources.
func (s *Store) SetObjects(ctx context.Context, o carom.Objects) (carom.Objects, error) {
	o, err := s.Tables.SetObjects(ctx, o)
	if err == nil {
		s.noteWindows(o.Sources)
	}
	return o, err
}

// noteWindows remembers the longest dedupe window, for which indexes outlive their buckets' rows.
func (s *Store) noteWindows(sources []carom.Source) {
	dedupe, repeat := tables.Windows(sources)
	s.windows.Store(int64(dedupe))
	s.repeats.Store(int64(repeat))
}

func (s *Store) longestWindow() time.Duration {
	return max(time.Duration(s.windows.Load()), carom.DefaultDedupeWindow)
}

// Resend makes a delivery that has ended pending again: due now, with its id, a fresh schedule and a fresh deadline. It
// returns carom.ErrNotFound when there is no such delivery, carom.ErrConflict when it has not ended.
func (s *Store) Resend(ctx context.Context, id carom.DeliveryID) (endpoint int, err error) {
	inc, ref, ordinal, err := id.Place()
	if err != nil {
		return 0, err
	}
	story, err := s.Story(ctx, carom.NewEventID(inc, ref))
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(story.Deliveries, func(d carom.DeliveryStory) bool { return d.ID == id })
	if i < 0 {
		return 0, fmt.Errorf("the event has no delivery %s: %w", id, carom.ErrNotFound)
	}
	d := story.Deliveries[i]
	if d.State == carom.Pending {
		return 0, fmt.Errorf("delivery %s is still pending: %w", id, carom.ErrConflict)
	}
	o, err := s.Objects(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range o.Endpoints {
		if e.ID() == d.Endpoint {
			endpoint = e.No
		}
	}
	if endpoint == 0 {
		return 0, fmt.Errorf("the endpoint of delivery %s is deleted: %w", id, carom.ErrConflict)
	}
	now := s.opts.Clock().UnixMilli()
	return endpoint, s.control(ctx, func(w *writer) error {
		return s.st.putDue.exec(int64(endpoint), int64(ref.Uint64()), int64(ordinal), now, now, now, int64(len(d.Attempts)), int64(0), int64(0))
	})
}
