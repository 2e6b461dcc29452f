package ingest

import (
	"context"
	"fmt"
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
	var out []carom.Reprocessed
	for _, ev := range events {
		at := ev.At
		done := carom.Reprocessed{Of: string(ev.ID)}
		s, reason := c.release(ev, as, now)
		if done.Reason = reason; s != nil {
			if err := d.again(ctx, c, s, at, by, &done); err != nil {
				return out, err
			}
		}
		out = append(out, done)
	}
	for _, r := range refused {
		at := r.Received.At
		done := carom.Reprocessed{Of: string(r.ID)}
		s, reason := d.rejudge(ctx, c, r, now)
		if done.Reason = reason; s != nil {
			if err := d.again(ctx, c, s, at, by, &done); err != nil {
				return out, err
			}
		}
		out = append(out, done)
	}
	return out, nil
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

// again accepts a submission of something that was received at an earlier moment.
func (d *Door) again(ctx context.Context, c *Catalog, s *carom.Submission, at time.Time, by carom.By, done *carom.Reprocessed) error {
	_, src := c.source(s.Event.App, s.Event.Source)
	if src == nil {
		done.Reason = "its source is deleted: make it again under the same name"
		return nil
	}
	s.Event.Fields = append(s.Event.Fields[:len(s.Event.Fields):len(s.Event.Fields)], carom.Field{Name: "reprocessed", Value: by.String()})
	err := d.earn(ctx, c, src, s, at)
	if err == nil {
		d.accept(c, s)
		err = s.Err
	}
	if err != nil {
		return fmt.Errorf("reprocess %s: %w", done.Of, err)
	}
	done.Event, done.Copy, done.Decided = s.Receipt.ID, s.Receipt.Duplicate, s.Receipt.Decided
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
