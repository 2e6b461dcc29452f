package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"carom"
	"carom/internal/network"
)

// ReprocessFilter selects what is to be judged again. An empty field lets all through.
type ReprocessFilter struct {
	App    string       `json:"app,omitempty" doc:"Needed unless the key is limited to one"`
	Source string       `json:"source,omitempty" doc:"The source's name"`
	Kind   string       `json:"kind" enum:"held,refused" doc:"held: events that wait. refused: postbacks that were verified and of no use"`
	Reason carom.Reason `json:"reason,omitempty" doc:"Why they are held or were refused. What a source in shadow held is selected only by the reason shadow: today's receiver has paid for it"`
	Span
}

// Reprocess asks to judge held events and refused postbacks again, by the objects that are in force now.
type Reprocess struct {
	Filter *ReprocessFilter `json:"filter,omitempty"`
	IDs    []string         `json:"ids,omitempty" maxItems:"1000" nullable:"false" doc:"Instead of a filter: evt_… and rcv_…"`
	Before string           `json:"before,omitempty" doc:"With a filter: the next of the answer before, to go on"`
	As     string           `json:"as,omitempty" enum:"valued,not_valued,empty" doc:"What held events of unknown value count as; without it they stay held"`
	Why    string           `json:"why" minLength:"1" maxLength:"500" doc:"Kept with each event that this makes"`
}

// Reprocessed says what came of judging again, or with dry_run would come of it.
type Reprocessed struct {
	DryRun      bool              `json:"dry_run"`
	Reprocessed int               `json:"reprocessed" doc:"How many made an event"`
	Copies      int               `json:"copies" doc:"How many had made one before: nothing was granted or sent for them now"`
	Skipped     int               `json:"skipped" doc:"How many made none"`
	Sums        []Sum             `json:"sums" nullable:"false" doc:"What was granted and held; empty in a preview, since that is decided when it is done"`
	Items       []ReprocessedItem `json:"items" nullable:"false" doc:"One for each, the oldest first"`
	Next        string            `json:"next,omitempty" doc:"There is more: send the same request with this as before"`
}

// ReprocessedItem is what came of one held event or refused postback.
type ReprocessedItem struct {
	Of      string        `json:"of"`
	Outcome string        `json:"outcome" enum:"reprocessed,copy,skipped"`
	Event   carom.EventID `json:"event,omitempty" doc:"The event that it made, now or before; absent in a preview"`
	Reason  string        `json:"reason,omitempty" doc:"Why it is skipped, and the fix"`
	Decided []Decided     `json:"decided,omitempty" nullable:"false"`
}

func (r *Reprocessed) add(it ReprocessedItem) {
	switch it.Outcome {
	case "reprocessed":
		r.Reprocessed++
	case "copy":
		r.Copies++
	default:
		r.Skipped++
	}
	r.Items = append(r.Items, it)
}

type reprocessIn struct {
	Preview
	Body Reprocess
}

type reprocessOut struct{ Body Reprocessed }

func (s *service) reprocess(ctx context.Context, in *reprocessIn) (*reprocessOut, error) {
	by, err := by(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	out := &reprocessOut{Reprocessed{DryRun: in.DryRun, Sums: []Sum{}, Items: []ReprocessedItem{}}}
	events, refused, err := s.reprocessable(ctx, &in.Body, &out.Body)
	if err != nil {
		return nil, err
	}
	as := valueOf(in.Body.As)
	if in.DryRun {
		for _, ev := range events {
			out.Body.add(s.wouldRelease(ev, as))
		}
		for _, r := range refused {
			out.Body.add(s.wouldRejudge(ctx, r))
		}
		return out, nil
	}
	done, err := s.Door.Reprocess(ctx, events, refused, as, by)
	total := sums{}
	for i := range done {
		it := ReprocessedItem{Of: done[i].Of, Outcome: "reprocessed", Event: done[i].Event, Reason: done[i].Reason, Decided: decidedOf(done[i].Decided)}
		switch {
		case done[i].Event == "":
			it.Outcome = "skipped"
		case done[i].Copy:
			it.Outcome = "copy"
		}
		out.Body.add(it)
		for _, d := range done[i].Decided {
			if !done[i].Copy && d.Reward != nil && (d.State == carom.RewardGranted || d.State == carom.RewardHeld) {
				total.add(d.Reward, d.State)
			}
		}
	}
	if len(done) > 0 {
		s.audit(ctx, "reprocess", by, "events", out.Body.Reprocessed)
	}
	if err != nil {
		return nil, partly(err, out.Body.Reprocessed, "event")
	}
	out.Body.Sums = total.list()
	return out, nil
}

// valueOf reads what events of unknown value are to count as. Without a word they stay unknown.
func valueOf(word string) carom.RewardEventType {
	switch word {
	case "":
		return carom.ValueUnknown
	case "empty":
		return carom.ValueEmpty
	}
	return carom.RewardEventType(word)
}

// wouldRelease says what the door would make of a held event.
func (s *service) wouldRelease(ev *carom.Event, as carom.RewardEventType) ReprocessedItem {
	it := ReprocessedItem{Of: string(ev.ID), Outcome: "skipped"}
	switch {
	case ev.Held == "":
		it.Reason = "it is not held: what it was owed is in its story, and carom resend sends that again"
	case !slices.ContainsFunc(s.Objects.Objects().Sources, func(src carom.Source) bool { return src.App == ev.App && src.Name == ev.Source }):
		it.Reason = "its source is deleted: make it again under the same name"
	case ev.Value == carom.ValueUnknown && as == carom.ValueUnknown:
		it.Reason = "its value is a word that nobody has met: say what it counts as with --as valued, not_valued or empty"
	default:
		it.Outcome = "reprocessed"
	}
	return it
}

// wouldRejudge says what the door would make of a refused postback.
func (s *service) wouldRejudge(ctx context.Context, r *carom.Refused) ReprocessedItem {
	it := ReprocessedItem{Of: string(r.ID), Outcome: "skipped"}
	var b *network.Binding
	if s.Binding != nil {
		b = s.Binding(r.App, r.Source)
	}
	if b == nil {
		it.Reason = "its source is deleted: make it again under the same name"
		return it
	}
	switch v := Verify(ctx, b, network.KeptRequest(&r.Received), r.Received.At, s.Keys); {
	case !v.Verified:
		it.Reason = fmt.Sprintf("it does not verify any more (%s): the secrets that it was verified with may have been revoked", v.Reason)
	case v.Event == nil:
		it.Reason = fmt.Sprintf("it is refused again (%s): %s", v.Refused, v.Detail)
	default:
		it.Outcome = "reprocessed"
	}
	return it
}

// reprocessable finds what a request is about, the oldest first. It notes in out where to go on. What was reprocessed before
// is left out as far as reading tells; the door knows the rest to be copies.
func (s *service) reprocessable(ctx context.Context, in *Reprocess, out *Reprocessed) ([]*carom.Event, []*carom.Refused, error) {
	if err := filterOrIDs(in.Filter != nil, len(in.IDs)); err != nil {
		return nil, nil, err
	}
	if in.Filter == nil {
		return s.reprocessIDs(ctx, in.IDs)
	}
	f := *in.Filter
	var err error
	if f.App, err = callerOf(ctx).appOf(f.App, f.Source); err != nil {
		return nil, nil, err
	}
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	if f.Kind == "refused" {
		list, next, err := s.findRefused(ctx, &f, carom.ReceivedID(in.Before))
		out.Next = string(next)
		slices.Reverse(list)
		return nil, list, err
	}
	before := carom.EventID(in.Before)
	if before != "" {
		if _, _, err := before.Place(); err != nil {
			return nil, nil, carom.Invalid("before", "this is not an event id: give the `next` of the answer before")
		}
	}
	var events []*carom.Event
	next, err := s.eachHeld(ctx, carom.EventFilter{App: f.App, Source: f.Source, Since: f.From, Before: before}, scanEvents, func(ev *carom.Event) bool {
		if f.holds(ev.At) && (f.Reason == carom.Reason(ev.Held) || f.Reason == "" && ev.Held != string(carom.ReasonShadow)) {
			events = append(events, ev)
		}
		return len(events) < maxReprocess
	})
	out.Next = string(next)
	slices.Reverse(events)
	return events, nil, err
}

// reprocessIDs gets held events and refused postbacks by their ids, the oldest first.
func (s *service) reprocessIDs(ctx context.Context, ids []string) (events []*carom.Event, refused []*carom.Refused, err error) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		switch {
		case strings.HasPrefix(id, "evt_"):
			st, err := s.story(ctx, carom.EventID(id))
			if err != nil {
				return nil, nil, err
			}
			events = append(events, st.Event)
		case strings.HasPrefix(id, "rcv_"):
			r, err := s.refusal(ctx, carom.ReceivedID(id))
			if err != nil {
				return nil, nil, err
			}
			refused = append(refused, r)
		default:
			return nil, nil, carom.Invalid("ids", "%q is neither the id of an event (evt_…) nor of a refused postback (rcv_…)", id)
		}
	}
	return events, refused, nil
}

// eachHeld calls do with the held events among those that f selects which nobody has reprocessed, from new to old, until do
// returns false or scan events were looked at. It returns where to go on; nothing when all was read. Since it goes from new
// to old, it meets what reprocessing made before what it was made of.
func (s *service) eachHeld(ctx context.Context, f carom.EventFilter, scan int, do func(*carom.Event) bool) (next carom.EventID, err error) {
	made := map[string]bool{}
	f.Limit = scanPage
	for range scan / scanPage {
		page, err := s.Store.Events(ctx, f)
		if err != nil {
			return "", fmt.Errorf("find held events: %w", err)
		}
		for _, ev := range page {
			if ev.Origin != "" {
				made[ev.Origin] = true
			}
			if ev.Held != "" && !made[string(ev.ID)] && !do(ev) {
				return ev.ID, nil
			}
		}
		if len(page) < scanPage {
			return "", nil
		}
		f.Before = page[len(page)-1].ID
	}
	return f.Before, nil
}

// findRefused looks for refused postbacks from the newest backwards. next is where to go on; empty when all was read.
func (s *service) findRefused(ctx context.Context, f *ReprocessFilter, before carom.ReceivedID) (list []*carom.Refused, next carom.ReceivedID, err error) {
	if before != "" {
		if _, _, err := before.Place(); err != nil {
			return nil, "", carom.Invalid("before", "this is not the id of a refused postback: give the `next` of the answer before")
		}
	}
	for range scanEvents / scanPage {
		page, err := s.Store.Refused(ctx, carom.RefusedFilter{App: f.App, Source: f.Source, Before: before, Limit: scanPage})
		if err != nil {
			return nil, "", fmt.Errorf("find refused postbacks: %w", err)
		}
		for _, r := range page {
			if r.Received.At.Before(f.From) {
				return list, "", nil // they go from new to old
			}
			if !f.holds(r.Received.At) || f.Reason != "" && f.Reason != r.Reason {
				continue
			}
			if list = append(list, r); len(list) == maxReprocess {
				return list, r.ID, nil
			}
		}
		if len(page) < scanPage {
			return list, "", nil
		}
		before = page[len(page)-1].ID
	}
	return list, before, nil
}
