package ingest

import (
	"context"
	"fmt"
	"time"

	"carom"
	"carom/internal/network"
)

// Confirm accepts an event of carom's own SDK, which package confirm has judged. began is when the ad did, owed says whether endpoints get the event. The
// receipt comes when the event, or the one that it is a copy of, is stored.
//
// It returns carom.ErrUnavailable when nothing was stored, carom.ErrNotFound when the event's source is not there.
func (d *Door) Confirm(ctx context.Context, ev *carom.Event, key carom.DedupeKey, began time.Time, owed bool) (carom.Receipt, error) {
	c := d.catalog.Load()
	_, src := c.source(ev.App, ev.Source)
	if src == nil || src.Profile != carom.ProfileSDK {
		return carom.Receipt{}, fmt.Errorf("source %s/%s: %w", ev.App, ev.Source, carom.ErrNotFound)
	}
	if !src.pace.take(ev.Received.At) {
		d.paced.Inc()
		d.counts[network.TryLater].Inc()
		return carom.Receipt{}, fmt.Errorf("%w: %w", errPaced, carom.ErrUnavailable)
	}
	sub := &carom.Submission{Event: ev, Key: key, Began: began}
	if err := d.earn(context.WithoutCancel(ctx), c, src, sub, ev.Received.At); err != nil {
		d.counts[network.TryLater].Inc()
		return carom.Receipt{}, fmt.Errorf("%w: %w", err, carom.ErrUnavailable)
	}
	if owed {
		d.accept(c, sub)
	} else {
		d.commit(sub)
	}
	return sub.Receipt, sub.Err
}
