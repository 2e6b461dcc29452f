package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"carom"
)

// facts are the three accounts, and how the test went.
type facts struct {
	sent          sent
	received      received
	books         books
	rate          float64       // asked for
	up            time.Duration // how long the traffic flowed
	kills         []time.Time   // of the server and of its database
	databaseKills int
	longestStart  time.Duration
}

// line is one line of the ledger. One with a rule must hold it.
type line struct {
	text     string
	value    string
	rule     string // "", or what the value must be
	holds    bool
	examples []string
}

type ledger []line

// violations returns how many lines break their rule.
func (l ledger) violations() (n int) {
	for _, x := range l {
		if x.rule != "" && !x.holds {
			n++
		}
	}
	return n
}

func (l *ledger) say(text, format string, args ...any) {
	*l = append(*l, line{text: text, value: fmt.Sprintf(format, args...)})
}

// none adds a line that must be zero.
func (l *ledger) none(text string, broken []string) {
	const shown = 5
	*l = append(*l, line{text: text, value: fmt.Sprint(len(broken)), rule: "0", holds: len(broken) == 0, examples: broken[:min(len(broken), shown)]})
}

func (l ledger) print(w io.Writer) {
	_, _ = fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, x := range l {
		verdict := ""
		switch {
		case x.rule != "" && x.holds:
			verdict = "must be " + x.rule + "\tholds"
		case x.rule != "":
			verdict = "must be " + x.rule + "\tVIOLATED"
		}
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", x.text, x.value, verdict)
	}
	_ = tw.Flush() // the exit code says the same
	for _, x := range l {
		for _, e := range x.examples {
			_, _ = fmt.Fprintf(w, "%s: %s\n", x.text, e)
		}
	}
}

// check compares the accounts.
func check(f *facts) ledger {
	var l ledger
	f.traffic(&l)
	stored := f.events(&l)
	f.deliveries(&l, stored)
	f.repeats(&l)
	f.rewards(&l)
	return l
}

// traffic reports what was sent. The rate counts different events, first postbacks only.
func (f *facts) traffic(l *ledger) {
	sentEvents, acked := 0, 0
	for _, e := range f.sent.entries {
		if e.sent > 0 {
			sentEvents++
		}
		if e.acked > 0 {
			acked++
		}
	}
	rate := float64(sentEvents) / f.up.Seconds()
	l.say("kills", "%d", len(f.kills))
	if f.databaseKills > 0 {
		l.say("  of the database", "%d", f.databaseKills)
	}
	l.say("longest start", "%v", f.longestStart.Round(time.Millisecond))
	*l = append(*l, line{text: "different events per second while up", value: fmt.Sprintf("%.0f", rate),
		rule: fmt.Sprintf("at least %.0f", f.rate), holds: rate >= f.rate})
	l.say("postbacks sent", "%d", f.sent.postbacks)
	l.say("  answered 200", "%d", f.sent.acked)
	for _, status := range slices.Sorted(maps.Keys(f.sent.refused)) {
		l.say(fmt.Sprintf("  answered %d", status), "%d", f.sent.refused[status])
	}
	l.say("  without an answer", "%d", f.sent.unknown)
	l.say("different events sent", "%d", sentEvents)
	l.say("  acknowledged", "%d", acked)
}

// events compares what was sent with what was stored, and returns the stored events by key.
func (f *facts) events(l *ledger) map[key]bookEvent {
	stored := map[key]bookEvent{}
	var twice, strange, missing []string
	known := map[key]bool{}
	for _, e := range f.sent.entries {
		known[e.key] = e.sent > 0
	}
	for _, e := range f.books.events {
		if first, ok := stored[e.key]; ok {
			twice = append(twice, fmt.Sprintf("%v at %v and %v", e.key, first.place, e.place))
			continue
		}
		stored[e.key] = e
		if !known[e.key] {
			strange = append(strange, fmt.Sprint(e.key))
		}
	}
	for _, e := range f.sent.entries {
		if _, ok := stored[e.key]; e.acked > 0 && !ok {
			missing = append(missing, fmt.Sprint(e.key))
		}
	}
	l.say("events stored", "%d", len(f.books.events))
	l.none("acknowledged events missing", missing)
	l.none("dedupe keys stored twice", twice)
	l.none("stored events that nobody sent", strange)
	l.say("postbacks refused by the server", "%d", f.books.refused)
	return stored
}

// deliveries compares what the books say of each delivery with what the endpoint saw.
func (f *facts) deliveries(l *ledger, stored map[key]bookEvent) {
	states := map[carom.DeliveryState]int{}
	accepted := map[carom.Ref]bool{} // places of the events whose delivery was answered 200
	ids := map[key]carom.DeliveryID{}
	var two, unknown, unowed, phantom, unexplained, twice []string
	for _, id := range slices.Sorted(maps.Keys(f.received.arrivals)) {
		a := f.received.arrivals[id]
		if other, ok := ids[a.key]; ok {
			two = append(two, fmt.Sprintf("%v came as %s and %s", a.key, other, id))
		}
		ids[a.key] = id
		_, ref, _, err := id.Place()
		if e, ok := stored[a.key]; err != nil || !ok || e.place != ref {
			unknown = append(unknown, fmt.Sprintf("%q with %v", id, a.key))
		}
		if len(a.accepted) > 0 {
			accepted[ref] = true
		}
	}
	for _, e := range f.books.events {
		if len(e.deliveries) != 1 {
			unowed = append(unowed, fmt.Sprintf("%v has %d deliveries", e.key, len(e.deliveries)))
		}
		for _, s := range e.rewards {
			switch s {
			case stateUnexplained:
				unexplained = append(unexplained, fmt.Sprint("reward of ", e.key))
			case stateTwice:
				twice = append(twice, fmt.Sprint("reward of ", e.key))
			}
		}
		for _, s := range e.deliveries {
			states[s]++
			switch {
			case s == stateUnexplained:
				unexplained = append(unexplained, fmt.Sprint(e.key))
			case s == stateTwice:
				twice = append(twice, fmt.Sprint(e.key))
			case s == carom.Delivered && !accepted[e.place]:
				phantom = append(phantom, fmt.Sprint(e.key))
			}
		}
	}
	for _, s := range []carom.DeliveryState{carom.Delivered, carom.Pending, carom.Dead, carom.Expired} {
		l.say("deliveries "+string(s), "%d", states[s])
	}
	l.none("deliveries neither delivered nor pending nor explained", unexplained)
	l.none("deliveries that ended and still wait", twice)
	l.none("deliveries called delivered that the endpoint never accepted", phantom)
	l.none("events not owed to exactly one endpoint", unowed)
	l.none("events that came with two delivery ids", two)
	l.none("delivery ids that do not name the event they came with", unknown)
}

// repeats counts what the endpoint accepted more than once. That is allowed, within a bound: a delivery whose outcome was not
// stored when the server was killed is sent again with the same id.
func (f *facts) repeats(l *ledger) {
	for _, answer := range slices.Sorted(maps.Keys(f.received.answers)) {
		l.say("endpoint answered: "+answer, "%d", f.received.answers[answer])
	}
	perKill := make([]int, len(f.kills))
	total := 0
	var unprovoked []string
	for id, a := range f.received.arrivals {
		slices.SortFunc(a.accepted, time.Time.Compare) // a slow answer may be noted after a later one
		for i := 1; i < len(a.accepted); i++ {
			total++
			before := slices.IndexFunc(f.kills, func(k time.Time) bool { return k.After(a.accepted[i-1]) })
			if before < 0 || f.kills[before].After(a.accepted[i]) {
				unprovoked = append(unprovoked, string(id))
				continue
			}
			perKill[before]++
		}
	}
	most := 0
	if len(perKill) > 0 {
		most = slices.Max(perKill)
	}
	l.say("postbacks accepted twice", "%d", total)
	l.say("  most for one kill", "%d", most)
	l.say("  attempts in flight at a kill, at most", "%d", laneConcurrency)
	l.say("  of them without a kill between", "%d", len(unprovoked))
}
