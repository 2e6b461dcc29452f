package store

import (
	"context"
	"time"

	"carom"
	"carom/internal/tables"
)

// SetObjects is [tables.Tables.SetObjects]; it also remembers the windows of the sources.
func (s *Store) SetObjects(ctx context.Context, o carom.Objects, audit ...carom.AuditEntry) (carom.Objects, error) {
	o, err := s.Tables.SetObjects(ctx, o, audit...)
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
	_, ref, ordinal, err := id.Place()
	if err != nil {
		return 0, err
	}
	endpoint, attempts, err := s.Ended(ctx, id)
	if err != nil {
		return 0, err
	}
	now := s.opts.Clock().UnixMilli()
	return endpoint, s.control(ctx, func(w *writer) error {
		return s.st.putDue.exec(int64(endpoint), int64(ref.Uint64()), int64(ordinal), now, now, now, int64(attempts), int64(0), int64(0))
	})
}
