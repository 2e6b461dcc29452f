package postgres

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carom"
	"carom/internal/books"
	"carom/internal/tables"
)

// ledger is the rewards as the batch that is being written sees them: what it has locked in the database, with what it has changed.
// Every commit that decides about a view, a transaction, a cap or a cooldown locks its row first, so that two nodes never decide
// about the same at once.
type ledger struct {
	s *Store

	joins    map[[16]byte]*joined
	claims   map[[16]byte]*claim
	counters map[carom.CounterKey]*counter
	lasts    map[books.LastKey]*lastGrant
	rows     map[int64]*tables.RewardRow // that were read, or made
	made     []*tables.RewardRow
	changed  map[int64]bool
	lines    []*books.Line
	balances map[account]sum
}

// joined are the recent views of one ymid that repeats.
type joined struct {
	views   []books.RecentView
	at      time.Time
	changed bool
}

// claim is what a view or a transaction has earned.
type claim struct {
	reward   int64
	rule     string
	beside   []string
	reversed bool
	changed  bool
}

func (c *claim) empty() bool { return c.reward == 0 && len(c.beside) == 0 && !c.reversed }

type counter struct {
	carom.Counter
	changed bool
}

type lastGrant struct {
	at      time.Time
	changed bool
}

// account is a user's account in one currency.
type account struct{ app, user, currency string }

// sum is an exact sum of amounts: of whole units and of the billionths beyond them, so that neither overflows.
type sum struct{ units, nanos, at int64 }

func newLedger(s *Store) *ledger {
	return &ledger{
		s: s, joins: map[[16]byte]*joined{}, claims: map[[16]byte]*claim{}, counters: map[carom.CounterKey]*counter{}, lasts: map[books.LastKey]*lastGrant{},
		rows: map[int64]*tables.RewardRow{}, changed: map[int64]bool{}, balances: map[account]sum{},
	}
}

func (l *ledger) reset() {
	clear(l.joins)
	clear(l.claims)
	clear(l.counters)
	clear(l.lasts)
	clear(l.rows)
	clear(l.changed)
	clear(l.balances)
	clear(l.made)
	clear(l.lines)
	l.made, l.lines = l.made[:0], l.lines[:0]
}

// joinsOf gathers the sums whose recent views events of the batch may join.
func (l *ledger) joinsOf(entries []entry) {
	for i := range entries {
		if v := &entries[i].sub.View; v.View == nil && v.Joins > 0 {
			l.joins[v.Sum] = &joined{}
		}
	}
	for _, sum := range slices.SortedFunc(maps.Keys(l.joins), compareSums) {
		l.s.out.lockJoins.uuid(sum)
		l.s.out.lockJoins.int8(0)
	}
}

func compareSums(x, y [16]byte) int { return bytes.Compare(x[:], y[:]) }

// storedJoin is how a recent view is kept.
type storedJoin struct {
	First int64             `json:"first"` // place
	At    int64             `json:"at"`    // milliseconds
	Types []carom.EventType `json:"types"`
}

func (l *ledger) readJoin(v [][]byte) error {
	j := l.joins[sumOf(v[0])]
	if j == nil || len(v[1]) == 0 {
		return nil
	}
	var list []storedJoin
	if err := json.Unmarshal(v[1], &list); err != nil {
		return fmt.Errorf("stored views of a ymid: %w", err)
	}
	for _, o := range list {
		j.views = append(j.views, books.RecentView{First: refOf(o.First), At: time.UnixMilli(o.At).UTC(), Types: o.Types})
	}
	return nil
}

// view settles to which view an event belongs, notes it in the event, and returns the sum that rewards of the view claim.
func (l *ledger) view(e *entry) [16]byte {
	claimed := &e.sub.View
	switch {
	case claimed.View != nil:
		e.sub.Event.View = claimed.View.ID
		return claimed.Sum
	case claimed.Joins == 0:
		return claimed.Sum
	}
	j := l.joins[claimed.Sum]
	var first carom.Ref
	j.views, first = books.Join(j.views, e.sub.Event.Type, refOf(e.place), e.sub.Event.At, claimed.Joins, claimed.Joins)
	j.at, j.changed = e.sub.Event.At, true
	e.sub.Event.View = l.s.eventID(first).View()
	return books.JoinedSum(claimed.Sum, first)
}

// lock locks what bears on the submissions that earn or change something, in one round trip.
func (l *ledger) lock(ctx context.Context, entries []entry) error {
	for i := range entries {
		if e := &entries[i]; !e.copy && !books.Idle(e.sub) {
			l.bears(e)
		}
	}
	out := l.s.out
	for _, sum := range slices.SortedFunc(maps.Keys(l.claims), compareSums) {
		out.lockClaims.uuid(sum)
	}
	for _, k := range slices.SortedFunc(maps.Keys(l.counters), compareCounters) {
		out.lockCounters.text(k.Scope)
		out.lockCounters.text(k.User)
		out.lockCounters.int8(int64(k.Day))
	}
	for _, k := range slices.SortedFunc(maps.Keys(l.lasts), compareLasts) {
		out.lockLasts.text(k.Rule)
		out.lockLasts.text(k.User)
	}
	var queries []query
	if out.lockClaims.n > 0 {
		queries = append(queries, query{st: lockClaims, params: out.lockClaims.values(), row: l.readClaim})
	}
	if out.lockCounters.n > 0 {
		queries = append(queries, query{st: lockCounters, params: out.lockCounters.values(), row: func(v [][]byte) error {
			l.counters[carom.CounterKey{Scope: string(v[0]), User: string(v[1]), Day: int32(int8Of(v[2]))}] = &counter{
				Counter: carom.Counter{Rewards: int8Of(v[3]), Amount: carom.Nanos(int8Of(v[4]))}}
			return nil
		}})
	}
	if out.lockLasts.n > 0 {
		queries = append(queries, query{st: lockLasts, params: out.lockLasts.values(), row: func(v [][]byte) error {
			l.lasts[books.LastKey{Rule: string(v[0]), User: string(v[1])}] = &lastGrant{at: tables.Instant(int8Of(v[2]))}
			return nil
		}})
	}
	if len(queries) == 0 {
		return nil
	}
	return l.s.link.exchange(ctx, queries...)
}

func compareCounters(x, y carom.CounterKey) int {
	return cmp.Or(cmp.Compare(x.Scope, y.Scope), cmp.Compare(x.User, y.User), cmp.Compare(x.Day, y.Day))
}

func compareLasts(x, y books.LastKey) int {
	return cmp.Or(cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.User, y.User))
}

// bears gathers the keys of what bears on one submission.
func (l *ledger) bears(e *entry) {
	sub := e.sub
	for _, sum := range [...][16]byte{e.view, sub.View.Plain, sub.Transaction, sub.Change.Reverse} {
		if sum != ([16]byte{}) {
			l.claims[sum] = &claim{}
		}
	}
	for i := range sub.Candidates {
		c := &sub.Candidates[i]
		for n := range c.Caps {
			l.counters[c.Counter(n, sub.View.User)] = &counter{}
		}
		if c.Cooldown > 0 {
			l.lasts[books.LastOf(c, sub.View.User)] = &lastGrant{}
		}
	}
}

func (l *ledger) readClaim(v [][]byte) error {
	c := &claim{reward: int8Of(v[1]), rule: string(v[2]), reversed: int8Of(v[4]) != 0}
	if len(v[3]) > 0 {
		c.beside = strings.Split(string(v[3]), "\n")
	}
	l.claims[sumOf(v[0])] = c
	return nil
}

// Claimed implements books.Books.
func (l *ledger) Claimed(sum [16]byte, rule string) (carom.Earned, error) {
	c := l.claims[sum]
	if c == nil {
		return carom.Earned{}, errUnlocked
	}
	same := c.reward != 0 && c.rule == rule
	return carom.Earned{ByRule: same || slices.Contains(c.beside, rule), ByOther: c.reward != 0 && !same}, nil
}

// errUnlocked is a fault of ours: something is asked for that was not locked.
var errUnlocked = errors.New("a commit asks for what it has not locked")

// Claimant implements books.Books.
func (l *ledger) Claimant(sum [16]byte) (*tables.RewardRow, error) {
	c := l.claims[sum]
	if c == nil {
		return nil, errUnlocked
	}
	if c.reward == 0 {
		return nil, nil
	}
	return l.row(c.reward)
}

// Reversed implements books.Books.
func (l *ledger) Reversed(sum [16]byte) (bool, error) {
	c := l.claims[sum]
	if c == nil {
		return false, errUnlocked
	}
	return c.reversed, nil
}

// Counter implements books.Books.
func (l *ledger) Counter(key carom.CounterKey) (carom.Counter, error) {
	if n := l.counters[key]; n != nil {
		return n.Counter, nil
	}
	return carom.Counter{}, errUnlocked
}

// LastGrant implements books.Books.
func (l *ledger) LastGrant(key books.LastKey) (time.Time, error) {
	if n := l.lasts[key]; n != nil {
		return n.at, nil
	}
	return time.Time{}, errUnlocked
}

// row reads a reward, and locks it.
func (l *ledger) row(no int64) (*tables.RewardRow, error) {
	if r := l.rows[no]; r != nil {
		return r, nil
	}
	found, err := l.read(query{st: rewardByNumber, params: [][]byte{int8Param(no)}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("reward %d: %w", no, carom.ErrNotFound)
	}
	return found[0], nil
}

// read runs a query for rewards within the transaction: a round trip of its own, which is rare.
func (l *ledger) read(q query) (found []*tables.RewardRow, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q.row = func(v [][]byte) error {
		values := make([]driver.Value, len(v))
		for i := range v {
			switch {
			case v[i] == nil:
			case rewardInts[i]:
				values[i] = int8Of(v[i])
			case rewardBytes[i]:
				values[i] = slices.Clone(v[i])
			default:
				values[i] = string(v[i])
			}
		}
		r := tables.ReadReward(values, refOf)
		if have := l.rows[r.No]; have != nil {
			r = have
		}
		l.rows[r.No] = r
		found = append(found, r)
		return nil
	}
	return found, l.s.link.exchange(ctx, q)
}

// rewardInts and rewardBytes say which of the columns of a reward are numbers, and which are bytes.
var rewardInts, rewardBytes = func() (ints, blobs [24]bool) {
	for i, k := range insertRewards.params {
		ints[i], blobs[i] = k == kindInt8, k == kindBytes
	}
	return ints, blobs
}()

// Reward implements books.Books.
func (l *ledger) Reward(id carom.RewardID) (*tables.RewardRow, error) {
	_, no, err := id.Number()
	if err != nil {
		return nil, err
	}
	r, err := l.row(no)
	if err == nil && r.ID != id {
		err = fmt.Errorf("reward %s: %w", id, carom.ErrNotFound)
	}
	return r, err
}

// Earned implements books.Books.
func (l *ledger) Earned(sum [16]byte) ([]*tables.RewardRow, error) {
	earned, err := l.read(query{st: rewardsBySum, params: [][]byte{sum[:]}})
	if err != nil {
		return nil, err
	}
	for _, r := range l.made {
		if r.View == sum || r.Tx == sum {
			earned = append(earned, r)
		}
	}
	return earned, nil
}

// Raise implements books.Books.
func (l *ledger) Raise(r *tables.RewardRow, key carom.CounterKey, limit *carom.CapAt) {
	n := l.counters[key]
	n.Counter, n.changed = n.Raised(limit, r.Amount), true
}

// LastGranted implements books.Books.
func (l *ledger) LastGranted(_ *tables.RewardRow, key books.LastKey, at time.Time) {
	l.lasts[key] = &lastGrant{at, true}
}

// rewardBits is how many bits of a reward's number count within its node; the node's number stands above them.
const rewardBits = 35

// Make implements books.Books.
func (l *ledger) Make(r *tables.RewardRow) error {
	l.s.rewardSeq++
	r.No = int64(l.s.lease.Load().no)<<rewardBits | l.s.rewardSeq
	r.ID = carom.NewRewardID(r.Life, r.No)
	rule := r.App + "/" + r.Rule
	for _, sum := range [...][16]byte{r.View, r.Tx} {
		c := l.claims[sum]
		switch {
		case sum == ([16]byte{}):
			continue
		case c == nil:
			return errUnlocked
		case r.Additional:
			c.beside = append(c.beside, rule)
		default:
			c.reward, c.rule = r.No, rule
		}
		c.changed = true
	}
	l.made = append(l.made, r)
	l.rows[r.No] = r
	return nil
}

// Change implements books.Books.
func (l *ledger) Change(r *tables.RewardRow) error {
	l.changed[r.No] = true
	return nil
}

// Append implements books.Books.
func (l *ledger) Append(line *books.Line) error {
	const unit = 1_000_000_000
	l.lines = append(l.lines, line)
	a := account{line.Reward.App, line.Reward.User, line.Reward.Currency}
	n := l.balances[a]
	l.balances[a] = sum{n.units + int64(line.Amount/unit), n.nanos + int64(line.Amount%unit), max(n.at, line.At.UnixMilli())}
	return nil
}

// Reverse implements books.Books.
func (l *ledger) Reverse(sum [16]byte, _ time.Time) error {
	c := l.claims[sum]
	if c == nil {
		return errUnlocked
	}
	c.reversed, c.changed = true, true
	return nil
}

// write writes out what the batch has changed.
func (l *ledger) write() error {
	out := l.s.out
	for _, sum := range slices.SortedFunc(maps.Keys(l.joins), compareSums) {
		if err := l.writeJoin(sum, l.joins[sum]); err != nil {
			return err
		}
	}
	for _, sum := range slices.SortedFunc(maps.Keys(l.claims), compareSums) {
		switch c := l.claims[sum]; {
		case c.changed:
			out.putClaims.uuid(sum)
			out.putClaims.int8(c.reward)
			out.putClaims.text(c.rule)
			out.putClaims.text(strings.Join(c.beside, "\n"))
			out.putClaims.int4(int(tables.Truth(c.reversed)))
		case c.empty():
			out.dropClaims.uuid(sum)
		}
	}
	for k, n := range l.counters {
		if n.changed {
			out.putCounters.text(k.Scope)
			out.putCounters.text(k.User)
			out.putCounters.int8(int64(k.Day))
			out.putCounters.int8(n.Rewards)
			out.putCounters.int8(int64(n.Amount))
		}
	}
	for k, n := range l.lasts {
		if n.changed {
			out.putLasts.text(k.Rule)
			out.putLasts.text(k.User)
			out.putLasts.int8(n.at.UnixMilli())
		}
	}
	made := map[int64]bool{}
	for _, r := range l.made {
		made[r.No] = true
		writeReward(out.rewards, r)
	}
	for _, no := range slices.Sorted(maps.Keys(l.changed)) {
		if r := l.rows[no]; !made[no] {
			out.changes.int8(no)
			out.changes.text(string(r.State))
			out.changes.int8(tables.Millis(r.Until))
			out.changes.int8(r.Changed.UnixMilli())
			out.changes.text(r.Why)
		}
	}
	for _, line := range l.lines {
		writeLine(out.lines, line)
	}
	for _, a := range slices.SortedFunc(maps.Keys(l.balances), func(x, y account) int {
		return cmp.Or(cmp.Compare(x.app, y.app), cmp.Compare(x.user, y.user), cmp.Compare(x.currency, y.currency))
	}) {
		n := l.balances[a]
		out.balances.text(a.app)
		out.balances.text(a.user)
		out.balances.text(a.currency)
		out.balances.int8(n.units)
		out.balances.int8(n.nanos)
		out.balances.int8(n.at)
	}
	return nil
}

func (l *ledger) writeJoin(sum [16]byte, j *joined) error {
	if !j.changed {
		if len(j.views) == 0 {
			l.s.out.dropJoins.uuid(sum)
		}
		return nil
	}
	list := make([]storedJoin, len(j.views))
	for i, v := range j.views {
		list[i] = storedJoin{placeOf(v.First), v.At.UnixMilli(), v.Types}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	l.s.out.putJoins.uuid(sum)
	l.s.out.putJoins.int8(j.at.UnixMilli())
	l.s.out.putJoins.text(string(text))
	return nil
}

func writeReward(w *rows, r *tables.RewardRow) {
	for i, v := range r.Values(placeOf) {
		switch v := v.(type) {
		case int64:
			w.int8(v)
		case string:
			w.text(v)
		case []byte:
			w.bytes(v)
		case nil:
			w.null()
		default:
			panic(fmt.Sprintf("column %d of a reward is a %T", i, v)) // tables.RewardRow says what its values are
		}
	}
}

func writeLine(w *rows, l *books.Line) {
	w.int8(l.Reward.No)
	w.int8(int64(l.N))
	w.int8(l.At.UnixMilli())
	w.text(l.Reward.App)
	w.text(l.Reward.User)
	w.text(l.Reward.Currency)
	w.int8(int64(l.Amount))
	w.text(string(l.Event))
	w.text(l.Why)
	w.int8(tables.Truth(l.Late))
}
