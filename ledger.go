package carom

import (
	"fmt"
	"strings"
	"time"
)

// RewardID names a reward: "rwd_0c5g21r0000010000000k", 4 + 21 characters, sorted by time.
type RewardID string

// Reward is what a view, or a person by hand, entitled a user to. Its amount never changes; its state may.
type Reward struct {
	ID       RewardID
	At       time.Time // when it was decided, UTC, milliseconds
	App      string
	Rule     string // the rule's name within the app; RuleByHand
	User     string
	Currency string
	Amount   Nanos // above zero
	State    RewardState
	Until    time.Time // when a held one is credited; else zero
	Changed  time.Time // when it came to its state
	Why      string    // why it was granted by hand, canceled or reversed; else empty

	Event       EventID // what earned it. Retention drops the event, never the reward
	Source      string
	Network     string
	View        ViewID // empty: its first event made the view, and is to be found by ymid and zone
	YMID        string
	ZoneID      string
	RequestVar  string
	Transaction string // the network's; empty for none
}

// RuleByHand stands for the rule of rewards that a person granted. No rule can have that name.
const RuleByHand = "-"

// SourceCarom is the name of the source of events that carom makes itself: what a person did to rewards, and holds that end.
// No source can have that name.
const SourceCarom = "-carom"

// LedgerLine is one credit or debit of a user's account in one currency. It is never changed. What a user has is the sum.
type LedgerLine struct {
	Reward   RewardID
	N        int // from 1, within the reward
	At       time.Time
	App      string
	User     string
	Currency string
	Amount   Nanos   // below zero for a debit
	Event    EventID // its cause
	Why      string  // in words; empty when an event earned it
}

// Balance is what a user has in one currency: a decimal, since a sum may be beyond Nanos.
type Balance struct {
	App      string    `json:"app"`
	User     string    `json:"user"`
	Currency string    `json:"currency"`
	Amount   string    `json:"amount"`
	Changed  time.Time `json:"changed"`
}

// Decided is what became of a candidate, as it is kept with its event.
type Decided struct {
	Rule   string // its name within the app
	State  RewardState
	Reason DeclineReason // when declined
	Cap    string        // the cap that was reached, when that was the reason
	Reward *Reward       // unless declined
}

// RewardChange is what an event does to rewards beyond its candidates. At most one of its fields but Why is set.
type RewardChange struct {
	Reverse [16]byte // the sum of a transaction, or of a view: what it earned is taken back, and nothing is earned by it later
	Void    RewardID // this reward is taken back
	Mature  RewardID // the hold of this reward has ended: it is credited
	Grant   *Reward  // granted by hand: App, User, Currency and Amount are given
	Why     string
}

// RewardFilter selects rewards. An empty field lets all through.
type RewardFilter struct {
	App      string
	User     string
	Rule     string // its name, with App
	Source   string // its name, with App
	State    RewardState
	From, To time.Time // when they were decided
	Before   RewardID  // the cursor: only rewards older than this one
	Limit    int       // 0 means 50; at most 1,000
}

// LedgerFilter selects lines of one user's account.
type LedgerFilter struct {
	App, User string // both are needed
	Currency  string
	Before    LedgerCursor
	Limit     int // 0 means 50; at most 1,000
}

// LedgerCursor is where a list of lines goes on: behind this line. The zero value is the start.
type LedgerCursor struct {
	Reward RewardID
	N      int
}

// LedgerReport is what a check of the whole ledger found. Faults are sentences, at most a hundred.
type LedgerReport struct {
	Rewards  int64    `json:"rewards"`
	Lines    int64    `json:"lines"`
	Balances int64    `json:"balances"`
	Faults   []string `json:"faults"`
}

// NewRewardID makes the id of the reward of the given number, from 1 on.
func NewRewardID(inc Incarnation, no int64) RewardID {
	b := make([]byte, 0, 4+21)
	return RewardID(appendPlace(append(b, "rwd_"...), inc, Ref{Bucket: uint32(no >> seqBits), Seq: uint32(no & (1<<seqBits - 1))}))
}

// Number says which reward it is, from 1 on. It returns ErrInvalid when id is not a reward id.
func (id RewardID) Number() (inc Incarnation, no int64, err error) {
	s, prefixed := strings.CutPrefix(string(id), "rwd_")
	inc, r, rest, ok := readPlace(s)
	if !prefixed || !ok || rest != "" {
		return 0, 0, fmt.Errorf("%q is not a reward id: %w", string(id), ErrInvalid)
	}
	return inc, int64(r.Uint64()), nil
}

// By is who does something by hand, and why. It is kept with what was done.
type By struct {
	Who string // the name of an API key, or "local socket"
	Why string
}

// String is how it stands in a ledger line.
func (b By) String() string { return b.Why + " (" + b.Who + ")" }

// Reprocessed is what came of judging a held event or a refused postback again.
type Reprocessed struct {
	Of      string    // its id
	Event   EventID   // that it made, or that it is a copy of; empty when it made none
	Copy    bool      // there was such an event already: nothing was granted or sent
	Decided []Decided // of the new event
	Reason  string    // why it made none, and the fix
}
