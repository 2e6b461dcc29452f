// Package books settles, in the commit of an event, what it earns and what it changes about earlier rewards: one sequence of steps
// for every database.
//
// [Settle] asks the open transaction through [Books] for what bears on each candidate, has the rule decide, and writes what follows:
// rewards with their claims, lines of the ledger, counters. It keeps nothing between calls, and looks at no clock: everything that it
// depends on is in the submission or in the transaction.
package books

import (
	"errors"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/tables"
)

// Books are the rewards of one database as the commit under way sees them, with what that commit has written itself.
type Books interface {
	// Claimed says who has claimed a view or a transaction: the rule ("app/rule"), or another that is not additional.
	Claimed(sum [16]byte, rule string) (carom.Earned, error)
	// Claimant is the reward that has claimed the sum, of a rule that is not additional; nil when none has.
	Claimant(sum [16]byte) (*tables.RewardRow, error)
	// Reversed says whether a view or a transaction was taken back.
	Reversed(sum [16]byte) (bool, error)
	Counter(key carom.CounterKey) (carom.Counter, error)
	// LastGrant is the zero time when there was none.
	LastGrant(key LastKey) (time.Time, error)
	// Reward returns carom.ErrNotFound when there is none of that id.
	Reward(id carom.RewardID) (*tables.RewardRow, error)
	// Earned are the rewards of a view or a transaction, in the order in which they were made.
	Earned(sum [16]byte) ([]*tables.RewardRow, error)

	// Raise counts a reward that is about to be made under a cap; LastGranted notes it for its rule's cooldown.
	Raise(r *tables.RewardRow, key carom.CounterKey, limit *carom.CapAt)
	LastGranted(r *tables.RewardRow, key LastKey, at time.Time)
	// Make gives a reward its number and its id, claims its sums, and stores it.
	Make(r *tables.RewardRow) error
	// Change stores a reward's new state, with until, changed and why.
	Change(r *tables.RewardRow) error
	// Append adds a line to the ledger and to the balance that it changes.
	Append(l *Line) error
	// Reverse notes that a view or a transaction earns nothing any more.
	Reverse(sum [16]byte, at time.Time) error
}

// LastKey is a rule ("app/rule") and a user whom it granted something.
type LastKey struct{ Rule, User string }

// LastOf is what the last grant of a candidate's rule to a user is kept under.
func LastOf(c *carom.Candidate, user string) LastKey {
	if c.Again {
		return LastKey{c.Rule + " again", user}
	}
	return LastKey{c.Rule, user}
}

// Line is a line of the ledger about to be written.
type Line struct {
	Reward *tables.RewardRow
	N      int
	At     time.Time
	Amount carom.Nanos
	Event  carom.EventID
	Why    string
	Late   bool // not written together with its reward
}

// Settler settles submissions. All its fields are set.
type Settler struct {
	Books  Books
	Decide func(*carom.Candidate, *carom.RewardFacts) carom.Decision
	Counts *tables.Counts
}

// Idle says whether a submission neither earns nor changes anything, so that nothing needs to be settled.
func Idle(sub *carom.Submission) bool {
	return len(sub.Candidates) == 0 && sub.Change == (carom.RewardChange{})
}

// Settle settles an event that is no copy: its id and its view are known, and view is the sum that rewards of the view claim. life is
// that in which its id was given out, and ref its place. It leaves the decisions in the receipt, and marks the targets that nothing is owed to.
func (s *Settler) Settle(sub *carom.Submission, life carom.Incarnation, ref carom.Ref, view [16]byte) error {
	for i := range sub.Candidates {
		c := &sub.Candidates[i]
		facts, err := s.facts(sub, c, view)
		if err != nil {
			return err
		}
		d := s.Decide(c, &facts)
		_, name, _ := strings.Cut(c.Rule, "/")
		made := carom.Decided{Rule: name, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.State != carom.RewardDeclined {
			r := earnedBy(sub, life, ref, view)
			r.Rule, r.User, r.Currency, r.Amount = name, facts.User, c.Currency, d.Amount
			r.State, r.Until, r.Additional = d.State, d.Until, c.Additional
			s.raise(c, &d, r)
			if err := s.grant(r); err != nil {
				return err
			}
			made.Reward = asItIs(r)
		}
		s.Counts.Reward(sub.Event, &made)
		sub.Receipt.Decided = append(sub.Receipt.Decided, made)
	}
	for i := range sub.Targets {
		if t := &sub.Targets[i]; t.Candidate > 0 {
			t.Unowed = sub.Receipt.Decided[t.Candidate-1].State != carom.RewardGranted
		}
	}
	return s.change(sub, life, ref)
}

// asItIs copies a reward for a receipt: a later event of the same commit may change the row, and what this one's endpoints are told
// must not change with it.
func asItIs(r *tables.RewardRow) *carom.Reward {
	told := r.Reward
	return &told
}

// earnedBy begins the row of a reward that the event at ref earns.
func earnedBy(sub *carom.Submission, life carom.Incarnation, ref carom.Ref, view [16]byte) *tables.RewardRow {
	ev := sub.Event
	return &tables.RewardRow{Life: life, Ref: ref, View: view, Tx: sub.Transaction, Reward: carom.Reward{
		At: ev.At, Changed: ev.At, App: ev.App, Event: ev.ID, Source: ev.Source, Network: ev.Network, View: ev.View, YMID: ev.YMID,
		ZoneID: ev.ZoneID, RequestVar: ev.RequestVar, Transaction: ev.ExternalID,
	}}
}

// grant makes a reward, and credits it unless it is held.
func (s *Settler) grant(r *tables.RewardRow) error {
	if err := s.Books.Make(r); err != nil || r.State != carom.RewardGranted {
		return err
	}
	return s.Books.Append(&Line{Reward: r, N: 1, At: r.At, Amount: r.Amount, Event: r.Event, Why: r.Why})
}

// facts gathers what bears on a candidate.
func (s *Settler) facts(sub *carom.Submission, c *carom.Candidate, view [16]byte) (f carom.RewardFacts, err error) {
	f.User = sub.View.User
	if v := sub.View.View; v != nil {
		f.Placement, f.PlacementFixed, f.OtherSource = v.Placement, v.Fixed, !v.Expects(sub.Event.Source)
	}
	for _, sum := range [...][16]byte{view, sub.Transaction} {
		if f.Reversed || sum == ([16]byte{}) {
			continue
		}
		if f.Reversed, err = s.Books.Reversed(sum); err != nil {
			return f, err
		}
	}
	if f.View, err = s.earned(view, c); err != nil {
		return f, err
	}
	plain, err := s.earned(sub.View.Plain, c) // by events that came before the view was opened
	if err != nil {
		return f, err
	}
	f.View.ByRule, f.View.ByOther = f.View.ByRule || plain.ByRule, f.View.ByOther || plain.ByOther
	if f.Transaction, err = s.earned(sub.Transaction, c); err != nil {
		return f, err
	}
	if c.Cooldown > 0 {
		if f.LastGrant, err = s.Books.LastGrant(LastOf(c, f.User)); err != nil {
			return f, err
		}
	}
	if len(c.Caps) > 0 {
		f.Counters = make([]carom.Counter, len(c.Caps))
	}
	for i := range c.Caps {
		if f.Counters[i], err = s.Books.Counter(c.Counter(i, f.User)); err != nil {
			return f, err
		}
	}
	return f, nil
}

// earned says what a view or a transaction has earned before.
func (s *Settler) earned(sum [16]byte, c *carom.Candidate) (carom.Earned, error) {
	if sum == ([16]byte{}) {
		return carom.Earned{}, nil
	}
	return s.Books.Claimed(sum, c.Rule)
}

// raise counts a reward under its candidate's caps, and for its cooldown.
func (s *Settler) raise(c *carom.Candidate, d *carom.Decision, r *tables.RewardRow) {
	for i := range c.Caps {
		limit := &c.Caps[i]
		if slices.ContainsFunc(d.Raise, func(a carom.CapAt) bool { return a.Scope == limit.Scope }) {
			s.Books.Raise(r, c.Counter(i, r.User), limit)
		}
	}
	if c.Cooldown > 0 {
		s.Books.LastGranted(r, LastOf(c, r.User), c.At)
	}
}

// change carries out what the event does to rewards that are there, or are granted by hand.
func (s *Settler) change(sub *carom.Submission, life carom.Incarnation, ref carom.Ref) error {
	ch := &sub.Change
	switch {
	case ch.Reverse != [16]byte{}:
		return s.reverse(sub)
	case ch.Void != "" || ch.Mature != "":
		r, err := s.Books.Reward(ch.Void + ch.Mature)
		if errors.Is(err, carom.ErrNotFound) || errors.Is(err, carom.ErrInvalid) {
			return nil // nobody's reward: the event says so by deciding nothing
		}
		if err != nil {
			return err
		}
		return s.advance(sub, r, ch.Mature != "")
	case ch.Grant != nil:
		var was *tables.RewardRow
		if sub.Transaction != ([16]byte{}) {
			var err error
			if was, err = s.Books.Claimant(sub.Transaction); err != nil {
				return err
			}
		}
		if was != nil { // the same grant again, whose first event may be forgotten
			sub.Receipt.Decided = append(sub.Receipt.Decided, carom.Decided{
				Rule: carom.RuleByHand, State: carom.RewardDeclined, Reason: carom.DeclineTransaction, Reward: &was.Reward,
			})
			return nil
		}
		r := earnedBy(sub, life, ref, [16]byte{})
		r.App, r.Rule, r.User, r.Currency, r.Amount = ch.Grant.App, carom.RuleByHand, ch.Grant.User, ch.Grant.Currency, ch.Grant.Amount
		r.State, r.Why, r.Source = carom.RewardGranted, ch.Why, carom.SourceCarom
		if err := s.grant(r); err != nil {
			return err
		}
		s.owe(sub, r)
	}
	return nil
}

// reverse takes back what the transaction or the view has earned, and notes that it never will earn more: neither by an
// event that was overtaken, nor by a rule that pays beside the others.
func (s *Settler) reverse(sub *carom.Submission) error {
	sum := sub.Change.Reverse
	earned, err := s.Books.Earned(sum)
	if err != nil {
		return err
	}
	for _, r := range earned {
		if err := s.advance(sub, r, false); err != nil {
			return err
		}
	}
	had, err := s.Books.Reversed(sum)
	if err != nil || had {
		return err
	}
	return s.Books.Reverse(sum, sub.Event.At)
}

// advance moves a reward on: a hold ends, or what it was is taken back. What has come to its end stays as it is.
func (s *Settler) advance(sub *carom.Submission, r *tables.RewardRow, mature bool) error {
	ev, why := sub.Event, sub.Change.Why
	line := &Line{Reward: r, At: ev.At, Event: ev.ID, Why: why, Late: true}
	switch {
	case mature && r.State == carom.RewardHeld:
		r.State = carom.RewardGranted
		line.N, line.Amount = 1, r.Amount
	case !mature && r.State == carom.RewardHeld:
		r.State = carom.RewardCanceled
	case !mature && r.State == carom.RewardGranted:
		r.State = carom.RewardReversed
		line.N, line.Amount = 2, -r.Amount
	default:
		return nil
	}
	if line.N > 0 {
		if err := s.Books.Append(line); err != nil {
			return err
		}
	}
	r.Until, r.Changed, r.Why = time.Time{}, ev.At, why
	if err := s.Books.Change(r); err != nil {
		return err
	}
	s.owe(sub, r)
	return nil
}

// owe notes in the receipt what became of a reward, and adds the endpoints that are to hear of it.
func (s *Settler) owe(sub *carom.Submission, r *tables.RewardRow) {
	made := carom.Decided{Rule: r.Rule, State: r.State, Reward: asItIs(r)}
	sub.Receipt.Decided = append(sub.Receipt.Decided, made)
	s.Counts.Reward(sub.Event, &made)
	if sub.RewardTargets == nil || r.State == carom.RewardCanceled {
		return // nobody was told of it before
	}
	for _, no := range sub.RewardTargets(r.App, r.Rule, r.Source) {
		if len(sub.Targets) < carom.MaxFanOut {
			sub.Targets = append(sub.Targets, carom.Target{Endpoint: no, Candidate: len(sub.Receipt.Decided)})
		}
	}
}
