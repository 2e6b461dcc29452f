package store

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/tables"
)

func sortedBy[K comparable, V any](m map[K]V, compare func(x, y K) int) []K {
	if len(m) == 0 {
		return nil
	}
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compare)
	return keys
}

// decide settles, within the open transaction, which rewards the event earns and what it changes about earlier ones. It
// leaves the decisions in the receipt and marks the targets that nothing is owed to.
func (s *Store) decide(b *batch, sub *carom.Submission, ref carom.Ref) error {
	if len(sub.Candidates) == 0 && sub.Change == (carom.RewardChange{}) && sub.View.Joins == 0 {
		if sub.View.View != nil {
			sub.Event.View = sub.View.View.ID
		}
		return nil
	}
	view := s.joinView(b, sub, ref)
	for i := range sub.Candidates {
		c := &sub.Candidates[i]
		facts, err := s.facts(sub, c, view)
		if err != nil {
			return err
		}
		d := s.opts.Decide(c, &facts)
		_, name := splitRule(c.Rule)
		made := carom.Decided{Rule: name, State: d.State, Reason: d.Reason, Cap: d.Cap}
		if d.State != carom.RewardDeclined {
			r := s.earnedBy(sub, ref, view)
			r.Rule, r.User, r.Currency, r.Amount = name, facts.User, c.Currency, d.Amount
			r.State, r.Until, r.Additional = d.State, d.Until, c.Additional
			s.raise(c, &d, r)
			if err := s.makeReward(b, r); err != nil {
				return err
			}
			made.Reward = &r.Reward
		}
		s.counts.Reward(sub.Event, &made)
		sub.Receipt.Decided = append(sub.Receipt.Decided, made)
	}
	for i := range sub.Targets {
		if t := &sub.Targets[i]; t.Candidate > 0 {
			t.Unowed = sub.Receipt.Decided[t.Candidate-1].State != carom.RewardGranted
		}
	}
	return s.change(b, sub, ref)
}

func splitRule(id string) (app, name string) {
	for i := range id {
		if id[i] == '/' {
			return id[:i], id[i+1:]
		}
	}
	return "", id
}

// earnedBy begins the row of a reward that the event at ref earns.
func (s *Store) earnedBy(sub *carom.Submission, ref carom.Ref, view [16]byte) *tables.RewardRow {
	ev := sub.Event
	return &tables.RewardRow{Life: s.open.life, Ref: ref, View: view, Tx: sub.Transaction, Reward: carom.Reward{
		At: ev.At, Changed: ev.At, App: ev.App, Event: ev.ID, Source: ev.Source, Network: ev.Network, View: ev.View, YMID: ev.YMID,
		ZoneID: ev.ZoneID, RequestVar: ev.RequestVar, Transaction: ev.ExternalID,
	}}
}

// makeReward gives a reward its number, claims its sums, stores it and credits it unless it is held.
func (s *Store) makeReward(b *batch, r *tables.RewardRow) error {
	o := s.rewards.open
	s.rewards.newest++
	r.No = s.rewards.newest
	r.ID = carom.NewRewardID(r.Life, r.No)
	for _, sum := range r.Claims() {
		old, had := o.keys.firsts.put(sum, rewardFirst(r, uint32(r.No-o.first+1)))
		b.undo = append(b.undo, undoFirst{&o.keys.firsts, sum, old, had})
	}
	b.rewards = append(b.rewards, r)
	if err := s.st.reward.exec(r.Values(placeOf)...); err != nil {
		return err
	}
	if r.State != carom.RewardGranted {
		return nil
	}
	return s.addLine(r, 1, r.Amount, r.At, r.Event, r.Why, false)
}

// addLine appends a line to the ledger and to the balance that it changes.
func (s *Store) addLine(r *tables.RewardRow, n int, amount carom.Nanos, at time.Time, event carom.EventID, why string, late bool) error {
	a, amountSum := account{r.App, r.User, r.Currency}, sumOfAmount(amount, at)
	if !late {
		s.tallies.batch.balances[a] = s.tallies.batch.balances[a].plus(amountSum)
	} else if err := s.st.putBalance(a, amountSum); err != nil { // rare, and not to be found among the newest rewards
		return err
	}
	s.newLines = append(s.newLines, r.No, int64(n), at.UnixMilli(), r.App, r.User, r.Currency, int64(amount), string(event), why, tables.Truth(late))
	return nil
}

// lineWidth is how many columns a ledger line has.
const lineWidth = 10

// writeLines puts the batch's ledger lines into the open transaction, foldRows at once where there are as many.
func (s *Store) writeLines() error {
	for left := s.newLines; len(left) > 0; {
		rows, st := 1, s.st.line
		if len(left) >= foldRows*lineWidth {
			rows, st = foldRows, s.st.lines
		}
		if err := st.exec(left[:rows*lineWidth]...); err != nil {
			return err
		}
		left = left[rows*lineWidth:]
	}
	return nil
}

// facts gathers what bears on a candidate.
func (s *Store) facts(sub *carom.Submission, c *carom.Candidate, view [16]byte) (f carom.RewardFacts, err error) {
	f.User = sub.View.User
	if v := sub.View.View; v != nil {
		f.Placement, f.PlacementFixed, f.OtherSource = v.Placement, v.Fixed, !v.Expects(sub.Event.Source)
	}
	for _, sum := range [...][16]byte{view, sub.Transaction} {
		if f.Reversed {
			break
		}
		if f.Reversed, err = s.reversed(sum); err != nil {
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
		if f.LastGrant, err = s.lastGrant(lastOf(c, f.User)); err != nil {
			return f, err
		}
	}
	if len(c.Caps) > 0 {
		f.Counters = make([]carom.Counter, len(c.Caps))
	}
	for i := range c.Caps {
		if f.Counters[i], err = s.counter(c.Counter(i, f.User)); err != nil {
			return f, err
		}
	}
	return f, nil
}

// reversed says whether a view or transaction was taken back.
func (s *Store) reversed(sum [16]byte) (bool, error) {
	if sum == ([16]byte{}) || !s.rewards.reversals {
		return false, nil
	}
	_, _, ok, err := s.rewardOf(tables.ReversedSum(sum))
	return ok, err
}

// earned says what a view or a transaction has earned before.
func (s *Store) earned(sum [16]byte, c *carom.Candidate) (e carom.Earned, err error) {
	if sum == ([16]byte{}) {
		return e, nil
	}
	no, rule, found, err := s.rewardOf(sum)
	if err != nil {
		return e, err
	}
	if e.ByOther = found; found && rule == ruleHash(c.Rule) {
		r, err := s.rewardAt(no)
		if err != nil {
			return e, err
		}
		if r.App+"/"+r.Rule == c.Rule {
			e.ByRule, e.ByOther = true, false
		}
	}
	_, _, e2, err := s.rewardOf(tables.OwnSum(sum, c.Rule))
	e.ByRule = e.ByRule || e2
	return e, err
}

// raise counts a reward under its candidate's caps, and for its cooldown, and notes in it what it counted for.
func (s *Store) raise(c *carom.Candidate, d *carom.Decision, r *tables.RewardRow) {
	t := &s.tallies.batch
	var text counted
	for i := range c.Caps {
		limit := &c.Caps[i]
		if slices.ContainsFunc(d.Raise, func(a carom.CapAt) bool { return a.Scope == limit.Scope }) {
			key := c.Counter(i, r.User)
			t.counters[key] = t.counters[key].Raised(limit, d.Amount)
			text.counter(key, limit.Amount.Set)
		}
	}
	if c.Cooldown > 0 {
		key := lastOf(c, r.User)
		t.lasts[key] = c.At
		text.last(key.rule, c.At)
	}
	r.Counted = string(text)
}

// lastOf is what the last grant of a candidate's rule to a user is kept under.
func lastOf(c *carom.Candidate, user string) lastKey {
	if c.Again {
		return lastKey{c.Rule + " again", user}
	}
	return lastKey{c.Rule, user}
}

// rewardAt reads a reward as the open transaction sees it.
func (s *Store) rewardAt(no int64) (*tables.RewardRow, error) {
	var r *tables.RewardRow
	if err := s.st.getReward.query(func(v []driver.Value) error {
		r = tables.ReadReward(v, refOf)
		return nil
	}, no); err != nil {
		return nil, err
	}
	if r == nil {
		return nil, fmt.Errorf("reward %d: %w", no, carom.ErrNotFound)
	}
	return r, nil
}

// change carries out what the event does to rewards that are there, or are granted by hand.
func (s *Store) change(b *batch, sub *carom.Submission, ref carom.Ref) error {
	ch := &sub.Change
	switch {
	case ch.Reverse != [16]byte{}:
		return s.reverse(b, sub)
	case ch.Void != "" || ch.Mature != "":
		_, no, err := (ch.Void + ch.Mature).Number()
		if err != nil {
			return nil // nobody's reward: the event says so by deciding nothing
		}
		r, err := s.rewardAt(no)
		if errors.Is(err, carom.ErrNotFound) || err == nil && r.ID != ch.Void+ch.Mature {
			return nil
		}
		if err != nil {
			return err
		}
		return s.advance(sub, r, ch.Mature != "")
	case ch.Grant != nil:
		if no, _, found, err := s.rewardOf(sub.Transaction); err != nil {
			return err
		} else if found { // the same grant again, whose first event may be forgotten
			was, err := s.rewardAt(no)
			if err != nil {
				return err
			}
			sub.Receipt.Decided = append(sub.Receipt.Decided, carom.Decided{
				Rule: carom.RuleByHand, State: carom.RewardDeclined, Reason: carom.DeclineTransaction, Reward: &was.Reward,
			})
			return nil
		}
		r := s.earnedBy(sub, ref, [16]byte{})
		r.App, r.Rule, r.User, r.Currency, r.Amount = ch.Grant.App, carom.RuleByHand, ch.Grant.User, ch.Grant.Currency, ch.Grant.Amount
		r.State, r.Why, r.Source = carom.RewardGranted, ch.Why, carom.SourceCarom
		if err := s.makeReward(b, r); err != nil {
			return err
		}
		s.owe(sub, r)
	}
	return nil
}

// reverse takes back what the transaction or the view has earned, and notes that it never will earn more: neither by an
// event that was overtaken, nor by a rule that pays beside the others.
func (s *Store) reverse(b *batch, sub *carom.Submission) error {
	sum := sub.Change.Reverse
	found := map[int64]*tables.RewardRow{}
	for _, r := range b.rewards { // whose search keys are not in memory yet
		found[r.No] = r
	}
	for _, kind := range []int{searchRewardView, searchRewardTx} {
		numbers, err := s.findRewards(kind, string(sum[:]), int64(1)<<62, maxOfOneSum)
		if err != nil {
			return err
		}
		for _, no := range numbers {
			r, err := s.rewardAt(no)
			if err != nil && !errors.Is(err, carom.ErrNotFound) {
				return err
			}
			if err == nil {
				found[no] = r
			}
		}
	}
	for _, no := range sortedBy(found, cmp.Compare[int64]) {
		if r := found[no]; r.View == sum || r.Tx == sum {
			current, err := s.rewardAt(no)
			if err != nil {
				return err
			}
			if err := s.advance(sub, current, false); err != nil {
				return err
			}
		}
	}
	had, err := s.reversed(sum)
	if err != nil || had {
		return err
	}
	key, o := tables.ReversedSum(sum), s.rewards.open
	old, was := o.keys.firsts.put(key, first{})
	b.undo = append(b.undo, undoFirst{&o.keys.firsts, key, old, was})
	s.rewards.reversals = true
	return s.w.exec(`INSERT INTO reversals (sum, at, segment) VALUES (?, ?, ?)`, sum[:], sub.Event.At.UnixMilli(), int64(o.number))
}

// maxOfOneSum bounds how many rewards one view or transaction is expected to have, false hits included: one per rule.
const maxOfOneSum = 1000

// advance moves a reward on: a hold ends, or what it was is taken back. What has come to its end stays as it is.
func (s *Store) advance(sub *carom.Submission, r *tables.RewardRow, mature bool) error {
	ev, why := sub.Event, sub.Change.Why
	switch {
	case mature && r.State == carom.RewardHeld:
		r.State = carom.RewardGranted
		if err := s.addLine(r, 1, r.Amount, ev.At, ev.ID, why, true); err != nil {
			return err
		}
	case !mature && r.State == carom.RewardHeld:
		r.State = carom.RewardCanceled
	case !mature && r.State == carom.RewardGranted:
		r.State = carom.RewardReversed
		if err := s.addLine(r, 2, -r.Amount, ev.At, ev.ID, why, true); err != nil {
			return err
		}
	default:
		return nil
	}
	r.Until, r.Changed, r.Why = time.Time{}, ev.At, why
	if err := s.st.changeReward.exec(string(r.State), r.Changed.UnixMilli(), r.Why, r.No); err != nil {
		return err
	}
	s.owe(sub, r)
	return nil
}

// owe notes in the receipt what became of a reward, and adds the endpoints that are to hear of it.
func (s *Store) owe(sub *carom.Submission, r *tables.RewardRow) {
	made := carom.Decided{Rule: r.Rule, State: r.State, Reward: &r.Reward}
	sub.Receipt.Decided = append(sub.Receipt.Decided, made)
	s.counts.Reward(sub.Event, &made)
	if sub.RewardTargets == nil || r.State == carom.RewardCanceled {
		return // nobody was told of it before
	}
	for _, no := range sub.RewardTargets(r.App, r.Rule, r.Source) {
		if len(sub.Targets) < carom.MaxFanOut {
			sub.Targets = append(sub.Targets, carom.Target{Endpoint: no, Candidate: len(sub.Receipt.Decided)})
		}
	}
}
