package probe

import (
	"fmt"
	"math/big"
	"slices"

	"carom"
)

const (
	copies      = 8 // at once
	viewsAtOnce = 4
	fixUnique   = "Insert the view's id into a table with a unique key in the transaction that pays, and pay only if that inserted something."
	openTwice   = "All copies were accepted; whether they were paid more than once cannot be seen."
)

var (
	twice = fault{PaysTwice, "One event was paid more than once.", fixUnique}
	lost  = fault{Loses, "The event was accepted, and not credited.", "Mark an event as seen and pay for it in one transaction."}
)

func checkDuplicate(t *trial) {
	acc := t.account()
	p := t.view(acc, t.pays, valued)
	first := t.send(p)
	if !t.accepted(&first, "a paid event") {
		return
	}
	if t.paid[t.pays] != nil { // a copy usually comes when the first has been paid
		if _, ok := t.await(acc, new(big.Rat)); !ok {
			return
		}
	}
	for range 2 {
		if a := t.send(p); !t.accepted(&a, "an exact copy") {
			return
		}
	}
	t.once(acc, twice, lost, openTwice)
}

func checkDuplicatesParallel(t *trial) {
	acc := t.account()
	p := t.view(acc, t.pays, valued)
	for _, a := range t.atOnce(slices.Repeat([]*postback{p}, copies)) {
		if !t.accepted(&a, "a copy at the same moment") {
			break // a fault of the answers does not hide one of the books
		}
	}
	t.once(acc, twice, lost, openTwice)
}

// checkBothEvents sends impression and click of one view in both orders.
func checkBothEvents(t *trial) {
	if t.kind != carom.YMIDView && !t.tmpl.has("request_var") {
		t.skip("With such ymids, and without {request_var}, nothing in the URL says that two events are of one view.")
		return
	}
	other := map[string]string{click: impression, impression: click}[t.pays]
	alone := t.account()
	if a := t.send(t.view(alone, other, valued)); !t.accepted(&a, "a paid "+other) {
		return
	}
	if t.paid[t.pays] != nil {
		got, ok := t.await(alone, new(big.Rat))
		if !ok {
			return
		}
		if got.Sign() > 0 {
			t.paid[other] = got
		}
	}
	for _, order := range [][]string{{click, impression}, {impression, click}} {
		acc := t.account()
		p := t.view(acc, order[0], valued)
		for _, eventType := range order {
			if a := t.send(p.as(eventType, valued)); !t.accepted(&a, "the "+eventType+" of a view") {
				return
			}
		}
		t.once(acc,
			fault{PaysBoth, "Impression and click of one view were both paid: the " + order[1] + " after the " + order[0] + ".",
				"Let the key of what was paid be zone and ymid, without the event type."},
			fault{Loses, "A view with " + order[0] + " first was not paid at all.", lost.fix},
			"Impression and click were accepted; whether both were paid cannot be seen.")
	}
}

func checkUnpaidFirst(t *trial) {
	orders := [][]string{{t.pays, t.pays}}
	if t.tmpl.has("event_type") {
		orders = append(orders, []string{map[string]string{click: impression, impression: click}[t.pays], t.pays})
	}
	for _, order := range orders {
		acc := t.account()
		p := t.view(acc, order[0], notValued)
		if a := t.send(p); !t.accepted(&a, "an unpaid event") {
			return
		}
		if a := t.send(p.as(order[1], valued)); !t.accepted(&a, "a paid event after an unpaid one of its view") {
			return
		}
		t.once(acc, fault{PaysUnpaid, "The unpaid and the paid event of one view were both paid.", "Pay for reward_event_type valued and for nothing else."},
			fault{Loses, fmt.Sprintf("The unpaid %s used up the id, and the paid %s after it was not paid.", order[0], order[1]),
				"Look at the value before the id is marked as seen."},
			"Both events were accepted; whether the paid one was paid cannot be seen.")
	}
}

func checkSecondView(t *trial) {
	if t.kind != carom.YMIDView && !t.tmpl.has("request_var") {
		t.unknown("With such ymids, and without {request_var}, the next view of a user looks like a copy of the first: whoever pays it pays copies too.")
		return
	}
	acc := t.account()
	for _, p := range []*postback{t.view(acc, t.pays, valued), t.another(acc, t.pays, valued)} {
		if a := t.send(p); !t.accepted(&a, "a paid event of another view") {
			return
		}
		if t.paid[t.pays] != nil {
			if _, ok := t.await(acc, new(big.Rat)); !ok {
				return
			}
		}
	}
	t.later(func() {
		if !t.provable("Both views were accepted; whether both were paid cannot be seen.") {
			return
		}
		got, ok := t.credit(acc)
		if ok && got.Cmp(t.paid[t.pays]) <= 0 && t.kind != carom.YMIDView {
			t.fail(Loses, "The next view of the same user was taken for a copy, and not paid.",
				"Have the app pass a fresh ymid for each view; until then let what else differs be part of the key.")
		} else if ok && got.Cmp(t.paid[t.pays]) <= 0 {
			t.pass("The second view within a second was not paid: right for a receiver that has users wait between views, a loss otherwise.")
		}
	})
}

// checkViewsParallel compares views one after another with as many at once, so that a cap or a pause of the receiver's own
// is not taken for a loss.
func checkViewsParallel(t *trial) {
	if t.kind != carom.YMIDView {
		t.skip("With such ymids views at the same moment cannot be told from copies.")
		return
	}
	slow, fast := t.account(), t.account()
	var at []*postback
	for range viewsAtOnce {
		if a := t.send(t.another(slow, t.pays, valued)); !t.accepted(&a, "a paid event of another view") {
			return
		}
		if t.user == "" { // one balance for both would mix them
			at = append(at, t.another(fast, t.pays, valued))
		}
	}
	for _, a := range t.atOnce(at) {
		if !t.accepted(&a, "a paid event while others of its user come") {
			return
		}
	}
	t.later(func() {
		if t.user != "" || !t.provable("All were accepted; whether all were paid cannot be seen.") {
			return
		}
		want, ok := t.credit(slow)
		if !ok {
			return
		}
		if got, ok := t.credit(fast); ok && got.Cmp(want) < 0 {
			t.fail(Loses, fmt.Sprintf("%d views of one user pay %s one after another, and %s at once: some overwrote others.", viewsAtOnce, amount(want), amount(got)),
				"Add to the balance in one statement, instead of reading it, adding and writing it back.")
		}
	})
}

// checkBrokenConnection closes the connection behind a postback and repeats it, as a network does that got no answer.
func checkBrokenConnection(t *trial) {
	acc := t.account()
	p := t.view(acc, t.pays, valued)
	target := t.tmpl.fill(p)
	broken := answer{}
	if err := t.client.breakOff(t.ctx, target); err != nil {
		broken.err = err
	}
	t.note("GET (closed without waiting for the answer) "+t.line("", target)[1:], &broken)
	if broken.err == nil && !t.letBegin(acc) {
		return
	}
	if a := t.send(p); !t.accepted(&a, "the repeat after a broken connection") {
		if c := t.check; c.Verdict == Fail {
			c.Harm = LosesOnRetry
		}
		return
	}
	t.once(acc, twice,
		fault{LosesOnRetry, "The connection broke while the event was worked on; its repeat was answered with success, and never paid.",
			"Mark an event as seen and pay for it in one transaction, and do not let a hang-up of the caller stop it half-way."},
		"The repeat was accepted; whether the event was paid, and once, cannot be seen.")
}

// letBegin waits before the repeat of what was broken off. A network repeats after seconds, when the receiver has long begun; a repeat at
// once might overtake it, and would then be the one that is new. ok is false, and the check decided, when the books do not say.
func (t *trial) letBegin(acc *account) (ok bool) {
	if t.hungUp != nil {
		t.hungUp(t.ctx)
	}
	if t.books == nil || t.paid[t.pays] == nil {
		pause(t.ctx, t.settle)
		return true
	}
	_, ok = t.await(acc, new(big.Rat)) // who is paid is done
	return ok
}
