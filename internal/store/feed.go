package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"carom"
)

// StartFeed begins to follow events: behind all that is stored now, or behind an event, with what was stored since. Of f only App,
// Source and Limit count.
//
// It returns carom.ErrInvalid for what is no event's id, and carom.ErrNotFound for the id of another data folder.
func (s *Store) StartFeed(ctx context.Context, f carom.EventFilter, after carom.EventID) (carom.Feed, error) {
	newest, err := s.newestEvent(ctx)
	if err != nil {
		return carom.Feed{}, fmt.Errorf("follow events: %w", err)
	}
	if after == "" {
		return carom.Feed{Next: carom.FeedCursor{0: newest}}, nil
	}
	inc, ref, err := after.Place()
	if err != nil {
		return carom.Feed{}, err
	}
	if ref.Node != 0 || ref.Bucket > newest.Bucket || !s.isOurs(inc, ref.Bucket) {
		return carom.Feed{}, fmt.Errorf("event %s is of another data folder: %w", after, carom.ErrNotFound)
	}
	return s.EventsBehind(ctx, f, carom.FeedCursor{0: ref})
}

// EventsBehind returns what was stored behind a cursor, as far as f selects it. Of f only App, Source and Limit count: when there is
// more than the limit, the newest of it.
func (s *Store) EventsBehind(ctx context.Context, f carom.EventFilter, c carom.FeedCursor) (carom.Feed, error) {
	to, err := s.newestEvent(ctx)
	if err != nil {
		return carom.Feed{}, fmt.Errorf("follow events: %w", err)
	}
	feed, limit, from := carom.Feed{Next: carom.FeedCursor{0: to}}, cmp.Or(f.Limit, 50), c[0]
	only := carom.EventFilter{App: f.App, Source: f.Source}
	for _, bucket := range s.readableBuckets() {
		if bucket > to.Bucket {
			continue // it was opened since
		}
		if bucket < from.Bucket || len(feed.Events) > limit {
			break
		}
		behind, end := uint32(0), uint32(math.MaxInt32)
		if bucket == from.Bucket {
			behind = from.Seq
		}
		if bucket == to.Bucket {
			end = to.Seq + 1
		}
		events, err := s.bucketEvents(ctx, bucket, only, behind, end, limit+1-len(feed.Events))
		if errors.Is(err, errBucketGone) {
			continue // since the list of buckets was made
		}
		if err != nil {
			return carom.Feed{}, fmt.Errorf("follow events: %w", err)
		}
		feed.Events = append(feed.Events, events...)
	}
	if len(feed.Events) > limit {
		feed.Events, feed.Skipped = feed.Events[:limit], true
	}
	slices.Reverse(feed.Events)
	return feed, nil
}

// newestEvent is the place of the newest event that is stored; the start of the open bucket when there is none in it.
func (s *Store) newestEvent(ctx context.Context) (carom.Ref, error) {
	newest := carom.Ref{Bucket: s.readableBuckets()[0]}
	err := s.r.QueryRowContext(ctx, fmt.Sprintf(`SELECT coalesce(max(seq), 0) FROM events_%d`, newest.Bucket)).Scan(&newest.Seq)
	return newest, s.readErr(newest.Bucket, err)
}
