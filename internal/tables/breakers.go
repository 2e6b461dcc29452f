package tables

import (
	"context"
	"fmt"
	"time"
)

// SetBreaker remembers over restarts that the endpoint's breaker opened at a moment, or, that being zero, that it is closed.
// When it returns an error, what was remembered before stands.
func (t *Tables) SetBreaker(ctx context.Context, endpoint int, openedAt time.Time) error {
	if err := t.o.Write(ctx, func(tx Tx) error {
		if openedAt.IsZero() {
			return tx.Exec(`DELETE FROM breakers WHERE endpoint = ?`, int64(endpoint))
		}
		return tx.Exec(`INSERT INTO breakers (endpoint, opened_at) VALUES (?, ?) ON CONFLICT (endpoint) DO UPDATE SET opened_at = excluded.opened_at`,
			int64(endpoint), openedAt.UnixMilli())
	}); err != nil {
		return fmt.Errorf("remember breaker of endpoint %d: %w", endpoint, err)
	}
	return nil
}

// Breakers returns when each open breaker opened, by endpoint.
func (t *Tables) Breakers(ctx context.Context) (map[int]time.Time, error) {
	opened := map[int]time.Time{}
	if err := t.readRows(ctx, t.o.Lanes, func(scan func(...any) error) error {
		var endpoint int
		var ms int64
		if err := scan(&endpoint, &ms); err != nil {
			return err
		}
		opened[endpoint] = time.UnixMilli(ms).UTC()
		return nil
	}, `SELECT endpoint, opened_at FROM breakers`); err != nil {
		return nil, fmt.Errorf("read breakers: %w", err)
	}
	return opened, nil
}
