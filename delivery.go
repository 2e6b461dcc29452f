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

// Delivery is one event owed to one endpoint.
type Delivery struct {
	ID       DeliveryID
	Event    *Event
	Endpoint int // the endpoint's number
	Ordinal  int // the endpoint's place in the event's list
	Attempts int // attempts made so far
	Step     int // how far along the schedule it is: attempts made while the breaker was open do not count

	// Ticket is the store's note on a delivery that lives in memory only; zero for one that has a row in the due table.
	Ticket uint64
}

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
