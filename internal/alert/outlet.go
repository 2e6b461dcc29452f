package alert

import (
	"errors"
	"slices"
	"time"
)

// Bounds of one channel.
const (
	perHour       = 12 // notifications an hour; what comes beyond is told in the next one
	perHourLosing = 24 // those that tell of money being lost may go so far
	keptWaiting   = 200
	waitFirst     = 30 * time.Second // after a failure; doubled by each further one
	waitLongest   = 15 * time.Minute
)

// outlet is a channel with what it has not told yet. The watch's mutex guards it, but for Channel.
type outlet struct {
	Channel
	waiting  []change    // oldest first; one an alert
	dropped  int         // changes that there was no room for
	sent     []time.Time // notifications of the last hour
	lastSent time.Time
	failing  time.Time // since when sending fails
	reason   string
	failures int
	notYet   time.Time // no attempt before
}

// add puts changes into what waits. A later change of an alert takes the place of an earlier one, with one exception: what
// began and ended untold is dropped, since nobody needs to know at three in the morning; the list of the ended ones has it.
func (o *outlet) add(changes []change) {
	for _, c := range changes {
		i := slices.IndexFunc(o.waiting, func(w change) bool { return w.Alert.key() == c.Alert.key() })
		switch {
		case i < 0 && len(o.waiting) >= keptWaiting:
			o.dropped++
		case i < 0:
			o.waiting = append(o.waiting, c)
		case c.What == ended && o.waiting[i].What == opened:
			o.waiting = slices.Delete(o.waiting, i, i+1)
		case c.What == reminded || c.What == worsened && o.waiting[i].What == opened:
			o.waiting[i].Alert = c.Alert // it is still untold that it began
		default:
			o.waiting[i] = c
		}
	}
}

// take returns the notification that is due, and of how many changes it tells; none when it is not the time.
func (o *outlet) take(now time.Time, server string, open []Alert) (Notification, int) {
	if len(o.waiting) == 0 || now.Before(o.notYet) {
		return Notification{}, 0
	}
	o.sent = slices.DeleteFunc(o.sent, func(at time.Time) bool { return now.Sub(at) >= time.Hour || at.After(now) })
	bound := perHour
	if slices.ContainsFunc(o.waiting, func(c change) bool {
		return c.Alert.Severity == LosingMoney && (c.What == opened || c.What == worsened)
	}) {
		bound = perHourLosing
	}
	if len(o.sent) >= bound {
		return Notification{}, 0
	}
	changes := slices.Clone(o.waiting)
	slices.SortStableFunc(changes, compareChanges)
	return notification(server, changes, o.dropped, open), len(o.waiting)
}

// settle notes what came of sending the first told of what waits, and says whether a failure has just begun.
func (o *outlet) settle(now time.Time, told int, err error) (began bool) {
	if err == nil {
		o.waiting, o.dropped = slices.Delete(o.waiting, 0, told), 0
		o.sent, o.lastSent = append(o.sent, now), now
		o.works()
		return false
	}
	began = o.failing.IsZero()
	if began {
		o.failing = now
	}
	o.reason = err.Error()
	wait := min(waitFirst<<min(o.failures, 10), waitLongest)
	if asked := (*LaterError)(nil); errors.As(err, &asked) {
		wait = min(max(wait, asked.Wait), time.Hour)
	}
	o.failures++
	o.notYet = now.Add(wait)
	return began
}

// works forgets failures: something was sent.
func (o *outlet) works() {
	o.failing, o.reason, o.failures, o.notYet = time.Time{}, "", 0, time.Time{}
}
