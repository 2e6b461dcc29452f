package store

import (
	"context"
	"fmt"
	"time"
)

// SetBreaker remembers over restarts that the endpoint's breaker opened at a moment, or, that being zero, that it is closed.
// When it returns an error, what was remembered before stands.
func (s *Store) SetBreaker(ctx context.Context, endpoint int, openedAt time.Time) error {
	if err := s.control(ctx, func(w *writer) error {
		if openedAt.IsZero() {
			return w.exec(`DELETE FROM breakers WHERE endpoint = ?`, int64(endpoint))
		}
		return w.exec(`INSERT OR REPLACE INTO breakers (endpoint, opened_at) VALUES (?, ?)`, int64(endpoint), openedAt.UnixMilli())
	}); err != nil {
		return fmt.Errorf("remember breaker of endpoint %d: %w", endpoint, err)
	}
	return nil
}

// Breakers returns when each open breaker opened, by endpoint.
func (s *Store) Breakers(ctx context.Context) (map[int]time.Time, error) {
	rows, err := s.lanes.QueryContext(ctx, `SELECT endpoint, opened_at FROM breakers`)
	if err != nil {
		return nil, fmt.Errorf("read breakers: %w", translate(err))
	}
	defer rows.Close()
	opened := map[int]time.Time{}
	for rows.Next() {
		var endpoint int
		var ms int64
		if err := rows.Scan(&endpoint, &ms); err != nil {
			return nil, fmt.Errorf("read breakers: %w", translate(err))
		}
		opened[endpoint] = time.UnixMilli(ms).UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read breakers: %w", translate(err))
	}
	return opened, nil
}
