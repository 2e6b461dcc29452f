package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// soon is how near the first expiry of a backlog must be for it to count as a loss: a person needs that long to act. For
// rewards, which users wait for and nobody sends again, it is a day.
const (
	soon        = time.Hour
	soonRewards = 24 * time.Hour
)

// lanes finds the lanes by the names of their endpoints.
func (f *facts) lanes() map[string]carom.LaneState {
	lanes := make(map[string]carom.LaneState, len(f.Lanes))
	for _, l := range f.Lanes {
		lanes[l.Endpoint] = l
	}
	return lanes
}

// backlogs finds what waits by the numbers of the endpoints.
func (f *facts) backlogs() map[int]carom.Backlog {
	backlogs := make(map[int]carom.Backlog, len(f.Backlogs))
	for _, b := range f.Backlogs {
		backlogs[b.Endpoint] = b
	}
	return backlogs
}

// checkLanes looks at what waits and why: paused and open lanes, and backlogs.
func checkLanes(f *facts) []Item {
	lanes, backlogs := f.lanes(), f.backlogs()
	var items []Item
	for i := range f.Objects.Endpoints {
		e := f.Objects.Endpoints[i].WithDefaults()
		items = append(items, laneItems(f.Now, &e, lanes[e.ID()], backlogs[e.No])...)
	}
	return items
}

// laneItems tells why deliveries to an endpoint wait, if they do, and of those that soon expire.
func laneItems(now time.Time, e *carom.Endpoint, lane carom.LaneState, backlog carom.Backlog) []Item {
	it := Item{Severity: Attention, Subject: "endpoint " + e.ID(), Since: lane.Since, Fault: Receiver}
	switch {
	case e.Paused || lane.Paused:
		it.Kind, it.Fault = KindEndpointPaused, Configuration
		it.What = "it is paused, so nothing is sent to it"
		it.Next = "carom resume " + e.ID()
	case lane.Breaker == "open":
		it.Kind, it.Fault = KindEndpointDead, faultOf(lane.LastFailure)
		it.What = "it does not take deliveries, so only one is tried now and then"
		if lane.LastFailure != "" {
			it.What += "; last answer: " + lane.LastFailure
		}
		it.Next = repair(it.Fault, e)
	case backlog.Waiting > 0 && now.Sub(backlog.Oldest) > 10*time.Minute:
		// Repeats of a few deliveries are everyday; ten minutes is past the first four attempts.
		it.Since = backlog.Oldest
		slowItem(&it, e, lane)
	default:
		return nil
	}
	if backlog.Waiting == 0 {
		it.HowMuch = "nothing waits"
		return []Item{it}
	}
	expires := backlog.Oldest.Add(e.Deadline).UTC()
	waits := "deliveries wait"
	if backlog.Waiting == 1 {
		waits = "delivery waits"
	}
	it.HowMuch = fmt.Sprintf("%d %s, the oldest from %s; the first expires %s", backlog.Waiting, waits, stamp(backlog.Oldest), stamp(expires))
	near := it
	near.Kind, near.Severity = KindNearDeadline, LosingMoney
	switch {
	case expires.Before(now.Add(soon)):
		near.What = "waiting deliveries expire within the hour: " + it.What
	case e.Sends == carom.SendsRewards && expires.Before(now.Add(soonRewards)):
		near.What = "waiting rewards expire within a day, and your backend never learns of them: " + it.What
	default:
		return []Item{it}
	}
	return []Item{near, it}
}

// slowItem says why an endpoint that takes deliveries falls behind.
func slowItem(it *Item, e *carom.Endpoint, lane carom.LaneState) {
	switch {
	case lane.LastFailure == "":
		it.Kind, it.Fault = KindEndpointSlow, Configuration
		it.What = "deliveries wait: its rate or concurrency is lower than what comes in"
		it.Next = "raise `rate` or `concurrency` of " + e.ID() + " in your objects file, then: carom apply -f carom.yaml"
	case strings.HasPrefix(lane.LastFailure, "timeout"):
		it.Kind = KindEndpointSlow
		it.What = "some of its answers do not come within its timeout of " + carom.FormatDuration(e.Timeout) +
			", so deliveries are repeated; last failure: " + lane.LastFailure
		it.Next = "have the server behind it answer before it does the work, or raise `timeout` of " + e.ID() + " in your objects file, then: carom apply -f carom.yaml"
	default:
		it.Kind, it.Fault = KindEndpointFailing, faultOf(lane.LastFailure)
		it.What = "some of its deliveries fail and are repeated; last failure: " + lane.LastFailure
		it.Next = repair(it.Fault, e)
	}
}

// faultOf says whose fault a failed attempt is, from how the reason that the lane gives begins.
func faultOf(reason string) Fault {
	for _, r := range []struct {
		begins string
		fault  Fault
	}{
		{"address refused", Configuration},
		{"cannot render", Configuration},
		{"unusable request", Configuration},
		{"answered with an HTML page", Configuration},
		{"status 3", Configuration}, // a redirect: the URL is not the final one
		{"status 401", Configuration},
		{"status 403", Configuration},
		{"status 404", Configuration},
		{"status 405", Configuration},
		{"internal error", Ours},
		{"cancelled", Ours},
	} {
		if strings.HasPrefix(reason, r.begins) {
			return r.fault
		}
	}
	return Receiver
}

// repair is what to do about a failing endpoint, by whose fault it is.
func repair(fault Fault, e *carom.Endpoint) string {
	switch fault {
	case Configuration:
		return "correct the URL or the settings of " + e.ID() + " in your objects file, then: carom apply -f carom.yaml"
	case Ours:
		return "look at the server's log; if it goes on, report it"
	}
	return "repair the server behind it, then: carom resume " + e.ID()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// checkEnded looks at deliveries that ended without success.
func checkEnded(f *facts) []Item {
	type key struct{ endpoint, outcome string }
	hour, day, since := map[key]int64{}, map[key]int64{}, map[key]time.Time{}
	for _, c := range f.EndedHour {
		hour[key{c.Endpoint, c.Outcome}] += c.N
	}
	for _, c := range f.EndedDay {
		k := key{c.Endpoint, c.Outcome}
		day[k] += c.N
		if at := since[k]; c.N > 0 && !c.At.IsZero() && (at.IsZero() || c.At.Before(at)) {
			since[k] = c.At
		}
	}
	var items []Item
	for k, n := range day {
		what := "deliveries were given up for good (dead)"
		if k.outcome == string(carom.Expired) {
			what = "deliveries passed their deadline (expired)"
		} else if k.outcome != string(carom.Dead) {
			continue
		}
		n = max(n, hour[k])
		if n == 0 {
			continue
		}
		it := Item{
			Kind: KindDeliveriesEnded, Severity: Attention, Subject: "endpoint " + k.endpoint, Since: since[k], Fault: Receiver, What: what,
			HowMuch: fmt.Sprintf("%d in the last hour, %d in the last day", hour[k], n),
			Next: "carom show --app " + appOf(k.endpoint) + " tells why; when it is repaired: carom resend --app " + appOf(k.endpoint) +
				" --endpoint " + k.endpoint + " --why REASON",
		}
		switch {
		case strings.HasPrefix(k.endpoint, "#"): // the operator deleted it, and what it was still owed ended with it
			it.Severity, it.Fault, it.What, it.Next = Note, Configuration, "deliveries to a deleted endpoint ended", "nothing"
		case hour[k] > 0:
			it.Severity = LosingMoney
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.Subject+a.What, b.Subject+b.What) })
	return items
}

func appOf(id string) string {
	app, _, _ := strings.Cut(id, "/")
	return app
}
