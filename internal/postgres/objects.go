package postgres

import (
	"context"
	"fmt"

	"carom"
)

// Resend makes a delivery that has ended pending again: due now, with its id, a fresh schedule and a fresh deadline. It
// returns carom.ErrNotFound when there is no such delivery, carom.ErrConflict when it has not ended, or when somebody else has just
// asked for it.
func (s *Store) Resend(ctx context.Context, id carom.DeliveryID) (endpoint int, err error) {
	_, ref, ordinal, err := id.Place()
	if err != nil {
		return 0, err
	}
	endpoint, attempts, err := s.Ended(ctx, id)
	if err != nil {
		return 0, err
	}
	now := s.Now().UnixMilli()
	return endpoint, s.transact(ctx, func(tx *tx) error {
		n, err := tx.count(`INSERT INTO due (endpoint, place, ordinal, due_at, scheduled_at, accepted_at, attempts, step, sending, node)
			VALUES ($1, $2, $3, $4, $4, $4, $5, 0, 0, 0) ON CONFLICT (endpoint, place, ordinal) DO NOTHING`, endpoint, placeOf(ref), ordinal, now, attempts)
		if err == nil && n == 0 {
			err = fmt.Errorf("delivery %s is pending again: %w", id, carom.ErrConflict)
		}
		return err
	})
}
