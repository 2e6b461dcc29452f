package store

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"carom"
	"carom/internal/books"
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

// decide settles, within the open transaction, to which view the event belongs, which rewards it earns, and what it changes about
// earlier ones: see [books.Settler].
func (s *Store) decide(b *batch, sub *carom.Submission, ref carom.Ref) error {
	view := s.joinView(b, sub, ref)
	if books.Idle(sub) {
		return nil
	}
	settler := books.Settler{Books: bookkeeper{s, b}, Decide: s.opts.Decide, Counts: s.counts}
	return settler.Settle(sub, s.open.life, ref, view)
}

// bookkeeper is the rewards as the batch that is being written sees them.
type bookkeeper struct {
	s *Store
	b *batch
}

// Make implements books.Books.
func (k bookkeeper) Make(r *tables.RewardRow) error {
	s, o := k.s, k.s.rewards.open
	s.rewards.newest++
	r.No = s.rewards.newest
	r.ID = carom.NewRewardID(r.Life, r.No)
	for _, sum := range r.Claims() {
		old, had := o.keys.firsts.put(sum, rewardFirst(r, uint32(r.No-o.first+1)))
		k.b.undo = append(k.b.undo, undoFirst{&o.keys.firsts, sum, old, had})
	}
	k.b.rewards = append(k.b.rewards, r)
	return s.st.reward.exec(r.Values(placeOf)...)
}

// Append implements books.Books.
func (k bookkeeper) Append(l *books.Line) error {
	s, r := k.s, l.Reward
	a, amount := account{r.App, r.User, r.Currency}, sumOfAmount(l.Amount, l.At)
	if !l.Late {
		s.tallies.batch.balances[a] = s.tallies.batch.balances[a].plus(amount)
	} else if err := s.st.putBalance(a, amount); err != nil { // rare, and not to be found among the newest rewards
		return err
	}
	s.newLines = append(s.newLines, r.No, int64(l.N), l.At.UnixMilli(), r.App, r.User, r.Currency, int64(l.Amount), string(l.Event), l.Why, tables.Truth(l.Late))
	return nil
}

// Change implements books.Books.
func (k bookkeeper) Change(r *tables.RewardRow) error {
	return k.s.st.changeReward.exec(string(r.State), r.Changed.UnixMilli(), r.Why, r.No)
}

// Reversed implements books.Books.
func (k bookkeeper) Reversed(sum [16]byte) (bool, error) {
	if !k.s.rewards.reversals {
		return false, nil
	}
	_, _, ok, err := k.s.rewardOf(tables.ReversedSum(sum))
	return ok, err
}

// Reverse implements books.Books.
func (k bookkeeper) Reverse(sum [16]byte, at time.Time) error {
	key, o := tables.ReversedSum(sum), k.s.rewards.open
	old, was := o.keys.firsts.put(key, first{})
	k.b.undo = append(k.b.undo, undoFirst{&o.keys.firsts, key, old, was})
	k.s.rewards.reversals = true
	return k.s.w.exec(`INSERT INTO reversals (sum, at, segment) VALUES (?, ?, ?)`, sum[:], at.UnixMilli(), int64(o.number))
}

// Claimed implements books.Books.
func (k bookkeeper) Claimed(sum [16]byte, rule string) (e carom.Earned, err error) {
	no, hash, found, err := k.s.rewardOf(sum)
	if err != nil {
		return e, err
	}
	if e.ByOther = found; found && hash == ruleHash(rule) {
		r, err := k.s.rewardAt(no)
		if err != nil {
			return e, err
		}
		if r.App+"/"+r.Rule == rule {
			e.ByRule, e.ByOther = true, false
		}
	}
	_, _, own, err := k.s.rewardOf(tables.OwnSum(sum, rule))
	e.ByRule = e.ByRule || own
	return e, err
}

// Claimant implements books.Books.
func (k bookkeeper) Claimant(sum [16]byte) (*tables.RewardRow, error) {
	no, _, found, err := k.s.rewardOf(sum)
	if err != nil || !found {
		return nil, err
	}
	return k.s.rewardAt(no)
}

// Counter implements books.Books.
func (k bookkeeper) Counter(key carom.CounterKey) (carom.Counter, error) { return k.s.counter(key) }

// LastGrant implements books.Books.
func (k bookkeeper) LastGrant(key books.LastKey) (time.Time, error) { return k.s.lastGrant(key) }

// Raise implements books.Books.
func (k bookkeeper) Raise(r *tables.RewardRow, key carom.CounterKey, limit *carom.CapAt) {
	t := &k.s.tallies.batch
	t.counters[key] = t.counters[key].Raised(limit, r.Amount)
	r.Counted = countedCounter(r.Counted, key, limit.Amount.Set)
}

// LastGranted implements books.Books.
func (k bookkeeper) LastGranted(r *tables.RewardRow, key books.LastKey, at time.Time) {
	k.s.tallies.batch.lasts[key] = at
	r.Counted = countedLast(r.Counted, key.Rule, at)
}

// Reward implements books.Books.
func (k bookkeeper) Reward(id carom.RewardID) (*tables.RewardRow, error) {
	_, no, err := id.Number()
	if err != nil {
		return nil, err
	}
	r, err := k.s.rewardAt(no)
	if err == nil && r.ID != id {
		err = fmt.Errorf("reward %s: %w", id, carom.ErrNotFound)
	}
	return r, err
}

// Earned implements books.Books.
func (k bookkeeper) Earned(sum [16]byte) ([]*tables.RewardRow, error) {
	numbers := map[int64]struct{}{}
	for _, r := range k.b.rewards { // whose search keys are not in memory yet
		numbers[r.No] = struct{}{}
	}
	for _, kind := range []int{searchRewardView, searchRewardTx} {
		found, err := k.s.findRewards(kind, string(sum[:]), int64(1)<<62, maxOfOneSum)
		if err != nil {
			return nil, err
		}
		for _, no := range found {
			numbers[no] = struct{}{}
		}
	}
	var earned []*tables.RewardRow
	for _, no := range slices.Sorted(maps.Keys(numbers)) {
		r, err := k.s.rewardAt(no)
		if errors.Is(err, carom.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.View == sum || r.Tx == sum {
			earned = append(earned, r)
		}
	}
	return earned, nil
}

// maxOfOneSum bounds how many rewards one view or transaction is expected to have, false hits included: one per rule.
const maxOfOneSum = 1000

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
