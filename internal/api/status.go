package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carom"
)

// Severity says how bad an item of the status is. As a verdict, a status without items or with notes alone is OK.
type Severity string

// The severities, from good to bad.
const (
	OK          Severity = "ok"
	Note        Severity = "note"         // worth knowing; nothing to do
	Attention   Severity = "attention"    // nothing is lost yet; a person should look
	LosingMoney Severity = "losing_money" // events or deliveries are being lost now, or within the hour
)

func (s Severity) rank() int { return slices.Index([]Severity{OK, Note, Attention, LosingMoney}, s) }

// Fault says whose it is to act.
type Fault string

// Whose fault an item can be.
const (
	Ours          Fault = "ours"          // this server or its machine
	Network       Fault = "network"       // the ad network that sends to us
	Receiver      Fault = "receiver"      // the server behind an endpoint
	Configuration Fault = "configuration" // what the operator entered, here or at the network
)

// Status says whether money is being lost, since when, whose fault it is and what to do next.
type Status struct {
	Verdict  Severity  `json:"verdict" enum:"ok,attention,losing_money"`
	Sentence string    `json:"sentence" doc:"The verdict in words"`
	At       time.Time `json:"at"`
	Items    []Item    `json:"items" nullable:"false" doc:"What led to it, worst first"`
}

// Item is one finding.
type Item struct {
	Severity Severity  `json:"severity" enum:"note,attention,losing_money"`
	Subject  string    `json:"subject" doc:"What it is about: source app/name, endpoint app/name, or the server"`
	Since    time.Time `json:"since,omitzero" doc:"When it began, as far as is known"`
	Fault    Fault     `json:"fault" enum:"ours,network,receiver,configuration"`
	What     string    `json:"what"`
	HowMuch  string    `json:"how_much,omitempty"`
	Next     string    `json:"next" doc:"What to type or do next"`
}

// facts is all that the status is judged from. Counts of the hour are grouped by app, source and outcome, those of the day
// by the hour as well; counts of deliveries likewise, by endpoint and outcome.
type facts struct {
	Now            time.Time
	Trouble        carom.Trouble // of the store
	Objects        carom.Objects
	Lanes          []carom.LaneState
	Backlogs       []carom.Backlog
	Hour, Day      []carom.Count
	RewardHour     []carom.Count // what rules decided, grouped like Hour
	RewardDay      []carom.Count // grouped like Day
	EndedHour      []carom.DeliveryCount
	EndedDay       []carom.DeliveryCount
	Heard          map[string]bool    // sources that received anything in the last seven days
	RefusedDetails map[string]string  // the newest detail by "app/source reason"
	Waiting        map[string]waiting // by source, of those that are frozen or held something today
}

// soon is how near the first expiry of a backlog must be for it to count as a loss: a person needs that long to act. For
// rewards, which users wait for and nobody sends again, it is a day.
const (
	soon        = time.Hour
	soonRewards = 24 * time.Hour
)

// judge makes the status from the facts. It keeps no state and reads no clock.
func judge(f *facts) Status {
	var items []Item
	for _, check := range []func(*facts) []Item{
		checkStore, checkSetUp, checkLanes, checkEnded, checkSources, checkRewards, checkUnknownSenders,
	} {
		items = append(items, check(f)...)
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.Severity.rank(), a.Severity.rank()), cmp.Compare(a.Subject, b.Subject))
	})
	st := Status{Verdict: OK, At: f.Now.UTC(), Items: items}
	if len(items) == 0 {
		st.Items = []Item{}
	} else if worst := items[0].Severity; worst != Note {
		st.Verdict = worst
	}
	st.Sentence = sentence(f, &st)
	return st
}

func sentence(f *facts, st *Status) string {
	switch st.Verdict {
	case LosingMoney:
		return "Money is being lost: " + st.Items[0].Subject + ": " + st.Items[0].What + "."
	case Attention:
		n := 0
		for _, it := range st.Items {
			if it.Severity == Attention {
				n++
			}
		}
		if n == 1 {
			return "Nothing is being lost, and 1 thing needs a look: " + st.Items[0].Subject + ": " + st.Items[0].What + "."
		}
		return fmt.Sprintf("Nothing is being lost, and %d things need a look; first: %s: %s.", n, st.Items[0].Subject, st.Items[0].What)
	}
	accepted := tally(f.Hour, func(c carom.Count) bool {
		return c.Outcome == carom.OutcomeAccepted || c.Outcome == carom.OutcomeHeld || c.Outcome == carom.OutcomeUnmatched
	})
	delivered := int64(0)
	for _, c := range f.EndedHour {
		if c.Outcome == string(carom.Delivered) {
			delivered += c.N
		}
	}
	return fmt.Sprintf("No money is being lost. In the last hour: %s accepted, %d delivered; %s, %s.",
		plural(accepted, "event"), delivered,
		plural(len(f.Objects.Sources), "source"), plural(len(f.Objects.Endpoints), "endpoint"))
}

// checkStore looks at whether anything can be stored at all.
func checkStore(f *facts) []Item {
	if f.Trouble.Since.IsZero() {
		return nil
	}
	return []Item{{
		Severity: LosingMoney, Subject: "the server", Since: f.Trouble.Since.UTC(), Fault: Ours,
		What: "nothing can be stored, so every postback is answered with try later: " + f.Trouble.Reason,
		Next: "free space on the disk of the data folder (df -h), or repair it; the server goes on by itself, and what was acknowledged is safe",
	}}
}

// tally sums the counts that keep selects.
func tally(counts []carom.Count, keep func(carom.Count) bool) (n int64) {
	for _, c := range counts {
		if keep(c) {
			n += c.N
		}
	}
	return n
}

// first is when the earliest of the day's counts that keep selects began, or zero.
func first(counts []carom.Count, keep func(carom.Count) bool) (at time.Time) {
	for _, c := range counts {
		if keep(c) && c.N > 0 && !c.At.IsZero() && (at.IsZero() || c.At.Before(at)) {
			at = c.At
		}
	}
	return at
}

func checkSetUp(f *facts) []Item {
	var items []Item
	if len(f.Objects.Sources) == 0 {
		items = append(items, Item{
			Severity: Attention, Subject: "server", Fault: Configuration,
			What: "no source is configured, so nothing can come in", Next: "carom quickstart monetag",
		})
	}
	if len(f.Objects.Endpoints) == 0 {
		items = append(items, Item{
			Severity: Attention, Subject: "server", Fault: Configuration,
			What: "no endpoint is configured, so nothing goes out", Next: "carom quickstart monetag, or add an endpoint to your objects file and run: carom apply -f carom.yaml",
		})
	}
	return items
}

// checkLanes looks at what waits and why: paused and open lanes, and backlogs.
func checkLanes(f *facts) []Item {
	lanes := make(map[string]carom.LaneState, len(f.Lanes))
	for _, l := range f.Lanes {
		lanes[l.Endpoint] = l
	}
	backlogs := make(map[int]carom.Backlog, len(f.Backlogs))
	for _, b := range f.Backlogs {
		backlogs[b.Endpoint] = b
	}
	var items []Item
	for i := range f.Objects.Endpoints {
		e := f.Objects.Endpoints[i].WithDefaults()
		if it, ok := laneItem(f.Now, &e, lanes[e.ID()], backlogs[e.No]); ok {
			items = append(items, it)
		}
	}
	return items
}

func laneItem(now time.Time, e *carom.Endpoint, lane carom.LaneState, backlog carom.Backlog) (Item, bool) {
	it := Item{Severity: Attention, Subject: "endpoint " + e.ID(), Since: lane.Since, Fault: Receiver}
	switch {
	case e.Paused || lane.Paused:
		it.Fault = Configuration
		it.What = "it is paused, so nothing is sent to it"
		it.Next = "carom resume " + e.ID()
	case lane.Breaker == "open":
		it.Fault = faultOf(lane.LastFailure)
		it.What = "it does not take deliveries, so only one is tried now and then"
		if lane.LastFailure != "" {
			it.What += "; last answer: " + lane.LastFailure
		}
		it.Next = repair(it.Fault, e)
	case backlog.Waiting > 0 && now.Sub(backlog.Oldest) > 10*time.Minute:
		// Repeats of a few deliveries are everyday; ten minutes is past the first four attempts.
		it.Since = backlog.Oldest
		it.What = "deliveries wait: its rate or concurrency is lower than what comes in"
		it.Next = "raise `rate` or `concurrency` of " + e.ID() + " in your objects file, then: carom apply -f carom.yaml"
		if lane.LastFailure != "" {
			it.Fault = faultOf(lane.LastFailure)
			it.What = "some of its deliveries fail and are repeated; last failure: " + lane.LastFailure
			it.Next = repair(it.Fault, e)
		} else {
			it.Fault = Configuration
		}
	default:
		return Item{}, false
	}
	if backlog.Waiting == 0 {
		it.HowMuch = "nothing waits"
		return it, true
	}
	expires := backlog.Oldest.Add(e.Deadline).UTC()
	waits := "deliveries wait"
	if backlog.Waiting == 1 {
		waits = "delivery waits"
	}
	it.HowMuch = fmt.Sprintf("%d %s, the oldest from %s; the first expires %s", backlog.Waiting, waits, stamp(backlog.Oldest), stamp(expires))
	switch {
	case expires.Before(now.Add(soon)):
		it.Severity = LosingMoney
		it.What += "; waiting deliveries expire within the hour"
	case e.Sends == carom.SendsRewards && expires.Before(now.Add(soonRewards)):
		it.Severity = LosingMoney
		it.What += "; waiting rewards expire within a day, and your backend never learns of them"
	}
	return it, true
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
			Severity: Attention, Subject: "endpoint " + k.endpoint, Since: since[k], Fault: Receiver, What: what,
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
