package reward

import (
	"slices"
	"time"

	"carom"
)

// Decide says what becomes of a candidate. Candidates of one event are decided in their order, each with the facts that the
// ones before it have left behind.
//
// When several reasons speak against it, the first of these is given: placement, other_source (the rule or the view is not
// about this event); reversed, transaction, rewarded (money has moved, or was taken back, for ever); no_user; untrusted,
// no_price, zero (the event, whose view may earn by a later one); cooldown, capped (limits that pass). Where several caps are
// reached it is the first of the rule's. A cap never splits an amount: what would exceed it is declined as a whole. A counter
// that is missing from the facts counts as reached.
func Decide(c *carom.Candidate, f *carom.RewardFacts) carom.Decision {
	if reason, reached := decline(c, f); reason != "" {
		return carom.Decision{State: carom.RewardDeclined, Reason: reason, Cap: reached}
	}
	d := carom.Decision{State: carom.RewardGranted, Amount: c.Amount, Raise: c.Caps}
	if c.Hold > 0 {
		d.State, d.Until = carom.RewardHeld, c.At.Add(c.Hold)
	}
	return d
}

func decline(c *carom.Candidate, f *carom.RewardFacts) (reason carom.DeclineReason, reached string) {
	switch {
	case len(c.RequestVars) > 0 && !(f.PlacementFixed && slices.Contains(c.RequestVars, f.Placement)):
		return carom.DeclinePlacement, ""
	case f.OtherSource:
		return carom.DeclineOtherSource, ""
	case f.Reversed:
		return carom.DeclineReversed, ""
	case earned(c, f.Transaction):
		return carom.DeclineTransaction, ""
	case earned(c, f.View):
		return carom.DeclineRewarded, ""
	case f.User == "":
		return carom.DeclineNoUser, ""
	case c.Declined != "":
		return c.Declined, ""
	case c.Amount <= 0: // no rule makes such a candidate
		return carom.DeclineZero, ""
	case tooSoon(c, f.LastGrant):
		return carom.DeclineCooldown, ""
	}
	for i := range c.Caps {
		if i >= len(f.Counters) || isReached(&c.Caps[i], f.Counters[i], c.Amount) {
			return carom.DeclineCapped, c.Caps[i].Scope
		}
	}
	return "", ""
}

// earned says whether what was earned before stands in the way of the candidate.
func earned(c *carom.Candidate, e carom.Earned) bool { return e.ByRule || e.ByOther && !c.Additional }

// tooSoon says whether the cooldown since the last reward runs. It does when the clock was set back. Events that are judged
// again are compared with one another alone, and come in parts, of which a later one may be older.
func tooSoon(c *carom.Candidate, last time.Time) bool {
	passed := c.At.Sub(last)
	if c.Again {
		passed = passed.Abs()
	}
	return c.Cooldown > 0 && !last.IsZero() && passed < c.Cooldown
}

// isReached says whether one more reward of the given amount would exceed the cap.
func isReached(a *carom.CapAt, n carom.Counter, amount carom.Nanos) bool {
	if a.Rewards > 0 && n.Rewards >= int64(a.Rewards) {
		return true
	}
	// The difference cannot overflow: neither is negative.
	return a.Amount.Set && (n.Amount >= a.Amount.Nanos || amount > a.Amount.Nanos-n.Amount)
}
