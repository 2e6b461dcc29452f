package carom

import "time"

// EventFilter selects events. An empty field lets all through.
type EventFilter struct {
	App    string
	Source string // name of the source, with App
	YMID   string
	User   string // telegram_id, or user_id where there is none
	Zone   string
	Since  time.Time // only events that were received from then on; zero: all
	Before EventID   // the cursor: only events older than this one
	Limit  int       // 0 means 50; at most 1,000

	// What no index helps to find: to be asked for with a search that is bounded.
	SubZone    string
	RequestVar string
	EventType  EventType
	Network    string
	Outcome    string    // OutcomeAccepted, OutcomeHeld or OutcomeUnmatched
	To         time.Time // only events that were received before; zero: all
}

// AttemptFilter selects attempts. An empty field lets all through.
type AttemptFilter struct {
	App      string // of the endpoint
	Endpoint int    // its number; 0: any
	State    DeliveryState
	Before   AttemptCursor
	Limit    int // 0 means 50; at most 1,000
}

// AttemptCursor is where a list of attempts goes on: behind the attempt of that number of that delivery, which need not be there. The
// zero value is the start, and the end.
type AttemptCursor struct {
	Delivery DeliveryID
	Number   int
}

// SentAttempt is an attempt with the endpoint that it was made to.
type SentAttempt struct {
	Attempt
	Endpoint string // "app/endpoint"; "#7" when the endpoint is deleted
}

// ViewFilter selects opened views. An empty field lets all through.
type ViewFilter struct {
	App, User, YMID string
	From, To        time.Time // when they were opened
	Before          ViewID    // the cursor: only views opened before this one
	Limit           int       // 0 means 50; at most 1,000
}

// FeedCursor says what somebody who follows events has seen: of each node, by its number, all up to a place. A node that it does not
// name has joined since, and nothing of it was seen.
type FeedCursor map[uint16]Ref

// Feed is what was stored behind a cursor.
type Feed struct {
	Events  []*Event   // oldest first, by the time of receipt; those of one node in the order in which it stored them
	Next    FeedCursor // behind all of them
	Skipped bool       // there was more than the limit: the oldest are left out
}

// Story is everything that is known about one event.
type Story struct {
	Event      *Event
	Deliveries []DeliveryStory // in the order of the event's endpoints; empty when the event matched none
}

// DeliveryStory is one delivery with its attempts, oldest first.
type DeliveryStory struct {
	ID       DeliveryID
	Reward   RewardID // the reward that it is about; empty when it is about the event
	Endpoint string   // "app/endpoint"; "#7" when the endpoint is deleted
	State    DeliveryState
	Due      time.Time // of the next attempt, when pending in the due table; else zero
	Attempts []Attempt
}

// RefusedFilter selects refused postbacks. An empty field lets all through.
type RefusedFilter struct {
	App      string
	Source   string
	Reason   Reason
	From, To time.Time // when they were received
	Before   ReceivedID
	Limit    int // 0 means 50; at most 1,000
}

// CountFilter selects counts. Zero times are open ends; GroupBy holds names of Count's dimensions by their JSON keys,
// "minute", "hour" and "day" among them. Nothing grouped means one row of totals per outcome.
type CountFilter struct {
	From, To time.Time
	App      string
	Source   string
	GroupBy  []string
	Rewards  bool // count what rules decided, by app, source and outcome, in place of what became of events
}

// Count is how many received postbacks of one kind there were. Dimensions that were not grouped by are empty.
type Count struct {
	At         time.Time `json:"at,omitzero"` // start of the minute, hour or day, UTC
	App        string    `json:"app,omitempty"`
	Source     string    `json:"source,omitempty"`
	Zone       string    `json:"zone,omitempty"`
	RequestVar string    `json:"request_var,omitempty"`
	EventType  string    `json:"event_type,omitempty"`
	Value      string    `json:"value,omitempty"`   // "valued", "not_valued", "empty", "unknown"
	Outcome    string    `json:"outcome,omitempty"` // see the Outcome constants, or "refused:" and "unverified:" with a Reason
	N          int64     `json:"n"`
	Price      string    `json:"price,omitempty"` // sum of the estimated prices, exact
}

// Outcomes of received postbacks and reported events, as counted.
const (
	OutcomeAccepted      = "accepted"
	OutcomeHeld          = "held"
	OutcomeUnmatched     = "unmatched" // accepted, and no endpoint wanted it
	OutcomeDuplicate     = "duplicate"
	OutcomeDuplicateLate = "duplicate_late" // a copy that came more than an hour after the first: ymids that repeat
	OutcomeConflict      = "conflict"       // a copy that disagrees in amount or user
	OutcomeRefused       = "refused"        // followed by ":" and the reason
	OutcomeUnverified    = "unverified"     // followed by ":" and the reason
)

// Outcomes of events by the rules of their app, counted apart from the others: see [CountFilter].
const (
	OutcomeReward    = "reward:"          // followed by what was decided, ":" and the rule: "reward:granted:watch", "reward:declined:capped:watch"
	OutcomeUncounted = "reward:uncounted" // the network pays for the event, and no rule counts it
)

// DeliveryCount is how many deliveries of an endpoint ended, or attempts failed, in a minute, hour or day.
type DeliveryCount struct {
	At       time.Time `json:"at,omitzero"`
	Endpoint string    `json:"endpoint,omitempty"` // "app/endpoint"
	Outcome  string    `json:"outcome,omitempty"`  // "delivered", "dead", "expired", "retry"
	N        int64     `json:"n"`
}

// Backlog is what waits for one endpoint in the due table.
type Backlog struct {
	Endpoint int       `json:"-"`
	Waiting  int64     `json:"waiting"`
	Oldest   time.Time `json:"oldest,omitzero"`   // when the oldest waiting event was accepted
	NextDue  time.Time `json:"next_due,omitzero"` // when the next attempt is due
}

// LaneState is how one endpoint's lane stands right now.
type LaneState struct {
	Endpoint    string    `json:"endpoint"` // "app/endpoint"
	Paused      bool      `json:"paused"`
	Breaker     string    `json:"breaker"` // "closed", "open"
	Since       time.Time `json:"since,omitzero"`
	InFlight    int       `json:"in_flight"`
	Queued      int       `json:"queued"`
	LastFailure string    `json:"last_failure,omitempty"` // "status 503", "timeout while reading", …
	LastFailed  time.Time `json:"last_failed,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	NextProbe   time.Time `json:"next_probe,omitzero"`
}

// APIKey lets a program use /v1. The key itself is shown once and only its SHA-256 is kept.
type APIKey struct {
	ID   string `json:"id"` // "key_…"
	Name string `json:"name"`
	App  string `json:"app,omitempty"` // empty: all apps
	// Publisher limits the key to what is that publisher's, with the scope publisher.
	Publisher string    `json:"publisher,omitempty"`
	Scope     Scope     `json:"scope"`
	Created   time.Time `json:"created"`
	LastUsed  time.Time `json:"last_used,omitzero"`
	Sum       [32]byte  `json:"-"`
}

// Scope is what an API key may do.
type Scope string

const (
	ScopeEvents Scope = "events" // report events
	ScopeRead   Scope = "read"   // read everything but secrets
	ScopeAdmin  Scope = "admin"  // everything
	// ScopePublisher sets up one publisher's own apps, zones and endpoints, and reads what became of their events.
	ScopePublisher Scope = "publisher"
)

// Trouble says since when the store cannot store anything, and why: a full disk, most often. The zero value means that it can.
type Trouble struct {
	Since  time.Time
	Reason string
}

// Watched is one thing that has just happened, as live feeds show it: exactly one of Event, Refused, Unverified and Sent is set. Nothing
// that it points to changes any more.
type Watched struct {
	Event   *Event  // that was accepted, or of which there was a copy: then without an id
	Outcome string  // of an event: OutcomeAccepted, OutcomeHeld, OutcomeUnmatched or OutcomeDuplicate
	First   EventID // of a copy: the event that it is a copy of

	Refused    *Refused
	Unverified *Unverified

	Sent *SentAttempt
	For  *Event // what was sent is about
}
