package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"carom"
	"carom/internal/network"
)

// Reprocess judges held events and refused postbacks again, by the objects that are in force now. What is stored is never
// changed: each makes a new event, whose Origin it is, and makes it once. For caps and cooldowns it counts when it was received first.
//
// as is what an event of unknown value is released as; such events are skipped when it is ValueUnknown. The result follows the
// order of events and then refused. An error says that those behind it were not reprocessed.
func (d *Door) Reprocess(ctx context.Context, events []*carom.Event, refused []*carom.Refused, as carom.RewardEventType, by carom.By) ([]carom.Reprocessed, error) {
	c := d.catalog.Load()
	now := d.opts.Clock().UTC()
	var all []*again
	for _, ev := range events {
		a := &again{at: ev.At, done: carom.Reprocessed{Of: string(ev.ID)}}
		a.sub, a.done.Reason = c.release(ev, as, now)
		all = append(all, a)
	}
	for _, r := range refused {
		a := &again{at: r.Received.At, done: carom.Reprocessed{Of: string(r.ID)}}
		a.sub, a.done.Reason = d.rejudge(ctx, c, r, now)
		all = append(all, a)
	}
	var out []carom.Reprocessed
	for part := range slices.Chunk(all, reprocessAtOnce) {
		if err := d.acceptAgain(ctx, c, part, by); err != nil {
			return out, err
		}
		for _, a := range part {
			out = append(out, a.done)
		}
	}
	return out, nil
}

// reprocessAtOnce is how many share a commit.
const reprocessAtOnce = 256

// again is something that was received before and is judged again.
type again struct {
	at   time.Time         // when it was received
	sub  *carom.Submission // nil: it cannot be reprocessed, and done says why
	done carom.Reprocessed
}

// release makes a submission of a held event, or says why it cannot be released.
func (c *Catalog) release(held *carom.Event, as carom.RewardEventType, now time.Time) (*carom.Submission, string) {
	if held.Held == "" {
		return nil, "it is not held: what it was owed is in its story, and carom resend sends that again"
	}
	ev := *held
	ev.ID, ev.Held, ev.Decided, ev.View = "", "", nil, ""
	ev.Flags &^= carom.FlagHeld
	ev.Origin = string(held.ID)
	ev.Received.At = now
	if ev.Value == carom.ValueUnknown {
		if ev.Value = as; as == carom.ValueUnknown {
			return nil, "its value is a word that nobody has met: say what it counts as with --as valued, not_valued or empty"
		}
	}
	return &carom.Submission{Event: &ev, Key: carom.DedupeKey{Sum: carom.SumOf("reprocessed", string(held.ID)), Window: forever}}, ""
}

// rejudge verifies and judges a refused postback again.
func (d *Door) rejudge(ctx context.Context, c *Catalog, r *carom.Refused, now time.Time) (*carom.Submission, string) {
	b := c.Binding(r.App, r.Source)
	if b == nil {
		return nil, "its source is deleted: make it again under the same name"
	}
	rc := r.Received
	proof := b.Verify(ctx, network.KeptRequest(&rc), rc.At, d.opts.Keys)
	if !proof.Verified {
		return nil, fmt.Sprintf("it does not verify any more (%s): the secrets that it was verified with may have been revoked", proof.Reason)
	}
	rc.At = now
	verdict := b.Judge(&rc, proof)
	if verdict.Event == nil {
		return nil, fmt.Sprintf("it is refused again (%s): %s", verdict.Refused, verdict.Detail)
	}
	verdict.Event.Origin = string(r.ID)
	return &carom.Submission{Event: verdict.Event, Key: verdict.Key}, ""
}

// acceptAgain has what can be reprocessed stored together.
func (d *Door) acceptAgain(ctx context.Context, c *Catalog, part []*again, by carom.By) error {
	var subs []*carom.Submission
	for _, a := range part {
		if a.sub == nil {
			continue
		}
		ev := a.sub.Event
		_, src := c.source(ev.App, ev.Source)
		if src == nil {
			a.sub, a.done.Reason = nil, "its source is deleted: make it again under the same name"
			continue
		}
		ev.Fields = append(slices.Clip(ev.Fields), carom.Field{Name: "reprocessed", Value: by.String()})
		if err := d.earn(ctx, c, src, a.sub, a.at); err != nil {
			return fmt.Errorf("reprocess %s: %w", a.done.Of, err)
		}
		subs = append(subs, a.sub)
	}
	d.accept(c, subs...)
	for _, a := range part {
		if a.sub == nil {
			continue
		}
		if a.sub.Err != nil {
			return fmt.Errorf("reprocess %s: %w", a.done.Of, a.sub.Err)
		}
		r := &a.sub.Receipt
		a.done.Event, a.done.Copy, a.done.Decided = r.ID, r.Duplicate, r.Decided
	}
	return nil
}

// hold keeps an event of a source that is frozen or in shadow from being granted and sent.
func (src *source) hold(ev *carom.Event) {
	if ev.Held != "" {
		return
	}
	switch src.Mode {
	case carom.SourceFrozen:
		ev.Held = string(carom.ReasonFrozen)
	case carom.SourceShadow:
		ev.Held = string(carom.ReasonShadow)
	default:
		return
	}
	ev.Flags |= carom.FlagHeld
}
