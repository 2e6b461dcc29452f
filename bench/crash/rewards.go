package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"carom"
	"carom/internal/store"
)

// What the server's one rule pays for a view, and to how many users.
const (
	price = 5
	users = 2000
)

// userOf is the user to whom a view is shown, the same for all of its events.
func userOf(ymid string) int {
	n := 0
	for _, c := range []byte(ymid) {
		n = (n*31 + int(c)) % users
	}
	return 7_000_000_000 + n
}

// viewKey is what makes two events ones of the same view.
type viewKey struct{ ymid, zone string }

func (k key) view() viewKey { return viewKey{k.ymid, k.zone} }

// bookReward is one stored reward.
type bookReward struct {
	id     carom.RewardID
	view   viewKey
	user   string
	amount carom.Nanos
	state  carom.RewardState
}

// readAll reads the books of a stopped server, and lets it check its ledger.
func readAll(dir string) (books, error) {
	b, err := readBooks(dir)
	if err != nil {
		return b, err
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		return b, fmt.Errorf("open the data folder: %w", err)
	}
	defer func() { _ = s.Close() }() // it only reads
	b.ledger, err = s.CheckLedger(context.Background())
	return b, err
}

func (b *books) readRewards(db *sql.DB) error {
	rows, err := db.Query(`SELECT no, life, ymid, zone_id, user, amount, state FROM rewards ORDER BY no`)
	if err != nil {
		return fmt.Errorf("read the rewards: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var r bookReward
		var no, life int64
		if err := rows.Scan(&no, &life, &r.view.ymid, &r.view.zone, &r.user, &r.amount, &r.state); err != nil {
			return fmt.Errorf("read the rewards: %w", err)
		}
		r.id = carom.NewRewardID(carom.Incarnation(life), no)
		b.rewards = append(b.rewards, r)
	}
	return rows.Err()
}

// told is one reward in one state, as the bank hears of it.
type told struct {
	id    carom.RewardID
	state carom.RewardState
}

// bank is the endpoint's account of rewards: the ids of the deliveries that it accepted.
type bank map[told]map[carom.DeliveryID]bool

// reward takes a request about a reward. The caller answers it.
func (r *receiver) reward(q url.Values) {
	t := told{carom.RewardID(q.Get("id")), carom.RewardState(q.Get("state"))}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bank[t] == nil {
		r.bank[t] = map[carom.DeliveryID]bool{}
	}
	r.bank[t][carom.DeliveryID(q.Get("d"))] = true
}

// serveReward answers a request about a reward, at random as well.
func (r *receiver) serveReward(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.total++
	fails := r.rng.IntN(100) < percentFail
	r.mu.Unlock()
	if fails {
		http.Error(w, "failed at random", http.StatusInternalServerError)
		return
	}
	r.reward(req.URL.Query())
	_, _ = w.Write([]byte("OK")) // a sender that was killed gets no answer
}

// rewards compares what the stored events earn with the rewards, the ledger and what the bank was told.
func (f *facts) rewards(l *ledger) {
	if f.books.ledger.Faults == nil {
		return // a stand-in, which keeps no ledger
	}
	type earned struct{ paid, reversed bool }
	want := map[viewKey]earned{}
	for _, e := range slices.SortedFunc(slices.Values(f.books.events), func(x, y bookEvent) int { // nodes come one after another here
		return cmp.Or(cmp.Compare(x.place.Bucket, y.place.Bucket), cmp.Compare(x.place.Node, y.place.Node), cmp.Compare(x.place.Seq, y.place.Seq))
	}) {
		w := want[e.view()]
		switch {
		case e.event == string(carom.Reversal):
			w.reversed = true // before it is paid it is never paid, afterwards it is taken back
		case e.value == string(carom.Valued) && !w.reversed:
			w.paid = true
		}
		want[e.view()] = w
	}
	var lost, unearned, twice, wrong, untold, toldTwice []string
	have := map[viewKey]bool{}
	var granted, reversed int64
	for _, r := range f.books.rewards {
		w := want[r.view]
		if have[r.view] {
			twice = append(twice, fmt.Sprint(r.view))
		}
		have[r.view] = true
		state := carom.RewardGranted
		if w.reversed {
			state = carom.RewardReversed
		}
		switch {
		case !w.paid:
			unearned = append(unearned, fmt.Sprint(r.view))
		case r.amount != price*1_000_000_000 || r.state != state || r.user != strconv.Itoa(userOf(r.view.ymid)):
			wrong = append(wrong, fmt.Sprintf("%s of %v: %s to %s, %s", r.id, r.view, r.amount, r.user, r.state))
		}
		granted++
		states := []carom.RewardState{carom.RewardGranted}
		if r.state == carom.RewardReversed {
			reversed++
			states = append(states, carom.RewardReversed)
		}
		for _, s := range states {
			switch n := len(f.received.bank[told{r.id, s}]); {
			case n == 0:
				untold = append(untold, fmt.Sprintf("%s %s", r.id, s))
			case n > 1:
				toldTwice = append(toldTwice, fmt.Sprintf("%s %s", r.id, s))
			}
		}
	}
	for _, v := range slices.SortedFunc(maps.Keys(want), func(x, y viewKey) int { return strings.Compare(x.ymid, y.ymid) }) {
		if want[v].paid && !have[v] {
			lost = append(lost, fmt.Sprint(v))
		}
	}
	l.say("views", "%d", len(want))
	l.say("rewards", "%d", granted)
	l.say("  taken back", "%d", reversed)
	l.say("ledger lines", "%d", f.books.ledger.Lines)
	l.say("balances", "%d", f.books.ledger.Balances)
	l.none("rewards lost: a paid view without one", lost)
	l.none("views rewarded twice", twice)
	l.none("rewards that nothing earned", unearned)
	l.none("rewards of a wrong amount, user or state", wrong)
	l.none("rewards that the endpoint was never told of", untold)
	l.none("rewards that the endpoint was told of in two deliveries", toldTwice)
	l.none("faults in the ledger", f.books.ledger.Faults)
}
