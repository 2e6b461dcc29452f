package carom

import "time"

// DeliveryState is where a delivery stands. Pending becomes one of the others, once; a resend makes it pending again.
type DeliveryState string

const (
	Pending   DeliveryState = "pending"
	Delivered DeliveryState = "delivered"
	Dead      DeliveryState = "dead"    // with a reason
	Expired   DeliveryState = "expired" // its deadline passed
)

// Delivery is one event, or one reward with the event that caused it, owed to one endpoint.
type Delivery struct {
	ID       DeliveryID
	Event    *Event
	Reward   *Reward   // of an endpoint that gets rewards: RewardGranted, or RewardReversed when the event is a reversal. Else nil
	Endpoint int       // the endpoint's number
	Ordinal  int       // the endpoint's place in the event's list
	Attempts int       // attempts made so far
	Step     int       // how far along the schedule it is: attempts made while the breaker was open do not count
	Since    time.Time // the deadline counts from here: when the event was accepted, or the resend asked for

	// Ticket is the store's note on a delivery that lives in memory only; zero for one that has a row in the due table.
	Ticket uint64
	// Claimed is the store's note on the claim under which the delivery was handed out, where several nodes share the store: a later
	// claim of the same delivery has another. Zero elsewhere.
	Claimed uint64
}

// Hold says whether a node may act for a delivery that it was handed.
type Hold int

const (
	HoldSure   Hold = iota // it is the node's, and nobody else will have it for a while: an attempt may begin
	HoldUnsure             // nobody is known to have taken it, but the store has been silent: wait
	HoldLost               // it is others' now: forget it
)

// Attempt is one HTTP exchange made for a delivery, or its end without one. It is append-only.
type Attempt struct {
	Delivery DeliveryID
	Number   int       // from 1
	At       time.Time // when it began, UTC, milliseconds
	Took     time.Duration
	State    DeliveryState // what the delivery became
	Due      time.Time     // when the next attempt is due, if State is Pending
	Reason   string        // closed set of words, see internal/deliver: "status 503", "timeout", "endpoint deleted"
	Flags    AttemptFlags

	Method string
	URL    string // as sent, secrets masked
	Sent   string // the body as sent, secrets masked
	Status int    // 0 when no answer came
	Answer string // the first 16 KiB of the body
}

// AttemptFlags are oddities of an answer that a person should see.
type AttemptFlags uint16

// The flags. Their numbers are stored: never renumber them.
const (
	AttemptHTML        AttemptFlags = 1 << iota // a 200 with an HTML page: probably the wrong route
	AttemptClientError                          // a 4xx: repeated, but the receiver says that we are wrong
	AttemptProbe                                // made while the breaker was open
	AttemptRedirect                             // a 3xx: not followed
)

// Names returns the names of the flags that are set.
func (f AttemptFlags) Names() []string {
	var names []string
	for i, name := range []string{"html_page", "client_error", "probe", "redirect"} {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// Target is one endpoint that an event, or the reward that it earns, is owed to.
type Target struct {
	Endpoint  int  // the endpoint's number
	Direct    bool // its lane keeps a place in memory for the first attempt; else the delivery begins in the due table
	Candidate int  // 1 + the place of the candidate whose reward is owed; 0: the event itself is
	Unowed    bool // set by the store: nothing was credited, so nothing is owed
}

// Submission hands one verified event to the store, with everything that has to be in the same commit. The store fills in
// Receipt and Err, and the ID of the event.
type Submission struct {
	Event   *Event
	Key     DedupeKey
	Targets []Target // at most MaxFanOut

	Candidates  []Candidate // what the rules would pay
	View        ViewClaim
	Transaction [16]byte // the sum of the network's transaction; zero for none
	Change      RewardChange
	// Began is when the ad that the event confirms began, where carom's SDK showed it; else zero.
	Began time.Time
	// RewardTargets says to which endpoints a reward of the rule and the source goes, by their numbers. It is asked for rewards
	// that Change brings up; nil means to none.
	RewardTargets func(app, rule, source string) []int
	// Uncounted says that the network pays for the event, that its app has rules, and that none of them counts it.
	Uncounted bool

	Receipt Receipt
	Err     error // nil, or ErrUnavailable: nothing was stored, the sender may try again
}

// Receipt is what the store says of an accepted event or of a copy.
type Receipt struct {
	ID        EventID // of the first one, when this is a copy
	Duplicate bool
	Conflict  bool   // the copy disagrees with the first in amount or user
	Late      bool   // the copy came more than an hour after the first: no network repeats that late, so ids repeat
	Ticket    uint64 // for the deliveries that are direct, see [Delivery]

	Decided []Decided // of the candidates, in their order; of what Change brought up
}

// Claim asks the store for deliveries of one endpoint that wait in the due table. What is claimed is not handed out again
// until an attempt is recorded for it or it is released.
//
// Without InOrder they come the soonest due first: those due after DueAfter (zero: ever) and by DueBy. With InOrder they come
// in order of acceptance, those after the Cursor, if they are due by DueBy, were scheduled before ScheduledBefore, and wait
// since before SinceBefore (each of them zero: whenever).
type Claim struct {
	Endpoint        int
	Limit           int
	DueBy           time.Time
	DueAfter        time.Time
	InOrder         bool
	Cursor          uint64
	ScheduledBefore time.Time
	SinceBefore     time.Time
}
