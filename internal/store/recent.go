package store

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/books"
)

// recentViews are the views whose ymid repeats and which an event may still join. The committer owns them; after a start they
// are read from the newest events again.
type recentViews struct {
	views  map[[16]byte][]books.RecentView // by the claimed sum, oldest first; a slice is never changed
	added  int                             // since the last sweep
	window time.Duration                   // the longest that was asked for
}

// undoJoin is what a sum had before a batch changed it.
type undoJoin struct {
	sum [16]byte
	old []books.RecentView
}

// join finds the latest view of the sum that is younger than window and lacks an event of the type, or makes one.
func (r *recentViews) join(sum [16]byte, eventType carom.EventType, ref carom.Ref, at time.Time, window time.Duration) (carom.Ref, undoJoin) {
	r.window = max(r.window, window)
	r.sweep(at)
	undo := undoJoin{sum, r.views[sum]}
	var first carom.Ref
	r.views[sum], first = books.Join(r.views[sum], eventType, ref, at, window, r.window)
	r.added++
	return first, undo
}

// sweep forgets what is too old, each time that about half of all may be. The newest of a list need not be its youngest:
// the clock may have gone back.
func (r *recentViews) sweep(now time.Time) {
	if r.added < len(r.views)/2+1024 {
		return
	}
	r.added = 0
	for sum, list := range r.views {
		if !slices.ContainsFunc(list, func(v books.RecentView) bool { return now.Sub(v.At) < r.window }) {
			delete(r.views, sum)
		}
	}
}

func (r *recentViews) takeBack(u undoJoin) {
	if u.old == nil {
		delete(r.views, u.sum)
		return
	}
	r.views[u.sum] = u.old
}

// joinView settles to which view the event belongs, notes it in the event, and returns the sum that rewards of the view claim.
func (s *Store) joinView(b *batch, sub *carom.Submission, ref carom.Ref) [16]byte {
	claim := &sub.View
	switch {
	case claim.View != nil:
		sub.Event.View = claim.View.ID
		return claim.Sum
	case claim.Joins == 0:
		return claim.Sum
	}
	first, undo := s.recent.join(claim.Sum, sub.Event.Type, ref, sub.Event.At, claim.Joins)
	b.undoJoins = append(b.undoJoins, undo)
	sub.Event.View = s.eventID(first).View()
	return books.JoinedSum(claim.Sum, first)
}

// loadRecent reads the views that events may still join from the events that are young enough. It looks at all of a bucket,
// since after the clock has gone back the young ones need not lie together.
func (s *Store) loadRecent(now time.Time) error {
	window := time.Duration(s.repeats.Load())
	s.recent = recentViews{views: map[[16]byte][]books.RecentView{}, window: window}
	if window == 0 {
		return nil // no source, so nothing repeats
	}
	since := now.Add(-window)
	buckets := []uint32{}
	for _, b := range *s.closed.Load() {
		if b.readable() && b.lastAt.After(since) {
			buckets = append(buckets, b.number)
		}
	}
	for _, bucket := range append(buckets, s.open.number) {
		if err := s.w.query(fmt.Sprintf(`SELECT seq, at, app, source, zone_id, ymid, telegram_id, user_id, event_type, view FROM events_%d
			WHERE at > ? AND view <> '' ORDER BY seq`, bucket), func(v []driver.Value) error {
			s.recent.again(carom.Ref{Bucket: bucket, Seq: uint32(v[0].(int64))}, &carom.Event{
				At: time.UnixMilli(v[1].(int64)).UTC(), App: v[2].(string), Source: v[3].(string), ZoneID: v[4].(string), YMID: v[5].(string),
				TelegramID: v[6].(string), UserID: v[7].(string), Type: carom.EventType(v[8].(string)), View: carom.ViewID(v[9].(string)),
			})
			return nil
		}, since.UnixMilli()); err != nil {
			return err
		}
	}
	return nil
}

// again notes a stored event of a view as join did when it was accepted. What is left of a view whose first event is too old
// is of no use: nothing may join it. Neither may anything join what carom itself says of a view, whose sum is another.
func (r *recentViews) again(ref carom.Ref, ev *carom.Event) {
	_, opened, first, err := ev.View.Place()
	if err != nil || opened != 0 {
		return
	}
	sum := ev.RepeatSum()
	list := r.views[sum]
	i := slices.IndexFunc(list, func(v books.RecentView) bool { return v.First == first })
	switch {
	case i >= 0:
		r.views[sum] = books.With(list, i, books.RecentView{First: first, At: list[i].At, Types: append(slices.Clone(list[i].Types), ev.Type)}, r.window)
	case ref == first:
		r.views[sum] = books.With(list, len(list), books.RecentView{First: first, At: ev.At, Types: []carom.EventType{ev.Type}}, r.window)
	default:
		return
	}
	r.added++
}
