package store

import (
	"context"
	"time"

	"carom"
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
	if err := s.dropViews(ctx, now.Add(-keepViews)); err != nil {
		return err
	}
	year, month, day := now.AddDate(0, 0, -keepCounters).Date()
	if err := s.dropCounters(ctx, int32(year*10_000+int(month)*100+day)); err != nil {
		return err
	}
	s.tidied = now
	return nil
}

// dropViews deletes what expired before the given moment.
func (s *Store) dropViews(ctx context.Context, before time.Time) error {
	for from, more := int64(0), true; more; {
		if err := s.control(ctx, func(w *writer) error {
			last, err := w.int64(`SELECT max(no) FROM (SELECT no FROM views WHERE no > ? ORDER BY no LIMIT ?)`, from, int64(pruneSlice))
			if err != nil {
				return err
			}
			young, err := w.int64(`SELECT count(*) FROM views WHERE no > ? AND no <= ? AND expires_at >= ?`, from, last, before.UnixMilli())
			if err != nil {
				return err
			}
			// Views lie in the order in which they were opened: behind a slice with young ones there are hardly any old ones.
			more = last > from && young == 0
			err = w.exec(`DELETE FROM views WHERE no > ? AND no <= ? AND own = 0 AND expires_at < ?`, from, last, before.UnixMilli())
			from = last
			return err
		}); err != nil {
			return err
		}
	}
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
		at.Scope, at.User, at.Day, pruneSlice)
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
