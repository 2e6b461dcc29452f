package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
)

// Cause is a word for why two books differ.
type Cause string

// The causes, in the order in which they are told.
const (
	CauseRepeated    Cause = "duplicate_late" // copies after more than an hour: the ymid repeats
	CauseConflict    Cause = "conflict"       // copies that disagree in amount or user
	CauseDuplicate   Cause = "duplicate"      // copies
	CauseRefused     Cause = "refused"
	CauseHeldUnknown Cause = "held_unknown_value"
	CauseHeldFrozen  Cause = "held_frozen" // while the source was frozen or in shadow
	CauseUnverified  Cause = "unverified"
	CauseNotValued   Cause = "not_valued"
	CauseReversed    Cause = "reversed"
	CauseTimeZone    Cause = "time_zone"
	CauseMidnight    Cause = "midnight"
	CauseOutage      Cause = "outage"
	causeOurs        Cause = ""
)

// cause is a Cause with its reason, if it has one.
type cause struct {
	kind   Cause
	reason string
}

var causeOrder = [...]Cause{
	causeOurs, CauseRepeated, CauseConflict, CauseDuplicate, CauseRefused, CauseHeldUnknown, CauseHeldFrozen, CauseUnverified, CauseNotValued,
	CauseReversed, CauseTimeZone, CauseMidnight, CauseOutage,
}

func (c cause) place() int { return slices.Index(causeOrder[:], c.kind) }

// zoneless says whether the cause is known by day alone.
func (c cause) zoneless() bool { return c.kind == CauseRefused || c.kind == CauseUnverified }

func (c cause) estimated() bool { return c.zoneless() || c.kind == CauseOutage }

// sort turns counts into entries by zone and cause.
func (w *comparison) sort() {
	inMeasure := w.measured()
	zones, causes := map[string]int{}, map[cause]int{}
	number := func(c cause) int {
		if _, ok := causes[c]; !ok {
			causes[c] = len(causes)
		}
		return causes[c]
	}
	number(cause{})
	for i := range w.Counts {
		c := &w.Counts[i]
		if strings.HasPrefix(c.Outcome, carom.OutcomeReward) {
			continue
		}
		w.traffic[c.At.Unix()/3600] += c.N
		why, ok := w.causeOf(c)
		if !ok {
			continue
		}
		e := entry{at: c.At, cause: number(why), amount: amount{m: MoneyOf(c.Units, c.Nanos)}}
		if w.alone {
			e.n = 0
		} else if why.zoneless() || why.kind == CauseReversed || inMeasure(c) {
			e.n = c.N
		}
		if why.kind == CauseReversed {
			e.amount = amount{}.minus(e.amount)
		}
		if !w.money {
			e.m = Money{}
		}
		if _, ok := zones[c.Zone]; !ok {
			zones[c.Zone] = len(zones)
		}
		e.zone = zones[c.Zone]
		w.entries = append(w.entries, e)
	}
	w.zones = make([]string, len(zones))
	for zone, i := range zones {
		w.zones[i] = zone
	}
	w.renumber(causes)
}

// renumber puts causes in their order.
func (w *comparison) renumber(causes map[cause]int) {
	w.causes = slices.SortedFunc(maps.Keys(causes), func(a, b cause) int {
		return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.reason, b.reason))
	})
	place := make([]int, len(causes))
	for i, c := range w.causes {
		place[causes[c]] = i
	}
	for i := range w.entries {
		w.entries[i].cause = place[w.entries[i].cause]
	}
}

// causeOf says what a count can explain; ok is false for what says nothing about the measure.
func (w *comparison) causeOf(c *carom.QuarterCount) (_ cause, ok bool) {
	outcome, reason, _ := strings.Cut(c.Outcome, ":")
	unpaid := c.Value == string(carom.NotValued)
	switch outcome {
	case carom.OutcomeRefused:
		return cause{CauseRefused, reason}, true
	case carom.OutcomeUnverified:
		return cause{CauseUnverified, reason}, true
	}
	if c.EventType == string(carom.Reversal) {
		return cause{kind: CauseReversed}, outcome == carom.OutcomeAccepted || outcome == carom.OutcomeUnmatched
	}
	if unpaid && w.Measure == MeasureValued {
		return cause{}, false
	}
	switch outcome {
	case carom.OutcomeAccepted, carom.OutcomeUnmatched:
		if unpaid {
			return cause{kind: CauseNotValued}, true
		}
		return cause{}, true
	case carom.OutcomeHeld:
		if c.Value == string(carom.ValueUnknown) {
			return cause{kind: CauseHeldUnknown}, true
		}
		return cause{kind: CauseHeldFrozen}, true
	case carom.OutcomeDuplicate:
		return cause{kind: CauseDuplicate}, true
	case carom.OutcomeDuplicateLate:
		return cause{kind: CauseRepeated}, true
	case carom.OutcomeConflict:
		return cause{kind: CauseConflict}, true
	}
	return cause{}, false
}

// measured returns which counts are of the kind of event that is compared.
func (w *comparison) measured() func(*carom.QuarterCount) bool {
	switch w.Measure {
	case MeasureClicks:
		return func(c *carom.QuarterCount) bool { return c.EventType == string(carom.Click) }
	case MeasureImpressions:
		shown := func(t carom.EventType) bool {
			return slices.ContainsFunc(w.Counts, func(c carom.QuarterCount) bool { return c.EventType == string(t) })
		}
		kind := carom.Impression
		if !shown(carom.Impression) && shown(carom.Completion) {
			kind = carom.Completion
			w.notes = append(w.notes, "The source has no impressions: the network's impressions are compared with completions.")
		}
		return func(c *carom.QuarterCount) bool { return c.EventType == string(kind) }
	}
	return func(*carom.QuarterCount) bool { return true }
}

// words says what a cause means, and what to type.
func (w *comparison) words(c cause, proposed string) (what, next string) {
	id := w.App + "/" + w.Source
	since := fmt.Sprintf("%dd", max(int(w.Now.Sub(w.Days.Bounds()[0])/(24*time.Hour))+1, 1))
	stats := func(by string) string {
		return fmt.Sprintf("carom stats --source %s --by %s --since %s", id, by, since)
	}
	switch c.kind {
	case CauseRepeated:
		return "came again more than an hour later under the same id, and counted once: the ymid repeats", stats("day,zone,outcome")
	case CauseConflict:
		return "came again with another amount or user, and counted once", stats("day,zone,outcome")
	case CauseDuplicate:
		return "were copies, which count once", stats("day,zone,outcome")
	case CauseRefused:
		return "had the right secret and were of no use: " + c.reason, "carom show --refused --source " + id
	case CauseHeldUnknown:
		return "wait, since their value is a word nobody has met", "carom reprocess --source " + id + " --reason unknown_value"
	case CauseHeldFrozen:
		return "wait, since the source was frozen or in shadow", "carom reprocess --source " + id + " --reason frozen"
	case CauseUnverified:
		return "proved nothing: " + c.reason, "carom show --unverified --source " + id
	case CauseNotValued:
		return "are events that the network does not pay for", stats("day,event_type,value")
	case CauseReversed:
		return "were taken back by the network", "carom rewards --app " + w.App + " --state reversed"
	case CauseTimeZone:
		return "lie on another day in the time zone " + proposed, "carom reconcile --compare --source " + id + " --day-zone " + proposed
	case CauseMidnight:
		return "came within a quarter of an hour of midnight, and stand on the neighbouring day there", stats("hour,outcome")
	case CauseOutage:
		return "are what the hours would have brought in which nothing came, by the hours around them", stats("hour,outcome")
	}
	return "", ""
}
