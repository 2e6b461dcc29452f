package carom

import "time"

// Node is one process that works, or has worked, on a database that several share; or the one that works on a data folder.
type Node struct {
	No       int       `json:"no"` // its number, which its ids carry; 0 in a data folder
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Schema   int       `json:"schema,omitzero"` // of the database, as its release knows it; 0 in a data folder
	State    NodeState `json:"state" enum:"alive,silent,ended,left"`
	Self     bool      `json:"self"` // the one that answers
	Began    time.Time `json:"began"`
	Seen     time.Time `json:"seen"` // its latest sign of life, by the database's clock
	Ended    time.Time `json:"ended,omitzero"`
	Events   int64     `json:"events"`                  // that it has accepted
	Attempts int64     `json:"attempts"`                // whose outcomes it has stored
	Claimed  int64     `json:"claimed"`                 // waiting deliveries that are in its hands
	Duties   []string  `json:"duties" nullable:"false"` // what it does for all: "house" is retention, "holds" credits held rewards, "alerts" tells people

	ClockAheadMS int64 `json:"clock_ahead_ms"` // how far its machine's clock is ahead of the database's, in milliseconds; below zero: behind
}

// NodeState is how a node stands.
type NodeState string

// The states.
const (
	NodeAlive  NodeState = "alive"
	NodeSilent NodeState = "silent" // its lease still stands, but it has shown no sign of life for some seconds
	NodeEnded  NodeState = "ended"  // it gave its lease back, or another node ended it; what it left is taken over
	NodeLeft   NodeState = "left"   // its lease has ended, and what it left is not taken over yet
)
