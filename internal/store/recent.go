package store

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
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
	old := r.views[sum]
	undo := undoJoin{sum, old}
	r.window = max(r.window, window)
	r.sweep(at)
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

// sweep forgets what is too old, each time that about half of all may be.
func (r *recentViews) sweep(now time.Time) {
	if r.added < len(r.views)/2+1024 {
		return
	}
	r.added = 0
	for sum, list := range r.views {
		if now.Sub(list[len(list)-1].at) >= r.window {
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

// loadRecent reads the views that events may still join from the newest events.
func (s *Store) loadRecent(now time.Time) error {
	window := time.Duration(s.repeats.Load())
	s.recent = recentViews{views: map[[16]byte][]recentView{}, window: window}
	type row struct {
		ev   carom.Event
		ref  carom.Ref
		life carom.Incarnation
	}
	var rows []row // newest first
	errDone := errors.New("all that matters is read")
	for _, bucket := range slices.Backward(s.bucketNumbers()) {
		err := s.w.query(fmt.Sprintf(`SELECT seq, at, app, source, zone_id, ymid, telegram_id, user_id, event_type, view FROM events_%d
			ORDER BY seq DESC`, bucket), func(v []driver.Value) error {
			at := time.UnixMilli(v[1].(int64)).UTC()
			if now.Sub(at) >= window {
				return errDone
			}
			if id := carom.ViewID(v[9].(string)); id != "" {
				rows = append(rows, row{ref: carom.Ref{Bucket: bucket, Seq: uint32(v[0].(int64))}, ev: carom.Event{
					At: at, App: v[2].(string), Source: v[3].(string), ZoneID: v[4].(string), YMID: v[5].(string),
					TelegramID: v[6].(string), UserID: v[7].(string), Type: carom.EventType(v[8].(string)), View: id,
				}})
			}
			return nil
		})
		if errors.Is(err, errDone) {
			break
		}
		if err != nil {
			return err
		}
	}
	for i := range slices.Backward(rows) {
		ev := &rows[i].ev
		_, opened, first, err := ev.View.Place()
		if err != nil || opened != 0 {
			continue
		}
		sum := ev.RepeatSum()
		list := s.recent.views[sum]
		at := slices.IndexFunc(list, func(v recentView) bool { return v.first == first })
		v := recentView{first: first, at: ev.At}
		if at < 0 {
			at = len(list)
		} else {
			v = list[at]
		}
		v.types = append(slices.Clone(v.types), ev.Type)
		s.recent.note(sum, at, v)
	}
	return nil
}
