package api

import (
	"strings"
	"time"

	"carom"
)

// SourceStatus is how one source stands.
type SourceStatus struct {
	ID           string     `json:"id" doc:"app/name"`
	State        string     `json:"state" enum:"ok,quiet,silent,frozen,shadow,refusing,attention,losing" doc:"quiet: nothing came in the last hour, which is usual for it. losing: money is being lost"`
	Since        time.Time  `json:"since,omitzero" doc:"When this state began, as far as is known"`
	LastReceived time.Time  `json:"last_received,omitzero" doc:"The start of the minute in which the last postback that could be believed came; of the hour, when that is longer ago"`
	LastHour     HourCounts `json:"last_hour"`
	Waiting      int        `json:"waiting" doc:"Events that wait for a person: held, or kept while it was frozen"`
	Next         string     `json:"next,omitempty" doc:"What to type or do next, when something is wrong"`
}

// HourCounts is what came to a source in the last hour, by what became of it.
type HourCounts struct {
	Accepted   int64 `json:"accepted" doc:"Those included that are held or that no endpoint wants"`
	Duplicate  int64 `json:"duplicate"`
	Refused    int64 `json:"refused"`
	Unverified int64 `json:"unverified"`
}

// EndpointStatus is how one endpoint stands.
type EndpointStatus struct {
	ID            string    `json:"id" doc:"app/name"`
	State         string    `json:"state" enum:"ok,paused,dead,failing,slow,attention,losing" doc:"dead: it does not take deliveries. losing: money is being lost"`
	Since         time.Time `json:"since,omitzero" doc:"When this state began, as far as is known"`
	Fault         Fault     `json:"fault,omitempty" doc:"Whose it is to act, when something is wrong"`
	Waiting       int64     `json:"waiting" doc:"Deliveries that wait"`
	OldestWaiting time.Time `json:"oldest_waiting,omitzero" doc:"When the event of the oldest was accepted"`
	FirstExpires  time.Time `json:"first_expires,omitzero" doc:"When the first of them passes its deadline"`
	LastSuccess   time.Time `json:"last_success,omitzero" doc:"Since the server started"`
	LastFailed    time.Time `json:"last_failed,omitzero" doc:"Since the server started"`
	LastFailure   string    `json:"last_failure,omitempty"`
	Next          string    `json:"next,omitempty" doc:"What to type or do next, when something is wrong"`
}

// worst finds the worst item about a subject that is more than a note, or one of the notes that wanted lists. Items are sorted,
// worst first.
func worst(items []Item, subject string, wanted ...Kind) *Item {
	for i := range items {
		it := &items[i]
		if it.Subject != subject {
			continue
		}
		if it.Severity != Note {
			return it
		}
		for _, kind := range wanted {
			if it.Kind == kind {
				return it
			}
		}
	}
	return nil
}

func sourceStates(f *facts, items []Item) []SourceStatus {
	states := make([]SourceStatus, 0, len(f.Objects.Sources))
	hours := map[string]HourCounts{}
	for _, c := range f.Hour {
		h := hours[c.App+"/"+c.Source]
		switch kind, _, _ := strings.Cut(c.Outcome, ":"); kind {
		case carom.OutcomeAccepted, carom.OutcomeHeld, carom.OutcomeUnmatched:
			h.Accepted += c.N
		case carom.OutcomeDuplicate, carom.OutcomeDuplicateLate, carom.OutcomeConflict:
			h.Duplicate += c.N
		case carom.OutcomeRefused:
			h.Refused += c.N
		case carom.OutcomeUnverified:
			h.Unverified += c.N
		}
		hours[c.App+"/"+c.Source] = h
	}
	for i := range f.Objects.Sources {
		id := f.Objects.Sources[i].ID()
		st := SourceStatus{ID: id, State: "ok", LastReceived: f.Rhythms[id].Last, LastHour: hours[id]}
		st.Waiting = f.Waiting[id].frozen + f.Waiting[id].other
		if it := worst(items, "source "+id, KindSourceShadow); it != nil {
			st.State, st.Since, st.Next = stateOf(it), it.Since, it.Next
		} else if h := st.LastHour; h.Accepted+h.Duplicate+h.Refused == 0 {
			st.State, st.Since = "quiet", st.LastReceived
		}
		states = append(states, st)
	}
	return states
}

func endpointStates(f *facts, items []Item) []EndpointStatus {
	states := make([]EndpointStatus, 0, len(f.Objects.Endpoints))
	lanes, backlogs := f.lanes(), f.backlogs()
	for i := range f.Objects.Endpoints {
		e := f.Objects.Endpoints[i].WithDefaults()
		lane, backlog := lanes[e.ID()], backlogs[e.No]
		st := EndpointStatus{
			ID: e.ID(), State: "ok", LastSuccess: lane.LastSuccess, LastFailed: lane.LastFailed, LastFailure: lane.LastFailure,
			Waiting: max(backlog.Waiting, int64(lane.Queued)), // what the lane has in memory is, in part, in the table as well
		}
		if backlog.Waiting > 0 {
			st.OldestWaiting, st.FirstExpires = backlog.Oldest.UTC(), backlog.Oldest.Add(e.Deadline).UTC()
		}
		if it := worst(items, "endpoint "+e.ID()); it != nil {
			st.State, st.Since, st.Fault, st.Next = stateOf(it), it.Since, it.Fault, it.Next
		}
		states = append(states, st)
	}
	return states
}

// stateOf is the state of an object whose worst item is it.
func stateOf(it *Item) string {
	if it.Severity == LosingMoney {
		return "losing"
	}
	switch it.Kind {
	case KindSourceSilent, KindSourceUnheard:
		return "silent"
	case KindSourceFrozen:
		return "frozen"
	case KindSourceShadow:
		return "shadow"
	case KindSourceRefusing, KindLiteralMacros, KindWrongSecrets:
		return "refusing"
	case KindEndpointPaused:
		return "paused"
	case KindEndpointDead:
		return "dead"
	case KindEndpointFailing:
		return "failing"
	case KindEndpointSlow:
		return "slow"
	}
	return "attention"
}
