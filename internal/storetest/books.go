package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"carom"
	"carom/internal/reward"
)

// books is what the store has to agree with: plain lists, in which everything is found by walking through all there is.
type books struct {
	keys     map[[16]byte]time.Time
	rewards  []*bookedReward
	lines    []carom.LedgerLine
	reversed []string
	views    []*bookedView // of ymids that repeat
	counters map[carom.CounterKey]carom.Counter
	lasts    map[string]time.Time
	told     []tale                     // what endpoint 1 is told
	decided  map[carom.EventID][]string // by event
}

type bookedReward struct {
	carom.Reward
	additional bool
	view, tx   string // empty: none
}

type bookedView struct {
	sum   [16]byte
	id    carom.ViewID
	at    time.Time
	types []carom.EventType
}

func sumKey(sum [16]byte) string {
	if sum == ([16]byte{}) {
		return ""
	}
	return string(sum[:])
}

// accept enters what was stored, in the order of the receipts, and compares what the store said of it.
func (b *books) accept(t testing.TB, sub *carom.Submission) {
	t.Helper()
	ev := sub.Event
	at := ev.Received.At
	if first, had := b.keys[sub.Key.Sum]; had && at.Sub(first) < sub.Key.Window {
		if !sub.Receipt.Duplicate {
			t.Errorf("%s of %s is taken for a new event", ev.Type, ev.YMID)
		}
		return
	}
	if sub.Err != nil || sub.Receipt.Duplicate {
		t.Fatalf("%s of %s: err %v, receipt %+v, want a new event", ev.Type, ev.YMID, sub.Err, sub.Receipt)
	}
	b.keys[sub.Key.Sum] = at
	var want []carom.Decided
	view := b.viewOf(sub)
	for i := range sub.Candidates {
		want = append(want, b.decide(t, sub, i, view))
	}
	want = append(want, b.change(t, sub)...)
	if diff := gocmp.Diff(want, sub.Receipt.Decided); diff != "" {
		t.Errorf("%s of %s (-want +got):\n%s", ev.Type, ev.YMID, diff)
	}
	for i, d := range want {
		said := fmt.Sprint(d.Rule, d.State, d.Reason, d.Cap)
		if d.Reward != nil {
			said += string(d.Reward.ID)
		}
		b.decided[sub.Receipt.ID] = append(b.decided[sub.Receipt.ID], said)
		isTold := i >= len(sub.Candidates) && d.State != carom.RewardCanceled || i < len(sub.Candidates) && i == 0 && d.State == carom.RewardGranted
		if isTold {
			b.told = append(b.told, tale{at, fmt.Sprint(d.Reward.ID, " ", d.State)})
		}
	}
}

// viewOf is the identity of the event's view.
func (b *books) viewOf(sub *carom.Submission) string {
	if sub.View.Joins == 0 {
		return sumKey(sub.View.Sum)
	}
	at := sub.Event.Received.At
	for _, v := range slices.Backward(b.views) {
		if v.sum == sub.View.Sum && at.Sub(v.at) < sub.View.Joins && !slices.Contains(v.types, sub.Event.Type) {
			v.types = append(v.types, sub.Event.Type)
			return string(v.id)
		}
	}
	v := &bookedView{sub.View.Sum, sub.Receipt.ID.View(), at, []carom.EventType{sub.Event.Type}}
	b.views = append(b.views, v)
	return string(v.id)
}

// decide says what the candidate at that place earns.
func (b *books) decide(t testing.TB, sub *carom.Submission, i int, view string) carom.Decided {
	t.Helper()
	c := &sub.Candidates[i]
	f := carom.RewardFacts{User: sub.View.User, LastGrant: b.lasts[c.Rule+" "+sub.View.User]}
	tx := sumKey(sub.Transaction)
	f.Reversed = slices.Contains(b.reversed, view) || tx != "" && slices.Contains(b.reversed, tx)
	for _, r := range b.rewards {
		for _, e := range []struct {
			earned *carom.Earned
			is     bool
		}{{&f.View, view != "" && r.view == view}, {&f.Transaction, tx != "" && r.tx == tx}} {
			e.earned.ByRule = e.earned.ByRule || e.is && r.App+"/"+r.Rule == c.Rule
			e.earned.ByOther = e.earned.ByOther || e.is && !r.additional
		}
	}
	for i := range c.Caps {
		f.Counters = append(f.Counters, b.counters[c.Counter(i, f.User)])
	}
	d := reward.Decide(c, &f)
	made := carom.Decided{Rule: strings.TrimPrefix(c.Rule, "app/"), State: d.State, Reason: d.Reason, Cap: d.Cap}
	if d.State == carom.RewardDeclined {
		return made
	}
	r := b.add(t, sub, i, carom.Reward{App: "app", Rule: made.Rule, User: f.User, Currency: c.Currency, Amount: d.Amount, State: d.State, Until: d.Until, Source: "monetag"})
	r.additional, r.view, r.tx = c.Additional, view, tx
	for i := range c.Caps {
		key := c.Counter(i, f.User)
		b.counters[key] = b.counters[key].Raised(&c.Caps[i], d.Amount)
	}
	if c.Cooldown > 0 && c.At.After(f.LastGrant) {
		b.lasts[c.Rule+" "+f.User] = c.At
	}
	copied := r.Reward
	made.Reward = &copied
	return made
}

// add enters a reward that the event makes, with its line when it is credited at once. It takes over the id of what the store has
// decided at that place, which must be a new one.
func (b *books) add(t testing.TB, sub *carom.Submission, i int, r carom.Reward) *bookedReward {
	t.Helper()
	ev := sub.Event
	if i < len(sub.Receipt.Decided) && sub.Receipt.Decided[i].Reward != nil {
		r.ID = sub.Receipt.Decided[i].Reward.ID
	}
	if r.ID == "" || slices.ContainsFunc(b.rewards, func(o *bookedReward) bool { return o.ID == r.ID }) {
		t.Fatalf("%s of %s: %+v, want a new reward at place %d", ev.Type, ev.YMID, sub.Receipt.Decided, i)
	}
	r.At, r.Changed, r.Event = ev.Received.At, ev.Received.At, sub.Receipt.ID
	r.Network, r.View, r.YMID, r.ZoneID, r.Transaction = ev.Network, ev.View, ev.YMID, ev.ZoneID, ev.ExternalID
	made := &bookedReward{Reward: r}
	b.rewards = append(b.rewards, made)
	if r.State == carom.RewardGranted {
		b.line(made, 1, r.Amount, sub, r.Why)
	}
	return made
}

func (b *books) line(r *bookedReward, n int, amount carom.Nanos, sub *carom.Submission, why string) {
	b.lines = append(b.lines, carom.LedgerLine{Reward: r.ID, N: n, At: sub.Event.Received.At, App: r.App, User: r.User, Currency: r.Currency,
		Amount: amount, Event: sub.Receipt.ID, Why: why})
}

// change says what becomes of rewards by what is done to them.
func (b *books) change(t testing.TB, sub *carom.Submission) (out []carom.Decided) {
	t.Helper()
	ch := sub.Change
	if ch.Grant != nil {
		r := b.add(t, sub, 0, carom.Reward{App: ch.Grant.App, Rule: carom.RuleByHand, User: ch.Grant.User, Currency: ch.Grant.Currency, Amount: ch.Grant.Amount,
			State: carom.RewardGranted, Source: carom.SourceCarom, Why: ch.Why})
		copied := r.Reward
		return []carom.Decided{{Rule: r.Rule, State: r.State, Reward: &copied}}
	}
	taken := sumKey(ch.Reverse)
	for _, r := range b.rewards {
		if r.ID != ch.Void && r.ID != ch.Mature && (taken == "" || r.view != taken && r.tx != taken) {
			continue
		}
		switch {
		case ch.Mature != "" && r.State == carom.RewardHeld:
			r.State = carom.RewardGranted
			b.line(r, 1, r.Amount, sub, ch.Why)
		case ch.Mature == "" && r.State == carom.RewardHeld:
			r.State = carom.RewardCanceled
		case ch.Mature == "" && r.State == carom.RewardGranted:
			r.State = carom.RewardReversed
			b.line(r, 2, -r.Amount, sub, ch.Why)
		default:
			continue
		}
		r.Until, r.Changed, r.Why = time.Time{}, sub.Event.Received.At, ch.Why
		copied := r.Reward
		out = append(out, carom.Decided{Rule: r.Rule, State: r.State, Reward: &copied})
	}
	if taken != "" {
		b.reversed = append(b.reversed, taken)
	}
	return out
}

// newestFirst fails the test unless a list comes newest first.
func newestFirst[T any](t testing.TB, list []T, at func(T) time.Time) {
	t.Helper()
	if !slices.IsSortedFunc(list, func(x, y T) int { return at(y).Compare(at(x)) }) {
		t.Fatalf("not newest first: %+v", list)
	}
}

// compare compares all that the store tells of rewards with the books.
func (b *books) compare(t testing.TB, s *world, users []string) {
	t.Helper()
	var all []*carom.Reward
	for _, r := range b.rewards {
		all = append(all, &r.Reward)
	}
	list := func(user string) {
		t.Helper()
		f := carom.RewardFilter{User: user, Limit: 1000}
		got, err := s.Rewards(t.Context(), f)
		if err != nil {
			t.Fatalf("Rewards(%+v): %v", f, err)
		}
		newestFirst(t, got, func(r *carom.Reward) time.Time { return r.At })
		want := slices.DeleteFunc(slices.Clone(all), func(r *carom.Reward) bool { return user != "" && r.User != user })
		for _, l := range [][]*carom.Reward{want, got} {
			slices.SortFunc(l, func(x, y *carom.Reward) int { return cmp.Compare(x.ID, y.ID) })
		}
		if diff := listDiff(want, got); diff != "" {
			t.Fatalf("Rewards(%+v) (-want +got):\n%s", f, diff)
		}
	}
	list("")
	for _, user := range users {
		list(user)
		lines := slices.DeleteFunc(slices.Clone(b.lines), func(l carom.LedgerLine) bool { return l.User != user })
		got, err := s.Ledger(t.Context(), carom.LedgerFilter{App: "app", User: user, Limit: 1000})
		if err != nil {
			t.Fatalf("Ledger of %s: %v", user, err)
		}
		newestFirst(t, got, func(l carom.LedgerLine) time.Time { return l.At })
		for _, l := range [][]carom.LedgerLine{lines, got} {
			slices.SortFunc(l, func(x, y carom.LedgerLine) int { return cmp.Or(cmp.Compare(x.Reward, y.Reward), cmp.Compare(x.N, y.N)) })
		}
		if diff := listDiff(lines, got); diff != "" {
			t.Fatalf("Ledger of %s (-want +got):\n%s", user, diff)
		}
		var total carom.Nanos
		for _, l := range lines {
			total += l.Amount
		}
		want := ""
		if len(lines) > 0 {
			want = total.String() + " coins"
		}
		wantBalance(t, s, user, want)
	}
	if report, err := s.CheckLedger(t.Context()); err != nil || len(report.Faults) > 0 {
		t.Fatalf("CheckLedger: %+v, %v", report, err)
	}
}

// traffic makes up events and what is done to rewards.
type traffic struct {
	*rand.Rand
	b     *books
	users []string
	n     int
	flips bool // the rule that is additional at times is
}

func (tr *traffic) pick(list ...string) string { return list[tr.IntN(len(list))] }

// candidates are what the rules of a busy app pay: with caps of each kind, a hold, a cooldown, one rule that changes.
func (tr *traffic) candidates() (list []carom.Candidate) {
	perDay := carom.CapAt{Scope: "app/watch", PerUser: true, PerDay: true, Rewards: 4}
	budget := carom.CapAt{Scope: "budget", PerDay: true, Amount: carom.Price{Nanos: 60 * coin, Set: true}}
	for _, c := range []carom.Candidate{
		pays("watch", 2, capped(perDay, budget)), pays("offers", 7, capped(budget), holds(time.Duration(tr.IntN(3))*time.Hour)),
		pays("click", 1, func(c *carom.Candidate) { c.Cooldown = 20 * time.Minute }),
		pays("extra", 1, additional), pays("flips", 3, func(c *carom.Candidate) { c.Additional = tr.flips }),
	} {
		if tr.IntN(3) == 0 {
			c.Amount += carom.Nanos(tr.IntN(1_000_000_000))
			list = append(list, c)
		}
	}
	return list
}

func (tr *traffic) event(at time.Time) *carom.Submission {
	tr.n++
	near := func() int { return tr.n/4 + tr.IntN(8) } // what was seen lately, or is new
	types := []carom.EventType{carom.Impression, carom.Click, carom.Completion}
	var sub *carom.Submission
	var existing carom.RewardID
	if len(tr.b.rewards) > 0 {
		existing = tr.b.rewards[tr.IntN(len(tr.b.rewards))].ID
	}
	key := fmt.Sprint(tr.n)
	switch op := tr.IntN(20); {
	case op < 10:
		n := near()
		sub = paid(fmt.Sprint("view ", n), tr.users[n%len(tr.users)], types[tr.IntN(3)], at, tr.candidates()...)
		if tr.IntN(2) == 0 {
			within(fmt.Sprint("tx ", near()), sub)
		}
		sub.Key.Window = time.Hour
	case op < 15:
		sub = shown(tr.pick("repeats", "again"), key, types[tr.IntN(3)], at, tr.candidates()...)
	case op == 15:
		sub = takesBack(transaction(fmt.Sprint("tx ", near())), key, at)
	case op == 16:
		sub = takesBack(paid(fmt.Sprint("view ", near()), "", carom.Impression, at).View.Sum, key, at)
	case op == 17:
		sub = byCarom(carom.Reversal, key, at, carom.RewardChange{Void: existing, Why: "mistaken"})
	case op == 18:
		sub = byCarom(carom.HoldEnded, key, at, carom.RewardChange{Mature: existing})
	default:
		sub = grants(tr.pick("ann", "bob", "eve"), "coins", carom.Nanos(1+tr.Int64N(int64(9*coin))), key, at)
	}
	if len(sub.Candidates) > 0 {
		sub.Targets = []carom.Target{owedFor(0, later(1)), later(2)}
	}
	return sendsTo(sub, 1)
}

// Whatever comes, in whatever calls, with whatever restarts and crashes between, the store agrees with plain books about each
// decision, reward, line and balance.
func agreeWithPlainBooks(t *testing.T, open Opener) {
	seeds := 3
	if testing.Short() || race {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			Agree(t, open, rand.New(rand.NewPCG(uint64(seed), 11)), nil)
		})
	}
}

// Agree makes up events, restarts and crashes at random, and compares the store with plain books. It is a test of [Run], which
// a package runs again where its store can be made to fail: fail runs f while the store that is open in p can commit nothing, and
// returns when it can again. What was refused meanwhile must have left nothing behind. With nil, no commit fails.
func Agree(t *testing.T, open Opener, rnd *rand.Rand, fail func(t testing.TB, p Place, f func())) {
	s := begin(t, open, Options{BucketEvents: 20 + rnd.IntN(30), SegmentRewards: 3})
	repeatingSource(t, s)
	b := &books{keys: map[[16]byte]time.Time{}, counters: map[carom.CounterKey]carom.Counter{}, lasts: map[string]time.Time{}, decided: map[carom.EventID][]string{}}
	tr := &traffic{Rand: rnd, b: b, users: []string{"ann", "bob", "", "eve"}}
	put := func(subs []*carom.Submission) {
		t.Helper()
		s.Accept(subs...)
		for _, sub := range subs {
			b.accept(t, sub)
		}
	}
	events := func(n int) (subs []*carom.Submission) {
		s.tick()
		for range n {
			subs = append(subs, tr.event(s.now()))
		}
		return subs
	}
	all := []string{"repeats", "again", "ann", "bob", "eve"}
	for i := range 160 {
		tr.flips = i/20%2 == 1
		switch op := rnd.IntN(20); {
		case op < 12:
			for range 1 + rnd.IntN(3) {
				put(events(1 + rnd.IntN(4)))
			}
		case op < 14:
			subs := append(events(4), sendsTo(grants("eve", "coins", coin, fmt.Sprint("full ", i), s.now()), 1))
			if fail != nil {
				subs[4].Event.Received.Body = make([]byte, 256<<10) // a full disk shows at the end of the commit
				fail(t, s.place, func() {
					s.Accept(subs...)
					for _, sub := range subs {
						wantUnavailable(t, "Accept", sub.Err)
					}
				})
			}
			put(subs)
		case op < 16:
			s.advance(time.Duration(1+rnd.IntN(600_000)) * time.Millisecond)
			if rnd.IntN(5) == 0 {
				s.advance(10 * time.Hour)
			}
		case op < 18:
			s.tick()
			b.mature(t, s, s.now(), put)
		default:
			if rnd.IntN(2) == 0 {
				s.crash(t)
			} else {
				s.restart(t)
			}
			b.compare(t, s, all)
		}
		if i%10 == 0 {
			b.compare(t, s, all)
		}
	}
	b.compare(t, s, all)
	tales := told(t, s, 1)
	if !slices.IsSortedFunc(tales, func(x, y tale) int { return x.at.Compare(y.at) }) {
		t.Errorf("the endpoint of rewards is not told in order: %+v", tales)
	}
	for _, l := range [][]tale{b.told, tales} {
		slices.SortFunc(l, func(x, y tale) int { return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.text, y.text)) })
	}
	if diff := gocmp.Diff(b.told, tales, gocmp.AllowUnexported(tale{})); diff != "" {
		t.Errorf("what the endpoint of rewards is told (-want +got):\n%s", diff)
	}
	for id, want := range b.decided {
		story, err := s.Story(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range story.Event.Decided {
			said := fmt.Sprint(d.Rule, d.State, d.Reason, d.Cap)
			if d.Reward != nil {
				said += string(d.Reward.ID)
			}
			got = append(got, said)
		}
		if diff := listDiff(want, got); diff != "" {
			t.Errorf("what %s decided, as it is stored (-want +got):\n%s", id, diff)
		}
	}
	t.Logf("%d events, %d rewards, %d lines", tr.n, len(b.rewards), len(b.lines))
}

// mature credits what is due, as the store says, and compares that with the books.
func (b *books) mature(t testing.TB, s *world, now time.Time, put func([]*carom.Submission)) {
	t.Helper()
	due, err := s.HeldDue(t.Context(), now, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []carom.RewardID
	for _, r := range b.rewards {
		if r.State == carom.RewardHeld && !r.Until.After(now) {
			want = append(want, r.ID)
		}
	}
	var subs []*carom.Submission
	for _, r := range due {
		got = append(got, r.ID)
		subs = append(subs, sendsTo(byCarom(carom.HoldEnded, "of "+string(r.ID), now, carom.RewardChange{Mature: r.ID, Why: "the hold has ended"}), 1))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := listDiff(want, got); diff != "" {
		t.Fatalf("due (-want +got):\n%s", diff)
	}
	put(subs)
}
