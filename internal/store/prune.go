package store

import (
	"context"
	"time"

	"carom"
	"carom/internal/tables"
)

// How long what stands beside rewards is kept. Rewards, lines and balances are kept for ever.
const (
	keepViews    = 90 * 24 * time.Hour // views with a ymid of carom's own, after they expired; an app's own ymids are kept for ever
	keepCounters = 40                  // days of caps that count by the day
	tidyEvery    = 24 * time.Hour
)

// tidyRewards drops views that nobody can ask for any more and counters of days that are over, once a day, in slices.
func (s *Store) tidyRewards(ctx context.Context, now time.Time) error {
	if now.Sub(s.tidied) < tidyEvery {
		return nil
	}
	if err := s.DropViews(ctx, now.Add(-keepViews)); err != nil {
		return err
	}
	year, month, day := now.AddDate(0, 0, -keepCounters).Date()
	if err := s.dropCounters(ctx, int32(year*10_000+int(month)*100+day)); err != nil {
		return err
	}
	s.tidied = now
	return nil
}

// dropCounters deletes the counters of days before the given one.
func (s *Store) dropCounters(ctx context.Context, before int32) error {
	var at carom.CounterKey
	for {
		old, next, err := s.oldCounters(ctx, at, before)
		if err != nil {
			return err
		}
		if len(old) > 0 {
			if err := s.control(ctx, func(w *writer) error {
				for _, k := range old {
					if err := w.exec(`DELETE FROM counters WHERE scope = ? AND user = ? AND day = ?`, k.Scope, k.User, int64(k.Day)); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		if next == at {
			return nil
		}
		at = next
	}
}

// oldCounters looks at one slice of the counters behind at: which of them are of days before the given one, and where the next
// slice begins. That is at itself when there are no more.
func (s *Store) oldCounters(ctx context.Context, at carom.CounterKey, before int32) (old []carom.CounterKey, next carom.CounterKey, err error) {
	rows, err := s.r.QueryContext(ctx, `SELECT scope, user, day FROM counters WHERE (scope, user, day) > (?, ?, ?) ORDER BY scope, user, day LIMIT ?`,
		at.Scope, at.User, at.Day, tables.PruneSlice)
	if err != nil {
		return nil, at, translate(err)
	}
	defer rows.Close()
	for next = at; rows.Next(); {
		if err := rows.Scan(&next.Scope, &next.User, &next.Day); err != nil {
			return nil, at, translate(err)
		}
		if next.Day > 0 && next.Day < before {
			old = append(old, next)
		}
	}
	return old, next, translate(rows.Err())
}
