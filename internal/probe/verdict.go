package probe

import (
	"errors"
	"fmt"
	"math/big"
	"net/http"

	"carom"
)

// What follows decides a check. The first fault stands, but for one of the answers alone, which one of the books replaces.

func (t *trial) fail(h Harm, meaning, fix string) {
	if c := t.check; c.Verdict != Fail || c.Harm == Repeats {
		c.Verdict, c.Harm, c.Meaning, c.Fix = Fail, h, meaning, fix
	}
}

func (t *trial) warn(meaning, fix string) { t.decide(Warn, meaning, fix) }

func (t *trial) pass(meaning string) { t.decide(Pass, meaning, "") }

func (t *trial) unknown(meaning string) { t.decide(Unknown, meaning, "") }

func (t *trial) skip(why string) { t.decide(Skip, why, "") }

func (t *trial) decide(v Verdict, meaning, fix string) {
	if c := t.check; c.Verdict == "" {
		c.Verdict, c.Meaning, c.Fix = v, meaning, fix
	}
}

// later has judge run when what was sent has settled: at once where all checks share one user, else at the end, so that the
// run waits but once.
func (t *trial) later(judge func()) {
	if t.user == "" {
		t.judges = append(t.judges, judge)
		return
	}
	t.rest(t.ctx)
	t.judge(judge)
}

// judge runs a judgement, unless the check is decided. One of the answers alone may still become worse.
func (t *trial) judge(judge func()) {
	if t.ctx.Err() != nil && t.check.Verdict == "" {
		t.unknown("The run was ended before the books were read.")
	}
	if v := t.check.Verdict; v == "" || v == Warn || v == Fail && t.check.Harm == Repeats {
		judge()
	}
}

// unread decides a check whose account the books cannot tell any more.
func (t *trial) unread(err error) {
	if errors.Is(err, carom.ErrInvalid) {
		t.fail(PaysAmounts, "After this the balance is no number any more: "+t.tmpl.mask(safe(err.Error())), "Check every amount before it is booked, and count in whole numbers.")
		return
	}
	t.unknown("The books could not be read: " + t.tmpl.mask(safe(err.Error())))
}

// accepted says whether an answer tells the network that all is well. what is the normal outcome that was answered: if it was
// answered otherwise, the check fails.
func (t *trial) accepted(a *answer, what string) bool {
	const fix = "Answer 200 to everything that is settled, paid or not; anything else only for what shall come again."
	switch {
	case a.ok():
		return true
	case a.phase == phaseEnded:
		t.unknown("The run was ended before the answer came.")
	case a.phase == phaseTimeout:
		t.fail(Slow, "No complete answer to "+what+" came in time: the network gives up and may never send it again.",
			"Answer as soon as the event is stored, and do the rest afterwards.")
	case a.err != nil:
		t.fail(Repeats, "The connection broke at "+what+": the network repeats it, or drops it.", "Look at the receiver's log, and answer 200.")
	case a.status/100 == 3:
		t.fail(Repeats, fmt.Sprintf("A redirect (%d) answered %s: networks do not follow it, and repeat.", a.status, what), fix)
	case a.status/100 == 5:
		t.fail(Repeats, fmt.Sprintf("The receiver broke (%d) at %s: the network repeats it, and each repeat breaks again.", a.status, what), fix)
	default:
		t.fail(Repeats, fmt.Sprintf("A normal outcome, %s, was answered %d: the network takes it for a fault and sends it again and again.", what, a.status), fix)
	}
	return false
}

// survived says whether a receiver stayed upright under input that it may refuse: any answer below 500 will do.
func (t *trial) survived(a *answer, what string) bool {
	switch {
	case a.phase == phaseEnded:
		t.unknown("The run was ended before the answer came.")
	case a.err != nil || a.status >= http.StatusInternalServerError:
		t.fail(Breaks, "The receiver broke at "+what+": the network repeats it, each repeat breaks again, and a stranger can do the same.",
			"Check every parameter before it is used, and answer 200 to what can never be paid.")
	case a.status == http.StatusTooManyRequests:
		t.fail(Repeats, "The receiver answered 429 to "+what+": the network sends it again and again.", "Answer 200 to what can never be paid.")
	default:
		return true
	}
	return false
}

// never fails the check when the books show that an account was paid.
func (t *trial) never(a *account, h Harm, open, meaning, fix string) {
	t.later(func() {
		if !t.provable(open) {
			return
		}
		if got, ok := t.credit(a); ok && got.Sign() > 0 {
			t.fail(h, meaning+" The books show "+amount(got)+".", fix)
		}
	})
}

// once fails the check when the books show that an account was paid more than most, or nothing.
func (t *trial) once(a *account, more, less fault, open string) {
	t.later(func() {
		if !t.provable(open) {
			return
		}
		got, ok := t.credit(a)
		switch {
		case !ok:
		case got.Cmp(t.most()) > 0:
			t.fail(more.harm, fmt.Sprintf("%s The books show %s instead of %s.", more.meaning, amount(got), amount(t.most())), more.fix)
		case got.Sign() <= 0:
			t.fail(less.harm, less.meaning+" The books show nothing.", less.fix)
		}
	})
}

// fault is what a check says when it fails.
type fault struct {
	harm         Harm
	meaning, fix string
}

// most is the most that one view may pay: the larger of what an impression and a click pay.
func (s *session) most() *big.Rat {
	most := new(big.Rat)
	for _, paid := range s.paid {
		if paid != nil && paid.Cmp(most) > 0 {
			most = paid
		}
	}
	return most
}

// amount writes an exact amount as a decimal, without trailing zeros.
func amount(n *big.Rat) string {
	if digits, exact := n.FloatPrec(); exact {
		return n.FloatString(digits)
	}
	return n.FloatString(18)
}
