package carom

import (
	"fmt"
	"strings"
	"time"
)

// QuarterMinutes is the grain of counts that outlive the minute: every time zone in use is off UTC by a multiple of it.
const QuarterMinutes = 15

// QuarterFilter selects counts by the quarter of an hour. An empty App or Source selects all; From and To are rounded down to
// quarters.
type QuarterFilter struct {
	App, Source string
	From, To    time.Time
}

// QuarterCount is how many received postbacks or decided rewards of one kind there were in a quarter of an hour. For a reward,
// EventType is empty, Value is its currency and the sum is what was granted or taken back.
type QuarterCount struct {
	At        time.Time // its start, UTC
	App       string
	Source    string
	Zone      string // empty for what has none: refused and unverified postbacks
	EventType string
	Value     string // "valued", "not_valued", "empty", "unknown"
	Outcome   string // as in [Count]
	N         int64
	Units     int64 // the sum of prices is Units + Nanos / 10^9, each summed by itself
	Nanos     int64
}

// StatementID names a statement: "stm_" and 21 characters, sorted by time.
type StatementID string

// NewStatementID makes the id of the statement of the given number, from 1 on.
func NewStatementID(inc Incarnation, no int64) StatementID {
	b := make([]byte, 0, 4+21)
	return StatementID(appendPlace(append(b, "stm_"...), inc, Ref{Bucket: uint32(no >> seqBits), Seq: uint32(no & (1<<seqBits - 1))}))
}

// Number says which statement it is, from 1 on. It returns ErrInvalid when id is not a statement id.
func (id StatementID) Number() (inc Incarnation, no int64, err error) {
	s, prefixed := strings.CutPrefix(string(id), "stm_")
	inc, r, rest, ok := readPlace(s)
	if !prefixed || !ok || rest != "" {
		return 0, 0, fmt.Errorf("%q is not the id of a statement: %w", string(id), ErrInvalid)
	}
	return inc, int64(r.Uint64()), nil
}

// Statement is a file of statistics that a network gave for one source. It is never changed; a later one for the same days takes
// its place in comparisons.
type Statement struct {
	ID       StatementID
	At       time.Time // when it was imported
	By       string    // the name of an API key, or "local socket"
	App      string
	Source   string
	File     string // its name, as it was given
	SHA256   string // of its bytes, in hex
	Reading  string // how it was read: a sum over the column map and the options, so that the same file read alike is recognised
	Map      string // the name of the column map; "own" for one that was given
	Currency string // of its revenue; empty when it has none
	DayZone  string // IANA name of the zone of its days; empty when nobody said
	From, To string // its first and last day, "2026-03-29"
	Rows     int
	Notes    []string // what was left out, or assumed, in sentences
}

// StatementRow is what a network says of one day, zone and sub-zone. A count that it does not give is nil.
type StatementRow struct {
	Day         string
	Zone        string
	SubZone     string
	Impressions *int64
	Clicks      *int64
	Valued      *int64
	Revenue     Price
}

// StatementFilter selects statements. An empty field lets all through.
type StatementFilter struct {
	App    string
	Source string
	Limit  int // 0 means 50; at most 1,000
}
