package reconcile

import (
	"fmt"
	"time"

	"carom"
)

// The offsets from UTC that zones in use have, in hours.
const (
	westmost = -12
	eastmost = 14
)

// leastForShift is how many events make a difference between time zones worth telling.
const leastForShift = 20

// shift looks for an offset from UTC with which the two agree much better, and explains with the events that lie on another day
// then. It returns the name of such a zone, or nothing.
func (w *comparison) shift(results []result) string {
	if len(results) < 2 {
		return ""
	}
	now := scoreOf(results)
	if now.n < leastForShift {
		return ""
	}
	best, hours := now, 0
	var moved []result
	for h := westmost; h <= eastmost; h++ {
		other := w.results(w.fixedBounds(h))
		if s := scoreOf(other); s.better(best) {
			best, hours, moved = s, h, other
		}
	}
	if moved == nil || !best.muchBetter(now) {
		return ""
	}
	for i := range results {
		results[i].explain(cause{kind: CauseTimeZone}, moved[i].ours.minus(results[i].ours))
	}
	w.notes = append(w.notes, fmt.Sprintf("With days of %s the two agree better: %d events would differ by day in place of %d.", fixedName(hours), best.n, now.n))
	return fixedName(hours)
}

// fixedBounds are the beginnings of the days in a zone that is always the given number of hours ahead of UTC.
func (w *comparison) fixedBounds(hours int) []time.Time {
	out := make([]time.Time, 0, w.Days.Len()+1)
	for i := range w.Days.Len() + 1 {
		var day time.Time
		if i < w.Days.Len() {
			day, _ = time.Parse(dayFormat, w.Days.Name(i)) // NewDays made it
		} else {
			day = out[i-1].Add(time.Duration(hours)*time.Hour + 24*time.Hour)
		}
		out = append(out, day.Add(-time.Duration(hours)*time.Hour))
	}
	return out
}

// score says how badly two books agree: what stays unexplained by day, then how much they differ by day.
type score struct{ rest, n int64 }

func scoreOf(results []result) score {
	var s score
	for i := range results {
		s.rest += magnitude(results[i].rest.n)
		s.n += magnitude(results[i].theirs.n - results[i].ours.n)
	}
	return s
}

func (s score) better(than score) bool {
	return s.rest < than.rest || s.rest == than.rest && s.n < than.n
}

// muchBetter asks for less than half of what was unexplained, so that noise proposes nothing.
func (s score) muchBetter(than score) bool {
	return than.rest-s.rest >= leastForShift/2 && s.rest*2 < than.rest || s.rest == than.rest && s.n*2 < than.n && than.n-s.n >= leastForShift
}

func magnitude(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// midnight moves events between neighbouring days of which one has too many and the other too few: those that came within a
// quarter of an hour of the bound between them.
func (w *comparison) midnight(results []result) {
	near := map[time.Time]amount{} // ours by quarter
	for i := range w.entries {
		if e := &w.entries[i]; e.cause == 0 {
			near[e.at] = near[e.at].plus(e.amount)
		}
	}
	const quarter = carom.QuarterMinutes * time.Minute
	for i := 0; i+1 < len(results); i++ {
		a, b := &results[i], &results[i+1]
		if a.day+1 != b.day {
			continue
		}
		bound := w.Days.Bounds()[b.day]
		after, before := near[bound.Truncate(quarter)], near[bound.Add(-quarter).Truncate(quarter)]
		// Theirs is more on the first day: what we counted just after the bound may be of it. Or the other way round.
		forward := after.toward(a.rest).toward(amount{}.minus(b.rest))
		back := before.toward(amount{}.minus(a.rest)).toward(b.rest)
		moved := forward.minus(back)
		if moved == (amount{}) {
			continue
		}
		a.explain(cause{kind: CauseMidnight}, moved)
		b.explain(cause{kind: CauseMidnight}, amount{}.minus(moved))
	}
}

// An outage is a stretch of hours without anything between two hours that had at least this much, which chance does not bring
// about; longer than a day it is no outage of which the neighbours tell anything.
const (
	busyHour   = 10
	longOutage = 24
)

// outages explains what is missing on days with hours in which nothing came, by the mean of the hours around them.
func (w *comparison) outages(results []result) {
	bounds := w.Days.Bounds()
	ours := map[int64]amount{}
	for i := range w.entries {
		if e := &w.entries[i]; e.cause == 0 {
			hour := e.at.Unix() / 3600
			ours[hour] = ours[hour].plus(e.amount)
		}
	}
	byDay := map[int]*result{}
	for i := range results {
		byDay[results[i].day] = &results[i]
	}
	lost := map[int]amount{}
	last := int64(-1) // the latest hour in which something came
	for hour := bounds[0].Unix()/3600 - 1; hour <= bounds[len(bounds)-1].Unix()/3600; hour++ {
		if w.traffic[hour] == 0 {
			continue
		}
		gap := hour - last - 1
		if last >= 0 && gap > 0 && gap <= longOutage && w.traffic[last] >= busyHour && w.traffic[hour] >= busyHour {
			sum := ours[last].plus(ours[hour])
			mean := amount{sum.n / 2, sum.m.share(1, 2)}
			for h := last + 1; h < hour; h++ {
				day := w.Days.At(time.Unix(h*3600, 0))
				lost[day] = lost[day].plus(mean)
			}
		}
		last = hour
	}
	for day, a := range lost {
		if r := byDay[day]; r != nil {
			r.explain(cause{kind: CauseOutage}, a)
		}
	}
}
