package carom

import "time"

// Rule says which events earn what. One reward is made per rule and view, for ever; unless a rule is Additional, one view
// earns by one rule only.
type Rule struct {
	App  string `json:"app"`
	Name string `json:"name"`

	Filter RuleFilter `json:"filter,omitzero"`
	Price  PriceRule  `json:"price"`

	Additional bool          `json:"additional,omitempty"` // pays beside other rules that count the same events
	Caps       []Cap         `json:"caps,omitempty"`
	Cooldown   time.Duration `json:"cooldown,omitempty"` // between two rewards of the rule for one user
	Hold       time.Duration `json:"hold,omitempty"`     // the reward is credited so long after its event
}

// ID names the rule among all: "app/rule".
func (r *Rule) ID() string { return r.App + "/" + r.Name }

// WithDefaults returns r with what is absent filled in, but for the step, which follows from the currency.
func (r Rule) WithDefaults() Rule {
	if len(r.Filter.Values) == 0 {
		r.Filter.Values = []RewardEventType{Valued}
	}
	if r.Price.From == "" {
		return r
	}
	if r.Price.Rate == 0 {
		r.Price.Rate = nanosPerUnit
	}
	if r.Price.Share == 0 {
		r.Price.Share = nanosPerUnit
	}
	if r.Price.Round == "" {
		r.Price.Round = RoundDown
	}
	return r
}

// RuleFilter says which events a rule counts. An empty list lets all through, but for Values, where it stands for
// [Valued] alone. Unknown values, held events, tests and reversals never count.
type RuleFilter struct {
	Networks   []string          `json:"networks,omitempty"` // names of profiles
	Sources    []string          `json:"sources,omitempty"`
	Zones      []string          `json:"zones,omitempty"`
	EventTypes []EventType       `json:"event_types,omitempty"`
	Values     []RewardEventType `json:"values,omitempty"` // "" stands for: the network did not say
	// RequestVars are compared with the placement that the app's backend opened the view with, never with what the browser
	// said: see [RewardFacts].
	RequestVars []string `json:"request_vars,omitempty"`
}

// PriceRule says what a reward is worth: a fixed amount, or one worked out from what the network sent, as
// field × Rate × Share, held between Min and Max, and rounded to a multiple of Step.
type PriceRule struct {
	Currency string `json:"currency"`
	Fixed    Price  `json:"fixed,omitzero"`

	// From is the field that the amount comes from: PriceEstimate or PriceReward; empty for a fixed price. What follows
	// belongs to such a price alone.
	From        string `json:"from,omitempty"`
	Rate        Nanos  `json:"rate,omitempty"`         // units of Currency for one unit of the field, in billionths; 0 means 1
	Share       Nanos  `json:"share,omitempty"`        // the user's part, from 0 to 1, in billionths; 0 means all
	Min         Price  `json:"min,omitzero"`           // paid where the field says less
	Max         Price  `json:"max,omitzero"`           // needed with From: nobody's number is taken unbounded
	Step        Nanos  `json:"step,omitempty"`         // amounts are multiples of it; 0 means the currency's decimals
	Round       string `json:"round,omitempty"`        // RoundDown (the default), RoundNearest (half away from zero), RoundUp
	TrustSecret bool   `json:"trust_secret,omitempty"` // an amount that no signature covers is taken all the same
}

// The fields that a price can come from, and the ways to round.
const (
	PriceEstimate = "estimated_price" // the network's estimate of what it pays
	PriceReward   = "reward_amount"   // what the network was told to give

	RoundDown    = "down"
	RoundNearest = "nearest"
	RoundUp      = "up"
)

// Cap bounds how much is granted. Per says for what each bound counts: any of CapUser, CapDay (in the app's time zone) and
// CapRule. A cap without a name counts its own rule alone, and so does one with CapRule; any other counts all rules of the
// app that have a cap of the same Name, and is written the same in each of them.
type Cap struct {
	Name    string   `json:"name,omitempty"`
	Per     []string `json:"per"`
	Rewards int      `json:"rewards,omitempty"` // at most so many; 0: no bound
	Amount  Price    `json:"amount,omitzero"`   // at most so much in all
}

// What a cap can count for.
const (
	CapUser = "user"
	CapDay  = "day"
	CapRule = "rule"
)

// Candidate is what one rule would pay for one event. It is worked out before the commit, from the event and the
// configuration alone; whether it is granted is decided in the commit, from [RewardFacts]: see internal/reward. Its slices
// are shared and must not be changed.
type Candidate struct {
	Rule        string    // "app/rule"
	At          time.Time // the moment for which it counts
	Day         int32     // the day of At in the app's time zone, as 20261122
	RequestVars []string  // the view has to be opened with one of these; empty: anywhere
	Currency    string
	Amount      Nanos
	Declined    DeclineReason // it is certain already that nothing is paid
	Additional  bool
	Again       bool // the event is judged again, by somebody who released it: its cooldown is counted apart
	Hold        time.Duration
	Cooldown    time.Duration
	Caps        []CapAt
}

// CapAt is a cap as it applies to the candidates of one rule.
type CapAt struct {
	// Scope is the text that the cap's counters are kept under, but for the user and the day. It changes with everything that
	// makes an older count meaningless, and not with the bounds.
	Scope   string
	PerUser bool
	PerDay  bool
	Rewards int   // 0: no bound
	Amount  Price // absent: no bound
}

// CounterKey names the counter of a cap. User is empty and Day is zero where the cap does not count by them.
type CounterKey struct {
	Scope string
	User  string
	Day   int32
}

// Counter is how much was granted under a cap.
type Counter struct {
	Rewards int64
	Amount  Nanos // 0 where the cap bounds no amount, so that it cannot overflow
}

// Raised returns the counter after a reward of the given amount under the cap a.
func (n Counter) Raised(a *CapAt, amount Nanos) Counter {
	n.Rewards++
	if a.Amount.Set {
		n.Amount += amount
	}
	return n
}

// Counter names the counter of c.Caps[i] for the given user.
func (c *Candidate) Counter(i int, user string) CounterKey {
	at := &c.Caps[i]
	key := CounterKey{Scope: at.Scope}
	if at.PerUser {
		key.User = user
	}
	if at.PerDay {
		key.Day = c.Day
	}
	return key
}

// RewardFacts is what is known in the commit and bears on whether one candidate is granted.
type RewardFacts struct {
	User string // to whom it would be credited; empty: nobody is known

	// Placement is the request_var that the app's backend opened the view with, when PlacementFixed says that it did. What
	// only the browser said fixes nothing.
	Placement      string
	PlacementFixed bool

	OtherSource bool   // the view was opened for other networks
	Reversed    bool   // the network took the transaction, or the view's earlier event, back before this one came
	View        Earned // what the view has earned
	Transaction Earned // what the network's transaction has earned; zero where the network names none

	LastGrant time.Time // when the rule's latest reward for the user counted, among those judged again or the others; zero: there is none
	Counters  []Counter // of the candidate's Caps, in their order
}

// Earned says what a view or a transaction has earned before, by rewards in whatever state but declined.
type Earned struct {
	ByRule  bool // by the candidate's own rule
	ByOther bool // by another rule that was not additional
}

// Decision is what becomes of a candidate.
type Decision struct {
	State  RewardState   // RewardGranted, RewardHeld or RewardDeclined
	Amount Nanos         // 0 when declined
	Until  time.Time     // when a held one is due; else zero
	Reason DeclineReason // why it is declined; else empty
	Cap    string        // the scope of the cap that is reached, with DeclineCapped
	// Raise are the caps whose counters go up, see [Counter.Raised]: all of the candidate's when granted or held, none when
	// declined.
	Raise []CapAt
}

// DeclineReason is a closed set of words for why a candidate earns nothing.
type DeclineReason string

// The reasons.
const (
	DeclineNoUser      DeclineReason = "no_user"      // nobody is known to whom it could be credited
	DeclinePlacement   DeclineReason = "placement"    // the backend did not open the view at a placement that the rule names
	DeclineNoPrice     DeclineReason = "no_price"     // the field that the price comes from is missing or no amount
	DeclineUntrusted   DeclineReason = "untrusted"    // no signature covers the amount, and the rule does not trust a secret
	DeclineZero        DeclineReason = "zero"         // the amount rounds to nothing
	DeclineRewarded    DeclineReason = "rewarded"     // this rule, or another that is not additional, has paid for the view
	DeclineTransaction DeclineReason = "transaction"  // the network's transaction has earned before
	DeclineReversed    DeclineReason = "reversed"     // the network took it back before it came
	DeclineCooldown    DeclineReason = "cooldown"     // too soon after the user's last one
	DeclineCapped      DeclineReason = "capped"       // a cap is reached
	DeclineOtherSource DeclineReason = "other_source" // the view was opened for other networks
	DeclineNoView      DeclineReason = "no_view"      // the network sends no id of the view, and none was opened for the user
)

// RewardState is where a reward stands.
type RewardState string

// The states. A held reward becomes granted or canceled; a granted one may be reversed.
const (
	RewardGranted  RewardState = "granted"
	RewardHeld     RewardState = "held"
	RewardCanceled RewardState = "canceled" // reversed or voided while it was held
	RewardReversed RewardState = "reversed" // debited again, by the network or by hand
	RewardDeclined RewardState = "declined"
)
