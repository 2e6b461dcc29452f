package carom

import "time"

// ShadowKind is a way in which today's receiver, beside a source in shadow, answers otherwise than carom would have acted.
type ShadowKind string

// The kinds, in order of harm. What each of them means for people is said in internal/api.
const (
	ShadowOpenDoor        ShadowKind = "open_door"         // what proved nothing was answered with success
	ShadowCopyPaid        ShadowKind = "copy_paid"         // a copy was answered as its original was
	ShadowViewPaidTwice   ShadowKind = "view_paid_twice"   // two events of one view were answered alike
	ShadowAmount          ShadowKind = "amount"            // an amount out of bounds was answered with success
	ShadowPaidAfterUnpaid ShadowKind = "paid_after_unpaid" // a paid event that an unpaid one came before was not answered as paid
	ShadowWords           ShadowKind = "words"             // a good event in other words of the network was not answered as one
	ShadowPaidRefused     ShadowKind = "paid_refused"      // a good paid event was refused
	ShadowFailed          ShadowKind = "failed"            // a good event got no answer, or that of a fault
	ShadowErrorBody       ShadowKind = "error_body"        // a good event got a success whose body says error
	ShadowRepeats         ShadowKind = "repeats"           // an ordinary outcome was answered with an error
	ShadowReversal        ShadowKind = "reversal"          // a reversal was not answered as taken
	ShadowLiteralMacro    ShadowKind = "literal_macro"     // a macro as text was answered with success
	ShadowUnusable        ShadowKind = "unusable"          // what else no event can be made of was answered as if paid
)

// ShadowEntry is one request of a source in shadow, or several alike, for the store to count.
type ShadowEntry struct {
	App, Source string // names
	At          time.Time
	N           int64    // how many requests it stands for, from 1
	View        [16]byte // the sum of the view that it belongs to; zero for none

	// Judge compares the request with what came before it. view and source are what earlier judgements left behind for the view
	// and for the source, nil for nothing. It may be called again when a commit fails, and does nothing but return.
	Judge func(view, source []byte) ShadowFinding
}

// ShadowFinding is what came of comparing.
type ShadowFinding struct {
	Missed   bool         // it came too fast to be compared
	Compared bool         // today's receiver was asked
	Kinds    []ShadowKind // what differs; none when compared means that both agree
	Example  ShadowExample
	Grants   []ShadowGrant // what carom would have granted
	View     []byte        // what is to be known of the view from now on; nil: as before
	Source   []byte        // likewise of the source
}

// ShadowExample is one request that shows a difference.
type ShadowExample struct {
	At       time.Time `json:"at"`
	ID       string    `json:"id,omitempty" doc:"Of the event (evt_…) or of the refused postback (rcv_…); absent for one that proved nothing"`
	Judged   string    `json:"judged" doc:"What carom made of it"`
	Answered string    `json:"answered" doc:"Status and beginning of the body of today's receiver; secrets are masked"`
}

// ShadowGrant is an amount that rules would have granted.
type ShadowGrant struct {
	Currency string
	Amount   Nanos
}

// ShadowReport is what comparing has found for one source since a moment.
type ShadowReport struct {
	Since       time.Time // the start of its hour: counts are kept by the hour
	Requests    int64
	Compared    int64
	Agreed      int64
	Missed      int64
	Differences []ShadowDifference // in no order
	WouldGrant  []ShadowSum        // by currency
}

// ShadowDifference is how often the receiver differed in one way.
type ShadowDifference struct {
	Kind     ShadowKind
	Count    int64
	Examples []ShadowExample // the newest first, at most three
}

// ShadowSum is what rules would have granted in one currency: an exact decimal, since a sum may be beyond Nanos.
type ShadowSum struct {
	Currency string `json:"currency"`
	Rewards  int64  `json:"rewards"`
	Amount   string `json:"amount"`
}
