package carom

import "time"

// Measures are what reports add up, over some quarters of an hour.
//
// Of one currency, Rewarded is how many rewards were granted in it and Units and Nanos what they amount to; all else is zero. Without a
// currency, Rewarded is zero, and Units and Nanos are the estimated prices of what was valued. Either sum is Units + Nanos / 10^9, each
// summed by itself, so that neither can overflow.
type Measures struct {
	Accepted   int64 // events that were accepted and are not held, but for carom's own
	Held       int64
	Duplicates int64 // of every kind
	Refused    int64
	Unverified int64
	Valued     int64 // accepted events, no reversals, that the network pays for, or of which it does not say
	NotValued  int64 // that it does not pay for
	Shown      int64 // accepted impressions of carom's SDK: its views
	Rewarded   int64
	Declined   int64 // decisions of rules that paid nothing, unless the view had been paid for or is not theirs
	Delivered  int64 // deliveries of its events and rewards
	Failed     int64 // attempts of them that are repeated
	Dead       int64
	Expired    int64
	Units      int64
	Nanos      int64
}

// Add adds o.
func (m *Measures) Add(o *Measures) {
	m.Accepted += o.Accepted
	m.Held += o.Held
	m.Duplicates += o.Duplicates
	m.Refused += o.Refused
	m.Unverified += o.Unverified
	m.Valued += o.Valued
	m.NotValued += o.NotValued
	m.Shown += o.Shown
	m.Rewarded += o.Rewarded
	m.Declined += o.Declined
	m.Delivered += o.Delivered
	m.Failed += o.Failed
	m.Dead += o.Dead
	m.Expired += o.Expired
	m.Units += o.Units
	m.Nanos += o.Nanos
}

// Received is how many received postbacks and reported events there were.
func (m *Measures) Received() int64 {
	return m.Accepted + m.Held + m.Duplicates + m.Refused + m.Unverified
}

// ReportFilter selects counts by the quarter of an hour. An empty App or Source selects all, From and To are rounded down to quarters,
// and zero ones are open.
//
// By are the dimensions to group by: "app", and either "source" and "event_type" or "zone", "sub_zone" and "request_var", which are of
// accepted events and of what became of them. Those of a source have no zones. With Cuts, at least two moments in order, the counts are
// also grouped by the stretches between them, and From and To are the first and the last.
type ReportFilter struct {
	App, Source string
	From, To    time.Time
	Cuts        []time.Time
	By          []string
}

// ReportCount is what was counted, of one currency or of none. Dimensions that were not grouped by are empty.
type ReportCount struct {
	At         time.Time // the cut that it lies behind
	App        string
	Source     string
	EventType  string
	Zone       string
	SubZone    string
	RequestVar string
	Currency   string
	Measures
}

// DetailKind is what is counted in words, or in steps of time.
type DetailKind string

// The kinds.
const (
	DetailRefused    DetailKind = "refused"    // by the reason
	DetailUnverified DetailKind = "unverified" // likewise
	DetailHeld       DetailKind = "held"       // likewise
	DetailDeclined   DetailKind = "declined"   // by the reason of the rule, or of carom's SDK
	DetailConfirm    DetailKind = "confirm"    // by how long it took, see [ConfirmStep]
)

// FieldDeclined is the further field in which carom's SDK says why a view was not confirmed: its reasons, separated by commas.
const FieldDeclined = "declined"

// DetailCount is how many there were of a detail.
type DetailCount struct {
	At     time.Time // the cut that it lies behind
	Kind   DetailKind
	Detail string
	N      int64
}

// Steps of the time from a view's opening, or from when its ad began, to the event that confirms it: each half as long again as the one
// before, from 100 ms to 24 h, and one for all beyond.
const confirmSteps = 36

// ConfirmLimit is how long the times of a step are at most; 0 for the last step, which has no limit.
func ConfirmLimit(step int) time.Duration {
	if step >= confirmSteps-1 {
		return 0
	}
	ms := int64(100)
	for range step {
		ms += ms / 2
	}
	return time.Duration(min(ms, 24*60*60*1000)) * time.Millisecond
}

// ConfirmSteps is how many steps there are.
func ConfirmSteps() int { return confirmSteps }

// ConfirmStep is the step of a time.
func ConfirmStep(took time.Duration) int {
	limit := int64(100)
	for step := range confirmSteps - 1 {
		if took.Milliseconds() <= min(limit, 24*60*60*1000) {
			return step
		}
		limit += limit / 2
	}
	return confirmSteps - 1
}
