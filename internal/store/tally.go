package store

import (
	"cmp"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/internal/books"
	"carom/internal/tables"
)

// Rewards add up to balances, to the counters of caps, and to when a rule last granted something to a user. These lie far apart
// in their tables: to change a page for each would cost more than all the rest of a commit. So they are gathered in memory and
// folded into the tables now and then, many at a time and in the order of their keys, a slice with each commit. What was not
// folded when the process died is worked out again from the rewards, each of which says what it counted for.

// tallies are all of it. The committer alone changes them, under mu where readers look.
type tallies struct {
	mu sync.RWMutex // held while what readers see of newer, older and the tables changes, from before a commit to after it

	batch      tallySet                           // of the batch that is being written: dropped when it fails
	newer      tallySet                           // committed since the last fold began
	older      *fold                              // under way; else nil
	currencies map[string][]string                // of newer and older, by app: those that ever were
	stored     map[carom.CounterKey]carom.Counter // what is in the table of some counters, zero for those that are not there
	folded     int64                              // rewards up to this number are in the tables, but for those of older
	begun      time.Time
}

// tallySet is what some rewards add up to.
type tallySet struct {
	balances map[account]sum
	counters map[carom.CounterKey]carom.Counter
	lasts    map[books.LastKey]time.Time
}

// account is a user's account in one currency.
type account struct{ app, user, currency string }

// sum is an exact sum of amounts: of whole units and of the billionths beyond them, so that neither overflows.
type sum struct {
	units, nanos int64
	at           int64 // of the latest, in milliseconds
}

func (s sum) plus(o sum) sum { return sum{s.units + o.units, s.nanos + o.nanos, max(s.at, o.at)} }

// sumOfAmount is the sum of one amount.
func sumOfAmount(n carom.Nanos, at time.Time) sum {
	const unit = 1_000_000_000
	return sum{int64(n / unit), int64(n % unit), at.UnixMilli()}
}

// fold is a set on its way into the tables.
type fold struct {
	set     tallySet      // what is not in them yet
	upTo    int64         // the number of the newest reward of it
	sorted  chan struct{} // closed once keys are there
	keys    []any         // account, carom.CounterKey and books.LastKey: the same order for the same rewards
	done    int           // how many keys are in the tables
	writing int           // how many more are in the open transaction
}

// Limits of what waits in memory, and how much of a fold goes with one commit: about 2 ms.
const (
	foldAt    = 200_000
	foldEvery = time.Minute
	foldSlice = 400
	maxStored = 100_000 // counters whose stored value is remembered
)

func newTallySet() tallySet {
	return tallySet{map[account]sum{}, map[carom.CounterKey]carom.Counter{}, map[books.LastKey]time.Time{}}
}

func (t *tallySet) len() int { return len(t.balances) + len(t.counters) + len(t.lasts) }

// add takes up what newer rewards add up to. Users' names are parts of requests, of which nothing else is kept.
func (t *tallySet) add(o *tallySet) {
	for a, s := range o.balances {
		have, known := t.balances[a]
		if !known {
			a.user = strings.Clone(a.user)
		}
		t.balances[a] = have.plus(s)
	}
	for k, n := range o.counters {
		have, known := t.counters[k]
		if !known {
			k.User = strings.Clone(k.User)
		}
		t.counters[k] = added(have, n)
	}
	for k, at := range o.lasts {
		if _, known := t.lasts[k]; !known {
			k = books.LastKey{Rule: strings.Clone(k.Rule), User: strings.Clone(k.User)}
		}
		t.lasts[k] = at
	}
}

func added(n, o carom.Counter) carom.Counter {
	return carom.Counter{Rewards: n.Rewards + o.Rewards, Amount: n.Amount + o.Amount}
}

func (t *tallySet) clear() {
	clear(t.balances)
	clear(t.counters)
	clear(t.lasts)
}

// newFold prepares a set to be folded, which does not change before its keys are sorted. That is done beside the committer: it
// takes a while.
func newFold(set tallySet, upTo int64) *fold {
	f := &fold{set: set, upTo: upTo, sorted: make(chan struct{})}
	go func() {
		defer close(f.sorted)
		f.sort()
	}()
	return f
}

func (f *fold) sort() {
	set := &f.set
	f.keys = make([]any, 0, set.len())
	for _, a := range slices.SortedFunc(maps.Keys(set.balances), func(x, y account) int {
		return cmp.Or(cmp.Compare(x.app, y.app), cmp.Compare(x.user, y.user), cmp.Compare(x.currency, y.currency))
	}) {
		f.keys = append(f.keys, a)
	}
	for _, k := range slices.SortedFunc(maps.Keys(set.counters), func(x, y carom.CounterKey) int {
		return cmp.Or(cmp.Compare(x.Scope, y.Scope), cmp.Compare(x.User, y.User), cmp.Compare(x.Day, y.Day))
	}) {
		f.keys = append(f.keys, k)
	}
	for _, k := range slices.SortedFunc(maps.Keys(set.lasts), func(x, y books.LastKey) int {
		return cmp.Or(cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.User, y.User))
	}) {
		f.keys = append(f.keys, k)
	}
}

// foldRows is how many rows one statement writes, which costs two thirds of what they cost one by one.
const foldRows = 25

// write puts the next n keys into the tables.
func (f *fold) write(st *statements, n int) error {
	for left := f.keys[f.done:min(f.done+n, len(f.keys))]; len(left) > 0; {
		rows := 1
		if len(left) >= foldRows && kindOf(left[0]) == kindOf(left[foldRows-1]) { // and so are those between
			rows = foldRows
		}
		if err := f.writeRows(st, left[:rows]); err != nil {
			return err
		}
		left = left[rows:]
	}
	return nil
}

// kindOf tells the kinds of keys apart, which follow one another.
func kindOf(key any) int {
	switch key.(type) {
	case account:
		return 0
	case carom.CounterKey:
		return 1
	}
	return 2
}

// writeRows puts keys of one kind into their table: one, or foldRows.
func (f *fold) writeRows(st *statements, keys []any) error {
	args := make([]driver.Value, 0, 6*foldRows)
	for _, key := range keys {
		switch k := key.(type) {
		case account:
			args = append(args, k.values(f.set.balances[k])...)
		case carom.CounterKey:
			n := f.set.counters[k]
			args = append(args, k.Scope, k.User, int64(k.Day), n.Rewards, int64(n.Amount))
		case books.LastKey:
			if err := st.last.exec(k.Rule, k.User, f.set.lasts[k].UnixMilli()); err != nil {
				return err
			}
		}
	}
	byKind := [...][2]*stmt{{st.balance, st.balances}, {st.counter, st.counters}}
	kind := kindOf(keys[0])
	switch {
	case kind >= len(byKind):
		return nil
	case len(keys) == 1:
		return byKind[kind][0].exec(args...)
	}
	return byKind[kind][1].exec(args...)
}

func (a account) values(s sum) []driver.Value {
	return []driver.Value{a.app, a.user, a.currency, s.units, s.nanos, s.at}
}

// wrote forgets the next n keys, which are in the tables now.
func (f *fold) wrote(n int) {
	f.writing = 0
	end := min(f.done+n, len(f.keys))
	for _, key := range f.keys[f.done:end] {
		switch k := key.(type) {
		case account:
			delete(f.set.balances, k)
		case carom.CounterKey:
			delete(f.set.counters, k)
		case books.LastKey:
			delete(f.set.lasts, k)
		}
	}
	f.done = end
}

func (f *fold) complete() bool { return f.done == len(f.keys) }

func (st *statements) putBalance(a account, s sum) error {
	return st.balance.exec(a.values(s)...)
}

// beginFold begins one when enough waits, or has waited for long enough. newest is the number of the newest reward.
func (t *tallies) beginFold(newest int64, now time.Time, limit int) {
	waiting := t.newer.len()
	if t.older != nil || waiting == 0 && newest == t.folded {
		return
	}
	if waiting >= limit || newest-t.folded >= int64(2*limit) || now.Sub(t.begun).Abs() >= foldEvery {
		t.mu.Lock()
		t.older, t.newer, t.begun = newFold(t.newer, newest), newTallySet(), now
		t.mu.Unlock()
	}
}

// wait says whether a fold has to go on, or to begin, though nothing is accepted.
func (t *tallies) wait(now time.Time) bool {
	return t.older != nil || t.newer.len() > 0 && now.Sub(t.begun).Abs() >= foldEvery
}

// writeSlice puts the next slice of a fold into the open transaction, with how far it has come.
func (t *tallies) writeSlice(w *writer, st *statements, n int) error {
	f := t.older
	if f == nil {
		return nil
	}
	select {
	case <-f.sorted:
	default:
		return nil
	}
	if err := f.write(st, n); err != nil {
		return err
	}
	f.writing = n
	done := min(f.done+n, len(f.keys))
	if done == len(f.keys) {
		return putFold(w, f.upTo, 0, 0)
	}
	return putFold(w, t.folded, f.upTo, int64(done))
}

// putFold stores that rewards up to folded are in the tables, and the first done keys of those up to upTo as well.
func putFold(w *writer, folded, upTo, done int64) error {
	return w.exec(`INSERT INTO meta (key, value) VALUES ('folded', ?), ('fold_to', ?), ('fold_done', ?)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value`, folded, upTo, done)
}

// committed takes up the batch and the slice that went with it. The caller holds mu since before the commit.
func (t *tallies) committed() {
	t.note(&t.batch)
	t.newer.add(&t.batch)
	if f := t.older; f != nil && f.writing > 0 {
		slice := f.writing
		for _, key := range f.keys[f.done:min(f.done+slice, len(f.keys))] {
			if k, ok := key.(carom.CounterKey); ok {
				if n, known := t.stored[k]; known {
					t.stored[k] = added(n, f.set.counters[k])
				}
			}
		}
		if f.wrote(slice); f.complete() {
			t.folded, t.older = f.upTo, nil
		}
	}
}

// note remembers the currencies of a set.
func (t *tallies) note(set *tallySet) {
	for a := range set.balances {
		if !slices.Contains(t.currencies[a.app], a.currency) {
			t.currencies[a.app] = append(t.currencies[a.app], a.currency)
		}
	}
}

// counter is how much was granted under a cap, as the open transaction sees it.
func (s *Store) counter(key carom.CounterKey) (carom.Counter, error) {
	t := &s.tallies
	n, known := t.stored[key]
	if !known {
		if err := s.st.getCounter.query(func(v []driver.Value) error {
			n = carom.Counter{Rewards: v[0].(int64), Amount: carom.Nanos(v[1].(int64))}
			return nil
		}, key.Scope, key.User, int64(key.Day)); err != nil {
			return n, err
		}
		if len(t.stored) >= maxStored {
			clear(t.stored)
		}
		key.User = strings.Clone(key.User)
		t.stored[key] = n
	}
	if t.older != nil {
		n = added(n, t.older.set.counters[key])
	}
	return added(added(n, t.newer.counters[key]), t.batch.counters[key]), nil
}

// lastGrant is when a rule last granted something to a user, as the open transaction sees it.
func (s *Store) lastGrant(key books.LastKey) (at time.Time, err error) {
	t := &s.tallies
	sets := []*tallySet{&t.batch, &t.newer}
	if t.older != nil {
		sets = append(sets, &t.older.set)
	}
	for _, set := range sets {
		if at, ok := set.lasts[key]; ok {
			return at, nil
		}
	}
	err = s.st.getLast.query(func(v []driver.Value) error {
		at = time.UnixMilli(v[0].(int64)).UTC()
		return nil
	}, key.Rule, key.User)
	return at, err
}

// waits adds up what of an account is not in the tables. The caller holds mu.
func (t *tallies) waits(a account) sum {
	s := t.newer.balances[a]
	if t.older != nil {
		s = s.plus(t.older.set.balances[a])
	}
	return s
}

// waitingJSON is what of all balances is not in the tables, as JSON: [["app","user","currency",units,nanos], …]. The caller
// holds mu.
func (t *tallies) waitingJSON() (string, error) {
	rows := make([][5]any, 0, len(t.newer.balances))
	add := func(set *tallySet) {
		for a, s := range set.balances {
			rows = append(rows, [5]any{a.app, a.user, a.currency, s.units, s.nanos})
		}
	}
	if add(&t.newer); t.older != nil {
		add(&t.older.set)
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// What one reward counted for is kept with it: a line for each counter, "scope \t user? \t day \t amount?", and one for
// the last grant, "! \t rule \t milliseconds". Names of rules and caps hold no control characters.

// countedCounter adds a counter's line to what a reward counted for.
func countedCounter(text string, key carom.CounterKey, ofAmount bool) string {
	return text + fmt.Sprintf("%s\t%d\t%d\t%d\n", key.Scope, tables.Truth(key.User != ""), key.Day, tables.Truth(ofAmount))
}

// countedLast adds the line of a last grant.
func countedLast(text, rule string, at time.Time) string {
	return text + fmt.Sprintf("!\t%s\t%d\n", rule, at.UnixMilli())
}

// tally adds what a stored reward counted for.
func (t *tallySet) tally(text, user string, amount carom.Nanos) error {
	for line := range strings.Lines(text) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case len(part) == 3 && part[0] == "!":
			ms, err := strconv.ParseInt(part[2], 10, 64)
			if err != nil {
				return fmt.Errorf("what a reward counted for: %w", err)
			}
			t.lasts[books.LastKey{Rule: part[1], User: user}] = time.UnixMilli(ms).UTC()
		case len(part) == 4:
			day, err := strconv.ParseInt(part[2], 10, 32)
			if err != nil {
				return fmt.Errorf("what a reward counted for: %w", err)
			}
			key, n := carom.CounterKey{Scope: part[0], Day: int32(day)}, carom.Counter{Rewards: 1}
			if part[1] == "1" {
				key.User = user
			}
			if part[3] == "1" {
				n.Amount = amount
			}
			t.counters[key] = added(t.counters[key], n)
		default:
			return fmt.Errorf("what a reward counted for: %q: %w", text, carom.ErrInvalid)
		}
	}
	return nil
}

// loadTallies works out what is not in the tables, and brings a fold to its end that was under way when the process died.
func (s *Store) loadTallies(now time.Time) error {
	t := &s.tallies
	t.batch, t.newer, t.begun, t.currencies = newTallySet(), newTallySet(), now, map[string][]string{}
	t.stored = map[carom.CounterKey]carom.Counter{}
	var state [3]int64
	for i, key := range []string{"folded", "fold_to", "fold_done"} {
		var err error
		if state[i], err = s.w.int64(`SELECT value FROM meta WHERE key = ?`, key); err != nil {
			return err
		}
	}
	t.folded = state[0]
	if upTo := state[1]; upTo > t.folded {
		set, err := s.tallyRewards(t.folded, upTo)
		if err != nil {
			return err
		}
		f := newFold(set, upTo)
		<-f.sorted
		f.done = min(int(state[2]), len(f.keys))
		if err := s.w.tx(func() error {
			if err := f.write(s.st, len(f.keys)); err != nil {
				return err
			}
			return putFold(s.w, upTo, 0, 0)
		}); err != nil {
			return err
		}
		t.folded = upTo
	}
	var err error
	if t.newer, err = s.tallyRewards(t.folded, s.rewards.newest); err != nil {
		return err
	}
	t.note(&t.newer)
	if s.rewards.newest-t.folded >= int64(s.opts.foldAt) { // a server that is killed again and again would read more each time
		return s.foldAll()
	}
	return nil
}

// tallyRewards adds up the rewards behind from, up to and including to.
func (s *Store) tallyRewards(from, to int64) (tallySet, error) {
	set := newTallySet()
	err := s.w.query(`SELECT r.app, r.user, r.currency, r.amount, r.at, r.counted, l.reward IS NOT NULL FROM rewards r
		LEFT JOIN ledger l ON l.reward = r.no AND l.n = 1 AND l.late = 0 WHERE r.no > ? AND r.no <= ? ORDER BY r.no`, func(v []driver.Value) error {
		user, amount := v[1].(string), carom.Nanos(v[3].(int64))
		if v[6].(int64) == 1 {
			a := account{v[0].(string), user, v[2].(string)}
			set.balances[a] = set.balances[a].plus(sumOfAmount(amount, time.UnixMilli(v[4].(int64))))
		}
		return set.tally(v[5].(string), user, amount)
	}, from, to)
	return set, err
}

// foldAll brings everything into the tables, for a short start after a clean stop.
func (s *Store) foldAll() error {
	t := &s.tallies
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := s.w.tx(func() error {
		for _, f := range []*fold{t.older, newFold(t.newer, s.rewards.newest)} {
			if f == nil {
				continue
			}
			<-f.sorted
			if err := f.write(s.st, len(f.keys)); err != nil {
				return err
			}
		}
		return putFold(s.w, s.rewards.newest, 0, 0)
	}); err != nil {
		return err
	}
	t.older, t.newer, t.folded = nil, newTallySet(), s.rewards.newest
	clear(t.stored)
	return nil
}
