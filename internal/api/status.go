package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

	Sources   []SourceStatus   `json:"sources" nullable:"false" doc:"How each source stands"`
	Endpoints []EndpointStatus `json:"endpoints" nullable:"false" doc:"How each endpoint stands"`
}

// Item is one finding.
type Item struct {
	Kind     Kind      `json:"kind" doc:"What it is, in a word that stays the same: alerts are told apart by it and the subject"`
	Severity Severity  `json:"severity" enum:"note,attention,losing_money"`
	Subject  string    `json:"subject" doc:"What it is about: source app/name, endpoint app/name, or the server"`
	Since    time.Time `json:"since,omitzero" doc:"When it began, as far as is known"`
	Fault    Fault     `json:"fault" enum:"ours,network,receiver,configuration"`
	What     string    `json:"what"`
	HowMuch  string    `json:"how_much,omitempty"`
	Next     string    `json:"next" doc:"What to type or do next"`
	Runbook  string    `json:"runbook" doc:"The page that says more, relative to the documentation's repository"`
}

// facts is all that the status is judged from. Counts of the hour are grouped by minute, app, source and outcome, those of
// the day by hour; counts of deliveries by endpoint and outcome, those of the day by hour as well.
type facts struct {
	Now            time.Time
	Started        time.Time     // of the server; zero: unknown
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
	Rhythms        map[string]rhythm  // by source, of the last seven days
	RefusedDetails map[string]string  // the newest detail by "app/source reason"
	Waiting        map[string]waiting // by source, of those that are frozen or held something today
	Machine        Machine
	Certificates   []Certificate
	Channels       []AlertChannel
	Nodes          []carom.Node
	ClockStep      time.Duration // how far the wall clock was set since the start, beyond the time that passed
	PublicURL      string        // where networks reach this server, as configured; empty: unknown
	InClear        bool          // secrets lie in the database as they are

	counted map[sourceOutcome]perSource // Hour and Day as [judge] has added them up
}

// Status judges the whole server, as GET /v1/status does for who may see all of it.
func (h *Handler) Status(ctx context.Context) (Status, error) {
	f, err := h.s.facts(context.WithValue(ctx, callerKey{}, caller{kind: carom.ActorLocal, name: "this server", scope: carom.ScopeRead}))
	if err != nil {
		return Status{}, fmt.Errorf("gather the status: %w", err)
	}
	return judge(f), nil
}

// FailedStatus is the item of a status that cannot be judged.
func FailedStatus(err error) Item {
	return Item{
		Kind: KindStatusFailed, Severity: Attention, Subject: "server", Fault: Ours, Runbook: KindStatusFailed.runbook(),
		What: "the status cannot be judged, so other alerts may be missing: " + err.Error(),
		Next: "carom status; if it fails as well, look at the server's log, and at its disk (df -h)",
	}
}

// judge makes the status from the facts. It keeps no state and reads no clock.
func judge(f *facts) Status {
	f.counted = countOutcomes(f)
	var items []Item
	for _, check := range []func(*facts) []Item{
		checkStore, checkSpace, checkSetUp, checkLanes, checkEnded, checkSources, checkRewards, checkUnknownSenders,
		checkCertificates, checkPlainHTTP, checkInClear, checkClock, checkChannels, checkNodes,
	} {
		items = append(items, check(f)...)
	}
	for i := range items {
		items[i].Runbook = items[i].Kind.runbook()
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
	st.Sources, st.Endpoints = sourceStates(f, items), endpointStates(f, items)
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
		Kind: KindDiskTrouble, Severity: LosingMoney, Subject: "the server", Since: f.Trouble.Since.UTC(), Fault: Ours,
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
			Kind: KindNoSource, Severity: Attention, Subject: "server", Fault: Configuration,
			What: "no source is configured, so nothing can come in", Next: "carom quickstart monetag",
		})
	}
	if len(f.Objects.Endpoints) == 0 {
		items = append(items, Item{
			Kind: KindNoEndpoint, Severity: Attention, Subject: "server", Fault: Configuration,
			What: "no endpoint is configured, so nothing goes out", Next: "carom quickstart monetag, or add an endpoint to your objects file and run: carom apply -f carom.yaml",
		})
	}
	return items
}
