package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carom"
)

// lateForUser is how long after its expiry a view may still be confirmed by an event that names no more than its user.
const lateForUser = time.Hour

// earn fills in what the store has to know to decide what the event earns or takes back: the view it belongs to, its
// transaction, and what each rule would pay. It fails when an opened view cannot be read.
//
// at is the moment for which the event counts: when it was received first.
func (d *Door) earn(ctx context.Context, c *Catalog, src *source, s *carom.Submission, at time.Time) error {
	ev := s.Event
	if ev.Origin == "" {
		src.hold(ev)
	}
	if ev.Flags&(carom.FlagTest|carom.FlagHeld) != 0 || ev.Held != "" {
		return nil
	}
	a := c.apps[src.App]
	view, err := d.openedView(ctx, src, ev)
	gone := errors.Is(err, carom.ErrNotFound) // forgotten since, or opened before a restore
	if err != nil && !gone {
		return fmt.Errorf("read the view of an event: %w", err)
	}
	if view == nil && !a.ruled && ev.Type != carom.Reversal {
		return nil
	}
	s.View = claim(src, ev, view, s.Key.Sum)
	if ev.ExternalID != "" {
		s.Transaction = transactionSum(&src.Source, ev.ExternalID)
	}
	if ev.Type == carom.Reversal {
		s.Change = carom.RewardChange{Reverse: takenBack(src, s), Why: "the network took it back"}
		s.RewardTargets = c.rewardTargets
		return nil
	}
	s.Candidates = c.rules.Candidates(nil, ev, at)
	for i := range s.Candidates {
		s.Candidates[i].Again = ev.Origin != ""
	}
	if view == nil && (gone || src.binding != nil && src.binding.Profile.NoID) {
		for i := range s.Candidates {
			s.Candidates[i].Declined = carom.DeclineNoView
		}
	}
	s.Uncounted = a.ruled && len(s.Candidates) == 0 && ev.Value == carom.Valued
	return nil
}

// openedView finds the view that was opened for the event: by the ymid that carom made for it, by one of the app's own, or,
// where the network sends no id, by the user. It returns nil when there is none, carom.ErrNotFound when there was one.
func (d *Door) openedView(ctx context.Context, src *source, ev *carom.Event) (*carom.View, error) {
	views := d.opts.Views
	if views == nil {
		return nil, nil
	}
	var v *carom.View
	var err error
	id, sealed := d.seal.ViewOf(ev.YMID)
	switch {
	case sealed:
		v, err = views.View(ctx, id)
	case src.binding != nil && src.binding.Profile.NoID:
		user := ev.User(true)
		if user == "" {
			return nil, nil
		}
		if v, err = views.ViewOfUser(ctx, ev.App, user); v != nil && ev.Received.At.After(v.ExpiresAt.Add(lateForUser)) {
			return nil, nil
		}
	case ev.YMID != "":
		v, err = views.ViewByYMID(ctx, ev.App, ev.YMID)
	}
	if err != nil || v == nil || v.App != ev.App {
		return nil, err
	}
	return v, nil
}

// claim says which view the event belongs to. key is the event's own, for one that nothing else names.
func claim(src *source, ev *carom.Event, v *carom.View, key [16]byte) carom.ViewClaim {
	if v != nil {
		return carom.ViewClaim{Sum: v.Sum(), Plain: plainSum(src, ev), View: v, User: v.User}
	}
	c := carom.ViewClaim{User: ev.User(src.YMID == carom.YMIDUser), Sum: plainSum(src, ev)}
	switch {
	case c.Sum != [16]byte{}:
	case ev.ExternalID != "":
		c.Sum = carom.SumOf("view of transaction", src.ID(), ev.ExternalID)
	case ev.YMID != "" || c.User != "":
		c.Sum, c.Joins = ev.RepeatSum(), src.RepeatWindow
	default:
		c.Sum = key
	}
	return c
}

// plainSum is the sum of the view that a unique ymid names by itself; zero where it is not unique.
func plainSum(src *source, ev *carom.Event) [16]byte {
	if ev.YMID == "" || src.YMID != carom.YMIDView || ev.Flags&carom.FlagYMIDAsUser != 0 {
		return [16]byte{}
	}
	return ev.RepeatSum()
}

func transactionSum(s *carom.Source, id string) [16]byte {
	return carom.SumOf("transaction", s.ID(), id)
}

// takenBack is the sum of what a reversal takes back: its transaction, or else its view. Where the ymid repeats and there is
// no transaction nobody can say what is meant, and it is nothing.
func takenBack(src *source, s *carom.Submission) [16]byte {
	ev := s.Event
	switch of := reversed(ev); {
	case src.binding == nil && of != "":
		return transactionSum(&src.Source, of)
	case src.binding != nil && s.Transaction != [16]byte{}: // a reported event's id is its own
		return s.Transaction
	case s.View.Joins == 0 && (s.View.View != nil || ev.YMID != ""):
		return s.View.Sum
	}
	s.View.Joins = 0 // it belongs to no view
	return [16]byte{}
}

// fieldReverses is the further field in which a trusted server names the event that a reversal takes back.
const fieldReverses = "reverses"

func reversed(ev *carom.Event) string {
	for _, f := range ev.Fields {
		if f.Name == fieldReverses {
			return f.Value
		}
	}
	return ""
}

// tell lets whoever waits for the event's view know what came of it.
func (d *Door) tell(s *carom.Submission) {
	s.Event.Decided = s.Receipt.Decided
	if s.View.View == nil || d.opts.Tell == nil {
		return
	}
	if o := (carom.ViewOutcome{}).After(s.Event); s.View.View.Expects(s.Event.Source) {
		d.opts.Tell(s.View.View.ID, o)
	}
}
