package ingest

import (
	"encoding/json"
	"slices"
	"time"

	"carom"
	"carom/internal/network"
	"carom/internal/reward"
)

// judged is what carom made of one request of a source in shadow.
type judged struct {
	outcome    network.Outcome
	reason     carom.Reason // of unverified and refused
	id         string       // of the event, of a copy's original, or of the refused postback
	kind       carom.EventType
	value      carom.RewardEventType
	held       bool // its value is a word that nobody has met
	claim      carom.ViewClaim
	candidates []carom.Candidate
	unusual    bool
	excessive  bool
}

// comparison is a request with what carom and today's receiver made of it.
type comparison struct {
	judged
	source string // the name of the source
	at     time.Time
	asked  bool // the receiver was
	class  answerClass
	shape  string
	shown  carom.ShadowExample
}

// viewNote is what is remembered of a view.
type viewNote struct {
	Since  int64       `json:"t"` // of its first event, in milliseconds
	Events []eventNote `json:"e"`
	Plain  []string    `json:"r,omitempty"` // rules that would have paid and are not additional
	Extra  []string    `json:"a,omitempty"` // additional ones
}

// eventNote is how an event of a view was answered.
type eventNote struct {
	Kind  carom.EventType       `json:"k"`
	Value carom.RewardEventType `json:"v,omitempty"`
	Class answerClass           `json:"c"`
	Shape string                `json:"s,omitempty"`
	Paid  bool                  `json:"p,omitempty"` // the network pays for it, or a rule does
}

// sourceNote is what is remembered of a source: the shapes of its receiver's answers to paid events, until there are too many
// to tell anything.
type sourceNote struct {
	Shapes []string `json:"s"`
}

// Bounds of notes.
const (
	maxNotedEvents = 16
	maxShapes      = 8
)

// paidLike says that an answer of this shape is one that paid events get. known is false when that cannot be said.
func (n *sourceNote) paidLike(shape string) (alike, known bool) {
	return slices.Contains(n.Shapes, shape), len(n.Shapes) > 0 && len(n.Shapes) < maxShapes
}

// judge compares the request with what came before it. It is pure.
func (c *comparison) judge(ofView, ofSource []byte) carom.ShadowFinding {
	var view viewNote
	var src sourceNote
	if ofView != nil {
		_ = json.Unmarshal(ofView, &view) // it was written below
	}
	if ofSource != nil {
		_ = json.Unmarshal(ofSource, &src) // likewise
	}
	f := carom.ShadowFinding{Compared: c.asked, Example: c.shown}
	shapes := len(src.Shapes)
	switch {
	case c.outcome == network.Unverified, c.outcome == network.RefusedOutcome, c.held:
		f.Kinds = c.withoutEvent(&src)
	case c.outcome == network.Accepted || c.outcome == network.Duplicate:
		c.begin(&view)
		grants := c.grant(&view)
		f.Grants = grants
		f.Kinds = c.withEvent(&view, &src, len(grants) > 0)
		f.View, _ = json.Marshal(&view) // texts and numbers always marshal
	default:
		f.Compared = false // carom could not judge it
	}
	if !f.Compared {
		f.Kinds = nil
	}
	if len(src.Shapes) != shapes {
		f.Source, _ = json.Marshal(&src) // likewise
	}
	return f
}

// withoutEvent finds what differs for a request that no event can be made of.
func (c *comparison) withoutEvent(src *sourceNote) []carom.ShadowKind {
	alike, known := src.paidLike(c.shape)
	taken := c.class == answerSuccess && (alike || !known) // answered as if it were good
	switch {
	case c.outcome == network.Unverified:
		return when(taken, carom.ShadowOpenDoor)
	case c.reason == carom.ReasonTest:
		return when(c.class != answerSuccess && c.class != answerDeclined, carom.ShadowRepeats)
	case c.reason == carom.ReasonLiteralMacro:
		return when(taken, carom.ShadowLiteralMacro)
	}
	return when(taken && known, carom.ShadowUnusable)
}

func when(so bool, kind carom.ShadowKind) []carom.ShadowKind {
	if !so {
		return nil
	}
	return []carom.ShadowKind{kind}
}

// begin forgets what was known of a view when its ymid repeats and this event begins another one.
func (c *comparison) begin(view *viewNote) {
	now := c.at.UnixMilli()
	if joins := c.claim.Joins; joins > 0 && c.outcome == network.Accepted &&
		(now-view.Since > joins.Milliseconds() || view.find(c.kind, c.value) != nil) {
		*view = viewNote{}
	}
	if view.Since == 0 {
		view.Since = now
	}
}

// find returns the note of the event of that type and value; nil when there is none.
func (n *viewNote) find(kind carom.EventType, value carom.RewardEventType) *eventNote {
	for i := range n.Events {
		if e := &n.Events[i]; e.Kind == kind && e.Value == value {
			return e
		}
	}
	return nil
}

// grant works out what rules would have granted for the event, and notes it. Caps and cooldowns are left out: they depend on
// what was granted before, which is nothing in shadow.
func (c *comparison) grant(view *viewNote) []carom.ShadowGrant {
	if c.outcome != network.Accepted {
		return nil
	}
	var grants []carom.ShadowGrant
	facts := carom.RewardFacts{User: c.claim.User}
	if v := c.claim.View; v != nil {
		facts.Placement, facts.PlacementFixed, facts.OtherSource = v.Placement, v.Fixed, !v.Expects(c.source)
	}
	for i := range c.candidates {
		can := c.candidates[i]
		can.Caps, can.Cooldown = nil, 0
		facts.View = carom.Earned{ByRule: slices.Contains(view.Plain, can.Rule) || slices.Contains(view.Extra, can.Rule), ByOther: len(view.Plain) > 0}
		d := reward.Decide(&can, &facts)
		if d.State == carom.RewardDeclined {
			continue
		}
		grants = append(grants, carom.ShadowGrant{Currency: can.Currency, Amount: d.Amount})
		if can.Additional {
			view.Extra = append(view.Extra, can.Rule)
		} else {
			view.Plain = append(view.Plain, can.Rule)
		}
	}
	return grants
}

// withEvent finds what differs for an event or a copy, and notes how it was answered. earns says that a rule would pay for it.
func (c *comparison) withEvent(view *viewNote, src *sourceNote, earns bool) []carom.ShadowKind {
	refused := c.class == answerRefusal || c.class == answerFault
	before := view.find(c.kind, c.value)
	if !c.asked {
		return nil
	}
	if c.kind == carom.Reversal {
		return when(c.class != answerSuccess, carom.ShadowReversal)
	}
	now := eventNote{Kind: c.kind, Value: c.value, Class: c.class, Shape: c.shape, Paid: earns || c.value == carom.Valued}
	if before != nil {
		now.Paid = now.Paid || before.Paid
	}
	answered := before != nil && (before.Class == answerSuccess || before.Class == answerDeclined)
	defer func() { view.note(before, now) }()
	switch {
	case answered: // the receiver has had this very event
		kind := carom.ShadowCopyPaid
		if c.outcome == network.Accepted && c.claim.Joins == 0 {
			kind = carom.ShadowViewPaidTwice // another transaction of one view
		}
		alike := c.class == answerSuccess && before.Paid && before.Class == answerSuccess && before.Shape == c.shape
		now.Class, now.Shape = before.Class, before.Shape // the first answer is what copies are compared with
		return append(when(alike && !earns, kind), when(refused, carom.ShadowRepeats)...)
	case c.outcome == network.Duplicate && before == nil: // its original came before the comparing, or comes at the same moment
		return when(refused, carom.ShadowRepeats)
	case c.excessive && c.value != carom.NotValued:
		now.Paid = false // no measure for other events
		return when(c.class == answerSuccess, carom.ShadowAmount)
	case !now.Paid:
		return c.unpaid(refused)
	}
	if first := view.paid(); first != nil { // the view was paid for by another event
		alike := c.class == answerSuccess && first.Shape == c.shape
		return append(when(alike && !earns, carom.ShadowViewPaidTwice), when(refused, carom.ShadowRepeats)...)
	}
	return c.paid(view, src)
}

// unpaid finds what differs for an event that nobody pays for: an ordinary outcome.
func (c *comparison) unpaid(refused bool) []carom.ShadowKind {
	switch {
	case c.class == answerNone:
		return []carom.ShadowKind{carom.ShadowFailed}
	case c.unusual && (refused || c.class == answerError):
		return []carom.ShadowKind{carom.ShadowWords}
	case c.class == answerError:
		return []carom.ShadowKind{carom.ShadowErrorBody}
	}
	return when(refused, carom.ShadowRepeats)
}

// paid finds what differs for the first event of a view that is paid for.
func (c *comparison) paid(view *viewNote, src *sourceNote) []carom.ShadowKind {
	alike, known := src.paidLike(c.shape)
	unlike := c.class == answerSuccess && known && !alike // a success, but not the one that paid events get
	afterUnpaid := slices.ContainsFunc(view.Events, func(e eventNote) bool { return e.Value == carom.NotValued })
	denied := c.class == answerRefusal || c.class == answerError || c.class == answerDeclined
	switch {
	case afterUnpaid && (denied || unlike):
		return []carom.ShadowKind{carom.ShadowPaidAfterUnpaid}
	case c.unusual && (denied || unlike):
		return []carom.ShadowKind{carom.ShadowWords}
	case c.class == answerNone || c.class == answerFault:
		return []carom.ShadowKind{carom.ShadowFailed}
	case c.class == answerError:
		return []carom.ShadowKind{carom.ShadowErrorBody}
	case denied:
		return []carom.ShadowKind{carom.ShadowPaidRefused}
	}
	if !afterUnpaid && !c.unusual && !alike && len(src.Shapes) < maxShapes {
		src.Shapes = append(src.Shapes, c.shape)
	}
	return nil
}

// note keeps how an event was answered. before is the older note of the same event, or nil.
func (n *viewNote) note(before *eventNote, now eventNote) {
	switch {
	case before != nil:
		*before = now
	case len(n.Events) < maxNotedEvents:
		n.Events = append(n.Events, now)
	}
}

// paid returns an event of the view that is paid for and was answered with success; nil when there is none.
func (n *viewNote) paid() *eventNote {
	for i := range n.Events {
		if e := &n.Events[i]; e.Paid && e.Class == answerSuccess {
			return e
		}
	}
	return nil
}
