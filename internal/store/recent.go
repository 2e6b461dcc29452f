package store

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"carom"
)

// recentViews are the views whose ymid repeats and which an event may still join. The committer owns them; after a start they
// are read from the newest events again.
type recentViews struct {
	views  map[[16]byte][]recentView // by the claimed sum, oldest first; a slice is never changed
	added  int                       // since the last sweep
	window time.Duration             // the longest that was asked for
}

type recentView struct {
	first carom.Ref // its first event
	at    time.Time // of that
	types []carom.EventType
}

// undoJoin is what a sum had before a batch changed it.
type undoJoin struct {
	sum [16]byte
	old []recentView
}

// join finds the latest view of the sum that is younger than window and lacks an event of the type, or makes one.
func (r *recentViews) join(sum [16]byte, eventType carom.EventType, ref carom.Ref, at time.Time, window time.Duration) (carom.Ref, undoJoin) {
	r.window = max(r.window, window)
	r.sweep(at)
	old := r.views[sum]
	undo := undoJoin{sum, old}
	for i, v := range slices.Backward(old) {
		if at.Sub(v.at) < window && !slices.Contains(v.types, eventType) {
			r.note(sum, i, recentView{v.first, v.at, append(slices.Clone(v.types), eventType)})
			return v.first, undo
		}
	}
	r.note(sum, len(old), recentView{ref, at, []carom.EventType{eventType}})
	return ref, undo
}

// note puts a view at its place in a new list of the sum, without those that nothing can join any more.
func (r *recentViews) note(sum [16]byte, i int, v recentView) {
	list := slices.Clone(r.views[sum])
	list = append(list[:i:i], append([]recentView{v}, list[min(i+1, len(list)):]...)...)
	r.views[sum] = slices.DeleteFunc(list, func(o recentView) bool { return v.at.Sub(o.at) >= r.window })
	r.added++
}

// sweep forgets what is too old, each time that about half of all may be. The newest of a list need not be its youngest:
// the clock may have gone back.
func (r *recentViews) sweep(now time.Time) {
	if r.added < len(r.views)/2+1024 {
		return
	}
	r.added = 0
	for sum, list := range r.views {
		if !slices.ContainsFunc(list, func(v recentView) bool { return now.Sub(v.at) < r.window }) {
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
	return carom.SumOf("first", string(binary.BigEndian.AppendUint64(claim.Sum[:], first.Uint64())))
}

// loadRecent reads the views that events may still join from the events that are young enough. It looks at all of a bucket,
// since after the clock has gone back the young ones need not lie together.
func (s *Store) loadRecent(now time.Time) error {
	window := time.Duration(s.repeats.Load())
	s.recent = recentViews{views: map[[16]byte][]recentView{}, window: window}
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
	i := slices.IndexFunc(list, func(v recentView) bool { return v.first == first })
	switch {
	case i >= 0:
		r.note(sum, i, recentView{first, list[i].at, append(slices.Clone(list[i].types), ev.Type)})
	case ref == first:
		r.note(sum, len(list), recentView{first, ev.At, []carom.EventType{ev.Type}})
	}
}
